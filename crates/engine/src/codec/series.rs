//! Generated rows travel with their column.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    physical_plan::{ExecutionPlan, memory::LazyMemoryExec, projection::ProjectionExec},
};

/// `plan` with the projection of generated rows to no column at all (`SELECT count(*) FROM range(10)`) written as an
/// operator of its own: DataFusion's encoding of the generator has no place for it.
pub(super) fn with_columns(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let Some(series) = node.downcast_ref::<LazyMemoryExec>().filter(|s| s.schema().fields().is_empty()) else {
            return Ok(Transformed::no(node));
        };
        // What the column is called does not matter to anybody above.
        let schema = Arc::new(Schema::new(vec![Field::new("value", DataType::Int64, false)]));
        let whole = LazyMemoryExec::try_new(schema, series.generators().clone())?;
        let none: Vec<(Arc<dyn datafusion::physical_expr::PhysicalExpr>, String)> = Vec::new();
        Ok(Transformed::yes(Arc::new(ProjectionExec::try_new(none, Arc::new(whole))?) as Arc<dyn ExecutionPlan>))
    })
    .data()
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::{
        catalog::{TableFunctionArgs, TableFunctionImpl},
        functions_table::generate_series::RangeFunc,
        logical_expr::lit,
        physical_plan::{collect, displayable},
        prelude::SessionContext,
    };

    #[tokio::test]
    async fn rows_without_columns_are_counted() {
        let ctx = SessionContext::new();
        let call = [lit(0i64), lit(10i64), lit(1i64)];
        let table = RangeFunc {}.call_with_args(TableFunctionArgs::new(&call, &ctx.state())).unwrap();
        for (columns, operators) in [(vec![], 2), (vec![0], 1)] {
            let plan = table.scan(&ctx.state(), Some(&columns), &[], None).await.unwrap();
            let plan = with_columns(plan).unwrap();
            assert_eq!(displayable(plan.as_ref()).indent(false).to_string().lines().count(), operators);
            let batches = collect(plan, ctx.task_ctx()).await.unwrap();
            assert_eq!(batches.iter().map(|b| b.num_rows()).sum::<usize>(), 10);
            assert!(batches.iter().all(|b| b.num_columns() == columns.len()));
        }
    }
}
