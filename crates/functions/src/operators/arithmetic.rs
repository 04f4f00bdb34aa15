//! Arithmetic of numbers: Spark's result types, and kernels that know overflow and zero divisors.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray},
    datatypes::{
        DataType as Arrow, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, i256,
    },
    error::ArrowError,
};
use datafusion::{common::exec_err, error::Result as DfResult, logical_expr::Operator, scalar::ScalarValue};
use firesteel_plan::{DataType, SparkError, SparkResult, expr::BinaryOp};

use super::{native, temporal};
use crate::{
    EvalMode, FunctionContext, Typed,
    coercion::{self, adjust_precision_scale, decimal, decimal_of_integral},
    errors::{self, external},
    literal,
    numeric::decimal::{POW10, decimal_text, fits, round_i256, wide_pow10},
    udf::{Args, Primitive, Ret, Udf, call, numbers, type_literal},
};

macro_rules! by_mode {
    ($($name:literal, $ret:expr, $kernel:ident;)*) => {
        vec![$(
            Udf::new(concat!($name, "_ansi"), $ret, |a| $kernel(a, EvalMode::Ansi)),
            Udf::new(concat!($name, "_legacy"), $ret, |a| $kernel(a, EvalMode::Legacy)),
            Udf::new(concat!($name, "_try"), $ret, |a| $kernel(a, EvalMode::Try)),
        )*]
    };
}

pub(super) fn udfs() -> Vec<Udf> {
    by_mode! {
        "add", Ret::Arg(0), add;
        "subtract", Ret::Arg(0), subtract;
        "multiply", Ret::Arg(0), multiply;
        "divide", Ret::Fixed(Arrow::Float64), divide;
        "remainder", Ret::Arg(0), remainder;
        "integral_divide", Ret::Fixed(Arrow::Int64), integral_divide;
        "decimal_add", Ret::Arg(2), decimal_add;
        "decimal_subtract", Ret::Arg(2), decimal_subtract;
        "decimal_multiply", Ret::Arg(2), decimal_multiply;
        "decimal_divide", Ret::Arg(2), decimal_divide;
        "decimal_remainder", Ret::Arg(2), decimal_remainder;
        "decimal_integral_divide", Ret::Fixed(Arrow::Int64), decimal_integral_divide;
    }
}

/// An integral literal beside a decimal becomes a decimal of just its digits.
pub(super) fn literals_as_decimals(left: Typed, right: Typed) -> SparkResult<(Typed, Typed)> {
    let is_decimal = |t: &Typed| matches!(t.data_type, DataType::Decimal { .. });
    if is_decimal(&right)
        && let Some(l) = literal_as_decimal(&left)
    {
        return Ok((l, right));
    }
    if is_decimal(&left)
        && let Some(r) = literal_as_decimal(&right)
    {
        return Ok((left, r));
    }
    Ok((left, right))
}

fn literal_as_decimal(value: &Typed) -> Option<Typed> {
    let n = match value.literal()? {
        ScalarValue::Int8(Some(v)) => i128::from(*v),
        ScalarValue::Int16(Some(v)) => i128::from(*v),
        ScalarValue::Int32(Some(v)) => i128::from(*v),
        ScalarValue::Int64(Some(v)) => i128::from(*v),
        _ => return None,
    };
    let digits = n.unsigned_abs().to_string().len() as u8;
    Some(literal::of(ScalarValue::Decimal128(Some(n), digits, 0), decimal(digits, 0)))
}

