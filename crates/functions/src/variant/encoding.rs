//! The binary form of VARIANT values: Parquet's and Spark's metadata and value, here one behind the other in one binary.
//!
//! The first four bytes are the length of the metadata. Metadata lists the names of all fields; the value refers to them.

use std::collections::BTreeMap;

/// A decoded value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Variant {
    Null,
    Boolean(bool),
    Long(i64),
    Float(f32),
    Double(f64),
    /// The unscaled value and its scale.
    Decimal(i128, u8),
    Date(i32),
    Timestamp(i64),
    TimestampNtz(i64),
    Binary(Vec<u8>),
    Text(String),
    Array(Vec<Variant>),
    /// Sorted by name.
    Object(Vec<(String, Variant)>),
}

/// How deep values may be inside of each other.
pub(super) const MAX_DEPTH: usize = 512;

const PRIMITIVE: u8 = 0;
const SHORT_TEXT: u8 = 1;
const OBJECT: u8 = 2;
const ARRAY: u8 = 3;

/// Bytes that an unsigned number up to `most` takes.
fn width(most: usize) -> usize {
    match most {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xff_ffff => 3,
        _ => 4,
    }
}

fn push_uint(out: &mut Vec<u8>, value: usize, width: usize) {
    out.extend(&value.to_le_bytes()[..width]);
}

impl Variant {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut names = BTreeMap::new();
        self.collect_names(&mut names);
        for (id, place) in names.values_mut().enumerate() {
            *place = id;
        }
        let bytes: usize = names.keys().map(|n| n.len()).sum();
        let size = width(bytes.max(names.len()));
        const VERSION: u8 = 1;
        const SORTED: u8 = 1 << 4;
        let mut metadata = vec![VERSION | SORTED | ((size as u8 - 1) << 6)];
        push_uint(&mut metadata, names.len(), size);
        let mut offset = 0;
        push_uint(&mut metadata, 0, size);
        for name in names.keys() {
            offset += name.len();
            push_uint(&mut metadata, offset, size);
        }
        names.keys().for_each(|n| metadata.extend(n.as_bytes()));
        let mut out = (metadata.len() as u32).to_le_bytes().to_vec();
        out.extend(metadata);
        self.write(&names, &mut out);
        out
    }

    fn collect_names<'a>(&'a self, names: &mut BTreeMap<&'a str, usize>) {
        match self {
            Self::Array(all) => all.iter().for_each(|v| v.collect_names(names)),
            Self::Object(fields) => {
                for (name, value) in fields {
                    names.insert(name, 0);
                    value.collect_names(names);
                }
            }
            _ => {}
        }
    }

    fn write(&self, names: &BTreeMap<&str, usize>, out: &mut Vec<u8>) {
        let primitive = |out: &mut Vec<u8>, kind: u8, bytes: &[u8]| {
            out.push(kind << 2 | PRIMITIVE);
            out.extend(bytes);
        };
        match self {
            Self::Null => primitive(out, 0, &[]),
            Self::Boolean(true) => primitive(out, 1, &[]),
            Self::Boolean(false) => primitive(out, 2, &[]),
            Self::Long(v) => match (i8::try_from(*v), i16::try_from(*v), i32::try_from(*v)) {
                (Ok(v), ..) => primitive(out, 3, &v.to_le_bytes()),
                (_, Ok(v), _) => primitive(out, 4, &v.to_le_bytes()),
                (.., Ok(v)) => primitive(out, 5, &v.to_le_bytes()),
                _ => primitive(out, 6, &v.to_le_bytes()),
            },
            Self::Double(v) => primitive(out, 7, &v.to_le_bytes()),
            Self::Decimal(v, scale) => {
                let fits = |digits: u32| v.unsigned_abs() < 10u128.pow(digits) && u32::from(*scale) <= digits;
                let (kind, size) = if fits(9) {
                    (8, 4)
                } else if fits(18) {
                    (9, 8)
                } else {
                    (10, 16)
                };
                primitive(out, kind, &[*scale]);
                out.extend(&v.to_le_bytes()[..size]);
            }
            Self::Date(v) => primitive(out, 11, &v.to_le_bytes()),
            Self::Timestamp(v) => primitive(out, 12, &v.to_le_bytes()),
            Self::TimestampNtz(v) => primitive(out, 13, &v.to_le_bytes()),
            Self::Float(v) => primitive(out, 14, &v.to_le_bytes()),
            Self::Binary(v) => {
                primitive(out, 15, &(v.len() as u32).to_le_bytes());
                out.extend(v);
            }
            Self::Text(v) if v.len() < 64 => {
                out.push((v.len() as u8) << 2 | SHORT_TEXT);
                out.extend(v.as_bytes());
            }
            Self::Text(v) => {
                primitive(out, 16, &(v.len() as u32).to_le_bytes());
                out.extend(v.as_bytes());
            }
            Self::Array(all) => {
                let parts: Vec<Vec<u8>> = all.iter().map(|v| v.written(names)).collect();
                let (large, size) = (all.len() > 255, width(parts.iter().map(Vec::len).sum()));
                out.push((u8::from(large) << 2 | (size as u8 - 1)) << 2 | ARRAY);
                push_uint(out, all.len(), if large { 4 } else { 1 });
                write_parts(out, &parts, size);
            }
            Self::Object(fields) => {
                let parts: Vec<Vec<u8>> = fields.iter().map(|(_, v)| v.written(names)).collect();
                let ids: Vec<usize> =
                    fields.iter().map(|(n, _)| names.get(n.as_str()).copied().unwrap_or_default()).collect();
                let (large, size) = (fields.len() > 255, width(parts.iter().map(Vec::len).sum()));
                let id_size = width(ids.iter().copied().max().unwrap_or(0));
                out.push((u8::from(large) << 4 | (id_size as u8 - 1) << 2 | (size as u8 - 1)) << 2 | OBJECT);
                push_uint(out, fields.len(), if large { 4 } else { 1 });
                ids.iter().for_each(|id| push_uint(out, *id, id_size));
                write_parts(out, &parts, size);
            }
        }
    }

    fn written(&self, names: &BTreeMap<&str, usize>) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(names, &mut out);
        out
    }

    /// Nothing for what is no variant.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let length = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let (metadata, value) = bytes[4..].split_at_checked(length)?;
        read(value, &names_of(metadata)?, 0)
    }
}

