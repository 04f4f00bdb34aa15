//! CREATE INDEX.

use firesteel_plan::{
    SparkResult,
    statement::{IndexColumn, StatementKind},
};

use crate::{cursor::Parser, keyword::Keyword as K, lexer::Symbol as S};

impl Parser<'_> {
    /// `INDEX [IF NOT EXISTS] name ON [TABLE] table [USING type] (columns) [OPTIONS (…)]`; INDEX is next.
    pub(super) fn create_index(&mut self) -> SparkResult<StatementKind> {
        self.advance();
        let if_not_exists = self.if_not_exists()?;
        let name = self.identifier()?;
        self.expect(K::ON)?;
        if self.is(K::TABLE) && self.is_name_at(1) {
            self.advance();
        }
        let table = self.identifier_reference()?;
        let index_type = if self.eat(K::USING) { Some(self.identifier()?) } else { None };
        if !self.is_symbol(S::OpenParen) {
            self.skip_to_end();
            return Err(self.error_of_statement(crate::statement::not_spark("CREATE INDEX")));
        }
        let columns = self.parenthesized(|p| {
            let name = p.multipart_name()?;
            let options = if p.eat(K::OPTIONS) { p.property_list()? } else { Vec::new() };
            Ok(IndexColumn { name, options })
        })?;
        let options = if self.eat(K::OPTIONS) { self.property_list()? } else { Vec::new() };
        Ok(StatementKind::CreateIndex { name, table, if_not_exists, index_type, columns, options })
    }
}
