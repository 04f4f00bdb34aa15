//! Hive-style partitions: columns whose values are in the names of folders (`day=2026-11-22`).

use arrow::datatypes::{Field, FieldRef};
use datafusion::common::ScalarValue;
use firesteel_plan::{DataType, SparkError, SparkResult, conf::keys, types::StructField};
use std::sync::Arc;

use super::{
    SourceSpec,
    listing::{ListedFile, Listing},
};
use crate::EngineSession;

pub const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// The partition columns of a listing, and each file's values.
#[derive(Debug, Clone, Default)]
pub struct Partitions {
    pub columns: Vec<StructField>,
    /// By file, in the order of the listing.
    pub values: Vec<Vec<ScalarValue>>,
}

/// Finds the partition columns. Types are those of the schema where it names the column, else the narrowest of int,
/// bigint, decimal, double, date, timestamp and string that fits every value, as Spark infers them.
pub fn discover(session: &EngineSession, listing: &Listing, spec: &SourceSpec) -> SparkResult<Partitions> {
    let conf = session.conf();
    let (declared, known) = (spec.schema.as_deref(), spec.partition_columns.as_deref());
    let infers = conf.bool(&keys::PARTITION_TYPE_INFERENCE);
    let zone = firesteel_plan::conf::time_zone(&conf);
    let texts: Vec<Vec<(String, Option<String>)>> = listing.files.iter().map(raw_values).collect();
    let names: Vec<String> = match (known, texts.first()) {
        (Some(known), _) => known.to_vec(),
        (None, Some(first)) => first.iter().map(|(k, _)| k.clone()).collect(),
        (None, None) => Vec::new(),
    };
    if names.is_empty() {
        return Ok(Partitions { columns: Vec::new(), values: vec![Vec::new(); listing.files.len()] });
    }
    for (file, values) in listing.files.iter().zip(&texts) {
        if values.len() != names.len() || values.iter().zip(&names).any(|((k, _), n)| !k.eq_ignore_ascii_case(n)) {
            return Err(SparkError::new(
                "CONFLICTING_PARTITION_COLUMN_NAMES",
                "KD009",
                format!(
                    "Conflicting partition column names detected: {} has not the partition columns ({}) of the other files.",
                    file.meta.location,
                    names.join(", ")
                ),
            ));
        }
    }
    let columns: Vec<StructField> = names
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let given = declared.and_then(|d| d.iter().find(|f| f.name.eq_ignore_ascii_case(name)));
            match given {
                Some(field) => StructField { nullable: true, ..field.clone() },
                None if !infers => StructField::new(name, DataType::String, true),
                None => StructField::new(name, infer(texts.iter().map(|t| t[i].1.as_deref()), &zone), true),
            }
        })
        .collect();
    let values = texts
        .iter()
        .map(|file| {
            file.iter().zip(&columns).map(|((_, text), column)| value(text.as_deref(), column, &zone)).collect()
        })
        .collect::<SparkResult<_>>()?;
    Ok(Partitions { columns, values })
}

impl Partitions {
    pub fn arrow_fields(&self) -> SparkResult<Vec<FieldRef>> {
        self.columns
            .iter()
            .map(|c| Ok(Arc::new(Field::new(&c.name, firesteel_functions::types::to_arrow(&c.data_type)?, true))))
            .collect()
    }

    pub fn names(&self) -> Vec<String> {
        self.columns.iter().map(|c| c.name.clone()).collect()
    }
}

fn raw_values(file: &ListedFile) -> Vec<(String, Option<String>)> {
    let parts: Vec<_> = file.meta.location.parts().skip(file.base_depth).collect();
    parts[..parts.len().saturating_sub(1)]
        .iter()
        .filter_map(|part| {
            let (name, value) = part.as_ref().split_once('=')?;
            let value = unescape(&unescape(value));
            Some((unescape(&unescape(name)), (value != NULL_PARTITION).then_some(value)))
        })
        .collect()
}

