//! Types of columns of CSV, from all of their values.

use firesteel_plan::{DataType, SparkResult, types::StructField};

use super::{
    super::options::{Options, Times},
    Value,
    records::{Specials, java_double},
};
use crate::{
    coercion::{decimal, decimal_of_integral, tightest_common_type},
    datetime::{
        pattern::{Pattern, Purpose},
        text,
    },
};

/// Finds the types that hold every value of a column.
pub struct CsvInference {
    types: Vec<DataType>,
    times: Times,
    /// Dates are only those that are written so.
    dates: std::sync::Arc<Pattern>,
    prefers_date: bool,
    /// A date is a time as well, where no pattern says how times are written.
    dates_are_times: bool,
    null_value: String,
    specials: Specials,
}

impl CsvInference {
    pub fn new(options: &Options, zone: &str, columns: usize) -> SparkResult<Self> {
        let times = Times::new(options, zone, Purpose::Parse)?;
        let dates = match &times.date {
            Some(pattern) => pattern.clone(),
            None => Pattern::cached("yyyy-MM-dd", Purpose::Parse)?,
        };
        Ok(Self {
            types: vec![DataType::Null; columns],
            dates,
            prefers_date: options.flag("preferDate", true),
            dates_are_times: times.timestamp.is_none(),
            times,
            null_value: options.get("nullValue").unwrap_or("").to_owned(),
            specials: Specials::new(options),
        })
    }

    pub fn add(&mut self, values: &[Value<'_>]) {
        for (i, value) in values.iter().enumerate().take(self.types.len()) {
            let Some(value) = value.as_deref().filter(|v| !v.is_empty() && *v != self.null_value) else { continue };
            let found = self.infer(value, &self.types[i]);
            self.types[i] = self.common(&self.types[i], &found);
        }
    }

    /// The columns under their names; what had no value is a string.
    pub fn finish(self, names: Vec<String>) -> Vec<StructField> {
        let settled = |t: DataType| if t == DataType::Null { DataType::String } else { t };
        names.into_iter().zip(self.types).map(|(name, t)| StructField::new(name, settled(t), true)).collect()
    }

    /// The first type of an order that takes the value; those before `so_far` do not matter any more.
    fn infer(&self, value: &str, so_far: &DataType) -> DataType {
        let from = match so_far {
            DataType::Null | DataType::Integer => 0,
            DataType::Long => 1,
            DataType::Decimal { .. } => 2,
            DataType::Double => 3,
            DataType::Date => 4,
            DataType::Timestamp => 5,
            DataType::Boolean => 6,
            _ => return DataType::String,
        };
        if from == 0 && value.parse::<i32>().is_ok() {
            return DataType::Integer;
        }
        if from <= 1 && value.parse::<i64>().is_ok() {
            return DataType::Long;
        }
        if from <= 2
            && let Some(found) = whole_decimal(value)
        {
            return found;
        }
        if from <= 3 && (java_double(value).is_some() || self.specials.contains(value)) {
            return DataType::Double;
        }
        if from <= 4 && (self.prefers_date || from == 4) && self.dates.parse(value).and_then(|p| p.date()).is_some() {
            return DataType::Date;
        }
        if from <= 5 {
            let is_time = match &self.times.timestamp {
                Some(pattern) => pattern.parse(value).and_then(|p| p.instant(self.times.zone)).is_some(),
                None => text::parse_timestamp(value).is_some(),
            };
            if is_time {
                return DataType::Timestamp;
            }
        }
        if value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") {
            return DataType::Boolean;
        }
        DataType::String
    }

    fn common(&self, a: &DataType, b: &DataType) -> DataType {
        use DataType::{Date, Decimal, Double, Timestamp};
        match (a, b) {
            (Date, Timestamp) | (Timestamp, Date) => {
                if self.dates_are_times {
                    Timestamp
                } else {
                    DataType::String
                }
            }
            (Double, Decimal { .. }) | (Decimal { .. }, Double) => Double,
            (Decimal { precision: p, scale: s }, Decimal { precision: q, scale: t }) => {
                let scale = (*s).max(*t);
                let range = (i16::from(*p) - i16::from(*s)).max(i16::from(*q) - i16::from(*t));
                match u8::try_from(range + i16::from(scale)) {
                    Ok(precision) if precision <= 38 => decimal(precision, scale),
                    _ => Double,
                }
            }
            (whole, d @ Decimal { .. }) | (d @ Decimal { .. }, whole) if whole.is_integral() => {
                match decimal_of_integral(whole) {
                    Some((precision, scale)) => self.common(&decimal(precision, scale), d),
                    None => DataType::String,
                }
            }
            _ if a.is_string() || b.is_string() => DataType::String,
            _ => tightest_common_type(a, b, true).unwrap_or(DataType::String),
        }
    }
}

/// A number without a fraction that is too large for a bigint.
fn whole_decimal(value: &str) -> Option<DataType> {
    let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let precision = digits.trim_start_matches('0').len().max(1);
    (precision <= 38).then(|| decimal(precision as u8, 0))
}
