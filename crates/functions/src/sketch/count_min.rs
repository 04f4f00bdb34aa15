//! Spark's count-min sketch, in its own binary form.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType as Arrow, Int64Type},
};
use datafusion::{common::exec_err, error::Result as DfResult, scalar::ScalarValue};
use firesteel_plan::{DataType, SparkResult};

use super::{Resolved, cast_to};
use crate::{
    FunctionContext, Typed,
    aggregate::binary_state::{BinaryAggregate, BinaryState},
    coercion, errors, literal,
    random::JavaRandom,
    registry::check_count,
    text::murmur3,
    udf::Bytes,
};

/// Counters of a sketch at most: a smaller error asks for more.
const MOST: usize = 1 << 27;

/// `count_min_sketch(value, relative error, confidence, seed)`
pub(crate) fn resolve(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Resolved> {
    check_count(name, args.len(), 4, 4)?;
    let seed = cast_to(ctx, name, 3, &DataType::Integer, args.remove(3))?;
    let confidence = cast_to(ctx, name, 2, &DataType::Double, args.remove(2))?;
    let eps = cast_to(ctx, name, 1, &DataType::Double, args.remove(1))?;
    let value = args.remove(0);
    let value = match &value.data_type {
        t if t.is_integral() => coercion::implicit(ctx, value, &DataType::Long)?,
        t if t.is_string() || *t == DataType::Binary => value,
        DataType::Null => literal::null(&DataType::Long)?,
        _ => return Err(errors::unexpected_input(name, 0, "(\"INTEGRAL\" or \"STRING\" or \"BINARY\")", &value)),
    };
    let mut constants = Vec::new();
    for (parameter, given) in [("eps", eps), ("confidence", confidence), ("seed", seed)] {
        let Some(constant) = literal::fold(&given) else {
            return Err(errors::non_foldable(name, parameter, &given));
        };
        if constant.is_null() {
            return Err(errors::datatype_mismatch(
                "UNEXPECTED_NULL",
                format_args!("{name}(…)"),
                format_args!("The {parameter} must not be null."),
            )
            .param("exprName", parameter));
        }
        let range = match (parameter, &constant) {
            ("eps", ScalarValue::Float64(Some(v))) if *v <= 0.0 => Some("(0.0, positive infinity)"),
            ("confidence", ScalarValue::Float64(Some(v))) if *v <= 0.0 || *v >= 1.0 => Some("(0.0, 1.0)"),
            _ => None,
        };
        if let Some(range) = range {
            return Err(errors::datatype_mismatch(
                "VALUE_OUT_OF_RANGE",
                format_args!("{name}(…)"),
                format_args!("The {parameter} must be between {range} (current value = {}).", given.sql()),
            )
            .param("exprName", parameter)
            .param("valueRange", range)
            .param("currentValue", given.sql()));
        }
        constants.push(literal::of(constant, given.data_type));
    }
    let mut all = vec![value];
    all.extend(constants);
    Ok(Resolved::binary("count_min_sketch", all))
}

pub(super) fn aggregates() -> Vec<BinaryAggregate> {
    vec![BinaryAggregate::new("count_min_sketch", |call| {
        let (eps, confidence, seed) = (call.double(1)?, call.double(2)?, call.int(3)?);
        let width = (2.0 / eps).ceil();
        let depth = (-(1.0 - confidence).ln() / 2.0f64.ln()).ceil().max(1.0);
        if !(width * depth).is_finite() || width * depth > MOST as f64 {
            return exec_err!("a count-min sketch of {width} times {depth} counters is too large");
        }
        let (width, depth) = (width as usize, depth as usize);
        let mut random = JavaRandom::new(i64::from(seed));
        let hashes = (0..depth).map(|_| i64::from(random.next_below(i32::MAX))).collect();
        Ok(Box::new(Sketch { width, depth, hashes, table: vec![0; width * depth], total: 0 }))
    })]
}

#[derive(Debug)]
struct Sketch {
    width: usize,
    depth: usize,
    hashes: Vec<i64>,
    /// Row after row.
    table: Vec<i64>,
    total: i64,
}

impl Sketch {
    fn add_long(&mut self, item: i64) {
        const PRIME_MODULUS: i64 = (1 << 31) - 1;
        for (row, a) in self.hashes.iter().enumerate() {
            let hash = a.wrapping_mul(item);
            let hash = hash.wrapping_add(hash >> 32) & PRIME_MODULUS;
            self.table[row * self.width + hash as usize % self.width] += 1;
        }
        self.total += 1;
    }

    fn add_bytes(&mut self, item: &[u8]) {
        let first = murmur3(item, 0);
        let second = murmur3(item, first);
        for row in 0..self.depth {
            let hash = first.wrapping_add((row as i32).wrapping_mul(second));
            self.table[row * self.width + (i64::from(hash) % self.width as i64).unsigned_abs() as usize] += 1;
        }
        self.total += 1;
    }
}

impl BinaryState for Sketch {
    fn update(&mut self, columns: &[ArrayRef]) -> DfResult<()> {
        let column = &columns[0];
        if *column.data_type() == Arrow::Int64 {
            column.as_primitive::<Int64Type>().iter().flatten().for_each(|v| self.add_long(v));
            return Ok(());
        }
        let values = Bytes::new(column, false)?;
        (0..column.len()).filter_map(|row| values.get(row)).for_each(|bytes| self.add_bytes(bytes));
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> DfResult<()> {
        let longs = |from: usize| bytes.get(from..from + 8).and_then(|b| b.try_into().ok()).map(i64::from_be_bytes);
        let start = 20 + 8 * self.depth;
        if bytes.len() != start + 8 * self.table.len() {
            return exec_err!("the state of a count-min sketch has {} bytes", bytes.len());
        }
        self.total += longs(4).unwrap_or(0);
        for (i, counter) in self.table.iter_mut().enumerate() {
            *counter += longs(start + 8 * i).unwrap_or(0);
        }
        Ok(())
    }

    fn bytes(&self) -> DfResult<Vec<u8>> {
        let mut out = Vec::with_capacity(20 + 8 * (self.hashes.len() + self.table.len()));
        const VERSION: i32 = 1;
        out.extend(VERSION.to_be_bytes());
        out.extend(self.total.to_be_bytes());
        out.extend((self.depth as i32).to_be_bytes());
        out.extend((self.width as i32).to_be_bytes());
        self.hashes.iter().chain(&self.table).for_each(|v| out.extend(v.to_be_bytes()));
        Ok(out)
    }

    fn size(&self) -> usize {
        self.table.len() * 8
    }
}
