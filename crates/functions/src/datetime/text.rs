//! Dates, times and timestamps as cast reads and writes them: `yyyy-[m]m-[d]d[T| ][h]h:[m]m:[s]s.[u…][zone]`.

use std::fmt::Write;

use super::{
    calendar::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, civil_from_days, make_date},
    zone::Zone,
};

/// What Spark trims before it reads a number or a time: white space and control characters.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ' || c == '\u{7f}' || (c.is_control()))
}

/// Days since the epoch: `[+-]yyyy*`, `-[m]m`, `-[d]d`, then nothing or a space or `T` with anything behind.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let bytes = trim(text).as_bytes();
    let mut at = 0;
    let sign = match bytes.first()? {
        b'-' => {
            at = 1;
            -1
        }
        b'+' => {
            at = 1;
            1
        }
        _ => 1,
    };
    let mut fields = [0i64, 1, 1];
    let mut index = 0;
    let mut digits = 0;
    while at < bytes.len() {
        let b = bytes[at];
        if index < 2 && b == b'-' {
            if !field_length_ok(index, digits) {
                return None;
            }
            index += 1;
            digits = 0;
        } else if index == 2 && digits > 0 && (b == b' ' || b == b'T') {
            break;
        } else if b.is_ascii_digit() {
            if digits == 0 {
                fields[index] = 0;
            }
            fields[index] = fields[index] * 10 + i64::from(b - b'0');
            digits += 1;
            if digits > 7 {
                return None;
            }
        } else {
            return None;
        }
        at += 1;
    }
    if !field_length_ok(index, digits) {
        return None;
    }
    make_date(sign * fields[0], fields[1], fields[2])
}

fn field_length_ok(index: usize, digits: usize) -> bool {
    if index == 0 { (4..=7).contains(&digits) } else { (1..=2).contains(&digits) }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ParsedTimestamp {
    /// Days since the epoch; nothing when the text has a time only.
    pub date: Option<i32>,
    pub micros_of_day: i64,
    pub zone: Option<Zone>,
}

impl ParsedTimestamp {
    /// Microseconds of the wall clock.
    pub(crate) fn local(&self, today: i32) -> Option<i64> {
        i64::from(self.date.unwrap_or(today)).checked_mul(MICROS_PER_DAY)?.checked_add(self.micros_of_day)
    }
}

/// Reads a timestamp; what zone to assume is the caller's matter.
pub(crate) fn parse_timestamp(text: &str) -> Option<ParsedTimestamp> {
    let text = trim(text);
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return None;
    }
    let mut at = 0;
    let mut date = None;
    let time_only = bytes[0] == b'T' || {
        let d = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
        (1..=2).contains(&d) && bytes.get(d) == Some(&b':')
    };
    if !time_only {
        let sign = match bytes[0] {
            b'-' => {
                at = 1;
                -1
            }
            b'+' => {
                at = 1;
                1
            }
            _ => 1,
        };
        let mut fields = [0i64, 1, 1];
        for (index, field) in fields.iter_mut().enumerate() {
            let start = at;
            let mut value = 0i64;
            while at < bytes.len() && bytes[at].is_ascii_digit() && at - start < 8 {
                value = value * 10 + i64::from(bytes[at] - b'0');
                at += 1;
            }
            let digits = at - start;
            let ok = if index == 0 { (4..=6).contains(&digits) } else { (1..=2).contains(&digits) };
            if !ok {
                return None;
            }
            *field = value;
            if index < 2 {
                if at < bytes.len() && bytes[at] == b'-' {
                    at += 1;
                } else {
                    break;
                }
            }
        }
        date = Some(make_date(sign * fields[0], fields[1], fields[2])?);
        if at == bytes.len() {
            return Some(ParsedTimestamp { date, micros_of_day: 0, zone: None });
        }
        match bytes[at] {
            b' ' | b'T' => at += 1,
            _ => return None,
        }
        if at == bytes.len() {
            return Some(ParsedTimestamp { date, micros_of_day: 0, zone: None });
        }
    } else if bytes[0] == b'T' {
        at = 1;
    }
    let (micros_of_day, used) = parse_time_of_day(&bytes[at..], time_only)?;
    at += used;
    let rest = trim(text.get(at..)?);
    let zone = if rest.is_empty() { None } else { Some(parse_zone_suffix(rest)?) };
    Some(ParsedTimestamp { date, micros_of_day, zone })
}

fn parse_zone_suffix(text: &str) -> Option<Zone> {
    Zone::try_parse(text)
}