pub(super) fn resolve(
    ctx: &FunctionContext,
    op: BinaryOp,
    left: Typed,
    right: Typed,
    mode: EvalMode,
) -> SparkResult<Typed> {
    if let Some(result) = temporal::resolve(ctx, op, &left, &right, mode) {
        return result;
    }
    if op == BinaryOp::IntegralDivide
        && let Some(quotient) = temporal::whole_quotient(&left, &right)
    {
        return quotient;
    }
    let (left, right) = promote_strings(ctx, left, right)?;
    let (left, right) = literals_as_decimals(left, right)?;
    let numeric = |t: &Typed| t.data_type.is_numeric() || t.data_type == DataType::Null;
    if !numeric(&left) || !numeric(&right) {
        // Beside text, in ANSI mode, the other side's type is that of both.
        let text = |t: &Typed, other: &Typed| ctx.ansi && t.data_type.is_string() && is_atomic(&other.data_type);
        let same = left.data_type == right.data_type || text(&left, &right) || text(&right, &left);
        return Err(if same {
            errors::binary_wrong_type(op.symbol(), &left, &right, "\"NUMERIC\"")
        } else {
            errors::binary_diff_types(op.symbol(), &left, &right)
        });
    }
    let nullable = left.nullable || right.nullable || mode != EvalMode::Ansi;
    let is_decimal = |t: &DataType| matches!(t, DataType::Decimal { .. });
    let is_float = |t: &DataType| matches!(t, DataType::Float | DataType::Double);
    let either_decimal = is_decimal(&left.data_type) || is_decimal(&right.data_type);
    let either_float = is_float(&left.data_type) || is_float(&right.data_type);
    // NULL divided by a decimal is a double, a decimal divided by NULL a decimal.
    let null_divided = op == BinaryOp::Divide && left.data_type == DataType::Null;
    if either_decimal && !either_float && !null_divided {
        return decimals(ctx, op, left, right, mode);
    }
    let common = match op {
        BinaryOp::Divide => DataType::Double,
        BinaryOp::IntegralDivide => {
            if either_float {
                return Err(errors::binary_wrong_type(op.symbol(), &left, &right, "(\"DECIMAL\" or \"BIGINT\")"));
            }
            DataType::Long
        }
        _ if either_float && either_decimal => DataType::Double,
        _ => match coercion::tightest_common_type(&left.data_type, &right.data_type, ctx.ansi) {
            Some(DataType::Null) | None => DataType::Double,
            Some(t) => t,
        },
    };
    let left = coercion::implicit(ctx, left, &common)?;
    let right = coercion::implicit(ctx, right, &common)?;
    let operator = match op {
        BinaryOp::Plus => Operator::Plus,
        BinaryOp::Minus => Operator::Minus,
        _ => Operator::Multiply,
    };
    let plain = matches!(op, BinaryOp::Plus | BinaryOp::Minus | BinaryOp::Multiply);
    if plain && (is_float(&common) || mode == EvalMode::Legacy) {
        return Ok(native(operator, left, right, common));
    }
    let name = match op {
        BinaryOp::Plus => "add",
        BinaryOp::Minus => "subtract",
        BinaryOp::Multiply => "multiply",
        BinaryOp::Divide => "divide",
        BinaryOp::Modulo => "remainder",
        _ => "integral_divide",
    };
    let expr = call(&format!("{name}_{}", mode.suffix()), vec![left.expr, right.expr])?;
    Ok(Typed::new(expr, common, nullable))
}

fn is_atomic(t: &DataType) -> bool {
    matches!(
        t,
        DataType::Boolean
            | DataType::Binary
            | DataType::Date
            | DataType::Timestamp
            | DataType::TimestampNtz
            | DataType::Time(_)
    )
}

fn promote_strings(ctx: &FunctionContext, left: Typed, right: Typed) -> SparkResult<(Typed, Typed)> {
    let target = |other: &DataType| -> Option<DataType> {
        if !ctx.ansi {
            return Some(DataType::Double);
        }
        match other {
            t if t.is_integral() => Some(DataType::Long),
            t if t.is_numeric() => Some(DataType::Double),
            DataType::Null => Some(DataType::Double),
            _ => None,
        }
    };
    let (l, r) = (left.data_type.is_string(), right.data_type.is_string());
    if l && r {
        if ctx.ansi {
            return Ok((left, right));
        }
        return Ok((
            coercion::implicit(ctx, left, &DataType::Double)?,
            coercion::implicit(ctx, right, &DataType::Double)?,
        ));
    }
    if l && let Some(t) = target(&right.data_type) {
        return Ok((coercion::implicit(ctx, left, &t)?, right));
    }
    if r && let Some(t) = target(&left.data_type) {
        return Ok((left, coercion::implicit(ctx, right, &t)?));
    }
    Ok((left, right))
}

