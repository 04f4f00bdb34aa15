//! Predicates with a syntax of their own.

use std::cmp::Ordering;

use datafusion::logical_expr::Expr as DfExpr;
use firesteel_functions::{Typed, char_types, operators};
use firesteel_plan::{
    DataType, Expr, ExprKind, SparkResult,
    expr::{BinaryOp, LikeKind},
};

use super::Env;
use crate::{errors, query::Analyzer};

impl Analyzer<'_> {
    pub(super) fn in_list(&self, operand: &Expr, list: &[Expr], negated: bool, env: &Env<'_>) -> SparkResult<Typed> {
        let ctx = &self.functions;
        let value = self.expr(operand, env)?;
        let items = self.exprs(list, env)?;
        let (value, items) = self.padded_list(value, items, env)?;
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

    /// Columns of char(n) compare with each other and with constants as if all were as long as the longest: spaces at the end
    /// do not count.
    pub(super) fn padded(&self, left: Typed, right: Typed, env: &Env<'_>) -> SparkResult<(Typed, Typed)> {
        let lengths = (char_length(&left, env), char_length(&right, env));
        let length = |value: &Typed| value.literal_text().map(|t| u32::try_from(t.chars().count()).unwrap_or(u32::MAX));
        let (have_left, have_right) = match lengths {
            (Some(l), Some(r)) => (l, r),
            (Some(l), None) => (l, length(&right).unwrap_or(l)),
            (None, Some(r)) => (length(&left).unwrap_or(r), r),
            (None, None) => return Ok((left, right)),
        };
        Ok(match have_left.cmp(&have_right) {
            Ordering::Less => (char_types::pad(left, have_right)?, right),
            Ordering::Equal => (left, right),
            Ordering::Greater => (left, char_types::pad(right, have_left)?),
        })
    }

    /// The same for a column and a list of constants.
    fn padded_list(&self, value: Typed, items: Vec<Typed>, env: &Env<'_>) -> SparkResult<(Typed, Vec<Typed>)> {
        let Some(own) = char_length(&value, env) else { return Ok((value, items)) };
        let Some(lengths) =
            items.iter().map(|i| i.literal_text().map(|t| t.chars().count())).collect::<Option<Vec<_>>>()
        else {
            return Ok((value, items));
        };
        let most = lengths.into_iter().max().and_then(|n| u32::try_from(n).ok()).unwrap_or(0).max(own);
        let value = if most > own { char_types::pad(value, most)? } else { value };
        Ok((value, items.into_iter().map(|item| char_types::pad(item, most)).collect::<SparkResult<_>>()?))
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

/// The n of a column of char(n), of this query or of one around it.
fn char_length(value: &Typed, env: &Env<'_>) -> Option<u32> {
    if value.data_type != DataType::String {
        return None;
    }
    let (DfExpr::Column(column) | DfExpr::OuterReferenceColumn(_, column)) = &value.expr else { return None };
    let mut attributes =
        std::iter::once(env).chain(env.around()).flat_map(|env| env.scopes).flat_map(|scope| &scope.attributes);
    match attributes.find(|a| a.column == column.name)?.declared {
        Some(DataType::Char(length)) => Some(length),
        _ => None,
    }
}
