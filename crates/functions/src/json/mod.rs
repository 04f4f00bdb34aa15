//! JSON and CSV: `from_json`, `to_json`, `schema_of_json` and their kin, and a look into texts.

pub mod csv;
pub(crate) mod options;
pub(crate) mod parse;
mod path;
pub(crate) mod read;
mod records;
pub(crate) mod schema;
pub(crate) mod wanted;
pub(crate) mod write;

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, ListBuilder, StringBuilder},
    datatypes::{DataType as Arrow, Int32Type},
};
use datafusion::error::Result as DfResult;
use firesteel_plan::{DataType, SparkError, SparkResult, types::StructField};

use self::parse::{Json, Lenience, parse_prefix};
pub use self::{
    options::{Mode, Options},
    records::{JsonInference, JsonRecords},
    write::JsonWriter,
};
use crate::{
    FunctionContext, Typed, errors, literal,
    registry::{FunctionDef, Nulls, check_count},
    udf::{Args, Ret, Udf, call, numbers, text_literal, type_literal},
};

pub(crate) fn udfs() -> Vec<Udf> {
    let mut all = vec![
        Udf::new("spark_from_json", Ret::Arg(0), read::from_json),
        Udf::new("spark_from_json_failfast_ansi", Ret::Arg(0), read::from_json),
        Udf::new("spark_to_json", Ret::Fixed(Arrow::Utf8), write::to_json),
        Udf::new("spark_get_json_object", Ret::Fixed(Arrow::Utf8), path::get_json_object),
        Udf::new("spark_json_field", Ret::Fixed(Arrow::Utf8), path::json_field),
        Udf::new("spark_json_array_length", Ret::Fixed(Arrow::Int32), |args| {
            let texts = args.text(0)?;
            numbers::<Int32Type>(args, |row| {
                Ok(match texts.get(row).and_then(|t| parse_prefix(t, Lenience::default())) {
                    Some(Json::Array(all, _)) => i32::try_from(all.len()).ok(),
                    _ => None,
                })
            })
        }),
        Udf::new("spark_json_object_keys", Ret::Fixed(Arrow::new_list(Arrow::Utf8, true)), keys),
    ];
    all.extend(csv::udfs());
    all
}

