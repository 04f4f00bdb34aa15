//! DECLARE, SET and DROP of variables.

use std::cell::RefCell;

use datafusion::{logical_expr::Expr as DfExpr, scalar::ScalarValue};
use firesteel_functions::{Typed, cast, types};
use firesteel_plan::{
    DataType, Expr, Relation, RelationKind, SparkError, SparkResult,
    expr::{Literal, MultipartName},
    statement::Assignment,
};

use super::default::{check_no_default, is_default, no_subquery, put_defaults};
use crate::{
    Analyzed, AnalyzedAssign, AnalyzedQuery, OutputColumn, errors,
    expression::{Clause, Env},
    query::RelEnv,
    relation::{constant, one_row},
    scope::project,
    session::Session,
    tables, variable,
    variable::{AssignTarget, Variable, VariableId},
};

pub(super) struct Declaration<'a> {
    pub names: &'a [MultipartName],
    pub replace: bool,
    pub data_type: Option<&'a DataType>,
    pub default: Option<&'a Expr>,
    pub default_text: Option<&'a str>,
}

pub(super) async fn declare(session: &Session, declared: &Declaration<'_>, text: &str) -> SparkResult<Analyzed> {
    let variables = session.variables();
    let mut names: Vec<&str> = Vec::with_capacity(declared.names.len());
    for name in declared.names {
        let last = local_name(variables.in_script(), name, declared.replace)?;
        if names.iter().any(|n| n.eq_ignore_ascii_case(last)) {
            let shown = variable::full_name(&last.to_lowercase());
            return Err(SparkError::new(
                "DUPLICATE_VARIABLE_NAME_INSIDE_DECLARE",
                "42734",
                format!("Found duplicate variable {shown} in the declare variable list. Please, remove one of them."),
            )
            .param("variableName", shown));
        }
        names.push(last);
    }
    if let Some(default) = declared.default {
        let shown = variable::full_name(&names.first().copied().unwrap_or_default().to_lowercase());
        no_subquery("DECLARE VARIABLE", &shown, default, declared.default_text.unwrap_or_default())?;
    }
    for name in &names {
        if !declared.replace && variables.declared_here(name) {
            let shown = variable::full_name(&name.to_lowercase());
            return Err(SparkError::new(
                "VARIABLE_ALREADY_EXISTS",
                "42723",
                format!(
                    "Cannot create the variable {shown} because it already exists. Choose a different name, or drop or \
                     replace the existing variable."
                ),
            )
            .param("variableName", shown));
        }
    }
    let null = Expr::literal(Literal::Null);
    let default = declared.default.unwrap_or(&null);
    let value = evaluated(session, &[(default, declared.data_type.cloned())], text).await?;
    let data_type = value.columns.first().map_or(DataType::Null, |c| c.data_type.clone());
    let targets = names
        .into_iter()
        .map(|name| {
            let variable = Variable {
                name: name.to_owned(),
                data_type: data_type.clone(),
                value: ScalarValue::Null,
                default: default.clone(),
                text: text.to_owned(),
            };
            (0, AssignTarget::Declare(Box::new(variable)))
        })
        .collect();
    assigned(session, AnalyzedAssign { query: value, targets })
}

/// The name of a variable that is declared: in a script it is the block's.
fn local_name(in_script: bool, name: &MultipartName, replace: bool) -> SparkResult<&str> {
    if !in_script {
        return variable::session_name(name);
    }
    let wrong = |subclass: &str, message: String| {
        SparkError::new(format!("INVALID_VARIABLE_DECLARATION.{subclass}"), "42K0M", message)
            .param("varName", errors::ids(name))
    };
    match name.as_slice() {
        _ if replace => Err(wrong(
            "REPLACE_LOCAL_VARIABLE",
            "Invalid variable declaration. DECLARE OR REPLACE is not supported for local variables.".to_owned(),
        )),
        [last] => Ok(last),
        _ => Err(wrong(
            "QUALIFIED_LOCAL_VARIABLE",
            format!(
                "Invalid variable declaration. The variable {} must be declared without a qualifier.",
                errors::ids(name)
            ),
        )),
    }
}

