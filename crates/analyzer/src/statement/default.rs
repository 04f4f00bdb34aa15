//! DEFAULT: the values of columns and variables that nobody gives one.

use std::{cell::RefCell, collections::BTreeMap};

use firesteel_functions::{Typed, cast};
use firesteel_plan::{
    DataType, Expr, ExprKind, Relation, RelationKind, SparkError, SparkResult, expr::Literal,
    relation::ColumnDefinition,
};
use firesteel_sql::{ParseOptions, parse_expression};

use crate::{
    catalog::Table,
    errors,
    expression::{Clause, Env, has_subquery},
    query::RelEnv,
    session::Session,
    tables, visit,
};

pub(super) fn is_default(e: &Expr) -> bool {
    matches!(&e.kind, ExprKind::Attribute { name, .. } if matches!(name.as_slice(), [n] if n.eq_ignore_ascii_case("default")))
}

pub(super) fn check_no_default(e: &Expr) -> SparkResult<()> {
    let mut found = false;
    visit::each_in_expr(e, &mut |_| {}, &mut |e| found |= is_default(e));
    if found {
        return Err(SparkError::new(
            "DEFAULT_PLACEMENT_INVALID",
            "42608",
            "A DEFAULT keyword in a MERGE, INSERT, UPDATE, or SET VARIABLE command could not be directly assigned to a \
             target column because it was part of an expression.\nFor example: `UPDATE SET c1 = DEFAULT` is allowed, but \
             `UPDATE T SET c1 = DEFAULT + 1` is not allowed.",
        ));
    }
    Ok(())
}

/// Puts the targets' defaults where the list of the query has DEFAULT. Whether there was one.
pub(super) fn put_defaults(relation: &mut Relation, defaults: &[Expr]) -> SparkResult<bool> {
    let put = |exprs: &mut Vec<Expr>| -> SparkResult<bool> {
        let mut any = false;
        for (at, e) in exprs.iter_mut().enumerate() {
            match defaults.get(at) {
                Some(default) if is_default(e) => {
                    *e = Expr { span: e.span, kind: default.kind.clone() };
                    any = true;
                }
                _ => check_no_default(e)?,
            }
        }
        Ok(any)
    };
    match &mut relation.kind {
        RelationKind::Project { exprs, .. } => put(exprs),
        RelationKind::Values { rows } => {
            let mut any = false;
            for row in rows {
                any |= put(row)?;
            }
            Ok(any)
        }
        RelationKind::Limit { input, .. }
        | RelationKind::Offset { input, .. }
        | RelationKind::Sort { input, .. }
        | RelationKind::SubqueryAlias { input, .. }
        | RelationKind::With { input, .. } => put_defaults(input, defaults),
        _ => Ok(false),
    }
}

/// The texts of the columns' defaults, by column, each checked to be a value that the column takes.
pub(super) async fn of_columns(
    session: &Session,
    statement: &str,
    columns: impl Iterator<Item = &ColumnDefinition>,
) -> SparkResult<BTreeMap<String, String>> {
    let mut texts = BTreeMap::new();
    for column in columns {
        if let (Some(value), Some(text)) = (&column.default, &column.default_text) {
            check(session, statement, &column.name, &column.data_type, value, text).await?;
            texts.insert(column.name.clone(), text.clone());
        }
    }
    Ok(texts)
}

fn invalid(class: &'static str, statement: &str, shown: &str, text: &str, why: &str) -> SparkError {
    let message = format!(
        "Failed to execute {statement} command because the destination column or variable {shown} has a DEFAULT value {text}, \
         {why}"
    );
    SparkError::new(class, "42623", message)
        .param("statement", statement)
        .param("colName", shown)
        .param("defaultValue", text)
}

/// A default is no query.
pub(super) fn no_subquery(statement: &str, shown: &str, value: &Expr, text: &str) -> SparkResult<()> {
    if has_subquery(value) {
        let why = "which contains subquery expressions.";
        return Err(invalid("INVALID_DEFAULT_VALUE.SUBQUERY_EXPRESSION", statement, shown, text, why));
    }
    Ok(())
}

/// Whether `value` can be the default of a column.
pub(super) async fn check(
    session: &Session,
    statement: &str,
    name: &str,
    data_type: &DataType,
    value: &Expr,
    text: &str,
) -> SparkResult<()> {
    let shown = errors::id(name);
    no_subquery(statement, &shown, value, text)?;
    let invalid = |class: &'static str, why: &str| invalid(class, statement, &shown, text, why);
    let typed = match typed(session, value, text).await {
        Err(error) if error.class().starts_with("UNRESOLVED_") => {
            let why = "which fails to resolve as a valid expression.";
            return Err(invalid("INVALID_DEFAULT_VALUE.UNRESOLVED_EXPRESSION", why));
        }
        typed => typed?,
    };
    if typed.expr.is_volatile() {
        let why = "which contains non-deterministic expressions.";
        return Err(invalid("INVALID_DEFAULT_VALUE.NON_DETERMINISTIC", why));
    }
    if !cast::can_store(&typed.data_type, data_type) {
        let (wanted, got) = (errors::sql_type(data_type), errors::sql_type(&typed.data_type));
        let why = format!(
            "which requires \"{wanted}\" type, but the statement provided a value of incompatible \"{got}\" type."
        );
        return Err(invalid("INVALID_DEFAULT_VALUE.DATA_TYPE", &why)
            .param("expectedType", format!("\"{wanted}\""))
            .param("actualType", format!("\"{got}\"")));
    }
    Ok(())
}

async fn typed(session: &Session, value: &Expr, text: &str) -> SparkResult<Typed> {
    let database = session.current_database();
    let tables = tables::load(session, &[], &database).await;
    let warnings = RefCell::new(Vec::new());
    let env = RelEnv::new(text, &database);
    session.analyzer(&tables, &warnings).expr(value, &Env::new(&env, &[], Clause::Other))
}

/// What a column of the table gets that nobody gives a value.
pub(super) fn of_column(session: &Session, table: &Table, column: &str) -> SparkResult<Expr> {
    match table.defaults.get(column) {
        Some(text) => parse_expression(text, &ParseOptions::from_conf(&session.conf())),
        None => Ok(Expr::literal(Literal::Null)),
    }
}
