//! `--json-session`: a program's session, line by line.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

/// What comes back for these lines, one answer each.
pub(crate) fn session(lines: &[String]) -> Vec<Value> {
    let scratch = tempfile::TempDir::new().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_firesteel"))
        .args(["sql", "--quiet", "--json-session", "--conf", "spark.sql.session.timeZone=America/Los_Angeles"])
        .args(["--log", "error", "--master", "local[2]"])
        .current_dir(scratch.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = lines.join("\n");
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), lines.len());
    answers
}

pub(crate) fn request(sql: &str) -> String {
    json!({ "sql": sql }).to_string()
}

#[test]
fn rows_are_written_as_sparks_shell_prints_them() {
    let recorded: Vec<Value> = serde_json::from_str(include_str!("../data/hive-results.json")).unwrap();
    let lines: Vec<String> = recorded.iter().map(|r| request(r["sql"].as_str().unwrap())).collect();
    let mut wrong = Vec::new();
    for (expected, answer) in recorded.iter().zip(session(&lines)) {
        if answer["schema"] != expected["schema"] || answer["rows"] != expected["rows"] {
            wrong.push(format!("expected {expected}\nactual   {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_statement_that_fails_does_not_end_the_session() {
    let lines = [
        request("CREATE TEMPORARY VIEW v AS SELECT 1 AS a"),
        request("SELECT b FROM v"),
        "no json".to_owned(),
        json!({ "statement": "SELECT 1" }).to_string(),
        request("SELECT 'ä', c + 1 FROM v"),
        request("SELECT 1 / a FROM (SELECT 0 AS a)"),
        request("SELECT 1; SELECT 2"),
        request("SELECT a FROM v;"),
    ];
    let answers = session(&lines);
    let class = |i: usize| answers[i]["error"]["errorClass"].as_str().unwrap_or_default();
    assert_eq!(answers[0]["schema"], "struct<>");
    assert_eq!(class(1), "UNRESOLVED_COLUMN.WITH_SUGGESTION");
    assert_eq!(answers[1]["error"]["sqlState"], "42703");
    assert_eq!(answers[1]["error"]["messageParameters"]["objectName"], "`b`");
    assert_eq!(class(2), "INVALID_SESSION_REQUEST");
    assert_eq!(class(3), "INVALID_SESSION_REQUEST");
    let place = &answers[4]["error"]["queryContext"][0];
    assert_eq!((&place["startIndex"], &place["stopIndex"], &place["fragment"]), (&json!(13), &json!(13), &json!("c")));
    assert_eq!(class(5), "DIVIDE_BY_ZERO");
    assert_eq!(class(6), "PARSE_SYNTAX_ERROR");
    assert_eq!(answers[7]["rows"], json!(["1"]));
    assert!(answers[7]["seconds"].as_f64().unwrap() >= 0.0);
}

#[test]
fn a_window_ordered_by_what_cannot_be_computed_fails_as_that_does() {
    let wrong = ["-'abc'", "-CAST('abc' AS DOUBLE)", "-log(1, 'abc')", "1.0D / -double('abc')"];
    let lines: Vec<String> = wrong
        .iter()
        .flat_map(|key| [format!("SELECT {key}"), format!("SELECT sum(id) OVER (ORDER BY {key}) FROM range(3)")])
        .map(|sql| request(&sql))
        .collect();
    let answers = session(&lines);
    for (at, key) in wrong.iter().enumerate() {
        let class = |answer: &Value| answer["error"]["errorClass"].as_str().map(str::to_owned);
        let (alone, window) = (class(&answers[2 * at]), class(&answers[2 * at + 1]));
        assert!(alone.is_some(), "{key} is computed: {}", answers[2 * at]);
        assert_eq!(window, alone, "{key}: {}", answers[2 * at + 1]);
    }
}
