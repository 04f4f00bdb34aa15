//! One plan as a job: cut, encoded, submitted, its result put in order.

use std::{collections::BTreeMap, sync::Arc};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{
    common::{DataFusionError, ScalarValue},
    physical_plan::{ExecutionPlan, displayable},
};
use firesteel_engine::{
    error::{from_datafusion, to_datafusion},
    stage::{self, StageGraph},
};
use firesteel_plan::{SparkError, SparkResult};
use firesteel_protocol::{JobId, ShuffleId, StageId};
use firesteel_scheduler::{JobSpec, StageOutput, StageSpec};
use futures::{StreamExt, stream, stream::BoxStream};
use tokio::sync::mpsc;

use super::core::{Core, JobEntry, StageEntry};
use crate::PlanRunner;

pub enum JobMessage {
    /// The rows of one result task. They will not change any more.
    Partition {
        partition: u32,
        batches: Vec<RecordBatch>,
    },
    Succeeded,
    Failed(SparkError),
}

/// Runs plans on the executors of a cluster.
pub struct ClusterRunner {
    core: Arc<Core>,
}

impl ClusterRunner {
    pub fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    async fn prepared(&self, plan: Arc<dyn ExecutionPlan>) -> SparkResult<Arc<dyn ExecutionPlan>> {
        let core = self.core.clone();
        let mut evaluate = move |plan: Arc<dyn ExecutionPlan>| {
            let core = core.clone();
            async move { scalar(core, plan).await }
        };
        stage::inline_scalar_subqueries(plan, &mut evaluate).await.map_err(|e| from_datafusion(&e))
    }

    fn submit(&self, plan: Arc<dyn ExecutionPlan>) -> SparkResult<Job> {
        submit(&self.core, plan)
    }
}

#[async_trait]
impl PlanRunner for ClusterRunner {
    async fn run(&self, plan: Arc<dyn ExecutionPlan>) -> SparkResult<BoxStream<'static, SparkResult<RecordBatch>>> {
        let plan = self.prepared(plan).await?;
        let job = self.submit(plan)?;
        Ok(job.batches())
    }

    fn describe(&self, plan: &Arc<dyn ExecutionPlan>) -> SparkResult<String> {
        let graph = stage::cut(plan.clone(), &mut |i| shuffle_id(0, i)).map_err(|e| from_datafusion(&e))?;
        let mut text = String::new();
        for stage in graph.stages.iter().rev() {
            let inputs: Vec<String> = stage.inputs.iter().map(|i| i.stage.to_string()).collect();
            let reads = if inputs.is_empty() { String::new() } else { format!(", reads stages {}", inputs.join(", ")) };
            text.push_str(&format!(
                "Stage {} ({} tasks{reads}; output {}):\n",
                stage.index, stage.num_tasks, stage.output
            ));
            for line in displayable(stage.plan.as_ref()).indent(false).to_string().lines() {
                text.push_str(&format!("  {line}\n"));
            }
        }
        Ok(text)
    }
}

/// A submitted job. Dropping it cancels what still runs.
struct Job {
    core: Arc<Core>,
    id: JobId,
    messages: mpsc::UnboundedReceiver<JobMessage>,
    /// Partitions that came before their turn.
    early: BTreeMap<u32, Vec<RecordBatch>>,
    next: u32,
    ready: std::vec::IntoIter<RecordBatch>,
    ended: bool,
}

impl Job {
    /// The result's rows in the order of its partitions.
    fn batches(self) -> BoxStream<'static, SparkResult<RecordBatch>> {
        stream::unfold(self, |mut job| async move { job.next_batch().await.map(|batch| (batch, job)) }).boxed()
    }

    async fn next_batch(&mut self) -> Option<SparkResult<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.next() {
                return Some(Ok(batch));
            }
            if let Some(batches) = self.early.remove(&self.next) {
                self.next += 1;
                self.ready = batches.into_iter();
                continue;
            }
            if self.ended {
                return None;
            }
            match self.messages.recv().await {
                Some(JobMessage::Partition { partition, batches }) => {
                    self.early.insert(partition, batches);
                }
                Some(JobMessage::Succeeded) => self.ended = true,
                Some(JobMessage::Failed(error)) => {
                    self.ended = true;
                    self.early.clear();
                    return Some(Err(error));
                }
                None => {
                    self.ended = true;
                    return Some(Err(SparkError::internal("the driver ended before the job did")));
                }
            }
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.core.cancel(self.id, "nobody waits for its result any more");
    }
}

