//! JSON texts as columns: `from_json`. What cannot be read becomes null, field by field.

use std::{borrow::Cow, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray, StringArray, StructArray,
        new_null_array,
    },
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{
        ArrowPrimitiveType, DataType as Arrow, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type,
        Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
        IntervalYearMonthType, Time64NanosecondType, TimestampMicrosecondType,
    },
};
use datafusion::{common::exec_err, error::Result as DfResult};
use firesteel_plan::{DataType, SparkError, SparkResult, types::StructField};

use super::{
    options::{Options, Times},
    parse::{Json, Lenience, parse_prefix},
    write::write_json,
};
use crate::{
    cast::{ParsedDecimal, parse_decimal},
    datetime::{interval, pattern::Purpose, text},
    errors::external,
    text::unbase64,
    types,
    udf::Args,
};

pub(super) fn lenience(options: &Options) -> Lenience {
    let default = Lenience::default();
    Lenience {
        single_quotes: options.flag("allowSingleQuotes", default.single_quotes),
        not_numbers: options.flag("allowNonNumericNumbers", default.not_numbers),
        leading_zeros: options.flag("allowNumericLeadingZeros", default.leading_zeros),
        unquoted_names: options.flag("allowUnquotedFieldNames", default.unquoted_names),
        comments: options.flag("allowComments", default.comments),
        backslash_any: options.flag("allowBackslashEscapingAnyCharacter", default.backslash_any),
        control_characters: options.flag("allowUnquotedControlChars", default.control_characters),
    }
}

pub(crate) struct Reader {
    times: Times,
    not_numbers: bool,
    /// Objects and arrays that are wanted as text keep their blanks.
    exact: bool,
}

/// Values of a column, and which of them could not be read.
pub(crate) struct Column {
    pub array: ArrayRef,
    /// What is of another kind.
    pub bad: Vec<bool>,
    /// Structs that have a bad value in them. They keep the others.
    pub partial: Vec<bool>,
}

/// `(null of the type, text, options, zone)`
pub(super) fn from_json(args: &Args<'_>) -> DfResult<ArrayRef> {
    let texts = args.text(1)?;
    let options = Options::decode(args.parameter(2)?);
    let lenience = lenience(&options);
    let reader = Reader::new(&options, args.parameter(3)?).map_err(external)?;
    let data_type = types::from_arrow(args.return_type).map_err(external)?;
    let wants_array_of_structs =
        matches!(&data_type, DataType::Array { element, .. } if matches!(**element, DataType::Struct(_)));
    let mut parsed = Vec::with_capacity(args.rows);
    // Null for null, and for a text without any value in it.
    let mut present = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        let text = texts.get(row).filter(|t| !t.trim().is_empty());
        present.push(text.is_some());
        let value = text.and_then(|t| parse_prefix(t, lenience));
        parsed.push(match value {
            // An object where an array of objects is wanted is an array of one.
            Some(Json::Object(fields, whole)) if wants_array_of_structs => {
                Some(Json::Array(vec![Json::Object(fields, whole)], whole))
            }
            value => value.filter(|v| *v != Json::Null),
        });
    }
    let values: Vec<Option<&Json<'_>>> = parsed.iter().map(Option::as_ref).collect();
    let mut column = reader.build(&values, &data_type, args.return_type)?;
    if let DataType::Struct(fields) = &data_type
        && let Some(at) = fields.iter().position(|f| f.name == options.corrupt_column())
    {
        let unread = |row: usize| present[row] && (values[row].is_none() || column.bad[row] || column.partial[row]);
        let unread: StringArray = (0..args.rows).map(|row| texts.get(row).filter(|_| unread(row))).collect();
        column.array = with_field(&column.array, at, Arc::new(unread))?;
    }
    if options.fails_fast() {
        let unread = (0..args.rows)
            .find(|row| present[*row] && (values[*row].is_none() || column.bad[*row] || column.partial[*row]));
        if let Some(row) = unread {
            let record = texts.get(row).unwrap_or_default();
            return Err(external(malformed(record)));
        }
    }
    whole_rows(column, &data_type, &present)
}

/// A struct with another column in the place of one of its fields.
fn with_field(array: &ArrayRef, at: usize, column: ArrayRef) -> DfResult<ArrayRef> {
    let Some(fields) = array.as_any().downcast_ref::<StructArray>() else {
        return exec_err!("from_json made {}", array.data_type());
    };
    let (names, mut columns, nulls) = fields.clone().into_parts();
    columns[at] = column;
    Ok(Arc::new(StructArray::try_new_with_length(names, columns, nulls, array.len())?))
}

