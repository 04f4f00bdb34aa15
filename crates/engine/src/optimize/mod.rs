//! Rules of ours beside DataFusion's: those that need to know how many rows there are.

mod build_side;
mod cross_join;
mod estimate;
pub(crate) mod grouping_sets;
mod guards;
mod join_order;
mod join_strategy;
mod restore_order;
mod selectivity;
mod semi_join;
mod unnest;
mod views;

use std::sync::Arc;

pub use build_side::rows;
pub use unnest::contains_subquery;

use datafusion::{
    catalog::Session,
    common::{Result, tree_node::TreeNodeRecursion},
    datasource::source_as_provider,
    logical_expr::LogicalPlan,
    optimizer::{Analyzer, AnalyzerRule, Optimizer, OptimizerRule},
    physical_optimizer::{PhysicalOptimizerRule, optimizer::PhysicalOptimizer},
};

use crate::{ExecutionMode, exchange::KeepAsked, source::FilesTable};

/// DataFusion's rules that make a plan valid, with ours before them.
pub fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules = Analyzer::new().rules;
    rules.insert(0, Arc::new(unnest::UnnestSubqueries));
    rules
}

/// DataFusion's rules, with ours where the filters have reached the scans and subqueries have become joins.
pub fn rules(mode: ExecutionMode) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules: Vec<_> = Optimizer::new().rules.into_iter().map(guards::guarded).collect();
    let at = rules.iter().rposition(|rule| rule.name() == "push_down_filter").map_or(rules.len(), |found| found + 1);
    let move_cost = match mode {
        ExecutionMode::InProcess => join_order::MOVED_IN_MEMORY,
        ExecutionMode::Cluster => join_order::MOVED_BY_SHUFFLE,
    };
    let ours: [Arc<dyn OptimizerRule + Send + Sync>; 3] = [
        Arc::new(views::CompareViews),
        Arc::new(semi_join::PushDownSemiJoin),
        Arc::new(join_order::JoinOrder { move_cost }),
    ];
    rules.splice(at..at, ours);
    rules
}

/// DataFusion's physical rules, with ours.
/// `sort_above`: bytes of a build side's partition above which a join sorts both sides.
pub fn physical_rules(sort_above: u64) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    rules.insert(0, Arc::new(grouping_sets::HideInput));
    let at = rules.iter().position(|rule| rule.name() == "join_selection").map_or(rules.len(), |found| found + 1);
    let ours: [Arc<dyn PhysicalOptimizerRule + Send + Sync>; 2] =
        [Arc::new(build_side::BuildFewerRows), Arc::new(join_strategy::ChooseJoins { sort_above })];
    rules.splice(at..at, ours);
    let at = rules.iter().rposition(|rule| rule.name() == "EnsureRequirements").map_or(rules.len(), |found| found + 1);
    rules.insert(at, Arc::new(KeepAsked));
    let at = rules.iter().rposition(|rule| rule.name() == "SanityCheckPlan").unwrap_or(rules.len());
    rules.insert(at, Arc::new(restore_order::RestoreOrder));
    rules
}

/// Reads the statistics of the tables that `plan` scans, which the rules then find in them. Costs nothing extra: scans
/// need them too, and tables keep them.
pub async fn load_statistics(plan: &LogicalPlan, session: &dyn Session) -> Result<()> {
    let mut tables = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
        {
            tables.push(provider);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    // One table has nothing to be ordered with.
    if tables.len() < 2 {
        return Ok(());
    }
    for table in tables {
        if let Some(files) = table.downcast_ref::<FilesTable>() {
            files.load_statistics(session).await?;
        }
    }
    Ok(())
}
