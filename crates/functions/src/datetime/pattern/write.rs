//! Times to text.

use std::fmt::Write;

use super::{DAYS, Field, Item, MONTHS, Minutes, Pattern};
use crate::datetime::{
    calendar::{
        MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, civil_from_days, day_of_year,
        iso_weekday,
    },
    zone::{Zone, format_offset},
};

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
