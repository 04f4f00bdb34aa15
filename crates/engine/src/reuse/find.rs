//! Which parts of an optimized plan are the same.

use std::{
    collections::{HashMap, VecDeque, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    mem::discriminant,
    sync::Arc,
};

use datafusion::{
    common::{
        Column, Result, internal_datafusion_err,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr, Extension, LogicalPlan, Projection, Subquery},
};

use super::ReusedNode;
use crate::{cache::canonical, stage::grow_stack};

/// A query whose equal parts are cut out.
pub(crate) struct Found {
    /// Each after those that stand in it. A [`ReusedNode`] names its part by the index.
    pub parts: Vec<FoundPart>,
    pub plan: LogicalPlan,
}

pub(crate) struct FoundPart {
    pub plan: LogicalPlan,
    /// Places where it stands, at least two.
    pub readers: usize,
}

/// The largest parts of `plan` that stand in it more than once and are work to compute; `None` when there are none.
pub(crate) fn find(plan: &LogicalPlan) -> Result<Option<Found>> {
    let mut finder = Finder::default();
    finder.print(plan)?;
    if finder.counts.values().all(|count| *count < 2) {
        return Ok(None);
    }
    finder.visit(plan)?;
    if finder.candidates.iter().all(|candidate| candidate.places < 2) && finder.values.is_empty() {
        return Ok(None);
    }
    let new = finder.rewritten(plan)?;
    Ok(new.map(|plan| Found { parts: finder.parts, plan }))
}

/// A node by its address: the plan is borrowed while this is looked at.
type Address = *const LogicalPlan;

/// A hash that equal parts share, and few others.
#[derive(Clone, Copy)]
struct Print {
    hash: u64,
    /// It has a join, an aggregate or the like: more work than reading it back.
    is_work: bool,
    /// It has nothing that is another thing in another place: volatile functions, columns of a query around it.
    is_closed: bool,
}

#[derive(Default)]
struct Finder {
    prints: HashMap<Address, Print>,
    counts: HashMap<u64, usize>,
    by_text: HashMap<String, usize>,
    candidates: Vec<Candidate>,
    at: HashMap<Address, usize>,
    /// Scalar subqueries that are the same as an earlier one.
    values: HashMap<Address, Arc<LogicalPlan>>,
    /// By candidate.
    first_values: HashMap<usize, Arc<LogicalPlan>>,
    parts: Vec<FoundPart>,
}

#[derive(Default)]
struct Candidate {
    /// Those inside of a part's second and later places do not count: they are not computed.
    places: usize,
    /// Its index among the parts, once it is one.
    part: Option<usize>,
}

impl Finder {
    fn print(&mut self, plan: &LogicalPlan) -> Result<Print> {
        grow_stack(|| self.print_node(plan))
    }

    fn print_node(&mut self, plan: &LogicalPlan) -> Result<Print> {
        use LogicalPlan::{Aggregate, Distinct, Join, TableScan, Window};
        let mut hasher = DefaultHasher::new();
        discriminant(plan).hash(&mut hasher);
        plan.schema().fields().len().hash(&mut hasher);
        if let TableScan(scan) = plan {
            scan.table_name.hash(&mut hasher);
            scan.projection.hash(&mut hasher);
        }
        let mut is_work = matches!(plan, Aggregate(_) | Distinct(_) | Join(_) | Window(_));
        let mut is_closed = true;
        plan.apply_expressions(|expr| {
            discriminant(expr).hash(&mut hasher);
            is_closed &= !expr.is_volatile() && !expr.contains_outer();
            Ok(TreeNodeRecursion::Continue)
        })?;
        let mut below = |print: Print| {
            print.hash.hash(&mut hasher);
            is_work |= print.is_work;
            is_closed &= print.is_closed;
        };
        for input in plan.inputs() {
            below(self.print(input)?);
        }
        for subquery in subqueries(plan)? {
            below(self.print(&subquery.subquery)?);
        }
        let print = Print { hash: hasher.finish(), is_work, is_closed };
        self.prints.insert(plan, print);
        if is_work && is_closed {
            *self.counts.entry(print.hash).or_default() += 1;
        }
        Ok(print)
    }

    /// Whether something has this node's print too.
    fn may_repeat(&self, plan: &LogicalPlan) -> bool {
        let print = self.prints.get(&std::ptr::from_ref(plan));
        print.is_some_and(|p| p.is_work && p.is_closed && self.counts.get(&p.hash).is_some_and(|count| *count > 1))
            && !plan.schema().fields().is_empty()
    }

    /// What this node is a place of, unless nothing can be the same.
    fn candidate(&mut self, plan: &LogicalPlan) -> Option<usize> {
        if let Some(known) = self.at.get(&std::ptr::from_ref(plan)) {
            return Some(*known);
        }
        let text = self.may_repeat(plan).then(|| canonical(plan))??;
        let next = self.candidates.len();
        let index = *self.by_text.entry(text).or_insert(next);
        if index == next {
            self.candidates.push(Candidate::default());
        }
        self.at.insert(plan, index);
        Some(index)
    }

    fn visit(&mut self, plan: &LogicalPlan) -> Result<()> {
        grow_stack(|| self.visit_node(plan))
    }

    fn visit_node(&mut self, plan: &LogicalPlan) -> Result<()> {
        if let Some(index) = self.candidate(plan) {
            self.candidates[index].places += 1;
            if self.candidates[index].places > 1 {
                return Ok(());
            }
        }
        for input in plan.inputs() {
            self.visit(input)?;
        }
        let is_filter = matches!(plan, LogicalPlan::Filter(_));
        for subquery in subqueries(plan)? {
            let address = Arc::as_ptr(&subquery.subquery);
            if is_filter
                && subquery.outer_ref_columns.is_empty()
                && let Some(index) = self.candidate(&subquery.subquery)
            {
                match self.first_values.get(&index) {
                    Some(first) => {
                        self.values.insert(address, first.clone());
                        continue;
                    }
                    None => _ = self.first_values.insert(index, subquery.subquery.clone()),
                }
            }
            self.visit(&subquery.subquery)?;
        }
        Ok(())
    }

    /// The plan over its parts, if there are any in it.
    fn rewritten(&mut self, plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        grow_stack(|| {
            let index = self.at.get(&std::ptr::from_ref(plan)).copied();
            match index.filter(|index| self.candidates[*index].places > 1) {
                Some(index) => self.place(plan, index).map(Some),
                None => self.over_parts(plan),
            }
        })
    }

    /// A place of a part, with the columns of `plan`.
    fn place(&mut self, plan: &LogicalPlan, index: usize) -> Result<LogicalPlan> {
        let part = match self.candidates[index].part {
            Some(part) => part,
            None => {
                let inner = self.over_parts(plan)?.unwrap_or_else(|| plan.clone());
                self.parts.push(FoundPart { plan: inner, readers: self.candidates[index].places });
                *self.candidates[index].part.insert(self.parts.len() - 1)
            }
        };
        let schema = self.parts[part].plan.schema().clone();
        let leaf = ReusedNode { part, schema: schema.clone() };
        let leaf = LogicalPlan::Extension(Extension { node: Arc::new(leaf) });
        if schema == *plan.schema() {
            return Ok(leaf);
        }
        let columns = schema.iter().zip(plan.schema().iter()).map(|((qualifier, field), (as_qualifier, as_field))| {
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            column.alias_qualified(as_qualifier.cloned(), as_field.name())
        });
        let projection = Projection::try_new_with_schema(columns.collect(), Arc::new(leaf), plan.schema().clone())?;
        Ok(LogicalPlan::Projection(projection))
    }

    /// `plan` itself, with parts in its inputs and subqueries.
    fn over_parts(&mut self, plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        let inputs = plan.inputs();
        let mut new: VecDeque<Option<LogicalPlan>> = VecDeque::with_capacity(inputs.len());
        for input in inputs {
            new.push_back(self.rewritten(input)?);
        }
        let mut changed = new.iter().any(Option::is_some);
        let mut rebuilt = plan.clone();
        if changed {
            rebuilt = rebuilt
                .map_children(|input| {
                    let next = new.pop_front().ok_or_else(|| internal_datafusion_err!("inputs that were not there"))?;
                    Ok(next.map_or_else(|| Transformed::no(input), Transformed::yes))
                })?
                .data;
        }
        let with_subqueries = rebuilt.map_subqueries(|subquery| {
            let LogicalPlan::Subquery(subquery) = subquery else { return Ok(Transformed::no(subquery)) };
            let known = self.values.get(&Arc::as_ptr(&subquery.subquery)).cloned();
            let of = known.as_ref().unwrap_or(&subquery.subquery).clone();
            let inner = self.rewritten(&of)?.map(Arc::new).or(known);
            Ok(match inner {
                Some(inner) => Transformed::yes(LogicalPlan::Subquery(Subquery { subquery: inner, ..subquery })),
                None => Transformed::no(LogicalPlan::Subquery(subquery)),
            })
        })?;
        changed |= with_subqueries.transformed;
        Ok(changed.then_some(with_subqueries.data))
    }
}

/// The queries in a node's expressions.
fn subqueries(plan: &LogicalPlan) -> Result<Vec<Subquery>> {
    let mut all = Vec::new();
    plan.apply_subqueries(|subquery| {
        if let LogicalPlan::Subquery(subquery) = subquery {
            all.push(subquery.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(all)
}