fn write_parts(out: &mut Vec<u8>, parts: &[Vec<u8>], size: usize) {
    let mut offset = 0;
    push_uint(out, 0, size);
    for part in parts {
        offset += part.len();
        push_uint(out, offset, size);
    }
    parts.iter().for_each(|part| out.extend(part));
}

fn uint(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let part = bytes.get(at..at.checked_add(width)?)?;
    Some(part.iter().rev().fold(0, |value, b| value << 8 | usize::from(*b)))
}

fn names_of(metadata: &[u8]) -> Option<Vec<&str>> {
    let size = usize::from(metadata.first()? >> 6) + 1;
    let count = uint(metadata, 1, size)?;
    let offsets = 1 + size;
    let texts = offsets + (count.checked_add(1)?).checked_mul(size)?;
    (0..count)
        .map(|i| {
            let (from, to) =
                (uint(metadata, offsets + i * size, size)?, uint(metadata, offsets + (i + 1) * size, size)?);
            std::str::from_utf8(metadata.get(texts + from..texts + to)?).ok()
        })
        .collect()
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.get(1..1 + N)?.try_into().ok()
}

fn read(bytes: &[u8], names: &[&str], depth: usize) -> Option<Variant> {
    if depth > MAX_DEPTH {
        return None;
    }
    let first = *bytes.first()?;
    let header = first >> 2;
    match first & 3 {
        SHORT_TEXT => {
            let text = bytes.get(1..1 + usize::from(header))?;
            Some(Variant::Text(std::str::from_utf8(text).ok()?.to_owned()))
        }
        OBJECT => {
            let (size, id_size) = (usize::from(header & 3) + 1, usize::from(header >> 2 & 3) + 1);
            let count_size = if header >> 4 & 1 == 1 { 4 } else { 1 };
            let count = uint(bytes, 1, count_size)?;
            let ids = 1 + count_size;
            let offsets = ids + count.checked_mul(id_size)?;
            let values = offsets + (count + 1).checked_mul(size)?;
            (0..count)
                .map(|i| {
                    let name = *names.get(uint(bytes, ids + i * id_size, id_size)?)?;
                    let from = uint(bytes, offsets + i * size, size)?;
                    Some((name.to_owned(), read(bytes.get(values + from..)?, names, depth + 1)?))
                })
                .collect::<Option<Vec<_>>>()
                .map(Variant::Object)
        }
        ARRAY => {
            let size = usize::from(header & 3) + 1;
            let count_size = if header >> 2 & 1 == 1 { 4 } else { 1 };
            let count = uint(bytes, 1, count_size)?;
            let offsets = 1 + count_size;
            let values = offsets + (count + 1).checked_mul(size)?;
            (0..count)
                .map(|i| read(bytes.get(values + uint(bytes, offsets + i * size, size)?..)?, names, depth + 1))
                .collect::<Option<Vec<_>>>()
                .map(Variant::Array)
        }
        _ => primitive(header, bytes),
    }
}

