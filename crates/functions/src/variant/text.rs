//! VARIANT values from and to JSON texts, their paths, and the schema of what is in them.

use firesteel_plan::{DataType, SparkError, SparkResult};

use super::encoding::Variant;
use crate::{
    cast::{Env, write_double, write_float},
    coercion,
    datetime::text as times,
    json::{
        parse::{Json, Lenience, parse_prefix},
        write::write_text as quoted,
    },
    numeric::decimal::decimal_text,
    text::base64,
};

const STRICT: Lenience = Lenience {
    single_quotes: false,
    not_numbers: false,
    leading_zeros: false,
    unquoted_names: false,
    comments: false,
    backslash_any: false,
    control_characters: false,
};

fn malformed(text: &str) -> SparkError {
    SparkError::new(
        "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION",
        "22023",
        format!(
            "Malformed records are detected in record parsing: {text}.\nParse Mode: FAILFAST. To process malformed records \
             as null result, try setting the option 'mode' as 'PERMISSIVE'."
        ),
    )
    .param("badRecord", text)
    .param("failFastMode", "FAILFAST")
}

pub(super) fn parse(text: &str) -> SparkResult<Variant> {
    let json = parse_prefix(text, STRICT).ok_or_else(|| malformed(text))?;
    of_json(&json)
}

fn of_json(json: &Json<'_>) -> SparkResult<Variant> {
    Ok(match json {
        Json::Null => Variant::Null,
        Json::Bool(v) => Variant::Boolean(*v),
        Json::Number(text) => number(text),
        Json::Text(text) => Variant::Text(text.to_string()),
        Json::Array(all, _) => Variant::Array(all.iter().map(of_json).collect::<SparkResult<_>>()?),
        Json::Object(all, _) => {
            let mut fields = Vec::with_capacity(all.len());
            for (name, value) in all {
                fields.push((name.to_string(), of_json(value)?));
            }
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            if let Some(pair) = fields.windows(2).find(|p| p[0].0 == p[1].0) {
                let key = &pair[0].0;
                let message = format!("Failed to build variant because of a duplicate object key `{key}`.");
                return Err(SparkError::new("VARIANT_DUPLICATE_KEY", "22023", message).param("key", key));
            }
            Variant::Object(fields)
        }
    })
}

fn number(text: &str) -> Variant {
    if let Ok(v) = text.parse() {
        return Variant::Long(v);
    }
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let scale = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    if !text.contains(['e', 'E']) && scale <= 38 {
        let unscaled: String = text.chars().filter(|c| *c != '.').collect();
        let significant = unscaled.trim_start_matches(['-', '0']).len();
        if significant <= 38
            && digits <= 80
            && let Ok(v) = unscaled.parse()
        {
            return Variant::Decimal(v, scale as u8);
        }
    }
    Variant::Double(text.parse().unwrap_or(f64::NAN))
}

/// A decimal without zeros at its end.
pub(super) fn stripped(mut value: i128, mut scale: u8) -> (i128, u8) {
    while scale > 0 && value % 10 == 0 {
        value /= 10;
        scale -= 1;
    }
    (value, scale)
}

/// As `CAST(variant AS STRING)`: JSON, but a string without its quotes.
pub(crate) fn write_text(env: &Env, out: &mut String, value: &Variant) {
    match value {
        Variant::Text(text) => out.push_str(text),
        Variant::Binary(bytes) => out.push_str(&String::from_utf8_lossy(bytes)),
        Variant::Date(_) | Variant::Timestamp(_) | Variant::TimestampNtz(_) => {
            let mut text = String::new();
            write_json(env, &mut text, value);
            out.push_str(text.trim_matches('"'));
        }
        other => write_json(env, out, other),
    }
}

pub(crate) fn write_json(env: &Env, out: &mut String, value: &Variant) {
    match value {
        Variant::Null => out.push_str("null"),
        Variant::Boolean(v) => out.push_str(if *v { "true" } else { "false" }),
        Variant::Long(v) => out.push_str(&v.to_string()),
        Variant::Float(v) => {
            let quote = if v.is_finite() { "" } else { "\"" };
            out.push_str(quote);
            write_float(out, *v);
            out.push_str(quote);
        }
        Variant::Double(v) => {
            let quote = if v.is_finite() { "" } else { "\"" };
            out.push_str(quote);
            write_double(out, *v);
            out.push_str(quote);
        }
        Variant::Decimal(v, scale) => {
            let (v, scale) = stripped(*v, *scale);
            out.push_str(&decimal_text(v, scale as i8));
        }
        Variant::Date(days) => {
            out.push('"');
            times::write_date(out, *days);
            out.push('"');
        }
        Variant::Timestamp(micros) => {
            out.push('"');
            let local = env.zone.to_local(*micros);
            times::write_timestamp(out, local);
            let minutes = (local - micros) / 60_000_000;
            let sign = if minutes < 0 { '-' } else { '+' };
            out.push_str(&format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60));
            out.push('"');
        }
        Variant::TimestampNtz(micros) => {
            out.push('"');
            times::write_timestamp(out, *micros);
            out.push('"');
        }
        Variant::Binary(bytes) => {
            out.push('"');
            base64(bytes, out);
            out.push('"');
        }
        Variant::Text(text) => quoted(out, text),
        Variant::Array(all) => {
            out.push('[');
            for (i, value) in all.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(env, out, value);
            }
            out.push(']');
        }
        Variant::Object(fields) => {
            out.push('{');
            for (i, (name, value)) in fields.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                quoted(out, name);
                out.push(':');
                write_json(env, out, value);
            }
            out.push('}');
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Name(String),
    Index(usize),
}

