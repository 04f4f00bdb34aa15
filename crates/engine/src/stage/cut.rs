//! Where a plan is cut.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{
    common::{Result, internal_err, not_impl_err, tree_node::TreeNodeRecursion},
    logical_expr::Volatility,
    physical_expr::{LexOrdering, PhysicalExpr, ScalarFunctionExpr},
    physical_plan::{
        ChildrenPropertiesMode, Distribution, ExecutionPlan, ExecutionPlanProperties, Partitioning,
        ReplaceChildrenOptions,
        aggregates::{AggregateExec, AggregateMode},
        coalesce_partitions::CoalescePartitionsExec,
        coop::CooperativeExec,
        empty::EmptyExec,
        filter::FilterExec,
        joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec},
        limit::{GlobalLimitExec, LocalLimitExec},
        projection::ProjectionExec,
        recursive_query::RecursiveQueryExec,
        repartition::RepartitionExec,
        scalar_subquery::ScalarSubqueryExec,
        sorts::{sort::SortExec, sort_preserving_merge::SortPreservingMergeExec},
    },
};
use firesteel_protocol::ShuffleId;

use super::{InputKind, Stage, StageGraph, StageInput};
use crate::{exchange::ExchangeExec, shuffle::ShuffleReaderExec};

/// Cuts `plan`, whose scalar subqueries are inlined ([`super::inline_scalar_subqueries`]), at its exchanges. Stage `i`
/// of the graph writes the shuffle that `shuffle_id(i)` names; ids must not repeat within an application attempt.
pub fn cut(plan: Arc<dyn ExecutionPlan>, shuffle_id: &mut dyn FnMut(usize) -> ShuffleId) -> Result<StageGraph> {
    let mut cutter = Cutter { stages: Vec::new(), shuffle_id };
    let root = cutter.rewrite(plan)?;
    cutter.end_stage(root, Partitioning::UnknownPartitioning(1))?;
    Ok(StageGraph { stages: cutter.stages })
}

/// Rewrites a plan from its leaves up. What it returns is the plan of a stage still open at the top; the stages below
/// are done.
pub(super) struct Cutter<'a> {
    stages: Vec<Stage>,
    shuffle_id: &'a mut dyn FnMut(usize) -> ShuffleId,
}

