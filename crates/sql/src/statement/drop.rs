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
            Some(K::FUNCTION) => Ok(self.not_yet("DROP FUNCTION")),
            Some(K::INDEX) => Ok(self.not_yet("DROP INDEX")),
            Some(K::TEMPORARY | K::TEMP) if self.is_any_at(1, &[K::FUNCTION, K::VARIABLE, K::VAR]) => {
                let what =
                    if self.is_at(1, K::FUNCTION) { "DROP TEMPORARY FUNCTION" } else { "DROP TEMPORARY VARIABLE" };
                Ok(self.not_yet(what))
            }
            _ => Err(self.unexpected()),
        }
    }
}
