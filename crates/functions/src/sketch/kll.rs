//! KLL sketches: quantiles and ranks of many numbers.

use std::{fmt::Debug, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, ListBuilder, PrimitiveArray, PrimitiveBuilder},
    datatypes::{DataType as Arrow, Float32Type, Float64Type, Int64Type},
};
use datafusion::{common::exec_err, error::Result as DfResult, scalar::ScalarValue};
use datasketches::{
    common::SearchCriteria,
    kll::{KllFloat, KllSketch, KllValue},
};
use firesteel_plan::{DataType, SparkError, SparkResult};

use super::{Resolved, cast_to, exactly, invalid_buffer, type_check};
use crate::{
    FunctionContext, Typed,
    aggregate::binary_state::{BinaryAggregate, BinaryState, Call},
    cast::write_double,
    coercion, errors,
    errors::external,
    literal,
    registry::{FunctionDef, check_count},
    udf::{Args, Ret, Udf, binaries, call, numbers, strings},
};

const DEFAULT_K: i32 = 200;
const K: std::ops::RangeInclusive<i32> = 8..=65535;

/// What a sketch keeps: a number as the library wants it.
trait Item: KllValue + Ord + Debug + Send + Sync + 'static {
    type Native: ArrowPrimitiveType;
    /// As Java's class is called.
    const CLASS: &'static str;
    /// Nothing for what is not kept: NaN.
    fn kept(value: <Self::Native as ArrowPrimitiveType>::Native) -> Option<Self>;
    fn native(self) -> <Self::Native as ArrowPrimitiveType>::Native;
    fn text(&self) -> String;
}

impl Item for i64 {
    type Native = Int64Type;
    const CLASS: &'static str = "KllLongsSketch";

    fn kept(value: i64) -> Option<Self> {
        Some(value)
    }

