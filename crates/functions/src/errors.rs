//! Errors of casts, operators and functions, under Spark's error classes and with Spark's parameters.

use std::fmt::Display;

use datafusion::error::DataFusionError;
use firesteel_plan::{DataType, SparkError};

use crate::Typed;

const ANSI_CONF: &str = "\"spark.sql.ansi.enabled\"";

/// The Spark error that a DataFusion error carries, if any.
pub fn spark_error(error: &DataFusionError) -> Option<&SparkError> {
    match error {
        DataFusionError::External(inner) => inner.downcast_ref::<SparkError>().or_else(|| {
            inner
                .downcast_ref::<DataFusionError>()
                .and_then(spark_error)
                .or_else(|| inner.downcast_ref::<arrow::error::ArrowError>().and_then(spark_error_in_arrow))
        }),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => spark_error(inner),
        DataFusionError::Shared(inner) => spark_error(inner),
        DataFusionError::ArrowError(inner, _) => spark_error_in_arrow(inner),
        DataFusionError::Collection(errors) => errors.iter().find_map(spark_error),
        _ => None,
    }
}

fn spark_error_in_arrow(error: &arrow::error::ArrowError) -> Option<&SparkError> {
    match error {
        arrow::error::ArrowError::ExternalError(inner) => {
            inner.downcast_ref::<SparkError>().or_else(|| inner.downcast_ref::<DataFusionError>().and_then(spark_error))
        }
        _ => None,
    }
}

pub(crate) fn external(error: SparkError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn quoted_type(data_type: &DataType) -> String {
    format!("\"{}\"", sql_type(data_type))
}

/// The type as Spark's messages write it: upper case.
pub fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Struct(fields) => {
            let inner: Vec<String> = fields.iter().map(|f| format!("{}: {}", f.name, sql_type(&f.data_type))).collect();
            format!("STRUCT<{}>", inner.join(", "))
        }
        DataType::Array { element, .. } => format!("ARRAY<{}>", sql_type(element)),
        DataType::Map { key, value, .. } => format!("MAP<{}, {}>", sql_type(key), sql_type(value)),
        other => other.to_string().to_uppercase(),
    }
}

pub fn divide_by_zero() -> SparkError {
    SparkError::new(
        "DIVIDE_BY_ZERO",
        "22012",
        format!(
            "Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead. \
             If necessary set {ANSI_CONF} to \"false\" to bypass this error."
        ),
    )
    .param("config", ANSI_CONF)
}

pub fn interval_divided_by_zero() -> SparkError {
    SparkError::new(
        "INTERVAL_DIVIDED_BY_ZERO",
        "22012",
        "Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead.",
    )
}

pub fn remainder_by_zero() -> SparkError {
    SparkError::new(
        "REMAINDER_BY_ZERO",
        "22012",
        format!(
            "Remainder by zero. Use `try_mod` to tolerate divisor being 0 and return NULL instead. \
             If necessary set {ANSI_CONF} to \"false\" to bypass this error."
        ),
    )
    .param("config", ANSI_CONF)
}

/// An argument that has to be a constant and is none.
pub fn non_foldable_argument(function: &str, parameter: &str, data_type: &str) -> SparkError {
    let message = format!(
        "The function `{function}` requires the parameter `{parameter}` to be a foldable expression of the type \
         \"{data_type}\", but the actual argument is a non-foldable."
    );
    SparkError::new("NON_FOLDABLE_ARGUMENT", "42K08", message)
        .param("funcName", format!("`{function}`"))
        .param("paramName", format!("`{parameter}`"))
        .param("paramType", format!("\"{data_type}\""))
}

