//! HyperLogLog sketches: `hll_sketch_agg` and its kin.

use arrow::{
    array::ArrayRef,
    datatypes::{DataType as Arrow, Int64Type},
};
use datafusion::{error::Result as DfResult, scalar::ScalarValue};
use datasketches::{
    hash::value::raw_bytes,
    hll::{HllSketch, HllType, HllUnion},
};
use firesteel_plan::{DataType, SparkError, SparkResult};

use super::{Resolved, constant_int, exactly, invalid_buffer, key, or_default};
use crate::{
    FunctionContext, Typed,
    aggregate::binary_state::{BinaryAggregate, BinaryState, Call},
    errors::external,
    literal,
    registry::{FunctionDef, check_count},
    udf::{Args, Ret, Udf, binaries, call, numbers},
};

const DEFAULT_LG_K: i32 = 12;
const INVALID: &str = "HLL_INVALID_INPUT_SKETCH_BUFFER";
const MAX_LG_K: u8 = 21;

fn read(bytes: &[u8], name: &str) -> DfResult<HllSketch> {
    HllSketch::deserialize(bytes).map_err(|_| external(invalid_buffer(INVALID, name)))
}

fn different_lg_k(name: &str, left: u8, right: u8) -> SparkError {
    SparkError::new(
        "HLL_UNION_DIFFERENT_LG_K",
        "22000",
        format!(
            "Sketches have different `lgConfigK` values: {left} and {right}. Set the `allowDifferentLgConfigK` parameter \
             to true to call `{name}` with different `lgConfigK` values."
        ),
    )
    .param("left", left.to_string())
    .param("right", right.to_string())
    .param("function", format!("`{name}`"))
}

fn union_of(lg_k: u8, name: &str) -> DfResult<HllUnion> {
    HllUnion::new(lg_k.min(MAX_LG_K)).map_err(|_| external(invalid_buffer(INVALID, name)))
}

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        Udf::new("hll_sketch_estimate", Ret::Fixed(Arrow::Int64), |args| {
            let sketches = args.bytes(0)?;
            numbers::<Int64Type>(args, |row| {
                let Some(bytes) = sketches.get(row) else { return Ok(None) };
                // As Java rounds: halves up.
                Ok(Some((read(bytes, args.name)?.estimate() + 0.5).floor() as i64))
            })
        }),
        Udf::new("hll_union", Ret::Fixed(Arrow::Binary), union),
    ]
}

fn union(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (left, right) = (args.bytes(0)?, args.bytes(1)?);
    let allowed = args.boolean(2)?;
    binaries(args, |row, out| {
        let (Some(a), Some(b)) = (left.get(row), right.get(row)) else { return Ok(false) };
        if arrow::array::Array::is_null(&allowed, row) {
            return Ok(false);
        }
        let (a, b) = (read(a, args.name)?, read(b, args.name)?);
        if !allowed.value(row) && a.lg_config_k() != b.lg_config_k() {
            return Err(external(different_lg_k(args.name, a.lg_config_k(), b.lg_config_k())));
        }
        let mut union = union_of(a.lg_config_k().min(b.lg_config_k()), args.name)?;
        union.update(&a);
        union.update(&b);
        out.extend(union.to_sketch(HllType::Hll8).serialize());
        Ok(true)
    })
}

pub(super) fn functions() -> Vec<FunctionDef> {
    vec![
        FunctionDef::resolve("hll_sketch_estimate", |_, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            let sketch = exactly(name, 0, &[DataType::Binary], args.remove(0))?;
            let nullable = sketch.nullable;
            Ok(Typed::new(call("hll_sketch_estimate", vec![sketch.expr])?, DataType::Long, nullable))
        }),
        FunctionDef::resolve("hll_union", |_, name, mut args| {
            check_count(name, args.len(), 2, 3)?;
            let allowed = or_default(&mut args, 2, boolean(false));
            let allowed = exactly(name, 2, &[DataType::Boolean], allowed)?;
            let right = exactly(name, 1, &[DataType::Binary], args.remove(1))?;
            let left = exactly(name, 0, &[DataType::Binary], args.remove(0))?;
            let exprs = vec![left.expr, right.expr, allowed.expr];
            Ok(Typed::new(call("hll_union", exprs)?, DataType::Binary, true))
        }),
    ]
}

fn boolean(value: bool) -> Typed {
    literal::of(ScalarValue::Boolean(Some(value)), DataType::Boolean)
}

