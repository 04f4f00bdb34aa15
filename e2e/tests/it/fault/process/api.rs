//! What the driver needs of Kubernetes: its job, whose status it writes, and pods that can be created, listed, watched and
//! deleted, and that run: as processes on two nodes that differ by name only. Events are taken and forgotten.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{any, get, patch},
};
use firesteel_api::{names::LABEL_EXECUTOR, pods::env};
use futures::stream;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{TOKEN, machine::Process};

const NODES: [&str; 2] = ["node1", "node2"];
/// How soon the end of a process is seen.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub struct Settings {
    /// `firesteel`.
    pub program: PathBuf,
    pub scratch: PathBuf,
    /// Second and third byte of addresses.
    pub net: [u8; 2],
    /// What `envFrom` brings.
    pub secret: BTreeMap<String, String>,
}

pub struct Api {
    settings: Settings,
    address: SocketAddr,
    state: Mutex<Cluster>,
    /// How many changes there were.
    changes: watch::Sender<usize>,
}

#[derive(Default)]
struct Cluster {
    pods: BTreeMap<String, Pod>,
    /// What a watch from version `n` sees is what follows the `n`th.
    events: Vec<Value>,
    started: u8,
    unschedulable: Vec<String>,
    images_broken: bool,
    quota_exhausted: bool,
    /// The one SparkJob.
    job: Value,
    job_version: u64,
    /// Logs of pods that are gone.
    gone: Vec<PodView>,
}

struct Pod {
    object: Value,
    node: String,
    local_dir: PathBuf,
    /// None until it can be started.
    process: Option<Process>,
}

/// A pod as a test sees it.
#[derive(Debug, Clone)]
pub struct PodView {
    pub name: String,
    pub node: String,
    pub log: String,
}

