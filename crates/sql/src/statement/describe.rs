//! DESCRIBE.

use firesteel_plan::{SparkError, SparkResult, statement::StatementKind};

use crate::{
    cursor::Parser,
    error,
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
            Some(K::PROCEDURE) if named_next => {
                self.advance();
                return Ok(StatementKind::DescribeProcedure { name: self.identifier_reference()? });
            }
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
        let partition = if self.is(K::PARTITION) {
            // The place of its errors is the whole statement.
            self.full_partition_spec().map_err(|e| match e.class() {
                "INVALID_SQL_SYNTAX.EMPTY_PARTITION_VALUE" => self.error_of_statement(e.without_context()),
                _ => e,
            })?
        } else {
            Vec::new()
        };
        let is_json = |p: &Self| p.are(&[K::AS, K::JSON]) && p.token(2).kind.ends_statement();
        let column = if self.is_name() && !is_json(self) { Some(self.multipart_name()?) } else { None };
        let json = is_json(self);
        if json {
            self.at += 2;
        }
        match column {
            Some(_) if json => Err(self.error_of_statement(error::unsupported_feature(
                "DESC_TABLE_COLUMN_JSON",
                "DESC TABLE COLUMN AS JSON not supported for individual columns.",
            ))),
            Some(_) if !partition.is_empty() => Err(self.error_of_statement(error::unsupported_feature(
                "DESC_TABLE_COLUMN_PARTITION",
                "DESC TABLE COLUMN for a specific partition.",
            ))),
            Some(column) => Ok(StatementKind::DescribeColumn { table: name, column, extended }),
            None if json && !extended => {
                let table = name.join(".");
                let error = SparkError::new(
                    "DESCRIBE_JSON_NOT_EXTENDED",
                    "0A000",
                    format!(
                        "DESCRIBE TABLE ... AS JSON only supported when [EXTENDED|FORMATTED] is specified.\nFor example: DESCRIBE \
                         EXTENDED {table} AS JSON is supported but DESCRIBE {table} AS JSON is not."
                    ),
                );
                Err(self.error_of_statement(error.param("tableName", table)))
            }
            None => Ok(StatementKind::DescribeTable { name, extended, partition, json }),
        }
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
