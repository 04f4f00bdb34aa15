//! Columns as files have them, to columns as they are wanted.

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType as ArrowType, Field, Schema, SchemaRef, TimeUnit},
};
use datafusion::common::Result;
use firesteel_functions::{cast::can_up_cast, types};
use firesteel_plan::{DataType, SparkError, SparkResult, types::StructField};

use super::UNREADABLE;
use crate::error::to_datafusion;

/// The columns of a file as Spark types them: what Spark has no type for is read as the type that holds it.
pub fn spark_fields(schema: &Schema) -> SparkResult<Vec<StructField>> {
    schema.fields().iter().map(|f| Ok(StructField::new(f.name(), spark_type(f.name(), f.data_type())?, true))).collect()
}

fn spark_type(name: &str, arrow: &ArrowType) -> SparkResult<DataType> {
    let field = |f: &Field| -> SparkResult<StructField> {
        Ok(StructField::new(f.name(), spark_type(name, f.data_type())?, true))
    };
    Ok(match arrow {
        ArrowType::Dictionary(_, values) => spark_type(name, values)?,
        ArrowType::FixedSizeBinary(_) => DataType::Binary,
        // Avro's times of day: Spark reads the number.
        ArrowType::Time32(_) => DataType::Integer,
        ArrowType::Time64(_) => DataType::Long,
        ArrowType::Timestamp(_, None) => DataType::TimestampNtz,
        ArrowType::Timestamp(_, Some(_)) => DataType::Timestamp,
        ArrowType::Decimal32(p, s) | ArrowType::Decimal64(p, s) | ArrowType::Decimal128(p, s) => {
            DataType::Decimal { precision: *p, scale: *s }
        }
        ArrowType::Struct(fields) => DataType::Struct(fields.iter().map(|f| field(f)).collect::<SparkResult<_>>()?),
        ArrowType::List(f) | ArrowType::LargeList(f) | ArrowType::FixedSizeList(f, _) => {
            DataType::array(spark_type(name, f.data_type())?)
        }
        ArrowType::Map(entries, _) => match entries.data_type() {
            ArrowType::Struct(pair) if pair.len() == 2 => DataType::Map {
                key: Box::new(spark_type(name, pair[0].data_type())?),
                value: Box::new(spark_type(name, pair[1].data_type())?),
                value_contains_null: true,
            },
            other => return Err(SparkError::internal(format!("a map of {other}"))),
        },
        ArrowType::Union(..) => {
            return Err(SparkError::unsupported(format!("column `{name}`: a union of several types")));
        }
        ArrowType::Interval(_) => return Err(SparkError::unsupported(format!("column `{name}`: a duration"))),
        other => types::from_arrow(other)?,
    })
}

/// The place in a file of each wanted column, by name.
pub fn places(file: &Schema, wanted: &Schema, case_sensitive: bool) -> Vec<Option<usize>> {
    let same = |a: &str, b: &str| a == b || (!case_sensitive && a.eq_ignore_ascii_case(b));
    wanted.fields().iter().map(|w| file.fields().iter().position(|f| same(f.name(), w.name()))).collect()
}

/// A batch of a file's columns as one of the wanted columns; what the file does not have is null.
pub fn adapted(batch: &RecordBatch, wanted: &SchemaRef, case_sensitive: bool) -> Result<RecordBatch> {
    let places = places(batch.schema_ref(), wanted, case_sensitive);
    let columns = places
        .iter()
        .zip(wanted.fields())
        .map(|(place, field)| match place {
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            Some(i) => column(batch.column(*i), field),
        })
        .collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(wanted.clone(), columns, &options)?)
}

fn column(array: &ArrayRef, wanted: &Field) -> Result<ArrayRef> {
    if array.data_type() == wanted.data_type() {
        return Ok(array.clone());
    }
    let has = spark_type(wanted.name(), array.data_type()).map_err(to_datafusion)?;
    let wants = types::from_arrow(wanted.data_type()).map_err(to_datafusion)?;
    // ORC does not say which of the two a timestamp is.
    let times = |t: &DataType| matches!(t, DataType::Timestamp | DataType::TimestampNtz);
    let both_times = times(&has) && times(&wants);
    if !(same_but_for_nulls(&has, &wants) || can_up_cast(&has, &wants) || both_times) {
        return Err(to_datafusion(
            SparkError::new(
                UNREADABLE,
                "KD001",
                format!("Column `{}` is of type {has} in the file, and cannot be read as {wants}.", wanted.name()),
            )
            .param("column", wanted.name()),
        ));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    // Between wall clocks and instants, the number stays.
    if let (ArrowType::Timestamp(..), ArrowType::Timestamp(TimeUnit::Microsecond, _)) =
        (array.data_type(), wanted.data_type())
    {
        let micros = cast_with_options(
            array,
            &ArrowType::Timestamp(TimeUnit::Microsecond, zone_of(array.data_type())),
            &options,
        )?;
        let number = cast_with_options(&micros, &ArrowType::Int64, &options)?;
        return Ok(cast_with_options(&number, wanted.data_type(), &options)?);
    }
    let array = match array.data_type() {
        ArrowType::Dictionary(_, values) => &cast_with_options(array, values, &options)?,
        ArrowType::FixedSizeBinary(_) => &cast_with_options(array, &ArrowType::Binary, &options)?,
        ArrowType::Time32(_) => &cast_with_options(array, &ArrowType::Int32, &options)?,
        ArrowType::Time64(_) => &cast_with_options(array, &ArrowType::Int64, &options)?,
        _ => array,
    };
    Ok(cast_with_options(array, wanted.data_type(), &options)?)
}

fn zone_of(arrow: &ArrowType) -> Option<std::sync::Arc<str>> {
    match arrow {
        ArrowType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    }
}

fn same_but_for_nulls(a: &DataType, b: &DataType) -> bool {
    match (a, b) {
        (DataType::Array { element: x, .. }, DataType::Array { element: y, .. }) => same_but_for_nulls(x, y),
        (DataType::Map { key: k, value: v, .. }, DataType::Map { key: l, value: w, .. }) => {
            same_but_for_nulls(k, l) && same_but_for_nulls(v, w)
        }
        (DataType::Struct(x), DataType::Struct(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same_but_for_nulls(&x.data_type, &y.data_type))
        }
        (DataType::Timestamp | DataType::TimestampNtz, DataType::Timestamp | DataType::TimestampNtz) => true,
        _ => a == b || (a.is_string() && b.is_string()),
    }
}
