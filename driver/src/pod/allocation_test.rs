//! Allocation against an API server in memory: pods only, with list, watch, create and delete.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use firesteel_api::{
    ExecutorStatus, Reason,
    pods::{EXECUTOR_SHUFFLE_PORT, env as names},
};
use firesteel_engine::{EngineOptions, EngineSession, ExecutionMode};
use firesteel_plan::SparkConf;
use firesteel_protocol::proto::Register;
use firesteel_scheduler::SchedulerConfig;
use hyper::{Method, Request, Response, StatusCode};
use kube::{Client, client::Body};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tower::service_fn;

use super::{
    allocation::{self, Allocation},
    observe::Trouble,
    settings::Settings,
};
use crate::{ProgressSender, cluster::Core};

const WITHIN: Duration = Duration::from_secs(20);

#[derive(Default)]
struct State {
    pods: BTreeMap<String, Value>,
    /// Every change so far: what a watch from version `n` sees is what follows the `n`th.
    events: Vec<Value>,
    refuse: Option<(u16, String)>,
    collections_deleted: Vec<String>,
    job_deleted: bool,
    /// `None`: nodes may not be seen, as by default.
    nodes: Option<Vec<Value>>,
    /// Notes of Events.
    announced: Vec<String>,
}

#[derive(Clone, Default)]
pub(super) struct FakeApi(Arc<Mutex<State>>);

