//! Vectors: arrays of FLOAT. Sums are made as Spark makes them, eight elements at a time, so that they are equal to the last
//! bit.

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray},
    datatypes::{DataType as Arrow, Float32Type},
};
use datafusion::{error::Result as DfResult, scalar::ScalarValue};
use firesteel_plan::{DataType, SparkError, SparkResult};

use super::{access::list, array_of, build::lists};
use crate::{
    Typed, errors,
    errors::external,
    literal,
    registry::{FunctionDef, check_count},
    udf::{Args, Primitive, Ret, Udf, call, numbers},
};

pub(super) fn udfs() -> Vec<Udf> {
    let float = || Ret::Fixed(Arrow::Float32);
    vec![
        Udf::new("spark_vector_inner_product_ansi", float(), |a| {
            pairs(a, "vector_inner_product", |l, r| Some(dot(l, r)))
        }),
        Udf::new("spark_vector_l2_distance_ansi", float(), |a| {
            pairs(a, "vector_l2_distance", |l, r| {
                let squares = by_eight(l.len(), |i| {
                    let d = l[i] - r[i];
                    d * d
                });
                Some(f64::from(squares).sqrt() as f32)
            })
        }),
        Udf::new("spark_vector_cosine_similarity_ansi", float(), |a| {
            pairs(a, "vector_cosine_similarity", |l, r| {
                let size = f64::from(dot(l, l) * dot(r, r)).sqrt() as f32;
                (size != 0.0).then(|| dot(l, r) / size)
            })
        }),
        Udf::new("spark_vector_norm_ansi", float(), |args| {
            let (vectors, degree) = (Vectors::new(args, 0)?, args.primitive::<Float32Type>(1)?);
            numbers::<Float32Type>(args, |row| match (vectors.get(row), degree.get(row)) {
                (Some(v), Some(d)) => norm(v, d, "vector_norm").map(Some),
                _ => Ok(None),
            })
        }),
        Udf::new("spark_vector_normalize_ansi", Ret::Arg(0), normalize),
    ]
}

/// A column of vectors; one with a null inside is null.
struct Vectors {
    list: ListArray,
    values: Primitive<Float32Type>,
}

impl Vectors {
    fn new(args: &Args<'_>, index: usize) -> DfResult<Self> {
        let list = list(&args.array(index)?)?;
        let values = arrow::compute::cast(list.values(), &Arrow::Float32)?;
        Ok(Self { list, values: Primitive { array: values.as_primitive::<Float32Type>().clone(), constant: false } })
    }

    fn get(&self, row: usize) -> Option<&[f32]> {
        if self.list.is_null(row) {
            return None;
        }
        let (start, end) = (self.list.value_offsets()[row] as usize, self.list.value_offsets()[row + 1] as usize);
        if self.values.array.null_count() > 0 && (start..end).any(|i| self.values.array.is_null(i)) {
            return None;
        }
        self.values.array.values().get(start..end)
    }
}

fn by_eight(length: usize, term: impl Fn(usize) -> f32) -> f32 {
    let whole = length / 8 * 8;
    let mut sum = 0.0f32;
    for start in (0..whole).step_by(8) {
        let mut eight = term(start);
        for i in start + 1..start + 8 {
            eight += term(i);
        }
        sum += eight;
    }
    for i in whole..length {
        sum += term(i);
    }
    sum
}

fn dot(l: &[f32], r: &[f32]) -> f32 {
    by_eight(l.len().min(r.len()), |i| l[i] * r[i])
}

fn pairs(args: &Args<'_>, function: &'static str, f: impl Fn(&[f32], &[f32]) -> Option<f32>) -> DfResult<ArrayRef> {
    let (left, right) = (Vectors::new(args, 0)?, Vectors::new(args, 1)?);
    numbers::<Float32Type>(args, |row| {
        if left.list.is_null(row) || right.list.is_null(row) {
            return Ok(None);
        }
        let (a, b) = (left.list.value_length(row), right.list.value_length(row));
        if a != b {
            let error = SparkError::new(
                "VECTOR_DIMENSION_MISMATCH",
                "22000",
                format!("Vectors passed to `{function}` must have the same dimension, but got {a} and {b}."),
            );
            return Err(external(
                error
                    .param("functionName", format!("`{function}`"))
                    .param("leftDim", a.to_string())
                    .param("rightDim", b.to_string()),
            ));
        }
        Ok(left.get(row).zip(right.get(row)).and_then(|(l, r)| f(l, r)))
    })
}

