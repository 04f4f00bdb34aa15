//! From a call to DataFusion's function with its arguments cast.

use std::sync::Arc;

use arrow::array::Array;
use datafusion::{
    functions_aggregate as df,
    logical_expr::{
        AggregateUDF, Case, Cast, Expr, SortExpr,
        expr::{AggregateFunction, AggregateFunctionParams, NullTreatment},
    },
    scalar::ScalarValue,
};
use firesteel_plan::{DataType, SparkError, SparkResult};

use super::{AggregateArgs, AggregateKind, ResolvedAggregate, ours};
use crate::{
    EvalMode, FunctionContext, Typed, cast, coercion, errors, literal,
    operators::canonical,
    registry::{check_count, constant_flag, want},
    udf::type_literal,
};

/// What is common to a call: its filter and so on.
struct Call {
    distinct: bool,
    filter: Option<Box<Expr>>,
    order_by: Vec<SortExpr>,
    null_treatment: Option<NullTreatment>,
}

impl Call {
    fn of(self, func: Arc<AggregateUDF>, args: Vec<Expr>, data_type: DataType, nullable: bool) -> ResolvedAggregate {
        let params = AggregateFunctionParams {
            args,
            distinct: self.distinct,
            filter: self.filter,
            order_by: self.order_by,
            null_treatment: self.null_treatment,
        };
        let expr = Expr::AggregateFunction(AggregateFunction { func, params });
        ResolvedAggregate { aggregate: Typed::new(expr, data_type, nullable), finish: None }
    }
}

fn then(
    mut resolved: ResolvedAggregate,
    finish: impl Fn(Typed) -> SparkResult<Typed> + Send + Sync + 'static,
) -> ResolvedAggregate {
    resolved.finish = Some(Box::new(finish));
    resolved
}