impl FakeApi {
    pub(super) fn client(&self) -> Client {
        let api = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body: Value = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap_or(Value::Null);
                let query = parts.uri.query().unwrap_or_default().to_owned();
                let path = parts.uri.path();
                if path.contains("/events") {
                    api.0.lock().announced.push(body["note"].as_str().unwrap_or_default().to_owned());
                    return Ok(Response::new(Body::from(body.to_string().into_bytes())));
                }
                if path.ends_with("/sparkjobs/a") {
                    let (status, answer) = match api.0.lock().job_deleted {
                        true => (404, failure(404, "not found")),
                        false => (
                            200,
                            json!({ "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": { "name": "a", "uid": "u-1" } }),
                        ),
                    };
                    let mut response = Response::new(Body::from(answer.to_string().into_bytes()));
                    *response.status_mut() = StatusCode::from_u16(status).unwrap();
                    return Ok(response);
                }
                if path == "/api/v1/nodes" {
                    let (status, answer) = api.nodes(query.contains("watch=true")).await;
                    let mut response = Response::new(Body::from(answer.into_bytes()));
                    *response.status_mut() = StatusCode::from_u16(status).unwrap();
                    return Ok(response);
                }
                let name = path.strip_prefix("/api/v1/namespaces/n/pods").unwrap().trim_matches('/').to_owned();
                let (status, answer) = if query.contains("watch=true") {
                    (200, api.watch(&query).await)
                } else {
                    let (status, answer) = api.serve(&parts.method, &name, &query, body);
                    (status, answer.to_string())
                };
                let mut response = Response::new(Body::from(answer.into_bytes()));
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                Ok::<_, Infallible>(response)
            }
        });
        Client::new(service, "n")
    }

    /// Answers with what happened since, as soon as something did.
    async fn watch(&self, query: &str) -> String {
        let since =
            query.split('&').find_map(|p| p.strip_prefix("resourceVersion=")).unwrap().parse::<usize>().unwrap();
        for _ in 0..200 {
            let new: Vec<String> = self.0.lock().events.iter().skip(since).map(|e| format!("{e}\n")).collect();
            if !new.is_empty() {
                return new.concat();
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        String::new()
    }

    /// The nodes as they are; a watch sees them again and again.
    async fn nodes(&self, watch: bool) -> (u16, String) {
        let Some(nodes) = self.0.lock().nodes.clone() else {
            return (403, failure(403, "nodes is forbidden").to_string());
        };
        if watch {
            tokio::time::sleep(Duration::from_millis(50)).await;
            return (200, nodes.iter().map(|n| format!("{}\n", json!({ "type": "MODIFIED", "object": n }))).collect());
        }
        let list =
            json!({ "apiVersion": "v1", "kind": "NodeList", "metadata": { "resourceVersion": "1" }, "items": nodes });
        (200, list.to_string())
    }

    pub(super) fn set_node(&self, name: &str, taints: Value) {
        let metadata = json!({ "name": name, "resourceVersion": "1" });
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": { "taints": taints } });
        self.0.lock().nodes = Some(vec![node]);
    }

    fn serve(&self, method: &Method, name: &str, query: &str, body: Value) -> (u16, Value) {
        let mut state = self.0.lock();
        match (method.as_str(), name) {
            ("GET", "") => {
                let version = state.events.len().to_string();
                let items: Vec<&Value> = state.pods.values().collect();
                (
                    200,
                    json!({ "apiVersion": "v1", "kind": "PodList", "metadata": { "resourceVersion": version }, "items": items }),
                )
            }
            ("POST", "") => match state.refuse.clone() {
                Some((code, message)) => (code, failure(code, &message)),
                None => (201, state.put("ADDED", body)),
            },
            ("DELETE", "") => {
                state.collections_deleted.push(query.to_owned());
                (200, json!({ "apiVersion": "v1", "kind": "Status", "status": "Success", "code": 200 }))
            }
            ("DELETE", name) => match state.remove(name) {
                Some(pod) => (200, pod),
                None => (404, failure(404, "not found")),
            },
            _ => (405, failure(405, "not served")),
        }
    }

    /// As a kubelet would.
    pub(super) fn set_status(&self, pod: &str, status: Value) {
        let mut state = self.0.lock();
        let mut pod = state.pods[pod].clone();
        pod["status"] = status;
        state.put("MODIFIED", pod);
    }

    /// Notes of Events so far.
    pub(super) fn announced(&self) -> Vec<String> {
        self.0.lock().announced.clone()
    }

    pub(super) fn pods(&self) -> Vec<String> {
        self.0.lock().pods.keys().cloned().collect()
    }
}

impl State {
    fn put(&mut self, change: &str, mut pod: Value) -> Value {
        pod["metadata"]["resourceVersion"] = json!((self.events.len() + 1).to_string());
        pod["metadata"]["uid"] = json!("uid");
        self.pods.insert(pod["metadata"]["name"].as_str().unwrap().to_owned(), pod.clone());
        self.events.push(json!({ "type": change, "object": pod }));
        pod
    }

    fn remove(&mut self, name: &str) -> Option<Value> {
        let mut pod = self.pods.remove(name)?;
        pod["metadata"]["resourceVersion"] = json!((self.events.len() + 1).to_string());
        self.events.push(json!({ "type": "DELETED", "object": pod }));
        Some(pod)
    }
}

fn failure(code: u16, message: &str) -> Value {
    let reason = if code == 404 { "NotFound" } else { "Refused" };
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, "reason": reason })
}

pub(super) fn container(state: Value) -> Value {
    json!({ "phase": "Running", "containerStatuses": [
        { "name": "executor", "image": "r:1", "imageID": "", "ready": true, "restartCount": 0, "state": state }
    ] })
}

/// Of a job with this `spec.executor` and `spec.sparkConf`.
pub(super) fn settings(executor: &str, conf: &str) -> Settings {
    let job = format!(
        "{{apiVersion: firesteel.dev/v1alpha1, kind: SparkJob, metadata: {{name: a, namespace: n, uid: u-1}}, \
         spec: {{image: 'r:1', sql: {{inline: SELECT 1}}, executor: {executor}, sparkConf: {conf}}}}}"
    );
    let var = |name: &str| match name {
        names::LOCAL_DIRS | names::BIND_ADDRESS => None,
        names::POD_IP => Some("10.0.0.1".to_owned()),
        _ => Some("1".to_owned()),
    };
    let settings = Settings::from_parts(&job, var, [].into_iter());
    settings.unwrap_or_else(|failure| panic!("{}", failure.message))
}

