//! Spark's getOrElseUpdate: a block of this process, else of a peer, else computed and kept.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::{DataFusionError, Result, exec_datafusion_err, internal_err, runtime::SpawnedTask},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{
        ExecutionPlan,
        metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, RecordOutput},
        stream::RecordBatchStreamAdapter,
    },
};
use firesteel_plan::SparkError;
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use parking_lot::Mutex;

use super::{
    BlockId, CacheAccess, CacheStore, InMemoryTableScanExec,
    batch::{DamagedBlock, StoredBlock},
    exec::{Lineage, Scanned},
    pruning,
    store::{Claim, Put, Ticket},
};
use crate::{
    EngineSession,
    cache::remote,
    error::{find, to_datafusion},
};

/// Metrics of a scan: blocks by where they came from, and batches that a filter left out.
pub const METRIC_HITS: &str = "cached_blocks_read";
pub const METRIC_REMOTE: &str = "cached_blocks_fetched";
pub const METRIC_COMPUTED: &str = "cached_blocks_computed";
pub const METRIC_PRUNED: &str = "batches_pruned";

type Rows = BoxStream<'static, Result<RecordBatch>>;

pub fn execute(
    scan: &InMemoryTableScanExec,
    partition: usize,
    context: Arc<TaskContext>,
    metrics: &ExecutionPlanMetricsSet,
) -> Result<SendableRecordBatchStream> {
    let config = context.session_config();
    let Some(session) = config.get_extension::<EngineSession>() else {
        return internal_err!("a cached relation is read outside of a session");
    };
    let Ok(part) = u32::try_from(partition) else { return internal_err!("partition {partition}") };
    let count = |name: &'static str| MetricBuilder::new(metrics).counter(name, partition);
    let reader = Reader {
        scanned: scan.scanned.clone(),
        lineage: scan.lineage.clone(),
        ran: scan.ran.clone(),
        id: BlockId { relation: scan.scanned.relation, partition: part },
        schema: scan.schema(),
        store: session.cache_store().clone(),
        access: config.get_extension::<CacheAccess>(),
        context,
        hits: count(METRIC_HITS),
        remote: count(METRIC_REMOTE),
        computed: count(METRIC_COMPUTED),
        pruned: count(METRIC_PRUNED),
    };
    let baseline = BaselineMetrics::new(metrics, partition);
    let rows = stream::once(reader.open()).try_flatten().boxed();
    let rows = rows.map(move |batch| batch.record_output(&baseline));
    let stream = RecordBatchStreamAdapter::new(scan.schema(), rows);
    Ok(Box::pin(datafusion::physical_plan::coop::cooperative(stream)))
}

struct Reader {
    scanned: Arc<Scanned>,
    lineage: Lineage,
    ran: Arc<Mutex<Vec<Arc<dyn ExecutionPlan>>>>,
    id: BlockId,
    /// Of the columns that are read.
    schema: SchemaRef,
    store: Arc<CacheStore>,
    access: Option<Arc<CacheAccess>>,
    context: Arc<TaskContext>,
    hits: Count,
    remote: Count,
    computed: Count,
    pruned: Count,
}

impl Reader {
    async fn open(self) -> Result<Rows> {
        let released = matches!(&self.lineage, Lineage::Hidden(relation) if relation.is_released());
        if !self.scanned.level.keeps() || released {
            let (_, rows) = self.lineage_rows()?;
            return Ok(self.projected(rows.boxed()));
        }
        loop {
            match self.store.claim(self.id) {
                Claim::Hit(block) => {
                    self.hits.add(1);
                    return Ok(self.of_block(block));
                }
                Claim::Busy(mut done) => {
                    // Ends with an error when the other is done, whatever came of it.
                    let _ = done.changed().await;
                }
                Claim::Mine(ticket) => {
                    if let Some(rows) = self.of_peers().await {
                        self.remote.add(1);
                        return Ok(rows);
                    }
                    return self.compute(ticket).await;
                }
            }
        }
    }

