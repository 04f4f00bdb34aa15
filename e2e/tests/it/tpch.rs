//! TPC-H's 22 queries on the cluster, from Parquet in S3 to Parquet in S3, compared with the rows recorded from real Spark.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use crate::harness::{Namespace, merge, oracle, root, sql_job, succeed, with_temp_namespace};

/// The recorded scale.
const SCALE: &str = "0.01";
const TABLES: [&str; 8] = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"];

#[test]
#[ignore = "needs a cluster: make cluster"]
fn e2e_tpch_equals_spark() {
    with_temp_namespace("e2e_tpch", async |namespace| {
        namespace.submit(&job(namespace).await).await;
        namespace.succeeded("tpch", Duration::from_secs(240)).await;
        compare(namespace).await;
    });
}

/// A job of all queries; query n writes to the folder qn of the test's bucket.
pub async fn job(namespace: &Namespace) -> Value {
    let bucket = &namespace.name;
    for table in TABLES {
        namespace.upload(&data().await.join(table), &format!("tpch/{table}")).await;
    }
    let mut script = String::new();
    for table in TABLES {
        script +=
            &format!("CREATE TEMPORARY VIEW {table} USING parquet OPTIONS (path 's3a://{bucket}/tpch/{table}');\n");
    }
    for number in 1..=22 {
        let file = root().join(format!("bench/tpch/queries/q{number:02}.sql"));
        // The share in query 11 falls with the scale: 0.0001 / 0.01.
        let text = std::fs::read_to_string(file).unwrap().replace("0.0001/*divided by the scale*/", "0.01");
        script += &format!("INSERT OVERWRITE DIRECTORY 's3a://{bucket}/out/q{number:02}' USING parquet\n{text};\n");
    }
    let mut job = sql_job("tpch", &script);
    merge(&mut job, json!({ "spec": { "executor": { "cores": 2 } } }));
    job
}

/// Panics unless every query's rows are Spark's.
pub async fn compare(namespace: &Namespace) {
    oracle::compare_with_recorded(&format!("tpch-sf{SCALE}"), &namespace.bucket_folder().join("out")).await;
}

/// The tables at that scale, generated when the cache lacks them.
async fn data() -> PathBuf {
    static MADE: tokio::sync::OnceCell<PathBuf> = tokio::sync::OnceCell::const_new();
    let make = async || {
        let script = "import sys; sys.path.insert(0, sys.argv[1]); import tpch; print(tpch.data(sys.argv[2]))";
        let venv = succeed(&mut tokio::process::Command::new(root().join("tools/oracle-venv"))).await;
        let mut python = tokio::process::Command::new(Path::new(venv.lines().last().unwrap()).join("bin/python"));
        let said = succeed(python.args(["-c", script]).arg(root().join("bench/tpch")).arg(SCALE)).await;
        PathBuf::from(said.lines().last().unwrap())
    };
    MADE.get_or_init(make).await.clone()
}
