//! Text of dates, times and timestamps.

/// What the text of a DATE literal stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateText {
    /// Days since the epoch.
    Days(i32),
    /// Days from the day on which the statement runs.
    FromToday(i32),
}

/// `yyyy`, `yyyy-m`, or `yyyy-m-d` with a time after allowed, a sign before each; or one of Spark's words for a day.
pub fn date_text(text: &str) -> Option<DateText> {
    let text = text.trim();
    match text.to_ascii_lowercase().as_str() {
        "epoch" => return Some(DateText::Days(0)),
        "today" | "now" => return Some(DateText::FromToday(0)),
        "tomorrow" => return Some(DateText::FromToday(1)),
        "yesterday" => return Some(DateText::FromToday(-1)),
        _ => {}
    }
    let (days, rest) = leading_date(text)?;
    // Only a whole date may have a time behind it.
    let whole = text[1..text.len() - rest.len()].matches('-').count() == 2;
    (rest.is_empty() || whole && rest.starts_with([' ', 'T'])).then_some(DateText::Days(days))
}

/// A date at the start of the text as days since the epoch, and what follows it.
fn leading_date(text: &str) -> Option<(i32, &str)> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let (year, mut rest) = digits(rest, 4, 7)?;
    let (mut month, mut day) = (1, 1);
    if let Some(after) = rest.strip_prefix('-') {
        (month, rest) = digits(after, 1, 2)?;
        if let Some(after) = rest.strip_prefix('-') {
            (day, rest) = digits(after, 1, 2)?;
        }
    }
    let days = days_since_epoch(sign * i64::from(year), month, day)?;
    Some((i32::try_from(days).ok()?, rest))
}

/// `least` to `most` digits at the start of the text, all there are; and what follows.
fn digits(text: &str, least: usize, most: usize) -> Option<(u32, &str)> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    if !(least..=most).contains(&count) {
        return None;
    }
    Some((text[..count].parse().ok()?, &text[count..]))
}

/// In the Gregorian calendar, before its beginning too.
fn days_since_epoch(year: i64, month: u32, day: u32) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years begin in March here, so that the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (i64::from(month) + if month > 2 { -3 } else { 9 }) + 2) / 5 + i64::from(day) - 1;
    let of_era_days = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    Some(era * 146_097 + of_era_days - 719_468)
}

/// `h:m[:s[.fraction]]` as nanoseconds since midnight; of the fraction six digits count.
pub fn time_text(text: &str) -> Option<i64> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let Some(half) = ["am", "pm"].into_iter().find(|half| lower.ends_with(half)) else {
        let (nanos, rest) = leading_time(text)?;
        return rest.is_empty().then_some(nanos);
    };
    // Of twelve hours, the first of which is 12.
    let (nanos, rest) = leading_time(text[..text.len() - 2].trim_end())?;
    let hour = nanos / NANOS_PER_HOUR;
    if !rest.is_empty() || !(1..=12).contains(&hour) {
        return None;
    }
    Some(nanos - hour * NANOS_PER_HOUR + (hour % 12 + if half == "pm" { 12 } else { 0 }) * NANOS_PER_HOUR)
}

const NANOS_PER_HOUR: i64 = 3_600_000_000_000;

