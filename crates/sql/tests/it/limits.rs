//! Deep, long and senseless text: refused or answered, never a panic and never slow.

use std::time::{Duration, Instant};

use firesteel_sql::{ParseOptions, parse_expression, parse_statement, parse_statements, split_statements};
use proptest::prelude::*;

fn class_of(text: &str) -> Option<String> {
    parse_statement(text, &ParseOptions::default()).err().map(|e| e.class().to_owned())
}

#[test]
fn deep_nesting_is_refused() {
    let deep = 100_000;
    for (open, middle, close) in [
        ("(", "1", ")"),
        ("(SELECT ", "1", ")"),
        ("f(", "1", ")"),
        ("- ", "a", ""),
        ("NOT ", "a", ""),
        ("CASE WHEN ", "a", " THEN 1 END"),
        ("a[", "1", "]"),
        ("CAST(", "1", " AS INT)"),
        ("x -> ", "1", ""),
        ("1 + (", "1", ")"),
        ("(1, ", "1", ")"),
        ("a IN (", "1", ")"),
        ("~", "1", ""),
        ("trim(BOTH ", "a", " FROM b)"),
        ("substring(", "a", " FROM 1)"),
        ("IDENTIFIER(", "a", ")"),
    ] {
        let text = format!("SELECT {}{middle}{}", open.repeat(deep), close.repeat(deep));
        assert_eq!(class_of(&text).as_deref(), Some("FAILED_TO_PARSE_TOO_COMPLEX"), "{open}");
        // Without the closing half there is no panic either.
        assert!(class_of(&format!("SELECT {}", open.repeat(deep))).is_some(), "{open}");
    }
    for (open, middle, close) in [
        ("SELECT * FROM (", "t", ")"),
        ("SELECT (", "SELECT 1", ")"),
        ("WITH a AS (", "SELECT 1", ") SELECT 1"),
        ("EXPLAIN ", "SELECT 1", ""),
        ("BEGIN ", "SELECT 1", "; END"),
        ("BEGIN IF a THEN ", "SELECT 1", "; END IF; END"),
        ("BEGIN LOOP ", "SELECT 1", "; END LOOP; END"),
        ("SELECT * FROM f(TABLE (", "SELECT 1", "))"),
        ("FROM t |> UNION ALL (", "SELECT 1", ")"),
    ] {
        let text = format!("{}{middle}{}", open.repeat(deep), close.repeat(deep));
        assert_eq!(class_of(&text).as_deref(), Some("FAILED_TO_PARSE_TOO_COMPLEX"), "{open}");
    }
    let text = format!("SELECT CAST(a AS {}INT{})", "ARRAY<".repeat(deep), ">".repeat(deep));
    assert_eq!(class_of(&text).as_deref(), Some("FAILED_TO_PARSE_TOO_COMPLEX"));
    let chains = [
        format!("SELECT 1{}", " + 1".repeat(deep)),
        format!("SELECT a{}", "::int".repeat(deep)),
        format!("SELECT a{}", "[1]".repeat(deep)),
        format!("SELECT f(a){}", ".b".repeat(deep)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(deep)),
        format!("SELECT * FROM a{}", " JOIN b".repeat(deep)),
        format!("SELECT * FROM a{}", ", b".repeat(deep)),
        format!("FROM a{}", " |> WHERE b".repeat(deep)),
        format!("FROM a{}", " INSERT INTO b SELECT c".repeat(deep)),
        format!("SELECT a{}", ":b".repeat(deep)),
    ];
    for text in chains {
        assert_eq!(class_of(&text).as_deref(), Some("FAILED_TO_PARSE_TOO_COMPLEX"), "{}", &text[..40]);
    }
}

#[test]
fn usual_depths_are_accepted() {
    for depth in [1, 10, 200] {
        let text = format!("SELECT {}1{}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(class_of(&text), None);
        let text = format!("{}SELECT 1{}", "SELECT * FROM (".repeat(depth), ")".repeat(depth));
        assert_eq!(class_of(&text), None);
        let text = format!("SELECT {}a{}", "concat(".repeat(depth), ", 'x')".repeat(depth));
        assert_eq!(class_of(&text), None);
    }
}

#[test]
fn a_small_stack_is_enough() {
    let handle = std::thread::Builder::new().stack_size(512 * 1024).spawn(|| {
        let text = format!("SELECT {}1{}", "f((SELECT ".repeat(200), "))".repeat(200));
        assert_eq!(class_of(&text), None);
    });
    handle.unwrap().join().unwrap();
}

#[test]
fn what_is_accepted_can_be_dropped_on_a_small_stack() {
    let handle = std::thread::Builder::new().stack_size(1024 * 1024).spawn(|| {
        for text in [
            format!("SELECT {}1{}", "-a + (".repeat(450), ")".repeat(450)),
            format!("SELECT {}1{}", "f(".repeat(900), ")".repeat(900)),
            format!("SELECT 1{}", " + 1".repeat(900)),
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(900)),
            format!("SELECT * FROM a{}", " JOIN b ON x = y".repeat(900)),
            format!("{}SELECT 1{}", "SELECT * FROM (".repeat(450), ")".repeat(450)),
            format!("SELECT CAST(a AS {}INT{})", "ARRAY<".repeat(900), ">".repeat(900)),
        ] {
            assert_eq!(class_of(&text), None, "{}", &text[..30]);
        }
    });
    handle.unwrap().join().unwrap();
}

