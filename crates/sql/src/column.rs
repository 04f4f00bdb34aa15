//! Columns and constraints of tables.

use firesteel_plan::{
    SparkError, SparkResult,
    relation::ColumnDefinition,
    statement::{Constraint, ConstraintKind, Identity},
};

use crate::{
    cursor::Parser,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
};

/// What stands in the parentheses of CREATE TABLE.
#[derive(Default)]
pub struct TableElements {
    pub columns: Vec<ColumnDefinition>,
    pub constraints: Vec<Constraint>,
}

impl Parser<'_> {
    /// `(column, constraint, …)`
    pub fn table_elements(&mut self) -> SparkResult<TableElements> {
        let mut elements = TableElements::default();
        self.parenthesized(|p| {
            if p.starts_table_constraint() {
                elements.constraints.push(p.table_constraint()?);
            } else {
                elements.columns.push(p.column_definition()?);
            }
            Ok(())
        })?;
        Ok(elements)
    }

    /// Whether a constraint stands here and not a column with one of these words as its name.
    pub fn starts_table_constraint(&self) -> bool {
        match self.keyword() {
            Some(K::CONSTRAINT) => {
                self.is_name_at(1) && self.is_any_at(2, &[K::CHECK, K::UNIQUE, K::PRIMARY, K::FOREIGN])
            }
            Some(K::CHECK | K::UNIQUE) => self.is_symbol_at(1, S::OpenParen),
            Some(K::PRIMARY | K::FOREIGN) => self.is_at(1, K::KEY) && self.is_symbol_at(2, S::OpenParen),
            _ => false,
        }
    }

    /// `[CONSTRAINT name] CHECK (…) | PRIMARY KEY (…) | UNIQUE (…) | FOREIGN KEY (…) REFERENCES …`
    pub fn table_constraint(&mut self) -> SparkResult<Constraint> {
        let start = self.start();
        let name = if self.eat(K::CONSTRAINT) { Some(self.plain_identifier()?) } else { None };
        let kind = if self.is(K::CHECK) {
            self.check()?
        } else if self.eat(K::UNIQUE) {
            ConstraintKind::Unique { columns: self.identifier_list()?, primary: false }
        } else if self.eat_all(&[K::PRIMARY, K::KEY]) {
            ConstraintKind::Unique { columns: self.identifier_list()?, primary: true }
        } else {
            self.expect_all(&[K::FOREIGN, K::KEY])?;
            let columns = self.identifier_list()?;
            self.references(columns)?
        };
        self.characteristics(name, kind, start)
    }

    /// A constraint behind a column's type, if one stands here.
    fn column_constraint(&mut self) -> SparkResult<Option<Constraint>> {
        let start = self.start();
        let named = self.is(K::CONSTRAINT)
            && self.is_name_at(1)
            && self.is_any_at(2, &[K::CHECK, K::UNIQUE, K::PRIMARY, K::REFERENCES]);
        let first = if named { 2 } else { 0 };
        if !self.is_any_at(first, &[K::CHECK, K::UNIQUE, K::PRIMARY, K::REFERENCES]) {
            return Ok(None);
        }
        let name = if self.eat(K::CONSTRAINT) { Some(self.plain_identifier()?) } else { None };
        let kind = if self.is(K::CHECK) {
            self.check()?
        } else if self.eat(K::UNIQUE) {
            ConstraintKind::Unique { columns: Vec::new(), primary: false }
        } else if self.eat(K::PRIMARY) {
            self.expect(K::KEY)?;
            ConstraintKind::Unique { columns: Vec::new(), primary: true }
        } else {
            self.references(Vec::new())?
        };
        self.characteristics(name, kind, start).map(Some)
    }

    fn check(&mut self) -> SparkResult<ConstraintKind> {
        self.expect(K::CHECK)?;
        self.expect_symbol(S::OpenParen)?;
        let start = self.start();
        let condition = self.expression()?;
        let text = self.text_from(start).to_owned();
        self.expect_symbol(S::CloseParen)?;
        Ok(ConstraintKind::Check { condition, text })
    }

    fn references(&mut self, columns: Vec<String>) -> SparkResult<ConstraintKind> {
        self.expect(K::REFERENCES)?;
        let table = self.multipart_name()?;
        let table_columns = if self.is_symbol(S::OpenParen) { self.identifier_list()? } else { Vec::new() };
        Ok(ConstraintKind::References { columns, table, table_columns })
    }

    /// `[NOT] ENFORCED`, `RELY`, `NORELY`
    fn characteristics(&mut self, name: Option<String>, kind: ConstraintKind, start: usize) -> SparkResult<Constraint> {
        let (mut enforced, mut rely) = (None, None);
        let mut words = Vec::new();
        loop {
            let place = self.start();
            let again = if self.is(K::NOT) && self.is_at(1, K::ENFORCED) {
                self.at += 2;
                enforced.replace(false).is_some()
            } else if self.eat(K::ENFORCED) {
                enforced.replace(true).is_some()
            } else if let Some(word) = self.eat_any(&[K::RELY, K::NORELY]) {
                rely.replace(word == K::RELY).is_some()
            } else {
                break;
            };
            words.push(self.text_from(place).to_uppercase());
            if again {
                let list = words.join(", ");
                let error = SparkError::new(
                    "INVALID_CONSTRAINT_CHARACTERISTICS",
                    "42613",
                    format!("Constraint characteristics [{list}] are duplicated or conflict with each other."),
                );
                return Err(self.error_from(error.param("characteristics", list), start));
            }
        }
        let constraint_type = match kind {
            ConstraintKind::Check { .. } => None,
            ConstraintKind::Unique { primary: true, .. } => Some("PRIMARY KEY"),
            ConstraintKind::Unique { .. } => Some("UNIQUE"),
            ConstraintKind::References { .. } => Some("FOREIGN KEY"),
        };
        if let (Some(constraint_type), Some(true)) = (constraint_type, enforced) {
            return Err(self.error_from(unsupported_characteristic("ENFORCED", constraint_type), start));
        }
        if constraint_type.is_none() && enforced == Some(false) {
            return Err(self.error_from(unsupported_characteristic("NOT ENFORCED", "CHECK"), start));
        }
        Ok(Constraint { name, kind, enforced, rely, span: self.span_from(start) })
    }

    /// A column of CREATE TABLE: `name type [NOT NULL] [DEFAULT e] [GENERATED ALWAYS AS (e)] [COMMENT 'text'] [constraints]`
    pub fn column_definition(&mut self) -> SparkResult<ColumnDefinition> {
        let start = self.start();
        let name = self.plain_identifier()?;
        let data_type = self.data_type()?;
        let mut column = ColumnDefinition::new(name, data_type);
        loop {
            let repeated = if self.is(K::NOT) || self.is_symbol(S::Bang) {
                let again = !column.nullable;
                self.eat_not_null()?;
                column.nullable = false;
                again.then_some("NOT NULL")
            } else if self.eat(K::COMMENT) {
                column.comment.replace(self.string()?).map(|_| "COMMENT")
            } else if self.is(K::DEFAULT) && self.starts_operand(1) {
                self.advance();
                let from = self.start();
                let again = column.default.replace(self.expression()?).map(|_| "DEFAULT");
                column.default_text = Some(self.text_from(from).to_owned());
                again
            } else if self.are(&[K::GENERATED, K::ALWAYS, K::AS]) && self.is_symbol_at(3, S::OpenParen) {
                self.at += 4;
                let again = column.generated.replace(self.expression()?).map(|_| "GENERATED ALWAYS AS");
                self.expect_symbol(S::CloseParen)?;
                again.or(column.identity.map(|_| "GENERATED ALWAYS AS"))
            } else if self.is(K::GENERATED) {
                let again = column.identity.is_some() || column.generated.is_some();
                column.identity = Some(self.identity(&column, start)?);
                again.then_some("GENERATED AS IDENTITY")
            } else if let Some(constraint) = self.column_constraint()? {
                column.constraints.push(constraint);
                None
            } else {
                break;
            };
            if let Some(option) = repeated {
                let error = SparkError::new(
                    "CREATE_TABLE_COLUMN_DESCRIPTOR_DUPLICATE",
                    "42710",
                    format!(
                        "CREATE TABLE column {} specifies descriptor \"{option}\" more than once, which is invalid.",
                        column.name
                    ),
                )
                .param("columnName", column.name.clone())
                .param("optionName", option);
                return Err(self.error_from(error, start));
            }
        }
        column.span = self.span_from(start);
        Ok(column)
    }

    /// `GENERATED ALWAYS | BY DEFAULT AS IDENTITY [([START WITH n] [INCREMENT BY n])]`
    fn identity(&mut self, column: &ColumnDefinition, place: usize) -> SparkResult<Identity> {
        self.expect(K::GENERATED)?;
        let always = self.eat(K::ALWAYS);
        if !always {
            self.expect_all(&[K::BY, K::DEFAULT])?;
        }
        self.expect_all(&[K::AS, K::IDENTITY])?;
        let (mut start, mut step) = (None, None);
        if self.eat_symbol(S::OpenParen) {
            while !self.eat_symbol(S::CloseParen) {
                let again = if self.eat(K::START) {
                    self.expect(K::WITH)?;
                    start.replace(self.signed_integer()?).map(|_| "START")
                } else {
                    self.expect_all(&[K::INCREMENT, K::BY])?;
                    step.replace(self.signed_integer()?).map(|_| "STEP")
                };
                if let Some(option) = again {
                    let error = SparkError::new(
                        "IDENTITY_COLUMNS_DUPLICATED_SEQUENCE_GENERATOR_OPTION",
                        "42601",
                        format!("Duplicated IDENTITY column sequence generator option: {option}."),
                    );
                    return Err(self.error_from(error.param("sequenceGeneratorOption", option), place));
                }
            }
        }
        if step == Some(0) {
            let message = "IDENTITY column step cannot be 0.";
            return Err(self.error_from(SparkError::new("IDENTITY_COLUMNS_ILLEGAL_STEP", "42611", message), place));
        }
        if column.data_type != firesteel_plan::DataType::Long && column.data_type != firesteel_plan::DataType::Integer {
            let name = column.data_type.simple_string();
            let error = SparkError::new(
                "IDENTITY_COLUMNS_UNSUPPORTED_DATA_TYPE",
                "428H2",
                format!("DataType {name} is not supported for IDENTITY columns."),
            );
            return Err(self.error_from(error.param("dataType", name), place));
        }
        Ok(Identity { always, start: start.unwrap_or(1), step: step.unwrap_or(1) })
    }

    fn signed_integer(&mut self) -> SparkResult<i64> {
        let negative = self.eat_symbol(S::Minus);
        if !matches!(self.kind(), TokenKind::Integer | TokenKind::Long) {
            return Err(self.unexpected());
        }
        let digits = self.token_text(self.token(0)).trim_end_matches(['l', 'L']);
        let text = if negative { format!("-{digits}") } else { digits.to_owned() };
        let value = text.parse().map_err(|_| self.unexpected())?;
        self.advance();
        Ok(value)
    }
}

fn unsupported_characteristic(characteristic: &str, constraint_type: &str) -> SparkError {
    SparkError::new(
        "UNSUPPORTED_CONSTRAINT_CHARACTERISTIC",
        "0A000",
        format!(
            "Constraint characteristic '{characteristic}' is not supported for constraint type '{constraint_type}'."
        ),
    )
    .param("characteristic", characteristic)
    .param("constraintType", constraint_type)
}