pub(crate) fn resolve(
    ctx: &FunctionContext,
    name: &str,
    kind: AggregateKind,
    given: AggregateArgs,
) -> SparkResult<ResolvedAggregate> {
    use AggregateKind::*;
    let AggregateArgs { mut args, distinct, filter, order_by, ignore_nulls } = given;
    let filter = match filter {
        Some(f) => Some(Box::new(crate::operators::boolean_operand(ctx, name, f)?.expr)),
        None => None,
    };
    let call = Call { distinct, filter, order_by: Vec::new(), null_treatment: None };
    let (least, most) = match kind {
        Count => (0, usize::MAX),
        First | Last => (1, 2),
        Percentile => (2, 3),
        PercentileApprox => (2, 3),
        PercentileCont | PercentileDisc => (1, 1),
        ApproxCountDistinct | StringAgg => (1, 2),
        MaxBy | MinBy => (2, 3),
        Corr | CovarSamp | CovarPop => (2, 2),
        RegrAvgx | RegrAvgy | RegrCount | RegrIntercept | RegrR2 | RegrSlope | RegrSxx | RegrSxy | RegrSyy => (2, 2),
        _ => (1, 1),
    };
    check_count(name, args.len(), least, most)?;
    if !order_by.is_empty() && !matches!(kind, PercentileCont | PercentileDisc | StringAgg | CollectList) {
        return Err(SparkError::new(
            "INVALID_WITHIN_GROUP_EXPRESSION.WITHIN_GROUP_FORBIDDEN",
            "42K0K",
            format!("Invalid function {name} with WITHIN GROUP: the function does not take it."),
        ));
    }
    Ok(match kind {
        Count => return count(call, args),
        CountIf => {
            let condition = crate::operators::boolean_operand(ctx, name, args.remove(0))?;
            let one = Expr::Literal(ScalarValue::Int64(Some(1)), None);
            let hit = Expr::Case(Case::new(None, vec![(Box::new(condition.expr), Box::new(one))], None));
            call.of(df::count::count_udaf(), vec![hit], DataType::Long, false)
        }
        Sum | TrySum | Avg | TryAvg => return total(ctx, name, kind, call, args.remove(0)),
        Min | Max => extreme(kind == Max, name, call, args.remove(0))?,
        First | Last => {
            let mut ignore = ignore_nulls.unwrap_or(false);
            if args.len() > 1 {
                ignore |= constant_flag(name, "ignoreNulls", &args.remove(1))?;
            }
            let value = args.remove(0);
            let udaf =
                if kind == First { df::first_last::first_value_udaf() } else { df::first_last::last_value_udaf() };
            let call = Call { null_treatment: ignore.then_some(NullTreatment::IgnoreNulls), ..call };
            call.of(udaf, vec![value.expr], value.data_type, true)
        }
        StddevSamp | StddevPop | VarSamp | VarPop | Skewness | Kurtosis => {
            let udaf = ours(match kind {
                StddevSamp => "spark_stddev_samp",
                StddevPop => "spark_stddev_pop",
                VarSamp => "spark_var_samp",
                VarPop => "spark_var_pop",
                Skewness => "spark_skewness",
                _ => "spark_kurtosis",
            })?;
            let value = want(ctx, name, 0, 'd', args.remove(0))?;
            call.of(udaf, vec![value.expr], DataType::Double, true)
        }
        Corr | CovarSamp | CovarPop | RegrAvgx | RegrAvgy | RegrCount | RegrIntercept | RegrR2 | RegrSlope
        | RegrSxx | RegrSxy | RegrSyy => {
            let udaf = match kind {
                Corr => ours("spark_corr")?,
                CovarSamp => ours("spark_covar_samp")?,
                CovarPop => ours("spark_covar_pop")?,
                RegrAvgx => df::regr::regr_avgx_udaf(),
                RegrAvgy => df::regr::regr_avgy_udaf(),
                RegrCount => df::regr::regr_count_udaf(),
                RegrIntercept => ours("spark_regr_intercept")?,
                RegrR2 => ours("spark_regr_r2")?,
                RegrSlope => ours("spark_regr_slope")?,
                RegrSxx => ours("spark_regr_sxx")?,
                RegrSxy => ours("spark_regr_sxy")?,
                _ => ours("spark_regr_syy")?,
            };
            let second = want(ctx, name, 1, 'd', args.remove(1))?;
            let first = want(ctx, name, 0, 'd', args.remove(0))?;
            if kind == RegrCount {
                let resolved = call.of(udaf, vec![first.expr, second.expr], DataType::Long, false);
                // It counts unsigned.
                return Ok(then(resolved, |v| {
                    let expr = Expr::Cast(Cast::new(Box::new(v.expr), arrow::datatypes::DataType::Int64));
                    Ok(Typed::new(expr, DataType::Long, false))
                }));
            }
            call.of(udaf, vec![first.expr, second.expr], DataType::Double, true)
        }
        Percentile | PercentileApprox | PercentileCont | PercentileDisc | Median => {
            return percentiles(ctx, name, kind, call, args, order_by);
        }
        ApproxCountDistinct => {
            let value = canonical(args.remove(0))?;
            let resolved =
                call.of(df::approx_distinct::approx_distinct_udaf(), vec![value.expr], DataType::Long, false);
            then(resolved, |v| {
                let expr = Expr::Cast(Cast::new(Box::new(v.expr), arrow::datatypes::DataType::Int64));
                Ok(Typed::new(expr, DataType::Long, false))
            })
        }
        BoolAnd | BoolOr => {
            let value = crate::operators::boolean_operand(ctx, name, args.remove(0))?;
            let udaf = if kind == BoolAnd { df::bool_and_or::bool_and_udaf() } else { df::bool_and_or::bool_or_udaf() };
            call.of(udaf, vec![value.expr], DataType::Boolean, true)
        }
        BitAnd | BitOr | BitXor => {
            let value = args.remove(0);
            if !value.data_type.is_integral() {
                return Err(errors::unexpected_input(name, 0, "INTEGRAL", &value));
            }
            let udaf = match kind {
                BitAnd => df::bit_and_or_xor::bit_and_udaf(),
                BitOr => df::bit_and_or_xor::bit_or_udaf(),
                _ => df::bit_and_or_xor::bit_xor_udaf(),
            };
            call.of(udaf, vec![value.expr], value.data_type, true)
        }
        VectorSum | VectorAvg => {
            let value = args.remove(0);
            if !matches!(&value.data_type, DataType::Array { element, .. } if **element == DataType::Float) {
                return Err(errors::unexpected_input(name, 0, "ARRAY<FLOAT>", &value));
            }
            let data_type = DataType::Array { element: Box::new(DataType::Float), contains_null: false };
            call.of(
                ours(if kind == VectorSum { "spark_vector_sum" } else { "spark_vector_avg" })?,
                vec![value.expr],
                data_type,
                true,
            )
        }
        MaxBy | MinBy => {
            let most = if args.len() > 2 { Some(how_many(ctx, name, args.remove(2))?) } else { None };
            let key = canonical(args.remove(1))?;
            let value = args.remove(0);
            // Rows without a key do not count.
            let known = Expr::IsNotNull(Box::new(key.expr.clone()));
            let filter = match call.filter {
                Some(f) => Box::new(f.and(known)),
                None => Box::new(known),
            };
            let order = SortExpr::new(key.expr, kind == MinBy, false);
            let call = Call { filter: Some(filter), order_by: vec![order], distinct: false, null_treatment: None };
            if let Some(most) = most {
                // All values in their order, of which the first ones are taken.
                let data_type = DataType::Array { element: Box::new(value.data_type), contains_null: true };
                let all = call.of(df::array_agg::array_agg_udaf(), vec![value.expr], data_type, true);
                return Ok(then(all, move |all| {
                    let exprs = vec![all.expr, literal::int(1).expr, literal::int(most).expr];
                    Ok(Typed::new(crate::udf::call("spark_slice_ansi", exprs)?, all.data_type, all.nullable))
                }));
            }
            call.of(df::first_last::first_value_udaf(), vec![value.expr], value.data_type, true)
        }
        CollectList | CollectSet => {
            let value = args.remove(0);
            let value = if kind == CollectSet { canonical(value)? } else { value };
            let data_type = DataType::Array { element: Box::new(value.data_type.clone()), contains_null: false };
            let udaf = ours(if kind == CollectSet { "collect_set" } else { "collect_list" })?;
            // A set of lists is told apart by the set function itself.
            let call = Call { order_by: order_by.into_iter().map(|(s, _)| s).collect(), ..call };
            call.of(udaf, vec![value.expr], data_type, false)
        }
        StringAgg => {
            let separator = if args.len() > 1 { args.remove(1) } else { literal::text("") };
            let value = want(ctx, name, 0, 's', args.remove(0))?;
            let call = Call { order_by: order_by.into_iter().map(|(s, _)| s).collect(), ..call };
            call.of(df::string_agg::string_agg_udaf(), vec![value.expr, separator.expr], DataType::String, true)
        }
    })
}

