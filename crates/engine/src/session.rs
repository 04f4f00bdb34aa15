//! One application's engine: configuration, memory, disks and object stores, made the same way in a process of its own,
//! in a driver and in each executor.

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc};

use datafusion::{
    config::ConfigOptions,
    execution::{
        SessionState, SessionStateBuilder, TaskContext,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::{FairSpillPool, TrackConsumersPool},
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    prelude::{SessionConfig, SessionContext},
};
use firesteel_plan::{SparkConf, SparkResult, conf::keys};
use parking_lot::RwLock;

use crate::{error::from_datafusion, storage::Stores};

/// How plans of a session run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionMode {
    /// In this process, uncut.
    InProcess,
    /// Cut at their exchanges into stages that executors run.
    Cluster,
}

#[derive(Debug, Clone)]
pub struct EngineOptions {
    pub conf: SparkConf,
    pub mode: ExecutionMode,
    /// Task slots that the application has in all: what scans and exchanges are divided for.
    pub slots: usize,
    /// Memory for the operators of this process. `None`: what `memory_budget` finds.
    pub memory_bytes: Option<u64>,
    /// Folders for shuffle files and spills. Empty: `spark.local.dir`, else the system's temporary folder.
    pub local_dirs: Vec<PathBuf>,
}

/// Cheap to clone; clones share everything, the configuration included.
#[derive(Clone)]
pub struct EngineSession(Arc<Inner>);

struct Inner {
    conf: RwLock<SparkConf>,
    mode: ExecutionMode,
    slots: usize,
    runtime: Arc<RuntimeEnv>,
    stores: Arc<Stores>,
    local_dirs: Vec<PathBuf>,
}

/// Rows of a batch. DataFusion's own default is half of it; measured faster at twice that (docs/development.md).
const BATCH_SIZE: usize = 16384;

/// How many memory consumers an out-of-memory message names.
const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4);

