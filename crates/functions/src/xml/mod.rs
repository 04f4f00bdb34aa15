//! XML: `xpath` and its kin, `from_xml`, `to_xml`, `schema_of_xml`, and what the XML data source reads and writes.

mod document;
mod infer;
mod read;
mod records;
mod rows;
mod write;
mod writer;
mod xpath;

use arrow::datatypes::DataType as Arrow;
use firesteel_plan::{DataType, SparkError, SparkResult};

pub use self::{infer::XmlInference, records::XmlRecords, rows::XmlRows, writer::XmlWriter};
use crate::{
    FunctionContext, Typed, errors,
    json::{only_text, options_of, sample, whole_intervals},
    literal,
    registry::{FunctionDef, check_count},
    udf::{Ret, Udf, call, text_literal, type_literal},
};

pub(crate) fn udfs() -> Vec<Udf> {
    let mut all = xpath::udfs();
    all.extend([
        Udf::new("spark_from_xml", Ret::Arg(0), read::from_xml),
        Udf::new("spark_from_xml_failfast_ansi", Ret::Arg(0), read::from_xml),
        Udf::new("spark_to_xml", Ret::Fixed(Arrow::Utf8), write::to_xml),
    ]);
    all
}

pub(crate) fn functions() -> Vec<FunctionDef> {
    let mut all = xpath::functions();
    all.extend([
        FunctionDef::resolve("from_xml", from_xml),
        FunctionDef::resolve("to_xml", to_xml),
        FunctionDef::resolve("schema_of_xml", schema_of_xml),
    ]);
    all
}

/// The schema is the type of the second argument: the analyzer has read the text.
fn from_xml(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 3)?;
    let options = options_of(name, &mut args, 2)?;
    let schema = args.remove(1).data_type;
    let DataType::Struct(fields) = &schema else {
        let shown = errors::sql_type(&schema);
        return Err(errors::datatype_mismatch(
            "INVALID_XML_SCHEMA",
            format_args!("{name}(…)"),
            format_args!("Input schema \"{shown}\" must be a struct or a variant."),
        )
        .param("schema", format!("\"{shown}\"")));
    };
    if fields.iter().any(|f| f.name == options.corrupt_column()) {
        return Err(SparkError::unsupported(format_args!("{name} with a column for records that cannot be read")));
    }
    let text = only_text(name, 0, args.remove(0))?;
    let udf = if options.fails_fast() { "spark_from_xml_failfast_ansi" } else { "spark_from_xml" };
    let exprs = vec![type_literal(&schema)?, text.expr, text_literal(&options.encode()), text_literal(&ctx.time_zone)];
    Ok(Typed::new(call(udf, exprs)?, schema, true))
}

fn to_xml(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 2)?;
    let options = options_of(name, &mut args, 1)?;
    let value = args.remove(0);
    let DataType::Struct(_) = value.data_type else {
        return Err(errors::unexpected_input(name, 0, "STRUCT", &value));
    };
    whole_intervals(name, &value.data_type)?;
    let nullable = value.nullable;
    let exprs = vec![value.expr, text_literal(&options.encode()), text_literal(&ctx.time_zone)];
    Ok(Typed::new(call("spark_to_xml", exprs)?, DataType::String, nullable))
}

fn schema_of_xml(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 2)?;
    let options = options_of(name, &mut args, 1)?;
    let text = sample(name, "xml", &args[0])?;
    Ok(literal::text(&errors::sql_type(&read::schema_of(&text, &options, &ctx.time_zone)?)))
}
