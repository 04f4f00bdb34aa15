//! Scripts that must parse, and what some statements become.

use std::path::PathBuf;

use firesteel_plan::{
    ExprKind, RelationKind, Statement,
    expr::{BinaryOp, Literal, UnaryOp},
    statement::{BlockItem, MergeAction, MergeMatch, ScriptStatementKind, StatementKind, Wanted},
};
use firesteel_sql::{
    ParseOptions, parse_expression, parse_statement, parse_statement_at, parse_statements, split_statements,
};

fn root() -> PathBuf {
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../..")
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
        parse_statements(&text, &ParseOptions::default()).unwrap_or_else(|e| panic!("{file:?}\n{e}"));
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
fn a_with_before_insert_belongs_to_its_query() {
    let StatementKind::Insert(insert) = parse("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a").kind else {
        panic!()
    };
    assert!(matches!(insert.query.kind, RelationKind::With { .. }));
}

/// The operators of a query from the outermost in, along the first input of each.
fn operators(text: &str) -> Vec<&'static str> {
    let StatementKind::Query(query) = parse(text).kind else { panic!("{text}") };
    let mut names = Vec::new();
    let mut next = Some(&query);
    while let Some(relation) = next {
        let (name, input) = match &relation.kind {
            RelationKind::Project { input, .. } => ("project", Some(input)),
            RelationKind::Filter { input, .. } => ("filter", Some(input)),
            RelationKind::Aggregate { input, .. } => ("aggregate", Some(input)),
            RelationKind::Qualify { input, .. } => ("qualify", Some(input)),
            RelationKind::WithWindows { input, .. } => ("windows", Some(input)),
            RelationKind::Distinct { input } => ("distinct", Some(input)),
            RelationKind::Sort { input, .. } => ("sort", Some(input)),
            RelationKind::Limit { input, .. } => ("limit", Some(input)),
            RelationKind::Offset { input, .. } => ("offset", Some(input)),
            RelationKind::Join { left, .. } => ("join", Some(left)),
            RelationKind::SetOperation { left, .. } => ("set operation", Some(left)),
            RelationKind::UnionAll { inputs } => {
                names.push("union all");
                next = inputs.first();
                continue;
            }
            RelationKind::SubqueryAlias { input, .. } => ("alias", Some(input)),
            RelationKind::With { input, .. } => ("with", Some(input)),
            RelationKind::LateralView { input, .. } => ("lateral view", Some(input)),
            RelationKind::Pivot { input, .. } => ("pivot", Some(input)),
            RelationKind::Sample { input, .. } => ("sample", Some(input)),
            RelationKind::Hint { input, .. } => ("hint", Some(input)),
            RelationKind::Repartition { input, .. } => ("repartition", Some(input)),
            RelationKind::Table { .. } => ("table", None),
            RelationKind::TableFunction { .. } => ("function", None),
            RelationKind::Values { .. } => ("values", None),
            RelationKind::OneRow => ("one row", None),
            _ => ("other", None),
        };
        names.push(name);
        next = input.map(|input| &**input);
    }
    names
}

