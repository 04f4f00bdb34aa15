//! Joins that go to disk answer what DataFusion's hash join answers in memory.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, StringViewArray},
    compute::SortOptions,
    datatypes::{DataType, Field, Schema, SchemaRef},
    util::display::{ArrayFormatter, FormatOptions},
};
use datafusion::{
    common::{JoinSide, JoinType, NullEquality, ScalarValue},
    datasource::memory::MemorySourceConfig,
    execution::{
        TaskContext,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    logical_expr::Operator,
    physical_expr::{
        LexOrdering, PhysicalSortExpr,
        expressions::{BinaryExpr, Column, Literal},
    },
    physical_plan::{
        ExecutionPlan, collect,
        joins::{
            HashJoinExec, PartitionMode,
            utils::{ColumnIndex, JoinFilter},
        },
        sorts::sort::SortExec,
    },
    prelude::SessionConfig,
};
use firesteel_engine::memory::{ExecutorMemory, bounded};
use proptest::prelude::*;

const ALL: [JoinType; 10] = [
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

/// Keys of one side, and how wide its rows are.
#[derive(Debug, Clone)]
struct Side {
    keys: Vec<Option<i64>>,
    width: usize,
}

impl Side {
    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("k", DataType::Int64, true),
            Field::new("s", DataType::Utf8View, true),
            Field::new("row", DataType::Int32, false),
            Field::new("text", DataType::Utf8, true),
        ]))
    }

    fn batches(&self, rows: usize) -> Vec<RecordBatch> {
        let numbered: Vec<_> = self.keys.iter().copied().enumerate().collect();
        let batch = |part: &[(usize, Option<i64>)]| {
            let text = |(row, _): &(usize, Option<i64>)| format!("{row} {}", "x".repeat(self.width));
            let columns: Vec<ArrayRef> = vec![
                Arc::new(part.iter().map(|(_, k)| *k).collect::<Int64Array>()),
                Arc::new(
                    part.iter()
                        .map(|(_, k)| k.map(|k| format!("a key of some length: {k}")))
                        .collect::<StringViewArray>(),
                ),
                Arc::new(part.iter().map(|(row, _)| *row as i32).collect::<Int32Array>()),
                Arc::new(part.iter().map(text).map(Some).collect::<StringArray>()),
            ];
            RecordBatch::try_new(Self::schema(), columns).unwrap()
        };
        numbered.chunks(rows).map(batch).collect()
    }

    fn scan(&self, partitions: usize) -> Arc<dyn ExecutionPlan> {
        // Rows of a key belong to one partition, as behind an exchange.
        let parts: Vec<Vec<RecordBatch>> = (0..partitions)
            .map(|p| {
                let of = |k: Option<i64>| k.unwrap_or(0).unsigned_abs() as usize % partitions == p;
                Self { keys: self.keys.iter().copied().filter(|k| of(*k)).collect(), width: self.width }.batches(100)
            })
            .collect();
        MemorySourceConfig::try_new_exec(&parts, Self::schema(), None).unwrap()
    }
}

#[derive(Debug, Clone, Copy)]
struct Query {
    join_type: JoinType,
    text_key: bool,
    filtered: bool,
    nulls_equal: bool,
    projected: bool,
    partitions: usize,
}

