//! CREATE TABLE and what has the same clauses.

use firesteel_plan::{
    Expr, ExprKind, Span, SparkResult,
    expr::FunctionCall,
    relation::ColumnDefinition,
    statement::{
        CreatePipelineDataset, CreateTable, CreateTableLike, PartitionColumn, SkewSpec, StatementKind, TableStorage,
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
        let external = !replace && self.eat(K::EXTERNAL);
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
                    "USING"
                }
                Some(K::LOCATION) => {
                    self.advance();
                    like.location = Some(self.string()?);
                    "LOCATION"
                }
                Some(K::TBLPROPERTIES) => {
                    self.advance();
                    like.properties = self.property_list()?;
                    "TBLPROPERTIES"
                }
                Some(K::ROW) => {
                    like.storage.row_format = Some(self.row_format()?);
                    "ROW FORMAT"
                }
                Some(K::STORED) => {
                    like.storage.file_format = Some(self.file_format()?);
                    "STORED AS/BY"
                }
                _ => return Ok(StatementKind::CreateTableLike(Box::new(like))),
            };
            self.once(clause, &mut seen)?;
        }
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
                    table.skewed_by = Some(self.skew_spec()?);
                    "SKEWED BY"
                }
                Some(K::LOCATION) => {
                    self.advance();
                    table.location = Some(self.string()?);
                    "LOCATION"
                }
                Some(K::COMMENT) => {
                    self.advance();
                    table.comment = Some(self.string()?);
                    "COMMENT"
                }
                Some(K::TBLPROPERTIES) => {
                    self.advance();
                    table.properties = self.property_list()?;
                    "TBLPROPERTIES"
                }
                Some(K::ROW) => {
                    table.storage.row_format = Some(self.row_format()?);
                    "ROW FORMAT"
                }
                Some(K::STORED) => {
                    table.storage.file_format = Some(self.file_format()?);
                    "STORED AS/BY"
                }
                Some(K::DEFAULT) if self.is_at(1, K::COLLATION) => {
                    table.collation = Some(self.default_collation()?);
                    "DEFAULT COLLATION"
                }
                _ => return Ok(()),
            };
            self.once(clause, &mut seen)?;
        }
    }

    fn once(&self, clause: &'static str, seen: &mut Vec<&'static str>) -> SparkResult<()> {
        if seen.contains(&clause) {
            return self.duplicate_clause(clause);
        }
        seen.push(clause);
        Ok(())
    }

    /// `SKEWED BY (columns) ON (values) [STORED AS DIRECTORIES]`
    fn skew_spec(&mut self) -> SparkResult<SkewSpec> {
        let start = self.start();
        self.expect_all(&[K::SKEWED, K::BY])?;
        let columns = self.identifier_list()?;
        self.expect(K::ON)?;
        let nested = self.is_symbol_at(1, S::OpenParen);
        let values = self.parenthesized(|p| {
            if nested { p.parenthesized(Self::value) } else { Ok(vec![p.value()?]) }
        })?;
        let directories = self.eat_all(&[K::STORED, K::AS, K::DIRECTORIES]);
        if values.iter().any(|v| v.len() != columns.len()) && nested {
            let error = error::operation_not_allowed("the values of SKEWED BY are not as many as its columns");
            return Err(self.error_from(error, start));
        }
        Ok(SkewSpec { columns, values, directories })
    }

    /// `name`, `name type` or `transform(…)`
    fn partition_column(&mut self) -> SparkResult<PartitionColumn> {
        let start = self.start();
        if self.is_name() && self.is_symbol_at(1, S::OpenParen) {
            let name = self.identifier()?;
            let args = self.parenthesized(Self::value)?;
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
            return Ok(());
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
