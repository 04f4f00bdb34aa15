//! Predicates with a syntax of their own.

use firesteel_functions::{Typed, operators};
use firesteel_plan::{
    Expr, ExprKind, SparkResult,
    expr::{BinaryOp, LikeKind},
};

use super::Env;
use crate::{errors, query::Analyzer};

impl Analyzer<'_> {
    pub(super) fn in_list(&self, operand: &Expr, list: &[Expr], negated: bool, env: &Env<'_>) -> SparkResult<Typed> {
        let ctx = &self.functions;
        let value = self.expr(operand, env)?;
        let items = self.exprs(list, env)?;
        let types: Vec<_> = [&value].into_iter().chain(&items).map(|v| v.data_type.clone()).collect();
        operators::in_list(ctx, value, items, negated).map_err(|error| {
            if error.class() != "DATATYPE_MISMATCH.DATA_DIFF_TYPES" {
                return error;
            }
            let items: Vec<_> = list.iter().map(|e| self.show(e, env)).collect();
            let shown = format!("({} IN ({}))", self.show(operand, env), items.join(", "));
            errors::data_diff_types("in", &types, &shown)
        })
    }

    pub(super) fn like_many(
        &self,
        kind: LikeKind,
        all: bool,
        operand: &Expr,
        patterns: &[Expr],
        negated: bool,
        env: &Env<'_>,
    ) -> SparkResult<Typed> {
        let operand = self.expr(operand, env)?;
        let op = if all { BinaryOp::And } else { BinaryOp::Or };
        let mut whole: Option<Typed> = None;
        for pattern in patterns {
            let pattern = self.expr(pattern, env)?;
            let like = operators::like(&self.functions, kind, operand.clone(), pattern, None, negated)?;
            whole = Some(match whole {
                Some(so_far) => operators::binary(&self.functions, op, so_far, like)?,
                None => like,
            });
        }
        whole.ok_or_else(|| firesteel_plan::SparkError::internal("LIKE ANY without patterns"))
    }

    /// The columns on the left of IN: one, or those of a row.
    pub(super) fn in_operands<'e>(&self, operand: &'e Expr) -> Vec<&'e Expr> {
        match &operand.kind {
            ExprKind::Row(items) => items.iter().collect(),
            ExprKind::Function(call) if call.name.len() == 1 && call.name[0].eq_ignore_ascii_case("struct") => {
                call.args.iter().collect()
            }
            _ => vec![operand],
        }
    }
}
