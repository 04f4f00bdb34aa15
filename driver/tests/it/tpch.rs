//! TPC-H's queries on executors, with plans that change while they run and with plans that do not, against the rows
//! recorded from real Spark.

use std::path::{Path, PathBuf};

use arrow::util::display::array_value_to_string;
use firesteel_driver::Outcome;
use serde_json::Value;

use crate::application::OnExecutors;

const TABLES: [&str; 8] = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The tables at scale 0.01, which `oracle/check tpch` makes.
fn tables() -> PathBuf {
    let home = std::env::var("HOME").unwrap();
    let cache =
        std::env::var("FIRESTEEL_CACHE").map_or_else(|_| Path::new(&home).join(".cache/firesteel"), PathBuf::from);
    cache.join("tpch/sf0.01")
}

/// Values as text; sorted unless the query orders them.
fn recorded(query: usize) -> (bool, Vec<Vec<String>>) {
    let file = root().join(format!("oracle/expected/tpch-sf0.01/q{query:02}.jsonl"));
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ordered = lines.next().unwrap()["ordered"] == true;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    (ordered, lines.map(|row| row.as_array().unwrap().iter().map(text).collect()).collect())
}

async fn rows(app: &OnExecutors, sql: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let each = |result: firesteel_driver::StatementResult| {
        let Outcome::Rows(rows) = result.outcome else { return true };
        for batch in &rows.batches {
            for row in 0..batch.num_rows() {
                let value = |column: &arrow::array::ArrayRef| match column.is_null(row) {
                    true => "null".to_owned(),
                    false => array_value_to_string(column, row).unwrap(),
                };
                all.push(batch.columns().iter().map(value).collect());
            }
        }
        true
    };
    app.application.run_script(sql, each).await.unwrap();
    all
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the tables: oracle/check tpch"]
async fn tpch_equals_spark() {
    let broadcast =
        [("spark.sql.autoBroadcastJoinThreshold", "-1"), ("spark.sql.adaptive.autoBroadcastJoinThreshold", "200k")];
    let skew = [
        ("spark.sql.autoBroadcastJoinThreshold", "-1"),
        ("spark.sql.adaptive.skewJoin.skewedPartitionThresholdInBytes", "10k"),
        ("spark.sql.adaptive.skewJoin.skewedPartitionFactor", "0.5"),
        ("spark.sql.adaptive.advisoryPartitionSizeInBytes", "10k"),
        ("spark.sql.adaptive.coalescePartitions.minPartitionSize", "1k"),
    ];
    for conf in [&[][..], &[("spark.sql.adaptive.enabled", "false")], &broadcast, &skew] {
        let app = OnExecutors::start(2, conf).await;
        for table in TABLES {
            let path = tables().join(table);
            let view = format!("CREATE TEMPORARY VIEW {table} USING parquet OPTIONS (path '{}')", path.display());
            app.application.run_script(&view, |_| true).await.unwrap();
        }
        for query in 1..=22 {
            let file = root().join(format!("bench/tpch/queries/q{query:02}.sql"));
            let sql = std::fs::read_to_string(file).unwrap().replace("0.0001/*divided by the scale*/", "0.01");
            let (ordered, mut expected) = recorded(query);
            let mut got = rows(&app, &sql).await;
            if !ordered {
                got.sort();
                expected.sort();
            }
            assert_eq!(got, expected, "q{query} with {conf:?}\n{}", app.executed_plan().unwrap_or_default());
        }
    }
}
