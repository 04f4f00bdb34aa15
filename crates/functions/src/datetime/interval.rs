//! Intervals as text.

use std::fmt::Write;

use firesteel_plan::types::{DayTimeField, YearMonthField};

use super::calendar::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND};

/// `INTERVAL '1-2' YEAR TO MONTH` and its shorter kin.
pub(crate) fn write_year_month(out: &mut String, months: i32, start: YearMonthField, end: YearMonthField) {
    let sign = if months < 0 { "-" } else { "" };
    let total = i64::from(months).abs();
    let _ = match (start, end) {
        (YearMonthField::Year, YearMonthField::Year) => write!(out, "INTERVAL '{sign}{}' YEAR", total / 12),
        (YearMonthField::Month, _) => write!(out, "INTERVAL '{sign}{total}' MONTH"),
        _ => write!(out, "INTERVAL '{sign}{}-{}' YEAR TO MONTH", total / 12, total % 12),
    };
}

/// `INTERVAL '1 02:03:04.5' DAY TO SECOND` and its shorter kin.
pub(crate) fn write_day_time(out: &mut String, micros: i64, start: DayTimeField, end: DayTimeField) {
    let total = i128::from(micros).abs();
    let sign = if micros < 0 { "-" } else { "" };
    let (day, hour, minute, second) = (
        i128::from(MICROS_PER_DAY),
        i128::from(MICROS_PER_HOUR),
        i128::from(MICROS_PER_MINUTE),
        i128::from(MICROS_PER_SECOND),
    );
    let mut rest = total;
    let _ = write!(out, "INTERVAL '{sign}");
    if start <= DayTimeField::Day {
        let _ = write!(out, "{}", rest / day);
        rest %= day;
    }
    if start <= DayTimeField::Hour && end >= DayTimeField::Hour {
        if start < DayTimeField::Hour {
            let _ = write!(out, " {:02}", rest / hour);
        } else {
            let _ = write!(out, "{:02}", rest / hour);
        }
        rest %= hour;
    }
    if start <= DayTimeField::Minute && end >= DayTimeField::Minute {
        if start < DayTimeField::Minute {
            out.push(':');
        }
        let _ = write!(out, "{:02}", rest / minute);
        rest %= minute;
    }
    if end >= DayTimeField::Second {
        if start < DayTimeField::Second {
            out.push(':');
        }
        let _ = write!(out, "{:02}", rest / second);
        let fraction = rest % second;
        if fraction != 0 {
            let _ = write!(out, ".{fraction:06}");
            while out.ends_with('0') {
                out.pop();
            }
        }
    }
    let _ = write!(out, "' {}", start.name().to_uppercase());
    if start != end {
        let _ = write!(out, " TO {}", end.name().to_uppercase());
    }
}

/// `1-2`, whatever the fields of the type, as Hive writes it.
pub(crate) fn write_hive_year_month(out: &mut String, months: i32) {
    let sign = if months < 0 { "-" } else { "" };
    let total = i64::from(months).abs();
    let _ = write!(out, "{sign}{}-{}", total / 12, total % 12);
}

/// `1 02:03:04.500000000`, whatever the fields of the type, as Hive writes it.
pub(crate) fn write_hive_day_time(out: &mut String, micros: i64) {
    let sign = if micros < 0 { "-" } else { "" };
    let (total, micros_of) = (i128::from(micros).abs(), |unit: i64| i128::from(unit));
    let _ = write!(
        out,
        "{sign}{} {:02}:{:02}:{:02}.{:06}000",
        total / micros_of(MICROS_PER_DAY),
        total % micros_of(MICROS_PER_DAY) / micros_of(MICROS_PER_HOUR),
        total % micros_of(MICROS_PER_HOUR) / micros_of(MICROS_PER_MINUTE),
        total % micros_of(MICROS_PER_MINUTE) / micros_of(MICROS_PER_SECOND),
        total % micros_of(MICROS_PER_SECOND)
    );
}

/// `1 years 2 months 3 days 4 hours 5 minutes 6.5 seconds`
pub(crate) fn write_calendar(out: &mut String, months: i32, days: i32, micros: i64) {
    let start = out.len();
    let mut unit = |value: i64, name: &str| {
        if value != 0 {
            let _ = write!(out, "{value} {name} ");
        }
    };
    unit(i64::from(months / 12), "years");
    unit(i64::from(months % 12), "months");
    unit(i64::from(days), "days");
    unit(micros / MICROS_PER_HOUR, "hours");
    unit(micros % MICROS_PER_HOUR / MICROS_PER_MINUTE, "minutes");
    let rest = micros % MICROS_PER_MINUTE;
    if rest != 0 {
        let mut seconds = format!(
            "{}{}.{:06}",
            if rest < 0 { "-" } else { "" },
            rest.abs() / MICROS_PER_SECOND,
            rest.abs() % MICROS_PER_SECOND
        );
        while seconds.ends_with('0') {
            seconds.pop();
        }
        let _ = write!(out, "{} seconds ", seconds.trim_end_matches('.'));
    }
    if out.len() == start {
        out.push_str("0 seconds");
    } else {
        out.pop();
    }
}

