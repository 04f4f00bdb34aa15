//! From a stage of the engine's to what the scheduler schedules and executors are sent.

use std::{collections::HashMap, sync::Arc};

use firesteel_engine::{
    cache::{BlockId, cached_reads, reads_cache},
    error::from_datafusion,
    stage::Stage,
};
use firesteel_plan::SparkResult;
use firesteel_protocol::{JobId, ShuffleId, StageId};
use firesteel_scheduler::{Preference, StageOutput, StageSpec};

use crate::cluster::core::{Core, StageEntry};

/// A stage and the shuffle it writes have one number.
pub fn shuffle_id(first: u32, index: usize) -> ShuffleId {
    ShuffleId(first.wrapping_add(u32::try_from(index).unwrap_or(u32::MAX)))
}

pub fn stage_id(shuffle: ShuffleId) -> StageId {
    StageId(shuffle.0)
}

/// A stage ready to be submitted: encoded once, however many jobs list it.
pub struct PreparedStage {
    pub spec: StageSpec,
    pub entry: StageEntry,
}

impl PreparedStage {
    /// `is_result`: its rows are for the driver. `conf` is the configuration of the session whose query this is.
    pub fn new(core: &Core, stage: &Stage, is_result: bool, conf: &HashMap<String, String>) -> SparkResult<Self> {
        let encoded = core.codec().encode_stage(stage, conf).map_err(|e| from_datafusion(&e))?;
        let num_tasks = u32::try_from(stage.num_tasks).unwrap_or(u32::MAX);
        let num_reducers = u32::try_from(stage.num_reducers()).unwrap_or(u32::MAX);
        let shuffle = stage.shuffle;
        let inputs: Vec<ShuffleId> = stage.inputs.iter().map(|i| i.shuffle).collect();
        let cached = cached_blocks(stage)?;
        // Relations have other numbers with another driver.
        if core.is_recoverable() && !is_result && cached.is_empty() {
            let fingerprint = core.codec().fingerprint(stage, &encoded, conf, &core.fingerprints(&inputs));
            match fingerprint.map_err(|e| from_datafusion(&e))? {
                Some(fingerprint) => core.know(shuffle, fingerprint),
                None => tracing::debug!(stage = shuffle.0, "the stage cannot be known again by a later driver"),
            }
        }
        let mut parents: Vec<StageId> = inputs.iter().copied().map(stage_id).collect();
        parents.sort_unstable();
        parents.dedup();
        let spec = StageSpec {
            stage: stage_id(shuffle),
            parents,
            num_tasks,
            output: if is_result {
                StageOutput::Result { shuffle }
            } else {
                StageOutput::Shuffle { shuffle, num_reducers }
            },
            preferences: preferences(core, &cached),
            indeterminate: stage.indeterminate,
            lazy_parents: stage.inputs.iter().filter(|i| i.lazy).map(|i| stage_id(i.shuffle)).collect(),
        };
        let rows = vec![None; num_tasks as usize];
        let encoded = Arc::new(encoded);
        // No job has listed it yet.
        let job = JobId(u64::MAX);
        let entry = StageEntry { job, encoded, num_tasks, shuffle, num_reducers, inputs, rows, tasks_done: 0, cached };
        Ok(Self { spec, entry })
    }
}

/// The cached blocks that each task reads; empty when none reads any.
fn cached_blocks(stage: &Stage) -> SparkResult<Vec<Vec<BlockId>>> {
    if !reads_cache(&stage.plan).map_err(|e| from_datafusion(&e))? {
        return Ok(Vec::new());
    }
    (0..stage.num_tasks).map(|task| cached_reads(&stage.plan, task).map_err(|e| from_datafusion(&e))).collect()
}

/// Where each task of the stage finds its input: empty, or one entry a task. The executors that hold its cached blocks.
fn preferences(core: &Core, cached: &[Vec<BlockId>]) -> Vec<Vec<Preference>> {
    let cache = core.engine().cache();
    let master = cache.master();
    let of_task = |blocks: &Vec<BlockId>| {
        let mut executors: Vec<_> = blocks.iter().flat_map(|id| master.locations(*id)).map(|(id, _)| id).collect();
        executors.sort_unstable();
        executors.dedup();
        executors.into_iter().map(Preference::Executor).collect()
    };
    cached.iter().map(of_task).collect()
}
