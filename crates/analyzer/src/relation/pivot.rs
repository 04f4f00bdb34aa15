//! PIVOT, UNPIVOT and `|> SET`: relations whose lists are made of others' columns.

use firesteel_functions::{Typed, coercion};
use firesteel_plan::{
    DataType, Expr, ExprKind, Relation, SparkError, SparkResult,
    expr::{BinaryOp, Literal, MultipartName},
    relation::{Grouping, Unpivot},
};

use super::{constant, is_orderable, rename};
use crate::{
    errors,
    expression::{Clause, Env, has_aggregate, is_aggregate_call},
    query::{Analyzer, RelEnv},
    scope::{Attribute, Planned, Scope},
    variable::shown_value,
    visit,
};

/// The parts of PIVOT.
pub(super) struct Pivot<'a> {
    pub grouping: Option<&'a [Expr]>,
    pub aggregates: &'a [Expr],
    pub column: &'a Expr,
    pub values: &'a [Expr],
}

fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    Expr::bare(ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) })
}

fn unaliased(e: &Expr) -> (&Expr, Option<&str>) {
    match &e.kind {
        ExprKind::Alias { operand, names } => (operand, names.first().map(String::as_str)),
        _ => (e, None),
    }
}

fn named(attribute: &Attribute) -> Expr {
    Expr::bare(ExprKind::Attribute { name: attribute.full_name(), plan_id: None })
}