/// A query of one row whose columns are the values of the expressions, cast where a type is wanted.
pub(crate) async fn evaluated(
    session: &Session,
    exprs: &[(&Expr, Option<DataType>)],
    text: &str,
) -> SparkResult<AnalyzedQuery> {
    let database = session.current_database();
    let list = exprs.iter().map(|(e, _)| (*e).clone()).collect();
    let kind = RelationKind::Project { input: Box::new(Relation::bare(RelationKind::OneRow)), exprs: list };
    let tables = tables::load(session, &[&Relation::bare(kind)], &database).await;
    let warnings = RefCell::new(Vec::new());
    let analyzer = session.analyzer(&tables, &warnings);
    let env = RelEnv::new(text, &database);
    let expr_env = Env::new(&env, &[], Clause::Other);
    let mut columns = Vec::with_capacity(exprs.len());
    let mut values = Vec::with_capacity(exprs.len());
    for (at, (expr, wanted)) in exprs.iter().enumerate() {
        let value = analyzer.expr(expr, &expr_env)?;
        let value = match wanted {
            Some(to) => cast::cast(&analyzer.functions, value, to, analyzer.functions.mode())?,
            None => value,
        };
        columns.push(OutputColumn::new(format!("c{at}"), value.data_type.clone(), true));
        let folded = match constant(value.expr.clone()) {
            Some(scalar) => DfExpr::Literal(scalar, None),
            None => value.expr,
        };
        values.push(folded.alias(format!("c{at}")));
    }
    Ok(AnalyzedQuery { plan: project(one_row().plan, values)?, columns })
}

/// Assigns at once where the values are constants; otherwise the query is to be run.
pub(crate) fn assigned(session: &Session, assign: AnalyzedAssign) -> SparkResult<Analyzed> {
    match literals(&assign.query) {
        Some(values) => session.assign_values(&assign, values).map(|()| Analyzed::Done),
        None => Ok(Analyzed::Assign(assign)),
    }
}

/// The row of a query that is known without running it.
pub(crate) fn literals(query: &AnalyzedQuery) -> Option<Vec<ScalarValue>> {
    use datafusion::logical_expr::LogicalPlan;
    let LogicalPlan::Projection(projection) = &query.plan else { return None };
    if !matches!(&*projection.input, LogicalPlan::EmptyRelation(empty) if empty.produce_one_row) {
        return None;
    }
    let literal = |e: &DfExpr| match e {
        DfExpr::Alias(alias) => match &*alias.expr {
            DfExpr::Literal(value, _) => Some(value.clone()),
            _ => None,
        },
        _ => None,
    };
    projection.expr.iter().map(literal).collect()
}

pub(super) fn drop(session: &Session, name: &MultipartName, if_exists: bool) -> SparkResult<Analyzed> {
    let last = variable::session_name(name)?;
    if session.change_variables(|v| v.drop(last)) || if_exists {
        return Ok(Analyzed::Done);
    }
    let shown = variable::full_name(last);
    Err(SparkError::new(
        "VARIABLE_NOT_FOUND",
        "42883",
        format!(
            "The variable {shown} cannot be found. Verify the spelling and correctness of the schema and catalog.\nIf you \
             did not qualify the name with a schema and catalog, verify the current_schema() output, or qualify the name \
             with the correct schema and catalog.\nTo tolerate the error on drop use DROP VARIABLE IF EXISTS."
        ),
    )
    .param("variableName", shown))
}

/// The variables that are set, each once.
pub(crate) fn targets<'n>(
    session: &Session,
    names: impl IntoIterator<Item = &'n MultipartName>,
) -> SparkResult<Vec<(VariableId, Variable)>> {
    let variables = session.variables();
    let mut found: Vec<(VariableId, Variable)> = Vec::new();
    for name in names {
        let Some((id, variable)) = variables.exact(name) else {
            let path = format!(
                "[`system`.`builtin`, `system`.`session`, `spark_catalog`.{}]",
                errors::id(&session.current_database())
            );
            return Err(variable::unresolved(name, &path));
        };
        if found.iter().any(|(known, _)| *known == id) {
            let shown = errors::id(&variable.name.to_lowercase());
            return Err(SparkError::new(
                "DUPLICATE_ASSIGNMENTS",
                "42701",
                format!("The columns or variables {shown} appear more than once as assignment targets."),
            )
            .param("nameList", shown));
        }
        found.push((id, variable.clone()));
    }
    Ok(found)
}

