//! What operators join: constants, names, calls, parentheses, CASE and CAST, and what may follow each of them
//! (`.field`, `[index]`, `::type`, COLLATE).

use firesteel_plan::{
    Expr, ExprKind, SparkResult,
    expr::{CastMode, FunctionCall, Parameter, PathPart},
};

use crate::{
    cursor::Parser,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
};

impl Parser<'_> {
    pub fn primary(&mut self) -> SparkResult<Expr> {
        let start = self.start();
        let mut expr = self.primary_head()?;
        loop {
            let kind = match self.kind() {
                TokenKind::Symbol(S::Dot) => {
                    if self.is_symbol_at(1, S::Asterisk) {
                        self.at += 2;
                        let ExprKind::Attribute { name, .. } = expr.kind else {
                            self.at -= 1;
                            return Err(self.unexpected());
                        };
                        let except = self.star_except()?;
                        return Ok(Expr::new(ExprKind::Star { target: Some(name), except }, self.span_from(start)));
                    }
                    self.advance();
                    let field = self.identifier()?;
                    match expr.kind {
                        ExprKind::Attribute { mut name, plan_id } if !self.was_parenthesized(start) => {
                            name.push(field);
                            ExprKind::Attribute { name, plan_id }
                        }
                        _ => {
                            self.grow()?;
                            ExprKind::Field { base: Box::new(expr), name: field }
                        }
                    }
                }
                TokenKind::Symbol(S::OpenBracket) => {
                    self.advance();
                    let index = Box::new(self.value()?);
                    self.expect_symbol(S::CloseBracket)?;
                    self.grow()?;
                    ExprKind::Subscript { base: Box::new(expr), index }
                }
                TokenKind::Symbol(S::DoubleColon) => {
                    self.advance();
                    let data_type = self.data_type()?;
                    self.grow()?;
                    ExprKind::Cast { operand: Box::new(expr), data_type, mode: CastMode::Session }
                }
                TokenKind::Symbol(S::Colon) => {
                    let path = self.variant_path()?;
                    self.grow()?;
                    ExprKind::VariantPath { base: Box::new(expr), path }
                }
                TokenKind::Keyword(K::COLLATE) if self.is_name_at(1) && self.starts_operand(1) => {
                    self.advance();
                    let collation = self.multipart_name()?;
                    self.grow()?;
                    ExprKind::Collate { operand: Box::new(expr), collation }
                }
                _ => return Ok(expr),
            };
            expr = Expr::new(kind, self.span_from(start));
        }
    }

    /// `:a.b[0]['c']`
    fn variant_path(&mut self) -> SparkResult<Vec<PathPart>> {
        self.expect_symbol(S::Colon)?;
        if !self.is_name() && !self.is_symbol(S::OpenBracket) {
            return Err(self.unexpected());
        }
        let mut path = Vec::new();
        loop {
            if self.eat_symbol(S::OpenBracket) {
                path.push(match self.kind() {
                    TokenKind::Integer => PathPart::Index(self.unsigned_integer()?),
                    _ if self.is_string_at(0) => PathPart::Field(self.string()?),
                    // A name in brackets never comes first.
                    _ if !path.is_empty() => PathPart::Field(self.identifier()?),
                    _ => return Err(self.unexpected()),
                });
                self.expect_symbol(S::CloseBracket)?;
            } else if path.is_empty() || self.eat_symbol(S::Dot) {
                path.push(PathPart::Field(self.identifier()?));
            } else {
                return Ok(path);
            }
        }
    }

    /// `(a).b` takes a field of a; only `a.b` may be a name of two parts.
    fn was_parenthesized(&self, start: usize) -> bool {
        self.text.as_bytes().get(start) == Some(&b'(')
    }

    fn primary_head(&mut self) -> SparkResult<Expr> {
        let start = self.start();
        let kind = match self.kind() {
            TokenKind::Symbol(S::OpenParen) => return self.parenthesis(),
            TokenKind::Symbol(S::Asterisk) => {
                self.advance();
                ExprKind::Star { target: None, except: self.star_except()? }
            }
            TokenKind::Symbol(S::Question | S::Colon) => return self.parameter(),
            _ if self.is_string_at(0) => return self.string_literal(),
            TokenKind::Symbol(S::Minus) => return self.number_literal(),
            _ if self.is_number_at(0) => return self.number_literal(),
            TokenKind::Keyword(keyword) => {
                if let Some(expr) = self.keyword_form(keyword)? {
                    return Ok(expr);
                }
                return self.name_or_call();
            }
            _ => return self.name_or_call(),
        };
        Ok(Expr::new(kind, self.span_from(start)))
    }

    /// `:name` or `?`
    pub fn parameter(&mut self) -> SparkResult<Expr> {
        let start = self.start();
        let parameter = if self.eat_symbol(S::Question) {
            self.positional_parameters += 1;
            Parameter::Positional(self.positional_parameters - 1)
        } else {
            self.expect_symbol(S::Colon)?;
            Parameter::Named(self.simple_identifier()?)
        };
        let span = self.span_from(start);
        self.parameters.insert(span.start, (span, parameter.clone()));
        Ok(Expr::new(ExprKind::Parameter(parameter), span))
    }

    fn star_except(&mut self) -> SparkResult<Vec<Vec<String>>> {
        if self.is(K::EXCEPT) && self.is_symbol_at(1, S::OpenParen) && !self.starts_query(2) {
            self.advance();
            return self.parenthesized(Self::multipart_name);
        }
        Ok(Vec::new())
    }

    /// The forms that a keyword begins; none where the keyword is a name here.
    fn keyword_form(&mut self, keyword: K) -> SparkResult<Option<Expr>> {
        let start = self.start();
        let paren = self.is_symbol_at(1, S::OpenParen);
        let kind = match keyword {
            K::NULL | K::TRUE | K::FALSE if !paren => return self.word_constant(keyword).map(Some),
            K::CASE if self.is_at(1, K::WHEN) || self.starts_operand(1) && !paren && !self.is_at(1, K::END) => {
                self.case()?
            }
            K::CASE if paren && self.is_at(self.after_paren(1), K::WHEN) => self.case()?,
            K::CAST | K::TRY_CAST if paren && !self.is_symbol_at(2, S::CloseParen) => {
                return self.cast(keyword).map(Some);
            }
            K::EXISTS if paren && self.starts_query(2) => {
                self.at += 2;
                let subquery = Box::new(self.query()?);
                self.expect_symbol(S::CloseParen)?;
                ExprKind::Exists { subquery }
            }
            K::INTERVAL if self.starts_interval() => return self.interval_literal().map(Some),
            _ if self.is_string_at(1) => return self.typed_literal().map(Some),
            // Reserved, and yet calls of functions.
            K::LEFT | K::RIGHT | K::FILTER if paren && self.options.reserved_keywords => {
                self.advance();
                return self.call(vec![keyword.text().to_lowercase()], start).map(Some);
            }
            K::CURRENT_DATE
            | K::CURRENT_PATH
            | K::CURRENT_TIME
            | K::CURRENT_TIMESTAMP
            | K::CURRENT_USER
            | K::SESSION_USER
            | K::USER
                if self.options.reserved_keywords =>
            {
                let token = self.advance();
                ExprKind::Attribute { name: vec![self.token_text(token).to_owned()], plan_id: None }
            }
            _ if paren => return self.special_call(keyword),
            _ => return Ok(None),
        };
        Ok(Some(Expr::new(kind, self.span_from(start))))
    }

    fn case(&mut self) -> SparkResult<ExprKind> {
        self.advance();
        let operand = if self.is(K::WHEN) { None } else { Some(Box::new(self.expression()?)) };
        let mut branches = Vec::new();
        while self.eat(K::WHEN) {
            let condition = self.expression()?;
            self.expect(K::THEN)?;
            branches.push((condition, self.expression()?));
        }
        if branches.is_empty() {
            return Err(self.unexpected());
        }
        let otherwise = if self.eat(K::ELSE) { Some(Box::new(self.expression()?)) } else { None };
        self.expect(K::END)?;
        Ok(ExprKind::Case { operand, branches, otherwise })
    }

    /// `CAST(value AS type)`; without AS it is a call of a function of that name.
    fn cast(&mut self, keyword: K) -> SparkResult<Expr> {
        let start = self.start();
        let name = self.identifier()?;
        self.advance();
        let first = self.expression()?;
        if !self.eat(K::AS) {
            let mut args = vec![first];
            while self.eat_symbol(S::Comma) {
                args.push(self.argument()?);
            }
            self.expect_symbol(S::CloseParen)?;
            return self.finish_call(FunctionCall::new(name, args), start);
        }
        let operand = Box::new(first);
        let data_type = self.data_type()?;
        self.expect_symbol(S::CloseParen)?;
        let mode = if keyword == K::TRY_CAST { CastMode::Try } else { CastMode::Session };
        Ok(Expr::new(ExprKind::Cast { operand, data_type, mode }, self.span_from(start)))
    }

    /// `(query)`, `(x, y) -> body`, `(a, b)` or `(a)`.
    fn parenthesis(&mut self) -> SparkResult<Expr> {
        let start = self.start();
        let after = self.after_paren(0);
        if self.is_symbol_at(after, S::Arrow) {
            let parameters = self.parenthesized(Self::identifier)?;
            if parameters.len() < 2 {
                // One parameter has no parentheses: what stands in them is a value, behind which nothing may have an arrow.
                return Err(self.unexpected());
            }
            return self.lambda_body(parameters, start);
        }
        self.advance();
        let kind = if self.starts_query(0) {
            let subquery = Box::new(self.query()?);
            self.expect_symbol(S::CloseParen)?;
            ExprKind::ScalarSubquery { subquery }
        } else {
            let mut items = vec![self.named_expression()?];
            while self.eat_symbol(S::Comma) {
                items.push(self.named_expression()?);
            }
            self.expect_symbol(S::CloseParen)?;
            match (items.pop(), items.is_empty()) {
                (Some(Expr { kind: ExprKind::Alias { .. }, .. }), true) => {
                    self.at -= 1;
                    return Err(self.unexpected());
                }
                (Some(Expr { kind, .. }), true) => kind,
                (last, _) => {
                    items.extend(last);
                    ExprKind::Row(items)
                }
            }
        };
        Ok(Expr::new(kind, self.span_from(start)))
    }

    fn lambda_body(&mut self, parameters: Vec<String>, start: usize) -> SparkResult<Expr> {
        self.expect_symbol(S::Arrow)?;
        let body = Box::new(self.expression()?);
        Ok(Expr::new(ExprKind::Lambda { parameters, body }, self.span_from(start)))
    }

    /// A column, a call by name, a lambda of one parameter, or a literal of a type that has none (`name 'text'`).
    fn name_or_call(&mut self) -> SparkResult<Expr> {
        let start = self.start();
        if !self.is_name() {
            return Err(self.unexpected());
        }
        if self.is_symbol_at(1, S::Arrow) {
            let parameter = self.identifier()?;
            return self.lambda_body(vec![parameter], start);
        }
        if self.is_string_at(1) && self.kind() == TokenKind::Word {
            return self.typed_literal();
        }
        // A call's name may have several parts.
        let mut parts = 1;
        while self.is_symbol_at(parts, S::Dot)
            && self.is_name_at(parts + 1)
            && !(self.is_at(parts + 1, K::IDENTIFIER) && self.is_symbol_at(parts + 2, S::OpenParen))
        {
            parts += 2;
        }
        let query_follows = self.before_query > 0 && self.starts_query(parts + 1);
        if self.is_symbol_at(parts, S::OpenParen)
            && !query_follows
            && !(parts == 1 && self.starts_identifier_reference())
        {
            let name = self.multipart_name_of_call(parts)?;
            return self.call(name, start);
        }
        let first = self.multipart_head()?;
        if self.is_symbol(S::OpenParen) && !query_follows {
            return self.call(first, start);
        }
        Ok(Expr::new(ExprKind::Attribute { name: first, plan_id: None }, self.span_from(start)))
    }

    fn multipart_name_of_call(&mut self, tokens: usize) -> SparkResult<Vec<String>> {
        let end = self.at + tokens;
        let mut name = vec![self.identifier()?];
        while self.at < end {
            self.expect_symbol(S::Dot)?;
            name.push(self.identifier()?);
        }
        Ok(name)
    }

    /// The first part of a column's name, which IDENTIFIER('a.b') may make several.
    fn multipart_head(&mut self) -> SparkResult<Vec<String>> {
        if self.starts_identifier_reference() {
            return self.identifier_clause();
        }
        Ok(vec![self.identifier()?])
    }
}
