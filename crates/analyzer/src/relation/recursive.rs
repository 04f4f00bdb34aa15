//! WITH RECURSIVE: which CTEs read themselves, what in them may, and the plan of such a one.

use std::{cell::RefCell, sync::Arc};

use arrow::datatypes::Schema;
use datafusion::{
    common::{Column, DFSchema},
    datasource::{MemTable, provider_as_source},
    logical_expr::{Expr as DfExpr, LogicalPlanBuilder},
};
use firesteel_engine::recursion::{self, Recursion};
use firesteel_functions::{Typed, cast, coercion, types};
use firesteel_plan::{
    DataType, Relation, RelationKind, SparkError, SparkResult,
    relation::{Cte, Grouping, JoinType, SetOp},
};

use super::rename;
use crate::{
    errors,
    expression::{has_aggregate, has_window},
    query::{Analyzer, CteEntry, Ctes, RelEnv, build},
    scope::{Planned, Scope, project, same_name},
    visit,
};

/// What the name of a CTE stands for in its own step: the rows that the step before has made.
#[derive(Debug, Clone)]
pub(crate) struct OwnRows {
    pub id: u64,
    pub columns: Vec<(String, DataType)>,
}

/// Whether the relation reads a table of the name, which CTEs inside may hide.
pub(super) fn refers(relation: &Relation, name: &str, case_sensitive: bool) -> bool {
    let same = |other: &str| same_name(other, name, case_sensitive);
    match &relation.kind {
        RelationKind::Table { name: parts, .. } => matches!(parts.as_slice(), [only] if same(only)),
        RelationKind::With { ctes, input, recursive } => {
            for cte in ctes {
                let hidden = *recursive && same(&cte.name);
                if !hidden && refers(&cte.query, name, case_sensitive) {
                    return true;
                }
                if same(&cte.name) {
                    return false;
                }
            }
            refers(input, name, case_sensitive)
        }
        _ => {
            let children = visit::relation_children(relation);
            children.relations.iter().any(|r| refers(r, name, case_sensitive))
                || children.exprs.iter().any(|e| {
                    let mut found = false;
                    let mut below: Vec<&Relation> = Vec::new();
                    collect_subqueries(e, &mut below);
                    for relation in below {
                        found |= refers(relation, name, case_sensitive);
                    }
                    found
                })
        }
    }
}

/// The relations directly in an expression.
fn collect_subqueries<'e>(e: &'e firesteel_plan::Expr, out: &mut Vec<&'e Relation>) {
    let mut stack = vec![e];
    while let Some(e) = stack.pop() {
        let children = visit::expr_children(e);
        out.extend(children.relations);
        stack.extend(children.exprs);
    }
}

fn invalid(message: &str) -> SparkError {
    SparkError::new("INVALID_RECURSIVE_CTE", "42836", format!("Invalid recursive definition found. {message}"))
}

fn wrong_place() -> SparkError {
    SparkError::new(
        "INVALID_RECURSIVE_REFERENCE.PLACE",
        "42836",
        "Invalid recursive reference found inside WITH RECURSIVE clause. Recursive references cannot be used on the right side \
         of left outer/semi/anti joins, on the left side of right outer joins, in full outer joins, in aggregates, window functions \
         or sorts",
    )
}

/// The rows to begin with and the step, with the CTEs that stand before both.
fn halves(query: &Relation) -> Option<(Relation, Relation, bool, &[Cte])> {
    match &query.kind {
        RelationKind::SetOperation { left, right, op: SetOp::Union, all, .. } => {
            Some(((**left).clone(), (**right).clone(), *all, &[]))
        }
        RelationKind::UnionAll { inputs } => {
            let (last, before) = inputs.split_last()?;
            let kind = RelationKind::UnionAll { inputs: before.to_vec() };
            Some((Relation { kind, ..query.clone() }, last.clone(), true, &[]))
        }
        RelationKind::With { ctes, input, recursive } => {
            let (left, right, all, _) = halves(input)?;
            let with = |input: Relation| Relation {
                kind: RelationKind::With { ctes: ctes.clone(), input: Box::new(input), recursive: *recursive },
                ..query.clone()
            };
            Some((with(left), with(right), all, ctes))
        }
        _ => None,
    }
}

