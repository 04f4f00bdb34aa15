//! Statements on which Firesteel once differed from Spark (oracle/fuzz): what Spark answered to them.

use serde_json::{Value, json};

use crate::json_session::{request, session};

#[test]
fn what_once_differed_is_answered_as_spark_does() {
    let cases = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../oracle/fuzz/cases.jsonl");
    let text = std::fs::read_to_string(cases).unwrap();
    let mut lines = Vec::new();
    // By the number of the line that asks.
    let mut expected = Vec::new();
    let mut ansi = true;
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        if let Some(setup) = case["setup"].as_str() {
            lines.push(request(setup));
            continue;
        }
        if case["ansi"] != ansi {
            ansi = !ansi;
            lines.push(request(&format!("SET spark.sql.ansi.enabled = {ansi}")));
        }
        lines.push(request(case["sql"].as_str().unwrap()));
        expected.push((lines.len() - 1, case));
    }
    let answers = session(&lines);
    let mut wrong = Vec::new();
    for (at, case) in expected {
        let answer = &answers[at];
        let rows = |of: &Value| {
            let mut rows: Vec<String> = of["rows"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|r| r.as_str().unwrap_or_default().to_owned())
                .collect();
            if case["ordered"] != json!(true) {
                rows.sort();
            }
            rows
        };
        let same = match case["error"].as_str() {
            Some(class) => answer["error"]["errorClass"] == class,
            None => answer["schema"] == case["schema"] && rows(answer) == rows(&case),
        };
        if !same {
            wrong.push(format!("{}\n    expected {case}\n    actual   {answer}", case["sql"]));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