/// Nothing for what is no path.
pub(super) fn parse_path(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let quoted = [("['", "']"), ("[\"", "\"]")]
            .iter()
            .find_map(|(open, close)| rest.strip_prefix(open).map(|behind| behind.split_once(close)));
        if let Some(found) = quoted {
            let (name, behind) = found?;
            steps.push(Step::Name(name.to_owned()));
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix('[') {
            let (index, behind) = behind.split_once(']')?;
            if index.is_empty() || !index.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            steps.push(Step::Index(index.parse().ok()?));
            rest = behind;
        } else {
            let behind = rest.strip_prefix('.')?;
            let end = behind.find(['.', '[']).unwrap_or(behind.len());
            if end == 0 {
                return None;
            }
            steps.push(Step::Name(behind[..end].to_owned()));
            rest = &behind[end..];
        }
    }
    Some(steps)
}

pub(super) fn at_path<'a>(value: &'a Variant, steps: &[Step]) -> Option<&'a Variant> {
    steps.iter().try_fold(value, |value, step| match (step, value) {
        (Step::Name(name), Variant::Object(fields)) => fields.iter().find(|(n, _)| n == name).map(|(_, v)| v),
        (Step::Index(index), Variant::Array(all)) => all.get(*index),
        _ => None,
    })
}

/// What is in a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Schema {
    Of(DataType),
    Array(Box<Schema>),
    Object(Vec<(String, Schema)>),
}

impl Schema {
    pub(super) fn of(value: &Variant) -> Self {
        Self::Of(match value {
            Variant::Null => DataType::Null,
            Variant::Boolean(_) => DataType::Boolean,
            Variant::Long(_) => DataType::Long,
            Variant::Float(_) => DataType::Float,
            Variant::Double(_) => DataType::Double,
            Variant::Decimal(v, scale) => {
                let (v, scale) = stripped(*v, *scale);
                let digits = v.unsigned_abs().checked_ilog10().map_or(1, |d| d as u8 + 1);
                coercion::decimal(digits.max(scale), scale as i8)
            }
            Variant::Date(_) => DataType::Date,
            Variant::Timestamp(_) => DataType::Timestamp,
            Variant::TimestampNtz(_) => DataType::TimestampNtz,
            Variant::Binary(_) => DataType::Binary,
            Variant::Text(_) => DataType::String,
            Variant::Array(all) => {
                let element = all.iter().map(Self::of).reduce(Self::merged).unwrap_or(Self::Of(DataType::Null));
                return Self::Array(Box::new(element));
            }
            Variant::Object(fields) => {
                return Self::Object(fields.iter().map(|(n, v)| (n.clone(), Self::of(v))).collect());
            }
        })
    }

    /// What both have in common; VARIANT where that is nothing.
    pub(super) fn merged(self, other: Self) -> Self {
        use DataType::{Decimal, Double, Float, Long, Null};
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Of(Null), other) | (other, Self::Of(Null)) => other,
            (Self::Array(a), Self::Array(b)) => Self::Array(Box::new(a.merged(*b))),
            (Self::Object(a), Self::Object(b)) => {
                let mut fields = a;
                for (name, schema) in b {
                    match fields.iter_mut().find(|(n, _)| *n == name) {
                        Some(known) => known.1 = known.1.clone().merged(schema),
                        None => fields.push((name, schema)),
                    }
                }
                fields.sort_by(|a, b| a.0.cmp(&b.0));
                Self::Object(fields)
            }
            (Self::Of(a), Self::Of(b)) => Self::Of(match (&a, &b) {
                (Double, Long | Decimal { .. } | Float) | (Long | Decimal { .. } | Float, Double) => Double,
                (Float, Long | Decimal { .. }) | (Long | Decimal { .. }, Float) => Double,
                (Long | Decimal { .. }, Long | Decimal { .. }) => {
                    let digits = |t: &DataType| match t {
                        Decimal { precision, scale } => (*precision, *scale),
                        _ => (20, 0),
                    };
                    let ((p, s), (q, t)) = (digits(&a), digits(&b));
                    let scale = s.max(t);
                    let whole = (p as i8 - s).max(q as i8 - t);
                    if whole + scale > 38 { Double } else { coercion::decimal((whole + scale) as u8, scale) }
                }
                (DataType::Timestamp, DataType::Date) | (DataType::Date, DataType::Timestamp) => DataType::Timestamp,
                (DataType::TimestampNtz, DataType::Date) | (DataType::Date, DataType::TimestampNtz) => {
                    DataType::TimestampNtz
                }
                _ => DataType::Variant,
            }),
            _ => Self::Of(DataType::Variant),
        }
    }

    pub(super) fn sql(&self) -> String {
        match self {
            Self::Of(data_type) => crate::errors::sql_type(data_type),
            Self::Array(element) => format!("ARRAY<{}>", element.sql()),
            Self::Object(fields) => {
                let all: Vec<String> = fields.iter().map(|(n, s)| format!("{}: {}", field_name(n), s.sql())).collect();
                format!("OBJECT<{}>", all.join(", "))
            }
        }
    }
}

/// A name that is no plain word stands in backticks.
fn field_name(name: &str) -> String {
    let plain = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if plain { name.to_owned() } else { format!("`{}`", name.replace('`', "``")) }
}
