//! The backend without Kubernetes: the real driver and executors as processes on loopback, each pod with an address of its
//! own, and a stand-in for the API server that knows pods and nothing else.
//!
//! What it cannot do as a machine would: a node that is lost or cut off is frozen (SIGSTOP): it says nothing, its connections
//! stay open, and after a cut it goes on where it was. A slow executor is frozen most of the time.

mod api;
mod machine;

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use firesteel_api::{SparkJob, names, pods::env};
use firesteel_e2e::s3::S3Server;
use kube::{
    Client, Config,
    core::{Request, params::GetParams},
};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::{api::Api, machine::Process};
use super::backend::{Backend, End, ExecutorView, StageView, parse_log};
use crate::harness::{ACCESS_KEY, SECRET_KEY, bin_dir, merge, serve_s3};

const NAMESPACE: &str = "local";
const TOKEN: &str = "a-token-of-the-tests";
const UID: &str = "00000000-0000-4000-8000-000000000001";
const DRIVER_STARTS_AT_MOST: usize = 3;

/// One job on processes of this machine.
pub struct Processes {
    scratch: TempDir,
    s3: S3Server,
    bucket: String,
    api: Arc<Api>,
    /// 127.x.y.0/24 is this test's.
    net: [u8; 2],
    driver: Mutex<Driver>,
    /// Executors whose time is taken away.
    slowed: Mutex<BTreeMap<String, tokio::task::JoinHandle<()>>>,
}

#[derive(Default)]
struct Driver {
    job: Option<Value>,
    attempts: Vec<Process>,
}

impl Processes {
    pub async fn start() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let scratch = TempDir::new().unwrap();
        // Runs beside this one on the machine have another second byte, most likely.
        let net = [(std::process::id() % 200) as u8 + 20, NEXT.fetch_add(1, Ordering::Relaxed)];
        let s3 = serve_s3(Ipv4Addr::LOCALHOST.into(), &scratch.path().join("s3")).await;
        let bucket = "work".to_owned();
        s3.create_bucket(&bucket).unwrap();
        let program = bin_dir().join("firesteel");
        assert!(program.is_file(), "{} is missing: cargo build --workspace --bin firesteel", program.display());
        let mut secret = BTreeMap::new();
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_ENDPOINT_URL", &s3.endpoint()),
        ] {
            secret.insert(name.to_owned(), value.to_owned());
        }
        let api = Api::start(api::Settings { program, scratch: scratch.path().to_owned(), net, secret }).await;
        Self { scratch, s3, bucket, api, net, driver: Mutex::default(), slowed: Mutex::default() }
    }

    fn start_driver(&self) {
        let mut driver = self.driver.lock();
        let attempt = driver.attempts.len() + 1;
        let job: SparkJob = serde_json::from_value(driver.job.clone().unwrap()).unwrap();
        let file = self.scratch.path().join("job.yaml");
        std::fs::write(&file, serde_json::to_string(&driver.job).unwrap()).unwrap();
        let kubeconfig = self.scratch.path().join("kubeconfig");
        std::fs::write(&kubeconfig, self.api.kubeconfig()).unwrap();
        let name = names::driver_pod(job.metadata.name.as_deref().unwrap(), attempt as u32);
        let pod = json!({ "metadata": { "name": name, "namespace": NAMESPACE, "uid": format!("driver-{attempt}"), "labels": {} } });
        let ip = self.address_of_driver().to_string();
        let local = self.scratch.path().join(&name);
        std::fs::create_dir_all(&local).unwrap();
        let mut vars = self.api.secret().clone();
        for (key, value) in [
            ("KUBECONFIG", kubeconfig.to_str().unwrap()),
            (env::POD_NAME, &name),
            (env::POD_NAMESPACE, NAMESPACE),
            (env::POD_UID, pod["metadata"]["uid"].as_str().unwrap()),
            (env::POD_IP, &ip),
            (env::BIND_ADDRESS, &ip),
            (env::NODE_NAME, "node1"),
            (env::ATTEMPT, &attempt.to_string()),
            // It goes on with the work of the first.
            ("FIRESTEEL_FIRST_ATTEMPT", "1"),
            (env::AUTH_TOKEN, TOKEN),
            (env::MEMORY_BYTES, "536870912"),
            (env::LOCAL_DIRS, local.to_str().unwrap()),
            (env::TERMINATION_PATH, self.scratch.path().join(format!("{name}.end")).to_str().unwrap()),
        ] {
            vars.insert(key.to_owned(), value.to_owned());
        }
        let log = self.scratch.path().join(format!("{name}.log"));
        let arguments = ["driver".into(), "--job".into(), file.into_os_string()];
        driver.attempts.push(Process::start(&self.api.settings().program, &arguments, &vars, &log));
    }

    fn address_of_driver(&self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.net[0], self.net[1], 1)
    }

    async fn ask<T: DeserializeOwned>(&self, what: &str) -> Vec<T> {
        let address = format!("http://{}:{}", self.address_of_driver(), firesteel_api::pods::DRIVER_HTTP_PORT);
        let client = Client::try_from(Config::new(address.parse().unwrap())).unwrap();
        let request = Request::new("").get(what, &GetParams::default()).unwrap();
        match tokio::time::timeout(Duration::from_secs(2), client.request(request)).await {
            Ok(Ok(found)) => found,
            _ => Vec::new(),
        }
    }

    async fn pods_of_node(&self, node: &str) -> Vec<String> {
        self.api.pods().into_iter().filter(|pod| pod.node == node).map(|pod| pod.name).collect()
    }
}

