//! Times of iterations of weakly connected components over a persisted table of edges, on executors of this process:
//! `iterations [ROWS] [ITERATIONS] [EXECUTORS]`. See bench/iterations/run.

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "no example needs all of it")]
mod common;
mod components;

use std::time::Instant;

use datafusion::{
    functions_aggregate::expr_fn::sum,
    logical_expr::{Expr, LogicalPlanBuilder},
};
use firesteel_engine::{cache::StorageLevel, error::from_datafusion};
use firesteel_plan::SparkResult;

use common::{Executors, argument};

#[tokio::main]
async fn main() -> SparkResult<()> {
    let (rows, iterations, executors) = (argument(1, 1_000_000)?, argument(2, 30)?, argument(3, 2)?);
    let vertices = (rows / 2).max(1);
    let all = Executors::start(u32::try_from(executors).unwrap_or(2), &[]).await?;
    let (app, progress) = (all.application(), &all.progress);

    let edges = components::analyzed(&app, &components::edges_sql(vertices)).await?;
    let mut labels = components::analyzed(&app, &components::labels_sql(vertices)).await?;
    app.persist(&edges, StorageLevel::MEMORY_AND_DISK)?;
    let started = Instant::now();
    app.compute(&edges).await?;
    println!(
        "{rows} edges, {vertices} vertices, {executors} executors; edges persisted in {:.2} s",
        started.elapsed().as_secs_f64()
    );
    println!("iteration  seconds  stages  kept MiB  sum of labels");
    for iteration in 1..=iterations {
        let (started, before) = (Instant::now(), progress.get().stages_total);
        let next = components::step(&edges, &labels, iteration as usize).map_err(|e| from_datafusion(&e))?;
        labels = app.local_checkpoint(&next, true, StorageLevel::MEMORY_AND_DISK).await?;
        let seconds = started.elapsed().as_secs_f64();
        let stages = progress.get().stages_total - before;
        let label = Expr::Column(labels.schema().columns().swap_remove(1));
        let total = LogicalPlanBuilder::from(labels.clone())
            .aggregate(Vec::<Expr>::new(), vec![sum(label)])
            .and_then(LogicalPlanBuilder::build)
            .map_err(|e| from_datafusion(&e))?;
        let total = app.rows_of(&total).await?;
        let value = total
            .iter()
            .find(|b| b.num_rows() > 0)
            .map(|b| arrow::util::display::array_value_to_string(b.column(0), 0).unwrap_or_default());
        let kept: u64 = app.cached_relations().iter().map(|r| r.memory_bytes).sum();
        let value = value.unwrap_or_default();
        println!("{iteration:>9}  {seconds:>7.2}  {stages:>6}  {:>8}  {value}", kept >> 20);
    }
    Ok(())
}
