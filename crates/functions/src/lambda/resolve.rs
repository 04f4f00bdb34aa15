//! Types of lambdas: what their parameters are, what they must answer, what the call answers.

use datafusion::logical_expr::{
    Expr,
    expr::{HigherOrderFunction, Lambda as DfLambda},
};
use firesteel_plan::{DataType, SparkError, SparkResult};

use super::{HigherOrder, udf};
use crate::{FunctionContext, Typed, coercion, errors, udf::type_literal};

/// A parameter of a lambda.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    pub data_type: DataType,
    pub nullable: bool,
}

/// A lambda whose body is resolved.
#[derive(Debug, Clone)]
pub struct Lambda {
    /// Names that no other variable of the expression has.
    pub parameters: Vec<String>,
    pub body: Typed,
}

impl HigherOrder {
    /// How many values come before the lambdas.
    pub fn values(self) -> usize {
        match self {
            Self::Aggregate | Self::ZipWith | Self::MapZipWith => 2,
            _ => 1,
        }
    }

    /// The least and the most lambdas.
    pub fn lambdas(self) -> (usize, usize) {
        if self == Self::Aggregate { (1, 2) } else { (1, 1) }
    }

    /// The values as the function takes them.
    pub fn coerced(self, ctx: &FunctionContext, name: &str, values: Vec<Typed>) -> SparkResult<Vec<Typed>> {
        let mut values = values;
        if self == Self::MapZipWith
            && let [left, right] = values.as_slice()
            && let (
                DataType::Map { key: lk, value: lv, value_contains_null: ln },
                DataType::Map { key: rk, value: rv, value_contains_null: rn },
            ) = (&left.data_type, &right.data_type)
            && lk != rk
        {
            let Some(key) = coercion::common_type(lk, rk, ctx.ansi) else {
                return Err(errors::datatype_mismatch(
                    "MAP_ZIP_WITH_DIFF_TYPES",
                    name,
                    format!(
                        "Input to the `{name}` should have been two maps with compatible key types, but it's \
                         [\"{}\", \"{}\"].",
                        errors::sql_type(lk),
                        errors::sql_type(rk)
                    ),
                ));
            };
            let of = |value: &DataType, nulls: bool| DataType::Map {
                key: Box::new(key.clone()),
                value: Box::new(value.clone()),
                value_contains_null: nulls,
            };
            let (lt, rt) = (of(lv, *ln), of(rv, *rn));
            values = vec![coercion::implicit(ctx, left.clone(), &lt)?, coercion::implicit(ctx, right.clone(), &rt)?];
        }
        let wants_map =
            matches!(self, Self::MapFilter | Self::TransformKeys | Self::TransformValues | Self::MapZipWith);
        let collections = if self == Self::Aggregate { 1 } else { self.values() };
        for (i, value) in values.iter_mut().enumerate().take(collections) {
            let wanted = match (&value.data_type, wants_map) {
                (DataType::Array { .. }, false) | (DataType::Map { .. }, true) => continue,
                (DataType::Null, false) => DataType::Array { element: Box::new(DataType::Null), contains_null: true },
                (DataType::Null, true) => DataType::Map {
                    key: Box::new(DataType::Null),
                    value: Box::new(DataType::Null),
                    value_contains_null: true,
                },
                (_, wants_map) => {
                    let required = if wants_map { "MAP" } else { "ARRAY" };
                    return Err(errors::unexpected_input(name, i, required, value));
                }
            };
            *value = coercion::implicit(ctx, value.clone(), &wanted)?;
        }
        Ok(values)
    }

    /// What the parameters of lambda number `lambda` are; a lambda may take the last ones or not.
    pub fn parameters(self, values: &[Typed], lambda: usize) -> SparkResult<Vec<Parameter>> {
        let internal = || SparkError::internal("a higher-order function without its collection");
        let element = |i: usize, nullable: bool| match values.get(i).map(|v| &v.data_type) {
            Some(DataType::Array { element, contains_null }) => {
                Ok(Parameter { data_type: (**element).clone(), nullable: nullable || *contains_null })
            }
            _ => Err(internal()),
        };
        let entry = |i: usize, nullable: bool| match values.get(i).map(|v| &v.data_type) {
            Some(DataType::Map { key, value, value_contains_null }) => Ok((
                Parameter { data_type: (**key).clone(), nullable: false },
                Parameter { data_type: (**value).clone(), nullable: nullable || *value_contains_null },
            )),
            _ => Err(internal()),
        };
        let index = Parameter { data_type: DataType::Integer, nullable: false };
        Ok(match self {
            Self::Transform | Self::Filter => vec![element(0, false)?, index],
            Self::Exists | Self::ForAll => vec![element(0, false)?],
            Self::Aggregate => {
                let Some(start) = values.get(1) else { return Err(internal()) };
                let state = Parameter { data_type: start.data_type.clone(), nullable: true };
                if lambda == 0 { vec![state, element(0, false)?] } else { vec![state] }
            }
            Self::ZipWith => vec![element(0, true)?, element(1, true)?],
            Self::ArraySort => vec![element(0, false)?, element(0, false)?],
            Self::MapFilter | Self::TransformKeys | Self::TransformValues => {
                let (key, value) = entry(0, false)?;
                vec![key, value]
            }
            Self::MapZipWith => {
                let ((key, left), (_, right)) = (entry(0, true)?, entry(1, true)?);
                vec![key, left, right]
            }
        })
    }

