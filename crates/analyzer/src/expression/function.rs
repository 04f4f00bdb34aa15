//! Calls of functions: which function it is, what kind, and where that kind may stand.

use datafusion::logical_expr::expr::Sort as DfSort;
use firesteel_functions::{AggregateArgs, FunctionDef, FunctionKind, Typed, coercion, literal, registry};
use firesteel_plan::{
    DataType, Expr, ExprKind, SparkError, SparkResult,
    expr::{FunctionCall, Literal, SortItem},
};

use super::{Clause, Env, named};
use crate::{
    errors,
    query::Analyzer,
    relation::{GROUPING_TYPE, grouping_bits},
    visit::any_expr,
};

/// Where functions are looked for, as error messages list it.
fn search_path(database: &str) -> Vec<Vec<String>> {
    let path = |parts: &[&str]| parts.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
    vec![path(&["system", "builtin"]), path(&["system", "session"]), path(&["spark_catalog", database])]
}

impl Analyzer<'_> {
    pub(super) fn function(&self, call: &FunctionCall, whole: &Expr, env: &Env<'_>) -> SparkResult<Typed> {
        let name = match call.name.as_slice() {
            [name] => name,
            other if self.tables.function(other, env.rel.database).is_some() => {
                return self.user_call(call, whole, env);
            }
            // Built-ins may be called by their full name.
            [first, .., name]
                if ["system", "builtin"].iter().any(|s| s.eq_ignore_ascii_case(first)) && call.name.len() <= 3 =>
            {
                name
            }
            other => return Err(errors::unresolved_routine(other, &search_path(env.rel.database))),
        };
        let lower = name.to_lowercase();
        // These are syntax, not functions: the parser makes their unit a text.
        let has_unit = matches!(call.args.first().map(|a| &a.kind), Some(ExprKind::Literal(Literal::String(_))));
        if matches!(lower.as_str(), "timestampadd" | "timestampdiff") && !has_unit {
            return Err(errors::unresolved_routine(&call.name, &search_path(env.rel.database)));
        }
        if lower == "grouping" || lower == "grouping_id" {
            return self.grouping_call(&lower, call, env);
        }
        let Some(definition) = registry::lookup(&lower) else {
            if self.tables.function(&call.name, env.rel.database).is_some() {
                return self.user_call(call, whole, env);
            }
            return Err(errors::unresolved_routine(&call.name, &search_path(env.rel.database)));
        };
        if definition.kind != FunctionKind::Generator
            && call.args.iter().any(|a| matches!(a.kind, ExprKind::NamedArgument { .. }))
        {
            let args = named::in_order(&lower, &call.args)?;
            let call = FunctionCall { args, ..call.clone() };
            return self.function(&call, whole, env);
        }
        if let Some(spec) = &call.over {
            if !matches!(definition.kind, FunctionKind::Aggregate | FunctionKind::Window) {
                let shown = self.show(
                    &Expr::new(ExprKind::Function(Box::new(FunctionCall { over: None, ..call.clone() })), whole.span),
                    env,
                );
                return Err(SparkError::new(
                    "UNSUPPORTED_EXPR_FOR_WINDOW",
                    "42P20",
                    format!("Expression {} not supported within a window function.", errors::sql_expr(&shown)),
                )
                .param("sqlExpr", errors::sql_expr(&shown)));
            }
            return self.window_call(definition, call, whole, spec, env);
        }
        match definition.kind {
            FunctionKind::Scalar => {
                if call.distinct || call.filter.is_some() {
                    let what = if call.distinct { "DISTINCT" } else { "FILTER" };
                    return Err(SparkError::new(
                        "INVALID_SQL_SYNTAX.FUNCTION_WITH_UNSUPPORTED_SYNTAX",
                        "42000",
                        format!("Invalid SQL syntax: The function {} does not support {what}.", errors::id(&lower)),
                    )
                    .param("prettyName", errors::id(&lower))
                    .param("syntax", what));
                }
                if call.args.iter().any(|a| matches!(a.kind, ExprKind::Lambda { .. })) {
                    return match definition.with_lambda() {
                        Some(of) => self.higher_order(of, definition.name, call, whole, env),
                        None => Err(SparkError::new(
                            "INVALID_LAMBDA_FUNCTION_CALL.NON_HIGHER_ORDER_FUNCTION",
                            "42K0D",
                            format!(
                                "Invalid lambda function call. A lambda function should only be used in a higher order \
                                 function. However, its class is {}, which is not a higher order function.",
                                definition.name
                            ),
                        )
                        .param("class", definition.name)),
                    };
                }
                let mut args = self.arguments(&call.args, env)?;
                if matches!(lower.as_str(), "from_json" | "from_csv" | "from_xml")
                    && let [_, written, ..] = call.args.as_slice()
                    && args.len() == call.args.len()
                {
                    args[1] = self.schema_argument(&args[1], written, env)?;
                }
                if matches!(lower.as_str(), "variant_get" | "try_variant_get")
                    && let [_, _, written] = call.args.as_slice()
                    && args.len() == call.args.len()
                {
                    args[2] = self.schema_argument(&args[2], written, env)?;
                }
                if lower == "arrays_zip" {
                    return firesteel_functions::arrays_zip(&zipped_names(&call.args), args)
                        .map_err(|e| self.with_call(e, whole, env));
                }
                let args = if lower == "struct" { self.named_struct_args(&call.args, args, env) } else { args };
                let definition = match lower.as_str() {
                    "struct" => registry::lookup("named_struct").unwrap_or(definition),
                    _ => definition,
                };
                self.scalar(definition, args).map_err(|e| self.with_call(e, whole, env))
            }
            FunctionKind::HigherOrder => match definition.with_lambda() {
                Some(of) => self.higher_order(of, definition.name, call, whole, env),
                None => Err(SparkError::internal(format!("{lower} takes no lambda"))),
            },
            FunctionKind::Aggregate => self.aggregate_call(definition, call, whole, env),
            FunctionKind::Window => Err(SparkError::new(
                "WINDOW_FUNCTION_WITHOUT_OVER_CLAUSE",
                "42601",
                format!("Window function {} requires an OVER clause.", errors::sql_expr(&self.show(whole, env))),
            )
            .param("funcName", errors::sql_expr(&self.show(whole, env)))),
            FunctionKind::Generator => Err(SparkError::new(
                "UNSUPPORTED_GENERATOR.NESTED_IN_EXPRESSIONS",
                "42K0E",
                format!(
                    "The generator is not supported: nested in expressions {}.",
                    errors::sql_expr(&self.show(whole, env))
                ),
            )
            .param("expression", errors::sql_expr(&self.show(whole, env)))),
        }
    }

    fn user_call(&self, call: &FunctionCall, whole: &Expr, env: &Env<'_>) -> SparkResult<Typed> {
        let Some(function) = self.user_function(&call.name, env.rel.database) else {
            return Err(errors::unresolved_routine(&call.name, &search_path(env.rel.database)));
        };
        let syntax = if call.distinct {
            Some("DISTINCT")
        } else if call.filter.is_some() {
            Some("FILTER")
        } else if call.over.is_some() {
            Some("OVER")
        } else {
            None
        };
        if let Some(syntax) = syntax {
            let shown = errors::ids(&function.name);
            return Err(SparkError::new(
                "INVALID_SQL_SYNTAX.FUNCTION_WITH_UNSUPPORTED_SYNTAX",
                "42000",
                format!("Invalid SQL syntax: The function {shown} does not support {syntax}."),
            )
            .param("prettyName", shown)
            .param("syntax", syntax));
        }
        self.call_user_function(&function, call, env).map_err(|e| env.rel.locate(e, whole.span))
    }

    pub(super) fn scalar(&self, definition: &FunctionDef, args: Vec<Typed>) -> SparkResult<Typed> {
        definition.resolve_scalar(&self.functions, args)
    }

    /// Errors of functions name the call as it is written where they could not know it.
    pub(super) fn with_call(&self, error: SparkError, whole: &Expr, env: &Env<'_>) -> SparkError {
        match error.parameters().get("sqlExpr") {
            Some(vague) if vague.contains('…') => {
                let shown = errors::sql_expr(&self.show(whole, env));
                let message = error.message().replace(vague.as_str(), &shown);
                let mut named = SparkError::new(error.class(), error.sql_state(), message);
                for (key, value) in error.parameters() {
                    named = named.param(key, if key == "sqlExpr" { shown.clone() } else { value.clone() });
                }
                named
            }
            _ => error,
        }
    }

    /// A call's arguments; `*` stands for all columns.
    pub(super) fn arguments(&self, args: &[Expr], env: &Env<'_>) -> SparkResult<Vec<Typed>> {
        let mut typed = Vec::with_capacity(args.len());
        for arg in args {
            match &arg.kind {
                ExprKind::Star { target, except } if except.is_empty() => {
                    let Some(scope) = env.scopes.first() else { continue };
                    let Some(attributes) = scope.star(target.as_deref(), self.case_sensitive()) else {
                        return Err(errors::unresolved_column(target.as_deref().unwrap_or_default(), &[]));
                    };
                    typed.extend(attributes.iter().map(super::attribute::typed));
                }
                _ => typed.push(self.expr(arg, env)?),
            }
        }
        Ok(typed)
    }

    /// `count(*)` has no arguments; anywhere else `*` stands for all columns.
    pub(super) fn aggregate_arguments(
        &self,
        definition: &FunctionDef,
        call: &FunctionCall,
        env: &Env<'_>,
    ) -> SparkResult<Vec<Typed>> {
        match call.args.as_slice() {
            [Expr { kind: ExprKind::Star { target: None, except }, .. }]
                if definition.name == "count" && !call.distinct && except.is_empty() =>
            {
                Ok(Vec::new())
            }
            args => self.arguments(args, env),
        }
    }

    /// `struct(a, b + 1 AS c)` is `named_struct('a', a, 'c', b + 1)`.
    pub(super) fn named_struct_args(&self, written: &[Expr], args: Vec<Typed>, env: &Env<'_>) -> Vec<Typed> {
        let mut names: Vec<String> = Vec::with_capacity(args.len());
        for e in written {
            match &e.kind {
                ExprKind::Star { target, .. } => {
                    if let Some(scope) = env.scopes.first() {
                        let attributes = scope.star(target.as_deref(), self.case_sensitive()).unwrap_or_default();
                        names.extend(attributes.into_iter().map(|a| a.name));
                    }
                }
                ExprKind::Alias { names: alias, .. } => names.extend(alias.first().cloned()),
                ExprKind::Attribute { name, .. } => names.extend(name.last().cloned()),
                ExprKind::Field { name, .. } => names.push(name.clone()),
                _ => names.push(format!("col{}", names.len() + 1)),
            }
        }
        let mut pairs = Vec::with_capacity(args.len() * 2);
        for (i, arg) in args.into_iter().enumerate() {
            let name = names.get(i).cloned().unwrap_or_else(|| format!("col{}", i + 1));
            pairs.push(Typed::new(datafusion::logical_expr::lit(name), DataType::String, false));
            pairs.push(arg);
        }
        pairs
    }

    /// The schema that `from_json` and its kin are given as a text, as a null of that type.
    fn schema_argument(&self, value: &Typed, written: &Expr, env: &Env<'_>) -> SparkResult<Typed> {
        let text = match literal::fold(value) {
            Some(constant) if value.data_type.is_string() => constant.try_as_str().flatten().map(str::to_owned),
            _ => None,
        };
        let Some(text) = text else {
            let shown = errors::sql_expr(&self.show(written, env));
            return Err(SparkError::new(
                "INVALID_SCHEMA.NON_STRING_LITERAL",
                "42K07",
                format!("The input schema {shown} is not a valid schema string. The input expression must be string literal and not null."),
            )
            .param("inputSchema", shown));
        };
        // Where the text is neither, the error is the one that the type's parser gave.
        let data_type = match (firesteel_sql::parse_data_type(&text), firesteel_sql::parse_schema_ddl(&text)) {
            (Ok(data_type), _) => data_type,
            (Err(_), Ok(fields)) => DataType::Struct(fields),
            (Err(_), _) if text.trim().is_empty() => {
                return Err(SparkError::new(
                    "PARSE_EMPTY_STATEMENT",
                    "42617",
                    "Syntax error, unexpected empty statement.",
                ));
            }
            (Err(error), _) => return Err(error),
        };
        let null = coercion::implicit(
            &self.functions,
            Typed::new(datafusion::logical_expr::lit(datafusion::scalar::ScalarValue::Null), DataType::Null, true),
            &data_type,
        )?;
        Ok(null)
    }

    fn aggregate_call(
        &self,
        definition: &'static FunctionDef,
        call: &FunctionCall,
        whole: &Expr,
        env: &Env<'_>,
    ) -> SparkResult<Typed> {
        if env.in_aggregate {
            return Err(errors::nested_aggregate());
        }
        match env.clause {
            Clause::Where => return Err(errors::invalid_where(&[self.show(whole, env)])),
            Clause::GroupBy => return Err(errors::group_by_aggregate(&self.show(whole, env))),
            _ => {}
        }
        let Some(collected) = env.select else {
            return Err(SparkError::new(
                "UNSUPPORTED_EXPR_FOR_OPERATOR",
                "42K0E",
                format!(
                    "A query operator contains one or more unsupported expressions. Consider to rewrite it to avoid \
                     window functions, aggregate functions, and generator functions in the WHERE clause.\nInvalid \
                     expressions: [{}]",
                    errors::sql_expr(&self.show(whole, env))
                ),
            )
            .param("invalidExprSqls", errors::sql_expr(&self.show(whole, env))));
        };
        let inner = Env { in_aggregate: true, ..*env };
        let args = self.aggregate_arguments(definition, call, &inner)?;
        let filter = call.filter.as_ref().map(|f| self.condition(f, &inner, errors::filter_not_boolean)).transpose()?;
        let order_by = self.within_group(call, &inner)?;
        let args = AggregateArgs { args, distinct: call.distinct, filter, order_by, ignore_nulls: call.ignore_nulls };
        let resolved =
            definition.resolve_aggregate(&self.functions, args).map_err(|e| self.with_call(e, whole, env))?;
        let column = {
            let mut collected = collected.borrow_mut();
            match collected.aggregate(&resolved.aggregate.expr) {
                Some(attribute) => attribute.expr(),
                None => {
                    let attribute = self.attribute_of(definition.name, &resolved.aggregate);
                    let column = attribute.expr();
                    collected.add_aggregate(resolved.aggregate.expr.clone(), attribute);
                    column
                }
            }
        };
        resolved.finished(column)
    }

    /// WITHIN GROUP (ORDER BY …).
    pub(super) fn within_group(&self, call: &FunctionCall, env: &Env<'_>) -> SparkResult<Vec<(DfSort, Typed)>> {
        let key = |item: &SortItem| -> SparkResult<(DfSort, Typed)> {
            let key = self.expr(&item.expr, env)?;
            Ok((DfSort::new(key.expr.clone(), item.ascending, item.nulls_first()), key))
        };
        call.within_group.iter().map(key).collect()
    }

    fn grouping_call(&self, name: &str, call: &FunctionCall, env: &Env<'_>) -> SparkResult<Typed> {
        let no_sets = || {
            SparkError::new(
                "UNSUPPORTED_GROUPING_EXPRESSION",
                "42K0E",
                "grouping()/grouping_id() can only be used with GroupingSets/Cube/Rollup.",
            )
        };
        let Some(collected) = env.select else { return Err(no_sets()) };
        let (id, grouping) = {
            let collected = collected.borrow();
            let Some(id) = collected.grouping_id.clone() else { return Err(no_sets()) };
            (id, collected.grouping.clone())
        };
        let mut args = self.exprs(&call.args, &Env { select: None, aliases: &[], ..*env })?;
        if name == "grouping_id" && args.is_empty() {
            args.clone_from(&grouping);
        }
        let Some(bits) = grouping_bits(&id, &grouping, &args) else {
            let columns = grouping.iter().map(Typed::sql).collect::<Vec<_>>().join(", ");
            let shown = call.args.first().map(|a| self.show(a, env)).unwrap_or_default();
            return Err(SparkError::new(
                "GROUPING_COLUMN_MISMATCH",
                "42803",
                format!(
                    "Column of grouping ({}) can't be found in grouping columns {columns}.",
                    errors::sql_expr(&shown)
                ),
            )
            .param("grouping", errors::sql_expr(&shown))
            .param("groupingColumns", columns));
        };
        let long = Typed::new(bits, DataType::Long, false);
        if name == "grouping" {
            if args.len() != 1 {
                return Err(firesteel_functions::errors::wrong_num_args("grouping", 1, args.len()));
            }
            return coercion::implicit(&self.functions, long, &GROUPING_TYPE);
        }
        Ok(long)
    }
}

