//! Statements, by their first words.

mod alter;
mod cache;
mod create;
mod describe;
mod dml;
mod drop;
mod insert;
mod maintain;
mod properties;
mod script;
mod set;
mod show;
mod variable;

pub use script::OpenLabel;

use firesteel_plan::{
    SparkError, SparkResult, Statement,
    statement::{ExplainMode, StatementKind},
};

use crate::{
    cursor::Parser,
    error,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
    query::WithClause,
};

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
        if self.text.trim().is_empty() {
            return Err(self.error_of_statement(error::empty_statement()));
        }
        let start = self.start();
        let mut statement = if self.starts_script() {
            let kind = self.script()?;
            Statement { kind, span: self.span_from(start) }
        } else {
            self.statement()?
        };
        while self.eat_symbol(S::Semicolon) {}
        self.expect_end()?;
        if !self.deferred.is_empty() {
            let clauses = std::mem::take(&mut self.deferred);
            statement.kind = StatementKind::Deferred { clauses, statement: Box::new(statement.kind) };
        }
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
            K::TRUNCATE => self.truncate_table(),
            K::REFRESH => self.refresh(),
            K::ALTER => self.alter(),
            K::ANALYZE => self.analyze(),
            K::MSCK | K::REPAIR => self.repair_table(),
            K::COMMENT if self.is_at(1, K::ON) => self.comment_on(),
            K::ADD | K::LIST if self.is_name_at(1) => self.manage_resources(),
            K::LOAD if self.is_at(1, K::DATA) => self.load_data(),
            K::UPDATE => self.update(),
            K::DELETE if self.is_at(1, K::FROM) => self.delete(),
            K::MERGE if self.is_any_at(1, &[K::INTO, K::WITH]) => self.merge(),
            K::CALL => self.call_procedure(),
            K::DECLARE => self.declare(),
            K::EXECUTE if self.is_at(1, K::IMMEDIATE) => self.execute_immediate(),
            K::OPEN => self.open_cursor(),
            K::FETCH => self.fetch_cursor(),
            K::CLOSE => self.close_cursor(),
            K::CACHE | K::CLEAR | K::DELETE | K::EXECUTE | K::LOAD | K::MERGE | K::UNCACHE => {
                Err(self.unexpected_at(1))
            }
            _ => Err(self.unexpected()),
        }
    }

    fn skip_to_end(&mut self) {
        let in_script = self.script_depth > 0;
        while !(self.is_end() || in_script && self.is_symbol(S::Semicolon)) {
            self.advance();
        }
    }

    fn query_statement(&mut self) -> SparkResult<StatementKind> {
        self.query_or_inserts(None, self.start())
    }

    /// WITH before a query or before a statement that changes a table.
    fn with_statement(&mut self) -> SparkResult<StatementKind> {
        let start = self.start();
        let with = self.with_clause()?;
        match self.keyword() {
            Some(K::INSERT) => self.insert(with),
            Some(K::UPDATE) => self.changed_with(with, Self::update),
            Some(K::DELETE) => self.changed_with(with, Self::delete),
            Some(K::MERGE) => self.changed_with(with, Self::merge),
            _ => self.query_or_inserts(with, start),
        }
    }

    /// UPDATE, DELETE or MERGE with the WITH before it, whose CTEs its subqueries see.
    fn changed_with(
        &mut self,
        with: Option<WithClause>,
        statement: impl FnOnce(&mut Self) -> SparkResult<StatementKind>,
    ) -> SparkResult<StatementKind> {
        let changed = statement(self)?;
        Ok(match with {
            Some(with) => {
                StatementKind::WithCtes { ctes: with.ctes, recursive: with.recursive, statement: Box::new(changed) }
            }
            None => changed,
        })
    }

    /// A query; or `FROM relation` with one INSERT or more behind it.
    fn query_or_inserts(&mut self, with: Option<WithClause>, start: usize) -> SparkResult<StatementKind> {
        if self.is(K::FROM) {
            let begins = self.mark();
            let from = self.relations()?;
            if self.is(K::INSERT) && self.is_any_at(1, &[K::INTO, K::OVERWRITE, K::WITH]) {
                return self.multi_insert(&from, with);
            }
            self.rewind(&begins);
        }
        self.nested(|p| p.query_after_with(with, start)).map(StatementKind::Query)
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
