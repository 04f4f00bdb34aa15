//! Columns without an alias have the names that real Spark gave them (`oracle/record-column-names`).

use firesteel_plan::naming;
use firesteel_sql::{ParseOptions, parse_expression};
use serde::Deserialize;

#[derive(Deserialize)]
struct Answer {
    sql: String,
    names: Vec<String>,
}

/// Names that depend on types or on what a function makes of itself, which the text does not show.
const OF_THE_ANALYZER: &[&str] = &[
    "CAST(m AS MAP<STRING, BIGINT>)['k']",
    "CAST(s AS STRUCT<f: BIGINT>).f",
    "current_date",
    "d + INTERVAL 1 DAY",
    "explode(arr)",
    "explode(m)",
    "inline(array(struct(1, 2)))",
    "posexplode(arr)",
    "stack(2, 1, 2, 3)",
];

#[test]
fn columns_have_the_names_that_spark_gives_them() {
    let answers: Vec<Answer> = serde_json::from_str(include_str!("../data/column-names.json")).unwrap();
    assert!(answers.len() > 250);
    let mut wrong = Vec::new();
    for answer in answers.iter().filter(|a| !OF_THE_ANALYZER.contains(&a.sql.as_str())) {
        let expr =
            parse_expression(&answer.sql, &ParseOptions::default()).unwrap_or_else(|e| panic!("{}\n{e}", answer.sql));
        let name = naming::column_name(&expr, &|name: &[String]| match name {
            [table, rest @ ..] if table == "t" && !rest.is_empty() => rest.join("."),
            _ => name.join("."),
        });
        if answer.names != [name.as_str()] {
            wrong.push(format!("{}\n    Spark {}\n    here  {name}", answer.sql, answer.names.join(" | ")));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), answers.len(), wrong.join("\n"));
}
