//! Queries on several times more data than memory answer what they answer with enough of it.

use firesteel_driver::Application;
use tempfile::TempDir;

use crate::application::{OnExecutors, in_process, row};

/// Of an executor.
const MEMORY: u64 = 48 << 20;

/// Some 250 MB a side.
const TABLES: &str = "
    CREATE TEMPORARY VIEW t AS
    SELECT id, (id * 7919) % 1000003 AS k, concat('a text that has some length ', CAST((id * 31) % 1800000 AS STRING), repeat('x', 60)) AS s
    FROM range(0, 2000000, 1, 8);
    CREATE TEMPORARY VIEW u AS
    SELECT id AS uid, concat('a text that has some length ', CAST((id * 17) % 2500000 AS STRING), repeat('x', 60)) AS us
    FROM range(0, 1500000, 1, 8);
";

const QUERIES: [(&str, &str); 12] = [
    ("group by", "SELECT count(*), sum(n), sum(m) FROM (SELECT s, count(*) AS n, max(id) AS m FROM t GROUP BY s)"),
    ("average", "SELECT count(*), sum(a) FROM (SELECT k, avg(id) AS a, min(s) AS s FROM t GROUP BY k)"),
    ("distinct", "SELECT count(*), min(s), max(k) FROM (SELECT DISTINCT s, k FROM t)"),
    ("distinct within groups", "SELECT sum(n), count(*) FROM (SELECT k % 100 AS g, count(DISTINCT s) AS n FROM t GROUP BY k % 100)"),
    (
        "window",
        "SELECT sum(n * (id % 7)), sum(b) FROM (
             SELECT id, row_number() OVER (PARTITION BY k % 50 ORDER BY s, id) AS n,
                    count(*) OVER (PARTITION BY k % 50) AS b FROM t)",
    ),
    ("inner join", "SELECT count(*), sum(id), sum(uid), max(us) FROM t JOIN u ON s = us AND (id + uid) % 3 <> 0"),
    ("left join", "SELECT count(*), sum(id), sum(uid), count(us) FROM t LEFT JOIN u ON s = us AND (id + uid) % 3 <> 0"),
    ("right join", "SELECT count(*), sum(id), sum(uid), count(s) FROM t RIGHT JOIN u ON s = us AND (id + uid) % 3 <> 0"),
    ("full join", "SELECT count(*), sum(id), sum(uid), count(s), count(us) FROM t FULL JOIN u ON s = us"),
    ("semi join", "SELECT count(*), sum(id) FROM t WHERE EXISTS (SELECT 1 FROM u WHERE us = s AND (id + uid) % 3 <> 0)"),
    ("anti join", "SELECT count(*), sum(id) FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE us = s)"),
    (
        "joins and groups of their rows",
        "SELECT count(*), sum(n), sum(x) FROM (
             SELECT a.k, count(*) AS n, max(c.uid) AS x FROM t AS a JOIN t AS b ON a.id = b.k JOIN u AS c ON b.s = c.us GROUP BY a.k)",
    ),
];

const CONF: [(&str, &str); 2] = [("spark.sql.autoBroadcastJoinThreshold", "-1"), ("spark.sql.shuffle.partitions", "4")];

async fn answers(application: &Application) -> Vec<(&'static str, Vec<String>)> {
    row_less(application, TABLES).await;
    let mut answers = Vec::new();
    for (name, sql) in QUERIES {
        match row(application, sql).await {
            Ok(row) => answers.push((name, row)),
            Err(error) => panic!("{name}: {error}"),
        }
    }
    answers
}

async fn row_less(application: &Application, sql: &str) {
    application.run_script(sql, |_| true).await.unwrap();
}

/// A sort of everything, its rows written in order.
async fn sorted(application: &Application, folder: &std::path::Path) -> Vec<String> {
    let dir = folder.join("sorted");
    row_less(
        application,
        &format!("INSERT OVERWRITE DIRECTORY '{}' USING parquet SELECT * FROM t ORDER BY s DESC, id", dir.display()),
    )
    .await;
    let mut files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "parquet"));
    files.sort();
    let mut last = String::new();
    for file in &files {
        let row = row(application, &format!("SELECT max(s), min(s) FROM parquet.`{}`", file.display())).await.unwrap();
        assert!(last.is_empty() || row[0] <= last, "{} begins after {last}", row[0]);
        last.clone_from(&row[1]);
    }
    let all = format!("SELECT count(*), sum(id), min(s), max(s) FROM parquet.`{}`", dir.display());
    row(application, &all).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn little_memory_changes_no_answer() {
    let folder = TempDir::new().unwrap();
    let enough = in_process(&folder.path().join("enough"), &CONF);
    let expected = answers(&enough).await;
    let expected_sort = sorted(&enough, folder.path()).await;
    drop(enough);

    let app = OnExecutors::start_with(2, &CONF, MEMORY).await;
    assert_eq!(answers(&app.application).await, expected);
    assert!(app.progress.get().spilled_bytes > 200 << 20, "{} bytes spilled", app.progress.get().spilled_bytes);
    assert_eq!(sorted(&app.application, folder.path()).await, expected_sort);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_partitions_than_slots() {
    let conf = [("spark.sql.shuffle.partitions", "400"), ("spark.sql.adaptive.coalescePartitions.enabled", "false")];
    let app = OnExecutors::start_with(4, &conf, MEMORY).await;
    let sql = "SELECT count(*), sum(n) FROM (SELECT id % 100000 AS g, count(*) AS n FROM range(0, 1000000, 1, 400) GROUP BY id % 100000)";
    assert_eq!(row(&app.application, sql).await.unwrap(), ["100000", "1000000"]);
    assert!(app.progress.get().tasks_done >= 800);
}
