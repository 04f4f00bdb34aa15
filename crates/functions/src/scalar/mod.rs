//! Conditions, nulls, casts by name, and what the session knows.

mod modules;

use std::sync::Arc;

use arrow::{array::Array, datatypes::DataType as Arrow};
use datafusion::{error::Result as DfResult, logical_expr::ScalarUDF};
use firesteel_plan::{DataType, SparkError, SparkResult, expr::BinaryOp};

use crate::{
    FunctionContext, Typed, coercion, errors,
    errors::external,
    literal,
    operators::{binary, canonical, case_when, is_null},
    registry::{FunctionDef, check_count, want},
    udf::{Args, Ret, Udf, call, strings},
};

pub(crate) fn udfs() -> Vec<Udf> {
    vec![
        Udf::volatile("spark_raise_error", Ret::Fixed(Arrow::Null), |args| {
            let texts = args.text(0)?;
            match (0..args.rows).next() {
                None => Ok(arrow::array::new_null_array(&Arrow::Null, 0)),
                Some(row) => Err(external(raised(texts.get(row).unwrap_or("null")))),
            }
        }),
        Udf::volatile("spark_assert_true", Ret::Fixed(Arrow::Null), |args| {
            let conditions = args.boolean(0)?;
            let texts = args.text(1)?;
            for row in 0..args.rows {
                if conditions.is_null(row) || !conditions.value(row) {
                    return Err(external(raised(texts.get(row).unwrap_or("null"))));
                }
            }
            Ok(arrow::array::new_null_array(&Arrow::Null, args.rows))
        }),
        Udf::volatile("spark_uuid", Ret::Fixed(Arrow::Utf8), uuid),
    ]
}

fn raised(message: &str) -> SparkError {
    SparkError::new("USER_RAISED_EXCEPTION", "P0001", message).param("errorMessage", message)
}

fn uuid(args: &Args<'_>) -> DfResult<arrow::array::ArrayRef> {
    use std::{
        fmt::Write,
        hash::{BuildHasher, Hasher},
    };
    let random = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    strings(args, args.rows * 36, |row, out| {
        let mut bytes = [0u8; 16];
        bytes[..8].copy_from_slice(&random().to_be_bytes());
        bytes[8..].copy_from_slice(&(random() ^ row as u64).to_be_bytes());
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        for (i, b) in bytes.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                out.push('-');
            }
            let _ = write!(out, "{b:02x}");
        }
        Ok(true)
    })
}

/// Functions of DataFusion that expressions made here call.
pub(crate) fn borrowed_udfs() -> Vec<Arc<ScalarUDF>> {
    let mut all = crate::text::borrowed();
    all.extend([
        datafusion::functions::core::greatest(),
        datafusion::functions::core::least(),
        datafusion::functions::core::named_struct(),
        datafusion::functions::core::get_field(),
        datafusion::functions_nested::make_array::make_array_udf(),
    ]);
    all
}