/// The third argument of `max_by(value, key, k)`.
fn how_many(ctx: &FunctionContext, name: &str, value: Typed) -> SparkResult<i32> {
    const MOST: i32 = 100_000;
    let shown = value.sql();
    let value = want(ctx, name, 2, 'i', value)?;
    let Some(constant) = literal::fold(&value) else {
        return Err(errors::non_foldable(name, "k", &value));
    };
    match constant {
        ScalarValue::Int32(Some(k)) if (1..=MOST).contains(&k) => Ok(k),
        ScalarValue::Int64(Some(k)) if (1..=i64::from(MOST)).contains(&k) => Ok(k as i32),
        _ => Err(errors::datatype_mismatch(
            "VALUE_OUT_OF_RANGE",
            format_args!("{name}(…)"),
            format_args!("The `k` must be between [1, {MOST}] (current value = {shown})."),
        )
        .param("exprName", "`k`")
        .param("valueRange", format!("[1, {MOST}]"))
        .param("currentValue", shown)),
    }
}

fn count(call: Call, args: Vec<Typed>) -> SparkResult<ResolvedAggregate> {
    let udaf = df::count::count_udaf();
    let one = || Expr::Literal(ScalarValue::Int64(Some(1)), None);
    if args.is_empty() {
        return Ok(call.of(udaf, vec![one()], DataType::Long, false));
    }
    if args.len() == 1 {
        let arg = args.into_iter().next().map(|a| if call.distinct { canonical(a) } else { Ok(a) });
        let arg = match arg {
            Some(a) => a?,
            None => return Err(SparkError::internal("count without its argument")),
        };
        if !call.distinct && !arg.nullable {
            return Ok(call.of(udaf, vec![one()], DataType::Long, false));
        }
        return Ok(call.of(udaf, vec![arg.expr], DataType::Long, false));
    }
    // Several arguments: rows in which none is null, or the different ones of them.
    let args = args.into_iter().map(canonical).collect::<SparkResult<Vec<_>>>()?;
    let known = args.iter().map(|a| Expr::IsNotNull(Box::new(a.expr.clone()))).reduce(Expr::and);
    let value = if call.distinct {
        let mut fields = Vec::new();
        for (i, a) in args.into_iter().enumerate() {
            fields.push(crate::udf::text_literal(&format!("c{i}")));
            fields.push(a.expr);
        }
        datafusion::functions::core::named_struct().call(fields)
    } else {
        one()
    };
    let value = match known {
        Some(known) => Expr::Case(Case::new(None, vec![(Box::new(known), Box::new(value))], None)),
        None => value,
    };
    Ok(call.of(udaf, vec![value], DataType::Long, false))
}

