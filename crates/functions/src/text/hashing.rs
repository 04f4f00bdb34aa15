//! `hash` and `xxhash64`, bit for bit Spark's; digests.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int32Array, Int64Array},
    datatypes::{
        DataType as Arrow, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type,
        Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalYearMonthType, Time64NanosecondType,
        TimestampMicrosecondType,
    },
};
use datafusion::{
    common::exec_err,
    error::Result as DfResult,
    logical_expr::{Cast, Expr, ScalarUDF},
};
use firesteel_plan::{DataType, SparkResult};

use crate::{
    Typed, errors,
    registry::{FunctionDef, check_count, want},
    udf::{Args, Bytes, Ret, Udf, call},
};

/// The hash of bytes that Spark's libraries use (its remainder byte by byte, with signs).
pub(crate) fn murmur3(bytes: &[u8], seed: i32) -> i32 {
    Murmur3(seed as u32).bytes(bytes).0 as i32
}

/// One of Spark's row hashes. The hash of a value is seeded with that of the value before it.
trait RowHash: Copy {
    fn int(self, value: i32) -> Self;
    fn long(self, value: i64) -> Self;
    fn bytes(self, value: &[u8]) -> Self;
}

#[derive(Clone, Copy)]
struct Murmur3(u32);

impl Murmur3 {
    fn mix(mut h: u32, k: u32) -> u32 {
        let k = k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        h ^= k;
        h.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
    }

    fn finish(mut h: u32, length: u32) -> Self {
        h ^= length;
        h ^= h >> 16;
        h = h.wrapping_mul(0x85eb_ca6b);
        h ^= h >> 13;
        h = h.wrapping_mul(0xc2b2_ae35);
        h ^= h >> 16;
        Self(h)
    }
}

impl RowHash for Murmur3 {
    fn int(self, value: i32) -> Self {
        Self::finish(Self::mix(self.0, value as u32), 4)
    }

    fn long(self, value: i64) -> Self {
        let h = Self::mix(self.0, value as u32);
        Self::finish(Self::mix(h, (value as u64 >> 32) as u32), 8)
    }

    fn bytes(self, value: &[u8]) -> Self {
        let mut h = self.0;
        let mut words = value.chunks_exact(4);
        for w in &mut words {
            h = Self::mix(h, u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
        }
        // Spark mixes what is left byte by byte, with their signs.
        for b in words.remainder() {
            h = Self::mix(h, *b as i8 as u32);
        }
        Self::finish(h, value.len() as u32)
    }
}

const P1: u64 = 0x9E37_79B1_85EB_CA87;
const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const P3: u64 = 0x1656_67B1_9E37_79F9;
const P4: u64 = 0x85EB_CA77_C2B2_AE63;
const P5: u64 = 0x27D4_EB2F_1656_67C5;

#[derive(Clone, Copy)]
struct XxHash64(u64);

impl XxHash64 {
    fn round(acc: u64, input: u64) -> u64 {
        acc.wrapping_add(input.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
    }

    fn finish(mut h: u64) -> Self {
        h ^= h >> 33;
        h = h.wrapping_mul(P2);
        h ^= h >> 29;
        h = h.wrapping_mul(P3);
        h ^= h >> 32;
        Self(h)
    }
}

impl RowHash for XxHash64 {
    fn int(self, value: i32) -> Self {
        let mut h = self.0.wrapping_add(P5).wrapping_add(4);
        h ^= u64::from(value as u32).wrapping_mul(P1);
        Self::finish(h.rotate_left(23).wrapping_mul(P2).wrapping_add(P3))
    }

    fn long(self, value: i64) -> Self {
        let mut h = self.0.wrapping_add(P5).wrapping_add(8);
        h ^= Self::round(0, value as u64);
        Self::finish(h.rotate_left(27).wrapping_mul(P1).wrapping_add(P4))
    }

