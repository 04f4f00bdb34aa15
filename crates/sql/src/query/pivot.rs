//! PIVOT and UNPIVOT.

use firesteel_plan::{Expr, ExprKind, Relation, RelationKind, SparkResult, relation::Unpivot};

use crate::{cursor::Parser, keyword::Keyword as K, lexer::Symbol as S, name::AliasOf};

impl Parser<'_> {
    /// `PIVOT (aggregates FOR column IN (values))`
    pub(super) fn pivot(&mut self, input: Relation, start: usize) -> SparkResult<Relation> {
        self.expect(K::PIVOT)?;
        self.expect_symbol(S::OpenParen)?;
        let aggregates = self.comma_separated(Self::named_expression)?;
        self.expect(K::FOR)?;
        let place = self.start();
        let columns =
            if self.is_symbol(S::OpenParen) { self.identifier_list()? } else { vec![self.plain_identifier()?] };
        let span = self.span_from(place);
        let attribute = |name| Expr::new(ExprKind::Attribute { name: vec![name], plan_id: None }, span);
        let mut columns: Vec<Expr> = columns.into_iter().map(attribute).collect();
        let column = match (columns.pop(), columns.is_empty()) {
            (Some(only), true) => only,
            (last, _) => {
                columns.extend(last);
                Expr::new(ExprKind::Row(columns), span)
            }
        };
        self.expect(K::IN)?;
        let values = self.parenthesized(|p| {
            let place = p.start();
            let value = p.expression()?;
            let Some(alias) = p.optional_alias()? else { return Ok(value) };
            let kind = ExprKind::Alias { operand: Box::new(value), names: vec![alias] };
            Ok(Expr::new(kind, p.span_from(place)))
        })?;
        self.expect_symbol(S::CloseParen)?;
        self.grow()?;
        let kind = RelationKind::Pivot { input: Box::new(input), grouping: None, aggregates, column, values };
        let pivot = Relation::new(kind, self.span_from(start));
        self.table_alias(pivot, start)
    }

    /// `[AS] name`
    fn optional_alias(&mut self) -> SparkResult<Option<String>> {
        if self.is_as(AliasOf::Column) {
            self.advance();
        } else if !self.is_bare_alias(AliasOf::Column) {
            return Ok(None);
        }
        self.plain_identifier().map(Some)
    }

    /// `UNPIVOT [INCLUDE | EXCLUDE NULLS] (values FOR name IN (columns)) [[AS] alias]`
    pub(super) fn unpivot(&mut self, input: Relation, start: usize) -> SparkResult<Relation> {
        self.expect(K::UNPIVOT)?;
        let include_nulls = match self.eat_any(&[K::INCLUDE, K::EXCLUDE]) {
            Some(word) => {
                self.expect(K::NULLS)?;
                word == K::INCLUDE
            }
            None => false,
        };
        self.expect_symbol(S::OpenParen)?;
        let many = self.is_symbol(S::OpenParen);
        let value_names = if many { self.parenthesized(Self::identifier)? } else { vec![self.identifier()?] };
        self.expect(K::FOR)?;
        let variable_name = self.identifier()?;
        self.expect(K::IN)?;
        let values = self.parenthesized(|p| {
            let column = |p: &mut Self| {
                let place = p.start();
                let name = p.multipart_name()?;
                Ok(Expr::new(ExprKind::Attribute { name, plan_id: None }, p.span_from(place)))
            };
            let columns = if many { p.parenthesized(column)? } else { vec![column(p)?] };
            Ok((columns, p.optional_alias()?))
        })?;
        self.expect_symbol(S::CloseParen)?;
        let alias = if self.is(K::AS) && self.is_name_at(1) {
            self.advance();
            Some(self.plain_identifier()?)
        } else if self.is_bare_alias(AliasOf::Table) {
            Some(self.plain_identifier()?)
        } else {
            None
        };
        self.grow()?;
        let unpivot = Unpivot { input, ids: None, values, variable_name, value_names, include_nulls, alias };
        Ok(Relation::new(RelationKind::Unpivot(Box::new(unpivot)), self.span_from(start)))
    }
}