impl Analyzer<'_> {
    /// The plan of a CTE that reads itself.
    pub(super) fn recursive_cte(&self, cte: &Cte, scope: &Ctes<'_>, env: &RelEnv<'_>) -> SparkResult<Planned> {
        let case_sensitive = self.case_sensitive();
        let Some((anchor, step, all, before)) = halves(&cte.query) else {
            return Err(invalid(
                "Recursive queries must contain an UNION or an UNION ALL statement with 2 children. The first child needs to be the anchor term without any recursive references.",
            ));
        };
        let own = |r: &Relation| refers(r, &cte.name, case_sensitive);
        if before.iter().any(|c| own(&c.query)) || own(&anchor) {
            return Err(invalid(
                "Recursive queries must contain an UNION or an UNION ALL statement with 2 children. The first child needs to be the anchor term without any recursive references.",
            ));
        }
        if !all {
            return Err(SparkError::new(
                "UNION_NOT_SUPPORTED_IN_RECURSIVE_CTE",
                "42836",
                "The UNION operator is not yet supported within recursive common table expressions (WITH clauses that refer to \
                 themselves, directly or indirectly). Please use UNION ALL instead.",
            ));
        }
        check_places(&step, &cte.name, case_sensitive)?;
        let inner = RelEnv { ctes: Some(scope), windows: None, hints: None, ..*env };
        let anchor = rename(self.relation(&anchor, &inner)?.exact()?, &cte.name, &cte.columns)?;
        let id = self.next_id();
        let columns: Vec<(String, DataType)> =
            anchor.scope.attributes.iter().map(|a| (a.name.clone(), a.data_type.clone())).collect();
        let own = OwnRows { id, columns: columns.clone() };
        let entry = CteEntry {
            name: &cte.name,
            columns: &[],
            query: &cte.query,
            planned: RefCell::new(None),
            recursive: None,
            own: Some(Arc::new(own)),
        };
        let around = Ctes { parent: Some(scope), entries: vec![entry] };
        let inner = RelEnv { ctes: Some(&around), windows: None, hints: None, ..*env };
        let step = self.relation(&step, &inner)?.exact()?;
        if step.scope.attributes.len() != columns.len() {
            return Err(errors::num_columns_mismatch("UNION", columns.len(), "second", step.scope.attributes.len()));
        }
        let mut exprs: Vec<DfExpr> = Vec::with_capacity(columns.len());
        for (attribute, (name, to)) in step.scope.attributes.iter().zip(&columns) {
            if coercion::common_type(&attribute.data_type, to, self.functions.ansi).as_ref() != Some(to) {
                let (left, right) = (errors::sql_type(to), errors::sql_type(&attribute.data_type));
                return Err(SparkError::new(
                    "CANNOT_MERGE_INCOMPATIBLE_DATA_TYPE",
                    "42825",
                    format!("Failed to merge incompatible data types {left} and {right}. Please check the data types of the columns being merged and ensure that they are compatible. If necessary, consider casting the columns to compatible data types before attempting the merge."),
                )
                .param("left", left)
                .param("right", right));
            }
            let value = Typed::new(attribute.expr(), attribute.data_type.clone(), true);
            let value = cast::cast(&self.functions, value, to, self.functions.mode())?;
            exprs.push(value.expr.alias(format!("{name}#step{id}_{}", exprs.len())));
        }
        let step = project(step.plan, exprs)?;
        if !step.all_out_ref_exprs().is_empty() || !anchor.plan.all_out_ref_exprs().is_empty() {
            return Err(SparkError::unsupported("a recursive CTE that refers to the query around it"));
        }
        let mut attributes = Vec::with_capacity(columns.len());
        let mut fields = Vec::with_capacity(columns.len());
        for (name, data_type) in columns {
            let mut attribute = self.attribute(name, data_type, true);
            attribute.qualifier = vec![cte.name.clone()];
            fields.push(types::field_to_arrow(&attribute.column, &attribute.data_type, true)?);
            attributes.push(attribute);
        }
        let schema = DFSchema::try_from(Schema::new(fields)).map_err(errors::from_datafusion)?;
        let node = Recursion {
            id,
            anchor: anchor.plan,
            step,
            schema: Arc::new(schema),
            levels: cte.max_recursion.or(self.recursion_levels),
            rows: self.recursion_rows,
            limit: None,
        };
        Ok(Planned { plan: recursion::plan(node), scope: Scope::new(attributes) })
    }

    /// The rows that the step before has made.
    pub(super) fn own_rows(&self, own: &OwnRows, name: &str) -> SparkResult<Planned> {
        let mut fields = Vec::with_capacity(own.columns.len());
        for (at, (_, data_type)) in own.columns.iter().enumerate() {
            fields.push(types::field_to_arrow(&format!("c{at}"), data_type, true)?);
        }
        let table =
            MemTable::try_new(Arc::new(Schema::new(fields)), vec![Vec::new()]).map_err(errors::from_datafusion)?;
        let reference = datafusion::common::TableReference::bare(recursion::table_name(own.id));
        let scan = LogicalPlanBuilder::scan(reference.clone(), provider_as_source(Arc::new(table)), None);
        let plan = build(scan)?;
        let mut exprs = Vec::with_capacity(own.columns.len());
        let mut attributes = Vec::with_capacity(own.columns.len());
        for (at, (column, data_type)) in own.columns.iter().enumerate() {
            let mut attribute = self.attribute(column, data_type.clone(), true);
            attribute.qualifier = vec![name.to_owned()];
            let raw = DfExpr::Column(Column::new(Some(reference.clone()), format!("c{at}")));
            exprs.push(raw.alias(&attribute.column));
            attributes.push(attribute);
        }
        Ok(Planned { plan: project(plan, exprs)?, scope: Scope::new(attributes) })
    }
}