    fn native(self) -> i64 {
        self
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Item for KllFloat<f32> {
    type Native = Float32Type;
    const CLASS: &'static str = "KllFloatsSketch";

    fn kept(value: f32) -> Option<Self> {
        Self::new(value).ok()
    }

    fn native(self) -> f32 {
        self.into_inner()
    }

    fn text(&self) -> String {
        double_text(f64::from(**self))
    }
}

impl Item for KllFloat<f64> {
    type Native = Float64Type;
    const CLASS: &'static str = "KllDoublesSketch";

    fn kept(value: f64) -> Option<Self> {
        Self::new(value).ok()
    }

    fn native(self) -> f64 {
        self.into_inner()
    }

    fn text(&self) -> String {
        double_text(**self)
    }
}

fn double_text(value: f64) -> String {
    let mut text = String::new();
    write_double(&mut text, value);
    text
}

fn invalid(name: &str) -> datafusion::error::DataFusionError {
    external(invalid_buffer("KLL_INVALID_INPUT_SKETCH_BUFFER", name))
}

fn read<I: Item>(bytes: &[u8], name: &str) -> DfResult<KllSketch<I>> {
    KllSketch::<I>::deserialize(bytes).map_err(|_| invalid(name))
}

type F32 = KllFloat<f32>;
type F64 = KllFloat<f64>;

pub(super) fn udfs() -> Vec<Udf> {
    let (long, text, binary) = (|| Ret::Fixed(Arrow::Int64), || Ret::Fixed(Arrow::Utf8), || Ret::Fixed(Arrow::Binary));
    // Their types are their first argument's, a null.
    let typed = || Ret::Arg(0);
    vec![
        Udf::new("kll_sketch_get_n_bigint", long(), count::<i64>),
        Udf::new("kll_sketch_get_n_float", long(), count::<F32>),
        Udf::new("kll_sketch_get_n_double", long(), count::<F64>),
        Udf::new("kll_sketch_to_string_bigint", text(), summary::<i64>),
        Udf::new("kll_sketch_to_string_float", text(), summary::<F32>),
        Udf::new("kll_sketch_to_string_double", text(), summary::<F64>),
        Udf::new("kll_sketch_merge_bigint", binary(), merge::<i64>),
        Udf::new("kll_sketch_merge_float", binary(), merge::<F32>),
        Udf::new("kll_sketch_merge_double", binary(), merge::<F64>),
        Udf::new("kll_sketch_get_quantile_bigint", typed(), quantiles::<i64>),
        Udf::new("kll_sketch_get_quantile_float", typed(), quantiles::<F32>),
        Udf::new("kll_sketch_get_quantile_double", typed(), quantiles::<F64>),
        Udf::new("kll_sketch_get_rank_bigint", typed(), ranks::<i64>),
        Udf::new("kll_sketch_get_rank_float", typed(), ranks::<F32>),
        Udf::new("kll_sketch_get_rank_double", typed(), ranks::<F64>),
    ]
}

fn count<I: Item>(args: &Args<'_>) -> DfResult<ArrayRef> {
    let sketches = args.bytes(0)?;
    numbers::<Int64Type>(args, |row| match sketches.get(row) {
        Some(bytes) => Ok(i64::try_from(read::<I>(bytes, args.name)?.n()).ok()),
        None => Ok(None),
    })
}

/// The library's own summary in Java has more lines.
fn summary<I: Item>(args: &Args<'_>) -> DfResult<ArrayRef> {
    let sketches = args.bytes(0)?;
    strings(args, args.rows * 256, |row, out| {
        let Some(bytes) = sketches.get(row) else { return Ok(false) };
        let sketch = read::<I>(bytes, args.name)?;
        let percent = |part: f64| format!("{:.3}%", part * 100.0);
        let or_none = |item: Option<&I>| item.map_or_else(|| "null".to_owned(), I::text);
        let lines = [
            ("K", sketch.k().to_string()),
            ("Dynamic min K", sketch.min_k().to_string()),
            ("M", "8".to_owned()),
            ("N", sketch.n().to_string()),
            ("Epsilon", percent(sketch.normalized_rank_error())),
            ("Epsilon PMF", percent(sketch.normalized_pmf_error())),
            ("Empty", sketch.is_empty().to_string()),
            ("Estimation Mode", sketch.is_estimation_mode().to_string()),
            ("Retained Items", sketch.num_retained().to_string()),
            ("Min Item", or_none(sketch.min_item())),
            ("Max Item", or_none(sketch.max_item())),
        ];
        out.push_str(&format!("\n### Kll{} Summary:\n", I::CLASS));
        for (label, value) in lines {
            out.push_str(&format!("   {label:<23}: {value}\n"));
        }
        out.push_str("### End sketch summary\n");
        Ok(true)
    })
}

fn merge<I: Item>(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (left, right) = (args.bytes(0)?, args.bytes(1)?);
    let incompatible = || {
        let message = format!("Invalid call to `{}`; the sketches cannot be merged.", args.name);
        external(
            SparkError::new("KLL_SKETCH_INCOMPATIBLE_MERGE", "22000", message)
                .param("functionName", format!("`{}`", args.name)),
        )
    };
    binaries(args, |row, out| {
        let (Some(a), Some(b)) = (left.get(row), right.get(row)) else { return Ok(false) };
        let mut merged = KllSketch::<I>::deserialize(a).map_err(|_| incompatible())?;
        let other = KllSketch::<I>::deserialize(b).map_err(|_| incompatible())?;
        merged.merge(&other).map_err(|_| incompatible())?;
        out.extend(merged.serialize());
        Ok(true)
    })
}

/// For each row one answer for one question, or a list of them for a list. Arguments: (null of the type, sketch, question).
fn each<I: Item, Q: ArrowPrimitiveType, A: ArrowPrimitiveType>(
    args: &Args<'_>,
    answer: impl Fn(&KllSketch<I>, Q::Native) -> DfResult<A::Native>,
) -> DfResult<ArrayRef> {
    let sketches = args.bytes(1)?;
    let questions = args.array(2)?;
    if let Some(questions) = questions.as_primitive_opt::<Q>() {
        return numbers::<A>(args, |row| match sketches.get(row) {
            Some(bytes) if questions.is_valid(row) => {
                answer(&read::<I>(bytes, args.name)?, questions.value(row)).map(Some)
            }
            _ => Ok(None),
        });
    }
    let Some(lists) = questions.as_list_opt::<i32>() else {
        return exec_err!("{} of {}", args.name, questions.data_type());
    };
    let mut builder = ListBuilder::new(PrimitiveBuilder::<A>::new());
    for row in 0..args.rows {
        let Some(bytes) = sketches.get(row).filter(|_| lists.is_valid(row)) else {
            builder.append(false);
            continue;
        };
        let sketch = read::<I>(bytes, args.name)?;
        let items = lists.value(row);
        let items: &PrimitiveArray<Q> = items.as_primitive();
        for item in items {
            builder.values().append_value(answer(&sketch, item.unwrap_or_default())?);
        }
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}

fn quantiles<I: Item>(args: &Args<'_>) -> DfResult<ArrayRef> {
    each::<I, Float64Type, I::Native>(args, |sketch, rank| {
        if !rank.is_nan() && !(0.0..=1.0).contains(&rank) {
            let shown = double_text(rank);
            let message = format!(
                "For function `{}`, the quantile value must be between 0.0 and 1.0 (inclusive), but got {shown}.",
                args.name
            );
            let error = SparkError::new("KLL_SKETCH_INVALID_QUANTILE_RANGE", "22003", message);
            return Err(external(error.param("functionName", format!("`{}`", args.name)).param("quantile", shown)));
        }
        // A rank that is no number stands before all others.
        let rank = if rank.is_nan() { 0.0 } else { rank };
        match sketch.quantile(rank, SearchCriteria::Inclusive) {
            Ok(Some(item)) => Ok(item.native()),
            _ => Err(invalid(args.name)),
        }
    })
}

fn ranks<I: Item>(args: &Args<'_>) -> DfResult<ArrayRef> {
    each::<I, I::Native, Float64Type>(args, |sketch, value| {
        // NaN is behind all others.
        let Some(item) = I::kept(value) else { return Ok(1.0) };
        sketch.rank(&item, SearchCriteria::Inclusive).ok_or_else(|| invalid(args.name))
    })
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("kll_sketch_get_n_bigint", |c, n, a| one(c, n, a, DataType::Long)),
        F::resolve("kll_sketch_get_n_float", |c, n, a| one(c, n, a, DataType::Long)),
        F::resolve("kll_sketch_get_n_double", |c, n, a| one(c, n, a, DataType::Long)),
        F::resolve("kll_sketch_to_string_bigint", |c, n, a| one(c, n, a, DataType::String)),
        F::resolve("kll_sketch_to_string_float", |c, n, a| one(c, n, a, DataType::String)),
        F::resolve("kll_sketch_to_string_double", |c, n, a| one(c, n, a, DataType::String)),
        F::resolve("kll_sketch_merge_bigint", two),
        F::resolve("kll_sketch_merge_float", two),
        F::resolve("kll_sketch_merge_double", two),
        F::resolve("kll_sketch_get_quantile_bigint", |c, n, a| asked(c, n, a, DataType::Double, DataType::Long)),
        F::resolve("kll_sketch_get_quantile_float", |c, n, a| asked(c, n, a, DataType::Double, DataType::Float)),
        F::resolve("kll_sketch_get_quantile_double", |c, n, a| asked(c, n, a, DataType::Double, DataType::Double)),
        F::resolve("kll_sketch_get_rank_bigint", |c, n, a| asked(c, n, a, DataType::Long, DataType::Double)),
        F::resolve("kll_sketch_get_rank_float", |c, n, a| asked(c, n, a, DataType::Float, DataType::Double)),
        F::resolve("kll_sketch_get_rank_double", |c, n, a| asked(c, n, a, DataType::Double, DataType::Double)),
    ]
}

fn one(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>, data_type: DataType) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 1)?;
    let sketch = cast_to(ctx, name, 0, &DataType::Binary, args.remove(0))?;
    let nullable = sketch.nullable;
    Ok(Typed::new(call(name, vec![sketch.expr])?, data_type, nullable))
}

