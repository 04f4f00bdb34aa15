//! Cached tables, in one process and on executors.

use std::time::Duration;

use arrow::util::display::array_value_to_string;
use firesteel_driver::{Application, Outcome, QueryResult};
use firesteel_engine::cache::StorageLevel;
use firesteel_plan::SparkError;
use tempfile::TempDir;

use crate::application::{OnExecutors, in_process, in_process_with};

async fn run(application: &Application, sql: &str) -> Result<Option<QueryResult>, SparkError> {
    let mut last = None;
    let each = |result: firesteel_driver::StatementResult| {
        if let Outcome::Rows(rows) = result.outcome {
            last = Some(rows);
        }
        true
    };
    application.run_script(sql, each).await.map(|()| last)
}

/// The rows of the last statement, sorted, as text.
async fn rows(application: &Application, sql: &str) -> Vec<String> {
    let result = run(application, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}")).expect("rows");
    let mut all = Vec::new();
    for batch in &result.batches {
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = batch.columns().iter().map(|c| array_value_to_string(c, row).unwrap()).collect();
            all.push(cells.join("|"));
        }
    }
    all.sort();
    all
}

async fn done(application: &Application, sql: &str) {
    run(application, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
}

fn read_bytes(application: &Application) -> u64 {
    application.progress().get().bytes_read
}

fn cached_partitions(application: &Application) -> Vec<(usize, usize)> {
    application.cached_relations().iter().map(|r| (r.cached, r.partitions)).collect()
}

fn warehouse(dir: &TempDir) -> Vec<(&'static str, String)> {
    vec![("spark.sql.warehouse.dir", dir.path().to_string_lossy().into_owned())]
}

fn local(dir: &TempDir, conf: &[(&str, &str)]) -> Application {
    let own = warehouse(dir);
    let mut all: Vec<(&str, &str)> = own.iter().map(|(k, v)| (*k, v.as_str())).collect();
    all.extend(conf);
    in_process(dir.path(), &all)
}

async fn cluster(dir: &TempDir, executors: u32, conf: &[(&str, &str)]) -> OnExecutors {
    let own = warehouse(dir);
    let mut all: Vec<(&str, &str)> = own.iter().map(|(k, v)| (*k, v.as_str())).collect();
    all.extend(conf);
    OnExecutors::start(executors, &all).await
}

const MAKE: &str =
    "CREATE TABLE t USING parquet AS SELECT id, id % 7 k, concat('name ', id) s FROM range(0, 20000, 1, 4)";
const ASK: &str = "SELECT k, count(*), sum(id), min(s) FROM t WHERE id > 100 GROUP BY k";

#[tokio::test(flavor = "multi_thread")]
async fn a_second_use_reads_no_input_in_one_process() {
    let dir = TempDir::new().unwrap();
    let app = local(&dir, &[]);
    done(&app, MAKE).await;
    let expected = rows(&app, ASK).await;
    done(&app, "CACHE LAZY TABLE t").await;
    let before = read_bytes(&app);
    assert_eq!(rows(&app, ASK).await, expected);
    let first = read_bytes(&app);
    assert!(first > before, "the first use reads the files");
    assert_eq!(rows(&app, ASK).await, expected);
    assert_eq!(rows(&app, "SELECT count(*) FROM t").await, ["20000"]);
    assert_eq!(read_bytes(&app), first, "later uses do not");
    done(&app, "UNCACHE TABLE t").await;
    assert_eq!(rows(&app, ASK).await, expected);
    assert!(read_bytes(&app) > first);
    assert!(app.cached_relations().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_use_reads_no_input_on_executors() {
    let dir = TempDir::new().unwrap();
    let cluster = cluster(&dir, 2, &[]).await;
    let app = &cluster.application;
    done(app, MAKE).await;
    let expected = rows(app, ASK).await;
    done(app, "CACHE TABLE t").await;
    let [relation] = app.cached_relations().try_into().expect("one relation");
    assert_eq!((relation.cached, relation.rows), (relation.partitions, Some(20_000)));
    let first = read_bytes(app);
    assert_eq!(rows(app, ASK).await, expected);
    // Through an exchange, joined with itself, in a subquery.
    let joined = "SELECT count(*) FROM t a JOIN t b USING (id) WHERE a.k = (SELECT max(k) FROM t)";
    assert_eq!(rows(app, joined).await, ["2857"]);
    assert_eq!(read_bytes(app), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_lost_partitions_are_computed_again() {
    let dir = TempDir::new().unwrap();
    let mut cluster = cluster(&dir, 2, &[]).await;
    const RANGE: &str = "CREATE TEMP VIEW v AS SELECT id, id % 7 k FROM range(0, 8000, 1, 8)";
    done(&cluster.application, RANGE).await;
    let ask = "SELECT k, count(*), sum(id) FROM v GROUP BY k";
    let expected = rows(&cluster.application, ask).await;
    done(&cluster.application, "CACHE TABLE v").await;
    assert_eq!(cached_partitions(&cluster.application), [(8, 8)]);
    let read = cluster.progress.get().rows_read;
    let victim = cluster.executors.remove(0);
    victim.kill();
    // The driver learns of it.
    let left = loop {
        let [(left, 8)] = cached_partitions(&cluster.application)[..] else { panic!("the relation is gone") };
        if left < 8 {
            break left as u64;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(rows(&cluster.application, ask).await, expected);
    assert_eq!(cluster.progress.get().rows_read - read, (8 - left) * 1000, "{left} partitions were left");
    assert_eq!(cached_partitions(&cluster.application), [(8, 8)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_lost_in_the_middle_is_survived_through_an_exchange() {
    let dir = TempDir::new().unwrap();
    let mut cluster = cluster(&dir, 2, &[("spark.sql.shuffle.partitions", "4")]).await;
    let view =
        "CREATE TEMP VIEW v AS SELECT k, count(*) n FROM (SELECT id % 100 k FROM range(0, 8000, 1, 8)) GROUP BY k";
    done(&cluster.application, view).await;
    let expected = rows(&cluster.application, "SELECT * FROM v").await;
    done(&cluster.application, "CACHE TABLE v").await;
    let read = cluster.progress.get().rows_read;
    // All blocks are there: the stage below is not run.
    assert_eq!(rows(&cluster.application, "SELECT * FROM v").await, expected);
    assert_eq!(cluster.progress.get().rows_read, read);
    // Lost before the driver knows: tasks miss their blocks, and what is below them runs for these.
    let victim = cluster.executors.remove(0);
    victim.kill();
    assert_eq!(rows(&cluster.application, "SELECT * FROM v").await, expected);
    assert!(cluster.progress.get().rows_read > read);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replicated_level_survives_a_loss() {
    let dir = TempDir::new().unwrap();
    let mut cluster = cluster(&dir, 2, &[]).await;
    done(&cluster.application, "CREATE TEMP VIEW v AS SELECT id, id % 7 k FROM range(0, 8000, 1, 8)").await;
    let ask = "SELECT k, count(*), sum(id) FROM v GROUP BY k";
    let expected = rows(&cluster.application, ask).await;
    done(&cluster.application, "CACHE TABLE v OPTIONS('storageLevel' 'MEMORY_AND_DISK_2')").await;
    let one = cluster.application.cached_relations()[0].bytes;
    for _ in 0..500 {
        if cluster.application.cached_relations()[0].memory_bytes >= 2 * one {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let read = cluster.progress.get().rows_read;
    let victim = cluster.executors.remove(0);
    victim.kill();
    assert_eq!(rows(&cluster.application, ask).await, expected);
    assert_eq!(cluster.progress.get().rows_read, read, "nothing is computed again");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_and_new_definitions_are_seen() {
    let dir = TempDir::new().unwrap();
    let app = local(&dir, &[]);
    done(&app, "CREATE TABLE t USING parquet AS SELECT id, id % 3 k FROM range(100)").await;
    done(&app, "CREATE TEMP VIEW v AS SELECT k, count(*) c FROM t GROUP BY k").await;
    done(&app, "CACHE TABLE t; CACHE TABLE v").await;
    assert_eq!(app.cached_relations().len(), 2);
    done(&app, "INSERT INTO t VALUES (1000, 1)").await;
    assert_eq!(rows(&app, "SELECT count(*) FROM t").await, ["101"]);
    assert_eq!(rows(&app, "SELECT c FROM v WHERE k = 1").await, ["34"]);
    // Still cached: used again, and once more made from the files that are there now.
    let read = read_bytes(&app);
    assert_eq!(rows(&app, "SELECT count(*) FROM t").await, ["101"]);
    assert_eq!(read_bytes(&app), read);
    done(&app, "INSERT OVERWRITE t SELECT id, id FROM range(7)").await;
    assert_eq!(rows(&app, "SELECT count(*) FROM t").await, ["7"]);
    done(&app, "TRUNCATE TABLE t").await;
    assert_eq!(rows(&app, "SELECT count(*) FROM t").await, ["0"]);
    // What Spark answers (numCachedEntries) to the same statements.
    let entries = || app.session().engine().cache().len();
    assert_eq!(entries(), 2);
    done(&app, "UNCACHE TABLE t").await;
    assert_eq!(entries(), 0, "what was made from a table goes with it");
    done(&app, "CREATE TEMP VIEW v2 AS SELECT * FROM v WHERE k > 0; CACHE TABLE v; CACHE TABLE v2").await;
    done(&app, "UNCACHE TABLE v").await;
    assert_eq!(entries(), 1, "what was made from a temporary view stays");
    done(&app, "CACHE TABLE v; CREATE OR REPLACE TEMP VIEW v AS SELECT 1L k, 2L c").await;
    assert_eq!(entries(), 0);
    done(&app, "CACHE TABLE t; DROP TABLE t; CREATE TABLE t USING parquet AS SELECT 2 a").await;
    assert_eq!(entries(), 0);
    assert_eq!(rows(&app, "SELECT * FROM t").await, ["2"]);
    done(&app, "CACHE TABLE t; CLEAR CACHE").await;
    assert_eq!(entries(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_are_found_by_what_they_say() {
    let dir = TempDir::new().unwrap();
    let app = local(&dir, &[]);
    done(&app, "CREATE TABLE t USING parquet AS SELECT id, concat('#', id) s FROM range(100)").await;
    done(&app, "CREATE TEMP VIEW a1 AS SELECT id + 1 x FROM t; CACHE TABLE a1").await;
    let plan = |sql: String| {
        let app = &app;
        async move { rows(app, &format!("EXPLAIN {sql}")).await.join("\n") }
    };
    let uses = |text: &str| text.contains("InMemoryTableScanExec");
    assert!(uses(&plan("SELECT id + 1 z FROM t".into()).await));
    assert!(uses(&plan("SELECT y FROM (SELECT id + 1 y FROM t) WHERE y > 3".into()).await));
    assert!(!uses(&plan("SELECT id + 2 z FROM t".into()).await));
    assert!(!uses(&plan("SELECT id - 1 z FROM t".into()).await));
    done(&app, "CREATE TEMP VIEW b AS SELECT * FROM t WHERE s = '#1'; CACHE TABLE b").await;
    assert_eq!(rows(&app, "SELECT id FROM t WHERE s = '#1'").await, ["1"]);
    assert_eq!(rows(&app, "SELECT id FROM t WHERE s = '#2'").await, ["2"]);
    let text = plan("SELECT s, count(*) FROM (SELECT * FROM t WHERE s = '#1') GROUP BY s".into()).await;
    assert!(text.contains("InMemoryRelation") && text.contains("StorageLevel(disk, memory, deserialized, 1 replicas)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_sparks() {
    let dir = TempDir::new().unwrap();
    let app = local(&dir, &[]);
    done(&app, "CREATE TABLE t USING parquet AS SELECT id FROM range(10); CACHE TABLE x AS SELECT 1 a, 'b' b").await;
    assert_eq!(rows(&app, "SELECT * FROM x").await, ["1|b"]);
    for (sql, class) in [
        ("CACHE TABLE nope", "TABLE_OR_VIEW_NOT_FOUND"),
        ("UNCACHE TABLE nope", "TABLE_OR_VIEW_NOT_FOUND"),
        ("REFRESH TABLE nope", "TABLE_OR_VIEW_NOT_FOUND"),
        ("CACHE TABLE x AS SELECT 2 a", "TEMP_TABLE_OR_VIEW_ALREADY_EXISTS"),
        ("CACHE TABLE default.y AS SELECT 1 a", "_LEGACY_ERROR_TEMP_0037"),
        ("CACHE TABLE y AS SELECT 1 a, 2 a", "COLUMN_ALREADY_EXISTS"),
        ("CACHE TABLE y AS SELECT nope FROM t", "UNRESOLVED_COLUMN.WITH_SUGGESTION"),
        ("CACHE TABLE z AS SELECT 1/0", "DIVIDE_BY_ZERO"),
    ] {
        let error = run(&app, sql).await.err().unwrap_or_else(|| panic!("{sql}: no error"));
        assert_eq!(error.class(), class, "{sql}: {error}");
    }
    let error = run(&app, "CACHE TABLE t OPTIONS('storageLevel' 'BOGUS')").await.err().unwrap();
    assert_eq!(error.message(), "Invalid StorageLevel: BOGUS");
    let entries = app.session().engine().cache().len();
    assert_eq!(entries, 1, "only x");
    done(&app, "UNCACHE TABLE IF EXISTS nope; REFRESH '/nowhere/at/all'; REFRESH /; UNCACHE TABLE t").await;
    done(&app, "CACHE TABLE t OPTIONS('storageLevel' 'NONE')").await;
    assert_eq!(app.session().engine().cache().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_level_gives_the_same_rows() {
    let dir = TempDir::new().unwrap();
    let app = local(&dir, &[("spark.sql.inMemoryColumnarStorage.batchSize", "700")]);
    done(&app, MAKE).await;
    let expected = rows(&app, ASK).await;
    for level in ["DISK_ONLY", "MEMORY_ONLY", "MEMORY_ONLY_SER", "MEMORY_AND_DISK", "MEMORY_AND_DISK_SER", "OFF_HEAP"] {
        done(&app, &format!("CACHE TABLE t OPTIONS('storageLevel' '{level}')")).await;
        let read = read_bytes(&app);
        assert_eq!(rows(&app, ASK).await, expected, "{level}");
        assert_eq!(rows(&app, "SELECT count(s) FROM t WHERE id = 77").await, ["1"], "{level}");
        assert_eq!(read_bytes(&app), read, "{level}");
        let relation = &app.cached_relations()[0];
        assert_eq!(relation.memory_bytes > 0, level != "DISK_ONLY", "{relation:?}");
        assert_eq!(relation.disk_bytes > 0, level == "DISK_ONLY", "{relation:?}");
        done(&app, "UNCACHE TABLE t").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_frames_are_persisted_and_checkpointed() {
    let dir = TempDir::new().unwrap();
    let cluster = cluster(&dir, 2, &[]).await;
    let app = &cluster.application;
    done(app, MAKE).await;
    let expected = rows(app, "SELECT id, s FROM t WHERE k = 3").await;
    let plan = plan_of(app, "SELECT id, s FROM t WHERE k = 3").await;
    assert_eq!(app.storage_level(&plan), StorageLevel::NONE);
    app.persist(&plan, StorageLevel::MEMORY_AND_DISK).unwrap();
    assert_eq!(app.storage_level(&plan), StorageLevel::MEMORY_AND_DISK);
    app.compute(&plan).await.unwrap();
    let read = read_bytes(app);
    assert_eq!(collected(app, &plan).await, expected);
    assert_eq!(read_bytes(app), read);
    app.unpersist(&plan);
    assert!(app.cached_relations().is_empty());

    let error = app.checkpoint(&plan).await.err().unwrap();
    assert_eq!(error.class(), "CHECKPOINT_DIRECTORY_NOT_SET");
    let local = app.local_checkpoint(&plan, true, StorageLevel::MEMORY_AND_DISK).await.unwrap();
    app.set_checkpoint_dir(&dir.path().join("checkpoints").to_string_lossy()).unwrap();
    let reliable = app.checkpoint(&plan).await.unwrap();
    done(app, "DROP TABLE t").await;
    assert_eq!(collected(app, &local).await, expected);
    assert_eq!(collected(app, &reliable).await, expected);
    assert_eq!(app.cached_relations().len(), 1);
    drop(local);
    // The driver shows the last plan as long as there is no other.
    assert_eq!(rows(app, "SELECT 1").await, ["1"]);
    assert!(app.cached_relations().is_empty(), "nobody can read it any more");
}

/// With so little memory that not all of three relations fit.
fn with_little_memory(dir: &TempDir) -> Application {
    in_process_with(dir.path(), &[], Some(24 << 20))
}

const THREE: &str = "CREATE TEMP VIEW a AS SELECT id, id * 2 b FROM range(0, 400000, 1, 4);
    CREATE TEMP VIEW b AS SELECT id, id * 3 b FROM range(0, 400000, 1, 4);
    CREATE TEMP VIEW c AS SELECT id, id * 5 b FROM range(0, 400000, 1, 4)";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_least_recently_goes_to_disk() {
    let dir = TempDir::new().unwrap();
    let app = with_little_memory(&dir);
    done(&app, THREE).await;
    let ask = |view: &str| format!("SELECT count(*), sum(b) FROM {view}");
    let expected: Vec<_> =
        [rows(&app, &ask("a")).await, rows(&app, &ask("b")).await, rows(&app, &ask("c")).await].into();
    done(&app, "CACHE TABLE a; CACHE TABLE b; CACHE TABLE c").await;
    let relations = app.cached_relations();
    assert!(relations.iter().all(|r| r.cached == r.partitions), "{relations:?}");
    assert!(relations[0].disk_bytes > 0 && relations[2].memory_bytes > 0, "{relations:?}");
    let read = app.progress().get().rows_read;
    for (view, expected) in ["a", "b", "c"].iter().zip(&expected) {
        assert_eq!(rows(&app, &ask(view)).await, *expected);
    }
    assert_eq!(app.progress().get().rows_read, read, "nothing is computed again");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_only_is_dropped_and_computed_again() {
    let dir = TempDir::new().unwrap();
    let app = with_little_memory(&dir);
    done(&app, THREE).await;
    let ask = "SELECT count(*), sum(b) FROM a";
    let expected = rows(&app, ask).await;
    let cache = |view: &str| format!("CACHE TABLE {view} OPTIONS('storageLevel' 'MEMORY_ONLY')");
    for view in ["a", "b", "c"] {
        done(&app, &cache(view)).await;
    }
    let relations = app.cached_relations();
    assert!(relations.iter().any(|r| r.cached < r.partitions), "{relations:?}");
    assert!(relations.iter().all(|r| r.disk_bytes == 0), "{relations:?}");
    assert_eq!(rows(&app, ask).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_leave_out_batches() {
    let dir = TempDir::new().unwrap();
    let app = local(&dir, &[("spark.sql.inMemoryColumnarStorage.batchSize", "1000")]);
    done(&app, "CREATE TEMP VIEW v AS SELECT id, concat('s', id) s FROM range(0, 10000, 1, 1); CACHE TABLE v").await;
    let ask = "SELECT count(*), min(id), max(s) FROM v WHERE id BETWEEN 4500 AND 4510";
    assert_eq!(rows(&app, ask).await, ["11|4500|s4510"]);
    let plan = rows(&app, &format!("EXPLAIN {ask}")).await.join("\n");
    assert!(plan.contains("InMemoryTableScanExec: v [id, s], predicate="), "{plan}");
}

async fn plan_of(app: &Application, sql: &str) -> datafusion::logical_expr::LogicalPlan {
    let statement = firesteel_sql::parse_statement(sql, &Default::default()).unwrap();
    match app.session().analyze(&statement, sql).await.unwrap() {
        firesteel_analyzer::Analyzed::Query(query) => query.plan,
        _ => panic!("{sql} is no query"),
    }
}

async fn collected(app: &Application, plan: &datafusion::logical_expr::LogicalPlan) -> Vec<String> {
    let mut all = Vec::new();
    for batch in app.rows_of(plan).await.unwrap() {
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = batch.columns().iter().map(|c| array_value_to_string(c, row).unwrap()).collect();
            all.push(cells.join("|"));
        }
    }
    all.sort();
    all
}
