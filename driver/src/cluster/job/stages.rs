//! From a stage of the engine's to what the scheduler schedules and executors are sent.

use std::{collections::HashMap, sync::Arc};

use firesteel_engine::{error::from_datafusion, stage::Stage};
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
            preferences: preferences(stage),
            indeterminate: stage.indeterminate,
        };
        let rows = vec![None; num_tasks as usize];
        let encoded = Arc::new(encoded);
        // No job has listed it yet.
        let job = JobId(u64::MAX);
        let entry = StageEntry { job, encoded, num_tasks, shuffle, num_reducers, inputs, rows, tasks_done: 0 };
        Ok(Self { spec, entry })
    }
}

/// Where each task of the stage finds its input: empty, or one entry a task.
fn preferences(_: &Stage) -> Vec<Vec<Preference>> {
    Vec::new()
}
