//! Arguments by name: `mask(str => 'a', digitChar => 'd')`.

use firesteel_plan::{
    Expr, ExprKind, Span, SparkError, SparkResult,
    expr::{FunctionCall, Literal},
};

use crate::errors;

/// A parameter, and what it is when not given.
struct Parameter {
    name: &'static str,
    default: Option<Literal>,
}

/// The parameters of functions that take arguments by name.
fn parameters(function: &str) -> Option<Vec<Parameter>> {
    let required = |name| Parameter { name, default: None };
    let optional = |name, default: Option<&str>| Parameter {
        name,
        default: Some(default.map_or(Literal::Null, |d| Literal::String(d.to_owned()))),
    };
    let lg_nominal = || Parameter { name: "lgNomEntries", default: Some(Literal::Integer(12)) };
    let mode = || optional("mode", Some("sum"));
    match function {
        "mask" => Some(vec![
            required("str"),
            optional("upperChar", Some("X")),
            optional("lowerChar", Some("x")),
            optional("digitChar", Some("n")),
            optional("otherChar", None),
        ]),
        "count_min_sketch" => Some(["column", "epsilon", "confidence", "seed"].map(required).into()),
        "tuple_sketch_agg_double" | "tuple_sketch_agg_integer" => {
            Some(vec![required("key"), required("summary"), lg_nominal(), mode()])
        }
        "tuple_union_agg_double" | "tuple_union_agg_integer" => Some(vec![required("child"), lg_nominal(), mode()]),
        "tuple_union_double" | "tuple_union_integer" | "tuple_union_theta_double" | "tuple_union_theta_integer" => {
            Some(vec![required("first"), required("second"), lg_nominal(), mode()])
        }
        "explode" | "explode_outer" | "posexplode" | "posexplode_outer" => Some(vec![required("collection")]),
        "inline" | "inline_outer" | "variant_explode" | "variant_explode_outer" => Some(vec![required("input")]),
        _ => None,
    }
}

/// The arguments in the order of the parameters.
pub(crate) fn in_order(function: &str, args: &[Expr]) -> SparkResult<Vec<Expr>> {
    let routine = errors::id(function);
    let Some(parameters) = parameters(function) else {
        return Err(SparkError::new(
            "NAMED_PARAMETERS_NOT_SUPPORTED",
            "4274K",
            format!("Named parameters are not supported for function {routine}; please retry the query with positional arguments to the function call instead."),
        )
        .param("functionName", routine));
    };
    let mut given: Vec<Option<Expr>> = parameters.iter().map(|_| None).collect();
    let mut positional = 0;
    let mut first_name: Option<&str> = None;
    for arg in args {
        let ExprKind::NamedArgument { name, value } = &arg.kind else {
            if let Some(name) = first_name {
                return Err(SparkError::new(
                    "UNEXPECTED_POSITIONAL_ARGUMENT",
                    "4274K",
                    format!("Cannot invoke routine {routine} because it contains positional argument(s) following the named argument assigned to {}.", errors::id(name)),
                )
                .param("routineName", routine)
                .param("parameterName", errors::id(name)));
            }
            match given.get_mut(positional) {
                Some(place) => *place = Some(arg.clone()),
                None => {
                    return Err(firesteel_functions::errors::wrong_num_args(function, parameters.len(), args.len()));
                }
            }
            positional += 1;
            continue;
        };
        first_name = first_name.or(Some(name.as_str()));
        let Some(index) = parameters.iter().position(|p| p.name.eq_ignore_ascii_case(name)) else {
            let proposal: Vec<String> = parameters.iter().map(|p| errors::id(p.name)).collect();
            return Err(SparkError::new(
                "UNRECOGNIZED_PARAMETER_NAME",
                "4274K",
                format!("Cannot invoke routine {routine} because the routine call included a named argument reference for the argument named {}, but this routine does not include any signature containing an argument with this name. Did you mean one of the following? [{}].", errors::id(name), proposal.join(" ")),
            )
            .param("routineName", routine)
            .param("argumentName", errors::id(name))
            .param("proposal", proposal.join(" ")));
        };
        if given[index].is_some() {
            let by_place = index < positional;
            let subclass = if by_place { "BOTH_POSITIONAL_AND_NAMED" } else { "DOUBLE_NAMED_ARGUMENT_REFERENCE" };
            return Err(SparkError::new(
                format!("DUPLICATE_ROUTINE_PARAMETER_ASSIGNMENT.{subclass}"),
                "4274K",
                format!("Call to routine {routine} is invalid because it includes multiple assignments to the parameter {}.", errors::id(name)),
            )
            .param("routineName", routine)
            .param("parameterName", errors::id(name)));
        }
        given[index] = Some(value.as_ref().clone());
    }
    let span = args.first().map_or(Span::NONE, |a| a.span);
    let mut ordered = Vec::with_capacity(parameters.len());
    for (index, (place, parameter)) in given.into_iter().zip(parameters).enumerate() {
        match (place, parameter.default) {
            (Some(value), _) => ordered.push(value),
            (None, Some(default)) => ordered.push(Expr::new(ExprKind::Literal(default), span)),
            (None, None) => {
                let name = errors::id(parameter.name);
                return Err(SparkError::new(
                    "REQUIRED_PARAMETER_NOT_FOUND",
                    "4274K",
                    format!("Cannot invoke routine {routine} because the parameter named {name} is required, but the routine call did not supply a value."),
                )
                .param("routineName", routine)
                .param("parameterName", name)
                .param("index", index.to_string()));
            }
        }
    }
    Ok(ordered)
}

/// The call as it is shown: with its arguments in order, where they can be.
pub(crate) fn shown(call: &FunctionCall) -> Option<FunctionCall> {
    if !call.args.iter().any(|a| matches!(a.kind, ExprKind::NamedArgument { .. })) {
        return None;
    }
    let args = in_order(&call.name.last()?.to_lowercase(), &call.args).ok()?;
    Some(FunctionCall { args, ..call.clone() })
}