impl Api {
    pub async fn start(settings: Settings) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let api = Arc::new(Self { settings, address, state: Mutex::default(), changes: watch::Sender::new(0) });
        let pods = get(list).post(create).delete(delete_all);
        let router = Router::new()
            .route("/api/v1/namespaces/{namespace}/pods", pods)
            .route("/api/v1/namespaces/{namespace}/pods/{name}", get(read).delete(delete))
            .route("/api/v1/namespaces/{namespace}/events", get(no_events))
            .route("/apis/firesteel.dev/v1alpha1/namespaces/{namespace}/sparkjobs/{name}", get(read_job))
            .route("/apis/firesteel.dev/v1alpha1/namespaces/{namespace}/sparkjobs/{name}/status", patch(write_status))
            .fallback(any(taken_and_forgotten))
            .with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let looking = Arc::downgrade(&api);
        tokio::spawn(async move {
            while let Some(api) = looking.upgrade() {
                api.look_after_processes();
                drop(api);
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        api
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn secret(&self) -> &BTreeMap<String, String> {
        &self.settings.secret
    }

    pub fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{ "name": "here", "cluster": { "server": format!("http://{}", self.address) } }],
            "users": [{ "name": "here", "user": {} }],
            "contexts": [{ "name": "here", "context": { "cluster": "here", "user": "here", "namespace": "local" } }],
        })
        .to_string()
    }

    /// Those that are gone too.
    pub fn pods(&self) -> Vec<PodView> {
        let state = self.state.lock();
        state.gone.iter().cloned().chain(state.pods.iter().map(|(name, pod)| pod.view(name))).collect()
    }

    pub fn status(&self) -> Value {
        self.state.lock().job["status"].clone()
    }

    pub fn set_job(&self, job: Value) {
        self.state.lock().job = job;
    }

    pub fn signal(&self, pod: &str, signal: &str) {
        if let Some(process) = self.state.lock().pods.get(pod).and_then(|pod| pod.process.as_ref()) {
            process.signal(signal);
        }
    }

    pub fn signal_executor(&self, id: &str, signal: &str) {
        let name = self.state.lock().name_of_executor(id);
        if let Some(name) = name {
            self.signal(&name, signal);
        }
    }

    /// Writes where the executor keeps its files until nothing more fits.
    pub fn fill_disk(&self, id: &str) {
        let state = self.state.lock();
        let name = state.name_of_executor(id).unwrap();
        let pod = &state.pods[&name];
        // Its mounts are its own.
        let seen_by_it = pod.local_dir.strip_prefix("/").unwrap();
        let root = format!("/proc/{}/root", pod.process.as_ref().unwrap().pid());
        let file = std::path::Path::new(&root).join(seen_by_it).join("filler");
        let mut file = std::fs::File::create(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let mut written = 0;
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {
            written += 4096;
            assert!(written < 1 << 30, "the disk of {name} has no limit: its volume is not `medium: Memory`");
        }
    }

    pub fn set_schedulable(&self, node: &str, schedulable: bool) {
        let mut state = self.state.lock();
        state.unschedulable.retain(|other| other != node);
        if !schedulable {
            state.unschedulable.push(node.to_owned());
        }
    }

    pub fn break_images(&self) {
        self.state.lock().images_broken = true;
    }

    pub fn exhaust_quota(&self, exhausted: bool) {
        self.state.lock().quota_exhausted = exhausted;
    }

    /// As `kubectl delete pod`: SIGTERM, SIGKILL when its grace (or the pod's own) is over.
    pub fn delete(self: &Arc<Self>, name: &str, grace: Option<u64>) -> Option<Value> {
        let mut state = self.state.lock();
        let pod = state.pods.get_mut(name)?;
        let own = pod.object["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
        let grace = grace.unwrap_or(own);
        pod.object["metadata"]["deletionTimestamp"] = json!(k8s_openapi::jiff::Timestamp::now().to_string());
        let object = pod.object.clone();
        match &pod.process {
            Some(process) if grace > 0 => {
                process.signal("TERM");
                let (api, name) = (self.clone(), name.to_owned());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(grace)).await;
                    api.signal(&name, "KILL");
                });
            }
            Some(process) => process.signal("KILL"),
            None => {}
        }
        state.record("MODIFIED", object.clone());
        self.changed(&state);
        Some(object)
    }

    fn changed(&self, state: &Cluster) {
        self.changes.send_replace(state.events.len());
    }

    /// Pods whose process has ended have ended; those that are being deleted are gone then.
    fn look_after_processes(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let ended = |pod: &Pod| match &pod.process {
            Some(process) => process.exit_code(),
            None => Some(Some(0)),
        };
        let deleted = |pod: &Pod| pod.object["metadata"].get("deletionTimestamp").is_some();
        let mut over = Vec::new();
        for (name, pod) in &state.pods {
            let known = pod.object["status"]["phase"] == "Failed" || pod.object["status"]["phase"] == "Succeeded";
            if let Some(code) = ended(pod)
                && (deleted(pod) || (pod.process.is_some() && !known))
            {
                over.push((name.clone(), code));
            }
        }
        if over.is_empty() {
            return;
        }
        for (name, code) in over {
            let Some(pod) = state.pods.get_mut(&name) else { continue };
            if pod.process.is_some() {
                let code = code.unwrap_or(137);
                let terminated = json!({ "exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" } });
                pod.object["status"] =
                    status(pod, if code == 0 { "Succeeded" } else { "Failed" }, json!({ "terminated": terminated }));
            }
            let object = pod.object.clone();
            if deleted(pod) {
                let view = pod.view(&name);
                state.pods.remove(&name);
                state.gone.push(view);
                state.record("DELETED", object);
            } else {
                state.record("MODIFIED", object);
            }
        }
        self.changed(&state);
    }

    /// Gives the pod a node and an address, and starts it.
    fn place(&self, state: &mut Cluster, mut object: Value) -> Pod {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        state.started += 1;
        let ip = Ipv4Addr::new(127, self.settings.net[0], self.settings.net[1], state.started + 1).to_string();
        object["metadata"]["uid"] = json!(format!("pod-{}", state.started));
        let local_dir = self.settings.scratch.join(&name);
        let free = |node: &&&str| !state.unschedulable.iter().any(|other| other == **node);
        let load = |node: &str| state.pods.values().filter(|pod| pod.node == node && pod.process.is_some()).count();
        let Some(node) = NODES.iter().filter(free).min_by_key(|node| load(node)) else {
            object["status"] = json!({ "phase": "Pending", "conditions": [
                { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node is left" }
            ] });
            return Pod { object, node: String::new(), local_dir, process: None };
        };
        object["spec"]["nodeName"] = json!(node);
        let mut pod = Pod { object, node: (*node).to_owned(), local_dir, process: None };
        if state.images_broken {
            let waiting = json!({ "reason": "ImagePullBackOff", "message": "Back-off pulling image" });
            pod.object["status"] = status(&pod, "Pending", json!({ "waiting": waiting }));
            return pod;
        }
        pod.start(&self.settings, &ip);
        let running = json!({ "running": { "startedAt": k8s_openapi::jiff::Timestamp::now().to_string() } });
        pod.object["status"] = status(&pod, "Running", running);
        pod.object["status"]["podIP"] = json!(ip);
        pod
    }
}

