//! Operators: which casts Spark inserts, which expression evaluates them.

mod arithmetic;
mod compare;
mod conjunction;
mod temporal;

use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    logical_expr::{
        BinaryExpr, Case, Cast, Expr, Like, Operator, Volatility,
        expr::InList,
        utils::{conjunction, split_conjunction, split_conjunction_owned},
    },
    scalar::ScalarValue,
};
use firesteel_plan::{
    DataType, SparkError, SparkResult,
    expr::{BinaryOp, LikeKind, UnaryOp},
};

pub(crate) use compare::{canonical, canonical_f32, canonical_f64};
pub use conjunction::all_of;

use crate::{
    EvalMode, FunctionContext, Typed, coercion, errors, literal,
    udf::{Udf, call},
};

pub(crate) fn udfs() -> Vec<Udf> {
    let mut all = arithmetic::udfs();
    all.extend(compare::udfs());
    all.extend(conjunction::udfs());
    all.extend(temporal::udfs());
    all
}

pub fn binary(ctx: &FunctionContext, op: BinaryOp, left: Typed, right: Typed) -> SparkResult<Typed> {
    use BinaryOp::*;
    match op {
        And | Or => logical(ctx, op, left, right),
        Equal | NullSafeEqual | NotEqual | Less | LessOrEqual | Greater | GreaterOrEqual => {
            compare::resolve(ctx, op, left, right)
        }
        Plus | Minus | Multiply | Divide | Modulo | IntegralDivide => {
            arithmetic::resolve(ctx, op, left, right, ctx.mode())
        }
        BitwiseAnd | BitwiseOr | BitwiseXor => bitwise(ctx, op, left, right),
        ShiftLeft => function(ctx, "shiftleft", vec![left, right]),
        ShiftRight => function(ctx, "shiftright", vec![left, right]),
        ShiftRightUnsigned => function(ctx, "shiftrightunsigned", vec![left, right]),
        Concat => function(ctx, "concat", vec![left, right]),
    }
}

/// `try_add` and its kin: null where the operator fails.
pub(crate) fn try_arithmetic(ctx: &FunctionContext, op: BinaryOp, left: Typed, right: Typed) -> SparkResult<Typed> {
    arithmetic::resolve(ctx, op, left, right, EvalMode::Try)
}

fn function(ctx: &FunctionContext, name: &str, args: Vec<Typed>) -> SparkResult<Typed> {
    match crate::registry::lookup(name) {
        Some(def) => def.resolve_scalar(ctx, args),
        None => Err(SparkError::unsupported(format!("the function {name}"))),
    }
}

pub fn unary(ctx: &FunctionContext, op: UnaryOp, operand: Typed) -> SparkResult<Typed> {
    match op {
        UnaryOp::Not => {
            let operand = boolean_operand(ctx, "NOT", operand)?;
            Ok(Typed::new(Expr::Not(Box::new(operand.expr)), DataType::Boolean, operand.nullable))
        }
        UnaryOp::Plus => function(ctx, "positive", vec![operand]),
        UnaryOp::Minus => function(ctx, "negative", vec![operand]),
        UnaryOp::BitwiseNot => {
            let ones = match operand.data_type {
                DataType::Byte => ScalarValue::Int8(Some(-1)),
                DataType::Short => ScalarValue::Int16(Some(-1)),
                DataType::Integer => ScalarValue::Int32(Some(-1)),
                DataType::Long => ScalarValue::Int64(Some(-1)),
                DataType::Null => return literal::null(&DataType::Integer),
                _ => return Err(errors::unexpected_input("~", 0, "INTEGRAL", &operand)),
            };
            let ones = literal::of(ones, operand.data_type.clone());
            bitwise(ctx, BinaryOp::BitwiseXor, operand, ones)
        }
    }
}

/// Casts a condition to boolean where Spark does; its error otherwise.
pub fn boolean_operand(ctx: &FunctionContext, function: &str, value: Typed) -> SparkResult<Typed> {
    match &value.data_type {
        DataType::Boolean => Ok(value),
        DataType::Null => literal::null(&DataType::Boolean),
        t if t.is_string() && ctx.ansi => coercion::implicit(ctx, value, &DataType::Boolean),
        _ => Err(errors::unexpected_input(function, 0, "BOOLEAN", &value)),
    }
}

