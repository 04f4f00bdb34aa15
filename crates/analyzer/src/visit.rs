//! Walks over unresolved plans and expressions.

use firesteel_plan::{
    Expr, ExprKind, Relation, RelationKind,
    expr::{FrameBound, WindowDefinition, WindowSpec},
    relation::{Grouping, GroupingElement, GroupingSet, History, HistoryPoint, JoinCondition},
};

/// What is directly below a node.
#[derive(Default)]
pub struct Children<'a> {
    pub exprs: Vec<&'a Expr>,
    pub relations: Vec<&'a Relation>,
}

/// Calls `f` for every relation in `relation`, itself included, also those in subqueries.
pub fn each_relation<'a>(relation: &'a Relation, f: &mut dyn FnMut(&'a Relation)) {
    each(vec![relation], Vec::new(), f, &mut |_| {});
}

/// Every relation and every expression in a relation, itself included.
pub fn each_in_relation<'a>(
    relation: &'a Relation,
    on_relation: &mut dyn FnMut(&'a Relation),
    on_expr: &mut dyn FnMut(&'a Expr),
) {
    each(vec![relation], Vec::new(), on_relation, on_expr);
}

/// Every relation and every expression in an expression, itself included.
pub fn each_in_expr<'a>(expr: &'a Expr, on_relation: &mut dyn FnMut(&'a Relation), on_expr: &mut dyn FnMut(&'a Expr)) {
    each(Vec::new(), vec![expr], on_relation, on_expr);
}

fn each<'a>(
    mut relations: Vec<&'a Relation>,
    mut exprs: Vec<&'a Expr>,
    on_relation: &mut dyn FnMut(&'a Relation),
    on_expr: &mut dyn FnMut(&'a Expr),
) {
    loop {
        let children = if let Some(relation) = relations.pop() {
            on_relation(relation);
            relation_children(relation)
        } else if let Some(expr) = exprs.pop() {
            on_expr(expr);
            expr_children(expr)
        } else {
            return;
        };
        relations.extend(children.relations);
        exprs.extend(children.exprs);
    }
}

/// Whether `test` holds for `expr` or an expression in it, subqueries not looked into. `test` answers `None` to skip
/// what is below.
pub fn any_expr(expr: &Expr, test: &mut dyn FnMut(&Expr) -> Option<bool>) -> bool {
    let mut stack = vec![expr];
    while let Some(expr) = stack.pop() {
        match test(expr) {
            Some(true) => return true,
            Some(false) => stack.extend(expr_children(expr).exprs),
            None => {}
        }
    }
    false
}

fn window<'a>(definition: &'a WindowDefinition, exprs: &mut Vec<&'a Expr>) {
    exprs.extend(&definition.partition_by);
    exprs.extend(definition.order_by.iter().map(|i| &i.expr));
    if let Some(frame) = &definition.frame {
        for bound in [&frame.start, &frame.end] {
            if let FrameBound::Preceding(e) | FrameBound::Following(e) = bound {
                exprs.push(e);
            }
        }
    }
}

