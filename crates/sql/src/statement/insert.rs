//! INSERT.

use firesteel_plan::{
    Relation, RelationKind, SparkError, SparkResult,
    statement::{Insert, InsertDirectory, InsertReplace, StatementKind, TableStorage},
};

use crate::{cursor::Parser, error, keyword::Keyword as K, lexer::Symbol as S, query::WithClause};

impl Parser<'_> {
    /// `with` is the WITH that stood before INSERT; its CTEs are the query's.
    pub(super) fn insert(&mut self, with: Option<WithClause>) -> SparkResult<StatementKind> {
        let mut statement = self.insert_target()?;
        let query = self.source_query(with)?;
        match &mut statement {
            StatementKind::Insert(insert) => insert.query = query,
            StatementKind::InsertDirectory(insert) => insert.query = query,
            _ => {}
        }
        self.check_insert(&statement)?;
        Ok(statement)
    }

    /// `FROM relation INSERT … SELECT … INSERT … SELECT …`; the first INSERT is next.
    pub(super) fn multi_insert(&mut self, from: &Relation, with: Option<WithClause>) -> SparkResult<StatementKind> {
        let start = self.start();
        let mut inserts = Vec::new();
        while self.is(K::INSERT) {
            let mut statement = self.insert_target()?;
            self.grow()?;
            let body = self.select_over(from.clone())?;
            let body = match &with {
                Some(with) => self.with_ctes(with.clone(), body, start),
                None => body,
            };
            match &mut statement {
                StatementKind::Insert(insert) => insert.query = body,
                StatementKind::InsertDirectory(insert) => insert.query = body,
                _ => {}
            }
            self.check_insert(&statement)?;
            inserts.push(statement);
        }
        Ok(match (inserts.pop(), inserts.is_empty()) {
            (Some(only), true) => only,
            (last, _) => {
                inserts.extend(last);
                StatementKind::MultiInsert(inserts)
            }
        })
    }

    /// INSERT up to its query, which is one row for now.
    fn insert_target(&mut self) -> SparkResult<StatementKind> {
        self.expect(K::INSERT)?;
        let schema_evolution = self.eat_all(&[K::WITH, K::SCHEMA, K::EVOLUTION]);
        let overwrite = match self.eat_any(&[K::INTO, K::OVERWRITE]) {
            Some(word) => word == K::OVERWRITE,
            None => return Err(self.unexpected()),
        };
        let local = self.is(K::LOCAL) && self.is_at(1, K::DIRECTORY);
        let directory = local
            || self.is(K::DIRECTORY) && (self.is_string_at(1) || self.is_at(1, K::USING) || self.is_parameter_at(1));
        if overwrite && directory && !schema_evolution {
            return self.insert_directory(local);
        }
        if self.is(K::TABLE) && self.is_name_at(1) && !self.is_any_at(1, &[K::PARTITION, K::SELECT]) {
            self.advance();
        }
        let mut insert = Insert {
            table: self.identifier_reference()?,
            options: Vec::new(),
            overwrite,
            partition: Vec::new(),
            if_not_exists: false,
            columns: Vec::new(),
            by_name: false,
            schema_evolution,
            replace: None,
            query: Relation::bare(RelationKind::OneRow),
        };
        let alias = if overwrite { None } else { self.alias_before_replace()? };
        if self.is(K::WITH) && self.is_symbol_at(1, S::OpenParen) {
            self.advance();
            insert.options = self.property_list()?;
        }
        if self.is(K::PARTITION) {
            insert.partition = self.partition_spec()?;
        }
        if !overwrite || !insert.partition.is_empty() {
            insert.if_not_exists = self.if_not_exists()?;
        }
        if self.eat(K::BY) {
            self.expect(K::NAME)?;
            insert.by_name = true;
        }
        if !overwrite && self.is(K::REPLACE) && self.is_any_at(1, &[K::WHERE, K::ON, K::USING]) {
            insert.replace = Some(self.insert_replace(alias)?);
        } else if alias.is_some() {
            return Err(self.unexpected());
        } else if !insert.by_name && self.is_symbol(S::OpenParen) && !self.starts_query(1) {
            insert.columns = self.identifier_list()?;
        }
        Ok(StatementKind::Insert(Box::new(insert)))
    }

    /// `[AS] alias` of the table, which only REPLACE may use.
    fn alias_before_replace(&mut self) -> SparkResult<Option<String>> {
        let has_as = usize::from(self.is(K::AS));
        let is_replace =
            |p: &Self, ahead| p.is_at(ahead, K::REPLACE) && p.is_any_at(ahead + 1, &[K::WHERE, K::ON, K::USING]);
        let by_name =
            |p: &Self, ahead| p.is_at(ahead, K::BY) && p.is_at(ahead + 1, K::NAME) && is_replace(p, ahead + 2);
        let after = has_as + 1;
        if self.is_name_at(has_as) && !is_replace(self, 0) && (is_replace(self, after) || by_name(self, after)) {
            self.at += has_as;
            return self.identifier().map(Some);
        }
        Ok(None)
    }

    fn insert_replace(&mut self, alias: Option<String>) -> SparkResult<InsertReplace> {
        self.expect(K::REPLACE)?;
        if self.eat(K::USING) {
            return self.identifier_list().map(InsertReplace::Using);
        }
        if self.eat(K::ON) {
            // What follows the condition is the query, not the arguments of a call.
            self.before_query += 1;
            let condition = self.expression();
            self.before_query -= 1;
            return Ok(InsertReplace::On { condition: condition?, alias });
        }
        self.expect(K::WHERE)?;
        if alias.is_some() {
            let message = "Table alias is not allowed with INSERT INTO ... REPLACE WHERE because the WHERE condition is \
                           evaluated against the target table directly. Use INSERT INTO ... REPLACE ON if you need to \
                           reference the target table via an alias.";
            let error = SparkError::new("INSERT_REPLACE_WHERE_TABLE_ALIAS_NOT_ALLOWED", "42000", message);
            return Err(self.error_of_statement(error));
        }
        self.expression().map(InsertReplace::Where)
    }

    fn check_insert(&self, statement: &StatementKind) -> SparkResult<()> {
        let StatementKind::Insert(insert) = statement else { return Ok(()) };
        let dynamic: Vec<&str> =
            insert.partition.iter().filter(|(_, v)| v.is_none()).map(|(n, _)| n.as_str()).collect();
        if insert.overwrite && insert.if_not_exists && !dynamic.is_empty() {
            let what = format!("IF NOT EXISTS with dynamic partitions: {}", dynamic.join(", "));
            return Err(self.error_of_statement(error::operation_not_allowed(&what)));
        }
        if !insert.overwrite && insert.if_not_exists {
            return Err(self.error_of_statement(super::not_spark("INSERT INTO ... IF NOT EXISTS")));
        }
        Ok(())
    }

    fn source_query(&mut self, with: Option<WithClause>) -> SparkResult<Relation> {
        let start = self.start();
        let mut query = self.query()?;
        // `(query) AS name`: a name for conditions to use.
        if self.text.as_bytes().get(start) == Some(&b'(') {
            query = self.table_alias(query, start)?;
        }
        Ok(match with {
            Some(with) => self.with_ctes(with, query, start),
            None => query,
        })
    }

    fn insert_directory(&mut self, local: bool) -> SparkResult<StatementKind> {
        if local {
            self.advance();
        }
        self.expect(K::DIRECTORY)?;
        let mut path = if self.is_at(0, K::USING) { None } else { Some(self.string()?) };
        let mut format = None;
        let mut options = Vec::new();
        let mut storage = TableStorage::default();
        if self.eat(K::USING) {
            format = Some(self.multipart_name()?.join("."));
            if self.eat(K::OPTIONS) {
                options = self.property_list()?;
            }
            let in_options = options.iter().any(|(key, _)| key.eq_ignore_ascii_case("path"));
            if path.is_some() == in_options {
                let message = "Directory path and 'path' in OPTIONS should be specified one, but not both";
                let error = SparkError::new("_LEGACY_ERROR_TEMP_0049", "", format!("{message}."));
                return Err(self.error_of_statement(error));
            }
            if in_options {
                path = None;
            }
        } else {
            if self.are(&[K::ROW, K::FORMAT]) {
                storage.row_format = Some(self.row_format()?);
            }
            if self.is(K::STORED) {
                storage.file_format = Some(self.file_format()?);
            }
        }
        let query = Relation::bare(RelationKind::OneRow);
        let insert = InsertDirectory { local, path, format, options, storage, query };
        Ok(StatementKind::InsertDirectory(Box::new(insert)))
    }
}