impl Cluster {
    fn job_as_read(&self) -> Value {
        let mut job = self.job.clone();
        job["metadata"]["resourceVersion"] = json!(self.job_version.to_string());
        job
    }

    fn record(&mut self, change: &str, mut object: Value) {
        object["metadata"]["resourceVersion"] = json!((self.events.len() + 1).to_string());
        self.events.push(json!({ "type": change, "object": object }));
    }

    fn name_of_executor(&self, id: &str) -> Option<String> {
        let is = |pod: &Pod| pod.object["metadata"]["labels"][LABEL_EXECUTOR] == id && pod.process.is_some();
        self.pods.iter().rev().find(|(_, pod)| is(pod)).map(|(name, _)| name.clone())
    }
}

impl Pod {
    fn view(&self, name: &str) -> PodView {
        let log = self.process.as_ref().map(Process::log).unwrap_or_default();
        PodView { name: name.to_owned(), node: self.node.clone(), log }
    }

    fn start(&mut self, settings: &Settings, ip: &str) {
        let container = &self.object["spec"]["containers"][0];
        let mut vars = settings.secret.clone();
        for var in container["env"].as_array().into_iter().flatten() {
            let value =
                match (var["value"].as_str(), var.pointer("/valueFrom/fieldRef/fieldPath").and_then(Value::as_str)) {
                    (Some(value), _) => value.to_owned(),
                    (None, Some("status.podIP")) => ip.to_owned(),
                    (None, Some(path)) => {
                        let field = self.object.pointer(&format!("/{}", path.replace('.', "/")));
                        field.and_then(Value::as_str).unwrap_or_else(|| panic!("a pod has no {path}")).to_owned()
                    }
                    // The only secret that pods name.
                    (None, None) => TOKEN.to_owned(),
                };
            vars.insert(var["name"].as_str().unwrap().to_owned(), value);
        }
        std::fs::create_dir_all(&self.local_dir).unwrap();
        vars.insert(env::LOCAL_DIRS.to_owned(), self.local_dir.display().to_string());
        vars.insert(env::BIND_ADDRESS.to_owned(), ip.to_owned());
        let command = container["command"].as_array().into_iter().flatten().skip(1);
        let mut arguments: Vec<std::ffi::OsString> = command.map(|a| a.as_str().unwrap().into()).collect();
        let mut program = settings.program.clone();
        // A volume in memory is one whose size has a limit.
        let volumes = self.object["spec"]["volumes"].as_array().into_iter().flatten();
        if let Some(limit) =
            volumes.filter(|v| v["emptyDir"]["medium"] == "Memory").find_map(|v| v["emptyDir"]["sizeLimit"].as_str())
        {
            let size = limit.trim_end_matches('i');
            let script =
                format!("mount -t tmpfs -o size={size} none {} && exec \"$0\" \"$@\"", self.local_dir.display());
            let program_and_its: Vec<_> = std::iter::once(program.into_os_string()).chain(arguments).collect();
            program = "unshare".into();
            arguments = ["--mount", "--map-root-user", "sh", "-c", &script].map(Into::into).into();
            arguments.extend(program_and_its);
        }
        let log = self.local_dir.with_extension("log");
        self.process = Some(Process::start(&program, &arguments, &vars, &log));
    }
}

fn status(pod: &Pod, phase: &str, state: Value) -> Value {
    let name = &pod.object["spec"]["containers"][0]["name"];
    json!({ "phase": phase, "containerStatuses": [{
        "name": name, "image": "none", "imageID": "", "ready": phase == "Running", "restartCount": 0, "state": state
    }] })
}

fn failure(code: u16, reason: &str, message: &str) -> Response {
    let body = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message, "metadata": {}
    });
    (StatusCode::from_u16(code).unwrap(), Json(body)).into_response()
}

/// `a=b&c=d` with its escapes undone.
fn parameters(query: Option<String>) -> BTreeMap<String, String> {
    let query = query.unwrap_or_default();
    let unescaped = |text: &str| {
        let mut parts = text.split('%');
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (code, rest) = part.split_at(2);
            out.push(char::from(u8::from_str_radix(code, 16).unwrap()));
            out.push_str(rest);
        }
        out
    };
    query.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), unescaped(v))).collect()
}

fn selected(object: &Value, query: &BTreeMap<String, String>) -> bool {
    let wanted = query.get("labelSelector").map(String::as_str).unwrap_or_default();
    wanted
        .split(',')
        .filter_map(|term| term.split_once('='))
        .all(|(label, value)| object["metadata"]["labels"][label.trim_end_matches('=')] == value)
}