/// The names that `arrays_zip` gives its fields: those of columns and fields, else the place.
fn zipped_names(args: &[Expr]) -> Vec<String> {
    let name = |(i, e): (usize, &Expr)| {
        match &e.kind {
            ExprKind::Attribute { name, .. } => name.last().cloned(),
            ExprKind::Field { name, .. } => Some(name.clone()),
            ExprKind::Alias { names, .. } => names.first().cloned(),
            _ => None,
        }
        .unwrap_or_else(|| i.to_string())
    };
    args.iter().enumerate().map(name).collect()
}

/// Whether the expression calls an aggregate function (not as a window function), outside of subqueries.
pub(crate) fn has_aggregate(e: &Expr) -> bool {
    any_expr(e, &mut |e| match &e.kind {
        ExprKind::Function(call) => {
            let is_aggregate = call.over.is_none() && kind(call) == Some(FunctionKind::Aggregate);
            let is_grouping = call.name.len() == 1
                && ["grouping", "grouping_id"].iter().any(|n| n.eq_ignore_ascii_case(&call.name[0]));
            Some(is_aggregate || is_grouping)
        }
        _ => Some(false),
    })
}

/// Whether the expression itself is a call of an aggregate function.
pub(crate) fn is_aggregate_call(e: &Expr) -> bool {
    matches!(&e.kind, ExprKind::Function(call) if call.over.is_none() && kind(call) == Some(FunctionKind::Aggregate))
}

/// Whether the expression calls a window function.
pub(crate) fn has_window(e: &Expr) -> bool {
    any_expr(e, &mut |e| Some(matches!(&e.kind, ExprKind::Function(call) if call.over.is_some())))
}

/// Whether a query is in the expression.
pub(crate) fn has_subquery(e: &Expr) -> bool {
    any_expr(e, &mut |e| {
        Some(matches!(
            e.kind,
            ExprKind::ScalarSubquery { .. }
                | ExprKind::Exists { .. }
                | ExprKind::InSubquery { .. }
                | ExprKind::TableArgument(_)
        ))
    })
}

/// Whether the expression is a generator, with or without aliases.
pub(crate) fn is_generator(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Alias { operand, .. } => is_generator(operand),
        ExprKind::Function(call) => call.over.is_none() && kind(call) == Some(FunctionKind::Generator),
        _ => false,
    }
}

fn kind(call: &FunctionCall) -> Option<FunctionKind> {
    registry::lookup(&call.name.last()?.to_lowercase()).map(|d| d.kind)
}
