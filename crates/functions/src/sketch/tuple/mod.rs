//! Tuple sketches: different keys, each with a number that is added up (or the least, or the largest) of all its rows.

mod resolve;
mod summary;

use arrow::{
    array::ArrayRef,
    datatypes::{DataType as Arrow, Float64Type, Int32Type, Int64Type},
};
use datafusion::error::{DataFusionError, Result as DfResult};
use datasketches::{
    hash::value::raw_bytes,
    tuple::{
        CompactTupleSketch, TupleANotB, TupleIntersection, TupleSketch, TupleSketchBuilder, TupleUnion,
        TupleUnionBuilder,
    },
};
use firesteel_plan::SparkError;

pub(super) use self::resolve::functions;
pub(crate) use self::resolve::resolve;
use self::summary::{Mode, Number, Policy, Summary};
use super::{LG_NOMINAL, invalid_buffer, invalid_lg_nominal, key, theta};
use crate::{
    aggregate::binary_state::{BinaryAggregate, BinaryState, Call},
    errors::external,
    udf::{Args, Ret, Udf, binaries, numbers},
};

const INVALID: &str = "TUPLE_INVALID_INPUT_SKETCH_BUFFER";
/// Families of sketches, as the third byte of each says.
const COMPACT_THETA: u8 = 3;
const TUPLE: u8 = 9;

type Sketch<N> = CompactTupleSketch<Summary<N>>;

fn invalid<E>(name: &str) -> impl FnOnce(E) -> DataFusionError {
    let error = external(invalid_buffer(INVALID, name));
    move |_| error
}

fn read<N: Number>(bytes: &[u8], name: &str) -> DfResult<Sketch<N>> {
    Sketch::<N>::deserialize(bytes).map_err(invalid(name))
}

/// As [`read`], where a theta sketch may have been given by mistake.
fn read_beside_theta<N: Number>(bytes: &[u8], name: &str) -> DfResult<Sketch<N>> {
    if bytes.len() >= 8 && bytes.get(2) == Some(&COMPACT_THETA) {
        let message = format!("Invalid call to `{name}`; expected a sketch of the family TUPLE, got COMPACT.");
        return Err(external(
            SparkError::new("TUPLE_INVALID_INPUT_SKETCH_BUFFER_FAMILY", "22000", message)
                .param("function", format!("`{name}`"))
                .param("expectedFamily", "TUPLE")
                .param("actualFamily", "COMPACT"),
        ));
    }
    read(bytes, name)
}

/// A theta sketch as one with summaries that say nothing yet.
fn read_theta<N: Number>(bytes: &[u8], mode: Mode, name: &str) -> DfResult<Sketch<N>> {
    let sketch = theta::read(bytes, name)?;
    const EMPTY: u8 = 4;
    const ORDERED: u8 = 16;
    let flags = if sketch.is_empty() { EMPTY } else { 0 } | if sketch.is_ordered() { ORDERED } else { 0 };
    let preamble = if sketch.is_empty() { 1 } else { 3 };
    let mut image = vec![preamble, 3, TUPLE, 1, 0, flags];
    image.extend(sketch.seed_hash().to_le_bytes());
    if !sketch.is_empty() {
        image.extend((sketch.num_retained() as u32).to_le_bytes());
        image.extend([0; 4]);
        image.extend(sketch.theta64().to_le_bytes());
        for entry in sketch.iter() {
            image.extend(entry.hash().to_le_bytes());
            N::neutral(mode).write(&mut image);
            image.push(mode as u8);
        }
    }
    read(&image, name)
}

fn union_of<N: Number>(lg_nominal: i32, mode: Mode, name: &str) -> DfResult<TupleUnion<Policy<N>>> {
    if !LG_NOMINAL.contains(&lg_nominal) {
        return Err(external(invalid_lg_nominal(name, lg_nominal)));
    }
    TupleUnionBuilder::new(Policy::new(mode)).lg_k(theta::lg_k(lg_nominal)).build().map_err(invalid(name))
}

