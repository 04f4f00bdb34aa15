//! Spark's types in Arrow.
//!
//! Strings are `Utf8`, timestamps `Timestamp(Microsecond, "UTC")`, timestamps without zone `Timestamp(Microsecond, None)`,
//! day-time intervals `Duration(Microsecond)`, year-month intervals `Interval(YearMonth)`, the legacy interval
//! `Interval(MonthDayNano)`. What an Arrow type cannot say (the fields of an interval, the length of a `char`) is in the
//! field's metadata under [`TYPE_KEY`].

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType as Arrow, Field, FieldRef, Fields, IntervalUnit, Schema, TimeUnit};
use firesteel_plan::{
    DataType, SparkError, SparkResult,
    types::{DayTimeField, StructField, YearMonthField},
};

/// Metadata key of the Spark type where the Arrow type says less.
pub const TYPE_KEY: &str = "firesteel.type";
/// Metadata key of a column's comment.
pub const COMMENT_KEY: &str = "comment";

pub const DAY_TO_SECOND: DataType = DataType::DayTimeInterval { start: DayTimeField::Day, end: DayTimeField::Second };
pub const YEAR_TO_MONTH: DataType =
    DataType::YearMonthInterval { start: YearMonthField::Year, end: YearMonthField::Month };

pub fn utc() -> Option<Arc<str>> {
    Some("UTC".into())
}

pub fn to_arrow(data_type: &DataType) -> SparkResult<Arrow> {
    Ok(match data_type {
        DataType::Null => Arrow::Null,
        DataType::Boolean => Arrow::Boolean,
        DataType::Byte => Arrow::Int8,
        DataType::Short => Arrow::Int16,
        DataType::Integer => Arrow::Int32,
        DataType::Long => Arrow::Int64,
        DataType::Float => Arrow::Float32,
        DataType::Double => Arrow::Float64,
        DataType::Decimal { precision, scale } => Arrow::Decimal128(*precision, *scale),
        DataType::String | DataType::Char(_) | DataType::Varchar(_) => Arrow::Utf8,
        DataType::Binary => Arrow::Binary,
        DataType::Date => Arrow::Date32,
        DataType::Timestamp => Arrow::Timestamp(TimeUnit::Microsecond, utc()),
        DataType::TimestampNtz => Arrow::Timestamp(TimeUnit::Microsecond, None),
        DataType::Time(_) => Arrow::Time64(TimeUnit::Nanosecond),
        DataType::DayTimeInterval { .. } => Arrow::Duration(TimeUnit::Microsecond),
        DataType::YearMonthInterval { .. } => Arrow::Interval(IntervalUnit::YearMonth),
        DataType::CalendarInterval => Arrow::Interval(IntervalUnit::MonthDayNano),
        // Metadata and value of a variant; the spatial reference system and the shape: see `variant` and `shapes`.
        DataType::Variant | DataType::Geometry(_) | DataType::Geography(_) => Arrow::Binary,
        DataType::CollatedString(collation) => {
            return Err(SparkError::unsupported(format_args!("the collation {collation}")));
        }
        // What is inside of a value is nullable for Arrow, so that kernels need not agree on it.
        DataType::Array { element, .. } => Arrow::List(Arc::new(field_to_arrow("item", element, true)?)),
        DataType::Map { key, value, .. } => {
            let entries = Fields::from(vec![field_to_arrow("key", key, false)?, field_to_arrow("value", value, true)?]);
            Arrow::Map(Arc::new(Field::new("entries", Arrow::Struct(entries), false)), false)
        }
        DataType::Struct(fields) => Arrow::Struct(
            fields.iter().map(|f| field_to_arrow(&f.name, &f.data_type, true)).collect::<SparkResult<Vec<_>>>()?.into(),
        ),
    })
}