fn join(left: &Side, right: &Side, query: Query) -> Arc<dyn ExecutionPlan> {
    let key = |index: usize, name: &str| -> Arc<dyn datafusion::physical_expr::PhysicalExpr> {
        Arc::new(Column::new(name, index))
    };
    let on = if query.text_key { vec![(key(1, "s"), key(1, "s"))] } else { vec![(key(0, "k"), key(0, "k"))] };
    // Rows of both sides by their numbers: (left.row + right.row) % 3 <> 0, so that a key's rows match only in part.
    let filter = query.filtered.then(|| {
        let sum = BinaryExpr::new(key(0, "row"), Operator::Plus, key(1, "row"));
        let three = Arc::new(Literal::new(ScalarValue::Int32(Some(3))));
        let rest = BinaryExpr::new(Arc::new(sum), Operator::Modulo, three);
        let zero = Arc::new(Literal::new(ScalarValue::Int32(Some(0))));
        let schema =
            Schema::new(vec![Field::new("row", DataType::Int32, false), Field::new("row", DataType::Int32, false)]);
        JoinFilter::new(
            Arc::new(BinaryExpr::new(Arc::new(rest), Operator::NotEq, zero)),
            vec![ColumnIndex { index: 2, side: JoinSide::Left }, ColumnIndex { index: 2, side: JoinSide::Right }],
            Arc::new(schema),
        )
    });
    let mode = if query.partitions > 1 { PartitionMode::Partitioned } else { PartitionMode::CollectLeft };
    let nulls = if query.nulls_equal { NullEquality::NullEqualsNull } else { NullEquality::NullEqualsNothing };
    let join = HashJoinExec::try_new(
        left.scan(query.partitions),
        right.scan(query.partitions),
        on,
        filter,
        &query.join_type,
        None,
        mode,
        nulls,
        false,
    )
    .unwrap();
    if query.projected {
        let last = join.schema().fields().len() - 1;
        return Arc::new(join.with_projection(Some(vec![last, 0])).unwrap());
    }
    Arc::new(join)
}

fn context(memory: Option<usize>) -> (Arc<TaskContext>, Option<ExecutorMemory>) {
    let mut config = SessionConfig::new().with_batch_size(256);
    config.options_mut().execution.sort_spill_reservation_bytes = 4 << 10;
    config.options_mut().execution.sort_in_place_threshold_bytes = 16 << 10;
    let budget = memory.map(|bytes| ExecutorMemory::new(bytes, 1, 0.0));
    let runtime = match &budget {
        Some(memory) => RuntimeEnvBuilder::new().with_memory_pool(memory.task("test").pool()).build_arc().unwrap(),
        None => Arc::new(RuntimeEnv::default()),
    };
    (Arc::new(TaskContext::default().with_session_config(config).with_runtime(runtime)), budget)
}

async fn rows(plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Vec<String> {
    let schema = plan.schema();
    let batches = collect(plan, context).await.unwrap();
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        assert_eq!(batch.schema(), schema);
        let columns: Vec<_> =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap()).collect();
        rows.extend(
            (0..batch.num_rows())
                .map(|row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("|")),
        );
    }
    rows
}

fn spilled(plan: &Arc<dyn ExecutionPlan>) -> usize {
    plan.metrics().and_then(|m| m.spilled_bytes()).unwrap_or(0)
}

/// Both answers, and the bytes that the second one spilled.
async fn compare(left: &Side, right: &Side, query: Query, memory: usize) -> usize {
    let (unbounded, _) = context(None);
    let mut expected = rows(join(left, right, query), unbounded).await;
    let plan = bounded(join(left, right, query)).unwrap();
    let (little, budget) = context(Some(memory));
    let mut actual = rows(plan.clone(), little).await;
    expected.sort_unstable();
    actual.sort_unstable();
    assert_eq!(actual.len(), expected.len(), "{query:?}");
    assert_eq!(actual, expected, "{query:?}");
    let budget = budget.unwrap().usage();
    assert!(budget.peak_execution <= memory, "{query:?}: {} of {memory} bytes", budget.peak_execution);
    let found = plan.metrics().and_then(|m| m.output_rows()).unwrap_or(0);
    assert_eq!(found, expected.len(), "output rows of {query:?}");
    spilled(&plan)
}

fn side(rows: usize) -> impl Strategy<Value = Side> {
    let key = prop_oneof![1 => Just(None), 6 => (0i64..200).prop_map(Some), 2 => Just(Some(7))];
    (prop::collection::vec(key, 0..rows), 0usize..300).prop_map(|(keys, width)| Side { keys, width })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn spilling_changes_no_rows(
        left in side(3000),
        right in side(400),
        (join_type, text_key, filtered) in (prop::sample::select(ALL.to_vec()), any::<bool>(), any::<bool>()),
        (nulls_equal, projected, partitions) in (any::<bool>(), any::<bool>(), 1usize..3),
        memory in (768usize << 10)..(1 << 20),
    ) {
        let query = Query { join_type, text_key, filtered, nulls_equal, projected, partitions };
        runtime().block_on(compare(&left, &right, query, memory));
    }
}