async fn list(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Response {
    let query = parameters(query);
    if query.get("watch").is_some_and(|watch| watch == "true" || watch == "1") {
        return follow(api, query);
    }
    let state = api.state.lock();
    let items: Vec<&Value> = state.pods.values().map(|pod| &pod.object).filter(|o| selected(o, &query)).collect();
    let metadata = json!({ "resourceVersion": state.events.len().to_string() });
    Json(json!({ "apiVersion": "v1", "kind": "PodList", "metadata": metadata, "items": items })).into_response()
}

fn follow(api: Arc<Api>, query: BTreeMap<String, String>) -> Response {
    let since = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
    let changes = api.changes.subscribe();
    let lines = stream::unfold((api, query, changes, since), |(api, query, mut changes, since)| async move {
        loop {
            let (new, seen) = {
                let state = api.state.lock();
                let new = state.events.iter().skip(since).filter(|event| selected(&event["object"], &query));
                (new.map(|event| format!("{event}\n")).collect::<String>(), state.events.len())
            };
            if !new.is_empty() {
                return Some((Ok::<_, Infallible>(new), (api, query, changes, seen)));
            }
            changes.wait_for(|count| *count > seen).await.ok()?;
        }
    });
    Body::from_stream(lines).into_response()
}

async fn create(State(api): State<Arc<Api>>, Json(object): Json<Value>) -> Response {
    let mut state = api.state.lock();
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if state.quota_exhausted {
        return failure(
            403,
            "Forbidden",
            &format!("pods \"{name}\" is forbidden: exceeded quota: pods, used: pods=2, limited: pods=2"),
        );
    }
    if state.pods.contains_key(&name) {
        return failure(409, "AlreadyExists", &format!("pods \"{name}\" already exists"));
    }
    let pod = api.place(&mut state, object);
    let object = pod.object.clone();
    state.pods.insert(name, pod);
    state.record("ADDED", object.clone());
    api.changed(&state);
    (StatusCode::CREATED, Json(object)).into_response()
}

async fn read(State(api): State<Arc<Api>>, Path((_, name)): Path<(String, String)>) -> Response {
    match api.state.lock().pods.get(&name) {
        Some(pod) => Json(pod.object.clone()).into_response(),
        None => failure(404, "NotFound", &format!("pods \"{name}\" not found")),
    }
}

async fn delete(
    State(api): State<Arc<Api>>,
    Path((_, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    options: Option<Json<Value>>,
) -> Response {
    let query = parameters(query);
    let in_body = options.and_then(|options| options["gracePeriodSeconds"].as_u64());
    let grace = in_body.or_else(|| query.get("gracePeriodSeconds")?.parse().ok());
    match api.delete(&name, grace) {
        Some(object) => Json(object).into_response(),
        None => failure(404, "NotFound", &format!("pods \"{name}\" not found")),
    }
}

async fn delete_all(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Response {
    let query = parameters(query);
    let names: Vec<String> = {
        let state = api.state.lock();
        state.pods.iter().filter(|(_, pod)| selected(&pod.object, &query)).map(|(name, _)| name.clone()).collect()
    };
    for name in names {
        api.delete(&name, Some(2));
    }
    Json(json!({ "apiVersion": "v1", "kind": "Status", "status": "Success", "code": 200, "metadata": {} }))
        .into_response()
}

async fn no_events() -> Response {
    Json(json!({ "apiVersion": "v1", "kind": "EventList", "metadata": { "resourceVersion": "1" }, "items": [] }))
        .into_response()
}

async fn read_job(State(api): State<Arc<Api>>) -> Response {
    let state = api.state.lock();
    Json(state.job_as_read()).into_response()
}

/// Each part of the status is as its last writer left it. A write that names an older version of the job is refused.
async fn write_status(State(api): State<Arc<Api>>, body: String) -> Response {
    let change: Value = serde_json::from_str(&body).unwrap_or_default();
    let mut state = api.state.lock();
    let expected = change["metadata"]["resourceVersion"].as_str();
    if expected.is_some_and(|expected| expected != state.job_version.to_string()) {
        return failure(409, "Conflict", "the object has been modified");
    }
    for (part, value) in change["status"].as_object().into_iter().flatten() {
        state.job["status"][part] = value.clone();
    }
    state.job_version += 1;
    Json(state.job_as_read()).into_response()
}

/// Events, answered with what was sent.
async fn taken_and_forgotten(method: axum::http::Method, body: String) -> Response {
    match (method.as_str(), serde_json::from_str::<Value>(&body)) {
        ("POST" | "PATCH" | "PUT", Ok(object)) => Json(object).into_response(),
        _ => failure(404, "NotFound", "this stand-in for Kubernetes does not have it"),
    }
}
