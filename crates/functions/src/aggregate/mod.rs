//! Aggregate functions.

pub(crate) mod binary_state;
mod histogram;
mod intervals;
pub(crate) mod listagg;
mod mode;
mod moments;
mod percentile;
mod resolve;
pub(crate) mod set_order;
mod single;
mod sum;
mod vector;

use std::sync::{Arc, LazyLock};

use datafusion::{
    functions_aggregate as df,
    logical_expr::{AggregateUDF, Expr, SortExpr},
};
use firesteel_plan::{SparkError, SparkResult};

pub(crate) use self::{mode::hash_code, resolve::resolve};
use self::{
    moments::Moments,
    percentile::Percentile,
    single::SingleValue,
    sum::{CheckedSum, What},
    vector::VectorAggregate,
};
use crate::{Typed, registry::FunctionDef};

/// A call of an aggregate function.
#[derive(Debug, Clone)]
pub struct AggregateArgs {
    /// `count(*)` has no arguments here.
    pub args: Vec<Typed>,
    pub distinct: bool,
    pub filter: Option<Typed>,
    /// `WITHIN GROUP (ORDER BY …)`, with the type of each key.
    pub order_by: Vec<(SortExpr, Typed)>,
    pub ignore_nulls: Option<bool>,
}

/// What the analyzer puts above the aggregation.
pub type Finish = Box<dyn Fn(Typed) -> SparkResult<Typed> + Send + Sync>;

pub struct ResolvedAggregate {
    /// Its expression is an `Expr::AggregateFunction`; under OVER the analyzer takes function and arguments from it.
    pub aggregate: Typed,
    /// Applied to a reference to the aggregate's column (or to the window expression); its answer is the call's value.
    pub finish: Option<Finish>,
}

