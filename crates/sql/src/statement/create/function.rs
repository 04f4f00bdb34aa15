//! CREATE FUNCTION: of a class, or of SQL.

use firesteel_plan::{
    SparkError, SparkResult,
    relation::ColumnDefinition,
    statement::{CreateFunction, FunctionBody, FunctionResult, FunctionReturns, SqlFunction, StatementKind},
};

use crate::{cursor::Parser, keyword::Keyword as K, lexer::Symbol as S};

impl Parser<'_> {
    /// FUNCTION is next.
    pub(super) fn create_function(&mut self, replace: bool, temporary: bool) -> SparkResult<StatementKind> {
        self.advance();
        let if_not_exists = self.if_not_exists()?;
        let name = self.identifier_reference()?;
        let body = if self.is_symbol(S::OpenParen) { self.sql_function()? } else { self.class_function()? };
        if replace && if_not_exists {
            let message = "Cannot create a routine with both IF NOT EXISTS and REPLACE specified.";
            return Err(self.function_error("CREATE_ROUTINE_WITH_IF_NOT_EXISTS_AND_REPLACE", message));
        }
        if temporary && if_not_exists {
            let message = "CREATE TEMPORARY FUNCTION with IF NOT EXISTS is not allowed.";
            return Err(self.function_error("CREATE_TEMP_FUNC_WITH_IF_NOT_EXISTS", message));
        }
        if temporary {
            self.check_temporary_name("FUNCTION", &name)?;
        }
        let function = CreateFunction { name, temporary, replace, if_not_exists, body };
        Ok(StatementKind::CreateFunction(Box::new(function)))
    }

    /// `AS 'class' [USING JAR 'file', …]`
    fn class_function(&mut self) -> SparkResult<FunctionBody> {
        self.expect(K::AS)?;
        let class = self.string()?;
        let mut resources = Vec::new();
        if self.eat(K::USING) {
            resources = self.comma_separated(|p| {
                let kind = p.identifier()?;
                let path = p.string()?;
                if !["jar", "file", "archive"].contains(&kind.to_lowercase().as_str()) {
                    let what = format!("CREATE FUNCTION with resource type '{}'", kind.to_lowercase());
                    return Err(p.error_of_statement(crate::error::operation_not_allowed(&what)));
                }
                Ok((kind, path))
            })?;
        }
        Ok(FunctionBody::Class { class, resources })
    }

    /// `(parameters) [RETURNS type | TABLE (columns)] characteristics RETURN expression | query`
    fn sql_function(&mut self) -> SparkResult<FunctionBody> {
        self.expect_symbol(S::OpenParen)?;
        let mut parameters = Vec::new();
        if !self.is_symbol(S::CloseParen) {
            parameters = self.comma_separated(Self::column_definition)?;
        }
        self.expect_symbol(S::CloseParen)?;
        let mut function = SqlFunction {
            parameters,
            returns: FunctionReturns::Inferred,
            deterministic: None,
            reads_data: None,
            comment: None,
            collation: None,
            result: FunctionResult::Expr(firesteel_plan::Expr::literal(firesteel_plan::expr::Literal::Null)),
            text: String::new(),
        };
        if self.is(K::RETURNS) && !self.is_at(1, K::NULL) {
            self.advance();
            function.returns = self.function_returns()?;
        }
        self.characteristics_of_function(&mut function)?;
        self.expect(K::RETURN)?;
        let start = self.start();
        function.result = if self.starts_query(0) && !self.is_scalar_query() {
            FunctionResult::Query(self.query()?)
        } else {
            FunctionResult::Expr(self.expression()?)
        };
        function.text = self.text_from(start).to_owned();
        self.check_parameters(&function.parameters)?;
        Ok(FunctionBody::Sql(Box::new(function)))
    }

    /// Whether `(query)` stands here with an operator behind it: then it is a part of an expression.
    fn is_scalar_query(&self) -> bool {
        if !self.is_symbol(S::OpenParen) {
            return false;
        }
        let after = self.after_paren(0);
        !self.token(after).kind.ends_statement()
            && !self.is_any_at(after, &[K::UNION, K::EXCEPT, K::INTERSECT, K::MINUS])
    }

    fn function_returns(&mut self) -> SparkResult<FunctionReturns> {
        if !self.eat(K::TABLE) {
            return self.data_type().map(FunctionReturns::Scalar);
        }
        if !self.eat_symbol(S::OpenParen) {
            return Ok(FunctionReturns::Table(None));
        }
        let columns = self.column_types()?;
        self.expect_symbol(S::CloseParen)?;
        Ok(FunctionReturns::Table(Some(columns)))
    }

    /// LANGUAGE, DETERMINISTIC, COMMENT and so on, in any order, each once.
    fn characteristics_of_function(&mut self, function: &mut SqlFunction) -> SparkResult<()> {
        let start = self.start();
        let (mut repeated, mut refused) = (None, None);
        let mut language: Option<String> = None;
        loop {
            let again = if self.eat(K::LANGUAGE) {
                let named = self.identifier()?;
                language.replace(named).map(|_| "LANGUAGE")
            } else if self.eat(K::SPECIFIC) {
                self.plain_identifier()?;
                refused = Some("SQL function with SPECIFIC name is not supported".to_owned());
                None
            } else if self.eat(K::DETERMINISTIC) {
                function.deterministic.replace(true).map(|_| "DETERMINISTIC")
            } else if self.eat_all(&[K::NOT, K::DETERMINISTIC]) {
                function.deterministic.replace(false).map(|_| "DETERMINISTIC")
            } else if self.eat_all(&[K::CONTAINS, K::SQL]) {
                function.reads_data.replace(false).map(|_| "SQL DATA ACCESS")
            } else if self.eat_all(&[K::READS, K::SQL, K::DATA]) {
                function.reads_data.replace(true).map(|_| "SQL DATA ACCESS")
            } else if let Some(option) = self.refused_characteristic() {
                refused = Some(format!("SQL function with {option} is not supported"));
                None
            } else if self.eat_all(&[K::CALLED, K::ON, K::NULL, K::INPUT]) {
                None
            } else if self.eat(K::COMMENT) {
                let comment = self.string()?;
                function.comment.replace(comment).map(|_| "COMMENT")
            } else if self.are(&[K::DEFAULT, K::COLLATION]) {
                let collation = self.default_collation()?;
                function.collation.replace(collation).map(|_| "DEFAULT COLLATION")
            } else if self.eat_all(&[K::SQL, K::SECURITY, K::DEFINER]) {
                None
            } else {
                break;
            };
            repeated = repeated.or(again);
        }
        if let Some(clause) = repeated {
            return Err(self.error_from(crate::error::duplicate_clause(clause), start));
        }
        if let Some(language) = language.filter(|l| !l.eq_ignore_ascii_case("sql")) {
            refused = Some(format!("Unsupported language for user defined functions: {language}"));
        }
        match refused {
            Some(what) => Err(self.error_from(crate::error::operation_not_allowed(&what), start)),
            None => Ok(()),
        }
    }

    /// What the grammar has and Spark refuses.
    fn refused_characteristic(&mut self) -> Option<&'static str> {
        const REFUSED: &[(&[K], &str)] = &[
            (&[K::NO, K::SQL], "NO SQL"),
            (&[K::MODIFIES, K::SQL, K::DATA], "MODIFIES SQL DATA"),
            (&[K::RETURNS, K::NULL, K::ON, K::NULL, K::INPUT], "RETURNS NULL ON NULL INPUT"),
            (&[K::SQL, K::SECURITY, K::INVOKER], "SQL SECURITY INVOKER"),
        ];
        REFUSED.iter().find(|(words, _)| self.eat_all(words)).map(|(_, option)| *option)
    }

    fn check_parameters(&self, parameters: &[ColumnDefinition]) -> SparkResult<()> {
        if parameters.iter().any(|p| p.generated.is_some() || p.identity.is_some()) {
            let message = "CREATE FUNCTION with generated columns as parameters is not allowed.";
            return Err(self.function_error("CREATE_FUNC_WITH_GENERATED_COLUMNS_AS_PARAMETERS", message));
        }
        if parameters.iter().any(|p| !p.constraints.is_empty()) {
            let message = "CREATE FUNCTION with constraints on parameters is not allowed.";
            return Err(self.function_error("CREATE_FUNC_WITH_COLUMN_CONSTRAINTS", message));
        }
        Ok(())
    }

    fn function_error(&self, subclass: &str, message: &str) -> SparkError {
        let class = format!("INVALID_SQL_SYNTAX.{subclass}");
        self.error_of_statement(SparkError::new(class, "42000", format!("Invalid SQL syntax: {message}")))
    }

    /// What is temporary has no database, but may say that it is the session's.
    pub(in crate::statement) fn check_temporary_name(&self, object_type: &str, name: &[String]) -> SparkResult<()> {
        let Some((last, prefix)) = name.split_last() else { return Ok(()) };
        let is = |part: &String, word: &str| part.eq_ignore_ascii_case(word);
        let of_session = match prefix {
            [] => true,
            [schema] => is(schema, "session"),
            [catalog, schema] => is(catalog, "system") && is(schema, "session"),
            _ => false,
        };
        if of_session || self.deferred.iter().any(|d| d.wanted == firesteel_plan::statement::Wanted::Name) {
            return Ok(());
        }
        let quote = |part: &String| format!("`{}`", part.replace('`', "``"));
        let qualifier = prefix.iter().map(quote).collect::<Vec<_>>().join(".");
        let error = SparkError::new(
            "INVALID_TEMP_OBJ_QUALIFIER",
            "42602",
            format!(
                "Temporary {object_type} {} cannot be qualified with {qualifier}. Temporary objects can only be qualified with \
                 SESSION or SYSTEM.SESSION.",
                quote(last)
            ),
        )
        .param("objectType", object_type)
        .param("objectName", quote(last))
        .param("qualifier", qualifier);
        Err(self.error_of_statement(error))
    }
}