/// A build side ten times the memory, in many keys.
#[tokio::test]
async fn all_join_types_spill() {
    let left = Side { keys: (0..20_000).map(|i| (i % 31 != 0).then_some(i % 9_000)).collect(), width: 100 };
    let right = Side { keys: (0..5_000).map(|i| (i % 37 != 0).then_some(i * 3)).collect(), width: 10 };
    for join_type in ALL {
        for filtered in [false, true] {
            let query =
                Query { join_type, text_key: filtered, filtered, nulls_equal: false, projected: false, partitions: 1 };
            let spilled = compare(&left, &right, query, 1 << 20).await;
            assert!(spilled > 0, "{query:?}");
        }
    }
}

/// A key that most rows have cannot be split: sorted and merged.
#[tokio::test]
async fn one_key_larger_than_memory() {
    let left = Side { keys: (0..12_000).map(|i| Some(if i % 50 == 0 { i } else { 7 })).collect(), width: 200 };
    let right = Side { keys: (0..40).map(|i| Some(i * 7)).collect(), width: 10 };
    for join_type in ALL {
        let query =
            Query { join_type, text_key: false, filtered: true, nulls_equal: false, projected: true, partitions: 1 };
        assert!(compare(&left, &right, query, 2 << 20).await > 0, "{query:?}");
    }
}

/// NOT IN: a null among the values empties the answer, wherever the rows are.
#[tokio::test]
async fn null_aware_joins_spill() {
    let left = Side { keys: (0..20_000).map(|i| (i % 31 != 0).then_some(i)).collect(), width: 100 };
    let values =
        |nulls: bool| Side { keys: (0..500).map(|i| (!nulls || i != 250).then_some(i * 5)).collect(), width: 10 };
    for (right, least) in [(values(false), 18_000), (values(true), 0), (Side { keys: vec![], width: 0 }, 20_000)] {
        let plan = || {
            let on: Vec<(Arc<dyn datafusion::physical_expr::PhysicalExpr>, _)> =
                vec![(Arc::new(Column::new("k", 0)), Arc::new(Column::new("k", 0)) as _)];
            let nothing = NullEquality::NullEqualsNothing;
            let mode = PartitionMode::CollectLeft;
            let anti = JoinType::LeftAnti;
            let join =
                HashJoinExec::try_new(left.scan(1), right.scan(1), on, None, &anti, None, mode, nothing, true).unwrap();
            Arc::new(join) as Arc<dyn ExecutionPlan>
        };
        let mut expected = rows(plan(), context(None).0).await;
        let spilling = bounded(plan()).unwrap();
        let mut actual = rows(spilling.clone(), context(Some(1 << 20)).0).await;
        assert!(spilled(&spilling) > 0);
        expected.sort_unstable();
        actual.sort_unstable();
        assert!(actual == expected && actual.len() >= least, "{} rows, not {}", actual.len(), expected.len());
    }
}

/// A plan may rely on the order of the probe side.
#[tokio::test]
async fn order_survives() {
    let left = Side { keys: (0..20_000).map(Some).collect(), width: 1500 };
    let right = Side { keys: (0..5_000).map(|i| Some(i * 7919 % 5_000)).collect(), width: 10 };
    let by = PhysicalSortExpr::new(Arc::new(Column::new("k", 0)), SortOptions::default());
    let sorted = Arc::new(SortExec::new(LexOrdering::new([by]).unwrap(), right.scan(1)));
    let on: Vec<(Arc<dyn datafusion::physical_expr::PhysicalExpr>, _)> =
        vec![(Arc::new(Column::new("k", 0)), Arc::new(Column::new("k", 0)) as _)];
    let nothing = NullEquality::NullEqualsNothing;
    let mode = PartitionMode::CollectLeft;
    let inner = JoinType::Inner;
    let join = HashJoinExec::try_new(left.scan(1), sorted, on, None, &inner, None, mode, nothing, false).unwrap();
    assert!(join.properties().output_ordering().is_some());
    let plan = bounded(Arc::new(join)).unwrap();
    let (context, _) = context(Some(32 << 20));
    let batches = collect(plan.clone(), context).await.unwrap();
    assert!(spilled(&plan) > 0);
    let column = |b: &RecordBatch| b.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec();
    let keys: Vec<i64> = batches.iter().flat_map(column).collect();
    assert_eq!(keys, (0..5_000).collect::<Vec<_>>());
}