/// `message` such as "long overflow"; `instead` a function that tolerates it, or nothing.
pub fn arithmetic_overflow(message: &str, instead: &str) -> SparkError {
    let alternative = if instead.is_empty() {
        String::new()
    } else {
        format!(" Use '{instead}' to tolerate overflow and return NULL instead.")
    };
    SparkError::new(
        "ARITHMETIC_OVERFLOW",
        "22003",
        format!("{message}.{alternative} If necessary set {ANSI_CONF} to \"false\" to bypass this error."),
    )
    .param("message", message)
    .param("alternative", alternative.trim_start())
    .param("config", ANSI_CONF)
}

pub fn binary_overflow(left: impl Display, symbol: &str, right: impl Display, function: &str) -> SparkError {
    SparkError::new(
        "BINARY_ARITHMETIC_OVERFLOW",
        "22003",
        format!(
            "{left} {symbol} {right} caused overflow. Use `{function}` to ignore overflow problem and return NULL."
        ),
    )
    .param("value1", left.to_string())
    .param("symbol", symbol)
    .param("value2", right.to_string())
    .param("functionName", format!("`{function}`"))
}

pub fn interval_overflow(instead: &str) -> SparkError {
    if instead.is_empty() {
        SparkError::new(
            "INTERVAL_ARITHMETIC_OVERFLOW.WITHOUT_SUGGESTION",
            "22015",
            "Integer overflow while operating with intervals. Try devising appropriate values for the interval parameters.",
        )
    } else {
        SparkError::new(
            "INTERVAL_ARITHMETIC_OVERFLOW.WITH_SUGGESTION",
            "22015",
            format!(
                "Integer overflow while operating with intervals. Use `{instead}` to tolerate overflow and return NULL instead."
            ),
        )
        .param("functionName", format!("`{instead}`"))
    }
}

pub fn datetime_overflow(operation: impl Display) -> SparkError {
    SparkError::new("DATETIME_OVERFLOW", "22008", format!("Datetime operation overflow: {operation}."))
        .param("operation", operation.to_string())
}

/// A value that has not the form of the target type. `text` is quoted as Spark does.
pub fn cast_invalid_input(text: &str, from: &DataType, to: &DataType) -> SparkError {
    let shown = format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    SparkError::new(
        "CAST_INVALID_INPUT",
        "22018",
        format!(
            "The value {shown} of the type {} cannot be cast to {} because it is malformed. Correct the value as per the \
             syntax, or change its target type. Use `try_cast` to tolerate malformed input and return NULL instead.",
            quoted_type(from),
            quoted_type(to)
        ),
    )
    .param("expression", shown)
    .param("sourceType", quoted_type(from))
    .param("targetType", quoted_type(to))
}

pub fn cast_overflow(value: impl Display, from: &DataType, to: &DataType) -> SparkError {
    SparkError::new(
        "CAST_OVERFLOW",
        "22003",
        format!(
            "The value {value} of the type {} cannot be cast to {} due to an overflow. Use `try_cast` to tolerate \
             overflow and return NULL instead.",
            quoted_type(from),
            quoted_type(to)
        ),
    )
    .param("value", value.to_string())
    .param("sourceType", quoted_type(from))
    .param("targetType", quoted_type(to))
}

pub fn numeric_out_of_range(value: impl Display, precision: u8, scale: i8) -> SparkError {
    SparkError::new(
        "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION",
        "22003",
        format!(
            "{value} cannot be represented as Decimal({precision}, {scale}). If necessary set {ANSI_CONF} to \"false\" to \
             bypass this error, and return NULL instead."
        ),
    )
    .param("value", value.to_string())
    .param("precision", precision.to_string())
    .param("scale", scale.to_string())
    .param("config", ANSI_CONF)
}

pub fn cannot_parse_timestamp(message: impl Display, function: &str) -> SparkError {
    SparkError::new(
        "CANNOT_PARSE_TIMESTAMP",
        "22007",
        format!("{message}. Use `{function}` to tolerate invalid input string and return NULL instead."),
    )
    .param("message", message.to_string())
    .param("func", format!("`{function}`"))
}