#[async_trait]
impl Backend for Processes {
    fn s3(&self) -> &S3Server {
        &self.s3
    }

    fn bucket(&self) -> &str {
        &self.bucket
    }

    async fn submit(&self, mut job: Value) {
        // What the API server and the operator add.
        merge(
            &mut job,
            json!({
                "metadata": { "namespace": NAMESPACE, "uid": UID },
                "spec": { "image": "none", "sparkConf": { "spark.hadoop.fs.s3a.endpoint": self.s3.endpoint() } },
            }),
        );
        self.api.set_job(job.clone());
        self.driver.lock().job = Some(job);
        self.start_driver();
    }

    async fn stages(&self) -> Vec<StageView> {
        self.ask("stages").await
    }

    async fn executors(&self) -> Vec<ExecutorView> {
        self.ask("executors").await
    }

    async fn status(&self) -> Value {
        self.api.status()
    }

    async fn log(&self) -> Vec<Value> {
        self.driver.lock().attempts.iter().flat_map(|driver| parse_log(&driver.log())).collect()
    }

    async fn ended(&self) -> Option<End> {
        let (code, attempts) = {
            let driver = self.driver.lock();
            (driver.attempts.last()?.exit_code()?, driver.attempts.len())
        };
        // As the operator does when a driver is taken away.
        if code.is_none() && attempts < DRIVER_STARTS_AT_MOST {
            self.start_driver();
            return None;
        }
        Some(End { succeeded: code == Some(0), log: self.log().await, attempts })
    }

    async fn kill_executor(&self, id: &str) {
        self.api.signal_executor(id, "KILL");
    }

    async fn kill_driver(&self) {
        self.driver.lock().attempts.last().unwrap().signal("KILL");
    }

    async fn lose_node(&self, node: &str) {
        self.api.set_schedulable(node, false);
        for pod in self.pods_of_node(node).await {
            self.api.signal(&pod, "STOP");
        }
    }

    async fn restore_node(&self, node: &str) {
        for pod in self.pods_of_node(node).await {
            self.api.signal(&pod, "KILL");
        }
        self.api.set_schedulable(node, true);
    }

    /// Longer than the time-outs of the scenarios.
    fn cut_lasts(&self) -> Duration {
        Duration::from_secs(12)
    }

    async fn cut_network(&self, node: &str) {
        self.lose_node(node).await;
    }

    async fn heal_network(&self, node: &str) {
        for pod in self.pods_of_node(node).await {
            self.api.signal(&pod, "CONT");
        }
        self.api.set_schedulable(node, true);
    }

    async fn slow_down(&self, executor: &str) {
        let (api, id) = (self.api.clone(), executor.to_owned());
        let slowing = tokio::spawn(async move {
            // Time enough to say that it lives, too little for the smallest task.
            loop {
                api.signal_executor(&id, "STOP");
                tokio::time::sleep(Duration::from_millis(997)).await;
                api.signal_executor(&id, "CONT");
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        });
        self.slowed.lock().insert(executor.to_owned(), slowing);
    }

    async fn speed_up(&self, executor: &str) {
        if let Some(slowing) = self.slowed.lock().remove(executor) {
            slowing.abort();
        }
        self.api.signal_executor(executor, "CONT");
    }

    async fn fill_disk(&self, executor: &str) {
        self.api.fill_disk(executor);
    }

    async fn drain(&self, node: &str) {
        self.api.set_schedulable(node, false);
        for pod in self.pods_of_node(node).await {
            self.api.delete(&pod, None);
        }
    }

    async fn uncordon(&self, node: &str) {
        self.api.set_schedulable(node, true);
    }

    async fn break_images(&self) {
        self.api.break_images();
    }

    async fn exhaust_quota(&self) {
        self.api.exhaust_quota(true);
    }

    async fn lift_quota(&self) {
        self.api.exhaust_quota(false);
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.slowed.lock().values().for_each(tokio::task::JoinHandle::abort);
        if std::thread::panicking() {
            for pod in self.api.pods() {
                println!("---- {} on {}\n{}", pod.name, pod.node, tail(&pod.log, 40));
            }
            for (index, driver) in self.driver.lock().attempts.iter().enumerate() {
                println!("---- driver {}\n{}", index + 1, tail(&driver.log(), 120));
            }
        }
    }
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}