impl Cutter<'_> {
    pub(super) fn rewrite(&mut self, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        grow_stack(|| self.rewrite_node(plan))
    }

    fn rewrite_node(&mut self, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(repartition) = plan.downcast_ref::<RepartitionExec>() {
            return self.repartition(repartition);
        }
        if let Some(exchange) = plan.downcast_ref::<ExchangeExec>() {
            return self.repartition(exchange.as_repartition());
        }
        if let Some(coalesce) = plan.downcast_ref::<CoalescePartitionsExec>() {
            let input = self.rewrite(without_round_robin(coalesce.input())?)?;
            return self.gather(input, coalesce.fetch());
        }
        if let Some(merge) = plan.downcast_ref::<SortPreservingMergeExec>() {
            let input = self.rewrite(without_round_robin(merge.input())?)?;
            return self.merge(input, merge.expr().clone(), merge.fetch());
        }
        if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
            return self.hash_join(&plan, join);
        }
        if plan.is::<CrossJoinExec>() || plan.is::<NestedLoopJoinExec>() {
            return self.loop_join(&plan);
        }
        if plan.is::<ScalarSubqueryExec>() {
            return internal_err!("scalar subqueries must be inlined before a plan is cut");
        }
        if plan.is::<RecursiveQueryExec>() {
            return not_impl_err!("recursive queries that run on executors");
        }
        let children: Vec<_> = plan.children().into_iter().cloned().collect();
        if children.is_empty() {
            // A scan without files has no partition, but every stage has a task.
            return Ok(if partitions(&plan) == 0 { Arc::new(EmptyExec::new(plan.schema())) } else { plan });
        }
        let children = children.into_iter().map(|child| self.rewrite(child)).collect::<Result<Vec<_>>>()?;
        self.replace(plan, children)
    }

    /// `plan` over `children`, each brought to one partition where `plan` needs that.
    pub(super) fn replace(
        &mut self,
        plan: Arc<dyn ExecutionPlan>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let needs = plan.input_distribution_requirements().into_per_child();
        for (child, need) in children.iter_mut().zip(needs) {
            if matches!(need, Distribution::SinglePartition) {
                *child = self.one_partition(child.clone())?;
            }
        }
        let same = plan.children().into_iter().zip(&children).all(|(old, new)| Arc::ptr_eq(old, new));
        if same {
            return Ok(plan);
        }
        plan.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn repartition(&mut self, repartition: &RepartitionExec) -> Result<Arc<dyn ExecutionPlan>> {
        let partitioning = repartition.partitioning().clone();
        if let Partitioning::UnknownPartitioning(n) = partitioning {
            return internal_err!("a repartition to {n} unknown partitions");
        }
        let input = self.rewrite(without_round_robin(repartition.input())?)?;
        if partitioning.partition_count() <= 1 {
            return match repartition.preserve_order().then(|| input.output_ordering().cloned()).flatten() {
                Some(ordering) => self.merge(input, ordering, None),
                None => self.gather(input, None),
            };
        }
        // The blocks of a reduce partition come from many tasks, so an order must be made anew.
        let ordering = repartition.preserve_order().then(|| input.output_ordering().cloned()).flatten();
        let reader = self.exchange(input, partitioning)?;
        Ok(match ordering {
            Some(ordering) => Arc::new(SortExec::new(ordering, reader).with_preserve_partitioning(true)),
            None => reader,
        })
    }

    /// Ends the stage `input`, its rows spread by `partitioning`, and reads them.
    pub(super) fn exchange(
        &mut self,
        input: Arc<dyn ExecutionPlan>,
        partitioning: Partitioning,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let shuffle = self.end_stage(input.clone(), partitioning.clone())?;
        let reader = ShuffleReaderExec::new(shuffle, InputKind::Partitioned, &input, partitioning);
        Ok(Arc::new(reader))
    }

    /// All rows of `input` in one partition, in any order; no more than `fetch`.
    pub(super) fn gather(
        &mut self,
        input: Arc<dyn ExecutionPlan>,
        fetch: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let single = if partitions(&input) > 1 {
            let input = limited(input, fetch);
            let shuffle = self.end_stage(input.clone(), Partitioning::UnknownPartitioning(1))?;
            let one = Partitioning::UnknownPartitioning(1);
            Arc::new(ShuffleReaderExec::new(shuffle, InputKind::Gather, &input, one))
        } else {
            input
        };
        Ok(match fetch {
            Some(_) => Arc::new(GlobalLimitExec::new(single, 0, fetch)),
            None => single,
        })
    }

    /// All rows of `input`, each of whose partitions is sorted by `ordering`, in one sorted partition.
    fn merge(
        &mut self,
        input: Arc<dyn ExecutionPlan>,
        ordering: LexOrdering,
        fetch: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let tasks = partitions(&input);
        let input = if tasks > 1 {
            let input = limited(input, fetch);
            let shuffle = self.end_stage(input.clone(), Partitioning::UnknownPartitioning(1))?;
            let per_map = Partitioning::UnknownPartitioning(tasks);
            Arc::new(ShuffleReaderExec::new(shuffle, InputKind::PerMap, &input, per_map))
        } else {
            input
        };
        Ok(Arc::new(SortPreservingMergeExec::new(ordering, input).with_fetch(fetch)))
    }

    /// Gathers `input` into one partition unless it is one, in its order if it has one.
    pub(super) fn one_partition(&mut self, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        if partitions(&input) <= 1 {
            return Ok(input);
        }
        match input.output_ordering().cloned() {
            Some(ordering) => self.merge(input, ordering, None),
            None => self.gather(input, None),
        }
    }

    /// The rows of `input`, which has one partition, read whole by every task of the open stage.
    pub(super) fn broadcast(&mut self, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = self.one_partition(input)?;
        if let Some(shared) = gathered_as_broadcast(&input)? {
            return Ok(shared);
        }
        if input.children().is_empty() && !super::scans::is_file_scan(&input) && !input.is::<ShuffleReaderExec>() {
            // Rows that are in the plan itself need no stage.
            return Ok(input);
        }
        let one = Partitioning::UnknownPartitioning(1);
        let shuffle = self.end_stage(input.clone(), one.clone())?;
        Ok(Arc::new(ShuffleReaderExec::new(shuffle, InputKind::Broadcast, &input, one)))
    }

    fn end_stage(&mut self, plan: Arc<dyn ExecutionPlan>, output: Partitioning) -> Result<ShuffleId> {
        let index = self.stages.len();
        let shuffle = (self.shuffle_id)(index);
        let inputs = self.inputs(&plan)?;
        let indeterminate = is_indeterminate(&plan, &output, !inputs.is_empty())?;
        let num_tasks = partitions(&plan).max(1);
        self.stages.push(Stage { index, plan, num_tasks, shuffle, output, inputs, indeterminate });
        Ok(shuffle)
    }

    fn inputs(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<StageInput>> {
        let mut found = BTreeMap::new();
        each_node(plan, &mut |node| {
            if let Some(reader) = node.downcast_ref::<ShuffleReaderExec>() {
                found.entry(reader.shuffle()).or_insert(reader.kind());
            }
            Ok(())
        })?;
        found
            .into_iter()
            .map(|(shuffle, kind)| match self.stages.iter().position(|stage| stage.shuffle == shuffle) {
                Some(stage) => Ok(StageInput { stage, shuffle, kind }),
                None => internal_err!("the plan reads shuffle {shuffle}, which no stage of it writes"),
            })
            .collect()
    }
}

/// A shuffle that is gathered is on disk already: if at most cheap row-wise work follows, every task can read it and do
/// that work itself.
fn gathered_as_broadcast(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(reader) = plan.downcast_ref::<ShuffleReaderExec>() {
        let gathers = reader.kind() == InputKind::Gather;
        return Ok(gathers.then(|| Arc::new(reader.clone().with_kind(InputKind::Broadcast)) as _));
    }
    if !plan.is::<ProjectionExec>() && !plan.is::<FilterExec>() {
        return Ok(None);
    }
    let [child] = plan.children()[..] else { return Ok(None) };
    let Some(child) = gathered_as_broadcast(child)? else { return Ok(None) };
    plan.clone().replace_children(vec![child], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute)).map(Some)
}

