//! Data types are those that real Spark reads from the same text (`oracle/record-data-types`).

use firesteel_plan::DataType;
use firesteel_sql::{parse_data_type, parse_schema_ddl};
use serde::Deserialize;

#[derive(Deserialize)]
struct Answer {
    text: String,
    #[serde(rename = "type")]
    name: Option<String>,
}

#[test]
fn types_are_those_that_spark_reads() {
    let answers: Vec<Answer> = serde_json::from_str(include_str!("../data/data-types.json")).unwrap();
    assert!(answers.len() > 40);
    for answer in answers {
        let name = parse_data_type(&answer.text).ok().map(|t| t.simple_string());
        assert_eq!(name, answer.name, "{}", answer.text);
    }
}

#[test]
fn schemas_keep_comments_and_nullability() {
    let fields = parse_schema_ddl("a INT, `b c` ARRAY<STRING> NOT NULL COMMENT 'it''s', date DATE").unwrap();
    let shown: Vec<_> = fields.iter().map(|f| (f.name.as_str(), f.nullable, f.comment.as_deref())).collect();
    assert_eq!(shown, [("a", true, None), ("b c", false, Some("it's")), ("date", true, None)]);
    assert_eq!(fields[1].data_type, DataType::array(DataType::String));
    assert!(parse_schema_ddl("a").is_err());
    assert!(parse_schema_ddl("").is_err());
}