impl Analyzer<'_> {
    /// One row a group of the columns that are not named, with each aggregate once a value of the pivot column.
    pub(super) fn pivot(&self, input: &Relation, pivot: &Pivot<'_>, env: &RelEnv<'_>) -> SparkResult<Planned> {
        let planned = self.relation(input, env)?;
        let scope = planned.scope.clone();
        let scopes = [&scope];
        let expr_env = Env::new(env, &scopes, Clause::Select);
        let column = self.expr(pivot.column, &expr_env)?;
        if !is_orderable(&column.data_type) {
            let shown = errors::id(&self.show(pivot.column, &expr_env));
            return Err(SparkError::new(
                "INCOMPARABLE_PIVOT_COLUMN",
                "42818",
                format!("Invalid pivot column {shown}. Pivot columns must be comparable."),
            )
            .param("columnName", shown));
        }
        for e in pivot.aggregates {
            self.check_pivot_aggregate(e, &expr_env)?;
        }
        let counts_as_null = self.pivots_numbers(planned.clone(), pivot.aggregates, env)?;
        let mut list: Vec<Expr> = Vec::new();
        let grouping: Vec<Expr> = match pivot.grouping {
            Some(exprs) => exprs.to_vec(),
            None => self.other_columns(&scope, pivot, &expr_env)?.iter().map(named).collect(),
        };
        list.extend(grouping.iter().cloned());
        for value in pivot.values {
            let (value, alias) = unaliased(value);
            let name = match alias {
                Some(alias) => alias.to_owned(),
                None => self.pivot_value_name(value, &column, &expr_env)?,
            };
            self.check_pivot_value(value, &column, &expr_env)?;
            let condition = equals(pivot.column, value);
            for aggregate in pivot.aggregates {
                let (operand, alias) = unaliased(aggregate);
                let mut filtered = operand.clone();
                put_filter(&mut filtered, &condition);
                if counts_as_null {
                    filtered = null_without_rows(filtered, &condition);
                }
                let shown = match alias {
                    _ if pivot.aggregates.len() == 1 => name.clone(),
                    Some(alias) => format!("{name}_{alias}"),
                    None => format!("{name}_{}", self.column_name(operand, &expr_env)),
                };
                list.push(filtered.alias(shown));
            }
        }
        self.aggregate_of(planned, &list, &Grouping::Exprs(grouping), env)
    }

    fn check_pivot_aggregate(&self, e: &Expr, env: &Env<'_>) -> SparkResult<()> {
        let (operand, _) = unaliased(e);
        if has_aggregate(operand) {
            return Ok(());
        }
        let mut shown = self.show(operand, env);
        visit::each_in_expr(operand, &mut |_| {}, &mut |e| {
            if let ExprKind::Attribute { name, .. } = &e.kind
                && let Some(scope) = env.scopes.first()
                && let Ok(Some(found)) = scope.find(name, self.case_sensitive())
            {
                shown = found.attribute.full_name().join(".");
            }
        });
        Err(SparkError::new(
            "_LEGACY_ERROR_TEMP_1006",
            "",
            format!("Aggregate expression required for pivot, but '{shown}' did not appear in any aggregate function."),
        )
        .param("sql", shown))
    }

    /// Whether all aggregates are numbers or booleans: where no row has a value these are null, counts too.
    fn pivots_numbers(&self, planned: Planned, aggregates: &[Expr], env: &RelEnv<'_>) -> SparkResult<bool> {
        let list: Vec<Expr> = aggregates.iter().map(|e| unaliased(e).0.clone()).collect();
        let of_all = self.aggregate_of(planned, &list, &Grouping::None, env)?;
        Ok(of_all.scope.attributes.iter().all(|a| a.data_type.is_numeric() || a.data_type == DataType::Boolean))
    }

    /// The columns that neither the pivot column nor an aggregate names.
    fn other_columns(&self, scope: &Scope, pivot: &Pivot<'_>, env: &Env<'_>) -> SparkResult<Vec<Attribute>> {
        let mut used: Vec<u64> = Vec::new();
        let mut failed = None;
        for e in pivot.aggregates.iter().chain([pivot.column]) {
            visit::each_in_expr(e, &mut |_| {}, &mut |e| {
                let ExprKind::Attribute { name, .. } = &e.kind else { return };
                match scope.find(name, self.case_sensitive()) {
                    Ok(Some(found)) => used.push(found.attribute.id),
                    Ok(None) => {}
                    Err(error) => failed = Some(env.rel.locate(error, e.span)),
                }
            });
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(scope.attributes.iter().filter(|a| !used.contains(&a.id)).cloned().collect()),
        }
    }

    fn check_pivot_value(&self, value: &Expr, column: &Typed, env: &Env<'_>) -> SparkResult<()> {
        let typed = self.expr(value, env)?;
        if constant(typed.expr.clone()).is_none() {
            let shown = errors::sql_expr(&self.show(value, env));
            return Err(SparkError::new(
                "NON_LITERAL_PIVOT_VALUES",
                "42K08",
                format!("Literal expressions required for pivot values, found {shown}."),
            )
            .param("expression", shown));
        }
        let is_struct = |t: &DataType| matches!(t, DataType::Struct(_));
        let fits = coercion::comparison_type(&typed.data_type, &column.data_type, self.functions.ansi).is_some()
            || is_struct(&typed.data_type) && is_struct(&column.data_type);
        if fits {
            return Ok(());
        }
        let (shown, from, to) = (self.show(value, env), typed.data_type.to_string(), column.data_type.to_string());
        Err(SparkError::new(
            "PIVOT_VALUE_DATA_TYPE_MISMATCH",
            "42K09",
            format!(
                "Invalid pivot value '{shown}': value data type {from} does not match pivot column data type {to}."
            ),
        )
        .param("value", shown)
        .param("valueType", from)
        .param("pivotType", to))
    }

    fn pivot_value_name(&self, value: &Expr, column: &Typed, env: &Env<'_>) -> SparkResult<String> {
        let typed = self.expr(value, env)?;
        let same_kind = coercion::comparison_type(&typed.data_type, &column.data_type, self.functions.ansi).is_some();
        let typed = match same_kind {
            true if coercion::can_implicitly_cast(&typed.data_type, &column.data_type, self.functions.ansi) => {
                coercion::implicit(&self.functions, typed, &column.data_type)?
            }
            _ => typed,
        };
        Ok(match constant(typed.expr.clone()) {
            Some(value) => shown_value(&self.functions, &value, &typed.data_type)?,
            // Refused by its name.
            None => self.show(value, env),
        })
    }

    /// Each row of the input once a group of columns.
    pub(super) fn unpivot(&self, unpivot: &Unpivot, env: &RelEnv<'_>) -> SparkResult<Planned> {
        let planned = self.relation(&unpivot.input, env)?;
        let scope = planned.scope.clone();
        let scopes = [&scope];
        let expr_env = Env::new(env, &scopes, Clause::Select);
        let mut used: Vec<u64> = Vec::new();
        let mut groups: Vec<(String, Vec<Typed>)> = Vec::with_capacity(unpivot.values.len());
        let width = unpivot.value_names.len();
        for (columns, label) in &unpivot.values {
            if columns.len() != width {
                return Err(SparkError::new(
                    "UNPIVOT_VALUE_SIZE_MISMATCH",
                    "428C4",
                    format!(
                        "All unpivot value columns must have the same size as there are value column names ({}).",
                        unpivot.value_names.join(", ")
                    ),
                )
                .param("names", unpivot.value_names.join(", ")));
            }
            let mut values = Vec::with_capacity(width);
            let mut names = Vec::with_capacity(width);
            for e in columns {
                if let ExprKind::Attribute { name, .. } = &e.kind {
                    names.push(name.last().cloned().unwrap_or_default());
                    if let Some(found) = scope.find(name, self.case_sensitive())? {
                        used.push(found.attribute.id);
                    }
                }
                values.push(self.expr(e, &expr_env)?);
            }
            groups.push((label.clone().unwrap_or_else(|| names.join("_")), values));
        }
        for at in 0..width {
            let types: Vec<DataType> = groups.iter().map(|(_, v)| v[at].data_type.clone()).collect();
            let Some(common) = coercion::common_type_of(&types, self.functions.ansi) else {
                return Err(no_common_type(&types));
            };
            for (_, values) in &mut groups {
                values[at] = coercion::implicit(&self.functions, values[at].clone(), &common)?;
            }
        }
        let mut args = vec![Typed::new(
            datafusion::logical_expr::lit(i32::try_from(groups.len()).unwrap_or(i32::MAX)),
            DataType::Integer,
            false,
        )];
        for (label, values) in groups {
            args.push(Typed::new(datafusion::logical_expr::lit(label), DataType::String, false));
            args.extend(values);
        }
        let ids: Vec<Attribute> = match &unpivot.ids {
            Some(exprs) => {
                let mut ids = Vec::with_capacity(exprs.len());
                for e in exprs {
                    let ExprKind::Attribute { name, .. } = &e.kind else { continue };
                    match scope.find(name, self.case_sensitive())? {
                        Some(found) => ids.push(found.attribute.clone()),
                        None => return Err(errors::unresolved_column(name, &scope.suggestions(name))),
                    }
                }
                ids
            }
            None => scope.attributes.iter().filter(|a| !used.contains(&a.id)).cloned().collect(),
        };
        let generated = self.generate_from(planned, "stack", args)?;
        let (mut planned, mut columns) = (generated.planned, generated.generated);
        let names = std::iter::once(&unpivot.variable_name).chain(&unpivot.value_names);
        for (attribute, name) in columns.iter_mut().zip(names) {
            attribute.name.clone_from(name);
            attribute.qualifier.clear();
        }
        if !unpivot.include_nulls {
            let kept = columns.iter().skip(1).map(|a| a.expr().is_not_null()).reduce(|a, b| a.or(b));
            if let Some(kept) = kept {
                planned.plan = super::filter_plan(planned.plan, kept)?;
            }
        }
        if let Some(first) = columns.first_mut() {
            first.nullable = false;
        }
        planned.scope = Scope::new(ids.into_iter().chain(columns).collect());
        let planned = planned.exact()?;
        match &unpivot.alias {
            Some(alias) => rename(planned, alias, &[]),
            None => Ok(planned),
        }
    }

    /// `|> SET column = value, …`: one after the other, each sees those before it.
    pub(super) fn set_columns(
        &self,
        input: &Relation,
        assignments: &[(MultipartName, Expr)],
        env: &RelEnv<'_>,
    ) -> SparkResult<Planned> {
        let mut planned = self.relation(input, env)?;
        for (name, value) in assignments {
            let [_] = name.as_slice() else {
                let what = "SQL pipe syntax |> SET operator with multi-part assignment key (only single-part keys are allowed)";
                return Err(SparkError::new("_LEGACY_ERROR_TEMP_0035", "", format!("Operation not allowed: {what}."))
                    .param("message", what));
            };
            let Some(found) = planned.scope.find(name, self.case_sensitive())? else {
                return Err(env.locate(errors::unresolved_column(name, &planned.scope.suggestions(name)), value.span));
            };
            let (id, shown) = (found.attribute.id, found.attribute.name.clone());
            let (attributes, hidden) = (planned.scope.attributes.clone(), planned.scope.hidden.clone());
            planned = self.select_with(
                planned,
                &attributes,
                |a| (a.id == id).then(|| value.clone().alias(shown.clone())),
                env,
            )?;
            // Columns that only a qualified name reaches are gone where the list does not have them.
            let known = planned.plan.schema().clone();
            planned.scope.hidden =
                hidden.into_iter().filter(|a| known.has_column_with_unqualified_name(&a.column)).collect();
        }
        Ok(planned)
    }
}

