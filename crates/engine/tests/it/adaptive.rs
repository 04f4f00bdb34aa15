//! Each rule of adaptive execution, on plans whose shuffles turn out to have the sizes that a test says.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Int64Array, RecordBatch},
    datatypes::{DataType, Field, Schema},
};
use datafusion::{
    common::JoinType,
    datasource::MemTable,
    functions_aggregate::expr_fn::count,
    physical_plan::ExecutionPlan,
    prelude::{DataFrame, SessionConfig, SessionContext, col, lit},
};
use firesteel_engine::adaptive::{AdaptiveOptions, AdaptivePlan, BlockSizes, ShuffleStatistics};
use firesteel_plan::SparkConf;
use firesteel_protocol::ShuffleId;

const PARTITIONS: usize = 8;
const MAPS: u32 = 4;

/// A context for a cluster, where the planner broadcasts nothing.
fn context(options: &[(&str, bool)]) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(PARTITIONS);
    let optimizer = &mut config.options_mut().optimizer;
    optimizer.enable_round_robin_repartition = false;
    optimizer.enable_dynamic_filter_pushdown = false;
    optimizer.enable_join_dynamic_filter_pushdown = false;
    optimizer.hash_join_single_partition_threshold = 0;
    optimizer.hash_join_single_partition_threshold_rows = 0;
    for (name, on) in options {
        config = config.set_bool(name, *on);
    }
    SessionContext::new_with_config(config)
}

/// Two columns of numbers in four partitions, but for rows whose second column is `word`.
fn table(context: &SessionContext, [k, v]: [&str; 2], word: i64) -> DataFrame {
    let columns = [k, v].map(|column| Field::new(column, DataType::Int64, true));
    let schema = Arc::new(Schema::new(columns.to_vec()));
    let numbers = || Arc::new(Int64Array::from_iter_values(0..100));
    let batch = RecordBatch::try_new(schema.clone(), vec![numbers(), numbers()]).unwrap();
    let table = MemTable::try_new(schema, vec![vec![batch]; MAPS as usize]).unwrap();
    context.read_table(Arc::new(table)).unwrap().filter(col(v).not_eq(lit(word))).unwrap()
}

fn left(context: &SessionContext) -> DataFrame {
    table(context, ["lk", "lv"], 1001)
}

fn right(context: &SessionContext) -> DataFrame {
    table(context, ["rk", "rv"], 1002)
}

/// What tells their scans apart.
const LEFT: &str = "!= 1001";
const RIGHT: &str = "!= 1002";

fn joined_in(context: &SessionContext, join: JoinType) -> DataFrame {
    left(context).join(right(context), join, &["lk"], &["rk"], None).unwrap()
}

/// The left table with the right one's groups.
fn with_groups(context: &SessionContext) -> DataFrame {
    let groups = right(context).aggregate(vec![col("rv")], vec![count(lit(1)).alias("n")]).unwrap();
    left(context).join(groups, JoinType::Inner, &["lk"], &["n"], None).unwrap()
}

async fn physical(rows: DataFrame) -> Arc<dyn ExecutionPlan> {
    rows.create_physical_plan().await.unwrap()
}

async fn joined(join: JoinType) -> Arc<dyn ExecutionPlan> {
    physical(joined_in(&context(&[]), join)).await
}

fn options(conf: &[(&str, &str)]) -> AdaptiveOptions {
    let mut settings = SparkConf::new();
    for (key, value) in conf {
        settings.set(format!("spark.sql.adaptive.{key}"), *value).unwrap();
    }
    AdaptiveOptions::of(&settings, 2).unwrap()
}

struct Blocks(HashMap<ShuffleId, Vec<u64>>);

impl BlockSizes for Blocks {
    fn of_partition(&self, shuffle: ShuffleId, partition: u32) -> Vec<u64> {
        let bytes = self.0.get(&shuffle).map_or(0, |bytes| bytes[partition as usize]);
        vec![bytes / u64::from(MAPS); MAPS as usize]
    }
}