pub(super) fn partitions(plan: &Arc<dyn ExecutionPlan>) -> usize {
    plan.output_partitioning().partition_count()
}

/// Plans are as deep as queries make them.
pub(crate) fn grow_stack<T>(f: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(128 << 10, 4 << 20, f)
}

/// Calls `f` with every node of `plan`, depth first, children in order.
pub(crate) fn each_node(
    plan: &Arc<dyn ExecutionPlan>,
    f: &mut dyn FnMut(&Arc<dyn ExecutionPlan>) -> Result<()>,
) -> Result<()> {
    f(plan)?;
    plan.children().into_iter().try_for_each(|child| grow_stack(|| each_node(child, f)))
}

/// No task needs to write more rows than all of them together may keep.
fn limited(plan: Arc<dyn ExecutionPlan>, fetch: Option<usize>) -> Arc<dyn ExecutionPlan> {
    match fetch {
        Some(fetch) if !plan.is::<LocalLimitExec>() => Arc::new(LocalLimitExec::new(plan, fetch)),
        _ => plan,
    }
}

/// `plan`, which goes into an exchange, without a round-robin repartition that the exchange undoes. Looks through
/// operators that treat each row, or each batch, on its own.
fn without_round_robin(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(repartition) = plan.downcast_ref::<RepartitionExec>()
        && matches!(repartition.partitioning(), Partitioning::RoundRobinBatch(_))
    {
        return without_round_robin(repartition.input());
    }
    let partial =
        plan.downcast_ref::<AggregateExec>().is_some_and(|aggregate| *aggregate.mode() == AggregateMode::Partial);
    let row_wise = plan.is::<FilterExec>() || plan.is::<ProjectionExec>() || plan.is::<CooperativeExec>();
    let [child] = plan.children()[..] else { return Ok(plan.clone()) };
    if !(partial || row_wise) {
        return Ok(plan.clone());
    }
    let new = without_round_robin(child)?;
    if Arc::ptr_eq(&new, child) {
        return Ok(plan.clone());
    }
    plan.clone().replace_children(vec![new], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

/// Whether a task run again may write other rows or put them into other blocks. Rows that come from other stages come
/// in no fixed order.
fn is_indeterminate(plan: &Arc<dyn ExecutionPlan>, output: &Partitioning, has_inputs: bool) -> Result<bool> {
    let mut found = has_inputs && matches!(output, Partitioning::RoundRobinBatch(_));
    each_node(plan, &mut |node| {
        let takes_some = node.fetch().is_some() && !node.is::<SortExec>() && !node.is::<SortPreservingMergeExec>();
        found |= has_inputs && takes_some;
        node.apply_expressions(&mut |expr| {
            found |= is_volatile(expr);
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(())
    })?;
    Ok(found)
}

fn is_volatile(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let volatile = expr
        .downcast_ref::<ScalarFunctionExpr>()
        .is_some_and(|function| function.fun().signature().volatility == Volatility::Volatile);
    volatile || expr.children().into_iter().any(|child| grow_stack(|| is_volatile(child)))
}
