//! Casts between intervals and numbers: as many of the interval's last field.

use arrow::{
    array::ArrayRef,
    datatypes::{DataType as Arrow, Decimal128Type, DurationMicrosecondType, Int64Type, IntervalYearMonthType},
};
use datafusion::error::Result as DfResult;
use firesteel_plan::DataType;

use super::{
    Env,
    kernels::{day_time_unit, map, year_month_unit},
    numbers,
};
use crate::{
    EvalMode, errors,
    numeric::decimal::{POW10, round_i128},
    types,
};

/// These casts have no legacy form: what does not fit is an error, or null for try_cast.
fn strict(env: &Env) -> Env {
    Env { mode: if env.mode == EvalMode::Try { EvalMode::Try } else { EvalMode::Ansi }, ..*env }
}

fn unit(interval: &DataType) -> i64 {
    match interval {
        DataType::DayTimeInterval { end, .. } => day_time_unit(*end),
        DataType::YearMonthInterval { end, .. } => i64::from(year_month_unit(*end)),
        _ => 1,
    }
}

pub(super) fn to_number(env: &Env, values: &ArrayRef, from: &DataType, to: &DataType) -> DfResult<ArrayRef> {
    let unit = unit(from);
    // With six more digits a fraction of the field survives.
    let scale = if matches!(to, DataType::Decimal { .. }) { 6 } else { 0 };
    let wide = Arrow::Decimal128(38, scale);
    let convert = |v: i128| {
        let scaled = v * POW10[scale as usize];
        let (q, r) = (scaled / i128::from(unit), scaled % i128::from(unit));
        let up = scale > 0 && r.abs() * 2 >= i128::from(unit);
        Ok(Some(if up { q + if scaled < 0 { -1 } else { 1 } } else { q }))
    };
    let decimals = match values.data_type() {
        Arrow::Duration(_) => {
            map::<DurationMicrosecondType, Decimal128Type>(values, &wide, |v| convert(i128::from(v)))?
        }
        _ => map::<IntervalYearMonthType, Decimal128Type>(values, &wide, |v| convert(i128::from(v)))?,
    };
    numbers::convert(&strict(env), &decimals, &DataType::Decimal { precision: 38, scale }, to)
}

pub(super) fn from_number(env: &Env, values: &ArrayRef, from: &DataType, to: &DataType) -> DfResult<ArrayRef> {
    let env = &strict(env);
    let unit = i128::from(unit(to));
    let target = types::to_arrow(to).map_err(errors::external)?;
    let (values, scale) = match from {
        DataType::Decimal { scale, .. } => (values.clone(), *scale),
        _ => {
            let longs = numbers::convert(env, values, from, &DataType::Long)?;
            let wide = Arrow::Decimal128(20, 0);
            (map::<Int64Type, Decimal128Type>(&longs, &wide, |v| Ok(Some(i128::from(v))))?, 0)
        }
    };
    let overflow = |v: i128| errors::cast_overflow(crate::numeric::decimal::decimal_text(v, scale), from, to);
    let scaled = |v: i128| v.checked_mul(unit).map(|v| round_i128(v, scale.max(0) as u32));
    match to {
        DataType::DayTimeInterval { .. } => map::<Decimal128Type, DurationMicrosecondType>(&values, &target, |v| {
            match scaled(v).and_then(|v| i64::try_from(v).ok()) {
                Some(v) => Ok(Some(v)),
                None => env.fail(|| overflow(v)),
            }
        }),
        _ => map::<Decimal128Type, IntervalYearMonthType>(&values, &target, |v| {
            match scaled(v).and_then(|v| i32::try_from(v).ok()) {
                Some(v) => Ok(Some(v)),
                None => env.fail(|| overflow(v)),
            }
        }),
    }
}
