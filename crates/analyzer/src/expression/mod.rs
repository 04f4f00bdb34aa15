//! Expressions: names become columns, operators and functions get Spark's types and casts.

mod attribute;
mod function;
mod lambda;
mod named;
mod predicate;
mod subquery;
mod window;

use std::{cell::RefCell, collections::HashMap};

use datafusion::logical_expr::{Cast, Expr as DfExpr, expr::Case};
use firesteel_functions::{EvalMode, Typed, cast, coercion, literal, operators, registry};
use firesteel_plan::{
    DataType, Expr, ExprKind, Relation, Span, SparkError, SparkResult,
    expr::{BinaryOp, CastMode, FunctionCall, PathPart, UnaryOp},
    naming,
};

pub(crate) use function::{has_aggregate, has_subquery, has_window, is_aggregate_call, is_generator};
pub(crate) use named::in_order as arguments_in_order;
pub(crate) use window::window_not_allowed;

use crate::{
    errors,
    query::{Analyzer, RelEnv},
    scope::{Attribute, Scope, same_name as scope_same},
};

/// Terms of one AND that the planner takes apart and puts together again.
const MANY_TERMS: usize = 1000;

/// What an expression may see and use.
#[derive(Clone, Copy)]
pub(crate) struct Env<'a> {
    pub rel: &'a RelEnv<'a>,
    /// Where names are looked up, in this order.
    pub scopes: &'a [&'a Scope],
    /// Names that stand for expressions of the SELECT list.
    pub aliases: &'a [Alias<'a>],
    /// Whether `aliases` come before `scopes` (ORDER BY, HAVING) or after (lateral aliases, GROUP BY).
    pub aliases_first: bool,
    /// Where aggregates and window functions are collected; `None` where they are not allowed.
    pub select: Option<&'a RefCell<Collected>>,
    pub clause: Clause,
    pub in_aggregate: bool,
    pub in_window: bool,
    pub position: Position,
    pub lambda: Option<&'a LambdaScope<'a>>,
}

/// What becomes of a boolean expression's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// One of the conditions, joined by AND, that all must hold for a row to stay.
    Conjunct,
    /// Below AND and OR only: unknown is as good as false.
    Predicate,
    /// The value is seen.
    Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clause {
    Select,
    Where,
    GroupBy,
    Having,
    Qualify,
    OrderBy,
    JoinOn,
    Other,
}

pub(crate) struct Alias<'a> {
    pub name: String,
    pub target: AliasTarget<'a>,
}

pub(crate) enum AliasTarget<'a> {
    Typed(Typed),
    Unresolved(&'a Expr),
}

/// Parameters of the lambda functions around an expression.
pub(crate) struct LambdaScope<'a> {
    pub parent: Option<&'a LambdaScope<'a>>,
    pub parameters: Vec<(String, Typed)>,
}

/// Aggregates and window functions of a SELECT, each computed once and stood for by an attribute.
#[derive(Default)]
pub(crate) struct Collected {
    pub aggregates: Vec<(DfExpr, Attribute)>,
    pub windows: Vec<(DfExpr, Attribute)>,
    /// Where in these two each expression is.
    places: HashMap<DfExpr, usize>,
    /// The grouping expressions, for `grouping()`.
    pub grouping: Vec<Typed>,
    /// The attribute of the grouping id: there where GROUP BY has several grouping sets.
    pub grouping_id: Option<Attribute>,
}

impl Collected {
    pub fn aggregate(&self, expr: &DfExpr) -> Option<&Attribute> {
        self.places.get(expr).and_then(|at| self.aggregates.get(*at)).map(|(_, attribute)| attribute)
    }

    pub fn add_aggregate(&mut self, expr: DfExpr, attribute: Attribute) {
        self.places.insert(expr.clone(), self.aggregates.len());
        self.aggregates.push((expr, attribute));
    }

    pub fn window(&self, expr: &DfExpr) -> Option<&Attribute> {
        self.places.get(expr).and_then(|at| self.windows.get(*at)).map(|(_, attribute)| attribute)
    }

    pub fn add_window(&mut self, expr: DfExpr, attribute: Attribute) {
        self.places.insert(expr.clone(), self.windows.len());
        self.windows.push((expr, attribute));
    }
}

