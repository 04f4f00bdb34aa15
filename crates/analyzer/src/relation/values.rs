//! Inline tables.

use datafusion::{
    common::Column,
    logical_expr::{Expr as DfExpr, LogicalPlanBuilder},
};
use firesteel_functions::{Typed, coercion};
use firesteel_plan::{Expr, SparkResult};

use crate::{
    errors,
    expression::{Clause, Env},
    query::{Analyzer, RelEnv, build},
    scope::{Planned, Scope, project},
};

impl Analyzer<'_> {
    pub(super) fn values(&self, rows: &[Vec<Expr>], env: &RelEnv<'_>) -> SparkResult<Planned> {
        let ctx = &self.functions;
        let width = rows.first().map_or(0, Vec::len);
        let expr_env = Env::new(env, &[], Clause::Other);
        let mut cells: Vec<Vec<Typed>> = Vec::with_capacity(rows.len());
        for (i, row) in rows.iter().enumerate() {
            if row.len() != width {
                return Err(errors::inline_table_arity(i, width, row.len()));
            }
            cells.push(self.exprs(row, &expr_env)?);
        }
        let mut attributes = Vec::with_capacity(width);
        for column in 0..width {
            let name = format!("col{}", column + 1);
            let types = cells.iter().map(|row| &row[column].data_type);
            let Some(common) = coercion::common_type_of(types, ctx.ansi) else {
                return Err(errors::inline_table_types(&name));
            };
            let nullable = cells.iter().any(|row| row[column].nullable);
            attributes.push(self.attribute(name, common, nullable));
        }
        let mut values = Vec::with_capacity(cells.len());
        for row in cells {
            let row: Vec<DfExpr> = row
                .into_iter()
                .zip(&attributes)
                .map(|(cell, attribute)| coercion::implicit(ctx, cell, &attribute.data_type).map(|t| t.expr))
                .collect::<SparkResult<_>>()?;
            values.push(row);
        }
        let plan = build(LogicalPlanBuilder::values(values))?;
        let exprs = attributes
            .iter()
            .enumerate()
            .map(|(i, a)| DfExpr::Column(Column::new_unqualified(format!("column{}", i + 1))).alias(&a.column))
            .collect();
        Ok(Planned { plan: project(plan, exprs)?, scope: Scope::new(attributes) })
    }
}
