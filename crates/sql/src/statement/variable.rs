//! Session variables, EXECUTE IMMEDIATE and cursors.

use firesteel_plan::{
    Expr, ExprKind, SparkError, SparkResult,
    expr::MultipartName,
    statement::{Cursor, StatementKind},
};

use crate::{cursor::Parser, keyword::Keyword as K, lexer::Symbol as S};

impl Parser<'_> {
    /// `DECLARE [OR REPLACE] [VARIABLE] name, … [type] [DEFAULT | = value]`, or a cursor.
    pub(super) fn declare(&mut self) -> SparkResult<StatementKind> {
        let start = self.start();
        self.expect(K::DECLARE)?;
        let sensitivity = usize::from(self.is_any_at(1, &[K::ASENSITIVE, K::INSENSITIVE]));
        if self.is_name() && self.is_at(1 + sensitivity, K::CURSOR) && self.is_at(2 + sensitivity, K::FOR) {
            return self.declare_cursor();
        }
        let replace = self.eat_all(&[K::OR, K::REPLACE]);
        if self.is_any(&[K::VARIABLE, K::VAR]) && self.is_name_at(1) && !self.is_symbol_at(1, S::Comma) {
            self.advance();
        }
        let names = self.comma_separated(Self::identifier_reference)?;
        let has_value = |p: &Self| p.is(K::DEFAULT) || p.is_symbol(S::Equal);
        let mut data_type = None;
        if self.is_name() && !(self.is(K::DEFAULT) && self.starts_operand(1)) {
            data_type = Some(self.data_type()?);
        }
        let (mut default, mut default_text) = (None, None);
        if has_value(self) {
            self.advance();
            let from = self.start();
            default = Some(self.expression()?);
            default_text = Some(self.text_from(from).to_owned());
        }
        if data_type.is_none() && default.is_none() {
            let error = SparkError::new(
                "INVALID_SQL_SYNTAX.VARIABLE_TYPE_OR_DEFAULT_REQUIRED",
                "42000",
                "Invalid SQL syntax: The definition of a SQL variable requires either a datatype or a DEFAULT clause.\nFor \
                 example, use `DECLARE name STRING` or `DECLARE name = 'SQL'` instead of `DECLARE name`.",
            );
            return Err(self.error_from(error, start));
        }
        Ok(StatementKind::DeclareVariable { names, replace, data_type, default, default_text })
    }

    /// `SET VAR a = 1, …` or `SET VAR (a, b) = (query)`; what follows VAR is next.
    pub(super) fn set_variable(&mut self) -> SparkResult<StatementKind> {
        if !self.is_symbol(S::OpenParen) {
            let assignments = self.assignments()?;
            return Ok(StatementKind::SetVariable { assignments });
        }
        let names = self.parenthesized(Self::multipart_name)?;
        self.expect_symbol(S::Equal)?;
        self.expect_symbol(S::OpenParen)?;
        let query = self.query()?;
        self.expect_symbol(S::CloseParen)?;
        Ok(StatementKind::SetVariableByQuery { names, query })
    }

    /// `EXECUTE IMMEDIATE text [INTO variables] [USING values]`
    pub(super) fn execute_immediate(&mut self) -> SparkResult<StatementKind> {
        self.expect_all(&[K::EXECUTE, K::IMMEDIATE])?;
        let statement = self.expression()?;
        let into = if self.eat(K::INTO) { self.comma_separated(Self::multipart_name)? } else { Vec::new() };
        let place = self.start();
        let using = self.using_values()?;
        let mut seen = std::collections::HashSet::with_capacity(using.len());
        let mut twice: Vec<String> = Vec::new();
        for value in &using {
            if let ExprKind::Alias { names, .. } = &value.kind
                && let [name] = names.as_slice()
                && !seen.insert(name.to_lowercase())
            {
                twice.push(format!("`{name}`"));
            }
        }
        if !twice.is_empty() {
            let aliases = twice.join(", ");
            let error = SparkError::new(
                "EXEC_IMMEDIATE_DUPLICATE_ARGUMENT_ALIASES",
                "42701",
                format!(
                    "The USING clause of this EXECUTE IMMEDIATE command contained multiple arguments with same alias \
                     ({aliases}), which is invalid; please update the command to specify unique aliases and then try it again."
                ),
            );
            return Err(self.error_from(error.param("aliases", aliases), place));
        }
        Ok(StatementKind::ExecuteImmediate { statement, into, using })
    }

    /// `USING values`, in parentheses or not, if it stands here.
    fn using_values(&mut self) -> SparkResult<Vec<Expr>> {
        if !self.eat(K::USING) {
            return Ok(Vec::new());
        }
        let in_parentheses = self.is_symbol(S::OpenParen)
            && self.token(self.after_paren(0)).kind.ends_statement()
            && !self.starts_query(1);
        if in_parentheses {
            return self.parenthesized(Self::named_expression);
        }
        self.comma_separated(Self::named_expression)
    }

    /// `name [ASENSITIVE | INSENSITIVE] CURSOR FOR query [FOR READ ONLY]`
    fn declare_cursor(&mut self) -> SparkResult<StatementKind> {
        let name = self.plain_identifier()?;
        let insensitive = self.eat_any(&[K::ASENSITIVE, K::INSENSITIVE]).map(|word| word == K::INSENSITIVE);
        self.expect_all(&[K::CURSOR, K::FOR])?;
        let from = self.start();
        let query = self.query()?;
        let query_text = self.text_from(from).to_owned();
        self.eat_all(&[K::FOR, K::READ, K::ONLY]);
        Ok(StatementKind::DeclareCursor(Box::new(Cursor { name, insensitive, query, query_text })))
    }

    /// `OPEN cursor [USING values]`
    pub(super) fn open_cursor(&mut self) -> SparkResult<StatementKind> {
        self.expect(K::OPEN)?;
        let name = self.cursor_name()?;
        let using = self.using_values()?;
        Ok(StatementKind::OpenCursor { name, using })
    }

    /// `FETCH [[NEXT] FROM] cursor INTO variables`
    pub(super) fn fetch_cursor(&mut self) -> SparkResult<StatementKind> {
        self.expect(K::FETCH)?;
        if !self.eat_all(&[K::NEXT, K::FROM]) && !self.is_at(1, K::INTO) {
            self.eat(K::FROM);
        }
        let name = self.cursor_name()?;
        self.expect(K::INTO)?;
        let into = self.comma_separated(Self::multipart_name)?;
        Ok(StatementKind::FetchCursor { name, into })
    }

    pub(super) fn close_cursor(&mut self) -> SparkResult<StatementKind> {
        self.expect(K::CLOSE)?;
        Ok(StatementKind::CloseCursor { name: self.cursor_name()? })
    }

    fn cursor_name(&mut self) -> SparkResult<MultipartName> {
        let start = self.start();
        let name = self.multipart_name()?;
        if name.len() > 2 {
            let shown = name.iter().map(|p| format!("`{p}`")).collect::<Vec<_>>().join(".");
            let error = SparkError::new(
                "CURSOR_REFERENCE_INVALID_QUALIFIER",
                "42601",
                format!(
                    "Cursor reference {shown} is invalid. Cursor references can only have at most one qualifier (e.g., \
                     label.cursor)."
                ),
            );
            return Err(self.error_from(error.param("cursorName", shown), start));
        }
        Ok(name)
    }
}