/// Precision and scale of an operation's result before they are cut to 38 digits.
fn raw_result(op: BinaryOp, (p1, s1): (u8, i8), (p2, s2): (u8, i8)) -> (i32, i32) {
    let (p1, s1, p2, s2) = (i32::from(p1), i32::from(s1), i32::from(p2), i32::from(s2));
    match op {
        BinaryOp::Plus | BinaryOp::Minus => {
            let scale = s1.max(s2);
            ((p1 - s1).max(p2 - s2) + scale + 1, scale)
        }
        BinaryOp::Multiply => (p1 + p2 + 1, s1 + s2),
        BinaryOp::Divide => {
            let scale = 6.max(s1 + p2 + 1);
            (p1 - s1 + s2 + scale, scale)
        }
        BinaryOp::Modulo => {
            let scale = s1.max(s2);
            ((p1 - s1).min(p2 - s2) + scale, scale)
        }
        _ => ((p1 - s1 + s2).max(1), 0),
    }
}

/// Where a result must not lose digits of its fraction, a quotient gives up digits on both sides of the point, as Spark's
/// does.
fn lossless_quotient((p1, s1): (u8, i8), (p2, s2): (u8, i8)) -> (u8, i8) {
    let (p1, s1, p2, s2) = (i32::from(p1), i32::from(s1), i32::from(p2), i32::from(s2));
    let mut integral = (p1 - s1 + s2).min(38);
    let mut scale = 6.max(s1 + p2 + 1).min(38);
    let excess = integral + scale - 38;
    if excess > 0 {
        scale -= excess / 2 + 1;
        integral = 38 - scale;
    }
    ((integral + scale).min(38) as u8, scale.min(38) as i8)
}

fn decimals(ctx: &FunctionContext, op: BinaryOp, left: Typed, right: Typed, mode: EvalMode) -> SparkResult<Typed> {
    let as_decimal = |value: Typed, other: &DataType| -> SparkResult<Typed> {
        let to = match decimal_of_integral(&value.data_type) {
            Some((p, s)) => decimal(p, s),
            None => other.clone(),
        };
        coercion::implicit(ctx, value, &to)
    };
    let (lt, rt) = (left.data_type.clone(), right.data_type.clone());
    let (left, right) = (as_decimal(left, &rt)?, as_decimal(right, &lt)?);
    let (Some(l), Some(r)) = (decimal_of_integral(&left.data_type), decimal_of_integral(&right.data_type)) else {
        return Err(SparkError::internal("decimal arithmetic of something else"));
    };
    let raw = raw_result(op, l, r);
    let (p, s) = match (ctx.precision_loss, op) {
        (true, _) => adjust_precision_scale(raw.0, raw.1),
        (false, BinaryOp::Divide) => lossless_quotient(l, r),
        (false, _) => (raw.0.min(38) as u8, raw.1.min(38) as i8),
    };
    let result = decimal(p, s);
    let nullable = left.nullable || right.nullable || mode != EvalMode::Ansi;
    let operator = match op {
        BinaryOp::Plus => Some(Operator::Plus),
        BinaryOp::Minus => Some(Operator::Minus),
        BinaryOp::Multiply => Some(Operator::Multiply),
        _ => None,
    };
    // With room for every result there is nothing to check, and Arrow gives it the same type.
    if let Some(operator) = operator
        && raw.0 <= 38
    {
        return Ok(native(operator, left, right, result));
    }
    let name = match op {
        BinaryOp::Plus => "decimal_add",
        BinaryOp::Minus => "decimal_subtract",
        BinaryOp::Multiply => "decimal_multiply",
        BinaryOp::Divide => "decimal_divide",
        BinaryOp::Modulo => "decimal_remainder",
        _ => "decimal_integral_divide",
    };
    let name = format!("{name}_{}", mode.suffix());
    if op == BinaryOp::IntegralDivide {
        return Ok(Typed::new(call(&name, vec![left.expr, right.expr])?, DataType::Long, nullable));
    }
    Ok(Typed::new(call(&name, vec![left.expr, right.expr, type_literal(&result)?])?, result, nullable))
}