/// The text of every stage, by index, when each stage whose text has one of the `sizes`' words writes partitions of so
/// many bytes, and all others one megabyte a partition. Rows are of 16 bytes.
fn run(plan: Arc<dyn ExecutionPlan>, options: AdaptiveOptions, sizes: &[(&str, &[u64])]) -> Vec<String> {
    let mut plan = AdaptivePlan::new(plan, PARTITIONS, options).unwrap();
    let mut blocks = Blocks(HashMap::new());
    let mut next = 0;
    for _ in 0..20 {
        let mut id = || {
            next += 1;
            ShuffleId(next - 1)
        };
        let advance = plan.advance(&mut id, &blocks).unwrap();
        if advance.done {
            break;
        }
        assert!(!advance.stages.is_empty(), "nothing can run: {}", plan.explain());
        for index in advance.stages {
            let stage = &plan.stages()[index];
            let text = text(&stage.plan);
            let said = sizes.iter().find(|(word, _)| text.contains(word)).map(|(_, bytes)| bytes.to_vec());
            let mut bytes = said.unwrap_or_default();
            bytes.resize(stage.num_reducers(), if bytes.is_empty() { 1 << 20 } else { bytes[0] });
            let rows = bytes.iter().sum::<u64>() / 16;
            let (shuffle, maps) = (stage.shuffle, stage.num_tasks as u32);
            blocks.0.insert(shuffle, bytes.clone());
            plan.completed(shuffle, ShuffleStatistics { bytes, rows, maps });
        }
    }
    assert!(plan.explain().contains("isFinalPlan=true"), "{}", plan.explain());
    plan.stages().iter().map(|stage| format!("{} tasks\n{}", stage.num_tasks, text(&stage.plan))).collect()
}

fn text(plan: &Arc<dyn ExecutionPlan>) -> String {
    datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string()
}

/// The stage that joins.
fn joining(stages: &[String]) -> &str {
    stages.iter().find(|text| text.contains("Join")).unwrap_or_else(|| panic!("{stages:#?}"))
}

/// No join is switched.
const NO_SWITCH: (&str, &str) = ("autoBroadcastJoinThreshold", "-1");
/// What tests call small, and nothing else.
const SMALL: (&str, &str) = ("autoBroadcastJoinThreshold", "1m");
/// Partitions stay as they are.
const NO_COALESCE: (&str, &str) = ("coalescePartitions.enabled", "false");
const MIB: u64 = 1 << 20;

#[tokio::test]
async fn both_sides_of_a_join_are_coalesced_alike() {
    let stages = run(joined(JoinType::Inner).await, options(&[NO_SWITCH]), &[]);
    let join = joining(&stages);
    // 16 MiB for two slots: no task reads more than 8.
    assert!(join.starts_with("2 tasks"), "{join}");
    assert_eq!(join.matches("blocks=[0..4 of maps 0..4, 4..8 of maps 0..4]").count(), 2, "{join}");
    let stages = run(joined(JoinType::Inner).await, options(&[NO_SWITCH, ("advisoryPartitionSizeInBytes", "2m")]), &[]);
    assert!(joining(&stages).starts_with("8 tasks"), "{stages:?}");
    let one_task = [NO_SWITCH, ("coalescePartitions.parallelismFirst", "false")];
    let stages = run(joined(JoinType::Inner).await, options(&one_task), &[]);
    assert!(joining(&stages).starts_with("1 tasks"), "{stages:?}");
    let stages = run(joined(JoinType::Inner).await, options(&[NO_SWITCH, NO_COALESCE]), &[]);
    assert!(joining(&stages).starts_with("8 tasks") && !joining(&stages).contains("blocks="), "{stages:?}");
}

