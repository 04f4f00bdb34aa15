//! Weakly connected components by spreading the smallest label: each iteration joins the labels so far with the edges.

use datafusion::{
    common::{Column, Result},
    functions_aggregate::expr_fn::min,
    logical_expr::{Expr, JoinType, LogicalPlan, LogicalPlanBuilder},
};
use firesteel_analyzer::Analyzed;
use firesteel_driver::Application;
use firesteel_plan::{SparkError, SparkResult};

/// Edges in both directions between `vertices` vertices, as many as twice that: `src`, `dst`.
pub fn edges_sql(vertices: u64) -> String {
    let one = format!("SELECT id a, (id * 16807 + 11) % {vertices} b FROM range({vertices})");
    format!("SELECT a src, b dst FROM ({one}) UNION ALL SELECT b, a FROM ({one})")
}

/// Every vertex labelled with itself: `id`, `label`.
pub fn labels_sql(vertices: u64) -> String {
    format!("SELECT id, id label FROM range({vertices})")
}

pub async fn analyzed(app: &Application, sql: &str) -> SparkResult<LogicalPlan> {
    let statement = firesteel_sql::parse_statement(sql, &Default::default())?;
    match app.session().analyze(&statement, sql).await? {
        Analyzed::Query(query) => Ok(query.plan),
        _ => Err(SparkError::internal("no query")),
    }
}

/// The labels after one more iteration: of each vertex and its neighbours the smallest.
pub fn step(edges: &LogicalPlan, labels: &LogicalPlan, number: usize) -> Result<LogicalPlan> {
    let column = |plan: &LogicalPlan, index: usize| plan.schema().columns().swap_remove(index);
    let (id, label) = (column(labels, 0), column(labels, 1));
    let (src, dst) = (column(edges, 0), column(edges, 1));
    let named = |id: Column, label: Column| {
        vec![Expr::Column(id).alias(format!("v#{number}")), Expr::Column(label).alias(format!("l#{number}"))]
    };
    let heard = LogicalPlanBuilder::from(edges.clone())
        .join(labels.clone(), JoinType::Inner, (vec![src], vec![id.clone()]), None)?
        .project(named(dst, label.clone()))?
        .build()?;
    let all = LogicalPlanBuilder::from(labels.clone()).project(named(id, label))?.union(heard)?.build()?;
    let (v, l) = (column(&all, 0), column(&all, 1));
    let grouped =
        LogicalPlanBuilder::from(all).aggregate(vec![Expr::Column(v)], vec![min(Expr::Column(l)).alias("least")])?;
    let plan = grouped.build()?;
    let (v, l) = (column(&plan, 0), column(&plan, 1));
    let renamed = vec![Expr::Column(v).alias(format!("id#{number}")), Expr::Column(l).alias(format!("label#{number}"))];
    LogicalPlanBuilder::from(plan).project(renamed)?.build()
}
