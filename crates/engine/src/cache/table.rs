//! A cached relation as a table that plans scan.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{DFSchema, Result, Statistics, tree_node::Transformed, tree_node::TreeNode},
    datasource::TableType,
    logical_expr::{Expr, TableProviderFilterPushDown, utils::conjunction},
    physical_plan::ExecutionPlan,
};

use super::{CachedRelation, InMemoryTableScanExec, pruning};

#[derive(Debug)]
pub struct CachedTable {
    relation: Arc<CachedRelation>,
    /// `spark.sql.inMemoryColumnarStorage.partitionPruning`
    pruning: bool,
}

impl CachedTable {
    pub fn new(relation: Arc<CachedRelation>, pruning: bool) -> Self {
        Self { relation, pruning }
    }

    pub fn relation(&self) -> &Arc<CachedRelation> {
        &self.relation
    }
}

#[async_trait]
impl TableProvider for CachedTable {
    fn schema(&self) -> SchemaRef {
        self.relation.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    fn statistics(&self) -> Option<Statistics> {
        self.relation.estimated()
    }

    /// Filters leave batches out; rows are filtered above.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let inexact = |filter: &&Expr| {
            if self.pruning && !filter.is_volatile() {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        };
        Ok(filters.iter().map(inexact).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = &self.relation.schema;
        let predicate = match conjunction(filters.iter().cloned()) {
            Some(filter) => {
                let unqualified = filter.transform(|e| {
                    Ok(match e {
                        Expr::Column(c) => {
                            Transformed::yes(Expr::Column(datafusion::common::Column::new_unqualified(c.name)))
                        }
                        other => Transformed::no(other),
                    })
                })?;
                let df_schema = DFSchema::try_from(schema.clone())?;
                let predicate = state.create_physical_expr(unqualified.data, &df_schema)?;
                pruning::useful(&predicate, schema)?.then_some(predicate)
            }
            None => None,
        };
        Ok(Arc::new(InMemoryTableScanExec::new(self.relation.clone(), projection.cloned(), predicate)?))
    }
}
