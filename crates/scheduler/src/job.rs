//! What the driver asks for: a job as a graph of stages.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use firesteel_protocol::{ExecutorId, JobId, ShuffleId, StageId};

/// One query: a graph of stages whose last one, `result_stage`, is what the driver wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSpec {
    pub job: JobId,
    /// Every stage that `result_stage` needs, directly or not, in any order.
    ///
    /// A stage that another running job has brought is shared when its spec is equal. A new stage may name a shuffle
    /// that an ended job retained: what is left of its outputs is used, and only what is missing runs.
    pub stages: Vec<StageSpec>,
    pub result_stage: StageId,
    /// Keep the shuffles of this job after its end, until [`crate::Event::ShuffleReleased`]; else they go with the last
    /// job that uses them.
    pub retain_shuffles: bool,
    pub properties: JobProperties,
}

/// What does not change a job's result: how it shares, what it can be cancelled by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobProperties {
    /// `spark.scheduler.pool`; `None`: the default pool.
    pub pool: Option<Arc<str>>,
    /// `spark.jobGroup.id`
    pub group: Option<String>,
    /// `spark.job.tags`
    pub tags: BTreeSet<String>,
    /// `spark.driver.maxResultSize`: the most bytes of serialized results that the driver takes. `None`: no limit.
    pub max_result_bytes: Option<u64>,
}

/// Which jobs are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobSelector {
    All,
    /// With `future`, also those of the group that are submitted later.
    Group {
        group: String,
        future: bool,
    },
    Tag(String),
}

impl JobSelector {
    pub fn selects(&self, properties: &JobProperties) -> bool {
        match self {
            Self::All => true,
            Self::Group { group, .. } => properties.group.as_ref() == Some(group),
            Self::Tag(tag) => properties.tags.contains(tag),
        }
    }
}

/// The tasks between two exchanges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageSpec {
    pub stage: StageId,
    /// The stages whose shuffles this stage reads.
    pub parents: Vec<StageId>,
    pub num_tasks: u32,
    pub output: StageOutput,
    /// Where each task would best run: empty, or one entry a task.
    pub preferences: Vec<Vec<Preference>>,
    /// Running a task of this stage again may give other rows, or the same rows in another split. When outputs are lost
    /// that somebody has begun to read, the stage and all that follows it start over.
    pub indeterminate: bool,
    /// Those of `parents` whose outputs need not be there before the stage runs: its tasks read them only to make again
    /// what was cached and is lost. When one reports that it could not, they are made, as in Spark.
    pub lazy_parents: Vec<StageId>,
}

/// Where a stage leaves its rows. Either way they stay with the executors and are addressed by a shuffle id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageOutput {
    /// For the tasks of later stages.
    Shuffle { shuffle: ShuffleId, num_reducers: u32 },
    /// For the driver: one block a task, that the driver fetches when told [`crate::Action::ResultReady`].
    Result { shuffle: ShuffleId },
}

impl StageOutput {
    pub fn shuffle(&self) -> ShuffleId {
        match self {
            Self::Shuffle { shuffle, .. } | Self::Result { shuffle } => *shuffle,
        }
    }

    /// Blocks that each task leaves.
    pub fn num_reducers(&self) -> u32 {
        match self {
            Self::Shuffle { num_reducers, .. } => *num_reducers,
            Self::Result { .. } => 1,
        }
    }

    pub fn is_result(&self) -> bool {
        matches!(self, Self::Result { .. })
    }
}

/// A place where a task would find its input. A wish, never a condition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Preference {
    Executor(ExecutorId),
    Node(Arc<str>),
}

/// A running job.
#[derive(Debug)]
pub(crate) struct Job {
    /// In the order of the spec.
    pub stages: Vec<StageId>,
    pub result_stage: StageId,
    /// Results that the driver has.
    pub fetched: u32,
    pub properties: JobProperties,
    /// The index of its pool.
    pub pool: u32,
    /// Results that came, and their serialized bytes.
    pub results: u32,
    pub result_bytes: u64,
}

impl JobSpec {
    /// For each stage, the shuffles of indeterminate stages that it reads, directly or not.
    pub(crate) fn unrepeatable_inputs(&self) -> HashMap<StageId, BTreeSet<ShuffleId>> {
        let mut inputs: HashMap<StageId, BTreeSet<ShuffleId>> = HashMap::new();
        for source in self.stages.iter().filter(|stage| stage.indeterminate) {
            let mut todo = vec![source.stage];
            while let Some(id) = todo.pop() {
                let readers = self.stages.iter().filter(|stage| stage.parents.contains(&id));
                let new = |reader: &&StageSpec| inputs.entry(reader.stage).or_default().insert(source.output.shuffle());
                todo.extend(readers.filter(new).map(|reader| reader.stage));
            }
        }
        inputs
    }

