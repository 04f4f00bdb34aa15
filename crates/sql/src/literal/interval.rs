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

/// The text of an interval from one unit to another: `1-2`, `1 2:3:4.5`. `from` and `to` are units between which an interval
/// type reaches.
///
/// With `checked`, what must stay below the next larger unit does: 23 hours, 59 minutes, 11 months.
pub fn unit_to_unit(text: &str, from: K, to: K, checked: bool) -> Option<IntervalText> {
    let text = text.trim();
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let mut interval = IntervalText::default();
    if from == K::YEAR {
        let (years, months) = digits.split_once('-')?;
        let months = integer(months, if checked { 11 } else { 99 }, 2)?;
        interval.months = i32::try_from(integer(years, i64::from(i32::MAX), 9)? * 12 + months).ok()?;
        interval.units = vec!["year".into(), "month".into()];
    } else {
        let units = [K::DAY, K::HOUR, K::MINUTE, K::SECOND];
        let first = units.iter().position(|u| *u == from)?;
        let last = units.iter().position(|u| *u == to)?;
        let mut rest = digits;
        for (at, unit) in units.iter().enumerate().take(last + 1).skip(first) {
            let end = if at == last { rest.len() } else { rest.find(if at == 0 { ' ' } else { ':' })? };
            let part = &rest[..end];
            rest = rest.get(end + 1..).unwrap_or_default().trim_start();
            let most = match unit {
                _ if at == first || !checked => i64::from(i32::MAX),
                K::HOUR => 23,
                _ => 59,
            };
            let whole = if *unit == K::SECOND { part.split('.').next()? } else { part };
            let longest = if at == first { 9 } else { 2 };
            integer(whole, most, longest)?;
            interval.add(part, unit.text())?;
        }
    }
    if negative {
        interval.months = -interval.months;
        interval.days = -interval.days;
        interval.micros = -interval.micros;
    }
    Some(interval)
}

fn integer(text: &str, most: i64, longest: usize) -> Option<i64> {
    if text.is_empty() || text.len() > longest || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|v| *v <= most)
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
        assert_eq!(unit_to_unit("-1-2", K::YEAR, K::MONTH, true).unwrap().months, -14);
        assert!(unit_to_unit("1-12", K::YEAR, K::MONTH, false).is_some());
        assert_eq!(unit_to_unit("1-12", K::YEAR, K::MONTH, true), None);
        let interval = unit_to_unit("1 2:3:4.5", K::DAY, K::SECOND, true).unwrap();
        assert_eq!((interval.days, interval.micros), (1, 7_384_500_000));
        assert_eq!(unit_to_unit("1 24", K::DAY, K::HOUR, true), None);
        assert_eq!(unit_to_unit("90:5", K::MINUTE, K::SECOND, true).unwrap().micros, 5_405_000_000);
    }
}
