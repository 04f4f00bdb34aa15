//! DROP.

use firesteel_plan::{SparkResult, statement::StatementKind};

use crate::{cursor::Parser, keyword::Keyword as K};

impl Parser<'_> {
    pub(super) fn drop_statement(&mut self) -> SparkResult<StatementKind> {
        self.advance();
        match self.keyword() {
            Some(K::TABLE) => {
                self.advance();
                let if_exists = self.if_exists()?;
                let name = self.identifier_reference()?;
                let purge = self.eat(K::PURGE);
                Ok(StatementKind::DropTable { name, if_exists, purge })
            }
            Some(K::VIEW) => {
                self.advance();
                let if_exists = self.if_exists()?;
                Ok(StatementKind::DropView { name: self.identifier_reference()?, if_exists })
            }
            Some(K::DATABASE | K::SCHEMA | K::NAMESPACE) => {
                self.advance();
                let if_exists = self.if_exists()?;
                let name = self.identifier_reference()?;
                let cascade = self.eat_any(&[K::RESTRICT, K::CASCADE]) == Some(K::CASCADE);
                Ok(StatementKind::DropDatabase { name, if_exists, cascade })
            }
            Some(K::FUNCTION) => self.drop_function(false),
            Some(K::INDEX) => {
                self.advance();
                let if_exists = self.if_exists()?;
                let name = self.identifier()?;
                if !self.is(K::ON) {
                    self.skip_to_end();
                    return Err(self.error_of_statement(super::not_spark("DROP INDEX")));
                }
                self.advance();
                if self.is(K::TABLE) && self.is_name_at(1) {
                    self.advance();
                }
                Ok(StatementKind::DropIndex { name, table: self.identifier_reference()?, if_exists })
            }
            Some(K::TEMPORARY | K::TEMP) => {
                self.advance();
                match self.keyword() {
                    Some(K::FUNCTION) => self.drop_function(true),
                    Some(K::VARIABLE | K::VAR) => {
                        self.advance();
                        let if_exists = self.if_exists()?;
                        Ok(StatementKind::DropVariable { name: self.identifier_reference()?, if_exists })
                    }
                    _ => Err(self.unexpected()),
                }
            }
            _ => Err(self.unexpected()),
        }
    }

    fn drop_function(&mut self, temporary: bool) -> SparkResult<StatementKind> {
        self.advance();
        let if_exists = self.if_exists()?;
        let name = self.identifier_reference()?;
        if temporary {
            self.check_temporary_name("FUNCTION", &name)?;
        }
        Ok(StatementKind::DropFunction { name, temporary, if_exists })
    }
}