fn logical(ctx: &FunctionContext, op: BinaryOp, left: Typed, right: Typed) -> SparkResult<Typed> {
    let as_boolean = |value: Typed| match &value.data_type {
        DataType::Boolean => Some(Ok(value)),
        DataType::Null => Some(literal::null(&DataType::Boolean)),
        t if t.is_string() && ctx.ansi => Some(coercion::implicit(ctx, value, &DataType::Boolean)),
        _ => None,
    };
    let wrong = if left.data_type == right.data_type {
        errors::binary_wrong_type(op.symbol(), &left, &right, "\"BOOLEAN\"")
    } else {
        errors::binary_diff_types(op.symbol(), &left, &right)
    };
    let (Some(left), Some(right)) = (as_boolean(left), as_boolean(right)) else {
        return Err(wrong);
    };
    let (left, mut right) = (left?, right?);
    let nullable = left.nullable || right.nullable;
    let operator = if op == BinaryOp::And { Operator::And } else { Operator::Or };
    if may_fail(&right.expr) && left.literal().is_none() {
        right.expr = match op {
            BinaryOp::And => guarded_conditions(&left.expr, right.expr)?,
            _ => guarded(op, left.expr.clone(), right.expr)?,
        };
    }
    let expr = Expr::BinaryExpr(BinaryExpr::new(Box::new(left.expr), operator, Box::new(right.expr)));
    Ok(Typed::new(expr, DataType::Boolean, nullable))
}

/// The conditions of `right`, with those that may fail behind those of `left`. The others stay for themselves: filters move
/// below joins, and joins find their keys.
fn guarded_conditions(left: &Expr, right: Expr) -> SparkResult<Expr> {
    let Some(before) = filtered_before(left) else { return Ok(right) };
    let (risky, safe): (Vec<Expr>, Vec<Expr>) = split_conjunction_owned(right).into_iter().partition(may_fail);
    let Some(risky) = balanced(risky) else { return balanced(safe).ok_or_else(no_condition) };
    let risky = guarded(BinaryOp::And, before, risky)?;
    Ok(match balanced(safe) {
        Some(safe) => safe.and(risky),
        None => risky,
    })
}

fn no_condition() -> SparkError {
    SparkError::internal("a condition without conditions")
}

/// All of the conditions, no deeper than it must be.
fn balanced(mut conditions: Vec<Expr>) -> Option<Expr> {
    while conditions.len() > 1 {
        let mut pairs = Vec::with_capacity(conditions.len().div_ceil(2));
        let mut rest = conditions.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => left.and(right),
                None => left,
            });
        }
        conditions = pairs;
    }
    conditions.pop()
}

/// `right`, evaluated only where `left` leaves the answer open. DataFusion evaluates both sides of AND and OR for whole
/// batches, and its simplifier turns a CASE of booleans into AND and OR; a CASE of tiny integers it leaves alone.
fn guarded(op: BinaryOp, left: Expr, right: Expr) -> SparkResult<Expr> {
    let open = if op == BinaryOp::And { Expr::IsNotFalse(Box::new(left)) } else { Expr::IsNotTrue(Box::new(left)) };
    boolean_case(vec![(open, right)], None)
}

/// Of the conditions before another one, those that keep rows from it in Spark. What compares with the query around, EXISTS
/// and IN become joins, which come after the filters.
fn filtered_before(left: &Expr) -> Option<Expr> {
    let joins = |e: &Expr| {
        e.contains_outer() || e.exists(|e| Ok(matches!(e, Expr::Exists(_) | Expr::InSubquery(_)))).unwrap_or(false)
    };
    conjunction(split_conjunction(left).into_iter().filter(|e| !joins(e)).cloned())
}

fn boolean_case(branches: Vec<(Expr, Expr)>, otherwise: Option<Expr>) -> SparkResult<Expr> {
    use arrow::datatypes::DataType as Arrow;
    let tiny = |e: Expr| Box::new(Expr::Cast(Cast::new(Box::new(e), Arrow::Int8)));
    let branches = branches.into_iter().map(|(when, then)| (Box::new(when), tiny(then))).collect();
    let case = Expr::Case(Case::new(None, branches, otherwise.map(tiny)));
    Ok(Expr::Cast(Cast::new(Box::new(case), Arrow::Boolean)))
}