impl<'a> Env<'a> {
    /// An environment that sees `scopes` and nothing else.
    pub fn new(rel: &'a RelEnv<'a>, scopes: &'a [&'a Scope], clause: Clause) -> Self {
        Self {
            rel,
            scopes,
            aliases: &[],
            aliases_first: false,
            select: None,
            clause,
            in_aggregate: false,
            in_window: false,
            position: Position::Value,
            lambda: None,
        }
    }

    /// Those of the queries around this one, the nearest first.
    pub fn around(&self) -> impl Iterator<Item = &'a Env<'a>> {
        std::iter::successors(self.rel.outer, |around| around.rel.outer)
    }
}

struct ShownNames<'a> {
    analyzer: &'a Analyzer<'a>,
    env: &'a Env<'a>,
}

impl naming::Names for ShownNames<'_> {
    fn attribute(&self, name: &[String]) -> String {
        self.analyzer.pretty_name(name, self.env)
    }

    fn outer_columns(&self, subquery: &Relation) -> String {
        let known = self.analyzer.outer_columns.borrow();
        known.get(&std::ptr::from_ref(subquery)).cloned().unwrap_or_default()
    }

    fn arranged(&self, call: &FunctionCall) -> Option<FunctionCall> {
        named::shown(call)
    }

    fn star(&self, target: Option<&[String]>) -> Option<Vec<String>> {
        let scope = self.env.scopes.first()?;
        let attributes = scope.star(target, self.analyzer.case_sensitive())?;
        Some(attributes.into_iter().map(|a| a.name).collect())
    }

    fn timestamp(&self, text: &str) -> Option<String> {
        let kind = firesteel_plan::expr::TimestampKind::Ltz;
        let literal = firesteel_plan::expr::Literal::TimestampText { text: text.to_owned(), kind };
        let value = literal::literal(&self.analyzer.functions, &literal).ok()?;
        let text = cast::cast(&self.analyzer.functions, value, &DataType::String, EvalMode::Ansi).ok()?;
        match crate::relation::constant(text.expr)? {
            datafusion::scalar::ScalarValue::Utf8(text) => text,
            _ => None,
        }
    }

    fn function(&self, name: &[String]) -> Option<String> {
        if let [only] = name
            && registry::lookup(&only.to_lowercase()).is_some()
        {
            return None;
        }
        let function = self.analyzer.tables.function(name, self.env.rel.database)?;
        Some(function.name.join("."))
    }

    fn data_type(&self, e: &Expr) -> Option<DataType> {
        let collected = std::cell::RefCell::new(Collected::default());
        let env = Env { select: Some(&collected), ..*self.env };
        self.analyzer.expr(e, &env).ok().map(|typed| typed.data_type)
    }
}

