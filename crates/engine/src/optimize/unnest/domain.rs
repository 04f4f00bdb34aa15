//! The outer columns that a subquery reads, and their distinct values.

use std::sync::Arc;

use datafusion::{
    common::{
        Column, ExprSchema, NullEquality, Result,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{Distinct, Expr, Join, JoinConstraint, JoinType, LogicalPlan},
};

use super::{Unnest, column, outer_columns, project};

/// The distinct combinations of values that a subquery's outer columns have.
pub(super) struct Domain {
    pub vars: Vec<Column>,
    plan: LogicalPlan,
    /// How its columns are compared: nulls are equal where there may be some.
    pub nulls: NullEquality,
}

/// A plan that has the domain's columns beside its own: for each combination what the plan answers for it.
pub(super) struct Bound {
    pub plan: LogicalPlan,
    /// The domain's columns in `plan`, in the order of its variables.
    pub columns: Vec<String>,
}

impl Domain {
    /// Of the columns `vars` of `outer`, of which there is one at least.
    pub fn of(outer: &LogicalPlan, vars: Vec<Column>) -> Result<Self> {
        let mut nulls = NullEquality::NullEqualsNothing;
        for var in &vars {
            if outer.schema().field_from_column(var)?.is_nullable() {
                nulls = NullEquality::NullEqualsNull;
            }
        }
        let values = project(outer.clone(), vars.iter().cloned().map(Expr::Column).collect())?;
        Ok(Self { vars, plan: LogicalPlan::Distinct(Distinct::All(Arc::new(values))), nulls })
    }

    /// The domain itself, each time under names of its own.
    pub fn fresh(&self, unnest: &Unnest) -> Result<Bound> {
        let columns: Vec<String> = self.vars.iter().map(|var| unnest.name(&var.name)).collect();
        let named = self.vars.iter().zip(&columns).map(|(var, name)| Expr::Column(var.clone()).alias(name)).collect();
        Ok(Bound { plan: project(self.plan.clone(), named)?, columns })
    }

    pub fn is_in(&self, expr: &Expr) -> bool {
        outer_columns(expr).iter().any(|c| self.vars.contains(c))
    }

    /// The expression with the domain's columns for what it reads of the outer query.
    pub fn bind(&self, expr: Expr, columns: &[String]) -> Result<Expr> {
        expr.transform_up(|e| match &e {
            Expr::OuterReferenceColumn(_, outer) => match self.vars.iter().position(|var| var == outer) {
                Some(at) => Ok(Transformed::yes(column(&columns[at]))),
                None => Ok(Transformed::no(e)),
            },
            _ => Ok(Transformed::no(e)),
        })
        .map(|bound| bound.data)
    }

    /// The same, under the name that the expression had.
    pub fn bind_named(&self, expr: Expr, columns: &[String]) -> Result<Expr> {
        if !self.is_in(&expr) {
            return Ok(expr);
        }
        let (qualifier, name) = expr.qualified_name();
        Ok(self.bind(expr.unalias(), columns)?.alias_qualified(qualifier, name))
    }

    /// Joins the outer query with what was computed for the domain.
    pub fn join_outer(
        &self,
        outer: LogicalPlan,
        bound: Bound,
        join_type: JoinType,
        filter: Option<Expr>,
    ) -> Result<LogicalPlan> {
        let keys = self.vars.iter().cloned().map(Expr::Column).zip(bound.columns.iter().map(|c| column(c))).collect();
        join(outer, bound.plan, keys, filter, join_type, self.nulls)
    }
}

pub(super) fn join(
    left: LogicalPlan,
    right: LogicalPlan,
    on: Vec<(Expr, Expr)>,
    filter: Option<Expr>,
    join_type: JoinType,
    nulls: NullEquality,
) -> Result<LogicalPlan> {
    Join::try_new(Arc::new(left), Arc::new(right), on, filter, join_type, JoinConstraint::On, nulls, false)
        .map(LogicalPlan::Join)
}

/// Every row of one with every row of the other.
pub(super) fn cross(left: LogicalPlan, right: LogicalPlan) -> Result<LogicalPlan> {
    join(left, right, Vec::new(), None, JoinType::Inner, NullEquality::NullEqualsNothing)
}
