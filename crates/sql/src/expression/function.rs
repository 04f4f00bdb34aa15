//! Calls, with the forms that words instead of commas keep apart, and windows.

use firesteel_plan::{
    Expr, ExprKind, SparkError, SparkResult,
    expr::{FrameBound, FunctionCall, Literal, MultipartName, UnaryOp, WindowDefinition, WindowFrame, WindowSpec},
};

use crate::{cursor::Parser, error, keyword::Keyword as K, lexer::Symbol as S};

const DATE_UNITS: &[K] = &[
    K::YEAR,
    K::QUARTER,
    K::MONTH,
    K::WEEK,
    K::DAY,
    K::DAYOFYEAR,
    K::HOUR,
    K::MINUTE,
    K::SECOND,
    K::MILLISECOND,
    K::MICROSECOND,
];

impl Parser<'_> {
    /// A call that a keyword begins and that has a form of its own; none where it is an ordinary call. The opening
    /// parenthesis is next.
    pub(super) fn special_call(&mut self, keyword: K) -> SparkResult<Option<Expr>> {
        let start = self.start();
        if self.is_symbol_at(2, S::CloseParen) {
            return Ok(None);
        }
        match keyword {
            K::STRUCT => {
                self.advance();
                let args = self.parenthesized(Self::named_expression)?;
                return self.finish_call(FunctionCall::new("struct", args), start).map(Some);
            }
            K::EXTRACT if self.is_name_at(2) && self.is_at(3, K::FROM) => {
                self.at += 2;
                let field = self.identifier()?;
                self.expect(K::FROM)?;
                let operand = Box::new(self.value()?);
                self.expect_symbol(S::CloseParen)?;
                return Ok(Some(Expr::new(ExprKind::Extract { field, operand }, self.span_from(start))));
            }
            K::TRIM => return self.trim_call(start),
            K::TIMESTAMPADD
            | K::DATEADD
            | K::DATE_ADD
            | K::TIMESTAMPDIFF
            | K::DATEDIFF
            | K::DATE_DIFF
            | K::TIMEDIFF => {
                return self.date_unit_call(keyword, start);
            }
            _ => {}
        }
        // These begin with a value; the word after it tells the form.
        let begins_with_value =
            matches!(keyword, K::POSITION | K::SUBSTRING | K::SUBSTR | K::OVERLAY | K::FIRST | K::LAST | K::ANY_VALUE)
                && !self.is_at(2, K::NOT)
                && !self.is_any_at(2, &[K::DISTINCT, K::ALL])
                && !self.is_symbol_at(2, S::Bang)
                && !self.is_symbol_at(3, S::FatArrow);
        if !begins_with_value {
            return Ok(None);
        }
        let name = self.identifier()?;
        self.advance();
        let first = self.value()?;
        let args = match keyword {
            K::POSITION if self.eat(K::IN) => {
                let args = vec![first, self.value()?];
                self.expect_symbol(S::CloseParen)?;
                return self.finish_call(FunctionCall::new("locate", args), start).map(Some);
            }
            K::SUBSTRING | K::SUBSTR if self.eat(K::FROM) => {
                let mut args = vec![first, self.value()?];
                if self.eat(K::FOR) {
                    args.push(self.value()?);
                }
                self.expect_symbol(S::CloseParen)?;
                return self.finish_call(FunctionCall::new("substring", args), start).map(Some);
            }
            K::OVERLAY if self.eat(K::PLACING) => {
                let mut args = vec![first, self.value()?];
                self.expect(K::FROM)?;
                args.push(self.value()?);
                if self.eat(K::FOR) {
                    args.push(self.value()?);
                }
                self.expect_symbol(S::CloseParen)?;
                return self.finish_call(FunctionCall::new("overlay", args), start).map(Some);
            }
            _ => {
                let mut args = vec![self.expression_after(first)?];
                let ignore = matches!(keyword, K::FIRST | K::LAST | K::ANY_VALUE) && self.are(&[K::IGNORE, K::NULLS]);
                if ignore {
                    self.at += 2;
                    self.expect_symbol(S::CloseParen)?;
                    let call = FunctionCall { ignore_nulls: Some(true), ..FunctionCall::new(name, args) };
                    return self.finish_call(call, start).map(Some);
                }
                while self.eat_symbol(S::Comma) {
                    args.push(self.argument()?);
                }
                args
            }
        };
        self.expect_symbol(S::CloseParen)?;
        self.finish_call(FunctionCall::new(name, args), start).map(Some)
    }

    /// `TRIM([BOTH | LEADING | TRAILING] [characters] FROM text)`, or an ordinary call.
    fn trim_call(&mut self, start: usize) -> SparkResult<Option<Expr>> {
        let side = self.keyword_at(2).filter(|k| matches!(k, K::BOTH | K::LEADING | K::TRAILING));
        let side = side.filter(|_| !self.is_symbol_at(3, S::CloseParen) && !self.is_symbol_at(3, S::Comma));
        let not_a_value = self.is_at(2, K::NOT) || self.is_symbol_at(2, S::Bang) || self.is_symbol_at(3, S::FatArrow);
        if not_a_value && side.is_none() {
            return Ok(None);
        }
        let name = self.identifier()?;
        self.advance();
        if side.is_some() {
            self.advance();
        }
        let mut args = Vec::with_capacity(2);
        if !(self.is(K::FROM) && self.starts_operand(1)) {
            let first = self.value()?;
            if side.is_none() && !self.is(K::FROM) {
                args.push(self.expression_after(first)?);
                while self.eat_symbol(S::Comma) {
                    args.push(self.argument()?);
                }
                self.expect_symbol(S::CloseParen)?;
                return self.finish_call(FunctionCall::new(name, args), start).map(Some);
            }
            args.push(first);
        }
        self.expect(K::FROM)?;
        args.push(self.value()?);
        self.expect_symbol(S::CloseParen)?;
        let function = match side {
            Some(K::LEADING) => "ltrim",
            Some(K::TRAILING) => "rtrim",
            _ => "trim",
        };
        Ok(Some(Expr::new(ExprKind::Function(Box::new(FunctionCall::new(function, args))), self.span_from(start))))
    }

    /// `DATEADD(unit, amount, time)` and its kin become `timestampadd` and `timestampdiff` with the unit as a string; with
    /// other arguments they are ordinary calls.
    fn date_unit_call(&mut self, keyword: K, start: usize) -> SparkResult<Option<Expr>> {
        let has_unit = self.is_symbol_at(3, S::Comma) && (self.is_any_at(2, DATE_UNITS) || self.is_string_at(2));
        if !has_unit {
            return Ok(None);
        }
        let unit_is_string = self.is_string_at(2);
        let name = self.identifier()?;
        self.advance();
        let unit = self.token_text(self.token(0)).to_owned();
        let mut args = self.comma_separated(Self::argument)?;
        self.expect_symbol(S::CloseParen)?;
        if args.len() != 3 {
            return self.finish_call(FunctionCall::new(name, args), start).map(Some);
        }
        if unit_is_string {
            let function = format!("`{}`", name.to_lowercase());
            let error = SparkError::new(
                "INVALID_PARAMETER_VALUE.DATETIME_UNIT",
                "22023",
                format!(
                    "The value of parameter(s) `unit` in {function} is invalid: expects one of the units without quotes YEAR, \
                     QUARTER, MONTH, WEEK, DAY, DAYOFYEAR, HOUR, MINUTE, SECOND, MILLISECOND, MICROSECOND, but got the string \
                     literal {unit}."
                ),
            )
            .param("functionName", function)
            .param("parameter", "`unit`")
            .param("invalidValue", unit);
            return Err(self.error_from(error, start));
        }
        let adds = matches!(keyword, K::TIMESTAMPADD | K::DATEADD | K::DATE_ADD);
        args[0].kind = ExprKind::Literal(Literal::String(unit));
        let call = FunctionCall::new(if adds { "timestampadd" } else { "timestampdiff" }, args);
        Ok(Some(Expr::new(ExprKind::Function(Box::new(call)), self.span_from(start))))
    }

    /// A call by name; the opening parenthesis is next.
    pub(super) fn call(&mut self, name: MultipartName, start: usize) -> SparkResult<Expr> {
        self.expect_symbol(S::OpenParen)?;
        let mut call = FunctionCall { name, ..FunctionCall::new("", Vec::new()) };
        if !self.eat_symbol(S::CloseParen) {
            if self.is_any(&[K::DISTINCT, K::ALL]) && self.starts_operand(1) {
                call.distinct = self.is(K::DISTINCT);
                self.advance();
            }
            call.args = self.comma_separated(Self::argument)?;
            self.expect_symbol(S::CloseParen)?;
        }
        self.finish_call(call, start)
    }

    /// `expression` or `name => expression`
    pub fn argument(&mut self) -> SparkResult<Expr> {
        if self.is_name() && self.is_symbol_at(1, S::FatArrow) {
            let start = self.start();
            let name = self.identifier()?;
            self.advance();
            let value = Box::new(self.expression()?);
            return Ok(Expr::new(ExprKind::NamedArgument { name, value }, self.span_from(start)));
        }
        self.expression()
    }

    /// What may follow a call's arguments.
    pub(super) fn finish_call(&mut self, mut call: FunctionCall, start: usize) -> SparkResult<Expr> {
        if self.are(&[K::WITHIN, K::GROUP]) {
            self.at += 2;
            self.expect_symbol(S::OpenParen)?;
            self.expect_all(&[K::ORDER, K::BY])?;
            call.within_group = self.comma_separated(Self::sort_item)?;
            self.expect_symbol(S::CloseParen)?;
        }
        if self.is(K::FILTER) && self.is_symbol_at(1, S::OpenParen) && self.is_at(2, K::WHERE) {
            self.at += 3;
            call.filter = Some(self.expression()?);
            self.expect_symbol(S::CloseParen)?;
        }
        if self.is_any(&[K::IGNORE, K::RESPECT]) && self.is_at(1, K::NULLS) {
            call.ignore_nulls = Some(self.is(K::IGNORE));
            self.at += 2;
        }
        if self.is(K::OVER) && (self.is_symbol_at(1, S::OpenParen) || self.is_name_at(1) && self.starts_operand(1)) {
            self.advance();
            call.over = Some(self.window_spec()?);
        }
        Ok(Expr::new(ExprKind::Function(Box::new(call)), self.span_from(start)))
    }

    /// `name`, `(name)` or `([PARTITION BY …] [ORDER BY …] [frame])`
    pub fn window_spec(&mut self) -> SparkResult<WindowSpec> {
        if !self.is_symbol(S::OpenParen) {
            return self.plain_identifier().map(WindowSpec::Named);
        }
        if self.is_name_at(1) && self.is_symbol_at(2, S::CloseParen) {
            self.advance();
            let name = self.plain_identifier()?;
            self.advance();
            return Ok(WindowSpec::Named(name));
        }
        self.advance();
        let mut window = WindowDefinition::default();
        if self.eat_all(&[K::CLUSTER, K::BY]) {
            window.partition_by = self.comma_separated(Self::expression)?;
        } else {
            if self.eat_all(&[K::PARTITION, K::BY]) || self.eat_all(&[K::DISTRIBUTE, K::BY]) {
                window.partition_by = self.comma_separated(Self::expression)?;
            }
            if self.eat_all(&[K::ORDER, K::BY]) || self.eat_all(&[K::SORT, K::BY]) {
                window.order_by = self.comma_separated(Self::sort_item)?;
            }
        }
        if self.is_any(&[K::ROWS, K::RANGE]) {
            window.frame = Some(self.window_frame()?);
        }
        self.expect_symbol(S::CloseParen)?;
        Ok(WindowSpec::Inline(window))
    }

    fn window_frame(&mut self) -> SparkResult<WindowFrame> {
        let rows = self.eat(K::ROWS) || !self.eat(K::RANGE);
        if self.eat(K::BETWEEN) {
            let start = self.frame_bound()?;
            self.expect(K::AND)?;
            let end = self.frame_bound()?;
            return Ok(WindowFrame { rows, start, end });
        }
        Ok(WindowFrame { rows, start: self.frame_bound()?, end: FrameBound::CurrentRow })
    }

    fn frame_bound(&mut self) -> SparkResult<FrameBound> {
        if self.is(K::UNBOUNDED) && self.is_any_at(1, &[K::PRECEDING, K::FOLLOWING]) {
            self.at += 1;
            let preceding = self.is(K::PRECEDING);
            self.advance();
            return Ok(if preceding { FrameBound::UnboundedPreceding } else { FrameBound::UnboundedFollowing });
        }
        if self.eat_all(&[K::CURRENT, K::ROW]) {
            return Ok(FrameBound::CurrentRow);
        }
        let start = self.start();
        let amount = Box::new(self.expression()?);
        if !is_constant(&amount) {
            let error = SparkError::new("_LEGACY_ERROR_TEMP_0064", "", "Frame bound value must be a literal.");
            return Err(self.error_from(error, start));
        }
        match self.eat_any(&[K::PRECEDING, K::FOLLOWING]) {
            Some(K::PRECEDING) => Ok(FrameBound::Preceding(amount)),
            Some(_) => Ok(FrameBound::Following(amount)),
            None => Err(self.unexpected()),
        }
    }

    pub(crate) fn duplicate_clause<T>(&self, clause: &str) -> SparkResult<T> {
        Err(self.error_of_statement(error::duplicate_clause(clause)))
    }
}

/// Whether the expression has a value without any row: what a window's frame may have.
fn is_constant(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Literal(_) | ExprKind::Parameter(_) => true,
        ExprKind::Unary { op: UnaryOp::Minus | UnaryOp::Plus | UnaryOp::BitwiseNot, operand } => is_constant(operand),
        ExprKind::Binary { left, right, .. } => is_constant(left) && is_constant(right),
        ExprKind::Cast { operand, .. } => is_constant(operand),
        ExprKind::Function(call) => call.args.iter().all(is_constant),
        _ => false,
    }
}
