//! Plans of every shape: cut and run on two executors, they answer what one process answers.

// The queries are blocks, however short.
#![allow(unused_braces)]

use std::sync::Arc;

use datafusion::{
    common::JoinType,
    datasource::source::DataSourceExec,
    functions_aggregate::{
        expr_fn::{avg, count, count_distinct, max, min, sum},
        sum::sum_udaf,
    },
    functions_window::expr_fn::{rank, row_number},
    logical_expr::{
        Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, WindowFunctionDefinition, col, expr::WindowFunction,
        in_subquery, lit, not_in_subquery, scalar_subquery,
    },
    physical_plan::{ExecutionPlan, joins::HashJoinExec},
    prelude::{DataFrame, SessionContext},
};
use firesteel_engine::{
    join::{JoinHint, JoinHintNode},
    shuffle::ShuffleReaderExec,
};
use futures::future::{BoxFuture, FutureExt};

use crate::{
    cluster::{Cluster, ClusterOptions},
    data::{Tables, rows},
};

type Query = fn(SessionContext) -> BoxFuture<'static, DataFrame>;

macro_rules! query {
    (|$ctx:ident| $body:expr) => {
        |$ctx: SessionContext| async move { $body }.boxed()
    };
}

fn windowed_sum(of: Expr) -> Expr {
    Expr::from(WindowFunction::new(WindowFunctionDefinition::AggregateUDF(sum_udaf()), vec![of]))
}

async fn table(ctx: &SessionContext, name: &str) -> DataFrame {
    ctx.table(name).await.unwrap()
}

async fn logical(ctx: &SessionContext, name: &str, columns: &[&str]) -> Arc<LogicalPlan> {
    Arc::new(table(ctx, name).await.select_columns(columns).unwrap().into_unoptimized_plan())
}

const JOINS: [JoinType; 10] = [
    JoinType::Inner,
    JoinType::Left,
    JoinType::Right,
    JoinType::Full,
    JoinType::LeftSemi,
    JoinType::RightSemi,
    JoinType::LeftAnti,
    JoinType::RightAnti,
    JoinType::LeftMark,
    JoinType::RightMark,
];

/// Never broadcast; broadcast whatever is small.
const PARTITIONED: &[(&str, &str)] = &[("spark.sql.autoBroadcastJoinThreshold", "-1")];
const BROADCAST: &[(&str, &str)] = &[("spark.sql.autoBroadcastJoinThreshold", "100m")];

/// Runs `query` both ways. `ordered`: the rows must come in the same order too.
async fn same(tables: &Tables, cluster: &Cluster, conf: &[(&str, &str)], name: &str, ordered: bool, query: Query) {
    let distributed = query(tables.cluster(conf).await).await.create_physical_plan().await.unwrap();
    let got = cluster.run(distributed.clone()).await;
    let got = got.unwrap_or_else(|e| panic!("{name}: {e:?}\n{}", display(&distributed)));
    let expected = query(tables.alone().await).await.collect().await.unwrap();
    let (mut got, mut expected) = (rows(&got), rows(&expected));
    if !ordered {
        got.sort();
        expected.sort();
    }
    if got != expected {
        let first = got.iter().zip(&expected).find(|(a, b)| a != b);
        panic!(
            "{name}: {} rows instead of {}; the first that differ: {first:?}\n{}",
            got.len(),
            expected.len(),
            display(&distributed)
        );
    }
}

fn display(plan: &Arc<dyn ExecutionPlan>) -> String {
    datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string()
}

