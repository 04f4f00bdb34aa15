//! From a plan to the job whose rows are its result: all stages at once, or one round of stages after the other.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use datafusion::physical_plan::ExecutionPlan;
use firesteel_engine::{
    EngineSession,
    adaptive::{AdaptiveOptions, AdaptivePlan, BlockSizes, ShuffleStatistics},
    error::from_datafusion,
    stage,
};
use firesteel_plan::{SparkError, SparkResult};
use firesteel_protocol::ShuffleId;

use super::{query::Query, result::Job, stages::shuffle_id};
use crate::cluster::core::Core;

/// Runs `plan`, whose scalar subqueries are evaluated, up to its result stage, which it submits.
pub async fn submit(core: &Arc<Core>, engine: &EngineSession, plan: Arc<dyn ExecutionPlan>) -> SparkResult<Job> {
    match AdaptiveOptions::of(&engine.conf(), engine.slots()) {
        Some(options) => adaptive(core, engine, plan, options).await,
        None => at_once(core, engine, plan),
    }
}

/// Every stage is cut before the first one runs, and one job runs them.
fn at_once(core: &Arc<Core>, engine: &EngineSession, plan: Arc<dyn ExecutionPlan>) -> SparkResult<Job> {
    let schema = plan.schema();
    let graph = stage::cut(plan, &mut |_| new_shuffle(core)).map_err(|e| from_datafusion(&e))?;
    let result = graph.result().ok_or_else(|| SparkError::internal("a plan without a result"))?.shuffle;
    let query = Query::new(core, engine);
    graph.stages.iter().try_for_each(|stage| query.add(stage, stage.shuffle == result))?;
    query.collect(result, schema)
}

/// Stages whose inputs are complete run as jobs of their own, all at the same time; when one is done, the rest of the plan
/// is looked at again.
async fn adaptive(
    core: &Arc<Core>,
    engine: &EngineSession,
    plan: Arc<dyn ExecutionPlan>,
    options: AdaptiveOptions,
) -> SparkResult<Job> {
    let schema = plan.schema();
    let partitions = engine.shuffle_partitions();
    let mut plan = AdaptivePlan::new(plan, partitions, options).map_err(|e| from_datafusion(&e))?;
    let query = Query::new(core, engine);
    let mut running: Vec<(ShuffleId, Job)> = Vec::new();
    loop {
        let advance = plan.advance(&mut || new_shuffle(core), &Sizes(core)).map_err(|e| from_datafusion(&e))?;
        let new = plan.stages().get(advance.stages).unwrap_or_default();
        for (index, stage) in new.iter().enumerate() {
            let is_result = advance.done && index + 1 == new.len();
            query.add(stage, is_result)?;
            if is_result {
                // What else runs is not needed: it ends here.
                let job = query.collect(stage.shuffle, schema);
                core.keep_plan(plan);
                return job;
            }
            // Stages that read cached relations have it run if it must.
            if !stage.lineage {
                running.push((stage.shuffle, query.map(stage.shuffle)?));
            }
        }
        let needed = plan.needed();
        running.retain(|(shuffle, _)| needed.contains(shuffle));
        if running.is_empty() {
            return Err(SparkError::internal("a plan of which no stage can run"));
        }
        for (shuffle, statistics) in poll_fn(|cx| ended(&mut running, cx)).await? {
            match statistics {
                Some(statistics) => plan.completed(shuffle, statistics),
                None => running.push((shuffle, query.map(shuffle)?)),
            }
        }
    }
}

/// The shuffle that a job made, and its sizes; none where outputs were lost before they were looked at.
type Ended = (ShuffleId, Option<ShuffleStatistics>);

/// All jobs that have ended, as soon as one has.
fn ended(running: &mut Vec<(ShuffleId, Job)>, cx: &mut Context<'_>) -> Poll<SparkResult<Vec<Ended>>> {
    let mut ended = Vec::new();
    let mut failed = None;
    running.retain_mut(|(shuffle, job)| match job.poll_mapped(cx) {
        Poll::Pending => true,
        Poll::Ready(Ok(statistics)) => {
            ended.push((*shuffle, statistics));
            false
        }
        Poll::Ready(Err(error)) => {
            failed.get_or_insert(error);
            false
        }
    });
    match failed {
        Some(error) => Poll::Ready(Err(error)),
        None if ended.is_empty() => Poll::Pending,
        None => Poll::Ready(Ok(ended)),
    }
}

fn new_shuffle(core: &Core) -> ShuffleId {
    shuffle_id(core.new_stage_ids(1), 0)
}

struct Sizes<'a>(&'a Core);

impl BlockSizes for Sizes<'_> {
    fn of_partition(&self, shuffle: ShuffleId, partition: u32) -> Vec<u64> {
        self.0.block_sizes(shuffle, partition)
    }
}
