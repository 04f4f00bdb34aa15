//! Statements whose text is complete only when they run: EXECUTE IMMEDIATE, and those with IDENTIFIER(expression).

use std::{cell::RefCell, fmt::Write};

use datafusion::scalar::ScalarValue;
use firesteel_plan::{
    DataType, Expr, ExprKind, Relation, RelationKind, Span, SparkError, SparkResult, Statement,
    expr::{MultipartName, Parameter},
    naming,
    statement::{DeferredClause, StatementKind, Wanted},
};
use firesteel_sql::{ParseOptions, parse_statement, parse_statement_at, statement_parameters};

use super::variable;
use crate::{
    Analyzed, errors,
    expression::{Clause, Env, has_subquery},
    query::RelEnv,
    relation::constant,
    session::Session,
    tables,
    variable::value_sql,
};

/// How often a statement may run another by EXECUTE IMMEDIATE.
const MAX_NESTED: usize = 8;

/// A value that is known before the statement runs, or nothing where the expression has none.
async fn constant_value(session: &Session, e: &Expr, text: &str) -> SparkResult<(Option<ScalarValue>, DataType)> {
    let database = session.current_database();
    let list = RelationKind::Project { input: Box::new(Relation::bare(RelationKind::OneRow)), exprs: vec![e.clone()] };
    let tables = tables::load(session, &[&Relation::bare(list)], &database).await;
    let warnings = RefCell::new(Vec::new());
    let analyzer = session.analyzer(&tables, &warnings);
    let env = RelEnv::new(text, &database);
    let value = analyzer.expr(e, &Env::new(&env, &[], Clause::Other))?;
    Ok((constant(value.expr), value.data_type))
}

fn unaliased(e: &Expr) -> &Expr {
    match &e.kind {
        ExprKind::Alias { operand, .. } => operand,
        _ => e,
    }
}

fn shown(e: &Expr) -> String {
    naming::expr(unaliased(e), &naming::as_written)
}

pub(super) async fn execute(
    session: &Session,
    statement: &Expr,
    into: &[MultipartName],
    using: &[Expr],
    text: &str,
) -> SparkResult<Analyzed> {
    let Some(_nested) = session.nest(MAX_NESTED) else {
        return Err(SparkError::unsupported(format_args!("EXECUTE IMMEDIATE nested more than {MAX_NESTED} times")));
    };
    let sql = statement_text(session, statement, text).await?;
    let sql = bound(session, &sql, using, text).await?;
    let options = ParseOptions::from_conf(&session.conf());
    let inner = parse_statement(&sql, &options)?;
    let targets = variable::targets(session, into)?;
    if into.is_empty() {
        return Box::pin(super::run(session, &inner, &sql)).await;
    }
    match Box::pin(answer_of(session, &inner, &sql)).await? {
        Some(query) => variable::into(session, query, targets).map_err(|e| e.at(&sql, inner.span)),
        None => {
            let shown = sql_of(&sql);
            Err(SparkError::new(
                "INVALID_STATEMENT_FOR_EXECUTE_INTO",
                "07501",
                format!("The INTO clause of EXECUTE IMMEDIATE is only valid for queries but the given statement is not a query: {shown}."),
            )
            .param("sqlString", shown))
        }
    }
}

fn sql_of(sql: &str) -> String {
    sql.to_uppercase()
}

/// The query that a statement is, whether names in it are deferred or not.
async fn answer_of(session: &Session, inner: &Statement, sql: &str) -> SparkResult<Option<crate::AnalyzedQuery>> {
    let is_query = match &inner.kind {
        StatementKind::Query(_) => true,
        StatementKind::Deferred { statement, .. } => matches!(**statement, StatementKind::Query(_)),
        _ => false,
    };
    if !is_query {
        return Ok(None);
    }
    match super::run(session, inner, sql).await? {
        Analyzed::Query(query) => Ok(Some(query)),
        _ => Ok(None),
    }
}

async fn statement_text(session: &Session, statement: &Expr, text: &str) -> SparkResult<String> {
    if has_subquery(statement) {
        return Err(unsupported_parameter(statement));
    }
    let (value, data_type) = constant_value(session, statement, text).await?;
    if !data_type.is_string() && data_type != DataType::Null {
        let kind = errors::sql_type(&data_type);
        return Err(SparkError::new(
            "INVALID_EXPR_TYPE_FOR_QUERY_EXECUTE_IMMEDIATE",
            "42K09",
            format!("Expression type must be string type but got {kind}."),
        )
        .param("exprType", kind));
    }
    match value {
        Some(ScalarValue::Utf8(Some(sql))) => Ok(sql),
        Some(value) if value.is_null() => {
            let name = match &statement.kind {
                ExprKind::Attribute { name, .. } => errors::ids(name),
                _ => errors::id(&shown(statement)),
            };
            Err(SparkError::new(
                "NULL_QUERY_STRING_EXECUTE_IMMEDIATE",
                "22004",
                format!("Execute immediate requires a non-null variable as the query string, but the provided variable {name} is null."),
            )
            .param("varName", name))
        }
        _ => Err(unsupported_parameter(statement)),
    }
}

fn unsupported_parameter(e: &Expr) -> SparkError {
    let shown = errors::sql_expr(&shown(e));
    SparkError::new(
        "UNSUPPORTED_EXPR_FOR_PARAMETER",
        "42K0E",
        format!("A query parameter contains unsupported expression. Parameters can either be variables or literals.\nInvalid expression: [{shown}]"),
    )
    .param("invalidExprSql", shown)
}