fn aggregates() -> Vec<(&'static str, bool, Query)> {
    vec![
        ("scan", false, query!(|ctx| table(&ctx, "fact").await)),
        (
            "filter and project",
            false,
            query!(|ctx| {
                let fact = table(&ctx, "fact").await.filter(col("g").gt(lit(5))).unwrap();
                fact.select(vec![col("id") + lit(1), col("s"), col("list")]).unwrap()
            }),
        ),
        (
            "group by",
            false,
            query!(|ctx| {
                let keys = vec![col("k"), col("w")];
                let values = vec![sum(col("v")), count(col("id")), min(col("s")), max(col("d")), avg(col("v"))];
                table(&ctx, "fact").await.aggregate(keys, values).unwrap()
            }),
        ),
        (
            "global aggregate",
            false,
            query!(|ctx| {
                table(&ctx, "fact")
                    .await
                    .aggregate(vec![], vec![sum(col("id")), count(lit(1)), max(col("at"))])
                    .unwrap()
            }),
        ),
        (
            "global aggregate of nothing",
            false,
            query!(|ctx| {
                table(&ctx, "empty").await.aggregate(vec![], vec![sum(col("id")), count(lit(1))]).unwrap()
            }),
        ),
        (
            "group by of nothing",
            false,
            query!(|ctx| { table(&ctx, "empty").await.aggregate(vec![col("k")], vec![sum(col("id"))]).unwrap() }),
        ),
        (
            "count distinct",
            false,
            query!(|ctx| {
                let values = vec![count_distinct(col("k")), count_distinct(col("w")), sum(col("id"))];
                table(&ctx, "fact").await.aggregate(vec![col("g")], values).unwrap()
            }),
        ),
        (
            "distinct",
            false,
            query!(|ctx| { table(&ctx, "fact").await.select_columns(&["k", "g"]).unwrap().distinct().unwrap() }),
        ),
        (
            "rows in the plan",
            false,
            query!(|ctx| { table(&ctx, "memory").await.aggregate(vec![col("size")], vec![count(lit(1))]).unwrap() }),
        ),
        (
            "more partitions than rows",
            false,
            query!(|ctx| {
                let few = table(&ctx, "small").await.filter(col("size").gt(lit(50))).unwrap();
                few.aggregate(vec![col("name")], vec![count(lit(1))]).unwrap()
            }),
        ),
        (
            "aggregate of an aggregate",
            false,
            query!(|ctx| {
                let inner =
                    table(&ctx, "fact").await.aggregate(vec![col("k"), col("g")], vec![sum(col("id")).alias("t")]);
                inner.unwrap().aggregate(vec![col("g")], vec![max(col("t")), count(lit(1))]).unwrap()
            }),
        ),
    ]
}

fn orders() -> Vec<(&'static str, bool, Query)> {
    vec![
        (
            "sort",
            true,
            query!(|ctx| {
                let keys = vec![col("g").sort(true, true), col("id").sort(false, false)];
                table(&ctx, "fact").await.sort(keys).unwrap()
            }),
        ),
        (
            "top rows",
            true,
            query!(|ctx| {
                let keys = vec![col("v").sort(false, false), col("id").sort(true, true)];
                table(&ctx, "fact").await.sort(keys).unwrap().limit(0, Some(25)).unwrap()
            }),
        ),
        (
            "top rows after an offset",
            true,
            query!(|ctx| {
                table(&ctx, "fact").await.sort(vec![col("id").sort(true, true)]).unwrap().limit(990, Some(25)).unwrap()
            }),
        ),
        (
            "offset alone",
            true,
            query!(|ctx| {
                table(&ctx, "fact").await.sort(vec![col("id").sort(true, true)]).unwrap().limit(19_990, None).unwrap()
            }),
        ),
        (
            "limit of equal rows",
            false,
            query!(|ctx| {
                let one = table(&ctx, "fact").await.select(vec![lit(1).alias("one")]).unwrap();
                one.limit(3, Some(17)).unwrap().aggregate(vec![], vec![count(col("one"))]).unwrap()
            }),
        ),
        (
            "limit inside a join",
            false,
            query!(|ctx| {
                let few = table(&ctx, "dim").await.sort(vec![col("dk").sort(true, false)]).unwrap();
                let few = few.limit(0, Some(9)).unwrap();
                table(&ctx, "fact").await.join(few, JoinType::Inner, &["k"], &["dk"], None).unwrap()
            }),
        ),
        (
            "window by key",
            false,
            query!(|ctx| {
                let rank = rank().partition_by(vec![col("g")]).order_by(vec![col("id").sort(false, true)]);
                table(&ctx, "fact").await.window(vec![rank.build().unwrap()]).unwrap()
            }),
        ),
        (
            "window without key",
            false,
            query!(|ctx| {
                let number = row_number().order_by(vec![col("id").sort(true, true)]).build().unwrap();
                table(&ctx, "fact").await.select_columns(&["id", "g"]).unwrap().window(vec![number]).unwrap()
            }),
        ),
        (
            "sums over windows",
            false,
            query!(|ctx| {
                let total =
                    windowed_sum(col("id")).partition_by(vec![col("k")]).order_by(vec![col("id").sort(true, true)]);
                table(&ctx, "fact")
                    .await
                    .select_columns(&["id", "k"])
                    .unwrap()
                    .window(vec![total.build().unwrap()])
                    .unwrap()
            }),
        ),
        (
            "aggregate, then window, then sort",
            true,
            query!(|ctx| {
                let sums =
                    table(&ctx, "fact").await.aggregate(vec![col("g"), col("k")], vec![sum(col("id")).alias("t")]);
                let first = row_number().partition_by(vec![col("g")]);
                let first =
                    first.order_by(vec![col("t").sort(false, false), col("k").sort(true, true)]).build().unwrap();
                let numbered =
                    sums.unwrap().window(vec![first.alias("n")]).unwrap().filter(col("n").lt_eq(lit(3))).unwrap();
                numbered.sort(vec![col("g").sort(true, true), col("n").sort(true, true)]).unwrap()
            }),
        ),
    ]
}

