//! Times of iterations of weakly connected components over a persisted table of edges, on executors of this process:
//! `iterations [ROWS] [ITERATIONS] [EXECUTORS]`. See bench/iterations/run.

mod components;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use datafusion::{
    functions_aggregate::expr_fn::sum,
    logical_expr::{Expr, LogicalPlanBuilder},
};
use firesteel_analyzer::Session;
use firesteel_driver::{
    Application, ProgressSender,
    cluster::{Cluster, ClusterOptions},
};
use firesteel_engine::{EngineOptions, EngineSession, ExecutionMode, cache::StorageLevel, error::from_datafusion};
use firesteel_executor::{ExecutorOptions, start_in_process};
use firesteel_plan::{SparkConf, SparkError, SparkResult};
use firesteel_protocol::ExecutorId;

const TOKEN: &str = "one process";

#[tokio::main]
async fn main() -> SparkResult<()> {
    let argument = |index: usize, default: u64| {
        std::env::args().nth(index).map_or(Ok(default), |text| text.parse().map_err(SparkError::internal))
    };
    let (rows, iterations, executors) = (argument(1, 1_000_000)?, argument(2, 30)?, argument(3, 2)?);
    let vertices = (rows / 2).max(1);
    let scratch = std::env::temp_dir().join(format!("firesteel-iterations-{}", std::process::id()));
    for folder in std::iter::once("driver".to_owned()).chain((0..executors).map(|number| number.to_string())) {
        std::fs::create_dir_all(scratch.join(folder)).map_err(SparkError::internal)?;
    }
    let engine = EngineSession::new(EngineOptions {
        conf: SparkConf::new(),
        mode: ExecutionMode::Cluster,
        slots: executors as usize,
        memory_bytes: None,
        local_dirs: vec![scratch.join("driver")],
    })?;
    let progress = ProgressSender::default();
    let executors_u32 = u32::try_from(executors).unwrap_or(2);
    let options = ClusterOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        token: TOKEN.to_owned(),
        executors: executors_u32,
        dynamic_allocation: false,
        life: None,
    };
    let cluster = Cluster::start(engine.clone(), progress.clone(), options).await?;
    let mut running = Vec::new();
    for number in 0..executors {
        let options = ExecutorOptions {
            driver_address: cluster.address().to_string(),
            executor_id: ExecutorId::new(number.to_string()),
            auth_token: TOKEN.to_owned(),
            cores: 1,
            memory_bytes: Some(1 << 30),
            host: "127.0.0.1".to_owned(),
            port: 0,
            bind: None,
            node: "here".to_owned(),
            local_dirs: vec![scratch.join(number.to_string())],
            reconnect_for: Duration::from_secs(2),
            grace: Duration::from_secs(5),
        };
        running.push(start_in_process(options).map_err(SparkError::internal)?);
    }
    let session = Session::new(engine, SparkConf::new());
    let app = Application::new(session, Arc::new(cluster.runner()), progress.clone());

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
    drop(app);
    drop(running);
    let _ = std::fs::remove_dir_all(&scratch);
    Ok(())
}
