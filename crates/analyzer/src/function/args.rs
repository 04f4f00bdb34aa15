//! The arguments of a call, under the names of the parameters.

use firesteel_functions::Typed;
use firesteel_plan::{Expr, ExprKind, SparkError, SparkResult};

use super::UserFunction;
use crate::{errors, expression::Env, scope::same_name};

/// What the names of a function's parameters stand for in its text.
pub(crate) struct FunctionArgs<'a> {
    pub function: &'a str,
    pub values: Vec<(String, Typed)>,
    /// Where the values' columns are.
    pub caller: &'a Env<'a>,
}

impl FunctionArgs<'_> {
    /// The parameter that a name begins with, and the fields in its value.
    pub fn find<'n>(&self, name: &'n [String], case_sensitive: bool) -> Option<(&str, &Typed, &'n [String])> {
        let by = |parts: usize| {
            let (head, fields) = name.split_at_checked(parts)?;
            let (last, prefix) = head.split_last()?;
            let of_function = match prefix {
                [] => true,
                [function] => function.eq_ignore_ascii_case(self.function),
                _ => false,
            };
            let (known, value) = self.values.iter().find(|(n, _)| of_function && same_name(n, last, case_sensitive))?;
            Some((known.as_str(), value, fields))
        };
        by(2).or_else(|| by(1))
    }
}

/// What each parameter gets: an argument, or `None` for its default.
pub(super) fn matched<'e>(function: &UserFunction, args: &'e [Expr]) -> SparkResult<Vec<Option<&'e Expr>>> {
    let parameters = &function.parameters;
    let named = |name: &str| parameters.iter().position(|p| p.name.eq_ignore_ascii_case(name));
    let routine = errors::ids(&function.name);
    let mut slots: Vec<Option<&Expr>> = vec![None; parameters.len()];
    let mut after_named = false;
    let count = |given: usize| {
        let all = parameters.len();
        SparkError::new(
            "WRONG_NUM_ARGS.WITHOUT_SUGGESTION",
            "42605",
            format!("The {routine} requires {all} parameters but the actual number is {given}."),
        )
        .param("functionName", routine.clone())
        .param("expectedNum", all.to_string())
        .param("actualNum", given.to_string())
        .param("docroot", "https://spark.apache.org/docs/latest")
    };
    if args.len() > parameters.len() {
        return Err(count(args.len()));
    }
    for (at, arg) in args.iter().enumerate() {
        let (slot, value) = match &arg.kind {
            ExprKind::NamedArgument { name, value } => {
                after_named = true;
                let Some(slot) = named(name) else {
                    let proposal = parameters.iter().map(|p| errors::id(&p.name)).collect::<Vec<_>>().join(", ");
                    return Err(SparkError::new(
                        "UNRECOGNIZED_PARAMETER_NAME",
                        "4274K",
                        format!(
                            "Cannot invoke routine {routine} because the routine call included a named argument reference \
                             for the argument named {}, but this routine does not include any signature containing an \
                             argument with this name. Did you mean one of the following? [{proposal}].",
                            errors::id(name)
                        ),
                    )
                    .param("routineName", routine)
                    .param("argumentName", errors::id(name))
                    .param("proposal", proposal));
                };
                (slot, &**value)
            }
            _ if after_named => {
                return Err(SparkError::new(
                    "UNEXPECTED_POSITIONAL_ARGUMENT",
                    "4274K",
                    format!(
                        "Cannot invoke routine {routine} because it contains positional argument(s) following the named \
                         argument assigned to {}; please rearrange them so the positional arguments come first and then \
                         retry the query again.",
                        errors::id(&parameters[at.saturating_sub(1)].name)
                    ),
                )
                .param("routineName", routine)
                .param("parameterName", errors::id(&parameters[at.saturating_sub(1)].name)));
            }
            _ => (at, arg),
        };
        if slots[slot].is_some() {
            let class = if slot < at && matches!(args[slot].kind, ExprKind::NamedArgument { .. }) {
                "DUPLICATE_ROUTINE_PARAMETER_ASSIGNMENT.DOUBLE_NAMED_ARGUMENT_REFERENCE"
            } else {
                "DUPLICATE_ROUTINE_PARAMETER_ASSIGNMENT.BOTH_POSITIONAL_AND_NAMED"
            };
            let name = errors::id(&parameters[slot].name);
            return Err(SparkError::new(
                class,
                "4274K",
                format!("Call to routine {routine} is invalid because it includes multiple argument assignments to the same parameter name {name}."),
            )
            .param("routineName", routine)
            .param("parameterName", name));
        }
        slots[slot] = Some(value);
    }
    for (at, (slot, parameter)) in slots.iter().zip(parameters).enumerate() {
        if slot.is_some() || parameter.default.is_some() {
            continue;
        }
        if !after_named {
            return Err(count(args.len()));
        }
        let name = errors::id(&parameter.name);
        return Err(SparkError::new(
            "REQUIRED_PARAMETER_NOT_FOUND",
            "4274K",
            format!(
                "Cannot invoke routine {routine} because the parameter named {name} is required, but the routine call did \
                 not supply a value. Please update the routine call to supply an argument value (either positionally at \
                 index {at} or by name) and retry the query again."
            ),
        )
        .param("routineName", routine)
        .param("parameterName", name)
        .param("index", at.to_string()));
    }
    Ok(slots)
}
