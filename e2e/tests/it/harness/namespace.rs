//! A test's namespace: made before it, looked into when it fails, deleted after it either way.

use std::{
    collections::BTreeSet,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use firesteel_api::{Phase, SparkJob};
use futures::FutureExt;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use object_store::{ObjectStoreExt, aws::AmazonS3};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

use super::{Installation, SYSTEM_NAMESPACE, said, storage};

const PAUSE: Duration = Duration::from_millis(150);

/// A namespace for one test, and a bucket of the same name.
pub struct Namespace {
    pub name: String,
    pub installation: &'static Installation,
    pub bucket: AmazonS3,
}

pub async fn run(installation: &'static Installation, test: &str, limit: Duration, body: impl AsyncFnOnce(&Namespace)) {
    let namespace = Namespace::make(installation, test).await;
    let ended = AssertUnwindSafe(tokio::time::timeout(limit, body(&namespace))).catch_unwind().await;
    let trouble = match ended {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some(Box::new(format!("{test} has not ended after {limit:?}")) as Box<dyn std::any::Any + Send>),
        Err(panic) => Some(panic),
    };
    if trouble.is_some() {
        namespace.describe().await;
    }
    if trouble.is_none() || std::env::var_os("FIRESTEEL_E2E_KEEP").is_none() {
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(installation.client.clone());
        let _ = namespaces.delete(&namespace.name, &DeleteParams::background()).await;
    }
    if let Some(panic) = trouble {
        std::panic::resume_unwind(panic);
    }
}

impl Namespace {
    async fn make(installation: &'static Installation, test: &str) -> Self {
        let moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
        let test: String = test.replace('_', "-").chars().take(45).collect();
        let name = format!("{test}-{:06x}", (moment / 16) & 0xff_ffff);
        let made = Self { bucket: storage::bucket(&installation.s3, &name), name: name.clone(), installation };
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                // The strictest level: driver and executor pods must be let in as they are.
                "labels": { "pod-security.kubernetes.io/enforce": "restricted" },
            },
        });
        let text = format!("{namespace}\n---\n{}\n", installation.objects_for_jobs(&name));
        made.pipe(&["apply", "-f", "-"], &text).await.unwrap_or_else(|said| panic!("{said}"));
        made.create_secret("s3", SECRET).await;
        made
    }

    /// Credentials, and the address of the server, in the form job.yaml of the example expects.
    pub async fn create_secret(&self, name: &str, secret_key: &str) {
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": name },
            "stringData": {
                "AWS_ACCESS_KEY_ID": storage::ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": secret_key,
                "AWS_ENDPOINT_URL": self.installation.s3.endpoint(),
            },
        });
        self.apply(&secret).await.unwrap_or_else(|said| panic!("{said}"));
    }

    /// `kubectl apply`. What kubectl says, well or badly.
    pub async fn apply(&self, object: &Value) -> Result<String, String> {
        self.pipe(&["apply", "-n", &self.name, "-f", "-"], &object.to_string()).await
    }

    /// `kubectl ARGUMENTS` with `text` on its standard input.
    pub async fn pipe(&self, arguments: &[&str], text: &str) -> Result<String, String> {
        let mut command = self.installation.kubectl(arguments);
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(text.as_bytes()).await.unwrap();
        drop(input);
        let output = child.wait_with_output().await.unwrap();
        if output.status.success() { Ok(said(&output)) } else { Err(said(&output)) }
    }

    /// `kubectl -n NAMESPACE ARGUMENTS`.
    pub fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = self.installation.kubectl(&["-n", &self.name]);
        command.args(arguments);
        command
    }

    pub async fn submit(&self, job: &Value) {
        self.apply(job).await.unwrap_or_else(|said| panic!("the job is refused: {said}"));
    }

    pub fn jobs(&self) -> Api<SparkJob> {
        self.api()
    }

    pub fn pods(&self) -> Api<Pod> {
        self.api()
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.installation.client.clone(), &self.name)
    }

    /// Pods of a role, whatever job and attempt.
    pub async fn pods_of(&self, role: &str) -> Vec<Pod> {
        let selector = format!("{}={role}", firesteel_api::names::LABEL_ROLE);
        self.pods().list(&ListParams::default().labels(&selector)).await.unwrap().items
    }

    /// Kind and name of all that jobs could leave behind here.
    pub async fn objects(&self) -> BTreeSet<String> {
        let all = ListParams::default();
        let mut found = BTreeSet::new();
        found.extend(self.api::<Pod>().list(&all).await.unwrap().iter().map(|o| format!("pod {}", o.name_any())));
        found.extend(
            self.api::<Service>().list(&all).await.unwrap().iter().map(|o| format!("service {}", o.name_any())),
        );
        found.extend(self.api::<Secret>().list(&all).await.unwrap().iter().map(|o| format!("secret {}", o.name_any())));
        let maps = self.api::<ConfigMap>().list(&all).await.unwrap();
        found.extend(maps.iter().map(|o| format!("config map {}", o.name_any())));
        found
    }

    /// Waits until a job is as `reached` says; panics when the job ends otherwise or time is over.
    pub async fn until(
        &self,
        name: &str,
        limit: Duration,
        what: &str,
        mut reached: impl FnMut(&SparkJob) -> bool,
    ) -> SparkJob {
        let began = Instant::now();
        loop {
            let job = self.jobs().get(name).await.unwrap_or_else(|e| panic!("job {name}: {e}"));
            if reached(&job) {
                return job;
            }
            let status = job.status.unwrap_or_default();
            let state = format!(
                "{}, {}: {}",
                status.phase.unwrap_or_default().as_str(),
                status.reason.map_or("no reason", |reason| reason.as_str()),
                status.message.unwrap_or_default()
            );
            let ended = status.phase.is_some_and(Phase::is_terminal);
            assert!(!ended, "job {name} has ended before it was {what}: {state}");
            assert!(began.elapsed() < limit, "job {name} is not {what} after {limit:?} but {state}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub async fn succeeded(&self, name: &str, limit: Duration) -> SparkJob {
        self.until(name, limit, "Succeeded", |job| phase(job) == Some(Phase::Succeeded)).await
    }

    pub async fn failed(&self, name: &str, limit: Duration) -> SparkJob {
        self.until(name, limit, "Failed", |job| phase(job) == Some(Phase::Failed)).await
    }

    /// Puts the files below `folder` into the test's bucket.
    pub async fn upload(&self, folder: &Path, prefix: &str) {
        storage::upload(&self.bucket, folder, prefix).await;
    }

    /// Makes a further bucket and fills it.
    pub async fn upload_to(&self, bucket: &str, folder: &Path, prefix: &str) {
        storage::upload(&storage::bucket(&self.installation.s3, bucket), folder, prefix).await;
    }

    /// Puts one file into a further bucket.
    pub async fn upload_file_to(&self, bucket: &str, file: &Path, key: &str) {
        let bytes = std::fs::read(file).unwrap();
        storage::bucket(&self.installation.s3, bucket).put(&key.into(), bytes.into()).await.unwrap();
    }

    /// The folder in which the S3 server keeps what is in the test's bucket.
    pub fn bucket_folder(&self) -> PathBuf {
        self.installation.s3.root().join(&self.name)
    }

    /// For the reader of a failure.
    async fn describe(&self) {
        let system = ["get", "pods", "-o", "wide", "-n", SYSTEM_NAMESPACE];
        println!("---- operator\n{}", output(self.installation.kubectl(&system)).await);
        println!("{}", self.installation.operator_log(40).await);
        for what in ["sparkjobs,pods", "events"] {
            println!("---- {what}\n{}", output(self.kubectl(&["get", what, "-o", "wide"])).await);
        }
        let statuses =
            ["get", "sparkjobs", "-o", "jsonpath={range .items[*]}{.metadata.name}{\" \"}{.status}{\"\\n\"}{end}"];
        println!("---- status of the jobs\n{}", output(self.kubectl(&statuses)).await);
        for pod in self.pods().list(&ListParams::default()).await.map(|pods| pods.items).unwrap_or_default() {
            let name = pod.name_any();
            let status = serde_json::to_string(&pod.status.and_then(|s| s.container_statuses)).unwrap_or_default();
            println!("---- pod {name}\n{status}");
            println!("{}", output(self.kubectl(&["logs", &name, "--tail=80", "--all-containers"])).await);
        }
    }
}

const SECRET: &str = storage::SECRET_KEY;

fn phase(job: &SparkJob) -> Option<Phase> {
    job.status.as_ref()?.phase
}

async fn output(mut command: Command) -> String {
    match command.output().await {
        Ok(output) => said(&output),
        Err(error) => error.to_string(),
    }
}