// ---- kernels

/// Integers of either side through a checked operation.
fn checked<T: ArrowPrimitiveType>(
    args: &Args<'_>,
    mode: EvalMode,
    op: impl Fn(T::Native, T::Native) -> Option<T::Native>,
    wrapping: impl Fn(T::Native, T::Native) -> T::Native,
    error: impl Fn(T::Native, T::Native) -> SparkError,
) -> DfResult<ArrayRef> {
    let (left, right) = (args.primitive::<T>(0)?, args.primitive::<T>(1)?);
    let fail = |a, b| ArrowError::ExternalError(Box::new(error(a, b)));
    if mode == EvalMode::Ansi {
        if !left.constant && !right.constant {
            let result: PrimitiveArray<T> =
                arrow::compute::try_binary(&left.array, &right.array, |a, b| op(a, b).ok_or_else(|| fail(a, b)))?;
            return Ok(Arc::new(result));
        }
        if let (false, true, Some(b)) = (left.constant, right.constant, right.get(0)) {
            let result: PrimitiveArray<T> =
                left.array.try_unary::<_, T, ArrowError>(|a| op(a, b).ok_or_else(|| fail(a, b)))?;
            return Ok(Arc::new(result));
        }
        if let (true, false, Some(a)) = (left.constant, right.constant, left.get(0)) {
            let result: PrimitiveArray<T> =
                right.array.try_unary::<_, T, ArrowError>(|b| op(a, b).ok_or_else(|| fail(a, b)))?;
            return Ok(Arc::new(result));
        }
    }
    numbers::<T>(args, |row| match (left.get(row), right.get(row)) {
        (Some(a), Some(b)) => match op(a, b) {
            Some(v) => Ok(Some(v)),
            None => match mode {
                EvalMode::Ansi => Err(external(error(a, b))),
                EvalMode::Legacy => Ok(Some(wrapping(a, b))),
                EvalMode::Try => Ok(None),
            },
        },
        _ => Ok(None),
    })
}

macro_rules! integer_kernel {
    ($name:ident, $checked:ident, $wrapping:ident, $symbol:literal, $instead:literal, $float:tt) => {
        fn $name(args: &Args<'_>, mode: EvalMode) -> DfResult<ArrayRef> {
            let small = |a: &dyn std::fmt::Display, b: &dyn std::fmt::Display| {
                errors::binary_overflow(a, $symbol, b, $instead)
            };
            match args.return_type {
                Arrow::Int8 => {
                    checked::<Int8Type>(args, mode, i8::$checked, i8::$wrapping, |a, b| small(&format!("{a}S"), &format!("{b}S")))
                }
                Arrow::Int16 => {
                    checked::<Int16Type>(args, mode, i16::$checked, i16::$wrapping, |a, b| small(&format!("{a}S"), &format!("{b}S")))
                }
                Arrow::Int32 => checked::<Int32Type>(args, mode, i32::$checked, i32::$wrapping, |_, _| {
                    errors::arithmetic_overflow("integer overflow", $instead)
                }),
                Arrow::Int64 => checked::<Int64Type>(args, mode, i64::$checked, i64::$wrapping, |_, _| {
                    errors::arithmetic_overflow("long overflow", $instead)
                }),
                Arrow::Float64 => {
                    let (l, r) = (args.primitive::<Float64Type>(0)?, args.primitive::<Float64Type>(1)?);
                    numbers::<Float64Type>(args, |i| Ok(l.get(i).zip(r.get(i)).map(|(a, b)| a $float b)))
                }
                Arrow::Float32 => {
                    let (l, r) = (args.primitive::<Float32Type>(0)?, args.primitive::<Float32Type>(1)?);
                    numbers::<Float32Type>(args, |i| Ok(l.get(i).zip(r.get(i)).map(|(a, b)| a $float b)))
                }
                other => exec_err!("{} of {other}", args.name),
            }
        }
    };
}

