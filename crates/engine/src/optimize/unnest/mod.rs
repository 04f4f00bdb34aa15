//! Correlated subqueries become joins, whatever they are made of and however deep they are.
//!
//! A subquery is computed once for all rows around it: for every distinct combination of the outer columns that it reads
//! (its [`Domain`]), with these columns beside its own, so that a join brings each row of the outer query its answer.
//! After Neumann and Kemper, "Unnesting Arbitrary Queries", BTW 2015.
//!
//! DataFusion's own rules make cheaper plans of the plainest subqueries, which need no domain: these are left to them
//! (see [`plain`]).

mod attach;
mod domain;
mod lateral;
mod plain;
mod push;

use std::{cell::Cell, sync::Arc};

use datafusion::{
    common::{
        Column, Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    error::DataFusionError,
    logical_expr::{Expr, LogicalPlan, Projection, Subquery},
    optimizer::AnalyzerRule,
};
use firesteel_plan::SparkError;

/// Goes before DataFusion's own rules, whose checks refuse most correlated subqueries.
#[derive(Debug)]
pub struct UnnestSubqueries;

impl AnalyzerRule for UnnestSubqueries {
    fn name(&self) -> &str {
        "unnest_subqueries"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Unnest::default().plan(plan)
    }
}

/// One plan's rewriting: it names what it adds.
#[derive(Default)]
struct Unnest {
    names: Cell<usize>,
}

impl Unnest {
    /// A name that no column of the plan has.
    fn name(&self, of: &str) -> String {
        let n = self.names.get();
        self.names.set(n + 1);
        format!("{of}@u{n}")
    }

    /// From the innermost subquery to the outermost.
    fn plan(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        plan.transform_up(|node| self.node(node)).map(|done| done.data)
    }

    fn node(&self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        if let Some(joined) = self.lateral(&node)? {
            return Ok(Transformed::yes(joined));
        }
        if !has_subquery(&node)? {
            return Ok(Transformed::no(node));
        }
        let inside = node.map_subqueries(|plan| match plan {
            LogicalPlan::Subquery(subquery) => {
                let plan = self.plan(Arc::unwrap_or_clone(subquery.subquery))?;
                Ok(Transformed::yes(LogicalPlan::Subquery(wrap(plan))))
            }
            other => Ok(Transformed::no(other)),
        })?;
        self.attached(inside.data).map(Transformed::yes)
    }
}

fn has_subquery(node: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    node.apply_expressions(|expr| {
        found |= contains_subquery(expr);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Whether a query is in the expression.
pub fn contains_subquery(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_)))).unwrap_or(false)
}

fn wrap(plan: LogicalPlan) -> Subquery {
    let outer_ref_columns = plan.all_out_ref_exprs();
    Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: Default::default() }
}

/// The columns of queries around it that a plan reads.
fn free_columns(plan: &LogicalPlan) -> Result<Vec<Column>> {
    let mut found: Vec<Column> = Vec::new();
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            for column in outer_columns(expr) {
                if !found.contains(&column) {
                    found.push(column);
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(found)
}

fn outer_columns(expr: &Expr) -> Vec<Column> {
    let mut found = Vec::new();
    // Infallible: the closure answers no error.
    let _ = expr.apply(|e| {
        if let Expr::OuterReferenceColumn(_, column) = e {
            found.push(column.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// All of a plan's columns, by name.
fn columns_of(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema().columns().into_iter().map(Expr::Column).collect()
}

fn project(plan: LogicalPlan, exprs: Vec<Expr>) -> Result<LogicalPlan> {
    Projection::try_new(exprs, Arc::new(plan)).map(LogicalPlan::Projection)
}

fn unsupported(what: impl std::fmt::Display) -> DataFusionError {
    DataFusionError::External(Box::new(SparkError::unsupported(what)))
}