fn unions() -> Vec<(&'static str, bool, Query)> {
    vec![
        (
            "union",
            false,
            query!(|ctx| {
                let (a, b) = (table(&ctx, "fact").await, table(&ctx, "empty").await);
                a.union(b).unwrap().union(table(&ctx, "fact").await).unwrap()
            }),
        ),
        (
            "union of aggregates",
            false,
            query!(|ctx| {
                let a = table(&ctx, "fact").await.aggregate(vec![col("k")], vec![count(lit(1)).alias("n")]).unwrap();
                let b = table(&ctx, "fact").await.aggregate(vec![col("k")], vec![sum(col("id")).alias("n")]).unwrap();
                a.union(b).unwrap().aggregate(vec![col("k")], vec![sum(col("n"))]).unwrap()
            }),
        ),
        (
            "union of one partition and many",
            false,
            query!(|ctx| {
                let a = table(&ctx, "small").await;
                let b =
                    table(&ctx, "dim").await.sort(vec![col("dk").sort(true, true)]).unwrap().limit(0, Some(4)).unwrap();
                a.union(b).unwrap().union(table(&ctx, "dim").await).unwrap()
            }),
        ),
        (
            "distinct union",
            false,
            query!(|ctx| {
                let a = table(&ctx, "fact").await.select_columns(&["k"]).unwrap();
                let b = table(&ctx, "dim").await.select_columns(&["dk"]).unwrap();
                a.union_distinct(b).unwrap()
            }),
        ),
        (
            "intersect",
            false,
            query!(|ctx| {
                let a = table(&ctx, "fact").await.select_columns(&["k"]).unwrap();
                a.intersect(table(&ctx, "dim").await.select_columns(&["dk"]).unwrap()).unwrap()
            }),
        ),
        (
            "sort of a union",
            true,
            query!(|ctx| {
                let a = table(&ctx, "dim").await.union(table(&ctx, "small").await).unwrap();
                let keys = vec![col("dk").sort(true, true), col("name").sort(true, true), col("size").sort(true, true)];
                a.sort(keys).unwrap()
            }),
        ),
        (
            "values",
            false,
            query!(|ctx| {
                let values = vec![vec![lit(1), lit("a")], vec![lit(2), lit("b")]];
                let plan = LogicalPlanBuilder::values(values).unwrap().build().unwrap();
                ctx.execute_logical_plan(plan).await.unwrap()
            }),
        ),
        (
            "explode",
            false,
            query!(|ctx| {
                let fact = table(&ctx, "fact").await.select_columns(&["id", "list"]).unwrap();
                fact.unnest_columns(&["list"]).unwrap().aggregate(vec![col("list")], vec![count(lit(1))]).unwrap()
            }),
        ),
    ]
}

