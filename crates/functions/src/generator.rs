//! Functions that answer several rows for one. The analyzer expands them; here is what they are made of.

use datafusion::logical_expr::Expr;
use firesteel_plan::{DataType, SparkResult, types::StructField};

use crate::{FunctionContext, Typed, coercion, errors};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generator {
    /// Elements of an array, or keys and values of a map.
    Explode { position: bool, outer: bool },
    /// Fields of the structs of an array.
    Inline { outer: bool },
    /// `stack(n, v1, v2, …)`: n rows of as many columns as it takes.
    Stack,
    /// Fields of an object or elements of an array in a VARIANT: resolved to an `Inline`.
    VariantExplode { outer: bool },
    /// `json_tuple(text, name1, name2, …)`: one row, resolved to a `Stack`.
    JsonTuple,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedGenerator {
    pub generator: Generator,
    /// What a generated row holds.
    pub output: Vec<StructField>,
    /// For `Explode` and `Inline` the one collection. For `Stack` the values, row by row, null where too few were given.
    pub args: Vec<Typed>,
    /// Rows of a `Stack`.
    pub rows: usize,
}

pub(crate) fn resolve(
    ctx: &FunctionContext,
    name: &str,
    generator: Generator,
    mut args: Vec<Typed>,
) -> SparkResult<ResolvedGenerator> {
    if generator == Generator::Stack {
        return stack(ctx, args);
    }
    if generator == Generator::JsonTuple {
        return json_tuple(name, args);
    }
    if args.len() != 1 {
        return Err(errors::wrong_num_args(name, 1, args.len()));
    }
    let arg = args.remove(0);
    if let Generator::VariantExplode { outer } = generator {
        return variant_explode(name, outer, arg);
    }
    let outer = matches!(generator, Generator::Explode { outer: true, .. } | Generator::Inline { outer: true });
    let mut output = Vec::new();
    match (&generator, &arg.data_type) {
        (Generator::Explode { position, .. }, DataType::Array { element, contains_null }) => {
            if *position {
                output.push(StructField::new("pos", DataType::Integer, outer));
            }
            output.push(StructField::new("col", element.as_ref().clone(), outer || *contains_null));
        }
        (Generator::Explode { position, .. }, DataType::Map { key, value, value_contains_null }) => {
            if *position {
                output.push(StructField::new("pos", DataType::Integer, outer));
            }
            output.push(StructField::new("key", key.as_ref().clone(), outer));
            output.push(StructField::new("value", value.as_ref().clone(), outer || *value_contains_null));
        }
        (Generator::Inline { .. }, DataType::Array { element, contains_null }) => {
            let DataType::Struct(fields) = element.as_ref() else {
                return Err(errors::unexpected_input(name, 0, "ARRAY<STRUCT>", &arg));
            };
            for f in fields {
                output.push(StructField::new(
                    f.name.clone(),
                    f.data_type.clone(),
                    outer || *contains_null || f.nullable,
                ));
            }
        }
        (Generator::Inline { .. }, _) => return Err(errors::unexpected_input(name, 0, "ARRAY<STRUCT>", &arg)),
        _ => return Err(errors::unexpected_input(name, 0, "(\"ARRAY\" or \"MAP\")", &arg)),
    }
    Ok(ResolvedGenerator { generator, output, args: vec![arg], rows: 0 })
}

fn stack(ctx: &FunctionContext, mut args: Vec<Typed>) -> SparkResult<ResolvedGenerator> {
    if args.len() < 2 {
        return Err(errors::wrong_num_args("stack", "> 1", args.len()));
    }
    let count = args.remove(0);
    let rows = match count.literal() {
        Some(datafusion::scalar::ScalarValue::Int32(Some(n))) if *n > 0 => *n as usize,
        _ => {
            return Err(errors::datatype_mismatch(
                "VALUE_OUT_OF_RANGE",
                "stack(…)",
                "The `n` must be a positive integer literal.",
            ));
        }
    };
    let columns = args.len().div_ceil(rows);
    let mut output = Vec::with_capacity(columns);
    for column in 0..columns {
        let cells: Vec<usize> = (0..rows).map(|r| r * columns + column).filter(|i| *i < args.len()).collect();
        let common =
            coercion::common_type_of(cells.iter().map(|i| &args[*i].data_type), ctx.ansi).ok_or_else(|| {
                errors::data_diff_types("stack", &cells.iter().map(|i| args[*i].clone()).collect::<Vec<_>>())
            })?;
        let mut nullable = cells.len() < rows;
        for i in cells {
            let cell = std::mem::replace(&mut args[i], crate::literal::int(0));
            nullable |= cell.nullable;
            args[i] = coercion::implicit(ctx, cell, &common)?;
        }
        output.push(StructField::new(format!("col{column}"), common, nullable));
    }
    while args.len() < rows * columns {
        let column = args.len() % columns;
        args.push(crate::literal::null(&output[column].data_type)?);
    }
    Ok(ResolvedGenerator { generator: Generator::Stack, output, args, rows })
}

fn variant_explode(name: &str, outer: bool, arg: Typed) -> SparkResult<ResolvedGenerator> {
    let value = match &arg.data_type {
        DataType::Variant => arg,
        DataType::Null => crate::literal::null(&DataType::Variant)?,
        _ => return Err(errors::unexpected_input(name, 0, "VARIANT", &arg)),
    };
    let output = vec![
        StructField::new("pos", DataType::Integer, outer),
        StructField::new("key", DataType::String, true),
        StructField::new("value", DataType::Variant, outer),
    ];
    let data_type = DataType::array(DataType::Struct(output.clone()));
    let list = crate::udf::call("spark_variant_parts", vec![crate::udf::type_literal(&data_type)?, value.expr])?;
    let args = vec![Typed::new(list, data_type, true)];
    Ok(ResolvedGenerator { generator: Generator::Inline { outer }, output, args, rows: 0 })
}

fn json_tuple(name: &str, mut args: Vec<Typed>) -> SparkResult<ResolvedGenerator> {
    if args.len() < 2 {
        return Err(errors::wrong_num_args(name, "> 1", args.len()));
    }
    if args.iter().any(|a| !a.data_type.is_string()) {
        return Err(errors::datatype_mismatch(
            "NON_STRING_TYPE",
            format_args!("{name}(…)"),
            format_args!("All arguments of the function `{name}` must be strings."),
        )
        .param("funcName", format!("`{name}`")));
    }
    let text = args.remove(0);
    let (mut output, mut values) = (Vec::new(), Vec::new());
    for (i, field) in args.into_iter().enumerate() {
        output.push(StructField::new(format!("c{i}"), DataType::String, true));
        let value = crate::udf::call("spark_json_field", vec![text.expr.clone(), field.expr])?;
        values.push(Typed::new(value, DataType::String, true));
    }
    Ok(ResolvedGenerator { generator: Generator::Stack, output, args: values, rows: 1 })
}

impl ResolvedGenerator {
    pub fn exprs(&self) -> impl Iterator<Item = &Expr> {
        self.args.iter().map(|a| &a.expr)
    }
}
