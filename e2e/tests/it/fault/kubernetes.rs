//! The backend that is a real cluster. What Kubernetes itself cannot be asked for — power loss, a cut network, a slow
//! processor, a full disk — `e2e/cluster/cluster` does.

use std::{collections::BTreeSet, process::Stdio, time::Duration};

use async_trait::async_trait;
use firesteel_api::{Phase, SparkJob, names, pods::DRIVER_HTTP_PORT};
use firesteel_e2e::s3::S3Server;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    core::{Request, params::GetParams},
};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::process::Command;

use super::backend::{Backend, End, ExecutorView, StageView, parse_log};
use crate::harness::{Namespace, merge, root, succeed};

/// Of [`super::work`].
const JOB: &str = "work";
/// The image of this test alone, so that it can be taken away without harm to others.
const IMAGE: &str = "firesteel.local/runtime";
const QUOTA: &str = "nothing-more";
const NODES: [&str; 2] = ["node1", "node2"];

pub struct OnCluster<'a> {
    namespace: &'a Namespace,
    /// To be put right when the test ends, however it does: arguments of the cluster's command.
    harm: Mutex<BTreeSet<Vec<String>>>,
    cordoned: Mutex<BTreeSet<String>>,
    /// Logs of drivers that are gone.
    kept: Mutex<Vec<(String, String)>>,
}

impl<'a> OnCluster<'a> {
    pub fn new(namespace: &'a Namespace) -> Self {
        Self { namespace, harm: Mutex::default(), cordoned: Mutex::default(), kept: Mutex::default() }
    }

    fn image(&self) -> String {
        format!("{IMAGE}:{}", self.namespace.name)
    }

    /// `e2e/cluster/cluster ARGUMENTS`.
    async fn cluster(&self, arguments: &[&str]) -> String {
        let program = root().join("e2e/cluster/cluster");
        succeed(Command::new(program).args(arguments).stdin(Stdio::null())).await
    }

    /// The same, and what puts it right again.
    async fn harm(&self, arguments: &[&str], cure: &[&str]) {
        self.harm.lock().insert(cure.iter().map(|&a| a.to_owned()).collect());
        self.cluster(arguments).await;
    }

    async fn cure(&self, cure: &[&str]) {
        self.cluster(cure).await;
        self.harm.lock().remove(&cure.iter().map(|&a| a.to_owned()).collect::<Vec<_>>());
    }

    /// The driver's pods, the newest last.
    async fn drivers(&self) -> Vec<Pod> {
        let mut drivers = self.namespace.pods_of("driver").await;
        drivers.sort_by_key(|pod| pod.labels().get(names::LABEL_ATTEMPT).and_then(|n| n.parse::<u32>().ok()));
        drivers
    }

    async fn executor(&self, id: &str) -> Pod {
        let mut pods = self.namespace.pods_of("executor").await;
        pods.retain(|pod| pod.labels().get(names::LABEL_EXECUTOR).is_some_and(|label| label == id));
        pods.sort_by_key(|pod| pod.metadata.creation_timestamp.clone().map(|t| t.0));
        pods.pop().unwrap_or_else(|| panic!("executor {id} has no pod"))
    }

    /// Through the API server, which reaches pods from wherever the test runs.
    async fn ask<T: DeserializeOwned>(&self, what: &str) -> Vec<T> {
        let Some(driver) = self.drivers().await.pop() else { return Vec::new() };
        let path =
            format!("/api/v1/namespaces/{}/pods/{}:{DRIVER_HTTP_PORT}/proxy", self.namespace.name, driver.name_any());
        let request = Request::new(path).get(what, &GetParams::default()).unwrap();
        let answer = self.namespace.installation.client.request(request);
        match tokio::time::timeout(Duration::from_secs(3), answer).await {
            Ok(Ok(found)) => found,
            _ => Vec::new(),
        }
    }

    async fn job(&self) -> SparkJob {
        self.namespace.jobs().get(JOB).await.unwrap()
    }

    async fn on_every_node(&self, command: &[&str]) {
        for node in NODES {
            let mut arguments = vec!["exec-node", number(node)];
            arguments.extend(command);
            self.cluster(&arguments).await;
        }
    }

    async fn name_image(&self) {
        let from = format!("{IMAGE}:dev");
        self.on_every_node(&["ctr", "-n", "k8s.io", "images", "tag", "--force", &from, &self.image()]).await;
    }
}

fn number(node: &str) -> &str {
    node.trim_start_matches("node")
}

