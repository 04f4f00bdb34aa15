//! A Kubernetes API server in memory, as much of it as the operator asks for: resource versions, conflicts, preconditions,
//! label selectors, the status subresource. It can refuse, and it can die before or after carrying out a request.

use firesteel_operator::{
    config::Defaults,
    metrics::Metrics,
    reconcile::{Context, Next, reconcile},
};
use hyper::{Method, Request, Response, StatusCode};
use kube::{
    Client,
    client::Body,
    runtime::events::{Recorder, Reporter},
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{collections::BTreeMap, convert::Infallible, sync::Arc};
use tower::service_fn;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The connection breaks before the server sees it.
    Before,
    /// The server carries it out and the answer is lost.
    After,
}

#[derive(Default)]
struct State {
    /// `resource/namespace/name` → object.
    objects: BTreeMap<String, Value>,
    version: u64,
    uids: u64,
    /// `METHOD resource/namespace/name`, in order.
    log: Vec<String>,
    /// From this request on (counted in `log`) the connection is broken.
    crash: Option<(usize, Crash)>,
    /// Refusals by prefix of the log line.
    refuse: Vec<(String, u16, String)>,
}

#[derive(Clone, Default)]
pub struct FakeApi(Arc<Mutex<State>>);

impl FakeApi {
    pub fn client(&self) -> Client {
        let api = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move {
                let (parts, body) = request.into_parts();
                let bytes = body.collect_bytes().await.unwrap();
                let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                let (status, answer) =
                    api.handle(&parts.method, parts.uri.path(), parts.uri.query().unwrap_or(""), body);
                let mut response = Response::new(Body::from(serde_json::to_vec(&answer).unwrap()));
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                Ok::<_, Infallible>(response)
            }
        });
        Client::new(service, "operators")
    }

    pub fn context(&self) -> Context {
        let client = self.client();
        let reporter = Reporter { controller: "firesteel-operator".into(), instance: Some("test".into()) };
        Context {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            defaults: Defaults {
                image: "firesteel:default".into(),
                image_pull_policy: None,
                image_pull_secrets: vec!["registry".into()],
                driver_service_account: "firesteel-driver".into(),
            },
            metrics: Arc::new(Metrics::default()),
        }
    }

    /// Creates a job in namespace `n` from the YAML of its spec.
    pub fn submit(&self, name: &str, spec: &str) {
        let spec: Value = serde_yaml::from_str(spec).unwrap();
        let job = json!({"apiVersion": "firesteel.dev/v1alpha1", "kind": "SparkJob", "metadata": {"name": name, "namespace": "n", "generation": 1}, "spec": spec});
        self.put(&format!("sparkjobs/n/{name}"), job);
    }

    /// Puts an object there, with a UID if it has none.
    pub fn put(&self, key: &str, object: Value) {
        self.0.lock().store(key, object);
    }

    pub fn get(&self, key: &str) -> Option<Value> {
        self.0.lock().objects.get(key).cloned()
    }

    pub fn remove(&self, key: &str) {
        self.0.lock().objects.remove(key);
    }

    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.0.lock().objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    pub fn job(&self, name: &str) -> Value {
        self.get(&format!("sparkjobs/n/{name}")).unwrap()
    }

    /// One field of a job's status.
    pub fn status(&self, name: &str, pointer: &str) -> Value {
        self.job(name).pointer(&format!("/status{pointer}")).cloned().unwrap_or(Value::Null)
    }

    pub fn condition(&self, name: &str, type_: &str) -> (String, String) {
        let conditions = self.status(name, "/conditions");
        let found = conditions.as_array().unwrap().iter().find(|c| c["type"] == type_).unwrap().clone();
        (found["status"].as_str().unwrap().into(), found["reason"].as_str().unwrap().into())
    }

    /// Changes an object in place, as a kubelet or a driver would.
    pub fn edit(&self, key: &str, change: impl FnOnce(&mut Value)) {
        let mut state = self.0.lock();
        let mut object = state.objects.get(key).unwrap().clone();
        change(&mut object);
        state.store(key, object);
    }

    pub fn pod_status(&self, name: &str, status: Value) {
        self.edit(&format!("pods/n/{name}"), |pod| pod["status"] = status);
    }

    /// The requests so far whose log line begins so.
    pub fn count(&self, prefix: &str) -> usize {
        self.0.lock().log.iter().filter(|line| line.starts_with(prefix)).count()
    }

    pub fn log(&self) -> Vec<String> {
        self.0.lock().log.clone()
    }

    pub fn crash_at(&self, request: usize, how: Crash) {
        self.0.lock().crash = Some((request, how));
    }

    pub fn heal(&self) {
        self.0.lock().crash = None;
    }

    pub fn refuse(&self, prefix: &str, code: u16, message: &str) {
        self.0.lock().refuse.push((prefix.into(), code, message.into()));
    }

    pub fn refuse_nothing(&self) {
        self.0.lock().refuse.clear();
    }

    /// Has the job reconciled as it stands in the server.
    pub async fn look(&self, name: &str) -> Result<Next, firesteel_operator::error::Error> {
        let job = serde_json::from_value(self.job(name)).unwrap();
        reconcile(Arc::new(job), &self.context()).await
    }

    fn handle(&self, method: &Method, path: &str, query: &str, body: Value) -> (u16, Value) {
        let mut state = self.0.lock();
        let (resource, namespace, name, sub) = parse(path);
        let name = name.or_else(|| body.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned));
        let key = format!("{resource}/{namespace}/{}", name.clone().unwrap_or_default());
        let line = format!("{method} {key}{}", if sub.is_empty() { String::new() } else { format!("/{sub}") });
        let number = state.log.len();
        state.log.push(line.clone());
        let crash =
            state.crash.filter(|(at, _)| number >= *at).map(|(at, how)| if number > at { Crash::Before } else { how });
        if crash == Some(Crash::Before) {
            return failure(500, "InternalError", "connection lost");
        }
        if let Some((_, code, message)) = state.refuse.iter().find(|(prefix, _, _)| line.starts_with(prefix.as_str())) {
            return failure(*code, "Refused", message);
        }
        let answer = state.serve(method, &resource, &namespace, name.as_deref(), &key, query, body);
        if crash == Some(Crash::After) { failure(500, "InternalError", "answer lost") } else { answer }
    }
}