pub(crate) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    let mut all = vec![
        F::resolve("if", |ctx, name, mut args| {
            check_count(name, args.len(), 3, 3)?;
            let otherwise = args.remove(2);
            let then = args.remove(1);
            let condition = crate::operators::boolean_operand(ctx, name, args.remove(0))?;
            case_when(ctx, vec![(condition, then)], Some(otherwise))
        }),
        F::resolve("coalesce", |c, n, a| {
            check_count(n, a.len(), 1, usize::MAX)?;
            coalesce(c, n, a)
        }),
        F::resolve("nvl", two_coalesce),
        F::resolve("ifnull", two_coalesce),
        F::resolve("nvl2", |ctx, name, mut args| {
            check_count(name, args.len(), 3, 3)?;
            let otherwise = args.remove(2);
            let then = args.remove(1);
            case_when(ctx, vec![(is_null(args.remove(0), true), then)], Some(otherwise))
        }),
        F::resolve("nullif", |ctx, name, mut args| {
            check_count(name, args.len(), 2, 2)?;
            let other = args.remove(1);
            let value = args.remove(0);
            let same = binary(ctx, BinaryOp::Equal, value.clone(), other)?;
            let null = literal::null(&value.data_type)?;
            case_when(ctx, vec![(same, null)], Some(value))
        }),
        F::resolve("zeroifnull", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            args.push(literal::int(0));
            coalesce(ctx, name, args)
        }),
        F::resolve("nullifzero", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            let value = args.remove(0);
            let same = binary(ctx, BinaryOp::Equal, value.clone(), literal::int(0))?;
            let null = literal::null(&value.data_type)?;
            case_when(ctx, vec![(same, null)], Some(value))
        }),
        F::resolve("greatest", |c, n, a| extreme(c, n, a, datafusion::functions::core::greatest())),
        F::resolve("least", |c, n, a| extreme(c, n, a, datafusion::functions::core::least())),
        F::resolve("isnull", |_, n, mut a| {
            check_count(n, a.len(), 1, 1)?;
            Ok(is_null(a.remove(0), false))
        }),
        F::resolve("isnotnull", |_, n, mut a| {
            check_count(n, a.len(), 1, 1)?;
            Ok(is_null(a.remove(0), true))
        }),
        F::resolve("equal_null", |ctx, name, mut args| {
            check_count(name, args.len(), 2, 2)?;
            let right = args.remove(1);
            binary(ctx, BinaryOp::NullSafeEqual, args.remove(0), right)
        }),
        F::resolve("typeof", |_, n, a| {
            check_count(n, a.len(), 1, 1)?;
            Ok(literal::text(&a[0].data_type.to_string()))
        }),
        F::resolve("raise_error", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            let text = want(ctx, name, 0, 's', args.remove(0))?;
            Ok(Typed::new(call("spark_raise_error", vec![text.expr])?, DataType::Null, true))
        }),
        F::resolve("assert_true", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 2)?;
            let text = if args.len() > 1 {
                want(ctx, name, 1, 's', args.remove(1))?
            } else {
                literal::text(&format!("'{}' is not true!", args[0].sql()))
            };
            let condition = want(ctx, name, 0, 'B', args.remove(0))?;
            Ok(Typed::new(call("spark_assert_true", vec![condition.expr, text.expr])?, DataType::Null, true))
        }),
        F::resolve("uuid", |_, n, a| {
            check_count(n, a.len(), 0, 0)?;
            Ok(Typed::new(call("spark_uuid", Vec::new())?, DataType::String, false))
        }),
        F::resolve("version", |_, n, a| {
            check_count(n, a.len(), 0, 0)?;
            Ok(literal::text(concat!("4.2.0 firesteel-", env!("CARGO_PKG_VERSION"))))
        }),
        F::resolve("collation", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            want(ctx, name, 0, 's', args.remove(0))?;
            Ok(literal::text("SYSTEM.BUILTIN.UTF8_BINARY"))
        }),
        F::resolve("current_path", |c, n, a| {
            session(n, a, &format!("system.builtin,system.session,{}.{}", c.current_catalog, c.current_database))
        }),
        F::resolve("current_catalog", |c, n, a| session(n, a, &c.current_catalog)),
        F::resolve("current_database", |c, n, a| session(n, a, &c.current_database)),
        F::resolve("current_schema", |c, n, a| session(n, a, &c.current_database)),
        F::resolve("current_user", |c, n, a| session(n, a, &c.current_user)),
        F::resolve("user", |c, n, a| session(n, a, &c.current_user)),
        F::resolve("session_user", |c, n, a| session(n, a, &c.current_user)),
    ];
    all.extend(modules::functions());
    macro_rules! casts {
        ($($name:literal => $t:expr),* $(,)?) => {
            $(all.push(F::resolve($name, |ctx, name, mut args| {
                check_count(name, args.len(), 1, 1)?;
                crate::cast::cast(ctx, args.remove(0), &$t, ctx.mode())
            }));)*
        };
    }
    casts! {
        "boolean" => DataType::Boolean,
        "tinyint" => DataType::Byte,
        "smallint" => DataType::Short,
        "int" => DataType::Integer,
        "bigint" => DataType::Long,
        "float" => DataType::Float,
        "double" => DataType::Double,
        "decimal" => coercion::decimal(10, 0),
        "string" => DataType::String,
        "binary" => DataType::Binary,
        "date" => DataType::Date,
        "timestamp" => DataType::Timestamp,
        "time" => DataType::Time(6),
    }
    all
}

fn session(name: &'static str, args: Vec<Typed>, value: &str) -> SparkResult<Typed> {
    check_count(name, args.len(), 0, 0)?;
    Ok(literal::text(value))
}

fn two_coalesce(ctx: &FunctionContext, name: &'static str, args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 2)?;
    coalesce(ctx, name, args)
}

fn coalesce(ctx: &FunctionContext, name: &'static str, args: Vec<Typed>) -> SparkResult<Typed> {
    let (mut args, common) = coercion::unify(ctx, name, args)?;
    let nullable = args.iter().all(|a| a.nullable);
    let Some(last) = args.pop() else {
        return literal::null(&common);
    };
    if args.is_empty() {
        return Ok(last);
    }
    let branches = args.into_iter().map(|a| (is_null(a.clone(), true), a)).collect();
    let mut value = case_when(ctx, branches, Some(last))?;
    value.nullable = nullable;
    Ok(value)
}

/// Nulls are passed over.
fn extreme(ctx: &FunctionContext, name: &'static str, args: Vec<Typed>, udf: Arc<ScalarUDF>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, usize::MAX)?;
    let (args, common) = coercion::unify(ctx, name, args)?;
    if matches!(common, DataType::Map { .. } | DataType::Variant) {
        return Err(errors::datatype_mismatch(
            "INVALID_ORDERING_TYPE",
            name,
            format!("The `{name}` does not support ordering on type \"{}\".", errors::sql_type(&common)),
        ));
    }
    let nullable = args.iter().all(|a| a.nullable);
    let mut exprs = Vec::new();
    for arg in args {
        exprs.push(canonical(arg)?.expr);
    }
    Ok(Typed::new(udf.call(exprs), common, nullable))
}
