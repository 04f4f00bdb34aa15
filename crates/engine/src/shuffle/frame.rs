//! Batches of flat columns as bytes: smaller than Arrow's own format, and made and read faster.
//!
//! Whole numbers, dates, timestamps and decimals are stored as their distance from the column's least value in a batch, in as few
//! bytes as the largest distance needs: a constant column takes none, most keys four. Texts are their lengths, stored likewise, and
//! their bytes one after the other. What is left is compressed where that is worth it: texts always are tried, numbers
//! now and then (see [`Trial`]).
//!
//! Layout, little endian: rows `u32`; then of each column its validity (`u8`: [`ALL_VALID`], [`SOME_NULL`] with a bitmap, [`ALL_NULL`]
//! with nothing else), then its parts in the order of its type. A part is `codec: u8, stored: u32, raw: u32`, then `stored` bytes.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayData, ArrayRef, AsArray, NullArray, RecordBatch, RecordBatchOptions, make_array, make_view},
    buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer},
    datatypes::{DataType, SchemaRef},
};
use bytes::{Buf, Bytes};
use datafusion::common::{Result, exec_datafusion_err};

use super::block::{BlockCompression, BlockError};

const ALL_VALID: u8 = 0;
const SOME_NULL: u8 = 1;
const ALL_NULL: u8 = 2;

const STORED: u8 = 0;
const LZ4: u8 = 1;
const ZSTD: u8 = 2;

/// Spark's level.
const ZSTD_LEVEL: i32 = 1;
/// Fewer bytes are not worth compressing.
const LEAST_COMPRESSED: usize = 256;
/// Larger parts are taken for damage.
const MAX_PART: usize = 1 << 30;

/// How the values of a type are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Null,
    Boolean,
    /// Whole numbers of so many bytes.
    Integer(usize),
    /// Values of so many bytes that no subtraction makes smaller.
    Raw(usize),
    /// Texts or binaries with offsets of 32 or 64 bits.
    Offsets {
        large: bool,
    },
    View,
}

impl Layout {
    /// `None`: the type is not flat.
    fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Boolean,
            DataType::Float16 => Self::Raw(2),
            DataType::Float32 => Self::Raw(4),
            DataType::Float64 => Self::Raw(8),
            DataType::Interval(arrow::datatypes::IntervalUnit::DayTime) => Self::Raw(8),
            DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano) => Self::Raw(16),
            DataType::FixedSizeBinary(width) => Self::Raw(usize::try_from(*width).ok().filter(|width| *width > 0)?),
            DataType::Utf8 | DataType::Binary => Self::Offsets { large: false },
            DataType::LargeUtf8 | DataType::LargeBinary => Self::Offsets { large: true },
            DataType::Utf8View | DataType::BinaryView => Self::View,
            DataType::Decimal128(..) => Self::Integer(16),
            other => match other.primitive_width() {
                Some(width @ (1 | 2 | 4 | 8)) => Self::Integer(width),
                _ => return None,
            },
        })
    }
}

/// Whether batches of this schema can be stored so.
pub fn is_flat(schema: &SchemaRef) -> bool {
    schema.fields().iter().all(|field| Layout::of(field.data_type()).is_some())
}

// ---- writing

/// Whether compressing the numbers of a column is worth it: found out by trying, again after some frames.
#[derive(Debug, Clone, Copy, Default)]
struct Trial {
    worth: bool,
    /// Frames until the next try.
    left: u32,
}

/// Frames between tries.
const TRY_EVERY: u32 = 16;

impl Trial {
    fn is_due(&mut self) -> bool {
        if self.left == 0 {
            self.left = TRY_EVERY;
            return true;
        }
        self.left -= 1;
        self.worth
    }
}

/// Appends batches of one schema to buffers.
pub struct FrameEncoder {
    compression: BlockCompression,
    trials: Vec<Trial>,
    /// The last part compressed is at its beginning.
    compressed: Vec<u8>,
    bytes: Vec<u8>,
}

