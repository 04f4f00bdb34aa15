//! What goes wrong is told by its kind, whatever it passed through on its way.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use datafusion::{
    arrow::datatypes::DataType,
    common::{JoinType, Result, exec_err},
    functions_aggregate::expr_fn::{count, sum},
    logical_expr::{
        ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, col, lit,
    },
    physical_plan::{Partitioning, repartition::RepartitionExec},
    prelude::DataFrame,
    scalar::ScalarValue,
};
use firesteel_engine::stage::StageGraph;
use firesteel_plan::SparkError;
use firesteel_protocol::proto::{KillTask, TaskFailure, driver_message::Message as ToExecutor, task_failure::Cause};

use crate::{
    cluster::{Cluster, ClusterOptions},
    data::{Tables, rows},
};

/// Does what its second argument says, and answers its first.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Probe {
    signature: Signature,
}

fn probe() -> Arc<ScalarUDF> {
    let signature = Signature::any(2, Volatility::Volatile);
    Arc::new(ScalarUDF::new_from_impl(Probe { signature }))
}

impl ScalarUDFImpl for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        Ok(args[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ColumnarValue::Scalar(ScalarValue::Utf8(Some(what))) = &args.args[1] else {
            return exec_err!("a text says what to do");
        };
        match what.as_str() {
            "panic" => panic!("as asked"),
            "error" => {
                let error = SparkError::new("DIVIDE_BY_ZERO", "22012", "Division by zero.").param("config", "x");
                return Err(firesteel_engine::error::to_datafusion(error));
            }
            "memory" => return Err(datafusion::error::DataFusionError::ResourcesExhausted("too much".to_owned())),
            #[expect(clippy::disallowed_methods, reason = "a task that keeps its thread is what is tested")]
            "sleep" => std::thread::sleep(Duration::from_millis(5)),
            other => return exec_err!("{other}?"),
        }
        Ok(args.args[0].clone())
    }
}

fn does(what: &str) -> Expr {
    probe().call(vec![col("id"), lit(what)]).gt(lit(-1))
}

async fn grouped(tables: &Tables) -> DataFrame {
    let df = tables.cluster(&[]).await.table("fact").await.unwrap();
    df.aggregate(vec![col("w")], vec![sum(col("id")), count(lit(1))]).unwrap()
}

/// The first stage's outputs are there; the rest is to be run.
async fn mapped(tables: &Tables, cluster: &Cluster, df: DataFrame) -> StageGraph {
    let _ = tables;
    let graph = cluster.cut(df.create_physical_plan().await.unwrap());
    let stages = graph.stages.len();
    for stage in &graph.stages[..stages - 1] {
        cluster.run_stage(stage).await.unwrap();
    }
    graph
}