fn two(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 2)?;
    let left = cast_to(ctx, name, 0, &DataType::Binary, args.remove(0))?;
    let right = cast_to(ctx, name, 1, &DataType::Binary, args.remove(0))?;
    let nullable = left.nullable || right.nullable;
    Ok(Typed::new(call(name, vec![left.expr, right.expr])?, DataType::Binary, nullable))
}

fn asked(
    ctx: &FunctionContext,
    name: &'static str,
    mut args: Vec<Typed>,
    question: DataType,
    answer: DataType,
) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 2)?;
    let asked = args.remove(1);
    let sketch = cast_to(ctx, name, 0, &DataType::Binary, args.remove(0))?;
    let list_of = |element: &DataType| DataType::Array { element: Box::new(element.clone()), contains_null: false };
    let many = matches!(asked.data_type, DataType::Array { .. });
    let wanted = if many { list_of(&question) } else { question.clone() };
    if !coercion::can_implicitly_cast(&asked.data_type, &wanted, ctx.ansi) {
        let sql = errors::sql_type(&question);
        return Err(errors::unexpected_input(name, 1, &format!("(\"{sql}\" or \"ARRAY<{sql}>\")"), &asked));
    }
    let asked = coercion::implicit(ctx, asked, &wanted)?;
    if literal::fold(&asked).is_none() {
        return Err(errors::non_foldable(name, if name.contains("quantile") { "rank" } else { "quantile" }, &asked));
    }
    let answer = if many { list_of(&answer) } else { answer };
    let nullable = sketch.nullable || asked.nullable;
    let exprs = vec![crate::udf::type_literal(&answer)?, sketch.expr, asked.expr];
    Ok(Typed::new(call(name, exprs)?, answer, nullable))
}

