//! The scenarios on a real cluster. Those that harm a node have it to themselves; the others share the nodes.

use std::time::Duration;

use super::{
    backend::Backend,
    kubernetes::OnCluster,
    scenario::{self, executors, machines, pods},
    work::Conf,
};
use crate::harness::{with_nodes_alone, with_temp_namespace};

const LIMIT: Duration = Duration::from_secs(300);

enum Nodes {
    Shared,
    Alone,
}

fn run(name: &str, nodes: Nodes, scenario: impl AsyncFnOnce(&dyn Backend)) {
    match nodes {
        Nodes::Shared => with_temp_namespace(name, async |namespace| scenario(&OnCluster::new(namespace)).await),
        Nodes::Alone => with_nodes_alone(name, LIMIT, async |namespace| scenario(&OnCluster::new(namespace)).await),
    }
}

macro_rules! on_a_cluster {
    ($($name:ident: $nodes:expr, $scenario:path;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            #[ignore = "needs a cluster: make cluster"]
            fn plain() {
                run(stringify!($name), $nodes, async |backend| $scenario(backend, Conf { adaptive: false }).await);
            }

            #[test]
            #[ignore = "needs a cluster: make cluster"]
            fn adaptive() {
                run(stringify!($name), $nodes, async |backend| $scenario(backend, Conf { adaptive: true }).await);
            }
        }
    )*};
}

on_a_cluster! {
    fault_none: Nodes::Shared, scenario::undisturbed;
    fault_killed_while_mapping: Nodes::Shared, executors::killed_while_mapping;
    fault_killed_after_mapping: Nodes::Shared, executors::killed_after_mapping;
    fault_killed_while_reducing: Nodes::Shared, executors::killed_while_reducing;
    fault_killed_twice: Nodes::Shared, executors::killed_twice;
    fault_slow: Nodes::Shared, executors::slow;
    fault_image_missing: Nodes::Shared, pods::images_missing;
    fault_quota: Nodes::Shared, pods::quota_exhausted;
    fault_driver_killed: Nodes::Shared, pods::driver_killed;
    fault_disk_filled: Nodes::Shared, machines::disk_filled;
    fault_node_lost: Nodes::Alone, machines::node_lost;
    fault_network_cut: Nodes::Alone, machines::network_cut;
    fault_node_drained: Nodes::Alone, machines::node_drained;
}
