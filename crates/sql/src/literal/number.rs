//! Numbers.

use firesteel_plan::{DataType, SparkError, expr::Literal};

use crate::{error, lexer::TokenKind};

/// The value of a number token; `text` may start with a minus.
pub fn number(text: &str, kind: TokenKind) -> Result<Literal, SparkError> {
    let suffix = match kind {
        TokenKind::Long | TokenKind::Short | TokenKind::Byte | TokenKind::Float | TokenKind::Double => 1,
        TokenKind::BigDecimal => 2,
        _ => 0,
    };
    let digits = &text[..text.len() - suffix];
    match kind {
        TokenKind::Integer => {
            if let Ok(value) = digits.parse::<i32>() {
                return Ok(Literal::Integer(value));
            }
            if let Ok(value) = digits.parse::<i64>() {
                return Ok(Literal::Long(value));
            }
            decimal(digits)
        }
        TokenKind::Long => integral(digits, "bigint", i64::MIN, i64::MAX).map(Literal::Long),
        // The bounds fit the types.
        TokenKind::Short => {
            integral(digits, "smallint", i16::MIN.into(), i16::MAX.into()).map(|v| Literal::Short(v as i16))
        }
        TokenKind::Byte => integral(digits, "tinyint", i8::MIN.into(), i8::MAX.into()).map(|v| Literal::Byte(v as i8)),
        TokenKind::Float => {
            let value: f64 = digits.parse().unwrap_or(f64::INFINITY);
            // Also what would be rounded to the greatest.
            if value.abs() > f64::from(f32::MAX) {
                return Err(error::numeric_range(digits, "float", "-3.4028234663852886E+38", "3.4028234663852886E+38"));
            }
            Ok(Literal::Float(digits.parse().unwrap_or(value as f32)))
        }
        TokenKind::Double | TokenKind::Exponent => {
            let value: f64 = digits.parse().unwrap_or(f64::INFINITY);
            if value.is_infinite() {
                return Err(error::numeric_range(
                    digits,
                    "double",
                    "-1.7976931348623157E+308",
                    "1.7976931348623157E+308",
                ));
            }
            Ok(Literal::Double(value))
        }
        _ => decimal(digits),
    }
}

fn integral(digits: &str, type_name: &str, low: i64, high: i64) -> Result<i64, SparkError> {
    let value = digits.parse().ok().filter(|v| (low..=high).contains(v));
    value.ok_or_else(|| error::numeric_range(digits, type_name, &low.to_string(), &high.to_string()))
}

/// `12.340`, `-1.5e3` as a decimal of the precision and scale that its digits need.
fn decimal(text: &str) -> Result<Literal, SparkError> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i64>().unwrap_or(i64::from(i32::MAX))),
        None => (text, 0),
    };
    let (negative, unsigned) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut digits: String = [whole, fraction].concat().trim_start_matches('0').to_owned();
    let mut scale = i64::try_from(fraction.len()).unwrap_or(i64::MAX).saturating_sub(exponent);
    let precision = i64::try_from(digits.len()).unwrap_or(i64::MAX).max(1);
    // Decimals have no negative scale: the zeros are written out.
    let zeros = (-scale).max(0);
    let needed = precision.saturating_add(zeros).max(scale);
    if needed > i64::from(DataType::MAX_PRECISION) {
        return Err(SparkError::new(
            "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION",
            "22003",
            format!("Decimal precision {needed} exceeds max precision {}.", DataType::MAX_PRECISION),
        )
        .param("precision", needed.to_string())
        .param("maxPrecision", DataType::MAX_PRECISION.to_string()));
    }
    if !digits.is_empty() {
        digits.extend(std::iter::repeat_n('0', zeros as usize));
    }
    scale = scale.max(0);
    let magnitude: i128 = if digits.is_empty() { 0 } else { digits.parse().unwrap_or_default() };
    // All are at most 38.
    let precision = (digits.len().max(1) as i64).max(scale) as u8;
    Ok(Literal::Decimal { unscaled: if negative { -magnitude } else { magnitude }, precision, scale: scale as i8 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_the_digits_they_are_written_with() {
        for (text, unscaled, precision, scale) in [
            ("1.20", 120, 3, 2),
            ("0.5", 5, 1, 1),
            ("-.005", -5, 3, 3),
            ("00.10", 10, 2, 2),
            ("0", 0, 1, 0),
            ("0.00", 0, 2, 2),
            ("1e3", 1000, 4, 0),
            ("12345678901234567890", 12_345_678_901_234_567_890, 20, 0),
        ] {
            assert_eq!(decimal(text).unwrap(), Literal::Decimal { unscaled, precision, scale }, "{text}");
        }
        assert!(decimal("1e38").is_err());
        assert!(decimal("1e99999999999").is_err());
    }
}
