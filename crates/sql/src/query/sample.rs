//! TABLESAMPLE.

use firesteel_plan::{Relation, RelationKind, SparkError, SparkResult, relation::SampleMethod};

use crate::{
    cursor::Parser,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
};

impl Parser<'_> {
    /// `TABLESAMPLE (…) [REPEATABLE (seed)]` of `input`, if it stands here.
    pub(super) fn sampled(&mut self, input: Relation, start: usize) -> SparkResult<Relation> {
        if !self.starts_sample(0) {
            return Ok(input);
        }
        let place = self.start();
        self.advance();
        // Row by row without a word too.
        let system = self.eat(K::SYSTEM);
        if !system {
            self.eat(K::BERNOULLI);
        }
        self.expect_symbol(S::OpenParen)?;
        if self.is_symbol(S::CloseParen) {
            self.advance();
            self.sample_seed()?;
            let error = SparkError::new("_LEGACY_ERROR_TEMP_0014", "", "TABLESAMPLE does not accept empty inputs.");
            return Err(self.error_from(error, place));
        }
        let method = self.sample_method(place)?;
        let kind = match method {
            Method::Rows(limit) => {
                self.expect_symbol(S::CloseParen)?;
                // The first rows are the same for every seed.
                self.sample_seed()?;
                RelationKind::Limit { input: Box::new(input), limit }
            }
            Method::Part(method, fraction) => {
                self.expect_symbol(S::CloseParen)?;
                let seed = self.sample_seed()?;
                if !(0.0..=1.0 + 1e-6).contains(&fraction) {
                    let detail = format!("Sampling fraction ({}) must be on interval [0, 1]", java_double(fraction));
                    let error =
                        SparkError::new("_LEGACY_ERROR_TEMP_0064", "", format!("{detail}.")).param("msg", detail);
                    return Err(self.error_from(error, place));
                }
                RelationKind::Sample { input: Box::new(input), method, seed, with_replacement: false, system }
            }
        };
        self.grow()?;
        Ok(Relation::new(kind, self.span_from(start)))
    }

    /// `REPEATABLE (seed)`, if it stands here.
    fn sample_seed(&mut self) -> SparkResult<Option<i64>> {
        if !(self.is(K::REPEATABLE) && self.is_symbol_at(1, S::OpenParen)) {
            return Ok(None);
        }
        self.at += 2;
        let seed = i64::from(self.unsigned_integer()?);
        self.expect_symbol(S::CloseParen)?;
        Ok(Some(seed))
    }

    /// `TABLESAMPLE [BERNOULLI | SYSTEM] (`
    pub fn starts_sample(&self, ahead: usize) -> bool {
        let skip = ahead + 1 + usize::from(self.is_any_at(ahead + 1, &[K::BERNOULLI, K::SYSTEM]));
        self.is_at(ahead, K::TABLESAMPLE) && self.is_symbol_at(skip, S::OpenParen)
    }

    fn sample_method(&mut self, place: usize) -> SparkResult<Method> {
        let sign = usize::from(self.is_symbol(S::Minus));
        let is_percent =
            matches!(self.kind_at(sign), TokenKind::Integer | TokenKind::Decimal) && self.is_at(sign + 1, K::PERCENT);
        if is_percent {
            self.at += sign;
            let token = self.advance();
            let percent: f64 = self.token_text(token).parse().map_err(|_| self.unexpected())?;
            let percent = if sign == 1 { -percent } else { percent };
            self.advance();
            return Ok(Method::Part(SampleMethod::Percent(percent), percent / 100.0));
        }
        if self.is(K::BUCKET) && self.kind_at(1) == TokenKind::Integer {
            self.advance();
            let numerator = self.unsigned_integer()?;
            self.expect_all(&[K::OUT, K::OF])?;
            let denominator = self.unsigned_integer()?;
            if self.eat(K::ON) {
                while !self.is_symbol(S::CloseParen) && !self.is_end() {
                    self.advance();
                }
                let error = SparkError::new(
                    "_LEGACY_ERROR_TEMP_0015",
                    "",
                    "TABLESAMPLE(BUCKET x OUT OF y ON colname) is not supported.",
                );
                return Err(self.error_from(error, place));
            }
            let fraction = f64::from(numerator) / f64::from(denominator);
            return Ok(Method::Part(SampleMethod::Bucket { numerator, denominator }, fraction));
        }
        let amount = self.start();
        let limit = self.expression()?;
        if self.eat(K::ROWS) {
            return Ok(Method::Rows(limit));
        }
        let text = self.text_from(amount).to_owned();
        self.expect_symbol(S::CloseParen)?;
        self.sample_seed()?;
        let is_bytes = text.len() > 1
            && text.ends_with(['b', 'B', 'k', 'K', 'm', 'M', 'g', 'G'])
            && text[..text.len() - 1].bytes().all(|b| b.is_ascii_digit());
        let error = if is_bytes {
            SparkError::new("_LEGACY_ERROR_TEMP_0015", "", "TABLESAMPLE(byteLengthLiteral) is not supported.")
                .param("msg", "byteLengthLiteral")
        } else {
            SparkError::new(
                "_LEGACY_ERROR_TEMP_0016",
                "",
                format!("{text} is not a valid byte length literal, expected syntax: DIGIT+ ('B' | 'K' | 'M' | 'G')."),
            )
            .param("bytesStr", text)
        };
        Err(self.error_from(error, place))
    }
}

/// How much a sample takes.
enum Method {
    /// The first rows: a limit.
    Rows(firesteel_plan::Expr),
    /// A part of all rows, with the fraction it comes to.
    Part(SampleMethod, f64),
}

/// As Java writes a number, with one digit after the point at least.
fn java_double(value: f64) -> String {
    if value == value.trunc() { format!("{value:.1}") } else { value.to_string() }
}