/// `hll_sketch_agg(value[, lgConfigK])` and `hll_union_agg(sketch[, allowDifferentLgConfigK])`.
pub(crate) fn resolve(_: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Resolved> {
    check_count(name, args.len(), 1, 2)?;
    if name == "hll_union_agg" {
        let allowed = or_default(&mut args, 1, boolean(false));
        let allowed = exactly(name, 1, &[DataType::Boolean], allowed)?;
        let sketch = exactly(name, 0, &[DataType::Binary], args.remove(0))?;
        return Ok(Resolved::binary("hll_union_agg", vec![sketch, allowed]));
    }
    let lg_k = or_default(&mut args, 1, literal::int(DEFAULT_LG_K));
    let lg_k = exactly(name, 1, &[DataType::Integer], lg_k)?;
    let types = [DataType::Integer, DataType::Long, DataType::String, DataType::Binary];
    let value = exactly(name, 0, &types, args.remove(0))?;
    let Some(lg_k) = constant_int(&lg_k) else {
        let message = format!("Invalid call to `{name}`; the `K` value must be a constant value.");
        return Err(SparkError::new("HLL_K_MUST_BE_CONSTANT", "42K0E", message).param("function", format!("`{name}`")));
    };
    if !(4..=i32::from(MAX_LG_K)).contains(&lg_k) {
        let message =
            format!("Invalid call to `{name}`; the `lgConfigK` value must be between 4 and 21, inclusive: {lg_k}.");
        return Err(SparkError::new("HLL_INVALID_LG_K", "22546", message)
            .param("function", format!("`{name}`"))
            .param("min", "4")
            .param("max", MAX_LG_K.to_string())
            .param("value", lg_k.to_string()));
    }
    Ok(Resolved::binary("hll_sketch_agg", vec![value, literal::int(lg_k)]))
}

pub(super) fn aggregates() -> Vec<BinaryAggregate> {
    vec![
        BinaryAggregate::new("hll_sketch_agg", |call| {
            let lg_k = u8::try_from(call.int(1)?).unwrap_or(MAX_LG_K);
            let sketch =
                HllSketch::new(lg_k, HllType::Hll8).map_err(|_| external(invalid_buffer(INVALID, "hll_sketch_agg")))?;
            Ok(Box::new(Counting { sketch, lg_k }))
        }),
        BinaryAggregate::new("hll_union_agg", |call: &Call<'_>| {
            Ok(Box::new(Union { union: None, any_lg_k: call.flag(1) }))
        }),
    ]
}

#[derive(Debug)]
struct Counting {
    sketch: HllSketch,
    lg_k: u8,
}

impl BinaryState for Counting {
    fn update(&mut self, columns: &[ArrayRef]) -> DfResult<()> {
        key::each(&columns[0], |_, bytes| {
            self.sketch.update(raw_bytes::from_slice(bytes));
            Ok(())
        })
    }

    fn merge(&mut self, bytes: &[u8]) -> DfResult<()> {
        let other = read(bytes, "hll_sketch_agg")?;
        let mut union = union_of(self.lg_k, "hll_sketch_agg")?;
        union.update(&self.sketch);
        union.update(&other);
        self.sketch = union.to_sketch(HllType::Hll8);
        Ok(())
    }

    fn bytes(&self) -> DfResult<Vec<u8>> {
        Ok(self.sketch.serialize())
    }

    fn size(&self) -> usize {
        self.sketch.estimated_size()
    }
}

#[derive(Debug)]
struct Union {
    /// Made for the first sketch, with its size.
    union: Option<HllUnion>,
    any_lg_k: bool,
}

impl BinaryState for Union {
    fn update(&mut self, columns: &[ArrayRef]) -> DfResult<()> {
        self.merge_all(&columns[0])
    }

    fn merge(&mut self, bytes: &[u8]) -> DfResult<()> {
        const NAME: &str = "hll_union_agg";
        let sketch = read(bytes, NAME)?;
        let union = match &mut self.union {
            Some(union) => union,
            none => none.insert(union_of(sketch.lg_config_k(), NAME)?),
        };
        let known = union.lg_config_k();
        if !self.any_lg_k && known != sketch.lg_config_k() {
            return Err(external(different_lg_k(NAME, known, sketch.lg_config_k())));
        }
        union.update(&sketch);
        Ok(())
    }

    fn bytes(&self) -> DfResult<Vec<u8>> {
        Ok(self.union.as_ref().map(|u| u.to_sketch(HllType::Hll8).serialize()).unwrap_or_default())
    }

    fn answer(&self) -> DfResult<ScalarValue> {
        let bytes = match &self.union {
            Some(_) => self.bytes()?,
            None => union_of(DEFAULT_LG_K as u8, "hll_union_agg")?.to_sketch(HllType::Hll8).serialize(),
        };
        Ok(ScalarValue::Binary(Some(bytes)))
    }

    fn size(&self) -> usize {
        self.union.as_ref().map_or(0, HllUnion::estimated_size)
    }
}
