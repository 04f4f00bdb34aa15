//! Constants as tokens spell them.

use firesteel_plan::{
    Expr, ExprKind, SparkResult,
    expr::{Literal, TimestampKind, UnaryOp},
    statement::Wanted,
};

use crate::{
    cursor::Parser,
    error,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
    literal::{self, DateText},
};

impl Parser<'_> {
    pub fn is_string_at(&self, ahead: usize) -> bool {
        match self.kind_at(ahead) {
            TokenKind::String | TokenKind::RawString => true,
            TokenKind::DoubleQuoted => !self.options.double_quoted_identifiers,
            _ => false,
        }
    }

    pub fn is_number_at(&self, ahead: usize) -> bool {
        matches!(
            self.kind_at(ahead),
            TokenKind::Integer
                | TokenKind::Decimal
                | TokenKind::Exponent
                | TokenKind::Long
                | TokenKind::Short
                | TokenKind::Byte
                | TokenKind::Float
                | TokenKind::Double
                | TokenKind::BigDecimal
        )
    }

    /// The value of one string token, or of a parameter in its place.
    pub fn single_string(&mut self) -> SparkResult<String> {
        if let Some(text) = self.deferred_literal(Wanted::String)? {
            return Ok(text);
        }
        if !self.is_string_at(0) {
            return Err(self.unexpected());
        }
        let token = self.advance();
        Ok(literal::string_value(self.token_text(token), token.kind))
    }

    /// The value of one or more string tokens in a row, which make one string.
    pub fn string(&mut self) -> SparkResult<String> {
        let mut value = self.single_string()?;
        while self.is_string_at(0) {
            value.push_str(&self.single_string()?);
        }
        Ok(value)
    }

    /// `$$text$$`: the code of a metric view.
    pub fn code_literal(&mut self) -> SparkResult<String> {
        if self.kind() != TokenKind::DollarQuoted {
            return Err(self.unexpected());
        }
        let token = self.advance();
        Ok(literal::string_value(self.token_text(token), token.kind))
    }

    pub(super) fn string_literal(&mut self) -> SparkResult<Expr> {
        let start = self.start();
        let value = self.string()?;
        Ok(Expr::new(ExprKind::Literal(Literal::String(value)), self.span_from(start)))
    }

    /// A number, with a minus before it or not.
    pub(super) fn number_literal(&mut self) -> SparkResult<Expr> {
        let start = self.start();
        let negative = self.eat_symbol(S::Minus);
        if !self.is_number_at(0) {
            return Err(self.unexpected());
        }
        let token = self.advance();
        let digits = self.token_text(token);
        let value = if negative {
            literal::number(&format!("-{digits}"), token.kind)
        } else {
            literal::number(digits, token.kind)
        };
        let value = value.map_err(|e| self.error_from(e, start))?;
        Ok(Expr::new(ExprKind::Literal(value), self.span_from(start)))
    }

    pub(super) fn word_constant(&mut self, keyword: K) -> SparkResult<Expr> {
        let start = self.start();
        self.advance();
        let value = match keyword {
            K::TRUE => Literal::Boolean(true),
            K::FALSE => Literal::Boolean(false),
            _ => Literal::Null,
        };
        Ok(Expr::new(ExprKind::Literal(value), self.span_from(start)))
    }

    /// `DATE 'text'` and its kin: a word and one string.
    pub(super) fn typed_literal(&mut self) -> SparkResult<Expr> {
        let start = self.start();
        let keyword = self.keyword();
        let name = self.identifier()?;
        let text = self.single_string()?;
        let span = self.span_from(start);
        let invalid = |type_name: &str| self.error_at(error::invalid_typed_literal(type_name, &text), span);
        let value = match keyword {
            Some(K::DATE) => match literal::date_text(&text).ok_or_else(|| invalid("DATE"))? {
                DateText::Days(days) => Literal::Date(days),
                DateText::FromToday(days) => return Ok(day_from_today(days, span)),
            },
            Some(K::TIMESTAMP | K::TIMESTAMP_LTZ | K::TIMESTAMP_NTZ) => {
                let kind = match keyword {
                    Some(K::TIMESTAMP_LTZ) => TimestampKind::Ltz,
                    Some(K::TIMESTAMP_NTZ) => TimestampKind::Ntz,
                    _ if !self.options.timestamp_ntz => TimestampKind::Session,
                    _ if literal::timestamp_text_has_zone(&text) => TimestampKind::Ltz,
                    _ => TimestampKind::Ntz,
                };
                if !literal::timestamp_text_is_valid(&text) {
                    return Err(invalid(&name.to_uppercase()));
                }
                Literal::TimestampText { text, kind }
            }
            Some(K::TIME) => {
                let nanos = literal::time_text(&text).ok_or_else(|| invalid("TIME"))?;
                Literal::Time { nanos, precision: 6 }
            }
            Some(K::X) => Literal::Binary(hex_bytes(&text).ok_or_else(|| invalid("X"))?),
            Some(K::INTERVAL) => {
                let interval = literal::calendar_interval_text(&text).ok_or_else(|| invalid("INTERVAL"))?;
                return self.interval_of_units(&interval, start);
            }
            _ => return Err(self.error_at(error::unsupported_typed_literal(&name), span)),
        };
        Ok(Expr::new(ExprKind::Literal(value), span))
    }
}

fn day_from_today(days: i32, span: firesteel_plan::Span) -> Expr {
    let call = |name: &str, args| Expr { span, ..Expr::call(name, args) };
    let today = call("current_date", Vec::new());
    if days == 0 {
        return today;
    }
    let count = Expr::new(ExprKind::Literal(Literal::Integer(days.abs())), span);
    let count = if days < 0 {
        Expr::new(ExprKind::Unary { op: UnaryOp::Minus, operand: Box::new(count) }, span)
    } else {
        count
    };
    call("date_add", vec![today, count])
}

/// Two digits a byte; an odd one stands first, alone.
fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    if !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let odd = text.len() % 2;
    let mut bytes = Vec::with_capacity(text.len() / 2 + odd);
    if odd == 1 {
        bytes.push(u8::from_str_radix(&text[..1], 16).ok()?);
    }
    for at in (odd..text.len()).step_by(2) {
        bytes.push(u8::from_str_radix(&text[at..at + 2], 16).ok()?);
    }
    Some(bytes)
}