#[test]
fn long_text_takes_time_in_proportion() {
    let terms: Vec<String> = (0..200_000).map(|i| format!("(a = {i} AND b <> 'x{i}')")).collect();
    let text = format!("SELECT * FROM t WHERE {}", terms.join(" OR "));
    let began = Instant::now();
    assert_eq!(class_of(&text), None);
    let list: Vec<String> = (0..500_000).map(|i| i.to_string()).collect();
    assert_eq!(class_of(&format!("SELECT a IN ({})", list.join(", "))), None);
    let columns: Vec<String> = (0..100_000).map(|i| format!("c{i} AS d{i}")).collect();
    assert_eq!(class_of(&format!("SELECT {} FROM t", columns.join(", "))), None);
    // About 10 MB of text. A parser whose time grows with the square would take minutes.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn nesting_does_not_multiply_the_work() {
    let began = Instant::now();
    for (open, close) in [
        ("((select ", ") + 1)"),
        ("position(", ", 'a')"),
        ("trim(", ")"),
        ("(select (", ") union select 1)"),
        ("first(", ")"),
        ("substring(", ", 1)"),
    ] {
        let text = format!("SELECT {}1{}", open.repeat(200), close.repeat(200));
        assert_eq!(class_of(&text), None, "{open}");
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "BY",
    "ORDER",
    "HAVING",
    "LIMIT",
    "UNION",
    "ALL",
    "EXCEPT",
    "INTERSECT",
    "JOIN",
    "LEFT",
    "ON",
    "USING",
    "LATERAL",
    "VIEW",
    "AS",
    "WITH",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "CAST",
    "INTERVAL",
    "DAY",
    "TO",
    "SECOND",
    "DATE",
    "TIMESTAMP",
    "NOT",
    "IN",
    "BETWEEN",
    "AND",
    "OR",
    "IS",
    "NULL",
    "LIKE",
    "ANY",
    "ESCAPE",
    "EXISTS",
    "VALUES",
    "TABLE",
    "INSERT",
    "INTO",
    "OVERWRITE",
    "CREATE",
    "OPTIONS",
    "PARTITION",
    "PARTITIONED",
    "SET",
    "PIVOT",
    "UNPIVOT",
    "FOR",
    "TABLESAMPLE",
    "ROWS",
    "PERCENT",
    "OVER",
    "WINDOW",
    "RANGE",
    "UNBOUNDED",
    "PRECEDING",
    "CURRENT",
    "ROW",
    "TRIM",
    "BOTH",
    "POSITION",
    "SUBSTRING",
    "EXTRACT",
    "OVERLAY",
    "PLACING",
    "STRUCT",
    "ARRAY",
    "MAP",
    "CUBE",
    "ROLLUP",
    "GROUPING",
    "SETS",
    "EXPLAIN",
    "SHOW",
    "DESCRIBE",
    "DISTINCT",
    "IDENTIFIER",
    "ALTER",
    "ADD",
    "DROP",
    "COLUMN",
    "CONSTRAINT",
    "CHECK",
    "PRIMARY",
    "KEY",
    "GENERATED",
    "IDENTITY",
    "DEFAULT",
    "REPLACE",
    "FUNCTION",
    "RETURNS",
    "RETURN",
    "MERGE",
    "MATCHED",
    "UPDATE",
    "DELETE",
    "BEGIN",
    "DECLARE",
    "HANDLER",
    "FOR",
    "IF",
    "LOOP",
    "WHILE",
    "DO",
    "REPEAT",
    "UNTIL",
    "LEAVE",
    "EXECUTE",
    "IMMEDIATE",
    "TRANSFORM",
    "STREAM",
    "CHANGES",
    "VERSION",
    "OF",
    "AGGREGATE",
    "EXTEND",
    "NEAREST",
    "APPROX",
    "WATERMARK",
    "TBLPROPERTIES",
    "STORED",
    "FORMAT",
    "DELIMITED",
    "a",
    "b",
    "t",
    "f",
    "x",
    "1",
    "2.5",
    "1e3",
    "1L",
    "'s'",
    "\"d\"",
    "r'\\'",
    "`q`",
    "(",
    ")",
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    "*",
    "+",
    "-",
    "/",
    "%",
    "~",
    "!",
    "=",
    "<",
    ">",
    "<=>",
    "||",
    "|>",
    "::",
    ":",
    "->",
    "=>",
    "?",
    "/*+",
    "*/",
    ";",
    "&",
    "|",
    "^",
    "<<",
    "'",
    "$$",
    "é",
    "-- x\n",
    "/* c */",
];

/// Cases of each test by random text; `FIRESTEEL_FUZZ_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("FIRESTEEL_FUZZ_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(2000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        let _ = parse_statement(&text, &ParseOptions::default());
        let _ = parse_statements(&text, &ParseOptions::default());
    }

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = parse_statement(&text, &ParseOptions { double_quoted_identifiers: true, ..ParseOptions::default() });
        for span in split_statements(&text) {
            prop_assert!(text.get(span.start as usize..span.end as usize).is_some());
        }
    }

    #[test]
    fn any_words_are_answered(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..40)) {
        let text = words.join(" ");
        let _ = parse_expression(&text, &ParseOptions::default());
        if let Err(error) = parse_statement(&text, &ParseOptions::default()) {
            prop_assert!(error.class() != "INTERNAL_ERROR");
            prop_assert!(error.context().is_some(), "{error}");
        }
        let _ = parse_statement(&format!("SELECT {text}"), &ParseOptions::default());
    }
}
