//! Arrays as sets, searching and sorting. Elements are compared in Arrow's row format, in which order and equality of
//! bytes are those of the values.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Int64Array, ListArray, UInt32Array, new_null_array,
    },
    compute::{SortOptions, take},
    datatypes::DataType as Arrow,
    row::{Row, RowConverter, Rows, SortField},
};
use datafusion::{common::exec_err, error::Result as DfResult, scalar::ScalarValue};
use firesteel_plan::{DataType, SparkResult};

use super::{access::list, build::lists};
use crate::{
    FunctionContext, Typed, coercion, errors, literal,
    operators::canonical,
    registry::{FunctionDef, check_count, want},
    udf::{Args, Ret, Udf, booleans, call},
};

/// Nested values as bytes whose order is that of the values, with nulls first, as in Spark; and back.
pub(super) fn order_udfs() -> Vec<Udf> {
    vec![
        Udf::new("nested_to_order", Ret::Fixed(Arrow::Binary), |args| {
            let values = args.array(0)?;
            let rows = rows_of(&values, SortOptions { descending: false, nulls_first: true })?;
            let mut out = BinaryBuilder::new();
            for row in 0..values.len() {
                if values.is_null(row) {
                    out.append_null();
                } else {
                    out.append_value(rows.row(row).data());
                }
            }
            Ok(Arc::new(out.finish()))
        }),
        // (bytes, null of the type)
        Udf::new("order_to_nested", Ret::Arg(1), |args| {
            let bytes = args.array(0)?;
            let bytes = bytes.as_binary::<i32>();
            let options = SortOptions { descending: false, nulls_first: true };
            let converter = RowConverter::new(vec![SortField::new_with_options(args.return_type.clone(), options)])?;
            let none = new_null_array(args.return_type, 1);
            let null = converter.convert_columns(&[none])?;
            let parser = converter.parser();
            let rows = (0..bytes.len())
                .map(|row| if bytes.is_null(row) { null.row(0) } else { parser.parse(bytes.value(row)) });
            match converter.convert_rows(rows)?.pop() {
                Some(values) => Ok(values),
                None => exec_err!("{} of nothing", args.name),
            }
        }),
    ]
}

fn rows_of(values: &ArrayRef, options: SortOptions) -> DfResult<Rows> {
    let converter = RowConverter::new(vec![SortField::new_with_options(values.data_type().clone(), options)])?;
    Ok(converter.convert_columns(&[Arc::clone(values)])?)
}

struct Elements {
    list: ListArray,
    rows: Rows,
}

impl Elements {
    fn new(args: &Args<'_>, index: usize, options: SortOptions) -> DfResult<Self> {
        let list = list(&args.array(index)?)?;
        let rows = rows_of(list.values(), options)?;
        Ok(Self { list, rows })
    }

    fn range(&self, row: usize) -> std::ops::Range<usize> {
        self.list.value_offsets()[row] as usize..self.list.value_offsets()[row + 1] as usize
    }

    fn is_null_at(&self, at: usize) -> bool {
        let values = self.list.values();
        *values.data_type() == Arrow::Null || values.is_null(at)
    }
}

/// Lists made of some of the elements of each row's list.
fn select(args: &Args<'_>, of: &Elements, mut pick: impl FnMut(usize, &mut Vec<u32>) -> bool) -> DfResult<ArrayRef> {
    let mut indices = Vec::new();
    let mut lengths = Vec::with_capacity(args.rows);
    let mut valid = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        let before = indices.len();
        let good = of.list.is_valid(row) && pick(row, &mut indices);
        if !good {
            indices.truncate(before);
        }
        lengths.push(indices.len() - before);
        valid.push(good);
    }
    lists(args, of.list.values(), indices, lengths, valid)
}

fn ascending() -> SortOptions {
    SortOptions { descending: false, nulls_first: true }
}

/// The searched values in the elements' row format; nothing for nulls.
struct Wanted {
    rows: Rows,
    nulls: Option<arrow::buffer::NullBuffer>,
}

impl Wanted {
    fn new(args: &Args<'_>, index: usize, elements: &Elements) -> DfResult<Self> {
        let array = arrow::compute::cast(&args.array(index)?, elements.list.values().data_type())?;
        let nulls = array.nulls().cloned();
        Ok(Self { rows: rows_of(&array, ascending())?, nulls })
    }

