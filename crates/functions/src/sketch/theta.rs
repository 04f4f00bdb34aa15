//! Theta sketches: how many different values, and set operations on them.

use arrow::{
    array::ArrayRef,
    datatypes::{DataType as Arrow, Int64Type},
};
use datafusion::{error::Result as DfResult, scalar::ScalarValue};
use datasketches::{
    hash::value::raw_bytes,
    theta::{
        CompactThetaSketch, ThetaANotB, ThetaIntersection, ThetaSketch, ThetaSketchBuilder, ThetaUnion,
        ThetaUnionBuilder,
    },
};
use firesteel_plan::{DataType, SparkError, SparkResult};

use super::{LG_NOMINAL, Resolved, constant_int, exactly, invalid_buffer, invalid_lg_nominal, key, or_default};
use crate::{
    FunctionContext, Typed,
    aggregate::binary_state::{BinaryAggregate, BinaryState},
    errors::external,
    literal,
    registry::{FunctionDef, check_count},
    udf::{Args, Ret, Udf, binaries, call, numbers},
};

const DEFAULT_LG_NOMINAL: i32 = 12;
const INVALID: &str = "THETA_INVALID_INPUT_SKETCH_BUFFER";

fn invalid<E>(name: &str) -> impl FnOnce(E) -> datafusion::error::DataFusionError {
    let error = external(invalid_buffer(INVALID, name));
    move |_| error
}

pub(super) fn read(bytes: &[u8], name: &str) -> DfResult<CompactThetaSketch> {
    CompactThetaSketch::deserialize(bytes).map_err(invalid(name))
}

/// The library's smallest sketch keeps 32 values where Java's keeps 16.
pub(super) fn lg_k(lg_nominal: i32) -> u8 {
    const LEAST: u8 = 5;
    u8::try_from(lg_nominal).unwrap_or(LEAST).max(LEAST)
}

fn union_of(lg_nominal: i32, name: &str) -> DfResult<ThetaUnion> {
    if !LG_NOMINAL.contains(&lg_nominal) {
        return Err(external(invalid_lg_nominal(name, lg_nominal)));
    }
    ThetaUnionBuilder::default().lg_k(lg_k(lg_nominal)).build().map_err(invalid(name))
}

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        Udf::new("theta_sketch_estimate", Ret::Fixed(Arrow::Int64), |args| {
            let sketches = args.bytes(0)?;
            numbers::<Int64Type>(args, |row| match sketches.get(row) {
                Some(bytes) => Ok(Some((read(bytes, args.name)?.estimate() + 0.5).floor() as i64)),
                None => Ok(None),
            })
        }),
        Udf::new("theta_union", Ret::Fixed(Arrow::Binary), |args| {
            let lg_nominal = args.primitive::<arrow::datatypes::Int32Type>(2)?;
            pairs(args, |row, a, b| {
                let Some(lg_nominal) = lg_nominal.get(row) else { return Ok(None) };
                let mut union = union_of(lg_nominal, args.name)?;
                union.update(&read(a, args.name)?).map_err(invalid(args.name))?;
                union.update(&read(b, args.name)?).map_err(invalid(args.name))?;
                Ok(Some(union.to_sketch(true)))
            })
        }),
        Udf::new("theta_intersection", Ret::Fixed(Arrow::Binary), |args| {
            pairs(args, |_, a, b| {
                let mut common = ThetaIntersection::default();
                common.update(&read(a, args.name)?).map_err(invalid(args.name))?;
                common.update(&read(b, args.name)?).map_err(invalid(args.name))?;
                Ok(common.to_sketch(true))
            })
        }),
        Udf::new("theta_difference", Ret::Fixed(Arrow::Binary), |args| {
            pairs(args, |_, a, b| {
                let (a, b) = (read(a, args.name)?, read(b, args.name)?);
                ThetaANotB::default().compute(&a, &b, true).map(Some).map_err(invalid(args.name))
            })
        }),
    ]
}

/// A sketch of two sketches in each row.
fn pairs(
    args: &Args<'_>,
    mut made: impl FnMut(usize, &[u8], &[u8]) -> DfResult<Option<CompactThetaSketch>>,
) -> DfResult<ArrayRef> {
    let (left, right) = (args.bytes(0)?, args.bytes(1)?);
    binaries(args, |row, out| {
        let (Some(a), Some(b)) = (left.get(row), right.get(row)) else { return Ok(false) };
        match made(row, a, b)? {
            Some(sketch) => {
                out.extend(sketch.serialize_compressed());
                Ok(true)
            }
            None => Ok(false),
        }
    })
}

pub(super) fn functions() -> Vec<FunctionDef> {
    vec![
        FunctionDef::resolve("theta_sketch_estimate", |_, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            let sketch = exactly(name, 0, &[DataType::Binary], args.remove(0))?;
            let nullable = sketch.nullable;
            Ok(Typed::new(call("theta_sketch_estimate", vec![sketch.expr])?, DataType::Long, nullable))
        }),
        FunctionDef::resolve("theta_union", |_, name, mut args| {
            check_count(name, args.len(), 2, 3)?;
            let lg_nominal = or_default(&mut args, 2, literal::int(DEFAULT_LG_NOMINAL));
            let right = exactly(name, 1, &[DataType::Binary], args.remove(1))?;
            let left = exactly(name, 0, &[DataType::Binary], args.remove(0))?;
            let lg_nominal = exactly(name, 2, &[DataType::Integer], lg_nominal)?;
            let exprs = vec![left.expr, right.expr, lg_nominal.expr];
            Ok(Typed::new(call("theta_union", exprs)?, DataType::Binary, true))
        }),
        FunctionDef::resolve("theta_intersection", two),
        FunctionDef::resolve("theta_difference", two),
    ]
}

