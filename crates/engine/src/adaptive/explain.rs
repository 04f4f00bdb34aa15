//! An adaptive plan as text, as Spark shows one.

use std::sync::Arc;

use datafusion::physical_plan::{ExecutionPlan, displayable};

use crate::stage::Stage;

/// Stages, the last one first.
pub fn stages(stages: &[&Stage]) -> String {
    let mut text = String::new();
    for stage in stages.iter().rev() {
        let mut inputs: Vec<usize> = stage.inputs.iter().map(|input| input.stage).collect();
        inputs.sort_unstable();
        let inputs: Vec<String> = inputs.iter().map(ToString::to_string).collect();
        let reads = if inputs.is_empty() { String::new() } else { format!(", reads stages {}", inputs.join(", ")) };
        text.push_str(&format!("Stage {} ({} tasks{reads}; output {}):\n", stage.index, stage.num_tasks, stage.output));
        text.push_str(&indented(&plan(&stage.plan)));
    }
    text
}

pub fn plan(plan: &Arc<dyn ExecutionPlan>) -> String {
    displayable(plan.as_ref()).indent(false).to_string()
}

/// A plan that has not begun.
pub fn initial(text: &str) -> String {
    format!("AdaptiveSparkPlan isFinalPlan=false\n{}", indented(text))
}

/// A plan that has run, beside what it was at first.
pub fn both(last: &str, initial: &str) -> String {
    let (last, initial) = (indented(last), indented(initial));
    format!("AdaptiveSparkPlan isFinalPlan=true\n+- == Final Plan ==\n{last}+- == Initial Plan ==\n{initial}")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
