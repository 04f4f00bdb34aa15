//! Text of intervals.

use crate::keyword::Keyword as K;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// Months, days and microseconds that a text spells, with the units it used in the singular.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IntervalText {
    pub months: i32,
    pub days: i32,
    pub micros: i64,
    pub units: Vec<String>,
}

impl IntervalText {
    /// Days count 24 hours here. None where it does not fit.
    pub fn total_micros(&self) -> Option<i64> {
        i64::from(self.days).checked_mul(MICROS_PER_DAY)?.checked_add(self.micros)
    }

    /// Adds `value` of `unit`, as in `2 days` or `1.5 seconds`. None where the value is no number or too large; only seconds
    /// may have a fraction.
    pub fn add(&mut self, value: &str, unit: &str) -> Option<()> {
        let unit = unit.to_ascii_lowercase();
        let unit = unit.strip_suffix('s').unwrap_or(&unit);
        let (negative, digits) = match value.as_bytes().first()? {
            b'-' => (true, &value[1..]),
            b'+' => (false, &value[1..]),
            _ => (false, value),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || digits.is_empty() || digits == "." || fraction.len() > 9 {
            return None;
        }
        if digits.contains('.') && unit != "second" {
            return None;
        }
        let magnitude: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let amount = if negative { -magnitude } else { magnitude };
        let months = |factor: i64| i32::try_from(amount.checked_mul(factor)?).ok();
        let micros = |factor: i64| amount.checked_mul(factor);
        match unit {
            "year" => self.months = self.months.checked_add(months(12)?)?,
            "month" => self.months = self.months.checked_add(months(1)?)?,
            "week" => self.days = self.days.checked_add(months(7)?)?,
            "day" => self.days = self.days.checked_add(months(1)?)?,
            "hour" => self.micros = self.micros.checked_add(micros(MICROS_PER_HOUR)?)?,
            "minute" => self.micros = self.micros.checked_add(micros(MICROS_PER_MINUTE)?)?,
            "second" => {
                let kept = &fraction[..fraction.len().min(6)];
                let padding = 6 - u32::try_from(kept.len()).ok()?;
                let part = if kept.is_empty() { 0 } else { kept.parse::<i64>().ok()? * 10_i64.pow(padding) };
                let part = if negative { -part } else { part };
                self.micros = self.micros.checked_add(micros(MICROS_PER_SECOND)?)?.checked_add(part)?;
            }
            "millisecond" => self.micros = self.micros.checked_add(micros(1000)?)?,
            "microsecond" => self.micros = self.micros.checked_add(amount)?,
            "nanosecond" => self.micros = self.micros.checked_add(amount / 1000)?,
            _ => return None,
        }
        self.units.push(unit.to_owned());
        Some(())
    }
}

/// `1 day 2 hours`, with `interval` before it allowed.
pub fn calendar_interval_text(text: &str) -> Option<IntervalText> {
    let lower = text.trim().to_ascii_lowercase();
    let body = match lower.strip_prefix("interval") {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_whitespace()) => rest,
        Some(_) => return None,
        None => &lower,
    };
    let mut interval = IntervalText::default();
    let mut rest = body.trim_start();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        // A sign may stand apart from its number.
        let mut value = String::new();
        if rest.starts_with(['+', '-']) {
            value.push_str(&rest[..1]);
            rest = rest[1..].trim_start();
        }
        let length = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        value.push_str(&rest[..length]);
        rest = rest[length..].strip_prefix(|c: char| c.is_ascii_whitespace())?.trim_start();
        let length = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        interval.add(&value, &rest[..length])?;
        rest = &rest[length..];
        if !rest.is_empty() && !rest.starts_with(|c: char| c.is_ascii_whitespace()) {
            return None;
        }
        rest = rest.trim_start();
    }
    Some(interval)
}

/// Why a text is no interval from one unit to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitsError {
    /// Not of the form `1-2` or `1 2:3:4.5`.
    Form,
    /// A part that is more than fits, or than the next larger unit has: its unit, itself and the most it may be.
    Range { unit: &'static str, value: i64, most: i64 },
    /// More than the type holds.
    Overflow,
}