    /// The fewest parameters that a lambda may have.
    pub fn least_parameters(self, all: usize) -> usize {
        if matches!(self, Self::Transform | Self::Filter) { all - 1 } else { all }
    }

    pub fn resolve(
        self,
        ctx: &FunctionContext,
        name: &str,
        values: Vec<Typed>,
        mut lambdas: Vec<Lambda>,
    ) -> SparkResult<Typed> {
        let internal = || SparkError::internal("a higher-order function without its lambda");
        if let Some(answer) = self.answer(&values) {
            let at = self.values();
            let Some(first) = lambdas.first_mut() else { return Err(internal()) };
            if first.body.data_type != answer {
                if self == Self::ArraySort && first.body.data_type != DataType::Null {
                    return Err(errors::datatype_mismatch(
                        "UNEXPECTED_RETURN_TYPE",
                        name,
                        format!(
                            "The `{name}` requires return \"INT\" type, but the actual is \"{}\" type.",
                            errors::sql_type(&first.body.data_type)
                        ),
                    )
                    .param("functionName", format!("`{name}`"))
                    .param("expectedType", "\"INT\"")
                    .param("actualType", format!("\"{}\"", errors::sql_type(&first.body.data_type))));
                }
                if !coercion::can_implicitly_cast(&first.body.data_type, &answer, ctx.ansi) || self == Self::Aggregate {
                    return Err(errors::unexpected_input(name, at, &errors::sql_type(&answer), &first.body));
                }
                first.body = coercion::implicit(ctx, first.body.clone(), &answer)?;
            }
        }
        let (Some(first), Some(body)) = (values.first(), lambdas.first().map(|l| &l.body)) else {
            return Err(internal());
        };
        let array =
            |element: DataType, contains_null: bool| DataType::Array { element: Box::new(element), contains_null };
        let (data_type, nullable) = match self {
            Self::Transform => (array(body.data_type.clone(), body.nullable), first.nullable),
            Self::Filter | Self::MapFilter | Self::ArraySort => (first.data_type.clone(), first.nullable),
            Self::Exists | Self::ForAll => (DataType::Boolean, first.nullable || body.nullable),
            Self::Aggregate => {
                let last = lambdas.last().map_or(body, |l| &l.body);
                (last.data_type.clone(), first.nullable || last.nullable)
            }
            Self::ZipWith => {
                let nullable = values.iter().any(|v| v.nullable);
                (array(body.data_type.clone(), body.nullable), nullable)
            }
            Self::TransformKeys | Self::TransformValues | Self::MapZipWith => {
                let DataType::Map { key, value, value_contains_null } = &first.data_type else {
                    return Err(internal());
                };
                let of = |key: &DataType, value: &DataType, value_contains_null: bool| DataType::Map {
                    key: Box::new(key.clone()),
                    value: Box::new(value.clone()),
                    value_contains_null,
                };
                let data_type = match self {
                    Self::TransformKeys => of(&body.data_type, value, *value_contains_null),
                    _ => of(key, &body.data_type, body.nullable),
                };
                (data_type, values.iter().any(|v| v.nullable))
            }
        };
        let mut args: Vec<Expr> = values.into_iter().map(|v| v.expr).collect();
        args.extend(lambdas.into_iter().map(|l| Expr::Lambda(DfLambda::new(l.parameters, l.body.expr))));
        args.push(type_literal(&data_type)?);
        let call = HigherOrderFunction::new(udf(self)?, args);
        Ok(Typed::new(Expr::HigherOrderFunction(call), data_type, nullable))
    }

    /// The type that the first lambda must answer, where it is not free.
    fn answer(self, values: &[Typed]) -> Option<DataType> {
        match self {
            Self::Filter | Self::Exists | Self::ForAll | Self::MapFilter => Some(DataType::Boolean),
            Self::ArraySort => Some(DataType::Integer),
            Self::Aggregate => values.get(1).map(|v| v.data_type.clone()),
            _ => None,
        }
    }
}