impl Analyzer<'_> {
    /// Resolves `e`. Errors say where in the text they are.
    pub fn expr(&self, e: &Expr, env: &Env<'_>) -> SparkResult<Typed> {
        let position = below(e, env.position);
        let result = if position == env.position {
            self.expr_inner(e, env)
        } else {
            self.expr_inner(e, &Env { position, ..*env })
        };
        result.map_err(|error| env.rel.locate(error, place(e, env.rel.text)))
    }

    pub fn exprs<'e>(&self, list: impl IntoIterator<Item = &'e Expr>, env: &Env<'_>) -> SparkResult<Vec<Typed>> {
        list.into_iter().map(|e| self.expr(e, env)).collect()
    }

    fn expr_inner(&self, e: &Expr, env: &Env<'_>) -> SparkResult<Typed> {
        let ctx = &self.functions;
        match &e.kind {
            ExprKind::Literal(value) => literal::literal(ctx, value),
            ExprKind::Attribute { name, .. } => self.attribute_ref(name, env),
            ExprKind::Star { .. } => Err(SparkError::new(
                "INVALID_USAGE_OF_STAR_OR_REGEX",
                "42000",
                "Invalid usage of '*' in this expression.",
            )
            .param("elem", "'*'")),
            ExprKind::Function(call) => self.function(call, e, env),
            ExprKind::NamedArgument { value, .. } => self.expr(value, env),
            ExprKind::Unary { op, operand } => self.unary(*op, operand, env),
            ExprKind::Binary { op, left, right } => self.binary(*op, left, right, env),
            ExprKind::IsNull { operand, negated } => Ok(operators::is_null(self.expr(operand, env)?, *negated)),
            ExprKind::IsBoolean { operand, value, negated } => {
                operators::is_boolean(ctx, self.expr(operand, env)?, *value, *negated)
            }
            ExprKind::Between { operand, low, high, negated } => {
                let (low, high) = (self.expr(low, env)?, self.expr(high, env)?);
                operators::between(ctx, self.expr(operand, env)?, low, high, *negated)
            }
            ExprKind::InList { operand, list, negated } => self.in_list(operand, list, *negated, env),
            ExprKind::InSubquery { operand, subquery, negated } => self.in_subquery(operand, subquery, *negated, env),
            ExprKind::Exists { subquery } => self.exists(subquery, env),
            ExprKind::ScalarSubquery { subquery } => self.scalar_subquery(subquery, env),
            ExprKind::Like { kind, operand, pattern, escape, negated } => {
                let (operand, pattern) = (self.expr(operand, env)?, self.expr(pattern, env)?);
                operators::like(ctx, *kind, operand, pattern, *escape, *negated)
            }
            ExprKind::LikeMany { kind, all, operand, patterns, negated } => {
                self.like_many(*kind, *all, operand, patterns, *negated, env)
            }
            ExprKind::Case { operand, branches, otherwise } => {
                self.case(e, operand.as_deref(), branches, otherwise.as_deref(), env)
            }
            ExprKind::Cast { operand, data_type, mode } => {
                let operand = self.expr(operand, env)?;
                let mode = match mode {
                    CastMode::Session => ctx.mode(),
                    CastMode::Ansi => EvalMode::Ansi,
                    CastMode::Legacy => EvalMode::Legacy,
                    CastMode::Try => EvalMode::Try,
                };
                cast::cast(ctx, operand, data_type, mode)
            }
            ExprKind::Extract { field, operand } => {
                let field = Expr::new(ExprKind::Literal(firesteel_plan::expr::Literal::String(field.clone())), e.span);
                self.call("date_part", &[&field, operand], env)
            }
            ExprKind::Subscript { base, index } => {
                let (base_text, base) = (self.show(base, env), self.expr(base, env)?);
                let index_value = self.expr(index, env)?;
                self.subscript(base, &base_text, index_value)
            }
            ExprKind::Field { base, name } => {
                let (base_text, base) = (self.show(base, env), self.expr(base, env)?);
                self.field(base, name, &base_text)
            }
            ExprKind::Lambda { .. } => Err(SparkError::new(
                "INVALID_LAMBDA_FUNCTION_CALL.NON_HIGHER_ORDER_FUNCTION",
                "42K0D",
                "A lambda function should only be used in a higher order function.",
            )),
            ExprKind::Row(items) => {
                let values = self.exprs(items, env)?;
                // In a lambda its variables name the fields.
                if env.lambda.is_some() && values.len() == items.len() {
                    let pairs = self.named_struct_args(items, values, env);
                    return self.call_typed("named_struct", pairs);
                }
                self.struct_of(values)
            }
            ExprKind::Alias { operand, .. } => self.expr(operand, env),
            ExprKind::Parameter(parameter) => {
                let name = match parameter {
                    firesteel_plan::expr::Parameter::Named(name) => name.clone(),
                    firesteel_plan::expr::Parameter::Positional(at) => format!("_{at}"),
                };
                Err(SparkError::new(
                    "UNBOUND_SQL_PARAMETER",
                    "42P02",
                    format!(
                        "Found the unbound parameter: {name}. Please, fix `args` and provide a mapping of the \
                         parameter to either a SQL literal or collection constructor functions such as `map()`, \
                         `array()`, `struct()`."
                    ),
                )
                .param("name", name))
            }
            ExprKind::IntervalOf { .. } => Err(SparkError::unsupported("INTERVAL with an expression for its amount")),
            ExprKind::Collate { .. } => Err(SparkError::unsupported("COLLATE")),
            ExprKind::VariantPath { base, path } => self.variant_path(base, path, env),
            ExprKind::TableArgument(_) => Err(SparkError::unsupported("a TABLE argument of a table function")),
        }
    }

    /// `base:a[0]` is `variant_get(base, '$["a"][0]')`.
    fn variant_path(&self, base: &Expr, path: &[PathPart], env: &Env<'_>) -> SparkResult<Typed> {
        let mut text = "$".to_owned();
        for part in path {
            text.push_str(&match part {
                PathPart::Field(name) => format!("[\"{name}\"]"),
                PathPart::Index(index) => format!("[{index}]"),
            });
        }
        let base = self.expr(base, env)?;
        let path = Typed::new(datafusion::logical_expr::lit(text), DataType::String, false);
        self.call_typed("variant_get", vec![base, path])
    }

    fn unary(&self, op: UnaryOp, operand: &Expr, env: &Env<'_>) -> SparkResult<Typed> {
        // NOT IN and NOT EXISTS have plans of their own.
        if op == UnaryOp::Not {
            match &operand.kind {
                ExprKind::InSubquery { operand, subquery, negated } => {
                    return self.in_subquery(operand, subquery, !negated, env);
                }
                ExprKind::Exists { subquery } => return self.not_exists(subquery, env),
                _ => {}
            }
        }
        let operand = self.expr(operand, env)?;
        operators::unary(&self.functions, op, operand)
    }

    fn binary(&self, op: BinaryOp, left: &Expr, right: &Expr, env: &Env<'_>) -> SparkResult<Typed> {
        if op == BinaryOp::And
            && let Some(all) = self.long_conjunction(left, right, env)?
        {
            return Ok(all);
        }
        // A long chain of ANDs leans to the left: it is walked, not descended into.
        if matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Plus | BinaryOp::Concat) {
            let mut rights = vec![right];
            let mut first = left;
            while let ExprKind::Binary { op: inner, left, right } = &first.kind
                && *inner == op
            {
                rights.push(right);
                first = left;
            }
            let decimal = |t: &Typed| matches!(t.data_type, DataType::Decimal { .. });
            let last = rights.pop().unwrap_or(right);
            let (value, second) = self.operands(first, last, env)?;
            let mut value = operators::binary(&self.functions, op, value, second)?;
            for right in rights.into_iter().rev() {
                let typed = self.expr(right, env)?;
                let typed = if decimal(&value) { no_literal(right, typed)? } else { typed };
                value = operators::binary(&self.functions, op, value, typed)?;
            }
            return Ok(value);
        }
        let (left, right) = self.operands(left, right, env)?;
        let (left, right) = if op.is_comparison() { self.padded(left, right, env)? } else { (left, right) };
        operators::binary(&self.functions, op, left, right)
    }

    /// Nothing where there are not so many terms that they would be too deep a tree.
    fn long_conjunction(&self, left: &Expr, right: &Expr, env: &Env<'_>) -> SparkResult<Option<Typed>> {
        let mut terms: Vec<&Expr> = Vec::new();
        let mut left_over = vec![right, left];
        while let Some(e) = left_over.pop() {
            match &e.kind {
                ExprKind::Binary { op: BinaryOp::And, left, right } => left_over.extend([right.as_ref(), left]),
                _ => terms.push(e),
            }
        }
        if terms.len() <= MANY_TERMS {
            return Ok(None);
        }
        // Subqueries become joins, which they do as terms of their own only.
        let (alone, together): (Vec<&Expr>, Vec<&Expr>) = terms.into_iter().partition(|e| has_subquery(e));
        let mut all = operators::all_of(&self.functions, self.exprs(together, env)?)?;
        for e in alone {
            all = operators::binary(&self.functions, BinaryOp::And, all, self.expr(e, env)?)?;
        }
        Ok(Some(all))
    }

    fn operands(&self, left: &Expr, right: &Expr, env: &Env<'_>) -> SparkResult<(Typed, Typed)> {
        let (l, r) = (self.expr(left, env)?, self.expr(right, env)?);
        let decimal = |t: &Typed| matches!(t.data_type, DataType::Decimal { .. });
        Ok(match (decimal(&l), decimal(&r)) {
            (true, false) => (l, no_literal(right, r)?),
            (false, true) => (no_literal(left, l)?, r),
            _ => (l, r),
        })
    }

    fn case(
        &self,
        whole: &Expr,
        operand: Option<&Expr>,
        branches: &[(Expr, Expr)],
        otherwise: Option<&Expr>,
        env: &Env<'_>,
    ) -> SparkResult<Typed> {
        let ctx = &self.functions;
        let operand = operand.map(|o| self.expr(o, env)).transpose()?;
        let mut conditions = Vec::with_capacity(branches.len());
        let mut values = Vec::with_capacity(branches.len());
        for (i, (when, then)) in branches.iter().enumerate() {
            let condition = self.expr(when, env)?;
            conditions.push(match &operand {
                Some(operand) => operators::binary(ctx, BinaryOp::Equal, operand.clone(), condition)?,
                None if condition.data_type == DataType::Boolean => condition,
                None => {
                    return Err(errors::mismatch(
                        "UNEXPECTED_INPUT_TYPE",
                        &self.show(whole, env),
                        format!(
                            "The {} parameter requires the \"BOOLEAN\" type, however {} has the type {}.",
                            ordinal(2 * i + 1),
                            errors::sql_expr(&self.show(when, env)),
                            errors::sql_type(&condition.data_type)
                        ),
                    )
                    .param("paramIndex", ordinal(2 * i + 1))
                    .param("requiredType", "\"BOOLEAN\"")
                    .param("inputSql", errors::sql_expr(&self.show(when, env)))
                    .param("inputType", errors::sql_type(&condition.data_type)));
                }
            });
            values.push(self.expr(then, env)?);
        }
        let otherwise = otherwise.map(|o| self.expr(o, env)).transpose()?;
        let types: Vec<_> = values.iter().chain(&otherwise).map(|v| v.data_type.clone()).collect();
        let branches = conditions.into_iter().zip(values).collect();
        operators::case_when(ctx, branches, otherwise).map_err(|error| match error.class() {
            "DATATYPE_MISMATCH.DATA_DIFF_TYPES" => errors::data_diff_types("casewhen", &types, &self.show(whole, env)),
            _ => error,
        })
    }

    /// Calls a built-in by its name.
    fn call(&self, name: &str, args: &[&Expr], env: &Env<'_>) -> SparkResult<Typed> {
        let args = self.exprs(args.iter().copied(), env)?;
        self.call_typed(name, args)
    }

    pub fn call_typed(&self, name: &str, args: Vec<Typed>) -> SparkResult<Typed> {
        match registry::lookup(name) {
            Some(definition) => self.scalar(definition, args),
            None => Err(SparkError::internal(format!("no function {name}"))),
        }
    }

    /// The text of `e` as error messages and column names show it.
    pub fn show(&self, e: &Expr, env: &Env<'_>) -> String {
        let names = self.names(env);
        match self.shown_as(e, env) {
            Some(call) => naming::expr(&call, &names),
            None => naming::expr(e, &names),
        }
    }

    pub fn names<'n>(&'n self, env: &'n Env<'n>) -> impl naming::Names + 'n {
        ShownNames { analyzer: self, env }
    }

    /// Of dates and times `to_char` is `date_format`; named arguments are shown in their order.
    pub fn shown_as(&self, e: &Expr, env: &Env<'_>) -> Option<Expr> {
        if let ExprKind::Function(call) = &e.kind
            && let Some(call) = named::shown(call)
        {
            return Some(Expr::new(ExprKind::Function(Box::new(call)), e.span));
        }
        if let ExprKind::Function(call) = &e.kind
            && let [value @ Expr { kind: ExprKind::Attribute { .. } | ExprKind::Literal(_), .. }, _] =
                call.args.as_slice()
            && call
                .name
                .last()
                .is_some_and(|n| n.eq_ignore_ascii_case("to_char") || n.eq_ignore_ascii_case("to_varchar"))
            && self
                .expr(value, env)
                .is_ok_and(|v| matches!(v.data_type, DataType::Date | DataType::Timestamp | DataType::TimestampNtz))
        {
            let name = vec!["date_format".to_owned()];
            let call = FunctionCall { name, ..call.as_ref().clone() };
            return Some(Expr::new(ExprKind::Function(Box::new(call)), e.span));
        }
        None
    }

    /// An attribute's name without the table in front of it.
    fn pretty_name(&self, name: &[String], env: &Env<'_>) -> String {
        for scope in env.scopes {
            if let Ok(Some(found)) = scope.find(name, self.case_sensitive()) {
                let mut parts = vec![found.attribute.name.clone()];
                parts.extend(found.fields.iter().cloned());
                return parts.join(".");
            }
        }
        let is_alias = |first: &String| env.aliases.iter().any(|a| scope_same(&a.name, first, self.case_sensitive()));
        let is_known = name.first().is_some_and(is_alias)
            || matches!(name, [only] if attribute::is_bare_function(only))
            || env.rel.args.is_some();
        if !is_known
            && !self.is_outer(name, env)
            && let Some(shown) = self.variable_shown(name)
        {
            return shown;
        }
        for scope in env.around().flat_map(|around| around.scopes) {
            if let Ok(Some(found)) = scope.find(name, self.case_sensitive()) {
                let mut parts = found.attribute.full_name();
                parts.extend(found.fields.iter().cloned());
                return format!("outer({})", parts.join("."));
            }
        }
        match name {
            [function] if attribute::is_bare_function(function) => format!("{}()", function.to_lowercase()),
            [_, rest @ ..] if !rest.is_empty() && env.rel.outer.is_some() => rest.join("."),
            _ => name.join("."),
        }
    }

    fn is_outer(&self, name: &[String], env: &Env<'_>) -> bool {
        let mut scopes = env.around().flat_map(|around| around.scopes);
        scopes.any(|s| matches!(s.find(name, self.case_sensitive()), Ok(Some(_)) | Err(_)))
    }

    /// A condition: a boolean, or NULL.
    pub fn condition(&self, e: &Expr, env: &Env<'_>, error: fn(&str, &DataType) -> SparkError) -> SparkResult<Typed> {
        let condition = self.expr(e, env)?;
        match condition.data_type {
            DataType::Boolean => Ok(condition),
            DataType::Null => coercion::implicit(&self.functions, condition, &DataType::Boolean),
            // The clause is the place.
            ref other => Err(error(&self.show(e, env), other)),
        }
    }
}