/// Text such as `1 day 2 hours`, `interval -3 minutes 1.5 seconds`: (months, days, microseconds).
pub(crate) fn parse_calendar(text: &str) -> Option<(i32, i32, i64)> {
    let lower = text.trim().to_ascii_lowercase();
    let rest = match lower.strip_prefix("interval") {
        Some(r) if r.is_empty() || r.starts_with(char::is_whitespace) => r,
        _ => &lower,
    };
    let mut words = rest.split_whitespace().peekable();
    words.peek()?;
    let (mut months, mut days, mut micros) = (0i64, 0i64, 0i64);
    while let Some(word) = words.next() {
        let mut number = word.to_owned();
        if number == "-" || number == "+" {
            number.push_str(words.next()?);
        }
        let unit = words.next()?;
        let unit = unit.strip_suffix('s').unwrap_or(unit);
        if let Some((whole, fraction)) = number.split_once('.') {
            if unit != "second" {
                return None;
            }
            let negative = whole.starts_with('-');
            let whole: i64 = match whole {
                "" | "-" | "+" => 0,
                w => w.parse().ok()?,
            };
            if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let part: i64 = format!("{:0<6}", &fraction[..fraction.len().min(6)]).parse().ok()?;
            micros = micros.checked_add(whole.checked_mul(MICROS_PER_SECOND)?)?.checked_add(if negative {
                -part
            } else {
                part
            })?;
            continue;
        }
        let n: i64 = number.parse().ok()?;
        match unit {
            "year" => months = months.checked_add(n.checked_mul(12)?)?,
            "month" => months = months.checked_add(n)?,
            "week" => days = days.checked_add(n.checked_mul(7)?)?,
            "day" => days = days.checked_add(n)?,
            "hour" => micros = micros.checked_add(n.checked_mul(MICROS_PER_HOUR)?)?,
            "minute" => micros = micros.checked_add(n.checked_mul(MICROS_PER_MINUTE)?)?,
            "second" => micros = micros.checked_add(n.checked_mul(MICROS_PER_SECOND)?)?,
            "millisecond" => micros = micros.checked_add(n.checked_mul(1000)?)?,
            "microsecond" => micros = micros.checked_add(n)?,
            _ => return None,
        }
    }
    Some((i32::try_from(months).ok()?, i32::try_from(days).ok()?, micros))
}

/// `[INTERVAL] '…' DAY TO SECOND` or the bare text of one: microseconds.
pub(crate) fn parse_day_time(text: &str, start: DayTimeField, end: DayTimeField) -> Option<i64> {
    let body = strip_literal(text, start.name(), end.name())?;
    let (sign, body) = signed(&body);
    let mut micros: i64 = 0;
    let mut fields = [DayTimeField::Day, DayTimeField::Hour, DayTimeField::Minute, DayTimeField::Second]
        .into_iter()
        .filter(|f| *f >= start && *f <= end);
    let parts: Vec<&str> = body.split([' ', ':']).collect();
    if body.is_empty() || parts.len() != fields.clone().count() {
        return None;
    }
    for part in parts {
        let field = fields.next()?;
        let (whole, fraction) = match part.split_once('.') {
            Some((w, f)) if field == DayTimeField::Second => (w, f),
            Some(_) => return None,
            None => (part, ""),
        };
        if whole.is_empty() || fraction.len() > 9 || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit())
        {
            return None;
        }
        let value: i64 = whole.parse().ok()?;
        let unit = match field {
            DayTimeField::Day => MICROS_PER_DAY,
            DayTimeField::Hour => MICROS_PER_HOUR,
            DayTimeField::Minute => MICROS_PER_MINUTE,
            DayTimeField::Second => MICROS_PER_SECOND,
        };
        let limit = match field {
            f if f == start => i64::MAX,
            DayTimeField::Hour => 23,
            _ => 59,
        };
        if value > limit {
            return None;
        }
        micros = micros.checked_add(value.checked_mul(unit)?)?;
        if !fraction.is_empty() {
            micros = micros.checked_add(format!("{:0<6}", &fraction[..fraction.len().min(6)]).parse::<i64>().ok()?)?;
        }
    }
    micros.checked_mul(sign)
}

/// Months.
pub(crate) fn parse_year_month(text: &str, start: YearMonthField, end: YearMonthField) -> Option<i32> {
    let body = strip_literal(text, start.name(), end.name())?;
    let (sign, body) = signed(&body);
    let number = |s: &str| -> Option<i64> {
        if s.is_empty() || !s.bytes().all(|b| b.is_ascii_digit()) { None } else { s.parse().ok() }
    };
    let months = match (start, end) {
        (YearMonthField::Year, YearMonthField::Month) => {
            let (years, months) = body.split_once('-')?;
            let months = number(months)?;
            if months > 11 {
                return None;
            }
            number(years)?.checked_mul(12)?.checked_add(months)?
        }
        (YearMonthField::Year, _) => number(body)?.checked_mul(12)?,
        _ => number(body)?,
    };
    i32::try_from(months.checked_mul(sign)?).ok()
}

fn signed(text: &str) -> (i64, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    }
}

fn strip_literal(text: &str, start: &str, end: &str) -> Option<String> {
    let text = text.trim();
    if !text.get(..8).is_some_and(|p| p.eq_ignore_ascii_case("interval")) {
        return Some(text.to_owned());
    }
    let rest = text[8..].trim();
    let (outer_sign, rest) = match rest.strip_prefix('-') {
        Some(r) => ("-", r.trim_start()),
        None => ("", rest.strip_prefix('+').unwrap_or(rest).trim_start()),
    };
    let rest = rest.strip_prefix('\'')?;
    let close = rest.find('\'')?;
    let (body, unit) = (&rest[..close], rest[close + 1..].trim().to_ascii_lowercase());
    let wanted = if start == end { start.to_owned() } else { format!("{start} to {end}") };
    if unit.split_whitespace().collect::<Vec<_>>().join(" ") != wanted {
        return None;
    }
    if outer_sign.is_empty() {
        return Some(body.to_owned());
    }
    Some(match body.strip_prefix('-') {
        Some(b) => b.to_owned(),
        None => format!("-{body}"),
    })
}
