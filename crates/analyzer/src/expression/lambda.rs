//! Calls of functions that take lambdas.

use datafusion::logical_expr::{Expr as DfExpr, expr::LambdaVariable};
use firesteel_functions::{
    HigherOrder, Typed, errors as function_errors,
    lambda::{Lambda, Parameter},
    types,
};
use firesteel_plan::{Expr, ExprKind, Ident, SparkError, SparkResult, expr::FunctionCall};

use super::{Env, LambdaScope};
use crate::{errors, query::Analyzer, scope::same_name};

impl Analyzer<'_> {
    pub(super) fn higher_order(
        &self,
        of: HigherOrder,
        name: &str,
        call: &FunctionCall,
        whole: &Expr,
        env: &Env<'_>,
    ) -> SparkResult<Typed> {
        let (least, most) = of.lambdas();
        let count = of.values();
        if call.args.len() < count + least || call.args.len() > count + most {
            let expected = match least == most {
                true => (count + least).to_string(),
                false => format!("[{}, {}]", count + least, count + most),
            };
            return Err(function_errors::wrong_num_args(name, expected, call.args.len()));
        }
        let values = of.coerced(&self.functions, name, self.exprs(&call.args[..count], env)?)?;
        let mut lambdas = Vec::with_capacity(most);
        for (i, arg) in call.args[count..].iter().enumerate() {
            let parameters = of.parameters(&values, i)?;
            let least = of.least_parameters(parameters.len());
            lambdas.push(self.lambda(arg, parameters, least, env)?);
        }
        of.resolve(&self.functions, name, values, lambdas).map_err(|e| self.with_call(e, whole, env))
    }

    fn lambda(&self, arg: &Expr, types: Vec<Parameter>, least: usize, env: &Env<'_>) -> SparkResult<Lambda> {
        let none = Vec::new();
        // An expression that is no lambda answers its value for every element.
        let (names, body): (&Vec<Ident>, &Expr) = match &arg.kind {
            ExprKind::Lambda { parameters, body } => (parameters, body),
            _ => (&none, arg),
        };
        if matches!(arg.kind, ExprKind::Lambda { .. }) {
            if names.len() < least || names.len() > types.len() {
                return Err(env.rel.locate(arity(types.len(), names.len()), arg.span));
            }
            for (i, name) in names.iter().enumerate() {
                if names[..i].iter().any(|before| same_name(before, name, self.case_sensitive())) {
                    return Err(env.rel.locate(duplicates(names), arg.span));
                }
            }
        }
        let mut parameters = Vec::with_capacity(types.len());
        let mut unique = Vec::with_capacity(types.len());
        for (i, parameter) in types.into_iter().enumerate() {
            let shown = names.get(i).map_or("_", |n| n.as_str());
            let own = format!("{shown}#{}", self.next_id());
            let field = types::field_to_arrow(&own, &parameter.data_type, true)?;
            let variable = DfExpr::LambdaVariable(LambdaVariable::new(own.clone(), Some(field.into())));
            if let Some(name) = names.get(i) {
                parameters.push((name.clone(), Typed::new(variable, parameter.data_type, parameter.nullable)));
            }
            unique.push(own);
        }
        let scope = LambdaScope { parent: env.lambda, parameters };
        let body = self.expr(body, &Env { lambda: Some(&scope), ..*env })?;
        Ok(Lambda { parameters: unique, body })
    }
}

fn arity(expected: usize, actual: usize) -> SparkError {
    SparkError::new(
        "INVALID_LAMBDA_FUNCTION_CALL.NUM_ARGS_MISMATCH",
        "42K0D",
        format!(
            "Invalid lambda function call. A higher order function expects {expected} arguments, but got {actual}."
        ),
    )
    .param("expectedNumArgs", expected.to_string())
    .param("actualNumArgs", actual.to_string())
}

fn duplicates(names: &[Ident]) -> SparkError {
    let args: Vec<_> = names.iter().map(|n| errors::id(n)).collect();
    SparkError::new(
        "INVALID_LAMBDA_FUNCTION_CALL.DUPLICATE_ARG_NAMES",
        "42K0D",
        format!(
            "Invalid lambda function call. The lambda function has duplicate arguments {}. Please, consider to rename the \
             argument names or set \"spark.sql.caseSensitive\" to \"true\".",
            args.join(", ")
        ),
    )
    .param("args", args.join(", "))
    .param("caseSensitiveConfig", "\"spark.sql.caseSensitive\"")
}