/// Where Spark sees an expression: predicates begin behind their operand.
fn place(e: &Expr, text: &str) -> Span {
    let operand = match &e.kind {
        ExprKind::InList { operand, .. }
        | ExprKind::InSubquery { operand, .. }
        | ExprKind::Between { operand, .. }
        | ExprKind::Like { operand, .. }
        | ExprKind::LikeMany { operand, .. } => operand,
        _ => return e.span,
    };
    let between = text.get(operand.span.end as usize..e.span.end as usize);
    match between {
        Some(rest) if !operand.span.is_none() => {
            let spaces = u32::try_from(rest.len() - rest.trim_start().len()).unwrap_or(0);
            Span { start: operand.span.end + spaces, end: e.span.end }
        }
        _ => e.span,
    }
}

/// The position of what is in `e`, or of `e` itself where that is a subquery predicate.
fn below(e: &Expr, position: Position) -> Position {
    match &e.kind {
        _ if position == Position::Value => Position::Value,
        ExprKind::Binary { op: BinaryOp::And, .. } | ExprKind::InSubquery { .. } | ExprKind::Exists { .. } => position,
        ExprKind::Binary { op: BinaryOp::Or, .. } => Position::Predicate,
        ExprKind::Unary { op: UnaryOp::Not, operand }
            if matches!(operand.kind, ExprKind::InSubquery { .. } | ExprKind::Exists { .. }) =>
        {
            position
        }
        _ => Position::Value,
    }
}