impl EngineSession {
    pub fn new(options: EngineOptions) -> SparkResult<Self> {
        let stores = Arc::new(Stores::new(&options.conf));
        let local_dirs = if options.local_dirs.is_empty() { conf_dirs(&options.conf) } else { options.local_dirs };
        let memory = options.memory_bytes.unwrap_or_else(memory_budget);
        let pool = FairSpillPool::new(usize::try_from(memory).unwrap_or(usize::MAX));
        let disks = DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(local_dirs.clone()));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, NAMED_CONSUMERS)))
            .with_disk_manager_builder(disks.with_max_temp_directory_size(u64::MAX))
            .with_object_store_registry(stores.clone())
            .build_arc()
            .map_err(|e| from_datafusion(&e))?;
        Ok(Self(Arc::new(Inner {
            conf: RwLock::new(options.conf),
            mode: options.mode,
            slots: options.slots.max(1),
            runtime,
            stores,
            local_dirs,
        })))
    }

    pub fn conf(&self) -> SparkConf {
        self.0.conf.read().clone()
    }

    pub fn set_conf(&self, key: &str, value: &str) -> SparkResult<()> {
        self.0.conf.write().set(key, value)?;
        self.0.stores.configure(&self.0.conf.read());
        Ok(())
    }

    pub fn unset_conf(&self, key: &str) {
        self.0.conf.write().unset(key);
        self.0.stores.configure(&self.0.conf.read());
    }

    pub fn mode(&self) -> ExecutionMode {
        self.0.mode
    }

    pub fn slots(&self) -> usize {
        self.0.slots
    }

    pub fn runtime(&self) -> &Arc<RuntimeEnv> {
        &self.0.runtime
    }

    pub fn stores(&self) -> &Arc<Stores> {
        &self.0.stores
    }

    pub fn local_dirs(&self) -> &[PathBuf] {
        &self.0.local_dirs
    }

    /// Partitions of an exchange by key.
    pub fn shuffle_partitions(&self) -> usize {
        match self.0.mode {
            ExecutionMode::InProcess => self.0.slots,
            ExecutionMode::Cluster => {
                let conf = self.0.conf.read();
                let default = i64::try_from(self.0.slots * 2).unwrap_or(i64::MAX);
                let set = conf.get_raw(keys::SHUFFLE_PARTITIONS.name).map(|_| conf.int(&keys::SHUFFLE_PARTITIONS));
                usize::try_from(set.unwrap_or(default)).unwrap_or(1).max(1)
            }
        }
    }

    /// Partitions of rows that are made and not read, unless the query says: one a slot.
    pub fn leaf_partitions(&self) -> usize {
        let conf = self.0.conf.read();
        let set = ["spark.sql.leafNodeDefaultParallelism", keys::DEFAULT_PARALLELISM.name].iter().find_map(|key| {
            let value: usize = conf.get_raw(key)?.trim().parse().ok()?;
            (value > 0).then_some(value)
        });
        set.unwrap_or(self.0.slots)
    }

    /// DataFusion's planner state under the session's present configuration.
    pub fn state(&self) -> SessionState {
        SessionStateBuilder::new()
            .with_config(self.config_for(&self.conf()))
            .with_runtime_env(self.0.runtime.clone())
            .with_default_features()
            .with_optimizer_rules(crate::optimize::rules())
            .with_physical_optimizer_rules(crate::optimize::physical_rules())
            .with_query_planner(Arc::new(crate::exchange::Planner))
            .build()
    }

    /// DataFusion's configuration under `conf`. Tasks run under the configuration of the query that they belong to.
    pub fn config_for(&self, conf: &SparkConf) -> SessionConfig {
        SessionConfig::from(self.datafusion_options(conf))
            .with_target_partitions(self.shuffle_partitions())
            .with_batch_size(BATCH_SIZE)
            // Operators of ours find the session through their task's context.
            .with_extension(Arc::new(self.clone()))
    }

    pub fn context(&self) -> SessionContext {
        SessionContext::new_with_state(self.state())
    }

    /// What a plan that is run in this process needs; operators of the engine find the session in it.
    pub fn task_context(&self) -> Arc<TaskContext> {
        Arc::new(TaskContext::from(&self.state()))
    }

    fn datafusion_options(&self, conf: &SparkConf) -> ConfigOptions {
        let mut options = ConfigOptions::new();
        let cluster = self.0.mode == ExecutionMode::Cluster;
        // Our file tables make their own splits, by Spark's rule.
        options.optimizer.repartition_file_scans = false;
        options.optimizer.enable_round_robin_repartition = !cluster;
        // A filter that a join fills at run time reaches its scan only within one process.
        options.optimizer.enable_dynamic_filter_pushdown = !cluster;
        options.optimizer.enable_join_dynamic_filter_pushdown = !cluster;
        options.optimizer.enable_aggregate_dynamic_filter_pushdown = !cluster;
        let threshold = usize::try_from(conf.bytes(&keys::AUTO_BROADCAST_THRESHOLD)).unwrap_or(0);
        options.optimizer.hash_join_single_partition_threshold = threshold;
        options.optimizer.hash_join_single_partition_threshold_rows = threshold / 16;
        options.execution.parquet.coerce_int96 = Some("us".to_owned());
        options.execution.collect_statistics = true;
        options
    }
}

fn conf_dirs(conf: &SparkConf) -> Vec<PathBuf> {
    let dirs: Vec<PathBuf> =
        conf.text(&keys::LOCAL_DIR).split(',').map(str::trim).filter(|d| !d.is_empty()).map(PathBuf::from).collect();
    if dirs.is_empty() { vec![std::env::temp_dir()] } else { dirs }
}

/// Bytes that operators may hold: 70 % of the memory that this process is given by its cgroup, or of the machine's.
/// The rest is for what no operator accounts: decoding buffers, plans, the network.
pub fn memory_budget() -> u64 {
    let limit = cgroup_memory_limit().into_iter().chain(machine_memory()).min().unwrap_or(1 << 30);
    limit / 10 * 7
}

/// The cgroup's memory limit (v2, then v1), if one is set.
pub fn cgroup_memory_limit() -> Option<u64> {
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok())
}

fn machine_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("MemTotal:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}