fn subqueries() -> Vec<(&'static str, bool, Query)> {
    vec![
        (
            "scalar subquery",
            false,
            query!(|ctx| {
                let largest = table(&ctx, "dim").await.aggregate(vec![], vec![max(col("dk"))]).unwrap();
                let largest = scalar_subquery(Arc::new(largest.into_unoptimized_plan()));
                table(&ctx, "fact").await.filter(col("k").gt(largest)).unwrap()
            }),
        ),
        (
            "scalar subquery of no row",
            false,
            query!(|ctx| {
                let none = table(&ctx, "dim").await.filter(col("dk").gt(lit(100_000))).unwrap();
                let none = none.select_columns(&["dk"]).unwrap();
                let none = scalar_subquery(Arc::new(none.into_unoptimized_plan()));
                table(&ctx, "fact")
                    .await
                    .filter(none.is_null())
                    .unwrap()
                    .aggregate(vec![], vec![count(lit(1))])
                    .unwrap()
            }),
        ),
        (
            "scalar subquery within another",
            false,
            query!(|ctx| {
                let least = table(&ctx, "small").await.aggregate(vec![], vec![min(col("size"))]).unwrap();
                let least = scalar_subquery(Arc::new(least.into_unoptimized_plan()));
                let most = table(&ctx, "dim").await.filter(col("size").eq(least)).unwrap();
                let most = most.aggregate(vec![], vec![max(col("dk"))]).unwrap();
                let most = scalar_subquery(Arc::new(most.into_unoptimized_plan()));
                table(&ctx, "fact").await.filter(col("k").lt(most)).unwrap()
            }),
        ),
        (
            "in a subquery",
            false,
            query!(|ctx| {
                let keys = logical(&ctx, "dim", &["dk"]).await;
                table(&ctx, "fact").await.filter(in_subquery(col("k"), keys)).unwrap()
            }),
        ),
        (
            "not in a subquery with nulls",
            false,
            query!(|ctx| {
                let keys = logical(&ctx, "dim", &["dk"]).await;
                table(&ctx, "fact").await.filter(not_in_subquery(col("k"), keys)).unwrap()
            }),
        ),
        (
            "not in a subquery without nulls",
            false,
            query!(|ctx| {
                let keys =
                    table(&ctx, "dim").await.filter(col("dk").is_not_null()).unwrap().select_columns(&["dk"]).unwrap();
                let keys = Arc::new(keys.into_unoptimized_plan());
                table(&ctx, "fact").await.filter(not_in_subquery(col("k"), keys)).unwrap()
            }),
        ),
        (
            "not in an empty subquery",
            false,
            query!(|ctx| {
                let keys = logical(&ctx, "empty", &["k"]).await;
                table(&ctx, "fact").await.filter(not_in_subquery(col("k"), keys)).unwrap()
            }),
        ),
    ]
}