    fn get(&self, row: usize) -> Option<Row<'_>> {
        if self.nulls.as_ref().is_some_and(|n| n.is_null(row)) { None } else { Some(self.rows.row(row)) }
    }
}

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        Udf::new("spark_array_contains", Ret::Fixed(Arrow::Boolean), |args| {
            let of = Elements::new(args, 0, ascending())?;
            let wanted = Wanted::new(args, 1, &of)?;
            booleans(args, |row| {
                let (true, Some(key)) = (of.list.is_valid(row), wanted.get(row)) else { return Ok(None) };
                let mut null = false;
                for i in of.range(row) {
                    if of.is_null_at(i) {
                        null = true;
                    } else if of.rows.row(i) == key {
                        return Ok(Some(true));
                    }
                }
                Ok(if null { None } else { Some(false) })
            })
        }),
        Udf::new("spark_array_position", Ret::Fixed(Arrow::Int64), |args| {
            let of = Elements::new(args, 0, ascending())?;
            let wanted = Wanted::new(args, 1, &of)?;
            let found: Int64Array = (0..args.rows)
                .map(|row| {
                    let (true, Some(key)) = (of.list.is_valid(row), wanted.get(row)) else { return None };
                    Some(
                        of.range(row)
                            .position(|i| !of.is_null_at(i) && of.rows.row(i) == key)
                            .map_or(0, |p| p as i64 + 1),
                    )
                })
                .collect();
            Ok(Arc::new(found))
        }),
        Udf::new("spark_array_remove", Ret::Arg(0), |args| {
            let of = Elements::new(args, 0, ascending())?;
            let wanted = Wanted::new(args, 1, &of)?;
            select(args, &of, |row, out| {
                let Some(key) = wanted.get(row) else { return false };
                out.extend(of.range(row).filter(|i| of.is_null_at(*i) || of.rows.row(*i) != key).map(|i| i as u32));
                true
            })
        }),
        Udf::new("spark_array_distinct", Ret::Arg(0), |args| {
            let of = Elements::new(args, 0, ascending())?;
            select(args, &of, |row, out| {
                let mut seen = HashSet::new();
                out.extend(of.range(row).filter(|i| seen.insert(of.rows.row(*i))).map(|i| i as u32));
                true
            })
        }),
        Udf::new("spark_array_compact", Ret::Arg(0), |args| {
            let of = Elements::new(args, 0, ascending())?;
            select(args, &of, |row, out| {
                out.extend(of.range(row).filter(|i| !of.is_null_at(*i)).map(|i| i as u32));
                true
            })
        }),
        Udf::new("sort_list_asc", Ret::Arg(0), |a| sort(a, SortOptions { descending: false, nulls_first: true })),
        Udf::new("sort_list_desc", Ret::Arg(0), |a| sort(a, SortOptions { descending: true, nulls_first: false })),
        Udf::new("sort_list_nulls_last", Ret::Arg(0), |a| {
            sort(a, SortOptions { descending: false, nulls_first: false })
        }),
        Udf::new("spark_array_min", Ret::Element(0), |a| extreme(a, false)),
        Udf::new("spark_array_max", Ret::Element(0), |a| extreme(a, true)),
        Udf::new("spark_array_union", Ret::Arg(0), |a| combine(a, Combine::Union)),
        Udf::new("spark_array_intersect", Ret::Arg(0), |a| combine(a, Combine::Intersect)),
        Udf::new("spark_array_except", Ret::Arg(0), |a| combine(a, Combine::Except)),
        Udf::new("spark_arrays_overlap", Ret::Fixed(Arrow::Boolean), |args| {
            let (a, b) = (Elements::new(args, 0, ascending())?, Elements::new(args, 1, ascending())?);
            let found: BooleanArray = (0..args.rows)
                .map(|row| {
                    if a.list.is_null(row) || b.list.is_null(row) {
                        return None;
                    }
                    let known: HashSet<Row<'_>> =
                        a.range(row).filter(|i| !a.is_null_at(*i)).map(|i| a.rows.row(i)).collect();
                    if b.range(row).any(|i| !b.is_null_at(i) && known.contains(&b.rows.row(i))) {
                        return Some(true);
                    }
                    let null = a.range(row).any(|i| a.is_null_at(i)) || b.range(row).any(|i| b.is_null_at(i));
                    let either_empty = a.range(row).is_empty() || b.range(row).is_empty();
                    if null && !either_empty { None } else { Some(false) }
                })
                .collect();
            Ok(Arc::new(found))
        }),
    ]
}

