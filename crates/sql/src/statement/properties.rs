//! Lists of keys and values, partitions and buckets.

use firesteel_plan::{
    Expr, ExprKind, SparkError, SparkResult,
    expr::Literal,
    statement::{BucketSpec, FileFormat, PartitionSpec, RowFormat},
};

use crate::{
    cursor::Parser,
    error,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
};

impl Parser<'_> {
    /// `(key = value, key value, …)`
    pub(crate) fn property_list(&mut self) -> SparkResult<Vec<(String, String)>> {
        self.pairs(false)
    }

    /// As `property_list`, but the values may be expressions: the options of a table.
    pub(super) fn expression_property_list(&mut self) -> SparkResult<Vec<(String, String)>> {
        self.pairs(true)
    }

    /// `(key, key, …)`: a value is not wanted, but may stand there.
    pub(super) fn property_keys(&mut self) -> SparkResult<Vec<String>> {
        let pairs = self.parenthesized(|p| {
            let key = p.property_key()?;
            let has_value = p.eat_symbol(S::Equal) || !matches!(p.kind(), TokenKind::Symbol(S::Comma | S::CloseParen));
            if has_value {
                p.value()?;
            }
            Ok((key, has_value))
        })?;
        let with_values: Vec<&str> = pairs.iter().filter(|(_, v)| *v).map(|(k, _)| k.as_str()).collect();
        if !with_values.is_empty() {
            let what = format!("Values should not be specified for key(s): [{}]", with_values.join(","));
            return Err(self.error_of_statement(error::operation_not_allowed(&what)));
        }
        Ok(pairs.into_iter().map(|(key, _)| key).collect())
    }

    fn pairs(&mut self, expressions: bool) -> SparkResult<Vec<(String, String)>> {
        let start = self.start();
        let pairs = self.parenthesized(|p| {
            let key = p.property_key()?;
            let equal = p.eat_symbol(S::Equal);
            let value = p.property_value(&key, equal, expressions)?;
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

    fn property_value(&mut self, key: &str, equal: bool, expressions: bool) -> SparkResult<String> {
        if self.is_parameter_at(0) && !expressions {
            return self.string();
        }
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
        let value = if expressions {
            self.expression()?
        } else {
            let is_literal = matches!(self.kind(), TokenKind::Integer | TokenKind::Decimal)
                || self.is_string_at(0)
                || self.is_any(&[K::TRUE, K::FALSE]);
            if !is_literal {
                return Err(self.unexpected());
            }
            self.primary()?
        };
        match property_text(&value, self.text_from(start)) {
            Some(text) => Ok(text),
            None => Ok(self.deferred_value(value, start)),
        }
    }

    /// `PARTITION (a = 1, b)`
    pub(super) fn partition_spec(&mut self) -> SparkResult<PartitionSpec> {
        let start = self.start();
        self.expect(K::PARTITION)?;
        let values = self.parenthesized(|p| {
            let name = p.identifier()?;
            if p.is_symbol(S::Equal) && p.is_at(1, K::DEFAULT) {
                p.at += 2;
                let message = "References to DEFAULT column values are not allowed within the PARTITION clause.";
                return Err(p.error_from(
                    SparkError::new("REF_DEFAULT_VALUE_IS_NOT_ALLOWED_IN_PARTITION", "42601", message),
                    start,
                ));
            }
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

    /// `ROW FORMAT SERDE 'class' …` or `ROW FORMAT DELIMITED …`
    pub(crate) fn row_format(&mut self) -> SparkResult<RowFormat> {
        let start = self.start();
        self.expect_all(&[K::ROW, K::FORMAT])?;
        if self.eat(K::SERDE) {
            let class = self.string()?;
            let properties =
                if self.eat_all(&[K::WITH, K::SERDEPROPERTIES]) { self.property_list()? } else { Vec::new() };
            return Ok(RowFormat::Serde { class, properties });
        }
        self.expect(K::DELIMITED)?;
        let mut escape = None;
        let fields = self.terminated(&[K::FIELDS, K::TERMINATED, K::BY])?;
        if fields.is_some() && self.eat_all(&[K::ESCAPED, K::BY]) {
            escape = Some(self.string()?);
        }
        let collection_items = self.terminated(&[K::COLLECTION, K::ITEMS, K::TERMINATED, K::BY])?;
        let map_keys = self.terminated(&[K::MAP, K::KEYS, K::TERMINATED, K::BY])?;
        let lines = self.terminated(&[K::LINES, K::TERMINATED, K::BY])?;
        if lines.as_ref().is_some_and(|l| l != "\n") {
            let message =
                format!("LINES TERMINATED BY only supports newline '\\n' right now: {}", lines.unwrap_or_default());
            let error = SparkError::new("_LEGACY_ERROR_TEMP_0064", "", format!("{message}.")).param("msg", message);
            return Err(self.error_from(error, start));
        }
        let null = self.terminated(&[K::NULL, K::DEFINED, K::AS])?;
        Ok(RowFormat::Delimited { fields, escape, collection_items, map_keys, lines, null })
    }

    fn terminated(&mut self, words: &[K]) -> SparkResult<Option<String>> {
        if !self.is(words[0]) {
            return Ok(None);
        }
        self.expect_all(words)?;
        self.string().map(Some)
    }

    /// `STORED AS format` or `STORED AS INPUTFORMAT … OUTPUTFORMAT …`
    pub(super) fn file_format(&mut self) -> SparkResult<FileFormat> {
        let start = self.start();
        self.expect(K::STORED)?;
        if self.eat(K::BY) {
            self.string()?;
            if self.eat_all(&[K::WITH, K::SERDEPROPERTIES]) {
                self.property_list()?;
            }
            return Err(self.error_from(super::not_spark("STORED BY"), start));
        }
        self.expect(K::AS)?;
        if self.is(K::INPUTFORMAT) && self.is_string_at(1) {
            self.advance();
            let input = self.string()?;
            self.expect(K::OUTPUTFORMAT)?;
            return Ok(FileFormat::Classes { input, output: self.string()? });
        }
        self.identifier().map(FileFormat::Named)
    }

    /// `PARTITION (a = 1, b = DEFAULT)`; every key has a value.
    pub(super) fn full_partition_spec(&mut self) -> SparkResult<PartitionSpec> {
        let start = self.start();
        let partition = self.partition_spec()?;
        if let Some((key, _)) = partition.iter().find(|(_, value)| value.is_none()) {
            let error = SparkError::new(
                "INVALID_SQL_SYNTAX.EMPTY_PARTITION_VALUE",
                "42000",
                format!("Invalid SQL syntax: Partition key `{key}` must set value."),
            );
            return Err(self.error_from(error.param("partKey", format!("`{key}`")), start));
        }
        Ok(partition)
    }

    /// PARTITION, if it stands here.
    pub(super) fn optional_partition(&mut self) -> SparkResult<PartitionSpec> {
        if self.is(K::PARTITION) && self.is_symbol_at(1, S::OpenParen) { self.partition_spec() } else { Ok(Vec::new()) }
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
