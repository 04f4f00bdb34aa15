//! Generators: explode and its kin, in LATERAL VIEW, in the SELECT list and in FROM.

use datafusion::{
    common::{Column, NullHandling, UnnestOptions},
    logical_expr::{Expr as DfExpr, LogicalPlanBuilder, lit},
};
use firesteel_functions::{
    Typed,
    generator::{Generator, ResolvedGenerator},
    registry,
};
use firesteel_plan::{DataType, Expr, ExprKind, Ident, Relation, SparkError, SparkResult};

use crate::{
    errors,
    expression::{Clause, Env, arguments_in_order, is_generator},
    query::{Analyzer, RelEnv, build},
    scope::{Attribute, Planned, project},
};

/// A relation with the columns that a generator added.
pub(crate) struct Generated {
    pub planned: Planned,
    pub generated: Vec<Attribute>,
}

impl Analyzer<'_> {
    pub(super) fn lateral_view(
        &self,
        input: &Relation,
        generator: &Expr,
        outer: bool,
        table: Option<&str>,
        columns: &[Ident],
        env: &RelEnv<'_>,
    ) -> SparkResult<Planned> {
        let input = self.relation(input, env)?;
        let Generated { mut planned, mut generated } = self.generate_one(input, generator, outer, env)?;
        if !columns.is_empty() && columns.len() != generated.len() {
            return Err(alias_count(columns.len(), generated.len()));
        }
        for (attribute, name) in generated.iter_mut().zip(columns) {
            attribute.name.clone_from(name);
        }
        for attribute in &mut generated {
            attribute.qualifier = table.map(|t| vec![t.to_owned()]).unwrap_or_default();
        }
        planned.scope.attributes.extend(generated);
        Ok(planned)
    }

    /// A generator of a SELECT list.
    pub(super) fn generate(&self, input: Planned, item: &Expr, env: &RelEnv<'_>) -> SparkResult<Generated> {
        let (call, names) = match &item.kind {
            ExprKind::Alias { operand, names } => (operand.as_ref(), names.as_slice()),
            _ => (item, &[][..]),
        };
        let mut generated = self.generate_one(input, call, false, env)?;
        if !names.is_empty() && names.len() != generated.generated.len() {
            return Err(env.locate(alias_count(names.len(), generated.generated.len()), item.span));
        }
        for (attribute, name) in generated.generated.iter_mut().zip(names) {
            attribute.name.clone_from(name);
        }
        Ok(generated)
    }

    /// Adds a generator's columns to the plan; the scope stays the input's.
    pub(super) fn generate_one(
        &self,
        input: Planned,
        call: &Expr,
        outer: bool,
        env: &RelEnv<'_>,
    ) -> SparkResult<Generated> {
        let ExprKind::Function(function) = &call.kind else {
            return Err(SparkError::internal("a generator that is no call"));
        };
        let name = function.name.last().map(|n| n.to_lowercase()).unwrap_or_default();
        let Some(definition) = registry::lookup(&name) else {
            return Err(env.locate(
                errors::unresolved_routine(&function.name, &[vec!["system".into(), "builtin".into()]]),
                call.span,
            ));
        };
        if !is_generator(call) {
            return Err(env.locate(SparkError::unsupported(format_args!("{name} as a generator")), call.span));
        }
        let resolved = {
            let scopes = [&input.scope];
            let expr_env = Env::new(env, &scopes, Clause::Other);
            let named = function.args.iter().any(|a| matches!(a.kind, ExprKind::NamedArgument { .. }));
            let args = if named {
                self.exprs(&arguments_in_order(&name, &function.args)?, &expr_env)?
            } else {
                self.exprs(&function.args, &expr_env)?
            };
            definition.resolve_generator(&self.functions, args).map_err(|e| env.locate(e, call.span))?
        };
        self.unnest(input, resolved, outer)
    }

    /// Adds the columns of a generator whose arguments are resolved.
    pub(super) fn generate_from(&self, input: Planned, name: &str, args: Vec<Typed>) -> SparkResult<Generated> {
        let Some(definition) = registry::lookup(name) else {
            return Err(SparkError::internal(format!("no function {name}")));
        };
        let resolved = definition.resolve_generator(&self.functions, args)?;
        self.unnest(input, resolved, false)
    }

    fn unnest(&self, input: Planned, resolved: ResolvedGenerator, outer: bool) -> SparkResult<Generated> {
        let Planned { plan, scope } = input;
        let base: Vec<DfExpr> = plan.schema().columns().into_iter().map(DfExpr::Column).collect();
        let own_outer =
            matches!(resolved.generator, Generator::Explode { outer: true, .. } | Generator::Inline { outer: true });
        let keep = outer || own_outer;
        let generated: Vec<Attribute> =
            resolved.output.iter().map(|f| self.attribute(&f.name, f.data_type.clone(), f.nullable || keep)).collect();
        // The lists to spread in step, and what each output column is of their elements.
        let mut lists: Vec<DfExpr> = Vec::new();
        let mut outputs: Vec<(usize, Option<String>)> = Vec::new();
        let call = |name: &str, args: Vec<Typed>| self.call_typed(name, args);
        match resolved.generator {
            Generator::Explode { position, .. } => {
                let collection = one_argument(&resolved)?;
                if position {
                    let size = call("size", vec![collection.clone()])?;
                    let long = firesteel_functions::coercion::implicit(&self.functions, size, &DataType::Long)?;
                    let positions = datafusion::functions_nested::range::range_udf().call(vec![lit(0_i64), long.expr]);
                    let guarded = crate::expression::when(
                        collection.expr.clone().is_null(),
                        lit(datafusion::scalar::ScalarValue::Null),
                        positions,
                    );
                    lists.push(guarded);
                    outputs.push((0, None));
                }
                if matches!(collection.data_type, DataType::Map { .. }) {
                    for part in ["map_keys", "map_values"] {
                        outputs.push((lists.len(), None));
                        lists.push(call(part, vec![collection.clone()])?.expr);
                    }
                } else {
                    outputs.push((lists.len(), None));
                    lists.push(collection.expr.clone());
                }
            }
            Generator::Inline { .. } => {
                let collection = one_argument(&resolved)?;
                lists.push(collection.expr.clone());
                outputs.extend(resolved.output.iter().map(|f| (0, Some(f.name.clone()))));
            }
            Generator::JsonTuple | Generator::VariantExplode { .. } => {
                return Err(SparkError::internal("a generator that is resolved to another"));
            }
            Generator::Stack => {
                let width = resolved.output.len();
                for column in 0..width {
                    let cells = (0..resolved.rows).map(|r| resolved.args[r * width + column].clone()).collect();
                    outputs.push((lists.len(), None));
                    lists.push(call("array", cells)?.expr);
                }
            }
        }
        let names: Vec<String> = lists.iter().map(|_| format!("list#{}", self.next_id())).collect();
        let with_lists = base.iter().cloned().chain(lists.into_iter().zip(&names).map(|(l, n)| l.alias(n))).collect();
        let plan = project(plan, with_lists)?;
        let options = UnnestOptions {
            null_handling: if keep { NullHandling::PreserveAndExpandEmpty } else { NullHandling::Drop },
            recursions: Vec::new(),
        };
        let columns: Vec<Column> = names.iter().map(Column::new_unqualified).collect();
        let plan = build(LogicalPlanBuilder::new(plan).unnest_columns_with_options(columns, options))?;
        let mut exprs = base;
        for ((at, field), attribute) in outputs.into_iter().zip(&generated) {
            let list = DfExpr::Column(Column::new_unqualified(&names[at]));
            let value = match field {
                Some(field) => datafusion::functions::core::get_field().call(vec![list, lit(field)]),
                None if attribute.data_type == DataType::Integer && names.len() > 1 && at == 0 => {
                    // Positions were counted as bigint.
                    DfExpr::Cast(datafusion::logical_expr::Cast::new(Box::new(list), arrow::datatypes::DataType::Int32))
                }
                None => list,
            };
            exprs.push(value.alias(&attribute.column));
        }
        let plan = project(plan, exprs)?;
        Ok(Generated { planned: Planned { plan, scope }, generated })
    }
}

fn one_argument(resolved: &ResolvedGenerator) -> SparkResult<&Typed> {
    resolved.args.first().ok_or_else(|| SparkError::internal("a generator without its argument"))
}

fn alias_count(aliases: usize, outputs: usize) -> SparkError {
    SparkError::new(
        "UDTF_ALIAS_NUMBER_MISMATCH",
        "42802",
        format!(
            "The number of aliases supplied in the AS clause does not match the number of columns output by the UDTF. \
             Expected {outputs} aliases, but got {aliases}. Please ensure that the number of aliases provided matches \
             the number of columns output by the UDTF."
        ),
    )
    .param("aliasesSize", aliases.to_string())
    .param("aliasesNames", "")
}
