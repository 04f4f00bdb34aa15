//! Lines of CSV: `from_csv`, `to_csv`, `schema_of_csv`.

use arrow::array::{Array, ArrayRef, AsArray};
use datafusion::{common::exec_err, error::Result as DfResult};
use firesteel_plan::{DataType, SparkError, SparkResult, types::StructField};

use super::{
    no_corrupt_record, only_text,
    options::{Options, Times},
    options_of,
    parse::Json,
    read::Reader,
    sample, whole_intervals,
    write::Writer,
};
use crate::{
    FunctionContext, Typed,
    cast::write_value,
    datetime::{pattern::Purpose, text},
    errors,
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

struct Format {
    separator: String,
    quote: char,
    escape: char,
    trims: bool,
}

impl Format {
    fn new(options: &Options) -> Self {
        let one = |key: &str, default: char| options.get(key).and_then(|v| v.chars().next()).unwrap_or(default);
        let separator = options.get("sep").or_else(|| options.get("delimiter")).unwrap_or(",");
        let separator = if separator == "\\t" { "\t" } else { separator };
        Self {
            separator: separator.to_owned(),
            quote: one("quote", '"'),
            escape: one("escape", '\\'),
            trims: options.flag("ignoreLeadingWhiteSpace", false) || options.flag("ignoreTrailingWhiteSpace", false),
        }
    }

    /// The values of a line; those in quotes say so.
    fn split(&self, line: &str) -> Vec<(String, bool)> {
        let mut values = Vec::new();
        let mut rest = line;
        loop {
            let (value, quoted, behind) = match rest.strip_prefix(self.quote) {
                Some(inside) => {
                    let (value, behind) = self.quoted(inside);
                    let end = behind.find(&self.separator).unwrap_or(behind.len());
                    (value, true, &behind[end..])
                }
                None => {
                    let end = rest.find(&self.separator).unwrap_or(rest.len());
                    (rest[..end].to_owned(), false, &rest[end..])
                }
            };
            values.push((if self.trims && !quoted { value.trim().to_owned() } else { value }, quoted));
            match behind.strip_prefix(&self.separator) {
                Some(next) => rest = next,
                None => return values,
            }
        }
    }

    fn quoted<'a>(&self, inside: &'a str) -> (String, &'a str) {
        let mut value = String::new();
        let mut chars = inside.char_indices().peekable();
        while let Some((i, c)) = chars.next() {
            if c == self.escape
                && let Some((_, next)) = chars.peek().copied()
                && (next == self.quote || next == self.escape)
            {
                value.push(next);
                chars.next();
            } else if c == self.quote {
                return (value, &inside[i + c.len_utf8()..]);
            } else {
                value.push(c);
            }
        }
        (value, "")
    }
}

/// A value of a line in the form in which its type is read.
fn as_json<'a>(value: &'a str, data_type: &DataType) -> Json<'a> {
    match data_type {
        t if t.is_integral() => Json::Number(value),
        DataType::Float | DataType::Double | DataType::Decimal { .. } => Json::Number(value.trim()),
        DataType::Boolean if value.eq_ignore_ascii_case("true") => Json::Bool(true),
        DataType::Boolean if value.eq_ignore_ascii_case("false") => Json::Bool(false),
        _ => Json::Text(value.into()),
    }
}

/// `(null of the type, line, options, zone)`
fn from_csv(args: &Args<'_>) -> DfResult<ArrayRef> {
    let lines = args.text(1)?;
    let options = Options::decode(args.parameter(2)?);
    let format = Format::new(&options);
    let null_value = options.get("nullValue").unwrap_or("");
    let DataType::Struct(fields) = types::from_arrow(args.return_type).map_err(external)? else {
        return exec_err!("from_csv of {}", args.return_type);
    };
    let rows: Vec<Option<Vec<(String, bool)>>> =
        (0..args.rows).map(|row| lines.get(row).map(|line| format.split(line))).collect();
    let objects: Vec<Option<Json<'_>>> = rows
        .iter()
        .map(|row| {
            let values = row.as_ref()?;
            let pairs = fields.iter().zip(values).map(|(field, (value, quoted))| {
                let null = value == null_value || (*quoted && value.is_empty());
                let value = if null { Json::Null } else { as_json(value, &field.data_type) };
                (field.name.as_str().into(), value)
            });
            Some(Json::Object(pairs.collect(), ""))
        })
        .collect();
    let reader = Reader::new(&options, args.parameter(3)?)?;
    let values: Vec<Option<&Json<'_>>> = objects.iter().map(Option::as_ref).collect();
    let column = reader.build(&values, &DataType::Struct(fields.clone()), args.return_type)?;
    if options.fails_fast() {
        let unread = (0..args.rows).find(|row| {
            column.bad[*row]
                || column.partial[*row]
                || rows[*row].as_ref().is_some_and(|values| values.len() != fields.len())
        });
        if let Some(row) = unread {
            return Err(external(super::read::malformed(lines.get(row).unwrap_or_default())));
        }
    }
    Ok(column.array)
}

