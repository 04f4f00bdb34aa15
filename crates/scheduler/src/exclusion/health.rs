//! Executors and nodes that the whole application leaves alone for a time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::stage::ExecutorFailures;
use crate::{actions::Action, config::ApplicationExclusion, events::ExecutorLossReason, scheduler::Scheduler};

/// Failed tasks that an executor is remembered for; the limit that excludes it is far below.
const MAX_REMEMBERED: usize = 1000;

#[derive(Debug, Default)]
pub(crate) struct Health {
    /// When each failed task of an executor stops counting.
    failures: HashMap<u32, Vec<u64>>,
    executors: BTreeMap<u32, Term>,
    nodes: BTreeMap<Arc<str>, u64>,
    on_node: HashMap<Arc<str>, BTreeSet<u32>>,
}

#[derive(Debug)]
struct Term {
    node: Arc<str>,
    until: u64,
}

impl Health {
    pub fn excludes_node(&self, node: &str) -> bool {
        self.nodes.contains_key(node)
    }

    pub fn is_empty(&self) -> bool {
        self.executors.is_empty() && self.nodes.is_empty()
    }

    fn excludes(&self, executor: u32, node: &str) -> bool {
        self.executors.contains_key(&executor) || self.excludes_node(node)
    }

    /// When the next term ends.
    pub fn next_end(&self) -> Option<u64> {
        let executors = self.executors.values().map(|term| term.until);
        executors.chain(self.nodes.values().copied()).min()
    }

    pub fn forget_failures_of(&mut self, executor: u32) {
        self.failures.remove(&executor);
    }
}

/// Whom a failure has excluded just now.
#[derive(Default)]
struct Excluded {
    executors: Vec<u32>,
    nodes: Vec<Arc<str>>,
}

impl Scheduler {
    /// A stage has all its outputs: what failed in it counts for the application now. (A stage that never succeeds may be
    /// at fault itself.)
    pub(crate) fn stage_failures_count(
        &mut self,
        failures: BTreeMap<u32, ExecutorFailures>,
        actions: &mut Vec<Action>,
    ) {
        let Some(rules) = self.config.exclusion.application else { return };
        let mut excluded = Excluded::default();
        for (executor, failures) in failures {
            let counted = self.health.failures.entry(executor).or_default();
            counted.retain(|until| *until > self.now);
            counted.extend(failures.tasks.values().map(|(_, at)| at.saturating_add(rules.timeout_ms)));
            counted.truncate(MAX_REMEMBERED);
            if counted.len() as u64 >= u64::from(rules.max_failed_tasks_per_executor) {
                self.exclude(&rules, executor, failures.node, &mut excluded);
            }
        }
        self.carry_out_exclusion(&rules, excluded, "too many tasks failed on it", actions);
    }

    /// An executor did not serve its blocks.
    pub(crate) fn fetch_failure_excludes(&mut self, executor: u32, actions: &mut Vec<Action>) {
        let Some(rules) = self.config.exclusion.application.filter(|rules| rules.on_fetch_failure) else { return };
        let mut excluded = Excluded::default();
        let node = self.executors.node(executor).clone();
        self.exclude(&rules, executor, node, &mut excluded);
        self.carry_out_exclusion(&rules, excluded, "its blocks could not be fetched", actions);
    }

    fn exclude(&mut self, rules: &ApplicationExclusion, executor: u32, node: Arc<str>, excluded: &mut Excluded) {
        let until = self.now.saturating_add(rules.timeout_ms);
        let health = &mut self.health;
        if health.executors.contains_key(&executor) {
            return;
        }
        health.executors.insert(executor, Term { node: node.clone(), until });
        excluded.executors.push(executor);
        let on_node = health.on_node.entry(node.clone()).or_default();
        on_node.insert(executor);
        let too_many = on_node.len() as u64 >= u64::from(rules.max_failed_executors_per_node);
        if too_many && !health.nodes.contains_key(&node) {
            health.nodes.insert(node.clone(), until);
            excluded.nodes.push(node);
        }
    }

    fn carry_out_exclusion(
        &mut self,
        rules: &ApplicationExclusion,
        excluded: Excluded,
        why: &str,
        actions: &mut Vec<Action>,
    ) {
        let mut all: BTreeSet<u32> = excluded.executors.into_iter().collect();
        for node in &excluded.nodes {
            tracing::warn!(node = &**node, "the node is excluded: too many of its executors are");
            all.extend(self.executors.on_node(node));
        }
        for executor in all {
            tracing::warn!(executor = %self.executors.name(executor), why, "the executor is excluded");
            self.executors.set_excluded(executor, true);
            if rules.kill && self.executors.is_alive(executor) {
                let reason = format!("it is excluded: {why} (spark.excludeOnFailure.killExcludedExecutors)");
                self.end_executor(executor, reason, ExecutorLossReason::Released, actions);
            }
        }
    }

    /// Gives executors and nodes another chance whose term is over. True when there are any.
    pub(crate) fn end_exclusion_terms(&mut self) -> bool {
        let now = self.now;
        let health = &mut self.health;
        if health.next_end().is_none_or(|end| end > now) {
            return false;
        }
        let over = |until: u64| until <= now;
        let executors: Vec<u32> =
            health.executors.iter().filter(|(_, term)| over(term.until)).map(|(index, _)| *index).collect();
        let mut changed: BTreeSet<u32> = executors.iter().copied().collect();
        for executor in executors {
            if let Some(term) = health.executors.remove(&executor)
                && let Some(on_node) = health.on_node.get_mut(&term.node)
            {
                on_node.remove(&executor);
                if on_node.is_empty() {
                    health.on_node.remove(&term.node);
                }
            }
        }
        let nodes: Vec<Arc<str>> =
            health.nodes.iter().filter(|(_, until)| over(**until)).map(|(node, _)| node.clone()).collect();
        for node in nodes {
            health.nodes.remove(&node);
            changed.extend(self.executors.on_node(&node));
        }
        for executor in changed {
            let node = self.executors.node(executor).clone();
            let excluded = self.health.excludes(executor, &node);
            self.executors.set_excluded(executor, excluded);
        }
        true
    }
}
