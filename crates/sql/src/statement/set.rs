//! SET and RESET. Their values are not SQL: the rest of the statement counts as it is written.

use firesteel_plan::{Expr, ExprKind, SparkError, SparkResult, expr::Literal, statement::StatementKind};

use crate::{
    cursor::Parser,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
};

impl Parser<'_> {
    pub(super) fn set(&mut self) -> SparkResult<StatementKind> {
        let start = self.start();
        self.advance();
        if self.are(&[K::TIME, K::ZONE]) {
            return self.set_time_zone(start);
        }
        if self.is(K::CATALOG) && (self.is_name_at(1) || self.is_string_at(1)) {
            self.advance();
            return Ok(StatementKind::SetCatalog { name: self.expression()? });
        }
        if self.is_any(&[K::VARIABLE, K::VAR]) && (self.is_name_at(1) || self.is_symbol_at(1, S::OpenParen)) {
            if self.is_symbol_at(1, S::OpenParen) && self.is_symbol_at(2, S::CloseParen) {
                self.rest();
                return Err(self.error_from(invalid_set(), start));
            }
            let is_list = self.is_symbol_at(1, S::OpenParen);
            let well_formed = if is_list {
                let after = self.after_paren(1);
                self.is_symbol_at(after, S::Equal) && self.is_symbol_at(after + 1, S::OpenParen)
            } else {
                (2..self.tokens.len() - self.at).any(|ahead| self.is_symbol_at(ahead, S::Equal))
            };
            if !well_formed {
                self.rest();
                return Err(self.error_from(invalid_set(), start));
            }
            self.advance();
            return self.set_variable();
        }
        if self.is(K::PATH) && self.is_symbol_at(1, S::Equal) {
            self.at += 2;
            return self.set_path();
        }
        if self.kind() == TokenKind::QuotedName {
            let key = self.identifier()?;
            if self.is_end() || self.is_symbol(S::Semicolon) {
                return Ok(StatementKind::Set { key: Some(key), value: None });
            }
            if !self.eat_symbol(S::Equal) {
                self.rest();
                return Err(self.error_from(invalid_set(), start));
            }
            let value = self.value_text()?;
            return Ok(StatementKind::Set { key: Some(key), value: Some(value) });
        }
        let value_is_quoted = self.last_is_quoted_value();
        let text = self.rest();
        if text.is_empty() {
            return Ok(StatementKind::Set { key: None, value: None });
        }
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key.trim_end(), Some(value.trim())),
            None => (text, None),
        };
        let shows_all = key == "-v" && value.is_none();
        if !is_key(key) && !shows_all {
            return Err(self.error_from(invalid_set(), start));
        }
        let value = value
            .map(|value| if value_is_quoted { value[1..value.len() - 1].replace("``", "`") } else { value.to_owned() });
        Ok(StatementKind::Set { key: Some(key.to_owned()), value })
    }

    /// `SET PATH = element, …`: schemas in which names without one are looked for.
    fn set_path(&mut self) -> SparkResult<StatementKind> {
        let elements = self.comma_separated(|p| {
            let start = p.start();
            let quoted = p.kind() == TokenKind::QuotedName;
            let element = p.multipart_name()?;
            let is_word = !quoted
                && ["DEFAULT_PATH", "SYSTEM_PATH", "PATH", "CURRENT_DATABASE", "CURRENT_SCHEMA"]
                    .iter()
                    .any(|word| element[0].eq_ignore_ascii_case(word));
            if element.len() == 1 && !is_word {
                let name = element[0].clone();
                let error = SparkError::new(
                    "INVALID_SQL_PATH_SCHEMA_REFERENCE",
                    "42601",
                    format!(
                        "Invalid schema reference in SET PATH: {name}. Use at least two name parts (catalog.schema); multi-level \
                         namespaces are allowed."
                    ),
                );
                return Err(p.error_from(error.param("qualifiedName", name), start));
            }
            Ok(element)
        })?;
        Ok(StatementKind::SetPath { elements })
    }

    /// `key = `value``: the quotes around a whole value are not part of it.
    fn last_is_quoted_value(&self) -> bool {
        let mut ahead = 0;
        while self.kind_at(ahead) != TokenKind::End && !self.is_symbol_at(ahead, S::Equal) {
            ahead += 1;
        }
        self.kind_at(ahead + 1) == TokenKind::QuotedName && self.kind_at(ahead + 2) == TokenKind::End
    }

    fn value_text(&mut self) -> SparkResult<String> {
        if self.kind() == TokenKind::QuotedName && self.kind_at(1) == TokenKind::End {
            return self.identifier();
        }
        Ok(self.rest().to_owned())
    }

    /// The text of all that is left, without semicolons at its end.
    pub(super) fn rest(&mut self) -> &str {
        if self.is_end() {
            return "";
        }
        let start = self.start();
        self.skip_to_end();
        self.text_from(start).trim_end_matches([';', ' ', '\t', '\r', '\n'])
    }

    fn set_time_zone(&mut self, start: usize) -> SparkResult<StatementKind> {
        self.at += 2;
        let place = self.start();
        let value = if self.is_string_at(0) {
            let zone = self.string()?;
            Some(Expr::new(ExprKind::Literal(Literal::String(zone)), self.span_from(place)))
        } else if self.is(K::LOCAL) {
            self.advance();
            Some(Expr::new(ExprKind::Attribute { name: vec!["LOCAL".into()], plan_id: None }, self.span_from(place)))
        } else if self.is(K::INTERVAL) {
            let interval = self.value()?;
            match &interval.kind {
                ExprKind::Literal(Literal::YearMonthInterval { .. }) => {
                    return Err(self.error_of_statement(zone_out_of_range("0")));
                }
                ExprKind::Literal(Literal::DayTimeInterval { micros, .. })
                    if micros.abs() > 18 * MICROS_PER_HOUR || micros % 1_000_000 != 0 =>
                {
                    return Err(self.error_of_statement(zone_out_of_range(&(micros / MICROS_PER_HOUR).to_string())));
                }
                _ => Some(interval),
            }
        } else {
            None
        };
        match value {
            Some(value) if self.is_end() || self.is_symbol(S::Semicolon) => Ok(StatementKind::SetTimeZone { value }),
            _ => {
                self.skip_to_end();
                let error = SparkError::new("_LEGACY_ERROR_TEMP_0045", "", "Invalid time zone displacement value.");
                Err(self.error_from(error, start))
            }
        }
    }

    pub(super) fn reset(&mut self) -> SparkResult<StatementKind> {
        let start = self.start();
        self.advance();
        if self.kind() == TokenKind::QuotedName && self.kind_at(1) == TokenKind::End {
            return Ok(StatementKind::Reset { key: Some(self.identifier()?) });
        }
        let text = self.rest().to_owned();
        if text.is_empty() {
            return Ok(StatementKind::Reset { key: None });
        }
        if !is_key(&text) {
            let error = SparkError::new(
                "INVALID_RESET_COMMAND_FORMAT",
                "42000",
                "Expected format is 'RESET' or 'RESET key'. If you want to include special characters in key, please use \
                 quotes, e.g., RESET `key`.",
            );
            return Err(self.error_from(error, start));
        }
        Ok(StatementKind::Reset { key: Some(text) })
    }
}

const MICROS_PER_HOUR: i64 = 3_600_000_000;

fn zone_out_of_range(hours: &str) -> SparkError {
    SparkError::new(
        "INVALID_INTERVAL_FORMAT.TIMEZONE_INTERVAL_OUT_OF_RANGE",
        "22006",
        format!(
            "Error parsing '{hours}' to interval. Please ensure that the value provided is in a valid format for defining an \
             interval. You can reference the documentation for the correct format. The interval value must be in the range of \
             [-18, +18] hours with second precision."
        ),
    )
    .param("input", hours)
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'\\'))
}

fn invalid_set() -> SparkError {
    SparkError::new(
        "INVALID_SET_SYNTAX",
        "42000",
        "Expected format is 'SET', 'SET key', or 'SET key=value'. If you want to include special characters in key, or include \
         semicolon in value, please use backquotes, e.g., SET `key`=`value`.",
    )
}
