//! INSERT.

use firesteel_plan::{
    SparkResult,
    statement::{Insert, InsertDirectory, StatementKind},
};

use crate::{cursor::Parser, error, keyword::Keyword as K, lexer::Symbol as S, query::WithClause};

impl Parser<'_> {
    /// `with` is the WITH that stood before INSERT; its CTEs are the query's.
    pub(super) fn insert(&mut self, with: Option<WithClause>) -> SparkResult<StatementKind> {
        self.expect(K::INSERT)?;
        let overwrite = match self.eat_any(&[K::INTO, K::OVERWRITE]) {
            Some(word) => word == K::OVERWRITE,
            None => return Err(self.unexpected()),
        };
        let local = self.is(K::LOCAL) && self.is_at(1, K::DIRECTORY);
        if overwrite && (local || self.is(K::DIRECTORY) && (self.is_string_at(1) || self.is_at(1, K::USING))) {
            return self.insert_directory(with, local);
        }
        if self.is(K::TABLE) && self.is_name_at(1) && !self.starts_query(1) {
            self.advance();
        }
        let table = self.identifier_reference()?;
        if self.is(K::WITH) && self.is_symbol_at(1, S::OpenParen) {
            return Ok(self.not_yet("INSERT … WITH (options)"));
        }
        let mut insert = Insert {
            table,
            overwrite,
            partition: Vec::new(),
            if_not_exists: false,
            columns: Vec::new(),
            by_name: false,
            replace_where: None,
            query: firesteel_plan::Relation::bare(firesteel_plan::RelationKind::OneRow),
        };
        if !overwrite && self.are(&[K::REPLACE, K::WHERE]) {
            self.at += 2;
            insert.replace_where = Some(self.expression()?);
        } else {
            if self.is(K::PARTITION) {
                insert.partition = self.partition_spec()?;
            }
            if !overwrite || !insert.partition.is_empty() {
                insert.if_not_exists = self.if_not_exists()?;
            }
            if self.eat(K::BY) {
                self.expect(K::NAME)?;
                insert.by_name = true;
            } else if self.is_symbol(S::OpenParen) && !self.starts_query(1) {
                insert.columns = self.identifier_list()?;
            }
        }
        insert.query = self.source_query(with)?;
        let dynamic: Vec<&str> =
            insert.partition.iter().filter(|(_, v)| v.is_none()).map(|(n, _)| n.as_str()).collect();
        if overwrite && insert.if_not_exists && !dynamic.is_empty() {
            let what = format!("IF NOT EXISTS with dynamic partitions: {}", dynamic.join(", "));
            return Err(self.error_of_statement(error::operation_not_allowed(&what)));
        }
        Ok(StatementKind::Insert(Box::new(insert)))
    }

    fn source_query(&mut self, with: Option<WithClause>) -> SparkResult<firesteel_plan::Relation> {
        let start = self.start();
        let query = self.query()?;
        Ok(match with {
            Some(with) => self.with_ctes(with, query, start),
            None => query,
        })
    }

    fn insert_directory(&mut self, with: Option<WithClause>, local: bool) -> SparkResult<StatementKind> {
        if local {
            self.advance();
        }
        self.expect(K::DIRECTORY)?;
        let path = if self.is_string_at(0) { Some(self.string()?) } else { None };
        let mut format = None;
        let mut options = Vec::new();
        if self.eat(K::USING) {
            format = Some(self.multipart_name()?.join("."));
            if self.eat(K::OPTIONS) {
                options = self.property_list()?;
            }
        } else if self.are(&[K::ROW, K::FORMAT]) || self.is(K::STORED) {
            return Ok(self.not_yet("INSERT OVERWRITE DIRECTORY in a Hive format"));
        }
        let query = self.source_query(with)?;
        Ok(StatementKind::InsertDirectory(Box::new(InsertDirectory { local, path, format, options, query })))
    }
}
