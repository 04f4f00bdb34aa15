//! Lists of keys and values, partitions and buckets.

use firesteel_plan::{Expr, ExprKind, Ident, SparkError, SparkResult, expr::Literal, statement::BucketSpec};

use crate::{
    cursor::Parser,
    error,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
};

impl Parser<'_> {
    /// `(key = value, key value, …)`
    pub(crate) fn property_list(&mut self) -> SparkResult<Vec<(String, String)>> {
        let start = self.start();
        let pairs = self.parenthesized(|p| {
            let key = p.property_key()?;
            let equal = p.eat_symbol(S::Equal);
            let value = p.property_value(&key, equal)?;
            Ok((key, value))
        })?;
        let mut seen = std::collections::HashSet::with_capacity(pairs.len());
        if let Some((twice, _)) = pairs.iter().find(|(key, _)| !seen.insert(key.as_str())) {
            return Err(self.error_from(error::duplicate_key(twice), start));
        }
        Ok(pairs)
    }

    /// `a`, `a.b` or a string.
    pub(super) fn property_key(&mut self) -> SparkResult<String> {
        if self.is_string_at(0) {
            return self.single_string();
        }
        Ok(self.multipart_name()?.join("."))
    }

    fn property_value(&mut self, key: &str, equal: bool) -> SparkResult<String> {
        if self.is_string_at(0) && matches!(self.kind_at(1), TokenKind::Symbol(S::Comma | S::CloseParen)) {
            return self.string();
        }
        if self.is_symbol(S::Comma) || self.is_symbol(S::CloseParen) {
            if equal {
                return Err(self.unexpected());
            }
            let what = format!("Values must be specified for key(s): [{key}]");
            return Err(self.error_of_statement(error::operation_not_allowed(&what)));
        }
        let start = self.start();
        let value = self.expression()?;
        property_text(&value, self.text_from(start))
            .ok_or_else(|| self.error_from(SparkError::unsupported("an option whose value is not a literal"), start))
    }

    /// `PARTITION (a = 1, b)`
    pub(super) fn partition_spec(&mut self) -> SparkResult<Vec<(Ident, Option<Expr>)>> {
        let start = self.start();
        self.expect(K::PARTITION)?;
        let values = self.parenthesized(|p| {
            let name = p.identifier()?;
            let value = if p.eat_symbol(S::Equal) { Some(p.value()?) } else { None };
            Ok((name, value))
        })?;
        let mut seen = std::collections::HashSet::with_capacity(values.len());
        if let Some((twice, _)) = values.iter().find(|(name, _)| !seen.insert(name.to_lowercase())) {
            return Err(self.error_from(error::duplicate_key(twice), start));
        }
        Ok(values)
    }

    /// `CLUSTERED BY (columns) [SORTED BY (columns)] INTO n BUCKETS`; CLUSTERED is next.
    pub(super) fn bucket_spec(&mut self) -> SparkResult<BucketSpec> {
        let start = self.start();
        self.expect_all(&[K::CLUSTERED, K::BY])?;
        let columns = self.identifier_list()?;
        let mut sort_by = Vec::new();
        if self.eat_all(&[K::SORTED, K::BY]) {
            sort_by = self.parenthesized(|p| {
                let name = p.plain_identifier()?;
                Ok((name, p.eat_any(&[K::ASC, K::DESC]) != Some(K::DESC)))
            })?;
        }
        self.expect(K::INTO)?;
        let buckets = self.unsigned_integer()?;
        self.expect(K::BUCKETS)?;
        if sort_by.iter().any(|(_, ascending)| !ascending) {
            let error = error::operation_not_allowed("Column ordering must be ASC, was 'DESC'");
            return Err(self.error_from(error, start));
        }
        Ok(BucketSpec { columns, sort_by, buckets })
    }
}

/// An option's value as catalogs and sources get it: text.
fn property_text(value: &Expr, written: &str) -> Option<String> {
    match &value.kind {
        ExprKind::Literal(literal) => match literal {
            Literal::String(text) => Some(text.clone()),
            Literal::Boolean(value) => Some(value.to_string()),
            Literal::Byte(_)
            | Literal::Short(_)
            | Literal::Integer(_)
            | Literal::Long(_)
            | Literal::Float(_)
            | Literal::Double(_)
            | Literal::Decimal { .. } => Some(written.trim_end_matches(|c: char| c.is_ascii_alphabetic()).to_owned()),
            _ => None,
        },
        _ => None,
    }
}