pub(super) fn udfs() -> Vec<Udf> {
    let binary = || Ret::Fixed(Arrow::Binary);
    let double = || Ret::Fixed(Arrow::Float64);
    vec![
        Udf::new("tuple_sketch_estimate_double", double(), |a| of_sketch::<f64>(a, |s| s.estimate())),
        Udf::new("tuple_sketch_estimate_integer", double(), |a| of_sketch::<i32>(a, |s| s.estimate())),
        Udf::new("tuple_sketch_theta_double", double(), |a| of_sketch::<f64>(a, |s| s.theta())),
        Udf::new("tuple_sketch_theta_integer", double(), |a| of_sketch::<i32>(a, |s| s.theta())),
        // (sketch, mode)
        Udf::new("tuple_sketch_summary_double", double(), |args| {
            let (sketches, modes) = (args.bytes(0)?, args.text(1)?);
            numbers::<Float64Type>(args, |row| {
                let (Some(bytes), Some(mode)) = (sketches.get(row), modes.get(row)) else { return Ok(None) };
                let sketch = read::<f64>(bytes, args.name)?;
                let values = sketch.iter().map(|e| e.summary().value);
                Ok(Some(match Mode::parse(mode, args.name).map_err(external)? {
                    Mode::Sum => values.fold(0.0, |a, b| a + b),
                    Mode::Min => values.reduce(f64::min).unwrap_or(0.0),
                    Mode::Max => values.reduce(f64::max).unwrap_or(0.0),
                    Mode::AlwaysOne => values.count() as f64,
                }))
            })
        }),
        Udf::new("tuple_sketch_summary_integer", Ret::Fixed(Arrow::Int64), |args| {
            let (sketches, modes) = (args.bytes(0)?, args.text(1)?);
            numbers::<Int64Type>(args, |row| {
                let (Some(bytes), Some(mode)) = (sketches.get(row), modes.get(row)) else { return Ok(None) };
                let sketch = read::<i32>(bytes, args.name)?;
                let values = sketch.iter().map(|e| i64::from(e.summary().value));
                Ok(Some(match Mode::parse(mode, args.name).map_err(external)? {
                    Mode::Sum => values.fold(0, i64::wrapping_add),
                    Mode::Min => values.min().unwrap_or(0),
                    Mode::Max => values.max().unwrap_or(0),
                    Mode::AlwaysOne => values.count() as i64,
                }))
            })
        }),
        Udf::new("tuple_union_double", binary(), |a| union::<f64>(a, false)),
        Udf::new("tuple_union_integer", binary(), |a| union::<i32>(a, false)),
        Udf::new("tuple_union_theta_double", binary(), |a| union::<f64>(a, true)),
        Udf::new("tuple_union_theta_integer", binary(), |a| union::<i32>(a, true)),
        Udf::new("tuple_intersection_double", binary(), |a| intersection::<f64>(a, false)),
        Udf::new("tuple_intersection_integer", binary(), |a| intersection::<i32>(a, false)),
        Udf::new("tuple_intersection_theta_double", binary(), |a| intersection::<f64>(a, true)),
        Udf::new("tuple_intersection_theta_integer", binary(), |a| intersection::<i32>(a, true)),
        Udf::new("tuple_difference_double", binary(), |a| difference::<f64>(a, false)),
        Udf::new("tuple_difference_integer", binary(), |a| difference::<i32>(a, false)),
        Udf::new("tuple_difference_theta_double", binary(), |a| difference::<f64>(a, true)),
        Udf::new("tuple_difference_theta_integer", binary(), |a| difference::<i32>(a, true)),
    ]
}

fn of_sketch<N: Number>(args: &Args<'_>, of: impl Fn(&Sketch<N>) -> f64) -> DfResult<ArrayRef> {
    let sketches = args.bytes(0)?;
    numbers::<Float64Type>(args, |row| match sketches.get(row) {
        Some(bytes) => Ok(Some(of(&read::<N>(bytes, args.name)?))),
        None => Ok(None),
    })
}

fn first<N: Number>(bytes: &[u8], beside_theta: bool, name: &str) -> DfResult<Sketch<N>> {
    if beside_theta { read_beside_theta(bytes, name) } else { read(bytes, name) }
}

fn second<N: Number>(bytes: &[u8], theta: bool, mode: Mode, name: &str) -> DfResult<Sketch<N>> {
    if theta { read_theta(bytes, mode, name) } else { read(bytes, name) }
}

