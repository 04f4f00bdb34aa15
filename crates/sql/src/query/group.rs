//! GROUP BY.

use firesteel_plan::{
    Expr, SparkError, SparkResult,
    relation::{Grouping, GroupingElement, GroupingSet},
};

use crate::{
    cursor::Parser,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
};

impl Parser<'_> {
    /// What follows GROUP BY.
    pub(super) fn grouping(&mut self) -> SparkResult<Grouping> {
        let clause = self.tokens.get(self.at.saturating_sub(2)).map_or(0, |t| t.start as usize);
        let grouping = self.grouping_elements()?;
        if let Grouping::Elements(elements) = &grouping
            && let Some(element) = elements.iter().find_map(|e| match e {
                GroupingElement::Rollup(sets) => sets.iter().any(Vec::is_empty).then_some("ROLLUP"),
                GroupingElement::Cube(sets) => sets.iter().any(Vec::is_empty).then_some("CUBE"),
                _ => None,
            })
        {
            let message = format!("Empty set in {element} grouping sets is not supported.");
            let error = SparkError::new("_LEGACY_ERROR_TEMP_0051", "", message).param("element", element);
            return Err(self.error_from(error, clause));
        }
        Ok(grouping)
    }

    fn grouping_elements(&mut self) -> SparkResult<Grouping> {
        let elements = self.comma_separated(Self::grouping_clause)?;
        // The older form puts the kind behind all columns.
        if self.are(&[K::WITH, K::ROLLUP]) || self.are(&[K::WITH, K::CUBE]) {
            let rollup = self.is_at(1, K::ROLLUP);
            let sets = self.plain_elements(elements)?.into_iter().map(|e| vec![e]).collect();
            self.at += 2;
            let element = if rollup { GroupingElement::Rollup(sets) } else { GroupingElement::Cube(sets) };
            return Ok(Grouping::Elements(vec![element]));
        }
        if self.is(K::WITH) {
            return Err(self.unexpected_at(1));
        }
        if self.are(&[K::GROUPING, K::SETS]) && self.is_symbol_at(2, S::OpenParen) {
            // The columns before are those of the sets; the sets alone say what is grouped.
            self.plain_elements(elements)?;
            return Ok(Grouping::Elements(vec![self.grouping_analytics()?]));
        }
        if elements.iter().any(|e| !matches!(e, GroupingElement::Expr(_))) {
            return Ok(Grouping::Elements(elements));
        }
        let exprs = self.plain_elements(elements)?;
        Ok(match exprs.as_slice() {
            [expr] if super::is_word_all(expr) => Grouping::All,
            _ => Grouping::Exprs(exprs),
        })
    }

    fn plain_elements(&self, elements: Vec<GroupingElement>) -> SparkResult<Vec<Expr>> {
        let plain = elements.into_iter().map(|element| match element {
            GroupingElement::Expr(expr) => Ok(expr),
            _ => Err(self.unexpected()),
        });
        plain.collect()
    }

    fn starts_grouping_analytics(&self) -> bool {
        self.is_any(&[K::ROLLUP, K::CUBE]) && self.is_symbol_at(1, S::OpenParen)
            || self.are(&[K::GROUPING, K::SETS]) && self.is_symbol_at(2, S::OpenParen)
    }

    fn grouping_clause(&mut self) -> SparkResult<GroupingElement> {
        if self.starts_grouping_analytics() {
            return self.grouping_analytics();
        }
        self.expression().map(GroupingElement::Expr)
    }

    fn grouping_analytics(&mut self) -> SparkResult<GroupingElement> {
        if self.eat_all(&[K::GROUPING, K::SETS]) {
            return self
                .nested(|p| {
                    p.parenthesized(|p| {
                        if p.starts_grouping_analytics() {
                            return p.grouping_analytics().map(GroupingSet::Element);
                        }
                        p.grouping_set().map(GroupingSet::Exprs)
                    })
                })
                .map(GroupingElement::Sets);
        }
        let rollup = self.is(K::ROLLUP);
        self.advance();
        let sets = self.parenthesized(Self::grouping_set)?;
        Ok(if rollup { GroupingElement::Rollup(sets) } else { GroupingElement::Cube(sets) })
    }

    /// `()`, `(a, b)` or one expression.
    fn grouping_set(&mut self) -> SparkResult<Vec<Expr>> {
        let is_list = self.is_symbol(S::OpenParen)
            && matches!(self.kind_at(self.after_paren(0)), TokenKind::Symbol(S::Comma | S::CloseParen))
            && !self.starts_query(1);
        if !is_list {
            return Ok(vec![self.expression()?]);
        }
        if self.is_symbol_at(1, S::CloseParen) {
            self.at += 2;
            return Ok(Vec::new());
        }
        self.parenthesized(Self::expression)
    }
}
