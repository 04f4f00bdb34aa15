//! Expressions, by precedence climbing. From the loosest: OR; AND; NOT; predicates (IN, LIKE, BETWEEN, IS), of which an
//! operand takes one; comparisons; `|`; `^`; `&`; shifts; `+ - ||`; `* / % DIV`; signs and `~`; then what is in
//! `primary`.

mod function;
mod interval;
mod literal;
mod primary;

use firesteel_plan::{
    Expr, ExprKind, SparkError, SparkResult,
    expr::{BinaryOp, LikeKind, SortItem, UnaryOp},
};

use crate::{
    cursor::Parser,
    error,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
    name::AliasOf,
};

/// An operator between two values: its place in the precedence (higher binds tighter) and how many tokens it has.
struct Infix {
    op: BinaryOp,
    level: u8,
    tokens: usize,
}

const LOWEST: u8 = 1;

impl Parser<'_> {
    pub fn expression(&mut self) -> SparkResult<Expr> {
        self.nested(|p| p.disjunction(None))
    }

    /// An expression whose first value was read already.
    pub fn expression_after(&mut self, first: Expr) -> SparkResult<Expr> {
        self.nested(|p| p.disjunction(Some(first)))
    }

    /// A value without predicates and without AND, OR and NOT outside parentheses.
    pub fn value(&mut self) -> SparkResult<Expr> {
        self.nested(|p| p.infix(LOWEST, None))
    }

    fn disjunction(&mut self, first: Option<Expr>) -> SparkResult<Expr> {
        let mut terms = vec![self.conjunction(first)?];
        while self.is(K::OR) && self.starts_operand(1) {
            self.advance();
            terms.push(self.beside(|p| p.conjunction(None))?);
        }
        self.balanced(BinaryOp::Or, terms)
    }

    fn conjunction(&mut self, first: Option<Expr>) -> SparkResult<Expr> {
        let mut terms = vec![self.negation(first)?];
        while self.is(K::AND) && self.starts_operand(1) {
            self.advance();
            terms.push(self.beside(|p| p.negation(None))?);
        }
        self.balanced(BinaryOp::And, terms)
    }

    /// One tree of all terms, as low as it can be (thousands of terms are usual in generated queries) and of the shape that
    /// Spark gives it, which names of columns show.
    fn balanced(&mut self, op: BinaryOp, terms: Vec<Expr>) -> SparkResult<Expr> {
        for _ in 0..terms.len().ilog2() {
            self.grow()?;
        }
        let count = terms.len();
        halves(op, &mut terms.into_iter(), count).ok_or_else(|| self.unexpected())
    }

    fn negation(&mut self, first: Option<Expr>) -> SparkResult<Expr> {
        if first.is_some() {
            return self.predicate(first);
        }
        let is_not = (self.is(K::NOT) || self.is_symbol(S::Bang)) && self.starts_operand(1);
        if !is_not {
            return self.predicate(None);
        }
        let start = self.start();
        self.advance();
        let operand = Box::new(self.nested(|p| p.negation(None))?);
        Ok(Expr::new(ExprKind::Unary { op: UnaryOp::Not, operand }, self.span_from(start)))
    }

    /// A value and at most one predicate on it.
    fn predicate(&mut self, first: Option<Expr>) -> SparkResult<Expr> {
        let operand = self.infix(LOWEST, first)?;
        let negations = usize::from(self.is(K::NOT) || self.is_symbol(S::Bang));
        let Some(keyword) = self.keyword_at(negations) else { return Ok(operand) };
        let negated = negations == 1;
        let after = negations + 1;
        let starts = match keyword {
            K::IN => self.is_symbol_at(after, S::OpenParen),
            K::BETWEEN | K::RLIKE | K::REGEXP | K::LIKE | K::ILIKE => self.starts_operand(after),
            K::IS if !negated => self.starts_is(after),
            _ => false,
        };
        if !starts {
            return Ok(operand);
        }
        let start = operand.span;
        let place = self.start();
        self.at += after;
        self.grow()?;
        let operand = Box::new(operand);
        let kind = match keyword {
            K::IN => self.in_predicate(operand, negated, place)?,
            K::BETWEEN => {
                let low = Box::new(self.value()?);
                self.expect(K::AND)?;
                let high = Box::new(self.value()?);
                ExprKind::Between { operand, low, high, negated }
            }
            K::IS => self.is_predicate(operand)?,
            K::LIKE => self.like_predicate(LikeKind::Like, operand, negated, place)?,
            K::ILIKE => self.like_predicate(LikeKind::ILike, operand, negated, place)?,
            _ => {
                let pattern = Box::new(self.value()?);
                ExprKind::Like { kind: LikeKind::RLike, operand, pattern, escape: None, negated }
            }
        };
        Ok(Expr::new(kind, start.to(self.span_from(start.start as usize))))
    }

    fn starts_is(&self, ahead: usize) -> bool {
        let after = ahead + usize::from(self.is_at(ahead, K::NOT) || self.is_symbol_at(ahead, S::Bang));
        self.is_any_at(after, &[K::NULL, K::TRUE, K::FALSE, K::UNKNOWN, K::DISTINCT])
    }

    fn in_predicate(&mut self, operand: Box<Expr>, negated: bool, place: usize) -> SparkResult<ExprKind> {
        self.expect_symbol(S::OpenParen)?;
        if self.eat_symbol(S::CloseParen) {
            let error = SparkError::new(
                "INVALID_SQL_SYNTAX.EMPTY_IN_PREDICATE",
                "42000",
                "Invalid SQL syntax: IN predicate requires at least one value. Empty IN clauses like 'IN ()' are not allowed. \
                 Consider using 'WHERE FALSE' if you need an always-false condition, or provide at least one value in the IN \
                 list.",
            );
            return Err(self.error_from(error, place));
        }
        let kind = if self.starts_query(0) {
            let subquery = Box::new(self.query()?);
            ExprKind::InSubquery { operand, subquery, negated }
        } else {
            ExprKind::InList { operand, list: self.comma_separated(Self::expression)?, negated }
        };
        self.expect_symbol(S::CloseParen)?;
        Ok(kind)
    }

    fn is_predicate(&mut self, operand: Box<Expr>) -> SparkResult<ExprKind> {
        let negated = self.eat(K::NOT) || self.eat_symbol(S::Bang);
        let keyword = self.eat_any(&[K::NULL, K::TRUE, K::FALSE, K::UNKNOWN, K::DISTINCT]);
        Ok(match keyword {
            Some(K::NULL) => ExprKind::IsNull { operand, negated },
            Some(K::TRUE) => ExprKind::IsBoolean { operand, value: Some(true), negated },
            Some(K::FALSE) => ExprKind::IsBoolean { operand, value: Some(false), negated },
            Some(K::UNKNOWN) => ExprKind::IsBoolean { operand, value: None, negated },
            _ => {
                self.expect(K::FROM)?;
                let right = Box::new(self.value()?);
                let span = operand.span.to(right.span);
                let same = ExprKind::Binary { op: BinaryOp::NullSafeEqual, left: operand, right };
                if negated {
                    same
                } else {
                    ExprKind::Unary { op: UnaryOp::Not, operand: Box::new(Expr::new(same, span)) }
                }
            }
        })
    }

    fn like_predicate(
        &mut self,
        kind: LikeKind,
        operand: Box<Expr>,
        negated: bool,
        place: usize,
    ) -> SparkResult<ExprKind> {
        if self.is_any(&[K::ANY, K::SOME, K::ALL]) && self.is_symbol_at(1, S::OpenParen) {
            let all = self.eat(K::ALL);
            if !all {
                self.advance();
            }
            self.expect_symbol(S::OpenParen)?;
            if self.eat_symbol(S::CloseParen) {
                let message = "Expected something between '(' and ')'.";
                let error = SparkError::new("_LEGACY_ERROR_TEMP_0064", "", message).param("msg", message);
                return Err(self.error_from(error, place));
            }
            let patterns = self.comma_separated(Self::expression)?;
            self.expect_symbol(S::CloseParen)?;
            return Ok(ExprKind::LikeMany { kind, all, operand, patterns, negated });
        }
        let pattern = Box::new(self.value()?);
        let mut escape = None;
        if self.is(K::ESCAPE) && self.is_string_at(1) {
            self.advance();
            let text = self.string()?;
            let mut chars = text.chars();
            escape = chars.next();
            if escape.is_none() || chars.next().is_some() {
                return Err(self.error_from(error::invalid_escape(&text), place));
            }
        }
        Ok(ExprKind::Like { kind, operand, pattern, escape, negated })
    }

    /// Values joined by operators of at least `level`, all of which group from the left.
    fn infix(&mut self, level: u8, first: Option<Expr>) -> SparkResult<Expr> {
        let mut left = match first {
            Some(first) => first,
            None => self.signed()?,
        };
        while let Some(infix) = self.peek_infix() {
            if infix.level < level {
                break;
            }
            self.at += infix.tokens;
            let right = self.infix(infix.level + 1, None)?;
            self.grow()?;
            left = binary(infix.op, left, right);
        }
        Ok(left)
    }

    fn signed(&mut self) -> SparkResult<Expr> {
        let op = match self.kind() {
            // A minus right before a number belongs to it: the least integers have no positive counterpart.
            TokenKind::Symbol(S::Minus) if !self.is_number_at(1) => UnaryOp::Minus,
            TokenKind::Symbol(S::Plus) => UnaryOp::Plus,
            TokenKind::Symbol(S::Tilde) => UnaryOp::BitwiseNot,
            _ => return self.primary(),
        };
        let start = self.start();
        self.advance();
        let operand = Box::new(self.nested(Self::signed)?);
        Ok(Expr::new(ExprKind::Unary { op, operand }, self.span_from(start)))
    }

    fn peek_infix(&self) -> Option<Infix> {
        let (op, level, tokens) = match self.kind() {
            TokenKind::Symbol(symbol) => match symbol {
                S::Equal => (BinaryOp::Equal, 1, 1),
                S::NullSafeEqual => (BinaryOp::NullSafeEqual, 1, 1),
                S::LessGreater | S::BangEqual => (BinaryOp::NotEqual, 1, 1),
                S::Less => (BinaryOp::Less, 1, 1),
                S::LessOrEqual => (BinaryOp::LessOrEqual, 1, 1),
                S::GreaterOrEqual => (BinaryOp::GreaterOrEqual, 1, 1),
                S::Greater => match self.run_of_greater() {
                    1 => (BinaryOp::Greater, 1, 1),
                    2 => (BinaryOp::ShiftRight, 5, 2),
                    _ => (BinaryOp::ShiftRightUnsigned, 5, 3),
                },
                S::Pipe if !self.starts_pipe() => (BinaryOp::BitwiseOr, 2, 1),
                S::Hat => (BinaryOp::BitwiseXor, 3, 1),
                S::Ampersand => (BinaryOp::BitwiseAnd, 4, 1),
                S::ShiftLeft => (BinaryOp::ShiftLeft, 5, 1),
                S::Plus => (BinaryOp::Plus, 6, 1),
                S::Minus => (BinaryOp::Minus, 6, 1),
                S::Concat => (BinaryOp::Concat, 6, 1),
                S::Asterisk => (BinaryOp::Multiply, 7, 1),
                S::Slash => (BinaryOp::Divide, 7, 1),
                S::Percent => (BinaryOp::Modulo, 7, 1),
                _ => return None,
            },
            TokenKind::Keyword(K::DIV) if self.starts_operand(1) => (BinaryOp::IntegralDivide, 7, 1),
            _ => return None,
        };
        Some(Infix { op, level, tokens })
    }

    /// How many `>` stand here without space between, at most 3.
    fn run_of_greater(&self) -> usize {
        let mut run = 1;
        while run < 3 && self.is_symbol_at(run, S::Greater) && self.token(run).start == self.token(run - 1).end {
            run += 1;
        }
        run
    }

    /// `expression [[AS] name | [AS] (name, …)]`
    pub fn named_expression(&mut self) -> SparkResult<Expr> {
        let start = self.start();
        let expr = self.expression()?;
        let names = if self.is_as(AliasOf::Column) {
            self.advance();
            if self.is_symbol(S::OpenParen) { self.identifier_list()? } else { vec![self.plain_identifier()?] }
        } else if self.is_bare_alias(AliasOf::Column) {
            vec![self.plain_identifier()?]
        } else if self.is_symbol(S::OpenParen) {
            self.identifier_list()?
        } else {
            return Ok(expr);
        };
        Ok(Expr::new(ExprKind::Alias { operand: Box::new(expr), names }, self.span_from(start)))
    }

    /// `expression [ASC | DESC] [NULLS FIRST | LAST]`
    pub fn sort_item(&mut self) -> SparkResult<SortItem> {
        let expr = self.expression()?;
        let (ascending, nulls_first) = self.direction()?;
        Ok(SortItem { expr, ascending, nulls_first })
    }

    pub fn direction(&mut self) -> SparkResult<(bool, Option<bool>)> {
        let ascending = self.eat_any(&[K::ASC, K::DESC]) != Some(K::DESC);
        let mut nulls_first = None;
        if self.is(K::NULLS) && self.is_any_at(1, &[K::FIRST, K::LAST]) {
            self.advance();
            nulls_first = Some(self.is(K::FIRST));
            self.advance();
        }
        Ok((ascending, nulls_first))
    }
}

/// The tree of the next `count` terms. Its recursion is as deep as the tree.
fn halves(op: BinaryOp, terms: &mut std::vec::IntoIter<Expr>, count: usize) -> Option<Expr> {
    if count == 1 {
        return terms.next();
    }
    let left = count.div_ceil(2);
    Some(binary(op, halves(op, terms, left)?, halves(op, terms, count - left)?))
}

fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    let span = left.span.to(right.span);
    Expr::new(ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) }, span)
}