async fn run_all(conf: &[(&str, &str)], queries: Vec<(&'static str, bool, Query)>) {
    let tables = Tables::new();
    let cluster = Cluster::start(ClusterOptions::default()).await;
    for (name, ordered, query) in queries {
        same(&tables, &cluster, conf, name, ordered, query).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn aggregates_are_the_same() {
    run_all(PARTITIONED, aggregates()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_and_windows_are_the_same() {
    run_all(PARTITIONED, orders()).await;
    run_all(BROADCAST, orders()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unions_are_the_same() {
    run_all(PARTITIONED, unions()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subqueries_are_the_same() {
    run_all(PARTITIONED, subqueries()).await;
    run_all(BROADCAST, subqueries()).await;
}

/// Every join type, hashed, broadcast, and sorted and merged, with and without a condition besides the keys, each table on each side.
#[tokio::test(flavor = "multi_thread")]
async fn joins_are_the_same() {
    let tables = Tables::new();
    let cluster = Cluster::start(ClusterOptions::default()).await;
    for (conf, hint) in [(PARTITIONED, None), (BROADCAST, None), (BROADCAST, Some(JoinHint::Merge))] {
        let mut merges = 0;
        for join in JOINS {
            for filtered in [false, true] {
                for (left, right) in
                    [("fact", "dim"), ("dim", "fact"), ("small", "fact"), ("fact", "empty"), ("empty", "dim")]
                {
                    let build = async |ctx: SessionContext, hint| joined(&ctx, left, right, join, filtered, hint).await;
                    let name = format!("{left} {join} join {right}, filtered: {filtered}, {conf:?}, {hint:?}");
                    let plan = build(tables.cluster(conf).await, hint).await.create_physical_plan().await.unwrap();
                    merges += usize::from(display(&plan).contains("SortMergeJoin"));
                    let got = cluster.run(plan.clone()).await;
                    let got = got.unwrap_or_else(|e| panic!("{name}: {e:?}\n{}", display(&plan)));
                    let expected = build(tables.alone().await, None).await.collect().await.unwrap();
                    let (mut got, mut expected) = (rows(&got), rows(&expected));
                    got.sort();
                    expected.sort();
                    assert!(
                        got == expected,
                        "{name}: {} rows instead of {}\n{}",
                        got.len(),
                        expected.len(),
                        display(&plan)
                    );
                }
            }
        }
        // Joins with an empty table are planned away.
        assert_eq!(merges >= 60, hint.is_some(), "{merges} sort-merge joins, {conf:?}, {hint:?}");
    }
}

async fn joined(
    ctx: &SessionContext,
    left: &str,
    right: &str,
    join: JoinType,
    filtered: bool,
    hint: Option<JoinHint>,
) -> DataFrame {
    let side = |name: &'static str, df: DataFrame| {
        let (key, value) = if df.schema().has_column_with_unqualified_name("k") { ("k", "g") } else { ("dk", "size") };
        df.select(vec![col(key).alias(format!("{name}_key")), col(value).alias(format!("{name}_value"))]).unwrap()
    };
    let left = side("l", table(ctx, left).await);
    let mut right = side("r", table(ctx, right).await);
    if let Some(hint) = hint {
        right = DataFrame::new(ctx.state(), JoinHintNode::plan(right.into_unoptimized_plan(), hint));
    }
    let filter: Option<Expr> = filtered.then(|| col("l_value").lt(col("r_value")));
    left.join(right, join, &["l_key"], &["r_key"], filter).unwrap()
}

/// Joins without keys: nested loops and cross products.
#[tokio::test(flavor = "multi_thread")]
async fn joins_without_keys_are_the_same() {
    let tables = Tables::new();
    let cluster = Cluster::start(ClusterOptions::default()).await;
    for join in JOINS {
        for (left, right) in [("dim", "small"), ("small", "dim"), ("dim", "memory")] {
            let build = |ctx: SessionContext| async move {
                let left = table(&ctx, left).await.select(vec![col("size").alias("a")]).unwrap();
                let right = table(&ctx, right).await.select(vec![col("size").alias("b")]).unwrap();
                left.join_on(right, join, vec![col("a").gt(col("b") * lit(20))]).unwrap()
            };
            let plan = build(tables.cluster(PARTITIONED).await).await.create_physical_plan().await.unwrap();
            let got = cluster.run(plan.clone()).await.unwrap_or_else(|e| panic!("{join}: {e:?}\n{}", display(&plan)));
            let (mut got, mut expected) =
                (rows(&got), rows(&build(tables.alone().await).await.collect().await.unwrap()));
            got.sort();
            expected.sort();
            assert!(got == expected, "{left} {join} {right}\n{}", display(&plan));
        }
    }
    let cross: Query = query!(|ctx| {
        let right = table(&ctx, "small").await.select(vec![col("dk").alias("other")]).unwrap();
        let plan = LogicalPlanBuilder::from(table(&ctx, "dim").await.into_unoptimized_plan());
        let plan = plan.cross_join(right.into_unoptimized_plan()).unwrap().build().unwrap();
        ctx.execute_logical_plan(plan).await.unwrap()
    });
    same(&tables, &cluster, PARTITIONED, "cross join", false, cross).await;
}

/// What a test of every shape is worth if nothing is cut: nothing.
#[tokio::test(flavor = "multi_thread")]
async fn plans_are_cut_where_rows_change_hands() {
    let tables = Tables::new();
    let cluster = Cluster::start(ClusterOptions { executors: 1, ..Default::default() }).await;
    let stages = async |conf: &[(&str, &str)], query: Query| {
        let plan = query(tables.cluster(conf).await).await.create_physical_plan().await.unwrap();
        let graph = cluster.cut(plan);
        graph.stages.iter().map(|stage| (stage.num_tasks, stage.num_reducers())).collect::<Vec<_>>()
    };
    let group_by: Query =
        query!(|ctx| table(&ctx, "fact").await.aggregate(vec![col("k")], vec![count(lit(1))]).unwrap());
    let scans = stages(PARTITIONED, group_by).await;
    assert_eq!(scans.len(), 2, "{scans:?}");
    assert_eq!((scans[0].1, scans[1]), (3, (3, 1)));
    let join: Query = query!(|ctx| joined(&ctx, "fact", "dim", JoinType::Inner, false, None).await);
    assert_eq!(stages(PARTITIONED, join).await.len(), 3);
    assert_eq!(stages(BROADCAST, join).await.len(), 2);
    // The build side's rows must come out once: no broadcast.
    let plan = joined(&tables.cluster(BROADCAST).await, "small", "fact", JoinType::Left, false, None).await;
    let graph = cluster.cut(plan.create_physical_plan().await.unwrap());
    assert!(graph.stages.iter().all(|stage| {
        let mut broadcasts = false;
        visit(&stage.plan, &mut |node| {
            broadcasts |= node.downcast_ref::<HashJoinExec>().is_some_and(|join| {
                *join.partition_mode() == datafusion::physical_plan::joins::PartitionMode::CollectLeft
                    && stage.num_tasks > 1
                    && *join.join_type() == JoinType::Left
            });
        });
        !broadcasts
    }));
    let one_task: Query = query!(|ctx| table(&ctx, "small").await);
    assert_eq!(stages(PARTITIONED, one_task).await, [(1, 1)]);
}

fn visit(plan: &Arc<dyn ExecutionPlan>, f: &mut dyn FnMut(&Arc<dyn ExecutionPlan>)) {
    f(plan);
    plan.children().into_iter().for_each(|child| visit(child, f));
}

/// Every task has its own files and no others.
#[tokio::test(flavor = "multi_thread")]
async fn tasks_bring_their_own_files() {
    let tables = Tables::new();
    let ctx = tables.cluster(PARTITIONED).await;
    let union = table(&ctx, "fact").await.union(table(&ctx, "fact").await).unwrap();
    let plan = union.create_physical_plan().await.unwrap();
    let cluster = Cluster::start(ClusterOptions { executors: 1, ..Default::default() }).await;
    let graph = cluster.cut(plan);
    let stage = graph.result().unwrap();
    assert!(stage.num_tasks > 2, "{}", display(&stage.plan));
    let encoded = firesteel_engine::codec::PlanCodec::standard().encode_stage(stage, &Default::default()).unwrap();
    let mut scans = std::collections::HashSet::new();
    for task in 0..stage.num_tasks {
        let splits = encoded.splits(task);
        assert_eq!(splits.len(), 1, "task {task}");
        assert!(scans.insert((splits[0].scan, splits[0].partition)), "two tasks read the same files");
    }
    let mut leaves = 0;
    visit(&stage.plan, &mut |node| {
        leaves += usize::from(node.is::<DataSourceExec>() || node.is::<ShuffleReaderExec>())
    });
    assert_eq!(leaves, 2);
}

/// Plans deeper than protocol buffers nest, and expressions likewise.
#[tokio::test(flavor = "multi_thread")]
async fn deep_plans_travel() {
    let tables = Tables::new();
    let cluster = Cluster::start(ClusterOptions { executors: 1, ..Default::default() }).await;
    let deep: Query = query!(|ctx| {
        let mut df = table(&ctx, "small").await;
        for i in 0..80 {
            let number = row_number().order_by(vec![col("dk").sort(i % 2 == 0, true)]).build().unwrap();
            df = df.window(vec![number.alias(format!("n{i}"))]).unwrap();
            df = df.filter(col(format!("n{i}")).lt(lit(7 + i))).unwrap();
        }
        let condition = (0..400).fold(col("size"), |sum, i| if i % 2 == 0 { sum + lit(i) } else { sum - lit(i) });
        df.filter(condition.gt(lit(-1_000_000))).unwrap()
    });
    same(&tables, &cluster, PARTITIONED, "deep", false, deep).await;
}