integer_kernel!(add, checked_add, wrapping_add, "+", "try_add", +);
integer_kernel!(subtract, checked_sub, wrapping_sub, "-", "try_subtract", -);
integer_kernel!(multiply, checked_mul, wrapping_mul, "*", "try_multiply", *);

fn divide(args: &Args<'_>, mode: EvalMode) -> DfResult<ArrayRef> {
    let (l, r) = (args.primitive::<Float64Type>(0)?, args.primitive::<Float64Type>(1)?);
    numbers::<Float64Type>(args, |i| match (l.get(i), r.get(i)) {
        (Some(_), Some(0.0)) => match mode {
            EvalMode::Ansi => Err(external(errors::divide_by_zero())),
            _ => Ok(None),
        },
        (Some(a), Some(b)) => Ok(Some(a / b)),
        _ => Ok(None),
    })
}

fn remainder(args: &Args<'_>, mode: EvalMode) -> DfResult<ArrayRef> {
    fn of<T: ArrowPrimitiveType>(
        args: &Args<'_>,
        mode: EvalMode,
        zero: T::Native,
        rem: impl Fn(T::Native, T::Native) -> T::Native,
    ) -> DfResult<ArrayRef> {
        let (l, r): (Primitive<T>, Primitive<T>) = (args.primitive(0)?, args.primitive(1)?);
        numbers::<T>(args, |i| match (l.get(i), r.get(i)) {
            (Some(_), Some(b)) if b == zero => match mode {
                EvalMode::Ansi => Err(external(errors::remainder_by_zero())),
                _ => Ok(None),
            },
            (Some(a), Some(b)) => Ok(Some(rem(a, b))),
            _ => Ok(None),
        })
    }
    match args.return_type {
        Arrow::Int8 => of::<Int8Type>(args, mode, 0, i8::wrapping_rem),
        Arrow::Int16 => of::<Int16Type>(args, mode, 0, i16::wrapping_rem),
        Arrow::Int32 => of::<Int32Type>(args, mode, 0, i32::wrapping_rem),
        Arrow::Int64 => of::<Int64Type>(args, mode, 0, i64::wrapping_rem),
        Arrow::Float32 => of::<Float32Type>(args, mode, 0.0, |a, b| a % b),
        Arrow::Float64 => of::<Float64Type>(args, mode, 0.0, |a, b| a % b),
        other => exec_err!("{} of {other}", args.name),
    }
}

fn integral_divide(args: &Args<'_>, mode: EvalMode) -> DfResult<ArrayRef> {
    let (l, r) = (args.primitive::<Int64Type>(0)?, args.primitive::<Int64Type>(1)?);
    numbers::<Int64Type>(args, |i| match (l.get(i), r.get(i)) {
        (Some(_), Some(0)) => match mode {
            EvalMode::Ansi => Err(external(errors::divide_by_zero())),
            _ => Ok(None),
        },
        (Some(i64::MIN), Some(-1)) => match mode {
            EvalMode::Ansi => Err(external(errors::arithmetic_overflow("Overflow in integral divide", "try_divide"))),
            EvalMode::Legacy => Ok(Some(i64::MIN)),
            EvalMode::Try => Ok(None),
        },
        (Some(a), Some(b)) => Ok(Some(a / b)),
        _ => Ok(None),
    })
}

struct DecimalSides {
    left: Primitive<Decimal128Type>,
    right: Primitive<Decimal128Type>,
    s1: i8,
    s2: i8,
    precision: u8,
    scale: i8,
}