struct Application {
    api: FakeApi,
    core: Arc<Core>,
    settings: Settings,
    status: watch::Receiver<ExecutorStatus>,
    running: JoinHandle<Option<Trouble>>,
    stop: CancellationToken,
    /// Ends of the executors' streams.
    streams: Vec<Box<dyn std::any::Any + Send>>,
}

impl Application {
    fn start(api: FakeApi, instances: u32) -> Self {
        let settings = settings(&format!("{{instances: {instances}}}"), "{}");
        let options = EngineOptions {
            conf: SparkConf::new(),
            mode: ExecutionMode::Cluster,
            slots: 1,
            memory_bytes: Some(1 << 20),
            local_dirs: vec![std::env::temp_dir()],
        };
        let engine = EngineSession::new(options).unwrap();
        let core = Core::new(engine, ProgressSender::default(), SchedulerConfig::default(), "token", None).unwrap();
        let (allocation, status) = Allocation::new(&api.client(), core.clone(), &settings);
        let stop = CancellationToken::new();
        let running = tokio::spawn(allocation.run(stop.clone()));
        Self { api, core, settings, status, running, stop, streams: Vec::new() }
    }

    /// The executor's pod runs and it has found its driver.
    fn executor_comes(&mut self, id: u64) {
        self.api.set_status(&format!("a-1-exec-{id}"), container(json!({ "running": {} })));
        let register = Register {
            executor_id: id.to_string(),
            address: format!("127.0.0.1:{EXECUTOR_SHUFFLE_PORT}"),
            slots: 1,
            node: "n1".to_owned(),
            protocol_version: firesteel_protocol::PROTOCOL_VERSION.to_owned(),
            ..Register::default()
        };
        let (outbox, inbox) = mpsc::channel(64);
        self.streams.push(Box::new(inbox));
        self.core.register(&register, outbox).unwrap();
    }

