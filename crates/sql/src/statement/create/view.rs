//! CREATE VIEW.

use firesteel_plan::{
    SparkError, SparkResult,
    statement::{CreateMetricView, CreateView, SchemaBinding, StatementKind},
};

use super::table::column_of;
use crate::{
    cursor::Parser,
    error,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
};

/// What stands between a view's columns and its query, in any order.
#[derive(Default)]
struct ViewClauses {
    comment: Option<String>,
    properties: Option<Vec<(String, String)>>,
    schema_binding: Option<SchemaBinding>,
    collation: Option<String>,
    language: Option<String>,
    partitioned_on: bool,
    metrics: bool,
    seen: Vec<&'static str>,
}

impl Parser<'_> {
    pub(super) fn create_view(&mut self, replace: bool, global: bool, temporary: bool) -> SparkResult<StatementKind> {
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
        let mut clauses = ViewClauses::default();
        while let Some(clause) = self.view_clause(&mut clauses)? {
            if clauses.seen.contains(&clause) {
                return self.duplicate_clause(clause);
            }
            clauses.seen.push(clause);
        }
        self.expect(K::AS)?;
        let ViewClauses { comment, properties, schema_binding, collation, .. } = clauses;
        if clauses.metrics || self.kind() == TokenKind::DollarQuoted {
            let definition = self.code_literal()?;
            return self.metric_view(
                CreateMetricView {
                    name,
                    replace,
                    if_not_exists,
                    columns,
                    language: clauses.language.unwrap_or_default(),
                    comment,
                    properties: properties.unwrap_or_default(),
                    definition,
                },
                clauses.metrics,
            );
        }
        let start = self.start();
        let query = self.query()?;
        if temporary && if_not_exists {
            let message = "It is not allowed to define a TEMPORARY view with IF NOT EXISTS.";
            return Err(self.error_of_statement(SparkError::new("_LEGACY_ERROR_TEMP_0053", "", message)));
        }
        if clauses.partitioned_on {
            return Err(self.error_of_statement(super::super::not_spark("CREATE VIEW ... PARTITIONED ON")));
        }
        if temporary && properties.is_some() {
            let what = "TBLPROPERTIES can't coexist with CREATE TEMPORARY VIEW";
            return Err(self.error_of_statement(error::operation_not_allowed(what)));
        }
        if temporary && schema_binding.is_some() {
            let message = "Temporary views cannot be created with the WITH SCHEMA clause. Recreate the temporary view when the \
                           underlying schema changes, or use a persisted view.";
            let error = error::unsupported_feature("TEMPORARY_VIEW_WITH_SCHEMA_BINDING_MODE", message);
            return Err(self.error_of_statement(error));
        }
        if temporary {
            self.check_temporary_name("VIEW", &name)?;
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
            schema_binding,
            collation,
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

    fn view_clause(&mut self, clauses: &mut ViewClauses) -> SparkResult<Option<&'static str>> {
        let clause = if self.eat(K::COMMENT) {
            clauses.comment = Some(self.string()?);
            "COMMENT"
        } else if self.eat(K::TBLPROPERTIES) {
            clauses.properties = Some(self.property_list()?);
            "TBLPROPERTIES"
        } else if self.are(&[K::WITH, K::SCHEMA]) {
            clauses.schema_binding = Some(self.schema_binding()?);
            "WITH SCHEMA"
        } else if self.eat_all(&[K::PARTITIONED, K::ON]) {
            self.identifier_list()?;
            clauses.partitioned_on = true;
            "PARTITIONED ON"
        } else if self.are(&[K::DEFAULT, K::COLLATION]) {
            clauses.collation = Some(self.default_collation()?);
            "DEFAULT COLLATION"
        } else if self.eat_all(&[K::WITH, K::METRICS]) {
            clauses.metrics = true;
            "WITH METRICS"
        } else if self.eat(K::LANGUAGE) {
            clauses.language = Some(self.identifier()?);
            "LANGUAGE"
        } else {
            return Ok(None);
        };
        Ok(Some(clause))
    }

    /// `WITH SCHEMA BINDING | COMPENSATION | [TYPE] EVOLUTION`
    pub(in crate::statement) fn schema_binding(&mut self) -> SparkResult<SchemaBinding> {
        self.expect_all(&[K::WITH, K::SCHEMA])?;
        if self.eat(K::BINDING) {
            return Ok(SchemaBinding::Binding);
        }
        if self.eat(K::COMPENSATION) {
            return Ok(SchemaBinding::Compensation);
        }
        let of_types = self.eat(K::TYPE);
        self.expect(K::EVOLUTION)?;
        Ok(if of_types { SchemaBinding::TypeEvolution } else { SchemaBinding::Evolution })
    }

    fn metric_view(&self, view: CreateMetricView, metrics: bool) -> SparkResult<StatementKind> {
        if !view.language.is_empty() && !view.language.eq_ignore_ascii_case("yaml") {
            let what = format!("Unsupported language for metric view: {}", view.language);
            return Err(self.error_of_statement(error::operation_not_allowed(&what)));
        }
        let missing = if !metrics {
            Some("WITH METRICS")
        } else if view.language.is_empty() {
            Some("LANGUAGE")
        } else {
            None
        };
        if let Some(clause) = missing {
            let error = SparkError::new(
                "MISSING_CLAUSES_FOR_OPERATION",
                "42601",
                format!("Missing clause {clause} for operation METRIC VIEW CREATION. Please add the required clauses."),
            )
            .param("clauses", clause)
            .param("operation", "METRIC VIEW CREATION");
            return Err(self.error_of_statement(error));
        }
        Ok(StatementKind::CreateMetricView(Box::new(view)))
    }
}