fn leading_time(text: &str) -> Option<(i64, &str)> {
    let (hour, rest) = digits(text, 1, 2)?;
    let (minute, mut rest) = digits(rest.strip_prefix(':')?, 1, 2)?;
    let (mut second, mut micros) = (0, 0_i64);
    if let Some(after) = rest.strip_prefix(':') {
        (second, rest) = digits(after, 1, 2)?;
        if let Some(after) = rest.strip_prefix('.') {
            let count = after.bytes().take_while(u8::is_ascii_digit).count();
            let kept = &after[..count.min(6)];
            let padding = 6 - u32::try_from(kept.len()).ok()?;
            micros = if kept.is_empty() { 0 } else { kept.parse::<i64>().ok()? * 10_i64.pow(padding) };
            rest = &after[count..];
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    Some((seconds * 1_000_000_000 + micros * 1000, rest))
}

/// Whether a TIMESTAMP literal may have this text: a date, a date and a time, or a time alone, with a zone after the time;
/// or one of Spark's words. Which instant it is depends on the session's time zone.
pub fn timestamp_text_is_valid(text: &str) -> bool {
    let text = text.trim();
    let words = ["epoch", "now", "today", "tomorrow", "yesterday"];
    if let Some(word) =
        words.iter().find(|w| text.len() >= w.len() && text.as_bytes()[..w.len()].eq_ignore_ascii_case(w.as_bytes()))
    {
        let zone = text[word.len()..].trim();
        return zone.is_empty() || is_zone(zone);
    }
    let time = match leading_date(text) {
        Some((_, "")) => return true,
        Some((_, rest)) => rest.strip_prefix([' ', 'T']),
        None => Some(text.strip_prefix('T').unwrap_or(text)),
    };
    match time.and_then(leading_time) {
        Some((_, zone)) => zone.trim().is_empty() || is_zone(zone.trim()),
        None => false,
    }
}

/// Whether a zone stands behind the time of a TIMESTAMP literal's text.
pub fn timestamp_text_has_zone(text: &str) -> bool {
    let text = text.trim();
    let time = match leading_date(text) {
        Some((_, rest)) => rest.strip_prefix([' ', 'T']),
        None => Some(text.strip_prefix('T').unwrap_or(text)),
    };
    time.and_then(leading_time).is_some_and(|(_, zone)| !zone.trim().is_empty())
}

/// The form of a zone: `Z`, an offset (`+1`, `-08:00`), or a name (`UTC+3`, `Europe/Berlin`).
fn is_zone(text: &str) -> bool {
    let offset = |text: &str| {
        let parts: Vec<&str> = text.split(':').collect();
        parts.len() <= 3 && parts.iter().all(|p| !p.is_empty() && p.len() <= 2 && p.bytes().all(|b| b.is_ascii_digit()))
            || matches!(text.len(), 4 | 6) && text.bytes().all(|b| b.is_ascii_digit())
    };
    match text.strip_prefix(['+', '-']) {
        Some(rest) => offset(rest),
        None => {
            let prefixed = ["UTC", "GMT", "UT"].iter().find_map(|p| text.strip_prefix(p));
            let is_offset = prefixed.is_some_and(|rest| rest.strip_prefix(['+', '-']).is_some_and(offset));
            let is_region = text.contains('/')
                && text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '+' | '-'));
            is_offset || is_region || ZONES_WITHOUT_AREA.contains(&text)
        }
    }
}

/// Names of zones that have no area before them.
const ZONES_WITHOUT_AREA: &[&str] = &[
    "ACT",
    "AET",
    "AGT",
    "ART",
    "AST",
    "BET",
    "BST",
    "CAT",
    "CET",
    "CNT",
    "CST",
    "CST6CDT",
    "CTT",
    "Cuba",
    "EAT",
    "ECT",
    "EET",
    "EST",
    "EST5EDT",
    "Egypt",
    "Eire",
    "GB",
    "GMT",
    "GMT0",
    "Greenwich",
    "HST",
    "Hongkong",
    "IET",
    "IST",
    "Iceland",
    "Iran",
    "Israel",
    "JST",
    "Jamaica",
    "Japan",
    "Kwajalein",
    "Libya",
    "MET",
    "MIT",
    "MST",
    "MST7MDT",
    "NET",
    "NST",
    "NZ",
    "NZ-CHAT",
    "Navajo",
    "PLT",
    "PNT",
    "PRC",
    "PRT",
    "PST",
    "PST8PDT",
    "Poland",
    "Portugal",
    "ROK",
    "SST",
    "Singapore",
    "Turkey",
    "UCT",
    "UT",
    "UTC",
    "Universal",
    "VST",
    "W-SU",
    "WET",
    "Z",
    "Zulu",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (text, expected) in [
            ("1970-01-01", Some(DateText::Days(0))),
            ("2000-2-29", Some(DateText::Days(11_016))),
            ("1900-02-29", None),
            ("0001-01-01", Some(DateText::Days(-719_162))),
            ("2020", Some(DateText::Days(18_262))),
            ("2020-01-01T12:00", Some(DateText::Days(18_262))),
            ("20200101", None),
            ("2020-13-01", None),
            ("", None),
            (" tomorrow ", Some(DateText::FromToday(1))),
        ] {
            assert_eq!(date_text(text), expected, "{text}");
        }
    }

    #[test]
    fn times_and_timestamps() {
        assert_eq!(time_text("12:34:56.1234567"), Some(45_296_123_456_000));
        assert_eq!(time_text("24:00:00"), None);
        for text in [
            "2020-01-01 00:00:00 UTC",
            "2020-01-01T1:2:3.5+01:00",
            "2020",
            "12:00:00",
            "now",
            "2020-01-01 1:2:3 Europe/Berlin",
        ] {
            assert!(timestamp_text_is_valid(text), "{text}");
        }
        for text in ["x", "2020-01-01 25:00:00", "2020-01-01 00:00:00 ?", "2020-1-1x"] {
            assert!(!timestamp_text_is_valid(text), "{text}");
        }
    }
}
