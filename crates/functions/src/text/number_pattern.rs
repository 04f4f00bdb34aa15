//! The patterns of Java's `DecimalFormat`, which `format_number(number, pattern)` takes.

use arrow::{
    array::ArrayRef,
    datatypes::{DataType as Arrow, Decimal128Type, Float64Type},
};
use datafusion::error::Result as DfResult;
use firesteel_plan::SparkError;

use crate::{
    errors::external,
    numeric::decimal::decimal_text,
    udf::{Args, Ret, Udf, strings},
};

pub(super) fn udfs() -> Vec<Udf> {
    vec![Udf::new("spark_format_pattern", Ret::Fixed(Arrow::Utf8), format_pattern)]
}

/// No number has more digits than this behind the point.
const MOST_DIGITS: usize = 340;

#[derive(Debug, Default, PartialEq)]
struct Affixes {
    prefix: String,
    suffix: String,
}

#[derive(Debug)]
struct Pattern {
    positive: Affixes,
    negative: Option<Affixes>,
    least_integer: usize,
    least_fraction: usize,
    most_fraction: usize,
    /// Digits of a group; none is not grouped.
    group: Option<usize>,
    /// The power of ten of `%` and `‰`.
    shift: usize,
    always_point: bool,
}

/// The digits in front of the first zero, the zeros, the digits behind them; where the point and the last comma are.
#[derive(Default)]
struct Digits {
    left: usize,
    zeros: usize,
    right: usize,
    point: Option<usize>,
    group: Option<usize>,
}

impl Digits {
    fn total(&self) -> usize {
        self.left + self.zeros + self.right
    }

    fn add(&mut self, c: char) -> Result<(), &'static str> {
        match c {
            '#' if self.zeros > 0 => self.right += 1,
            '#' => self.left += 1,
            '0' if self.right > 0 => return Err("unexpected '0'"),
            '0' => self.zeros += 1,
            ',' => {
                self.group = Some(0);
                return Ok(());
            }
            _ if self.point.is_some() => return Err("more than one decimal separator"),
            _ => {
                self.point = Some(self.total());
                return Ok(());
            }
        }
        if let (Some(group), None) = (self.group.as_mut(), self.point) {
            *group += 1;
        }
        Ok(())
    }

    /// `###.###` is `##0.###`.
    fn settle(&mut self) -> Result<(), &'static str> {
        if let (0, 1.., Some(point)) = (self.zeros, self.left, self.point) {
            let whole = point.max(1);
            self.right = self.left.saturating_sub(whole);
            self.left = whole - 1;
            self.zeros = 1;
        }
        let misplaced = match self.point {
            None => self.right > 0,
            Some(point) => point < self.left || point > self.left + self.zeros,
        };
        if misplaced || self.group == Some(0) {
            return Err("malformed pattern");
        }
        Ok(())
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Ok(Self {
                positive: Affixes::default(),
                negative: None,
                least_integer: 0,
                least_fraction: 0,
                most_fraction: MOST_DIGITS,
                group: None,
                shift: 0,
                always_point: false,
            });
        }
        let mut chars = text.chars().peekable();
        let mut shift = 0;
        let (positive, mut digits, more) = part(&mut chars, &mut shift)?;
        let negative = if more {
            let (negative, _, more) = part(&mut chars, &mut 0)?;
            if more {
                return Err("malformed pattern");
            }
            Some(negative).filter(|n| *n != positive)
        } else {
            None
        };
        digits.settle()?;
        let total = digits.total();
        let point = digits.point.unwrap_or(total);
        Ok(Self {
            positive,
            negative,
            least_integer: point - digits.left,
            least_fraction: digits.point.map_or(0, |p| digits.left + digits.zeros - p),
            most_fraction: digits.point.map_or(0, |p| total - p).min(MOST_DIGITS),
            group: digits.group,
            shift,
            always_point: digits.point.is_some_and(|p| p == 0 || p == total),
        })
    }

    fn wrap(&self, negative: bool, body: &str, out: &mut String) {
        let affixes = match &self.negative {
            Some(own) if negative => own,
            _ => {
                if negative {
                    out.push('-');
                }
                &self.positive
            }
        };
        out.push_str(&affixes.prefix);
        out.push_str(body);
        out.push_str(&affixes.suffix);
    }

    /// A number written out, without its sign and rounded already.
    fn write(&self, negative: bool, plain: &str, out: &mut String) {
        let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
        let whole = whole.trim_start_matches('0');
        let mut fraction = fraction.trim_end_matches('0').to_owned();
        while fraction.len() < self.least_fraction {
            fraction.push('0');
        }
        let mut whole = format!("{}{whole}", "0".repeat(self.least_integer.saturating_sub(whole.len())));
        if whole.is_empty() && fraction.is_empty() {
            whole.push('0');
        }
        let mut body = String::new();
        for (i, digit) in whole.chars().enumerate() {
            if let Some(group) = self.group
                && i > 0
                && (whole.len() - i).is_multiple_of(group)
            {
                body.push(',');
            }
            body.push(digit);
        }
        if !fraction.is_empty() || self.always_point {
            body.push('.');
            body.push_str(&fraction);
        }
        self.wrap(negative, &body, out);
    }

    fn double(&self, value: f64, out: &mut String) {
        if value.is_nan() {
            out.push_str("NaN");
            return;
        }
        if value.is_infinite() {
            return self.wrap(value < 0.0, "∞", out);
        }
        let scaled = value.abs() * 10_f64.powi(self.shift as i32);
        // The digits that the number prints as; more of them are rounded by the number that it is.
        let printed = format!("{scaled}");
        let places = printed.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let plain = if places <= self.most_fraction { printed } else { format!("{scaled:.*}", self.most_fraction) };
        self.write(value.is_sign_negative(), &plain, out);
    }

    fn decimal(&self, unscaled: i128, scale: i8, out: &mut String) {
        let text = decimal_text(unscaled.saturating_abs(), scale);
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        // The point moves to the right for % and ‰.
        let padded = format!("{fraction}{}", "0".repeat(self.shift.saturating_sub(fraction.len())));
        let (moved, fraction) = padded.split_at(self.shift);
        let plain = round_half_even(&format!("{whole}{moved}"), fraction, self.most_fraction);
        self.write(unscaled < 0, &plain, out);
    }
}

