//! The catalog in the warehouse: what it keeps for the next session, and who wins of several.

use std::sync::Arc;

use firesteel_analyzer::{Analyzed, Session};
use firesteel_engine::{EngineOptions, EngineSession, ExecutionMode};
use firesteel_plan::{SparkConf, SparkResult};
use firesteel_sql::{ParseOptions, parse_statement};

fn session(warehouse: &std::path::Path) -> Session {
    let conf: SparkConf = [
        ("spark.sql.warehouse.dir".to_owned(), warehouse.display().to_string()),
        ("firesteel.sql.catalog".to_owned(), "warehouse".to_owned()),
    ]
    .into_iter()
    .collect();
    let options = EngineOptions {
        conf: conf.clone(),
        mode: ExecutionMode::InProcess,
        slots: 1,
        memory_bytes: Some(256 << 20),
        local_dirs: Vec::new(),
    };
    Session::new(EngineSession::new(options).unwrap(), conf)
}

async fn run(session: &Session, text: &str) -> SparkResult<Analyzed> {
    let statement = parse_statement(text, &ParseOptions::from_conf(&session.conf()))?;
    session.analyze(&statement, text).await
}

async fn columns(session: &Session, query: &str) -> Vec<String> {
    match run(session, query).await.unwrap() {
        Analyzed::Query(query) => {
            query.columns.into_iter().map(|c| format!("{} {} {}", c.name, c.data_type, c.nullable)).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn another_session_finds_databases_tables_and_views() {
    let folder = tempfile::tempdir().unwrap();
    let first = session(folder.path());
    for statement in [
        "CREATE DATABASE d COMMENT 'of tests'",
        "CREATE TABLE d.t (a INT, `b c` STRUCT<`x y`: ARRAY<DECIMAL(10,2)>, z: MAP<STRING, TIMESTAMP>>, p DATE) \
         USING parquet PARTITIONED BY (p) COMMENT 'a table' TBLPROPERTIES ('k' = 'v')",
        "CREATE VIEW d.v (one COMMENT 'first', two) AS SELECT a, `b c`.z FROM d.t WHERE a > 1",
    ] {
        run(&first, statement).await.unwrap();
    }
    let second = session(folder.path());
    for query in ["SELECT * FROM d.t", "SELECT * FROM d.v"] {
        assert_eq!(columns(&first, query).await, columns(&second, query).await, "{query}");
    }
    assert_eq!(columns(&second, "SELECT * FROM d.v").await[0], "one int true");
    run(&second, "DROP TABLE d.t").await.unwrap();
    assert_eq!(run(&first, "SELECT * FROM d.t").await.unwrap_err().class(), "TABLE_OR_VIEW_NOT_FOUND");
    run(&first, "CREATE TABLE d.t (other STRING) USING parquet").await.unwrap();
    assert_eq!(columns(&second, "SELECT * FROM d.t").await, ["other string true"]);
    run(&second, "DROP DATABASE d CASCADE").await.unwrap();
    assert_eq!(run(&first, "USE d").await.unwrap_err().class(), "SCHEMA_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_make_one_table_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let sessions: Vec<Arc<Session>> = (0..8).map(|_| Arc::new(session(folder.path()))).collect();
    for round in 0..5 {
        let tries = sessions.iter().enumerate().map(|(i, session)| {
            let session = session.clone();
            tokio::spawn(async move {
                let text = format!("CREATE TABLE t{round} (c{i} INT) USING parquet");
                run(&session, &text).await.map(|_| i)
            })
        });
        let mut winners = Vec::new();
        for attempt in futures::future::join_all(tries).await {
            match attempt.unwrap() {
                Ok(winner) => winners.push(winner),
                Err(error) => assert_eq!(error.class(), "TABLE_OR_VIEW_ALREADY_EXISTS"),
            }
        }
        let [winner] = winners.as_slice() else { panic!("{winners:?} won") };
        for session in &sessions {
            assert_eq!(columns(session, &format!("SELECT * FROM t{round}")).await, [format!("c{winner} int true")]);
        }
    }
}

#[tokio::test]
async fn a_damaged_record_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path());
    run(&session, "CREATE TABLE t (a INT) USING parquet").await.unwrap();
    let records = folder.path().join("_firesteel/catalog/default/t");
    let record = std::fs::read_dir(&records).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&record, "{\"files\":").unwrap();
    let error = run(&session, "SELECT * FROM t").await.unwrap_err();
    assert!(error.message().contains("default/t/") && error.message().contains("damaged"), "{error}");
}
