//! CREATE of views, tables and databases.

use firesteel_plan::{
    Expr, ExprKind, Span, SparkError, SparkResult,
    expr::FunctionCall,
    relation::ColumnDefinition,
    statement::{CreateTable, CreateView, PartitionColumn, StatementKind},
    types::StructField,
};

use crate::{cursor::Parser, error, keyword::Keyword as K, lexer::Symbol as S};

impl Parser<'_> {
    pub(super) fn create(&mut self) -> SparkResult<StatementKind> {
        let replace = if self.eat(K::REPLACE) {
            if !self.is(K::TABLE) {
                return Err(self.unexpected());
            }
            true
        } else {
            self.expect(K::CREATE)?;
            let replace = self.eat(K::OR);
            if replace {
                self.expect(K::REPLACE)?;
            }
            replace
        };
        let global = self.eat(K::GLOBAL);
        if global && !self.is_any(&[K::TEMPORARY, K::TEMP]) {
            return Err(self.unexpected());
        }
        let temporary = self.eat_any(&[K::TEMPORARY, K::TEMP]).is_some();
        match self.keyword() {
            Some(K::VIEW) => {
                self.advance();
                self.create_view(replace, global, temporary)
            }
            Some(K::FUNCTION) if !global => Ok(self.not_yet("CREATE FUNCTION")),
            Some(K::EXTERNAL | K::TABLE) if !global => self.create_table(replace, temporary),
            Some(K::DATABASE | K::SCHEMA | K::NAMESPACE) if !replace && !temporary => self.create_database(),
            Some(K::INDEX) => Ok(self.not_yet("CREATE INDEX")),
            Some(K::MATERIALIZED) => Ok(self.not_yet("CREATE MATERIALIZED VIEW")),
            Some(K::STREAMING) => Ok(self.not_yet("CREATE STREAMING TABLE")),
            Some(K::FLOW) => Ok(self.not_yet("CREATE FLOW")),
            _ => Err(self.unexpected()),
        }
    }

    fn create_database(&mut self) -> SparkResult<StatementKind> {
        self.advance();
        let if_not_exists = self.if_not_exists()?;
        let name = self.identifier_reference()?;
        let (mut comment, mut location) = (None, None);
        loop {
            if self.eat(K::COMMENT) {
                if comment.replace(self.string()?).is_some() {
                    return self.duplicate_clause("COMMENT");
                }
            } else if self.eat(K::LOCATION) {
                if location.replace(self.string()?).is_some() {
                    return self.duplicate_clause("LOCATION");
                }
            } else if self.is(K::WITH) && self.is_any_at(1, &[K::DBPROPERTIES, K::PROPERTIES]) {
                return Ok(self.not_yet("CREATE DATABASE … WITH DBPROPERTIES"));
            } else if self.are(&[K::DEFAULT, K::COLLATION]) {
                return Ok(self.not_yet("CREATE DATABASE … DEFAULT COLLATION"));
            } else {
                break;
            }
        }
        Ok(StatementKind::CreateDatabase { name, if_not_exists, location, comment })
    }

    fn create_view(&mut self, replace: bool, global: bool, temporary: bool) -> SparkResult<StatementKind> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.identifier_reference()?;
        let using =
            if self.is_symbol(S::OpenParen) { self.is_at(self.after_paren(0), K::USING) } else { self.is(K::USING) };
        if using && temporary {
            return self.create_view_using(name, replace, global, if_not_exists);
        }
        let columns = if self.is_symbol(S::OpenParen) {
            self.parenthesized(|p| {
                let column = p.identifier()?;
                let comment = if p.eat(K::COMMENT) { Some(p.string()?) } else { None };
                Ok((column, comment))
            })?
        } else {
            Vec::new()
        };
        let (mut comment, mut properties) = (None, None);
        loop {
            if self.eat(K::COMMENT) {
                if comment.replace(self.string()?).is_some() {
                    return self.duplicate_clause("COMMENT");
                }
            } else if self.eat(K::TBLPROPERTIES) {
                if properties.replace(self.property_list()?).is_some() {
                    return self.duplicate_clause("TBLPROPERTIES");
                }
            } else if self.are(&[K::WITH, K::SCHEMA]) {
                return Ok(self.not_yet("CREATE VIEW … WITH SCHEMA"));
            } else if self.are(&[K::PARTITIONED, K::ON]) {
                return Ok(self.not_yet("CREATE VIEW … PARTITIONED ON"));
            } else if self.are(&[K::DEFAULT, K::COLLATION]) {
                return Ok(self.not_yet("CREATE VIEW … DEFAULT COLLATION"));
            } else if self.are(&[K::WITH, K::METRICS]) {
                return Ok(self.not_yet("CREATE VIEW … WITH METRICS"));
            } else {
                break;
            }
        }
        self.expect(K::AS)?;
        let start = self.start();
        let query = self.query()?;
        if temporary && if_not_exists {
            let message = "It is not allowed to define a TEMPORARY view with IF NOT EXISTS.";
            return Err(self.error_of_statement(SparkError::new("_LEGACY_ERROR_TEMP_0053", "", message)));
        }
        if temporary && properties.is_some() {
            let what = "TBLPROPERTIES can't coexist with CREATE TEMPORARY VIEW";
            return Err(self.error_of_statement(error::operation_not_allowed(what)));
        }
        if replace && if_not_exists {
            let message = "CREATE VIEW with both IF NOT EXISTS and REPLACE is not allowed.";
            return Err(self.error_of_statement(SparkError::new(
                "CREATE_VIEW_WITH_IF_NOT_EXISTS_AND_REPLACE",
                "42601",
                message,
            )));
        }
        let query_text = self.text_from(start).to_owned();
        let properties = properties.unwrap_or_default();
        Ok(StatementKind::CreateView(CreateView {
            name,
            temporary,
            global,
            replace,
            if_not_exists,
            columns,
            comment,
            properties,
            query,
            query_text,
        }))
    }

    fn create_view_using(
        &mut self,
        name: Vec<String>,
        replace: bool,
        global: bool,
        if_not_exists: bool,
    ) -> SparkResult<StatementKind> {
        let mut columns = Vec::new();
        if self.eat_symbol(S::OpenParen) {
            let start = self.start();
            let fields = self.column_types()?;
            let span = self.span_from(start);
            columns = fields.into_iter().map(|field| column_of(field, span)).collect();
            self.expect_symbol(S::CloseParen)?;
        }
        self.expect(K::USING)?;
        let format = self.multipart_name()?.join(".");
        let options = if self.eat(K::OPTIONS) { self.property_list()? } else { Vec::new() };
        Ok(StatementKind::CreateViewUsing { name, columns, format, options, replace, global, if_not_exists })
    }

    fn create_table(&mut self, replace: bool, temporary: bool) -> SparkResult<StatementKind> {
        let external = self.eat(K::EXTERNAL);
        self.expect(K::TABLE)?;
        let if_not_exists = !replace && self.if_not_exists()?;
        let name = self.identifier_reference()?;
        if self.is(K::LIKE) && self.is_name_at(1) {
            return Ok(self.not_yet("CREATE TABLE LIKE"));
        }
        let mut columns = Vec::new();
        if self.is_symbol(S::OpenParen) && !self.starts_query(1) {
            if self.is_any_at(1, &[K::CONSTRAINT, K::CHECK, K::PRIMARY, K::UNIQUE, K::FOREIGN])
                && !self.names_a_column(1)
            {
                return Ok(self.not_yet("CREATE TABLE with constraints"));
            }
            self.advance();
            columns = self.comma_separated(Self::column_definition)?;
            self.expect_symbol(S::CloseParen)?;
        }
        let mut format = None;
        if self.eat(K::USING) {
            format = Some(self.multipart_name()?.join("."));
        }
        let mut table = CreateTable {
            name,
            external,
            if_not_exists,
            replace,
            columns,
            format,
            options: Vec::new(),
            partitioned_by: Vec::new(),
            clustered_by: None,
            location: None,
            comment: None,
            properties: Vec::new(),
            query: None,
        };
        if let Some(what) = self.table_clauses(&mut table)? {
            return Ok(self.not_yet(what));
        }
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

    /// Whether the word `ahead` is a column's name, with a type behind it.
    fn names_a_column(&self, ahead: usize) -> bool {
        self.is_name_at(ahead + 1) && !self.is_any_at(ahead + 1, &[K::KEY]) && !self.is_name_at(ahead + 2)
    }

    /// OPTIONS, PARTITIONED BY and so on, in any order, each once. Answers what the clause is that nothing runs yet.
    fn table_clauses(&mut self, table: &mut CreateTable) -> SparkResult<Option<&'static str>> {
        let mut seen: Vec<&str> = Vec::new();
        loop {
            let clause = match self.keyword() {
                Some(K::OPTIONS) => {
                    self.advance();
                    table.options = self.property_list()?;
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
                Some(K::SKEWED) => return Ok(Some("CREATE TABLE … SKEWED BY")),
                Some(K::CLUSTER) => return Ok(Some("CREATE TABLE … CLUSTER BY")),
                Some(K::ROW) => return Ok(Some("CREATE TABLE … ROW FORMAT")),
                Some(K::STORED) => return Ok(Some("CREATE TABLE … STORED AS")),
                Some(K::DEFAULT) => return Ok(Some("CREATE TABLE … DEFAULT COLLATION")),
                _ => return Ok(None),
            };
            if seen.contains(&clause) {
                return self.duplicate_clause(clause);
            }
            seen.push(clause);
        }
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

fn column_of(field: StructField, span: Span) -> ColumnDefinition {
    ColumnDefinition {
        name: field.name,
        data_type: field.data_type,
        nullable: field.nullable,
        comment: field.comment,
        default: None,
        default_text: None,
        generated: None,
        span,
    }
}