/// Keeps so many digits of a fraction.
fn round_half_even(whole: &str, fraction: &str, places: usize) -> String {
    if fraction.len() <= places {
        return format!("{whole}.{fraction}");
    }
    let (kept, dropped) = fraction.split_at(places);
    let mut digits: Vec<u8> = whole.bytes().chain(kept.bytes()).map(|b| b - b'0').collect();
    let tie = dropped.starts_with('5') && dropped[1..].bytes().all(|b| b == b'0');
    let odd = digits.last().is_some_and(|d| d % 2 == 1);
    if if tie { odd } else { dropped.as_bytes()[0] >= b'5' } {
        let mut at = digits.len();
        loop {
            if at == 0 {
                digits.insert(0, 1);
                break;
            }
            at -= 1;
            if digits[at] < 9 {
                digits[at] += 1;
                break;
            }
            digits[at] = 0;
        }
    }
    let text: String = digits.iter().map(|d| (d + b'0') as char).collect();
    let (whole, fraction) = text.split_at(text.len() - places);
    format!("{whole}.{fraction}")
}

/// One half of a pattern, and whether `;` and another come behind it.
fn part(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    shift: &mut usize,
) -> Result<(Affixes, Digits, bool), &'static str> {
    let mut affixes = Affixes::default();
    let mut digits = Digits::default();
    let mut in_suffix = false;
    let mut started = false;
    let mut quoted = false;
    while let Some(c) = chars.next() {
        if !quoted && !in_suffix && matches!(c, '#' | '0' | ',' | '.') {
            started = true;
            digits.add(c)?;
            continue;
        }
        if c == 'E' && started && !in_suffix && !quoted {
            return Err("an exponent is not in this version");
        }
        in_suffix |= started;
        let affix = if in_suffix { &mut affixes.suffix } else { &mut affixes.prefix };
        match c {
            '\'' if chars.peek() == Some(&'\'') => {
                chars.next();
                affix.push('\'');
            }
            '\'' => quoted = !quoted,
            _ if quoted => affix.push(c),
            ';' => return Ok((affixes, digits, true)),
            '#' | '0' | ',' | '.' => return Err("unquoted special character"),
            '%' | '‰' => {
                *shift = if c == '%' { 2 } else { 3 };
                affix.push(c);
            }
            '¤' => affix.push('$'),
            _ => affix.push(c),
        }
    }
    if quoted {
        return Err("malformed pattern");
    }
    Ok((affixes, digits, false))
}

fn format_pattern(args: &Args<'_>) -> DfResult<ArrayRef> {
    let patterns = args.text(1)?;
    let parse = |text: &str| {
        Pattern::parse(text).map_err(|why| {
            external(SparkError::new(
                "INVALID_PARAMETER_VALUE.PATTERN",
                "22023",
                format!("The value of parameter(s) `fmt` in `format_number` is invalid: '{text}': {why}."),
            ))
        })
    };
    let constant = args.constant_text(1).map(parse).transpose()?;
    let each = |row: usize, out: &mut String, write: &dyn Fn(&Pattern, &mut String)| {
        match (&constant, patterns.get(row)) {
            (Some(pattern), _) => write(pattern, out),
            (None, Some(text)) => write(&parse(text)?, out),
            (None, None) => return Ok(false),
        }
        Ok(true)
    };
    if let Arrow::Decimal128(_, scale) = *args.short(0)?.0.data_type() {
        let values = args.primitive::<Decimal128Type>(0)?;
        return strings(args, args.rows * 16, |row, out| match values.get(row) {
            Some(value) => each(row, out, &|pattern, out| pattern.decimal(value, scale, out)),
            None => Ok(false),
        });
    }
    let values = args.primitive::<Float64Type>(0)?;
    strings(args, args.rows * 16, |row, out| match values.get(row) {
        Some(value) => each(row, out, &|pattern, out| pattern.double(value, out)),
        None => Ok(false),
    })
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    fn double(pattern: &str, value: f64) -> String {
        let mut out = String::new();
        Pattern::parse(pattern).unwrap().double(value, &mut out);
        out
    }

    fn decimal(pattern: &str, unscaled: i128, scale: i8) -> String {
        let mut out = String::new();
        Pattern::parse(pattern).unwrap().decimal(unscaled, scale, &mut out);
        out
    }

    #[test]
    fn numbers_by_pattern() {
        assert_eq!(double("##################.###", 12332.123456), "12332.123");
        assert_eq!(double("##################.###", 0.0), "0");
        assert_eq!(double("Ünï 𐍈", 12332.123456), "Ünï 𐍈12332");
        assert_eq!(double("#,##0.00", -1234567.891), "-1,234,567.89");
        assert_eq!(double("#.##", 0.5), "0.5");
        assert_eq!(double("0.0%", 0.125), "12.5%");
        assert_eq!(double("0;(0)", -3.0), "(3)");
        assert_eq!(decimal("0.0", 25, 2), "0.2");
        assert_eq!(decimal("0.0", 9995, 3), "10.0");
        assert_eq!(decimal("#,###", 1234567, 0), "1,234,567");
    }

    #[test]
    fn malformed_patterns() {
        for pattern in ["0.0.0", "#0#0", "0,.0", "'0"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