fn no_common_type(types: &[DataType]) -> SparkError {
    let shown: Vec<String> = types.iter().map(errors::sql_type).collect();
    SparkError::new(
        "UNPIVOT_VALUE_DATA_TYPE_MISMATCH",
        "42K09",
        format!("Unpivot value columns must share a least common type, some types do not: [{}].", shown.join(", ")),
    )
    .param("types", shown.join(", "))
}

/// `column <=> value`; rows of values are compared one by one.
fn equals(column: &Expr, value: &Expr) -> Expr {
    if let (ExprKind::Row(columns), ExprKind::Row(values)) = (&column.kind, &value.kind)
        && columns.len() == values.len()
    {
        let all = columns.iter().zip(values).map(|(c, v)| equals(c, v));
        if let Some(all) = all.reduce(|a, b| binary(BinaryOp::And, a, b)) {
            return all;
        }
    }
    binary(BinaryOp::NullSafeEqual, column.clone(), value.clone())
}

/// Aggregates in the expression see only the rows that fulfil the condition.
fn put_filter(e: &mut Expr, condition: &Expr) {
    if is_aggregate_call(e)
        && let ExprKind::Function(call) = &mut e.kind
    {
        call.filter = Some(match call.filter.take() {
            Some(filter) => binary(BinaryOp::And, filter, condition.clone()),
            None => condition.clone(),
        });
        return;
    }
    for child in visit::expr_children_mut(e) {
        put_filter(child, condition);
    }
}

/// Null where no row of the group fulfils the condition.
fn null_without_rows(e: Expr, condition: &Expr) -> Expr {
    let star = Expr::bare(ExprKind::Star { target: None, except: Vec::new() });
    let mut count = Expr::call("count", vec![star]);
    if let ExprKind::Function(call) = &mut count.kind {
        call.filter = Some(condition.clone());
    }
    let any = binary(BinaryOp::Greater, count, Expr::literal(Literal::Long(0)));
    Expr::bare(ExprKind::Case { operand: None, branches: vec![(any, e)], otherwise: None })
}