fn total(
    ctx: &FunctionContext,
    name: &str,
    kind: AggregateKind,
    call: Call,
    value: Typed,
) -> SparkResult<ResolvedAggregate> {
    let average = matches!(kind, AggregateKind::Avg | AggregateKind::TryAvg);
    let tolerant = !ctx.ansi || matches!(kind, AggregateKind::TrySum | AggregateKind::TryAvg);
    let value = match &value.data_type {
        t if t.is_numeric() => value,
        DataType::DayTimeInterval { .. } | DataType::YearMonthInterval { .. } if !average => value,
        DataType::Null => cast::cast(ctx, value, &DataType::Double, EvalMode::Legacy)?,
        t if t.is_string() => coercion::implicit(ctx, value, &DataType::Double)?,
        _ => return Err(errors::unexpected_input(name, 0, "(\"NUMERIC\" or \"ANSI INTERVAL\")", &value)),
    };
    let pick = |what: &str| ours(&format!("{what}_{}", if tolerant { "tolerant" } else { "checked" }));
    match value.data_type.clone() {
        DataType::Decimal { precision, scale } => {
            let data_type = if average {
                coercion::decimal((precision + 4).min(38), (scale + 4).min(38))
            } else {
                coercion::decimal((precision + 10).min(38), scale)
            };
            let udaf = pick(if average { "avg" } else { "sum" })?;
            Ok(call.of(udaf, vec![value.expr], data_type, true))
        }
        t if average => {
            let value = if t == DataType::Double { value } else { coercion::implicit(ctx, value, &DataType::Double)? };
            Ok(call.of(df::average::avg_udaf(), vec![value.expr], DataType::Double, true))
        }
        t if t.is_integral() => {
            let value = coercion::implicit(ctx, value, &DataType::Long)?;
            // Without ANSI a sum of integers wraps around, but try_sum's is null.
            let udaf = if !ctx.ansi && kind == AggregateKind::Sum { df::sum::sum_udaf() } else { pick("sum")? };
            Ok(call.of(udaf, vec![value.expr], DataType::Long, true))
        }
        DataType::Float | DataType::Double => {
            let value = coercion::implicit(ctx, value, &DataType::Double)?;
            Ok(call.of(df::sum::sum_udaf(), vec![value.expr], DataType::Double, true))
        }
        t => Ok(call.of(pick("sum")?, vec![value.expr], t, true)),
    }
}

