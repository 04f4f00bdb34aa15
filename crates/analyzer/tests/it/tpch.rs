//! TPC-H: the schemas of all queries as Spark has them, from table definitions alone; and, where the data is
//! there (tools/setup makes it), the rows.

use std::path::PathBuf;

use firesteel_analyzer::{Analyzed, Session};
use serde_json::Value;

use crate::support::{analyze, columns, repository, rows, session};

const TABLES: &[(&str, &str)] = &[
    (
        "part",
        "p_partkey BIGINT, p_name STRING, p_mfgr STRING, p_brand STRING, p_type STRING, p_size INT, p_container STRING, p_retailprice DECIMAL(15,2), p_comment STRING",
    ),
    (
        "supplier",
        "s_suppkey BIGINT, s_name STRING, s_address STRING, s_nationkey BIGINT, s_phone STRING, s_acctbal DECIMAL(15,2), s_comment STRING",
    ),
    (
        "partsupp",
        "ps_partkey BIGINT, ps_suppkey BIGINT, ps_availqty INT, ps_supplycost DECIMAL(15,2), ps_comment STRING",
    ),
    (
        "customer",
        "c_custkey BIGINT, c_name STRING, c_address STRING, c_nationkey BIGINT, c_phone STRING, c_acctbal DECIMAL(15,2), c_mktsegment STRING, c_comment STRING",
    ),
    (
        "orders",
        "o_orderkey BIGINT, o_custkey BIGINT, o_orderstatus STRING, o_totalprice DECIMAL(15,2), o_orderdate DATE, o_orderpriority STRING, o_clerk STRING, o_shippriority INT, o_comment STRING",
    ),
    (
        "lineitem",
        "l_orderkey BIGINT, l_partkey BIGINT, l_suppkey BIGINT, l_linenumber INT, l_quantity DECIMAL(15,2), l_extendedprice DECIMAL(15,2), l_discount DECIMAL(15,2), l_tax DECIMAL(15,2), l_returnflag STRING, l_linestatus STRING, l_shipdate DATE, l_commitdate DATE, l_receiptdate DATE, l_shipinstruct STRING, l_shipmode STRING, l_comment STRING",
    ),
    ("nation", "n_nationkey BIGINT, n_name STRING, n_regionkey BIGINT, n_comment STRING"),
    ("region", "r_regionkey BIGINT, r_name STRING, r_comment STRING"),
];

fn queries() -> Vec<(String, String)> {
    let folder = repository().join("bench/tpch/queries");
    let mut queries: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            // The share that q11 asks for depends on the scale, which is 0.01 here.
            let sql = std::fs::read_to_string(&path).unwrap().replace("0.0001/*divided by the scale*/", "0.0100000000");
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), sql)
        })
        .collect();
    queries.sort();
    assert_eq!(queries.len(), 22);
    queries
}

fn expected(name: &str) -> (Value, Vec<String>) {
    let path = repository().join(format!("oracle/expected/tpch-sf0.01/{name}.jsonl"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    (serde_json::from_str(lines.next().unwrap()).unwrap(), lines.map(str::to_owned).collect())
}

async fn empty_tables(session: &Session) {
    for (name, schema) in TABLES {
        analyze(session, &format!("CREATE TABLE {name} ({schema}) USING parquet")).await.unwrap();
    }
}

#[tokio::test]
async fn every_query_has_sparks_schema_and_a_physical_plan() {
    let warehouse = tempfile::tempdir().unwrap();
    let session = session(warehouse.path());
    empty_tables(&session).await;
    let mut wrong = Vec::new();
    for (name, sql) in queries() {
        let (head, _) = expected(&name);
        let actual = match columns(&session, &sql).await {
            Ok(columns) => columns,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        let actual: Vec<_> = actual.iter().map(|(n, t, _)| serde_json::json!([n, t])).collect();
        if head["schema"] != Value::Array(actual.clone()) {
            wrong.push(format!("{name}: expected {}, got {actual:?}", head["schema"]));
        }
        if let Ok(Analyzed::Query(query)) = analyze(&session, &sql).await
            && let Err(error) = session.engine().state().create_physical_plan(&query.plan).await
        {
            wrong.push(format!("{name}: {error}\n{}", query.plan.display_indent()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The folder of TPC-H's Parquet files at scale 0.01, where it was made.
fn data() -> Option<PathBuf> {
    let cache = std::env::var("FIRESTEEL_CACHE")
        .map(PathBuf::from)
        .or_else(|_| std::env::var("HOME").map(|home| PathBuf::from(home).join(".cache/firesteel")))
        .ok()?;
    let folder = cache.join("tpch/sf0.01");
    folder.join(".complete").exists().then_some(folder)
}

#[tokio::test]
async fn every_query_has_sparks_rows() {
    let Some(data) = data() else {
        eprintln!("no data at scale 0.01: rows are not compared");
        return;
    };
    let warehouse = tempfile::tempdir().unwrap();
    let session = session(warehouse.path());
    for (name, _) in TABLES {
        let path = data.join(name);
        let sql = format!("CREATE TEMPORARY VIEW {name} USING parquet OPTIONS (path '{}')", path.display());
        analyze(&session, &sql).await.unwrap();
    }
    let mut wrong = Vec::new();
    for (name, sql) in queries() {
        let (head, mut expected_rows) = expected(&name);
        match rows(&session, &sql).await {
            Ok((_, mut actual)) => {
                if head.get("ordered").is_none() {
                    actual.sort();
                    expected_rows.sort();
                }
                if actual != expected_rows {
                    let at = actual.iter().zip(&expected_rows).position(|(a, b)| a != b);
                    let show = |rows: &[String]| at.and_then(|i| rows.get(i).cloned());
                    wrong.push(format!(
                        "{name}: {} rows, expected {}; row {at:?} is {:?}, expected {:?}",
                        actual.len(),
                        expected_rows.len(),
                        show(&actual),
                        show(&expected_rows)
                    ));
                }
            }
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
