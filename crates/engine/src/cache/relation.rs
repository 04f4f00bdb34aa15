//! A relation whose partitions are kept.

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{Result, Statistics, stats::Precision},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{ExecutionPlan, execution_plan::reset_plan_states, statistics::StatisticsContext},
};
use firesteel_plan::{SparkConf, conf::keys};
use parking_lot::Mutex;

use super::{BlockId, BlockMaster, CacheStore, StorageLevel};
use crate::shuffle::BlockCompression;

/// A kept batch is no larger than this, more or less, as in Spark.
pub const MAX_BATCH_BYTES: usize = 4 << 20;

/// How rows are put into batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheSettings {
    pub batch_rows: usize,
    /// Of encoded batches: those on disk, on the network and in serialized levels.
    pub compression: BlockCompression,
}

impl CacheSettings {
    pub fn from_conf(conf: &SparkConf) -> Self {
        Self {
            batch_rows: usize::try_from(conf.int(&keys::CACHE_BATCH_SIZE)).unwrap_or(0).max(1),
            compression: if conf.bool(&keys::CACHE_COMPRESSED) {
                BlockCompression::Lz4
            } else {
                BlockCompression::None
            },
        }
    }
}

/// Its blocks go when nobody holds it any more.
pub struct CachedRelation {
    pub id: u64,
    /// For people.
    pub name: String,
    pub level: StorageLevel,
    pub settings: CacheSettings,
    /// Every column's name is different.
    pub schema: SchemaRef,
    pub partitions: usize,
    /// What its partitions are computed from. `None`: they were once, and cannot be again (localCheckpoint).
    lineage: Mutex<Option<Arc<dyn ExecutionPlan>>>,
    /// The lineage goes when every partition was computed.
    checkpoint: AtomicBool,
    master: Weak<BlockMaster>,
    /// The lineage as it runs in this process.
    run: Mutex<Weak<LineageRun>>,
}

impl fmt::Debug for CachedRelation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedRelation").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for CachedRelation {
    fn drop(&mut self) {
        self.release();
    }
}

impl CachedRelation {
    pub fn new(
        master: &Arc<BlockMaster>,
        name: String,
        level: StorageLevel,
        settings: CacheSettings,
        schema: SchemaRef,
        lineage: Arc<dyn ExecutionPlan>,
    ) -> Self {
        use datafusion::physical_plan::ExecutionPlanProperties;
        let partitions = lineage.output_partitioning().partition_count().max(1);
        let id = master.register(&name, level, partitions);
        Self {
            id,
            name,
            level,
            settings,
            schema,
            partitions,
            lineage: Mutex::new(Some(lineage)),
            checkpoint: AtomicBool::new(false),
            master: Arc::downgrade(master),
            run: Mutex::new(Weak::new()),
        }
    }

    /// From when every partition was computed, lost ones are not made again.
    pub fn cut_when_computed(&self) {
        self.checkpoint.store(true, Ordering::Relaxed);
    }

    pub fn lineage(&self) -> Option<Arc<dyn ExecutionPlan>> {
        let mut lineage = self.lineage.lock();
        if lineage.is_some() && self.checkpoint.load(Ordering::Relaxed) && self.is_complete() {
            *lineage = None;
        }
        lineage.clone()
    }

    /// Removes its blocks everywhere. Who still reads it computes.
    pub fn release(&self) {
        if let Some(master) = self.master.upgrade() {
            master.remove(self.id);
        }
    }

    /// Whether it was released.
    pub fn is_released(&self) -> bool {
        self.master.upgrade().is_none_or(|master| !master.knows(self.id))
    }

    /// Whether every partition is kept somewhere.
    pub fn is_complete(&self) -> bool {
        self.master.upgrade().is_some_and(|master| master.is_complete(self.id))
    }

    /// Rows and bytes, once every partition was computed.
    pub fn statistics(&self) -> Option<Statistics> {
        let summary = self.master.upgrade()?.summary(self.id)?;
        let mut statistics = Statistics::new_unknown(&self.schema);
        let rows = summary.rows?;
        statistics.num_rows = Precision::Exact(usize::try_from(rows).ok()?);
        statistics.total_byte_size = Precision::Inexact(usize::try_from(summary.bytes).ok()?);
        Some(statistics)
    }

    /// As [`Self::statistics`]; before that, what is known of the lineage.
    pub fn estimated(&self) -> Option<Statistics> {
        self.statistics().or_else(|| {
            let lineage = self.lineage()?;
            let statistics = StatisticsContext::new().compute(lineage.as_ref(), &Default::default()).ok()?;
            Some(statistics.as_ref().clone().to_inexact())
        })
    }

    /// Computes a partition in this process. Queries that run at the same time share one run of the lineage.
    pub(super) fn compute(
        &self,
        partition: usize,
        store: &CacheStore,
        context: &Arc<TaskContext>,
    ) -> Result<Option<(Arc<LineageRun>, SendableRecordBatchStream)>> {
        let Some(lineage) = self.lineage() else { return Ok(None) };
        let context = own_files(context);
        let mut current = self.run.lock();
        if let Some(run) = current.upgrade()
            && run.take(partition)
        {
            let rows = run.plan.execute(partition, context.clone())?;
            return Ok(Some((run, rows)));
        }
        let run = Arc::new(LineageRun { plan: reset_plan_states(lineage)?, taken: Mutex::default() });
        // What is kept is not wanted from this run: an exchange in it must not hold rows back for nobody.
        for other in (0..self.partitions).filter(|other| *other != partition) {
            let id = BlockId { relation: self.id, partition: u32::try_from(other).unwrap_or(u32::MAX) };
            if store.contains(id) && run.take(other) {
                drop(run.plan.execute(other, context.clone())?);
            }
        }
        run.take(partition);
        let rows = run.plan.execute(partition, context.clone())?;
        *current = Arc::downgrade(&run);
        Ok(Some((run, rows)))
    }
}

/// A context in which each partition of a scan reads its own files: streams that run side by side would take each other's,
/// and a partition must be the same whenever it is computed.
fn own_files(context: &Arc<TaskContext>) -> Arc<TaskContext> {
    let mut config = context.session_config().clone();
    config.options_mut().execution.enable_file_stream_work_stealing = false;
    Arc::new(TaskContext::new(
        context.task_id(),
        context.session_id(),
        config,
        context.scalar_functions().clone(),
        context.higher_order_functions().clone(),
        context.aggregate_functions().clone(),
        context.window_functions().clone(),
        context.runtime_env(),
    ))
}

/// The lineage once executed: each partition can be had from it once.
pub(super) struct LineageRun {
    plan: Arc<dyn ExecutionPlan>,
    taken: Mutex<HashSet<usize>>,
}

impl LineageRun {
    pub fn plan(&self) -> &Arc<dyn ExecutionPlan> {
        &self.plan
    }

    fn take(&self, partition: usize) -> bool {
        self.taken.lock().insert(partition)
    }
}
