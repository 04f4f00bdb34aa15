//! Where a plan is cut.

use std::sync::Arc;

use datafusion::{common::Result, physical_plan::ExecutionPlan};
use firesteel_protocol::ShuffleId;

use super::StageGraph;

/// Cuts `plan`, whose scalar subqueries are inlined ([`super::inline_scalar_subqueries`]), at its exchanges. Stage `i`
/// of the graph writes the shuffle that `shuffle_id(i)` names; ids must not repeat within an application attempt.
pub fn cut(plan: Arc<dyn ExecutionPlan>, shuffle_id: &mut dyn FnMut(usize) -> ShuffleId) -> Result<StageGraph> {
    let _ = (plan, shuffle_id);
    datafusion::common::not_impl_err!("cutting plans")
}