#[test]
fn clauses_apply_in_their_order() {
    for (text, expected) in [
        ("SELECT 1", "project, one row"),
        (
            "SELECT a FROM t WHERE b GROUP BY a HAVING c ORDER BY a LIMIT 1 OFFSET 2",
            "limit, offset, sort, aggregate, filter, table",
        ),
        ("SELECT DISTINCT a FROM t QUALIFY x WINDOW w AS (ORDER BY a)", "windows, distinct, qualify, project, table"),
        ("SELECT sum(a) FROM t HAVING true", "aggregate, table"),
        ("WITH a AS (SELECT 1) SELECT * FROM a UNION SELECT 2 ORDER BY 1", "with, sort, set operation, project, table"),
        ("SELECT * FROM t LATERAL VIEW explode(a) x AS y WHERE b", "project, filter, lateral view, table"),
        ("SELECT /*+ A, B(1) */ * FROM t x, u JOIN v", "hint, hint, project, join, alias, table"),
        ("SELECT * FROM t CLUSTER BY a", "sort, repartition, project, table"),
        ("SELECT * FROM t TABLESAMPLE (3 PERCENT) REPEATABLE (1) AS s", "project, alias, sample, table"),
        ("SELECT * FROM (t JOIN u) PIVOT (sum(a) FOR b IN (1, 2)) AS p", "project, alias, pivot, join, table"),
        ("FROM t SELECT a WHERE b", "project, filter, table"),
        ("FROM t", "table"),
        ("TABLE t", "table"),
        ("VALUES (1, 2)", "values"),
        ("((SELECT 1) LIMIT 1)", "limit, project, one row"),
        ("SELECT * FROM ((SELECT 1) UNION ALL (SELECT 2)) LIMIT 1", "limit, project, set operation, project, one row"),
        ("SELECT * FROM range(3) r", "project, alias, function"),
        (
            "FROM t |> WHERE a |> EXTEND 1 AS b |> AGGREGATE sum(a) GROUP BY b |> ORDER BY b |> LIMIT 1",
            "limit, sort, aggregate, project, filter, table",
        ),
        (
            "FROM t |> JOIN u USING (a) |> DROP b |> AS v |> UNION ALL (SELECT 1)",
            "set operation, alias, project, join, table",
        ),
    ] {
        assert_eq!(operators(text).join(", "), expected, "{text}");
    }
}

#[test]
fn tables_are_cached_by_name_or_with_a_query() {
    let cache = |text: &str| match parse(text).kind {
        StatementKind::CacheTable(cache) => *cache,
        _ => panic!("{text}"),
    };
    let plain = cache("CACHE LAZY TABLE a.b OPTIONS('storageLevel' = 'DISK_ONLY')");
    assert_eq!((plain.name, plain.lazy, plain.query), (vec!["a".to_owned(), "b".to_owned()], true, None));
    assert_eq!(plain.options, [("storageLevel".to_owned(), "DISK_ONLY".to_owned())]);
    for text in [
        "CACHE TABLE x AS SELECT 1 a",
        "CACHE TABLE x SELECT 1 a",
        "CACHE TABLE x AS (SELECT 1)",
        "CACHE TABLE x VALUES (1)",
    ] {
        assert!(cache(text).query.is_some(), "{text}");
    }
    let uncache = parse("UNCACHE TABLE IF EXISTS t").kind;
    assert_eq!(uncache, StatementKind::UncacheTable { name: vec!["t".to_owned()], if_exists: true });
    assert_eq!(parse("CLEAR CACHE").kind, StatementKind::ClearCache);
    for (text, path) in
        [("REFRESH '/a b'", "/a b"), ("REFRESH /tmp/x", "/tmp/x"), ("REFRESH nope", "nope"), ("REFRESH TABLE", "TABLE")]
    {
        assert_eq!(parse(text).kind, StatementKind::RefreshPath { path: path.to_owned() }, "{text}");
    }
}

#[test]
fn scripts_keep_their_order_and_their_labels() {
    let StatementKind::Script(block) = parse(
        "BEGIN DECLARE x INT DEFAULT 0; outer: WHILE x < 3 DO SET x = x + 1; IF x = 2 THEN LEAVE outer; END IF; END WHILE \
         outer; SELECT x; END;",
    )
    .kind
    else {
        panic!()
    };
    let kinds: Vec<_> = block
        .items
        .iter()
        .map(|item| match item {
            BlockItem::Statement(statement) => &statement.kind,
            other => panic!("{other:?}"),
        })
        .collect();
    let [
        ScriptStatementKind::Sql(declare),
        ScriptStatementKind::While { label, body, .. },
        ScriptStatementKind::Sql(_),
    ] = kinds.as_slice()
    else {
        panic!("{kinds:?}")
    };
    assert!(matches!(declare.kind, StatementKind::DeclareVariable { .. }));
    assert_eq!(label.as_deref(), Some("outer"));
    assert!(
        matches!(&body[0].kind, ScriptStatementKind::Sql(set) if matches!(set.kind, StatementKind::SetVariable { .. }))
    );
    assert!(matches!(&body[1].kind, ScriptStatementKind::If { branches, otherwise: None } if branches.len() == 1));
}

