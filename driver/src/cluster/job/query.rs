//! A query's stages, which outlive its jobs: a later job lists those of earlier ones again, so that what is lost of them
//! is made again.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::SchemaRef;
use firesteel_engine::{EngineSession, stage::Stage};
use firesteel_plan::{SparkError, SparkResult};
use firesteel_protocol::{ShuffleId, StageId};
use firesteel_scheduler::{JobProperties, JobSpec, StageSpec};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{
    properties::properties_of,
    result::Job,
    stages::{PreparedStage, stage_id},
};
use crate::cluster::{
    conf_for_executors,
    core::{Core, JobEntry, StageEntry, Wanted},
};

/// Dropped, it forgets its stages; its jobs hold it.
pub struct Query {
    core: Arc<Core>,
    /// The configuration that its tasks run under.
    conf: HashMap<String, String>,
    properties: JobProperties,
    stages: Mutex<Stages>,
}

#[derive(Default)]
struct Stages {
    specs: HashMap<StageId, StageSpec>,
    /// Those that no job has listed yet.
    new: HashMap<StageId, StageEntry>,
}

impl Query {
    /// Of the session `engine`, as it is configured now.
    pub fn new(core: &Arc<Core>, engine: &EngineSession) -> Arc<Self> {
        let conf = engine.conf();
        let properties = properties_of(&conf);
        Arc::new(Self { core: core.clone(), conf: conf_for_executors(&conf), properties, stages: Mutex::default() })
    }

    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// A stage that later jobs may list. `is_result`: its rows are for the driver.
    pub fn add(&self, stage: &Stage, is_result: bool) -> SparkResult<()> {
        let PreparedStage { spec, entry } = PreparedStage::new(&self.core, stage, is_result, &self.conf)?;
        let mut stages = self.stages.lock();
        stages.new.insert(spec.stage, entry);
        stages.specs.insert(spec.stage, spec);
        Ok(())
    }

    /// A job that ends when all outputs of this stage are there.
    pub fn map(self: &Arc<Self>, shuffle: ShuffleId) -> SparkResult<Job> {
        self.submit(stage_id(shuffle), Wanted::MapOutputs(shuffle))
    }

    /// The job that answers the rows of this stage.
    pub fn collect(self: &Arc<Self>, shuffle: ShuffleId, schema: SchemaRef) -> SparkResult<Job> {
        self.submit(stage_id(shuffle), Wanted::Result { schema, shuffle })
    }

    fn submit(self: &Arc<Self>, last: StageId, wanted: Wanted) -> SparkResult<Job> {
        let job = self.core.new_job_id();
        let mut stages = self.stages.lock();
        let specs = stages.up_to(last)?;
        let listed: Vec<StageId> = specs.iter().map(|spec| spec.stage).collect();
        let new = listed.iter().filter_map(|id| Some((*id, StageEntry { job, ..stages.new.remove(id)? }))).collect();
        // The core must not wait while it holds its lock.
        #[expect(
            clippy::disallowed_methods,
            reason = "one message a result partition, and spark.driver.maxResultSize bounds their rows"
        )]
        let (sender, messages) = mpsc::unbounded_channel();
        // Outputs for later jobs stay until the query ends.
        let retain_shuffles = matches!(wanted, Wanted::MapOutputs(_));
        let properties = self.properties.clone();
        let entry = JobEntry { messages: sender, wanted, stages: listed, properties: properties.clone() };
        let spec = JobSpec { job, stages: specs, result_stage: last, retain_shuffles, properties };
        self.core.submit(spec, entry, new);
        Ok(Job::new(self.clone(), job, messages))
    }
}

impl Stages {
    /// A stage and all that it needs, directly or not.
    fn up_to(&self, last: StageId) -> SparkResult<Vec<StageSpec>> {
        let mut needed = vec![last];
        let mut next = 0;
        let mut specs: Vec<StageSpec> = Vec::new();
        while let Some(id) = needed.get(next).copied() {
            next += 1;
            let spec = self.specs.get(&id).ok_or_else(|| SparkError::internal(format!("there is no stage {id}")))?;
            needed.extend(spec.parents.iter().filter(|parent| !needed.contains(parent)).copied().collect::<Vec<_>>());
            specs.push(spec.clone());
        }
        Ok(specs)
    }
}

impl Drop for Query {
    fn drop(&mut self) {
        let stages: Vec<StageId> = self.stages.get_mut().specs.keys().copied().collect();
        self.core.forget(&stages);
    }
}
