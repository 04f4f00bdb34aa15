//! SELECT.

use std::collections::HashMap;

use firesteel_plan::{
    Expr, Relation, RelationKind, SparkError, SparkResult,
    expr::{WindowDefinition, WindowSpec},
    relation::{Grouping, SetOp},
};

use crate::{cursor::Parser, keyword::Keyword as K, lexer::Symbol as S};

impl Parser<'_> {
    /// SELECT, MAP or REDUCE and their clauses; `from` is the relation where FROM came first.
    pub(super) fn select(&mut self, from: Option<Relation>) -> SparkResult<Relation> {
        let start = self.start();
        if self.starts_transform() {
            return self.transform(from);
        }
        let head = self.select_head()?;
        let mut relation = match from {
            Some(from) => from,
            None if self.is(K::FROM) => self.relations()?,
            None => Relation::new(RelationKind::OneRow, self.span_from(start)),
        };
        relation = self.filtered(relation, start)?;
        relation = self.grouped(relation, head.exprs, start)?;
        // WINDOW may stand on either side of QUALIFY.
        let mut windows = self.window_definitions()?;
        if self.is(K::QUALIFY) && self.starts_operand(1) {
            self.advance();
            let condition = self.expression()?;
            relation =
                Relation::new(RelationKind::Qualify { input: Box::new(relation), condition }, self.span_from(start));
        }
        if windows.is_none() {
            windows = self.window_definitions()?;
        }
        Ok(self.select_finished(relation, head.distinct, windows, head.hints, start))
    }

    /// `SELECT hints [DISTINCT | ALL] expressions`
    pub(super) fn select_head(&mut self) -> SparkResult<SelectHead> {
        self.expect(K::SELECT)?;
        let hints = self.hints()?;
        let mut distinct = false;
        if self.is_any(&[K::DISTINCT, K::ALL]) && self.starts_operand(1) {
            distinct = self.is(K::DISTINCT);
            self.advance();
        }
        let exprs = self.comma_separated(Self::named_expression)?;
        Ok(SelectHead { hints, distinct, exprs })
    }

    pub(super) fn select_finished(
        &self,
        mut relation: Relation,
        distinct: bool,
        windows: Option<Vec<(String, WindowDefinition)>>,
        hints: Vec<(String, Vec<Expr>)>,
        start: usize,
    ) -> Relation {
        let span = self.span_from(start);
        if distinct {
            relation = Relation::new(RelationKind::Distinct { input: Box::new(relation) }, span);
        }
        if let Some(windows) = windows {
            relation = Relation::new(RelationKind::WithWindows { input: Box::new(relation), windows }, span);
        }
        for (name, args) in hints.into_iter().rev() {
            relation = Relation::new(RelationKind::Hint { input: Box::new(relation), name, args }, span);
        }
        relation
    }

    /// LATERAL VIEW and WHERE.
    pub(super) fn filtered(&mut self, mut relation: Relation, start: usize) -> SparkResult<Relation> {
        while self.are(&[K::LATERAL, K::VIEW]) {
            relation = self.lateral_view(relation)?;
        }
        if self.is(K::WHERE) {
            self.advance();
            let condition = self.expression()?;
            relation =
                Relation::new(RelationKind::Filter { input: Box::new(relation), condition }, self.span_from(start));
        }
        Ok(relation)
    }

    /// GROUP BY and HAVING, or neither, around the expressions of SELECT.
    pub(super) fn grouped(&mut self, relation: Relation, exprs: Vec<Expr>, start: usize) -> SparkResult<Relation> {
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
        Ok(Relation::new(kind, self.span_from(start)))
    }

    /// `FROM relation SELECT …`; without SELECT all columns. Several SELECTs make one result.
    pub(super) fn query_with_from_first(&mut self) -> SparkResult<Relation> {
        let start = self.start();
        let from = self.relations()?;
        let mut whole: Option<Relation> = None;
        while self.is(K::SELECT) || self.starts_transform() {
            let select = self.select_over(from.clone())?;
            whole = Some(match whole {
                None => select,
                Some(left) => self.combined(left, select, SetOp::Union, true, start)?,
            });
        }
        Ok(whole.unwrap_or(from))
    }

    /// One SELECT over `from`, with what orders and cuts it.
    pub fn select_over(&mut self, from: Relation) -> SparkResult<Relation> {
        let start = self.start();
        if !self.is(K::SELECT) && !self.starts_transform() {
            return Err(self.unexpected());
        }
        let select = self.select(Some(from))?;
        self.organized(select, start)
    }

    /// `/*+ NAME, NAME(args) … */`, any number of them.
    fn hints(&mut self) -> SparkResult<Vec<(String, Vec<Expr>)>> {
        let mut hints = Vec::new();
        while self.eat_symbol(S::HintStart) {
            loop {
                let name = self.simple_identifier()?;
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
        Ok(match self.window_definitions()? {
            Some(windows) => {
                Relation::new(RelationKind::WithWindows { input: Box::new(input), windows }, self.span_from(start))
            }
            None => input,
        })
    }

    pub(super) fn starts_windows(&self) -> bool {
        self.is(K::WINDOW)
            && self.is_name_at(1)
            && (self.is_at(2, K::AS) || self.is_at(1, K::IDENTIFIER) && self.is_symbol_at(2, S::OpenParen))
    }

    pub(super) fn window_definitions(&mut self) -> SparkResult<Option<Vec<(String, WindowDefinition)>>> {
        if !self.starts_windows() {
            return Ok(None);
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
        Ok(Some(windows))
    }

    fn window_error(&self, subclass: &str, message: String, name: &str, place: usize) -> SparkError {
        let error = SparkError::new(format!("INVALID_SQL_SYNTAX.{subclass}"), "42000", message);
        self.error_from(error.param("windowName", format!("`{name}`")), place)
    }
}

/// What SELECT has before FROM.
pub struct SelectHead {
    pub hints: Vec<(String, Vec<Expr>)>,
    pub distinct: bool,
    pub exprs: Vec<Expr>,
}
