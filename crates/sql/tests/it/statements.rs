//! Scripts that must parse, and what some statements become.

use std::path::Path;

use firesteel_plan::{
    ExprKind, RelationKind, Statement,
    expr::{BinaryOp, Literal, UnaryOp},
    statement::StatementKind,
};
use firesteel_sql::{
    ParseOptions, parse_expression, parse_statement, parse_statement_at, parse_statements, split_statements,
};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn parse(text: &str) -> Statement {
    parse_statement(text, &ParseOptions::default()).unwrap_or_else(|e| panic!("{text}\n{e}"))
}

#[test]
fn the_example_parses() {
    let text = std::fs::read_to_string(root().join("examples/server-health/server-health.sql")).unwrap();
    let statements = parse_statements(&text, &ParseOptions::default()).unwrap_or_else(|e| panic!("{e}"));
    assert!(statements.len() > 15);
    assert!(matches!(statements[0].kind, StatementKind::Set { .. }));
    assert!(matches!(statements.last().unwrap().kind, StatementKind::Query(_)));
    assert!(statements.iter().all(|s| !matches!(s.kind, StatementKind::NotYet { .. })));
    for (statement, span) in statements.iter().zip(split_statements(&text)) {
        assert_eq!(statement.span.end, span.end);
    }
}

#[test]
fn every_tpch_query_parses() {
    let folder = root().join("bench/tpch/queries");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "sql"));
    assert_eq!(files.len(), 22);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for statement in parse_statements(&text, &ParseOptions::default()).unwrap_or_else(|e| panic!("{file:?}\n{e}")) {
            assert!(!matches!(statement.kind, StatementKind::NotYet { .. }), "{file:?}");
        }
    }
}

#[test]
fn places_are_those_of_the_whole_script() {
    let text = "SELECT 1;\n\nSELECT a +;\nSELECT 3";
    let spans = split_statements(text);
    assert!(parse_statement_at(text, spans[0], &ParseOptions::default()).is_ok());
    let error = parse_statement_at(text, spans[1], &ParseOptions::default()).unwrap_err();
    let context = error.context().unwrap();
    assert_eq!((context.line, context.column), (3, 10));
    assert!(error.to_string().contains("SELECT a +"), "{error}");
}

#[test]
fn sets_take_the_rest_of_the_statement() {
    for (text, key, value) in [
        ("SET", None, None),
        ("SET -v", Some("-v"), None),
        ("set a.b", Some("a.b"), None),
        ("SET a.b = it's  \"x /;", Some("a.b"), Some("it's  \"x /")),
        ("SET a=b=c", Some("a"), Some("b=c")),
        ("SET `a b` = c d", Some("a b"), Some("c d")),
        ("SET a = `c;d`", Some("a"), Some("c;d")),
        (
            "SET spark.sql.session.timeZone = America/Los_Angeles",
            Some("spark.sql.session.timeZone"),
            Some("America/Los_Angeles"),
        ),
    ] {
        let expected = StatementKind::Set { key: key.map(str::to_owned), value: value.map(str::to_owned) };
        assert_eq!(parse(text).kind, expected, "{text}");
    }
}

#[test]
fn a_minus_before_a_number_belongs_to_it() {
    let expr = |text: &str| parse_expression(text, &ParseOptions::default()).unwrap().kind;
    assert_eq!(expr("-9223372036854775808L"), ExprKind::Literal(Literal::Long(i64::MIN)));
    assert_eq!(expr("-2147483648"), ExprKind::Literal(Literal::Integer(i32::MIN)));
    assert!(matches!(expr("- a"), ExprKind::Unary { op: UnaryOp::Minus, .. }));
    assert!(matches!(expr("1 -1"), ExprKind::Binary { op: BinaryOp::Minus, .. }));
}

#[test]
fn statements_that_nothing_runs_yet_are_known() {
    for text in [
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
        "UPDATE t SET a = 1",
        "DELETE FROM t WHERE a = 1",
        "ALTER TABLE t ADD COLUMN b INT",
        "CACHE TABLE t",
        "ANALYZE TABLE t COMPUTE STATISTICS",
        "CREATE FUNCTION f AS 'x'",
        "WITH a AS (SELECT 1) MERGE INTO t USING a ON true WHEN MATCHED THEN DELETE",
        "FROM t INSERT INTO a SELECT b INSERT INTO c SELECT d",
        "BEGIN SELECT 1; END",
    ] {
        assert!(matches!(parse(text).kind, StatementKind::NotYet { .. }), "{text}");
    }
}

#[test]
fn a_with_before_insert_belongs_to_its_query() {
    let StatementKind::Insert(insert) = parse("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a").kind else {
        panic!()
    };
    assert!(matches!(insert.query.kind, RelationKind::With { .. }));
}
