//! Bitmaps of 32,768 bits, for counting different numbers exactly in buckets.

use arrow::{
    array::{ArrayRef, AsArray},
    datatypes::{DataType as Arrow, Int64Type},
};
use datafusion::error::Result as DfResult;
use firesteel_plan::{DataType, SparkError, SparkResult};

use super::{Resolved, cast_to, exactly};
use crate::{
    FunctionContext, Typed,
    aggregate::binary_state::{BinaryAggregate, BinaryState},
    errors::external,
    registry::{FunctionDef, check_count},
    udf::{Ret, Udf, numbers},
};

const BYTES: usize = 4096;
const BITS: i64 = BYTES as i64 * 8;

pub(super) fn udfs() -> Vec<Udf> {
    let long = || Ret::Fixed(Arrow::Int64);
    vec![
        Udf::new("bitmap_bit_position", long(), |args| {
            let values = args.primitive::<Int64Type>(0)?;
            numbers::<Int64Type>(args, |row| {
                Ok(values.get(row).map(|v| if v > 0 { (v - 1) % BITS } else { v.wrapping_neg() % BITS }))
            })
        }),
        Udf::new("bitmap_bucket_number", long(), |args| {
            let values = args.primitive::<Int64Type>(0)?;
            numbers::<Int64Type>(args, |row| {
                Ok(values.get(row).map(|v| if v > 0 { 1 + (v - 1) / BITS } else { v / BITS }))
            })
        }),
        Udf::new("bitmap_count", long(), |args| {
            let values = args.bytes(0)?;
            numbers::<Int64Type>(args, |row| {
                Ok(values.get(row).map(|bytes| bytes.iter().map(|b| i64::from(b.count_ones())).sum()))
            })
        }),
    ]
}

pub(super) fn functions() -> Vec<FunctionDef> {
    vec![
        FunctionDef::simple("bitmap_bit_position", "bitmap_bit_position", "l", DataType::Long),
        FunctionDef::simple("bitmap_bucket_number", "bitmap_bucket_number", "l", DataType::Long),
        FunctionDef::resolve("bitmap_count", |_, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            let bitmap = exactly(name, 0, &[DataType::Binary], args.remove(0))?;
            let nullable = bitmap.nullable;
            Ok(Typed::new(crate::udf::call("bitmap_count", vec![bitmap.expr])?, DataType::Long, nullable))
        }),
    ]
}

/// `bitmap_construct_agg(position)`, `bitmap_or_agg(bitmap)`, `bitmap_and_agg(bitmap)`.
pub(crate) fn resolve(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Resolved> {
    check_count(name, args.len(), 1, 1)?;
    let arg = if name == "bitmap_construct_agg" {
        cast_to(ctx, name, 0, &DataType::Long, args.remove(0))?
    } else {
        exactly(name, 0, &[DataType::Binary], args.remove(0))?
    };
    Ok(Resolved::binary(name, vec![arg]))
}

pub(super) fn aggregates() -> Vec<BinaryAggregate> {
    vec![
        BinaryAggregate::new("bitmap_construct_agg", |_| Ok(Box::new(Bitmap::new(What::Positions)))),
        BinaryAggregate::new("bitmap_or_agg", |_| Ok(Box::new(Bitmap::new(What::Or)))),
        BinaryAggregate::new("bitmap_and_agg", |_| Ok(Box::new(Bitmap::new(What::And)))),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    Positions,
    Or,
    And,
}

#[derive(Debug)]
struct Bitmap {
    bits: Vec<u8>,
    what: What,
}

impl Bitmap {
    fn new(what: What) -> Self {
        Self { bits: vec![if what == What::And { 0xff } else { 0 }; BYTES], what }
    }
}

impl BinaryState for Bitmap {
    fn update(&mut self, columns: &[ArrayRef]) -> DfResult<()> {
        if self.what != What::Positions {
            return self.merge_all(&columns[0]);
        }
        for position in columns[0].as_primitive::<Int64Type>().iter().flatten() {
            let place = usize::try_from(position).ok().and_then(|p| self.bits.get_mut(p / 8));
            let Some(byte) = place else {
                return Err(external(
                    SparkError::new(
                        "INVALID_BITMAP_POSITION",
                        "22003",
                        format!(
                            "The 0-indexed bitmap position {position} is out of bounds. The bitmap has {BITS} bits ({BYTES} bytes)."
                        ),
                    )
                    .param("bitPosition", position.to_string())
                    .param("bitmapNumBytes", BYTES.to_string())
                    .param("bitmapNumBits", BITS.to_string()),
                ));
            };
            *byte |= 1 << (position % 8);
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> DfResult<()> {
        for (i, bits) in self.bits.iter_mut().enumerate() {
            // A shorter bitmap has no bits behind its end.
            let other = bytes.get(i).copied().unwrap_or(0);
            *bits = if self.what == What::And { *bits & other } else { *bits | other };
        }
        Ok(())
    }

    fn bytes(&self) -> DfResult<Vec<u8>> {
        Ok(self.bits.clone())
    }

    fn size(&self) -> usize {
        BYTES
    }
}