/// The text of an interval from one unit to another: `1-2`, `1 2:3:4.5`. `from` and `to` are units between which an interval
/// type reaches.
pub fn unit_to_unit(text: &str, from: K, to: K) -> Result<IntervalText, UnitsError> {
    let text = text.trim();
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => ("-", &text[1..]),
        Some(b'+') => ("", &text[1..]),
        _ => ("", text),
    };
    let mut interval = IntervalText::default();
    if from == K::YEAR {
        let (years, months) = digits.split_once('-').ok_or(UnitsError::Form)?;
        let years = part("year", years, 178_956_970, usize::MAX)?;
        let months = part("month", months, 11, usize::MAX)?;
        let total = (years * 12 + months) * if sign == "-" { -1 } else { 1 };
        interval.months = i32::try_from(total).map_err(|_| UnitsError::Overflow)?;
        interval.units = vec!["year".into(), "month".into()];
        return Ok(interval);
    }
    let units = [K::DAY, K::HOUR, K::MINUTE, K::SECOND];
    let place = |unit| units.iter().position(|u| *u == unit).ok_or(UnitsError::Form);
    let (first, last) = (place(from)?, place(to)?);
    let mut rest = digits;
    let mut parts = Vec::with_capacity(4);
    for (at, unit) in units.iter().enumerate().take(last + 1).skip(first) {
        let end =
            if at == last { rest.len() } else { rest.find(if at == 0 { ' ' } else { ':' }).ok_or(UnitsError::Form)? };
        parts.push((at, *unit, &rest[..end]));
        rest = rest.get(end + 1..).unwrap_or_default().trim_start();
    }
    // The form of all comes before the range of any.
    for (at, unit, text) in &parts {
        let whole = if *unit == K::SECOND { text.split('.').next().unwrap_or_default() } else { text };
        let fraction = text.get(whole.len()..).and_then(|f| f.strip_prefix('.')).unwrap_or("0");
        let longest = if *at == first { usize::MAX } else { 2 };
        let is_number = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || whole.len() > longest || !is_number(fraction) || fraction.len() > 9 {
            return Err(UnitsError::Form);
        }
    }
    for (at, unit, text) in parts {
        let whole = text.split('.').next().unwrap_or_default();
        let (name, most) = match unit {
            K::DAY => ("day", 106_751_991),
            K::HOUR if at == first => ("hour", 2_562_047_788),
            K::HOUR => ("hour", 23),
            K::MINUTE if at == first => ("minute", 153_722_867_280),
            K::MINUTE => ("minute", 59),
            _ => ("second", 59),
        };
        part(name, whole, most, usize::MAX)?;
        interval.add(&format!("{sign}{text}"), name).ok_or(UnitsError::Overflow)?;
    }
    interval.total_micros().ok_or(UnitsError::Overflow)?;
    Ok(interval)
}

fn part(unit: &'static str, text: &str, most: i64, longest: usize) -> Result<i64, UnitsError> {
    if text.is_empty() || text.len() > longest || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(UnitsError::Form);
    }
    let value = text.parse().map_err(|_| UnitsError::Overflow)?;
    if value > most { Err(UnitsError::Range { unit, value, most }) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let interval = calendar_interval_text("interval 1 year -2 months 3 days 1.5 seconds").unwrap();
        assert_eq!((interval.months, interval.days, interval.micros), (10, 3, 1_500_000));
        assert_eq!(calendar_interval_text("1"), None);
        assert_eq!(calendar_interval_text("1.5 days"), None);
        assert_eq!(unit_to_unit("-1-2", K::YEAR, K::MONTH).unwrap().months, -14);
        assert!(matches!(unit_to_unit("1-12", K::YEAR, K::MONTH), Err(UnitsError::Range { .. })));
        assert_eq!(unit_to_unit("-178956970-8", K::YEAR, K::MONTH).unwrap().months, i32::MIN);
        let least = unit_to_unit("-2562047788:00:54.775808", K::HOUR, K::SECOND).unwrap();
        assert_eq!(least.total_micros(), Some(i64::MIN));
        let interval = unit_to_unit("1 2:3:4.5", K::DAY, K::SECOND).unwrap();
        assert_eq!((interval.days, interval.micros), (1, 7_384_500_000));
        assert!(matches!(unit_to_unit("1 24", K::DAY, K::HOUR), Err(UnitsError::Range { .. })));
        assert_eq!(unit_to_unit("90:5", K::MINUTE, K::SECOND).unwrap().micros, 5_405_000_000);
    }
}