#[test]
fn merges_keep_their_clauses_in_order() {
    let StatementKind::Merge(merge) = parse(
        "MERGE INTO t x USING (SELECT 1 AS a) s ON x.a = s.a WHEN MATCHED AND x.b THEN DELETE WHEN MATCHED THEN UPDATE SET * \
         WHEN NOT MATCHED THEN INSERT (a) VALUES (s.a) WHEN NOT MATCHED BY SOURCE THEN UPDATE SET b = 1",
    )
    .kind
    else {
        panic!()
    };
    assert_eq!(merge.target_alias.as_deref(), Some("x"));
    let shown: Vec<_> = merge.clauses.iter().map(|c| (c.matched, c.condition.is_some())).collect();
    assert_eq!(
        shown,
        [
            (MergeMatch::Matched, true),
            (MergeMatch::Matched, false),
            (MergeMatch::NotMatchedByTarget, false),
            (MergeMatch::NotMatchedBySource, false)
        ]
    );
    assert!(matches!(merge.clauses[1].action, MergeAction::UpdateAll));
}

#[test]
fn names_that_expressions_give_are_known_or_wait_for_their_value() {
    let StatementKind::DropTable { name, .. } = parse("DROP TABLE IDENTIFIER('a.' || 'b')").kind else { panic!() };
    assert_eq!(name, ["a", "b"]);
    let text = "SELECT * FROM IDENTIFIER(:t)";
    let StatementKind::Deferred { clauses, .. } = parse(text).kind else { panic!() };
    let [clause] = clauses.as_slice() else { panic!("{clauses:?}") };
    assert_eq!((clause.wanted, &text[clause.span.start as usize..]), (Wanted::Name, "IDENTIFIER(:t)"));
    // With the value, the statement is like any other.
    let options =
        ParseOptions { deferred: [(clause.span.start, "c.`d e`".to_owned())].into(), ..ParseOptions::default() };
    let StatementKind::Query(query) = parse_statement(text, &options).unwrap().kind else { panic!() };
    let RelationKind::Project { input, .. } = query.kind else { panic!() };
    assert!(matches!(&input.kind, RelationKind::Table { name, .. } if *name == ["c", "d e"]));
}

#[test]
fn reserved_words_are_names_only_where_nothing_enforces_them() {
    let strict = ParseOptions { reserved_keywords: true, ..ParseOptions::default() };
    for text in ["SELECT select FROM t", "SELECT 1 AS where", "SELECT * FROM user", "CREATE TABLE table (a INT)"] {
        assert!(parse_statement(text, &ParseOptions::default()).is_ok(), "{text}");
        assert!(parse_statement(text, &strict).is_err(), "{text}");
    }
    for text in ["SELECT `select` FROM t", "SELECT date, year FROM data", "SELECT current_date, user FROM t"] {
        assert!(parse_statement(text, &strict).is_ok(), "{text}");
    }
}

#[test]
fn a_pipe_character_continues_a_query_only_before_the_word_of_a_step() {
    assert_eq!(operators("FROM t | WHERE a | LIMIT 1").join(", "), "limit, filter, table");
    assert_eq!(operators("SELECT a | b FROM t").join(", "), "project, table");
    let long = ParseOptions { only_long_pipes: true, ..ParseOptions::default() };
    assert!(parse_statement("FROM t | WHERE a", &long).is_err());
}
