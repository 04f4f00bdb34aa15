//! In which order inner joins are made: the one with the smallest intermediate results, as far as sizes are known.
//!
//! All orders of up to [`MOST_BY_SEARCH`] tables are compared by dynamic programming over sets of tables (as in Moerkotte and
//! Neumann, "Analysis of Two Existing and One New Dynamic Programming Algorithm", VLDB 2006); more are joined greedily.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use datafusion::{
    common::{Column, JoinType, NullEquality, Result, tree_node::Transformed},
    logical_expr::{
        Expr, Join, JoinConstraint, LogicalPlan, LogicalPlanBuilder, Projection,
        utils::{conjunction, split_conjunction_owned},
    },
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};

use super::{
    estimate::{Estimate, of_keys},
    selectivity::of_predicate,
};

#[derive(Debug)]
pub struct JoinOrder {
    /// What it costs to bring a row to the task that joins it, against looking it up there: both inputs of a join travel
    /// unless one of them is small enough to be given to every task.
    pub move_cost: f64,
}

/// Through memory of the same process.
pub const MOVED_IN_MEMORY: f64 = 0.5;
/// Encoded, compressed, written, fetched and decoded.
pub const MOVED_BY_SHUFFLE: f64 = 4.0;

/// Above it the search takes longer than it saves.
const MOST_BY_SEARCH: usize = 10;
/// The order of the text stays unless another one costs less than this share of it.
const WORTH: f64 = 0.9;
/// A row put into a hash table, against one looked up in it.
const BUILD_COST: f64 = 2.0;

impl OptimizerRule for JoinOrder {
    fn name(&self) -> &str {
        "join_order"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !matches!(&plan, LogicalPlan::Join(join) if joins_freely(join)) {
            return Ok(Transformed::no(plan));
        }
        let options = config.options();
        let costs = Costs {
            moved: self.move_cost,
            broadcast_rows: options.optimizer.hash_join_single_partition_threshold_rows as f64,
        };
        Ok(match reordered(&plan, costs)? {
            Some(reordered) => Transformed::yes(reordered),
            None => Transformed::no(plan),
        })
    }
}

/// What a join costs beside the rows that it looks at.
#[derive(Debug, Clone, Copy, Default)]
struct Costs {
    moved: f64,
    /// An input of no more rows is given to every task, and the other one stays where it is.
    broadcast_rows: f64,
}

/// A set of relations, a bit each.
type Set = u64;

/// Relations joined by inner joins only, and all that is said about their columns.
#[derive(Default)]
struct Graph {
    relations: Vec<Arc<LogicalPlan>>,
    sizes: Vec<Estimate>,
    keys: Vec<Keys>,
    others: Vec<Other>,
    costs: Costs,
}

/// `left = right`, each of one relation.
struct Keys {
    left: (usize, Expr),
    right: (usize, Expr),
}

/// Any other predicate.
struct Other {
    of: Set,
    predicate: Expr,
    share: f64,
}

#[derive(Debug, Clone)]
enum Tree {
    Relation(usize),
    Join(Box<Tree>, Box<Tree>),
}

fn reordered(plan: &LogicalPlan, costs: Costs) -> Result<Option<LogicalPlan>> {
    let mut relations = Vec::new();
    let mut predicates = Vec::new();
    let written = flatten(&Arc::new(plan.clone()), &mut relations, &mut predicates);
    if relations.len() < 3 || relations.len() > Set::BITS as usize {
        return Ok(None);
    }
    let Some(graph) = Graph::new(relations, predicates, costs) else { return Ok(None) };
    let best = if graph.relations.len() <= MOST_BY_SEARCH { graph.search() } else { graph.greedy() };
    let Some(best) = best else { return Ok(None) };
    if graph.cost(&best).1 >= graph.cost(&written).1 * WORTH {
        return Ok(None);
    }
    let joined = graph.build(&best)?;
    same_columns(joined, plan.schema().columns()).map(Some)
}

/// An inner join whose inputs may change places with those of others.
fn joins_freely(join: &Join) -> bool {
    join.join_type == JoinType::Inner
        && join.null_equality == NullEquality::NullEqualsNothing
        && !join.on.iter().any(|(l, r)| l.is_volatile() || r.is_volatile())
        && !join.filter.as_ref().is_some_and(Expr::is_volatile)
}

/// Whether a projection only leaves columns out.
pub fn passes_columns(projection: &Projection) -> bool {
    projection.expr.iter().all(|expr| matches!(expr, Expr::Column(_)))
}

/// `plan` with these columns in this order.
pub fn same_columns(plan: LogicalPlan, columns: Vec<Column>) -> Result<LogicalPlan> {
    if plan.schema().columns() == columns {
        return Ok(plan);
    }
    LogicalPlanBuilder::from(plan).project(columns.into_iter().map(Expr::Column))?.build()
}

