//! Datetime patterns (`dd/MMM/yyyy:HH:mm:ss Z`) with the meaning Spark gives them: those of Java's `DateTimeFormatter`,
//! strict, in English, compiled once.

use std::{
    collections::HashMap,
    fmt::Write,
    sync::{Arc, LazyLock, Mutex},
};

use firesteel_plan::{SparkError, SparkResult};

use super::{
    calendar::{
        MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, civil_from_days, day_of_year,
        days_from_civil, is_leap, iso_weekday, make_date,
    },
    zone::{Zone, format_offset},
};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Year,
    YearOfEra,
    Month,
    Day,
    DayOfYear,
    Hour,
    /// 1 to 24
    ClockHour,
    /// 0 to 11
    HourOfHalf,
    /// 1 to 12
    ClockHourOfHalf,
    Minute,
    Second,
    Quarter,
    WeekOfMonth,
}

#[derive(Debug, Clone, PartialEq)]
enum Item {
    Text(String),
    Number {
        field: Field,
        min: u8,
        max: u8,
        reserve: u8,
    },
    TwoDigitYear,
    MonthName {
        full: bool,
    },
    DayName {
        full: bool,
    },
    Era {
        full: bool,
    },
    QuarterName {
        full: bool,
    },
    Half,
    Fraction {
        digits: u8,
    },
    Offset {
        colon: bool,
        minutes: Minutes,
        seconds: bool,
        zulu: bool,
    },
    /// `GMT+8`, `GMT+08:00`
    GmtOffset {
        full: bool,
    },
    ZoneId,
    ZoneName,
    Optional(Vec<Item>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Minutes {
    Always,
    WhenNotZero,
}

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Pattern {
    items: Vec<Item>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    Parse,
    Format,
}

/// Patterns compiled lately. Cleared when full: a query has few.
static CACHE: LazyLock<Mutex<Cache>> = LazyLock::new(Mutex::default);
type Cache = HashMap<(Purpose, String), Arc<Pattern>>;
const CACHE_SIZE: usize = 256;

impl Pattern {
    pub(crate) fn cached(pattern: &str, purpose: Purpose) -> SparkResult<Arc<Self>> {
        let key = (purpose, pattern.to_owned());
        if let Ok(cache) = CACHE.lock()
            && let Some(found) = cache.get(&key)
        {
            return Ok(Arc::clone(found));
        }
        let compiled = Arc::new(Self::compile(pattern, purpose)?);
        if let Ok(mut cache) = CACHE.lock() {
            if cache.len() >= CACHE_SIZE {
                cache.clear();
            }
            cache.insert(key, Arc::clone(&compiled));
        }
        Ok(compiled)
    }

    pub(crate) fn compile(pattern: &str, purpose: Purpose) -> SparkResult<Self> {
        let chars: Vec<char> = pattern.chars().collect();
        let era = {
            let mut quoted = false;
            chars.iter().any(|c| {
                quoted ^= *c == '\'';
                *c == 'G' && !quoted
            })
        };
        let mut stack: Vec<Vec<Item>> = vec![Vec::new()];
        let mut at = 0;
        while at < chars.len() {
            let c = chars[at];
            if c.is_ascii_alphabetic() {
                let mut count = 1;
                while chars.get(at + count) == Some(&c) {
                    count += 1;
                }
                at += count;
                let item = letter(pattern, c, count, purpose, era)?;
                push(&mut stack, item);
                continue;
            }
            at += 1;
            match c {
                '\'' => {
                    let mut text = String::new();
                    if chars.get(at) == Some(&'\'') {
                        at += 1;
                        push(&mut stack, Item::Text("'".to_owned()));
                        continue;
                    }
                    loop {
                        match chars.get(at) {
                            Some('\'') if chars.get(at + 1) == Some(&'\'') => {
                                text.push('\'');
                                at += 2;
                            }
                            Some('\'') => {
                                at += 1;
                                break;
                            }
                            Some(other) => {
                                text.push(*other);
                                at += 1;
                            }
                            None => return Err(unrecognized(pattern)),
                        }
                    }
                    push(&mut stack, Item::Text(text));
                }
                '[' => stack.push(Vec::new()),
                ']' => match stack.pop() {
                    Some(inner) if !stack.is_empty() => push(&mut stack, Item::Optional(inner)),
                    _ => return Err(unrecognized(pattern)),
                },
                '{' | '}' | '#' => return Err(unrecognized(pattern)),
                other => push(&mut stack, Item::Text(other.to_string())),
            }
        }
        let mut items = Vec::new();
        // Java closes what is still open at the end.
        while let Some(inner) = stack.pop() {
            if stack.is_empty() {
                items = inner;
            } else {
                push(&mut stack, Item::Optional(inner));
            }
        }
        reserve(&mut items);
        Ok(Self { items })
    }
}

fn push(stack: &mut [Vec<Item>], item: Item) {
    if let Some(top) = stack.last_mut() {
        match (top.last_mut(), &item) {
            (Some(Item::Text(before)), Item::Text(text)) => before.push_str(text),
            _ => top.push(item),
        }
    }
}

/// A number of open width leaves room for the numbers of fixed width right behind it: `yyyyMMdd`.
fn reserve(items: &mut [Item]) {
    for i in 0..items.len() {
        let mut room = 0;
        for next in &items[i + 1..] {
            match next {
                Item::Number { min, max, .. } if min == max => room += *max,
                Item::TwoDigitYear => room += 2,
                _ => break,
            }
        }
        match &mut items[i] {
            Item::Number { min, max, reserve, .. } if min != max => *reserve = room,
            Item::Optional(inner) => self::reserve(inner),
            _ => {}
        }
    }
}

fn unrecognized(pattern: &str) -> SparkError {
    SparkError::new(
        "INVALID_DATETIME_PATTERN.WITH_SUGGESTION",
        "22007",
        format!(
            "Unrecognized datetime pattern: {pattern}. You can form a valid datetime pattern with the guide from \
             'https://spark.apache.org/docs/latest/sql-ref-datetime-pattern.html'."
        ),
    )
    .param("pattern", pattern)
    .param("docroot", "https://spark.apache.org/docs/latest")
}

fn too_long(pattern: &str) -> SparkError {
    SparkError::new(
        "INVALID_DATETIME_PATTERN.LENGTH",
        "22007",
        format!("Unrecognized datetime pattern: {pattern}. Too many letters in datetime pattern: {pattern}. Please reduce pattern length."),
    )
    .param("pattern", pattern)
}

fn letter(pattern: &str, c: char, count: usize, purpose: Purpose, era: bool) -> SparkResult<Item> {
    let number = |field, most: usize| {
        if count > most {
            return Err(too_long(pattern));
        }
        let n = count as u8;
        Ok(if n == 1 {
            Item::Number { field, min: 1, max: 19, reserve: 0 }
        } else {
            Item::Number { field, min: n, max: n, reserve: 0 }
        })
    };
    let illegal = || unrecognized(pattern);
    if matches!(c, 'Y' | 'W' | 'w' | 'u' | 'e' | 'c') {
        return Err(SparkError::new(
            "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION",
            "42K0B",
            format!(
                "You may get a different result due to the upgrading to Spark >= 3.0: Fail to recognize '{pattern}' pattern \
                 in the DateTimeFormatter. Weeks ({c}) are not in it: use the SQL function EXTRACT instead."
            ),
        )
        .param("pattern", format!("'{pattern}'")));
    }
    if purpose == Purpose::Parse && matches!(c, 'E' | 'F' | 'q' | 'Q') {
        return Err(illegal());
    }
    Ok(match c {
        'G' if count <= 4 => Item::Era { full: count == 4 },
        'y' if count == 2 => Item::TwoDigitYear,
        'y' if count <= 6 => {
            let field = if era { Field::YearOfEra } else { Field::Year };
            Item::Number { field, min: count as u8, max: 19, reserve: 0 }
        }
        'D' => {
            if count > 3 {
                return Err(too_long(pattern));
            }
            if count == 3 {
                Item::Number { field: Field::DayOfYear, min: 3, max: 3, reserve: 0 }
            } else {
                Item::Number { field: Field::DayOfYear, min: count as u8, max: 3, reserve: 0 }
            }
        }
        'M' | 'L' if count <= 2 => number(Field::Month, 2)?,
        'M' | 'L' if count <= 4 => Item::MonthName { full: count == 4 },
        'd' => number(Field::Day, 2)?,
        'E' if count <= 4 => Item::DayName { full: count == 4 },
        'F' => number(Field::WeekOfMonth, 1)?,
        'a' if count == 1 => Item::Half,
        'h' => number(Field::ClockHourOfHalf, 2)?,
        'K' => number(Field::HourOfHalf, 2)?,
        'k' => number(Field::ClockHour, 2)?,
        'H' => number(Field::Hour, 2)?,
        'm' => number(Field::Minute, 2)?,
        's' => number(Field::Second, 2)?,
        'S' if count <= 9 => Item::Fraction { digits: count as u8 },
        'Q' | 'q' if count <= 2 => number(Field::Quarter, 2)?,
        'Q' | 'q' if count <= 4 => Item::QuarterName { full: count == 4 },
        'V' if count == 2 => Item::ZoneId,
        'V' => return Err(unrecognized(pattern)),
        'z' if count <= 4 => Item::ZoneName,
        'O' if count == 1 || count == 4 => Item::GmtOffset { full: count == 4 },
        'O' => return Err(unrecognized(pattern)),
        'X' | 'x' if count <= 5 => Item::Offset {
            colon: count == 3 || count == 5,
            minutes: if count == 1 { Minutes::WhenNotZero } else { Minutes::Always },
            seconds: count >= 4,
            zulu: c == 'X',
        },
        'Z' if count <= 3 => Item::Offset { colon: false, minutes: Minutes::Always, seconds: false, zulu: false },
        'Z' if count == 4 => Item::GmtOffset { full: true },
        'Z' if count == 5 => Item::Offset { colon: true, minutes: Minutes::Always, seconds: true, zulu: true },
        'G' | 'y' | 'M' | 'L' | 'E' | 'a' | 'S' | 'Q' | 'q' | 'z' | 'X' | 'x' | 'Z' => return Err(too_long(pattern)),
        _ => return Err(illegal()),
    })
}

// ---- formatting

impl Pattern {
    /// Appends the wall-clock time of `utc_micros` in `zone`.
    pub(crate) fn format(&self, out: &mut String, utc_micros: i64, zone: Zone) {
        let offset = zone.offset_at(utc_micros);
        let local = utc_micros.saturating_add(i64::from(offset) * MICROS_PER_SECOND);
        let days = local.div_euclid(MICROS_PER_DAY);
        let (year, month, day) = civil_from_days(days);
        let now = Moment { utc_micros, zone, offset, days, year, month, day, micros: local.rem_euclid(MICROS_PER_DAY) };
        write_items(&self.items, out, &now);
    }
}

struct Moment {
    utc_micros: i64,
    zone: Zone,
    offset: i32,
    days: i64,
    year: i64,
    month: u32,
    day: u32,
    micros: i64,
}

fn write_items(items: &[Item], out: &mut String, now: &Moment) {
    let hour = now.micros / MICROS_PER_HOUR;
    for item in items {
        match item {
            Item::Text(text) => out.push_str(text),
            Item::Number { field, min, .. } => {
                let value = match field {
                    Field::Year => now.year,
                    Field::YearOfEra => {
                        if now.year > 0 {
                            now.year
                        } else {
                            1 - now.year
                        }
                    }
                    Field::Month => i64::from(now.month),
                    Field::Day => i64::from(now.day),
                    Field::DayOfYear => day_of_year(now.days),
                    Field::Hour => hour,
                    Field::ClockHour => {
                        if hour == 0 {
                            24
                        } else {
                            hour
                        }
                    }
                    Field::HourOfHalf => hour % 12,
                    Field::ClockHourOfHalf => {
                        if hour % 12 == 0 {
                            12
                        } else {
                            hour % 12
                        }
                    }
                    Field::Minute => now.micros / MICROS_PER_MINUTE % 60,
                    Field::Second => now.micros / MICROS_PER_SECOND % 60,
                    Field::Quarter => i64::from(now.month - 1) / 3 + 1,
                    Field::WeekOfMonth => i64::from(now.day - 1) % 7 + 1,
                };
                let width = usize::from(*min);
                if matches!(field, Field::Year | Field::YearOfEra) && width >= 4 && value >= 10i64.pow(u32::from(*min))
                {
                    out.push('+');
                }
                if value < 0 {
                    let _ = write!(out, "-{:0width$}", -value);
                } else {
                    let _ = write!(out, "{value:0width$}");
                }
            }
            Item::TwoDigitYear => {
                let _ = write!(out, "{:02}", now.year.rem_euclid(100));
            }
            Item::MonthName { full } => {
                let name = MONTHS[(now.month as usize - 1).min(11)];
                out.push_str(if *full { name } else { &name[..3] });
            }
            Item::DayName { full } => {
                let name = DAYS[(iso_weekday(now.days) as usize - 1).min(6)];
                out.push_str(if *full { name } else { &name[..3] });
            }
            Item::Era { full } => out.push_str(match (now.year > 0, full) {
                (true, true) => "Anno Domini",
                (true, false) => "AD",
                (false, true) => "Before Christ",
                (false, false) => "BC",
            }),
            Item::QuarterName { full } => {
                let quarter = (now.month - 1) / 3 + 1;
                if *full {
                    out.push_str(
                        ["1st quarter", "2nd quarter", "3rd quarter", "4th quarter"][(quarter as usize - 1).min(3)],
                    );
                } else {
                    let _ = write!(out, "Q{quarter}");
                }
            }
            Item::Half => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            Item::Fraction { digits } => {
                let nanos = now.micros % MICROS_PER_SECOND * 1000;
                let text = format!("{nanos:09}");
                out.push_str(&text[..usize::from(*digits)]);
            }
            Item::Offset { colon, minutes, seconds, zulu } => {
                if now.offset == 0 && *zulu {
                    out.push('Z');
                } else if *minutes == Minutes::WhenNotZero && now.offset % 3600 == 0 {
                    let _ = write!(out, "{}{:02}", if now.offset < 0 { '-' } else { '+' }, now.offset.abs() / 3600);
                } else {
                    out.push_str(&format_offset(now.offset, *colon, *seconds));
                }
            }
            Item::GmtOffset { full } => {
                out.push_str("GMT");
                if now.offset != 0 {
                    if *full {
                        out.push_str(&format_offset(now.offset, true, true));
                    } else {
                        let (h, m) = (now.offset.abs() / 3600, now.offset.abs() / 60 % 60);
                        let _ = write!(out, "{}{h}", if now.offset < 0 { '-' } else { '+' });
                        if m != 0 {
                            let _ = write!(out, ":{m:02}");
                        }
                    }
                }
            }
            Item::ZoneId => out.push_str(&now.zone.id()),
            Item::ZoneName => out.push_str(&now.zone.abbreviation(now.utc_micros)),
            Item::Optional(inner) => write_items(inner, out, now),
        }
    }
}

// ---- parsing

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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pattern: &str, text: &str) -> Option<i64> {
        Pattern::compile(pattern, Purpose::Parse).unwrap().parse(text)?.instant(Zone::UTC)
    }

