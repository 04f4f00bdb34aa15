//! Session variables, EXECUTE IMMEDIATE, IDENTIFIER(…) and functions of SQL.

use firesteel_analyzer::{Analyzed, Session};

use crate::support::{analyze, columns, rows, session};

async fn done(session: &Session, sql: &str) {
    match analyze(session, sql).await {
        Ok(Analyzed::Done | Analyzed::Rows { .. }) => {}
        Ok(_) => panic!("{sql}: not done"),
        Err(error) => panic!("{sql}: {error}"),
    }
}

async fn class(session: &Session, sql: &str) -> String {
    analyze(session, sql).await.err().unwrap_or_else(|| panic!("{sql}: no error")).class().to_owned()
}

async fn row(session: &Session, sql: &str) -> String {
    rows(session, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}")).1.join(" ")
}

#[tokio::test]
async fn columns_come_before_variables() {
    let warehouse = tempfile::tempdir().unwrap();
    let session = session(warehouse.path());
    done(&session, "DECLARE VARIABLE x INT = 5").await;
    done(&session, "SET VAR x = x + 1").await;
    assert_eq!(row(&session, "SELECT x, session.x, system.session.X").await, "[6,6,6]");
    assert_eq!(row(&session, "SELECT x, session.x FROM VALUES (1) AS t(x)").await, "[1,6]");
    assert_eq!(row(&session, "SELECT 1 AS x, x + 1 AS y").await, "[1,2]");
    let shown = columns(&session, "SELECT x, x + 1").await.unwrap();
    assert_eq!(shown[0].0, "x");
    assert_eq!(shown[1].0, "(variablereference(system.session.x=6) + 1)");
    assert_eq!(class(&session, "DECLARE x INT").await, "VARIABLE_ALREADY_EXISTS");
    assert_eq!(class(&session, "SET x = 1").await, "UNSUPPORTED_FEATURE.SET_VARIABLE_USING_SET");
    assert_eq!(class(&session, "CREATE VIEW v AS SELECT x").await, "INVALID_TEMP_OBJ_REFERENCE");
    done(&session, "SET VAR x = DEFAULT").await;
    assert_eq!(row(&session, "SELECT x").await, "[5]");
    done(&session, "DROP TEMPORARY VARIABLE x").await;
    assert_eq!(class(&session, "SELECT x").await, "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION");
}

#[tokio::test]
async fn text_is_run_with_its_parameters() {
    let warehouse = tempfile::tempdir().unwrap();
    let session = session(warehouse.path());
    done(&session, "DECLARE t STRING = 'VALUES (1) AS v(a)'").await;
    let cases = [
        ("EXECUTE IMMEDIATE 'SELECT ? + ?' USING 1, 2", "[3]"),
        ("EXECUTE IMMEDIATE 'SELECT :b, :a' USING 'it''s' AS a, 2.50 AS b", "[\"2.50\",\"it's\"]"),
        ("EXECUTE IMMEDIATE 'SELECT a FROM ' || t", "[1]"),
        ("EXECUTE IMMEDIATE 'SELECT IDENTIFIER(:n || ''bs'')(-3)' USING 'a' AS n", "[3]"),
        ("EXECUTE IMMEDIATE 'SELECT :a[1], :m[''k'']' USING array(1, 2) AS a, map('k', 7) AS m", "[2,7]"),
        ("EXECUTE IMMEDIATE 'SELECT typeof(?), ?' USING CAST(NULL AS DATE), 1", "[\"date\",1]"),
    ];
    for (sql, expected) in cases {
        assert_eq!(row(&session, sql).await, expected, "{sql}");
    }
    for (sql, expected) in [
        ("EXECUTE IMMEDIATE 'SELECT :a, ?' USING 1 AS a", "INVALID_QUERY_MIXED_QUERY_PARAMETERS"),
        ("EXECUTE IMMEDIATE 'SELECT :a'", "UNBOUND_SQL_PARAMETER"),
        ("EXECUTE IMMEDIATE 'SELECT 1' INTO nobody", "UNRESOLVED_VARIABLE"),
        ("SELECT IDENTIFIER(1)", "NOT_A_CONSTANT_STRING.WRONG_TYPE"),
    ] {
        assert_eq!(class(&session, sql).await, expected, "{sql}");
    }
    // A text that runs itself ends.
    done(&session, "SET VAR t = 'EXECUTE IMMEDIATE t'").await;
    assert_eq!(class(&session, "EXECUTE IMMEDIATE t").await, "UNSUPPORTED_FEATURE");
}

