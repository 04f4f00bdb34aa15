//! The cluster and what is installed on it, once for all tests of a run.

use std::{net::IpAddr, path::PathBuf, process::Stdio};

use firesteel_e2e::s3::S3Server;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::{process::Command, sync::OnceCell};

use super::{bin_dir, root, storage, succeed};

/// Of the Helm release. With a name and namespace of its own it does not meet a release a person made.
const RELEASE: &str = "firesteel-e2e";
pub const SYSTEM_NAMESPACE: &str = "firesteel-e2e-system";
/// Stands for a namespace of jobs in the objects the chart renders for one.
const PLACEHOLDER: &str = "namespace-of-jobs";

static SHARED: OnceCell<Result<Installation, String>> = OnceCell::const_new();

/// A cluster on which the operator runs.
pub struct Installation {
    pub client: Client,
    pub s3: S3Server,
    kubeconfig: PathBuf,
    /// Folders of kubectl and helm, then the caller's own.
    path: String,
    /// The chart's objects for a namespace of jobs: drivers' service account and rights.
    jobs: String,
}

impl Installation {
    /// Made by the first test that asks. What cannot be made is tried once and fails every test with the same words.
    pub async fn shared() -> &'static Self {
        let made = SHARED
            .get_or_init(|| async {
                let task = tokio::spawn(Self::make());
                task.await.map_err(|panic| format!("the installation failed, see above: {panic}"))
            })
            .await;
        made.as_ref().unwrap_or_else(|why| panic!("{why}"))
    }

    async fn make() -> Self {
        let cluster = Cluster::find().await;
        let listen = cluster.host.unwrap_or_else(|| {
            panic!("FIRESTEEL_E2E_HOST must tell at which address of this machine pods of the cluster can reach it")
        });
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(Kubeconfig::read_from(&cluster.kubeconfig).unwrap(), &options);
        let mut made = Self {
            client: Client::try_from(config.await.unwrap()).unwrap(),
            s3: storage::start(listen).await,
            kubeconfig: cluster.kubeconfig,
            path: cluster.path,
            jobs: String::new(),
        };
        made.install().await;
        made
    }

    /// Installs or upgrades the release. The operator is always started anew: its image may be newer under the same tag.
    async fn install(&mut self) {
        let mut upgrade = self.helm(&["upgrade", "--install", RELEASE]);
        upgrade.arg(root().join("charts/firesteel")).args(["--create-namespace", "--wait", "--timeout", "120s"]);
        upgrade.args(["--set-string", &format!("podAnnotations.run=r{}", std::process::id())]);
        upgrade.args(["--set", "crds.keep=false"]);
        let output = upgrade.output().await.unwrap();
        if !output.status.success() {
            let pods = self.kubectl(&["describe", "pods", "-n", SYSTEM_NAMESPACE]).output().await;
            let logs = self.operator_log(50).await;
            let pods = pods.map(|o| super::said(&o)).unwrap_or_default();
            panic!("{}\n{pods}\n{logs}", super::said(&output));
        }
        let mut template = self.helm(&["template", RELEASE]);
        template.arg(root().join("charts/firesteel")).args(["--show-only", "templates/rbac-jobs.yaml"]);
        template.args(["--set", &format!("jobs.namespaces={{{PLACEHOLDER}}}")]);
        self.jobs = succeed(&mut template).await;
    }

    fn helm(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("helm");
        command.args(arguments).args(["--namespace", SYSTEM_NAMESPACE]);
        command.args(["--set", &format!("image.repository={}", image("operator").0)]);
        command.args(["--set", &format!("image.tag={}", image("operator").1)]);
        command.args(["--set", &format!("runtime.repository={}", image("runtime").0)]);
        command.args(["--set", &format!("runtime.tag={}", image("runtime").1)]);
        command
    }

    pub fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("kubectl");
        command.args(arguments);
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("env");
        // Found by `env` on the new PATH, not on this process's.
        command.arg(format!("PATH={}", self.path)).arg(program);
        command.env("KUBECONFIG", &self.kubeconfig).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// What the chart gives a namespace of jobs, as YAML.
    pub fn objects_for_jobs(&self, namespace: &str) -> String {
        self.jobs.replace(PLACEHOLDER, namespace)
    }

    pub async fn operator_log(&self, lines: u32) -> String {
        let tail = format!("--tail={lines}");
        let deployment = format!("deployment/{RELEASE}");
        let mut logs = self.kubectl(&["logs", "-n", SYSTEM_NAMESPACE, &deployment, &tail]);
        logs.output().await.map(|o| super::said(&o)).unwrap_or_default()
    }
}

/// Repository and tag, as `images/build` names them.
fn image(name: &str) -> (String, String) {
    let prefix = std::env::var("FIRESTEEL_E2E_IMAGES").unwrap_or_else(|_| "firesteel.local".into());
    (format!("{prefix}/{name}"), "dev".into())
}

/// The cluster that `KUBECONFIG` names, or else the one `e2e/cluster` makes, with the images of the built programs on it.
struct Cluster {
    kubeconfig: PathBuf,
    path: String,
    host: Option<IpAddr>,
}

impl Cluster {
    async fn find() -> Self {
        let script = root().join("e2e/cluster/cluster");
        let run = async |arguments: &[&str]| succeed(Command::new(&script).args(arguments).stdin(Stdio::null())).await;
        let given = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty()).map(PathBuf::from);
        if given.is_none() {
            run(&["up"]).await;
            for program in ["firesteel", "firesteel-operator"] {
                let file = bin_dir().join(program);
                assert!(file.is_file(), "{} is missing: cargo build --workspace --bin {program}", file.display());
            }
            let mut build = Command::new(root().join("images/build"));
            let archives = succeed(build.arg("--bin-dir").arg(bin_dir()).stdin(Stdio::null())).await;
            let load: Vec<&str> = ["load-image"].into_iter().chain(archives.lines()).collect();
            run(&load).await;
        }
        let own = PathBuf::from(run(&["kubeconfig"]).await);
        let kubeconfig = given.unwrap_or_else(|| own.clone());
        let path = format!("{}:{}", run(&["bin"]).await, std::env::var("PATH").unwrap_or_default());
        let host = match std::env::var("FIRESTEEL_E2E_HOST") {
            Ok(address) => Some(address.parse().unwrap_or_else(|e| panic!("FIRESTEEL_E2E_HOST={address}: {e}"))),
            Err(_) if kubeconfig == own => Some(run(&["host-address"]).await.parse().unwrap()),
            Err(_) => None,
        };
        Self { kubeconfig, path, host }
    }
}
