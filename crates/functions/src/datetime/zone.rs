//! Time zones as Spark names them.

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use firesteel_plan::{SparkError, SparkResult};

use super::calendar::MICROS_PER_SECOND;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// Seconds east of Greenwich.
    Fixed(i32),
    Named(Tz),
}

impl Zone {
    pub const UTC: Zone = Zone::Fixed(0);

    /// A region (`Europe/Berlin`), an offset (`+01:00`, `UTC+1`, `GMT-03:30`) or one of Java's short ids (`PST`).
    pub fn parse(text: &str) -> SparkResult<Self> {
        Self::try_parse(text).ok_or_else(|| {
            SparkError::new(
                "INVALID_TIMEZONE",
                "22009",
                format!(
                    "The timezone: {text} is invalid. The timezone must be either a region-based zone ID or a zone offset. \
                     Region IDs must have the form 'area/city', such as 'America/Los_Angeles'. Zone offsets must be in the \
                     format '(+|-)HH', '(+|-)HH:mm' or '(+|-)HH:mm:ss', e.g '-08' , '+01:00' or '-13:33:33', and must be in \
                     the range from -18:00 to +18:00. 'Z' and 'UTC' are accepted as synonyms for '+00:00'."
                ),
            )
            .param("timeZone", text)
        })
    }

    pub(crate) fn try_parse(text: &str) -> Option<Self> {
        let text = text.trim();
        match text {
            "UTC" | "Z" | "z" | "GMT" | "UT" | "Etc/UTC" => return Some(Self::UTC),
            _ => {}
        }
        for prefix in ["UTC", "GMT", "UT", ""] {
            if let Some(rest) = text.strip_prefix(prefix)
                && let Some(seconds) = parse_offset(rest)
            {
                return Some(Self::Fixed(seconds));
            }
        }
        let name = match text {
            "ACT" => "Australia/Darwin",
            "AET" => "Australia/Sydney",
            "AGT" => "America/Argentina/Buenos_Aires",
            "ART" => "Africa/Cairo",
            "AST" => "America/Anchorage",
            "BET" => "America/Sao_Paulo",
            "BST" => "Asia/Dhaka",
            "CAT" => "Africa/Harare",
            "CNT" => "America/St_Johns",
            "CST" => "America/Chicago",
            "CTT" => "Asia/Shanghai",
            "EAT" => "Africa/Addis_Ababa",
            "ECT" => "Europe/Paris",
            "IET" => "America/Indiana/Indianapolis",
            "IST" => "Asia/Kolkata",
            "JST" => "Asia/Tokyo",
            "MIT" => "Pacific/Apia",
            "NET" => "Asia/Yerevan",
            "NST" => "Pacific/Auckland",
            "PLT" => "Asia/Karachi",
            "PNT" => "America/Phoenix",
            "PRT" => "America/Puerto_Rico",
            "PST" => "America/Los_Angeles",
            "SST" => "Pacific/Guadalcanal",
            "VST" => "Asia/Ho_Chi_Minh",
            "EST" => return Some(Self::Fixed(-5 * 3600)),
            "MST" => return Some(Self::Fixed(-7 * 3600)),
            "HST" => return Some(Self::Fixed(-10 * 3600)),
            other => other,
        };
        name.parse::<Tz>().ok().map(Self::Named)
    }

    /// Seconds to add to UTC to get the wall clock at this instant.
    #[inline]
    pub(crate) fn offset_at(self, utc_micros: i64) -> i32 {
        match self {
            Self::Fixed(seconds) => seconds,
            Self::Named(tz) => match DateTime::from_timestamp(utc_micros.div_euclid(MICROS_PER_SECOND), 0) {
                Some(t) => tz.offset_from_utc_datetime(&t.naive_utc()).fix().local_minus_utc(),
                None => 0,
            },
        }
    }

    #[inline]
    pub(crate) fn to_local(self, utc_micros: i64) -> i64 {
        utc_micros.saturating_add(i64::from(self.offset_at(utc_micros)) * MICROS_PER_SECOND)
    }