impl DecimalSides {
    fn new(args: &Args<'_>) -> DfResult<Self> {
        let (left, right) = (args.primitive::<Decimal128Type>(0)?, args.primitive::<Decimal128Type>(1)?);
        let (s1, s2) = (left.array.scale(), right.array.scale());
        let (precision, scale) = match args.return_type {
            Arrow::Decimal128(p, s) => (*p, *s),
            _ => (38, 0),
        };
        Ok(Self { left, right, s1, s2, precision, scale })
    }

    fn map(
        &self,
        args: &Args<'_>,
        mode: EvalMode,
        op: impl Fn(i128, i128) -> DfResult<Result<i128, i256>>,
    ) -> DfResult<ArrayRef> {
        numbers::<Decimal128Type>(args, |row| match (self.left.get(row), self.right.get(row)) {
            (Some(a), Some(b)) => match op(a, b)? {
                Ok(v) if fits(v, self.precision) => Ok(Some(v)),
                Ok(v) => self.overflow(mode, decimal_text(v, self.scale)),
                Err(v) => self.overflow(mode, format!("{v}E-{}", self.scale)),
            },
            _ => Ok(None),
        })
    }

    fn overflow(&self, mode: EvalMode, shown: String) -> DfResult<Option<i128>> {
        match mode {
            EvalMode::Ansi => Err(external(errors::numeric_out_of_range(shown, self.precision, self.scale))),
            _ => Ok(None),
        }
    }
}

fn narrow(value: i256) -> Result<i128, i256> {
    value.to_i128().ok_or(value)
}

fn decimal_sum(args: &Args<'_>, mode: EvalMode, negate: bool) -> DfResult<ArrayRef> {
    let sides = DecimalSides::new(args)?;
    let scale = sides.s1.max(sides.s2);
    let (up1, up2) = ((scale - sides.s1) as usize, (scale - sides.s2) as usize);
    let down = (scale - sides.scale).max(0) as u32;
    sides.map(args, mode, |a, b| {
        let b = if negate { -b } else { b };
        if down == 0
            && let Some(v) =
                a.checked_mul(POW10[up1]).and_then(|a| b.checked_mul(POW10[up2]).and_then(|b| a.checked_add(b)))
        {
            return Ok(Ok(v));
        }
        let sum = i256::from_i128(a)
            .wrapping_mul(wide_pow10(up1 as u32))
            .wrapping_add(i256::from_i128(b).wrapping_mul(wide_pow10(up2 as u32)));
        Ok(narrow(round_i256(sum, down)))
    })
}

fn decimal_add(args: &Args<'_>, mode: EvalMode) -> DfResult<ArrayRef> {
    decimal_sum(args, mode, false)
}

fn decimal_subtract(args: &Args<'_>, mode: EvalMode) -> DfResult<ArrayRef> {
    decimal_sum(args, mode, true)
}

fn decimal_multiply(args: &Args<'_>, mode: EvalMode) -> DfResult<ArrayRef> {
    let sides = DecimalSides::new(args)?;
    let down = (sides.s1 + sides.s2 - sides.scale).max(0) as u32;
    sides.map(args, mode, |a, b| {
        if down == 0
            && let Some(v) = a.checked_mul(b)
        {
            return Ok(Ok(v));
        }
        let product = i256::from_i128(a).wrapping_mul(i256::from_i128(b));
        Ok(narrow(round_i256(product, down)))
    })
}

