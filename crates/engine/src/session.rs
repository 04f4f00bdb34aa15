//! One application's engine: configuration, memory, disks and object stores, made the same way in a process of its own,
//! in a driver and in each executor.

use std::{path::PathBuf, sync::Arc};

use datafusion::{
    config::{ConfigOptions, SpillCompression},
    execution::{
        SessionState, SessionStateBuilder, TaskContext,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    physical_optimizer::PhysicalOptimizerRule,
    prelude::{SessionConfig, SessionContext},
};
use firesteel_plan::{SparkConf, SparkResult, conf::keys};
use parking_lot::RwLock;

use crate::{
    cache::{CacheManager, CacheStore},
    error::from_datafusion,
    memory::{BoundedMemory, ExecutorMemory, process_memory, runtime_with_pool},
    storage::Stores,
};

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
    /// Memory that this process may use in all. `None`: what its cgroup gives it, or the machine's. Operators and cached
    /// blocks have `spark.memory.fraction` of it.
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
    memory: ExecutorMemory,
    stores: Arc<Stores>,
    local_dirs: Vec<PathBuf>,
    cache: RwLock<Arc<CacheManager>>,
    cache_store: Arc<CacheStore>,
}

/// Rows of a batch. DataFusion's own default is half of it; measured faster at twice that (docs/development.md).
const BATCH_SIZE: usize = 16384;
/// Spilled runs that are merged at a time: each is an open file and two batches.
const SPILL_FAN_IN: usize = 64;
/// A task that is sure of less than so much has batches of half or a quarter of that: operators that spill hold several.
const MEMORY_FOR_WHOLE_BATCHES: usize = 64 << 20;

/// Columns of a batch of the usual rows, and the least rows of one of more columns. Operators make room for whole batches at once.
const COLUMNS_OF_A_BATCH: usize = 256;
const LEAST_ROWS: usize = 256;

/// Batches of fewer rows, for plans with very many columns.
pub fn fit_batches(state: &mut SessionState, columns: usize) {
    let rows = state.config().batch_size();
    if columns > COLUMNS_OF_A_BATCH {
        let fewer = (rows * COLUMNS_OF_A_BATCH / columns).max(LEAST_ROWS).min(rows);
        *state.config_mut() = state.config().clone().with_batch_size(fewer);
    }
}

