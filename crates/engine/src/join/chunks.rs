//! The join of last resort, for a bucket that splitting makes no smaller: a key of more rows than fit in memory. The build
//! side is taken chunk by chunk, and the probe side read once, or twice, for each.
//!
//! A row of the build side meets all of the probe side with its chunk, so what becomes of it is known then. A row of the
//! probe side is without a partner when it found none in any chunk: those that found none so far are written anew for the
//! next chunk.

use std::sync::Arc;

use arrow::{
    array::{AsArray, RecordBatch, RecordBatchOptions},
    compute::{filter_record_batch, not},
    datatypes::SchemaRef,
};
use datafusion::{
    common::{DataFusionError, JoinType, Result, internal_err},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_plan::{EmptyRecordBatchStream, spill::get_record_batch_memory_size, stream::RecordBatchStreamAdapter},
};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use crate::memory::spill_file::Spilled;

use super::{
    build::memory_needed,
    grace::{Joining, batches},
    scatter::BufferedSpill,
};
use crate::memory::{PrepaidPool, context_with_pool};

/// Bytes of probe rows without a partner that are gathered before they are written.
const WRITE_BYTES: usize = 128 << 10;

/// Joins `left` with `right`, which need not fit.
pub(super) fn join_in_chunks(
    joining: Joining,
    left: SendableRecordBatchStream,
    right: Arc<Spilled>,
) -> SendableRecordBatchStream {
    let schema = joining.shape.schema();
    let chunks = Chunks { joining, left, next: None, lonely: right.clone(), all: right, written: None, done: false };
    let joined = stream::try_unfold(chunks, |mut chunks| async move {
        let joined = chunks.step().await?;
        Ok::<_, DataFusionError>(joined.map(|joined| (joined, chunks)))
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, joined.try_flatten().boxed()))
}

type Written = Arc<Mutex<Option<BufferedSpill>>>;

struct Chunks {
    joining: Joining,
    left: SendableRecordBatchStream,
    /// A batch that did not fit in the chunk before.
    next: Option<RecordBatch>,
    all: Arc<Spilled>,
    /// Probe rows that no chunk had a partner for.
    lonely: Arc<Spilled>,
    /// Those that the chunk under way has none for either, while they are written.
    written: Option<Written>,
    done: bool,
}

impl Chunks {
    /// What the next chunk gives. The stream must be read to its end before the next step.
    async fn step(&mut self) -> Result<Option<SendableRecordBatchStream>> {
        if let Some(written) = self.written.take().and_then(|written| written.lock().take()) {
            self.lonely = Arc::new(written.finish()?);
        }
        if self.done {
            return Ok(None);
        }
        let shape = self.joining.shape.clone();
        let (chunk, reservation) = self.chunk().await?;
        if chunk.is_empty() {
            self.done = true;
            if !shape.keeps_right() {
                return Ok(None);
            }
            let none = Box::pin(EmptyRecordBatchStream::new(shape.left_schema()));
            return shape.hash_join(none, self.lonely.read()?, self.joining.context.clone()).map(Some);
        }
        let pool = Arc::new(PrepaidPool::new(reservation));
        let context = context_with_pool(&self.joining.context, pool)?;
        let left = || batches(shape.left_schema(), chunk.clone());
        let matches = match shape.join_type() {
            JoinType::Right => Some(JoinType::Inner),
            JoinType::Full => Some(JoinType::Left),
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => None,
            build_side => Some(build_side),
        };
        let mut joined = Vec::new();
        if let Some(join_type) = matches {
            joined.push(self.matches(left(), join_type, context.clone())?);
        }
        if shape.keeps_right() || shape.join_type() == JoinType::RightSemi {
            joined.push(self.partners(left(), context)?);
        }
        let schema = shape.schema();
        let joined = stream::iter(joined).flatten();
        Ok(Some(Box::pin(RecordBatchStreamAdapter::new(schema, joined))))
    }

    /// As much of the build side as fits, and a batch at least.
    async fn chunk(&mut self) -> Result<(Vec<RecordBatch>, MemoryReservation)> {
        let pool = self.joining.context.memory_pool();
        let reservation = MemoryConsumer::new("HybridHashJoin[chunk]").with_can_spill(true).register(pool);
        let (mut chunk, mut bytes, mut rows) = (Vec::new(), 0, 0);
        loop {
            let batch = match self.next.take() {
                Some(batch) => batch,
                None => match self.left.try_next().await? {
                    Some(batch) => batch,
                    None => return Ok((chunk, reservation)),
                },
            };
            bytes += get_record_batch_memory_size(&batch);
            rows += batch.num_rows();
            let needed = memory_needed(bytes, rows);
            if reservation.try_resize(needed).is_err() {
                if !chunk.is_empty() {
                    self.next = Some(batch);
                    return Ok((chunk, reservation));
                }
                reservation.resize(needed);
            }
            chunk.push(batch);
        }
    }

    /// Rows that a chunk makes with all of the probe side.
    fn matches(
        &self,
        left: SendableRecordBatchStream,
        join_type: JoinType,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let shape = &self.joining.shape;
        let joined = shape.hash_join_as(left, self.all.read()?, context, |join| join.with_type(join_type))?;
        let schema = shape.schema();
        let output = schema.clone();
        // The types of the columns are the join's; what may be null differs.
        let joined = joined.map(move |batch| rewrap(batch?, &output));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, joined)))
    }

    /// Sorts the probe rows that had no partner so far into those that have one in this chunk, which come out where the
    /// join asks for them, and those that have none.
    fn partners(
        &mut self,
        left: SendableRecordBatchStream,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let shape = self.joining.shape.clone();
        let right_schema = shape.right_schema();
        let plain = self.joining.context.clone();
        let metrics = self.joining.metrics.clone();
        let written = BufferedSpill::create(&plain, right_schema.clone(), metrics, WRITE_BYTES)?;
        let written: Written = Arc::new(Mutex::new(Some(written)));
        self.written = Some(written.clone());
        let marked = shape.hash_join_as(left, self.lonely.read()?, context, |join| {
            join.with_type(JoinType::RightMark).with_projection(None).with_fetch(None)
        })?;
        let schema = shape.schema();
        let output = schema.clone();
        let found = marked.map(move |batch| {
            let batch = batch?;
            let Some((mark, columns)) = batch.columns().split_last() else {
                return internal_err!("a join without a mark");
            };
            let mark = mark.as_boolean();
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let right = RecordBatch::try_new_with_options(right_schema.clone(), columns.to_vec(), &options)?;
            if let Some(written) = written.lock().as_mut() {
                let lonely = filter_record_batch(&right, &not(mark)?)?;
                if lonely.num_rows() > 0 {
                    written.push(lonely)?;
                }
            }
            let found = match shape.join_type() {
                JoinType::RightSemi => filter_record_batch(&right, mark)?,
                JoinType::RightMark => filter_record_batch(&batch, mark)?,
                _ => return Ok(RecordBatch::new_empty(output.clone())),
            };
            let found = match &shape.join.projection {
                Some(columns) => found.project(columns)?,
                None => found,
            };
            rewrap(found, &output)
        });
        let found = found.try_filter(|batch| std::future::ready(batch.num_rows() > 0));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, found.boxed())))
    }
}

fn rewrap(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &options)?)
}
