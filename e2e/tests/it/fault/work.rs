//! The job of all scenarios: three tables in S3, joined and grouped, written back as CSV. Five stages: the maps of `facts`
//! and of `dims`, their join, the maps of `names`, and the groups that are joined with them and written.

use std::collections::BTreeMap;

use firesteel_e2e::s3::Hold;
use serde_json::{Value, json};

use super::backend::{Backend, StageView};
use crate::harness::{merge, put, sql_job};

/// Map tasks of each table: one for each file.
pub const FACTS: u32 = 8;
pub const DIMS: u32 = 3;
pub const NAMES: u32 = 2;
/// Reducers of the join, and of the end.
pub const REDUCERS: u32 = 5;
/// Task slots of all executors.
pub const SLOTS: u64 = 4;
const ROWS: u64 = 2000;
const KEYS: u64 = 997;
/// Bytes of a row, all alike: so are the files.
const ROW: usize = 24;

/// With adaptive execution, or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conf {
    pub adaptive: bool,
}

fn fact(row: u64) -> (u64, u64) {
    (row % KEYS, row.wrapping_mul(2_654_435_761) % 100_000)
}

fn dim(row: u64) -> (u64, u64) {
    (row, row * row % 89)
}

fn name(row: u64) -> (u64, u64) {
    (row, 1_000_000 + row)
}

/// Puts the tables into the backend's bucket.
pub async fn upload(backend: &dyn Backend) {
    type Row = fn(u64) -> (u64, u64);
    let tables: [(&str, u32, Row); 3] = [("facts", FACTS, fact), ("dims", DIMS, dim), ("names", NAMES, name)];
    for (table, files, row) in tables {
        for file in 0..u64::from(files) {
            let rows = (file * ROWS..(file + 1) * ROWS).map(row);
            let text: String = rows.map(|(key, value)| format!("{key:011},{value:011}\n")).collect();
            put(backend.s3(), backend.bucket(), &format!("{table}/part-{file}.csv"), text).await;
        }
    }
}

/// The job, with `changes` to its spec.
pub fn job(bucket: &str, conf: Conf, changes: Value) -> Value {
    let view = |name: &str, columns: &str| {
        format!("CREATE TEMPORARY VIEW {name} ({columns}) USING csv OPTIONS (path 's3a://{bucket}/{name}');\n")
    };
    let sql = format!(
        "{}{}{}INSERT OVERWRITE DIRECTORY 's3a://{bucket}/out' USING csv
         SELECT w, label, n, s, m FROM names JOIN
           (SELECT w, count(*) AS n, sum(v) AS s, max(v) AS m FROM facts JOIN dims USING (k) GROUP BY w) USING (w)",
        view("facts", "k BIGINT, v BIGINT"),
        view("dims", "k BIGINT, w BIGINT"),
        view("names", "w BIGINT, label BIGINT"),
    );
    let mut job = sql_job("work", &sql);
    let settings = json!({
        "spark.sql.shuffle.partitions": REDUCERS.to_string(),
        "spark.sql.files.maxPartitionBytes": (ROWS as usize * ROW).to_string(),
        "spark.sql.adaptive.enabled": conf.adaptive.to_string(),
        // The tables are small; what is tested is how large ones are handled.
        "spark.sql.autoBroadcastJoinThreshold": "-1",
        "spark.sql.adaptive.autoBroadcastJoinThreshold": "-1",
        "spark.sql.adaptive.advisoryPartitionSizeInBytes": "4k",
        "spark.sql.adaptive.coalescePartitions.minPartitionSize": "1k",
    });
    merge(&mut job, json!({ "spec": { "sparkConf": settings, "executor": { "cores": 2 } } }));
    merge(&mut job, json!({ "spec": changes }));
    job
}

/// The rows that the job must write, sorted as text.
pub fn expected() -> Vec<String> {
    let mut groups: BTreeMap<u64, (u64, u64, u64)> = BTreeMap::new();
    for (key, v) in (0..ROWS * u64::from(FACTS)).map(fact) {
        let group = groups.entry(dim(key).1).or_default();
        *group = (group.0 + 1, group.1 + v, group.2.max(v));
    }
    let row = |(w, (n, s, m)): (&u64, &(u64, u64, u64))| format!("{w},{},{n},{s},{m}", name(*w).1);
    let mut rows: Vec<String> = groups.iter().map(row).collect();
    rows.sort_unstable();
    rows
}

/// The rows in the bucket, sorted as text.
pub fn written(backend: &dyn Backend) -> Vec<String> {
    let folder = backend.s3().root().join(backend.bucket()).join("out");
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())).flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "csv") {
            rows.extend(std::fs::read_to_string(entry.path()).unwrap().lines().map(str::to_owned));
        }
    }
    rows.sort_unstable();
    rows
}

/// Holds the tasks that read these files: `facts/part-7`, say.
pub fn hold_reads(backend: &dyn Backend, files: &'static [&'static str]) -> Hold {
    backend.s3().hold(backend.bucket(), 0, move |operation, key| {
        operation == "GetObject" && files.iter().any(|file| key.starts_with(file))
    })
}

/// Holds the tasks that write the result, but for the first `free`.
pub fn hold_writes(backend: &dyn Backend, free: usize) -> Hold {
    backend.s3().hold(backend.bucket(), free, |operation, key| {
        matches!(operation, "CreateMultipartUpload" | "PutObject") && key.starts_with("out/")
    })
}

/// How many tasks of the table's maps are done. The stage is known by its number of tasks.
pub fn done(stages: &[StageView], tasks: u32) -> u32 {
    stages.iter().filter(|stage| stage.tasks == tasks).min_by_key(|stage| stage.stage).map_or(0, |stage| stage.done)
}
