//! Executors as processes of this machine: the master `local-cluster[executors,cores,MiB]`.
//!
//! The same driver, executors and messages as on Kubernetes, with the operating system in the place of pods. An executor
//! whose process ends is replaced under a new name, as long as `spark.executor.maxNumFailures` lets jobs go on.

use std::{
    net::Ipv4Addr,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use firesteel_api::pods::env as names;
use firesteel_engine::EngineSession;
use firesteel_plan::{SparkError, SparkResult};
use firesteel_protocol::ExecutorId;
use firesteel_scheduler::ExecutorLossReason;
use tokio::process::{Child, Command};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    cluster::{Cluster, ClusterOptions, ClusterRunner, Core},
    progress::ProgressSender,
};

/// Before a process that ended is replaced, so that one that cannot start does not keep the machine busy.
const REPLACE_AFTER: Duration = Duration::from_millis(500);
/// How long executors may take to end once they are told.
const END_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub struct ProcessOptions {
    /// A program that runs an executor when called with the argument `executor`.
    pub program: PathBuf,
    pub executors: u32,
    /// Task slots of each.
    pub cores: u32,
    /// What each may use in all.
    pub memory_mib: u32,
    /// Filter of the executors' logs, which go to standard error.
    pub log: String,
}

/// A driver's service and its executor processes. Ends them when dropped.
pub struct ExecutorProcesses {
    cluster: Cluster,
    shared: Arc<Shared>,
    supervisors: TaskTracker,
    /// Deleted last: executors delete what they can, a killed one cannot.
    _scratch: Scratch,
}

/// The executors' folders for shuffle files and spills, in the session's own.
struct Scratch(Vec<PathBuf>);

impl Scratch {
    fn new(engine: &EngineSession) -> SparkResult<Self> {
        let name = format!("firesteel-local-cluster-{}", uuid::Uuid::new_v4().simple());
        let mut made = Self(Vec::new());
        for dir in engine.local_dirs() {
            let dir = dir.join(&name);
            std::fs::create_dir_all(&dir)
                .map_err(|e| SparkError::internal(format!("cannot make {}: {e}", dir.display())))?;
            made.0.push(dir);
        }
        Ok(made)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for dir in &self.0 {
            if let Err(error) = std::fs::remove_dir_all(dir) {
                tracing::warn!(dir = %dir.display(), %error, "files of executors are left behind");
            }
        }
    }
}

struct Shared {
    options: ProcessOptions,
    core: Arc<Core>,
    address: String,
    local_dirs: String,
    token: String,
    next: AtomicU32,
    stop: CancellationToken,
}

impl ExecutorProcesses {
    /// Starts them; they register in their own time. Call within a runtime.
    pub async fn start(engine: EngineSession, progress: ProgressSender, options: ProcessOptions) -> SparkResult<Self> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let scratch = Scratch::new(&engine)?;
        let local_dirs: Vec<_> = scratch.0.iter().map(|dir| dir.to_string_lossy()).collect();
        let listen = (Ipv4Addr::LOCALHOST, 0).into();
        let service = ClusterOptions {
            listen,
            token: token.clone(),
            executors: options.executors,
            dynamic_allocation: false,
            life: None,
        };
        let cluster = Cluster::start(engine, progress, service).await?;
        let shared = Arc::new(Shared {
            core: cluster.core().clone(),
            address: cluster.address().to_string(),
            local_dirs: local_dirs.join(","),
            token,
            next: AtomicU32::new(1),
            stop: CancellationToken::new(),
            options,
        });
        let supervisors = TaskTracker::new();
        for _ in 0..shared.options.executors {
            // The first of each is started here, so that a program that is not there is told at once.
            let first = shared.spawn()?;
            supervisors.spawn(shared.clone().supervise(first));
        }
        supervisors.close();
        Ok(Self { cluster, shared, supervisors, _scratch: scratch })
    }

    pub fn runner(&self) -> ClusterRunner {
        self.cluster.runner()
    }

    pub fn core(&self) -> &Arc<Core> {
        self.cluster.core()
    }

    /// Tells executors to end, and waits for them for a while.
    pub async fn shutdown(&self, reason: &str) {
        self.shared.stop.cancel();
        self.cluster.shutdown(reason).await;
        // Those that did not listen are killed when their handles are dropped.
        let _ = tokio::time::timeout(END_WITHIN, self.supervisors.wait()).await;
    }
}

impl Drop for ExecutorProcesses {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

struct Process {
    id: ExecutorId,
    child: Child,
}

impl Shared {
    fn spawn(&self) -> SparkResult<Process> {
        let id = ExecutorId::new(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let options = &self.options;
        let memory = u64::from(options.memory_mib) << 20;
        let child = Command::new(&options.program)
            .args(["--log", &options.log, "executor"])
            .env(names::DRIVER_ADDRESS, &self.address)
            .env(names::EXECUTOR_ID, id.as_str())
            .env(names::AUTH_TOKEN, &self.token)
            .env(names::CORES, options.cores.to_string())
            .env(names::MEMORY_BYTES, memory.to_string())
            .env(names::POD_IP, Ipv4Addr::LOCALHOST.to_string())
            .env(names::NODE_NAME, "localhost")
            .env(names::LOCAL_DIRS, &self.local_dirs)
            .env("FIRESTEEL_EXECUTOR_PORT", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // A Ctrl-C at the terminal ends all of them: they stay in the driver's process group.
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| SparkError::internal(format!("cannot start {}: {e}", options.program.display())))?;
        Ok(Process { id, child })
    }

    async fn supervise(self: Arc<Self>, first: Process) {
        let mut process = first;
        loop {
            let status = process.child.wait().await;
            if self.stop.is_cancelled() {
                return;
            }
            let exit_code = status.ok().and_then(|status| status.code());
            let reason = ExecutorLossReason::Crashed { exit_code };
            tracing::warn!(executor = %process.id, %reason, "an executor's process ended; another takes its place");
            self.core.executor_lost(&process.id, reason);
            let next = loop {
                tokio::select! {
                    () = tokio::time::sleep(REPLACE_AFTER) => {}
                    () = self.stop.cancelled() => return,
                }
                match self.spawn() {
                    Ok(next) => break next,
                    // The scheduler bounds how long jobs wait for executors.
                    Err(error) => tracing::warn!(%error, "no executor"),
                }
            };
            process = next;
        }
    }
}
