//! Decimals: powers of ten, rounding, text.

use arrow::datatypes::i256;

pub(crate) const POW10: [i128; 39] = {
    let mut table = [1i128; 39];
    let mut i = 1;
    while i < 39 {
        table[i] = table[i - 1] * 10;
        i += 1;
    }
    table
};

/// 10^n for n up to 76.
pub(crate) fn wide_pow10(n: u32) -> i256 {
    let low = i256::from_i128(POW10[(n.min(38)) as usize]);
    if n <= 38 { low } else { low.wrapping_mul(i256::from_i128(POW10[(n - 38).min(38) as usize])) }
}

/// Whether an unscaled value has at most this many digits.
#[inline]
pub(crate) fn fits(value: i128, precision: u8) -> bool {
    let bound = POW10[usize::from(precision.min(38))];
    value < bound && value > -bound
}

/// Divides by 10^down, halves away from zero.
pub(crate) fn round_i256(value: i256, down: u32) -> i256 {
    if down == 0 {
        return value;
    }
    let divisor = wide_pow10(down);
    let (q, r) = (value.wrapping_div(divisor), value.wrapping_rem(divisor));
    let magnitude = r.wrapping_abs();
    if magnitude >= divisor.wrapping_sub(magnitude) {
        q.wrapping_add(i256::from_i128(if value < i256::ZERO { -1 } else { 1 }))
    } else {
        q
    }
}

/// Divides by 10^down, halves away from zero.
#[inline]
pub(crate) fn round_i128(value: i128, down: u32) -> i128 {
    if down == 0 {
        return value;
    }
    if down > 38 {
        return 0;
    }
    let divisor = POW10[down as usize];
    let (q, r) = (value / divisor, value % divisor);
    if r.abs() >= divisor - r.abs() { q + if value < 0 { -1 } else { 1 } } else { q }
}

/// The value at another scale (halves away from zero), or nothing when it does not fit.
#[inline]
pub(crate) fn rescale(value: i128, from: i8, to: i8, precision: u8) -> Option<i128> {
    let result = if to >= from {
        value.checked_mul(*POW10.get((to - from) as usize)?)?
    } else {
        round_i128(value, (from - to) as u32)
    };
    fits(result, precision).then_some(result)
}

pub(crate) fn write_decimal(out: &mut String, value: i128, scale: i8) {
    use std::fmt::Write;
    if scale <= 0 {
        let _ = write!(out, "{value}");
        for _ in 0..-scale {
            out.push('0');
        }
        return;
    }
    let divisor = POW10[(scale as usize).min(38)].unsigned_abs();
    let magnitude = value.unsigned_abs();
    if value < 0 {
        out.push('-');
    }
    let _ = write!(out, "{}.{:0width$}", magnitude / divisor, magnitude % divisor, width = scale as usize);
}

pub(crate) fn decimal_text(value: i128, scale: i8) -> String {
    let mut out = String::new();
    write_decimal(&mut out, value, scale);
    out
}

/// As Java's `BigDecimal.toString`: an exponent where there are more than six zeros behind the point.
pub(crate) fn write_decimal_scientific(out: &mut String, value: i128, scale: i8) {
    use std::fmt::Write;
    let digits = value.unsigned_abs().to_string();
    let adjusted = digits.len() as i32 - 1 - i32::from(scale);
    if scale >= 0 && adjusted >= -6 {
        return write_decimal(out, value, scale);
    }
    if value < 0 {
        out.push('-');
    }
    out.push_str(&digits[..1]);
    if digits.len() > 1 {
        out.push('.');
        out.push_str(&digits[1..]);
    }
    let _ = write!(out, "E{}{}", if adjusted < 0 { "" } else { "+" }, adjusted);
}

/// The nearest double.
#[inline]
pub(crate) fn to_f64(value: i128, scale: i8) -> f64 {
    // Both sides exact: one correctly rounded division.
    if value.unsigned_abs() <= 1 << 53 && (0..=22).contains(&scale) {
        return value as f64 / POW10[scale as usize] as f64;
    }
    format!("{value}e{}", -i32::from(scale)).parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_rounding() {
        assert_eq!(decimal_text(-5, 2), "-0.05");
        assert_eq!(decimal_text(0, 0), "0");
        assert_eq!(round_i128(-25, 1), -3);
        assert_eq!(round_i128(24, 1), 2);
        let mut s = String::new();
        write_decimal_scientific(&mut s, 123, 12);
        assert_eq!(s, "1.23E-10");
        assert_eq!(to_f64(1, 1), 0.1);
    }
}