#[tokio::test]
async fn a_small_side_is_read_whole_and_exchanges_that_have_not_begun_are_left_out() {
    // Both sides were exchanged before anything was known.
    let plan = joined(JoinType::Inner).await;
    let stages = run(plan, options(&[NO_COALESCE, ("localShuffleReader.enabled", "false")]), &[(LEFT, &[100; 8])]);
    let join = joining(&stages);
    assert!(join.contains("mode=CollectLeft") && join.contains("kind=Broadcast"), "{join}");
    assert!(join.contains("kind=Partitioned, Hash") && stages.len() == 3, "{stages:#?}");
    // The other side is known later: it is never written in partitions by its key.
    let stages = run(physical(with_groups(&context(&[]))).await, options(&[NO_COALESCE]), &[(LEFT, &[100; 8])]);
    let join = joining(&stages);
    assert!(join.contains("mode=CollectLeft") && join.contains("mode=FinalPartitioned"), "{stages:#?}");
    assert_eq!(stages.len(), 3, "{stages:#?}");
}

#[tokio::test]
async fn what_is_above_a_join_may_need_the_exchange() {
    // The aggregate needs rows of a key together.
    let context = context(&[]);
    let groups = with_groups(&context).aggregate(vec![col("lk")], vec![count(lit(1))]).unwrap();
    let stages = run(physical(groups).await, options(&[NO_COALESCE]), &[(LEFT, &[100; 8])]);
    let join = joining(&stages);
    assert!(join.contains("mode=CollectLeft"), "{stages:#?}");
    let groups =
        stages.iter().any(|stage| stage.contains("gby=[lk@0 as lk]") && stage.contains("kind=Partitioned, Hash"));
    assert!(groups, "{stages:#?}");
}

#[tokio::test]
async fn only_sides_whose_rows_need_not_all_come_out_are_read_whole() {
    for (join, left, right) in [
        (JoinType::Inner, true, true),
        (JoinType::Left, false, true),
        (JoinType::Right, true, false),
        (JoinType::Full, false, false),
    ] {
        for (side, may) in [(LEFT, left), (RIGHT, right)] {
            let stages = run(joined(join).await, options(&[SMALL]), &[(side, &[100; 8])]);
            assert_eq!(joining(&stages).contains("mode=CollectLeft"), may, "{join} {side} {stages:#?}");
        }
    }
    // Most partitions are empty: few tasks would have work.
    let few = [1000, 0, 0, 0, 0, 0, 0, 0];
    let stages = run(joined(JoinType::Inner).await, options(&[SMALL]), &[(LEFT, &few)]);
    assert!(joining(&stages).contains("mode=Partitioned"), "{stages:#?}");
    let stages = run(joined(JoinType::Inner).await, options(&[NO_SWITCH]), &[(LEFT, &[100; 8])]);
    assert!(joining(&stages).contains("mode=Partitioned"), "{stages:#?}");
}

#[tokio::test]
async fn the_other_side_of_a_switched_join_is_read_by_map() {
    let stages = run(joined(JoinType::Inner).await, options(&[]), &[(LEFT, &[100; 8])]);
    let join = joining(&stages);
    // Two tasks, as many as the coalesced partitions would have had.
    assert!(join.contains("blocks=[0..8 of maps 0..2, 0..8 of maps 2..4]"), "{join}");
}

