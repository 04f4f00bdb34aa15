//! CREATE TABLE and what has the same clauses.

use firesteel_plan::{
    Expr, ExprKind, Span, SparkError, SparkResult,
    expr::{FunctionCall, Literal},
    relation::ColumnDefinition,
    statement::{
        CreatePipelineDataset, CreateTable, CreateTableLike, FileFormat, PartitionColumn, RowFormat, StatementKind,
        TableStorage,
    },
    types::StructField,
};

use crate::{cursor::Parser, error, keyword::Keyword as K, lexer::Symbol as S};

impl Parser<'_> {
    /// `must_exist`: REPLACE without CREATE.
    pub(super) fn create_table(
        &mut self,
        replace: bool,
        must_exist: bool,
        temporary: bool,
    ) -> SparkResult<StatementKind> {
        let external = self.is(K::EXTERNAL);
        if external && replace {
            return Err(self.unexpected());
        }
        self.eat(K::EXTERNAL);
        self.expect(K::TABLE)?;
        let if_not_exists = !replace && self.if_not_exists()?;
        let name = self.identifier_reference()?;
        if self.is(K::LIKE) && self.is_name_at(1) && !replace && !external && !temporary {
            return self.create_table_like(name, if_not_exists);
        }
        let mut table = CreateTable { external, if_not_exists, replace, must_exist, ..CreateTable::new(name) };
        if self.is_symbol(S::OpenParen) && !self.starts_query(1) {
            let elements = self.table_elements()?;
            table.columns = elements.columns;
            table.constraints = elements.constraints;
        }
        if self.eat(K::USING) {
            table.format = Some(self.multipart_name()?.join("."));
        }
        self.table_clauses(&mut table)?;
        if self.eat(K::AS) || self.starts_query(0) {
            table.query = Some(self.query()?);
        }
        self.check_table(&table, temporary)?;
        if !temporary {
            return Ok(StatementKind::CreateTable(Box::new(table)));
        }
        // The old spelling of a temporary view over files.
        Ok(StatementKind::CreateViewUsing {
            name: table.name,
            columns: table.columns,
            format: table.format.unwrap_or_default(),
            options: table.options,
            replace,
            global: false,
            if_not_exists: false,
        })
    }

    /// `CREATE TABLE name LIKE source …`; LIKE is next.
    fn create_table_like(&mut self, name: Vec<String>, if_not_exists: bool) -> SparkResult<StatementKind> {
        self.expect(K::LIKE)?;
        let source = self.identifier_reference()?;
        let mut like = CreateTableLike {
            name,
            source,
            if_not_exists,
            format: None,
            storage: TableStorage::default(),
            location: None,
            properties: Vec::new(),
        };
        let mut seen: Vec<&str> = Vec::new();
        loop {
            let clause = match self.keyword() {
                Some(K::USING) => {
                    self.advance();
                    like.format = Some(self.multipart_name()?.join("."));
                    "PROVIDER"
                }
                _ => match self.storage_clause(&mut like.location, &mut like.properties, &mut like.storage)? {
                    Some(clause) => clause,
                    None => break,
                },
            };
            self.once(clause, &mut seen)?;
        }
        self.check_storage(&like.storage, like.format.is_some(), "CREATE TABLE LIKE")?;
        if like.storage.file_format.is_none() && matches!(like.storage.row_format, Some(RowFormat::Serde { .. })) {
            let message = "'ROW FORMAT' must be used with 'STORED AS'.";
            return Err(self.error_of_statement(SparkError::new("_LEGACY_ERROR_TEMP_0047", "", message)));
        }
        Ok(StatementKind::CreateTableLike(Box::new(like)))
    }

    /// `CREATE MATERIALIZED VIEW | STREAMING TABLE name …`
    pub(super) fn create_pipeline_dataset(&mut self) -> SparkResult<StatementKind> {
        let streaming = self.eat(K::STREAMING);
        if streaming {
            self.expect(K::TABLE)?;
        } else {
            self.expect_all(&[K::MATERIALIZED, K::VIEW])?;
        }
        let if_not_exists = self.if_not_exists()?;
        let name = self.identifier_reference()?;
        let mut table = CreateTable { if_not_exists, ..CreateTable::new(name) };
        if self.is_symbol(S::OpenParen) {
            if self.is_symbol_at(1, S::CloseParen) {
                self.at += 2;
            } else {
                let elements = self.table_elements()?;
                table.columns = elements.columns;
                table.constraints = elements.constraints;
            }
        }
        if self.eat(K::USING) {
            table.format = Some(self.multipart_name()?.join("."));
        }
        self.table_clauses(&mut table)?;
        if self.eat(K::AS) {
            table.query = Some(self.query()?);
        }
        Ok(StatementKind::CreatePipelineDataset(Box::new(CreatePipelineDataset { streaming, table })))
    }

    /// `CREATE FLOW name [COMMENT text] AS INSERT …`
    pub(super) fn create_flow(&mut self) -> SparkResult<StatementKind> {
        self.advance();
        let name = self.identifier_reference()?;
        let comment = if self.eat(K::COMMENT) { Some(self.string()?) } else { None };
        self.expect(K::AS)?;
        if !self.is(K::INSERT) {
            return Err(self.unexpected());
        }
        match self.insert(None)? {
            StatementKind::Insert(insert) => Ok(StatementKind::CreateFlow { name, comment, insert }),
            _ => Err(self.error_of_statement(error::operation_not_allowed("a flow that writes to a directory"))),
        }
    }

    /// OPTIONS, PARTITIONED BY and so on, in any order, each once.
    fn table_clauses(&mut self, table: &mut CreateTable) -> SparkResult<()> {
        let mut seen: Vec<&str> = Vec::new();
        let mut skewed = false;
        loop {
            let clause = match self.keyword() {
                Some(K::OPTIONS) => {
                    self.advance();
                    table.options = self.expression_property_list()?;
                    "OPTIONS"
                }
                Some(K::PARTITIONED) => {
                    self.advance();
                    self.expect(K::BY)?;
                    table.partitioned_by = self.parenthesized(Self::partition_column)?;
                    "PARTITIONED BY"
                }
                Some(K::CLUSTERED) => {
                    table.clustered_by = Some(self.bucket_spec()?);
                    "CLUSTERED BY"
                }
                Some(K::CLUSTER) => {
                    self.advance();
                    self.expect(K::BY)?;
                    table.cluster_by = self.parenthesized(Self::multipart_name)?;
                    "CLUSTER BY"
                }
                Some(K::SKEWED) => {
                    self.skip_skew()?;
                    skewed = true;
                    "SKEWED BY"
                }
                Some(K::COMMENT) => {
                    self.advance();
                    table.comment = Some(self.string()?);
                    "COMMENT"
                }
                Some(K::DEFAULT) if self.is_at(1, K::COLLATION) => {
                    table.collation = Some(self.default_collation()?);
                    "DEFAULT COLLATION"
                }
                _ => match self.storage_clause(&mut table.location, &mut table.properties, &mut table.storage)? {
                    Some(clause) => clause,
                    None if skewed => {
                        let operation =
                            format!("{} TABLE ... SKEWED BY", if table.must_exist { "REPLACE" } else { "CREATE" });
                        return Err(self.error_of_statement(super::super::not_spark(&operation)));
                    }
                    None => return Ok(()),
                },
            };
            self.once(clause, &mut seen)?;
        }
    }

    /// A clause that CREATE TABLE and CREATE TABLE LIKE have, if one is next; its name.
    fn storage_clause(
        &mut self,
        location: &mut Option<String>,
        properties: &mut Vec<(String, String)>,
        storage: &mut TableStorage,
    ) -> SparkResult<Option<&'static str>> {
        Ok(Some(match self.keyword() {
            Some(K::LOCATION) => {
                self.advance();
                *location = Some(self.string()?);
                "LOCATION"
            }
            Some(K::TBLPROPERTIES) => {
                self.advance();
                *properties = self.property_list()?;
                "TBLPROPERTIES"
            }
            Some(K::ROW) => {
                storage.row_format = Some(self.row_format()?);
                "ROW FORMAT"
            }
            Some(K::STORED) => {
                storage.file_format = Some(self.file_format()?);
                "STORED AS/BY"
            }
            _ => return Ok(None),
        }))
    }

    fn once(&self, clause: &'static str, seen: &mut Vec<&'static str>) -> SparkResult<()> {
        if seen.contains(&clause) {
            return self.duplicate_clause(clause);
        }
        seen.push(clause);
        Ok(())
    }

    /// `SKEWED BY (columns) ON (values) [STORED AS DIRECTORIES]`, which Spark reads and refuses.
    fn skip_skew(&mut self) -> SparkResult<()> {
        self.expect_all(&[K::SKEWED, K::BY])?;
        self.identifier_list()?;
        self.expect(K::ON)?;
        let nested = self.is_symbol_at(1, S::OpenParen);
        self.parenthesized(|p| if nested { p.parenthesized(Self::value).map(drop) } else { p.value().map(drop) })?;
        self.eat_all(&[K::STORED, K::AS, K::DIRECTORIES]);
        Ok(())
    }

    fn check_layout(&self, table: &CreateTable) -> SparkResult<()> {
        let clustered = !table.cluster_by.is_empty();
        let (class, other) = if clustered && table.clustered_by.is_some() {
            ("SPECIFY_CLUSTER_BY_WITH_BUCKETING_IS_NOT_ALLOWED", "CLUSTERED BY INTO BUCKETS")
        } else if clustered && !table.partitioned_by.is_empty() {
            ("SPECIFY_CLUSTER_BY_WITH_PARTITIONED_BY_IS_NOT_ALLOWED", "PARTITIONED BY")
        } else {
            let what = if table.must_exist { "REPLACE TABLE" } else { "CREATE TABLE" };
            return self.check_storage(&table.storage, table.format.is_some(), what);
        };
        let message = format!("Cannot specify both CLUSTER BY and {other}.");
        Err(self.error_of_statement(SparkError::new(class, "42908", message)))
    }

    /// What ROW FORMAT and STORED AS must be beside each other and beside USING. `what` is the statement.
    fn check_storage(&self, storage: &TableStorage, using: bool, what: &str) -> SparkResult<()> {
        let named = match &storage.file_format {
            Some(FileFormat::Named(name)) => Some(name.as_str()),
            _ => None,
        };
        if using && (storage.row_format.is_some() || storage.file_format.is_some()) {
            let file = named.map_or(String::new(), |name| format!("STORED AS {name} "));
            return Err(self.error_of_statement(super::super::not_spark(&format!("{what} ... USING ... {file}"))));
        }
        let Some(format) = named.map(str::to_lowercase) else { return Ok(()) };
        let message = match &storage.row_format {
            Some(RowFormat::Serde { .. }) if !["sequencefile", "textfile", "rcfile"].contains(&format.as_str()) => {
                format!("ROW FORMAT SERDE is incompatible with format '{format}', which also specifies a serde")
            }
            Some(RowFormat::Delimited { .. }) if format != "textfile" => {
                format!("ROW FORMAT DELIMITED is only compatible with 'textfile', not '{format}'")
            }
            _ => return Ok(()),
        };
        Err(self.error_of_statement(error::operation_not_allowed(&message)))
    }

    /// The transforms of PARTITIONED BY that Spark knows have arguments of their own.
    fn check_transform(&self, name: &str, args: &[Expr], start: usize) -> SparkResult<()> {
        let lower = name.to_lowercase();
        let quoted = format!("`{lower}`");
        let is_column = |e: &Expr| matches!(e.kind, ExprKind::Attribute { .. });
        let wrong_column = |expr: &Expr| {
            let shown = self.text.get(expr.span.start as usize..expr.span.end as usize).unwrap_or_default();
            let message = format!("Invalid SQL syntax: Expected a column reference for transform {quoted}: {shown}.");
            let error = SparkError::new("INVALID_SQL_SYNTAX.INVALID_COLUMN_REFERENCE", "42000", message);
            self.error_from(error.param("transform", quoted.clone()).param("expr", shown), start)
        };
        match lower.as_str() {
            "identity" | "year" | "years" | "month" | "months" | "day" | "days" | "date" | "hour" | "hours" => {
                if args.len() != 1 {
                    let count = args.len();
                    let error = SparkError::new(
                        "INVALID_SQL_SYNTAX.TRANSFORM_WRONG_NUM_ARGS",
                        "42000",
                        format!(
                            "Invalid SQL syntax: The transform{quoted} requires 1 parameters but the actual number is {count}."
                        ),
                    )
                    .param("transform", quoted.clone())
                    .param("expectedNum", "1")
                    .param("actualNum", count.to_string());
                    return Err(self.error_from(error, start));
                }
                args.iter().find(|a| !is_column(a)).map_or(Ok(()), |a| Err(wrong_column(a)))
            }
            "bucket" => {
                let first = args.first();
                let is_number = |e: &&Expr| {
                    matches!(e.kind, ExprKind::Literal(Literal::Integer(_) | Literal::Long(_) | Literal::Short(_)))
                };
                if let Some(first) = first.filter(|e| !is_number(e)) {
                    let shown = self.text.get(first.span.start as usize..first.span.end as usize).unwrap_or_default();
                    let message = format!("Invalid number of buckets: {shown}.");
                    let error = SparkError::new("_LEGACY_ERROR_TEMP_0031", "", message).param("describe", shown);
                    return Err(self.error_from(error, start));
                }
                args.iter().skip(1).find(|a| !is_column(a)).map_or(Ok(()), |a| Err(wrong_column(a)))
            }
            _ => Ok(()),
        }
    }

    /// `name`, `name type` or `transform(…)`
    fn partition_column(&mut self) -> SparkResult<PartitionColumn> {
        let start = self.start();
        if self.is_name() && self.is_symbol_at(1, S::OpenParen) {
            let name = self.identifier()?;
            let args = self.parenthesized(Self::value)?;
            self.check_transform(&name, &args, start)?;
            let call = FunctionCall::new(name, args);
            let expr = Expr::new(ExprKind::Function(Box::new(call)), self.span_from(start));
            return Ok(PartitionColumn::Transform(expr));
        }
        if self.is_name_at(1) {
            let name = self.plain_identifier()?;
            let field = self.column_of_partition(name)?;
            return Ok(PartitionColumn::Typed(Box::new(column_of(field, self.span_from(start)))));
        }
        let mut name = self.multipart_name()?;
        if name.len() == 1 {
            return Ok(PartitionColumn::Name(name.pop().unwrap_or_default()));
        }
        let expr = Expr::new(ExprKind::Attribute { name, plan_id: None }, self.span_from(start));
        Ok(PartitionColumn::Transform(expr))
    }

    fn column_of_partition(&mut self, name: String) -> SparkResult<StructField> {
        let data_type = self.data_type()?;
        let nullable = if self.eat(K::NOT) {
            self.expect(K::NULL)?;
            false
        } else {
            true
        };
        let comment = if self.eat(K::COMMENT) { Some(self.string()?) } else { None };
        Ok(StructField { name, data_type, nullable, comment })
    }

    fn check_table(&self, table: &CreateTable, temporary: bool) -> SparkResult<()> {
        let typed = table.partitioned_by.iter().any(|p| matches!(p, PartitionColumn::Typed(_)));
        let untyped = table.partitioned_by.iter().any(|p| !matches!(p, PartitionColumn::Typed(_)));
        let what = if temporary && table.if_not_exists {
            "CREATE TEMPORARY TABLE IF NOT EXISTS"
        } else if temporary && table.query.is_some() {
            "CREATE TEMPORARY TABLE ... AS ..., use CREATE TEMPORARY VIEW instead"
        } else if temporary && table.format.is_none() {
            "CREATE TEMPORARY TABLE without a provider"
        } else if table.query.is_some() && !table.columns.is_empty() {
            "Schema may not be specified in a Create Table As Select (CTAS) statement"
        } else if typed && untyped {
            "PARTITION BY: Cannot mix partition expressions and partition columns"
        } else if typed && table.query.is_some() {
            "Partition column types may not be specified in Create Table As Select (CTAS)"
        } else {
            return self.check_layout(table);
        };
        Err(self.error_of_statement(error::operation_not_allowed(what)))
    }
}

pub(super) fn column_of(field: StructField, span: Span) -> ColumnDefinition {
    ColumnDefinition {
        nullable: field.nullable,
        comment: field.comment,
        span,
        ..ColumnDefinition::new(field.name, field.data_type)
    }
}
