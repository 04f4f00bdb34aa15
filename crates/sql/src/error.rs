//! Errors that Spark's parser gives, by its classes.

use firesteel_plan::{Span, SparkError, error::QueryContext};

/// How a token is shown in a message: in quotes, its line breaks escaped.
fn shown(token: &str) -> String {
    if token.is_empty() {
        return "end of input".to_owned();
    }
    let escaped = token.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
    format!("'{escaped}'")
}

/// `near` is the token that cannot stand there; empty for the end of the text.
pub fn syntax(near: &str) -> SparkError {
    syntax_with_hint(near, "")
}

pub fn empty_statement() -> SparkError {
    SparkError::new("PARSE_EMPTY_STATEMENT", "42617", "Syntax error, unexpected empty statement.")
}

/// As `syntax`, with the token as messages show it.
pub fn syntax_near(shown: &str) -> SparkError {
    SparkError::new("PARSE_SYNTAX_ERROR", "42601", format!("Syntax error at or near {shown}."))
        .param("error", shown)
        .param("hint", "")
}

/// The token `near` is one too many.
pub fn extra_input(near: &str) -> SparkError {
    syntax_with_hint(near, &format!(": extra input {}", shown(near)))
}

fn syntax_with_hint(near: &str, hint: &str) -> SparkError {
    let near = shown(near);
    SparkError::new("PARSE_SYNTAX_ERROR", "42601", format!("Syntax error at or near {near}{hint}."))
        .param("error", near)
        .param("hint", hint)
}

pub fn unclosed_comment() -> SparkError {
    SparkError::new(
        "UNCLOSED_BRACKETED_COMMENT",
        "42601",
        "Found an unclosed bracketed comment. Please, append */ at the end of the comment.",
    )
}

pub fn too_complex() -> SparkError {
    SparkError::new(
        "FAILED_TO_PARSE_TOO_COMPLEX",
        "54001",
        "The statement, including potential SQL functions and referred views, was too complex to parse. To mitigate this \
         error divide the statement into multiple, less complex chunks.",
    )
}

pub fn invalid_identifier(ident: &str) -> SparkError {
    SparkError::new(
        "INVALID_IDENTIFIER",
        "42602",
        format!(
            "The unquoted identifier {ident} is invalid and must be back quoted as: `{ident}`. Unquoted identifiers can only \
             contain ASCII letters ('a' - 'z', 'A' - 'Z'), digits ('0' - '9'), and underbar ('_'). Unquoted identifiers must \
             also not start with a digit."
        ),
    )
    .param("ident", ident)
}

pub fn too_many_name_parts(parts: &[String], most: usize) -> SparkError {
    let name = parts.iter().map(|p| format!("`{}`", p.replace('`', "``"))).collect::<Vec<_>>().join(".");
    SparkError::new(
        "IDENTIFIER_TOO_MANY_NAME_PARTS",
        "42601",
        format!("{name} is not a valid identifier as it has more than {most} name parts."),
    )
    .param("identifier", name)
    .param("limit", most.to_string())
}

/// A restriction that Spark puts in words of its own. `message` is a sentence.
pub fn invalid_statement(class: &'static str, state: &'static str, message: impl Into<String>) -> SparkError {
    SparkError::new(class, state, message)
}

pub fn numeric_range(literal: &str, type_name: &str, low: &str, high: &str) -> SparkError {
    SparkError::new(
        "INVALID_NUMERIC_LITERAL_RANGE",
        "22003",
        format!(
            "Numeric literal {literal} is outside the valid range for {type_name} with minimum value of {low} and maximum value \
             of {high}. Please adjust the value accordingly."
        ),
    )
    .param("rawStrippedQualifier", literal)
    .param("typeName", type_name)
    .param("minValue", low)
    .param("maxValue", high)
}

pub fn invalid_typed_literal(type_name: &str, value: &str) -> SparkError {
    let quoted_type = format!("\"{type_name}\"");
    let quoted_value = format!("'{value}'");
    SparkError::new(
        "INVALID_TYPED_LITERAL",
        "42604",
        format!("The value of the typed literal {quoted_type} is invalid: {quoted_value}."),
    )
    .param("valueType", quoted_type)
    .param("value", quoted_value)
}

pub fn unsupported_typed_literal(type_name: &str) -> SparkError {
    let supported = "\"DATE\", \"TIMESTAMP_NTZ\", \"TIMESTAMP_LTZ\", \"TIMESTAMP\", \"INTERVAL\", \"X\", \"TIME\"";
    let quoted = format!("\"{}\"", type_name.to_uppercase());
    SparkError::new(
        "UNSUPPORTED_TYPED_LITERAL",
        "0A000",
        format!("Literals of the type {quoted} are not supported. Supported types are {supported}."),
    )
    .param("unsupportedType", quoted)
    .param("supportedTypes", supported)
}

pub fn unsupported_data_type(type_name: &str) -> SparkError {
    let quoted = format!("\"{}\"", type_name.to_uppercase());
    SparkError::new("UNSUPPORTED_DATATYPE", "0A000", format!("Unsupported data type {quoted}."))
        .param("typeName", quoted)
}

pub fn incomplete_type(class: &'static str, message: &'static str) -> SparkError {
    SparkError::new(class, "42K01", message)
}

pub fn missing_length(type_name: &str) -> SparkError {
    let quoted = format!("\"{}\"", type_name.to_uppercase());
    SparkError::new(
        "DATATYPE_MISSING_SIZE",
        "42K01",
        format!("DataType {quoted} requires a length parameter, for example {quoted}(10). Please specify the length."),
    )
    .param("type", quoted)
}

pub fn duplicate_clause(clause: &str) -> SparkError {
    SparkError::new(
        "DUPLICATE_CLAUSES",
        "42614",
        format!("Found duplicate clauses: {clause}. Please, remove one of them."),
    )
    .param("clauseName", clause)
}

pub fn duplicate_key(key: &str) -> SparkError {
    SparkError::new("DUPLICATE_KEY", "23505", format!("Found duplicate keys `{key}`."))
        .param("keyColumn", format!("`{key}`"))
}

/// What Spark's parser refuses in words of its own. `what` is a sentence without its full stop.
pub fn operation_not_allowed(what: &str) -> SparkError {
    SparkError::new("_LEGACY_ERROR_TEMP_0035", "", format!("Operation not allowed: {what}.")).param("message", what)
}

pub fn invalid_escape(escape: &str) -> SparkError {
    SparkError::new(
        "INVALID_ESC",
        "42604",
        format!("Found an invalid escape string: '{escape}'. The escape string must contain only one character."),
    )
    .param("invalidEscape", format!("'{escape}'"))
}

/// Spark's `UNSUPPORTED_FEATURE.<subclass>`: what Spark itself does not have.
pub fn unsupported_feature(subclass: &str, message: impl Into<String>) -> SparkError {
    SparkError::new(
        format!("UNSUPPORTED_FEATURE.{subclass}"),
        "0A000",
        format!("The feature is not supported: {}", message.into()),
    )
}

/// The error with its place in `text`.
pub fn located(error: SparkError, text: &str, span: Span) -> SparkError {
    error.with_context(QueryContext::new(text, span))
}
