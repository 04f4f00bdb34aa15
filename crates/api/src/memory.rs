//! Memory sizes as people write them: Spark's `4g` and Kubernetes' `4Gi`, one parser for both.
//!
//! One-letter suffixes follow Spark, with or without a `b` and in either case: `4g`, `4G`, `4gb` are all 4 × 2³⁰ bytes.
//! The two-letter `Ki Mi Gi Ti Pi` are Kubernetes'. Kubernetes' decimal `4G` cannot be said: Spark's reading of it wins.

use std::fmt;

/// What a schema checks before this parser sees a value; the parser accepts exactly these, plus bare numbers where
/// Spark has a default unit.
pub const PATTERN: &str = r"^[1-9][0-9]{0,14}([bB]|[kKmMgGtTpP][bB]?|[KMGTP]i)$";

const KIB: u64 = 1 << 10;
pub const MIB: u64 = 1 << 20;
pub const GIB: u64 = 1 << 30;

/// Why a size could not be read. The text says what is accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    #[error(
        "'{0}' is not a memory size: write a whole number with a unit, such as 512m, 4g (Spark) or 512Mi, 4Gi (Kubernetes)"
    )]
    Malformed(String),
    #[error("'{0}' has no unit: write {0}m for mebibytes or {0}b for bytes")]
    NoUnit(String),
    #[error("'{0}' is a fraction: use a smaller unit, such as 1536m instead of 1.5g")]
    Fraction(String),
    #[error("'{0}' is zero: a memory size must be positive")]
    Zero(String),
    #[error("'{0}' is larger than any machine: at most 2^63-1 bytes")]
    TooLarge(String),
}

/// A size in bytes. A unit is required.
///
/// ```
/// use firesteel_api::memory::parse;
/// assert_eq!(parse("4g"), parse("4Gi"));
/// assert!(parse("4").is_err());
/// ```
pub fn parse(text: &str) -> Result<u64, MemoryError> {
    parse_inner(text, None)
}

/// A size in bytes; a bare number counts mebibytes, as in Spark's `spark.executor.memory`.
pub fn parse_spark_mib(text: &str) -> Result<u64, MemoryError> {
    parse_inner(text, Some(MIB))
}

fn parse_inner(text: &str, bare: Option<u64>) -> Result<u64, MemoryError> {
    let shown = || text.chars().take(64).collect::<String>();
    let trimmed = text.trim();
    let digits_end = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at(digits_end);
    if digits.is_empty() {
        return Err(MemoryError::Malformed(shown()));
    }
    if unit.starts_with('.') {
        return Err(MemoryError::Fraction(shown()));
    }
    let factor = match unit {
        "" => bare.ok_or_else(|| MemoryError::NoUnit(shown()))?,
        "Ki" => KIB,
        "Mi" => MIB,
        "Gi" => GIB,
        "Ti" => KIB * GIB,
        "Pi" => MIB * GIB,
        other => match other.to_ascii_lowercase().as_str() {
            "b" => 1,
            "k" | "kb" => KIB,
            "m" | "mb" => MIB,
            "g" | "gb" => GIB,
            "t" | "tb" => KIB * GIB,
            "p" | "pb" => MIB * GIB,
            _ => return Err(MemoryError::Malformed(shown())),
        },
    };
    let number: u64 = digits.parse().map_err(|_| MemoryError::TooLarge(shown()))?;
    let bytes =
        number.checked_mul(factor).filter(|b| *b <= i64::MAX as u64).ok_or_else(|| MemoryError::TooLarge(shown()))?;
    if bytes == 0 { Err(MemoryError::Zero(shown())) } else { Ok(bytes) }
}

/// A Kubernetes quantity of that many bytes, in the largest binary unit that is exact.
pub fn quantity(bytes: u64) -> String {
    for (unit, size) in [("Gi", GIB), ("Mi", MIB), ("Ki", KIB)] {
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}

/// Shown to people: one decimal of the largest unit.
#[derive(Debug, Clone, Copy)]
pub struct Human(pub u64);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0 as f64;
        let mut unit = "B";
        for next in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
            if value < 1024.0 {
                break;
            }
            value /= 1024.0;
            unit = next;
        }
        if unit == "B" { write!(f, "{value} {unit}") } else { write!(f, "{value:.1} {unit}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let table: &[(&str, u64)] = &[
            ("1b", 1),
            ("1k", KIB),
            ("512m", 512 * MIB),
            ("512M", 512 * MIB),
            ("512mb", 512 * MIB),
            ("4g", 4 * GIB),
            ("4G", 4 * GIB),
            ("4GB", 4 * GIB),
            ("4Gi", 4 * GIB),
            ("1t", 1024 * GIB),
            ("1Pi", 1024 * 1024 * GIB),
            (" 2g ", 2 * GIB),
        ];
        for (text, bytes) in table {
            assert_eq!(parse(text), Ok(*bytes), "{text}");
        }
        assert_eq!(parse_spark_mib("1024"), Ok(GIB));
        assert_eq!(parse_spark_mib("1g"), Ok(GIB));
    }

    #[test]
    fn refusals_name_the_remedy() {
        assert_eq!(parse("1.5g"), Err(MemoryError::Fraction("1.5g".into())));
        assert_eq!(parse("4"), Err(MemoryError::NoUnit("4".into())));
        assert_eq!(parse("0g"), Err(MemoryError::Zero("0g".into())));
        assert_eq!(parse(""), Err(MemoryError::Malformed("".into())));
        assert_eq!(parse("-1g"), Err(MemoryError::Malformed("-1g".into())));
        assert_eq!(parse("4gib"), Err(MemoryError::Malformed("4gib".into())));
        assert_eq!(parse("9999999999p"), Err(MemoryError::TooLarge("9999999999p".into())));
        assert_eq!(parse("99999999999999999999999g"), Err(MemoryError::TooLarge("99999999999999999999999g".into())));
    }

    #[test]
    fn quantities_read_back() {
        for bytes in [1, KIB, 1408 * MIB, 4 * GIB, GIB + 1] {
            let text = quantity(bytes);
            let read = if text.ends_with('i') { parse(&text).unwrap() } else { text.parse().unwrap() };
            assert_eq!(read, bytes);
        }
    }
}
