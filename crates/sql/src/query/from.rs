//! FROM: tables, subqueries, table functions, joins and lateral views.

use firesteel_plan::{
    Expr, ExprKind, Relation, RelationKind, SparkError, SparkResult,
    expr::{FunctionCall, TableArgument},
    relation::{JoinCondition, JoinType},
};

use crate::{
    cursor::Parser,
    error,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
    name::AliasOf,
};

/// Most rows that a nearest join finds for each row.
const MOST_NEAREST: u32 = 100_000;

fn nearest_error(subclass: &str, message: &str) -> SparkError {
    SparkError::new(format!("NEAREST_BY_JOIN.{subclass}"), "42604", format!("Invalid nearest-by join. {message}"))
}

impl Parser<'_> {
    pub fn relations(&mut self) -> SparkResult<Relation> {
        let clause = self.start();
        self.expect(K::FROM)?;
        let start = self.start();
        let mut left = self.relation(clause)?.0;
        while self.eat_symbol(S::Comma) {
            let (right, lateral) = self.relation(clause)?;
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
        let pivots = self.starts_pivot();
        if pivots {
            left = self.pivot(left, start)?;
        }
        if self.starts_unpivot() {
            left = self.unpivot(left, start)?;
            if pivots {
                return Err(self.pivot_and_unpivot(start));
            }
        }
        Ok(left)
    }

    /// A relation with its joins, and whether LATERAL stands before it.
    fn relation(&mut self, clause: usize) -> SparkResult<(Relation, bool)> {
        let start = self.start();
        let lateral = self.is(K::LATERAL) && self.starts_relation(1);
        if lateral {
            self.advance();
        }
        let mut left = self.relation_primary()?;
        if lateral {
            self.check_lateral(&left, start, clause)?;
        }
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
        let lateral_start = self.start();
        let right = self.relation_primary()?;
        if lateral {
            self.check_lateral(&right, lateral_start, place)?;
        }
        if !natural && self.is_any(&[K::APPROX, K::EXACT]) && self.is_at(1, K::NEAREST) {
            return self.nearest_join(left, right, join_type, start, place);
        }
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
        if lateral && matches!(condition, JoinCondition::Using(_)) {
            let error = error::unsupported_feature("LATERAL_JOIN_USING", "JOIN USING with LATERAL correlation.");
            return Err(self.error_from(error, place));
        }
        if lateral && natural {
            let error = SparkError::new(
                "INCOMPATIBLE_JOIN_TYPES",
                "42613",
                "The join types LATERAL and NATURAL are incompatible.",
            );
            return Err(self.error_from(error.param("joinType1", "LATERAL").param("joinType2", "NATURAL"), place));
        }
        self.grow()?;
        let kind = RelationKind::Join { left: Box::new(left), right: Box::new(right), join_type, condition, lateral };
        Ok(Relation::new(kind, self.span_from(start)))
    }

    /// `APPROX | EXACT NEAREST [n] BY DISTANCE | SIMILARITY expression` behind a join's right side.
    fn nearest_join(
        &mut self,
        left: Relation,
        right: Relation,
        join_type: JoinType,
        start: usize,
        place: usize,
    ) -> SparkResult<Relation> {
        let approximate = self.eat(K::APPROX);
        if !approximate {
            self.advance();
        }
        self.expect(K::NEAREST)?;
        let mut written = "1".to_owned();
        if self.kind() == TokenKind::Integer {
            let token = self.advance();
            written = self.token_text(token).to_owned();
        }
        self.expect(K::BY)?;
        let similarity = match self.eat_any(&[K::DISTANCE, K::SIMILARITY]) {
            Some(word) => word == K::SIMILARITY,
            None => return Err(self.unexpected()),
        };
        let ranking = self.expression()?;
        if !matches!(join_type, JoinType::Inner | JoinType::Left) {
            let name = match join_type {
                JoinType::Right => "RIGHT OUTER",
                JoinType::Full => "FULL OUTER",
                JoinType::LeftSemi => "LEFT SEMI",
                JoinType::LeftAnti => "LEFT ANTI",
                _ => "CROSS",
            };
            let supported = "'INNER', 'LEFT OUTER'";
            let message = format!("Unsupported nearest-by join type {name}. Supported types: {supported}.");
            let error = nearest_error("UNSUPPORTED_JOIN_TYPE", &message);
            return Err(self.error_from(error.param("joinType", name).param("supported", supported), place));
        }
        let Some(count) = written.parse().ok().filter(|n| (1..=MOST_NEAREST).contains(n)) else {
            let message = format!(
                "The number of results {written} must be between 1 and {MOST_NEAREST}. Update the literal in `APPROX NEAREST \
                 {written} BY ...` (or `EXACT NEAREST {written} BY ...`) to fall within that range."
            );
            let error = nearest_error("NUM_RESULTS_OUT_OF_RANGE", &message)
                .param("numResults", written)
                .param("min", "1")
                .param("max", MOST_NEAREST.to_string());
            return Err(self.error_from(error, place));
        };
        self.grow()?;
        let kind = RelationKind::NearestJoin {
            left: Box::new(left),
            right: Box::new(right),
            join_type,
            approximate,
            count,
            similarity,
            ranking,
        };
        Ok(Relation::new(kind, self.span_from(start)))
    }

    /// LATERAL is for what may read the columns of the relations before it.
    fn check_lateral(&self, relation: &Relation, start: usize, place: usize) -> SparkResult<()> {
        let mut inner = relation;
        while let RelationKind::SubqueryAlias { input, .. } | RelationKind::Sample { input, .. } = &inner.kind {
            inner = input;
        }
        if !matches!(inner.kind, RelationKind::Table { .. } | RelationKind::TableHistory { .. }) {
            return Ok(());
        }
        let in_parentheses = self.text.get(start..).is_some_and(|t| t.starts_with('('));
        if in_parentheses {
            return Ok(());
        }
        let error = SparkError::new(
            "INVALID_SQL_SYNTAX.LATERAL_WITHOUT_SUBQUERY_OR_TABLE_VALUED_FUNC",
            "42000",
            "Invalid SQL syntax: LATERAL can only be used with subquery and table-valued functions.",
        );
        Err(self.error_from(error, place))
    }

    pub(super) fn pivot_and_unpivot(&self, start: usize) -> SparkError {
        let error = SparkError::new(
            "NOT_ALLOWED_IN_FROM.UNPIVOT_WITH_PIVOT",
            "42601",
            "Not allowed in the FROM clause: UNPIVOT together with PIVOT.",
        );
        self.error_from(error, start)
    }

    fn relation_primary(&mut self) -> SparkResult<Relation> {
        let start = self.start();
        if self.starts_stream() {
            return self.stream();
        }
        if self.is_symbol(S::OpenParen) {
            let is_query = self.starts_query(1);
            self.advance();
            let inner = if is_query {
                self.query()?
            } else {
                self.nested(|p| p.relation(start).map(|(relation, _)| relation))?
            };
            self.expect_symbol(S::CloseParen)?;
            let sampled = self.sampled(inner, start)?;
            let sampled = self.watermarked(sampled, start)?;
            return self.table_alias(sampled, start);
        }
        if self.is(K::VALUES) && self.starts_operand(1) {
            return self.inline_table();
        }
        let name = self.identifier_reference()?;
        if self.is_symbol(S::OpenParen) {
            return self.table_function(name, start);
        }
        let history = self.history()?;
        let options = if self.is(K::WITH) && self.is_symbol_at(1, S::OpenParen) {
            self.advance();
            self.property_list()?
        } else {
            Vec::new()
        };
        let kind = match history {
            Some(history) => RelationKind::TableHistory { name, options, history },
            None => RelationKind::Table { name, options },
        };
        let table = Relation::new(kind, self.span_from(start));
        let sampled = self.sampled(table, start)?;
        let sampled = self.watermarked(sampled, start)?;
        self.table_alias(sampled, start)
    }

    fn table_function(&mut self, name: Vec<String>, start: usize) -> SparkResult<Relation> {
        let function = self.table_function_call(name, start)?;
        let function = self.identified_by(function, start)?;
        let function = self.watermarked(function, start)?;
        self.table_alias(function, start)
    }

    /// The opening parenthesis is next.
    pub(super) fn table_function_call(&mut self, name: Vec<String>, start: usize) -> SparkResult<Relation> {
        self.expect_symbol(S::OpenParen)?;
        let mut args = Vec::new();
        if !self.is_symbol(S::CloseParen) {
            args = self.comma_separated(Self::table_function_argument)?;
        }
        self.expect_symbol(S::CloseParen)?;
        Ok(Relation::new(RelationKind::TableFunction { name, args }, self.span_from(start)))
    }

    fn table_function_argument(&mut self) -> SparkResult<Expr> {
        let named = if self.is_name() && self.is_symbol_at(1, S::FatArrow) { 2 } else { 0 };
        let is_table = self.is_at(named, K::TABLE)
            && (self.is_name_at(named + 1) || self.is_symbol_at(named + 1, S::OpenParen))
            && self.starts_operand(named + 1);
        if !is_table {
            return self.argument();
        }
        let start = self.start();
        if named == 0 {
            return self.table_argument();
        }
        let name = self.identifier()?;
        self.advance();
        let value = Box::new(self.table_argument()?);
        Ok(Expr::new(ExprKind::NamedArgument { name, value }, self.span_from(start)))
    }

    /// `TABLE name | (name) | (query)` with `PARTITION BY … ORDER BY …` or `WITH SINGLE PARTITION …`
    fn table_argument(&mut self) -> SparkResult<Expr> {
        let start = self.start();
        self.expect(K::TABLE)?;
        let place = self.start();
        let by_name = |p: &mut Self| {
            let place = p.start();
            let name = p.identifier_reference()?;
            Ok(Relation::new(RelationKind::Table { name, options: Vec::new() }, p.span_from(place)))
        };
        let in_parentheses = self.is_symbol(S::OpenParen);
        let table = if in_parentheses {
            let is_query = self.starts_query(1);
            self.advance();
            let table = if is_query { self.query()? } else { by_name(self)? };
            self.expect_symbol(S::CloseParen)?;
            table
        } else {
            by_name(self)?
        };
        let written = self.text_from(place).to_owned();
        let mut argument =
            TableArgument { table, partition_by: Vec::new(), single_partition: false, order_by: Vec::new() };
        if self.eat_all(&[K::WITH, K::SINGLE, K::PARTITION]) {
            argument.single_partition = true;
        } else if self.eat_all(&[K::PARTITION, K::BY]) || self.eat_all(&[K::DISTRIBUTE, K::BY]) {
            argument.partition_by = self.argument_list(Self::expression)?;
        }
        let partitioned = argument.single_partition || !argument.partition_by.is_empty();
        if partitioned && (self.eat_all(&[K::ORDER, K::BY]) || self.eat_all(&[K::SORT, K::BY])) {
            argument.order_by = self.argument_list(Self::sort_item)?;
        }
        if !in_parentheses {
            let name = written.split('.').map(|part| format!("`{part}`")).collect::<Vec<_>>().join(".");
            let error = SparkError::new(
                "INVALID_SQL_SYNTAX.INVALID_TABLE_FUNCTION_IDENTIFIER_ARGUMENT_MISSING_PARENTHESES",
                "42000",
                format!(
                    "Invalid SQL syntax: Syntax error: call to table-valued function is invalid because parentheses are missing \
                     around the provided TABLE argument {name}; please surround this with parentheses and try again."
                ),
            );
            return Err(self.error_from(error.param("argumentName", name), start));
        }
        let span = self.span_from(start);
        Ok(Expr::new(ExprKind::TableArgument(Box::new(argument)), span))
    }

    /// One item, or several in parentheses.
    fn argument_list<T>(&mut self, item: impl Fn(&mut Self) -> SparkResult<T>) -> SparkResult<Vec<T>> {
        let ends = |p: &Self, ahead| {
            p.is_symbol_at(ahead, S::CloseParen)
                || p.is_any_at(ahead, &[K::ORDER, K::SORT]) && p.is_at(ahead + 1, K::BY)
        };
        if self.is_symbol(S::OpenParen)
            && (ends(self, self.after_paren(0)) || self.is_symbol_at(self.after_paren(0), S::Comma))
        {
            return self.parenthesized(item);
        }
        let mut items = vec![item(self)?];
        // Behind a comma, what is no argument of the function belongs here.
        while self.is_symbol(S::Comma) && self.is_name_at(1) && (ends(self, 2) || self.is_symbol_at(2, S::Comma)) {
            self.advance();
            items.push(item(self)?);
        }
        Ok(items)
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
