//! Queries over small data with nulls and duplicates: the rows that real Spark answered (oracle/record on
//! oracle/cases/queries.sql).

use firesteel_analyzer::Analyzed;
use serde_json::Value;

use crate::support::{analyze, repository, rows, session};

#[tokio::test]
async fn queries_answer_sparks_rows() {
    let warehouse = tempfile::tempdir().unwrap();
    let session = session(warehouse.path());
    let oracle = repository().join("oracle");
    let script = std::fs::read_to_string(oracle.join("cases/queries.sql")).unwrap();
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (number, span) in firesteel_sql::split_statements(&script).into_iter().enumerate() {
        let sql = &script[span.start as usize..span.end as usize];
        let recorded = oracle.join(format!("expected/queries/result-{:03}.jsonl", number + 1));
        if !recorded.exists() {
            assert!(matches!(analyze(&session, sql).await, Ok(Analyzed::Done)), "{sql}");
            continue;
        }
        compared += 1;
        let recorded = std::fs::read_to_string(recorded).unwrap();
        let mut lines = recorded.lines();
        let head: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        let mut expected: Vec<String> = lines.map(str::to_owned).collect();
        match rows(&session, sql).await {
            Ok((schema, mut actual)) => {
                if head["schema"] != schema {
                    wrong.push(format!("{sql}\n    schema: expected {}, got {schema}", head["schema"]));
                }
                if head.get("ordered").is_none() {
                    expected.sort();
                    actual.sort();
                }
                if expected != actual {
                    wrong.push(format!(
                        "{sql}\n    expected {}\n         got {}",
                        expected.join(" "),
                        actual.join(" ")
                    ));
                }
            }
            Err(error) => wrong.push(format!("{sql}\n    {error}")),
        }
    }
    assert!(compared > 50, "only {compared} queries are recorded");
    assert!(wrong.is_empty(), "{} of {compared} queries differ:\n{}", wrong.len(), wrong.join("\n"));
}
