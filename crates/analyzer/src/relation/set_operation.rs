//! UNION, INTERSECT and EXCEPT.

use std::sync::Arc;

use datafusion::{
    common::NullEquality,
    functions_window::row_number::row_number_udwf,
    logical_expr::{
        Expr as DfExpr, Join, JoinConstraint, JoinType, LogicalPlan, LogicalPlanBuilder, Union, WindowFrame,
        WindowFunctionDefinition,
        expr::{WindowFunction, WindowFunctionParams},
    },
};
use firesteel_functions::{Typed, coercion};
use firesteel_plan::{Relation, SparkError, SparkResult, relation::SetOp};

use super::distinct;
use crate::{
    errors,
    expression::ordinal,
    query::{Analyzer, RelEnv},
    scope::{Attribute, Planned, Scope, project, same_name},
};

impl Analyzer<'_> {
    #[expect(clippy::too_many_arguments)]
    pub(super) fn set_operation(
        &self,
        left: &Relation,
        right: &Relation,
        op: SetOp,
        all: bool,
        by_name: bool,
        allow_missing: bool,
        env: &RelEnv<'_>,
    ) -> SparkResult<Planned> {
        let left = self.relation(left, env)?.exact()?;
        let right = self.relation(right, env)?.exact()?;
        let (left, right) = if by_name { self.by_name(left, right, allow_missing)? } else { (left, right) };
        let (left, right, attributes) = self.aligned(left, right, op)?;
        let scope = Scope::new(attributes);
        match op {
            SetOp::Union => {
                let plan = Union::try_new(vec![Arc::new(left), Arc::new(right)])
                    .map(LogicalPlan::Union)
                    .map_err(errors::from_datafusion)?;
                let planned = Planned { plan, scope };
                if all { Ok(planned) } else { distinct(planned) }
            }
            SetOp::Intersect | SetOp::Except => {
                let join_type = if op == SetOp::Intersect { JoinType::LeftSemi } else { JoinType::LeftAnti };
                // Of duplicates, the n-th of one side goes with the n-th of the other.
                let (left, right) = if all {
                    (self.numbered(left)?, self.numbered(right)?)
                } else {
                    (distinct(Planned { plan: left, scope: scope.clone() })?.plan, right)
                };
                let column = |plan: &LogicalPlan, i: usize| DfExpr::Column(plan.schema().columns()[i].clone());
                let width = left.schema().fields().len();
                // The right side's columns need names of their own.
                let names: Vec<String> = (0..width).map(|i| format!("right#{}_{i}", self.next_id())).collect();
                let renamed = (0..width).map(|i| column(&right, i).alias(&names[i])).collect();
                let right = project(right, renamed)?;
                let on = (0..width).map(|i| (column(&left, i), column(&right, i))).collect();
                let plan = Join::try_new(
                    Arc::new(left),
                    Arc::new(right),
                    on,
                    None,
                    join_type,
                    JoinConstraint::On,
                    NullEquality::NullEqualsNull,
                    false,
                )
                .map(LogicalPlan::Join)
                .map_err(errors::from_datafusion)?;
                Planned { plan, scope }.exact()
            }
        }
    }

    /// Grouped from the left. Inputs that need no other types than those before them become one node with these.
    pub(super) fn union_all(&self, inputs: &[Relation], env: &RelEnv<'_>) -> SparkResult<Planned> {
        let Some((first, others)) = inputs.split_first() else {
            return Err(SparkError::internal("a union of nothing"));
        };
        let mut left = self.relation(first, env)?.exact()?;
        let mut together: Vec<Arc<LogicalPlan>> = Vec::new();
        for other in others {
            let right = self.relation(other, env)?.exact()?;
            let joins = !together.is_empty() && {
                let (l, r) = (&left.scope.attributes, &right.scope.attributes);
                l.len() == r.len() && l.iter().zip(r).all(|(l, r)| l.data_type == r.data_type)
            };
            if joins {
                let columns = left.scope.attributes.iter().zip(&right.scope.attributes);
                let renamed = columns.map(|(l, r)| r.expr().alias(&l.column)).collect();
                for (l, r) in left.scope.attributes.iter_mut().zip(&right.scope.attributes) {
                    l.nullable |= r.nullable;
                }
                together.push(Arc::new(project(right.plan, renamed)?));
                continue;
            }
            let place = first.span.to(other.span);
            let before = union_of(left, &mut together)?;
            let (l, r, attributes) = self.aligned(before, right, SetOp::Union).map_err(|e| env.locate(e, place))?;
            together = vec![Arc::new(l), Arc::new(r)];
            left = Planned { plan: LogicalPlan::default(), scope: Scope::new(attributes) };
        }
        union_of(left, &mut together)
    }

    /// Adds the number of each row among its equals.
    fn numbered(&self, plan: LogicalPlan) -> SparkResult<LogicalPlan> {
        let columns: Vec<DfExpr> = plan.schema().columns().into_iter().map(DfExpr::Column).collect();
        let params = WindowFunctionParams {
            args: Vec::new(),
            partition_by: columns,
            order_by: Vec::new(),
            window_frame: WindowFrame::new(None),
            filter: None,
            null_treatment: None,
            distinct: false,
        };
        let number = DfExpr::WindowFunction(Box::new(WindowFunction {
            fun: WindowFunctionDefinition::WindowUDF(row_number_udwf()),
            params,
        }));
        LogicalPlanBuilder::window_plan(plan, vec![number]).map_err(errors::from_datafusion)
    }

    /// Both sides with the same names and Spark's common types.
    fn aligned(
        &self,
        left: Planned,
        right: Planned,
        op: SetOp,
    ) -> SparkResult<(LogicalPlan, LogicalPlan, Vec<Attribute>)> {
        let operator = match op {
            SetOp::Union => "UNION",
            SetOp::Intersect => "INTERSECT",
            SetOp::Except => "EXCEPT",
        };
        let (l, r) = (&left.scope.attributes, &right.scope.attributes);
        if l.len() != r.len() {
            return Err(errors::num_columns_mismatch(operator, l.len(), &ordinal(2), r.len()));
        }
        let mut attributes = Vec::with_capacity(l.len());
        let (mut left_exprs, mut right_exprs) = (Vec::with_capacity(l.len()), Vec::with_capacity(l.len()));
        for (i, (a, b)) in l.iter().zip(r).enumerate() {
            let Some(common) = coercion::common_type(&a.data_type, &b.data_type, self.functions.ansi) else {
                return Err(errors::incompatible_column_type(
                    operator,
                    &ordinal(i + 1),
                    &ordinal(2),
                    &a.data_type,
                    &b.data_type,
                ));
            };
            let nullable = match op {
                SetOp::Union => a.nullable || b.nullable,
                SetOp::Intersect => a.nullable && b.nullable,
                SetOp::Except => a.nullable,
            };
            let attribute = self.attribute(&a.name, common.clone(), nullable);
            for (side, exprs) in [(a, &mut left_exprs), (b, &mut right_exprs)] {
                let value = Typed::new(side.expr(), side.data_type.clone(), side.nullable);
                let value = coercion::implicit(&self.functions, value, &common)?;
                exprs.push(value.expr.alias(&attribute.column));
            }
            attributes.push(attribute);
        }
        Ok((project(left.plan, left_exprs)?, project(right.plan, right_exprs)?, attributes))
    }

    /// Puts the right side's columns in the order of the left side's names.
    fn by_name(&self, left: Planned, right: Planned, allow_missing: bool) -> SparkResult<(Planned, Planned)> {
        let cs = self.case_sensitive();
        let find =
            |side: &Planned, name: &str| side.scope.attributes.iter().find(|a| same_name(&a.name, name, cs)).cloned();
        let missing = |name: &str| {
            SparkError::new(
                "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION",
                "42703",
                format!(
                    "A column, variable, or function parameter with name {} cannot be resolved. ",
                    errors::id(name)
                ),
            )
            .param("objectName", errors::id(name))
        };
        let (mut left_exprs, mut right_exprs) = (Vec::new(), Vec::new());
        let (mut left_out, mut right_out) = (Vec::new(), Vec::new());
        let null_of = |a: &Attribute| -> SparkResult<(DfExpr, Attribute)> {
            let null = firesteel_functions::literal::literal(&self.functions, &firesteel_plan::expr::Literal::Null)?;
            let null = coercion::implicit(&self.functions, null, &a.data_type)?;
            let attribute = self.attribute(&a.name, a.data_type.clone(), true);
            Ok((null.expr.alias(&attribute.column), attribute))
        };
        for a in &left.scope.attributes {
            left_exprs.push(a.expr());
            left_out.push(a.clone());
            match find(&right, &a.name) {
                Some(b) => {
                    right_exprs.push(b.expr());
                    right_out.push(b);
                }
                None if allow_missing => {
                    let (expr, attribute) = null_of(a)?;
                    right_exprs.push(expr);
                    right_out.push(attribute);
                }
                None => return Err(missing(&a.name)),
            }
        }
        for b in &right.scope.attributes {
            if find(&left, &b.name).is_some() {
                continue;
            }
            if !allow_missing {
                return Err(errors::num_columns_mismatch(
                    "UNION",
                    left.scope.attributes.len(),
                    &ordinal(2),
                    right.scope.attributes.len(),
                ));
            }
            let (expr, attribute) = null_of(b)?;
            left_exprs.push(expr);
            left_out.push(attribute);
            right_exprs.push(b.expr());
            right_out.push(b.clone());
        }
        Ok((
            Planned { plan: project(left.plan, left_exprs)?, scope: Scope::new(left_out) },
            Planned { plan: project(right.plan, right_exprs)?, scope: Scope::new(right_out) },
        ))
    }
}

/// The union of the plans, if there are any, in place of the plan.
fn union_of(planned: Planned, inputs: &mut Vec<Arc<LogicalPlan>>) -> SparkResult<Planned> {
    if inputs.is_empty() {
        return Ok(planned);
    }
    let plan = Union::try_new(std::mem::take(inputs)).map(LogicalPlan::Union).map_err(errors::from_datafusion)?;
    Ok(Planned { plan, scope: planned.scope })
}
