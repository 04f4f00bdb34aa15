//! DataFusion's errors to Spark's.

use std::error::Error;

use datafusion::error::DataFusionError;
use firesteel_plan::SparkError;

/// Wraps a Spark error so that it passes through DataFusion unchanged.
pub fn to_datafusion(error: SparkError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The Spark error inside `error` if there is one, however deep, else the closest class of Spark's.
pub fn from_datafusion(error: &DataFusionError) -> SparkError {
    if let Some(inner) = find::<SparkError>(error) {
        return inner.clone();
    }
    if let Some(inner) = find::<object_store::Error>(error) {
        return crate::storage::error::from_object_store(inner, "");
    }
    if let Some(inner) = find::<std::io::Error>(error)
        && inner.kind() == std::io::ErrorKind::StorageFull
    {
        return SparkError::new(
            "TASK_WRITE_FAILED",
            "58030",
            format!("The local disk is full: {inner}. Give spark.local.dir a larger volume."),
        );
    }
    let root = error.find_root();
    match root {
        DataFusionError::ResourcesExhausted(message) => SparkError::new(
            "UNABLE_TO_ACQUIRE_MEMORY",
            "53200",
            format!("Unable to acquire memory: {message}. Raise spark.executor.memory or spark.sql.shuffle.partitions."),
        ),
        DataFusionError::ParquetError(parquet) => unreadable(parquet),
        DataFusionError::NotImplemented(what) => SparkError::unsupported(what),
        DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
            arrow::error::ArrowError::DivideByZero => SparkError::new(
                "DIVIDE_BY_ZERO",
                "22012",
                "Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead. If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.",
            )
            .param("config", "\"spark.sql.ansi.enabled\""),
            arrow::error::ArrowError::ArithmeticOverflow(message) => {
                SparkError::new("ARITHMETIC_OVERFLOW", "22003", format!("{message}."))
            }
            arrow::error::ArrowError::ParquetError(message) => unreadable(message),
            other => SparkError::internal(other),
        },
        DataFusionError::Execution(message) if message == "Scalar subquery returned more than one row" => {
            SparkError::new(
                "SCALAR_SUBQUERY_TOO_MANY_ROWS",
                "21000",
                "More than one row returned by a subquery used as an expression.",
            )
        }
        DataFusionError::Execution(message) => {
            crate::source::mismatch_told(message).unwrap_or_else(|| SparkError::internal(root))
        }
        DataFusionError::Internal(message) => SparkError::internal(message),
        other => SparkError::internal(other),
    }
}

/// A damaged file. Which one it is, the reader does not tell: see [`crate::source::naming_file`].
fn unreadable(why: impl std::fmt::Display) -> SparkError {
    SparkError::new(crate::source::UNREADABLE, "KD001", format!("Encountered error while reading file: {why}."))
}

/// The first error of type `T` in the chain of `error`'s sources, through DataFusion's shared and external wrappers.
pub fn find<T: Error + 'static>(error: &DataFusionError) -> Option<&T> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        if let Some(inner) = error.downcast_ref::<DataFusionError>() {
            match inner {
                DataFusionError::External(boxed) => {
                    next = Some(boxed.as_ref());
                    continue;
                }
                DataFusionError::Shared(shared) => {
                    next = Some(shared.as_ref());
                    continue;
                }
                DataFusionError::ArrowError(arrow, _) => {
                    if let arrow::error::ArrowError::ExternalError(boxed) = arrow.as_ref() {
                        next = Some(boxed.as_ref());
                        continue;
                    }
                }
                _ => {}
            }
        }
        next = error.source();
    }
    None
}
