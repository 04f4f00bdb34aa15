//! Notices that a node gives before it ends, as taints: a spot machine taken back, a machine shut down, a node removed by
//! an autoscaler. Nodes are seen only where the installation allows it (chart value `jobs.nodeNotices`).

use std::collections::BTreeMap;

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};

/// Taints that say that a node ends soon, whatever their value and effect.
const NOTICES: [&str; 10] = [
    "aws-node-termination-handler/spot-itn",
    "aws-node-termination-handler/asg-lifecycle-termination",
    "aws-node-termination-handler/scheduled-maintenance",
    "cloud.google.com/impending-node-termination",
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
    "karpenter.sh/interruption",
    "ToBeDeletedByClusterAutoscaler",
    "node.cloudprovider.kubernetes.io/shutdown",
    "node.kubernetes.io/out-of-service",
];

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub node: String,
    /// The taint that says that it ends soon; `None`: it stays, or is gone.
    pub taint: Option<String>,
}

/// The nodes that are about to end.
#[derive(Debug, Default)]
pub struct Noticed(BTreeMap<String, String>);

impl Noticed {
    pub fn take(&mut self, notice: Notice) {
        match notice.taint {
            Some(taint) => {
                if self.0.insert(notice.node.clone(), taint.clone()).is_none() {
                    tracing::info!(node = notice.node, taint, "a node is about to end: its executors leave");
                }
            }
            None => drop(self.0.remove(&notice.node)),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Why executors of this node must leave, if they must.
    pub fn why(&self, node: &str) -> Option<String> {
        self.0.get(node).map(|taint| format!("its node {node} is about to end (taint {taint})"))
    }
}

impl Notice {
    fn of(node: &Node) -> Self {
        let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
        let taint = taints.map(|taint| &taint.key).find(|key| NOTICES.contains(&key.as_str())).cloned();
        Self { node: node.name_any(), taint }
    }
}

/// Every change that may be a notice. Ends at once where nodes may not be seen.
pub fn watch(client: &Client) -> impl Stream<Item = Notice> + Send + 'static {
    let api: Api<Node> = Api::all(client.clone());
    stream::once(async move {
        match api.list(&ListParams::default().limit(1)).await {
            Ok(_) => notices(api).boxed(),
            Err(error) => {
                // As it is by default.
                tracing::debug!(%error, "nodes are not seen: executors leave when their pods are deleted, not before");
                stream::empty().boxed()
            }
        }
    })
    .flatten()
}

fn notices(api: Api<Node>) -> impl Stream<Item = Notice> + Send {
    let events = watcher::watcher(api, watcher::Config::default()).default_backoff();
    events.filter_map(async |event| match event {
        Ok(Event::Apply(node) | Event::InitApply(node)) => Some(Notice::of(&node)),
        Ok(Event::Delete(node)) => Some(Notice { node: node.name_any(), taint: None }),
        Ok(Event::Init | Event::InitDone) => None,
        Err(error) => {
            tracing::warn!(%error, "the watch of nodes broke; it is taken up again");
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(taints: &[&str]) -> Node {
        let taints: Vec<_> = taints.iter().map(|key| json!({ "key": key, "effect": "NoSchedule" })).collect();
        serde_json::from_value(json!({ "metadata": { "name": "n1" }, "spec": { "taints": taints } })).unwrap()
    }

    #[test]
    fn taints_tell_of_the_end() {
        let table = [
            (&[][..], None),
            (&["node.kubernetes.io/unschedulable", "gpu"], None),
            (&["gpu", "ToBeDeletedByClusterAutoscaler"], Some("ToBeDeletedByClusterAutoscaler")),
            (&["aws-node-termination-handler/spot-itn"], Some("aws-node-termination-handler/spot-itn")),
        ];
        for (taints, expected) in table {
            assert_eq!(Notice::of(&node(taints)).taint.as_deref(), expected, "{taints:?}");
        }
    }

    #[test]
    fn a_notice_can_be_taken_back() {
        let mut noticed = Noticed::default();
        noticed.take(Notice::of(&node(&["karpenter.sh/disrupted"])));
        assert_eq!(noticed.why("n1").unwrap(), "its node n1 is about to end (taint karpenter.sh/disrupted)");
        assert_eq!(noticed.why("n2"), None);
        noticed.take(Notice::of(&node(&[])));
        assert_eq!(noticed.why("n1"), None);
    }
}
