//! LATERAL: a join whose right side reads the left one's columns.

use datafusion::{
    common::{JoinType, Result},
    logical_expr::{Expr, LogicalPlan},
};

use super::{
    Unnest,
    domain::{Domain, join},
    free_columns, project, unsupported,
};

impl Unnest {
    /// The node without LATERAL, where it is such a join.
    pub(super) fn lateral(&self, node: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        let LogicalPlan::Join(node) = node else { return Ok(None) };
        let LogicalPlan::Subquery(right) = node.right.as_ref() else { return Ok(None) };
        if !matches!(node.join_type, JoinType::Inner | JoinType::Left) {
            return Err(unsupported(format_args!("a {} join with LATERAL", node.join_type)));
        }
        let (left, right) = (node.left.as_ref(), right.subquery.as_ref());
        let vars: Vec<_> = free_columns(right)?.into_iter().filter(|c| left.schema().has_column(c)).collect();
        if vars.is_empty() {
            let plan = join(
                left.clone(),
                right.clone(),
                node.on.clone(),
                node.filter.clone(),
                node.join_type,
                node.null_equality,
            )?;
            return Ok(Some(plan));
        }
        let columns: Vec<Expr> = node.schema.columns().into_iter().map(Expr::Column).collect();
        let domain = Domain::of(left, vars)?;
        let bound = self.push(right.clone(), &domain)?;
        let mut filter = node.filter.clone();
        for (l, r) in &node.on {
            let equal = l.clone().eq(r.clone());
            filter = Some(match filter {
                Some(filter) => filter.and(equal),
                None => equal,
            });
        }
        let joined = domain.join_outer(left.clone(), bound, node.join_type, filter)?;
        project(joined, columns).map(Some)
    }
}
