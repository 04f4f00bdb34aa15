//! Single bits of integers.

use arrow::datatypes::{DataType as Arrow, Int8Type, Int32Type, Int64Type};
use firesteel_plan::{DataType, SparkResult};

use crate::{
    FunctionContext, Typed, coercion, errors,
    errors::external,
    registry::{FunctionDef, check_count, want},
    udf::{Ret, Udf, call, numbers},
};

pub(super) fn udfs() -> Vec<Udf> {
    // (value, position, width of the value's type)
    vec![Udf::new("spark_bit_get_ansi", Ret::Fixed(Arrow::Int8), |args| {
        let (values, positions) = (args.primitive::<Int64Type>(0)?, args.primitive::<Int32Type>(1)?);
        let width = args.primitive::<Int32Type>(2)?;
        numbers::<Int8Type>(args, |row| {
            let (Some(value), Some(at), Some(width)) = (values.get(row), positions.get(row), width.get(row)) else {
                return Ok(None);
            };
            if !(0..width).contains(&at) {
                let message = format!("expects an integer value in [0, {width}), but got {at}.");
                let error = errors::invalid_parameter("BIT_POSITION_RANGE", "getbit", "pos", message);
                return Err(external(error.param("upper", width.to_string()).param("invalidValue", at.to_string())));
            }
            Ok(Some((value >> at & 1) as i8))
        })
    })]
}

fn bit_get(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 2)?;
    let position = want(ctx, name, 1, 'i', args.remove(1))?;
    let value = args.remove(0);
    let width = match value.data_type {
        DataType::Byte => 8,
        DataType::Short => 16,
        DataType::Integer => 32,
        DataType::Long | DataType::Null => 64,
        _ => return Err(errors::unexpected_input(name, 0, "INTEGRAL", &value)),
    };
    let nullable = value.nullable || position.nullable;
    let value = coercion::implicit(ctx, value, &DataType::Long)?;
    let exprs = vec![value.expr, position.expr, crate::literal::int(width).expr];
    Ok(Typed::new(call("spark_bit_get_ansi", exprs)?, DataType::Byte, nullable))
}

pub(super) fn functions() -> Vec<FunctionDef> {
    vec![FunctionDef::resolve("bit_get", bit_get), FunctionDef::resolve("getbit", bit_get)]
}
