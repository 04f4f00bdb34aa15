//! The order of joins and the place of semi joins: what is chosen, and that it changes no row.

use std::sync::Arc;

use arrow::{
    array::{Int64Array, RecordBatch, StringViewArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
    util::pretty::pretty_format_batches,
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{ColumnStatistics, JoinType, Result, ScalarValue, Statistics, stats::Precision},
    datasource::{MemTable, TableType},
    execution::SessionStateBuilder,
    logical_expr::{Expr, LogicalPlan, cast},
    physical_plan::ExecutionPlan,
    prelude::{DataFrame, SessionConfig, SessionContext, col, lit},
};
use firesteel_engine::{ExecutionMode, optimize};
use proptest::prelude::*;

/// Two columns of small numbers, and what is said about them.
#[derive(Debug)]
struct Table {
    rows: MemTable,
    statistics: Statistics,
}

fn schema(name: &str) -> SchemaRef {
    let column = |suffix| Field::new(format!("{name}_{suffix}"), DataType::Int64, true);
    Arc::new(Schema::new(vec![column("a"), column("b")]))
}

impl Table {
    /// `said` rows, with values from 0 to below `distinct`, whatever it holds.
    fn new(name: &str, rows: &[(Option<i64>, Option<i64>)], said: usize, distinct: i64) -> Self {
        let schema = schema(name);
        let a: Int64Array = rows.iter().map(|(a, _)| *a).collect();
        let b: Int64Array = rows.iter().map(|(_, b)| *b).collect();
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(a), Arc::new(b)]).unwrap();
        let column = ColumnStatistics {
            min_value: Precision::Inexact(ScalarValue::Int64(Some(0))),
            max_value: Precision::Inexact(ScalarValue::Int64(Some(distinct - 1))),
            ..ColumnStatistics::new_unknown()
        };
        let statistics = Statistics {
            num_rows: Precision::Inexact(said),
            total_byte_size: Precision::Absent,
            column_statistics: vec![column.clone(), column],
        };
        Self { rows: MemTable::try_new(schema, vec![vec![batch]]).unwrap(), statistics }
    }
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.statistics.clone())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.rows.scan(state, projection, filters, limit).await
    }
}

fn context(ours: bool, tables: impl IntoIterator<Item = (String, Table)>) -> SessionContext {
    let builder =
        SessionStateBuilder::new().with_config(SessionConfig::new().with_target_partitions(2)).with_default_features();
    let builder = if ours { builder.with_optimizer_rules(optimize::rules(ExecutionMode::Cluster)) } else { builder };
    let context = SessionContext::new_with_state(builder.build());
    for (name, table) in tables {
        context.register_table(name, Arc::new(table)).unwrap();
    }
    context
}

/// Names of the scanned tables and the kinds of joins, from the top of the plan down.
async fn shape(
    tables: &[(&str, usize, i64)],
    query: impl AsyncFnOnce(&SessionContext) -> Result<DataFrame>,
) -> Vec<String> {
    let made = tables.iter().map(|(name, rows, distinct)| (name.to_string(), Table::new(name, &[], *rows, *distinct)));
    let plan = query(&context(true, made)).await.unwrap().into_optimized_plan().unwrap();
    let mut found = Vec::new();
    fn walk(plan: &LogicalPlan, found: &mut Vec<String>) {
        match plan {
            LogicalPlan::TableScan(scan) => found.push(scan.table_name.to_string()),
            LogicalPlan::Join(join) => found.push(join.join_type.to_string()),
            _ => {}
        }
        plan.inputs().into_iter().for_each(|input| walk(input, found));
    }
    walk(&plan, &mut found);
    found
}

async fn joined(context: &SessionContext, first: &str, others: &[(&str, &str, &str)]) -> Result<DataFrame> {
    let mut frame = context.table(first).await?;
    for (table, left, right) in others {
        frame = frame.join(context.table(*table).await?, JoinType::Inner, &[left], &[right], None)?;
    }
    Ok(frame)
}

#[tokio::test]
async fn small_results_come_first() {
    let tables = [("fact", 1_000_000, 100_000), ("dim", 100_000, 100_000), ("tiny", 100, 100_000)];
    // As written, fact and dim are joined first; tiny leaves a thousandth of dim.
    let found =
        shape(&tables, async |c| joined(c, "fact", &[("dim", "fact_a", "dim_a"), ("tiny", "dim_b", "tiny_a")]).await);
    assert_eq!(found.await, ["Inner", "Inner", "tiny", "dim", "fact"]);
    // A filter makes a large table small.
    let tables = [("fact", 1_000_000, 100_000), ("dim", 100_000, 100_000), ("other", 50_000, 100_000)];
    let found = shape(&tables, async |c| {
        let all = joined(c, "fact", &[("dim", "fact_a", "dim_a"), ("other", "fact_b", "other_a")]).await?;
        all.filter(col("other_b").eq(lit(7i64)))
    });
    assert_eq!(found.await, ["Inner", "Inner", "other", "fact", "dim"]);
}

#[tokio::test]
async fn an_order_as_good_as_any_stays() {
    let tables = [("one", 1000, 1000), ("two", 1000, 1000), ("three", 1000, 1000)];
    let found =
        shape(&tables, async |c| joined(c, "one", &[("two", "one_a", "two_a"), ("three", "two_b", "three_a")]).await);
    assert_eq!(found.await, ["Inner", "Inner", "one", "two", "three"]);
}