pub fn expr_children(expr: &Expr) -> Children<'_> {
    let mut out = Children::default();
    match &expr.kind {
        ExprKind::Literal(_) | ExprKind::Attribute { .. } | ExprKind::Star { .. } | ExprKind::Parameter(_) => {}
        ExprKind::Function(call) => {
            out.exprs.extend(&call.args);
            out.exprs.extend(&call.filter);
            out.exprs.extend(call.within_group.iter().map(|i| &i.expr));
            if let Some(WindowSpec::Inline(definition)) = &call.over {
                window(definition, &mut out.exprs);
            }
        }
        ExprKind::NamedArgument { value: e, .. }
        | ExprKind::Unary { operand: e, .. }
        | ExprKind::IsNull { operand: e, .. }
        | ExprKind::IsBoolean { operand: e, .. }
        | ExprKind::Cast { operand: e, .. }
        | ExprKind::Extract { operand: e, .. }
        | ExprKind::Field { base: e, .. }
        | ExprKind::VariantPath { base: e, .. }
        | ExprKind::Lambda { body: e, .. }
        | ExprKind::Alias { operand: e, .. }
        | ExprKind::IntervalOf { amount: e, .. }
        | ExprKind::Collate { operand: e, .. } => out.exprs.push(e),
        ExprKind::Binary { left, right, .. } => out.exprs.extend([left.as_ref(), right]),
        ExprKind::Between { operand, low, high, .. } => out.exprs.extend([operand.as_ref(), low, high]),
        ExprKind::InList { operand, list, .. } => {
            out.exprs.push(operand);
            out.exprs.extend(list);
        }
        ExprKind::InSubquery { operand, subquery, .. } => {
            out.exprs.push(operand);
            out.relations.push(subquery);
        }
        ExprKind::Exists { subquery } | ExprKind::ScalarSubquery { subquery } => out.relations.push(subquery),
        ExprKind::Like { operand, pattern, .. } => out.exprs.extend([operand.as_ref(), pattern]),
        ExprKind::LikeMany { operand, patterns, .. } => {
            out.exprs.push(operand);
            out.exprs.extend(patterns);
        }
        ExprKind::Case { operand, branches, otherwise } => {
            out.exprs.extend(operand.as_deref());
            for (when, then) in branches {
                out.exprs.extend([when, then]);
            }
            out.exprs.extend(otherwise.as_deref());
        }
        ExprKind::Subscript { base, index } => out.exprs.extend([base.as_ref(), index]),
        ExprKind::Row(items) => out.exprs.extend(items),
        ExprKind::TableArgument(argument) => {
            out.relations.push(&argument.table);
            out.exprs.extend(&argument.partition_by);
            out.exprs.extend(argument.order_by.iter().map(|i| &i.expr));
        }
    }
    out
}

/// The expressions directly below one, without those in subqueries, sort orders and windows.
pub fn expr_children_mut(expr: &mut Expr) -> Vec<&mut Expr> {
    match &mut expr.kind {
        ExprKind::Function(call) => call.args.iter_mut().collect(),
        ExprKind::NamedArgument { value: e, .. }
        | ExprKind::Unary { operand: e, .. }
        | ExprKind::IsNull { operand: e, .. }
        | ExprKind::IsBoolean { operand: e, .. }
        | ExprKind::Cast { operand: e, .. }
        | ExprKind::Extract { operand: e, .. }
        | ExprKind::Field { base: e, .. }
        | ExprKind::VariantPath { base: e, .. }
        | ExprKind::Alias { operand: e, .. }
        | ExprKind::IntervalOf { amount: e, .. }
        | ExprKind::Collate { operand: e, .. } => vec![e],
        ExprKind::Binary { left, right, .. } => vec![left, right],
        ExprKind::Between { operand, low, high, .. } => vec![operand, low, high],
        ExprKind::InList { operand, list, .. } => std::iter::once(&mut **operand).chain(list).collect(),
        ExprKind::InSubquery { operand, .. } => vec![operand],
        ExprKind::Like { operand, pattern, .. } => vec![operand, pattern],
        ExprKind::LikeMany { operand, patterns, .. } => std::iter::once(&mut **operand).chain(patterns).collect(),
        ExprKind::Case { operand, branches, otherwise } => {
            let mut all: Vec<&mut Expr> = operand.as_deref_mut().into_iter().collect();
            for (when, then) in branches {
                all.extend([when, then]);
            }
            all.extend(otherwise.as_deref_mut());
            all
        }
        ExprKind::Subscript { base, index } => vec![base, index],
        ExprKind::Row(items) => items.iter_mut().collect(),
        ExprKind::Literal(_)
        | ExprKind::Attribute { .. }
        | ExprKind::Star { .. }
        | ExprKind::Parameter(_)
        | ExprKind::Exists { .. }
        | ExprKind::ScalarSubquery { .. }
        | ExprKind::Lambda { .. }
        | ExprKind::TableArgument(_) => Vec::new(),
    }
}