/// A step that is not the sum of what it makes of each row by itself would not end as Spark's does.
fn check_places(relation: &Relation, name: &str, case_sensitive: bool) -> SparkResult<()> {
    let own = |r: &Relation| refers(r, name, case_sensitive);
    if !own(relation) {
        return Ok(());
    }
    match &relation.kind {
        RelationKind::Aggregate { input, grouping, aggregates, .. } => {
            let is_plain = matches!(grouping, Grouping::None) && !aggregates.iter().any(has_aggregate);
            if own(input) && !is_plain {
                return Err(wrong_place());
            }
        }
        RelationKind::Project { input, exprs }
            if own(input) && exprs.iter().any(|e| has_window(e) || has_aggregate(e)) =>
        {
            return Err(wrong_place());
        }
        RelationKind::Sort { .. } | RelationKind::Distinct { .. } | RelationKind::Pivot { .. } => {
            return Err(wrong_place());
        }
        RelationKind::Join { left, right, join_type, .. } => {
            let wrong = match join_type {
                JoinType::Inner | JoinType::Cross => false,
                JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => own(right),
                JoinType::Right => own(left),
                JoinType::Full => true,
            };
            if wrong {
                return Err(wrong_place());
            }
        }
        RelationKind::SetOperation { right, op: SetOp::Except, .. } if own(right) => return Err(wrong_place()),
        RelationKind::SetOperation { all: false, .. } => return Err(wrong_place()),
        _ => {}
    }
    let children = visit::relation_children(relation);
    for child in children.relations {
        check_places(child, name, case_sensitive)?;
    }
    for e in children.exprs {
        let mut below = Vec::new();
        collect_subqueries(e, &mut below);
        for relation in below {
            check_places(relation, name, case_sensitive)?;
        }
    }
    Ok(())
}