impl FrameEncoder {
    pub fn new(schema: &SchemaRef, compression: BlockCompression) -> Self {
        let trials = vec![Trial::default(); schema.fields().len()];
        Self { compression, trials, compressed: Vec::new(), bytes: Vec::new() }
    }

    pub fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let rows = u32::try_from(batch.num_rows()).map_err(|_| exec_datafusion_err!("a batch of too many rows"))?;
        out.extend_from_slice(&rows.to_le_bytes());
        for (index, column) in batch.columns().iter().enumerate() {
            self.column(index, column, out)?;
        }
        Ok(())
    }

    fn column(&mut self, index: usize, column: &ArrayRef, out: &mut Vec<u8>) -> Result<()> {
        let layout = Layout::of(column.data_type());
        let Some(layout) = layout else { return Err(exec_datafusion_err!("{} is not flat", column.data_type())) };
        let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
        match nulls {
            _ if layout == Layout::Null => return Ok(()),
            None => out.push(ALL_VALID),
            Some(nulls) if nulls.null_count() == column.len() => {
                out.push(ALL_NULL);
                return Ok(());
            }
            Some(nulls) => {
                out.push(SOME_NULL);
                self.part(nulls.inner().sliced().as_slice(), true, out)?;
            }
        }
        let rows = column.len();
        match layout {
            Layout::Null => Ok(()),
            Layout::Boolean => {
                let bits = column.as_boolean().values().sliced();
                self.part(&bits.as_slice()[..rows.div_ceil(8)], true, out)
            }
            Layout::Integer(width) => {
                let data = column.to_data();
                match width {
                    1 => self.integers(index, &data.buffer::<i8>(0)[..rows], nulls, out),
                    2 => self.integers(index, &data.buffer::<i16>(0)[..rows], nulls, out),
                    4 => self.integers(index, &data.buffer::<i32>(0)[..rows], nulls, out),
                    8 => self.integers(index, &data.buffer::<i64>(0)[..rows], nulls, out),
                    _ => self.integers(index, &data.buffer::<i128>(0)[..rows], nulls, out),
                }
            }
            Layout::Raw(width) => {
                let data = column.to_data();
                let start = data.offset() * width;
                let compress = self.trials.get_mut(index).is_none_or(Trial::is_due);
                self.tried(index, &data.buffers()[0].as_slice()[start..start + rows * width], compress, out)
            }
            Layout::Offsets { large: false } => {
                let data = column.to_data();
                let offsets = &data.buffer::<i32>(0)[..=rows];
                let lengths: Vec<i32> = offsets.windows(2).map(|pair| pair[1] - pair[0]).collect();
                self.integers(index, &lengths, None, out)?;
                self.part(&data.buffers()[1].as_slice()[offsets[0] as usize..offsets[rows] as usize], true, out)
            }
            Layout::Offsets { large: true } => {
                let data = column.to_data();
                let offsets = &data.buffer::<i64>(0)[..=rows];
                let lengths: Vec<i64> = offsets.windows(2).map(|pair| pair[1] - pair[0]).collect();
                self.integers(index, &lengths, None, out)?;
                self.part(&data.buffers()[1].as_slice()[offsets[0] as usize..offsets[rows] as usize], true, out)
            }
            Layout::View => self.views(index, column, nulls, out),
        }
    }

    fn views(&mut self, index: usize, column: &ArrayRef, nulls: Option<&NullBuffer>, out: &mut Vec<u8>) -> Result<()> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut lengths = Vec::with_capacity(column.len());
        let mut add = |row: usize, value: &[u8]| {
            // What is null may refer to anything.
            let value = if nulls.is_none_or(|nulls| nulls.is_valid(row)) { value } else { &[] };
            bytes.extend_from_slice(value);
            lengths.push(value.len() as i32);
        };
        match column.data_type() {
            DataType::Utf8View => {
                let views = column.as_string_view();
                (0..views.len()).for_each(|row| add(row, views.value(row).as_bytes()));
            }
            _ => {
                let views = column.as_binary_view();
                (0..views.len()).for_each(|row| add(row, views.value(row)));
            }
        }
        let stored = self.integers(index, &lengths, None, out).and_then(|()| self.part(&bytes, true, out));
        self.bytes = bytes;
        stored
    }

    /// Width, the least value, and a part of distances from it.
    fn integers<T: Integer>(
        &mut self,
        index: usize,
        values: &[T],
        nulls: Option<&NullBuffer>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let (least, range) = match nulls {
            None => range_of(values.iter().copied()),
            Some(nulls) => range_of(nulls.valid_indices().filter_map(|row| values.get(row).copied())),
        };
        let width = width_of(range).min(size_of::<T>());
        out.push(width as u8);
        least.put(out);
        let compress = width > 0 && self.trials.get_mut(index).is_none_or(Trial::is_due);
        // Null ones are nothing, not what happens to be there.
        let masked: Vec<T>;
        let values = match nulls {
            None => values,
            Some(nulls) => {
                let mut copy = vec![least; values.len()];
                for row in nulls.valid_indices() {
                    if let (Some(to), Some(from)) = (copy.get_mut(row), values.get(row)) {
                        *to = *from;
                    }
                }
                masked = copy;
                &masked
            }
        };
        let distances = match width {
            0 => Buffer::from_vec(Vec::<u8>::new()),
            1 => Buffer::from_vec(values.iter().map(|v| v.distance(least) as u8).collect::<Vec<u8>>()),
            2 => Buffer::from_vec(values.iter().map(|v| v.distance(least) as u16).collect::<Vec<u16>>()),
            4 => Buffer::from_vec(values.iter().map(|v| v.distance(least) as u32).collect::<Vec<u32>>()),
            8 => Buffer::from_vec(values.iter().map(|v| v.distance(least)).collect::<Vec<u64>>()),
            _ => Buffer::from_vec(values.iter().map(|v| v.wide_distance(least)).collect::<Vec<u128>>()),
        };
        self.tried(index, distances.as_slice(), compress, out)
    }

    /// A part of a column's numbers; notes whether it was worth compressing.
    fn tried(&mut self, index: usize, raw: &[u8], compress: bool, out: &mut Vec<u8>) -> Result<()> {
        let before = out.len();
        self.part(raw, compress, out)?;
        if compress
            && raw.len() >= LEAST_COMPRESSED
            && let Some(trial) = self.trials.get_mut(index)
        {
            // A third must go, for what it costs.
            trial.worth = (out.len() - before) * 3 <= raw.len() * 2;
        }
        Ok(())
    }

    fn part(&mut self, raw: &[u8], compress: bool, out: &mut Vec<u8>) -> Result<()> {
        let length = u32::try_from(raw.len()).ok().filter(|_| raw.len() <= MAX_PART);
        let length = length.ok_or_else(|| exec_datafusion_err!("a column of {} bytes in one batch", raw.len()))?;
        let compressed = if compress && raw.len() >= LEAST_COMPRESSED { self.compress(raw)? } else { None };
        let (codec, stored) = compressed.map_or((STORED, raw), |(codec, length)| (codec, &self.compressed[..length]));
        out.push(codec);
        out.extend_from_slice(&(stored.len() as u32).to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(stored);
        Ok(())
    }

    /// Into `self.compressed`. Answers codec and length: `None` where that saves less than an eighth.
    fn compress(&mut self, raw: &[u8]) -> Result<Option<(u8, usize)>> {
        let (codec, length) = match self.compression {
            BlockCompression::None => return Ok(None),
            BlockCompression::Lz4 => {
                let most = lz4_flex::block::get_maximum_output_size(raw.len());
                if self.compressed.len() < most {
                    self.compressed.resize(most, 0);
                }
                let length = lz4_flex::block::compress_into(raw, &mut self.compressed)
                    .map_err(|e| exec_datafusion_err!("lz4: {e}"))?;
                (LZ4, length)
            }
            BlockCompression::Zstd => {
                self.compressed = zstd::bulk::compress(raw, ZSTD_LEVEL)?;
                (ZSTD, self.compressed.len())
            }
        };
        Ok((length <= raw.len() - raw.len() / 8).then_some((codec, length)))
    }
}

