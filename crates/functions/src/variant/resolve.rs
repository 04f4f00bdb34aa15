//! Parameters of the functions of VARIANT values, and casts from and to them.

use firesteel_plan::{DataType, SparkResult};

use crate::{
    EvalMode, FunctionContext, Typed, errors, literal,
    registry::{FunctionDef, check_count, want},
    sketch::Resolved,
    types,
    udf::{call, text_literal, type_literal},
};

pub(crate) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("parse_json", |c, n, a| parse_json(c, n, "spark_parse_json", a)),
        F::resolve("try_parse_json", |c, n, a| parse_json(c, n, "spark_parse_json_try", a)),
        F::resolve("is_variant_null", |_, n, a| one(n, "spark_is_variant_null", DataType::Boolean, a)),
        F::resolve("is_valid_variant", |_, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            let value = variant(name, args.remove(0))?;
            let nullable = value.nullable;
            Ok(Typed::new(call("spark_is_valid_variant", vec![value.expr])?, DataType::Boolean, nullable))
        }),
        F::resolve("schema_of_variant", |_, n, a| one(n, "spark_schema_of_variant", DataType::String, a)),
        F::resolve("variant_get", |c, n, a| get(c, n, EvalMode::Ansi, a)),
        F::resolve("try_variant_get", |c, n, a| get(c, n, EvalMode::Try, a)),
        F::resolve("to_variant_object", |_, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            let value = args.remove(0);
            let nested = matches!(value.data_type, DataType::Struct(_) | DataType::Array { .. } | DataType::Map { .. });
            if !nested || !convertible(&value.data_type) {
                return Err(errors::cannot_cast(&value, &DataType::Variant, EvalMode::Ansi));
            }
            to_variant(value)
        }),
    ]
}

/// Whether a type can be in a variant.
fn convertible(data_type: &DataType) -> bool {
    match data_type {
        DataType::Array { element, .. } => convertible(element),
        DataType::Map { key, value, .. } => key.is_string() && convertible(value),
        DataType::Struct(fields) => fields.iter().all(|f| convertible(&f.data_type)),
        DataType::DayTimeInterval { .. } | DataType::YearMonthInterval { .. } | DataType::CalendarInterval => false,
        DataType::Time(_) | DataType::Geometry(_) | DataType::Geography(_) => false,
        _ => true,
    }
}

fn to_variant(value: Typed) -> SparkResult<Typed> {
    let nullable = value.nullable;
    let exprs = vec![value.expr, text_literal(&value.data_type.to_string())];
    Ok(Typed::new(call("spark_to_variant", exprs)?, DataType::Variant, nullable))
}

fn parse_json(ctx: &FunctionContext, name: &'static str, udf: &str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 1)?;
    let text = want(ctx, name, 0, 's', args.remove(0))?;
    Ok(Typed::new(call(udf, vec![text.expr])?, DataType::Variant, true))
}

fn variant(name: &str, arg: Typed) -> SparkResult<Typed> {
    match &arg.data_type {
        DataType::Variant => Ok(arg),
        DataType::Null => literal::null(&DataType::Variant),
        _ => Err(errors::unexpected_input(name, 0, "VARIANT", &arg)),
    }
}

fn one(name: &'static str, udf: &str, data_type: DataType, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 1)?;
    let value = variant(name, args.remove(0))?;
    let nullable = value.nullable && data_type != DataType::Boolean;
    Ok(Typed::new(call(udf, vec![value.expr])?, data_type, nullable))
}

/// The third argument is a null of the wanted type: the analyzer has read its text.
fn get(ctx: &FunctionContext, name: &'static str, mode: EvalMode, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 3)?;
    let wanted = if args.len() > 2 { args.remove(2).data_type } else { DataType::Variant };
    let path = want(ctx, name, 1, 's', args.remove(1))?;
    let value = variant(name, args.remove(0))?;
    got(ctx, value, path, wanted, mode)
}

fn got(ctx: &FunctionContext, value: Typed, path: Typed, wanted: DataType, mode: EvalMode) -> SparkResult<Typed> {
    let wanted = wanted.in_queries().clone();
    let udf = if mode == EvalMode::Try { "spark_variant_get_try" } else { "spark_variant_get_ansi" };
    let exprs = vec![
        type_literal(&wanted)?,
        value.expr,
        path.expr,
        text_literal(&ctx.time_zone),
        text_literal(&wanted.to_string()),
    ];
    Ok(Typed::new(call(udf, exprs)?, wanted, true))
}

/// A cast from VARIANT or to it; nothing for other types.
pub(crate) fn cast(ctx: &FunctionContext, value: &Typed, to: &DataType, mode: EvalMode) -> Option<SparkResult<Typed>> {
    match (&value.data_type, to) {
        (DataType::Variant, DataType::Variant) | (DataType::Null, _) => None,
        (DataType::Variant, _) => {
            let mode = if mode == EvalMode::Try { EvalMode::Try } else { EvalMode::Ansi };
            Some(got(ctx, value.clone(), literal::text("$"), to.clone(), mode))
        }
        (_, DataType::Variant) => Some(to_variant(value.clone())),
        _ => None,
    }
}

/// Whether a cast from VARIANT, or to it, exists.
pub(crate) fn can_cast(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::Variant, other) => castable(other),
        (DataType::Struct(_) | DataType::Map { .. }, _) => false,
        (other, _) => convertible(other) && !types::has_struct_or_map(other),
    }
}

fn castable(to: &DataType) -> bool {
    match to {
        DataType::Array { element, .. } => castable(element),
        DataType::Map { key, value, .. } => key.is_string() && castable(value),
        DataType::Struct(fields) => fields.iter().all(|f| castable(&f.data_type)),
        DataType::DayTimeInterval { .. } | DataType::YearMonthInterval { .. } | DataType::CalendarInterval => false,
        DataType::Time(_) | DataType::Geometry(_) | DataType::Geography(_) | DataType::Null => false,
        _ => true,
    }
}

/// `schema_of_variant_agg(value)`
pub(crate) fn resolve_schema_agg(
    _: &FunctionContext,
    name: &'static str,
    mut args: Vec<Typed>,
) -> SparkResult<Resolved> {
    check_count(name, args.len(), 1, 1)?;
    let value = variant(name, args.remove(0))?;
    Ok(Resolved {
        aggregate: "spark_schema_of_variant_agg",
        args: vec![value],
        data_type: DataType::String,
        nullable: false,
    })
}