pub fn field_to_arrow(name: &str, data_type: &DataType, nullable: bool) -> SparkResult<Field> {
    let field = Field::new(name, to_arrow(data_type)?, nullable);
    Ok(match said_by_metadata(data_type) {
        Some(text) => field.with_metadata(HashMap::from([(TYPE_KEY.to_owned(), text)])),
        None => field,
    })
}

pub fn fields_to_arrow(fields: &[StructField]) -> SparkResult<Fields> {
    fields
        .iter()
        .map(|f| {
            let mut field = field_to_arrow(&f.name, &f.data_type, f.nullable)?;
            if let Some(comment) = &f.comment {
                field.metadata_mut().insert(COMMENT_KEY.to_owned(), comment.clone());
            }
            Ok(field)
        })
        .collect::<SparkResult<Vec<_>>>()
        .map(Fields::from)
}

pub fn schema_to_arrow(fields: &[StructField]) -> SparkResult<Schema> {
    Ok(Schema::new(fields_to_arrow(fields)?))
}

fn said_by_metadata(data_type: &DataType) -> Option<String> {
    match data_type {
        DataType::Char(_) | DataType::Varchar(_) | DataType::Time(_) => Some(data_type.to_string()),
        DataType::Variant | DataType::Geometry(_) | DataType::Geography(_) => Some(data_type.to_string()),
        DataType::DayTimeInterval { .. } if *data_type != DAY_TO_SECOND => Some(data_type.to_string()),
        DataType::YearMonthInterval { .. } if *data_type != YEAR_TO_MONTH => Some(data_type.to_string()),
        _ => None,
    }
}

/// The Spark type of an Arrow type, whatever variant of it a file's reader chose.
pub fn from_arrow(arrow: &Arrow) -> SparkResult<DataType> {
    Ok(match arrow {
        Arrow::Null => DataType::Null,
        Arrow::Boolean => DataType::Boolean,
        Arrow::Int8 => DataType::Byte,
        Arrow::Int16 | Arrow::UInt8 => DataType::Short,
        Arrow::Int32 | Arrow::UInt16 => DataType::Integer,
        Arrow::Int64 | Arrow::UInt32 => DataType::Long,
        Arrow::UInt64 => DataType::Decimal { precision: 20, scale: 0 },
        Arrow::Float16 | Arrow::Float32 => DataType::Float,
        Arrow::Float64 => DataType::Double,
        Arrow::Decimal32(p, s) | Arrow::Decimal64(p, s) | Arrow::Decimal128(p, s) => {
            DataType::Decimal { precision: *p, scale: *s }
        }
        Arrow::Utf8 | Arrow::LargeUtf8 | Arrow::Utf8View => DataType::String,
        Arrow::Binary | Arrow::LargeBinary | Arrow::BinaryView | Arrow::FixedSizeBinary(_) => DataType::Binary,
        Arrow::Date32 | Arrow::Date64 => DataType::Date,
        Arrow::Timestamp(_, Some(_)) => DataType::Timestamp,
        Arrow::Timestamp(_, None) => DataType::TimestampNtz,
        Arrow::Time32(_) | Arrow::Time64(_) => DataType::Time(6),
        Arrow::Duration(_) => DAY_TO_SECOND,
        Arrow::Interval(IntervalUnit::YearMonth) => YEAR_TO_MONTH,
        Arrow::Interval(_) => DataType::CalendarInterval,
        Arrow::List(f) | Arrow::LargeList(f) | Arrow::FixedSizeList(f, _) | Arrow::ListView(f) => {
            DataType::Array { element: Box::new(from_field(f)?), contains_null: f.is_nullable() }
        }
        Arrow::Map(entries, _) => match entries.data_type() {
            Arrow::Struct(kv) if kv.len() == 2 => DataType::Map {
                key: Box::new(from_field(&kv[0])?),
                value: Box::new(from_field(&kv[1])?),
                value_contains_null: kv[1].is_nullable(),
            },
            other => return Err(SparkError::internal(format!("a map whose entries are {other}"))),
        },
        Arrow::Struct(fields) => DataType::Struct(fields_from_arrow(fields)?),
        Arrow::Dictionary(_, value) => from_arrow(value)?,
        Arrow::RunEndEncoded(_, values) => from_field(values)?,
        other => return Err(SparkError::unsupported(format!("the Arrow type {other}"))),
    })
}

