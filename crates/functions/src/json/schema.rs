//! The type of the values of a JSON text: `schema_of_json`.

use firesteel_plan::{DataType, types::StructField};

use super::{
    options::{Options, Times},
    parse::Json,
};
use crate::{
    coercion::{decimal, tightest_common_type, wider_decimal},
    datetime::text,
};

/// `times` is how times are written, for those who look for them in texts.
pub(crate) fn infer(value: &Json<'_>, options: &Options, times: Option<&Times>) -> DataType {
    let strings = options.flag("primitivesAsString", false);
    match value {
        Json::Null => DataType::Null,
        // Writers that know no null write nothing.
        Json::Text(t) if t.is_empty() => DataType::Null,
        Json::Text(t) => of_text(t, options, times),
        Json::Bool(_) | Json::Number(_) if strings => DataType::String,
        Json::Bool(_) => DataType::Boolean,
        Json::Number(n) => number(n, options.flag("prefersDecimal", false), true),
        Json::Array(all, _) => {
            let element =
                all.iter().map(|v| infer(v, options, times)).reduce(|a, b| common(&a, &b)).unwrap_or(DataType::Null);
            DataType::array(element)
        }
        Json::Object(all, _) => {
            let mut fields: Vec<StructField> =
                all.iter().map(|(name, v)| StructField::new(name.as_ref(), infer(v, options, times), true)).collect();
            fields.sort_by(|a, b| a.name.cmp(&b.name));
            DataType::Struct(fields)
        }
    }
}

fn of_text(text: &str, options: &Options, times: Option<&Times>) -> DataType {
    if options.flag("prefersDecimal", false) {
        let plain = text.replace(',', "");
        let is_number =
            plain.bytes().all(|b| b.is_ascii_digit() || b"+-.".contains(&b)) && plain.parse::<f64>().is_ok();
        if is_number && let found @ DataType::Decimal { .. } = number(plain.trim_start_matches('+'), true, false) {
            return found;
        }
    }
    let Some(times) = times.filter(|_| options.flag("inferTimestamp", false)) else { return DataType::String };
    let is_time = match &times.timestamp {
        Some(pattern) => pattern.parse(text).and_then(|p| p.instant(times.zone)).is_some(),
        None => text::parse_timestamp(text).is_some(),
    };
    if is_time { DataType::Timestamp } else { DataType::String }
}

/// `longs`: whether whole numbers that are a bigint are one.
pub(crate) fn number(text: &str, prefers_decimal: bool, longs: bool) -> DataType {
    let whole = !text.contains(['.', 'e', 'E', 'N', 'I']);
    if longs && whole && text.parse::<i64>().is_ok() {
        return DataType::Long;
    }
    if whole || prefers_decimal {
        let plain = text.trim_start_matches(['-', '0']);
        let (digits, scale) = match text.split_once('.') {
            Some((_, fraction)) => (plain.chars().filter(char::is_ascii_digit).count(), fraction.len()),
            None => (plain.len(), 0),
        };
        let digits = if text.starts_with("0.") || text.starts_with("-0.") {
            text.split_once('.').map_or(0, |(_, f)| f.trim_start_matches('0').len())
        } else {
            digits
        };
        let precision = digits.max(scale).max(1);
        if precision <= 38 && !text.contains(['e', 'E', 'N', 'I']) {
            return decimal(precision as u8, scale as i8);
        }
    }
    DataType::Double
}

/// One type for both: strings where nothing else holds both.
pub(crate) fn common(a: &DataType, b: &DataType) -> DataType {
    use DataType::{Array, Decimal, Double, Long, Null, String, Struct};
    match (a, b) {
        (x, y) if x == y => x.clone(),
        (Null, other) | (other, Null) => other.clone(),
        (Double, Long | Decimal { .. }) | (Long | Decimal { .. }, Double) => Double,
        (Decimal { precision: p, scale: s }, Decimal { precision: q, scale: t }) => {
            let (precision, scale) = wider_decimal((*p, *s), (*q, *t));
            decimal(precision, scale)
        }
        (Decimal { precision, scale }, Long) | (Long, Decimal { precision, scale }) => {
            let (precision, scale) = wider_decimal((*precision, *scale), (20, 0));
            decimal(precision, scale)
        }
        (Array { element: x, .. }, Array { element: y, .. }) => DataType::array(common(x, y)),
        (Struct(x), Struct(y)) => {
            let mut fields = x.clone();
            for field in y {
                match fields.iter_mut().find(|f| f.name == field.name) {
                    Some(known) => known.data_type = common(&known.data_type, &field.data_type),
                    None => fields.push(field.clone()),
                }
            }
            fields.sort_by(|a, b| a.name.cmp(&b.name));
            Struct(fields)
        }
        _ => tightest_common_type(a, b, true).unwrap_or(String),
    }
}

/// What was null everywhere becomes a string, or goes; structs without fields go.
pub(crate) fn settled(data_type: DataType, drops_null: bool) -> Option<DataType> {
    Some(match data_type {
        DataType::Null if drops_null => return None,
        DataType::Null => DataType::String,
        DataType::Array { element, .. } => DataType::array(settled(*element, drops_null)?),
        DataType::Struct(fields) => {
            let fields: Vec<StructField> = fields
                .into_iter()
                .filter(|f| !f.name.is_empty())
                .filter_map(|f| settled(f.data_type, drops_null).map(|t| StructField::new(f.name, t, true)))
                .collect();
            if fields.is_empty() {
                return None;
            }
            DataType::Struct(fields)
        }
        other => other,
    })
}