impl State {
    fn store(&mut self, key: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if object["metadata"]["uid"].is_null() {
            self.uids += 1;
            object["metadata"]["uid"] = json!(format!("uid-{}", self.uids));
            object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        self.objects.insert(key.to_owned(), object.clone());
        object
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one request")]
    fn serve(
        &mut self,
        method: &Method,
        resource: &str,
        namespace: &str,
        name: Option<&str>,
        key: &str,
        query: &str,
        body: Value,
    ) -> (u16, Value) {
        let existing = self.objects.get(key).cloned();
        let selector = selector(query);
        match (method.as_str(), name) {
            ("GET", Some(_)) => existing.map_or_else(|| failure(404, "NotFound", key), |object| (200, object)),
            ("GET", None) => {
                let items: Vec<Value> = self
                    .matching(resource, namespace, &selector)
                    .into_iter()
                    .map(|key| self.objects[&key].clone())
                    .collect();
                (200, json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items}))
            }
            ("POST", _) if existing.is_some() => failure(409, "AlreadyExists", key),
            ("POST", _) => {
                let mut body = body;
                body["metadata"]["namespace"] = json!(namespace);
                (201, self.store(key, body))
            }
            ("PUT", Some(_)) => match existing {
                None => failure(404, "NotFound", key),
                Some(old) if old["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] => {
                    failure(409, "Conflict", key)
                }
                Some(_) => (200, self.store(key, body)),
            },
            // Server-side apply of the operator's part of the status; the driver's part stays.
            ("PATCH", Some(_)) => match existing {
                None => failure(404, "NotFound", key),
                Some(old) if old["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] => {
                    failure(409, "Conflict", key)
                }
                Some(mut object) => {
                    let mut status = body["status"].clone();
                    for field in ["progress", "executors", "recovery"] {
                        assert!(status.get(field).is_none(), "the operator writes the driver's {field}");
                        if let Some(kept) = object.pointer(&format!("/status/{field}")) {
                            status[field] = kept.clone();
                        }
                    }
                    object["status"] = status;
                    (200, self.store(key, object))
                }
            },
            ("DELETE", Some(_)) => match existing {
                None => failure(404, "NotFound", key),
                Some(object) => {
                    let wanted = &body["preconditions"]["uid"];
                    if !wanted.is_null() && *wanted != object["metadata"]["uid"] {
                        return failure(409, "Conflict", key);
                    }
                    self.objects.remove(key);
                    (200, object)
                }
            },
            ("DELETE", None) => {
                for key in self.matching(resource, namespace, &selector) {
                    self.objects.remove(&key);
                }
                (200, json!({"apiVersion": "v1", "kind": "Status", "status": "Success", "code": 200}))
            }
            _ => failure(405, "MethodNotAllowed", key),
        }
    }

    fn matching(&self, resource: &str, namespace: &str, selector: &[(String, Option<String>)]) -> Vec<String> {
        let prefix = if namespace.is_empty() { format!("{resource}/") } else { format!("{resource}/{namespace}/") };
        let fits = |object: &Value| {
            selector.iter().all(|(label, value)| {
                let have = object["metadata"]["labels"].get(label);
                value.as_ref().map_or(have.is_some(), |value| have == Some(&json!(value)))
            })
        };
        self.objects
            .iter()
            .filter(|(key, object)| key.starts_with(&prefix) && fits(object))
            .map(|(key, _)| key.clone())
            .collect()
    }
}

fn failure(code: u16, reason: &str, message: &str) -> (u16, Value) {
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}),
    )
}

/// resource, namespace, name, subresource.
fn parse(path: &str) -> (String, String, Option<String>, String) {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let rest = if parts[0] == "api" { &parts[2..] } else { &parts[3..] };
    let (namespace, rest) = if rest[0] == "namespaces" { (rest[1], &rest[2..]) } else { ("", rest) };
    let part = |index: usize| rest.get(index).map(|text| (*text).to_owned());
    (rest[0].to_owned(), namespace.to_owned(), part(1), part(2).unwrap_or_default())
}

fn selector(query: &str) -> Vec<(String, Option<String>)> {
    let Some(text) = query.split('&').find_map(|pair| pair.strip_prefix("labelSelector=")) else { return Vec::new() };
    let text = text.replace("%2F", "/").replace("%3D", "=").replace("%2C", ",");
    text.split(',')
        .map(|term| match term.split_once('=') {
            Some((label, value)) => (label.to_owned(), Some(value.to_owned())),
            None => (term.to_owned(), None),
        })
        .collect()
}
