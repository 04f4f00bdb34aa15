//! UPDATE, DELETE, MERGE and LOAD DATA.

use firesteel_plan::{
    Relation, RelationKind, SparkError, SparkResult,
    statement::{Assignment, Delete, LoadData, Merge, MergeAction, MergeClause, MergeMatch, StatementKind, Update},
};

use crate::{
    cursor::Parser,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
};

impl Parser<'_> {
    /// `UPDATE table [[AS] alias] SET column = value, … [WHERE condition]`
    pub(super) fn update(&mut self) -> SparkResult<StatementKind> {
        self.expect(K::UPDATE)?;
        let table = self.identifier_reference()?;
        let alias = self.target_alias("UPDATE")?;
        self.expect(K::SET)?;
        let assignments = self.assignments()?;
        let condition = if self.eat(K::WHERE) { Some(self.expression()?) } else { None };
        Ok(StatementKind::Update(Box::new(Update { table, alias, assignments, condition })))
    }

    /// `DELETE FROM table [[AS] alias] [WHERE condition]`
    pub(super) fn delete(&mut self) -> SparkResult<StatementKind> {
        self.expect_all(&[K::DELETE, K::FROM])?;
        let table = self.identifier_reference()?;
        let alias = self.target_alias("DELETE")?;
        let condition = if self.eat(K::WHERE) { Some(self.expression()?) } else { None };
        Ok(StatementKind::Delete(Box::new(Delete { table, alias, condition })))
    }

    /// The alias of a table that is changed; its columns keep their names.
    fn target_alias(&mut self, statement: &str) -> SparkResult<Option<String>> {
        let aliased = self.table_alias(Relation::bare(RelationKind::OneRow), self.start())?;
        match aliased.kind {
            RelationKind::SubqueryAlias { alias, columns, .. } if columns.is_empty() => Ok(Some(alias)),
            RelationKind::SubqueryAlias { .. } => Err(self.error_of_statement(column_aliases(statement))),
            _ => Ok(None),
        }
    }

    /// `target = value, …`
    pub(super) fn assignments(&mut self) -> SparkResult<Vec<Assignment>> {
        self.comma_separated(|p| {
            let start = p.start();
            let target = p.multipart_name()?;
            p.expect_symbol(S::Equal)?;
            let value = p.expression()?;
            Ok(Assignment { target, value, span: p.span_from(start) })
        })
    }

    /// `MERGE [WITH SCHEMA EVOLUTION] INTO target USING source ON condition WHEN …`
    pub(super) fn merge(&mut self) -> SparkResult<StatementKind> {
        self.expect(K::MERGE)?;
        let schema_evolution = self.eat(K::WITH);
        if schema_evolution {
            self.expect_all(&[K::SCHEMA, K::EVOLUTION])?;
        }
        self.expect(K::INTO)?;
        let target = self.identifier_reference()?;
        let target_alias = self.target_alias("MERGE")?;
        self.expect(K::USING)?;
        let start = self.start();
        let source = if self.eat_symbol(S::OpenParen) {
            let query = self.query()?;
            self.expect_symbol(S::CloseParen)?;
            query
        } else {
            let name = self.identifier_reference()?;
            Relation::new(RelationKind::Table { name, options: Vec::new() }, self.span_from(start))
        };
        let source = self.table_alias(source, start)?;
        if matches!(&source.kind, RelationKind::SubqueryAlias { columns, .. } if !columns.is_empty()) {
            return Err(self.error_of_statement(column_aliases("MERGE")));
        }
        self.expect(K::ON)?;
        let condition = self.expression()?;
        let mut clauses: Vec<MergeClause> = Vec::new();
        while self.is(K::WHEN) {
            let begins = self.at;
            let clause = self.merge_clause()?;
            // Clauses of one kind stand together, in this order.
            let rank = |c: &MergeClause| c.matched as u8;
            if clauses.last().is_some_and(|last| rank(last) > rank(&clause)) {
                self.at = begins + 1;
                return Err(self.unexpected());
            }
            clauses.push(clause);
        }
        self.check_merge(&clauses)?;
        let merge = Merge { target, target_alias, source, condition, schema_evolution, clauses };
        Ok(StatementKind::Merge(Box::new(merge)))
    }

    fn merge_clause(&mut self) -> SparkResult<MergeClause> {
        self.expect(K::WHEN)?;
        let not = self.eat(K::NOT) || self.eat_symbol(S::Bang);
        self.expect(K::MATCHED)?;
        let by = if not && self.eat(K::BY) {
            match self.eat_any(&[K::TARGET, K::SOURCE]) {
                Some(word) => Some(word),
                None => return Err(self.unexpected()),
            }
        } else {
            None
        };
        let matched = match (not, by) {
            (false, _) => MergeMatch::Matched,
            (true, Some(K::SOURCE)) => MergeMatch::NotMatchedBySource,
            _ => MergeMatch::NotMatchedByTarget,
        };
        let condition = if self.eat(K::AND) { Some(self.expression()?) } else { None };
        self.expect(K::THEN)?;
        let action = match self.keyword() {
            Some(K::DELETE) if matched != MergeMatch::NotMatchedByTarget => {
                self.advance();
                MergeAction::Delete
            }
            Some(K::UPDATE) if matched != MergeMatch::NotMatchedByTarget => {
                self.advance();
                self.expect(K::SET)?;
                if matched == MergeMatch::Matched && self.eat_symbol(S::Asterisk) {
                    MergeAction::UpdateAll
                } else {
                    MergeAction::Update(self.assignments()?)
                }
            }
            Some(K::INSERT) if matched == MergeMatch::NotMatchedByTarget => self.merge_insert()?,
            _ => return Err(self.unexpected()),
        };
        Ok(MergeClause { matched, condition, action })
    }

    fn merge_insert(&mut self) -> SparkResult<MergeAction> {
        self.expect(K::INSERT)?;
        if self.eat_symbol(S::Asterisk) {
            return Ok(MergeAction::InsertAll);
        }
        let columns = self.parenthesized(Self::multipart_name)?;
        self.expect(K::VALUES)?;
        let values = self.parenthesized(Self::expression)?;
        if columns.len() != values.len() {
            let (expected, actual) = (columns.len().to_string(), values.len().to_string());
            let error = SparkError::new(
                "MERGE_INSERT_VALUE_COUNT_MISMATCH",
                "21S01",
                format!(
                    "The number of provided values ({actual}) must match the number of expected columns ({expected}) in the \
                     INSERT clause of MERGE."
                ),
            )
            .param("actualCount", actual)
            .param("expectedCount", expected);
            return Err(self.error_of_statement(error));
        }
        Ok(MergeAction::Insert { columns, values })
    }

    fn check_merge(&self, clauses: &[MergeClause]) -> SparkResult<()> {
        if clauses.is_empty() {
            let message = "There must be at least one WHEN clause in a MERGE statement.";
            return Err(self.error_of_statement(SparkError::new("MERGE_WITHOUT_WHEN", "42601", message)));
        }
        for (matched, class, name) in [
            (MergeMatch::Matched, "NON_LAST_MATCHED_CLAUSE_OMIT_CONDITION", "MATCHED"),
            (
                MergeMatch::NotMatchedByTarget,
                "NON_LAST_NOT_MATCHED_BY_TARGET_CLAUSE_OMIT_CONDITION",
                "NOT MATCHED [BY TARGET]",
            ),
            (
                MergeMatch::NotMatchedBySource,
                "NON_LAST_NOT_MATCHED_BY_SOURCE_CLAUSE_OMIT_CONDITION",
                "NOT MATCHED BY SOURCE",
            ),
        ] {
            let mut of_kind: Vec<_> = clauses.iter().filter(|c| c.matched == matched).collect();
            of_kind.pop();
            if of_kind.iter().any(|c| c.condition.is_none()) {
                let message = format!(
                    "When there are more than one {name} clauses in a MERGE statement, only the last {name} clause can omit \
                     the condition."
                );
                return Err(self.error_of_statement(SparkError::new(class, "42613", message)));
            }
        }
        Ok(())
    }

    /// `LOAD DATA [LOCAL] INPATH path [OVERWRITE] INTO TABLE table [PARTITION (…)]`
    pub(super) fn load_data(&mut self) -> SparkResult<StatementKind> {
        self.expect_all(&[K::LOAD, K::DATA])?;
        let local = self.eat(K::LOCAL);
        self.expect(K::INPATH)?;
        let path = self.string()?;
        let overwrite = self.eat(K::OVERWRITE);
        self.expect_all(&[K::INTO, K::TABLE])?;
        let table = self.identifier_reference()?;
        let partition = self.optional_partition()?;
        Ok(StatementKind::LoadData(Box::new(LoadData { path, local, overwrite, table, partition })))
    }

    /// `CALL procedure(arguments)`
    pub(super) fn call_procedure(&mut self) -> SparkResult<StatementKind> {
        self.expect(K::CALL)?;
        let name = self.identifier_reference()?;
        self.expect_symbol(S::OpenParen)?;
        let args = if self.kind() == TokenKind::Symbol(S::CloseParen) {
            Vec::new()
        } else {
            self.comma_separated(Self::argument)?
        };
        self.expect_symbol(S::CloseParen)?;
        Ok(StatementKind::CallProcedure { name, args })
    }
}

fn column_aliases(statement: &str) -> SparkError {
    let message = format!("Column aliases are not allowed in {statement}.");
    SparkError::new("COLUMN_ALIASES_NOT_ALLOWED", "42601", message).param("op", statement)
}
