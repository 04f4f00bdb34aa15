//! What failed where in one stage.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use crate::config::StageExclusion;

/// One failure that counts, and where it was.
pub(crate) struct Blamed<'a> {
    pub now: u64,
    pub task: u32,
    pub executor: u32,
    pub node: &'a Arc<str>,
    pub reason: String,
}

/// The failures of the stage's present attempt and whom they exclude. Its size follows from `spark.task.maxFailures`: no
/// task fails more often than that.
#[derive(Debug, Default)]
pub(crate) struct StageFailures {
    of_executor: HashMap<u32, ExecutorFailures>,
    on_node: HashMap<Arc<str>, BTreeSet<u32>>,
    executors: HashSet<u32>,
    nodes: HashSet<Arc<str>>,
    tasks_of_nodes: HashMap<Arc<str>, HashSet<u32>>,
    last_reason: String,
}

#[derive(Debug)]
pub(crate) struct ExecutorFailures {
    pub node: Arc<str>,
    /// Of each task, how often it failed there and when it did last.
    pub tasks: BTreeMap<u32, (u32, u64)>,
}

impl StageFailures {
    /// Without `rules` nobody is excluded by it: it is remembered for the application.
    pub fn add(&mut self, rules: Option<&StageExclusion>, blamed: Blamed<'_>) {
        let Blamed { now, task, executor, node, reason } = blamed;
        self.last_reason = reason;
        let of_executor = self
            .of_executor
            .entry(executor)
            .or_insert_with(|| ExecutorFailures { node: node.clone(), tasks: BTreeMap::new() });
        let entry = of_executor.tasks.entry(task).or_default();
        *entry = (entry.0 + 1, now);
        let failed_tasks = of_executor.tasks.len() as u32;
        let on_node = self.on_node.entry(node.clone()).or_default();
        on_node.insert(executor);
        let Some(rules) = rules else { return };

        let times = |executor: &u32| {
            let of_executor = self.of_executor.get(executor);
            of_executor.and_then(|failures| failures.tasks.get(&task)).map_or(0, |(times, _)| *times)
        };
        if on_node.iter().map(times).sum::<u32>() >= rules.max_task_attempts_per_node {
            self.tasks_of_nodes.entry(node.clone()).or_default().insert(task);
        }
        if failed_tasks >= rules.max_failed_tasks_per_executor && self.executors.insert(executor) {
            let excluded = on_node.iter().filter(|executor| self.executors.contains(executor)).count();
            if excluded as u64 >= u64::from(rules.max_failed_executors_per_node) {
                self.nodes.insert(node.clone());
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.of_executor.is_empty()
    }

    /// Whether no task of the stage may run there.
    pub fn excludes(&self, executor: u32, node: &str) -> bool {
        self.executors.contains(&executor) || self.nodes.contains(node)
    }

    /// Whether this task may not run there, though others of its stage may.
    pub fn excludes_task(&self, rules: &StageExclusion, task: u32, executor: u32, node: &str) -> bool {
        let there = self.of_executor.get(&executor).and_then(|failures| failures.tasks.get(&task));
        there.is_some_and(|(times, _)| *times >= rules.max_task_attempts_per_executor)
            || self.tasks_of_nodes.get(node).is_some_and(|tasks| tasks.contains(&task))
    }

    pub fn last_reason(&self) -> &str {
        &self.last_reason
    }

    /// All failures by executor, for the application to count.
    pub fn take(&mut self) -> BTreeMap<u32, ExecutorFailures> {
        std::mem::take(self).of_executor.into_iter().collect()
    }
}
