//! UNION, EXCEPT, INTERSECT, and what they combine.

use firesteel_plan::{Relation, RelationKind, SparkError, SparkResult, relation::SetOp};

use crate::{
    cursor::Parser,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
    name::AliasOf,
};

impl Parser<'_> {
    /// UNION, EXCEPT and MINUS group from the left; INTERSECT binds tighter.
    pub(super) fn query_term(&mut self) -> SparkResult<Relation> {
        let start = self.start();
        let mut left = self.intersection()?;
        loop {
            if self.starts_pipe() {
                self.advance();
                left = self.pipe_step(left, start)?;
                continue;
            }
            let Some(op) = self.set_operator(&[K::UNION, K::EXCEPT, K::MINUS]) else { return Ok(left) };
            let all = self.set_quantifier();
            let right = self.beside(Self::intersection)?;
            left = self.combined(left, right, op, all, start)?;
        }
    }

    fn intersection(&mut self) -> SparkResult<Relation> {
        let start = self.start();
        let mut left = self.query_primary()?;
        while let Some(op) = self.set_operator(&[K::INTERSECT]) {
            let all = self.set_quantifier();
            let right = self.query_primary()?;
            left = self.combined(left, right, op, all, start)?;
        }
        Ok(left)
    }

    pub(super) fn set_operator(&mut self, operators: &[K]) -> Option<SetOp> {
        let keyword = self.keyword().filter(|k| operators.contains(k))?;
        self.advance();
        Some(match keyword {
            K::UNION => SetOp::Union,
            K::INTERSECT => SetOp::Intersect,
            _ => SetOp::Except,
        })
    }

    pub(super) fn set_quantifier(&mut self) -> bool {
        self.eat_any(&[K::ALL, K::DISTINCT]) == Some(K::ALL)
    }

    pub(super) fn combined(
        &mut self,
        left: Relation,
        right: Relation,
        op: SetOp,
        all: bool,
        start: usize,
    ) -> SparkResult<Relation> {
        let left = match (op, all) {
            (SetOp::Union, true) => match listed(left) {
                Ok(mut inputs) => {
                    inputs.push(right);
                    return Ok(Relation::new(RelationKind::UnionAll { inputs }, self.span_from(start)));
                }
                Err(left) => *left,
            },
            _ => left,
        };
        self.grow()?;
        let kind = RelationKind::SetOperation {
            left: Box::new(left),
            right: Box::new(right),
            op,
            all,
            by_name: false,
            allow_missing_columns: false,
        };
        Ok(Relation::new(kind, self.span_from(start)))
    }

    pub(super) fn query_primary(&mut self) -> SparkResult<Relation> {
        let start = self.start();
        match self.kind() {
            TokenKind::Keyword(K::SELECT) => self.select(None),
            TokenKind::Keyword(K::FROM) => self.query_with_from_first(),
            TokenKind::Keyword(K::TABLE) => {
                self.advance();
                let name = self.identifier_reference()?;
                Ok(Relation::new(RelationKind::Table { name, options: Vec::new() }, self.span_from(start)))
            }
            TokenKind::Keyword(K::VALUES) => self.inline_table(),
            TokenKind::Keyword(K::MAP | K::REDUCE) if self.is_name_at(1) => self.select(None),
            TokenKind::Symbol(S::OpenParen) => {
                self.advance();
                let query = self.query()?;
                self.expect_symbol(S::CloseParen)?;
                Ok(query)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// `VALUES row, row, … [AS alias(columns)]`; a row in parentheses has several columns.
    pub(super) fn inline_table(&mut self) -> SparkResult<Relation> {
        let start = self.start();
        self.expect(K::VALUES)?;
        let rows = self.comma_separated(|p| {
            let expr = p.expression()?;
            Ok(match expr.kind {
                firesteel_plan::ExprKind::Row(items) => items,
                _ => vec![expr],
            })
        })?;
        let columns = rows.first().map_or(0, Vec::len);
        if let Some((index, row)) = rows.iter().enumerate().find(|(_, row)| row.len() != columns) {
            let error = inline_table_width(columns, row.len(), index);
            self.table_alias(Relation::bare(RelationKind::OneRow), start)?;
            return Err(self.error_from(error, start));
        }
        let values = Relation::new(RelationKind::Values { rows }, self.span_from(start));
        let aliased = self.table_alias(values, start)?;
        match &aliased.kind {
            RelationKind::SubqueryAlias { columns: names, .. } if !names.is_empty() && names.len() != columns => {
                Err(self.error_from(inline_table_width(names.len(), columns, 0), start))
            }
            _ => Ok(aliased),
        }
    }

    /// `[AS] alias [(columns)]` after a relation, if it stands here.
    pub fn table_alias(&mut self, input: Relation, start: usize) -> SparkResult<Relation> {
        if self.is_as(AliasOf::Table)
            && self.keyword_at(1).is_none_or(|k| !k.joins_relations())
            && !self.is_symbol_at(1, S::OpenParen)
        {
            self.advance();
        } else if !self.is_bare_alias(AliasOf::Table) {
            return Ok(input);
        }
        let alias = self.identifier()?;
        let columns = if self.is_symbol(S::OpenParen) { self.identifier_list()? } else { Vec::new() };
        let kind = RelationKind::SubqueryAlias { input: Box::new(input), alias, columns };
        Ok(Relation::new(kind, self.span_from(start)))
    }
}

/// The inputs of a UNION ALL, which another one joins.
fn listed(relation: Relation) -> Result<Vec<Relation>, Box<Relation>> {
    match relation.kind {
        RelationKind::UnionAll { inputs } => Ok(inputs),
        RelationKind::SetOperation { left, right, op: SetOp::Union, all: true, by_name: false, .. } => {
            Ok(vec![*left, *right])
        }
        kind => Err(Box::new(Relation { kind, ..relation })),
    }
}

fn inline_table_width(expected: usize, actual: usize, row: usize) -> SparkError {
    SparkError::new(
        "INVALID_INLINE_TABLE.NUM_COLUMNS_MISMATCH",
        "42000",
        format!(
            "Invalid inline table. Inline table expected {expected} columns but found {actual} columns in row {row}."
        ),
    )
    .param("expectedNumCols", expected.to_string())
    .param("actualNumCols", actual.to_string())
    .param("rowIndex", row.to_string())
}