fn sort(args: &Args<'_>, options: SortOptions) -> DfResult<ArrayRef> {
    let of = Elements::new(args, 0, options)?;
    select(args, &of, |row, out| {
        let start = out.len();
        out.extend(of.range(row).map(|i| i as u32));
        out[start..].sort_by(|a, b| of.rows.row(*a as usize).cmp(&of.rows.row(*b as usize)));
        true
    })
}

fn extreme(args: &Args<'_>, max: bool) -> DfResult<ArrayRef> {
    let of = Elements::new(args, 0, ascending())?;
    let found: UInt32Array = (0..args.rows)
        .map(|row| {
            if of.list.is_null(row) {
                return None;
            }
            let known = of.range(row).filter(|i| !of.is_null_at(*i));
            let key = |i: &usize| of.rows.row(*i);
            if max { known.max_by(|a, b| key(a).cmp(&key(b))) } else { known.min_by(|a, b| key(a).cmp(&key(b))) }
                .map(|i| i as u32)
        })
        .collect();
    Ok(take(of.list.values(), &found, None)?)
}

#[derive(Clone, Copy, PartialEq)]
enum Combine {
    Union,
    Intersect,
    Except,
}

fn combine(args: &Args<'_>, how: Combine) -> DfResult<ArrayRef> {
    let (a, b) = (list(&args.array(0)?)?, list(&args.array(1)?)?);
    let joined = arrow::compute::concat(&[a.values().as_ref(), b.values().as_ref()])?;
    let rows = rows_of(&joined, ascending())?;
    let base = a.values().len();
    let mut indices = Vec::new();
    let mut lengths = Vec::with_capacity(args.rows);
    let mut valid = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        let good = a.is_valid(row) && b.is_valid(row);
        let before = indices.len();
        if good {
            let left = a.value_offsets()[row] as usize..a.value_offsets()[row + 1] as usize;
            let right = base + b.value_offsets()[row] as usize..base + b.value_offsets()[row + 1] as usize;
            let mut seen = HashSet::new();
            if how == Combine::Union {
                indices.extend(left.chain(right).filter(|i| seen.insert(rows.row(*i))).map(|i| i as u32));
            } else {
                let other: HashSet<Row<'_>> = right.map(|i| rows.row(i)).collect();
                indices.extend(
                    left.filter(|i| {
                        let key = rows.row(*i);
                        other.contains(&key) == (how == Combine::Intersect) && seen.insert(key)
                    })
                    .map(|i| i as u32),
                );
            }
        }
        lengths.push(indices.len() - before);
        valid.push(good);
    }
    lists(args, &joined, indices, lengths, valid)
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("array_contains", |c, n, a| searched(c, n, "spark_array_contains", a, Some(DataType::Boolean))),
        F::resolve("array_position", |c, n, a| searched(c, n, "spark_array_position", a, Some(DataType::Long))),
        F::resolve("array_remove", |c, n, a| searched(c, n, "spark_array_remove", a, None)),
        F::resolve("array_distinct", |c, n, a| one(c, n, "spark_array_distinct", a)),
        F::resolve("array_compact", |c, n, a| one(c, n, "spark_array_compact", a)),
        F::resolve("array_sort", |c, n, a| {
            if a.len() == 2 {
                return Err(firesteel_plan::SparkError::unsupported("array_sort() with a comparator"));
            }
            one(c, n, "sort_list_nulls_last", a)
        }),
        F::resolve("sort_array", |c, n, mut a| {
            check_count(n, a.len(), 1, 2)?;
            let ascending = if a.len() > 1 {
                a.remove(1)
            } else {
                literal::of(ScalarValue::Boolean(Some(true)), DataType::Boolean)
            };
            match ascending.literal() {
                Some(ScalarValue::Boolean(Some(true))) => one(c, n, "sort_list_asc", a),
                Some(ScalarValue::Boolean(Some(false))) => one(c, n, "sort_list_desc", a),
                _ if ascending.data_type == DataType::Boolean => {
                    let why = format!(
                        "the input `ascendingOrder` should be a foldable \"BOOLEAN\" expression; however, got \"{}\".",
                        ascending.sql()
                    );
                    Err(errors::datatype_mismatch("NON_FOLDABLE_INPUT", n, &why))
                }
                _ => Err(errors::unexpected_input(n, 1, "BOOLEAN", &ascending)),
            }
        }),
        F::resolve("array_min", |c, n, a| element_of(c, n, "spark_array_min", a)),
        F::resolve("array_max", |c, n, a| element_of(c, n, "spark_array_max", a)),
        F::resolve("array_union", |c, n, a| two(c, n, "spark_array_union", a, None)),
        F::resolve("array_intersect", |c, n, a| two(c, n, "spark_array_intersect", a, None)),
        F::resolve("array_except", |c, n, a| two(c, n, "spark_array_except", a, None)),
        F::resolve("arrays_overlap", |c, n, a| two(c, n, "spark_arrays_overlap", a, Some(DataType::Boolean))),
    ]
}

