//! CACHE, UNCACHE, CLEAR CACHE and REFRESH.

use firesteel_plan::{
    SparkError, SparkResult,
    statement::{CacheTable, StatementKind},
};

use crate::{cursor::Parser, keyword::Keyword as K, lexer::Symbol as S};

impl Parser<'_> {
    /// `CACHE [LAZY] TABLE name [OPTIONS (…)] [[AS] query]`
    pub(super) fn cache_table(&mut self) -> SparkResult<StatementKind> {
        let start = self.start();
        self.expect(K::CACHE)?;
        let lazy = self.eat(K::LAZY);
        self.expect(K::TABLE)?;
        let name = self.identifier_reference()?;
        let options = if self.eat(K::OPTIONS) { self.property_list()? } else { Vec::new() };
        let query = if self.eat(K::AS) || self.starts_query(0) {
            let from = self.start();
            let query = self.query()?;
            Some((query, self.text_from(from).to_owned()))
        } else {
            None
        };
        if query.is_some() && name.len() > 1 {
            let prefix = name[..name.len() - 1].join(".");
            let message = format!(
                "It is not allowed to add catalog/namespace prefix {prefix} to the table name in CACHE TABLE AS SELECT."
            );
            let error = SparkError::new("_LEGACY_ERROR_TEMP_0037", "", message).param("quoted", prefix);
            return Err(self.error_from(error, start));
        }
        Ok(StatementKind::CacheTable(Box::new(CacheTable { name, lazy, options, query })))
    }

    /// `UNCACHE TABLE [IF EXISTS] name`
    pub(super) fn uncache_table(&mut self) -> SparkResult<StatementKind> {
        self.expect_all(&[K::UNCACHE, K::TABLE])?;
        let if_exists = self.if_exists()?;
        Ok(StatementKind::UncacheTable { name: self.identifier_reference()?, if_exists })
    }

    /// `REFRESH TABLE name`, `REFRESH path`: a string, or all that follows as it stands.
    pub(super) fn refresh(&mut self) -> SparkResult<StatementKind> {
        let start = self.start();
        self.expect(K::REFRESH)?;
        if self.is(K::TABLE) && self.is_name_at(1) {
            self.advance();
            return Ok(StatementKind::RefreshTable { name: self.identifier_reference()? });
        }
        if self.is(K::FUNCTION) && self.is_name_at(1) {
            self.advance();
            return Ok(StatementKind::RefreshFunction { name: self.identifier_reference()? });
        }
        if self.is_string_at(0) {
            let path = self.string()?;
            if self.is_end() || self.is_symbol(S::Semicolon) {
                return Ok(StatementKind::RefreshPath { path });
            }
        }
        let wrong =
            |message: &str| SparkError::new("_LEGACY_ERROR_TEMP_0064", "", format!("{message}.")).param("msg", message);
        let from = start + "REFRESH".len();
        while !self.is_end() && !self.is_symbol(S::Semicolon) {
            self.advance();
        }
        let path = self.text_from(from).trim().to_owned();
        if path.is_empty() {
            let message = "Resource paths cannot be empty in REFRESH statements. Use / to match everything";
            return Err(self.error_from(wrong(message), start));
        }
        if path.contains([' ', '\n', '\r', '\t']) {
            let message = "REFRESH statements cannot contain ' ', '\\n', '\\r', '\\t' inside unquoted resource paths";
            return Err(self.error_from(wrong(message), start));
        }
        Ok(StatementKind::RefreshPath { path })
    }
}