fn value(text: Option<&str>, column: &StructField, zone: &str) -> SparkResult<ScalarValue> {
    let arrow = firesteel_functions::types::to_arrow(&column.data_type)?;
    let bad = |_: datafusion::common::DataFusionError| {
        let shown = text.unwrap_or_default();
        SparkError::new(
            "INVALID_PARTITION_VALUE",
            "42846",
            format!(
                "Failed to cast value {shown} to data type \"{}\" for partition column `{}`.",
                column.data_type.to_string().to_uppercase(),
                column.name
            ),
        )
    };
    match text {
        None => ScalarValue::try_from(&arrow).map_err(bad),
        Some(text) if column.data_type == DataType::Timestamp => {
            let Some(micros) = firesteel_functions::instant(text, zone)? else {
                return Err(bad(datafusion::common::DataFusionError::Internal(String::new())));
            };
            Ok(ScalarValue::TimestampMicrosecond(Some(micros), firesteel_functions::types::utc()))
        }
        Some(text) => ScalarValue::Utf8(Some(text.to_owned())).cast_to(&arrow).map_err(bad),
    }
}

fn infer<'a>(values: impl Iterator<Item = Option<&'a str>> + Clone, zone: &str) -> DataType {
    let fits = |test: fn(&str) -> bool| values.clone().flatten().all(test);
    if values.clone().flatten().next().is_none() {
        return DataType::String;
    }
    if fits(|v| v.parse::<i32>().is_ok()) {
        DataType::Integer
    } else if fits(|v| v.parse::<i64>().is_ok()) {
        DataType::Long
    } else if let Some(digits) = whole_digits(values.clone()) {
        DataType::Decimal { precision: digits, scale: 0 }
    } else if fits(|v| v.bytes().all(|b| b.is_ascii_digit() || b".-+eE".contains(&b)) && v.parse::<f64>().is_ok()) {
        DataType::Double
    } else if fits(is_date) {
        DataType::Date
    } else if values.clone().flatten().all(|v| {
        // A time alone, or a year, is no moment.
        v.contains('-') && v.contains(':') && matches!(firesteel_functions::instant(v, zone), Ok(Some(_)))
    }) {
        DataType::Timestamp
    } else {
        DataType::String
    }
}

/// The digits of whole numbers that no bigint holds.
fn whole_digits<'a>(values: impl Iterator<Item = Option<&'a str>>) -> Option<u8> {
    let mut most = 0;
    for value in values.flatten() {
        let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
        if digits.is_empty() || digits.len() > 38 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        most = most.max(digits.len());
    }
    u8::try_from(most).ok()
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 10
        && bytes.iter().enumerate().all(|(i, b)| if i == 4 || i == 7 { *b == b'-' } else { b.is_ascii_digit() })
        && text[5..7].parse::<u32>().is_ok_and(|m| (1..=12).contains(&m))
        && text[8..].parse::<u32>().is_ok_and(|d| (1..=31).contains(&d))
}

/// The inverse of [`escape`].
pub fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = (bytes[i] == b'%')
            .then(|| bytes.get(i + 1..i + 3))
            .flatten()
            .and_then(|h| std::str::from_utf8(h).ok())
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match hex {
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A name or value as part of a folder's name, with the characters that Hive escapes as `%XX`.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_control() || "\"#%'*/:=?\\{[]^\u{7f}".contains(c) {
            out.push_str(&format!("%{:02X}", c as u32));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn infer_utc<'a>(values: impl Iterator<Item = Option<&'a str>> + Clone) -> DataType {
        infer(values, "UTC")
    }

    #[test]
    fn types_of_partition_values() {
        assert_eq!(infer_utc([Some("1"), None, Some("-2")].into_iter()), DataType::Integer);
        assert_eq!(infer_utc([Some("1"), Some("3000000000")].into_iter()), DataType::Long);
        assert_eq!(infer_utc([Some("1.5"), Some("2")].into_iter()), DataType::Double);
        assert_eq!(infer_utc([Some("2026-11-22")].into_iter()), DataType::Date);
        assert_eq!(infer_utc([Some("2026-11-22"), Some("x")].into_iter()), DataType::String);
        assert_eq!(infer_utc([None].into_iter()), DataType::String);
    }

    #[test]
    fn names_survive_escaping() {
        for text in ["a=b", "10:30", "50%", "ü/ö", "plain"] {
            assert_eq!(unescape(&escape(text)), text);
        }
        assert_eq!(escape("10:30"), "10%3A30");
    }
}