#[tokio::test]
async fn functions_of_sql_become_what_they_say() {
    let warehouse = tempfile::tempdir().unwrap();
    let session = session(warehouse.path());
    done(&session, "CREATE FUNCTION area(w DOUBLE, h DOUBLE DEFAULT 2) RETURNS DOUBLE RETURN w * h").await;
    done(&session, "CREATE TEMPORARY FUNCTION twice(x INT) RETURNS INT RETURN (SELECT x * 2)").await;
    done(&session, "CREATE FUNCTION pairs(n INT) RETURNS TABLE (a INT, b INT) RETURN SELECT id, id * n FROM range(2)")
        .await;
    for (sql, expected) in [
        ("SELECT area(3), area(3, 4), area(h => 5, w => 1)", "[6.0,12.0,5.0]"),
        ("SELECT twice(id) FROM range(2, 3)", "[4]"),
        ("SELECT twice(area(1.5))", "[6]"),
        ("SELECT sum(twice(id)) FROM range(4)", "[12]"),
        ("SELECT sum(a + b) FROM pairs(10)", "[11]"),
    ] {
        assert_eq!(row(&session, sql).await, expected, "{sql}");
    }
    assert_eq!(columns(&session, "SELECT area(3)").await.unwrap()[0].0, "spark_catalog.default.area(3)");
    for (sql, expected) in [
        ("SELECT area()", "WRONG_NUM_ARGS.WITHOUT_SUGGESTION"),
        ("SELECT pairs(1)", "NOT_A_SCALAR_FUNCTION"),
        ("SELECT * FROM twice(1)", "NOT_A_TABLE_FUNCTION"),
        ("CREATE FUNCTION area(w DOUBLE) RETURNS DOUBLE RETURN w", "ROUTINE_ALREADY_EXISTS"),
        ("CREATE OR REPLACE FUNCTION area(w DOUBLE) RETURNS DOUBLE RETURN area(w)", "CYCLIC_FUNCTION_REFERENCE"),
        ("CREATE FUNCTION f(a INT, A INT) RETURNS INT RETURN 1", "DUPLICATE_ROUTINE_PARAMETER_NAMES"),
        ("CREATE FUNCTION f(a INT) RETURNS INT RETURN twice(a)", "INVALID_TEMP_OBJ_REFERENCE"),
        (
            "CREATE FUNCTION f(a INT) RETURNS INT RETURN sum(a)",
            "USER_DEFINED_FUNCTIONS.CANNOT_CONTAIN_COMPLEX_FUNCTIONS",
        ),
        ("DROP FUNCTION nobody", "ROUTINE_NOT_FOUND"),
    ] {
        assert_eq!(class(&session, sql).await, expected, "{sql}");
    }
    done(&session, "DROP FUNCTION area").await;
    assert_eq!(class(&session, "SELECT area(1)").await, "UNRESOLVED_ROUTINE");
}

#[tokio::test]
async fn pivots_and_their_reverse() {
    let warehouse = tempfile::tempdir().unwrap();
    let session = session(warehouse.path());
    done(
        &session,
        "CREATE TEMPORARY VIEW s AS SELECT * FROM VALUES ('a', 1, 10), ('a', 2, 20), ('b', 1, 30) AS s(k, y, v)",
    )
    .await;
    assert_eq!(
        row(&session, "SELECT * FROM s PIVOT (sum(v) AS s, count(v) AS c FOR y IN (1, 2 AS two)) ORDER BY k").await,
        "[\"a\",10,1,20,1] [\"b\",30,1,null,null]"
    );
    let names: Vec<String> = columns(&session, "SELECT * FROM s PIVOT (sum(v) FOR y IN (1, 2))")
        .await
        .unwrap()
        .into_iter()
        .map(|c| c.0)
        .collect();
    assert_eq!(names, ["k", "1", "2"]);
    assert_eq!(
        row(&session, "SELECT * FROM s UNPIVOT (n FOR what IN (y, v AS w)) WHERE k = 'b' ORDER BY what").await,
        "[\"b\",\"w\",30] [\"b\",\"y\",1]"
    );
    assert_eq!(row(&session, "TABLE s |> WHERE k = 'b' |> SET v = v + 1, y = v").await, "[\"b\",31,31]");
}
