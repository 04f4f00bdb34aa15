//! Names and parameters of the plain string functions.

use datafusion::scalar::ScalarValue;
use firesteel_plan::{DataType, SparkResult};

use crate::{
    FunctionContext, Typed, coercion, errors, literal,
    registry::{FunctionDef, Nulls, check_count, want},
    udf::call,
};

pub(in crate::text) fn functions() -> Vec<FunctionDef> {
    use DataType::{Boolean, Integer, String as Str};
    use FunctionDef as F;
    let same = |name, udf, params| F::simple(name, udf, params, Str);
    vec![
        same("upper", "spark_upper", "s"),
        same("ucase", "spark_upper", "s"),
        same("lower", "spark_lower", "s"),
        same("lcase", "spark_lower", "s"),
        same("initcap", "spark_initcap", "s"),
        same("soundex", "spark_soundex", "s"),
        same("quote", "spark_quote", "s"),
        F::resolve("left", |ctx, name, mut args| {
            check_count(name, args.len(), 2, 2)?;
            if args[0].data_type == DataType::Binary {
                args.insert(1, literal::int(1));
                return letters(ctx, name, "spark_substring_bytes", "bii", args, DataType::Binary);
            }
            letters(ctx, name, "spark_left", "si", args, Str)
        }),
        same("right", "spark_right", "si"),
        same("repeat", "spark_repeat", "si"),
        same("translate", "spark_translate", "sss"),
        same("substring_index", "spark_substring_index", "ssi"),
        same("split_part", "spark_split_part_ansi", "ssi"),
        same("chr", "spark_chr", "l"),
        same("char", "spark_chr", "l"),
        same("url_encode", "spark_url_encode", "s"),
        same("url_decode", "spark_url_decode_ansi", "s"),
        same("try_url_decode", "spark_url_decode_try", "s").nulls(Nulls::Maybe),
        F::simple("ascii", "spark_ascii", "s", Integer),
        F::simple("octet_length", "spark_octet_length", "x", Integer),
        F::simple("find_in_set", "spark_find_in_set", "ss", Integer),
        F::resolve("levenshtein", |ctx, name, args| {
            check_count(name, args.len(), 2, 3)?;
            letters(ctx, name, "spark_levenshtein", "ssi", args, Integer)
        }),
        F::simple("startswith", "spark_startswith", "xx", Boolean),
        F::simple("endswith", "spark_endswith", "xx", Boolean),
        F::simple("contains", "spark_contains", "xx", Boolean),
        F::resolve("length", length),
        F::resolve("len", length),
        F::resolve("char_length", length),
        F::resolve("character_length", length),
        F::resolve("bit_length", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            let value = want(ctx, name, 0, 'x', args.remove(0))?;
            let nullable = value.nullable;
            let bytes = Typed::new(call("spark_octet_length", vec![value.expr])?, Integer, nullable);
            crate::operators::binary(ctx, firesteel_plan::expr::BinaryOp::Multiply, bytes, literal::int(8))
        }),
        F::resolve("substring", substring_call),
        F::resolve("substr", substring_call),
        F::resolve("mid", substring_call),
        F::resolve("concat", concat),
        F::resolve("concat_ws", |ctx, name, args| {
            check_count(name, args.len(), 1, usize::MAX)?;
            let mut exprs = Vec::new();
            let mut nullable = false;
            for (i, arg) in args.into_iter().enumerate() {
                let arg = match &arg.data_type {
                    DataType::Array { .. } if i > 0 => coercion::implicit(ctx, arg, &DataType::array(Str))?,
                    _ => want(ctx, name, i, 's', arg)?,
                };
                nullable |= i == 0 && arg.nullable;
                exprs.push(arg.expr);
            }
            Ok(Typed::new(call("spark_concat_ws", exprs)?, Str, nullable))
        }),
        F::resolve("trim", |c, n, a| trim(c, n, "spark_btrim", a)),
        F::resolve("btrim", |c, n, a| trim(c, n, "spark_btrim", a)),
        F::resolve("ltrim", |c, n, a| trim(c, n, "spark_ltrim", a)),
        F::resolve("rtrim", |c, n, a| trim(c, n, "spark_rtrim", a)),
        F::resolve("lpad", |c, n, a| padded(c, n, "spark_lpad", a)),
        F::resolve("rpad", |c, n, a| padded(c, n, "spark_rpad", a)),
        F::resolve("replace", |c, n, a| defaulted(c, n, "spark_replace", "sss", a, "")),
        F::resolve("space", |ctx, name, args| {
            check_count(name, args.len(), 1, 1)?;
            let mut all = vec![literal::text(" ")];
            all.extend(args);
            let n = want(ctx, name, 0, 'i', all.remove(1))?;
            let nullable = n.nullable;
            Ok(Typed::new(call("spark_repeat", vec![all.remove(0).expr, n.expr])?, Str, nullable))
        }),
        F::resolve("instr", |ctx, name, args| {
            check_count(name, args.len(), 2, 2)?;
            let mut args = args;
            args.swap(0, 1);
            located(ctx, name, args)
        }),
        F::resolve("locate", |ctx, name, args| {
            check_count(name, args.len(), 2, 3)?;
            located(ctx, name, args)
        }),
        F::resolve("position", |ctx, name, args| {
            check_count(name, args.len(), 2, 3)?;
            located(ctx, name, args)
        }),
        F::resolve("overlay", |ctx, name, mut args| {
            check_count(name, args.len(), 3, 4)?;
            if args.len() == 3 {
                args.push(literal::int(-1));
            }
            if args[0].data_type == DataType::Binary && args[1].data_type == DataType::Binary {
                return letters(ctx, name, "spark_overlay_bytes", "bbii", args, DataType::Binary);
            }
            letters(ctx, name, "spark_overlay", "ssii", args, Str)
        }),
        F::resolve("elt", elt),
    ]
}

