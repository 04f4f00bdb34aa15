//! Spark's SQL dialect: text to `firesteel_plan` statements, relations and expressions.
//!
//! A lexer that never fails, and a recursive-descent parser with precedence climbing for expressions. Names are looked up
//! nowhere here. Errors have Spark's classes and point at the place in the text.

mod column;
mod cursor;
mod data_type;
mod deferred;
mod error;
mod expression;
mod keyword;
mod lexer;
mod literal;
mod name;
mod query;
mod split;
mod statement;
mod substitute;

use std::collections::BTreeMap;

use firesteel_plan::{
    DataType, Expr, Span, SparkConf, SparkResult, Statement,
    expr::{MultipartName, Parameter},
    relation::ColumnDefinition,
    types::StructField,
};

pub use cursor::MAX_DEPTH;
pub use keyword::Keyword;
pub use split::split_statements;
pub use substitute::substitute_variables;

/// What of the session's configuration changes the meaning of text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParseOptions {
    /// `"name"` is an identifier instead of a string (`spark.sql.ansi.doubleQuotedIdentifiers`).
    pub double_quoted_identifiers: bool,
    /// Reserved words are no names without quotes (`spark.sql.ansi.enforceReservedKeywords`).
    pub reserved_keywords: bool,
    /// `|` never continues a query as `|>` does (`spark.sql.parser.singleCharacterPipeOperator.enabled` is off).
    pub only_long_pipes: bool,
    /// `TIMESTAMP` is the type without a zone (`spark.sql.timestampType`).
    pub timestamp_ntz: bool,
    /// The text for each place of `StatementKind::Deferred`, by its start, once its expression has a value.
    pub deferred: BTreeMap<u32, String>,
}

impl ParseOptions {
    pub fn from_conf(conf: &SparkConf) -> Self {
        let is_true = |key| conf.get_raw(key).is_some_and(|v| v.trim().eq_ignore_ascii_case("true"));
        let ansi = conf.bool(&firesteel_plan::conf::keys::ANSI_ENABLED);
        Self {
            double_quoted_identifiers: ansi && is_true("spark.sql.ansi.doubleQuotedIdentifiers"),
            reserved_keywords: ansi && is_true("spark.sql.ansi.enforceReservedKeywords"),
            only_long_pipes: conf
                .get_raw("spark.sql.parser.singleCharacterPipeOperator.enabled")
                .is_some_and(|v| v.trim().eq_ignore_ascii_case("false")),
            timestamp_ntz: conf
                .text(&firesteel_plan::conf::keys::TIMESTAMP_TYPE)
                .trim()
                .eq_ignore_ascii_case("TIMESTAMP_NTZ"),
            deferred: BTreeMap::new(),
        }
    }
}

/// All statements of a script. Spans are offsets in `text`, and so are the places of errors.
pub fn parse_statements(text: &str, options: &ParseOptions) -> SparkResult<Vec<Statement>> {
    split_statements(text).into_iter().map(|span| parse_statement_at(text, span, options)).collect()
}

/// The one statement that stands at `span` of a longer text, as `split_statements` found it.
pub fn parse_statement_at(text: &str, span: Span, options: &ParseOptions) -> SparkResult<Statement> {
    // The text before is blanked by starting the lexer behind it: offsets stay those of the whole.
    let end = (span.end as usize).min(text.len());
    let piece = text.get(..end).unwrap_or(text);
    parse(piece, (span.start as usize).min(end), options, |p| p.whole_statement())
}

/// One statement; semicolons may follow it.
pub fn parse_statement(text: &str, options: &ParseOptions) -> SparkResult<Statement> {
    parse(text, 0, options, |p| p.whole_statement())
}

/// The parameters of a statement, in the order of their places.
pub fn statement_parameters(text: &str, options: &ParseOptions) -> SparkResult<Vec<(Span, Parameter)>> {
    parse(text, 0, options, |p| {
        p.whole_statement()?;
        Ok(std::mem::take(&mut p.parameters).into_values().collect())
    })
}

/// One expression, with an alias or without.
pub fn parse_expression(text: &str, options: &ParseOptions) -> SparkResult<Expr> {
    parse(text, 0, options, |p| {
        let expr = p.named_expression()?;
        p.expect_end()?;
        Ok(expr)
    })
}

/// A data type: `array<struct<a: int>>`.
pub fn parse_data_type(text: &str) -> SparkResult<DataType> {
    parse(text, 0, &ParseOptions::default(), |p| {
        let data_type = p.data_type()?;
        p.expect_end()?;
        Ok(data_type)
    })
}

/// Columns as in `a INT, b STRING NOT NULL COMMENT 'x'`.
pub fn parse_schema_ddl(text: &str) -> SparkResult<Vec<StructField>> {
    parse(text, 0, &ParseOptions::default(), |p| {
        let fields = p.column_types()?;
        p.expect_end()?;
        Ok(fields)
    })
}

/// Columns of a table, with defaults and generated ones.
pub fn parse_column_definitions(text: &str, options: &ParseOptions) -> SparkResult<Vec<ColumnDefinition>> {
    parse(text, 0, options, |p| {
        let columns = p.comma_separated(cursor::Parser::column_definition)?;
        p.expect_end()?;
        Ok(columns)
    })
}

/// A name of one or more parts: `` a.`b c`.d ``.
pub fn parse_multipart_name(text: &str) -> SparkResult<MultipartName> {
    parse(text, 0, &ParseOptions::default(), |p| {
        let name = p.multipart_name()?;
        p.expect_end()?;
        Ok(name)
    })
}

fn parse<'a, T>(
    text: &'a str,
    start: usize,
    options: &'a ParseOptions,
    rule: impl FnOnce(&mut cursor::Parser<'_>) -> SparkResult<T>,
) -> SparkResult<T> {
    let tokens = lexer::tokenize_from(text, start);
    if let Some(comment) = tokens.unclosed_comment {
        return Err(error::located(error::unclosed_comment(), text, Span::new(comment, text.len())));
    }
    let mut parser = cursor::Parser::new(text, &tokens.tokens, options);
    rule(&mut parser)
}