/// `[h]h:[m]m[:[s]s[.fraction]]`, or hours alone behind a date. Answers microseconds and bytes used.
fn parse_time_of_day(bytes: &[u8], needs_minutes: bool) -> Option<(i64, usize)> {
    let mut at = 0;
    let number = |at: &mut usize| -> Option<i64> {
        let start = *at;
        let mut value = 0;
        while *at < bytes.len() && bytes[*at].is_ascii_digit() && *at - start < 3 {
            value = value * 10 + i64::from(bytes[*at] - b'0');
            *at += 1;
        }
        (1..=2).contains(&(*at - start)).then_some(value)
    };
    let hour = number(&mut at)?;
    let (mut minute, mut second, mut micros) = (0, 0, 0);
    if bytes.get(at) == Some(&b':') {
        at += 1;
        minute = number(&mut at)?;
        if bytes.get(at) == Some(&b':') {
            at += 1;
            second = number(&mut at)?;
            if bytes.get(at) == Some(&b'.') {
                at += 1;
                let mut digits = 0;
                while at < bytes.len() && bytes[at].is_ascii_digit() {
                    if digits < 6 {
                        micros = micros * 10 + i64::from(bytes[at] - b'0');
                    }
                    digits += 1;
                    at += 1;
                }
                for _ in digits..6 {
                    micros *= 10;
                }
            }
        }
    } else if needs_minutes {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some((hour * MICROS_PER_HOUR + minute * MICROS_PER_MINUTE + second * MICROS_PER_SECOND + micros, at))
}

/// Nanoseconds since midnight.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let text = trim(text);
    let half = text.len().checked_sub(2).and_then(|at| text.get(at..)).and_then(|half| {
        let afternoon = half.eq_ignore_ascii_case("PM");
        (afternoon || half.eq_ignore_ascii_case("AM")).then_some(afternoon)
    });
    let text = if half.is_some() { text[..text.len() - 2].trim_end() } else { text };
    let (micros, used) = parse_time_of_day(text.as_bytes(), true)?;
    if used != text.len() {
        return None;
    }
    let Some(afternoon) = half else { return Some(micros * 1000) };
    // Twelve hours, of which the twelfth is the first.
    let hour = micros / MICROS_PER_HOUR;
    if !(1..=12).contains(&hour) {
        return None;
    }
    let hours = hour % 12 + if afternoon { 12 } else { 0 };
    Some((hours * MICROS_PER_HOUR + micros % MICROS_PER_HOUR) * 1000)
}

pub(crate) fn write_date(out: &mut String, days: i32) {
    let (year, month, day) = civil_from_days(i64::from(days));
    write_year(out, year);
    let _ = write!(out, "-{month:02}-{day:02}");
}

fn write_year(out: &mut String, year: i64) {
    let _ = if year > 9999 {
        write!(out, "+{year}")
    } else if year < 0 {
        write!(out, "-{:04}", -year)
    } else {
        write!(out, "{year:04}")
    };
}

/// `yyyy-MM-dd HH:mm:ss[.ffffff]`, the fraction without trailing zeros.
pub(crate) fn write_timestamp(out: &mut String, local_micros: i64) {
    let days = local_micros.div_euclid(MICROS_PER_DAY);
    let micros = local_micros.rem_euclid(MICROS_PER_DAY);
    let (year, month, day) = civil_from_days(days);
    write_year(out, year);
    let _ = write!(out, "-{month:02}-{day:02} ");
    write_time(out, micros);
}

pub(crate) fn write_time(out: &mut String, micros: i64) {
    let seconds = micros / MICROS_PER_SECOND;
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    write_fraction(out, micros % MICROS_PER_SECOND);
}

fn write_fraction(out: &mut String, micros: i64) {
    if micros != 0 {
        let _ = write!(out, ".{micros:06}");
        while out.ends_with('0') {
            out.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_spark_reads_them() {
        assert_eq!(parse_date("1970-1-2"), Some(1));
        assert_eq!(parse_date("2023-02-29"), None);
        assert_eq!(parse_date("1970-01-01T99"), Some(0));
        assert_eq!(parse_date("70-01-01"), None);
        assert_eq!(parse_date(" 1970 "), Some(0));
        let t = parse_timestamp("1970-01-01 01:02:03.5+01:00").unwrap();
        assert_eq!((t.micros_of_day, t.zone), (3_723_500_000, Some(Zone::Fixed(3600))));
        assert_eq!(parse_timestamp("1970-01-01 25:00:00"), None);
    }
}