/// The Spark type of a field, with what its metadata adds.
pub fn from_field(field: &Field) -> SparkResult<DataType> {
    match field.metadata().get(TYPE_KEY).and_then(|t| parse_said(t)) {
        Some(data_type) => Ok(data_type),
        None => from_arrow(field.data_type()),
    }
}

pub fn fields_from_arrow(fields: &Fields) -> SparkResult<Vec<StructField>> {
    fields.iter().map(struct_field_from_arrow).collect()
}

pub fn schema_from_arrow(schema: &Schema) -> SparkResult<Vec<StructField>> {
    fields_from_arrow(schema.fields())
}

fn struct_field_from_arrow(field: &FieldRef) -> SparkResult<StructField> {
    let mut result = StructField::new(field.name(), from_field(field)?, field.is_nullable());
    result.comment = field.metadata().get(COMMENT_KEY).cloned();
    Ok(result)
}

/// Refuses types whose values have no form in files yet that other programs would read.
pub fn check_storable(data_type: &DataType) -> SparkResult<()> {
    match data_type {
        DataType::Variant | DataType::Geometry(_) | DataType::Geography(_) | DataType::CollatedString(_) => {
            let shown = data_type.to_string().to_uppercase();
            Err(SparkError::unsupported(format_args!("a table's column of the type {shown}")))
        }
        DataType::Array { element, .. } => check_storable(element),
        DataType::Map { key, value, .. } => {
            check_storable(key)?;
            check_storable(value)
        }
        DataType::Struct(fields) => fields.iter().try_for_each(|f| check_storable(&f.data_type)),
        _ => Ok(()),
    }
}

/// Whether there is a struct or a map in the type.
pub(crate) fn has_struct_or_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(_) | DataType::Map { .. } => true,
        DataType::Array { element, .. } => has_struct_or_map(element),
        _ => false,
    }
}

pub(crate) fn parse_said(text: &str) -> Option<DataType> {
    let system = |name: &str| match text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')? {
        "any" => Some(None),
        srid => srid.parse().ok().map(Some),
    };
    if text == "variant" {
        return Some(DataType::Variant);
    }
    if let Some(srid) = system("geometry") {
        return Some(DataType::Geometry(srid));
    }
    if let Some(srid) = system("geography") {
        return Some(DataType::Geography(srid));
    }
    let number = |prefix: &str| text.strip_prefix(prefix)?.strip_suffix(')')?.parse::<u32>().ok();
    if let Some(n) = number("char(") {
        return Some(DataType::Char(n));
    }
    if let Some(n) = number("varchar(") {
        return Some(DataType::Varchar(n));
    }
    if let Some(n) = number("time(") {
        return u8::try_from(n).ok().map(DataType::Time);
    }
    let fields = text.strip_prefix("interval ")?;
    let (start, end) = fields.split_once(" to ").unwrap_or((fields, fields));
    let day_time = |s: &str| {
        [DayTimeField::Day, DayTimeField::Hour, DayTimeField::Minute, DayTimeField::Second]
            .into_iter()
            .find(|f| f.name() == s)
    };
    let year_month = |s: &str| [YearMonthField::Year, YearMonthField::Month].into_iter().find(|f| f.name() == s);
    if let (Some(start), Some(end)) = (day_time(start), day_time(end)) {
        return Some(DataType::DayTimeInterval { start, end });
    }
    match (year_month(start), year_month(end)) {
        (Some(start), Some(end)) => Some(DataType::YearMonthInterval { start, end }),
        _ => None,
    }
}