/// The text with the values of USING where its parameters stand.
async fn bound(session: &Session, sql: &str, using: &[Expr], text: &str) -> SparkResult<String> {
    let options = ParseOptions::from_conf(&session.conf());
    let parameters = statement_parameters(sql, &options)?;
    let named = parameters.iter().any(|(_, p)| matches!(p, Parameter::Named(_)));
    let positional = parameters.iter().any(|(_, p)| matches!(p, Parameter::Positional(_)));
    if named && positional {
        return Err(SparkError::new(
            "INVALID_QUERY_MIXED_QUERY_PARAMETERS",
            "42613",
            "Parameterized query must either use positional, or named parameters, but not both.",
        ));
    }
    let mut values: Vec<(Option<String>, String)> = Vec::with_capacity(using.len());
    let mut nameless = Vec::new();
    for e in using {
        let name = match &e.kind {
            ExprKind::Alias { names, .. } => names.first().cloned(),
            ExprKind::Attribute { name, .. } => name.last().cloned(),
            _ => None,
        };
        if name.is_none() {
            nameless.push(errors::sql_expr(&shown(e)));
        }
        let operand = unaliased(e);
        if has_subquery(operand) {
            return Err(unsupported_parameter(operand));
        }
        let (value, data_type) = constant_value(session, operand, text).await?;
        let Some(value) = value else { return Err(unsupported_parameter(operand)) };
        values.push((name, value_sql(&session.function_context(&session.conf()), &value, &data_type)?));
    }
    // A name beside values without one is shown with them.
    if named && !nameless.is_empty() {
        let exprs = nameless.join(", ");
        return Err(SparkError::new(
            "ALL_PARAMETERS_MUST_BE_NAMED",
            "07001",
            format!("Using name parameterized queries requires all parameters to be named. Parameters missing names: {exprs}."),
        )
        .param("exprs", exprs));
    }
    let mut out = String::with_capacity(sql.len());
    let mut from = 0;
    for (span, parameter) in parameters {
        let value = match &parameter {
            Parameter::Named(name) => {
                values.iter().find(|(n, _)| n.as_ref().is_some_and(|n| n.eq_ignore_ascii_case(name)))
            }
            Parameter::Positional(at) => values.get(*at),
        };
        let (start, end) = (span.start as usize, span.end as usize);
        let Some((_, value)) = value else {
            let name = match parameter {
                Parameter::Named(name) => name,
                Parameter::Positional(_) => format!("_{}", sql.get(..start).map_or(start, |t| t.chars().count())),
            };
            let error = SparkError::new(
                "UNBOUND_SQL_PARAMETER",
                "42P02",
                format!(
                    "Found the unbound parameter: {name}. Please, fix `args` and provide a mapping of the parameter to \
                     either a SQL literal or collection constructor functions such as `map()`, `array()`, `struct()`."
                ),
            )
            .param("name", name);
            return Err(error.at(sql, span));
        };
        let _ = write!(out, "{}{value}", sql.get(from..start).unwrap_or_default());
        from = end;
    }
    out.push_str(sql.get(from..).unwrap_or_default());
    Ok(out)
}

/// Runs a statement of which some words are given by expressions.
pub(super) async fn deferred(
    session: &Session,
    clauses: &[DeferredClause],
    whole: &Statement,
    text: &str,
) -> SparkResult<Analyzed> {
    let statement = complete(session, clauses, whole.span, text).await?;
    Box::pin(super::run(session, &statement, text)).await
}

/// The statement at `span` with the values that its clauses have now.
pub(crate) async fn complete(
    session: &Session,
    clauses: &[DeferredClause],
    span: Span,
    text: &str,
) -> SparkResult<Statement> {
    let mut options = ParseOptions::from_conf(&session.conf());
    for clause in clauses {
        let value = clause_text(session, clause, text).await.map_err(|e| e.at(text, clause.span))?;
        options.deferred.insert(clause.span.start, value);
    }
    let statement = parse_statement_at(text, span, &options)?;
    if let StatementKind::Deferred { clauses, .. } = &statement.kind {
        // A clause in what a clause gave is not there: the text is the same.
        let place = clauses.first().map_or(Span::NONE, |c| c.span);
        return Err(SparkError::internal("a clause without a value").at(text, place));
    }
    Ok(statement)
}

async fn clause_text(session: &Session, clause: &DeferredClause, text: &str) -> SparkResult<String> {
    let e = &clause.value;
    let wrong = |subclass: &str, what: String| {
        SparkError::new(
            format!("NOT_A_CONSTANT_STRING.{subclass}"),
            "42601",
            format!("The expression {} used for the routine or clause IDENTIFIER must be a constant STRING which is NOT NULL. {what}", shown(e)),
        )
        .param("expr", shown(e))
        .param("name", "IDENTIFIER")
    };
    if let ExprKind::Parameter(_) = &e.kind {
        // The error of a parameter without a value.
        constant_value(session, e, text).await?;
    }
    let not_constant = || {
        wrong("NOT_CONSTANT", "To be considered constant the expression must not depend on any columns, contain a subquery, or invoke a non deterministic function such as rand().".to_owned())
    };
    if has_subquery(e) {
        return Err(not_constant());
    }
    let (value, data_type) = match constant_value(session, e, text).await {
        Err(error) if error.class().starts_with("UNRESOLVED_COLUMN") && clause.wanted == Wanted::Name => {
            return Err(error);
        }
        found => found?,
    };
    if clause.wanted == Wanted::Name && !data_type.is_string() && data_type != DataType::Null {
        return Err(wrong("WRONG_TYPE", format!("The data type of the expression is {data_type}."))
            .param("dataType", data_type.to_string()));
    }
    match value {
        Some(ScalarValue::Utf8(Some(text))) => Ok(text),
        Some(value) if value.is_null() => Err(wrong("NULL", "The expression evaluates to NULL.".to_owned())),
        Some(value) => Ok(value.to_string()),
        None => Err(not_constant()),
    }
}