    /// Says what is wrong with the graph, if something is.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let mut stages = HashMap::with_capacity(self.stages.len());
        let mut shuffles = HashSet::with_capacity(self.stages.len());
        for stage in &self.stages {
            let id = stage.stage;
            if stages.insert(id, stage).is_some() {
                return Err(format!("stage {id} is given twice"));
            }
            if !shuffles.insert(stage.output.shuffle()) {
                return Err(format!("shuffle {} is written by two stages", stage.output.shuffle()));
            }
            if stage.output.num_reducers() == 0 {
                return Err(format!("stage {id} writes a shuffle without reducers"));
            }
            if stage.output.is_result() && id != self.result_stage {
                return Err(format!("stage {id} has a result but is not the job's result stage"));
            }
            if !stage.preferences.is_empty() && stage.preferences.len() != stage.num_tasks as usize {
                return Err(format!(
                    "stage {id} has {} tasks and preferences for {}",
                    stage.num_tasks,
                    stage.preferences.len()
                ));
            }
        }
        if !stages.contains_key(&self.result_stage) {
            return Err(format!("the result stage {} is not given", self.result_stage));
        }

        // Depth first from the result; a stage met again while its parents are still being visited closes a cycle.
        let (mut open, mut closed) = (HashSet::new(), HashSet::new());
        let mut path = vec![(self.result_stage, 0)];
        open.insert(self.result_stage);
        while let Some((id, next)) = path.last_mut() {
            let id = *id;
            let Some(stage) = stages.get(&id) else { return Err(format!("parent stage {id} is not given")) };
            let Some(&parent) = stage.parents.get(*next) else {
                open.remove(&id);
                closed.insert(id);
                path.pop();
                continue;
            };
            *next += 1;
            if stage.parents.iter().filter(|other| **other == parent).count() > 1 {
                return Err(format!("stage {id} names its parent {parent} twice"));
            }
            if open.contains(&parent) {
                return Err(format!("stage {parent} depends on itself"));
            }
            if !closed.contains(&parent) {
                open.insert(parent);
                path.push((parent, 0));
            }
        }
        match self.stages.iter().find(|stage| !closed.contains(&stage.stage)) {
            Some(stage) => Err(format!("stage {} is not needed for the result", stage.stage)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(id: u32, parents: &[u32], result: bool) -> StageSpec {
        let shuffle = ShuffleId(id);
        StageSpec {
            stage: StageId(id),
            parents: parents.iter().map(|parent| StageId(*parent)).collect(),
            num_tasks: 2,
            output: if result {
                StageOutput::Result { shuffle }
            } else {
                StageOutput::Shuffle { shuffle, num_reducers: 2 }
            },
            preferences: vec![],
            indeterminate: false,
            lazy_parents: vec![],
        }
    }

    fn error(stages: Vec<StageSpec>, result: u32) -> String {
        JobSpec {
            job: JobId(1),
            stages,
            result_stage: StageId(result),
            retain_shuffles: false,
            properties: JobProperties::default(),
        }
        .validate()
        .expect_err("a wrong graph")
    }

    #[test]
    fn diamonds_are_fine() {
        let stages = vec![stage(0, &[], false), stage(1, &[0], false), stage(2, &[0], false), stage(3, &[1, 2], true)];
        let spec = JobSpec {
            job: JobId(1),
            stages,
            result_stage: StageId(3),
            retain_shuffles: false,
            properties: JobProperties::default(),
        };
        assert_eq!(spec.validate(), Ok(()));
    }

    #[test]
    fn wrong_graphs_are_named() {
        assert_eq!(error(vec![], 3), "the result stage 3 is not given");
        assert_eq!(error(vec![stage(0, &[], true), stage(0, &[], true)], 0), "stage 0 is given twice");
        assert_eq!(error(vec![stage(0, &[7], true)], 0), "parent stage 7 is not given");
        assert_eq!(error(vec![stage(0, &[0], true)], 0), "stage 0 depends on itself");
        let cycle = vec![stage(0, &[1], false), stage(1, &[0], false), stage(2, &[1], true)];
        assert_eq!(error(cycle, 2), "stage 1 depends on itself");
        let spare = vec![stage(0, &[], false), stage(1, &[], true)];
        assert_eq!(error(spare, 1), "stage 0 is not needed for the result");
        let two_results = vec![stage(0, &[], true), stage(1, &[0], true)];
        assert_eq!(error(two_results, 1), "stage 0 has a result but is not the job's result stage");
        let twice = vec![stage(0, &[], false), stage(1, &[0, 0], true)];
        assert_eq!(error(twice, 1), "stage 1 names its parent 0 twice");
    }
}