fn fetch_failed(failure: TaskFailure) -> firesteel_protocol::proto::FetchFailed {
    match failure.cause {
        Some(Cause::FetchFailed(failed)) => failed,
        other => panic!("no fetch failure: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_of_a_killed_executor_are_a_fetch_failure_and_only_they_are_made_again() {
    let tables = Tables::new();
    let cluster = Cluster::start(ClusterOptions { executors: 3, ..Default::default() }).await;
    let df = grouped(&tables).await;
    let expected = tables.alone().await.table("fact").await.unwrap();
    let expected = expected.aggregate(vec![col("w")], vec![sum(col("id")), count(lit(1))]).unwrap();
    let graph = mapped(&tables, &cluster, df).await;
    let (map, reduce) = (&graph.stages[0], &graph.stages[1]);
    drop(cluster.executors.lock().remove(0));
    cluster.wait_for(|_| cluster.registered().len() == 2).await;
    let failed = fetch_failed(cluster.run_stage(reduce).await.unwrap_err());
    assert_eq!((failed.shuffle_id, failed.executor_id.as_str(), failed.corrupt), (map.shuffle.0, "exec-0", false));
    let lost = cluster.lost_maps(map.shuffle);
    assert!(!lost.is_empty() && lost.len() < map.num_tasks, "{lost:?} of {}", map.num_tasks);
    cluster.run_tasks(map, &lost).await.unwrap();
    cluster.run_stage(reduce).await.unwrap();
    let mut got = rows(&cluster.results(reduce).await.unwrap());
    let mut expected = rows(&expected.collect().await.unwrap());
    got.sort();
    expected.sort();
    assert_eq!(got, expected);
}

/// Every operator that waits for its input in its own way.
#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_failure_survives_every_operator() {
    let tables = Tables::new();
    let partitioned = [("spark.sql.autoBroadcastJoinThreshold", "-1")];
    let broadcast = [("spark.sql.autoBroadcastJoinThreshold", "100m")];
    let fact = async |conf: &[(&str, &str)]| tables.cluster(conf).await.table("fact").await.unwrap();
    let join = async |conf: &[(&str, &str)], join: JoinType| {
        let ctx = tables.cluster(conf).await;
        let dim = ctx.table("dim").await.unwrap();
        ctx.table("fact").await.unwrap().join(dim, join, &["k"], &["dk"], None).unwrap()
    };
    let cross = {
        let ctx = tables.cluster(&partitioned).await;
        let dim = ctx.table("dim").await.unwrap().select_columns(&["size"]).unwrap();
        let on = vec![col("size").gt(col("id"))];
        ctx.table("fact").await.unwrap().join_on(dim, JoinType::Inner, on).unwrap()
    };
    let sorted = fact(&partitioned).await.sort(vec![col("id").sort(true, true)]).unwrap();
    let queries = vec![
        ("aggregate", grouped(&tables).await),
        ("sort", sorted.clone()),
        ("limit", sorted.limit(5, Some(100)).unwrap()),
        ("partitioned join", join(&partitioned, JoinType::Inner).await),
        ("full join", join(&partitioned, JoinType::Full).await),
        ("broadcast join", join(&broadcast, JoinType::Inner).await),
        ("nested loops", cross),
    ];
    for (name, df) in queries {
        let cluster = Cluster::start(ClusterOptions::default()).await;
        let graph = mapped(&tables, &cluster, df).await;
        drop(cluster.executors.lock().remove(0));
        cluster.wait_for(|_| cluster.registered().len() == 1).await;
        let failure = cluster.run_stage(graph.result().unwrap()).await.unwrap_err();
        assert!(matches!(failure.cause, Some(Cause::FetchFailed(_))), "{name}: {failure:?}");
    }
}

/// A byte turned over in a data file, in an index, a file cut short, a file gone: read over the network and locally.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_blocks_are_found() {
    let tables = Tables::new();
    for executors in [1, 2] {
        for (name, extension, damage) in [
            ("flipped data", "data", &flip as &dyn Fn(&std::path::Path)),
            ("flipped index", "index", &flip),
            ("short data", "data", &cut_short),
            ("short index", "index", &cut_short),
        ] {
            let options = ClusterOptions { executors, cores: 1, ..Default::default() };
            let cluster = Cluster::start(options).await;
            let graph = mapped(&tables, &cluster, grouped(&tables).await).await;
            let map = &graph.stages[0];
            let files = cluster.output_files(map.shuffle);
            let file = files.iter().find(|file| file.extension().is_some_and(|e| e == extension)).unwrap();
            let damaged: u32 = file.file_name().unwrap().to_str().unwrap().split('-').next().unwrap().parse().unwrap();
            damage(file);
            let failed = fetch_failed(cluster.run_stage(&graph.stages[1]).await.unwrap_err());
            assert_eq!((failed.shuffle_id, failed.corrupt), (map.shuffle.0, true), "{name}: {failed:?}");
            assert_eq!(failed.map_indexes, [damaged], "{name}: {failed:?}");
        }
    }
}