fn letters(
    ctx: &FunctionContext,
    name: &'static str,
    udf: &str,
    letters: &str,
    args: Vec<Typed>,
    data_type: DataType,
) -> SparkResult<Typed> {
    let mut exprs = Vec::new();
    let mut nullable = false;
    for (i, (arg, letter)) in args.into_iter().zip(letters.chars()).enumerate() {
        let arg = want(ctx, name, i, letter, arg)?;
        nullable |= arg.nullable;
        exprs.push(arg.expr);
    }
    Ok(Typed::new(call(udf, exprs)?, data_type, nullable))
}

fn defaulted(
    ctx: &FunctionContext,
    name: &'static str,
    udf: &str,
    kinds: &str,
    mut args: Vec<Typed>,
    default: &str,
) -> SparkResult<Typed> {
    check_count(name, args.len(), kinds.len() - 1, kinds.len())?;
    if args.len() < kinds.len() {
        args.push(literal::text(default));
    }
    letters(ctx, name, udf, kinds, args, DataType::String)
}

/// Binaries are padded with zero bytes, and stay binaries when what they are padded with is one too.
fn padded(ctx: &FunctionContext, name: &'static str, udf: &str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 3)?;
    let binary = args[0].data_type == DataType::Binary;
    if args.len() == 2 {
        args.push(if binary {
            literal::of(ScalarValue::Binary(Some(vec![0])), DataType::Binary)
        } else {
            literal::text(" ")
        });
    }
    if binary && args[2].data_type == DataType::Binary {
        return letters(ctx, name, &format!("{udf}_bytes"), "bib", args, DataType::Binary);
    }
    letters(ctx, name, udf, "sis", args, DataType::String)
}

/// `elt(n, a, b, …)`: the n-th of the others. Binaries where all are; strings otherwise.
fn elt(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, usize::MAX)?;
    let index = want(ctx, name, 0, 'i', args.remove(0))?;
    let binary = !ctx.legacy.elt_binary_as_string && args.iter().all(|a| a.data_type == DataType::Binary);
    let (letter, element) = if binary { ('b', DataType::Binary) } else { ('s', DataType::String) };
    let mut values = Vec::new();
    for (i, arg) in args.into_iter().enumerate() {
        values.push(want(ctx, name, i + 1, letter, arg)?.expr);
    }
    let array = Typed::new(crate::arrays::make_array(values, &element)?, DataType::array(element), false);
    let index = crate::operators::binary(ctx, firesteel_plan::expr::BinaryOp::Minus, index, literal::int(1))?;
    crate::arrays::subscript(ctx, array, index)
}

fn trim(ctx: &FunctionContext, name: &'static str, udf: &str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 2)?;
    if args.len() == 1 {
        args.push(literal::text(" "));
    } else if name != "btrim" {
        // `ltrim(characters, text)`
        args.swap(0, 1);
    }
    letters(ctx, name, udf, "ss", args, DataType::String)
}

fn length(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 1)?;
    let value = want(ctx, name, 0, 'x', args.remove(0))?;
    let udf = if value.data_type == DataType::Binary { "spark_octet_length" } else { "spark_length" };
    let nullable = value.nullable;
    Ok(Typed::new(call(udf, vec![value.expr])?, DataType::Integer, nullable))
}

fn substring_call(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 3)?;
    if args.len() == 2 {
        args.push(literal::int(i32::MAX));
    }
    if args[0].data_type == DataType::Binary {
        return letters(ctx, name, "spark_substring_bytes", "bii", args, DataType::Binary);
    }
    letters(ctx, name, "spark_substring", "sii", args, DataType::String)
}

/// (needle, haystack[, start])
fn located(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    if args.len() == 2 {
        args.push(literal::int(1));
    }
    letters(ctx, name, "spark_locate", "ssi", args, DataType::Integer)
}

fn concat(ctx: &FunctionContext, name: &'static str, args: Vec<Typed>) -> SparkResult<Typed> {
    if args.is_empty() {
        return Ok(literal::text(""));
    }
    if args.iter().any(|a| matches!(a.data_type, DataType::Array { .. })) {
        return crate::arrays::concat(ctx, name, args);
    }
    if !ctx.legacy.concat_binary_as_string && args.iter().all(|a| a.data_type == DataType::Binary) {
        let nullable = args.iter().any(|a| a.nullable);
        let expr = call("spark_concat_bytes", args.into_iter().map(|a| a.expr).collect())?;
        return Ok(Typed::new(expr, DataType::Binary, nullable));
    }
    let mut exprs = Vec::new();
    let mut nullable = false;
    for (i, arg) in args.into_iter().enumerate() {
        if matches!(arg.data_type, DataType::Map { .. } | DataType::Struct(_)) {
            return Err(errors::unexpected_input(name, i, "(\"STRING\" or \"BINARY\" or \"ARRAY\")", &arg));
        }
        let arg = coercion::implicit(ctx, arg, &DataType::String)?;
        nullable |= arg.nullable;
        exprs.push(arg.expr);
    }
    Ok(Typed::new(call("spark_concat", exprs)?, DataType::String, nullable))
}
