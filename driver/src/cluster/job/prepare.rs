//! What a plan needs before it is cut: its scalar subqueries are evaluated, each as a query of its own.

use std::sync::Arc;

use datafusion::{
    common::{DataFusionError, ScalarValue},
    physical_plan::ExecutionPlan,
};
use firesteel_engine::{
    EngineSession,
    error::{from_datafusion, to_datafusion},
    stage,
};
use firesteel_plan::{SparkError, SparkResult};
use futures::StreamExt;

use super::submit::submit;
use crate::cluster::core::Core;

/// The plan with the values of its scalar subqueries in their place.
pub async fn prepared(
    core: &Arc<Core>,
    engine: &EngineSession,
    plan: Arc<dyn ExecutionPlan>,
) -> SparkResult<Arc<dyn ExecutionPlan>> {
    let (core, engine) = (core.clone(), engine.clone());
    let mut evaluate = move |plan: Arc<dyn ExecutionPlan>| {
        let (core, engine) = (core.clone(), engine.clone());
        async move { scalar(core, engine, plan).await }
    };
    stage::inline_scalar_subqueries(plan, &mut evaluate).await.map_err(|e| from_datafusion(&e))
}

/// The value of a scalar subquery.
async fn scalar(
    core: Arc<Core>,
    engine: EngineSession,
    plan: Arc<dyn ExecutionPlan>,
) -> Result<ScalarValue, DataFusionError> {
    let data_type = plan.schema().field(0).data_type().clone();
    let mut batches = submit(&core, &engine, plan).await.map_err(to_datafusion)?.batches();
    let mut value = None;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(to_datafusion)?;
        if batch.num_rows() == 0 {
            continue;
        }
        if value.is_some() || batch.num_rows() > 1 {
            return Err(to_datafusion(SparkError::new(
                "SCALAR_SUBQUERY_TOO_MANY_ROWS",
                "21000",
                "More than one row returned by a subquery used as an expression.".to_owned(),
            )));
        }
        value = Some(ScalarValue::try_from_array(batch.column(0), 0)?);
    }
    match value {
        Some(value) => Ok(value),
        None => ScalarValue::try_from(&data_type),
    }
}