    async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(WITHIN, async {
            while !done(self) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(waited.await.is_ok(), "not in time: {what}; pods {:?}, {:?}", self.api.pods(), self.status.borrow());
    }

    fn registered(&self) -> Vec<String> {
        self.core.registered_ids().iter().map(ToString::to_string).collect()
    }

    fn reason(&self) -> Option<Reason> {
        self.status.borrow().last_failure_reason
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_executors_are_told_to_the_scheduler_and_replaced() {
    let mut app = Application::start(FakeApi::default(), 2);
    app.until("two pods", |a| a.api.pods() == ["a-1-exec-1", "a-1-exec-2"]).await;
    app.executor_comes(1);
    app.executor_comes(2);
    app.until("both run", |a| a.status.borrow().summary == "2/2").await;

    app.api.set_status("a-1-exec-1", container(json!({ "terminated": { "reason": "OOMKilled", "exitCode": 137 } })));
    app.until("1 is lost", |a| a.registered() == ["2"]).await;
    app.until("1 is replaced", |a| a.api.pods().contains(&"a-1-exec-3".to_owned())).await;
    assert_eq!(app.reason(), Some(Reason::OutOfMemory));
    assert!(app.api.pods().contains(&"a-1-exec-1".to_owned()), "kept for its log");

    app.executor_comes(3);
    app.api.0.lock().remove("a-1-exec-2");
    app.until("2 is lost", |a| a.registered() == ["3"]).await;
    app.until("2 is replaced", |a| a.api.pods().contains(&"a-1-exec-4".to_owned())).await;
    app.executor_comes(4);
    app.until("whole again", |a| a.status.borrow().summary == "2/2" && a.status.borrow().failed == 2).await;

    app.until("people are told", |a| a.api.0.lock().announced.len() == 2).await;
    let announced = app.api.0.lock().announced.clone();
    assert!(announced.iter().any(|note| note.contains("a-1-exec-1 exceeded its memory limit")), "{announced:?}");

    app.stop.cancel();
    assert_eq!(app.running.await.unwrap(), None);
    allocation::delete_all(&app.api.client(), &app.settings.context).await;
    let deleted = app.api.0.lock().collections_deleted.clone();
    assert!(deleted.len() == 1 && deleted[0].contains("attempt%3D1") && deleted[0].contains("executor"), "{deleted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_the_driver_gave_up_loses_its_pod() {
    let mut app = Application::start(FakeApi::default(), 1);
    app.until("a pod", |a| a.api.pods() == ["a-1-exec-1"]).await;
    app.executor_comes(1);
    app.until("it runs", |a| a.status.borrow().running == 1).await;
    let why = firesteel_scheduler::ExecutorLossReason::Unresponsive { message: "no heartbeat".into() };
    app.core.executor_lost(&"1".to_owned().into(), why);
    app.until("it is replaced", |a| a.api.pods() == ["a-1-exec-2"]).await;
    app.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_made_for_a_job_that_is_deleted() {
    let mut app = Application::start(FakeApi::default(), 1);
    app.until("a pod", |a| a.api.pods() == ["a-1-exec-1"]).await;
    app.executor_comes(1);
    app.until("it runs", |a| a.status.borrow().running == 1).await;
    app.api.0.lock().job_deleted = true;
    app.api.0.lock().remove("a-1-exec-1");
    app.until("the cause is told", |a| a.reason() == Some(Reason::ExecutorsPending)).await;
    assert_eq!(app.api.pods(), [] as [&str; 0]);
    app.stop.cancel();
    assert_eq!(app.running.await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_told_and_waited_for() {
    let api = FakeApi::default();
    let refuse = |why: Option<&str>| api.0.lock().refuse = why.map(|why| (403, why.to_owned()));
    refuse(Some("pods \"a-1-exec-1\" is forbidden: exceeded quota: small"));
    let app = Application::start(api.clone(), 2);
    app.until("the quota is told", |a| a.reason() == Some(Reason::QuotaExceeded)).await;
    refuse(None);
    app.until("two pods", |a| a.api.pods().len() == 2).await;
    app.until("the quota is forgotten", |a| a.reason().is_none()).await;
    app.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_can_never_be_created_end_the_allocation() {
    let api = FakeApi::default();
    api.0.lock().refuse = Some((422, "spec.containers[0].image: Invalid value".into()));
    let app = Application::start(api, 2);
    let trouble = tokio::time::timeout(WITHIN, app.running).await.unwrap().unwrap().unwrap();
    assert_eq!(trouble.reason, Reason::PodRefused);
    assert!(trouble.message.contains("Invalid value"), "{}", trouble.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_cannot_be_pulled_are_told() {
    let app = Application::start(FakeApi::default(), 1);
    app.until("a pod", |a| a.api.pods().len() == 1).await;
    let waiting = json!({ "waiting": { "reason": "ImagePullBackOff", "message": "Back-off pulling image \"r:1\"" } });
    app.api.set_status("a-1-exec-1", container(waiting));
    app.until("it is told", |a| a.reason() == Some(Reason::ExecutorImagePullFailed)).await;
    assert_eq!(app.status.borrow().summary, "0/1");
    app.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_leave_a_node_that_is_about_to_end() {
    let api = FakeApi::default();
    api.set_node("n1", json!([]));
    let mut app = Application::start(api.clone(), 1);
    app.until("a pod", |a| a.api.pods() == ["a-1-exec-1"]).await;
    app.executor_comes(1);
    app.until("it runs", |a| a.status.borrow().running == 1).await;
    api.set_node("n1", json!([{ "key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule" }]));
    app.until("another is asked for", |a| a.api.pods() == ["a-1-exec-1", "a-1-exec-2"]).await;
    assert_eq!(app.core.load().executors, [], "the first one takes no further tasks");
    // It has handed over what it has, and ends.
    api.set_status("a-1-exec-1", container(json!({ "terminated": { "exitCode": 0, "reason": "Completed" } })));
    app.until("its pod is deleted", |a| a.api.pods() == ["a-1-exec-2"]).await;
    assert_eq!((app.status.borrow().failed, app.api.announced()), (0, vec![]), "it is no loss");
    app.stop.cancel();
}