/// Takes inner joins apart.
fn flatten(plan: &Arc<LogicalPlan>, relations: &mut Vec<Arc<LogicalPlan>>, predicates: &mut Vec<Predicate>) -> Tree {
    let mut node = plan;
    while let LogicalPlan::Projection(projection) = node.as_ref()
        && passes_columns(projection)
    {
        node = &projection.input;
    }
    match node.as_ref() {
        LogicalPlan::Join(join) if joins_freely(join) => {
            let left = flatten(&join.left, relations, predicates);
            let right = flatten(&join.right, relations, predicates);
            predicates.extend(join.on.iter().map(|(l, r)| Predicate::Equal(l.clone(), r.clone())));
            let filters = join.filter.iter().cloned().flat_map(split_conjunction_owned);
            predicates.extend(filters.map(Predicate::Other));
            Tree::Join(Box::new(left), Box::new(right))
        }
        _ => {
            // With its projection: what it leaves out must stay out.
            relations.push(Arc::clone(plan));
            Tree::Relation(relations.len() - 1)
        }
    }
}

enum Predicate {
    Equal(Expr, Expr),
    Other(Expr),
}

impl Graph {
    /// Nothing where a size is not known, or columns cannot be told apart by their names.
    fn new(relations: Vec<Arc<LogicalPlan>>, predicates: Vec<Predicate>, costs: Costs) -> Option<Self> {
        let mut owner: HashMap<Column, usize> = HashMap::new();
        for (index, relation) in relations.iter().enumerate() {
            for column in relation.schema().columns() {
                if owner.insert(column, index).is_some() {
                    return None;
                }
            }
        }
        let set = |expr: &Expr| -> Option<Set> {
            expr.column_refs()
                .into_iter()
                .map(|c| owner.get(c).map(|i| 1 << i))
                .try_fold(0, |all, bit| Some(all | bit?))
        };
        let single = |set: Set| (set.count_ones() == 1).then(|| set.trailing_zeros() as usize);
        let sizes = relations.iter().map(|r| Estimate::of(r)).collect::<Option<Vec<_>>>()?;
        let mut graph = Self { relations, sizes, costs, ..Self::default() };
        for predicate in predicates {
            let other = match predicate {
                Predicate::Equal(left, right) => match (single(set(&left)?), single(set(&right)?)) {
                    (Some(l), Some(r)) if l != r => {
                        graph.keys.push(Keys { left: (l, left), right: (r, right) });
                        continue;
                    }
                    _ => left.eq(right),
                },
                Predicate::Other(other) => other,
            };
            let of = set(&other)?;
            let share = of_predicate(&other, &graph.cross(of));
            graph.others.push(Other { of, predicate: other, share });
        }
        Some(graph)
    }

    fn cross(&self, set: Set) -> Estimate {
        let some = self.sizes.iter().enumerate().filter(|(i, _)| set & (1 << i) != 0).map(|(_, size)| size.clone());
        some.reduce(Estimate::cross).unwrap_or_default()
    }

    /// Rows of the join of a set, whatever the order.
    fn rows(&self, set: Set) -> f64 {
        let has = |index: usize| set & (1 << index) != 0;
        let all: f64 = self.sizes.iter().enumerate().filter(|(i, _)| has(*i)).map(|(_, size)| size.rows).product();
        let mut pairs: BTreeMap<(usize, usize), Vec<(&Expr, &Expr)>> = BTreeMap::new();
        for keys in &self.keys {
            let ((l, left), (r, right)) = (&keys.left, &keys.right);
            if has(*l) && has(*r) {
                let (pair, keys) = if l < r { ((*l, *r), (left, right)) } else { ((*r, *l), (right, left)) };
                pairs.entry(pair).or_default().push(keys);
            }
        }
        let shares = pairs.into_iter().map(|((l, r), keys)| of_keys(&self.sizes[l], &self.sizes[r], keys));
        let keys: f64 = shares.product();
        let others: f64 = self.others.iter().filter(|o| o.of & !set == 0).map(|o| o.share).product();
        (all * keys * others).max(1.0)
    }

    fn connected(&self, left: Set, right: Set) -> bool {
        self.keys.iter().any(|keys| {
            let (l, r) = (1 << keys.left.0, 1 << keys.right.0);
            (left & l != 0 && right & r != 0) || (left & r != 0 && right & l != 0)
        })
    }

    /// The relations of a tree and what it costs.
    fn cost(&self, tree: &Tree) -> (Set, f64) {
        match tree {
            Tree::Relation(index) => (1 << index, 0.0),
            Tree::Join(left, right) => {
                let ((l, left), (r, right)) = (self.cost(left), self.cost(right));
                (l | r, left + right + self.join_cost(self.rows(l), self.rows(r), self.rows(l | r)))
            }
        }
    }

