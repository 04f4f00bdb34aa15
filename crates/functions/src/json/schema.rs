//! The type of the values of a JSON text: `schema_of_json`.

use firesteel_plan::{DataType, types::StructField};

use super::{options::Options, parse::Json};
use crate::coercion::{decimal, tightest_common_type, wider_decimal};

pub(super) fn infer(value: &Json<'_>, options: &Options) -> DataType {
    let strings = options.flag("primitivesAsString", false);
    match value {
        Json::Null => DataType::Null,
        Json::Text(_) => DataType::String,
        Json::Bool(_) | Json::Number(_) if strings => DataType::String,
        Json::Bool(_) => DataType::Boolean,
        Json::Number(n) => number(n, options.flag("prefersDecimal", false)),
        Json::Array(all, _) => {
            let element = all.iter().map(|v| infer(v, options)).reduce(|a, b| common(&a, &b)).unwrap_or(DataType::Null);
            DataType::array(element)
        }
        Json::Object(all, _) => {
            let mut fields: Vec<StructField> =
                all.iter().map(|(name, v)| StructField::new(name.as_ref(), infer(v, options), true)).collect();
            fields.sort_by(|a, b| a.name.cmp(&b.name));
            DataType::Struct(fields)
        }
    }
}

fn number(text: &str, prefers_decimal: bool) -> DataType {
    let whole = !text.contains(['.', 'e', 'E', 'N', 'I']);
    if whole && text.parse::<i64>().is_ok() {
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
fn common(a: &DataType, b: &DataType) -> DataType {
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

/// What was null everywhere becomes a string; structs without fields go.
pub(super) fn settled(data_type: DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Null => DataType::String,
        DataType::Array { element, .. } => DataType::array(settled(*element)?),
        DataType::Struct(fields) => {
            let fields: Vec<StructField> = fields
                .into_iter()
                .filter(|f| !f.name.is_empty())
                .filter_map(|f| settled(f.data_type).map(|t| StructField::new(f.name, t, true)))
                .collect();
            if fields.is_empty() {
                return None;
            }
            DataType::Struct(fields)
        }
        other => other,
    })
}
