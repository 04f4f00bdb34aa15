//! SHOW.

use firesteel_plan::{SparkResult, expr::MultipartName, statement::StatementKind};

use crate::{cursor::Parser, keyword::Keyword as K, lexer::Symbol as S};

impl Parser<'_> {
    pub(super) fn show(&mut self) -> SparkResult<StatementKind> {
        self.advance();
        let Some(keyword) = self.keyword() else { return self.show_functions() };
        if self.is_at(1, K::FUNCTIONS) && keyword != K::FUNCTIONS {
            return self.show_functions();
        }
        match keyword {
            K::TABLES => {
                self.advance();
                Ok(StatementKind::ShowTables { database: self.in_database()?, pattern: self.like_pattern()? })
            }
            K::VIEWS => {
                self.advance();
                Ok(StatementKind::ShowViews { database: self.in_database()?, pattern: self.like_pattern()? })
            }
            K::TABLE if self.is_at(1, K::EXTENDED) => {
                self.at += 2;
                let database = self.in_database()?;
                self.expect(K::LIKE)?;
                let pattern = self.string()?;
                let partition = if self.is(K::PARTITION) { self.full_partition_spec()? } else { Vec::new() };
                Ok(StatementKind::ShowTableExtended { database, pattern, partition })
            }
            K::DATABASES | K::SCHEMAS | K::NAMESPACES => {
                self.advance();
                Ok(StatementKind::ShowDatabases { catalog: self.in_database()?, pattern: self.like_pattern()? })
            }
            K::COLUMNS => {
                self.advance();
                if !self.is_any(&[K::FROM, K::IN]) {
                    return Err(self.unexpected());
                }
                self.advance();
                let mut table = self.identifier_reference()?;
                // The database may be given apart from the table.
                if let Some(database) = self.in_database()?
                    && table.len() == 1
                {
                    table.splice(0..0, database);
                }
                Ok(StatementKind::ShowColumns { table })
            }
            K::PARTITIONS => {
                self.advance();
                let table = self.identifier_reference()?;
                let partition = if self.is(K::PARTITION) { self.full_partition_spec()? } else { Vec::new() };
                Ok(StatementKind::ShowPartitions { table, partition })
            }
            K::CREATE => {
                self.advance();
                self.expect(K::TABLE)?;
                if self.is_end() {
                    return Err(self.error_of_statement(super::not_spark("SHOW CREATE TABLE")));
                }
                let table = self.identifier_reference()?;
                let serde = self.eat(K::AS);
                if serde {
                    self.expect(K::SERDE)?;
                }
                Ok(StatementKind::ShowCreateTable { table, serde })
            }
            K::TBLPROPERTIES => {
                self.advance();
                let table = self.identifier_reference()?;
                let mut key = None;
                if self.eat_symbol(S::OpenParen) {
                    key = Some(self.property_key()?);
                    self.expect_symbol(S::CloseParen)?;
                }
                Ok(StatementKind::ShowTableProperties { table, key })
            }
            K::CATALOGS => {
                self.advance();
                Ok(StatementKind::ShowCatalogs { pattern: self.like_pattern()? })
            }
            K::CURRENT if self.is_any_at(1, &[K::DATABASE, K::SCHEMA, K::NAMESPACE]) => {
                self.at += 2;
                Ok(StatementKind::ShowCurrentDatabase)
            }
            K::PROCEDURES => {
                self.advance();
                Ok(StatementKind::ShowProcedures { database: self.in_database()? })
            }
            K::COLLATIONS => {
                self.advance();
                Ok(StatementKind::ShowCollations { pattern: self.like_pattern()? })
            }
            _ => self.show_functions(),
        }
    }

    /// `SHOW [USER | SYSTEM | ALL] FUNCTIONS [IN database] [LIKE name or pattern]`
    fn show_functions(&mut self) -> SparkResult<StatementKind> {
        let (mut user, mut system) = (true, true);
        if self.is_at(1, K::FUNCTIONS) && self.is_name() {
            let scope = self.identifier()?.to_lowercase();
            match scope.as_str() {
                "all" => {}
                "user" => system = false,
                "system" => user = false,
                _ => {
                    let error = firesteel_plan::SparkError::new(
                        "INVALID_SQL_SYNTAX.SHOW_FUNCTIONS_INVALID_SCOPE",
                        "42000",
                        format!("Invalid SQL syntax: SHOW {scope} FUNCTIONS not supported."),
                    )
                    .param("scope", scope);
                    return Err(self.error_of_statement(error));
                }
            }
        }
        if !self.is(K::FUNCTIONS) {
            // A word is taken for the scope, which FUNCTIONS must follow.
            return Err(if self.is_name() { self.unexpected_at(1) } else { self.unexpected() });
        }
        self.advance();
        let database = self.in_database()?;
        let like = self.eat(K::LIKE);
        let by_name = self.is_name();
        let pattern = if self.is_string_at(0) {
            Some(self.string()?)
        } else if like || self.is_name() {
            Some(self.multipart_name()?.join("."))
        } else {
            None
        };
        if let (Some(name), true, true) = (&pattern, by_name, database.is_some()) {
            let name = format!("`{name}`");
            let error = firesteel_plan::SparkError::new(
                "INVALID_SQL_SYNTAX.SHOW_FUNCTIONS_INVALID_PATTERN",
                "42000",
                format!(
                    "Invalid SQL syntax: Invalid pattern in SHOW FUNCTIONS: {name}. It must be a \"STRING\" literal."
                ),
            );
            return Err(self.error_of_statement(error.param("pattern", name)));
        }
        Ok(StatementKind::ShowFunctions { user, system, database, pattern })
    }

    /// `FROM database` or `IN database`
    pub(super) fn in_database(&mut self) -> SparkResult<Option<MultipartName>> {
        if !self.is_any(&[K::FROM, K::IN]) {
            return Ok(None);
        }
        self.advance();
        self.identifier_reference().map(Some)
    }

    /// `[LIKE] 'pattern'`
    fn like_pattern(&mut self) -> SparkResult<Option<String>> {
        if self.eat(K::LIKE) || self.is_string_at(0) {
            return self.string().map(Some);
        }
        Ok(None)
    }
}
