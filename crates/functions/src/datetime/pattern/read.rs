//! Text to times.

use super::{DAYS, Field, Item, MONTHS, Minutes, Pattern};
use crate::datetime::{
    calendar::{
        MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, civil_from_days, days_from_civil,
        is_leap, make_date,
    },
    zone::Zone,
};

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Parsed {
    year: Option<i64>,
    year_of_era: Option<i64>,
    before_christ: bool,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: Option<i64>,
    hour_of_half: Option<i64>,
    afternoon: Option<bool>,
    minute: Option<i64>,
    second: Option<i64>,
    micros: Option<i64>,
    zone: Option<Zone>,
}

impl Pattern {
    /// Nothing when the text does not match to its end or names a time that does not exist.
    pub(crate) fn parse(&self, text: &str) -> Option<Parsed> {
        let mut parsed = Parsed::default();
        let end = read_items(&self.items, text, 0, &mut parsed)?;
        (end == text.len()).then_some(parsed)
    }
}

impl Parsed {
    pub(crate) fn date(&self) -> Option<i32> {
        let year = match (self.year, self.year_of_era) {
            (Some(y), _) => y,
            (None, Some(y)) if self.before_christ => 1 - y,
            (None, Some(y)) => y,
            (None, None) => 1970,
        };
        if let Some(day) = self.day_of_year {
            if day < 1 || day > if is_leap(year) { 366 } else { 365 } {
                return None;
            }
            let days = i32::try_from(days_from_civil(year, 1, 1) + day - 1).ok()?;
            let (_, m, d) = civil_from_days(i64::from(days));
            let same = self.month.is_none_or(|x| x == i64::from(m)) && self.day.is_none_or(|x| x == i64::from(d));
            return same.then_some(days);
        }
        make_date(year, self.month.unwrap_or(1), self.day.unwrap_or(1))
    }

    /// Microseconds of the day, where the text had no date.
    pub(crate) fn time(&self) -> Option<i64> {
        self.micros_of_day()
    }

    fn micros_of_day(&self) -> Option<i64> {
        let hour = match (self.hour, self.hour_of_half, self.afternoon) {
            (Some(h), half, afternoon) => {
                let same = half.is_none_or(|x| x == h % 12) && afternoon.is_none_or(|a| a == (h >= 12));
                if !same {
                    return None;
                }
                h
            }
            (None, Some(h), Some(true)) => h + 12,
            (None, Some(h), _) => h,
            (None, None, _) => 0,
        };
        let minute = self.minute.unwrap_or(0);
        let second = self.second.unwrap_or(0);
        if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..60).contains(&second) {
            return None;
        }
        Some(
            hour * MICROS_PER_HOUR + minute * MICROS_PER_MINUTE + second * MICROS_PER_SECOND + self.micros.unwrap_or(0),
        )
    }

    /// Microseconds of the wall clock.
    pub(crate) fn local(&self) -> Option<i64> {
        i64::from(self.date()?).checked_mul(MICROS_PER_DAY)?.checked_add(self.micros_of_day()?)
    }

    /// The instant; without a zone in the text it is `zone`'s wall clock.
    pub(crate) fn instant(&self, zone: Zone) -> Option<i64> {
        Some(self.zone.unwrap_or(zone).to_utc(self.local()?))
    }
}

fn read_items(items: &[Item], text: &str, mut at: usize, parsed: &mut Parsed) -> Option<usize> {
    for item in items {
        let rest = text.get(at..)?;
        at += match item {
            Item::Text(wanted) => starts_with(rest, wanted).then_some(wanted.len())?,
            Item::Number { field, min, max, reserve } => read_number(*field, *min, *max, *reserve, rest, parsed)?,
            Item::TwoDigitYear => {
                let digits = rest.get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
                parsed.year = Some(2000 + digits.parse::<i64>().ok()?);
                2
            }
            Item::MonthName { full } => {
                let (index, used) = read_name(&MONTHS, *full, rest)?;
                parsed.month = Some(index as i64 + 1);
                used
            }
            Item::DayName { full } => read_name(&DAYS, *full, rest)?.1,
            Item::Era { full } => {
                let (ad, bc) = if *full { ("Anno Domini", "Before Christ") } else { ("AD", "BC") };
                if starts_with(rest, ad) {
                    ad.len()
                } else if starts_with(rest, bc) {
                    parsed.before_christ = true;
                    bc.len()
                } else {
                    return None;
                }
            }
            Item::QuarterName { .. } => return None,
            Item::Half => {
                if starts_with(rest, "AM") {
                    parsed.afternoon = Some(false);
                } else if starts_with(rest, "PM") {
                    parsed.afternoon = Some(true);
                } else {
                    return None;
                }
                2
            }
            Item::Fraction { digits } => {
                let used = rest.bytes().take(usize::from(*digits)).take_while(u8::is_ascii_digit).count();
                if used == 0 {
                    return None;
                }
                let nanos: i64 = format!("{:0<9}", &rest[..used]).parse().ok()?;
                parsed.micros = Some(nanos / 1000);
                used
            }
            Item::Offset { colon, minutes, seconds, zulu } => {
                let (offset, used) = read_offset(rest, *colon, *minutes, *seconds, *zulu)?;
                parsed.zone = Some(Zone::Fixed(offset));
                used
            }
            Item::GmtOffset { full } => {
                if !starts_with(rest, "GMT") {
                    return None;
                }
                let tail = &rest[3..];
                if tail.starts_with(['+', '-']) {
                    let (offset, used) = if *full {
                        read_offset(tail, true, Minutes::Always, true, false)?
                    } else {
                        read_short_offset(tail)?
                    };
                    parsed.zone = Some(Zone::Fixed(offset));
                    3 + used
                } else {
                    parsed.zone = Some(Zone::UTC);
                    3
                }
            }
            Item::ZoneId | Item::ZoneName => {
                let used = rest
                    .bytes()
                    .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+' | b':'))
                    .count();
                let name = &rest[..used];
                let zone = match name {
                    "PDT" => Zone::try_parse("America/Los_Angeles"),
                    "EDT" => Zone::try_parse("America/New_York"),
                    "CDT" => Zone::try_parse("America/Chicago"),
                    "MDT" => Zone::try_parse("America/Denver"),
                    "EST" if *item == Item::ZoneName => Zone::try_parse("America/New_York"),
                    "MST" if *item == Item::ZoneName => Zone::try_parse("America/Denver"),
                    "CET" | "CEST" => Zone::try_parse("Europe/Paris"),
                    other => Zone::try_parse(other),
                };
                parsed.zone = Some(zone?);
                used
            }
            Item::Optional(inner) => {
                let mut attempt = *parsed;
                match read_items(inner, text, at, &mut attempt) {
                    Some(end) => {
                        *parsed = attempt;
                        end - at
                    }
                    None => 0,
                }
            }
        };
    }
    Some(at)
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|t| t.eq_ignore_ascii_case(prefix))
}