impl EngineSession {
    pub fn new(options: EngineOptions) -> SparkResult<Self> {
        let stores = Arc::new(Stores::new(&options.conf));
        let local_dirs = if options.local_dirs.is_empty() { conf_dirs(&options.conf) } else { options.local_dirs };
        let limit = options.memory_bytes.unwrap_or_else(process_memory);
        let share = options.conf.double(&keys::MEMORY_FRACTION).clamp(0.0, 1.0);
        let budget = (limit as f64 * share) as usize;
        let slots = match options.mode {
            // A query is one task, and has all of its process's threads.
            ExecutionMode::InProcess => 1,
            ExecutionMode::Cluster => options.slots,
        };
        let memory = ExecutorMemory::new(budget, slots, options.conf.double(&keys::MEMORY_STORAGE_FRACTION));
        let disks = DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(local_dirs.clone()));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(memory.task("the session").pool())
            .with_disk_manager_builder(
                disks.with_max_temp_directory_size(u64::MAX).with_max_spill_merge_fan_in(SPILL_FAN_IN),
            )
            .with_object_store_registry(stores.clone())
            .build_arc()
            .map_err(|e| from_datafusion(&e))?;
        let cache_store = Arc::new(CacheStore::new(&local_dirs, memory.clone()));
        let evictor = Arc::downgrade(&cache_store);
        memory.set_evictor(evictor);
        let cache = Arc::new(CacheManager::default());
        if options.mode == ExecutionMode::InProcess {
            // On a cluster the driver's core does both.
            cache_store.report_to(cache.master());
            let endpoint = Arc::downgrade(&cache_store);
            cache.master().set_endpoint(endpoint);
        }
        Ok(Self(Arc::new(Inner {
            conf: RwLock::new(options.conf),
            mode: options.mode,
            slots: options.slots.max(1),
            runtime,
            memory,
            stores,
            local_dirs,
            cache: RwLock::new(cache),
            cache_store,
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

    /// The memory of this process, and what its tasks draw on.
    pub fn memory(&self) -> &ExecutorMemory {
        &self.0.memory
    }

    /// The runtime of a task, with memory of its own.
    pub fn task_runtime(&self, name: impl Into<String>) -> SparkResult<Arc<RuntimeEnv>> {
        let pool = self.0.memory.task(name).pool();
        runtime_with_pool(&self.0.runtime, pool).map_err(|e| from_datafusion(&e))
    }

    pub fn stores(&self) -> &Arc<Stores> {
        &self.0.stores
    }

    pub fn local_dirs(&self) -> &[PathBuf] {
        &self.0.local_dirs
    }

    /// The plans that this application has cached.
    pub fn cache(&self) -> Arc<CacheManager> {
        self.0.cache.read().clone()
    }

    /// From now on what `other` has cached is this session's too: sessions that share executors share what is kept there.
    pub fn share_cache_of(&self, other: &EngineSession) {
        if !Arc::ptr_eq(&self.0, &other.0) {
            *self.0.cache.write() = other.cache();
        }
    }

    /// The cached blocks of this process.
    pub fn cache_store(&self) -> &Arc<CacheStore> {
        &self.0.cache_store
    }

    /// Partitions of an exchange by key.
    pub fn shuffle_partitions(&self) -> usize {
        match self.0.mode {
            ExecutionMode::InProcess => self.0.slots,
            ExecutionMode::Cluster => {
                let conf = self.0.conf.read();
                let default = i64::try_from(self.0.slots * 2).unwrap_or(i64::MAX);
                let set = conf.get_raw(keys::SHUFFLE_PARTITIONS.name).map(|_| conf.int(&keys::SHUFFLE_PARTITIONS));
                let initial = conf.int_if_set(&keys::INITIAL_PARTITION_NUM);
                let set = initial.filter(|_| conf.bool(&keys::ADAPTIVE_ENABLED)).or(set);
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
            .with_analyzer_rules(crate::optimize::analyzer_rules())
            .with_optimizer_rules(crate::optimize::rules(self.0.mode))
            .with_physical_optimizer_rules(self.physical_rules())
            .with_query_planner(Arc::new(crate::exchange::Planner { mode: self.0.mode }))
            .build()
    }

    /// DataFusion's configuration under `conf`. Tasks run under the configuration of the query that they belong to.
    pub fn config_for(&self, conf: &SparkConf) -> SessionConfig {
        SessionConfig::from(self.datafusion_options(conf))
            .with_target_partitions(self.shuffle_partitions())
            .with_batch_size(self.batch_rows())
            // Operators of ours find the session through their task's context.
            .with_extension(Arc::new(self.clone()))
    }

    fn physical_rules(&self) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
        let mut rules = crate::optimize::physical_rules(self.sort_merge_above());
        // Tasks put these joins in when they begin: up to then others look for DataFusion's.
        if self.0.mode == ExecutionMode::InProcess {
            rules.push(Arc::new(BoundedMemory));
        }
        rules
    }

    /// Bytes of a build side's partition above which a join sorts both sides.
    fn sort_merge_above(&self) -> u64 {
        let conf = self.conf();
        match self.0.mode {
            ExecutionMode::InProcess => crate::join::threshold(&conf, self.0.memory.total() / self.0.slots),
            ExecutionMode::Cluster => crate::join::threshold_of_executors(&conf),
        }
    }

    fn batch_rows(&self) -> usize {
        let threads = match self.0.mode {
            ExecutionMode::InProcess => self.0.slots,
            ExecutionMode::Cluster => 1,
        };
        match self.0.memory.sure_share() / threads {
            share if share >= MEMORY_FOR_WHOLE_BATCHES => BATCH_SIZE,
            share if share >= MEMORY_FOR_WHOLE_BATCHES / 4 => BATCH_SIZE / 2,
            _ => BATCH_SIZE / 4,
        }
    }

    pub fn context(&self) -> SessionContext {
        SessionContext::new_with_state(self.state())
    }

    /// What a plan that is run in this process needs, with memory of its own; operators of the engine find the session
    /// in it.
    pub fn task_context(&self) -> SparkResult<Arc<TaskContext>> {
        self.task_context_of(0)
    }

    /// The same for a plan of so many columns where it is widest.
    pub fn task_context_of(&self, columns: usize) -> SparkResult<Arc<TaskContext>> {
        let mut state = self.state();
        fit_batches(&mut state, columns);
        Ok(Arc::new(TaskContext::from(&state).with_runtime(self.task_runtime("the query")?)))
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
        // Spark writes its TIMESTAMP so.
        options.execution.parquet.coerce_int96_tz = Some("UTC".to_owned());
        options.execution.collect_statistics = true;
        if conf.bool(&keys::SHUFFLE_SPILL_COMPRESS) {
            options.execution.spill_compression = SpillCompression::Lz4Frame;
        }
        let merge = &mut options.execution.sort_spill_reservation_bytes;
        *merge = (*merge).min(self.0.memory.sure_share() / 16);
        // A sort in place asks for the memory of its copy when there may be none.
        let in_place = &mut options.execution.sort_in_place_threshold_bytes;
        *in_place = (*in_place).min(self.0.memory.sure_share() / 64);
        options
    }
}

fn conf_dirs(conf: &SparkConf) -> Vec<PathBuf> {
    let dirs: Vec<PathBuf> =
        conf.text(&keys::LOCAL_DIR).split(',').map(str::trim).filter(|d| !d.is_empty()).map(PathBuf::from).collect();
    if dirs.is_empty() { vec![std::env::temp_dir()] } else { dirs }
}
