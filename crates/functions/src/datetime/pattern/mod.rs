//! Datetime patterns (`dd/MMM/yyyy:HH:mm:ss Z`) with the meaning Spark gives them: those of Java's `DateTimeFormatter`,
//! strict, in English, compiled once.

mod read;
mod write;

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use firesteel_plan::{SparkError, SparkResult};

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
    /// For times without a zone, which Spark 2 did not have.
    ParseNtz,
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
        // What Spark 2 could read says so: it meant something else, perhaps.
        let older = |pattern: &str| purpose != Purpose::ParseNtz && was_legal(pattern);
        Self::compiled(pattern, purpose).map_err(|error| if older(pattern) { not_any_more(pattern) } else { error })
    }

    fn compiled(pattern: &str, purpose: Purpose) -> SparkResult<Self> {
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

/// Whether Java's `SimpleDateFormat`, which Spark 2 used, takes the pattern.
fn was_legal(pattern: &str) -> bool {
    let mut quoted = false;
    let mut zone_letters = 0;
    for c in pattern.chars() {
        quoted ^= c == '\'';
        zone_letters = if c == 'X' && !quoted { zone_letters + 1 } else { 0 };
        if zone_letters > 3 || (!quoted && c.is_ascii_alphabetic() && !"GyMwWDdFEuaHkKhmsSzZXYL".contains(c)) {
            return false;
        }
    }
    !quoted
}

fn not_any_more(pattern: &str) -> SparkError {
    SparkError::new(
        "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION",
        "42K0B",
        format!(
            "You may get a different result due to the upgrading to Spark >= 3.0: Fail to recognize '{pattern}' pattern in the \
             DateTimeFormatter. You can form a valid datetime pattern with the guide from \
             'https://spark.apache.org/docs/latest/sql-ref-datetime-pattern.html'."
        ),
    )
    .param("pattern", format!("'{pattern}'"))
    .param("config", "\"spark.sql.legacy.timeParserPolicy\"")
    .param("docroot", "https://spark.apache.org/docs/latest")
}

fn illegal_character(c: char, pattern: &str) -> SparkError {
    SparkError::new(
        "INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER",
        "22007",
        format!(
            "Unrecognized datetime pattern: {pattern}. Illegal pattern character found in datetime pattern. Please provide \
             legal character."
        ),
    )
    .param("c", c.to_string())
    .param("pattern", pattern)
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
            "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_WEEK_BASED_PATTERN",
            "42K0B",
            format!(
                "You may get a different result due to the upgrading to Spark >= 3.0: All week-based patterns are unsupported \
                 since Spark 3.0, detected week-based character: {c}. Please use the SQL function EXTRACT instead."
            ),
        )
        .param("c", c.to_string()));
    }
    if matches!(c, 'A' | 'B' | 'n' | 'N' | 'p') {
        return Err(illegal_character(c, pattern));
    }
    if purpose != Purpose::Format && matches!(c, 'E' | 'F' | 'q' | 'Q') {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datetime::zone::Zone;

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