#[tokio::test]
async fn skewed_partitions_are_split_by_maps_where_the_join_type_allows() {
    let skew = [NO_SWITCH, ("skewJoin.skewedPartitionThresholdInBytes", "4m"), ("advisoryPartitionSizeInBytes", "4m")];
    let large = [MIB, MIB, 16 * MIB, MIB, MIB, MIB, MIB, MIB];
    for (join, side, splits) in [
        (JoinType::Inner, LEFT, true),
        (JoinType::Inner, RIGHT, true),
        (JoinType::Left, LEFT, true),
        (JoinType::Left, RIGHT, false),
        (JoinType::Right, LEFT, false),
        (JoinType::Right, RIGHT, true),
        (JoinType::Full, LEFT, false),
    ] {
        let stages = run(joined(join).await, options(&skew), &[(side, &large)]);
        let text = joining(&stages);
        assert_eq!(text.contains("2..3 of maps 1..2"), splits, "{join} {side} {text}");
        // The other side's partition is read by each part.
        assert_eq!(text.matches("2..3 of maps 0..4, 2..3 of maps 0..4").count() > 0, splits, "{join} {side} {text}");
    }
    let stages = run(
        joined(JoinType::Inner).await,
        options(&[&skew[..], &[("skewJoin.enabled", "false")]].concat()),
        &[(LEFT, &large)],
    );
    assert!(!joining(&stages).contains("of maps 1..2"), "{stages:#?}");
    // The aggregate above needs all rows of a key in one task.
    let context = context(&[]);
    let grouped = joined_in(&context, JoinType::Inner).aggregate(vec![col("lk")], vec![count(lit(1))]).unwrap();
    let stages = run(physical(grouped).await, options(&skew), &[(LEFT, &large)]);
    assert!(!joining(&stages).contains("of maps 1..2"), "{stages:#?}");
}

#[tokio::test]
async fn empty_sides_are_propagated() {
    // The aggregate of the other side never runs.
    let stages = run(physical(with_groups(&context(&[]))).await, options(&[]), &[(LEFT, &[0; 8])]);
    let last = stages.last().unwrap();
    assert!(last.contains("EmptyExec") && !stages.iter().any(|s| s.contains("FinalPartitioned")), "{stages:#?}");
    for (join, side, left) in [
        (JoinType::Left, RIGHT, "NULL"),
        (JoinType::Right, LEFT, "NULL"),
        (JoinType::LeftAnti, RIGHT, "Projection"),
        (JoinType::Left, LEFT, "Empty"),
    ] {
        let stages = run(joined(join).await, options(&[NO_SWITCH]), &[(side, &[0; 8])]);
        let last = stages.last().unwrap();
        assert!(!last.contains("HashJoin") && last.contains(left), "{join} {side} {stages:#?}");
    }
    let context = context(&[]);
    let counted = joined_in(&context, JoinType::Inner).aggregate(vec![], vec![count(lit(1))]).unwrap();
    let stages = run(physical(counted).await, options(&[]), &[(LEFT, &[0; 8])]);
    assert!(stages.last().unwrap().contains("AggregateExec"), "a count of nothing is a row: {stages:#?}");
}

#[tokio::test]
async fn the_table_is_built_from_the_side_with_fewer_rows() {
    let plan = joined(JoinType::Inner).await;
    for (side, other) in [(LEFT, RIGHT), (RIGHT, LEFT)] {
        let stages = run(plan.clone(), options(&[NO_SWITCH, NO_COALESCE]), &[(side, &[100 * MIB; 8])]);
        let small = stages.iter().position(|stage| stage.contains(other)).unwrap();
        let join = joining(&stages);
        let first = join.split("ShuffleReaderExec: shuffle=").nth(1).unwrap();
        assert!(first.starts_with(&small.to_string()), "{stages:#?}");
    }
}

#[tokio::test]
async fn a_sort_merge_join_of_small_partitions_hashes() {
    let sorting = [("datafusion.optimizer.prefer_hash_join", false)];
    let stages = run(physical(joined_in(&context(&sorting), JoinType::Inner)).await, options(&[NO_SWITCH]), &[]);
    assert!(joining(&stages).contains("SortMergeJoin"), "{stages:#?}");
    let local = [NO_SWITCH, ("maxShuffledHashJoinLocalMapThreshold", "64m")];
    let stages = run(physical(joined_in(&context(&sorting), JoinType::Inner)).await, options(&local), &[]);
    assert!(joining(&stages).contains("HashJoinExec: mode=Partitioned"), "{stages:#?}");
    assert!(!joining(&stages).contains("SortExec"), "{stages:#?}");
    let stages =
        run(physical(joined_in(&context(&sorting), JoinType::Inner)).await, options(&[]), &[(RIGHT, &[100; 8])]);
    assert!(joining(&stages).contains("mode=CollectLeft"), "{stages:#?}");
}