    fn join_cost(&self, left: f64, right: f64, joined: f64) -> f64 {
        let (small, large) = (left.min(right), left.max(right));
        let moved = if small > self.costs.broadcast_rows { self.costs.moved * (small + large) } else { 0.0 };
        BUILD_COST * small + large + joined + moved
    }

    /// The cheapest order without cross products. Nothing if there is none.
    fn search(&self) -> Option<Tree> {
        let all: Set = (1 << self.relations.len()) - 1;
        let rows: Vec<f64> = (0..=all).map(|set| if set == 0 { 0.0 } else { self.rows(set) }).collect();
        // By set: its cost and the part of it that is the left input.
        let mut best: Vec<Option<(f64, Set)>> = vec![None; rows.len()];
        for index in 0..self.relations.len() {
            best[1 << index] = Some((0.0, 0));
        }
        for set in 1..=all {
            if set.count_ones() < 2 {
                continue;
            }
            let mut left = (set - 1) & set;
            while left != 0 {
                let right = set & !left;
                // Each pair once.
                if left < right
                    && let (Some((left_cost, _)), Some((right_cost, _))) = (best[left as usize], best[right as usize])
                    && self.connected(left, right)
                {
                    let joining = self.join_cost(rows[left as usize], rows[right as usize], rows[set as usize]);
                    let cost = left_cost + right_cost + joining;
                    if best[set as usize].is_none_or(|(known, _)| cost < known) {
                        best[set as usize] = Some((cost, left));
                    }
                }
                left = (left - 1) & set;
            }
        }
        fn tree(set: Set, best: &[Option<(f64, Set)>]) -> Option<Tree> {
            match best.get(set as usize)?.as_ref()? {
                (_, 0) => Some(Tree::Relation(set.trailing_zeros() as usize)),
                (_, left) => Some(Tree::Join(Box::new(tree(*left, best)?), Box::new(tree(set & !left, best)?))),
            }
        }
        tree(all, &best)
    }

    /// Joins the pair with the smallest result, until all are joined.
    fn greedy(&self) -> Option<Tree> {
        let mut parts: Vec<(Set, Tree)> = (0..self.relations.len()).map(|i| (1 << i, Tree::Relation(i))).collect();
        while parts.len() > 1 {
            let mut found: Option<(f64, usize, usize)> = None;
            for (i, (left, _)) in parts.iter().enumerate() {
                for (j, (right, _)) in parts.iter().enumerate().skip(i + 1) {
                    if self.connected(*left, *right) {
                        let rows = self.rows(left | right);
                        if found.is_none_or(|(known, ..)| rows < known) {
                            found = Some((rows, i, j));
                        }
                    }
                }
            }
            let (_, i, j) = found?;
            let (right_set, right) = parts.swap_remove(j);
            let (left_set, left) = parts.swap_remove(i);
            parts.push((left_set | right_set, Tree::Join(Box::new(left), Box::new(right))));
        }
        parts.pop().map(|(_, tree)| tree)
    }

    fn build(&self, tree: &Tree) -> Result<LogicalPlan> {
        let (all, plan) = self.part(tree)?;
        // What is said about one relation alone or about none has no join to stand in.
        let rest =
            self.others.iter().filter(|o| o.of.count_ones() < 2 && o.of & !all == 0).map(|o| o.predicate.clone());
        match conjunction(rest) {
            Some(predicate) => LogicalPlanBuilder::from(plan).filter(predicate)?.build(),
            None => Ok(plan),
        }
    }

    fn part(&self, tree: &Tree) -> Result<(Set, LogicalPlan)> {
        let (left, right) = match tree {
            Tree::Relation(index) => return Ok((1 << index, self.relations[*index].as_ref().clone())),
            Tree::Join(left, right) => (self.part(left)?, self.part(right)?),
        };
        // Hash tables are built from the left input.
        let ((l, left), (r, right)) =
            if self.rows(left.0) <= self.rows(right.0) { (left, right) } else { (right, left) };
        let within = |set: Set, index: usize| set & (1 << index) != 0;
        let mut on = Vec::new();
        for keys in &self.keys {
            let ((a, first), (b, second)) = (&keys.left, &keys.right);
            if within(l, *a) && within(r, *b) {
                on.push((first.clone(), second.clone()));
            } else if within(l, *b) && within(r, *a) {
                on.push((second.clone(), first.clone()));
            }
        }
        let both = l | r;
        let here = self.others.iter().filter(|o| o.of & !both == 0 && o.of & !l != 0 && o.of & !r != 0);
        let filter = conjunction(here.map(|o| o.predicate.clone()));
        let join = Join::try_new(
            Arc::new(left),
            Arc::new(right),
            on,
            filter,
            JoinType::Inner,
            JoinConstraint::On,
            NullEquality::NullEqualsNothing,
            false,
        )?;
        Ok((both, LogicalPlan::Join(join)))
    }
}