pub fn relation_children(relation: &Relation) -> Children<'_> {
    let mut out = Children::default();
    match &relation.kind {
        RelationKind::Table { .. } | RelationKind::DataSource { .. } | RelationKind::OneRow => {}
        RelationKind::TableHistory { history, .. } => match history {
            History::AsOf(point) => history_point(point, &mut out.exprs),
            History::Changes { from, to } => {
                history_point(&from.point, &mut out.exprs);
                if let Some(to) = to {
                    history_point(&to.point, &mut out.exprs);
                }
            }
        },
        RelationKind::Stream { input, .. } => out.relations.push(input),
        RelationKind::Watermark { input, column, delay } => {
            out.relations.push(input);
            out.exprs.extend([column, delay]);
        }
        RelationKind::NearestJoin { left, right, ranking, .. } => {
            out.relations.extend([left.as_ref(), right]);
            out.exprs.push(ranking);
        }
        RelationKind::Transform(transform) => out.relations.push(&transform.input),
        RelationKind::SetColumns { input, assignments } => {
            out.relations.push(input);
            out.exprs.extend(assignments.iter().map(|(_, value)| value));
        }
        RelationKind::TableFunction { args, .. } => out.exprs.extend(args),
        RelationKind::Values { rows } => out.exprs.extend(rows.iter().flatten()),
        RelationKind::Project { input, exprs } => {
            out.relations.push(input);
            out.exprs.extend(exprs);
        }
        RelationKind::Filter { input, condition } | RelationKind::Qualify { input, condition } => {
            out.relations.push(input);
            out.exprs.push(condition);
        }
        RelationKind::Aggregate { input, grouping, aggregates, having } => {
            out.relations.push(input);
            out.exprs.extend(aggregates);
            out.exprs.extend(having);
            match grouping {
                Grouping::None | Grouping::All => {}
                Grouping::Exprs(exprs) => out.exprs.extend(exprs),
                Grouping::Elements(elements) => elements.iter().for_each(|e| grouping_element(e, &mut out.exprs)),
            }
        }
        RelationKind::WithWindows { input, windows } => {
            out.relations.push(input);
            windows.iter().for_each(|(_, definition)| window(definition, &mut out.exprs));
        }
        RelationKind::Distinct { input } => out.relations.push(input),
        RelationKind::Sort { input, items, .. } => {
            out.relations.push(input);
            out.exprs.extend(items.iter().map(|i| &i.expr));
        }
        RelationKind::Limit { input, limit: e } | RelationKind::Offset { input, offset: e } => {
            out.relations.push(input);
            out.exprs.push(e);
        }
        RelationKind::Join { left, right, condition, .. } => {
            out.relations.extend([left.as_ref(), right]);
            if let JoinCondition::On(condition) = condition {
                out.exprs.push(condition);
            }
        }
        RelationKind::SetOperation { left, right, .. } => out.relations.extend([left.as_ref(), right]),
        RelationKind::UnionAll { inputs } => out.relations.extend(inputs),
        RelationKind::SubqueryAlias { input, .. } | RelationKind::Sample { input, .. } => out.relations.push(input),
        RelationKind::With { ctes, input, .. } => {
            out.relations.extend(ctes.iter().map(|c| &c.query));
            out.relations.push(input);
        }
        RelationKind::LateralView { input, generator, .. } => {
            out.relations.push(input);
            out.exprs.push(generator);
        }
        RelationKind::Pivot { input, grouping, aggregates, column, values } => {
            out.relations.push(input);
            out.exprs.extend(grouping.iter().flatten());
            out.exprs.extend(aggregates);
            out.exprs.push(column);
            out.exprs.extend(values);
        }
        RelationKind::Unpivot(unpivot) => {
            out.relations.push(&unpivot.input);
            out.exprs.extend(unpivot.ids.iter().flatten());
            out.exprs.extend(unpivot.values.iter().flat_map(|(exprs, _)| exprs));
        }
        RelationKind::Hint { input, args, .. } => {
            out.relations.push(input);
            out.exprs.extend(args);
        }
        RelationKind::Repartition { input, by, .. } => {
            out.relations.push(input);
            out.exprs.extend(by);
        }
    }
    out
}

fn history_point<'a>(point: &'a HistoryPoint, exprs: &mut Vec<&'a Expr>) {
    if let HistoryPoint::Timestamp(expr) = point {
        exprs.push(expr);
    }
}

fn grouping_element<'a>(element: &'a GroupingElement, exprs: &mut Vec<&'a Expr>) {
    match element {
        GroupingElement::Expr(e) => exprs.push(e),
        GroupingElement::Rollup(groups) | GroupingElement::Cube(groups) => exprs.extend(groups.iter().flatten()),
        GroupingElement::Sets(sets) => {
            for set in sets {
                match set {
                    GroupingSet::Exprs(list) => exprs.extend(list),
                    GroupingSet::Element(element) => grouping_element(element, exprs),
                }
            }
        }
    }
}
