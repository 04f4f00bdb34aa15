//! Which batches of a block a filter may find rows in.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, UInt64Array},
    datatypes::SchemaRef,
};
use datafusion::{
    common::{Column, Result, ScalarValue, pruning::PruningStatistics},
    physical_expr::PhysicalExpr,
    physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder},
};

use super::batch::{StoredBatch, StoredBlock};

/// One flag a batch of `block`: false where `predicate` can be true for no row of it.
pub fn keep(block: &StoredBlock, predicate: Option<&Arc<dyn PhysicalExpr>>) -> Vec<bool> {
    let all = || vec![true; block.batches.len()];
    let Some(predicate) = predicate else { return all() };
    let pruned = build(predicate, &block.schema)
        .and_then(|predicate| predicate.prune(&Batches { schema: &block.schema, batches: &block.batches }));
    match pruned {
        Ok(keep) => keep,
        Err(error) => {
            // A filter that cannot be pruned by is still a filter.
            tracing::debug!(block = %block.id, %error, "batches are not pruned");
            all()
        }
    }
}

struct Batches<'a> {
    schema: &'a SchemaRef,
    batches: &'a [StoredBatch],
}

impl Batches<'_> {
    fn values(
        &self,
        column: &Column,
        value: impl Fn(&super::column::ColumnBounds) -> Option<&ScalarValue>,
    ) -> Option<ArrayRef> {
        let index = self.schema.index_of(&column.name).ok()?;
        let data_type = self.schema.field(index).data_type();
        let null = ScalarValue::try_from(data_type).ok()?;
        let values = self.batches.iter().map(|batch| {
            let bounds = batch.statistics.0.get(index);
            bounds.and_then(&value).cloned().unwrap_or_else(|| null.clone())
        });
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for Batches<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |bounds| bounds.min.as_ref())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |bounds| bounds.max.as_ref())
    }

    fn num_containers(&self) -> usize {
        self.batches.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let index = self.schema.index_of(&column.name).ok()?;
        let counts = self.batches.iter().map(|b| b.statistics.0.get(index).map(|c| c.nulls as u64));
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.batches.iter().map(|b| Some(b.rows as u64)).collect::<UInt64Array>()))
    }

    fn contained(&self, _: &Column, _: &std::collections::HashSet<ScalarValue>) -> Option<arrow::array::BooleanArray> {
        None
    }
}

/// Checked here so that a plan does not carry what nothing can use.
pub fn useful(predicate: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Result<bool> {
    Ok(!build(predicate, schema)?.always_true())
}

fn build(predicate: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Result<PruningPredicate> {
    PruningPredicateBuilder::new().with_file_schema(schema.clone()).try_build(predicate.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{Float64Array, Int64Array, RecordBatch, StringArray},
        datatypes::{DataType, Field, Schema},
    };
    use datafusion::{
        common::DFSchema,
        logical_expr::{Expr, col, lit},
        prelude::SessionContext,
    };

    use super::*;
    use crate::cache::{BlockId, StorageLevel, batch::BatchData, column::BatchStatistics};

    type Columns = (Vec<Option<i64>>, Vec<f64>, Vec<&'static str>);

    /// A block of one batch an element.
    fn block(batches: &[Columns]) -> StoredBlock {
        let schema = Arc::new(Schema::new(vec![
            Field::new("i", DataType::Int64, true),
            Field::new("f", DataType::Float64, true),
            Field::new("s", DataType::Utf8, true),
        ]));
        let stored = batches.iter().map(|(i, f, s)| {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from(i.clone())),
                Arc::new(Float64Array::from(f.clone())),
                Arc::new(StringArray::from(s.clone())),
            ];
            let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
            let statistics = Arc::new(BatchStatistics::of(&batch).unwrap());
            StoredBatch { rows: batch.num_rows(), statistics, data: BatchData::Arrow(batch), grant: None }
        });
        StoredBlock {
            id: BlockId { relation: 1, partition: 0 },
            level: StorageLevel::MEMORY_AND_DISK,
            batches: stored.collect(),
            schema: schema.clone(),
            memory_bytes: 0,
            disk_bytes: 0,
            file: None,
        }
    }

    #[test]
    fn batches_that_cannot_match_are_left_out() {
        let block = block(&[
            (vec![Some(1), Some(5)], vec![0.0, 2.0], vec!["a", "c"]),
            (vec![Some(6), None], vec![-1.0, f64::NAN], vec!["d", "f"]),
            (vec![None, None], vec![-0.0, -0.0], vec!["g", "z"]),
        ]);
        let state = SessionContext::new().state();
        let schema = DFSchema::try_from(block.schema.clone()).unwrap();
        let kept = |filter: Expr| keep(&block, Some(&state.create_physical_expr(filter, &schema).unwrap()));
        assert_eq!(kept(col("i").eq(lit(5i64))), [true, false, false]);
        assert_eq!(kept(col("i").gt(lit(5i64))), [false, true, false]);
        assert_eq!(kept(col("i").is_null()), [false, true, true]);
        assert_eq!(kept(col("s").between(lit("d"), lit("e"))), [false, true, false]);
        // NaN is above all, and zeros are equal.
        assert_eq!(kept(col("f").gt(lit(100.0))), [true, true, true]);
        assert_eq!(kept(col("f").lt(lit(-0.5))), [false, true, false]);
        assert!(kept(col("f").eq(lit(0.0)))[2]);
        assert_eq!(kept(col("i").eq(col("i"))), [true, true, true]);
    }
}
