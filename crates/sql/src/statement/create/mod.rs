//! CREATE and REPLACE.

mod function;
mod index;
mod table;
mod view;

use firesteel_plan::{SparkResult, statement::StatementKind};

use crate::{cursor::Parser, keyword::Keyword as K};

impl Parser<'_> {
    pub(super) fn create(&mut self) -> SparkResult<StatementKind> {
        if self.eat(K::REPLACE) {
            if !self.is(K::TABLE) {
                return Err(self.unexpected());
            }
            return self.create_table(true, true, false);
        }
        self.expect(K::CREATE)?;
        let replace = self.eat(K::OR);
        if replace {
            self.expect(K::REPLACE)?;
        }
        let global = self.eat(K::GLOBAL);
        if global && !self.is_any(&[K::TEMPORARY, K::TEMP]) {
            return Err(self.unexpected());
        }
        let temporary = self.eat_any(&[K::TEMPORARY, K::TEMP]).is_some();
        match self.keyword() {
            Some(K::VIEW) => {
                self.advance();
                self.create_view(replace, global, temporary)
            }
            Some(K::FUNCTION) if !global => self.create_function(replace, temporary),
            Some(K::EXTERNAL | K::TABLE) if !global => self.create_table(replace, false, temporary),
            _ if replace || temporary => Err(self.unexpected()),
            Some(K::DATABASE | K::SCHEMA | K::NAMESPACE) => self.create_database(),
            Some(K::INDEX) => self.create_index(),
            Some(K::MATERIALIZED | K::STREAMING) => self.create_pipeline_dataset(),
            Some(K::FLOW) => self.create_flow(),
            _ => Err(self.unexpected()),
        }
    }

    fn create_database(&mut self) -> SparkResult<StatementKind> {
        self.advance();
        let if_not_exists = self.if_not_exists()?;
        let name = self.identifier_reference()?;
        let (mut comment, mut location, mut properties, mut collation) = (None, None, None, None);
        loop {
            let repeated = if self.eat(K::COMMENT) {
                comment.replace(self.string()?).map(|_| "COMMENT")
            } else if self.eat(K::LOCATION) {
                location.replace(self.string()?).map(|_| "LOCATION")
            } else if self.is(K::WITH) && self.is_any_at(1, &[K::DBPROPERTIES, K::PROPERTIES]) {
                self.at += 2;
                properties.replace(self.property_list()?).map(|_| "WITH PROPERTIES")
            } else if self.is(K::DEFAULT) && self.is_at(1, K::COLLATION) {
                collation.replace(self.default_collation()?).map(|_| "DEFAULT COLLATION")
            } else {
                break;
            };
            if let Some(clause) = repeated {
                return self.duplicate_clause(clause);
            }
        }
        let properties = properties.unwrap_or_default();
        Ok(StatementKind::CreateDatabase { name, if_not_exists, location, comment, properties, collation })
    }

    /// `DEFAULT COLLATION name`
    pub(super) fn default_collation(&mut self) -> SparkResult<String> {
        self.expect_all(&[K::DEFAULT, K::COLLATION])?;
        self.identifier()
    }
}