fn flip(path: &std::path::Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.len() - bytes.len() / 3;
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

fn cut_short(path: &std::path::Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
}

/// The file that the task will write is a device that is always full.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_the_next_task_goes_on() {
    let tables = Tables::new();
    let cluster = Cluster::start(ClusterOptions { executors: 1, cores: 1, ..Default::default() }).await;
    let graph = cluster.cut(grouped(&tables).await.create_physical_plan().await.unwrap());
    let map = &graph.stages[0];
    // An executor empties its folders before it beats.
    cluster.wait_for(|state| state.heartbeats.load(std::sync::atomic::Ordering::Relaxed) > 0).await;
    let dir = cluster.dirs[0].path().join("firesteel-exec-0").join(format!("shuffle-{}", map.shuffle));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join(format!("0-{}.data.tmp", cluster.next_attempt()));
    std::os::unix::fs::symlink("/dev/full", file).unwrap();
    let failure = cluster.run_tasks(map, &[0]).await.unwrap_err();
    let Some(Cause::DiskFull(full)) = &failure.cause else { panic!("{failure:?}") };
    assert!(full.message.contains("spark.local.dir"), "{}", full.message);
    cluster.run_tasks(map, &[0]).await.unwrap();
    assert!(cluster.output_files(map.shuffle).iter().all(|file| !file.to_string_lossy().ends_with(".tmp")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shuffle_larger_than_memory_spills_and_is_right() {
    let tables = Tables::new();
    let options = ClusterOptions { executors: 1, memory_bytes: 1 << 20, ..Default::default() };
    let cluster = Cluster::start(options).await;
    let mut expected = rows(&tables.alone().await.table("fact").await.unwrap().collect().await.unwrap());
    expected.sort();
    let scan = tables.cluster(&[]).await.table("fact").await.unwrap().create_physical_plan().await.unwrap();
    let key = datafusion::physical_expr::expressions::col("k", &scan.schema()).unwrap();
    for by in [Partitioning::Hash(vec![key], 7), Partitioning::RoundRobinBatch(7)] {
        let plan = Arc::new(RepartitionExec::try_new(scan.clone(), by.clone()).unwrap());
        let graph = cluster.cut(plan);
        assert_eq!((graph.stages.len(), graph.stages[0].num_reducers()), (2, 7));
        let done = cluster.run_stage(&graph.stages[0]).await.unwrap();
        assert!(done.iter().any(|done| done.metrics.spilled_bytes > 0), "{done:?}");
        let most = done.iter().map(|done| done.metrics.peak_memory_bytes).max().unwrap();
        assert!(most > 0 && most < (1 << 20), "{most}");
        cluster.run_stage(&graph.stages[1]).await.unwrap();
        let result = cluster.results(&graph.stages[1]).await.unwrap();
        let mut got = rows(&result);
        got.sort();
        assert!(got == expected, "{by:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_tasks_keep_their_kind_and_the_executor_lives() {
    let tables = Tables::new();
    let options = ClusterOptions { executors: 1, functions: vec![probe()], ..Default::default() };
    let cluster = Cluster::start(options).await;
    let run = async |what: &str| {
        let df = tables.cluster(&[]).await.table("fact").await.unwrap().filter(does(what)).unwrap();
        let df = df.aggregate(vec![col("k")], vec![count(lit(1))]).unwrap();
        cluster.run(df.create_physical_plan().await.unwrap()).await
    };
    let Some(Cause::InternalError(panicked)) = run("panic").await.unwrap_err().cause else { panic!() };
    assert!(panicked.message.contains("as asked"), "{}", panicked.message);
    let Some(Cause::QueryError(error)) = run("error").await.unwrap_err().cause else { panic!() };
    assert_eq!((error.error_class.as_str(), error.sql_state.as_str()), ("DIVIDE_BY_ZERO", "22012"));
    assert_eq!((error.parameters["config"].as_str(), error.retryable), ("x", false));
    assert!(matches!(run("memory").await.unwrap_err().cause, Some(Cause::OutOfMemory(_))));
    assert!(matches!(run("nonsense").await.unwrap_err().cause, Some(Cause::InternalError(_))));
    assert!(run("sleep").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_cannot_be_decoded_is_an_error_of_the_query() {
    let tables = Tables::new();
    let cluster = Cluster::start(ClusterOptions { executors: 1, ..Default::default() }).await;
    let df = tables.cluster(&[]).await.table("fact").await.unwrap();
    let graph = cluster.cut(df.create_physical_plan().await.unwrap());
    let stage = graph.result().unwrap();
    let garbage = cluster.add_plan(b"this is no plan".as_slice().into());
    let failure = cluster.launch(stage, &[0], garbage, |_| vec![]).await.unwrap_err();
    assert!(matches!(&failure.cause, Some(Cause::QueryError(e)) if !e.retryable), "{failure:?}");
    // A function that this executor does not know.
    let df = tables.cluster(&[]).await.table("fact").await.unwrap().filter(does("sleep")).unwrap();
    let graph = cluster.cut(df.create_physical_plan().await.unwrap());
    let functions = firesteel_engine::codec::Functions::datafusion().with_scalar([probe()]);
    let codec = firesteel_engine::codec::PlanCodec::standard().with_functions(functions);
    let stage = graph.result().unwrap();
    let encoded = codec.encode_stage(stage, &Default::default()).unwrap();
    let key = cluster.add_plan(encoded.wire.clone());
    let failure = cluster.launch(stage, &[0], key, |task| encoded.splits(task).to_vec()).await.unwrap_err();
    assert!(matches!(&failure.cause, Some(Cause::QueryError(e)) if e.message.contains("probe")), "{failure:?}");
    assert!(
        cluster
            .run(tables.cluster(&[]).await.table("dim").await.unwrap().create_physical_plan().await.unwrap())
            .await
            .is_ok()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_task_ends_soon_and_frees_its_slot() {
    let tables = Tables::new();
    let options = ClusterOptions { executors: 1, cores: 1, functions: vec![probe()], ..Default::default() };
    let cluster = Cluster::start(options).await;
    // One row a batch, so that there is much to sleep through.
    let ctx = tables.cluster(&[]).await;
    let rows = crate::data::fact(500).project(&[0]).unwrap();
    let batches = (0..500).map(|row| rows.slice(row, 1)).collect();
    let table = datafusion::datasource::MemTable::try_new(rows.schema(), vec![batches]).unwrap();
    let df = ctx.read_table(Arc::new(table)).unwrap().filter(does("sleep")).unwrap();
    let graph = cluster.cut(df.create_physical_plan().await.unwrap());
    let stage = graph.result().unwrap();
    let attempt = cluster.next_attempt();
    let start = Instant::now();
    let (outcome, ()) = tokio::join!(cluster.run_tasks(stage, &[0]), async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let id = firesteel_protocol::proto::TaskAttemptId { attempt, ..Default::default() };
        let kill = KillTask { id: Some(id), reason: "a test".to_owned() };
        cluster.tell("exec-0", ToExecutor::KillTask(kill)).await;
    });
    let failure = outcome.unwrap_err();
    assert!(matches!(failure.cause, Some(Cause::Killed(_))), "{failure:?}");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    let plan = tables.cluster(&[]).await.table("small").await.unwrap().create_physical_plan().await.unwrap();
    cluster.run(plan).await.unwrap();
}
