//! Our own optimizer rules, which run before DataFusion's.

use std::sync::Arc;

use datafusion::optimizer::OptimizerRule;

/// The rules in the order in which they run.
pub fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    Vec::new()
}
