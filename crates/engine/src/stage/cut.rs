//! Where a plan is cut.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

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
use crate::{cache::InMemoryTableScanExec, exchange::ExchangeExec, reuse::ReusedExec, shuffle::ShuffleReaderExec};

/// Cuts `plan`, whose scalar subqueries are inlined ([`super::inline_scalar_subqueries`]), at its exchanges. Stage `i`
/// of the graph writes the shuffle that `shuffle_id(i)` names; ids must not repeat within an application attempt.
pub fn cut(plan: Arc<dyn ExecutionPlan>, shuffle_id: &mut dyn FnMut(usize) -> ShuffleId) -> Result<StageGraph> {
    let mut stages = Vec::new();
    cut_ready(plan, &mut stages, shuffle_id, &AllAtOnce)?;
    Ok(StageGraph { stages })
}

/// How far the stages of a plan are, for a plan that is cut while it runs.
pub trait Progress {
    /// Whether all outputs of this shuffle are there: only then is what reads it cut off as a stage.
    fn is_complete(&self, shuffle: ShuffleId) -> bool;

    /// `plan`, whose shuffles are complete and which is about to become a stage or the input of a gathering one, as it
    /// shall run: other ranges of its shuffles, the same rows. To be called again with its answer.
    fn finish(&self, plan: Arc<dyn ExecutionPlan>, stages: &[Stage]) -> Result<Arc<dyn ExecutionPlan>>;
}

/// Every stage is cut before the first one runs.
struct AllAtOnce;

impl Progress for AllAtOnce {
    fn is_complete(&self, _: ShuffleId) -> bool {
        true
    }

    fn finish(&self, plan: Arc<dyn ExecutionPlan>, _: &[Stage]) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(plan)
    }
}

/// Cuts off all stages of `plan` whose inputs are complete and appends them to `stages`, which holds those cut before.
/// Answers what is left: a plan over the readers of their shuffles, or `None` when the last stage appended is the result
/// stage.
pub fn cut_ready(
    plan: Arc<dyn ExecutionPlan>,
    stages: &mut Vec<Stage>,
    shuffle_id: &mut dyn FnMut(usize) -> ShuffleId,
    progress: &dyn Progress,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let mut cutter = Cutter { stages, shuffle_id, progress, lineages: HashMap::new(), reused: HashMap::new() };
    let root = cutter.rewrite(plan)?;
    if !root.complete {
        return Ok(Some(root.plan));
    }
    cutter.end_stage(root.plan, Partitioning::UnknownPartitioning(1), false)?;
    Ok(None)
}

/// Rewrites a plan from its leaves up. What it returns is the plan of a stage still open at the top; the stages below
/// are done.
pub(super) struct Cutter<'a> {
    stages: &'a mut Vec<Stage>,
    shuffle_id: &'a mut dyn FnMut(usize) -> ShuffleId,
    progress: &'a dyn Progress,
    /// What cached relations are computed from, cut once however often they are read.
    lineages: HashMap<u64, Option<Arc<dyn ExecutionPlan>>>,
    /// Parts that have several places, cut once.
    reused: HashMap<u64, Open>,
}

/// A part of a plan, without the stages that were cut off below.
#[derive(Clone)]
struct Open {
    plan: Arc<dyn ExecutionPlan>,
    /// All shuffles that it reads are complete, so that what is above can be cut.
    complete: bool,
}