pub(super) async fn set(session: &Session, assignments: &[Assignment], text: &str) -> SparkResult<Analyzed> {
    let targets = targets(session, assignments.iter().map(|a| &a.target))?;
    let mut exprs = Vec::with_capacity(assignments.len());
    for (assignment, (_, variable)) in assignments.iter().zip(&targets) {
        let value = if is_default(&assignment.value) {
            variable.default.clone()
        } else {
            check_no_default(&assignment.value)?;
            assignment.value.clone()
        };
        exprs.push((value, variable.data_type.clone()));
    }
    let exprs: Vec<(&Expr, Option<DataType>)> = exprs.iter().map(|(e, t)| (e, Some(t.clone()))).collect();
    let query = evaluated(session, &exprs, text).await?;
    let targets = targets.into_iter().enumerate().map(|(at, (id, _))| (at, AssignTarget::Set(id))).collect();
    assigned(session, AnalyzedAssign { query, targets })
}

pub(super) async fn set_by_query(
    session: &Session,
    names: &[MultipartName],
    query: &Relation,
    text: &str,
) -> SparkResult<Analyzed> {
    let targets = targets(session, names)?;
    let planned = match super::plan_query(session, query, text).await {
        // DEFAULT is a column where there is one of the name.
        Err(error) if error.class().starts_with("UNRESOLVED_COLUMN") => {
            let mut changed = query.clone();
            let defaults: Vec<Expr> = targets.iter().map(|(_, variable)| variable.default.clone()).collect();
            if !put_defaults(&mut changed, &defaults)? {
                return Err(error);
            }
            super::plan_query(session, &changed, text).await?
        }
        planned => planned?,
    };
    into(session, planned, targets)
}

/// The assignment of a query's one row to variables.
pub(crate) fn into(
    session: &Session,
    query: AnalyzedQuery,
    targets: Vec<(VariableId, Variable)>,
) -> SparkResult<Analyzed> {
    use datafusion::logical_expr::{Limit, LogicalPlan, lit};
    if query.columns.len() != targets.len() {
        let (exprs, wanted) = (query.columns.len().to_string(), targets.len().to_string());
        return Err(SparkError::new(
            "ASSIGNMENT_ARITY_MISMATCH",
            "42802",
            format!(
                "The number of columns or variables assigned or aliased: {wanted} does not match the number of source \
                 expressions: {exprs}."
            ),
        )
        .param("numTarget", wanted)
        .param("numExpr", exprs));
    }
    let ctx = session.function_context(&session.conf());
    let names = query.plan.schema().columns();
    let mut exprs = Vec::with_capacity(targets.len());
    let mut columns = Vec::with_capacity(targets.len());
    for ((at, column), (_, variable)) in query.columns.iter().enumerate().zip(&targets) {
        let Some(name) = names.get(at) else { return Err(SparkError::internal("a query with too few columns")) };
        types::to_arrow(&variable.data_type)?;
        let value = Typed::new(DfExpr::Column(name.clone()), column.data_type.clone(), true);
        let value = cast::cast(&ctx, value, &variable.data_type, ctx.mode())?;
        exprs.push(value.expr.alias(format!("c{at}")));
        columns.push(OutputColumn::new(format!("c{at}"), value.data_type, true));
    }
    // The second row is one too many.
    let limited = LogicalPlan::Limit(Limit { skip: None, fetch: Some(Box::new(lit(2_i64))), input: query.plan.into() });
    let query = AnalyzedQuery { plan: project(limited, exprs)?, columns };
    let targets = targets.into_iter().enumerate().map(|(at, (id, _))| (at, AssignTarget::Set(id))).collect();
    Ok(Analyzed::Assign(AnalyzedAssign { query, targets }))
}