/// (sketch, sketch, lgNomEntries, mode)
fn union<N: Number>(args: &Args<'_>, theta: bool) -> DfResult<ArrayRef> {
    let (left, right) = (args.bytes(0)?, args.bytes(1)?);
    let lg_nominal = args.primitive::<Int32Type>(2)?;
    let modes = args.text(3)?;
    binaries(args, |row, out| {
        let (Some(a), Some(b)) = (left.get(row), right.get(row)) else { return Ok(false) };
        let (Some(lg_nominal), Some(mode)) = (lg_nominal.get(row), modes.get(row)) else { return Ok(false) };
        let mode = Mode::parse(mode, args.name).map_err(external)?;
        let mut union = union_of::<N>(lg_nominal, mode, args.name)?;
        union.update(&first::<N>(a, theta, args.name)?).map_err(invalid(args.name))?;
        union.update(&second::<N>(b, theta, mode, args.name)?).map_err(invalid(args.name))?;
        out.extend(union.to_sketch(false).serialize());
        Ok(true)
    })
}

/// (sketch, sketch, mode)
fn intersection<N: Number>(args: &Args<'_>, theta: bool) -> DfResult<ArrayRef> {
    let (left, right) = (args.bytes(0)?, args.bytes(1)?);
    let modes = args.text(2)?;
    binaries(args, |row, out| {
        let (Some(a), Some(b), Some(mode)) = (left.get(row), right.get(row), modes.get(row)) else { return Ok(false) };
        let mode = Mode::parse(mode, args.name).map_err(external)?;
        let mut common = TupleIntersection::new(Policy::<N>::new(mode));
        common.update(&first::<N>(a, theta, args.name)?).map_err(invalid(args.name))?;
        common.update(&second::<N>(b, theta, mode, args.name)?).map_err(invalid(args.name))?;
        match common.to_sketch(false) {
            Some(sketch) => {
                out.extend(sketch.serialize());
                Ok(true)
            }
            None => Ok(false),
        }
    })
}

/// (sketch, sketch)
fn difference<N: Number>(args: &Args<'_>, theta: bool) -> DfResult<ArrayRef> {
    let (left, right) = (args.bytes(0)?, args.bytes(1)?);
    binaries(args, |row, out| {
        let (Some(a), Some(b)) = (left.get(row), right.get(row)) else { return Ok(false) };
        let a = first::<N>(a, theta, args.name)?;
        let b = second::<N>(b, theta, Mode::Sum, args.name)?;
        let rest = TupleANotB::default().compute(&a, &b, false).map_err(invalid(args.name))?;
        out.extend(rest.serialize());
        Ok(true)
    })
}

pub(super) fn aggregates() -> Vec<BinaryAggregate> {
    fn mode(call: &Call<'_>, index: usize, name: &str) -> DfResult<Mode> {
        Mode::parse(call.text(index)?, name).map_err(external)
    }
    fn agg<N: Number>(call: &Call<'_>, name: &'static str) -> DfResult<Box<dyn BinaryState>> {
        let (lg_nominal, mode) = (call.int(2)?, mode(call, 3, name)?);
        let sketch = TupleSketchBuilder::new(Policy::<N>::new(mode))
            .lg_k(theta::lg_k(lg_nominal))
            .build()
            .map_err(invalid(name))?;
        Ok(Box::new(Counting { sketch, merged: None, lg_nominal, mode, name }))
    }
    fn union<N: Number>(call: &Call<'_>, name: &'static str) -> DfResult<Box<dyn BinaryState>> {
        Ok(Box::new(Union { union: union_of::<N>(call.int(1)?, mode(call, 2, name)?, name)?, name }))
    }
    fn intersection<N: Number>(call: &Call<'_>, name: &'static str) -> DfResult<Box<dyn BinaryState>> {
        let common = TupleIntersection::new(Policy::<N>::new(mode(call, 1, name)?));
        Ok(Box::new(Intersection { common, name }))
    }
    vec![
        BinaryAggregate::new("tuple_sketch_agg_double", |c| agg::<f64>(c, "tuple_sketch_agg_double")),
        BinaryAggregate::new("tuple_sketch_agg_integer", |c| agg::<i32>(c, "tuple_sketch_agg_integer")),
        BinaryAggregate::new("tuple_union_agg_double", |c| union::<f64>(c, "tuple_union_agg_double")),
        BinaryAggregate::new("tuple_union_agg_integer", |c| union::<i32>(c, "tuple_union_agg_integer")),
        BinaryAggregate::new("tuple_intersection_agg_double", |c| {
            intersection::<f64>(c, "tuple_intersection_agg_double")
        }),
        BinaryAggregate::new("tuple_intersection_agg_integer", |c| {
            intersection::<i32>(c, "tuple_intersection_agg_integer")
        }),
    ]
}