impl ResolvedAggregate {
    /// The value of the call, given the aggregate's column.
    pub fn finished(&self, value: Expr) -> SparkResult<Typed> {
        let value = Typed::new(value, self.aggregate.data_type.clone(), self.aggregate.nullable);
        match &self.finish {
            Some(finish) => finish(value),
            None => Ok(value),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AggregateKind {
    Count,
    CountIf,
    Sum,
    TrySum,
    Avg,
    TryAvg,
    Min,
    Max,
    First,
    Last,
    StddevSamp,
    StddevPop,
    VarSamp,
    VarPop,
    Corr,
    CovarSamp,
    CovarPop,
    Skewness,
    Kurtosis,
    Percentile,
    PercentileApprox,
    PercentileCont,
    PercentileDisc,
    Median,
    ApproxCountDistinct,
    BoolAnd,
    BoolOr,
    BitAnd,
    BitOr,
    BitXor,
    MaxBy,
    MinBy,
    CollectList,
    CollectSet,
    RegrAvgx,
    RegrAvgy,
    RegrCount,
    RegrIntercept,
    RegrR2,
    RegrSlope,
    RegrSxx,
    RegrSxy,
    RegrSyy,
    StringAgg,
    VectorSum,
    VectorAvg,
    Mode,
    Histogram,
    Hll,
    Theta,
    Tuple,
    Kll,
    Bitmap,
    CountMin,
    VariantSchema,
    TopK,
}

pub(crate) fn functions() -> Vec<FunctionDef> {
    use AggregateKind::*;
    [
        ("count", Count),
        ("count_if", CountIf),
        ("sum", Sum),
        ("try_sum", TrySum),
        ("avg", Avg),
        ("mean", Avg),
        ("try_avg", TryAvg),
        ("min", Min),
        ("max", Max),
        ("first", First),
        ("first_value", First),
        ("any_value", First),
        ("last", Last),
        ("last_value", Last),
        ("stddev", StddevSamp),
        ("std", StddevSamp),
        ("stddev_samp", StddevSamp),
        ("stddev_pop", StddevPop),
        ("variance", VarSamp),
        ("var_samp", VarSamp),
        ("var_pop", VarPop),
        ("corr", Corr),
        ("covar_samp", CovarSamp),
        ("covar_pop", CovarPop),
        ("skewness", Skewness),
        ("kurtosis", Kurtosis),
        ("percentile", Percentile),
        ("percentile_approx", PercentileApprox),
        ("approx_percentile", PercentileApprox),
        ("percentile_cont", PercentileCont),
        ("percentile_disc", PercentileDisc),
        ("median", Median),
        ("approx_count_distinct", ApproxCountDistinct),
        ("bool_and", BoolAnd),
        ("every", BoolAnd),
        ("bool_or", BoolOr),
        ("some", BoolOr),
        ("any", BoolOr),
        ("bit_and", BitAnd),
        ("bit_or", BitOr),
        ("bit_xor", BitXor),
        ("max_by", MaxBy),
        ("min_by", MinBy),
        ("collect_list", CollectList),
        ("array_agg", CollectList),
        ("collect_set", CollectSet),
        ("regr_avgx", RegrAvgx),
        ("regr_avgy", RegrAvgy),
        ("regr_count", RegrCount),
        ("regr_intercept", RegrIntercept),
        ("regr_r2", RegrR2),
        ("regr_slope", RegrSlope),
        ("regr_sxx", RegrSxx),
        ("regr_sxy", RegrSxy),
        ("regr_syy", RegrSyy),
        ("listagg", StringAgg),
        ("string_agg", StringAgg),
        ("vector_sum", VectorSum),
        ("vector_avg", VectorAvg),
        ("mode", Mode),
        ("histogram_numeric", Histogram),
        ("count_min_sketch", CountMin),
        ("schema_of_variant_agg", VariantSchema),
        ("approx_top_k", TopK),
        ("approx_top_k_accumulate", TopK),
        ("approx_top_k_combine", TopK),
        ("bitmap_construct_agg", Bitmap),
        ("bitmap_or_agg", Bitmap),
        ("bitmap_and_agg", Bitmap),
        ("hll_sketch_agg", Hll),
        ("hll_union_agg", Hll),
        ("theta_sketch_agg", Theta),
        ("theta_union_agg", Theta),
        ("theta_intersection_agg", Theta),
        ("tuple_sketch_agg_double", Tuple),
        ("tuple_sketch_agg_integer", Tuple),
        ("tuple_union_agg_double", Tuple),
        ("tuple_union_agg_integer", Tuple),
        ("tuple_intersection_agg_double", Tuple),
        ("tuple_intersection_agg_integer", Tuple),
        ("kll_sketch_agg_bigint", Kll),
        ("kll_sketch_agg_float", Kll),
        ("kll_sketch_agg_double", Kll),
        ("kll_merge_agg_bigint", Kll),
        ("kll_merge_agg_float", Kll),
        ("kll_merge_agg_double", Kll),
    ]
    .into_iter()
    .map(|(name, kind)| FunctionDef::aggregate(name, kind))
    .collect()
}

static OURS: LazyLock<Vec<Arc<AggregateUDF>>> = LazyLock::new(|| {
    let moments =
        moments::ALL.into_iter().map(|(name, of)| Arc::new(AggregateUDF::new_from_impl(Moments::new(name, of))));
    let mut all: Vec<_> = moments.collect();
    all.extend([
        Arc::new(AggregateUDF::new_from_impl(CheckedSum::new("sum_checked", What::Sum, false))),
        Arc::new(AggregateUDF::new_from_impl(CheckedSum::new("sum_tolerant", What::Sum, true))),
        Arc::new(AggregateUDF::new_from_impl(CheckedSum::new("avg_checked", What::Average, false))),
        Arc::new(AggregateUDF::new_from_impl(CheckedSum::new("avg_tolerant", What::Average, true))),
        Arc::new(AggregateUDF::new_from_impl(Percentile::new("spark_percentile", true))),
        Arc::new(AggregateUDF::new_from_impl(Percentile::new("spark_percentile_rank", false))),
        single_value(),
        Arc::new(AggregateUDF::new_from_impl(VectorAggregate::new("spark_vector_sum", false))),
        Arc::new(AggregateUDF::new_from_impl(VectorAggregate::new("spark_vector_avg", true))),
        datafusion_spark::function::aggregate::collect_list(),
        datafusion_spark::function::aggregate::collect_set(),
        Arc::new(AggregateUDF::new_from_impl(mode::Mode::default())),
        Arc::new(AggregateUDF::new_from_impl(histogram::aggregate())),
        Arc::new(AggregateUDF::new_from_impl(crate::variant::aggregate())),
    ]);
    all.extend(intervals::aggregates().map(|a| Arc::new(AggregateUDF::new_from_impl(a))));
    all.extend(crate::sketch::aggregates().into_iter().map(|a| Arc::new(AggregateUDF::new_from_impl(a))));
    all
});

/// The value of a scalar subquery's only row; an error where it has more.
pub fn single_value() -> Arc<AggregateUDF> {
    static SINGLE: LazyLock<Arc<AggregateUDF>> =
        LazyLock::new(|| Arc::new(AggregateUDF::new_from_impl(SingleValue::default())));
    SINGLE.clone()
}

fn ours(name: &str) -> SparkResult<Arc<AggregateUDF>> {
    OURS.iter()
        .find(|u| u.name() == name)
        .cloned()
        .ok_or_else(|| SparkError::internal(format!("no aggregate {name} is registered")))
}

pub(crate) fn udafs() -> Vec<Arc<AggregateUDF>> {
    let mut all = OURS.clone();
    all.extend(df::all_default_aggregate_functions());
    all
}
