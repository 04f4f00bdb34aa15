//! DDL, DML and what only shows something.

use firesteel_analyzer::{Analyzed, AnalyzedWrite, Session};
use firesteel_engine::write::WriteMode;

use crate::support::{analyze, columns, session};

async fn done(session: &Session, sql: &str) {
    match analyze(session, sql).await {
        Ok(Analyzed::Done | Analyzed::Rows { .. }) => {}
        Ok(_) => panic!("{sql}: not done"),
        Err(error) => panic!("{sql}: {error}"),
    }
}

async fn write(session: &Session, sql: &str) -> AnalyzedWrite {
    match analyze(session, sql).await {
        Ok(Analyzed::Write(write)) => write,
        Ok(_) => panic!("{sql}: no write"),
        Err(error) => panic!("{sql}: {error}"),
    }
}

async fn class(session: &Session, sql: &str) -> String {
    analyze(session, sql).await.err().unwrap_or_else(|| panic!("{sql}: no error")).class().to_owned()
}

async fn shown(session: &Session, sql: &str) -> Vec<Vec<String>> {
    let Ok(Analyzed::Rows { batches, .. }) = analyze(session, sql).await else { panic!("{sql}: no rows") };
    let text = |array, row| arrow::util::display::array_value_to_string(array, row).unwrap();
    batches.iter().flat_map(|b| (0..b.num_rows()).map(|r| b.columns().iter().map(|c| text(c, r)).collect())).collect()
}

#[tokio::test]
async fn inserts_take_the_tables_columns_and_types() {
    let warehouse = tempfile::tempdir().unwrap();
    let session = session(warehouse.path());
    done(&session, "CREATE TABLE p (id INT, name STRING, day DATE, hour INT) USING parquet PARTITIONED BY (day, hour)")
        .await;

    let w = write(&session, "INSERT INTO p VALUES (1L, 'x', DATE '2020-01-01', 3)").await;
    assert_eq!(w.spec.mode, WriteMode::Append);
    assert_eq!(w.spec.partition_by, ["day", "hour"]);
    let types: Vec<_> = w.query.columns.iter().map(|c| (c.name.as_str(), c.data_type.to_string())).collect();
    assert_eq!(
        types,
        [("id", "int"), ("name", "string"), ("day", "date"), ("hour", "int")].map(|(n, t)| (n, t.to_owned()))
    );

    let w = write(&session, "INSERT OVERWRITE p PARTITION (day = '2020-01-01', hour) SELECT 1, 'x', 3").await;
    assert_eq!(w.spec.mode, WriteMode::Overwrite);
    assert_eq!(w.spec.static_partition, [("day".to_owned(), Some("2020-01-01".to_owned()))]);
    assert_eq!(w.spec.partition_by, ["hour"]);
    assert_eq!(w.spec.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["id", "name", "hour"]);

    done(&session, "SET spark.sql.sources.partitionOverwriteMode = DYNAMIC").await;
    let w = write(&session, "INSERT OVERWRITE p SELECT 1, 'x', DATE '2020-01-01', 3").await;
    assert_eq!(w.spec.mode, WriteMode::OverwriteDynamic);

    let w = write(&session, "INSERT INTO p (name, id, hour, day) SELECT 'x', 1, 2, DATE '2020-01-01'").await;
    assert_eq!(w.query.columns[0].name, "id");
    let w =
        write(&session, "INSERT INTO p BY NAME SELECT 'x' AS name, 1 AS id, 2 AS hour, DATE '2020-01-01' AS day").await;
    assert_eq!(w.query.columns[1].name, "name");
    assert_eq!(
        class(&session, "INSERT INTO p SELECT 'a', 'b', DATE '2020-01-01', 1").await,
        "INCOMPATIBLE_DATA_FOR_TABLE.CANNOT_SAFELY_CAST"
    );
}

#[tokio::test]
async fn a_table_as_select_is_in_the_catalog_when_its_rows_are() {
    let warehouse = tempfile::tempdir().unwrap();
    let session = session(warehouse.path());
    let sql = "CREATE TABLE c USING parquet PARTITIONED BY (k) AS SELECT 'a' AS k, id FROM range(3)";
    let w = write(&session, sql).await;
    assert_eq!(w.spec.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["id", "k"]);
    assert_eq!(w.spec.partition_by, ["k"]);
    assert_eq!(w.spec.mode, WriteMode::ErrorIfExists);
    assert_eq!(class(&session, "SELECT * FROM c").await, "TABLE_OR_VIEW_NOT_FOUND");
    session.apply(w.then).await.unwrap();
    let found = columns(&session, "SELECT * FROM c").await.unwrap();
    assert_eq!(
        found.iter().map(|(n, t, _)| (n.as_str(), t.as_str())).collect::<Vec<_>>(),
        [("id", "bigint"), ("k", "string")]
    );
    assert_eq!(class(&session, sql).await, "TABLE_OR_VIEW_ALREADY_EXISTS");
    done(&session, "CREATE TABLE IF NOT EXISTS c USING parquet AS SELECT 1 AS x").await;
}