/// `kll_sketch_agg_…(value[, k])` and `kll_merge_agg_…(sketch[, k])`.
pub(crate) fn resolve(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Resolved> {
    check_count(name, args.len(), 1, 2)?;
    let k = if args.len() > 1 { Some(exactly(name, 1, &[DataType::Integer], args.remove(1))?) } else { None };
    let value = args.remove(0);
    let value = match name {
        _ if name.starts_with("kll_merge_agg") => exactly(name, 0, &[DataType::Binary], value)?,
        "kll_sketch_agg_bigint" => {
            let types = [DataType::Byte, DataType::Integer, DataType::Long, DataType::Short];
            coercion::implicit(ctx, exactly(name, 0, &types, value)?, &DataType::Long)?
        }
        "kll_sketch_agg_float" => exactly(name, 0, &[DataType::Float], value)?,
        _ => {
            let value = exactly(name, 0, &[DataType::Float, DataType::Double], value)?;
            coercion::implicit(ctx, value, &DataType::Double)?
        }
    };
    let given = k.is_some();
    let k = match k {
        None => DEFAULT_K,
        Some(k) => match literal::fold(&k) {
            None => return Err(errors::non_foldable(name, "k", &k)),
            Some(ScalarValue::Int32(Some(k))) if K.contains(&k) => k,
            Some(ScalarValue::Int32(Some(k))) => {
                let message = format!(
                    "For function `{name}`, the k parameter must be between 8 and 65535 (inclusive), but got {k}."
                );
                return Err(type_check(name, &SparkError::new("KLL_SKETCH_K_OUT_OF_RANGE", "22003", message)));
            }
            Some(_) => {
                return Err(errors::datatype_mismatch(
                    "UNEXPECTED_NULL",
                    format_args!("{name}(…)"),
                    "The k must not be null.",
                )
                .param("exprName", "k"));
            }
        },
    };
    let given = literal::of(ScalarValue::Boolean(Some(given)), DataType::Boolean);
    Ok(Resolved::binary(name, vec![value, literal::int(k), given]))
}

pub(super) fn aggregates() -> Vec<BinaryAggregate> {
    fn counting<I: Item>(call: &Call<'_>, name: &'static str) -> DfResult<Box<dyn BinaryState>> {
        let sketch = KllSketch::<I>::new(call.int(1)? as u16).map_err(|_| invalid(name))?;
        Ok(Box::new(Counting { sketch, name }))
    }
    fn merging<I: Item>(call: &Call<'_>, name: &'static str) -> DfResult<Box<dyn BinaryState>> {
        let k = if call.flag(2) { Some(call.int(1)? as u16) } else { None };
        Ok(Box::new(Merging::<I> { sketch: None, k, name }))
    }
    vec![
        BinaryAggregate::new("kll_sketch_agg_bigint", |c| counting::<i64>(c, "kll_sketch_agg_bigint")),
        BinaryAggregate::new("kll_sketch_agg_float", |c| counting::<F32>(c, "kll_sketch_agg_float")),
        BinaryAggregate::new("kll_sketch_agg_double", |c| counting::<F64>(c, "kll_sketch_agg_double")),
        BinaryAggregate::new("kll_merge_agg_bigint", |c| merging::<i64>(c, "kll_merge_agg_bigint")),
        BinaryAggregate::new("kll_merge_agg_float", |c| merging::<F32>(c, "kll_merge_agg_float")),
        BinaryAggregate::new("kll_merge_agg_double", |c| merging::<F64>(c, "kll_merge_agg_double")),
    ]
}

#[derive(Debug)]
struct Counting<I: Item> {
    sketch: KllSketch<I>,
    name: &'static str,
}

impl<I: Item> BinaryState for Counting<I> {
    fn update(&mut self, columns: &[ArrayRef]) -> DfResult<()> {
        let values = columns[0].as_primitive::<I::Native>();
        values.iter().flatten().filter_map(I::kept).for_each(|item| self.sketch.update(item));
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> DfResult<()> {
        self.sketch.merge(&read::<I>(bytes, self.name)?).map_err(|_| invalid(self.name))
    }

    fn bytes(&self) -> DfResult<Vec<u8>> {
        Ok(self.sketch.serialize())
    }

    fn size(&self) -> usize {
        self.sketch.num_retained() * size_of::<I>() * 2
    }
}

#[derive(Debug)]
struct Merging<I: Item> {
    /// Made for the first sketch, with its k unless one was given.
    sketch: Option<KllSketch<I>>,
    k: Option<u16>,
    name: &'static str,
}

impl<I: Item> BinaryState for Merging<I> {
    fn update(&mut self, columns: &[ArrayRef]) -> DfResult<()> {
        self.merge_all(&columns[0])
    }

    fn merge(&mut self, bytes: &[u8]) -> DfResult<()> {
        let other = read::<I>(bytes, self.name)?;
        let sketch = match &mut self.sketch {
            Some(sketch) => sketch,
            none => {
                let k = self.k.unwrap_or(other.k());
                none.insert(KllSketch::new(k).map_err(|_| invalid(self.name))?)
            }
        };
        sketch.merge(&other).map_err(|_| invalid(self.name))
    }

    fn bytes(&self) -> DfResult<Vec<u8>> {
        Ok(self.sketch.as_ref().map(KllSketch::serialize).unwrap_or_default())
    }

    fn answer(&self) -> DfResult<ScalarValue> {
        let bytes = match &self.sketch {
            Some(sketch) => sketch.serialize(),
            None => {
                KllSketch::<I>::new(self.k.unwrap_or(DEFAULT_K as u16)).map_err(|_| invalid(self.name))?.serialize()
            }
        };
        Ok(ScalarValue::Binary(Some(bytes)))
    }

    fn size(&self) -> usize {
        self.sketch.as_ref().map_or(0, |s| s.num_retained() * size_of::<I>() * 2)
    }
}
