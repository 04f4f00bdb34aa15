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
    if args.len() != 1 {
        return Err(errors::wrong_num_args(name, 1, args.len()));
    }
    let arg = args.remove(0);
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

impl ResolvedGenerator {
    pub fn exprs(&self) -> impl Iterator<Item = &Expr> {
        self.args.iter().map(|a| &a.expr)
    }
}
