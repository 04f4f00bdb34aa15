//! How many of its rows a predicate keeps.

use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator, expr::InList, utils::split_conjunction};

use super::estimate::{Estimate, plain, position};

// Where nothing is known. The same guesses as textbooks': equality keeps few, an inequality a third.
const EQUAL: f64 = 0.05;
const LESS: f64 = 0.33;
const LIKE: f64 = 0.1;
const ANY: f64 = 0.3;
const LEAST: f64 = 1e-7;

pub fn conjuncts(predicate: &Expr) -> Vec<&Expr> {
    split_conjunction(predicate)
}

/// The share of rows that `predicate` keeps, above 0 and at most 1.
pub fn of_predicate(predicate: &Expr, input: &Estimate) -> f64 {
    share(predicate, input).clamp(LEAST, 1.0)
}

fn share(predicate: &Expr, input: &Estimate) -> f64 {
    match predicate {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => binary(left, *op, right, input),
        Expr::Not(inner) => 1.0 - share(inner, input),
        Expr::IsNull(_) => EQUAL,
        Expr::IsNotNull(_) => 1.0 - EQUAL,
        Expr::Like(like) => either(like.negated, LIKE),
        Expr::SimilarTo(like) => either(like.negated, LIKE),
        Expr::InList(InList { expr, list, negated }) => {
            either(*negated, (equal(expr, input) * list.len() as f64).min(1.0))
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let above = binary(expr, Operator::GtEq, low, input);
            let below = binary(expr, Operator::LtEq, high, input);
            // Both ends cut from the same range.
            let known = plain(expr).and_then(|c| input.columns.get(c)).is_some_and(|c| c.range.is_some());
            either(*negated, if known { (above + below - 1.0).max(0.0) } else { above * below })
        }
        Expr::Literal(value, _) => match value {
            datafusion::common::ScalarValue::Boolean(Some(true)) => 1.0,
            _ => 0.0,
        },
        Expr::Alias(alias) => share(&alias.expr, input),
        _ => ANY,
    }
}

fn either(negated: bool, share: f64) -> f64 {
    if negated { 1.0 - share } else { share }
}

fn binary(left: &Expr, op: Operator, right: &Expr, input: &Estimate) -> f64 {
    match op {
        Operator::And => share(left, input) * share(right, input),
        Operator::Or => {
            let (a, b) = (share(left, input), share(right, input));
            a + b - a * b
        }
        Operator::Eq | Operator::IsNotDistinctFrom => equality(left, right, input),
        Operator::NotEq | Operator::IsDistinctFrom => 1.0 - equality(left, right, input),
        Operator::Lt | Operator::LtEq => below(left, right, input),
        Operator::Gt | Operator::GtEq => below(right, left, input),
        Operator::LikeMatch | Operator::ILikeMatch | Operator::RegexMatch | Operator::RegexIMatch => LIKE,
        Operator::NotLikeMatch | Operator::NotILikeMatch | Operator::RegexNotMatch | Operator::RegexNotIMatch => {
            1.0 - LIKE
        }
        _ => ANY,
    }
}

fn equality(left: &Expr, right: &Expr, input: &Estimate) -> f64 {
    match (plain(left), plain(right)) {
        (Some(_), Some(_)) => 1.0 / input.distinct(left).max(input.distinct(right)),
        (Some(_), None) => equal(left, input),
        (None, Some(_)) => equal(right, input),
        (None, None) => EQUAL,
    }
}

/// A column is one value.
fn equal(expr: &Expr, input: &Estimate) -> f64 {
    plain(expr).and_then(|c| input.columns.get(c)).and_then(|c| c.distinct).map_or(EQUAL, |distinct| 1.0 / distinct)
}

/// `small < large`, one of them a column with a known range and the other a constant.
fn below(small: &Expr, large: &Expr, input: &Estimate) -> f64 {
    let range = |expr| plain(expr).and_then(|c| input.columns.get(c)).and_then(|c| c.range);
    let constant = |expr: &Expr| if let Expr::Literal(value, _) = expr { position(value) } else { None };
    match (range(small), constant(large), constant(small), range(large)) {
        (Some((min, max)), Some(value), ..) => (value - min) / (max - min).max(1.0),
        (_, _, Some(value), Some((min, max))) => (max - value) / (max - min).max(1.0),
        _ => LESS,
    }
    .clamp(0.0, 1.0)
}
