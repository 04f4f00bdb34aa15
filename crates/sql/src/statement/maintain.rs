//! ANALYZE, REPAIR, TRUNCATE, COMMENT ON, and ADD and LIST of files.

use firesteel_plan::{
    SparkError, SparkResult,
    statement::{AnalyzeScope, ResourceKind, StatementKind},
};

use crate::{cursor::Parser, error, keyword::Keyword as K};

impl Parser<'_> {
    /// `ANALYZE TABLE table [PARTITION (…)] COMPUTE STATISTICS [NOSCAN | FOR COLUMNS a, b | FOR ALL COLUMNS]`
    pub(super) fn analyze(&mut self) -> SparkResult<StatementKind> {
        self.expect(K::ANALYZE)?;
        if self.eat(K::TABLES) {
            let database = self.in_database()?;
            self.expect_all(&[K::COMPUTE, K::STATISTICS])?;
            return Ok(StatementKind::AnalyzeTables { database, no_scan: self.no_scan()? });
        }
        if !self.is(K::TABLE) {
            return Err(self.unexpected());
        }
        self.advance();
        let name = self.identifier_reference()?;
        let partition = self.optional_partition()?;
        self.expect_all(&[K::COMPUTE, K::STATISTICS])?;
        let scope = if self.eat_all(&[K::FOR, K::ALL, K::COLUMNS]) {
            AnalyzeScope::AllColumns
        } else if self.eat_all(&[K::FOR, K::COLUMNS]) {
            AnalyzeScope::Columns(self.comma_separated(Self::plain_identifier)?)
        } else if self.no_scan()? {
            AnalyzeScope::NoScan
        } else {
            AnalyzeScope::Table
        };
        Ok(StatementKind::AnalyzeTable { name, partition, scope })
    }

    fn no_scan(&mut self) -> SparkResult<bool> {
        if !self.is_name() {
            return Ok(false);
        }
        let word = self.identifier()?;
        if word.eq_ignore_ascii_case("noscan") {
            return Ok(true);
        }
        let context = word.to_uppercase();
        let error = SparkError::new(
            "INVALID_SQL_SYNTAX.ANALYZE_TABLE_UNEXPECTED_NOSCAN",
            "42000",
            format!(
                "Invalid SQL syntax: ANALYZE TABLE(S) ... COMPUTE STATISTICS ... {context} must be either NOSCAN or empty."
            ),
        );
        Err(self.error_of_statement(error.param("ctx", context)))
    }

    /// `[MSCK] REPAIR TABLE table [ADD | DROP | SYNC PARTITIONS]`
    pub(super) fn repair_table(&mut self) -> SparkResult<StatementKind> {
        self.eat(K::MSCK);
        self.expect_all(&[K::REPAIR, K::TABLE])?;
        let name = self.identifier_reference()?;
        let word = self.eat_any(&[K::ADD, K::DROP, K::SYNC]);
        if word.is_some() {
            self.expect(K::PARTITIONS)?;
        }
        Ok(StatementKind::RepairTable {
            name,
            add: word != Some(K::DROP),
            drop: matches!(word, Some(K::DROP | K::SYNC)),
        })
    }

    /// `TRUNCATE TABLE table [PARTITION (…)]`
    pub(super) fn truncate_table(&mut self) -> SparkResult<StatementKind> {
        self.advance();
        self.expect(K::TABLE)?;
        let name = self.identifier_reference()?;
        let partition = if self.is(K::PARTITION) { self.full_partition_spec()? } else { Vec::new() };
        Ok(StatementKind::TruncateTable { name, partition })
    }

    /// `COMMENT ON DATABASE | TABLE name IS text | NULL`
    pub(super) fn comment_on(&mut self) -> SparkResult<StatementKind> {
        self.expect_all(&[K::COMMENT, K::ON])?;
        let object = self.eat_any(&[K::DATABASE, K::SCHEMA, K::NAMESPACE, K::TABLE]);
        let Some(object) = object else { return Err(self.unexpected()) };
        let name = self.identifier_reference()?;
        self.expect(K::IS)?;
        let comment = if self.eat(K::NULL) { None } else { Some(self.string()?) };
        Ok(match object {
            K::TABLE => StatementKind::CommentOnTable { name, comment },
            _ => StatementKind::CommentOnDatabase { name, comment },
        })
    }

    /// `ADD | LIST JAR | FILE | ARCHIVE path …`: what follows is not SQL.
    pub(super) fn manage_resources(&mut self) -> SparkResult<StatementKind> {
        let start = self.start();
        let adds = self.is(K::ADD);
        self.advance();
        let kind = self.identifier()?;
        let text = self.rest().trim().to_owned();
        let paths: Vec<String> = match text.as_bytes().first() {
            Some(quote @ (b'\'' | b'"')) if text.len() > 1 && text.as_bytes().last() == Some(quote) => {
                vec![text[1..text.len() - 1].to_owned()]
            }
            _ => text.split_whitespace().map(str::to_owned).collect(),
        };
        let resource = match kind.to_lowercase().as_str() {
            "file" | "files" => ResourceKind::File,
            "jar" | "jars" => ResourceKind::Jar,
            "archive" | "archives" => ResourceKind::Archive,
            other => {
                let command = if adds { "ADD" } else { "LIST" };
                let what = format!("{command} with resource type '{other}'");
                return Err(self.error_from(error::operation_not_allowed(&what), start));
            }
        };
        if !adds {
            return Ok(StatementKind::ListResources { kind: resource, paths });
        }
        Ok(StatementKind::AddResource { kind: resource, paths })
    }
}
