//! The class and the place of each error are those that real Spark gave (`oracle/record-parse-errors`).

use firesteel_sql::{ParseOptions, parse_statement};
use serde::Deserialize;

#[derive(Deserialize)]
struct Answer {
    sql: String,
    /// None where Spark accepts the statement.
    class: Option<String>,
    state: Option<String>,
    /// From 1.
    line: Option<usize>,
    /// From 0.
    column: Option<usize>,
    #[serde(default)]
    parameters: std::collections::BTreeMap<String, String>,
}

/// Statements whose answer differs from Spark's, and why. Nothing else may differ.
const DIFFERENT: &[(&str, &str)] = &[
    ("SELECT cast(b as map<int>)", GUESSED),
    ("SELECT CASE WHEN a END", GUESSED),
    ("SELECT * FROM a ORDER BY b NULLS", GUESSED),
    ("SELECT CASE WHEN a THEN b ELSE c FROM t", GUESSED),
    ("SELECT CAST(a AS STRUCT<a INT)", GUESSED),
    ("SELECT f(a) OVER (PARTITION a)", GUESSED),
    ("VALUES (1, 2), ", GUESSED),
    ("CREATE TEMP VIEW v (a) USING parquet", GUESSED),
    ("SELECT EXISTS (SELECT 1", GUESSED),
    ("SELECT a FROM t GROUP BY GROUPING SETS a", GUESSED),
    ("SELECT * FROM t TABLESAMPLE (10 PERCENT) REPEATABLE (x)", "a seed that is no number"),
    ("SELECT * FROM t TABLESAMPLE (x PERCENT)", HINTED),
    ("CREATE VIEW v (a INT) AS SELECT 1", HINTED),
    ("INSERT INTO t VALUE (1)", GUESSED),
    ("MERGE INTO t USING s WHEN MATCHED THEN DELETE", GUESSED),
    ("BEGIN IF x THEN END IF; END", GUESSED),
    ("SELECT * FROM f(TABLE SELECT 1)", GUESSED),
    ("SELECT a FROM t GROUP BY a AS b", GUESSED),
    ("CREATE FUNCTION f(a INT) RETURNS INT NOT DETERMINISTIC SPECIFIC g RETURN 1", GUESSED),
    ("CREATE VIEW v WITH METRICS AS $$ x $$", "a failure of Spark's"),
    ("CREATE VIEW v LANGUAGE YAML AS $$ x $$", "a failure of Spark's"),
    ("SELECT 'a' :x 'b'", "a failure of Spark's"),
    (
        "CREATE DATABASE IF NOT EXISTS d COMMENT 'c' LOCATION '/l' WITH DBPROPERTIES (a = 1, 'b' = 'x') DEFAULT COLLATION UTF8_LCASE",
        BY_SETTING,
    ),
    ("ALTER DATABASE d DEFAULT COLLATION UNICODE", BY_SETTING),
    ("BEGIN DECLARE CONTINUE HANDLER FOR NOT FOUND SELECT 1; SELECT 2; END", BY_SETTING),
    ("BEGIN DECLARE c CURSOR FOR SELECT 1; OPEN c; FETCH c INTO x; CLOSE c; END", BY_SETTING),
    (
        "BEGIN DECLARE c INSENSITIVE CURSOR FOR SELECT ? FOR READ ONLY; OPEN c USING 1; FETCH NEXT FROM c INTO x, y; FETCH FROM c INTO x; CLOSE c; END",
        BY_SETTING,
    ),
    ("OPEN c", BY_SETTING),
    ("FETCH c INTO a", BY_SETTING),
    ("CLOSE c", BY_SETTING),
    ("DECLARE c CURSOR FOR SELECT 1", BY_SETTING),
    ("SELECT CAST(a AS CHAR(3) COLLATE UNICODE)", "no type of ours"),
];

/// Spark takes the words for names first and points at the place where that fails; here the error is at the word that
/// cannot continue the form which was begun.
const GUESSED: &str = "the place is another than Spark's";

/// Whether Spark's parser accepts it depends on a setting, which the analyzer looks at here.
const BY_SETTING: &str = "the analyzer refuses it";

const HINTED: &str = "Spark does not see that one token is too many";

#[test]
fn errors_are_sparks() {
    compare_all(include_str!("../data/parse-errors.json"), 300);
}

#[test]
fn statements_are_read_and_refused_as_by_spark() {
    compare_all(include_str!("../data/statements.json"), 600);
}

fn compare_all(answers: &str, least: usize) {
    let answers: Vec<Answer> = serde_json::from_str(answers).unwrap();
    assert!(answers.len() > least);
    let mut wrong = Vec::new();
    for answer in &answers {
        let ours = parse_statement(&answer.sql, &ParseOptions::default());
        let difference = match (&answer.class, ours) {
            (None, Ok(_)) => None,
            (None, Err(error)) => Some(format!("Spark accepts it; here {error}")),
            (Some(class), Ok(_)) => Some(format!("{class} at {:?}:{:?}; accepted here", answer.line, answer.column)),
            (Some(class), Err(error)) => compare(answer, class, &error),
        };
        let excused = DIFFERENT.iter().any(|(sql, _)| *sql == answer.sql);
        match difference {
            Some(_) if excused => {}
            Some(difference) => wrong.push(format!("{}\n    {difference}", answer.sql)),
            None if excused => wrong.push(format!("{}\n    is like Spark's now: take it off the list", answer.sql)),
            None => {}
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), answers.len(), wrong.join("\n"));
}

fn compare(answer: &Answer, class: &str, error: &firesteel_plan::SparkError) -> Option<String> {
    let context = error.context();
    let place = context.map(|c| (c.line, c.column));
    let expected = answer.line.zip(answer.column);
    let state = answer.state.as_deref().unwrap_or_default();
    let near = answer.parameters.get("error").filter(|_| class == "PARSE_SYNTAX_ERROR");
    // Spark also guesses what is missing; where a hint is given here, it is Spark's.
    let hint = error.parameters().get("hint").filter(|hint| !hint.is_empty());
    let same = error.class() == class
        && hint.is_none_or(|hint| answer.parameters.get("hint") == Some(hint))
        && (expected.is_none() || place == expected)
        && error.sql_state() == state
        && near.is_none_or(|near| error.parameters().get("error") == Some(near));
    (!same).then(|| {
        format!(
            "{class} {state} at {expected:?} {near:?}\n    here {} {} at {place:?}: {}",
            error.class(),
            error.sql_state(),
            error.message()
        )
    })
}
