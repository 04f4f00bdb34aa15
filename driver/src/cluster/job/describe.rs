//! The stages of a plan as text, for EXPLAIN.

use std::sync::Arc;

use datafusion::physical_plan::{ExecutionPlan, displayable};
use firesteel_engine::{error::from_datafusion, stage};
use firesteel_plan::SparkResult;

use super::stages::shuffle_id;

pub fn stages_of(plan: &Arc<dyn ExecutionPlan>) -> SparkResult<String> {
    let graph = stage::cut(plan.clone(), &mut |i| shuffle_id(0, i)).map_err(|e| from_datafusion(&e))?;
    let mut text = String::new();
    for stage in graph.stages.iter().rev() {
        let inputs: Vec<String> = stage.inputs.iter().map(|i| i.stage.to_string()).collect();
        let reads = if inputs.is_empty() { String::new() } else { format!(", reads stages {}", inputs.join(", ")) };
        text.push_str(&format!("Stage {} ({} tasks{reads}; output {}):\n", stage.index, stage.num_tasks, stage.output));
        for line in displayable(stage.plan.as_ref()).indent(false).to_string().lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    Ok(text)
}