/// Keys with their summaries, of rows and of the states of other steps.
struct Counting<N: Number> {
    sketch: TupleSketch<Policy<N>>,
    merged: Option<TupleUnion<Policy<N>>>,
    lg_nominal: i32,
    mode: Mode,
    name: &'static str,
}

impl<N: Number> BinaryState for Counting<N> {
    fn update(&mut self, columns: &[ArrayRef]) -> DfResult<()> {
        let values = &columns[1];
        key::each(&columns[0], |row, bytes| {
            if let Some(value) = N::at(values, row) {
                self.sketch.update(raw_bytes::from_slice(bytes), value);
            }
            Ok(())
        })
    }

    fn merge(&mut self, bytes: &[u8]) -> DfResult<()> {
        let other = read::<N>(bytes, self.name)?;
        let union = match &mut self.merged {
            Some(union) => union,
            none => none.insert(union_of(self.lg_nominal, self.mode, self.name)?),
        };
        union.update(&other).map_err(invalid(self.name))
    }

    fn bytes(&self) -> DfResult<Vec<u8>> {
        Ok(match &self.merged {
            Some(union) => union.to_sketch(false),
            None => self.sketch.compact(false),
        }
        .serialize())
    }

    fn size(&self) -> usize {
        self.sketch.estimated_size() + self.merged.as_ref().map_or(0, TupleUnion::estimated_size)
    }
}

struct Union<N: Number> {
    union: TupleUnion<Policy<N>>,
    name: &'static str,
}

impl<N: Number> BinaryState for Union<N> {
    fn update(&mut self, columns: &[ArrayRef]) -> DfResult<()> {
        self.merge_all(&columns[0])
    }

    fn merge(&mut self, bytes: &[u8]) -> DfResult<()> {
        self.union.update(&read::<N>(bytes, self.name)?).map_err(invalid(self.name))
    }

    fn bytes(&self) -> DfResult<Vec<u8>> {
        Ok(self.union.to_sketch(false).serialize())
    }

    fn size(&self) -> usize {
        self.union.estimated_size()
    }
}

struct Intersection<N: Number> {
    common: TupleIntersection<Policy<N>>,
    name: &'static str,
}

impl<N: Number> BinaryState for Intersection<N> {
    fn update(&mut self, columns: &[ArrayRef]) -> DfResult<()> {
        self.merge_all(&columns[0])
    }

    fn merge(&mut self, bytes: &[u8]) -> DfResult<()> {
        self.common.update(&read::<N>(bytes, self.name)?).map_err(invalid(self.name))
    }

    fn bytes(&self) -> DfResult<Vec<u8>> {
        Ok(self.common.to_sketch(false).map(|s| s.serialize()).unwrap_or_default())
    }

    fn answer(&self) -> DfResult<datafusion::scalar::ScalarValue> {
        let mut bytes = self.bytes()?;
        // The intersection of no sketches is one that is empty.
        if bytes.is_empty() {
            let empty = TupleSketchBuilder::new(Policy::<N>::new(Mode::Sum)).build().map_err(invalid(self.name))?;
            bytes = empty.compact(false).serialize();
        }
        Ok(datafusion::scalar::ScalarValue::Binary(Some(bytes)))
    }

    fn size(&self) -> usize {
        self.common.estimated_size()
    }
}

macro_rules! named {
    ($($state:ident),*) => {
        $(impl<N: Number> std::fmt::Debug for $state<N> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name)
            }
        })*
    };
}
named!(Counting, Union, Intersection);