fn extreme(max: bool, name: &str, call: Call, value: Typed) -> SparkResult<ResolvedAggregate> {
    if matches!(value.data_type, DataType::Map { .. } | DataType::Variant | DataType::CalendarInterval) {
        return Err(errors::datatype_mismatch(
            "INVALID_ORDERING_TYPE",
            format!("{name}({})", value.sql()),
            format!("The `{name}` does not support ordering on type \"{}\".", errors::sql_type(&value.data_type)),
        ));
    }
    // Distinct makes no difference.
    let call = Call { distinct: false, ..call };
    let udaf = if max { df::min_max::max_udaf() } else { df::min_max::min_udaf() };
    if matches!(value.data_type, DataType::Float | DataType::Double) {
        // Integers in the order of the floats, NaN the largest.
        let data_type = value.data_type.clone();
        let key = crate::udf::call("float_to_order", vec![value.expr])?;
        let resolved = call.of(udaf, vec![key], DataType::Long, true);
        return Ok(then(resolved, move |v| {
            Ok(Typed::new(
                crate::udf::call("order_to_float", vec![v.expr, type_literal(&data_type)?])?,
                data_type.clone(),
                true,
            ))
        }));
    }
    if matches!(value.data_type, DataType::Array { .. } | DataType::Struct(_)) {
        // Bytes in the order of the values: nulls inside them come first.
        let data_type = value.data_type.clone();
        let key = crate::udf::call("nested_to_order", vec![value.expr])?;
        let resolved = call.of(udaf, vec![key], DataType::Binary, true);
        return Ok(then(resolved, move |v| {
            let expr = crate::udf::call("order_to_nested", vec![v.expr, type_literal(&data_type)?])?;
            Ok(Typed::new(expr, data_type.clone(), true))
        }));
    }
    Ok(call.of(udaf, vec![value.expr], value.data_type, true))
}