pub fn datetime_field_out_of_bounds(message: impl Display) -> SparkError {
    SparkError::new(
        "DATETIME_FIELD_OUT_OF_BOUNDS.WITH_SUGGESTION",
        "22023",
        format!("{message}. If necessary set {ANSI_CONF} to \"false\" to bypass this error."),
    )
    .param("rangeMessage", message.to_string())
    .param("ansiConfig", ANSI_CONF)
}

pub fn invalid_parameter(subclass: &str, function: &str, parameter: &str, message: impl Display) -> SparkError {
    SparkError::new(
        format!("INVALID_PARAMETER_VALUE.{subclass}"),
        "22023",
        format!("The value of parameter(s) `{parameter}` in `{function}` is invalid: {message}"),
    )
    .param("parameter", format!("`{parameter}`"))
    .param("functionName", format!("`{function}`"))
}

pub fn wrong_num_args(function: &str, expected: impl Display, actual: usize) -> SparkError {
    SparkError::new(
        "WRONG_NUM_ARGS.WITHOUT_SUGGESTION",
        "42605",
        format!("The `{function}` requires {expected} parameters but the actual number is {actual}. Please, refer to 'https://spark.apache.org/docs/latest/sql-ref-functions.html' for a fix."),
    )
    .param("functionName", format!("`{function}`"))
    .param("expectedNum", expected.to_string())
    .param("actualNum", actual.to_string())
    .param("docroot", "https://spark.apache.org/docs/latest")
}

const ORDINALS: [&str; 10] =
    ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];

/// `required` as Spark names type classes: `"NUMERIC"`, `("STRING" or "BINARY")`, without the quotes of a single type.
pub fn unexpected_input(function: &str, index: usize, required: &str, given: &Typed) -> SparkError {
    let place = ORDINALS.get(index).map_or_else(|| (index + 1).to_string(), |s| (*s).to_owned());
    let required = if required.contains('"') { required.to_owned() } else { format!("\"{required}\"") };
    let input = format!("\"{}\"", given.sql());
    let sql = format!("\"{function}(…)\"");
    SparkError::new(
        "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
        "42K09",
        format!(
            "Cannot resolve {sql} due to data type mismatch: The {place} parameter requires the {required} type, however \
             {input} has the type {}.",
            quoted_type(&given.data_type)
        ),
    )
    .param("sqlExpr", sql)
    .param("paramIndex", place)
    .param("requiredType", required)
    .param("inputSql", input)
    .param("inputType", quoted_type(&given.data_type))
}

pub fn binary_diff_types(symbol: &str, left: &Typed, right: &Typed) -> SparkError {
    let sql = format!("\"({} {symbol} {})\"", left.sql(), right.sql());
    SparkError::new(
        "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES",
        "42K09",
        format!(
            "Cannot resolve {sql} due to data type mismatch: the left and right operands of the binary operator have \
             incompatible types ({} and {}).",
            quoted_type(&left.data_type),
            quoted_type(&right.data_type)
        ),
    )
    .param("sqlExpr", sql)
    .param("left", quoted_type(&left.data_type))
    .param("right", quoted_type(&right.data_type))
}

pub fn binary_wrong_type(symbol: &str, left: &Typed, right: &Typed, required: &str) -> SparkError {
    let sql = format!("\"({} {symbol} {})\"", left.sql(), right.sql());
    SparkError::new(
        "DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE",
        "42K09",
        format!(
            "Cannot resolve {sql} due to data type mismatch: the binary operator requires the input type {required}, not {}.",
            quoted_type(&left.data_type)
        ),
    )
    .param("sqlExpr", sql)
    .param("inputType", required)
    .param("actualDataType", quoted_type(&left.data_type))
}