    fn bytes(self, value: &[u8]) -> Self {
        let word = |w: &[u8]| u64::from_le_bytes([w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]]);
        let mut rest = value;
        let mut h = if value.len() >= 32 {
            let mut v =
                [self.0.wrapping_add(P1).wrapping_add(P2), self.0.wrapping_add(P2), self.0, self.0.wrapping_sub(P1)];
            while rest.len() >= 32 {
                for (i, lane) in v.iter_mut().enumerate() {
                    *lane = Self::round(*lane, word(&rest[i * 8..]));
                }
                rest = &rest[32..];
            }
            let mut h = v[0]
                .rotate_left(1)
                .wrapping_add(v[1].rotate_left(7))
                .wrapping_add(v[2].rotate_left(12))
                .wrapping_add(v[3].rotate_left(18));
            for lane in v {
                h = (h ^ Self::round(0, lane)).wrapping_mul(P1).wrapping_add(P4);
            }
            h
        } else {
            self.0.wrapping_add(P5)
        };
        h = h.wrapping_add(value.len() as u64);
        while rest.len() >= 8 {
            h = (h ^ Self::round(0, word(rest))).rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
            rest = &rest[8..];
        }
        if rest.len() >= 4 {
            let w = u64::from(u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]));
            h = (h ^ w.wrapping_mul(P1)).rotate_left(23).wrapping_mul(P2).wrapping_add(P3);
            rest = &rest[4..];
        }
        for b in rest {
            h = (h ^ u64::from(*b).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
        }
        Self::finish(h)
    }
}

/// The two's complement of a value in as few bytes as hold it, most significant first.
fn minimal_bytes(value: i128) -> ([u8; 16], usize) {
    let bytes = value.to_be_bytes();
    let mut start = 0;
    while start < 15 {
        let (head, next) = (bytes[start], bytes[start + 1]);
        let redundant = (head == 0 && next < 0x80) || (head == 0xff && next >= 0x80);
        if !redundant {
            break;
        }
        start += 1;
    }
    (bytes, start)
}

fn fold<H: RowHash>(column: &ArrayRef, row: usize, h: H) -> DfResult<H> {
    if column.is_null(row) {
        return Ok(h);
    }
    macro_rules! value {
        ($t:ty) => {
            column.as_primitive::<$t>().value(row)
        };
    }
    Ok(match column.data_type() {
        Arrow::Null => h,
        Arrow::Boolean => h.int(i32::from(column.as_boolean().value(row))),
        Arrow::Int8 => h.int(i32::from(value!(Int8Type))),
        Arrow::Int16 => h.int(i32::from(value!(Int16Type))),
        Arrow::Int32 => h.int(value!(Int32Type)),
        Arrow::Int64 => h.long(value!(Int64Type)),
        Arrow::Float32 => h.int(crate::operators::canonical_f32(value!(Float32Type)).to_bits() as i32),
        Arrow::Float64 => h.long(crate::operators::canonical_f64(value!(Float64Type)).to_bits() as i64),
        Arrow::Decimal128(p, _) => {
            let v = value!(Decimal128Type);
            if *p <= 18 {
                h.long(v as i64)
            } else {
                let (bytes, start) = minimal_bytes(v);
                h.bytes(&bytes[start..])
            }
        }
        Arrow::Date32 => h.int(value!(Date32Type)),
        Arrow::Timestamp(..) => h.long(value!(TimestampMicrosecondType)),
        Arrow::Time64(_) => h.long(value!(Time64NanosecondType)),
        Arrow::Duration(_) => h.long(value!(DurationMicrosecondType)),
        Arrow::Interval(arrow::datatypes::IntervalUnit::YearMonth) => h.int(value!(IntervalYearMonthType)),
        Arrow::Interval(_) => {
            let v = value!(IntervalMonthDayNanoType);
            h.long(v.nanoseconds / 1000).int(v.days).int(v.months)
        }
        Arrow::List(_) => {
            let items = column.as_list::<i32>().value(row);
            let mut h = h;
            for i in 0..items.len() {
                h = fold(&items, i, h)?;
            }
            h
        }
        Arrow::Struct(_) => {
            let mut h = h;
            for field in column.as_struct().columns() {
                h = fold(field, row, h)?;
            }
            h
        }
        Arrow::Map(..) => return exec_err!("the hash of a map"),
        _ => match Bytes::new(column, false)?.get(row) {
            Some(bytes) => h.bytes(bytes),
            None => h,
        },
    })
}

