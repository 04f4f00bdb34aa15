//! VARIANT: values that say their type themselves.

mod convert;
pub(crate) mod encoding;
mod resolve;
pub(crate) mod text;

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BinaryBuilder, Int32Builder, ListArray, StringBuilder, StructArray},
    buffer::OffsetBuffer,
    datatypes::DataType as Arrow,
};
use datafusion::{common::exec_err, error::Result as DfResult, scalar::ScalarValue};
use firesteel_plan::{DataType, SparkError};

pub(crate) use self::resolve::{can_cast, cast, functions, resolve_schema_agg};
use self::{
    encoding::Variant,
    text::{Schema, at_path, parse_path},
};
use crate::{
    EvalMode,
    aggregate::binary_state::{BinaryAggregate, BinaryState},
    cast::Env,
    datetime::zone::Zone,
    errors::{self, external},
    types,
    udf::{Args, Bytes, Ret, Udf, binaries, booleans, strings},
};

pub(crate) fn udfs() -> Vec<Udf> {
    vec![
        Udf::new("spark_parse_json", Ret::Fixed(Arrow::Binary), |args| parse_json(args, false)),
        Udf::new("spark_parse_json_try", Ret::Fixed(Arrow::Binary), |args| parse_json(args, true)),
        Udf::new("spark_is_variant_null", Ret::Fixed(Arrow::Boolean), |args| {
            let values = args.bytes(0)?;
            booleans(args, |row| Ok(Some(matches!(values.get(row).map(decoded).transpose()?, Some(Variant::Null)))))
        }),
        Udf::new("spark_is_valid_variant", Ret::Fixed(Arrow::Boolean), |args| {
            let values = args.bytes(0)?;
            booleans(args, |row| Ok(values.get(row).map(|bytes| Variant::decode(bytes).is_some())))
        }),
        Udf::new("spark_schema_of_variant", Ret::Fixed(Arrow::Utf8), |args| {
            let values = args.bytes(0)?;
            strings(args, args.rows * 16, |row, out| match values.get(row) {
                Some(bytes) => {
                    out.push_str(&Schema::of(&decoded(bytes)?).sql());
                    Ok(true)
                }
                None => Ok(false),
            })
        }),
        // (null of the type, variant, path, zone, the type)
        Udf::new("spark_variant_get_ansi", Ret::Arg(0), |args| get(args, EvalMode::Ansi)),
        Udf::new("spark_variant_get_try", Ret::Arg(0), |args| get(args, EvalMode::Try)),
        // (null of the type, variant)
        Udf::new("spark_variant_parts", Ret::Arg(0), parts),
        // (value, its type)
        Udf::new("spark_to_variant", Ret::Fixed(Arrow::Binary), |args| {
            let values = args.array(0)?;
            let data_type = types::from_arrow(values.data_type()).map_err(external)?;
            let data_type = types::parse_said(args.parameter(1)?).unwrap_or(data_type);
            binaries(args, |row, out| {
                if values.is_null(row) {
                    return Ok(false);
                }
                out.extend(convert::to_variant(&values, row, &data_type)?.encode());
                Ok(true)
            })
        }),
    ]
}

pub(crate) fn decoded(bytes: &[u8]) -> DfResult<Variant> {
    Variant::decode(bytes).ok_or_else(|| {
        external(SparkError::new(
            "MALFORMED_VARIANT",
            "22023",
            "Variant binary is malformed. Please check the data source is valid.",
        ))
    })
}

/// What `variant_explode` makes rows of: position, key and value of every part.
fn parts(args: &Args<'_>) -> DfResult<ArrayRef> {
    let values = args.bytes(1)?;
    let Arrow::List(field) = args.return_type else {
        return exec_err!("the parts of a variant as {}", args.return_type);
    };
    let Arrow::Struct(fields) = field.data_type() else {
        return exec_err!("the parts of a variant as {}", args.return_type);
    };
    let (mut positions, mut keys, mut parts) = (Int32Builder::new(), StringBuilder::new(), BinaryBuilder::new());
    let mut lengths = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        let before = lengths_so_far(&positions);
        let mut push = |place: usize, key: Option<&str>, value: &Variant| {
            positions.append_value(place as i32);
            keys.append_option(key);
            parts.append_value(value.encode());
        };
        match values.get(row).map(decoded).transpose()? {
            Some(Variant::Array(all)) => all.iter().enumerate().for_each(|(i, v)| push(i, None, v)),
            Some(Variant::Object(all)) => all.iter().enumerate().for_each(|(i, (n, v))| push(i, Some(n), v)),
            _ => {}
        }
        lengths.push(lengths_so_far(&positions) - before);
    }
    let columns: Vec<ArrayRef> = vec![Arc::new(positions.finish()), Arc::new(keys.finish()), Arc::new(parts.finish())];
    let items = StructArray::try_new(fields.clone(), columns, None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, Arc::new(items), None)?))
}

fn lengths_so_far(positions: &Int32Builder) -> usize {
    arrow::array::ArrayBuilder::len(positions)
}

fn parse_json(args: &Args<'_>, tolerant: bool) -> DfResult<ArrayRef> {
    let texts = args.text(0)?;
    binaries(args, |row, out| {
        let Some(text) = texts.get(row) else { return Ok(false) };
        match text::parse(text) {
            Ok(value) => {
                out.extend(value.encode());
                Ok(true)
            }
            Err(_) if tolerant => Ok(false),
            Err(error) => Err(external(error)),
        }
    })
}

