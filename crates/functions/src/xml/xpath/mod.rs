//! `xpath`, `xpath_string`, `xpath_int` and so on: XPath 1.0 over one document a row.

mod evaluate;
mod functions;
mod parse;

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, ListBuilder, StringBuilder},
    datatypes::{DataType as Arrow, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type},
};
use datafusion::{error::Result as DfResult, scalar::ScalarValue};
use firesteel_plan::{DataType, SparkError, SparkResult};

use self::{
    evaluate::{Value, evaluate},
    parse::{Expr, parse},
};
use super::document::Document;
use crate::{
    FunctionContext, Typed, errors,
    errors::external,
    literal,
    registry::{FunctionDef, check_count, want},
    udf::{Args, Ret, Udf, booleans, call, numbers, strings},
};

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        Udf::new("spark_xpath", Ret::Fixed(Arrow::new_list(Arrow::Utf8, true)), nodes),
        Udf::new("spark_xpath_boolean", Ret::Fixed(Arrow::Boolean), |args| {
            let query = Query::new(args)?;
            booleans(args, |row| query.ask(row, |d, v| v.boolean(d)))
        }),
        Udf::new("spark_xpath_string", Ret::Fixed(Arrow::Utf8), |args| {
            let query = Query::new(args)?;
            strings(args, args.rows * 16, |row, out| match query.ask(row, |d, v| v.string(d))? {
                Some(text) => {
                    out.push_str(&text);
                    Ok(true)
                }
                None => Ok(false),
            })
        }),
        Udf::new("spark_xpath_double", Ret::Fixed(Arrow::Float64), |args| {
            let query = Query::new(args)?;
            numbers::<Float64Type>(args, |row| query.ask(row, |d, v| v.number(d)))
        }),
        Udf::new("spark_xpath_float", Ret::Fixed(Arrow::Float32), |args| {
            let query = Query::new(args)?;
            numbers::<Float32Type>(args, |row| query.ask(row, |d, v| v.number(d) as f32))
        }),
        Udf::new("spark_xpath_long", Ret::Fixed(Arrow::Int64), |args| {
            let query = Query::new(args)?;
            numbers::<Int64Type>(args, |row| query.ask(row, |d, v| v.number(d) as i64))
        }),
        Udf::new("spark_xpath_int", Ret::Fixed(Arrow::Int32), |args| {
            let query = Query::new(args)?;
            numbers::<Int32Type>(args, |row| query.ask(row, |d, v| v.number(d) as i32))
        }),
        Udf::new("spark_xpath_short", Ret::Fixed(Arrow::Int16), |args| {
            let query = Query::new(args)?;
            numbers::<Int16Type>(args, |row| query.ask(row, |d, v| v.number(d) as i32 as i16))
        }),
    ]
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("xpath", |c, n, a| resolve(c, n, "spark_xpath", DataType::array(DataType::String), a)),
        F::resolve("xpath_boolean", |c, n, a| resolve(c, n, "spark_xpath_boolean", DataType::Boolean, a)),
        F::resolve("xpath_string", |c, n, a| resolve(c, n, "spark_xpath_string", DataType::String, a)),
        F::resolve("xpath_double", |c, n, a| resolve(c, n, "spark_xpath_double", DataType::Double, a)),
        F::resolve("xpath_number", |c, n, a| resolve(c, n, "spark_xpath_double", DataType::Double, a)),
        F::resolve("xpath_float", |c, n, a| resolve(c, n, "spark_xpath_float", DataType::Float, a)),
        F::resolve("xpath_long", |c, n, a| resolve(c, n, "spark_xpath_long", DataType::Long, a)),
        F::resolve("xpath_int", |c, n, a| resolve(c, n, "spark_xpath_int", DataType::Integer, a)),
        F::resolve("xpath_short", |c, n, a| resolve(c, n, "spark_xpath_short", DataType::Short, a)),
    ]
}

fn resolve(
    ctx: &FunctionContext,
    name: &'static str,
    udf: &str,
    data_type: DataType,
    mut args: Vec<Typed>,
) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 2)?;
    let path = want(ctx, name, 1, 's', args.remove(1))?;
    let xml = want(ctx, name, 0, 's', args.remove(0))?;
    let Some(constant) = literal::fold(&path) else {
        return Err(errors::non_foldable(name, "path", &path));
    };
    let path = literal::of(ScalarValue::Utf8(constant.try_as_str().flatten().map(str::to_owned)), DataType::String);
    Ok(Typed::new(call(udf, vec![xml.expr, path.expr])?, data_type, true))
}

/// One path over a column of documents.
struct Query {
    texts: crate::udf::Text,
    /// Nothing for null and for an empty path, which answer null.
    path: Option<(String, Expr)>,
    function: &'static str,
}

impl Query {
    fn new(args: &Args<'_>) -> DfResult<Self> {
        let function = args.name.trim_start_matches("spark_");
        let path = match args.constant_text(1).filter(|p| !p.is_empty()) {
            Some(path) => Some((path.to_owned(), parse(path).map_err(|e| invalid(function, path, &e))?)),
            None => None,
        };
        Ok(Self { texts: args.text(0)?, path, function })
    }

    fn ask<T>(&self, row: usize, answer: impl FnOnce(&Document, Value) -> T) -> DfResult<Option<T>> {
        let (Some(text), Some((path, expr))) = (self.texts.get(row).filter(|t| !t.is_empty()), &self.path) else {
            return Ok(None);
        };
        let document = Document::parse(text).map_err(|e| invalid(self.function, path, &e))?;
        let value = evaluate(&document, expr).map_err(|e| invalid(self.function, path, &e))?;
        Ok(Some(answer(&document, value)))
    }
}

fn invalid(_function: &str, path: &str, detail: &str) -> datafusion::error::DataFusionError {
    external(
        SparkError::new("FAILED_XPATH", "22000", format!("Invalid XML or XPath expression '{path}': {detail}"))
            .param("path", path),
    )
}

fn nodes(args: &Args<'_>) -> DfResult<ArrayRef> {
    let query = Query::new(args)?;
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in 0..args.rows {
        let found = query.ask(row, |document, value| match value {
            Value::Nodes(nodes) => {
                Some(nodes.into_iter().map(|n| document.value(n).map(str::to_owned)).collect::<Vec<_>>())
            }
            _ => None,
        })?;
        match found {
            None => builder.append(false),
            Some(Some(values)) => {
                values.into_iter().for_each(|v| builder.values().append_option(v));
                builder.append(true);
            }
            Some(None) => {
                let path = query.path.as_ref().map_or("", |p| p.0.as_str());
                return Err(invalid(query.function, path, "the expression answers no nodes"));
            }
        }
    }
    Ok(Arc::new(builder.finish()))
}