fn read_name(names: &[&str], full: bool, text: &str) -> Option<(usize, usize)> {
    names.iter().enumerate().find_map(|(i, name)| {
        let name = if full { name } else { &name[..3] };
        starts_with(text, name).then_some((i, name.len()))
    })
}

fn read_number(field: Field, min: u8, max: u8, reserve: u8, text: &str, parsed: &mut Parsed) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_year = matches!(field, Field::Year | Field::YearOfEra);
    let (sign, start) = match bytes.first()? {
        b'-' if is_year => (-1, 1),
        b'+' if is_year && min >= 4 => (2, 1),
        _ => (1, 0),
    };
    let available = bytes[start..].iter().take_while(|b| b.is_ascii_digit()).count();
    let most = if min == max {
        usize::from(max)
    } else {
        usize::from(max).min(available.saturating_sub(usize::from(reserve)).max(usize::from(min)))
    };
    let used = available.min(most).min(18);
    if used < usize::from(min) {
        return None;
    }
    // A year longer than its pattern has a plus sign, and only such a year.
    if is_year && min >= 4 && ((sign == 1 && used > usize::from(min)) || (sign == 2 && used <= usize::from(min))) {
        return None;
    }
    let mut value: i64 = 0;
    for b in &bytes[start..start + used] {
        value = value * 10 + i64::from(b - b'0');
    }
    if sign == -1 {
        value = -value;
    }
    let (slot, low, high) = match field {
        Field::Year => (&mut parsed.year, -999_999_999, 999_999_999),
        Field::YearOfEra => (&mut parsed.year_of_era, 1, 999_999_999),
        Field::Month => (&mut parsed.month, 1, 12),
        Field::Day => (&mut parsed.day, 1, 31),
        Field::DayOfYear => (&mut parsed.day_of_year, 1, 366),
        Field::Hour => (&mut parsed.hour, 0, 23),
        Field::ClockHour => (&mut parsed.hour, 1, 24),
        Field::HourOfHalf => (&mut parsed.hour_of_half, 0, 11),
        Field::ClockHourOfHalf => (&mut parsed.hour_of_half, 1, 12),
        Field::Minute => (&mut parsed.minute, 0, 59),
        Field::Second => (&mut parsed.second, 0, 59),
        Field::Quarter | Field::WeekOfMonth => return None,
    };
    if value < low || value > high {
        return None;
    }
    let value = match field {
        Field::ClockHour => value % 24,
        Field::ClockHourOfHalf => value % 12,
        _ => value,
    };
    if slot.is_some_and(|before| before != value) {
        return None;
    }
    *slot = Some(value);
    Some(start + used)
}

fn two_digits(text: &str, at: usize) -> Option<i32> {
    let d = text.get(at..at + 2)?;
    if d.bytes().all(|b| b.is_ascii_digit()) { d.parse().ok() } else { None }
}

fn read_offset(text: &str, colon: bool, minutes: Minutes, seconds: bool, zulu: bool) -> Option<(i32, usize)> {
    let sign = match text.as_bytes().first()? {
        b'Z' | b'z' if zulu => return Some((0, 1)),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = two_digits(text, 1)?;
    let mut at = 3;
    let mut total = hours * 3600;
    let next = |at: usize| -> Option<(i32, usize)> {
        if colon {
            (text.as_bytes().get(at) == Some(&b':')).then_some(())?;
            Some((two_digits(text, at + 1)?, at + 3))
        } else {
            Some((two_digits(text, at)?, at + 2))
        }
    };
    match next(at) {
        Some((m, end)) if m < 60 => {
            total += m * 60;
            at = end;
            if seconds && let Some((s, end)) = next(at).filter(|(s, _)| *s < 60) {
                total += s;
                at = end;
            }
        }
        _ if minutes == Minutes::Always => return None,
        _ => {}
    }
    (total <= 18 * 3600).then_some((sign * total, at))
}

/// `+8`, `+8:30`
fn read_short_offset(text: &str) -> Option<(i32, usize)> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits = text[1..].bytes().take(2).take_while(u8::is_ascii_digit).count();
    let hours: i32 = text.get(1..1 + digits)?.parse().ok()?;
    let mut at = 1 + digits;
    let mut total = hours * 3600;
    if text.as_bytes().get(at) == Some(&b':')
        && let Some(m) = two_digits(text, at + 1).filter(|m| *m < 60)
    {
        total += m * 60;
        at += 3;
    }
    (total <= 18 * 3600).then_some((sign * total, at))
}
