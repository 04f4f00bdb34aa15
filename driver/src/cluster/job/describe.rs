//! A plan as text, for EXPLAIN.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use firesteel_engine::{
    EngineSession,
    adaptive::{AdaptiveOptions, explain},
    error::from_datafusion,
    stage::{self, Stage},
};
use firesteel_plan::SparkResult;

use super::stages::shuffle_id;

/// The stages that `plan` would be cut into if nothing changed while it runs.
pub fn plan(engine: &EngineSession, plan: &Arc<dyn ExecutionPlan>) -> SparkResult<String> {
    let graph = stage::cut(plan.clone(), &mut |i| shuffle_id(0, i)).map_err(|e| from_datafusion(&e))?;
    let stages: Vec<&Stage> = graph.stages.iter().collect();
    let text = explain::stages(&stages);
    let adapts = AdaptiveOptions::of(&engine.conf(), engine.slots()).is_some();
    Ok(if adapts { explain::initial(&text) } else { text })
}