fn keys(args: &Args<'_>) -> DfResult<ArrayRef> {
    let texts = args.text(0)?;
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in 0..args.rows {
        match texts.get(row).and_then(|t| parse_prefix(t, Lenience::default())) {
            Some(Json::Object(all, _)) => {
                for (name, _) in &all {
                    builder.values().append_value(name);
                }
                builder.append(true);
            }
            _ => builder.append(false),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// Strings are not made of other types here.
pub(crate) fn only_text(name: &str, index: usize, value: Typed) -> SparkResult<Typed> {
    match &value.data_type {
        DataType::Null => literal::null(&DataType::String),
        t if t.is_string() => Ok(value),
        _ => Err(errors::unexpected_input(name, index, "STRING", &value)),
    }
}

pub(crate) fn options_of(name: &str, args: &mut Vec<Typed>, place: usize) -> SparkResult<Options> {
    if args.len() <= place {
        return Ok(Options::default());
    }
    let options = Options::of_argument(&args.remove(place))?;
    options.check(name)?;
    Ok(options)
}

/// The column for the text of records that cannot be read is a string.
pub fn check_corrupt_column(fields: &[StructField], options: &Options) -> SparkResult<()> {
    match fields.iter().find(|f| f.name == options.corrupt_column()) {
        Some(field) if field.data_type != DataType::String || !field.nullable => Err(SparkError::new(
            "INVALID_CORRUPT_RECORD_TYPE",
            "42804",
            format!(
                "The column {} for corrupt records must have the nullable STRING type, but got \"{}\".",
                format_args!("`{}`", field.name),
                errors::sql_type(&field.data_type)
            ),
        )
        .param("columnName", format!("`{}`", field.name))
        .param("actualType", format!("\"{}\"", errors::sql_type(&field.data_type)))),
        _ => Ok(()),
    }
}

/// Intervals are written with their fields, which a column knows only when they are all.
pub(crate) fn whole_intervals(name: &str, data_type: &DataType) -> SparkResult<()> {
    match data_type {
        DataType::DayTimeInterval { .. } if *data_type != crate::types::DAY_TO_SECOND => {}
        DataType::YearMonthInterval { .. } if *data_type != crate::types::YEAR_TO_MONTH => {}
        DataType::Array { element, .. } => return whole_intervals(name, element),
        DataType::Map { key, value, .. } => {
            whole_intervals(name, key)?;
            return whole_intervals(name, value);
        }
        DataType::Struct(fields) => return fields.iter().try_for_each(|f| whole_intervals(name, &f.data_type)),
        _ => return Ok(()),
    }
    Err(SparkError::unsupported(format_args!("{name} of the type {}", errors::sql_type(data_type))))
}

/// The schema of `from_json` is the type of its second argument: the analyzer has read the text.
fn from_json(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 3)?;
    let options = options_of(name, &mut args, 2)?;
    let schema = args.remove(1).data_type;
    let (DataType::Struct(_) | DataType::Array { .. } | DataType::Map { .. }) = &schema else {
        return Err(errors::datatype_mismatch(
            "INVALID_JSON_SCHEMA",
            format_args!("{name}(…)"),
            format_args!(
                "Input schema \"{}\" must be a struct, an array, a map or a variant.",
                errors::sql_type(&schema)
            ),
        )
        .param("schema", format!("\"{}\"", errors::sql_type(&schema))));
    };
    if let DataType::Struct(fields) = &schema {
        check_corrupt_column(fields, &options)?;
    }
    let text = only_text(name, 0, args.remove(0))?;
    let udf = if options.fails_fast() { "spark_from_json_failfast_ansi" } else { "spark_from_json" };
    let exprs = vec![type_literal(&schema)?, text.expr, text_literal(&options.encode()), text_literal(&ctx.time_zone)];
    Ok(Typed::new(call(udf, exprs)?, schema, true))
}

fn to_json(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 2)?;
    let options = options_of(name, &mut args, 1)?;
    if options.flag("pretty", false) {
        return Err(SparkError::unsupported("the option pretty of to_json"));
    }
    let value = args.remove(0);
    let (DataType::Struct(_) | DataType::Array { .. } | DataType::Map { .. }) = value.data_type else {
        return Err(errors::datatype_mismatch(
            "INVALID_JSON_SCHEMA",
            format_args!("{name}(…)"),
            format_args!(
                "Input schema \"{}\" must be a struct, an array, a map or a variant.",
                errors::sql_type(&value.data_type)
            ),
        )
        .param("schema", format!("\"{}\"", errors::sql_type(&value.data_type))));
    };
    whole_intervals(name, &value.data_type)?;
    let nullable = value.nullable;
    let exprs = vec![value.expr, text_literal(&options.encode()), text_literal(&ctx.time_zone)];
    Ok(Typed::new(call("spark_to_json", exprs)?, DataType::String, nullable))
}

/// A constant text that a schema is inferred from.
pub(crate) fn sample(name: &str, parameter: &str, value: &Typed) -> SparkResult<String> {
    if !value.data_type.is_string() && value.data_type != DataType::Null {
        return Err(errors::unexpected_input(name, 0, "STRING", value));
    }
    let Some(constant) = literal::fold(value) else {
        return Err(errors::non_foldable(name, parameter, value));
    };
    match constant.try_as_str() {
        Some(Some(text)) => Ok(text.to_owned()),
        _ => Err(errors::datatype_mismatch(
            "UNEXPECTED_NULL",
            format_args!("{name}(…)"),
            format_args!("The {parameter} must not be null."),
        )
        .param("exprName", parameter)),
    }
}

fn schema_of_json(_: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 2)?;
    let options = options_of(name, &mut args, 1)?;
    let text = sample(name, "json", &args[0])?;
    let parsed = parse_prefix(&text, read::lenience(&options));
    let inferred = match &parsed {
        Some(value) => schema::infer(value, &options, None),
        None if text.trim().is_empty() => DataType::Null,
        None => return Err(SparkError::unsupported(format_args!("{name} of a text that is no JSON"))),
    };
    let settled = schema::settled(inferred, false).unwrap_or(DataType::Struct(Vec::new()));
    Ok(literal::text(&errors::sql_type(&settled)))
}

pub(crate) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    let mut all = vec![
        F::resolve("from_json", from_json),
        F::resolve("to_json", to_json),
        F::resolve("schema_of_json", schema_of_json),
        F::resolve("json_array_length", |_, n, a| text_call(n, "spark_json_array_length", DataType::Integer, a)),
        F::resolve("json_object_keys", |_, n, a| {
            text_call(n, "spark_json_object_keys", DataType::array(DataType::String), a)
        }),
        F::simple("get_json_object", "spark_get_json_object", "ss", DataType::String).nulls(Nulls::Maybe),
    ];
    all.extend(csv::functions());
    all
}

fn text_call(name: &'static str, udf: &str, out: DataType, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 1)?;
    let text = only_text(name, 0, args.remove(0))?;
    Ok(Typed::new(call(udf, vec![text.expr])?, out, true))
}
