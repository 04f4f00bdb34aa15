//! TRANSFORM, MAP and REDUCE: rows that go through a program.

use firesteel_plan::{DataType, Expr, Relation, RelationKind, SparkResult, relation::Transform};

use crate::{
    cursor::Parser,
    error,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
};

impl Parser<'_> {
    /// `SELECT TRANSFORM (…) … USING`, `MAP …` or `REDUCE …`
    pub(super) fn starts_transform(&self) -> bool {
        if self.is_any(&[K::MAP, K::REDUCE]) {
            return self.starts_operand(1) && !self.is_symbol_at(1, S::OpenParen)
                || self.is_symbol_at(1, S::OpenParen) && self.starts_operand(2);
        }
        if !(self.is(K::SELECT) && self.is_at(1, K::TRANSFORM) && self.is_symbol_at(2, S::OpenParen)) {
            return false;
        }
        let after = self.after_paren(2);
        self.is_any_at(after, &[K::USING, K::RECORDWRITER])
            || self.is_at(after, K::ROW) && self.is_at(after + 1, K::FORMAT)
    }

    pub(super) fn transform(&mut self, from: Option<Relation>) -> SparkResult<Relation> {
        let start = self.start();
        let in_parentheses = self.eat(K::SELECT);
        self.advance();
        if in_parentheses {
            self.expect_symbol(S::OpenParen)?;
        }
        let quantifier = self.is_any(&[K::DISTINCT, K::ALL]) && self.starts_operand(1);
        if quantifier {
            self.advance();
        }
        let exprs: Vec<Expr> = self.comma_separated(Self::expression)?;
        if in_parentheses {
            self.expect_symbol(S::CloseParen)?;
        }
        let input_format = self.optional_row_format()?;
        let record_writer = self.eat(K::RECORDWRITER);
        if record_writer {
            self.string()?;
        }
        self.expect(K::USING)?;
        let command = self.string()?;
        let columns = if self.eat(K::AS) { self.transform_columns()? } else { Vec::new() };
        let output_format = self.optional_row_format()?;
        let record_reader = self.eat(K::RECORDREADER);
        if record_reader {
            self.string()?;
        }
        let mut relation = match from {
            Some(from) => from,
            None if self.is(K::FROM) => self.relations()?,
            None => Relation::new(RelationKind::OneRow, self.span_from(start)),
        };
        relation = self.filtered(relation, start)?;
        relation = self.grouped(relation, exprs, start)?;
        relation = self.windows_clause(relation, start)?;
        let serde = [&input_format, &output_format];
        if serde.iter().any(|f| matches!(f, Some(firesteel_plan::statement::RowFormat::Serde { .. }))) {
            let error = error::unsupported_feature(
                "TRANSFORM_NON_HIVE",
                "TRANSFORM with SERDE is only supported in hive mode.",
            );
            return Err(self.error_from(error, start));
        }
        if record_writer || record_reader {
            let message = "Unsupported operation: Used defined record reader/writer classes.";
            return Err(self.error_from(firesteel_plan::SparkError::new("_LEGACY_ERROR_TEMP_0048", "", message), start));
        }
        if quantifier {
            let error = error::unsupported_feature("TRANSFORM_DISTINCT_ALL", "TRANSFORM with the DISTINCT/ALL clause.");
            return Err(self.error_from(error, start));
        }
        let transform = Transform { input: relation, command, columns, input_format, output_format };
        Ok(Relation::new(RelationKind::Transform(Box::new(transform)), self.span_from(start)))
    }

    fn optional_row_format(&mut self) -> SparkResult<Option<firesteel_plan::statement::RowFormat>> {
        if self.are(&[K::ROW, K::FORMAT]) { self.row_format().map(Some) } else { Ok(None) }
    }

    /// `a, b` or `a type, b type`, in parentheses or not.
    fn transform_columns(&mut self) -> SparkResult<Vec<(String, Option<DataType>)>> {
        let column = |p: &mut Self| {
            let name = p.plain_identifier()?;
            let ends = matches!(p.kind(), TokenKind::Symbol(_) | TokenKind::End)
                || p.starts_clause(0, crate::name::AliasOf::Column)
                || p.are(&[K::ROW, K::FORMAT])
                || p.is(K::RECORDREADER);
            Ok((name, if ends { None } else { Some(p.data_type()?) }))
        };
        if self.is_symbol(S::OpenParen) { self.parenthesized(column) } else { self.comma_separated(column) }
    }
}