fn one(ctx: &FunctionContext, name: &'static str, udf: &str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 1)?;
    let value = canonical(want(ctx, name, 0, 'A', args.remove(0))?)?;
    let (data_type, nullable) = (value.data_type.clone(), value.nullable);
    Ok(Typed::new(call(udf, vec![value.expr])?, data_type, nullable))
}

fn element_of(ctx: &FunctionContext, name: &'static str, udf: &str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 1)?;
    let value = canonical(want(ctx, name, 0, 'A', args.remove(0))?)?;
    let DataType::Array { element, .. } = value.data_type.clone() else {
        return Err(errors::unexpected_input(name, 0, "ARRAY", &value));
    };
    Ok(Typed::new(call(udf, vec![value.expr])?, *element, true))
}

fn searched(
    ctx: &FunctionContext,
    name: &'static str,
    udf: &str,
    mut args: Vec<Typed>,
    data_type: Option<DataType>,
) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 2)?;
    let wanted = args.remove(1);
    let value = want(ctx, name, 0, 'A', args.remove(0))?;
    let DataType::Array { element, contains_null } = value.data_type.clone() else {
        return Err(errors::unexpected_input(name, 0, "ARRAY", &value));
    };
    if wanted.data_type == DataType::Null && name == "array_remove" {
        return literal::null(&value.data_type);
    }
    if wanted.data_type == DataType::Null {
        return Err(errors::datatype_mismatch(
            "NULL_TYPE",
            name,
            format!("Null typed values cannot be used as arguments of `{name}`."),
        ));
    }
    let Some(common) = coercion::tightest_common_type(&element, &wanted.data_type, ctx.ansi)
        .or_else(|| coercion::comparison_type(&element, &wanted.data_type, ctx.ansi))
    else {
        return Err(errors::datatype_mismatch(
            "ARRAY_FUNCTION_DIFF_TYPES",
            name,
            format!(
                "Input to `{name}` should have been \"ARRAY\" followed by a value with same element type, but it's [\"{}\", \"{}\"].",
                errors::sql_type(&value.data_type),
                errors::sql_type(&wanted.data_type)
            ),
        ));
    };
    let list = DataType::Array { element: Box::new(common.clone()), contains_null };
    let value = canonical(coercion::implicit(ctx, value, &list)?)?;
    let wanted = canonical(coercion::implicit(ctx, wanted, &common)?)?;
    let nullable = value.nullable || wanted.nullable || (contains_null && data_type == Some(DataType::Boolean));
    Ok(Typed::new(call(udf, vec![value.expr, wanted.expr])?, data_type.unwrap_or(list), nullable))
}

fn two(
    ctx: &FunctionContext,
    name: &'static str,
    udf: &str,
    args: Vec<Typed>,
    data_type: Option<DataType>,
) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 2)?;
    if args.iter().any(|a| a.data_type == DataType::Null) {
        let types: Vec<_> = args.iter().map(|a| errors::sql_type(&a.data_type)).collect();
        let why = format!(
            "Input to function `{name}` should have been two \"ARRAY\" with same element type, but it's [{}].",
            types.iter().map(|t| format!("\"{t}\"")).collect::<Vec<_>>().join(", ")
        );
        return Err(errors::datatype_mismatch("BINARY_ARRAY_DIFF_TYPES", name, &why));
    }
    let (args, common) = coercion::unify(ctx, name, args)?;
    if !matches!(common, DataType::Array { .. }) {
        return Err(errors::unexpected_input(name, 0, "ARRAY", &args[0]));
    }
    let nullable = args.iter().any(|a| a.nullable) || data_type.is_some();
    let mut exprs = Vec::new();
    for arg in args {
        exprs.push(canonical(arg)?.expr);
    }
    Ok(Typed::new(call(udf, exprs)?, data_type.unwrap_or(common), nullable))
}