fn two(_: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 2)?;
    let left = exactly(name, 0, &[DataType::Binary], args.remove(0))?;
    let right = exactly(name, 1, &[DataType::Binary], args.remove(0))?;
    Ok(Typed::new(call(name, vec![left.expr, right.expr])?, DataType::Binary, true))
}

/// `theta_sketch_agg(value[, lgNomEntries])`, `theta_union_agg(sketch[, lgNomEntries])`, `theta_intersection_agg(sketch)`.
pub(crate) fn resolve(_: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Resolved> {
    if name == "theta_intersection_agg" {
        check_count(name, args.len(), 1, 1)?;
        let sketch = exactly(name, 0, &[DataType::Binary], args.remove(0))?;
        return Ok(Resolved::binary(name, vec![sketch]));
    }
    check_count(name, args.len(), 1, 2)?;
    let lg_nominal = or_default(&mut args, 1, literal::int(DEFAULT_LG_NOMINAL));
    let value = if name == "theta_union_agg" {
        exactly(name, 0, &[DataType::Binary], args.remove(0))?
    } else {
        exactly(name, 0, &key::types(), args.remove(0))?
    };
    let lg_nominal = exactly(name, 1, &[DataType::Integer], lg_nominal)?;
    let Some(lg_nominal) = constant_int(&lg_nominal) else {
        let message = format!("Invalid call to `{name}`; the `lgNomEntries` value must be a constant value.");
        return Err(SparkError::new("THETA_LG_NOM_ENTRIES_MUST_BE_CONSTANT", "42K0E", message)
            .param("function", format!("`{name}`")));
    };
    if !LG_NOMINAL.contains(&lg_nominal) {
        return Err(invalid_lg_nominal(name, lg_nominal));
    }
    Ok(Resolved::binary(name, vec![value, literal::int(lg_nominal)]))
}

pub(super) fn aggregates() -> Vec<BinaryAggregate> {
    vec![
        BinaryAggregate::new("theta_sketch_agg", |call| {
            let lg_nominal = call.int(1)?;
            let sketch =
                ThetaSketchBuilder::default().lg_k(lg_k(lg_nominal)).build().map_err(invalid("theta_sketch_agg"))?;
            Ok(Box::new(Counting { sketch, merged: None, lg_nominal }))
        }),
        BinaryAggregate::new("theta_union_agg", |call| Ok(Box::new(Union(union_of(call.int(1)?, "theta_union_agg")?)))),
        BinaryAggregate::new("theta_intersection_agg", |_| Ok(Box::new(Intersection(ThetaIntersection::default())))),
    ]
}

#[derive(Debug)]
struct Counting {
    sketch: ThetaSketch,
    /// Made for the first state of another step.
    merged: Option<ThetaUnion>,
    lg_nominal: i32,
}

impl BinaryState for Counting {
    fn update(&mut self, columns: &[ArrayRef]) -> DfResult<()> {
        key::each(&columns[0], |_, bytes| {
            self.sketch.update(raw_bytes::from_slice(bytes));
            Ok(())
        })
    }

    fn merge(&mut self, bytes: &[u8]) -> DfResult<()> {
        const NAME: &str = "theta_sketch_agg";
        let other = read(bytes, NAME)?;
        let union = match &mut self.merged {
            Some(union) => union,
            none => none.insert(union_of(self.lg_nominal, NAME)?),
        };
        union.update(&other).map_err(invalid(NAME))
    }

    fn bytes(&self) -> DfResult<Vec<u8>> {
        Ok(match &self.merged {
            Some(union) => union.to_sketch(true),
            None => self.sketch.compact(true),
        }
        .serialize_compressed())
    }

    fn size(&self) -> usize {
        self.sketch.estimated_size() + self.merged.as_ref().map_or(0, ThetaUnion::estimated_size)
    }
}

#[derive(Debug)]
struct Union(ThetaUnion);

impl BinaryState for Union {
    fn update(&mut self, columns: &[ArrayRef]) -> DfResult<()> {
        self.merge_all(&columns[0])
    }

    fn merge(&mut self, bytes: &[u8]) -> DfResult<()> {
        const NAME: &str = "theta_union_agg";
        self.0.update(&read(bytes, NAME)?).map_err(invalid(NAME))
    }

    fn bytes(&self) -> DfResult<Vec<u8>> {
        Ok(self.0.to_sketch(true).serialize_compressed())
    }

    fn size(&self) -> usize {
        self.0.estimated_size()
    }
}

#[derive(Debug)]
struct Intersection(ThetaIntersection);

impl BinaryState for Intersection {
    fn update(&mut self, columns: &[ArrayRef]) -> DfResult<()> {
        self.merge_all(&columns[0])
    }

    fn merge(&mut self, bytes: &[u8]) -> DfResult<()> {
        const NAME: &str = "theta_intersection_agg";
        self.0.update(&read(bytes, NAME)?).map_err(invalid(NAME))
    }

    fn bytes(&self) -> DfResult<Vec<u8>> {
        Ok(self.0.to_sketch(true).map(|s| s.serialize_compressed()).unwrap_or_default())
    }

    fn answer(&self) -> DfResult<ScalarValue> {
        const NAME: &str = "theta_intersection_agg";
        let mut bytes = self.bytes()?;
        // The intersection of no sketches is one that is empty.
        if bytes.is_empty() {
            let empty = ThetaSketchBuilder::default().build().map_err(invalid(NAME))?;
            bytes = empty.compact(true).serialize_compressed();
        }
        Ok(ScalarValue::Binary(Some(bytes)))
    }

    fn size(&self) -> usize {
        self.0.estimated_size()
    }
}
