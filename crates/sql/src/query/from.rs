//! FROM: tables, subqueries, table functions, joins and lateral views.

use firesteel_plan::{
    Relation, RelationKind, SparkError, SparkResult,
    expr::FunctionCall,
    relation::{JoinCondition, JoinType},
};

use crate::{
    cursor::Parser,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
    name::AliasOf,
};

impl Parser<'_> {
    pub(super) fn relations(&mut self) -> SparkResult<Relation> {
        self.expect(K::FROM)?;
        let start = self.start();
        let mut left = self.relation()?.0;
        while self.eat_symbol(S::Comma) {
            let (right, lateral) = self.relation()?;
            self.grow()?;
            let kind = RelationKind::Join {
                left: Box::new(left),
                right: Box::new(right),
                join_type: JoinType::Inner,
                condition: JoinCondition::None,
                lateral,
            };
            left = Relation::new(kind, self.span_from(start));
        }
        while self.are(&[K::LATERAL, K::VIEW]) {
            left = self.lateral_view(left)?;
        }
        // After LATERAL VIEW they apply to all of the clause.
        if self.starts_pivot() {
            left = self.pivot(left, start)?;
        }
        if self.starts_unpivot() {
            left = self.unpivot(left, start)?;
        }
        Ok(left)
    }

    /// A relation with its joins, and whether LATERAL stands before it.
    fn relation(&mut self) -> SparkResult<(Relation, bool)> {
        let start = self.start();
        let lateral = self.is(K::LATERAL) && self.starts_relation(1);
        if lateral {
            self.advance();
        }
        let mut left = self.relation_primary()?;
        loop {
            let place = self.start();
            left = if self.starts_pivot() {
                self.pivot(left, start)?
            } else if self.starts_unpivot() {
                self.unpivot(left, start)?
            } else if let Some(join) = self.join_words()? {
                self.joined(left, join, start, place)?
            } else {
                return Ok((left, lateral));
            };
        }
    }

    /// The words up to JOIN, if a join stands here.
    pub(super) fn join_words(&mut self) -> SparkResult<Option<(JoinType, bool)>> {
        let Some(first) = self.keyword() else { return Ok(None) };
        let begins = matches!(
            first,
            K::JOIN | K::INNER | K::CROSS | K::LEFT | K::RIGHT | K::FULL | K::SEMI | K::ANTI | K::NATURAL
        );
        if !begins {
            return Ok(None);
        }
        let natural = self.eat(K::NATURAL);
        let join_type = match self.eat_any(&[K::INNER, K::CROSS, K::LEFT, K::RIGHT, K::FULL, K::SEMI, K::ANTI]) {
            None | Some(K::INNER) => JoinType::Inner,
            Some(K::CROSS) => JoinType::Cross,
            Some(K::SEMI) => JoinType::LeftSemi,
            Some(K::ANTI) => JoinType::LeftAnti,
            Some(K::LEFT) => match self.eat_any(&[K::OUTER, K::SEMI, K::ANTI]) {
                Some(K::SEMI) => JoinType::LeftSemi,
                Some(K::ANTI) => JoinType::LeftAnti,
                _ => JoinType::Left,
            },
            Some(right_or_full) => {
                self.eat(K::OUTER);
                if right_or_full == K::RIGHT { JoinType::Right } else { JoinType::Full }
            }
        };
        self.expect(K::JOIN)?;
        Ok(Some((join_type, natural)))
    }

    pub(super) fn joined(
        &mut self,
        left: Relation,
        (join_type, natural): (JoinType, bool),
        start: usize,
        place: usize,
    ) -> SparkResult<Relation> {
        let lateral = self.is(K::LATERAL) && self.starts_relation(1);
        if lateral {
            self.advance();
        }
        let right = self.relation_primary()?;
        let condition = if natural {
            JoinCondition::Natural
        } else if self.eat(K::ON) {
            JoinCondition::On(self.expression()?)
        } else if self.eat(K::USING) {
            JoinCondition::Using(self.identifier_list()?)
        } else {
            JoinCondition::None
        };
        if lateral && matches!(join_type, JoinType::Right | JoinType::Full | JoinType::LeftSemi | JoinType::LeftAnti) {
            let name = match join_type {
                JoinType::Right => "RIGHT OUTER",
                JoinType::Full => "FULL OUTER",
                JoinType::LeftSemi => "LEFT SEMI",
                _ => "LEFT ANTI",
            };
            let error = SparkError::new(
                "INVALID_LATERAL_JOIN_TYPE",
                "42613",
                format!(
                    "The {name} JOIN with LATERAL correlation is not allowed because an OUTER subquery cannot correlate to its \
                     join partner. Remove the LATERAL correlation or use an INNER JOIN, or LEFT OUTER JOIN instead."
                ),
            );
            return Err(self.error_from(error.param("joinType", name), place));
        }
        self.grow()?;
        let kind = RelationKind::Join { left: Box::new(left), right: Box::new(right), join_type, condition, lateral };
        Ok(Relation::new(kind, self.span_from(start)))
    }

    fn relation_primary(&mut self) -> SparkResult<Relation> {
        let start = self.start();
        if self.is_symbol(S::OpenParen) {
            let is_query = self.starts_query(1);
            self.advance();
            let inner =
                if is_query { self.query()? } else { self.nested(|p| p.relation().map(|(relation, _)| relation))? };
            self.expect_symbol(S::CloseParen)?;
            let sampled = self.sampled(inner, start)?;
            return self.table_alias(sampled, start);
        }
        if self.is(K::VALUES) && self.starts_operand(1) {
            return self.inline_table();
        }
        let name = self.identifier_reference()?;
        if self.is_symbol(S::OpenParen) {
            return self.table_function(name, start);
        }
        self.temporal_clause(start)?;
        let options = if self.is(K::WITH) && self.is_symbol_at(1, S::OpenParen) {
            self.advance();
            self.property_list()?
        } else {
            Vec::new()
        };
        let table = Relation::new(RelationKind::Table { name, options }, self.span_from(start));
        let sampled = self.sampled(table, start)?;
        self.table_alias(sampled, start)
    }

    fn table_function(&mut self, name: Vec<String>, start: usize) -> SparkResult<Relation> {
        self.expect_symbol(S::OpenParen)?;
        let mut args = Vec::new();
        if !self.is_symbol(S::CloseParen) {
            args = self.comma_separated(|p| {
                let named = if p.is_name() && p.is_symbol_at(1, S::FatArrow) { 2 } else { 0 };
                if p.is_at(named, K::TABLE) && (p.is_name_at(named + 1) || p.is_symbol_at(named + 1, S::OpenParen)) {
                    let place = p.start();
                    p.at += named + 1;
                    return Err(p.error_from(SparkError::unsupported("a TABLE argument of a table function"), place));
                }
                p.argument()
            })?;
        }
        self.expect_symbol(S::CloseParen)?;
        let function = Relation::new(RelationKind::TableFunction { name, args }, self.span_from(start));
        self.table_alias(function, start)
    }

    /// `VERSION AS OF n` and `TIMESTAMP AS OF t` need a table format with history.
    fn temporal_clause(&mut self, start: usize) -> SparkResult<()> {
        let skip = usize::from(self.is(K::FOR));
        let words = [K::SYSTEM_VERSION, K::VERSION, K::SYSTEM_TIME, K::TIMESTAMP];
        if self.is_any_at(skip, &words) && self.is_at(skip + 1, K::AS) && self.is_at(skip + 2, K::OF) {
            self.at += skip + 3;
            return Err(self.error_from(SparkError::unsupported("reading a table AS OF a version or time"), start));
        }
        Ok(())
    }

    /// `LATERAL VIEW [OUTER] generator(args) table [[AS] column, …]`
    pub(super) fn lateral_view(&mut self, input: Relation) -> SparkResult<Relation> {
        let start = self.start();
        self.expect_all(&[K::LATERAL, K::VIEW])?;
        let outer = self.is(K::OUTER) && self.is_name_at(1);
        if outer {
            self.advance();
        }
        let place = self.start();
        let name = self.multipart_name()?;
        self.expect_symbol(S::OpenParen)?;
        let args = if self.is_symbol(S::CloseParen) { Vec::new() } else { self.comma_separated(Self::expression)? };
        self.expect_symbol(S::CloseParen)?;
        let call = FunctionCall { name, ..FunctionCall::new("", args) };
        let generator =
            firesteel_plan::Expr::new(firesteel_plan::ExprKind::Function(Box::new(call)), self.span_from(place));
        let table = Some(self.identifier()?);
        let mut columns = Vec::new();
        let as_follows = self.is(K::AS) && self.is_name_at(1);
        if as_follows || self.is_bare_alias(AliasOf::Table) {
            if as_follows {
                self.advance();
            }
            columns = self.comma_separated(Self::identifier)?;
        }
        self.grow()?;
        let kind = RelationKind::LateralView { input: Box::new(input), generator, outer, table, columns };
        Ok(Relation::new(kind, self.span_from(start)))
    }

    pub(super) fn starts_pivot(&self) -> bool {
        self.is(K::PIVOT) && self.is_symbol_at(1, S::OpenParen)
    }

    pub(super) fn starts_unpivot(&self) -> bool {
        self.is(K::UNPIVOT)
            && (self.is_any_at(1, &[K::INCLUDE, K::EXCLUDE]) || self.kind_at(1) == TokenKind::Symbol(S::OpenParen))
    }
}