fn primitive(kind: u8, bytes: &[u8]) -> Option<Variant> {
    let decimal = |size: usize| -> Option<Variant> {
        let scale = *bytes.get(1)?;
        let part = bytes.get(2..2 + size)?;
        let sign = if part.last()? & 0x80 != 0 { 0xff } else { 0 };
        let mut full = [sign; 16];
        full[..size].copy_from_slice(part);
        Some(Variant::Decimal(i128::from_le_bytes(full), scale))
    };
    let counted = || bytes.get(5..5 + u32::from_le_bytes(fixed(bytes)?) as usize);
    Some(match kind {
        0 => Variant::Null,
        1 => Variant::Boolean(true),
        2 => Variant::Boolean(false),
        3 => Variant::Long(i64::from(i8::from_le_bytes(fixed(bytes)?))),
        4 => Variant::Long(i64::from(i16::from_le_bytes(fixed(bytes)?))),
        5 => Variant::Long(i64::from(i32::from_le_bytes(fixed(bytes)?))),
        6 => Variant::Long(i64::from_le_bytes(fixed(bytes)?)),
        7 => Variant::Double(f64::from_le_bytes(fixed(bytes)?)),
        8 => decimal(4)?,
        9 => decimal(8)?,
        10 => decimal(16)?,
        11 => Variant::Date(i32::from_le_bytes(fixed(bytes)?)),
        12 => Variant::Timestamp(i64::from_le_bytes(fixed(bytes)?)),
        13 => Variant::TimestampNtz(i64::from_le_bytes(fixed(bytes)?)),
        14 => Variant::Float(f32::from_le_bytes(fixed(bytes)?)),
        15 => Variant::Binary(counted()?.to_vec()),
        16 => Variant::Text(std::str::from_utf8(counted()?).ok()?.to_owned()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        let value = Variant::Object(vec![
            ("a".to_owned(), Variant::Array(vec![Variant::Long(-1), Variant::Long(1 << 40), Variant::Null])),
            ("b".to_owned(), Variant::Decimal(-15, 1)),
            ("c".to_owned(), Variant::Text("x".repeat(100))),
            ("d".to_owned(), Variant::Object(vec![("a".to_owned(), Variant::Double(0.5))])),
        ]);
        assert_eq!(Variant::decode(&value.encode()), Some(value));
        assert_eq!(Variant::decode(&[1, 2, 3]), None);
    }
}
