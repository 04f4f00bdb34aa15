//! A whole plan as one job: every stage known before the first one runs.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use firesteel_engine::{
    EngineSession,
    error::from_datafusion,
    stage::{self, StageGraph},
};
use firesteel_plan::{SparkError, SparkResult};
use firesteel_scheduler::JobSpec;
use tokio::sync::mpsc;

use super::{
    properties::properties_of,
    result::Job,
    stages::{PreparedStage, shuffle_id, stage_id},
};
use crate::cluster::{
    conf_for_executors,
    core::{Core, JobEntry},
};

/// Cuts `plan`, whose scalar subqueries are evaluated, and submits all of its stages.
pub fn submit(core: &Arc<Core>, engine: &EngineSession, plan: Arc<dyn ExecutionPlan>) -> SparkResult<Job> {
    let result_schema = plan.schema();
    let graph = cut(core, plan)?;
    let conf = engine.conf();
    let properties = properties_of(&conf);
    let conf = conf_for_executors(&conf);
    let job = core.new_job_id();
    let result_shuffle = graph.result().ok_or_else(|| SparkError::internal("a plan without a result"))?.shuffle;
    let (mut specs, mut entries) = (Vec::new(), Vec::new());
    for stage in &graph.stages {
        let stage = PreparedStage::new(core, job, stage, stage.shuffle == result_shuffle, &conf)?;
        entries.push((stage.spec.stage, stage.entry));
        specs.push(stage.spec);
    }
    // The core must not wait while it holds its lock.
    #[expect(
        clippy::disallowed_methods,
        reason = "one message a result partition, and spark.driver.maxResultSize bounds their rows"
    )]
    let (sender, messages) = mpsc::unbounded_channel();
    let entry = JobEntry {
        messages: sender,
        result_schema,
        result_stage: stage_id(result_shuffle),
        result_shuffle,
        stages: entries.iter().map(|(id, _)| *id).collect(),
        properties: properties.clone(),
    };
    let result_stage = stage_id(result_shuffle);
    let spec = JobSpec { job, stages: specs, result_stage, retain_shuffles: false, properties };
    core.submit(spec, entry, entries);
    Ok(Job::new(core.clone(), job, messages))
}

fn cut(core: &Core, plan: Arc<dyn ExecutionPlan>) -> SparkResult<StageGraph> {
    stage::cut(plan, &mut |_| shuffle_id(core.new_stage_ids(1), 0)).map_err(|e| from_datafusion(&e))
}
