//! Places where a name or a literal must stand and an expression may stand for it: `IDENTIFIER(…)` and parameters. Where the
//! expression is made of string literals its value is known here; otherwise it is kept for who can evaluate it, and the text
//! is parsed again with the value (`ParseOptions::deferred`).

use firesteel_plan::{
    Expr, ExprKind, SparkResult,
    expr::{BinaryOp, Literal, MultipartName},
    statement::{DeferredClause, Wanted},
};

use crate::{
    cursor::Parser,
    error,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
};

impl Parser<'_> {
    /// Whether `IDENTIFIER(expression)` stands here. `name` is a call only where it has no argument.
    pub fn starts_identifier_reference(&self) -> bool {
        self.is(K::IDENTIFIER) && self.is_symbol_at(1, S::OpenParen) && !self.is_symbol_at(2, S::CloseParen)
    }

    /// The name of a table, function and so on: as written, or as `IDENTIFIER(expression)` gives it.
    pub fn identifier_reference(&mut self) -> SparkResult<MultipartName> {
        if !self.starts_identifier_reference() || self.is_identifier_clause() {
            return self.multipart_name();
        }
        self.identifier_clause()
    }

    /// `IDENTIFIER(expression)`
    pub(crate) fn identifier_clause(&mut self) -> SparkResult<MultipartName> {
        let start = self.start();
        self.at += 2;
        let value = self.expression()?;
        self.expect_symbol(S::CloseParen)?;
        let Some(text) = self.known(&value, start) else {
            let span = self.span_from(start);
            let placeholder = self.text_from(start).to_owned();
            self.deferred.push(DeferredClause { span, value, wanted: Wanted::Name });
            return Ok(vec![placeholder]);
        };
        crate::parse_multipart_name(&text).map_err(|inner| {
            if text.trim().is_empty() {
                return self.error_from(error::empty_statement(), start);
            }
            // The place is that of the clause: the name has a text of its own.
            let error = match inner.parameters().get("error") {
                Some(near) if inner.class() == "PARSE_SYNTAX_ERROR" => error::syntax_near(near),
                _ => inner.without_context(),
            };
            self.error_from(error, start)
        })
    }

    fn known(&self, value: &Expr, start: usize) -> Option<String> {
        let given = u32::try_from(start).ok().and_then(|start| self.options.deferred.get(&start));
        given.cloned().or_else(|| constant_text(value))
    }

    /// Whether a parameter stands here: `:name` or `?`.
    pub fn is_parameter_at(&self, ahead: usize) -> bool {
        self.is_symbol_at(ahead, S::Question) || self.is_symbol_at(ahead, S::Colon) && self.is_name_at(ahead + 1)
    }

    /// A parameter where a literal must stand.
    pub fn deferred_literal(&mut self, wanted: Wanted) -> SparkResult<Option<String>> {
        if !self.is_parameter_at(0) {
            return Ok(None);
        }
        let start = self.start();
        let value = self.parameter()?;
        if let Some(text) = self.known(&value, start) {
            return Ok(Some(text));
        }
        let span = self.span_from(start);
        self.deferred.push(DeferredClause { span, value, wanted });
        Ok(Some(String::new()))
    }

    /// An option whose value is no literal.
    pub fn deferred_value(&mut self, value: Expr, start: usize) -> String {
        if let Some(text) = self.known(&value, start) {
            return text;
        }
        let span = self.span_from(start);
        self.deferred.push(DeferredClause { span, value, wanted: Wanted::String });
        String::new()
    }

    /// An integer without sign, as lengths and numbers of rows and buckets are; it may be a parameter.
    pub fn unsigned_integer(&mut self) -> SparkResult<u32> {
        if self.is_parameter_at(0) {
            let start = self.start();
            let text = self.deferred_literal(Wanted::Integer)?.unwrap_or_default();
            let value = if text.is_empty() { Some(0) } else { text.parse().ok() };
            return value.ok_or_else(|| self.error_from(error::syntax(&text), start));
        }
        if self.kind() != TokenKind::Integer {
            return Err(self.unexpected());
        }
        let parsed = self.token_text(self.token(0)).parse().ok();
        let value = parsed.ok_or_else(|| self.unexpected())?;
        self.advance();
        Ok(value)
    }
}

/// The text of string literals and of what `||` makes of them.
fn constant_text(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::Literal(Literal::String(text)) => Some(text.clone()),
        ExprKind::Binary { op: BinaryOp::Concat, left, right } => {
            Some(constant_text(left)? + constant_text(right)?.as_str())
        }
        _ => None,
    }
}
