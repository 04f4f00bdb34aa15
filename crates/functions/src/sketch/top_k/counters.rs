//! Counters of the most frequent items, in a hash table like that of DataSketches' `ItemsSketch`: of equally frequent items
//! the order is the table's.

use arrow::datatypes::DataType as Arrow;
use datafusion::{common::exec_err, error::Result as DfResult, scalar::ScalarValue};

use crate::aggregate::{binary_state::Reader, hash_code};

const LEAST_LG: u32 = 3;
const LOAD: f64 = 0.75;
/// How many counters a purge looks at.
const SAMPLE: usize = 1024;

#[derive(Debug, Clone)]
pub(super) struct Counters {
    lg_most: u32,
    /// An item, its count and how far it is from its place.
    table: Vec<Option<(ScalarValue, i64)>>,
    active: usize,
    /// What purges took from every count.
    offset: i64,
    pub nulls: i64,
}

fn spread(hash: i32) -> u64 {
    let mut key = i64::from(hash) as u64;
    key ^= key >> 33;
    key = key.wrapping_mul(0xff51_afd7_ed55_8ccd);
    key ^= key >> 33;
    key = key.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    key ^ key >> 33
}

/// As Java hashes a boxed value or a string.
fn java_hash(value: &ScalarValue) -> i32 {
    match value {
        ScalarValue::Utf8(Some(text)) => {
            text.encode_utf16().fold(0i32, |h, c| h.wrapping_mul(31).wrapping_add(i32::from(c)))
        }
        other => hash_code(other).unwrap_or(0),
    }
}

impl Counters {
    pub(super) fn new(tracked: i32) -> Self {
        let wanted = (f64::from(tracked.max(1)) / LOAD).ceil() as u64;
        let lg_most = wanted.next_power_of_two().trailing_zeros().max(LEAST_LG);
        Self { lg_most, table: vec![None; 1 << LEAST_LG], active: 0, offset: 0, nulls: 0 }
    }

    fn put(&mut self, item: ScalarValue, count: i64) {
        let mask = self.table.len() - 1;
        let mut at = spread(java_hash(&item)) as usize & mask;
        loop {
            match &mut self.table[at] {
                Some((known, sum)) if *known == item => {
                    *sum += count;
                    return;
                }
                Some(_) => at = (at + 1) & mask,
                none => {
                    *none = Some((item, count));
                    self.active += 1;
                    return;
                }
            }
        }
    }

    pub(super) fn add(&mut self, item: ScalarValue, count: i64) {
        self.put(item, count);
        if self.active <= (self.table.len() as f64 * LOAD) as usize {
            return;
        }
        if self.table.len() < 1 << self.lg_most {
            let size = self.table.len() * 2;
            self.rebuild(size, 0);
        } else {
            // The median of some counts is taken from all.
            let mut counts: Vec<i64> = self.table.iter().flatten().map(|(_, c)| *c).take(SAMPLE).collect();
            counts.sort_unstable();
            let median = counts[counts.len() / 2];
            self.offset += median;
            self.rebuild(self.table.len(), median);
        }
    }

    fn rebuild(&mut self, size: usize, less: i64) {
        let old = std::mem::replace(&mut self.table, vec![None; size]);
        self.active = 0;
        for (item, count) in old.into_iter().flatten() {
            if count > less {
                self.put(item, count - less);
            }
        }
    }

    /// In the order in which the table is walked: by steps of about its golden section.
    fn walked(&self) -> impl Iterator<Item = &(ScalarValue, i64)> {
        let size = self.table.len();
        let step = ((size as f64 * ((5.0f64.sqrt() - 1.0) / 2.0)) as usize) | 1;
        (0..size).map(move |i| (i * step) & (size - 1)).filter_map(|at| self.table[at].as_ref())
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (item, count) in other.walked() {
            self.add(item.clone(), *count);
        }
        self.offset += other.offset;
        self.nulls += other.nulls;
    }

    /// The items that are frequent for sure, most frequent first.
    pub(super) fn frequent(&self) -> Vec<(ScalarValue, i64)> {
        let mut all: Vec<(ScalarValue, i64)> =
            self.walked().filter(|(_, c)| *c > self.offset).map(|(i, c)| (i.clone(), c + self.offset)).collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        all
    }

