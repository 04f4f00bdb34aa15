//! Functions of modules that are not part of Spark itself, and of Java classes. Without their module Spark refuses them, as here.

use firesteel_plan::{DataType, SparkError, SparkResult};

use crate::{
    FunctionContext, Typed, errors, literal,
    registry::{FunctionDef, check_count},
};

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("from_avro", |_, name, args| {
            check_count(name, args.len(), 2, 3)?;
            constant_text(name, "jsonFormatSchema", &args[1])?;
            Err(not_loaded("AVRO", "Avro", "avro", name))
        }),
        F::resolve("to_avro", |_, name, args| {
            check_count(name, args.len(), 1, 2)?;
            if let Some(schema) = args.get(1) {
                constant_text(name, "jsonFormatSchema", schema)?;
            }
            Err(not_loaded("AVRO", "Avro", "avro", name))
        }),
        F::resolve("schema_of_avro", |_, name, args| {
            check_count(name, args.len(), 1, 2)?;
            constant_text(name, "jsonFormatSchema", &args[0])?;
            Err(not_loaded("AVRO", "Avro", "avro", name))
        }),
        F::resolve("from_protobuf", |_, name, args| {
            check_count(name, args.len(), 2, 4)?;
            constant_text(name, "messageName", &args[1])?;
            if args[1].is_null_literal() {
                return Err(must_be_constant(name, "messageName"));
            }
            if let Some(path) = args.get(2).and_then(Typed::literal_text)
                && !path.is_empty()
                && !std::path::Path::new(path).exists()
            {
                return Err(SparkError::new(
                    "PROTOBUF_DESCRIPTOR_FILE_NOT_FOUND",
                    "42K0G",
                    format!("Error reading Protobuf descriptor file at path: {path}."),
                )
                .param("filePath", path));
            }
            Err(not_loaded("PROTOBUF", "Protobuf", "protobuf", name))
        }),
        F::resolve("to_protobuf", |_, name, args| {
            check_count(name, args.len(), 2, 4)?;
            let DataType::Struct(_) = &args[0].data_type else {
                let shown = errors::sql_type(&args[0].data_type);
                return Err(errors::datatype_mismatch(
                    "NON_STRUCT_TYPE",
                    format_args!("{name}(…)"),
                    format_args!("the input `data` should be a struct expression, but it's \"{shown}\"."),
                )
                .param("inputType", format!("\"{shown}\"")));
            };
            constant_text(name, "messageName", &args[1])?;
            Err(not_loaded("PROTOBUF", "Protobuf", "protobuf", name))
        }),
        F::resolve("measure", |_: &FunctionContext, _, _| Err(SparkError::unsupported("measure() of metric views"))),
    ]
}

/// A constant string; null is allowed.
fn constant_text(name: &str, parameter: &str, value: &Typed) -> SparkResult<()> {
    let is_text = value.data_type.is_string() || value.data_type == DataType::Null;
    if is_text && literal::fold(value).is_some() {
        return Ok(());
    }
    Err(must_be_constant(name, parameter))
}

fn must_be_constant(name: &str, parameter: &str) -> SparkError {
    let message =
        format!("The argument `{parameter}` of the {} SQL function must be a constant string", name.to_uppercase());
    errors::datatype_mismatch("TYPE_CHECK_FAILURE_WITH_HINT", format_args!("{name}(…)"), &message)
        .param("msg", message)
        .param("hint", "")
}

fn not_loaded(class: &str, module: &str, artifact: &str, name: &str) -> SparkError {
    SparkError::new(
        format!("{class}_NOT_LOADED_SQL_FUNCTIONS_UNUSABLE"),
        "22KD3",
        format!(
            "Cannot call the {} SQL function because the {module} data source is not loaded. Please restart your job or \
             session with the 'spark-{artifact}' package loaded, such as by using the --packages argument on the command \
             line, and then retry your query or command again.",
            name.to_uppercase()
        ),
    )
    .param("functionName", name.to_uppercase())
}
