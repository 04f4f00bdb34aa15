//! Lines of CSV: `from_csv`, `to_csv`, `schema_of_csv`, and what the CSV data source reads and writes.

mod dialect;
mod infer;
mod records;
mod write;

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, StructArray},
    buffer::NullBuffer,
};
use datafusion::{common::exec_err, error::Result as DfResult};
use firesteel_plan::{DataType, SparkError, SparkResult};

pub(crate) use self::records::{Specials, as_json, java_double};
pub use self::{
    dialect::{Dialect, Record, Value},
    infer::CsvInference,
    records::{CsvRecords, CutRecords, supports},
    write::CsvWriter,
};
use super::{check_corrupt_column, only_text, options::Options, options_of, sample, whole_intervals};
use crate::{
    FunctionContext, Typed, errors,
    errors::external,
    literal,
    registry::{FunctionDef, check_count},
    types,
    udf::{Args, Ret, Udf, call, strings, text_literal, type_literal},
};

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        Udf::new("spark_from_csv", Ret::Arg(0), from_csv),
        Udf::new("spark_from_csv_failfast_ansi", Ret::Arg(0), from_csv),
        Udf::new("spark_to_csv", Ret::Fixed(arrow::datatypes::DataType::Utf8), to_csv),
    ]
}

/// `(null of the type, line, options, zone)`
fn from_csv(args: &Args<'_>) -> DfResult<ArrayRef> {
    let lines = args.text(1)?;
    let options = Options::decode(args.parameter(2)?);
    let dialect = Dialect::new(&options).map_err(external)?;
    let DataType::Struct(fields) = types::from_arrow(args.return_type).map_err(external)? else {
        return exec_err!("from_csv of {}", args.return_type);
    };
    let places: Vec<usize> = (0..fields.len()).collect();
    let records = CsvRecords::new(&options, args.parameter(3)?, &fields, &places, false).map_err(external)?;
    let mut cut = CutRecords::default();
    // Rows that have a line.
    let mut present = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        let line = lines.get(row);
        present.push(line.is_some());
        let line = line.unwrap_or_default();
        if present[row] && !line.is_empty() {
            dialect.cut(Record::line(line), cut.values()).map_err(external)?;
        } else if !present[row] {
            // Nothing is malformed about what is not there.
            cut.values().extend(fields.iter().filter(|f| f.name != options.corrupt_column()).map(|_| None));
        }
        cut.end(line);
    }
    let (_, columns, _) = StructArray::from(records.read(&cut)?).into_parts();
    let arrow::datatypes::DataType::Struct(names) = args.return_type else {
        return exec_err!("from_csv of {}", args.return_type);
    };
    let nulls = Some(NullBuffer::from(present));
    Ok(Arc::new(StructArray::try_new_with_length(names.clone(), columns, nulls, args.rows)?))
}

/// `(struct, options, zone)`
fn to_csv(args: &Args<'_>) -> DfResult<ArrayRef> {
    let values = args.array(0)?;
    let options = Options::decode(args.parameter(1)?);
    let mut writer = CsvWriter::new(&options, args.parameter(2)?).map_err(external)?;
    let DataType::Struct(fields) = types::from_arrow(values.data_type()).map_err(external)? else {
        return exec_err!("to_csv of {}", values.data_type());
    };
    strings(args, args.rows * 32, |row, out| {
        if values.is_null(row) {
            return Ok(false);
        }
        let start = out.len();
        writer.row(out, &fields, values.as_struct().columns(), row)?;
        // A line of one column that is null is no line.
        Ok(out.len() > start || fields.len() != 1)
    })
}

fn schema_of_csv(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 2)?;
    let options = options_of(name, &mut args, 1)?;
    let line = sample(name, "csv", &args[0])?;
    let mut values = Vec::new();
    Dialect::new(&options)?.cut(Record::line(&line), &mut values)?;
    let mut inference = CsvInference::new(&options, &ctx.time_zone, values.len())?;
    inference.add(&values);
    let fields = inference.finish((0..values.len()).map(|i| format!("_c{i}")).collect());
    Ok(literal::text(&errors::sql_type(&DataType::Struct(fields))))
}

fn from_csv_call(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 3)?;
    let options = options_of(name, &mut args, 2)?;
    let schema = args.remove(1).data_type;
    let DataType::Struct(fields) = &schema else {
        let shown = format!("\"{}\"", errors::sql_type(&schema));
        return Err(SparkError::new(
            "INVALID_SCHEMA.NON_STRUCT_TYPE",
            "42K07",
            format!("The input schema must be a struct type, got {shown}."),
        )
        .param("dataType", shown));
    };
    if let Some(field) = fields.iter().find(|f| !supports(&f.data_type)) {
        return Err(SparkError::unsupported(format_args!("{name} of the type {}", errors::sql_type(&field.data_type))));
    }
    check_corrupt_column(fields, &options)?;
    let text = only_text(name, 0, args.remove(0))?;
    let udf = if options.fails_fast() { "spark_from_csv_failfast_ansi" } else { "spark_from_csv" };
    let exprs = vec![type_literal(&schema)?, text.expr, text_literal(&options.encode()), text_literal(&ctx.time_zone)];
    Ok(Typed::new(call(udf, exprs)?, schema, text.nullable))
}

fn to_csv_call(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 2)?;
    let options = options_of(name, &mut args, 1)?;
    let value = args.remove(0);
    let DataType::Struct(fields) = &value.data_type else {
        let shown = format!("\"{}\"", errors::sql_type(&value.data_type));
        return Err(errors::datatype_mismatch(
            "UNSUPPORTED_INPUT_TYPE",
            format_args!("{name}(…)"),
            format_args!("The input of `{name}` can't be {shown} type data."),
        )
        .param("functionName", format!("`{name}`"))
        .param("dataType", shown));
    };
    whole_intervals(name, &value.data_type)?;
    if fields.iter().any(|f| matches!(f.data_type, DataType::Binary | DataType::Variant)) {
        return Err(SparkError::unsupported(format_args!("{name} of a binary")));
    }
    let nullable = value.nullable;
    let exprs = vec![value.expr, text_literal(&options.encode()), text_literal(&ctx.time_zone)];
    Ok(Typed::new(call("spark_to_csv", exprs)?, DataType::String, nullable))
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("from_csv", from_csv_call),
        F::resolve("to_csv", to_csv_call),
        F::resolve("schema_of_csv", schema_of_csv),
    ]
}
