//! Parameters of the functions of tuple sketches.

use firesteel_plan::{DataType, SparkResult};

use super::{
    super::{LG_NOMINAL, Resolved, cast_to, exactly, invalid_lg_nominal, key, or_default, type_check},
    summary::Mode,
};
use crate::{
    FunctionContext, Typed, coercion, errors, literal,
    registry::{FunctionDef, check_count},
    udf::call,
};

const DEFAULT_LG_NOMINAL: i32 = 12;
const DEFAULT_MODE: &str = "sum";

pub(in crate::sketch) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("tuple_sketch_estimate_double", |_, n, a| one(n, a, DataType::Double)),
        F::resolve("tuple_sketch_estimate_integer", |_, n, a| one(n, a, DataType::Double)),
        F::resolve("tuple_sketch_theta_double", |_, n, a| one(n, a, DataType::Double)),
        F::resolve("tuple_sketch_theta_integer", |_, n, a| one(n, a, DataType::Double)),
        F::resolve("tuple_sketch_summary_double", |c, n, a| summarized(c, n, a, DataType::Double)),
        F::resolve("tuple_sketch_summary_integer", |c, n, a| summarized(c, n, a, DataType::Long)),
        F::resolve("tuple_union_double", union),
        F::resolve("tuple_union_integer", union),
        F::resolve("tuple_union_theta_double", union),
        F::resolve("tuple_union_theta_integer", union),
        F::resolve("tuple_intersection_double", intersection),
        F::resolve("tuple_intersection_integer", intersection),
        F::resolve("tuple_intersection_theta_double", intersection),
        F::resolve("tuple_intersection_theta_integer", intersection),
        F::resolve("tuple_difference_double", difference),
        F::resolve("tuple_difference_integer", difference),
        F::resolve("tuple_difference_theta_double", difference),
        F::resolve("tuple_difference_theta_integer", difference),
    ]
}

fn sketch(name: &str, index: usize, arg: Typed) -> SparkResult<Typed> {
    exactly(name, index, &[DataType::Binary], arg)
}

fn one(name: &'static str, mut args: Vec<Typed>, data_type: DataType) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 1)?;
    let of = sketch(name, 0, args.remove(0))?;
    let nullable = of.nullable;
    Ok(Typed::new(call(name, vec![of.expr])?, data_type, nullable))
}

/// A constant mode, checked.
fn mode(ctx: &FunctionContext, name: &str, index: usize, arg: Typed) -> SparkResult<Typed> {
    let arg = cast_to(ctx, name, index, &DataType::String, arg)?;
    let Some(constant) = literal::fold(&arg) else {
        return Err(errors::non_foldable(name, "mode", &arg));
    };
    match constant.try_as_str().flatten() {
        Some(text) => {
            Mode::parse(text, name).map_err(|e| type_check(name, &e))?;
            Ok(literal::text(text))
        }
        None => Err(unexpected_null(name, "mode")),
    }
}

fn lg_nominal(ctx: &FunctionContext, name: &str, index: usize, arg: Typed) -> SparkResult<Typed> {
    use datafusion::scalar::ScalarValue;
    let arg = cast_to(ctx, name, index, &DataType::Integer, arg)?;
    match literal::fold(&arg) {
        Some(ScalarValue::Int32(Some(value))) if LG_NOMINAL.contains(&value) => Ok(literal::int(value)),
        Some(ScalarValue::Int32(Some(value))) => Err(type_check(name, &invalid_lg_nominal(name, value))),
        Some(_) => Err(unexpected_null(name, "lgNomEntries")),
        None => Err(errors::non_foldable(name, "lgNomEntries", &arg)),
    }
}

fn unexpected_null(name: &str, parameter: &str) -> firesteel_plan::SparkError {
    errors::datatype_mismatch(
        "UNEXPECTED_NULL",
        format_args!("{name}(…)"),
        format_args!("The {parameter} must not be null."),
    )
    .param("exprName", parameter)
}

fn summarized(
    ctx: &FunctionContext,
    name: &'static str,
    mut args: Vec<Typed>,
    data_type: DataType,
) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 2)?;
    let by = or_default(&mut args, 1, literal::text(DEFAULT_MODE));
    let of = sketch(name, 0, args.remove(0))?;
    let by = mode(ctx, name, 1, by)?;
    let nullable = of.nullable;
    Ok(Typed::new(call(name, vec![of.expr, by.expr])?, data_type, nullable))
}

fn union(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 4)?;
    let by = or_default(&mut args, 3, literal::text(DEFAULT_MODE));
    let lg = or_default(&mut args, 2, literal::int(DEFAULT_LG_NOMINAL));
    let right = args.remove(1);
    let left = sketch(name, 0, args.remove(0))?;
    let right = sketch(name, 1, right)?;
    let lg = lg_nominal(ctx, name, 2, exactly(name, 2, &[DataType::Integer], lg)?)?;
    let by = mode(ctx, name, 3, by)?;
    let exprs = vec![left.expr, right.expr, lg.expr, by.expr];
    Ok(Typed::new(call(name, exprs)?, DataType::Binary, true))
}

fn intersection(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 3)?;
    let by = or_default(&mut args, 2, literal::text(DEFAULT_MODE));
    let right = args.remove(1);
    let left = sketch(name, 0, args.remove(0))?;
    let right = sketch(name, 1, right)?;
    let by = mode(ctx, name, 2, by)?;
    Ok(Typed::new(call(name, vec![left.expr, right.expr, by.expr])?, DataType::Binary, true))
}

fn difference(_: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 2)?;
    let left = sketch(name, 0, args.remove(0))?;
    let right = sketch(name, 1, args.remove(0))?;
    Ok(Typed::new(call(name, vec![left.expr, right.expr])?, DataType::Binary, true))
}

/// `tuple_sketch_agg_…(key, value[, lgNomEntries[, mode]])`, `tuple_union_agg_…(sketch[, lgNomEntries[, mode]])`,
/// `tuple_intersection_agg_…(sketch[, mode])`.
pub(crate) fn resolve(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Resolved> {
    let default_mode = || literal::text(DEFAULT_MODE);
    let default_lg = || literal::int(DEFAULT_LG_NOMINAL);
    let aggregate = name;
    let args = if name.starts_with("tuple_sketch_agg") {
        check_count(name, args.len(), 2, 4)?;
        let by = or_default(&mut args, 3, default_mode());
        let lg = or_default(&mut args, 2, default_lg());
        let value = args.remove(1);
        let key = exactly(name, 0, &key::types(), args.remove(0))?;
        let of = if name.ends_with("_double") { DataType::Double } else { DataType::Integer };
        // Numbers that are too large for the summaries fail when they are there.
        let value = match (&of, &value.data_type) {
            (DataType::Integer, DataType::Long) => coercion::implicit(ctx, value, &of)?,
            _ => cast_to(ctx, name, 1, &of, value)?,
        };
        vec![key, value, lg_nominal(ctx, name, 2, lg)?, mode(ctx, name, 3, by)?]
    } else if name.starts_with("tuple_union_agg") {
        check_count(name, args.len(), 1, 3)?;
        let by = or_default(&mut args, 2, default_mode());
        let lg = or_default(&mut args, 1, default_lg());
        vec![sketch(name, 0, args.remove(0))?, lg_nominal(ctx, name, 1, lg)?, mode(ctx, name, 2, by)?]
    } else {
        check_count(name, args.len(), 1, 2)?;
        let by = or_default(&mut args, 1, default_mode());
        vec![sketch(name, 0, args.remove(0))?, mode(ctx, name, 1, by)?]
    };
    Ok(Resolved::binary(aggregate, args))
}