fn submit(core: &Arc<Core>, plan: Arc<dyn ExecutionPlan>) -> SparkResult<Job> {
    let schema = plan.schema();
    // Ids must be known while cutting, and how many there are only after it: a first cut counts.
    let count = cut(plan.clone(), 0)?.stages.len();
    let first = core.new_stage_ids(u32::try_from(count).unwrap_or(u32::MAX));
    let graph = cut(plan, first)?;
    let conf = super::conf_for_executors(&core.engine().conf());
    let id = core.new_job_id();
    let result = graph.stages.len().saturating_sub(1);
    let stage_id = |index: usize| StageId(shuffle_id(first, index).0);
    let (mut specs, mut entries) = (Vec::new(), Vec::new());
    for stage in &graph.stages {
        let encoded = core.codec().encode_stage(stage, &conf).map_err(|e| from_datafusion(&e))?;
        let num_reducers = u32::try_from(stage.num_reducers()).unwrap_or(u32::MAX);
        let mut parents: Vec<StageId> = stage.inputs.iter().map(|i| stage_id(i.stage)).collect();
        parents.sort_unstable();
        parents.dedup();
        let output = if stage.index == result {
            StageOutput::Result { shuffle: stage.shuffle }
        } else {
            StageOutput::Shuffle { shuffle: stage.shuffle, num_reducers }
        };
        specs.push(StageSpec {
            stage: stage_id(stage.index),
            parents,
            num_tasks: u32::try_from(stage.num_tasks).unwrap_or(u32::MAX),
            output,
            preferences: Vec::new(),
            indeterminate: stage.indeterminate,
        });
        entries.push((
            stage_id(stage.index),
            StageEntry {
                job: id,
                encoded: Arc::new(encoded),
                num_tasks: u32::try_from(stage.num_tasks).unwrap_or(u32::MAX),
                shuffle: stage.shuffle,
                num_reducers,
                inputs: stage.inputs.iter().map(|i| i.shuffle).collect(),
            },
        ));
    }
    // The core must not wait while it holds its lock.
    #[expect(
        clippy::disallowed_methods,
        reason = "one message a result partition, and spark.driver.maxResultSize bounds their rows"
    )]
    let (sender, messages) = mpsc::unbounded_channel();
    let entry = JobEntry {
        messages: sender,
        result_schema: schema,
        result_stage: stage_id(result),
        result_shuffle: shuffle_id(first, result),
        stages: entries.iter().map(|(id, _)| *id).collect(),
        fetched_bytes: 0,
    };
    let spec = JobSpec { job: id, stages: specs, result_stage: stage_id(result), retain_shuffles: false };
    core.submit(spec, entry, entries);
    Ok(Job {
        core: core.clone(),
        id,
        messages,
        early: BTreeMap::new(),
        next: 0,
        ready: Vec::new().into_iter(),
        ended: false,
    })
}

fn cut(plan: Arc<dyn ExecutionPlan>, first: u32) -> SparkResult<StageGraph> {
    stage::cut(plan, &mut |index| shuffle_id(first, index)).map_err(|e| from_datafusion(&e))
}

/// A stage and the shuffle it writes have one number.
fn shuffle_id(first: u32, index: usize) -> ShuffleId {
    ShuffleId(first.wrapping_add(u32::try_from(index).unwrap_or(u32::MAX)))
}

/// The value of a scalar subquery, by a job of its own.
async fn scalar(core: Arc<Core>, plan: Arc<dyn ExecutionPlan>) -> Result<ScalarValue, DataFusionError> {
    let data_type = plan.schema().field(0).data_type().clone();
    let mut batches = submit(&core, plan).map_err(to_datafusion)?.batches();
    let mut value = None;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(to_datafusion)?;
        if batch.num_rows() == 0 {
            continue;
        }
        if value.is_some() || batch.num_rows() > 1 {
            return Err(to_datafusion(SparkError::new(
                "SCALAR_SUBQUERY_TOO_MANY_ROWS",
                "21000",
                "More than one row returned by a subquery used as an expression.".to_owned(),
            )));
        }
        value = Some(ScalarValue::try_from_array(batch.column(0), 0)?);
    }
    match value {
        Some(value) => Ok(value),
        None => ScalarValue::try_from(&data_type),
    }
}