pub(crate) fn malformed(record: &str) -> SparkError {
    SparkError::new(
        "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION",
        "22023",
        format!(
            "Malformed records are detected in record parsing: {record}.\nParse Mode: FAILFAST. To process malformed records \
             as null result, try setting the option 'mode' as 'PERMISSIVE'."
        ),
    )
    .param("badRecord", record)
    .param("failFastMode", "FAILFAST")
}

/// A struct keeps the fields that could be read; an array or a map is null when anything in it could not.
pub(crate) fn whole_rows(column: Column, data_type: &DataType, present: &[bool]) -> DfResult<ArrayRef> {
    match data_type {
        DataType::Struct(_) => {
            let Some(fields) = column.array.as_any().downcast_ref::<StructArray>() else {
                return exec_err!("from_json made {}", column.array.data_type());
            };
            let (names, columns, _) = fields.clone().into_parts();
            let nulls = NullBuffer::from(present.to_vec());
            Ok(Arc::new(StructArray::try_new_with_length(names, columns, Some(nulls), present.len())?))
        }
        _ => {
            let bad: BooleanArray = column.bad.iter().map(|b| Some(*b)).collect();
            Ok(arrow::compute::nullif(&column.array, &bad)?)
        }
    }
}

impl Reader {
    pub(crate) fn new(options: &Options, zone: &str) -> SparkResult<Self> {
        Ok(Self {
            times: Times::new(options, zone, Purpose::Parse)?,
            not_numbers: options.flag("allowNonNumericNumbers", true),
            exact: false,
        })
    }

    /// For files: what is wanted as text is as it is written.
    pub(crate) fn exact(options: &Options, zone: &str) -> SparkResult<Self> {
        Ok(Self { exact: true, ..Self::new(options, zone)? })
    }