    fn format(pattern: &str, micros: i64) -> String {
        let mut s = String::new();
        Pattern::compile(pattern, Purpose::Format).unwrap().format(&mut s, micros, Zone::UTC);
        s
    }

    #[test]
    fn patterns_read_what_they_write() {
        let micros = parse("dd/MMM/yyyy:HH:mm:ss Z", "05/Mar/2024:13:04:05 +0100").unwrap();
        assert_eq!(format("yyyy-MM-dd'T'HH:mm:ssXXX", micros), "2024-03-05T12:04:05Z");
        assert_eq!(parse("yyyyMMdd", "20240305"), parse("yyyy-M-d", "2024-3-5"));
        assert_eq!(parse("yyyy-MM-dd[ HH:mm]", "2024-03-05"), parse("yyyy-MM-dd", "2024-03-05"));
        assert_eq!(parse("yyyy-MM-dd", "2024-02-30"), None);
        assert_eq!(parse("yyyy-MM-dd", "2024-2-30"), None);
        assert_eq!(parse("yyyy-MM-dd", "12024-02-03"), None);
        assert_eq!(format("EEEE, d MMMM yy h:mm a S", 0), "Thursday, 1 January 70 12:00 AM 0");
        assert!(Pattern::compile("YYYY", Purpose::Format).is_err());
    }
}
