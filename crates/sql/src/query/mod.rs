//! Queries: WITH, what is combined by set operations, and the clauses that order and cut the result.

mod from;
mod group;
mod pipe;
mod pivot;
mod sample;
mod select;
mod set_operation;
mod stream;
mod transform;

use firesteel_plan::{
    Relation, RelationKind, SparkError, SparkResult,
    relation::{Cte, OrderAll},
};

use crate::{
    cursor::Parser,
    error,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
    name::AliasOf,
};

impl Parser<'_> {
    /// Whether a query starts at the token `ahead`, which stands after an opening parenthesis or where a statement begins.
    pub fn starts_query(&self, ahead: usize) -> bool {
        let next = ahead + 1;
        match self.kind_at(ahead) {
            TokenKind::Keyword(keyword) => match keyword {
                K::SELECT => self.starts_operand(next) || self.is_symbol_at(next, S::HintStart),
                K::WITH => {
                    self.is_name_at(next)
                        && !matches!(self.kind_at(next + 1), TokenKind::Symbol(S::Comma | S::CloseParen))
                }
                K::FROM => self.starts_operand(next) && !self.is_symbol_at(next, S::Minus),
                K::TABLE => self.is_name_at(next),
                K::VALUES => self.starts_operand(next),
                K::MAP | K::REDUCE => self.is_name_at(next) && self.starts_operand(next),
                _ => false,
            },
            // A query in parentheses of its own: what follows the inner ones must continue a query.
            TokenKind::Symbol(S::OpenParen) => {
                let after = self.after_paren(ahead);
                let continues = match self.kind_at(after) {
                    TokenKind::Symbol(S::CloseParen | S::PipeOperator | S::Semicolon) | TokenKind::End => true,
                    _ => {
                        self.starts_clause(after, AliasOf::Column)
                            && !self.is_any_at(after, &[K::FROM, K::WHERE, K::GROUP, K::HAVING, K::LATERAL])
                    }
                };
                continues && self.starts_query(next)
            }
            _ => false,
        }
    }

    pub fn query(&mut self) -> SparkResult<Relation> {
        self.nested(|p| {
            let start = p.start();
            let with = p.with_clause()?;
            p.query_after_with(with, start)
        })
    }

    /// `WITH name AS (query), …`, if it stands here.
    pub fn with_clause(&mut self) -> SparkResult<Option<WithClause>> {
        if !(self.is(K::WITH) && self.is_name_at(1)) {
            return Ok(None);
        }
        let start = self.start();
        self.advance();
        let recursive = self.is(K::RECURSIVE) && self.is_name_at(1) && !self.is_at(1, K::AS);
        if recursive {
            self.advance();
        }
        let ctes = self.comma_separated(Self::cte)?;
        let mut seen = std::collections::HashSet::with_capacity(ctes.len());
        if let Some(twice) = ctes.iter().find(|cte| !seen.insert(cte.name.to_lowercase())) {
            let name = format!("`{}`", twice.name);
            let error = SparkError::new(
                "DUPLICATED_CTE_NAMES",
                "42602",
                format!("CTE definition can't have duplicate names: {name}."),
            )
            .param("duplicateNames", name);
            return Err(self.error_from(error, start));
        }
        if !recursive && ctes.iter().any(|cte| cte.max_recursion.is_some()) {
            let what = "Cannot specify MAX RECURSION LEVEL when the CTE is not marked as RECURSIVE";
            return Err(self.error_of_statement(error::operation_not_allowed(what)));
        }
        Ok(Some(WithClause { ctes, recursive }))
    }

    fn cte(&mut self) -> SparkResult<Cte> {
        let start = self.start();
        let name = self.plain_identifier()?;
        let columns =
            if self.is_symbol(S::OpenParen) && !self.starts_query(1) { self.identifier_list()? } else { Vec::new() };
        let mut max_recursion = None;
        if self.eat_all(&[K::MAX, K::RECURSION, K::LEVEL]) {
            max_recursion = Some(u64::from(self.unsigned_integer()?));
        }
        self.eat(K::AS);
        self.expect_symbol(S::OpenParen)?;
        let query = self.query()?;
        self.expect_symbol(S::CloseParen)?;
        Ok(Cte { name, columns, query, max_recursion, span: self.span_from(start) })
    }

    pub fn query_after_with(&mut self, with: Option<WithClause>, start: usize) -> SparkResult<Relation> {
        let term = self.query_term()?;
        let query = self.organized(term, start)?;
        Ok(match with {
            Some(with) => self.with_ctes(with, query, start),
            None => query,
        })
    }

    pub fn with_ctes(&self, with: WithClause, input: Relation, start: usize) -> Relation {
        let WithClause { ctes, recursive } = with;
        Relation::new(RelationKind::With { ctes, input: Box::new(input), recursive }, self.span_from(start))
    }

    /// ORDER BY, SORT BY, DISTRIBUTE BY, CLUSTER BY, WINDOW, LIMIT and OFFSET on top of `input`.
    pub(super) fn organized(&mut self, input: Relation, start: usize) -> SparkResult<Relation> {
        let clauses = self.start();
        let order = if self.eat_all(&[K::ORDER, K::BY]) { self.comma_separated(Self::sort_item)? } else { Vec::new() };
        let cluster =
            if self.eat_all(&[K::CLUSTER, K::BY]) { self.comma_separated(Self::expression)? } else { Vec::new() };
        let distribute =
            if self.eat_all(&[K::DISTRIBUTE, K::BY]) { self.comma_separated(Self::expression)? } else { Vec::new() };
        let sort = if self.eat_all(&[K::SORT, K::BY]) { self.comma_separated(Self::sort_item)? } else { Vec::new() };

        let given = [!order.is_empty(), !cluster.is_empty(), !distribute.is_empty(), !sort.is_empty()];
        if given[0] && given[1..].contains(&true) || given[1] && given[2..].contains(&true) {
            let error = error::unsupported_feature(
                "COMBINATION_QUERY_RESULT_CLAUSES",
                "Combination of ORDER BY/SORT BY/DISTRIBUTE BY/CLUSTER BY.",
            );
            return Err(self.error_from(error, clauses));
        }
        let mut relation = input;
        let by = if given[1] { &cluster } else { &distribute };
        if !by.is_empty() {
            let kind = RelationKind::Repartition {
                input: Box::new(relation),
                partitions: None,
                by: by.clone(),
                shuffle: true,
            };
            relation = Relation::new(kind, self.span_from(start));
        }
        let global = given[0];
        let items = if global {
            order
        } else if given[1] {
            let ascending = |expr| firesteel_plan::expr::SortItem { expr, ascending: true, nulls_first: None };
            cluster.into_iter().map(ascending).collect()
        } else {
            sort
        };
        if !items.is_empty() {
            let all = match items.as_slice() {
                [item] if global && is_word_all(&item.expr) => {
                    Some(OrderAll { ascending: item.ascending, nulls_first: item.nulls_first })
                }
                _ => None,
            };
            let items = if all.is_some() { Vec::new() } else { items };
            let kind = RelationKind::Sort { input: Box::new(relation), items, global, all };
            relation = Relation::new(kind, self.span_from(start));
        }
        relation = self.windows_clause(relation, start)?;

        let limit = if self.is(K::LIMIT) && self.starts_operand(1) {
            self.advance();
            // ALL is no limit.
            if self.eat(K::ALL) { None } else { Some(self.expression()?) }
        } else {
            None
        };
        if self.is(K::OFFSET) && self.starts_operand(1) {
            self.advance();
            let offset = self.expression()?;
            relation = Relation::new(RelationKind::Offset { input: Box::new(relation), offset }, self.span_from(start));
        }
        if let Some(limit) = limit {
            relation = Relation::new(RelationKind::Limit { input: Box::new(relation), limit }, self.span_from(start));
        }
        Ok(relation)
    }
}

/// The CTEs of a WITH, before what they are for is read.
#[derive(Clone)]
pub struct WithClause {
    pub ctes: Vec<Cte>,
    pub recursive: bool,
}

/// Whether the expression is the one word ALL, as in GROUP BY ALL.
fn is_word_all(expr: &firesteel_plan::Expr) -> bool {
    let firesteel_plan::ExprKind::Attribute { name, .. } = &expr.kind else { return false };
    // With quotes around it, it would be a column.
    matches!(name.as_slice(), [word] if word.eq_ignore_ascii_case("all") && expr.span.end - expr.span.start == 3)
}