fn decimal_divide(args: &Args<'_>, mode: EvalMode) -> DfResult<ArrayRef> {
    let sides = DecimalSides::new(args)?;
    // a·10^-s1 / (b·10^-s2) at the result's scale: a·10^(scale - s1 + s2) / b.
    let shift = i32::from(sides.scale) - i32::from(sides.s1) + i32::from(sides.s2);
    decimal_by_zero(args, mode, &sides, errors::divide_by_zero, |a, b| {
        if (0..=38).contains(&shift)
            && let Some(n) = a.checked_mul(POW10[shift as usize])
        {
            let (q, r) = (n / b, n % b);
            let up = r.unsigned_abs() >= b.unsigned_abs() - r.unsigned_abs();
            return Ok(q + if up { if (a < 0) == (b < 0) { 1 } else { -1 } } else { 0 });
        }
        let (mut q, mut r) = (i256::from_i128(a / b), i256::from_i128(a % b));
        let divisor = i256::from_i128(b);
        let mut left = shift;
        while left > 0 {
            // The remainder has at most 38 digits, so 38 more fit.
            let step = left.min(38) as u32;
            let n = r.wrapping_mul(wide_pow10(step));
            let Some(grown) = q.checked_mul(wide_pow10(step)) else {
                return Err(q);
            };
            q = grown.wrapping_add(n.wrapping_div(divisor));
            r = n.wrapping_rem(divisor);
            left -= step as i32;
        }
        if left < 0 {
            return narrow(round_i256(q, (-left) as u32));
        }
        let (r, d) = (r.wrapping_abs(), divisor.wrapping_abs());
        if r >= d.wrapping_sub(r) {
            q = q.wrapping_add(i256::from_i128(if (a < 0) == (b < 0) { 1 } else { -1 }));
        }
        narrow(q)
    })
}

fn decimal_remainder(args: &Args<'_>, mode: EvalMode) -> DfResult<ArrayRef> {
    let sides = DecimalSides::new(args)?;
    let scale = sides.s1.max(sides.s2);
    let (up1, up2) = ((scale - sides.s1) as u32, (scale - sides.s2) as u32);
    let down = (scale - sides.scale).max(0) as u32;
    decimal_by_zero(args, mode, &sides, errors::remainder_by_zero, |a, b| {
        let a = i256::from_i128(a).wrapping_mul(wide_pow10(up1));
        let b = i256::from_i128(b).wrapping_mul(wide_pow10(up2));
        narrow(round_i256(a.wrapping_rem(b), down))
    })
}

fn decimal_by_zero(
    args: &Args<'_>,
    mode: EvalMode,
    sides: &DecimalSides,
    error: fn() -> SparkError,
    op: impl Fn(i128, i128) -> Result<i128, i256>,
) -> DfResult<ArrayRef> {
    numbers::<Decimal128Type>(args, |row| match (sides.left.get(row), sides.right.get(row)) {
        (Some(_), Some(0)) => match mode {
            EvalMode::Ansi => Err(external(error())),
            _ => Ok(None),
        },
        (Some(a), Some(b)) => match op(a, b) {
            Ok(v) if fits(v, sides.precision) => Ok(Some(v)),
            Ok(v) => sides.overflow(mode, decimal_text(v, sides.scale)),
            Err(v) => sides.overflow(mode, format!("{v}E-{}", sides.scale)),
        },
        _ => Ok(None),
    })
}

fn decimal_integral_divide(args: &Args<'_>, mode: EvalMode) -> DfResult<ArrayRef> {
    let sides = DecimalSides::new(args)?;
    let scale = sides.s1.max(sides.s2);
    let (up1, up2) = ((scale - sides.s1) as u32, (scale - sides.s2) as u32);
    numbers::<Int64Type>(args, |row| match (sides.left.get(row), sides.right.get(row)) {
        (Some(_), Some(0)) => match mode {
            EvalMode::Ansi => Err(external(errors::divide_by_zero())),
            _ => Ok(None),
        },
        (Some(a), Some(b)) => {
            let a = i256::from_i128(a).wrapping_mul(wide_pow10(up1));
            let b = i256::from_i128(b).wrapping_mul(wide_pow10(up2));
            let q = a.wrapping_div(b).to_i128();
            match (q.and_then(|q| i64::try_from(q).ok()), mode) {
                (Some(v), _) => Ok(Some(v)),
                (None, EvalMode::Ansi) => {
                    Err(external(errors::arithmetic_overflow("Overflow in integral divide", "try_divide")))
                }
                (None, EvalMode::Legacy) => Ok(q.map(|q| q as i64)),
                (None, EvalMode::Try) => Ok(None),
            }
        }
        _ => Ok(None),
    })
}
