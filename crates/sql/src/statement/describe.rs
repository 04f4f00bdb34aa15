//! DESCRIBE.

use firesteel_plan::{SparkResult, statement::StatementKind};

use crate::{
    cursor::Parser,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
};

impl Parser<'_> {
    pub(super) fn describe(&mut self) -> SparkResult<StatementKind> {
        self.advance();
        let named_next = self.is_name_at(1);
        match self.keyword() {
            Some(K::QUERY) if self.starts_query(1) => {
                self.advance();
                return Ok(StatementKind::DescribeQuery { query: self.query()? });
            }
            Some(K::FUNCTION) if !matches!(self.kind_at(1), TokenKind::End | TokenKind::Symbol(S::Dot)) => {
                self.advance();
                let extended = self.is(K::EXTENDED) && !matches!(self.kind_at(1), TokenKind::End);
                if extended {
                    self.advance();
                }
                return Ok(StatementKind::DescribeFunction { name: self.function_to_describe()?, extended });
            }
            Some(K::DATABASE | K::SCHEMA | K::NAMESPACE) if named_next => {
                self.advance();
                let extended = self.is(K::EXTENDED) && self.is_name_at(1);
                if extended {
                    self.advance();
                }
                return Ok(StatementKind::DescribeDatabase { name: self.identifier_reference()?, extended });
            }
            Some(K::PROCEDURE) if named_next => return Ok(self.not_yet("DESCRIBE PROCEDURE")),
            _ => {}
        }
        if self.starts_query(0) && !(self.is(K::TABLE) && named_next) {
            return Ok(StatementKind::DescribeQuery { query: self.query()? });
        }
        if self.is(K::TABLE) && named_next {
            self.advance();
        }
        let extended = self.is_any(&[K::EXTENDED, K::FORMATTED]) && self.is_name_at(1);
        if extended {
            self.advance();
        }
        let name = self.identifier_reference()?;
        if self.is(K::PARTITION) {
            return Ok(self.not_yet("DESCRIBE TABLE … PARTITION"));
        }
        if self.are(&[K::AS, K::JSON]) {
            return Ok(self.not_yet("DESCRIBE TABLE … AS JSON"));
        }
        if self.is_name() {
            let column = self.multipart_name()?;
            return Ok(StatementKind::DescribeColumn { table: name, column, extended });
        }
        Ok(StatementKind::DescribeTable { name, extended })
    }

    /// A function's name, as a name, a string or an operator.
    fn function_to_describe(&mut self) -> SparkResult<Vec<String>> {
        if self.is_string_at(0) {
            return Ok(vec![self.string()?]);
        }
        if self.is_name() {
            return self.identifier_reference();
        }
        let start = self.start();
        if !matches!(self.kind(), TokenKind::Symbol(_)) || self.is_symbol(S::OpenParen) {
            return Err(self.unexpected());
        }
        while matches!(self.kind(), TokenKind::Symbol(symbol) if symbol != S::Semicolon) {
            self.advance();
        }
        Ok(vec![self.text_from(start).to_owned()])
    }
}