fn norm(v: &[f32], degree: f32, function: &str) -> DfResult<f32> {
    if degree == 2.0 {
        return Ok(f64::from(dot(v, v)).sqrt() as f32);
    }
    if degree == 1.0 {
        return Ok(by_eight(v.len(), |i| v[i].abs()));
    }
    if degree == f32::INFINITY {
        return Ok(v.iter().fold(0.0, |most, x| if x.abs() > most { x.abs() } else { most }));
    }
    let mut shown = String::new();
    crate::cast::write_double(&mut shown, f64::from(degree));
    Err(external(
        SparkError::new(
            "INVALID_VECTOR_NORM_DEGREE",
            "22023",
            format!("The degree {shown} of `{function}` is invalid: it must be 1.0, 2.0 or infinity."),
        )
        .param("functionName", format!("`{function}`"))
        .param("degree", shown),
    ))
}

fn normalize(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (vectors, degree) = (Vectors::new(args, 0)?, args.primitive::<Float32Type>(1)?);
    let (mut out, mut lengths, mut valid) = (Vec::new(), Vec::with_capacity(args.rows), Vec::with_capacity(args.rows));
    for row in 0..args.rows {
        let (Some(v), Some(d)) = (vectors.get(row), degree.get(row)) else {
            lengths.push(0);
            valid.push(false);
            continue;
        };
        let size = norm(v, d, "vector_normalize")?;
        if size == 0.0 && !v.is_empty() {
            lengths.push(0);
            valid.push(false);
            continue;
        }
        out.extend(v.iter().map(|x| x / size));
        lengths.push(v.len());
        valid.push(true);
    }
    let indices = (0..out.len() as u32).collect();
    let values: ArrayRef = std::sync::Arc::new(arrow::array::Float32Array::from(out));
    lists(args, &values, indices, lengths, valid)
}

/// Vectors are not cast: Spark asks for ARRAY<FLOAT>.
fn vector(name: &str, index: usize, value: &Typed) -> SparkResult<()> {
    match &value.data_type {
        DataType::Array { element, .. } if **element == DataType::Float => Ok(()),
        _ => Err(errors::unexpected_input(name, index, "ARRAY<FLOAT>", value)),
    }
}

fn pair_call(name: &'static str, udf: &str, args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 2)?;
    for (i, arg) in args.iter().enumerate() {
        vector(name, i, arg)?;
    }
    Ok(Typed::new(call(udf, args.into_iter().map(|a| a.expr).collect())?, DataType::Float, true))
}

fn norm_call(name: &'static str, udf: &str, mut args: Vec<Typed>, to: DataType) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 2)?;
    if args.len() == 1 {
        args.push(literal::of(ScalarValue::Float32(Some(2.0)), DataType::Float));
    }
    vector(name, 0, &args[0])?;
    match args[1].data_type {
        DataType::Float => {}
        DataType::Null => args[1] = literal::null(&DataType::Float)?,
        _ => return Err(errors::unexpected_input(name, 1, "FLOAT", &args[1])),
    }
    Ok(Typed::new(call(udf, args.into_iter().map(|a| a.expr).collect())?, to, true))
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("vector_inner_product", |_, n, a| pair_call(n, "spark_vector_inner_product_ansi", a)),
        F::resolve("vector_l2_distance", |_, n, a| pair_call(n, "spark_vector_l2_distance_ansi", a)),
        F::resolve("vector_cosine_similarity", |_, n, a| pair_call(n, "spark_vector_cosine_similarity_ansi", a)),
        F::resolve("vector_norm", |_, n, a| norm_call(n, "spark_vector_norm_ansi", a, DataType::Float)),
        F::resolve("vector_normalize", |_, n, a| {
            norm_call(n, "spark_vector_normalize_ansi", a, array_of(DataType::Float))
        }),
    ]
}