/// A whole number, signed as it is stored.
trait Integer: Copy + Ord {
    const ZERO: Self;
    /// As unsigned, of the 64 lowest bits.
    fn distance(self, least: Self) -> u64;
    fn wide_distance(self, least: Self) -> u128;
    fn plus(self, distance: u128) -> Self;
    fn put(self, out: &mut Vec<u8>);
    fn take(bytes: &mut Bytes) -> Option<Self>;
}

macro_rules! integer {
    ($($signed:ty as $unsigned:ty;)*) => {$(
        impl Integer for $signed {
            const ZERO: Self = 0;

            #[inline]
            fn distance(self, least: Self) -> u64 {
                self.wrapping_sub(least) as $unsigned as u64
            }

            #[inline]
            fn wide_distance(self, least: Self) -> u128 {
                self.wrapping_sub(least) as $unsigned as u128
            }

            #[inline]
            fn plus(self, distance: u128) -> Self {
                self.wrapping_add(distance as $signed)
            }

            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn take(bytes: &mut Bytes) -> Option<Self> {
                let value = Self::from_le_bytes(*bytes.first_chunk()?);
                bytes.advance(size_of::<Self>());
                Some(value)
            }
        }
    )*};
}

integer! {
    i8 as u8;
    i16 as u16;
    i32 as u32;
    i64 as u64;
    i128 as u128;
}