    fn leaf<T: ArrowPrimitiveType>(
        &self,
        values: &[Option<&Json<'_>>],
        arrow: &Arrow,
        read: impl Fn(&Json<'_>) -> Option<T::Native>,
    ) -> Column {
        let mut bad = vec![false; values.len()];
        let array: PrimitiveArray<T> = values
            .iter()
            .zip(&mut bad)
            .map(|(v, bad)| match v {
                None | Some(Json::Null) => None,
                Some(v) => {
                    let read = read(v);
                    *bad = read.is_none();
                    read
                }
            })
            .collect();
        Column { array: Arc::new(array.with_data_type(arrow.clone())), partial: vec![false; bad.len()], bad }
    }

    pub(crate) fn build(&self, values: &[Option<&Json<'_>>], data_type: &DataType, arrow: &Arrow) -> DfResult<Column> {
        macro_rules! integers {
            ($t:ty) => {
                self.leaf::<$t>(values, arrow, |v| match v {
                    Json::Number(n) => n.parse().ok(),
                    _ => None,
                })
            };
        }
        macro_rules! texts {
            ($t:ty, $f:expr) => {
                self.leaf::<$t>(values, arrow, |v| match v {
                    Json::Text(t) => $f(t.as_ref()),
                    _ => None,
                })
            };
        }
        let times = &self.times;
        let whole = || vec![false; values.len()];
        Ok(match data_type {
            DataType::Null => Column { array: new_null_array(arrow, values.len()), bad: whole(), partial: whole() },
            DataType::Boolean => {
                let read = |v: &Option<&Json<'_>>| match v {
                    Some(Json::Bool(b)) => Some(*b),
                    _ => None,
                };
                let array: BooleanArray = values.iter().map(read).collect();
                let is_bad = |v: &Option<&Json<'_>>| !matches!(v, None | Some(Json::Null | Json::Bool(_)));
                Column { array: Arc::new(array), bad: values.iter().map(is_bad).collect(), partial: whole() }
            }
            // One byte, with or without a sign.
            DataType::Byte => self.leaf::<Int8Type>(values, arrow, |v| match v {
                Json::Number(n) if self.exact => {
                    n.parse::<i16>().ok().filter(|n| (-128..256).contains(n)).map(|n| n as i8)
                }
                Json::Number(n) => n.parse().ok(),
                _ => None,
            }),
            DataType::Short => integers!(Int16Type),
            DataType::Integer => integers!(Int32Type),
            DataType::Long => integers!(Int64Type),
            DataType::Float => self.leaf::<Float32Type>(values, arrow, |v| self.double(v, |n| n.parse().ok())),
            DataType::Double => self.leaf::<Float64Type>(values, arrow, |v| self.double(v, |n| n.parse().ok())),
            DataType::Decimal { precision, scale } => self.leaf::<Decimal128Type>(values, arrow, |v| {
                let text = match v {
                    Json::Number(n) => *n,
                    Json::Text(t) => t.as_ref(),
                    _ => return None,
                };
                match parse_decimal(text, *precision, *scale) {
                    ParsedDecimal::Value(v) => Some(v),
                    _ => None,
                }
            }),
            DataType::String | DataType::Char(_) | DataType::Varchar(_) => {
                let array: StringArray = values
                    .iter()
                    .map(|v| match v {
                        None | Some(Json::Null) => None,
                        Some(Json::Bool(b)) => Some(Cow::Borrowed(if *b { "true" } else { "false" })),
                        Some(Json::Number(written)) => Some(Cow::Borrowed(*written)),
                        Some(Json::Text(t)) => Some(Cow::Borrowed(t.as_ref())),
                        Some(Json::Array(_, written) | Json::Object(_, written)) if self.exact => {
                            Some(Cow::Borrowed(*written))
                        }
                        // Without blanks.
                        Some(nested) => {
                            let mut text = String::new();
                            write_json(&mut text, nested);
                            Some(Cow::Owned(text))
                        }
                    })
                    .collect();
                Column { array: Arc::new(array), bad: whole(), partial: whole() }
            }
            DataType::Binary => {
                let mut bad = vec![false; values.len()];
                let read = |(v, bad): (&Option<&Json<'_>>, &mut bool)| match v {
                    None | Some(Json::Null) => None,
                    Some(Json::Text(t)) => {
                        let mut bytes = Vec::new();
                        *bad = !unbase64(t, &mut bytes);
                        (!*bad).then_some(bytes)
                    }
                    _ => {
                        *bad = true;
                        None
                    }
                };
                let array: BinaryArray = values.iter().zip(&mut bad).map(read).collect();
                Column { array: Arc::new(array), bad, partial: whole() }
            }
            DataType::Date => texts!(Date32Type, |t: &str| match &times.date {
                Some(pattern) => pattern.parse(t)?.date(),
                None => text::parse_date(t),
            }),
            DataType::Timestamp => self.leaf::<TimestampMicrosecondType>(values, arrow, |v| match v {
                Json::Text(t) => match &times.timestamp {
                    Some(pattern) => pattern.parse(t)?.instant(times.zone),
                    None => {
                        let parsed = text::parse_timestamp(t)?;
                        parsed.date?;
                        Some(parsed.zone.unwrap_or(times.zone).to_utc(parsed.local(0)?))
                    }
                },
                Json::Number(n) => n.parse::<i64>().ok()?.checked_mul(1_000_000),
                _ => None,
            }),
            DataType::TimestampNtz => texts!(TimestampMicrosecondType, |t: &str| match &times.ntz {
                Some(pattern) => pattern.parse(t)?.local(),
                None => {
                    let parsed = text::parse_timestamp(t).filter(|p| p.zone.is_none())?;
                    parsed.date?;
                    parsed.local(0)
                }
            }),
            DataType::Time(precision) => {
                let unit = crate::cast::time_unit(*precision);
                texts!(Time64NanosecondType, |t: &str| {
                    let nanos = match &times.time {
                        Some(pattern) => pattern.parse(t)?.time()? * 1000,
                        None => text::parse_time(t)?,
                    };
                    Some(nanos - nanos % unit)
                })
            }
            DataType::DayTimeInterval { start, end } => {
                texts!(DurationMicrosecondType, |t: &str| interval::parse_day_time(t, *start, *end))
            }
            DataType::YearMonthInterval { start, end } => {
                texts!(IntervalYearMonthType, |t: &str| interval::parse_year_month(t, *start, *end))
            }
            DataType::CalendarInterval => texts!(IntervalMonthDayNanoType, |t: &str| {
                let (months, days, micros) = interval::parse_calendar(t)?;
                Some(IntervalMonthDayNano::new(months, days, micros.checked_mul(1000)?))
            }),
            DataType::Struct(fields) => self.structs(values, fields, arrow)?,
            DataType::Array { .. } => self.lists(values, arrow)?,
            DataType::Map { .. } => self.maps(values, arrow)?,
            other => return exec_err!("from_json cannot make {other}"),
        })
    }

    fn double<T>(&self, value: &Json<'_>, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = match value {
            Json::Number(n) => *n,
            Json::Text(t) => t.as_ref(),
            _ => return None,
        };
        let special = match text {
            "NaN" => "NaN",
            "INF" | "+INF" | "Infinity" | "+Infinity" => "inf",
            "-INF" | "-Infinity" => "-inf",
            _ if matches!(value, Json::Number(_)) => return parse(text),
            _ => return None,
        };
        if self.not_numbers { parse(special) } else { None }
    }

    fn structs(&self, values: &[Option<&Json<'_>>], fields: &[StructField], arrow: &Arrow) -> DfResult<Column> {
        let Arrow::Struct(arrow_fields) = arrow else { return exec_err!("from_json of a struct as {arrow}") };
        let bad = values.iter().map(|v| !matches!(v, None | Some(Json::Null | Json::Object(..)))).collect();
        let mut partial = vec![false; values.len()];
        let mut columns = Vec::with_capacity(fields.len());
        for (field, arrow_field) in fields.iter().zip(arrow_fields) {
            let inner: Vec<Option<&Json<'_>>> = values
                .iter()
                .map(|v| match v {
                    // The last of fields of one name counts.
                    Some(Json::Object(all, _)) => all.iter().rev().find(|(n, _)| *n == field.name).map(|(_, v)| v),
                    _ => None,
                })
                .collect();
            let column = self.build(&inner, &field.data_type, arrow_field.data_type())?;
            partial
                .iter_mut()
                .zip(column.bad.iter().zip(&column.partial))
                .for_each(|(p, (bad, part))| *p |= bad | part);
            columns.push(column.array);
        }
        let valid: Vec<bool> = values.iter().map(|v| matches!(v, Some(Json::Object(..)))).collect();
        let nulls = Some(NullBuffer::from(valid));
        let array = StructArray::try_new_with_length(arrow_fields.clone(), columns, nulls, values.len())?;
        Ok(Column { array: Arc::new(array), bad, partial })
    }

    fn lists(&self, values: &[Option<&Json<'_>>], arrow: &Arrow) -> DfResult<Column> {
        let Arrow::List(field) = arrow else { return exec_err!("from_json of an array as {arrow}") };
        let mut items = Vec::new();
        let mut lengths = Vec::with_capacity(values.len());
        for value in values {
            match value {
                Some(Json::Array(all, _)) => {
                    items.extend(all.iter().map(Some));
                    lengths.push(all.len());
                }
                _ => lengths.push(0),
            }
        }
        let inner = self.build(&items, &types::from_field(field).map_err(external)?, field.data_type())?;
        let bad = Self::groups(values, &lengths, &inner.bad, |v| matches!(v, Json::Array(..)));
        let partial = Self::groups(values, &lengths, &inner.partial, |_| true);
        let valid =
            values.iter().zip(&bad).map(|(v, bad)| matches!(v, Some(Json::Array(..))) && !bad).collect::<Vec<_>>();
        let offsets = OffsetBuffer::from_lengths(lengths);
        let array = ListArray::try_new(Arc::clone(field), offsets, inner.array, Some(NullBuffer::from(valid)))?;
        Ok(Column { array: Arc::new(array), bad, partial })
    }

    fn maps(&self, values: &[Option<&Json<'_>>], arrow: &Arrow) -> DfResult<Column> {
        let Arrow::Map(entries, sorted) = arrow else { return exec_err!("from_json of a map as {arrow}") };
        let Arrow::Struct(pair) = entries.data_type() else { return exec_err!("a map without entries") };
        let [key_field, value_field] = pair.as_ref() else { return exec_err!("a map of {} fields", pair.len()) };
        let (mut keys, mut items, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(values.len()));
        for value in values {
            let Some(Json::Object(all, _)) = value else {
                lengths.push(0);
                continue;
            };
            keys.extend(all.iter().map(|(name, _)| Some(&**name)));
            items.extend(all.iter().map(|(_, v)| Some(v)));
            lengths.push(all.len());
        }
        let inner = self.build(&items, &types::from_field(value_field).map_err(external)?, value_field.data_type())?;
        let keys = arrow::compute::cast(&StringArray::from(keys), key_field.data_type())?;
        let bad = Self::groups(values, &lengths, &inner.bad, |v| matches!(v, Json::Object(..)));
        let partial = Self::groups(values, &lengths, &inner.partial, |_| true);
        let valid =
            values.iter().zip(&bad).map(|(v, bad)| matches!(v, Some(Json::Object(..))) && !bad).collect::<Vec<_>>();
        let offsets = OffsetBuffer::from_lengths(lengths);
        let pairs = StructArray::try_new(pair.clone(), vec![keys, inner.array], None)?;
        let nulls = Some(NullBuffer::from(valid));
        let array = MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *sorted)?;
        Ok(Column { array: Arc::new(array), bad, partial })
    }

    /// Of values that hold others: whether they are of another kind, or one of the others is marked.
    fn groups(
        values: &[Option<&Json<'_>>],
        lengths: &[usize],
        inner: &[bool],
        fits: impl Fn(&Json<'_>) -> bool,
    ) -> Vec<bool> {
        let mut at = 0;
        values
            .iter()
            .zip(lengths)
            .map(|(value, length)| {
                let any = inner[at..at + length].iter().any(|b| *b);
                at += length;
                any || value.is_some_and(|v| *v != Json::Null && !fits(v))
            })
            .collect()
    }
}
