//! Which columns of a Parquet file are read as a table's: DataFusion casts more than Spark reads.

use std::sync::Arc;

use arrow::datatypes::{DataType as ArrowType, SchemaRef};
use datafusion::{
    common::Result,
    physical_expr::{PhysicalExpr, utils::collect_columns},
    physical_expr_adapter::{DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory},
};
use firesteel_functions::types;
use firesteel_plan::SparkError;

use crate::error::to_datafusion;

pub(crate) const COLUMN_MISMATCH: &str = "FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH";

/// A column of a file has a type that the table's cannot be read from. The file is named where the error is told.
pub(crate) fn column_mismatch(column: &str, expected: &str, actual: &str) -> SparkError {
    SparkError::new(
        COLUMN_MISMATCH,
        "KD001",
        format!(
            "Data type mismatches when reading Parquet column [{column}]. Expected Spark type {expected}, actual Parquet type \
             {actual}."
        ),
    )
    .param("column", format!("[{column}]"))
    .param("expectedType", expected)
    .param("actualType", actual)
}

/// DataFusion's words for it, as it has them where no cast at all is there.
pub(crate) fn mismatch_told(message: &str) -> Option<SparkError> {
    let (column, rest) = message.strip_prefix("Cannot cast column '")?.split_once("' from '")?;
    let (file, rest) = rest.split_once("' (physical data type) to '")?;
    let (table, _) = rest.split_once("' (logical data type)")?;
    let named = |arrow: &str| arrow.parse::<ArrowType>().map_or_else(|_| arrow.to_owned(), |arrow| spark_name(&arrow));
    Some(column_mismatch(column, &named(table), &named(file)))
}

fn spark_name(arrow: &ArrowType) -> String {
    types::from_arrow(arrow).map_or_else(|_| arrow.to_string(), |t| t.to_string())
}

/// DataFusion's adapter, after a look at the types.
#[derive(Debug)]
pub(crate) struct SparkColumns;

impl PhysicalExprAdapterFactory for SparkColumns {
    fn create(&self, table: SchemaRef, file: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let casts = DefaultPhysicalExprAdapterFactory.create(table.clone(), file.clone())?;
        Ok(Arc::new(Checked { table, file, casts }))
    }
}

#[derive(Debug)]
struct Checked {
    table: SchemaRef,
    file: SchemaRef,
    casts: Arc<dyn PhysicalExprAdapter>,
}

impl PhysicalExprAdapter for Checked {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        for column in collect_columns(&expr) {
            let name = column.name();
            // Columns of partitions are in no file, and a file need not have all others.
            if let (Ok(table), Ok(file)) = (self.table.field_with_name(name), self.file.field_with_name(name))
                && clashes(file.data_type(), table.data_type())
            {
                let (expected, actual) = (spark_name(table.data_type()), spark_name(file.data_type()));
                return Err(to_datafusion(column_mismatch(name, &expected, &actual)));
            }
        }
        self.casts.rewrite(expr)
    }
}

/// Whether Spark refuses to read a file's column as the table's although there is a cast.
fn clashes(file: &ArrowType, table: &ArrowType) -> bool {
    use ArrowType::{
        Binary, BinaryView, Boolean, Dictionary, FixedSizeBinary, Float32, Float64, Int8, Int16, Int32, Int64,
        LargeBinary, LargeUtf8, Null, Utf8, Utf8View,
    };
    let is_bytes = |t: &ArrowType| {
        matches!(t, Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView | FixedSizeBinary(_))
    };
    match (file, table) {
        (Dictionary(_, values), table) => clashes(values, table),
        (Null, _) | (_, Null) => false,
        (file, table) if is_bytes(file) || is_bytes(table) => is_bytes(file) != is_bytes(table),
        (Boolean, table) => *table != Boolean,
        (_, Boolean) => true,
        // Numbers of four bytes are read as those of one and two, as they are stored; all others only grow.
        (Int64, Int8 | Int16 | Int32 | Float32 | Float64) => true,
        (Int8 | Int16 | Int32, Float32) => true,
        (Float32 | Float64, Int8 | Int16 | Int32 | Int64) => true,
        (Float64, Float32) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datafusions_words_are_known() {
        let told =
            "Cannot cast column 'a b' from 'List(Int32)' (physical data type) to 'Int8' (logical data type): why";
        let error = mismatch_told(told).unwrap();
        assert_eq!(error.class(), COLUMN_MISMATCH);
        assert_eq!(error.parameters()["column"], "[a b]");
        assert_eq!(error.parameters()["expectedType"], "tinyint");
        assert!(mismatch_told("Cannot cast").is_none());
    }

    #[test]
    fn numbers_grow_and_texts_stay_texts() {
        use ArrowType as T;
        for (file, table) in [
            (T::Int32, T::Int64),
            (T::Int32, T::Float64),
            (T::Int32, T::Int8),
            (T::Float32, T::Float64),
            (T::Binary, T::Utf8View),
            (T::Null, T::Int32),
        ] {
            assert!(!clashes(&file, &table), "{file} as {table}");
        }
        for (file, table) in [
            (T::Int64, T::Int32),
            (T::Utf8View, T::Int32),
            (T::Int32, T::Utf8View),
            (T::Boolean, T::Int32),
            (T::Int32, T::Boolean),
            (T::Float64, T::Float32),
            (T::Date32, T::Utf8View),
        ] {
            assert!(clashes(&file, &table), "{file} as {table}");
        }
    }
}