fn get(args: &Args<'_>, mode: EvalMode) -> DfResult<ArrayRef> {
    let (values, paths) = (args.bytes(1)?, args.text(2)?);
    let env = Env::new(EvalMode::Try, Zone::parse(args.parameter(3)?).map_err(external)?);
    let data_type = match types::parse_said(args.parameter(4)?) {
        Some(said) => said,
        None => types::from_arrow(args.return_type).map_err(external)?,
    };
    let null = ScalarValue::try_from(args.return_type)?;
    let mut answers = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        let (Some(bytes), Some(path)) = (values.get(row), paths.get(row)) else {
            answers.push(null.clone());
            continue;
        };
        let Some(steps) = parse_path(path) else {
            let function = if mode == EvalMode::Try { "try_variant_get" } else { "variant_get" };
            let message = format!(
                "The path `{path}` is not a valid variant extraction path in `{function}`. A valid path should start with \
                 `$` and is followed by zero or more segments like `[123]`, `.name`, `['name']`, or `[\"name\"]`."
            );
            return Err(external(
                SparkError::new("INVALID_VARIANT_GET_PATH", "22023", message)
                    .param("path", path)
                    .param("functionName", format!("`{function}`")),
            ));
        };
        let root = decoded(bytes)?;
        let Some(value) = at_path(&root, &steps) else {
            answers.push(null.clone());
            continue;
        };
        match convert::from_variant(&env, value, &data_type)? {
            Some(answer) => answers.push(answer),
            None if mode == EvalMode::Try => answers.push(null.clone()),
            None => {
                let mut shown = String::new();
                text::write_json(&env, &mut shown, value);
                let sql = errors::sql_type(&data_type);
                let message = format!(
                    "The variant value `{shown}` cannot be cast into `{sql}`. Please use `try_variant_get` instead."
                );
                return Err(external(
                    SparkError::new("INVALID_VARIANT_CAST", "22023", message)
                        .param("value", shown)
                        .param("dataType", format!("\"{sql}\"")),
                ));
            }
        }
    }
    if answers.is_empty() {
        return Ok(arrow::array::new_empty_array(args.return_type));
    }
    let array = ScalarValue::iter_to_array(answers)?;
    if array.data_type() == args.return_type { Ok(array) } else { Ok(arrow::compute::cast(&array, args.return_type)?) }
}

/// `schema_of_variant_agg`
pub(crate) fn aggregate() -> BinaryAggregate {
    BinaryAggregate::answering(
        "spark_schema_of_variant_agg",
        |_| Ok(Arrow::Utf8),
        |_| Ok(Box::new(Schemas(Schema::Of(DataType::Null)))),
    )
}

#[derive(Debug)]
struct Schemas(Schema);

impl Schemas {
    fn add(&mut self, other: Schema) {
        let known = std::mem::replace(&mut self.0, Schema::Of(DataType::Null));
        self.0 = known.merged(other);
    }
}

/// A schema as a value that can be encoded: types are their names.
fn schema_value(schema: &Schema) -> Variant {
    match schema {
        Schema::Of(data_type) => Variant::Text(errors::sql_type(data_type)),
        Schema::Array(element) => Variant::Array(vec![schema_value(element)]),
        Schema::Object(fields) => Variant::Object(fields.iter().map(|(n, s)| (n.clone(), schema_value(s))).collect()),
    }
}

fn schema_of_value(value: Variant) -> DfResult<Schema> {
    Ok(match value {
        Variant::Array(mut element) if element.len() == 1 => {
            Schema::Array(Box::new(schema_of_value(element.remove(0))?))
        }
        Variant::Object(fields) => {
            Schema::Object(fields.into_iter().map(|(n, v)| Ok((n, schema_of_value(v)?))).collect::<DfResult<_>>()?)
        }
        Variant::Text(name) => Schema::Of(match name.as_str() {
            "VOID" => DataType::Null,
            "BOOLEAN" => DataType::Boolean,
            "BIGINT" => DataType::Long,
            "FLOAT" => DataType::Float,
            "DOUBLE" => DataType::Double,
            "STRING" => DataType::String,
            "BINARY" => DataType::Binary,
            "DATE" => DataType::Date,
            "TIMESTAMP" => DataType::Timestamp,
            "TIMESTAMP_NTZ" => DataType::TimestampNtz,
            "VARIANT" => DataType::Variant,
            other => {
                let digits = other.strip_prefix("DECIMAL(").and_then(|d| d.strip_suffix(')'));
                let parts = digits.and_then(|d| d.split_once(',')).map(|(p, s)| (p.parse(), s.parse()));
                match parts {
                    Some((Ok(precision), Ok(scale))) => DataType::Decimal { precision, scale },
                    _ => return exec_err!("the schema of a variant has the type {other}"),
                }
            }
        }),
        _ => return exec_err!("the state of an aggregate is no schema"),
    })
}

impl BinaryState for Schemas {
    fn update(&mut self, columns: &[ArrayRef]) -> DfResult<()> {
        let values = Bytes::new(&columns[0], false)?;
        for bytes in (0..columns[0].len()).filter_map(|row| values.get(row)) {
            self.add(Schema::of(&decoded(bytes)?));
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> DfResult<()> {
        self.add(schema_of_value(decoded(bytes)?)?);
        Ok(())
    }

    fn bytes(&self) -> DfResult<Vec<u8>> {
        Ok(schema_value(&self.0).encode())
    }

    fn answer(&self) -> DfResult<ScalarValue> {
        Ok(ScalarValue::Utf8(Some(self.0.sql())))
    }

    fn size(&self) -> usize {
        self.0.sql().len() * 4
    }
}

/// The JSON of a value, as results show it.
pub(crate) fn write_shown(env: &Env, out: &mut String, values: &ArrayRef, row: usize) -> DfResult<()> {
    if let Some(bytes) = Bytes::new(&Arc::clone(values), false)?.get(row) {
        text::write_json(env, out, &decoded(bytes)?);
    }
    Ok(())
}
