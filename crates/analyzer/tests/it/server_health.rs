//! The headline example: every statement is understood, and the report has the columns that Spark's has.

use firesteel_analyzer::Analyzed;
use firesteel_sql::{ParseOptions, parse_statement, split_statements, substitute_variables};

use crate::support::{repository, session};

#[tokio::test]
async fn every_statement_of_the_example_is_analyzed() {
    let scratch = tempfile::tempdir().unwrap();
    let session = session(&scratch.path().join("warehouse"));
    let example = repository().join("examples/server-health");
    for (key, value) in [
        ("input", example.join("data").to_str().unwrap()),
        ("output", scratch.path().join("out").to_str().unwrap()),
        ("since", "01/Jan/2020:00:00:00 +0000"),
    ] {
        session.engine().set_conf(&format!("spark.firesteel.example.{key}"), value).unwrap();
    }
    let script = std::fs::read_to_string(example.join("server-health.sql")).unwrap();
    let mut last = None;
    let mut writes = Vec::new();
    for span in split_statements(&script) {
        let text = &script[span.start as usize..span.end as usize];
        let text = substitute_variables(text, &session.conf()).unwrap();
        let statement = parse_statement(&text, &ParseOptions::from_conf(&session.conf())).unwrap();
        match session.analyze(&statement, &text).await.unwrap_or_else(|e| panic!("{e}")) {
            Analyzed::Write(write) => {
                session.engine().state().create_physical_plan(&write.query.plan).await.unwrap();
                writes.push((write.spec.path.rsplit('/').next().unwrap().to_owned(), write.spec.partition_by.clone()));
                session.apply(write.then).await.unwrap();
            }
            Analyzed::Query(query) => {
                session.engine().state().create_physical_plan(&query.plan).await.unwrap();
                last = Some(query.columns);
            }
            _ => {}
        }
    }
    let tables: Vec<_> = writes.iter().map(|(t, p)| (t.as_str(), p.join(","))).collect();
    assert_eq!(
        tables,
        [
            ("malformed_lines", String::new()),
            ("requests", "day".to_owned()),
            ("server_windows", "day".to_owned()),
            ("failing_paths", String::new()),
            ("response_sizes", String::new()),
            ("worst_servers", "day".to_owned()),
        ]
    );
    let recorded = std::fs::read_dir(repository().join("oracle/expected/server-health"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.file_name().unwrap().to_str().unwrap().starts_with("result-"))
        .unwrap();
    let recorded = std::fs::read_to_string(recorded).unwrap();
    let head: serde_json::Value = serde_json::from_str(recorded.lines().next().unwrap()).unwrap();
    let columns: Vec<_> = last.unwrap().iter().map(|c| serde_json::json!([c.name, c.data_type.to_string()])).collect();
    assert_eq!(head["schema"], serde_json::Value::Array(columns));
}