/// The least value, and how far the largest is from it.
fn range_of<T: Integer>(values: impl Iterator<Item = T>) -> (T, u128) {
    let mut ends: Option<(T, T)> = None;
    for value in values {
        ends = Some(match ends {
            None => (value, value),
            Some((least, most)) => (least.min(value), most.max(value)),
        });
    }
    ends.map_or((T::ZERO, 0), |(least, most)| (least, most.wide_distance(least)))
}

fn width_of(range: u128) -> usize {
    match range {
        0 => 0,
        1..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        0x1_0000_0000..=0xffff_ffff_ffff_ffff => 8,
        _ => 16,
    }
}

// ---- reading

/// A batch of `schema` from what [`FrameEncoder::encode`] has made.
pub fn decode(schema: &SchemaRef, mut bytes: Bytes) -> Result<RecordBatch, BlockError> {
    let rows = number(&mut bytes)?;
    let columns = schema.fields().iter().map(|field| column(field.data_type(), rows, &mut bytes));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    if !bytes.is_empty() {
        return Err(damaged("bytes after the last column"));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

fn damaged(what: &str) -> BlockError {
    BlockError::Damaged(format!("a frame with {what}"))
}

fn number(bytes: &mut Bytes) -> Result<usize, BlockError> {
    let word = bytes.first_chunk().copied().ok_or_else(|| damaged("an early end"))?;
    bytes.advance(4);
    Ok(u32::from_le_bytes(word) as usize)
}

fn byte(bytes: &mut Bytes) -> Result<u8, BlockError> {
    let first = bytes.first().copied().ok_or_else(|| damaged("an early end"))?;
    bytes.advance(1);
    Ok(first)
}

fn part(bytes: &mut Bytes) -> Result<Bytes, BlockError> {
    let (codec, stored, raw) = (byte(bytes)?, number(bytes)?, number(bytes)?);
    if stored > bytes.len() || raw > MAX_PART {
        return Err(damaged("a part longer than it"));
    }
    let stored = bytes.split_to(stored);
    let plain = match codec {
        STORED => stored,
        LZ4 => lz4_flex::block::decompress(&stored, raw).map_err(|e| BlockError::Damaged(format!("lz4: {e}")))?.into(),
        ZSTD => zstd::bulk::decompress(&stored, raw).map_err(|e| BlockError::Damaged(format!("zstd: {e}")))?.into(),
        _ => return Err(damaged("an unknown codec")),
    };
    if plain.len() == raw { Ok(plain) } else { Err(damaged("a part of another length than it says")) }
}

/// A part of exactly so many bytes.
fn part_of(bytes: &mut Bytes, length: usize) -> Result<Bytes, BlockError> {
    let part = part(bytes)?;
    if part.len() == length { Ok(part) } else { Err(damaged("a part of another length than its rows have")) }
}

fn column(data_type: &DataType, rows: usize, bytes: &mut Bytes) -> Result<ArrayRef, BlockError> {
    let layout = Layout::of(data_type).ok_or_else(|| damaged("a column that is not flat"))?;
    if layout == Layout::Null {
        return Ok(Arc::new(NullArray::new(rows)));
    }
    let nulls = match byte(bytes)? {
        ALL_VALID => None,
        SOME_NULL => {
            let bits = part_of(bytes, rows.div_ceil(8))?;
            Some(NullBuffer::new(BooleanBuffer::new(Buffer::from(bits), 0, rows)))
        }
        ALL_NULL => return Ok(arrow::array::new_null_array(data_type, rows)),
        _ => return Err(damaged("an unknown validity")),
    };
    let data = ArrayData::builder(data_type.clone()).len(rows).nulls(nulls);
    let data = match layout {
        Layout::Null => data,
        Layout::Boolean => data.add_buffer(Buffer::from(part_of(bytes, rows.div_ceil(8))?)),
        Layout::Integer(1) => data.add_buffer(Buffer::from_vec(integers::<i8>(rows, bytes)?)),
        Layout::Integer(2) => data.add_buffer(Buffer::from_vec(integers::<i16>(rows, bytes)?)),
        Layout::Integer(4) => data.add_buffer(Buffer::from_vec(integers::<i32>(rows, bytes)?)),
        Layout::Integer(8) => data.add_buffer(Buffer::from_vec(integers::<i64>(rows, bytes)?)),
        Layout::Integer(_) => data.add_buffer(Buffer::from_vec(integers::<i128>(rows, bytes)?)),
        Layout::Raw(width) => {
            // Aligned as its type wants it.
            let values = part_of(bytes, rows.saturating_mul(width))?;
            let mut buffer = MutableBuffer::new(values.len());
            buffer.extend_from_slice(&values);
            data.add_buffer(buffer.into())
        }
        Layout::Offsets { large } => {
            let lengths = if large { integers::<i64>(rows, bytes)? } else { wide(&integers::<i32>(rows, bytes)?) };
            let text = part(bytes)?;
            let ends = ends_of(&lengths, text.len())?;
            let offsets = if large {
                Buffer::from_vec(std::iter::once(0).chain(ends).collect::<Vec<i64>>())
            } else {
                // Part lengths are below 2 GiB.
                Buffer::from_vec(std::iter::once(0).chain(ends.into_iter().map(|end| end as i32)).collect::<Vec<i32>>())
            };
            data.add_buffer(offsets).add_buffer(Buffer::from(text))
        }
        Layout::View => {
            let lengths = wide(&integers::<i32>(rows, bytes)?);
            let text = part(bytes)?;
            let ends = ends_of(&lengths, text.len())?;
            let view = |(end, length): (&i64, &i64)| {
                let start = (end - length) as usize;
                make_view(&text[start..*end as usize], 0, start as u32)
            };
            let views: Vec<u128> = ends.iter().zip(&lengths).map(view).collect();
            data.add_buffer(Buffer::from_vec(views)).add_buffer(Buffer::from(text))
        }
    };
    Ok(make_array(data.build()?))
}

fn wide(lengths: &[i32]) -> Vec<i64> {
    lengths.iter().map(|length| i64::from(*length)).collect()
}

/// Where each text ends.
fn ends_of(lengths: &[i64], total: usize) -> Result<Vec<i64>, BlockError> {
    let mut end = 0i64;
    let mut ends = Vec::with_capacity(lengths.len());
    for length in lengths {
        if *length < 0 {
            return Err(damaged("a text of negative length"));
        }
        end = end.saturating_add(*length);
        ends.push(end);
    }
    if usize::try_from(end) == Ok(total) { Ok(ends) } else { Err(damaged("texts of another length than its bytes")) }
}

fn integers<T: Integer>(rows: usize, bytes: &mut Bytes) -> Result<Vec<T>, BlockError> {
    let width = usize::from(byte(bytes)?);
    let least = T::take(bytes).ok_or_else(|| damaged("an early end"))?;
    let part = part_of(bytes, rows.saturating_mul(width))?;
    fn all<T: Integer, const N: usize>(part: &[u8], least: T, of: impl Fn([u8; N]) -> u128) -> Vec<T> {
        part.as_chunks::<N>().0.iter().map(|chunk| least.plus(of(*chunk))).collect()
    }
    Ok(match width {
        0 => vec![least; rows],
        1 => all(&part, least, |c: [u8; 1]| u128::from(c[0])),
        2 => all(&part, least, |c| u128::from(u16::from_le_bytes(c))),
        4 => all(&part, least, |c| u128::from(u32::from_le_bytes(c))),
        8 => all(&part, least, |c| u128::from(u64::from_le_bytes(c))),
        16 => all(&part, least, u128::from_le_bytes),
        _ => return Err(damaged("numbers of an unknown width")),
    })
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{
            BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int8Array, Int64Array,
            LargeStringArray, StringArray, StringViewArray, TimestampMicrosecondArray, UInt64Array,
        },
        datatypes::{Field, Schema},
    };

    use super::*;

    fn batch(rows: i64) -> RecordBatch {
        let word = |row: i64| (row % 5 != 0).then(|| format!("{}{row}", "word ".repeat((row % 7) as usize)));
        let words: Vec<Option<String>> = (0..rows).map(word).collect();
        let binary = words.iter().map(|word| word.as_ref().map(String::as_bytes));
        let ends = [i64::MIN, i64::MAX, 0, -1, 1];
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("constant", Arc::new(Int64Array::from_iter_values((0..rows).map(|_| 42)))),
            ("small", Arc::new(Int64Array::from_iter_values((0..rows).map(|row| 1_000_000_000_000 + row % 200)))),
            ("key", Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row * 7919 % 60_000_000)))),
            (
                "any",
                Arc::new(Int64Array::from_iter((0..rows).map(|row| (row % 3 > 0).then(|| ends[row as usize % 5])))),
            ),
            ("unsigned", Arc::new(UInt64Array::from_iter_values((0..rows).map(|row| u64::MAX - row as u64)))),
            ("tiny", Arc::new(Int8Array::from_iter((0..rows).map(|row| (row % 2 > 0).then_some(row as i8))))),
            ("none", Arc::new(Int64Array::new_null(rows as usize))),
            ("nothing", Arc::new(NullArray::new(rows as usize))),
            ("flag", Arc::new(BooleanArray::from_iter((0..rows).map(|row| (row % 4 > 0).then_some(row % 3 == 0))))),
            ("day", Arc::new(Date32Array::from_iter_values((0..rows).map(|row| 8000 + (row % 2500) as i32)))),
            ("time", Arc::new(TimestampMicrosecondArray::from_iter_values(0..rows).with_timezone("UTC"))),
            ("price", {
                let prices = Decimal128Array::from_iter_values((0..rows).map(|row| i128::from(row) * 131 - 5000));
                Arc::new(prices.with_precision_and_scale(15, 2).unwrap())
            }),
            ("huge", {
                let huge =
                    (0..rows).map(|row| if row % 2 == 0 { -10i128.pow(37) } else { 10i128.pow(37) + i128::from(row) });
                Arc::new(Decimal128Array::from_iter_values(huge).with_precision_and_scale(38, 0).unwrap())
            }),
            ("real", Arc::new(Float64Array::from_iter((0..rows).map(|row| (row % 9 > 0).then_some(1.0 / row as f64))))),
            ("text", Arc::new(StringArray::from_iter(&words))),
            ("large", Arc::new(LargeStringArray::from_iter(&words))),
            ("view", Arc::new(StringViewArray::from_iter(&words))),
            ("binary", Arc::new(BinaryViewArray::from_iter(binary))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
            .unwrap()
    }

    fn there_and_back(encoder: &mut FrameEncoder, batch: &RecordBatch) -> usize {
        let mut bytes = Vec::new();
        encoder.encode(batch, &mut bytes).unwrap();
        let length = bytes.len();
        assert_eq!(&decode(&batch.schema(), bytes.into()).unwrap(), batch);
        length
    }

    #[test]
    fn batches_come_back_as_they_were() {
        for compression in [BlockCompression::None, BlockCompression::Lz4, BlockCompression::Zstd] {
            for rows in [0, 1, 7, 8, 1000] {
                let batch = batch(rows);
                let mut encoder = FrameEncoder::new(&batch.schema(), compression);
                for start in [0, rows / 3, rows / 2] {
                    there_and_back(&mut encoder, &batch.slice(start as usize, (rows - start) as usize));
                }
            }
        }
    }

    #[test]
    fn numbers_take_the_bytes_that_their_range_needs() {
        let rows = 10_000;
        let columns = |names: &[&str]| {
            let batch = batch(rows);
            let indexes: Vec<usize> = names.iter().map(|name| batch.schema().index_of(name).unwrap()).collect();
            let one = batch.project(&indexes).unwrap();
            there_and_back(&mut FrameEncoder::new(&one.schema(), BlockCompression::None), &one)
        };
        let bytes = |each: usize| each * rows as usize..each * rows as usize + 64;
        for (names, each) in
            [(&["constant"][..], 0), (&["none", "nothing"], 0), (&["small"], 1), (&["day"], 2), (&["key", "price"], 8)]
        {
            assert!(bytes(each).contains(&columns(names)), "{names:?}: {}", columns(names));
        }
    }

    #[test]
    fn numbers_are_compressed_where_it_pays() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let mut encoder = FrameEncoder::new(&schema, BlockCompression::Lz4);
        let of = |value: fn(i64) -> i64| {
            let values = Int64Array::from_iter_values((0..8192).map(value));
            RecordBatch::try_new(schema.clone(), vec![Arc::new(values)]).unwrap()
        };
        let repeated = of(|row| row / 1000 * 1_000_003);
        let mixed = of(|row| (row.wrapping_mul(2_654_435_761)) % 1_000_000_007);
        assert!((0..3).all(|_| there_and_back(&mut encoder, &repeated) < 2000));
        // Not compressed any more once that was tried in vain, and compressed again when it pays again.
        let sizes: Vec<usize> = (0..20).map(|_| there_and_back(&mut encoder, &mixed)).collect();
        assert!(sizes.iter().all(|size| *size >= 4 * 8192), "{sizes:?}");
        assert!(!encoder.trials[0].worth);
        assert!((0..40).any(|_| there_and_back(&mut encoder, &repeated) < 2000));
    }

    #[test]
    fn damage_is_an_error() {
        let batch = batch(100);
        let mut bytes = Vec::new();
        FrameEncoder::new(&batch.schema(), BlockCompression::Lz4).encode(&batch, &mut bytes).unwrap();
        for cut in 0..bytes.len() {
            assert!(decode(&batch.schema(), Bytes::copy_from_slice(&bytes[..cut])).is_err(), "cut at {cut}");
        }
        let other = Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, true)]));
        assert!(decode(&other, bytes.into()).is_err());
    }
}
