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
use firesteel_plan::{DataType, SparkError, SparkResult, types::StructField};

use super::{AggregateArgs, AggregateKind, ResolvedAggregate, ours};
use crate::{
    EvalMode, FunctionContext, Typed, cast, coercion, errors, literal,
    operators::canonical,
    registry::{check_count, constant_flag, want},
    sketch, types,
    udf::type_literal,
};

/// What is common to a call: its filter and so on.
pub(super) struct Call {
    pub distinct: bool,
    pub filter: Option<Box<Expr>>,
    pub order_by: Vec<SortExpr>,
    null_treatment: Option<NullTreatment>,
}

impl Call {
    pub(super) fn of(
        self,
        func: Arc<AggregateUDF>,
        args: Vec<Expr>,
        data_type: DataType,
        nullable: bool,
    ) -> ResolvedAggregate {
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

pub(super) fn then(
    mut resolved: ResolvedAggregate,
    finish: impl Fn(Typed) -> SparkResult<Typed> + Send + Sync + 'static,
) -> ResolvedAggregate {
    resolved.finish = Some(Box::new(finish));
    resolved
}

pub(crate) fn resolve(
    ctx: &FunctionContext,
    name: &'static str,
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
    let summary: Option<SummaryResolver> = match kind {
        Hll => Some(sketch::resolve_hll),
        Theta => Some(sketch::resolve_theta),
        Tuple => Some(sketch::resolve_tuple),
        Kll => Some(sketch::resolve_kll),
        Bitmap => Some(sketch::resolve_bitmap),
        CountMin => Some(sketch::resolve_count_min),
        TopK => Some(sketch::resolve_top_k),
        VariantSchema => Some(crate::variant::resolve_schema_agg),
        _ => None,
    };
    if let Some(resolve) = summary {
        no_within_group(name, &order_by)?;
        // Values that come again make no difference to these.
        let call =
            if matches!(kind, Hll | Theta | Bitmap | VariantSchema) { Call { distinct: false, ..call } } else { call };
        if call.distinct {
            return Err(SparkError::unsupported(format_args!("{name}(DISTINCT …)")));
        }
        let resolved = resolve(ctx, name, args)?;
        let exprs = resolved.args.into_iter().map(|a| a.expr).collect();
        return Ok(call.of(ours(resolved.aggregate)?, exprs, resolved.data_type, resolved.nullable));
    }
    if kind == Mode {
        return mode(ctx, name, call, args, order_by);
    }
    let (least, most) = match kind {
        Histogram => (2, 2),
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
    if !matches!(kind, PercentileCont | PercentileDisc | StringAgg | CollectList) {
        no_within_group(name, &order_by)?;
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
        Histogram => return histogram(ctx, name, call, args),
        Mode | Hll | Theta | Tuple | Kll | Bitmap | CountMin | VariantSchema | TopK => {
            return Err(SparkError::internal(format!("{name} is resolved elsewhere")));
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
            let all = call.of(udaf, vec![value.expr], data_type, false);
            if kind == CollectList {
                return Ok(all);
            }
            return Ok(then(all, |set| {
                let expr = crate::udf::call("spark_set_order", vec![set.expr])?;
                Ok(Typed::new(expr, set.data_type, set.nullable))
            }));
        }
        StringAgg => return super::listagg::resolve(ctx, name, call, args, order_by),
    })
}

type SummaryResolver = fn(&FunctionContext, &'static str, Vec<Typed>) -> SparkResult<sketch::Resolved>;

fn no_within_group(name: &str, order_by: &[(SortExpr, Typed)]) -> SparkResult<()> {
    if order_by.is_empty() {
        return Ok(());
    }
    Err(SparkError::new(
        "INVALID_WITHIN_GROUP_EXPRESSION.WITHIN_GROUP_FORBIDDEN",
        "42K0K",
        format!("Invalid function {name} with WITHIN GROUP: the function does not take it."),
    ))
}

/// `mode(value[, deterministic])` or `mode() WITHIN GROUP (ORDER BY value)`.
fn mode(
    _: &FunctionContext,
    name: &str,
    call: Call,
    mut args: Vec<Typed>,
    mut order_by: Vec<(SortExpr, Typed)>,
) -> SparkResult<ResolvedAggregate> {
    let within_group = |subclass: &str, detail: String| {
        SparkError::new(
            format!("INVALID_WITHIN_GROUP_EXPRESSION.{subclass}"),
            "42K0K",
            format!("Invalid function `{name}` with WITHIN GROUP: {detail}."),
        )
        .param("funcName", format!("`{name}`"))
    };
    if call.distinct {
        return Err(within_group("DISTINCT_UNSUPPORTED", "Cannot use DISTINCT with WITHIN GROUP".to_owned()));
    }
    let (value, among) = if order_by.is_empty() {
        if args.is_empty() {
            return Err(within_group("WITHIN_GROUP_MISSING", "WITHIN GROUP is required".to_owned()));
        }
        check_count(name, args.len(), 1, 2)?;
        let deterministic = match args.get(1) {
            None => false,
            Some(flag) => mode_flag(name, flag)?,
        };
        (args.remove(0), if deterministic { "least" } else { "" })
    } else {
        if !args.is_empty() || order_by.len() != 1 {
            let detail = format!("Requires 1 orderings in WITHIN GROUP but got {}", order_by.len());
            return Err(within_group("WRONG_NUM_ORDERINGS", detail));
        }
        let (sort, key) = order_by.remove(0);
        (key, if sort.asc { "least" } else { "largest" })
    };
    let value = canonical(value)?;
    Ok(call.of(ours("spark_mode")?, vec![value.expr, literal::text(among).expr], value.data_type, true))
}

fn mode_flag(name: &str, flag: &Typed) -> SparkResult<bool> {
    if !matches!(flag.data_type, DataType::Boolean | DataType::Null) {
        let (shown, given) = (flag.sql(), errors::sql_type(&flag.data_type));
        let message = format!(
            "The second parameter of function `{name}` requires the \"BOOLEAN\" type, however \"{shown}\" has the type \"{given}\"."
        );
        return Err(SparkError::new("UNEXPECTED_INPUT_TYPE", "42K09", message)
            .param("functionName", format!("`{name}`"))
            .param("paramIndex", "second")
            .param("requiredType", "\"BOOLEAN\"")
            .param("inputSql", format!("\"{shown}\""))
            .param("inputType", format!("\"{given}\"")));
    }
    match literal::fold(flag) {
        Some(ScalarValue::Boolean(Some(flag))) => Ok(flag),
        Some(_) => Err(errors::datatype_mismatch("UNEXPECTED_NULL", "NULL", "The `deterministic` must not be null.")
            .param("exprName", "`deterministic`")),
        None => Err(errors::non_foldable_argument(name, "deterministic", "BOOLEAN")),
    }
}

fn histogram(
    ctx: &FunctionContext,
    name: &'static str,
    call: Call,
    mut args: Vec<Typed>,
) -> SparkResult<ResolvedAggregate> {
    let bins = args.remove(1);
    let value = args.remove(0);
    let value = match &value.data_type {
        t if t.is_numeric() => value,
        DataType::Date | DataType::Timestamp | DataType::TimestampNtz => value,
        DataType::DayTimeInterval { .. } | DataType::YearMonthInterval { .. } => value,
        DataType::Null => literal::null(&DataType::Double)?,
        t if t.is_string() => coercion::implicit(ctx, value, &DataType::Double)?,
        _ => {
            let required = "(\"NUMERIC\" or \"DATE\" or \"TIMESTAMP\" or \"TIMESTAMP_NTZ\" or \"INTERVAL YEAR TO MONTH\" or \"INTERVAL DAY TO SECOND\")";
            return Err(errors::unexpected_input(name, 0, required, &value));
        }
    };
    let shown = bins.sql();
    let bins = match bins.data_type {
        // A constant that is too large is one that cannot be cast.
        DataType::Long => cast::cast(ctx, bins, &DataType::Integer, EvalMode::Ansi)?,
        _ => want(ctx, name, 1, 'i', bins)?,
    };
    let folded = match literal::evaluate(&bins)? {
        Some(value) => value,
        None => return Err(errors::non_foldable(name, "nb", &bins)),
    };
    let bins = match folded {
        ScalarValue::Int32(Some(bins)) if bins >= 2 => bins,
        ScalarValue::Int32(Some(_)) => {
            return Err(errors::datatype_mismatch(
                "VALUE_OUT_OF_RANGE",
                format_args!("{name}(…)"),
                format_args!("The `nb` must be between [2, positive infinity) (current value = {shown})."),
            )
            .param("exprName", "nb")
            .param("valueRange", "[2, positive infinity)")
            .param("currentValue", shown));
        }
        _ => {
            return Err(errors::datatype_mismatch(
                "UNEXPECTED_NULL",
                format_args!("{name}(…)"),
                "The `nb` must not be null.",
            )
            .param("exprName", "nb"));
        }
    };
    if call.distinct {
        return Err(SparkError::unsupported("histogram_numeric(DISTINCT …)"));
    }
    let bin = DataType::Struct(vec![
        StructField::new("x", value.data_type.clone(), true),
        StructField::new("y", DataType::Double, true),
    ]);
    let data_type = DataType::Array { element: Box::new(bin), contains_null: true };
    Ok(call.of(ours("spark_histogram_numeric")?, vec![value.expr, literal::int(bins).expr], data_type, true))
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
        DataType::DayTimeInterval { .. } | DataType::YearMonthInterval { .. } => value,
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
        DataType::DayTimeInterval { .. } if average => {
            let udaf = ours(if tolerant { "interval_avg_tolerant" } else { "interval_avg_checked" })?;
            Ok(call.of(udaf, vec![value.expr], types::DAY_TO_SECOND, true))
        }
        DataType::YearMonthInterval { .. } if average => {
            let udaf = ours(if tolerant { "interval_avg_tolerant" } else { "interval_avg_checked" })?;
            Ok(call.of(udaf, vec![value.expr], types::YEAR_TO_MONTH, true))
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
fn constant_doubles(name: &str, value: &Typed) -> SparkResult<Option<(Vec<f64>, bool)>> {
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
    let unexpected = |subclass: &str, why: &str| errors::datatype_mismatch(subclass, name, why.to_owned());
    match literal::evaluate(value)? {
        Some(ScalarValue::List(list)) if list.len() == 1 && list.is_valid(0) => {
            let items = list.value(0);
            if items.null_count() > 0 {
                return Err(errors::unexpected_input(name, 1, "(\"DOUBLE\" or \"ARRAY<DOUBLE>\")", value));
            }
            let mut all = Vec::new();
            for i in 0..items.len() {
                let item = ScalarValue::try_from_array(&items, i).ok().and_then(|item| number(&item));
                all.push(
                    item.ok_or_else(|| errors::unexpected_input(name, 1, "(\"DOUBLE\" or \"ARRAY<DOUBLE>\")", value))?,
                );
            }
            Ok(Some((all, true)))
        }
        Some(constant) if constant.is_null() => {
            Err(unexpected("UNEXPECTED_NULL", "The `percentage` must not be null.").param("exprName", "`percentage`"))
        }
        Some(constant) => Ok(number(&constant).map(|n| (vec![n], false))),
        None => Ok(None),
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
    let Some((mut percentages, many)) = constant_doubles(name, &wanted)? else {
        return Err(errors::datatype_mismatch(
            "NON_FOLDABLE_INPUT",
            name,
            format!(
                "the input `percentage` should be a foldable \"DOUBLE\" expression; however, got \"{}\".",
                wanted.sql()
            ),
        ));
    };
    // NaN is not out of Spark's range and becomes the first place.
    percentages.iter_mut().filter(|p| p.is_nan() || **p == 0.0).for_each(|p| *p = 0.0);
    if let Some(bad) = percentages.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        return Err(errors::datatype_mismatch(
            "VALUE_OUT_OF_RANGE",
            name,
            format!("The `percentage` must be between [0.0, 1.0] (current value = {bad})."),
        ));
    }
    if descending {
        // A negative share counts from the largest value.
        percentages.iter_mut().for_each(|p| *p = if kind == PercentileDisc { -*p } else { 1.0 - *p });
    }
    let original = value.data_type.clone();
    let by_rank = kind == PercentileApprox || kind == PercentileDisc;
    let input = match &original {
        t if t.is_numeric() => value,
        DataType::Date | DataType::Timestamp | DataType::TimestampNtz if by_rank => in_doubles(value)?,
        DataType::DayTimeInterval { .. } | DataType::YearMonthInterval { .. } => in_doubles(value)?,
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
    let answer = match &original {
        DataType::YearMonthInterval { .. } if kind != PercentileApprox => types::YEAR_TO_MONTH,
        DataType::DayTimeInterval { .. } if kind != PercentileApprox => types::DAY_TO_SECOND,
        t if t.is_interval() => t.clone(),
        // An approximate percentile has the type of its values.
        t if kind == PercentileApprox && !t.is_string() && *t != DataType::Null => t.clone(),
        _ => DataType::Double,
    };
    if answer == DataType::Double {
        return Ok(resolved);
    }
    let data_type =
        if many { DataType::Array { element: Box::new(answer.clone()), contains_null: false } } else { answer.clone() };
    let ctx = ctx.clone();
    Ok(then(resolved, move |v| {
        if answer.is_numeric() {
            return cast::cast(&ctx, v, &data_type, EvalMode::Legacy);
        }
        let exprs = vec![type_literal(&data_type)?, v.expr];
        Ok(Typed::new(crate::udf::call("double_as_time", exprs)?, data_type.clone(), true))
    }))
}

fn in_doubles(value: Typed) -> SparkResult<Typed> {
    let nullable = value.nullable;
    Ok(Typed::new(crate::udf::call("time_as_double", vec![value.expr])?, DataType::Double, nullable))
}
