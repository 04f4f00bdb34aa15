//! Functions that only a window has.

use std::sync::Arc;

use datafusion::{
    functions_window::{
        cume_dist::cume_dist_udwf,
        lead_lag::{lag_udwf, lead_udwf},
        nth_value::{first_value_udwf, last_value_udwf, nth_value_udwf},
        ntile::ntile_udwf,
        rank::{dense_rank_udwf, percent_rank_udwf, rank_udwf},
        row_number::row_number_udwf,
    },
    logical_expr::{Cast, Expr, WindowFunctionDefinition, WindowUDF, expr::NullTreatment},
    scalar::ScalarValue,
};
use firesteel_plan::{DataType, SparkResult};

use crate::{FunctionContext, Typed, coercion, errors, literal, registry::constant_flag};

/// What stands before OVER. The analyzer adds partitioning, order and frame.
#[derive(Debug, Clone)]
pub struct ResolvedWindow {
    pub definition: WindowFunctionDefinition,
    pub args: Vec<Expr>,
    pub null_treatment: Option<NullTreatment>,
    pub data_type: DataType,
    pub nullable: bool,
    /// The type that DataFusion's function answers; a cast to `data_type` goes around the window expression.
    pub raw_type: DataType,
    /// Whether Spark refuses the function without ORDER BY, or with a frame of the user's.
    pub needs_order: bool,
    pub fixed_frame: bool,
}

impl ResolvedWindow {
    /// The window expression's value in Spark's type.
    pub fn finish(&self, window: Expr) -> SparkResult<Typed> {
        let expr = if self.raw_type == self.data_type {
            window
        } else {
            Expr::Cast(Cast::new(Box::new(window), crate::types::to_arrow(&self.data_type)?))
        };
        Ok(Typed::new(expr, self.data_type.clone(), self.nullable))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowKind {
    RowNumber,
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
    Ntile,
    Lag,
    Lead,
    NthValue,
    FirstValue,
    LastValue,
}

pub(crate) fn udwfs() -> Vec<Arc<WindowUDF>> {
    vec![
        row_number_udwf(),
        rank_udwf(),
        dense_rank_udwf(),
        percent_rank_udwf(),
        cume_dist_udwf(),
        ntile_udwf(),
        lag_udwf(),
        lead_udwf(),
        nth_value_udwf(),
        first_value_udwf(),
        last_value_udwf(),
    ]
}

pub(crate) fn resolve(
    ctx: &FunctionContext,
    name: &str,
    kind: WindowKind,
    mut args: Vec<Typed>,
    ignore_nulls: Option<bool>,
) -> SparkResult<ResolvedWindow> {
    use WindowKind::*;
    let (low, high) = match kind {
        RowNumber | CumeDist => (0, 0),
        // Their arguments are what the window is ordered by, whatever is written.
        Rank | DenseRank | PercentRank => (0, usize::MAX),
        Ntile => (0, 1),
        Lag | Lead => (1, 3),
        NthValue => (2, 3),
        FirstValue | LastValue => (1, 2),
    };
    if args.len() < low || args.len() > high {
        let expected = if low == high { low.to_string() } else { format!("[{low}, {high}]") };
        return Err(errors::wrong_num_args(name, expected, args.len()));
    }
    if matches!(kind, Rank | DenseRank | PercentRank) {
        args.clear();
    }
    let mut ignore = ignore_nulls.unwrap_or(false);
    let flag_at = match kind {
        NthValue => 2,
        FirstValue | LastValue => 1,
        _ => usize::MAX,
    };
    if args.len() > flag_at {
        ignore |= constant_flag(name, "ignoreNulls", &args.remove(flag_at))?;
    }
    let (udwf, data_type, raw_type, nullable) = match kind {
        RowNumber => (row_number_udwf(), DataType::Integer, DataType::Long, false),
        Rank => (rank_udwf(), DataType::Integer, DataType::Long, false),
        DenseRank => (dense_rank_udwf(), DataType::Integer, DataType::Long, false),
        Ntile => (ntile_udwf(), DataType::Integer, DataType::Long, false),
        PercentRank => (percent_rank_udwf(), DataType::Double, DataType::Double, false),
        CumeDist => (cume_dist_udwf(), DataType::Double, DataType::Double, false),
        Lag | Lead => {
            let value = args[0].data_type.clone();
            let default_nullable = args.get(2).is_none_or(|d| d.nullable);
            let nullable = args[0].nullable || default_nullable;
            let udwf = if kind == Lag { lag_udwf() } else { lead_udwf() };
            (udwf, value.clone(), value, nullable)
        }
        NthValue | FirstValue | LastValue => {
            let udwf = match kind {
                NthValue => nth_value_udwf(),
                FirstValue => first_value_udwf(),
                _ => last_value_udwf(),
            };
            let value = args[0].data_type.clone();
            (udwf, value.clone(), value, true)
        }
    };
    match kind {
        Ntile => {
            let buckets = args.pop().unwrap_or_else(|| literal::int(1));
            args.push(positive_literal(name, buckets)?);
        }
        NthValue => {
            let offset = args.pop().unwrap_or_else(|| literal::int(1));
            args.push(positive_literal(name, offset)?);
        }
        Lag | Lead => {
            if let Some(offset) = args.get_mut(1) {
                *offset = whole_literal(name, offset.clone())?;
            } else {
                args.push(literal::of(ScalarValue::Int64(Some(1)), DataType::Long));
            }
            if args.len() > 2 {
                let default = args.remove(2);
                args.push(coercion::implicit(ctx, default, &data_type)?);
            }
        }
        _ => {}
    }
    Ok(ResolvedWindow {
        definition: WindowFunctionDefinition::WindowUDF(udwf),
        args: args.into_iter().map(|a| a.expr).collect(),
        null_treatment: ignore.then_some(NullTreatment::IgnoreNulls),
        data_type,
        nullable,
        raw_type,
        needs_order: !matches!(kind, NthValue | FirstValue | LastValue),
        fixed_frame: !matches!(kind, NthValue | FirstValue | LastValue),
    })
}

fn whole_literal(name: &str, value: Typed) -> SparkResult<Typed> {
    let value = match value.literal() {
        Some(ScalarValue::Int8(Some(v))) => i64::from(*v),
        Some(ScalarValue::Int16(Some(v))) => i64::from(*v),
        Some(ScalarValue::Int32(Some(v))) => i64::from(*v),
        Some(ScalarValue::Int64(Some(v))) => *v,
        _ => {
            return Err(errors::datatype_mismatch(
                "NON_FOLDABLE_INPUT",
                name,
                format!(
                    "the input `offset` should be a foldable \"INT\" expression; however, got \"{}\".",
                    value.sql()
                ),
            ));
        }
    };
    Ok(literal::of(ScalarValue::Int64(Some(value)), DataType::Long))
}

fn positive_literal(name: &str, value: Typed) -> SparkResult<Typed> {
    let shown = value.sql();
    let value = whole_literal(name, value)?;
    match value.literal() {
        Some(ScalarValue::Int64(Some(v))) if *v > 0 => Ok(value),
        _ => Err(errors::datatype_mismatch(
            "VALUE_OUT_OF_RANGE",
            name,
            format!("The argument must be between (0, 2147483647] (current value = {shown})."),
        )),
    }
}
