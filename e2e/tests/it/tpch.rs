//! TPC-H's 22 queries on the cluster, from Parquet in S3 to Parquet in S3, compared with the rows recorded from real Spark.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{Namespace, cache, merge, oracle, prepare, root, sql_job, succeed, with_nodes_alone};

/// The scale whose rows are recorded in the repository.
pub const RECORDED: &str = "0.01";
const TABLES: [&str; 8] = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"];

/// At scale `FIRESTEEL_E2E_TPCH`; rows of other scales than the recorded one come from `oracle/tpch-record`.
#[test]
#[ignore = "needs a cluster: make cluster"]
fn e2e_tpch_equals_spark() {
    let scale = std::env::var("FIRESTEEL_E2E_TPCH").unwrap_or_else(|_| RECORDED.into());
    prepare(async {
        data(&scale).await;
        expected(&scale).await;
    });
    with_nodes_alone("e2e_tpch", Duration::from_secs(1800), async |namespace| {
        let mut job = job(namespace, &scale).await;
        if scale != RECORDED {
            merge(&mut job, json!({ "spec": { "executor": { "memory": "4g" } } }));
        }
        namespace.submit(&job).await;
        let began = Instant::now();
        namespace.succeeded("tpch", Duration::from_secs(1500)).await;
        println!("22 queries at scale {scale}: {:.1} s from submission to success", began.elapsed().as_secs_f64());
        compare(namespace, &scale).await;
    });
}

/// A job of all queries; query n writes to the folder qn of the test's bucket.
pub async fn job(namespace: &Namespace, scale: &str) -> Value {
    let (bucket, data) = (&namespace.name, data(scale).await);
    for table in TABLES {
        namespace.upload(&data.join(table), &format!("tpch/{table}")).await;
    }
    let mut script = String::new();
    for table in TABLES {
        script +=
            &format!("CREATE TEMPORARY VIEW {table} USING parquet OPTIONS (path 's3a://{bucket}/tpch/{table}');\n");
    }
    // The share in query 11 falls with the scale.
    let share = format!("{:.10}", 0.0001 / scale.parse::<f64>().unwrap());
    let share = share.trim_end_matches('0');
    for number in 1..=22 {
        let file = root().join(format!("bench/tpch/queries/q{number:02}.sql"));
        let text = std::fs::read_to_string(file).unwrap().replace("0.0001/*divided by the scale*/", share);
        script += &format!("INSERT OVERWRITE DIRECTORY 's3a://{bucket}/out/q{number:02}' USING parquet\n{text};\n");
    }
    let mut job = sql_job("tpch", &script);
    merge(&mut job, json!({ "spec": { "executor": { "cores": 2 } } }));
    job
}

/// Panics unless every query's rows are Spark's.
pub async fn compare(namespace: &Namespace, scale: &str) {
    oracle::compare_with_recorded(&expected(scale).await, &namespace.bucket_folder().join("out")).await;
}

/// The recorded rows; recorded now when there are none of this scale.
async fn expected(scale: &str) -> PathBuf {
    let name = format!("expected/tpch-sf{scale}");
    let (committed, cached) = (root().join("oracle").join(&name), cache().join(&name));
    if committed.is_dir() {
        return committed;
    }
    if !cached.is_dir() {
        succeed(tokio::process::Command::new(root().join("oracle/tpch-record")).arg(scale)).await;
    }
    cached
}

/// The tables at that scale, generated when the cache lacks them.
async fn data(scale: &str) -> PathBuf {
    let said = succeed(tokio::process::Command::new(root().join("bench/tpch/data")).arg(scale)).await;
    PathBuf::from(said.lines().last().unwrap())
}
