//! Expressions without columns, from text to a value: the parser, then this crate's own functions.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use datafusion::{common::DFSchema, prelude::SessionContext, scalar::ScalarValue};
use firesteel_functions::{EvalMode, FunctionContext, Typed, arrays, cast, errors, literal, operators, registry};
use firesteel_plan::{
    DataType, Expr, ExprKind, RelationKind, SparkError, SparkResult,
    expr::{BinaryOp, CastMode, Literal},
    statement::StatementKind,
};

/// The type, and the value as text (hexadecimal for binary) or null.
pub fn answer(ctx: &FunctionContext, sql: &str) -> SparkResult<(String, Option<String>)> {
    let typed = resolve(ctx, &[], &parse(sql)?)?;
    let data_type = typed.data_type.to_string();
    let text = match &typed.data_type {
        DataType::Null => typed,
        DataType::Binary => call(ctx, "hex", vec![typed])?,
        _ => cast::cast(ctx, typed, &DataType::String, ctx.mode())?,
    };
    Ok((data_type, evaluate(text)?))
}

pub fn parse(sql: &str) -> SparkResult<Expr> {
    let text = format!("SELECT {sql}");
    let statement = firesteel_sql::parse_statement(&text, &firesteel_sql::ParseOptions::default())?;
    if let StatementKind::Query(relation) = statement.kind
        && let RelationKind::Project { exprs, .. } = relation.kind
        && exprs.len() == 1
    {
        return Ok(exprs.into_iter().next().unwrap());
    }
    Err(SparkError::internal("not one expression"))
}

fn evaluate(typed: Typed) -> SparkResult<Option<String>> {
    let fail = |e: datafusion::error::DataFusionError| {
        errors::spark_error(&e).cloned().unwrap_or_else(|| SparkError::internal(e.to_string()))
    };
    let context = SessionContext::new();
    let physical = context.create_physical_expr(typed.expr, &DFSchema::empty()).map_err(fail)?;
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let batch =
        RecordBatch::try_new_with_options(Arc::new(arrow::datatypes::Schema::empty()), vec![], &options).unwrap();
    let array = physical.evaluate(&batch).and_then(|v| v.into_array(1)).map_err(fail)?;
    if array.is_null(0) {
        return Ok(None);
    }
    let value = ScalarValue::try_from_array(&array, 0).map_err(fail)?;
    Ok(value.try_as_str().flatten().map(str::to_owned))
}

fn call(ctx: &FunctionContext, name: &str, args: Vec<Typed>) -> SparkResult<Typed> {
    match registry::lookup(name) {
        Some(def) => def.resolve_scalar(ctx, args),
        None => Err(SparkError::new("UNRESOLVED_ROUTINE", "42883", name)),
    }
}

/// `columns` are the names that stand for columns, with their types.
pub fn resolve(ctx: &FunctionContext, columns: &[(String, DataType)], e: &Expr) -> SparkResult<Typed> {
    let one = |e: &Expr| resolve(ctx, columns, e);
    match &e.kind {
        ExprKind::Literal(value) => literal::literal(ctx, value),
        ExprKind::Attribute { name, .. } if columns.iter().any(|(n, _)| n == &name[0]) => {
            let (name, data_type) = columns.iter().find(|(n, _)| n == &name[0]).unwrap();
            Ok(Typed::new(datafusion::prelude::col(name.as_str()), data_type.clone(), true))
        }
        // A unit, as in timestampdiff(MONTH, …).
        ExprKind::Attribute { name, .. } => literal::literal(ctx, &Literal::String(name.join("."))),
        ExprKind::Alias { operand, .. } => one(operand),
        ExprKind::Function(f) => {
            let mut args = f.args.iter().map(one).collect::<SparkResult<Vec<_>>>()?;
            // As the analyzer does: the text of a schema becomes a null of its type.
            let schema = match f.name.last().map(String::as_str) {
                Some("from_json" | "from_csv" | "from_xml") => 1,
                Some("variant_get" | "try_variant_get") => 2,
                _ => usize::MAX,
            };
            if let Some(text) = args.get(schema).and_then(Typed::literal_text).map(str::to_owned) {
                let data_type = firesteel_sql::parse_data_type(&text)
                    .or_else(|_| firesteel_sql::parse_schema_ddl(&text).map(DataType::Struct))?;
                args[schema] = cast::cast(ctx, literal::literal(ctx, &Literal::Null)?, &data_type, EvalMode::Legacy)?;
            }
            call(ctx, f.name.last().unwrap(), args)
        }
        ExprKind::Unary { op, operand } => operators::unary(ctx, *op, one(operand)?),
        ExprKind::Binary { op, left, right } => operators::binary(ctx, *op, one(left)?, one(right)?),
        ExprKind::IsNull { operand, negated } => Ok(operators::is_null(one(operand)?, *negated)),
        ExprKind::IsBoolean { operand, value, negated } => operators::is_boolean(ctx, one(operand)?, *value, *negated),
        ExprKind::Between { operand, low, high, negated } => {
            operators::between(ctx, one(operand)?, one(low)?, one(high)?, *negated)
        }
        ExprKind::InList { operand, list, negated } => {
            let list = list.iter().map(one).collect::<SparkResult<Vec<_>>>()?;
            operators::in_list(ctx, one(operand)?, list, *negated)
        }
        ExprKind::Like { kind, operand, pattern, escape, negated } => {
            operators::like(ctx, *kind, one(operand)?, one(pattern)?, *escape, *negated)
        }
        ExprKind::Case { operand, branches, otherwise } => {
            let mut all = Vec::new();
            for (when, then) in branches {
                let when = match operand {
                    Some(o) => operators::binary(ctx, BinaryOp::Equal, one(o)?, one(when)?)?,
                    None => one(when)?,
                };
                all.push((when, one(then)?));
            }
            let otherwise = otherwise.as_deref().map(one).transpose()?;
            operators::case_when(ctx, all, otherwise)
        }
        ExprKind::Cast { operand, data_type, mode } => {
            let mode = match mode {
                CastMode::Session => ctx.mode(),
                CastMode::Ansi => EvalMode::Ansi,
                CastMode::Legacy => EvalMode::Legacy,
                CastMode::Try => EvalMode::Try,
            };
            cast::cast(ctx, one(operand)?, data_type, mode)
        }
        ExprKind::Extract { field, operand } => {
            let field = literal::literal(ctx, &Literal::String(field.clone()))?;
            call(ctx, "date_part", vec![field, one(operand)?])
        }
        ExprKind::Subscript { base, index } => arrays::subscript(ctx, one(base)?, one(index)?),
        ExprKind::Field { base, name } => arrays::field(ctx, one(base)?, name),
        other => Err(SparkError::internal(format!("the test knows no {other:?}"))),
    }
}
