//! ALTER of databases, tables and views.

use firesteel_plan::{
    SparkError, SparkResult,
    relation::ColumnDefinition,
    statement::{
        AlterDatabase, AlterTable, AlterView, ColumnChange, ColumnChangeKind, ColumnPosition, NewColumn, NewPartition,
        PartitionSpec, StatementKind,
    },
};

use super::{not_spark, spelled};
use crate::{cursor::Parser, error, keyword::Keyword as K, lexer::Symbol as S};

/// What Hive has behind the name of the table and Spark refuses.
const NOT_SPARK: &[&[K]] = &[
    &[K::NOT, K::CLUSTERED],
    &[K::CLUSTERED, K::BY],
    &[K::NOT, K::SORTED],
    &[K::SKEWED, K::BY],
    &[K::NOT, K::SKEWED],
    &[K::NOT, K::STORED, K::AS, K::DIRECTORIES],
    &[K::SET, K::SKEWED, K::LOCATION],
    &[K::EXCHANGE, K::PARTITION],
    &[K::ARCHIVE, K::PARTITION],
    &[K::UNARCHIVE, K::PARTITION],
    &[K::TOUCH],
    &[K::COMPACT],
    &[K::CONCATENATE],
    &[K::SET, K::FILEFORMAT],
];

impl Parser<'_> {
    pub(super) fn alter(&mut self) -> SparkResult<StatementKind> {
        let start = self.start();
        self.advance();
        match self.keyword() {
            Some(K::DATABASE | K::SCHEMA | K::NAMESPACE) => self.alter_database(),
            Some(K::TABLE) => {
                self.advance();
                let name = self.identifier_reference()?;
                let change = self.alter_table(start)?;
                Ok(StatementKind::AlterTable { name, change })
            }
            Some(K::VIEW) => {
                self.advance();
                let name = self.identifier_reference()?;
                let change = self.alter_view()?;
                Ok(StatementKind::AlterView { name, change })
            }
            _ => Err(self.unexpected()),
        }
    }

    fn alter_database(&mut self) -> SparkResult<StatementKind> {
        self.advance();
        let name = self.identifier_reference()?;
        if self.are(&[K::DEFAULT, K::COLLATION]) {
            let change = AlterDatabase::SetCollation(self.default_collation()?);
            return Ok(StatementKind::AlterDatabase { name, change });
        }
        let change = match self.eat_any(&[K::SET, K::UNSET]) {
            Some(K::SET) if self.eat(K::LOCATION) => AlterDatabase::SetLocation(self.string()?),
            Some(word) => {
                if self.eat_any(&[K::DBPROPERTIES, K::PROPERTIES]).is_none() {
                    return Err(self.unexpected());
                }
                if word == K::SET {
                    AlterDatabase::SetProperties(self.property_list()?)
                } else {
                    AlterDatabase::UnsetProperties(self.property_keys()?)
                }
            }
            None => return Err(self.unexpected()),
        };
        Ok(StatementKind::AlterDatabase { name, change })
    }

    fn alter_table(&mut self, start: usize) -> SparkResult<AlterTable> {
        let partition_start = self.at;
        let partition = self.optional_partition()?;
        if let Some(words) = NOT_SPARK.iter().find(|words| self.are(words)) {
            self.skip_to_end();
            return Err(self.error_from(not_spark(&format!("ALTER TABLE {}", spelled(words))), start));
        }
        let has_partition = !partition.is_empty();
        let after_name = |p: &mut Self| {
            // Where no partition may stand, it is what cannot stand there.
            p.at = partition_start;
            p.unexpected()
        };
        match self.keyword() {
            Some(K::RENAME) if has_partition => {
                self.advance();
                self.expect(K::TO)?;
                Ok(AlterTable::RenamePartition { from: partition, to: self.partition_spec()? })
            }
            Some(K::SET) => {
                self.advance();
                self.alter_table_set(partition)
            }
            Some(K::REPLACE) => {
                self.advance();
                self.expect(K::COLUMNS)?;
                let columns = self.parenthesized(Self::new_column)?;
                if has_partition {
                    return Err(self.error_from(not_spark("ALTER TABLE ... PARTITION ... REPLACE COLUMNS"), start));
                }
                Ok(AlterTable::ReplaceColumns(columns))
            }
            Some(K::CHANGE) => {
                self.advance();
                self.change_columns(has_partition, start)
            }
            _ if has_partition => Err(self.unexpected()),
            Some(K::RENAME) => {
                self.advance();
                if self.eat(K::COLUMN) {
                    let from = self.multipart_name()?;
                    self.expect(K::TO)?;
                    return Ok(AlterTable::RenameColumn { from, to: self.plain_identifier()? });
                }
                self.expect(K::TO)?;
                Ok(AlterTable::Rename { to: self.multipart_name()? })
            }
            Some(K::ADD) => {
                self.advance();
                self.alter_table_add()
            }
            Some(K::DROP) => {
                self.advance();
                self.alter_table_drop()
            }
            Some(K::ALTER) => {
                self.advance();
                self.eat_column();
                self.comma_separated(|p| p.column_change(K::ALTER)).map(AlterTable::AlterColumns)
            }
            Some(K::UNSET) => {
                let (keys, if_exists) = self.unset_properties()?;
                Ok(AlterTable::UnsetProperties { keys, if_exists })
            }
            Some(K::RECOVER) => {
                self.advance();
                self.expect(K::PARTITIONS)?;
                Ok(AlterTable::RecoverPartitions)
            }
            Some(K::CLUSTER) => {
                self.advance();
                self.expect(K::BY)?;
                let none = self.eat(K::NONE);
                let columns = if none { Vec::new() } else { self.parenthesized(Self::multipart_name)? };
                Ok(AlterTable::ClusterBy(columns))
            }
            Some(K::DEFAULT) => self.default_collation().map(AlterTable::SetCollation),
            _ => Err(after_name(self)),
        }
    }

    fn alter_table_set(&mut self, partition: PartitionSpec) -> SparkResult<AlterTable> {
        if self.eat(K::LOCATION) {
            return Ok(AlterTable::SetLocation { partition, location: self.string()? });
        }
        if self.eat(K::SERDE) {
            let class = Some(self.string()?);
            let properties =
                if self.eat_all(&[K::WITH, K::SERDEPROPERTIES]) { self.property_list()? } else { Vec::new() };
            return Ok(AlterTable::SetSerde { partition, class, properties });
        }
        if self.eat(K::SERDEPROPERTIES) {
            return Ok(AlterTable::SetSerde { partition, class: None, properties: self.property_list()? });
        }
        if self.is(K::TBLPROPERTIES) && partition.is_empty() {
            self.advance();
            return self.property_list().map(AlterTable::SetProperties);
        }
        Err(self.unexpected())
    }

    fn alter_table_add(&mut self) -> SparkResult<AlterTable> {
        if self.starts_table_constraint() {
            return self.table_constraint().map(|c| AlterTable::AddConstraint(Box::new(c)));
        }
        if self.eat_any(&[K::COLUMN, K::COLUMNS]).is_some() {
            let columns = if self.is_symbol(S::OpenParen) {
                self.parenthesized(Self::new_column)?
            } else {
                self.comma_separated(Self::new_column)?
            };
            return Ok(AlterTable::AddColumns(columns));
        }
        let (partitions, if_not_exists) = self.added_partitions()?;
        Ok(AlterTable::AddPartitions { partitions, if_not_exists })
    }

    /// `[IF NOT EXISTS] PARTITION (…) [LOCATION path] …`
    fn added_partitions(&mut self) -> SparkResult<(Vec<NewPartition>, bool)> {
        let if_not_exists = self.if_not_exists()?;
        let mut partitions = Vec::new();
        loop {
            let spec = self.full_partition_spec()?;
            let location = if self.eat(K::LOCATION) { Some(self.string()?) } else { None };
            partitions.push((spec, location));
            if !self.is(K::PARTITION) {
                return Ok((partitions, if_not_exists));
            }
        }
    }

    fn alter_table_drop(&mut self) -> SparkResult<AlterTable> {
        if self.eat_any(&[K::COLUMN, K::COLUMNS]).is_some() {
            let if_exists = self.if_exists()?;
            let columns = if self.is_symbol(S::OpenParen) {
                self.parenthesized(Self::multipart_name)?
            } else {
                self.comma_separated(Self::multipart_name)?
            };
            return Ok(AlterTable::DropColumns { columns, if_exists });
        }
        if self.eat(K::CONSTRAINT) {
            let if_exists = self.if_exists()?;
            let name = self.identifier()?;
            let cascade = self.eat_any(&[K::RESTRICT, K::CASCADE]) == Some(K::CASCADE);
            return Ok(AlterTable::DropConstraint { name, if_exists, cascade });
        }
        let (partitions, if_exists) = self.dropped_partitions()?;
        let purge = self.eat(K::PURGE);
        Ok(AlterTable::DropPartitions { partitions, if_exists, purge })
    }

    fn dropped_partitions(&mut self) -> SparkResult<(Vec<PartitionSpec>, bool)> {
        let if_exists = self.if_exists()?;
        let partitions = self.comma_separated(Self::full_partition_spec)?;
        Ok((partitions, if_exists))
    }

    fn unset_properties(&mut self) -> SparkResult<(Vec<String>, bool)> {
        self.expect_all(&[K::UNSET, K::TBLPROPERTIES])?;
        let if_exists = self.if_exists()?;
        Ok((self.property_keys()?, if_exists))
    }

    /// COLUMN, unless it is the column's name.
    fn eat_column(&mut self) {
        let is_name = !self.is_name_at(1)
            || self.is_any_at(1, &[K::TYPE, K::COMMENT, K::FIRST, K::AFTER, K::SET, K::DROP]) && !self.is_name_at(2);
        if self.is(K::COLUMN) && !is_name {
            self.advance();
        }
    }

    /// `CHANGE [COLUMN] name action` or, as in Hive, `CHANGE [COLUMN] name new_name type [COMMENT text] [position]`
    fn change_columns(&mut self, has_partition: bool, start: usize) -> SparkResult<AlterTable> {
        self.eat_column();
        let begins = self.at;
        let name = self.multipart_name()?;
        let is_action = self.is(K::TYPE) && !self.is_at(1, K::COMMENT)
            || self.is(K::COMMENT) && self.is_string_at(1)
            || self.is(K::FIRST) && !self.is_name_at(1)
            || self.is(K::AFTER) && self.is_name_at(1) && !self.is_name_at(2)
            || self.is(K::SET) && (self.is_any_at(1, &[K::NOT, K::DEFAULT]) || self.is_symbol_at(1, S::Bang))
            || self.is(K::DROP) && (self.is_any_at(1, &[K::NOT, K::DEFAULT]) || self.is_symbol_at(1, S::Bang))
            || self.token(0).kind.ends_statement()
            || self.is_symbol(S::Comma);
        if is_action {
            self.at = begins;
            let changes = self.comma_separated(|p| p.column_change(K::CHANGE))?;
            if has_partition {
                return Err(self.error_from(not_spark("ALTER TABLE ... PARTITION ... CHANGE COLUMN"), start));
            }
            return Ok(AlterTable::AlterColumns(changes));
        }
        let place = self.start();
        let new_name = self.plain_identifier()?;
        let data_type = self.data_type()?;
        let nullable = !self.eat_not_null()?;
        let comment = if self.eat(K::COMMENT) { Some(self.string()?) } else { None };
        let span = self.span_from(place);
        let column = ColumnDefinition { nullable, comment, span, ..ColumnDefinition::new(new_name, data_type) };
        let position = self.column_position()?;
        if has_partition {
            return Err(self.error_from(not_spark("ALTER TABLE ... PARTITION ... CHANGE COLUMN"), start));
        }
        let refused = if name.len() == 1 && !name[0].eq_ignore_ascii_case(&column.name) {
            Some(("Renaming column", ", please run RENAME COLUMN instead"))
        } else if !column.nullable {
            Some(("NOT NULL", ", please run ALTER COLUMN ... SET/DROP NOT NULL instead"))
        } else {
            None
        };
        if let Some((operation, remedy)) = refused {
            let command = "ALTER COLUMN";
            let message = format!("{operation} is not supported in Hive-style {command}{remedy}.");
            let error = SparkError::new("_LEGACY_ERROR_TEMP_0034", "", message)
                .param("operation", operation)
                .param("command", command)
                .param("msg", remedy);
            return Err(self.error_from(error, start));
        }
        Ok(AlterTable::ChangeColumn { name, column: Box::new(column), position })
    }

    /// `name TYPE type | COMMENT text | FIRST | AFTER name | SET | DROP NOT NULL | SET DEFAULT value | DROP DEFAULT`
    fn column_change(&mut self, word: K) -> SparkResult<ColumnChange> {
        let name = self.multipart_name()?;
        let kind = match self.keyword() {
            Some(K::TYPE) => {
                self.advance();
                ColumnChangeKind::Type(self.data_type()?)
            }
            Some(K::COMMENT) => {
                self.advance();
                ColumnChangeKind::Comment(self.string()?)
            }
            Some(action @ (K::SET | K::DROP)) => {
                self.advance();
                if self.eat(K::DEFAULT) {
                    if action == K::DROP {
                        ColumnChangeKind::DropDefault
                    } else {
                        let from = self.start();
                        let value = self.expression()?;
                        ColumnChangeKind::SetDefault(value, self.text_from(from).to_owned())
                    }
                } else if self.eat_not_null()? {
                    ColumnChangeKind::Nullable(action == K::DROP)
                } else {
                    return Err(self.unexpected());
                }
            }
            _ => match self.column_position()? {
                Some(position) => ColumnChangeKind::Position(position),
                None if self.token(0).kind.ends_statement() || self.is_symbol(S::Comma) => {
                    let what = format!(
                        "ALTER TABLE table {} COLUMN requires a TYPE, a SET/DROP, a COMMENT, or a FIRST/AFTER",
                        word.text()
                    );
                    return Err(self.error_of_statement(error::operation_not_allowed(&what)));
                }
                None => return Err(self.unexpected()),
            },
        };
        Ok(ColumnChange { name, kind })
    }

    /// `FIRST` or `AFTER column`
    fn column_position(&mut self) -> SparkResult<Option<ColumnPosition>> {
        if self.eat(K::FIRST) {
            return Ok(Some(ColumnPosition::First));
        }
        if self.eat(K::AFTER) {
            return self.plain_identifier().map(|name| Some(ColumnPosition::After(name)));
        }
        Ok(None)
    }

    /// `name type [NOT NULL] [DEFAULT value] [COMMENT text] [FIRST | AFTER column]`
    fn new_column(&mut self) -> SparkResult<NewColumn> {
        let start = self.start();
        let name = self.multipart_name()?;
        let data_type = self.data_type()?;
        let mut column = NewColumn {
            name,
            data_type,
            nullable: true,
            default: None,
            default_text: None,
            comment: None,
            position: None,
        };
        loop {
            let repeated = if self.is(K::NOT) || self.is_symbol(S::Bang) {
                let again = !column.nullable;
                self.eat_not_null()?;
                column.nullable = false;
                again.then_some("NOT NULL")
            } else if self.is(K::DEFAULT) && self.starts_operand(1) {
                self.advance();
                let from = self.start();
                let again = column.default.replace(self.expression()?).map(|_| "DEFAULT");
                column.default_text = Some(self.text_from(from).to_owned());
                again
            } else if self.eat(K::COMMENT) {
                column.comment.replace(self.string()?).map(|_| "COMMENT")
            } else if let Some(position) = self.column_position()? {
                column.position.replace(position).map(|_| "FIRST|AFTER")
            } else {
                return Ok(column);
            };
            if let Some(option) = repeated {
                let (name, kind) = (column.name.join("."), "ADD");
                let error = SparkError::new(
                    "ALTER_TABLE_COLUMN_DESCRIPTOR_DUPLICATE",
                    "42710",
                    format!("ALTER TABLE {kind} column {name} specifies descriptor \"{option}\" more than once, which is invalid."),
                )
                .param("type", kind)
                .param("columnName", name)
                .param("optionName", option);
                return Err(self.error_from(error, start));
            }
        }
    }

    fn alter_view(&mut self) -> SparkResult<AlterView> {
        match self.keyword() {
            Some(K::RENAME) => {
                self.advance();
                self.expect(K::TO)?;
                Ok(AlterView::Rename { to: self.multipart_name()? })
            }
            Some(K::SET) => {
                self.advance();
                self.expect(K::TBLPROPERTIES)?;
                self.property_list().map(AlterView::SetProperties)
            }
            Some(K::UNSET) => {
                let (keys, if_exists) = self.unset_properties()?;
                Ok(AlterView::UnsetProperties { keys, if_exists })
            }
            Some(K::ADD) => {
                self.advance();
                self.added_partitions()?;
                Err(self.error_of_statement(not_spark("ALTER VIEW ... ADD PARTITION")))
            }
            Some(K::DROP) => {
                self.advance();
                self.dropped_partitions()?;
                Err(self.error_of_statement(not_spark("ALTER VIEW ... DROP PARTITION")))
            }
            Some(K::WITH) if self.is_at(1, K::SCHEMA) => self.schema_binding().map(AlterView::SetSchemaBinding),
            _ => {
                if !self.eat(K::AS) && !self.starts_query(0) {
                    return Err(self.unexpected());
                }
                let start = self.start();
                let query = self.query()?;
                Ok(AlterView::SetQuery(Box::new(query), self.text_from(start).to_owned()))
            }
        }
    }
}