#[async_trait]
impl Backend for OnCluster<'_> {
    fn s3(&self) -> &S3Server {
        &self.namespace.installation.s3
    }

    fn bucket(&self) -> &str {
        &self.namespace.name
    }

    async fn submit(&self, mut job: Value) {
        self.name_image().await;
        merge(&mut job, json!({ "spec": { "image": self.image(), "imagePullPolicy": "IfNotPresent" } }));
        self.namespace.submit(&job).await;
    }

    async fn stages(&self) -> Vec<StageView> {
        self.ask("stages").await
    }

    async fn executors(&self) -> Vec<ExecutorView> {
        self.ask("executors").await
    }

    async fn status(&self) -> Value {
        serde_json::to_value(self.job().await.status).unwrap()
    }

    async fn log(&self) -> Vec<Value> {
        for driver in self.drivers().await {
            let name = driver.name_any();
            let Ok(output) = self.namespace.kubectl(&["logs", &name]).output().await else { continue };
            if output.status.success() {
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                let mut kept = self.kept.lock();
                kept.retain(|(other, _)| *other != name);
                kept.push((name, text));
            }
        }
        self.kept.lock().iter().flat_map(|(_, text)| parse_log(text)).collect()
    }

    async fn ended(&self) -> Option<End> {
        let status = self.job().await.status?;
        let phase = status.phase.filter(|phase| phase.is_terminal())?;
        Some(End { succeeded: phase == Phase::Succeeded, log: self.log().await, attempts: status.attempts.len() })
    }

    async fn kill_executor(&self, id: &str) {
        let uid = self.executor(id).await.uid().unwrap();
        self.cluster(&["kill-pod", &uid]).await;
    }

    async fn kill_driver(&self) {
        // Its log goes with it.
        self.log().await;
        let driver = self.drivers().await.pop().expect("a driver");
        self.cluster(&["kill-pod", &driver.uid().unwrap()]).await;
    }

    async fn lose_node(&self, node: &str) {
        self.harm(&["lose-node", number(node)], &["restore-node", number(node)]).await;
    }

    async fn restore_node(&self, node: &str) {
        self.cure(&["restore-node", number(node)]).await;
    }

    fn cut_lasts(&self) -> Duration {
        Duration::from_secs(30)
    }

    async fn cut_network(&self, node: &str) {
        self.harm(&["lose-node", number(node), "--partition"], &["restore-node", number(node)]).await;
    }

    async fn heal_network(&self, node: &str) {
        self.cure(&["restore-node", number(node)]).await;
    }

    async fn slow_down(&self, executor: &str) {
        let uid = self.executor(executor).await.uid().unwrap();
        self.cluster(&["throttle-pod", &uid, "1"]).await;
    }

    async fn speed_up(&self, executor: &str) {
        let uid = self.executor(executor).await.uid().unwrap();
        self.cluster(&["throttle-pod", &uid, "none"]).await;
    }

    async fn fill_disk(&self, executor: &str) {
        let pod = self.executor(executor).await;
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap();
        self.cluster(&["fill-volume", number(&node), &pod.uid().unwrap(), "small"]).await;
    }

    async fn drain(&self, node: &str) {
        self.cordoned.lock().insert(node.to_owned());
        succeed(&mut self.namespace.installation.kubectl(&["cordon", node])).await;
        for pod in self.namespace.pods_of("executor").await {
            if pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node) {
                self.namespace.pods().evict(&pod.name_any(), &kube::api::EvictParams::default()).await.unwrap();
            }
        }
    }

    async fn uncordon(&self, node: &str) {
        succeed(&mut self.namespace.installation.kubectl(&["uncordon", node])).await;
        self.cordoned.lock().remove(node);
    }

    async fn break_images(&self) {
        self.on_every_node(&["ctr", "-n", "k8s.io", "images", "rm", "--sync", &self.image()]).await;
    }

    async fn exhaust_quota(&self) {
        let quota = json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": QUOTA }, "spec": { "hard": { "pods": "1" } },
        });
        self.namespace.apply(&quota).await.unwrap();
        // It counts from when its status says so.
        loop {
            let used = ["get", "resourcequota", QUOTA, "-o", "jsonpath={.status.used.pods}"];
            if succeed(&mut self.namespace.kubectl(&used)).await.parse::<u32>().is_ok_and(|used| used >= 1) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn lift_quota(&self) {
        succeed(&mut self.namespace.kubectl(&["delete", "resourcequota", QUOTA])).await;
    }
}

/// A test that fails leaves no harmed node to the next one.
impl Drop for OnCluster<'_> {
    fn drop(&mut self) {
        let program = root().join("e2e/cluster/cluster");
        for cure in self.harm.lock().iter() {
            let _ = std::process::Command::new(&program).args(cure).stdin(Stdio::null()).status();
        }
        for node in self.cordoned.lock().iter() {
            let _ = self.namespace.installation.kubectl(&["uncordon", node]).as_std_mut().status();
        }
        for node in NODES {
            let (node, image) = (number(node), self.image());
            let remove = ["exec-node", node, "ctr", "-n", "k8s.io", "images", "rm", &image];
            let _ = std::process::Command::new(&program).args(remove).stdin(Stdio::null()).output();
        }
    }
}
