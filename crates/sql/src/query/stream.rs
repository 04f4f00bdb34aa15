//! What tables with history and streams have behind their names.

use firesteel_plan::{
    Relation, RelationKind, SparkResult,
    relation::{History, HistoryBound, HistoryPoint},
};

use crate::{
    cursor::Parser,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
};

const VERSIONS: &[K] = &[K::SYSTEM_VERSION, K::VERSION];
const TIMES: &[K] = &[K::SYSTEM_TIME, K::TIMESTAMP];

impl Parser<'_> {
    /// `[FOR] VERSION AS OF n`, `[FOR] TIMESTAMP AS OF t` or `CHANGES FROM … [TO …]`, if it stands here.
    pub(super) fn history(&mut self) -> SparkResult<Option<History>> {
        let skip = usize::from(self.is(K::FOR));
        let is_point = self.is_any_at(skip, VERSIONS) || self.is_any_at(skip, TIMES);
        if is_point && self.is_at(skip + 1, K::AS) && self.is_at(skip + 2, K::OF) {
            self.at += skip;
            let versions = self.is_any(VERSIONS);
            self.at += 3;
            return self.history_point(versions).map(|point| Some(History::AsOf(point)));
        }
        if !(self.is(K::CHANGES) && self.is_at(1, K::FROM)) {
            return Ok(None);
        }
        self.at += 2;
        let from = self.history_bound()?;
        let to = if self.eat(K::TO) { Some(self.history_bound()?) } else { None };
        Ok(Some(History::Changes { from, to }))
    }

    /// `VERSION n | TIMESTAMP t [INCLUSIVE | EXCLUSIVE]`
    fn history_bound(&mut self) -> SparkResult<HistoryBound> {
        let versions = self.is_any(VERSIONS);
        if !versions && !self.is_any(TIMES) {
            return Err(self.unexpected());
        }
        self.advance();
        let point = self.history_point(versions)?;
        let inclusive = self.eat_any(&[K::INCLUSIVE, K::EXCLUSIVE]) != Some(K::EXCLUSIVE);
        Ok(HistoryBound { point, inclusive })
    }

    fn history_point(&mut self, versions: bool) -> SparkResult<HistoryPoint> {
        if !versions {
            return self.value().map(HistoryPoint::Timestamp);
        }
        if self.kind() == TokenKind::Integer {
            let token = self.advance();
            return Ok(HistoryPoint::Version(self.token_text(token).to_owned()));
        }
        self.string().map(HistoryPoint::Version)
    }

    pub(super) fn starts_stream(&self) -> bool {
        self.is(K::STREAM)
            && (self.is_name_at(1) && !self.starts_clause(1, crate::name::AliasOf::Table) && !self.is_at(1, K::AS)
                || self.is_symbol_at(1, S::OpenParen))
            && self.stream_is_no_alias()
    }

    /// `stream s` is a table with an alias unless what follows can only follow a stream's table.
    fn stream_is_no_alias(&self) -> bool {
        !self.is_symbol_at(1, S::OpenParen) || self.is_name_at(2)
    }

    /// `STREAM table …`, `STREAM (table) …`, `STREAM function(…)`
    pub(super) fn stream(&mut self) -> SparkResult<Relation> {
        let start = self.start();
        self.expect(K::STREAM)?;
        let in_parentheses = self.eat_symbol(S::OpenParen);
        let place = self.start();
        let name = self.identifier_reference()?;
        let is_call = self.is_symbol(S::OpenParen);
        let mut changes = None;
        let mut input = if is_call {
            self.table_function_call(name, place)?
        } else {
            Relation::new(RelationKind::Table { name, options: Vec::new() }, self.span_from(place))
        };
        if in_parentheses {
            self.expect_symbol(S::CloseParen)?;
        } else if self.is(K::CHANGES) && !is_call {
            self.advance();
            changes = Some(if self.eat(K::FROM) { Some(self.history_bound()?) } else { None });
        }
        if !is_call && self.is(K::WITH) && self.is_symbol_at(1, S::OpenParen) {
            self.advance();
            let list = self.property_list()?;
            if let RelationKind::Table { options, .. } = &mut input.kind {
                *options = list;
            }
        }
        let identified_by = self.identified_name()?;
        let kind = RelationKind::Stream { input: Box::new(input), changes, identified_by };
        let stream = Relation::new(kind, self.span_from(start));
        let stream = self.watermarked(stream, start)?;
        self.table_alias(stream, start)
    }

    fn identified_name(&mut self) -> SparkResult<Option<String>> {
        if self.eat_all(&[K::IDENTIFIED, K::BY]) { self.plain_identifier().map(Some) } else { Ok(None) }
    }

    /// `IDENTIFIED BY name`, which names the source of a stream.
    pub(super) fn identified_by(&mut self, input: Relation, start: usize) -> SparkResult<Relation> {
        let Some(name) = self.identified_name()? else { return Ok(input) };
        let kind = RelationKind::Stream { input: Box::new(input), changes: None, identified_by: Some(name) };
        Ok(Relation::new(kind, self.span_from(start)))
    }

    /// `WATERMARK expression DELAY OF interval`, if it stands here.
    pub(super) fn watermarked(&mut self, input: Relation, start: usize) -> SparkResult<Relation> {
        if !(self.is(K::WATERMARK) && self.is_name_at(1) && self.starts_operand(1)) {
            return Ok(input);
        }
        let begins = self.mark();
        self.advance();
        let column = self.expression().and_then(|column| {
            if self.are(&[K::DELAY, K::OF]) {
                return Ok(column);
            }
            self.eat(K::AS);
            let name = self.plain_identifier()?;
            let span = column.span;
            Ok(firesteel_plan::Expr { span, ..column.alias(name) })
        });
        // A table's alias may be the same word.
        let (Ok(column), true) = (column, self.are(&[K::DELAY, K::OF])) else {
            self.rewind(&begins);
            return Ok(input);
        };
        self.at += 2;
        let delay = self.value()?;
        self.grow()?;
        let kind = RelationKind::Watermark { input: Box::new(input), column, delay };
        Ok(Relation::new(kind, self.span_from(start)))
    }
}