#[tokio::test]
async fn semi_joins_go_where_they_see_fewer_rows() {
    let semi = async |c: &SessionContext, key: &str| {
        let all = joined(c, "orders", &[("items", "orders_a", "items_a")]).await?;
        all.join(c.table("wanted").await?, JoinType::LeftSemi, &[key], &["wanted_a"], None)
    };
    let tables = [("orders", 10_000, 10_000), ("items", 1_000_000, 10_000), ("wanted", 100, 10_000)];
    let found = shape(&tables, async |c| semi(c, "orders_a").await).await;
    assert_eq!(found, ["Inner", "LeftSemi", "orders", "wanted", "items"]);
    // The join leaves fewer rows than the table that the keys come from has.
    let tables = [("orders", 10, 10_000), ("items", 1_000_000, 1_000_000), ("wanted", 100_000, 1_000_000)];
    let found = shape(&tables, async |c| semi(c, "items_b").await).await;
    assert_eq!(found[0], "LeftSemi", "{found:?}");
}

/// A column of strings as scans deliver them.
fn views(values: &[Option<&str>]) -> (SessionContext, Expr) {
    let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Utf8View, true)]));
    let column: StringViewArray = values.iter().copied().collect();
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(column)]).unwrap();
    let context = context(true, []);
    context.register_table("t", Arc::new(MemTable::try_new(schema, vec![vec![batch]]).unwrap())).unwrap();
    (context, cast(col("v"), DataType::Utf8))
}

#[tokio::test]
async fn strings_are_compared_before_they_are_copied() {
    let values = [Some("apple"), Some("a much longer string than fits into a view"), None, Some("pear"), Some("")];
    let text = |value: &str| lit(value.to_owned());
    let (context, v) = views(&values);
    let table: Vec<(Expr, usize)> = vec![
        (v.clone().eq(text("apple")), 1),
        (text("b").gt(v.clone()), 3),
        (v.clone().in_list(vec![text("pear"), text("")], false), 2),
        (v.clone().in_list(vec![text("pear")], true), 3),
        (v.clone().like(text("%string%")), 1),
        (v.clone().not_like(text("a%")), 2),
        (v.clone().is_null(), 1),
        (v.clone().is_not_null().and(v.clone().not_eq(text(""))), 3),
        (v.clone().eq(v.clone()).or(v.clone().is_null()), 5),
    ];
    for (predicate, kept) in table {
        let frame = context.table("t").await.unwrap().filter(predicate.clone()).unwrap();
        let frame = frame.select(vec![v.clone().alias("copied")]).unwrap();
        let plan = frame.clone().into_optimized_plan().unwrap().display_indent().to_string();
        let filters: Vec<&str> = plan.lines().filter(|line| line.trim_start().starts_with("Filter")).collect();
        assert!(filters.iter().all(|line| !line.contains("CAST")), "{plan}");
        let rows: usize = frame.collect().await.unwrap().iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, kept, "{predicate}");
    }
}

type Rows = Vec<(Option<i64>, Option<i64>)>;

/// A query over tables `t0`, `t1`, …: which columns are equal to which, and what else.
#[derive(Debug, Clone)]
struct Query {
    /// Rows, and how many of them the statistics tell of.
    tables: Vec<(Rows, usize)>,
    /// Table `i + 1` is joined by a column of its own to a column of one before it.
    keys: Vec<(usize, bool, bool)>,
    less: Option<(usize, usize)>,
    semi: Option<(usize, bool, bool)>,
}

fn query() -> impl Strategy<Value = Query> {
    let value = || prop::option::weighted(0.9, 0i64..6);
    let table = (prop::collection::vec((value(), value()), 0..12), 1usize..1_000_000);
    (3usize..6).prop_flat_map(move |count| {
        let key = (0..count, any::<bool>(), any::<bool>());
        (
            prop::collection::vec(table.clone(), count),
            prop::collection::vec(key, count - 1),
            prop::option::of((0..count, 0..count)),
            prop::option::of((0..count, any::<bool>(), any::<bool>())),
        )
            .prop_map(|(tables, keys, less, semi)| Query { tables, keys, less, semi })
    })
}

impl Query {
    async fn rows(&self, ours: bool) -> Result<Vec<String>> {
        let column = |table: usize, second: bool| format!("t{table}_{}", if second { "b" } else { "a" });
        let tables = self.tables.iter().enumerate();
        let tables = tables.map(|(i, (rows, said))| (format!("t{i}"), Table::new(&format!("t{i}"), rows, *said, 6)));
        let context = context(ours, tables);
        let mut frame = context.table("t0").await?;
        for (i, (other, own, its)) in self.keys.iter().enumerate() {
            let (table, left) = (i + 1, column(other % (i + 1), *its));
            let right = context.table(format!("t{table}")).await?;
            frame = frame.join(right, JoinType::Inner, &[&left], &[&column(table, *own)], None)?;
        }
        if let Some((x, y)) = self.less {
            frame = frame.filter(col(column(x, false)).lt_eq(col(column(y, true))))?;
        }
        if let Some((table, second, negated)) = self.semi {
            let some = context.table("t0").await?.select(vec![(col("t0_a") + lit(1i64)).alias("wanted")])?;
            let kind = if negated { JoinType::LeftAnti } else { JoinType::LeftSemi };
            frame = frame.join(some, kind, &[&column(table, second)], &["wanted"], None)?;
        }
        let batches = frame.collect().await?;
        let text = pretty_format_batches(&batches)?.to_string();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        Ok(lines)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn no_order_changes_a_row(query in query()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (ours, theirs) = runtime.block_on(async { (query.rows(true).await, query.rows(false).await) });
        prop_assert_eq!(ours.unwrap(), theirs.unwrap());
    }
}