impl Cutter<'_> {
    fn rewrite(&mut self, plan: Arc<dyn ExecutionPlan>) -> Result<Open> {
        grow_stack(|| self.rewrite_node(plan))
    }

    fn rewrite_node(&mut self, plan: Arc<dyn ExecutionPlan>) -> Result<Open> {
        if let Some(scan) = plan.downcast_ref::<InMemoryTableScanExec>() {
            return Ok(Open { plan: self.cached(scan)?, complete: true });
        }
        if let Some(place) = plan.downcast_ref::<ReusedExec>() {
            return self.reused(place);
        }
        if let Some(reader) = plan.downcast_ref::<ShuffleReaderExec>() {
            let complete = self.progress.is_complete(reader.shuffle());
            return Ok(Open { plan, complete });
        }
        if plan.is::<ScalarSubqueryExec>() {
            return internal_err!("scalar subqueries must be inlined before a plan is cut");
        }
        if plan.is::<RecursiveQueryExec>() {
            return not_impl_err!("recursive queries that run on executors");
        }
        if plan.children().is_empty() {
            // A scan without files has no partition, but every stage has a task.
            let plan = if partitions(&plan) == 0 { Arc::new(EmptyExec::new(plan.schema())) } else { plan };
            return Ok(Open { plan, complete: true });
        }
        let plan = super::join::with_exchanged_sides(plan)?;
        let below = inputs(&plan)?.into_iter().map(|input| self.rewrite(input)).collect::<Result<Vec<_>>>()?;
        let cut = self.stages.len();
        if below.iter().all(|input| input.complete) {
            let plan = self.connect(&plan, below.into_iter().map(|input| input.plan).collect())?;
            let complete = self.stages[cut..].iter().all(|stage| self.progress.is_complete(stage.shuffle));
            return Ok(Open { plan, complete });
        }
        let mut children = Vec::with_capacity(below.len());
        for (index, input) in below.into_iter().enumerate() {
            // Nothing that the other side may turn out to be changes this one.
            let read_whole = input.complete && super::join::is_broadcast(&plan, index);
            children.push(if read_whole { self.broadcast(input.plan)? } else { input.plan });
        }
        Ok(Open { plan: over(plan, children)?, complete: false })
    }

    /// `plan` over `children`, which are complete: an exchange becomes a reader of the stage cut off below it.
    fn connect(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if let [input] = children.as_slice() {
            let input = input.clone();
            if let Some(repartition) = plan.downcast_ref::<RepartitionExec>() {
                return self.repartition(repartition, input, false);
            }
            if let Some(exchange) = plan.downcast_ref::<ExchangeExec>() {
                return self.repartition(exchange.as_repartition(), input, exchange.is_counted());
            }
            if let Some(coalesce) = plan.downcast_ref::<CoalescePartitionsExec>() {
                return self.gather(input, coalesce.fetch());
            }
            if let Some(merge) = plan.downcast_ref::<SortPreservingMergeExec>()
                && !reads_each_map(&input)
            {
                return self.merge(input, merge.expr().clone(), merge.fetch());
            }
        }
        if let Some(join) = plan.downcast_ref::<HashJoinExec>()
            && let [left, right] = children.as_slice()
        {
            return self.hash_join(join, left.clone(), right.clone());
        }
        if (plan.is::<CrossJoinExec>() || plan.is::<NestedLoopJoinExec>())
            && let [left, right] = children.as_mut_slice()
        {
            self.loop_join(plan, left, right)?;
        }
        self.replace(plan.clone(), children)
    }

    /// A stage of its own, each of whose tasks' rows are a partition for all readers.
    fn reused(&mut self, place: &ReusedExec) -> Result<Open> {
        if let Some(known) = self.reused.get(&place.id()) {
            return Ok(known.clone());
        }
        let below = self.rewrite(place.input().clone())?;
        let open = if below.complete {
            let input = self.progress.finish(below.plan, self.stages)?;
            let shuffle = self.end_stage(input.clone(), Partitioning::UnknownPartitioning(1), true)?;
            let per_map = Partitioning::UnknownPartitioning(partitions(&input).max(1));
            let reader = Arc::new(ShuffleReaderExec::new(shuffle, InputKind::PerMap, &input, per_map));
            Open { plan: reader, complete: self.progress.is_complete(shuffle) }
        } else {
            Open { plan: Arc::new(place.over(below.plan)), complete: false }
        };
        self.reused.insert(place.id(), open.clone());
        Ok(open)
    }

    /// The scan over what its relation is computed from, which is cut at once: no size that is known later changes it.
    fn cached(&mut self, scan: &InMemoryTableScanExec) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(relation) = scan.relation() else { return Ok(Arc::new(scan.clone())) };
        let lineage = match self.lineages.get(&relation.id) {
            Some(known) => known.clone(),
            None => {
                let lineage = relation.lineage().map(|lineage| self.lineage(lineage)).transpose()?;
                self.lineages.insert(relation.id, lineage.clone());
                lineage
            }
        };
        Ok(Arc::new(scan.revealed(lineage)?))
    }

    fn lineage(&mut self, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let before = self.stages.len();
        let lineages = std::mem::take(&mut self.lineages);
        let reused = HashMap::new();
        let (stages, shuffle_id) = (&mut *self.stages, &mut *self.shuffle_id);
        let mut inner = Cutter { stages, shuffle_id, progress: &AllAtOnce, lineages, reused };
        let open = inner.rewrite(plan)?.plan;
        self.lineages = inner.lineages;
        self.stages.iter_mut().skip(before).for_each(|stage| stage.lineage = true);
        Ok(open)
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
        over(plan, children)
    }

    fn repartition(
        &mut self,
        repartition: &RepartitionExec,
        input: Arc<dyn ExecutionPlan>,
        counted: bool,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let partitioning = repartition.partitioning().clone();
        if let Partitioning::UnknownPartitioning(n) = partitioning {
            return internal_err!("a repartition to {n} unknown partitions");
        }
        let ordering = repartition.preserve_order().then(|| input.output_ordering().cloned()).flatten();
        if partitioning.partition_count() <= 1 {
            return match ordering {
                Some(ordering) => self.merge(input, ordering, None),
                None => self.gather(input, None),
            };
        }
        // The blocks of a reduce partition come from many tasks, so an order must be made anew.
        let reader = self.exchange(input, partitioning, counted)?;
        Ok(match ordering {
            Some(ordering) => Arc::new(SortExec::new(ordering, reader).with_preserve_partitioning(true)),
            None => reader,
        })
    }

    /// Ends the stage `input`, its rows spread by `partitioning`, and reads them. `counted`: into as many partitions as
    /// the query says.
    fn exchange(
        &mut self,
        input: Arc<dyn ExecutionPlan>,
        partitioning: Partitioning,
        counted: bool,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let shuffle = self.end_stage(input.clone(), partitioning.clone(), counted)?;
        let reader = ShuffleReaderExec::new(shuffle, InputKind::Partitioned, &input, partitioning);
        Ok(Arc::new(reader))
    }

    /// All rows of `input` in one partition, in any order; no more than `fetch`.
    pub(super) fn gather(
        &mut self,
        input: Arc<dyn ExecutionPlan>,
        fetch: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = self.progress.finish(input, self.stages)?;
        let single = if partitions(&input) > 1 {
            let input = limited(input, fetch);
            let one = Partitioning::UnknownPartitioning(1);
            let shuffle = self.end_stage(input.clone(), one.clone(), true)?;
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
        let input = self.progress.finish(input, self.stages)?;
        let tasks = partitions(&input);
        let input = if tasks > 1 {
            let input = limited(input, fetch);
            let shuffle = self.end_stage(input.clone(), Partitioning::UnknownPartitioning(1), true)?;
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
        let shuffle = self.end_stage(input.clone(), one.clone(), true)?;
        Ok(Arc::new(ShuffleReaderExec::new(shuffle, InputKind::Broadcast, &input, one)))
    }

    fn end_stage(&mut self, plan: Arc<dyn ExecutionPlan>, output: Partitioning, counted: bool) -> Result<ShuffleId> {
        let plan = self.progress.finish(plan, self.stages)?;
        let index = self.stages.len();
        let shuffle = (self.shuffle_id)(index);
        let inputs = self.inputs(&plan)?;
        let indeterminate = is_indeterminate(&plan, &output, !inputs.is_empty())?;
        let num_tasks = partitions(&plan).max(1);
        self.stages.push(Stage {
            index,
            plan,
            num_tasks,
            shuffle,
            output,
            inputs,
            indeterminate,
            counted,
            lineage: false,
        });
        Ok(shuffle)
    }

    fn inputs(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<StageInput>> {
        let mut found = BTreeMap::new();
        readers(plan, false, &mut found);
        found
            .into_iter()
            .map(|(shuffle, (kind, lazy))| match self.stages.iter().position(|stage| stage.shuffle == shuffle) {
                Some(stage) => Ok(StageInput { stage, shuffle, kind, lazy }),
                None => internal_err!("the plan reads shuffle {shuffle}, which no stage of it writes"),
            })
            .collect()
    }
}

/// What of a node is cut on its own: its children, without repartitions that the node's exchange undoes.
fn inputs(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
    let exchanges = plan.is::<RepartitionExec>()
        || plan.is::<ExchangeExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<SortPreservingMergeExec>();
    let children = plan.children().into_iter();
    children.map(|child| if exchanges { without_round_robin(child) } else { Ok(child.clone()) }).collect()
}

/// `plan` over other children.
pub(crate) fn over(
    plan: Arc<dyn ExecutionPlan>,
    children: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if plan.children().into_iter().zip(&children).all(|(old, new)| Arc::ptr_eq(old, new)) {
        return Ok(plan);
    }
    plan.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

/// Whether the partitions of `plan` are the outputs of single map tasks: there is nothing to be cut above it again.
fn reads_each_map(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<ShuffleReaderExec>().is_some_and(|reader| reader.kind() == InputKind::PerMap)
}

/// The shuffles that a plan reads, and whether only complete cached relations would read them.
fn readers(plan: &Arc<dyn ExecutionPlan>, below_complete: bool, found: &mut BTreeMap<ShuffleId, (InputKind, bool)>) {
    if let Some(reader) = plan.downcast_ref::<ShuffleReaderExec>() {
        let (_, lazy) = found.entry(reader.shuffle()).or_insert((reader.kind(), below_complete));
        *lazy &= below_complete;
    }
    let complete = plan.downcast_ref::<InMemoryTableScanExec>().is_some_and(InMemoryTableScanExec::is_complete);
    for child in plan.children() {
        grow_stack(|| readers(child, below_complete || complete, found));
    }
}

/// A shuffle that is read in one partition is on disk already: if at most cheap row-wise work follows, every task can
/// read it and do that work itself.
fn gathered_as_broadcast(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(reader) = plan.downcast_ref::<ShuffleReaderExec>() {
        let gathers = partitions(plan) == 1;
        return Ok(gathers.then(|| Arc::new(reader.clone().with_kind(InputKind::Broadcast)) as _));
    }
    if !plan.is::<ProjectionExec>() && !plan.is::<FilterExec>() {
        return Ok(None);
    }
    let [child] = plan.children()[..] else { return Ok(None) };
    let Some(child) = gathered_as_broadcast(child)? else { return Ok(None) };
    over(plan.clone(), vec![child]).map(Some)
}

pub(crate) fn partitions(plan: &Arc<dyn ExecutionPlan>) -> usize {
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
    over(plan.clone(), vec![new])
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
