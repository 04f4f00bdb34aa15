//! `rand`, `uniform` and their kin.

use std::hash::{BuildHasher, Hasher};

use datafusion::{logical_expr::Expr, scalar::ScalarValue};
use firesteel_plan::{DataType, SparkError, SparkResult, expr::BinaryOp};

use crate::{
    EvalMode, FunctionContext, Typed, cast, coercion, errors, literal, operators,
    registry::{FunctionDef, check_count},
};

pub(crate) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("rand", |c, n, a| random(c, n, "spark_rand", a)),
        F::resolve("random", |c, n, a| random(c, n, "spark_rand", a)),
        F::resolve("randn", |c, n, a| random(c, n, "spark_randn", a)),
        F::resolve("randstr", randstr),
        F::resolve("uniform", uniform),
        F::resolve("shuffle", |_, name, mut args| {
            check_count(name, args.len(), 1, 2)?;
            let seed = if args.len() > 1 { seed(name, 1, args.remove(1))? } else { chance() };
            let array = args.remove(0);
            let DataType::Array { .. } = &array.data_type else {
                return Err(errors::unexpected_input(name, 0, "ARRAY", &array));
            };
            let exprs = vec![array.expr, long(seed).expr];
            Ok(Typed::new(fresh("spark_shuffle", exprs)?, array.data_type, array.nullable))
        }),
        F::resolve("spark_partition_id", |_, name, args| {
            check_count(name, args.len(), 0, 0)?;
            Ok(Typed::new(fresh("spark_partition_id", Vec::new())?, DataType::Integer, false))
        }),
        F::resolve("monotonically_increasing_id", |_, name, args| {
            check_count(name, args.len(), 0, 0)?;
            Ok(Typed::new(fresh("spark_monotonically_increasing_id", Vec::new())?, DataType::Long, false))
        }),
    ]
}

/// A call with a state of its own: where no task decodes the plan, it lasts as long as the query.
fn fresh(name: &str, args: Vec<Expr>) -> SparkResult<Expr> {
    match super::task_udfs().into_iter().find(|udf| udf.name() == name) {
        Some(udf) => Ok(udf.call(args)),
        None => Err(SparkError::internal(format!("no function {name} is registered"))),
    }
}

/// A seed where none is given.
fn chance() -> i64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish() as i64
}

fn long(value: i64) -> Typed {
    literal::of(ScalarValue::Int64(Some(value)), DataType::Long)
}

/// The value of a constant seed; null counts as 0.
fn seed(name: &str, index: usize, given: Typed) -> SparkResult<i64> {
    if !matches!(given.data_type, DataType::Integer | DataType::Long | DataType::Null) {
        return Err(errors::unexpected_input(name, index, "(\"INT\" or \"BIGINT\")", &given));
    }
    match literal::fold(&given) {
        Some(ScalarValue::Int32(v)) => Ok(i64::from(v.unwrap_or(0))),
        Some(ScalarValue::Int64(v)) => Ok(v.unwrap_or(0)),
        Some(v) if v.is_null() => Ok(0),
        _ => Err(errors::non_foldable(name, "seed", &given)),
    }
}

fn random(_: &FunctionContext, name: &'static str, udf: &str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 0, 1)?;
    let seed = match args.pop() {
        Some(given) => seed(name, 0, given)?,
        None => chance(),
    };
    Ok(Typed::new(fresh(udf, vec![long(seed).expr])?, DataType::Double, false))
}

fn randstr(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 2)?;
    let seed = if args.len() > 1 { seed(name, 1, args.remove(1))? } else { chance() };
    let length = args.remove(0);
    if !length.data_type.is_numeric() && length.data_type != DataType::Null {
        return Err(errors::unexpected_input(name, 0, "INT", &length));
    }
    let folded = literal::fold(&cast::cast(ctx, length.clone(), &DataType::Integer, ctx.mode())?);
    let length = match folded {
        Some(ScalarValue::Int32(v)) => v.unwrap_or(0),
        _ => return Err(errors::non_foldable(name, "length", &length)),
    };
    if length < 0 {
        return Err(errors::invalid_parameter(
            "LENGTH",
            name,
            "length",
            format_args!("Expects `length` greater than or equal to 0, but got {length}."),
        )
        .param("length", length.to_string()));
    }
    let exprs = vec![long(seed).expr, literal::int(length).expr];
    Ok(Typed::new(fresh("spark_randstr", exprs)?, DataType::String, false))
}

/// The type of `uniform(min, max)`: the wider of both.
fn between(min: &DataType, max: &DataType) -> Option<DataType> {
    use DataType::{Decimal, Double, Float, Null};
    Some(match (min, max) {
        (Null, _) | (_, Null) | (Double, _) | (_, Double) => Double,
        (Float, _) | (_, Float) => Float,
        (Decimal { precision: p, scale: s }, Decimal { precision: q, scale: t }) => {
            let (precision, scale) = coercion::wider_decimal((*p, *s), (*q, *t));
            coercion::decimal(precision, scale)
        }
        (decimal @ Decimal { .. }, _) | (_, decimal @ Decimal { .. }) => decimal.clone(),
        (a, b) => coercion::tightest_common_type(a, b, true)?,
    })
}

fn uniform(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 3)?;
    for (index, arg) in args.iter().take(2).enumerate() {
        if !arg.data_type.is_numeric() && arg.data_type != DataType::Null {
            return Err(errors::unexpected_input(name, index, "NUMERIC", arg));
        }
    }
    let seed = if args.len() > 2 { seed(name, 2, args.remove(2))? } else { chance() };
    for (parameter, arg) in ["min", "max"].into_iter().zip(&args) {
        if literal::fold(arg).is_none() {
            return Err(errors::non_foldable(name, parameter, arg));
        }
    }
    let max = args.remove(1);
    let min = args.remove(0);
    let Some(data_type) = between(&min.data_type, &max.data_type) else {
        return Err(SparkError::internal(format!("uniform of {} and {}", min.data_type, max.data_type)));
    };
    let double = |value: Typed| cast::cast(ctx, value, &DataType::Double, EvalMode::Legacy);
    let random = Typed::new(fresh("spark_rand", vec![long(seed).expr])?, DataType::Double, false);
    let min = double(min)?;
    let range = operators::binary(ctx, BinaryOp::Minus, double(max)?, min.clone())?;
    let part = operators::binary(ctx, BinaryOp::Multiply, range, random)?;
    let value = operators::binary(ctx, BinaryOp::Plus, min, part)?;
    cast::cast(ctx, value, &data_type, ctx.mode())
}