/// `(struct, options, zone)`
fn to_csv(args: &Args<'_>) -> DfResult<ArrayRef> {
    let values = args.array(0)?;
    let options = Options::decode(args.parameter(1)?);
    let format = Format::new(&options);
    let writer = Writer::new(&options, args.parameter(2)?)?;
    let null_value = options.get("nullValue").unwrap_or("");
    let DataType::Struct(fields) = types::from_arrow(values.data_type()).map_err(external)? else {
        return exec_err!("to_csv of {}", values.data_type());
    };
    let mut text = String::new();
    strings(args, args.rows * 32, |row, out| {
        if values.is_null(row) {
            return Ok(false);
        }
        // A line of one column that is null is no line.
        if let ([field], [column]) = (fields.as_slice(), values.as_struct().columns())
            && (column.is_null(row) || field.data_type == DataType::Null)
            && null_value.is_empty()
        {
            return Ok(false);
        }
        for (i, (field, column)) in fields.iter().zip(values.as_struct().columns()).enumerate() {
            if i > 0 {
                out.push_str(&format.separator);
            }
            if column.is_null(row) || field.data_type == DataType::Null {
                out.push_str(null_value);
                continue;
            }
            text.clear();
            if !writer.write_time(&mut text, column, row, &field.data_type)? {
                write_value(&writer.env, &mut text, column, row, &field.data_type)?;
            }
            let plain = text.trim();
            if plain.is_empty() && field.data_type.is_string() {
                out.push_str("\"\"");
                continue;
            }
            let special = |c: char| c == format.quote || c == '\n' || c == '\r';
            if !plain.contains(&format.separator) && !plain.contains(special) {
                out.push_str(plain);
                continue;
            }
            out.push(format.quote);
            for c in plain.chars() {
                if c == format.quote {
                    out.push(format.escape);
                }
                out.push(c);
            }
            out.push(format.quote);
        }
        Ok(true)
    })
}

fn infer(value: &str, quoted: bool, options: &Options, times: &Times) -> DataType {
    let null_value = options.get("nullValue").unwrap_or("");
    if value == null_value || (quoted && value.is_empty()) {
        return DataType::String;
    }
    if value.parse::<i32>().is_ok() {
        return DataType::Integer;
    }
    if value.parse::<i64>().is_ok() {
        return DataType::Long;
    }
    let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
    if !digits.is_empty() && digits.len() <= 38 && digits.bytes().all(|b| b.is_ascii_digit()) {
        return DataType::Decimal { precision: digits.len() as u8, scale: 0 };
    }
    let number = value.trim();
    if number.parse::<f64>().is_ok() && number.bytes().any(|b| b.is_ascii_digit())
        || matches!(number, "NaN" | "Infinity" | "-Infinity" | "Inf" | "-Inf")
    {
        return DataType::Double;
    }
    let date = match &times.date {
        Some(pattern) => pattern.parse(value).and_then(|p| p.date()).is_some(),
        None => text::parse_date(value).is_some() && !value.contains([' ', 'T', ':']),
    };
    if date {
        return DataType::Date;
    }
    let timestamp = match &times.timestamp {
        Some(pattern) => pattern.parse(value).and_then(|p| p.instant(times.zone)).is_some(),
        None => text::parse_timestamp(value).is_some(),
    };
    if timestamp {
        return DataType::Timestamp;
    }
    if value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") {
        return DataType::Boolean;
    }
    DataType::String
}

fn schema_of_csv(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 2)?;
    let options = options_of(name, &mut args, 1)?;
    let line = sample(name, "csv", &args[0])?;
    let times = Times::new(&options, &ctx.time_zone, Purpose::Parse)?;
    let fields = Format::new(&options)
        .split(&line)
        .iter()
        .enumerate()
        .map(|(i, (value, quoted))| StructField::new(format!("_c{i}"), infer(value, *quoted, &options, &times), true))
        .collect();
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
    if let Some(field) = fields.iter().find(|f| {
        matches!(f.data_type, DataType::Array { .. } | DataType::Map { .. } | DataType::Struct(_) | DataType::Binary)
    }) {
        return Err(SparkError::unsupported(format_args!("{name} of the type {}", errors::sql_type(&field.data_type))));
    }
    no_corrupt_record(name, fields)?;
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