    /// The instant of a wall-clock time. In an overlap the earlier one; in a gap the time moves on by the gap.
    pub(crate) fn to_utc(self, local_micros: i64) -> i64 {
        match self {
            Self::Fixed(seconds) => local_micros.saturating_sub(i64::from(seconds) * MICROS_PER_SECOND),
            Self::Named(tz) => {
                let seconds = local_micros.div_euclid(MICROS_PER_SECOND);
                let Some(local) = DateTime::from_timestamp(seconds, 0).map(|t: DateTime<_>| t.naive_utc()) else {
                    return local_micros;
                };
                local_micros.saturating_sub(i64::from(local_offset(tz, &local)) * MICROS_PER_SECOND)
            }
        }
    }

    /// The short name at an instant (`CET`, `UTC`).
    pub(crate) fn abbreviation(self, utc_micros: i64) -> String {
        match self {
            Self::Fixed(0) => "UTC".to_owned(),
            Self::Fixed(seconds) => format_offset(seconds, true, true),
            Self::Named(tz) => match DateTime::from_timestamp(utc_micros.div_euclid(MICROS_PER_SECOND), 0) {
                Some(t) => t.with_timezone(&tz).format("%Z").to_string(),
                None => tz.name().to_owned(),
            },
        }
    }

    pub(crate) fn id(self) -> String {
        match self {
            Self::Fixed(0) => "UTC".to_owned(),
            Self::Fixed(seconds) => format_offset(seconds, true, true),
            Self::Named(tz) => tz.name().to_owned(),
        }
    }
}

fn local_offset(tz: Tz, local: &NaiveDateTime) -> i32 {
    match tz.offset_from_local_datetime(local) {
        chrono::LocalResult::Single(o) => o.fix().local_minus_utc(),
        chrono::LocalResult::Ambiguous(a, b) => a.fix().local_minus_utc().max(b.fix().local_minus_utc()),
        // A gap: the offset that was valid before it.
        chrono::LocalResult::None => {
            let before = *local - chrono::TimeDelta::days(1);
            tz.offset_from_utc_datetime(&before).fix().local_minus_utc()
        }
    }
}

/// `+H`, `+HH`, `+HH:mm`, `+HHmm`, `+HH:mm:ss`, within 18 hours.
fn parse_offset(text: &str) -> Option<i32> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let number = |s: &str| -> Option<i32> {
        if s.is_empty() || s.len() > 2 || !s.bytes().all(|b| b.is_ascii_digit()) { None } else { s.parse().ok() }
    };
    let (h, m, s) = if rest.contains(':') {
        let mut parts = rest.split(':');
        let h = number(parts.next()?)?;
        let m = number(parts.next()?)?;
        let s = parts.next().map_or(Some(0), number)?;
        if parts.next().is_some() {
            return None;
        }
        (h, m, s)
    } else {
        match rest.len() {
            1 | 2 => (number(rest)?, 0, 0),
            4 => (number(rest.get(..2)?)?, number(rest.get(2..)?)?, 0),
            6 => (number(rest.get(..2)?)?, number(rest.get(2..4)?)?, number(rest.get(4..)?)?),
            _ => return None,
        }
    };
    let total = h * 3600 + m * 60 + s;
    (m < 60 && s < 60 && total <= 18 * 3600).then_some(sign * total)
}

/// `+01:00`, or `+0100` without colon; seconds only when there are some and `seconds`.
pub(crate) fn format_offset(offset: i32, colon: bool, seconds: bool) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let a = offset.abs();
    let (h, m, s) = (a / 3600, a / 60 % 60, a % 60);
    let c = if colon { ":" } else { "" };
    if seconds && s != 0 { format!("{sign}{h:02}{c}{m:02}{c}{s:02}") } else { format!("{sign}{h:02}{c}{m:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_overlaps_resolve_as_java_does() {
        let zone = Zone::parse("America/Los_Angeles").unwrap();
        let local = |h: i64, day: i64| (day * 86_400 + h * 3600 + 1800) * MICROS_PER_SECOND;
        // 2024-03-10 02:30 does not exist: it becomes 03:30 PDT, 10:30 UTC.
        let day = super::super::calendar::days_from_civil(2024, 3, 10);
        assert_eq!(zone.to_utc(local(2, day)), local(10, day));
        // 2024-11-03 01:30 exists twice: the first, PDT, 08:30 UTC.
        let day = super::super::calendar::days_from_civil(2024, 11, 3);
        assert_eq!(zone.to_utc(local(1, day)), local(8, day));
        assert_eq!(Zone::parse("UTC+1").unwrap(), Zone::Fixed(3600));
        assert!(Zone::parse("+19:00").is_err());
    }
}