fn hash_rows<H: RowHash>(args: &Args<'_>, seed: H) -> DfResult<Vec<H>> {
    let mut hashes = vec![seed; args.rows];
    for i in 0..args.len() {
        let column = args.array(i)?;
        match column.data_type() {
            // The common kinds without a look at the type for every row.
            Arrow::Int64 if column.null_count() == 0 => {
                for (h, v) in hashes.iter_mut().zip(column.as_primitive::<Int64Type>().values()) {
                    *h = h.long(*v);
                }
            }
            Arrow::Utf8 | Arrow::LargeUtf8 | Arrow::Utf8View => {
                let texts = Bytes::new(&column, false)?;
                for (row, h) in hashes.iter_mut().enumerate() {
                    if let Some(bytes) = texts.get(row) {
                        *h = h.bytes(bytes);
                    }
                }
            }
            _ => {
                for (row, h) in hashes.iter_mut().enumerate() {
                    *h = fold(&column, row, *h)?;
                }
            }
        }
    }
    Ok(hashes)
}

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        Udf::new("spark_hash", Ret::Fixed(Arrow::Int32), |args| {
            let hashes = hash_rows(args, Murmur3(42))?;
            Ok(Arc::new(hashes.into_iter().map(|h| Some(h.0 as i32)).collect::<Int32Array>()))
        }),
        Udf::new("spark_xxhash64_rows", Ret::Fixed(Arrow::Int64), |args| {
            let hashes = hash_rows(args, XxHash64(42))?;
            Ok(Arc::new(hashes.into_iter().map(|h| Some(h.0 as i64)).collect::<Int64Array>()))
        }),
    ]
}

fn hash_call(name: &'static str, udf: &str, data_type: DataType, args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, usize::MAX)?;
    for arg in &args {
        if contains_map(&arg.data_type) {
            return Err(errors::datatype_mismatch(
                "HASH_MAP_TYPE",
                format!("{name}({})", arg.sql()),
                format!("Input to the function `{name}` cannot contain elements of the \"MAP\" type."),
            ));
        }
    }
    Ok(Typed::new(call(udf, args.into_iter().map(|a| a.expr).collect())?, data_type, false))
}

fn contains_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map { .. } => true,
        DataType::Array { element, .. } => contains_map(element),
        DataType::Struct(fields) => fields.iter().any(|f| contains_map(&f.data_type)),
        _ => false,
    }
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("hash", |_, n, a| hash_call(n, "spark_hash", DataType::Integer, a)),
        F::resolve("xxhash64", |_, n, a| hash_call(n, "spark_xxhash64_rows", DataType::Long, a)),
        F::resolve("md5", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            let value = want(ctx, name, 0, 'b', args.remove(0))?;
            let nullable = value.nullable;
            Ok(Typed::new(
                text(datafusion::functions::crypto::md5().call(vec![value.expr])),
                DataType::String,
                nullable,
            ))
        }),
        F::resolve("sha1", digest),
        F::resolve("sha", digest),
        F::resolve("sha2", |ctx, name, mut args| {
            check_count(name, args.len(), 2, 2)?;
            let bits = want(ctx, name, 1, 'i', args.remove(1))?;
            let value = want(ctx, name, 0, 'b', args.remove(0))?;
            let expr = datafusion_spark::function::hash::sha2().call(vec![value.expr, bits.expr]);
            Ok(Typed::new(text(expr), DataType::String, true))
        }),
        F::resolve("crc32", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            let value = want(ctx, name, 0, 'b', args.remove(0))?;
            let nullable = value.nullable;
            let expr = datafusion_spark::function::hash::crc32().call(vec![value.expr]);
            Ok(Typed::new(expr, DataType::Long, nullable))
        }),
    ]
}

fn text(expr: Expr) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), Arrow::Utf8))
}

fn digest(ctx: &crate::FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 1)?;
    let value = want(ctx, name, 0, 'b', args.remove(0))?;
    let nullable = value.nullable;
    Ok(Typed::new(text(datafusion_spark::function::hash::sha1().call(vec![value.expr])), DataType::String, nullable))
}

/// Functions of others that expressions made here call.
pub(crate) fn borrowed() -> Vec<Arc<ScalarUDF>> {
    vec![
        datafusion::functions::crypto::md5(),
        datafusion_spark::function::hash::sha1(),
        datafusion_spark::function::hash::sha2(),
        datafusion_spark::function::hash::crc32(),
    ]
}
