//! Statement by statement: the columns or the error that real Spark's analysis answers (oracle/analysis-record).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{columns, repository, session};

/// Statements whose answer is not Spark's yet, each with what is different. Only gets shorter.
const KNOWN: &[(&str, &str)] = &[
    ("SELECT row_number() FROM t", "the error points at the call, not at the whole query"),
    ("WITH c AS (SELECT 1), c AS (SELECT 2) SELECT * FROM c", "the error points at WITH, not at the whole query"),
];

/// What is compared: `columns` of an answer; class, SQLSTATE and place of an error.
fn differences(
    expected: &Value,
    actual: &Result<Vec<(String, String, bool)>, firesteel_plan::SparkError>,
) -> Vec<String> {
    let mut out = Vec::new();
    match (expected.get("columns"), actual) {
        (Some(columns), Ok(actual)) => {
            let columns = columns.as_array().unwrap();
            let expected: Vec<_> = columns
                .iter()
                .map(|c| (c[0].as_str().unwrap().to_owned(), c[1].as_str().unwrap().to_owned()))
                .collect();
            let actual: Vec<_> = actual.iter().map(|(name, kind, _)| (name.clone(), kind.clone())).collect();
            if expected != actual {
                for (e, a) in expected.iter().zip(&actual).filter(|(e, a)| e != a) {
                    out.push(format!("expected {e:?}, got {a:?}"));
                }
                if expected.len() != actual.len() {
                    out.push(format!("expected {} columns, got {}", expected.len(), actual.len()));
                }
            }
        }
        (Some(_), Err(error)) => out.push(format!("expected columns, got {error}")),
        (None, Ok(_)) => out.push(format!("expected {}, got an answer", expected["error"])),
        (None, Err(error)) => {
            if expected["error"] != error.class() {
                out.push(format!("expected {}, got {error}", expected["error"]));
            } else {
                if expected["state"] != error.sql_state() {
                    out.push(format!("expected SQLSTATE {}, got {}", expected["state"], error.sql_state()));
                }
                let fragment = error.context().map(|c| c.fragment.clone());
                if let Some(expected) = expected["fragment"].as_str()
                    && fragment.as_deref() != Some(expected)
                {
                    out.push(format!("expected to point at `{expected}`, got {fragment:?}"));
                }
            }
        }
    }
    out
}

#[tokio::test]
async fn analysis_answers_what_spark_answered() {
    let warehouse = tempfile::tempdir().unwrap();
    let session = session(warehouse.path());
    let oracle = repository().join("oracle");
    let setup = std::fs::read_to_string(oracle.join("cases/analysis-setup.sql")).unwrap();
    for statement in setup.split(";\n").filter(|s| !s.trim().is_empty()) {
        columns(&session, statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
    let recorded = std::fs::read_to_string(oracle.join("expected/analysis.jsonl")).unwrap();
    let mut wrong: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut count = 0;
    for line in recorded.lines() {
        let expected: Value = serde_json::from_str(line).unwrap();
        let sql = expected["sql"].as_str().unwrap();
        let actual = columns(&session, sql).await;
        let found = differences(&expected, &actual);
        if !found.is_empty() {
            wrong.insert(sql.to_owned(), found);
        }
        count += 1;
    }
    assert!(count > 100, "only {count} statements are recorded");
    for (sql, _) in KNOWN {
        assert!(wrong.remove(*sql).is_some(), "no longer different, take it off the list: {sql}");
    }
    for (sql, found) in &wrong {
        eprintln!("{sql}");
        for f in found {
            eprintln!("    {}", f.replace('\n', "\n    "));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} statements are answered differently", wrong.len());
}