pub(crate) fn boolean(expr: DfExpr, nullable: bool) -> Typed {
    Typed::new(expr, DataType::Boolean, nullable)
}

pub(crate) fn ordinal(n: usize) -> String {
    const NAMES: [&str; 10] =
        ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
    match n.checked_sub(1).and_then(|i| NAMES.get(i)) {
        Some(name) => (*name).to_owned(),
        None => format!("{n}th"),
    }
}

/// `CASE WHEN condition THEN value ELSE otherwise END`
pub(crate) fn when(condition: DfExpr, value: DfExpr, otherwise: DfExpr) -> DfExpr {
    DfExpr::Case(Case::new(None, vec![(Box::new(condition), Box::new(value))], Some(Box::new(otherwise))))
}

/// Beside a decimal a literal counts with the digits it has, and what was made from one, `CAST(1 AS INT)`, with its type's.
fn no_literal(written: &Expr, value: Typed) -> SparkResult<Typed> {
    let is_number = |e: &Expr| matches!(e.kind, ExprKind::Literal(_));
    let signed = matches!(&written.kind, ExprKind::Unary { operand, .. } if is_number(operand));
    if is_number(written) || signed || value.literal().is_none() || !value.data_type.is_integral() {
        return Ok(value);
    }
    let to = firesteel_functions::types::to_arrow(&value.data_type)?;
    let expr = DfExpr::Cast(Cast::new(Box::new(value.expr), to));
    Ok(Typed::new(expr, value.data_type, value.nullable))
}