/// Whether evaluating the expression for a row can be an error. Calls of constants are folded before.
pub fn may_fail(expr: &Expr) -> bool {
    let mut found = false;
    let visited = expr.apply(|e| {
        if let Expr::ScalarFunction(f) = e
            && is_fallible(f.func.name())
            && !f.args.iter().all(is_constant)
        {
            found = true;
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found || visited.is_err()
}

fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(..) => true,
        Expr::Cast(cast) => is_constant(&cast.expr),
        Expr::Negative(inner) => is_constant(inner),
        Expr::BinaryExpr(binary) => is_constant(&binary.left) && is_constant(&binary.right),
        Expr::ScalarFunction(f) => {
            f.func.signature().volatility == Volatility::Immutable && f.args.iter().all(is_constant)
        }
        _ => false,
    }
}

fn is_fallible(name: &str) -> bool {
    name.ends_with("_ansi") || matches!(name, "spark_raise_error" | "spark_assert_true")
}

fn bitwise(ctx: &FunctionContext, op: BinaryOp, left: Typed, right: Typed) -> SparkResult<Typed> {
    let common = coercion::comparison_type(&left.data_type, &right.data_type, ctx.ansi)
        .map(|t| if t == DataType::Null { DataType::Integer } else { t })
        .ok_or_else(|| errors::binary_diff_types(op.symbol(), &left, &right))?;
    if !common.is_integral() {
        return Err(if left.data_type == right.data_type {
            errors::binary_wrong_type(op.symbol(), &left, &right, "\"INTEGRAL\"")
        } else {
            errors::binary_diff_types(op.symbol(), &left, &right)
        });
    }
    let (left, right) = (coercion::implicit(ctx, left, &common)?, coercion::implicit(ctx, right, &common)?);
    let operator = match op {
        BinaryOp::BitwiseAnd => Operator::BitwiseAnd,
        BinaryOp::BitwiseOr => Operator::BitwiseOr,
        _ => Operator::BitwiseXor,
    };
    Ok(native(operator, left, right, common))
}

pub(crate) fn native(op: Operator, left: Typed, right: Typed, data_type: DataType) -> Typed {
    let nullable = left.nullable || right.nullable;
    let expr = Expr::BinaryExpr(BinaryExpr::new(Box::new(left.expr), op, Box::new(right.expr)));
    Typed::new(expr, data_type, nullable)
}

/// `IS [NOT] NULL`
pub fn is_null(operand: Typed, negated: bool) -> Typed {
    let inner = Box::new(operand.expr);
    let expr = if negated { Expr::IsNotNull(inner) } else { Expr::IsNull(inner) };
    Typed::new(expr, DataType::Boolean, false)
}

/// `IS [NOT] TRUE | FALSE | UNKNOWN`
pub fn is_boolean(ctx: &FunctionContext, operand: Typed, value: Option<bool>, negated: bool) -> SparkResult<Typed> {
    let inner = Box::new(boolean_operand(ctx, "IS", operand)?.expr);
    let expr = match (value, negated) {
        (Some(true), false) => Expr::IsTrue(inner),
        (Some(true), true) => Expr::IsNotTrue(inner),
        (Some(false), false) => Expr::IsFalse(inner),
        (Some(false), true) => Expr::IsNotFalse(inner),
        (None, false) => Expr::IsUnknown(inner),
        (None, true) => Expr::IsNotUnknown(inner),
    };
    Ok(Typed::new(expr, DataType::Boolean, false))
}

/// `x BETWEEN low AND high`
pub fn between(ctx: &FunctionContext, operand: Typed, low: Typed, high: Typed, negated: bool) -> SparkResult<Typed> {
    let above = binary(ctx, BinaryOp::GreaterOrEqual, operand.clone(), low)?;
    let below = binary(ctx, BinaryOp::LessOrEqual, operand, high)?;
    // Both comparisons are evaluated by Spark too where the first is true or null.
    let both = native(Operator::And, above, below, DataType::Boolean);
    if negated { unary(ctx, UnaryOp::Not, both) } else { Ok(both) }
}

/// `x IN (a, b, …)`
pub fn in_list(ctx: &FunctionContext, operand: Typed, list: Vec<Typed>, negated: bool) -> SparkResult<Typed> {
    let mut all = vec![operand];
    all.extend(list);
    let mut common = all[0].data_type.clone();
    for item in &all[1..] {
        common = coercion::common_type(&common, &item.data_type, ctx.ansi)
            .or_else(|| coercion::comparison_type(&common, &item.data_type, ctx.ansi))
            .ok_or_else(|| errors::data_diff_types("in", &all))?;
    }
    let nullable = all.iter().any(|v| v.nullable);
    let mut all =
        all.into_iter().map(|v| canonical(coercion::implicit(ctx, v, &common)?)).collect::<SparkResult<Vec<_>>>()?;
    let operand = all.remove(0);
    let list = all.into_iter().map(|v| v.expr).collect();
    let expr = Expr::InList(InList::new(Box::new(operand.expr), list, negated));
    Ok(Typed::new(expr, DataType::Boolean, nullable))
}

/// `x LIKE pattern [ESCAPE c]`, `ILIKE`, `RLIKE`
pub fn like(
    ctx: &FunctionContext,
    kind: LikeKind,
    operand: Typed,
    pattern: Typed,
    escape: Option<char>,
    negated: bool,
) -> SparkResult<Typed> {
    let name = match kind {
        LikeKind::Like => "like",
        LikeKind::ILike => "ilike",
        LikeKind::RLike => "rlike",
    };
    let operand = crate::registry::want(ctx, name, 0, 's', operand)?;
    let pattern = crate::registry::want(ctx, name, 1, 's', pattern)?;
    let nullable = operand.nullable || pattern.nullable;
    let escape = escape.unwrap_or('\\');
    let result = if kind == LikeKind::RLike {
        function(ctx, "rlike", vec![operand, pattern])?
    } else if let Some(simple) = pattern.literal_text().filter(|t| !t.contains(escape) && !t.contains('\\')) {
        // No escape in it: DataFusion's LIKE says the same, and prunes files by its prefix.
        let pattern = Expr::Literal(ScalarValue::Utf8(Some(simple.to_owned())), None);
        let like = Like::new(false, Box::new(operand.expr), Box::new(pattern), None, kind == LikeKind::ILike);
        Typed::new(Expr::Like(like), DataType::Boolean, nullable)
    } else {
        let udf = if kind == LikeKind::ILike { "spark_ilike" } else { "spark_like" };
        let escape = crate::udf::text_literal(&escape.to_string());
        Typed::new(call(udf, vec![operand.expr, pattern.expr, escape])?, DataType::Boolean, nullable)
    };
    if negated { unary(ctx, UnaryOp::Not, result) } else { Ok(result) }
}

/// `CASE WHEN … THEN … ELSE … END`; with an operand the analyzer gives equalities.
pub fn case_when(ctx: &FunctionContext, branches: Vec<(Typed, Typed)>, otherwise: Option<Typed>) -> SparkResult<Typed> {
    let (conditions, mut values): (Vec<_>, Vec<_>) = branches.into_iter().unzip();
    let has_else = otherwise.is_some();
    values.extend(otherwise);
    let (values, common) = coercion::unify(ctx, "casewhen", values)?;
    let nullable = !has_else || values.iter().any(|v| v.nullable);
    let mut values: Vec<Expr> = values.into_iter().map(|v| v.expr).collect();
    let otherwise = if has_else { values.pop() } else { None };
    let conditions = conditions
        .into_iter()
        .map(|c| match c.data_type {
            DataType::Null => Err(errors::unexpected_input("casewhen", 0, "BOOLEAN", &c)),
            _ => boolean_operand(ctx, "casewhen", c).map(|c| c.expr),
        })
        .collect::<SparkResult<Vec<_>>>()?;
    let risky = values.iter().chain(&otherwise).any(may_fail);
    let branches: Vec<(Expr, Expr)> = conditions.into_iter().zip(values).collect();
    let expr = if common == DataType::Boolean && risky {
        boolean_case(branches, otherwise)?
    } else {
        let branches = branches.into_iter().map(|(w, t)| (Box::new(w), Box::new(t))).collect();
        Expr::Case(Case::new(None, branches, otherwise.map(Box::new)))
    };
    Ok(Typed::new(expr, common, nullable))
}

/// A key of grouping, joining, sorting or partitioning in the form in which equal keys have equal bits: NaN of any bits is
/// one value, and so are 0.0 and -0.0.
pub fn normalized_key(value: Typed) -> SparkResult<Typed> {
    compare::group_key(value)
}
