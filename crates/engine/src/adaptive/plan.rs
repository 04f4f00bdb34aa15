//! A plan on its way.

use std::{collections::HashSet, ops::Range, sync::Arc};

use datafusion::{
    common::Result,
    config::ConfigOptions,
    physical_optimizer::{PhysicalOptimizerRule, sanity_checker::SanityCheckPlan},
    physical_plan::ExecutionPlan,
};
use firesteel_protocol::ShuffleId;

use super::{
    AdaptiveOptions, BlockSizes, PLAN_RULES, STAGE_RULES, ShuffleStatistics, Statistics, View, explain,
    initial_partitions,
};
use crate::{
    shuffle::ShuffleReaderExec,
    stage::{Progress, Stage, cut_ready, each_node},
};

/// A plan that is cut into stages while it runs. Holds no I/O: the caller runs the stages and says what came of them.
#[derive(Debug)]
pub struct AdaptivePlan {
    options: AdaptiveOptions,
    initial: Arc<dyn ExecutionPlan>,
    /// What is not cut off yet; `None` when the result stage is.
    rest: Option<Arc<dyn ExecutionPlan>>,
    stages: Vec<Stage>,
    known: Statistics,
}

/// Stages that can run now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// Of [`AdaptivePlan::stages`].
    pub stages: Range<usize>,
    /// The last of them is the result stage: there will be no more.
    pub done: bool,
}

impl AdaptivePlan {
    /// `plan` has its scalar subqueries inlined; `default_partitions` is how many partitions its exchanges by key have
    /// where nobody said so.
    pub fn new(plan: Arc<dyn ExecutionPlan>, default_partitions: usize, options: AdaptiveOptions) -> Result<Self> {
        let plan = match options.size_partitions {
            true => initial_partitions::sized(plan, default_partitions)?,
            false => plan,
        };
        Ok(Self { options, initial: plan.clone(), rest: Some(plan), stages: Vec::new(), known: Statistics::new() })
    }

    /// The stages cut off so far, each after those that it reads.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// All outputs of a stage are there.
    pub fn completed(&mut self, shuffle: ShuffleId, statistics: ShuffleStatistics) {
        self.known.insert(shuffle, statistics);
    }

    /// Changes what is left by what is known and cuts off what can run. `shuffle_id` answers a number that was never
    /// used.
    pub fn advance(&mut self, shuffle_id: &mut dyn FnMut() -> ShuffleId, blocks: &dyn BlockSizes) -> Result<Advance> {
        let cut = self.stages.len();
        let Some(rest) = self.rest.take() else { return Ok(Advance { stages: cut..cut, done: true }) };
        let view = View { options: &self.options, statistics: &self.known, stages: &self.stages, blocks };
        let rest = if self.known.is_empty() { rest } else { changed(rest, &view) };
        let progress = Sizes { options: &self.options, known: &self.known, blocks };
        self.rest = cut_ready(rest, &mut self.stages, &mut |_| shuffle_id(), &progress)?;
        Ok(Advance { stages: cut..self.stages.len(), done: self.rest.is_none() })
    }

    /// The shuffles that what is left reads, and those that they were made from.
    pub fn needed(&self) -> HashSet<ShuffleId> {
        let mut needed = HashSet::new();
        if let Some(rest) = &self.rest {
            let _ = each_node(rest, &mut |node| {
                needed.extend(node.downcast_ref::<ShuffleReaderExec>().map(ShuffleReaderExec::shuffle));
                Ok(())
            });
        } else {
            needed.extend(self.stages.last().map(|result| result.shuffle));
        }
        for stage in self.stages.iter().rev() {
            if needed.contains(&stage.shuffle) {
                needed.extend(stage.inputs.iter().map(|input| input.shuffle));
            }
        }
        needed
    }

    /// The stages that the result was made from, once all are cut off, beside the plan as it was at first.
    pub fn explain(&self) -> String {
        let initial = explain::plan(&self.initial);
        if self.rest.is_some() {
            return explain::initial(&initial);
        }
        let needed = self.needed();
        let ran: Vec<&Stage> = self.stages.iter().filter(|stage| needed.contains(&stage.shuffle)).collect();
        explain::both(&explain::stages(&ran), &initial)
    }
}

/// `plan` after all rules. One that makes a plan that would not hold together is not followed.
fn changed(plan: Arc<dyn ExecutionPlan>, view: &View<'_>) -> Arc<dyn ExecutionPlan> {
    let config = ConfigOptions::new();
    let is_sane = |plan: &Arc<dyn ExecutionPlan>| SanityCheckPlan::new().optimize(plan.clone(), &config);
    if let Err(error) = is_sane(&plan) {
        tracing::debug!(%error, "a plan is left as it is");
        return plan;
    }
    PLAN_RULES.iter().fold(plan, |plan, rule| match rule.apply(plan.clone(), view) {
        Ok(new) if Arc::ptr_eq(&new, &plan) => plan,
        Ok(new) => match is_sane(&new) {
            Ok(_) => {
                tracing::debug!(rule = rule.name(), "a plan changed");
                new
            }
            Err(error) => {
                tracing::debug!(rule = rule.name(), %error, "a change was not followed");
                plan
            }
        },
        Err(error) => {
            tracing::debug!(rule = rule.name(), %error, "a rule could not be applied");
            plan
        }
    })
}

struct Sizes<'a> {
    options: &'a AdaptiveOptions,
    known: &'a Statistics,
    blocks: &'a dyn BlockSizes,
}

impl Progress for Sizes<'_> {
    fn is_complete(&self, shuffle: ShuffleId) -> bool {
        self.known.contains_key(&shuffle)
    }

    fn finish(&self, plan: Arc<dyn ExecutionPlan>, stages: &[Stage]) -> Result<Arc<dyn ExecutionPlan>> {
        if self.known.is_empty() {
            return Ok(plan);
        }
        let view = View { options: self.options, statistics: self.known, stages, blocks: self.blocks };
        STAGE_RULES.iter().try_fold(plan, |plan, rule| rule.apply(plan, &view))
    }
}
