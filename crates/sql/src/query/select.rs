//! SELECT.

use std::collections::HashMap;

use firesteel_plan::{
    Expr, Relation, RelationKind, SparkError, SparkResult,
    expr::{WindowDefinition, WindowSpec},
    relation::{Grouping, SetOp},
};

use crate::{cursor::Parser, keyword::Keyword as K, lexer::Symbol as S};

impl Parser<'_> {
    /// SELECT and its clauses up to WINDOW; `from` is the relation where FROM came first.
    pub(super) fn select(&mut self, from: Option<Relation>) -> SparkResult<Relation> {
        let start = self.start();
        self.expect(K::SELECT)?;
        if self.is(K::TRANSFORM) && self.is_symbol_at(1, S::OpenParen) {
            let after = self.after_paren(1);
            if self.is_any_at(after, &[K::USING, K::RECORDWRITER])
                || self.is_at(after, K::ROW) && self.is_at(after + 1, K::FORMAT)
            {
                return Err(self.script_transformation(start));
            }
        }
        let hints = self.hints()?;
        let mut distinct = false;
        if self.is_any(&[K::DISTINCT, K::ALL]) && self.starts_operand(1) {
            distinct = self.is(K::DISTINCT);
            self.advance();
        }
        let exprs = self.comma_separated(Self::named_expression)?;
        let mut relation = match from {
            Some(from) => from,
            None if self.is(K::FROM) => self.relations()?,
            None => Relation::new(RelationKind::OneRow, self.span_from(start)),
        };
        while self.are(&[K::LATERAL, K::VIEW]) {
            relation = self.lateral_view(relation)?;
        }
        if self.is(K::WHERE) {
            self.advance();
            let condition = self.expression()?;
            relation =
                Relation::new(RelationKind::Filter { input: Box::new(relation), condition }, self.span_from(start));
        }
        let grouping = if self.eat_all(&[K::GROUP, K::BY]) { Some(self.grouping()?) } else { None };
        let having = if self.is(K::HAVING) && self.starts_operand(1) {
            self.advance();
            Some(self.expression()?)
        } else {
            None
        };
        let input = Box::new(relation);
        let kind = match (grouping, having) {
            (None, None) => RelationKind::Project { input, exprs },
            (grouping, having) => RelationKind::Aggregate {
                input,
                grouping: grouping.unwrap_or(Grouping::None),
                aggregates: exprs,
                having,
            },
        };
        relation = Relation::new(kind, self.span_from(start));
        if self.is(K::QUALIFY) {
            self.advance();
            let condition = self.expression()?;
            relation =
                Relation::new(RelationKind::Qualify { input: Box::new(relation), condition }, self.span_from(start));
        }
        if distinct {
            relation = Relation::new(RelationKind::Distinct { input: Box::new(relation) }, self.span_from(start));
        }
        relation = self.windows_clause(relation, start)?;
        for (name, args) in hints.into_iter().rev() {
            relation =
                Relation::new(RelationKind::Hint { input: Box::new(relation), name, args }, self.span_from(start));
        }
        Ok(relation)
    }

    /// `FROM relation SELECT …`; without SELECT all columns. Several SELECTs make one result.
    pub(super) fn query_with_from_first(&mut self) -> SparkResult<Relation> {
        let start = self.start();
        let from = self.relations()?;
        let mut whole: Option<Relation> = None;
        while self.is(K::SELECT) {
            let body = self.start();
            let select = self.select(Some(from.clone()))?;
            let select = self.organized(select, body)?;
            whole = Some(match whole {
                None => select,
                Some(left) => {
                    self.grow()?;
                    let kind = RelationKind::SetOperation {
                        left: Box::new(left),
                        right: Box::new(select),
                        op: SetOp::Union,
                        all: true,
                        by_name: false,
                        allow_missing_columns: false,
                    };
                    Relation::new(kind, self.span_from(start))
                }
            });
        }
        Ok(whole.unwrap_or(from))
    }

    /// `/*+ NAME, NAME(args) … */`, any number of them.
    fn hints(&mut self) -> SparkResult<Vec<(String, Vec<Expr>)>> {
        let mut hints = Vec::new();
        while self.eat_symbol(S::HintStart) {
            loop {
                let name = self.identifier()?;
                let args = if self.is_symbol(S::OpenParen) { self.parenthesized(Self::primary)? } else { Vec::new() };
                hints.push((name, args));
                self.eat_symbol(S::Comma);
                if self.eat_symbol(S::HintEnd) {
                    break;
                }
            }
        }
        Ok(hints)
    }

    /// `WINDOW name AS (…), …` over `input`, if it stands here.
    pub(super) fn windows_clause(&mut self, input: Relation, start: usize) -> SparkResult<Relation> {
        if !(self.is(K::WINDOW) && self.is_name_at(1) && self.is_at(2, K::AS)) {
            return Ok(input);
        }
        let place = self.start();
        self.advance();
        let named = self.comma_separated(|p| {
            let name = p.plain_identifier()?;
            p.expect(K::AS)?;
            Ok((name, p.window_spec()?))
        })?;
        let mut windows: Vec<(String, WindowDefinition)> = Vec::with_capacity(named.len());
        let mut known: HashMap<String, usize> = HashMap::with_capacity(named.len());
        for (name, spec) in &named {
            if let WindowSpec::Inline(window) = spec {
                if known.insert(name.clone(), windows.len()).is_some() {
                    let message = format!("Invalid SQL syntax: The definition of window `{name}` is repetitive.");
                    return Err(self.window_error("REPETITIVE_WINDOW_DEFINITION", message, name, place));
                }
                windows.push((name.clone(), window.clone()));
            }
        }
        for (name, spec) in named {
            if let WindowSpec::Named(other) = spec {
                let Some(at) = known.get(&other) else {
                    let message = format!("Invalid SQL syntax: Cannot resolve window reference `{other}`.");
                    return Err(self.window_error("UNRESOLVED_WINDOW_REFERENCE", message, &other, place));
                };
                let window = windows[*at].1.clone();
                windows.push((name, window));
            }
        }
        Ok(Relation::new(RelationKind::WithWindows { input: Box::new(input), windows }, self.span_from(start)))
    }

    fn window_error(&self, subclass: &str, message: String, name: &str, place: usize) -> SparkError {
        let error = SparkError::new(format!("INVALID_SQL_SYNTAX.{subclass}"), "42000", message);
        self.error_from(error.param("windowName", format!("`{name}`")), place)
    }
}