#[tokio::test]
async fn views_keep_their_meaning() {
    let warehouse = tempfile::tempdir().unwrap();
    let session = session(warehouse.path());
    done(&session, "CREATE TABLE t (a INT, b STRING) USING parquet").await;
    done(&session, "CREATE TEMPORARY VIEW v (x, y) AS SELECT a, b FROM t").await;
    // What stays cannot be made of what goes with the session.
    assert_eq!(class(&session, "CREATE VIEW w AS SELECT x + 1 AS z FROM v").await, "INVALID_TEMP_OBJ_REFERENCE");
    done(&session, "CREATE TEMPORARY VIEW w AS SELECT x + 1 AS z FROM v").await;
    done(&session, "CREATE GLOBAL TEMPORARY VIEW g AS SELECT * FROM w").await;
    let found = columns(&session, "SELECT g.z, v.y FROM global_temp.g JOIN v ON g.z = v.x").await.unwrap();
    assert_eq!(
        found.iter().map(|(n, t, _)| (n.as_str(), t.as_str())).collect::<Vec<_>>(),
        [("z", "int"), ("y", "string")]
    );
    assert_eq!(class(&session, "CREATE OR REPLACE TEMPORARY VIEW v AS SELECT * FROM v").await, "RECURSIVE_VIEW");
    // A temporary view hides the table of its name.
    done(&session, "CREATE TEMPORARY VIEW t AS SELECT 1 AS only").await;
    assert_eq!(columns(&session, "SELECT * FROM t").await.unwrap()[0].0, "only");
    assert_eq!(columns(&session, "SELECT * FROM default.t").await.unwrap().len(), 2);
    done(&session, "DROP VIEW t").await;
    assert_eq!(columns(&session, "SELECT * FROM t").await.unwrap().len(), 2);
    done(&session, "DROP TABLE t").await;
    assert_eq!(class(&session, "SELECT * FROM v").await, "TABLE_OR_VIEW_NOT_FOUND");
}

#[tokio::test]
async fn databases_and_what_shows_them() {
    let warehouse = tempfile::tempdir().unwrap();
    let session = session(warehouse.path());
    done(&session, "CREATE DATABASE d").await;
    done(&session, "USE d").await;
    done(&session, "CREATE TABLE one (a INT COMMENT 'first', b STRING) USING csv").await;
    assert_eq!(shown(&session, "SHOW TABLES").await, [["d", "one", "false"]]);
    assert_eq!(shown(&session, "SHOW DATABASES").await, [["d"], ["default"]]);
    assert_eq!(shown(&session, "DESCRIBE one").await[0], ["a", "int", "first"]);
    assert_eq!(columns(&session, "SELECT d.one.a FROM d.one").await.unwrap().len(), 1);
    assert_eq!(class(&session, "DROP DATABASE d").await, "SCHEMA_NOT_EMPTY");
    done(&session, "DROP DATABASE d CASCADE").await;
    assert_eq!(shown(&session, "SHOW TABLES").await, Vec::<Vec<String>>::new());
}

#[tokio::test]
async fn settings() {
    let warehouse = tempfile::tempdir().unwrap();
    let session = session(warehouse.path());
    assert_eq!(shown(&session, "SET spark.sql.ansi.enabled").await, [["spark.sql.ansi.enabled", "true"]]);
    done(&session, "SET spark.sql.ansi.enabled = false").await;
    assert_eq!(shown(&session, "SET spark.sql.ansi.enabled").await, [["spark.sql.ansi.enabled", "false"]]);
    done(&session, "RESET spark.sql.ansi.enabled").await;
    assert_eq!(shown(&session, "SET spark.sql.ansi.enabled").await, [["spark.sql.ansi.enabled", "true"]]);
    done(&session, "SET TIME ZONE 'Europe/Berlin'").await;
    assert_eq!(shown(&session, "SET spark.sql.session.timeZone").await[0][1], "Europe/Berlin");
    assert_eq!(class(&session, "SET spark.executor.memory = 2g").await, "CANNOT_MODIFY_CONFIG");
}