/// Arguments that should share one type and do not.
pub fn data_diff_types(function: &str, given: &[Typed]) -> SparkError {
    let types: Vec<String> = given.iter().map(|t| quoted_type(&t.data_type)).collect();
    let types = format!("[{}]", types.join(", "));
    SparkError::new(
        "DATATYPE_MISMATCH.DATA_DIFF_TYPES",
        "42K09",
        format!(
            "Cannot resolve \"{function}(…)\" due to data type mismatch: Input to `{function}` should all be the same \
             type, but it's {types}."
        ),
    )
    .param("sqlExpr", format!("\"{function}(…)\""))
    .param("functionName", format!("`{function}`"))
    .param("dataType", types)
}

/// Any other subclass of DATATYPE_MISMATCH.
pub fn datatype_mismatch(subclass: &str, sql: impl Display, detail: impl Display) -> SparkError {
    SparkError::new(
        format!("DATATYPE_MISMATCH.{subclass}"),
        "42K09",
        format!("Cannot resolve \"{sql}\" due to data type mismatch: {detail}"),
    )
    .param("sqlExpr", format!("\"{sql}\""))
}

/// An argument that must be a constant and is none.
pub fn non_foldable(function: &str, parameter: &str, given: &Typed) -> SparkError {
    let input = format!("\"{}\"", given.sql());
    datatype_mismatch(
        "NON_FOLDABLE_INPUT",
        format_args!("{function}(…)"),
        format_args!(
            "the input `{parameter}` should be a foldable {} expression; however, got {input}.",
            quoted_type(&given.data_type)
        ),
    )
    .param("inputName", format!("`{parameter}`"))
    .param("inputType", quoted_type(&given.data_type))
    .param("inputExpr", input)
}

/// A text that is no interval of the wanted fields, in whatever mode.
pub fn invalid_interval(text: &str, to: &DataType, notice: bool) -> SparkError {
    let subclass = if notice { "UNMATCHED_FORMAT_STRING_WITH_NOTICE" } else { "UNMATCHED_FORMAT_STRING" };
    SparkError::new(
        format!("INVALID_INTERVAL_FORMAT.{subclass}"),
        "22006",
        format!("Error parsing '{text}' to interval: it has not the format of {}.", quoted_type(to)),
    )
    .param("input", text)
    .param("typeName", to.to_string())
}

pub fn cannot_cast(value: &Typed, to: &DataType, mode: crate::EvalMode) -> SparkError {
    let (from, target) = (quoted_type(&value.data_type), quoted_type(to));
    let legacy_can =
        mode == crate::EvalMode::Ansi && crate::cast::can_cast(&value.data_type, to, crate::EvalMode::Legacy);
    let sql = format!("CAST({} AS {})", value.sql(), sql_type(to));
    let function = match (&value.data_type, to) {
        _ if mode == crate::EvalMode::Legacy => None,
        (t, DataType::Date) if t.is_numeric() => Some("DATE_FROM_UNIX_DATE"),
        (DataType::Date, t) if t.is_numeric() => Some("UNIX_DATE"),
        _ => None,
    };
    let (subclass, detail) = if let Some(function) = function {
        (
            "CAST_WITH_FUNC_SUGGESTION",
            format!(
                "cannot cast {from} to {target}. To convert values from {from} to {target}, you can use the functions \
                 `{function}` instead."
            ),
        )
    } else if legacy_can {
        (
            "CAST_WITH_CONF_SUGGESTION",
            format!(
                "cannot cast {from} to {target} with ANSI mode on. If you have to cast {from} to {target}, you can set \
                 {ANSI_CONF} as \"false\"."
            ),
        )
    } else {
        ("CAST_WITHOUT_SUGGESTION", format!("cannot cast {from} to {target}."))
    };
    datatype_mismatch(subclass, sql, detail).param("srcType", from).param("targetType", target)
}

pub fn array_index(subclass: &str, index: i64, size: usize, instead: &str) -> SparkError {
    SparkError::new(
        subclass,
        "22003",
        format!(
            "The index {index} is out of bounds. The array has {size} elements. Use {instead} to tolerate accessing \
             element at invalid index and return NULL instead."
        ),
    )
    .param("indexValue", index.to_string())
    .param("arraySize", size.to_string())
}