    fn of_block(self, block: Arc<StoredBlock>) -> Rows {
        let keep = pruning::keep(&block, self.scanned.predicate.as_ref());
        self.pruned.add(keep.iter().filter(|keep| !**keep).count());
        let wanted: Vec<usize> = keep.iter().enumerate().filter(|(_, keep)| **keep).map(|(index, _)| index).collect();
        let batches = wanted.into_iter().map(move |index| {
            let batch = block.read(index, self.scanned.projection.as_deref(), &self.schema);
            batch.inspect_err(|error| {
                if find::<DamagedBlock>(error).is_some() {
                    tracing::warn!(block = %self.id, %error, "a cached block is damaged and is dropped");
                    self.store.remove(self.id);
                }
            })
        });
        stream::iter(batches).boxed()
    }

    /// The block of the first peer that has it.
    async fn of_peers(&self) -> Option<Rows> {
        let access = self.access.as_ref()?;
        for address in access.peers.get(&self.id)? {
            let columns = self.scanned.projection.clone();
            match remote::fetch(&access.client, address, self.id, columns, self.schema.clone()).await {
                Ok(rows) => return Some(rows),
                Err(error) => {
                    tracing::info!(block = %self.id, address, %error, "a peer does not have a cached block");
                }
            }
        }
        None
    }

    /// What keeps the lineage's run alive, and the partition's rows with all columns.
    fn lineage_rows(&self) -> Result<(Box<dyn std::any::Any + Send>, SendableRecordBatchStream)> {
        let partition = self.id.partition as usize;
        match &self.lineage {
            Lineage::Child(child) => Ok((Box::new(()), child.execute(partition, self.context.clone())?)),
            Lineage::Hidden(relation) => match relation.compute(partition, &self.store, &self.context)? {
                Some((run, rows)) => {
                    let mut ran = self.ran.lock();
                    if !ran.iter().any(|plan| Arc::ptr_eq(plan, run.plan())) {
                        ran.push(run.plan().clone());
                    }
                    Ok((Box::new(run), rows))
                }
                None => Err(checkpoint_lost(self.id)),
            },
            Lineage::Cut => Err(checkpoint_lost(self.id)),
        }
    }

    async fn compute(self, ticket: Ticket) -> Result<Rows> {
        let (run, rows) = self.lineage_rows()?;
        self.computed.add(1);
        let (store, scanned) = (self.store.clone(), self.scanned.clone());
        // A task of its own: others wait for the block, whether or not somebody reads on here.
        let task = SpawnedTask::spawn(async move {
            let put = store.put(&ticket, scanned.level, scanned.settings, scanned.schema.clone(), rows).await;
            (put, run)
        });
        let (put, run) = task.join().await.map_err(|e| exec_datafusion_err!("keeping a block failed: {e}"))?;
        match put? {
            Put::Kept(block) => Ok(self.of_block(block)),
            Put::TooLarge(left) => {
                let rest = stream::unfold(left, |mut left| async move {
                    let next = match left.first.pop_front() {
                        Some(batch) => Some(Ok(batch)),
                        None => left.rest.next().await,
                    };
                    next.map(|batch| (batch, left))
                });
                let rows = rest.map(move |batch| {
                    let _held = &run;
                    batch
                });
                Ok(self.projected(rows.boxed()))
            }
        }
    }

    /// Rows with all of the relation's columns as those that are read.
    fn projected(self, rows: Rows) -> Rows {
        let scanned = self.scanned;
        rows.map(move |batch| {
            let batch = super::store::renamed(batch?, &scanned.schema)?;
            match &scanned.projection {
                Some(columns) => Ok(batch.project(columns)?),
                None => Ok(batch),
            }
        })
        .boxed()
    }
}

/// A block of a local checkpoint is gone with its executor, and nothing says how to make it again.
fn checkpoint_lost(id: BlockId) -> DataFusionError {
    to_datafusion(
        SparkError::new(
            "CHECKPOINT_RDD_BLOCK_ID_NOT_FOUND",
            "56000",
            format!(
                "Checkpoint block {id} not found! Either the executor that originally checkpointed this partition is no \
                 longer alive, or the original RDD is unpersisted. If this problem persists, you may consider using \
                 `rdd.checkpoint()` instead, which is slower than local checkpointing but more fault-tolerant."
            ),
        )
        .param("rddBlockId", id.to_string()),
    )
}