/// The numbers of a literal, or of an array of literals.
fn constant_doubles(value: &Typed) -> Option<(Vec<f64>, bool)> {
    fn number(value: &ScalarValue) -> Option<f64> {
        Some(match value {
            ScalarValue::Int8(Some(v)) => f64::from(*v),
            ScalarValue::Int16(Some(v)) => f64::from(*v),
            ScalarValue::Int32(Some(v)) => f64::from(*v),
            ScalarValue::Int64(Some(v)) => *v as f64,
            ScalarValue::Float32(Some(v)) => f64::from(*v),
            ScalarValue::Float64(Some(v)) => *v,
            ScalarValue::Decimal128(Some(v), _, s) => crate::numeric::decimal::to_f64(*v, *s),
            _ => return None,
        })
    }
    fn strip(expr: &Expr) -> &Expr {
        match expr {
            Expr::Cast(c) => strip(&c.expr),
            Expr::Alias(a) => strip(&a.expr),
            other => other,
        }
    }
    match strip(&value.expr) {
        Expr::Literal(ScalarValue::List(list), _) if list.len() == 1 => {
            let items = list.value(0);
            let mut all = Vec::new();
            for i in 0..items.len() {
                all.push(number(&ScalarValue::try_from_array(&items, i).ok()?)?);
            }
            Some((all, true))
        }
        Expr::Literal(v, _) => Some((vec![number(v)?], false)),
        Expr::ScalarFunction(f) if f.func.name().contains("array") => {
            let all = f
                .args
                .iter()
                .map(|a| match strip(a) {
                    Expr::Literal(v, _) => number(v),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>()?;
            Some((all, true))
        }
        _ => None,
    }
}

fn percentiles(
    ctx: &FunctionContext,
    name: &str,
    kind: AggregateKind,
    call: Call,
    mut args: Vec<Typed>,
    mut order_by: Vec<(SortExpr, Typed)>,
) -> SparkResult<ResolvedAggregate> {
    use AggregateKind::*;
    let mut descending = false;
    let (value, wanted, frequency) = match kind {
        PercentileCont | PercentileDisc => {
            if order_by.len() != 1 {
                return Err(SparkError::new(
                    "INVALID_WITHIN_GROUP_EXPRESSION.WRONG_NUM_ORDERINGS",
                    "42K0K",
                    format!(
                        "Invalid function {name} with WITHIN GROUP: it requires 1 ordering in WITHIN GROUP but got {}.",
                        order_by.len()
                    ),
                ));
            }
            let (sort, key) = order_by.remove(0);
            descending = !sort.asc;
            (key, args.remove(0), None)
        }
        Median => (args.remove(0), literal::of(ScalarValue::Float64(Some(0.5)), DataType::Double), None),
        _ => {
            let third = if args.len() > 2 { args.pop() } else { None };
            let wanted = args.remove(1);
            (args.remove(0), wanted, third)
        }
    };
    let Some((mut percentages, many)) = constant_doubles(&wanted) else {
        return Err(errors::datatype_mismatch(
            "NON_FOLDABLE_INPUT",
            name,
            format!(
                "the input `percentage` should be a foldable \"DOUBLE\" expression; however, got \"{}\".",
                wanted.sql()
            ),
        ));
    };
    if let Some(bad) = percentages.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        return Err(errors::datatype_mismatch(
            "VALUE_OUT_OF_RANGE",
            name,
            format!("The `percentage` must be between [0.0, 1.0] (current value = {bad})."),
        ));
    }
    if descending {
        percentages.iter_mut().for_each(|p| *p = 1.0 - *p);
    }
    let original = value.data_type.clone();
    let by_rank = kind == PercentileApprox || kind == PercentileDisc;
    let input = match &original {
        t if t.is_numeric() => value,
        DataType::Date if by_rank => {
            Typed::new(crate::udf::call("date_to_int", vec![value.expr])?, DataType::Integer, value.nullable)
        }
        DataType::Timestamp | DataType::TimestampNtz if by_rank => {
            let expr = Expr::Cast(Cast::new(Box::new(value.expr), arrow::datatypes::DataType::Int64));
            Typed::new(expr, DataType::Long, value.nullable)
        }
        t if t.is_string() || *t == DataType::Null => value,
        _ => return Err(errors::unexpected_input(name, 0, "(\"NUMERIC\" or \"ANSI INTERVAL\")", &value)),
    };
    let input = coercion::implicit(ctx, input, &DataType::Double)?;
    let percentages = if many {
        let all: Vec<ScalarValue> = percentages.iter().map(|p| ScalarValue::Float64(Some(*p))).collect();
        ScalarValue::List(ScalarValue::new_list_nullable(&all, &arrow::datatypes::DataType::Float64))
    } else {
        ScalarValue::Float64(percentages.first().copied())
    };
    let mut exprs = vec![input.expr, Expr::Literal(percentages, None)];
    if kind == Percentile
        && let Some(frequency) = frequency
    {
        exprs.push(want(ctx, name, 2, 'l', frequency)?.expr);
    }
    let data_type = if many {
        DataType::Array { element: Box::new(DataType::Double), contains_null: false }
    } else {
        DataType::Double
    };
    let udaf = ours(if by_rank { "spark_percentile_rank" } else { "spark_percentile" })?;
    let resolved = call.of(udaf, exprs, data_type, true);
    if !by_rank
        || matches!(original, DataType::Double | DataType::Null)
        || original.is_string()
        || kind == PercentileDisc
    {
        return Ok(resolved);
    }
    // An approximate percentile has the type of its values.
    let ctx = ctx.clone();
    let (through, last) = match &original {
        DataType::Date => (DataType::Integer, Some("date_from_int")),
        DataType::Timestamp | DataType::TimestampNtz => (DataType::Long, None),
        other => (other.clone(), None),
    };
    if many && through != original {
        return Err(SparkError::unsupported(format!("{name} of dates or timestamps with several percentages")));
    }
    Ok(then(resolved, move |v| {
        if many {
            let to = DataType::Array { element: Box::new(original.clone()), contains_null: false };
            return cast::cast(&ctx, v, &to, EvalMode::Legacy);
        }
        let v = cast::cast(&ctx, v, &through, EvalMode::Legacy)?;
        match last {
            Some(udf) => Ok(Typed::new(crate::udf::call(udf, vec![v.expr])?, original.clone(), true)),
            None if v.data_type == original => Ok(v),
            None => {
                let expr = Expr::Cast(Cast::new(Box::new(v.expr), crate::types::to_arrow(&original)?));
                Ok(Typed::new(expr, original.clone(), true))
            }
        }
    }))
}
