//! The rows of a part, kept for its readers: in memory, and on disk when memory is refused.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::{DataFusionError, Result, runtime::SpawnedTask, utils::memory::get_record_batch_memory_size},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_plan::{ExecutionPlan, metrics::SpillMetrics, stream::RecordBatchStreamAdapter},
};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::memory::spill_file::{SpillWriter, Spilled};

/// Of every partition of a part.
#[derive(Debug)]
pub(super) struct Rows {
    partitions: Vec<Arc<Partition>>,
}

#[derive(Debug)]
struct Partition {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Readers that are still to come.
    awaited: usize,
    /// Readers that are there.
    reading: usize,
    task: Option<SpawnedTask<()>>,
    kept: Vec<RecordBatch>,
    memory: Option<MemoryReservation>,
    /// What came after those that are kept.
    spilled: Option<Arc<Spilled>>,
    end: Option<Result<(), Arc<DataFusionError>>>,
    /// All readers have been here, and nothing is kept any more.
    is_over: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("kept", &self.kept.len()).field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

/// What a reader does next.
enum Step {
    Row(RecordBatch),
    Wait,
    Disk(Arc<Spilled>),
    End,
    Failed(Arc<DataFusionError>),
}

impl Rows {
    pub fn new(partitions: usize, readers: usize) -> Self {
        let partition = || {
            let state = State { awaited: readers, ..State::default() };
            Arc::new(Partition { state: Mutex::new(state), changed: Notify::new() })
        };
        Self { partitions: (0..partitions).map(|_| partition()).collect() }
    }

    /// One reader of `partition` of `plan`. The first that asks for a row has them all computed.
    pub fn read(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
        metrics: SpillMetrics,
    ) -> Result<SendableRecordBatchStream> {
        let Some(reader) = self.partitions.get(partition).and_then(Reader::enter) else {
            return plan.execute(partition, context);
        };
        let schema = plan.schema();
        let source = Source { plan: plan.clone(), partition, context, metrics };
        let start = (reader, Some(source), 0, None::<SendableRecordBatchStream>);
        let rows = stream::try_unfold(start, |(reader, mut source, at, mut disk)| async move {
            loop {
                if let Some(stream) = &mut disk {
                    let next = stream.try_next().await?;
                    return Ok(next.map(|batch| (batch, (reader, source, at, disk))));
                }
                let partition = reader.0.clone();
                let changed = partition.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                match reader.step(at, &mut source) {
                    Step::Row(batch) => return Ok(Some((batch, (reader, source, at + 1, None)))),
                    Step::Disk(spilled) => disk = Some(spilled.read()?),
                    Step::End => return Ok(None),
                    Step::Failed(error) => return Err(DataFusionError::Shared(error)),
                    Step::Wait => changed.await,
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows.boxed())))
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        // Whatever still computes rows holds its partition.
        for partition in &self.partitions {
            let task = partition.state.lock().task.take();
            drop(task);
        }
    }
}

/// Where the rows come from.
struct Source {
    plan: Arc<dyn ExecutionPlan>,
    partition: usize,
    context: Arc<TaskContext>,
    metrics: SpillMetrics,
}

struct Reader(Arc<Partition>);

impl Reader {
    /// `None` when nothing is kept any more.
    fn enter(partition: &Arc<Partition>) -> Option<Self> {
        let mut state = partition.state.lock();
        if state.is_over {
            return None;
        }
        state.awaited = state.awaited.saturating_sub(1);
        state.reading += 1;
        Some(Self(partition.clone()))
    }

    fn step(&self, at: usize, source: &mut Option<Source>) -> Step {
        let mut state = self.0.state.lock();
        if let Some(batch) = state.kept.get(at) {
            return Step::Row(batch.clone());
        }
        match &state.end {
            Some(Ok(())) => state.spilled.clone().map_or(Step::End, Step::Disk),
            Some(Err(error)) => Step::Failed(error.clone()),
            None => {
                if state.task.is_none()
                    && let Some(source) = source.take()
                {
                    let partition = self.0.clone();
                    state.task = Some(SpawnedTask::spawn(async move {
                        let end = partition.fill(source).await.map_err(Arc::new);
                        partition.state.lock().end = Some(end);
                        partition.changed.notify_waiters();
                    }));
                }
                Step::Wait
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.reading = state.reading.saturating_sub(1);
        if state.reading == 0 && state.awaited == 0 {
            let over = std::mem::replace(&mut *state, State { is_over: true, ..State::default() });
            drop(state);
            drop(over);
        }
    }
}

impl Partition {
    async fn fill(&self, source: Source) -> Result<()> {
        let Source { plan, partition, context, metrics } = source;
        let consumer = MemoryConsumer::new(format!("Reused[{partition}]")).with_can_spill(true);
        let memory = consumer.register(context.memory_pool());
        let schema: SchemaRef = plan.schema();
        let mut rows = plan.execute(partition, context.clone())?;
        self.state.lock().memory = Some(memory);
        let mut file: Option<SpillWriter> = None;
        while let Some(batch) = rows.try_next().await? {
            if batch.num_rows() == 0 {
                continue;
            }
            if file.is_none() && self.keep(&batch) {
                continue;
            }
            let out = match &mut file {
                Some(out) => out,
                None => file.insert(SpillWriter::create(&context, "reused", schema.clone(), metrics.clone())?),
            };
            out.write(&batch)?;
        }
        if let Some(file) = file {
            self.state.lock().spilled = Some(Arc::new(file.finish()?));
        }
        Ok(())
    }

    /// Whether there is memory for one more.
    fn keep(&self, batch: &RecordBatch) -> bool {
        let mut state = self.state.lock();
        let bytes = get_record_batch_memory_size(batch);
        let granted = state.memory.as_mut().is_some_and(|memory| memory.try_grow(bytes).is_ok());
        if granted {
            state.kept.push(batch.clone());
            drop(state);
            self.changed.notify_waiters();
        }
        granted
    }
}
