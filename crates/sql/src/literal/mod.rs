//! The values that literals stand for.

mod datetime;
mod interval;
mod number;
mod string;

pub use datetime::{DateText, date_text, time_text, timestamp_text_has_zone, timestamp_text_is_valid};
pub use interval::{IntervalText, UnitsError, calendar_interval_text, unit_to_unit};
pub use number::number;
pub use string::string_value;
