//! What a call of a user's function becomes.

use datafusion::logical_expr::Expr as DfExpr;
use firesteel_functions::{Typed, cast};
use firesteel_plan::{
    Expr, Relation, RelationKind, SparkError, SparkResult, expr::FunctionCall, statement::FunctionResult,
};

use super::{FunctionArgs, Returns, UserFunction, args::matched};
use crate::{
    errors,
    expression::{Clause, Env},
    query::{Analyzer, MAX_VIEW_DEPTH, RelEnv},
    scope::{Planned, Scope, project},
};

fn wrong_kind(function: &UserFunction, class: &str, wanted: &str, is: &str) -> SparkError {
    let name = errors::ids(&function.name);
    SparkError::new(
        class,
        "42887",
        format!("{name} appears as a {wanted} expression here, but the function was defined as a {is} function."),
    )
    .param("functionName", name)
}

impl Analyzer<'_> {
    /// The user's function that a call means, if it means one.
    pub fn user_function(&self, name: &[String], database: &str) -> Option<std::sync::Arc<UserFunction>> {
        let function = self.tables.function(name, database)?;
        if function.temporary {
            self.tables.note_temporary("FUNCTION", name);
        }
        Some(function)
    }

    fn argument_values(
        &self,
        function: &UserFunction,
        args: &[Expr],
        env: &Env<'_>,
    ) -> SparkResult<Vec<(String, Typed)>> {
        let slots = matched(function, args)?;
        let own = RelEnv { view_depth: env.rel.view_depth + 1, ..RelEnv::new(&function.text, &function.database) };
        let mut values = Vec::with_capacity(slots.len());
        for (slot, parameter) in slots.into_iter().zip(&function.parameters) {
            let value = match (slot, &parameter.default) {
                (Some(arg), _) => self.expr(arg, env)?,
                (None, Some(default)) => {
                    self.with_conf(&function.conf).expr(default, &Env::new(&own, &[], Clause::Other))?
                }
                (None, None) => return Err(SparkError::internal("a parameter without a value")),
            };
            let value = cast::cast(&self.functions, value, &parameter.data_type, self.functions.mode())?;
            values.push((parameter.name.clone(), value));
        }
        Ok(values)
    }

    fn check_depth(&self, function: &UserFunction, env: &RelEnv<'_>) -> SparkResult<()> {
        if env.view_depth < MAX_VIEW_DEPTH {
            return Ok(());
        }
        Err(SparkError::new(
            "VIEW_EXCEED_MAX_NESTED_DEPTH",
            "54K00",
            format!(
                "The depth of function {} exceeds the maximum resolution depth ({MAX_VIEW_DEPTH}).",
                errors::ids(&function.name)
            ),
        ))
    }

    /// A call in an expression.
    pub fn call_user_function(
        &self,
        function: &UserFunction,
        call: &FunctionCall,
        env: &Env<'_>,
    ) -> SparkResult<Typed> {
        let Returns::Scalar(returns) = &function.returns else {
            return Err(wrong_kind(function, "NOT_A_SCALAR_FUNCTION", "scalar", "table"));
        };
        self.check_depth(function, env.rel)?;
        let values = self.argument_values(function, &call.args, env)?;
        let args = FunctionArgs { function: function.short_name(), values, caller: env };
        self.function_body(function, &args, env.rel.view_depth)
            .and_then(|value| cast::cast(&self.functions, value, returns, self.functions.mode()))
            .map_err(SparkError::without_context)
    }

    /// The value of a scalar function's text, before it becomes what the function returns.
    pub fn function_body(&self, function: &UserFunction, args: &FunctionArgs<'_>, depth: usize) -> SparkResult<Typed> {
        let analyzer = self.with_conf(&function.conf);
        let rel = RelEnv { args: Some(args), view_depth: depth + 1, ..RelEnv::new(&function.text, &function.database) };
        let env = Env::new(&rel, &[], Clause::Other);
        match &function.result {
            FunctionResult::Expr(e) => analyzer.expr(e, &env),
            FunctionResult::Query(query) => match selected_alone(query) {
                Some(e) => analyzer.expr(e, &env),
                None => analyzer.scalar_subquery(query, &env),
            },
        }
    }

    /// A call in FROM.
    pub fn call_table_function(
        &self,
        function: &UserFunction,
        args: &[Expr],
        env: &RelEnv<'_>,
    ) -> SparkResult<Planned> {
        if !function.is_table() {
            return Err(wrong_kind(function, "NOT_A_TABLE_FUNCTION", "table", "scalar"));
        }
        self.check_depth(function, env)?;
        let caller = Env::new(env, &[], Clause::Other);
        let values = self.argument_values(function, args, &caller)?;
        let args = FunctionArgs { function: function.short_name(), values, caller: &caller };
        self.function_rows(function, &args, env.view_depth).map_err(SparkError::without_context)
    }

    /// The rows of a table function's query, with the columns that the function returns.
    pub fn function_rows(
        &self,
        function: &UserFunction,
        args: &FunctionArgs<'_>,
        depth: usize,
    ) -> SparkResult<Planned> {
        let analyzer = self.with_conf(&function.conf);
        let rel = RelEnv { args: Some(args), view_depth: depth + 1, ..RelEnv::new(&function.text, &function.database) };
        let FunctionResult::Query(query) = &function.result else {
            return Err(SparkError::new(
                "USER_DEFINED_FUNCTIONS.SQL_TABLE_UDF_BODY_MUST_BE_A_QUERY",
                "42601",
                format!(
                    "User defined function is invalid: SQL table function {} body must be a query.",
                    function.short_name()
                ),
            )
            .param("name", function.short_name()));
        };
        let planned = analyzer.relation(query, &rel)?.exact()?;
        let Returns::Table(columns) = &function.returns else { return Ok(planned) };
        // Where the columns follow from the query it is looked at for the first time.
        if columns.is_empty() {
            return Ok(planned);
        }
        let given = planned.scope.attributes.len();
        if columns.len() != given {
            let name = function.name.join(".");
            return Err(SparkError::new(
                "USER_DEFINED_FUNCTIONS.RETURN_COLUMN_COUNT_MISMATCH",
                "42601",
                format!(
                    "User defined function is invalid: The number of columns produced by the RETURN clause (num: `{given}`) does not \
                     match the number of column names specified by the RETURNS clause (num: `{}`) of {name}.",
                    columns.len()
                ),
            )
            .param("name", name)
            .param("outputSize", given.to_string())
            .param("returnParamSize", columns.len().to_string()));
        }
        let mut exprs: Vec<DfExpr> = Vec::with_capacity(given);
        let mut attributes = Vec::with_capacity(given);
        for (attribute, column) in planned.scope.attributes.iter().zip(columns) {
            let value = Typed::new(attribute.expr(), attribute.data_type.clone(), attribute.nullable);
            let value = cast::cast(&self.functions, value, &column.data_type, self.functions.mode())?;
            let mut out = self.attribute_of(&column.name, &value);
            out.qualifier = vec![function.short_name().to_owned()];
            exprs.push(value.expr.alias(&out.column));
            attributes.push(out);
        }
        Ok(Planned { plan: project(planned.plan, exprs)?, scope: Scope::new(attributes) })
    }
}

/// The expression of `SELECT expression`, which is a query of one row.
fn selected_alone(query: &Relation) -> Option<&Expr> {
    use firesteel_plan::ExprKind;
    let RelationKind::Project { input, exprs } = &query.kind else { return None };
    let [e] = exprs.as_slice() else { return None };
    if !matches!(input.kind, RelationKind::OneRow)
        || crate::expression::has_aggregate(e)
        || crate::expression::has_window(e)
        || crate::expression::is_generator(e)
    {
        return None;
    }
    match &e.kind {
        ExprKind::Alias { operand, .. } => Some(operand),
        ExprKind::Star { .. } => None,
        _ => Some(e),
    }
}