    pub(super) fn write(&self) -> DfResult<Vec<u8>> {
        let mut out = Vec::new();
        let header = [i64::from(self.lg_most), self.table.len() as i64, self.active as i64, self.offset, self.nulls];
        header.iter().for_each(|v| out.extend(v.to_le_bytes()));
        for (item, count) in self.walked() {
            out.extend(count.to_le_bytes());
            let bytes = item_bytes(item)?;
            out.extend((bytes.len() as i64).to_le_bytes());
            out.extend(bytes);
        }
        Ok(out)
    }

    pub(super) fn read(bytes: &[u8], item: &Arrow) -> DfResult<Self> {
        let mut reader = Reader(bytes);
        let (lg_most, size, active) = (reader.long()?, reader.long()?, reader.long()?);
        let (offset, nulls) = (reader.long()?, reader.long()?);
        if !(i64::from(LEAST_LG)..=30).contains(&lg_most) || size > 1 << lg_most || size < 1 << LEAST_LG {
            return exec_err!("the state of approx_top_k is damaged");
        }
        let table = vec![None; (size as usize).next_power_of_two()];
        let mut counters = Self { lg_most: lg_most as u32, table, active: 0, offset, nulls };
        for _ in 0..active {
            let (count, length) = (reader.long()?, reader.long()? as usize);
            counters.add(item_of_bytes(reader.take(length)?, item)?, count);
        }
        Ok(counters)
    }

    pub(super) fn size(&self) -> usize {
        self.table.len() * 80
    }
}

fn item_bytes(item: &ScalarValue) -> DfResult<Vec<u8>> {
    Ok(match item {
        ScalarValue::Boolean(Some(v)) => vec![u8::from(*v)],
        ScalarValue::Int8(Some(v)) => v.to_le_bytes().to_vec(),
        ScalarValue::Int16(Some(v)) => v.to_le_bytes().to_vec(),
        ScalarValue::Int32(Some(v)) | ScalarValue::Date32(Some(v)) => v.to_le_bytes().to_vec(),
        ScalarValue::Int64(Some(v)) | ScalarValue::TimestampMicrosecond(Some(v), _) => v.to_le_bytes().to_vec(),
        ScalarValue::Float32(Some(v)) => v.to_le_bytes().to_vec(),
        ScalarValue::Float64(Some(v)) => v.to_le_bytes().to_vec(),
        ScalarValue::Decimal128(Some(v), ..) => v.to_le_bytes().to_vec(),
        ScalarValue::Utf8(Some(v)) => v.as_bytes().to_vec(),
        other => return exec_err!("approx_top_k of {other:?}"),
    })
}

fn item_of_bytes(bytes: &[u8], item: &Arrow) -> DfResult<ScalarValue> {
    fn fixed<const N: usize>(bytes: &[u8]) -> DfResult<[u8; N]> {
        match bytes.try_into() {
            Ok(fixed) => Ok(fixed),
            Err(_) => exec_err!("the state of approx_top_k has an item of {} bytes", bytes.len()),
        }
    }
    Ok(match item {
        Arrow::Boolean => ScalarValue::Boolean(Some(fixed::<1>(bytes)? != [0])),
        Arrow::Int8 => ScalarValue::Int8(Some(i8::from_le_bytes(fixed(bytes)?))),
        Arrow::Int16 => ScalarValue::Int16(Some(i16::from_le_bytes(fixed(bytes)?))),
        Arrow::Int32 => ScalarValue::Int32(Some(i32::from_le_bytes(fixed(bytes)?))),
        Arrow::Date32 => ScalarValue::Date32(Some(i32::from_le_bytes(fixed(bytes)?))),
        Arrow::Int64 => ScalarValue::Int64(Some(i64::from_le_bytes(fixed(bytes)?))),
        Arrow::Timestamp(_, zone) => {
            ScalarValue::TimestampMicrosecond(Some(i64::from_le_bytes(fixed(bytes)?)), zone.clone())
        }
        Arrow::Float32 => ScalarValue::Float32(Some(f32::from_le_bytes(fixed(bytes)?))),
        Arrow::Float64 => ScalarValue::Float64(Some(f64::from_le_bytes(fixed(bytes)?))),
        Arrow::Decimal128(p, s) => ScalarValue::Decimal128(Some(i128::from_le_bytes(fixed(bytes)?)), *p, *s),
        Arrow::Utf8 => ScalarValue::Utf8(Some(String::from_utf8_lossy(bytes).into_owned())),
        other => return exec_err!("approx_top_k of {other}"),
    })
}
