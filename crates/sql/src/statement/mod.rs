//! Statements, by their first words.

mod cache;
mod create;
mod describe;
mod drop;
mod insert;
mod properties;
mod set;
mod show;

use firesteel_plan::{
    SparkError, SparkResult, Statement,
    statement::{ExplainMode, StatementKind},
};

use crate::{
    cursor::Parser,
    error,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
};

/// First words of statements that Spark has and nothing runs yet. The longest match names the statement.
const NOT_YET: &[&[K]] = &[
    &[K::ADD],
    &[K::ALTER, K::DATABASE],
    &[K::ALTER, K::NAMESPACE],
    &[K::ALTER, K::SCHEMA],
    &[K::ALTER, K::TABLE],
    &[K::ALTER, K::VIEW],
    &[K::ANALYZE, K::TABLE],
    &[K::ANALYZE, K::TABLES],
    &[K::BEGIN],
    &[K::CALL],
    &[K::COMMENT, K::ON],
    &[K::DECLARE],
    &[K::DELETE, K::FROM],
    &[K::EXECUTE, K::IMMEDIATE],
    &[K::LIST],
    &[K::LOAD, K::DATA],
    &[K::MERGE, K::INTO],
    &[K::MERGE, K::WITH],
    &[K::MSCK, K::REPAIR],
    &[K::REPAIR, K::TABLE],
    &[K::UPDATE],
];

/// First words of what Hive has and Spark refuses.
const NOT_SPARK: &[&[K]] = &[
    &[K::ALTER, K::INDEX],
    &[K::COMMIT],
    &[K::CREATE, K::ROLE],
    &[K::CREATE, K::TEMPORARY, K::MACRO],
    &[K::DFS],
    &[K::DROP, K::ROLE],
    &[K::DROP, K::TEMPORARY, K::MACRO],
    &[K::EXPORT, K::TABLE],
    &[K::GRANT],
    &[K::IMPORT, K::TABLE],
    &[K::LOCK, K::DATABASE],
    &[K::LOCK, K::TABLE],
    &[K::REVOKE],
    &[K::ROLLBACK],
    &[K::SET, K::ROLE],
    &[K::SHOW, K::COMPACTIONS],
    &[K::SHOW, K::CURRENT, K::ROLES],
    &[K::SHOW, K::GRANT],
    &[K::SHOW, K::INDEXES],
    &[K::SHOW, K::LOCKS],
    &[K::SHOW, K::PRINCIPALS],
    &[K::SHOW, K::ROLE],
    &[K::SHOW, K::ROLES],
    &[K::SHOW, K::TRANSACTIONS],
    &[K::START, K::TRANSACTION],
    &[K::UNLOCK, K::DATABASE],
    &[K::UNLOCK, K::TABLE],
];

