//! The pipe operator: `relation |> WHERE … |> SELECT …`. Each step becomes what the same clause of a SELECT becomes.

use firesteel_plan::{
    Expr, ExprKind, Relation, RelationKind, SparkError, SparkResult, expr::FunctionCall, relation::Grouping,
};

use crate::{
    cursor::Parser,
    error,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
    name::AliasOf,
};

/// First words of steps. Behind `|`, which is an operator of expressions too, only they make a pipe of it.
const STEPS: &[K] = &[
    K::SELECT,
    K::EXTEND,
    K::SET,
    K::DROP,
    K::AS,
    K::WHERE,
    K::PIVOT,
    K::UNPIVOT,
    K::TABLESAMPLE,
    K::JOIN,
    K::INNER,
    K::CROSS,
    K::LEFT,
    K::RIGHT,
    K::FULL,
    K::SEMI,
    K::ANTI,
    K::NATURAL,
    K::UNION,
    K::EXCEPT,
    K::INTERSECT,
    K::MINUS,
    K::ORDER,
    K::CLUSTER,
    K::DISTRIBUTE,
    K::SORT,
    K::WINDOW,
    K::LIMIT,
    K::OFFSET,
    K::AGGREGATE,
];

impl Parser<'_> {
    /// `|>`, or `|` with the first word of a step.
    pub fn starts_pipe(&self) -> bool {
        match self.kind() {
            TokenKind::Symbol(S::PipeOperator) => true,
            TokenKind::Symbol(S::Pipe) => !self.options.only_long_pipes && self.is_any_at(1, STEPS),
            _ => false,
        }
    }

    /// What follows `|>`, on top of `input`.
    pub(super) fn pipe_step(&mut self, input: Relation, start: usize) -> SparkResult<Relation> {
        self.grow()?;
        let place = self.start();
        let kind = match self.keyword() {
            Some(K::SELECT) => return self.pipe_select(input, start),
            Some(K::WHERE) => {
                self.advance();
                let condition = self.expression()?;
                if self.starts_windows() {
                    self.window_definitions()?;
                    let error = SparkError::new(
                        "NOT_ALLOWED_IN_PIPE_OPERATOR_WHERE.WINDOW_CLAUSE",
                        "42601",
                        "Not allowed in the pipe WHERE clause: WINDOW clause.",
                    );
                    return Err(self.error_of_statement(error));
                }
                RelationKind::Filter { input: Box::new(input), condition }
            }
            Some(K::EXTEND) => {
                self.advance();
                let mut exprs = vec![self.all_columns(Vec::new(), place)];
                exprs.extend(self.comma_separated(Self::named_expression)?);
                RelationKind::Project { input: Box::new(input), exprs }
            }
            Some(K::DROP) => {
                self.advance();
                let dropped = self.comma_separated(Self::multipart_name)?;
                let kept = self.all_columns(dropped, place);
                RelationKind::Project { input: Box::new(input), exprs: vec![kept] }
            }
            Some(K::AS) => {
                self.advance();
                let alias = self.plain_identifier()?;
                RelationKind::SubqueryAlias { input: Box::new(input), alias, columns: Vec::new() }
            }
            Some(K::AGGREGATE) => self.pipe_aggregate(input)?,
            Some(K::SET) => {
                self.advance();
                RelationKind::SetColumns { input: Box::new(input), assignments: self.pipe_assignments()? }
            }
            Some(K::TABLESAMPLE) if self.starts_sample(0) => return self.sampled(input, start),
            _ if self.starts_pivot() || self.starts_unpivot() => return self.pipe_pivot(input, start, place),
            _ => return self.pipe_clause(input, start, place),
        };
        Ok(Relation::new(kind, self.span_from(start)))
    }

    fn pipe_clause(&mut self, input: Relation, start: usize, place: usize) -> SparkResult<Relation> {
        if let Some(op) = self.set_operator(&[K::UNION, K::EXCEPT, K::MINUS, K::INTERSECT]) {
            let all = self.set_quantifier();
            let right = self.query_primary()?;
            return self.combined(input, right, op, all, start);
        }
        if let Some(join) = self.join_words()? {
            return self.joined(input, join, start, place);
        }
        let clauses = self.at;
        let organized = self.organized(input, start)?;
        if self.at == clauses
            && !(self.starts_pipe() || self.token(0).kind.ends_statement() || self.is_symbol(S::CloseParen))
        {
            return Err(self.unexpected());
        }
        self.check_pipe_clauses(&organized, place)?;
        Ok(organized)
    }

    /// A step has one of the clauses that order and cut; LIMIT and OFFSET count as one.
    fn check_pipe_clauses(&self, organized: &Relation, place: usize) -> SparkResult<()> {
        let first = match &organized.kind {
            RelationKind::Limit { input, .. } | RelationKind::Offset { input, .. } => match &input.kind {
                RelationKind::Offset { input, .. } => input,
                _ => input,
            },
            _ => return Ok(()),
        };
        // Steps before this one end where it begins.
        if first.span.end as usize <= place {
            return Ok(());
        }
        let clause = match &first.kind {
            RelationKind::Sort { global: true, .. } => "ORDER BY",
            RelationKind::Sort { .. } => "SORT BY",
            RelationKind::Repartition { .. } => "DISTRIBUTE BY",
            RelationKind::WithWindows { .. } => "WINDOW",
            _ => return Ok(()),
        };
        let cut = if matches!(organized.kind, RelationKind::Limit { .. }) { "LIMIT" } else { "OFFSET" };
        let error = SparkError::new(
            "MULTIPLE_QUERY_RESULT_CLAUSES_WITH_PIPE_OPERATORS",
            "42000",
            format!(
                "{clause} and {cut} cannot coexist in the same SQL pipe operator using '|>'. Please separate the multiple result \
                 clauses into separate pipe operators and then retry the query again."
            ),
        );
        Err(self.error_from(error.param("clause1", clause).param("clause2", cut), place))
    }

    /// `SELECT expressions [GROUP BY …] [WINDOW …]`
    fn pipe_select(&mut self, input: Relation, start: usize) -> SparkResult<Relation> {
        let head = self.select_head()?;
        let relation = self.grouped(input, head.exprs, start)?;
        let windows = self.window_definitions()?;
        Ok(self.select_finished(relation, head.distinct, windows, head.hints, start))
    }

    fn pipe_pivot(&mut self, input: Relation, start: usize, place: usize) -> SparkResult<Relation> {
        let first_pivots = self.starts_pivot();
        let relation = if first_pivots { self.pivot(input, start)? } else { self.unpivot(input, start)? };
        if first_pivots && self.starts_unpivot() {
            self.unpivot(relation, start)?;
        } else if !first_pivots && self.starts_pivot() {
            self.pivot(relation, start)?;
        } else {
            return Ok(relation);
        }
        let error = self.pivot_and_unpivot(place);
        Err(self.error_of_statement(error.without_context()))
    }

    /// `column = value, …`
    fn pipe_assignments(&mut self) -> SparkResult<Vec<(Vec<String>, Expr)>> {
        self.comma_separated(|p| {
            let place = p.start();
            let name = p.multipart_name()?;
            p.expect_symbol(S::Equal)?;
            let value = p.expression()?;
            if name.len() > 1 {
                let what = "SQL pipe syntax |> SET operator with multi-part assignment key (only single-part keys are allowed)";
                return Err(p.error_from(error::operation_not_allowed(what), place));
            }
            Ok((name, value))
        })
    }

    fn all_columns(&self, except: Vec<Vec<String>>, place: usize) -> Expr {
        Expr::new(ExprKind::Star { target: None, except }, self.span_from(place))
    }

    /// `AGGREGATE [expressions] [GROUP BY …]`: the result has the grouping columns first.
    fn pipe_aggregate(&mut self, input: Relation) -> SparkResult<RelationKind> {
        self.advance();
        let nothing = |p: &Self| p.token(0).kind.ends_statement() || p.starts_pipe() || p.is_symbol(S::CloseParen);
        let mut aggregates = Vec::new();
        if !self.starts_clause(0, AliasOf::Column) && !nothing(self) && !self.are(&[K::GROUP, K::BY]) {
            aggregates = self.comma_separated(Self::named_expression)?;
        }
        if !self.eat_all(&[K::GROUP, K::BY]) {
            if aggregates.is_empty() {
                let what = "The AGGREGATE clause requires a list of aggregate expressions or a list of grouping expressions, or both";
                return Err(self.error_of_statement(error::operation_not_allowed(what)));
            }
            let kind =
                RelationKind::Aggregate { input: Box::new(input), grouping: Grouping::None, aggregates, having: None };
            return Ok(kind);
        }
        let mut keys = Vec::new();
        loop {
            if let Some(case) = self.refused_grouping() {
                return Err(self.pipe_aggregate_error(case));
            }
            keys.push(self.named_expression()?);
            if !self.eat_symbol(S::Comma) {
                break;
            }
        }
        if self.is(K::WITH) && self.is_any_at(1, &[K::ROLLUP, K::CUBE]) {
            let case = if self.is_at(1, K::CUBE) { "GROUP BY CUBE" } else { "GROUP BY ROLLUP" };
            return Err(self.pipe_aggregate_error(case));
        }
        if self.are(&[K::GROUPING, K::SETS]) {
            return Err(self.pipe_aggregate_error("GROUPING SETS"));
        }
        if matches!(keys.as_slice(), [key] if super::is_word_all(key)) {
            return Err(self.pipe_aggregate_error("GROUP BY ALL"));
        }
        for (function, case) in [("grouping", "GROUPING"), ("grouping_id", "GROUPING_ID")] {
            if aggregates.iter().any(|e| calls(e, function)) {
                return Err(self.pipe_aggregate_error(case));
            }
        }
        if aggregates.iter().any(has_window) {
            let case = "window functions; please update the query to move the window functions to a subsequent |> SELECT \
                        operator instead";
            return Err(self.pipe_aggregate_error(case));
        }
        let plain = keys.iter().map(|key| match &key.kind {
            ExprKind::Alias { operand, .. } => (**operand).clone(),
            _ => key.clone(),
        });
        let grouping = Grouping::Exprs(plain.collect());
        aggregates.splice(0..0, keys);
        Ok(RelationKind::Aggregate { input: Box::new(input), grouping, aggregates, having: None })
    }

    fn refused_grouping(&self) -> Option<&'static str> {
        let paren = self.is_symbol_at(1, S::OpenParen);
        match self.keyword() {
            Some(K::ROLLUP) if paren => Some("GROUP BY ROLLUP"),
            Some(K::CUBE) if paren => Some("GROUP BY CUBE"),
            Some(K::GROUPING) if self.is_at(1, K::SETS) => Some("GROUPING SETS"),
            _ => None,
        }
    }

    fn pipe_aggregate_error(&mut self, case: &str) -> SparkError {
        while !self.token(0).kind.ends_statement() {
            self.advance();
        }
        let message =
            format!("The SQL pipe operator syntax with aggregation (using |> AGGREGATE) does not support {case}.");
        let error = error::unsupported_feature("PIPE_OPERATOR_AGGREGATE_UNSUPPORTED_CASE", message).param("case", case);
        self.error_of_statement(error)
    }
}

/// Whether the expression calls the function.
fn calls(expr: &Expr, function: &str) -> bool {
    any_call(expr, &|call| matches!(call.name.as_slice(), [name] if name.eq_ignore_ascii_case(function)))
}

fn has_window(expr: &Expr) -> bool {
    any_call(expr, &|call| call.over.is_some())
}

/// Whether the test holds for a call, at any depth that operators, calls and aliases make.
fn any_call(expr: &Expr, test: &dyn Fn(&FunctionCall) -> bool) -> bool {
    let mut stack = vec![expr];
    while let Some(expr) = stack.pop() {
        match &expr.kind {
            ExprKind::Function(call) if test(call) => return true,
            ExprKind::Function(call) => stack.extend(&call.args),
            ExprKind::Alias { operand, .. } | ExprKind::Unary { operand, .. } | ExprKind::Cast { operand, .. } => {
                stack.push(operand);
            }
            ExprKind::Binary { left, right, .. } => stack.extend([left.as_ref(), right]),
            _ => {}
        }
    }
    false
}