impl Parser<'_> {
    /// One statement up to the end of the text; semicolons after it are allowed.
    pub fn whole_statement(&mut self) -> SparkResult<Statement> {
        let statement = self.statement()?;
        while self.eat_symbol(S::Semicolon) {}
        self.expect_end()?;
        Ok(statement)
    }

    pub fn statement(&mut self) -> SparkResult<Statement> {
        let start = self.start();
        let kind = self.statement_kind()?;
        Ok(Statement { kind, span: self.span_from(start) })
    }

    fn statement_kind(&mut self) -> SparkResult<StatementKind> {
        let start = self.start();
        let keyword = match self.kind() {
            TokenKind::Keyword(keyword) => keyword,
            TokenKind::Symbol(S::OpenParen) => return self.query_statement(),
            _ => return Err(self.unexpected()),
        };
        if let Some(words) = NOT_SPARK.iter().find(|words| self.are(words)) {
            self.skip_to_end();
            return Err(self.error_from(not_spark(&spelled(words)), start));
        }
        if let Some(words) = NOT_YET.iter().find(|words| self.are(words)) {
            if self.kind_at(words.len()) == TokenKind::End {
                return Err(self.unexpected_at(words.len()));
            }
            return Ok(self.not_yet(spelled(words)));
        }
        match keyword {
            K::SELECT | K::FROM | K::VALUES | K::TABLE | K::MAP | K::REDUCE => self.query_statement(),
            K::WITH => self.with_statement(),
            K::INSERT => self.insert(None),
            K::CREATE | K::REPLACE => self.create(),
            K::DROP => self.drop_statement(),
            K::USE => self.use_statement(),
            K::SET => self.set(),
            K::RESET => self.reset(),
            K::EXPLAIN => self.explain(),
            K::SHOW => self.show(),
            K::DESC | K::DESCRIBE => self.describe(),
            K::CLEAR if self.is_at(1, K::CACHE) => {
                self.at += 2;
                Ok(StatementKind::ClearCache)
            }
            K::CACHE if self.is_any_at(1, &[K::TABLE, K::LAZY]) => self.cache_table(),
            K::UNCACHE if self.is_at(1, K::TABLE) => self.uncache_table(),
            K::TRUNCATE => {
                self.advance();
                self.expect(K::TABLE)?;
                let name = self.identifier_reference()?;
                if self.is(K::PARTITION) {
                    return Ok(self.not_yet("TRUNCATE TABLE … PARTITION"));
                }
                Ok(StatementKind::TruncateTable { name })
            }
            K::REFRESH => self.refresh(),
            K::ALTER | K::ANALYZE | K::CACHE | K::CLEAR | K::DELETE | K::LOAD | K::MERGE | K::UNCACHE => {
                Err(self.unexpected_at(1))
            }
            _ => Err(self.unexpected()),
        }
    }

    /// The rest of the statement is not looked at.
    fn not_yet(&mut self, what: impl Into<String>) -> StatementKind {
        self.skip_to_end();
        StatementKind::NotYet { what: what.into() }
    }

    fn skip_to_end(&mut self) {
        while !self.is_end() {
            self.advance();
        }
    }

    fn query_statement(&mut self) -> SparkResult<StatementKind> {
        let query = self.query()?;
        if self.is(K::INSERT) && self.is_any_at(1, &[K::INTO, K::OVERWRITE]) {
            return Ok(self.not_yet("FROM … INSERT …"));
        }
        Ok(StatementKind::Query(query))
    }

    /// WITH before a query or before a statement that changes a table.
    fn with_statement(&mut self) -> SparkResult<StatementKind> {
        let start = self.start();
        let with = self.with_clause()?;
        if self.is(K::INSERT) {
            return self.insert(with);
        }
        if let Some(words) = NOT_YET.iter().find(|words| self.are(words)) {
            return Ok(self.not_yet(spelled(words)));
        }
        let query = self.nested(|p| p.query_after_with(with, start))?;
        if self.is(K::INSERT) && self.is_any_at(1, &[K::INTO, K::OVERWRITE]) {
            return Ok(self.not_yet("FROM … INSERT …"));
        }
        Ok(StatementKind::Query(query))
    }

    fn use_statement(&mut self) -> SparkResult<StatementKind> {
        self.advance();
        if self.is_any(&[K::NAMESPACE, K::DATABASE, K::SCHEMA]) && self.is_name_at(1) {
            self.advance();
        }
        Ok(StatementKind::Use { name: self.identifier_reference()? })
    }

    fn explain(&mut self) -> SparkResult<StatementKind> {
        let start = self.start();
        self.advance();
        let mode = match self.keyword() {
            Some(K::LOGICAL) => {
                self.skip_to_end();
                return Err(self.error_from(not_spark("EXPLAIN LOGICAL"), start));
            }
            Some(K::FORMATTED) => Some(ExplainMode::Formatted),
            Some(K::EXTENDED) => Some(ExplainMode::Extended),
            Some(K::CODEGEN) => Some(ExplainMode::Codegen),
            Some(K::COST) => Some(ExplainMode::Cost),
            _ => None,
        };
        if mode.is_some() {
            self.advance();
        }
        let statement = Box::new(self.nested(Self::statement)?);
        Ok(StatementKind::Explain { mode: mode.unwrap_or(ExplainMode::Simple), statement })
    }

    /// `IF NOT EXISTS`
    fn if_not_exists(&mut self) -> SparkResult<bool> {
        if !self.is(K::IF) || !(self.is_at(1, K::NOT) || self.is_symbol_at(1, S::Bang)) {
            return Ok(false);
        }
        self.at += 2;
        self.expect(K::EXISTS)?;
        Ok(true)
    }

    /// `IF EXISTS`
    fn if_exists(&mut self) -> SparkResult<bool> {
        let found = self.is(K::IF) && self.is_name_at(1);
        if found {
            self.advance();
            self.expect(K::EXISTS)?;
        }
        Ok(found)
    }
}

fn spelled(words: &[K]) -> String {
    words.iter().map(|k| k.text()).collect::<Vec<_>>().join(" ")
}

fn not_spark(operation: &str) -> SparkError {
    error::invalid_statement(
        "INVALID_STATEMENT_OR_CLAUSE",
        "42601",
        format!("The statement or clause: {operation} is not valid."),
    )
    .param("operation", operation)
}
