//! CREATE, DROP and DESCRIBE of functions.

use std::cell::RefCell;

use firesteel_functions::{cast, literal, registry};
use firesteel_plan::{
    DataType, Expr, Relation, RelationKind, SparkError, SparkResult,
    conf::keys,
    expr::{Literal, MultipartName},
    relation::ColumnDefinition,
    statement::{CreateFunction, FunctionBody, FunctionResult, FunctionReturns, SqlFunction},
    types::StructField,
};

use super::text_rows;
use crate::{
    Analyzed,
    catalog::SESSION_CATALOG,
    errors,
    expression::{Clause, Env, has_aggregate, has_subquery, has_window, is_generator},
    function::{self, FunctionArgs, FunctionParameter, Place, Returns, UserFunction},
    query::RelEnv,
    session::{Session, time_zone},
    tables, visit,
};

pub(super) async fn create(session: &Session, create: &CreateFunction, text: &str) -> SparkResult<Analyzed> {
    let FunctionBody::Sql(sql) = &create.body else {
        return Err(SparkError::unsupported("CREATE FUNCTION of a class of the JVM"));
    };
    let name = full_name(session, &create.name, create.temporary)?;
    let short = name.last().cloned().unwrap_or_default();
    check(&short, sql)?;
    let known = function::find(session, &name, &session.current_database());
    let builtin = create.temporary && registry::lookup(&short.to_lowercase()).is_some();
    if (known.is_some() || builtin) && !create.replace {
        if create.if_not_exists {
            return Ok(Analyzed::Done);
        }
        let shown = errors::ids(&name);
        return Err(SparkError::new(
            "ROUTINE_ALREADY_EXISTS",
            "42723",
            format!("Cannot create the routine {shown} because a routine of that name already exists."),
        )
        .param("routineName", shown)
        .param("newRoutineType", "routine")
        .param("existingRoutineType", "routine"));
    }
    let conf = session.conf();
    let mut captured: Vec<(String, String)> = [&keys::ANSI_ENABLED, &keys::CASE_SENSITIVE]
        .iter()
        .map(|key| (key.name.to_owned(), conf.text(key).to_owned()))
        .collect();
    captured.push((keys::SESSION_TIME_ZONE.name.to_owned(), time_zone(&conf)));
    let mut new = UserFunction {
        name,
        temporary: create.temporary,
        parameters: sql.parameters.iter().map(parameter).collect(),
        returns: match &sql.returns {
            FunctionReturns::Inferred => Returns::Scalar(DataType::Null),
            FunctionReturns::Scalar(data_type) => Returns::Scalar(data_type.clone()),
            FunctionReturns::Table(columns) => Returns::Table(columns.clone().unwrap_or_default()),
        },
        result: sql.result.clone(),
        text: text.to_owned(),
        body: sql.text.clone(),
        comment: sql.comment.clone(),
        deterministic: sql.deterministic.unwrap_or(true),
        reads_data: sql.reads_data.unwrap_or(false),
        database: session.current_database(),
        conf: captured,
    };
    check_cycle(session, &new)?;
    let inferred = resolve(session, &new, text).await?;
    if matches!(sql.returns, FunctionReturns::Inferred | FunctionReturns::Table(None)) {
        new.returns = inferred;
    }
    check_access(session, &mut new, sql)?;
    session.add_function(new);
    Ok(Analyzed::Done)
}

fn parameter(column: &ColumnDefinition) -> FunctionParameter {
    FunctionParameter {
        name: column.name.clone(),
        data_type: column.data_type.clone(),
        default: column.default.clone(),
        default_text: column.default_text.clone(),
        comment: column.comment.clone(),
    }
}

/// The name as the function is known by.
fn full_name(session: &Session, name: &MultipartName, temporary: bool) -> SparkResult<Vec<String>> {
    let Some(last) = name.last() else { return Err(SparkError::internal("a function without a name")) };
    if temporary {
        return Ok(vec![last.clone()]);
    }
    match name.as_slice() {
        [f] => Ok(vec![SESSION_CATALOG.to_owned(), session.current_database(), f.clone()]),
        [database, f] => Ok(vec![SESSION_CATALOG.to_owned(), database.to_lowercase(), f.clone()]),
        [catalog, database, f] if catalog.eq_ignore_ascii_case(SESSION_CATALOG) => {
            Ok(vec![SESSION_CATALOG.to_owned(), database.to_lowercase(), f.clone()])
        }
        _ => Err(single_part_namespace(name)),
    }
}

pub(super) fn single_part_namespace(name: &[String]) -> SparkError {
    let shown = errors::ids(name);
    SparkError::new(
        "REQUIRES_SINGLE_PART_NAMESPACE",
        "42K05",
        format!("{SESSION_CATALOG} requires a single-part namespace, but got identifier {shown}."),
    )
    .param("sessionCatalog", SESSION_CATALOG)
    .param("identifier", shown)
}

fn wrong(subclass: &str, message: String) -> SparkError {
    let class = format!("USER_DEFINED_FUNCTIONS.{subclass}");
    SparkError::new(class, "42601", format!("User defined function is invalid: {message}"))
}

/// What is wrong with a function's signature whatever its text is.
fn check(name: &str, sql: &SqlFunction) -> SparkResult<()> {
    let twice = |names: &mut dyn Iterator<Item = &String>| {
        let mut seen: Vec<String> = Vec::new();
        let mut twice: Vec<String> = Vec::new();
        for name in names {
            let lower = name.to_lowercase();
            if seen.contains(&lower) && !twice.contains(&lower) {
                twice.push(lower.clone());
            }
            seen.push(lower);
        }
        let shown: Vec<String> = twice.iter().map(|n| errors::id(n)).collect();
        (!shown.is_empty()).then(|| shown.join(", "))
    };
    if let Some(names) = twice(&mut sql.parameters.iter().map(|p| &p.name)) {
        return Err(SparkError::new(
            "DUPLICATE_ROUTINE_PARAMETER_NAMES",
            "42734",
            format!("Found duplicate name(s) in the parameter list of the user-defined routine {name}: {names}."),
        )
        .param("routineName", name)
        .param("names", names));
    }
    let fields: &[StructField] = match &sql.returns {
        FunctionReturns::Table(Some(columns)) => columns,
        _ => &[],
    };
    if let Some(columns) = twice(&mut fields.iter().map(|f| &f.name)) {
        return Err(SparkError::new(
            "DUPLICATE_ROUTINE_RETURNS_COLUMNS",
            "42711",
            format!("Found duplicate column(s) in the RETURNS clause column list of the user-defined routine {name}: {columns}."),
        )
        .param("routineName", name)
        .param("columns", columns));
    }
    if sql.parameters.iter().any(|p| !p.nullable) || fields.iter().any(|f| !f.nullable) {
        return Err(wrong(
            "NOT_NULL_ON_FUNCTION_PARAMETERS",
            "Cannot specify NOT NULL on function parameters.".to_owned(),
        ));
    }
    let texts = sql.parameters.iter().map(|p| &p.data_type).chain(fields.iter().map(|f| &f.data_type));
    let returned = match &sql.returns {
        FunctionReturns::Scalar(data_type) => Some(data_type),
        _ => None,
    };
    if texts.chain(returned).any(DataType::is_char_or_varchar) {
        return Err(SparkError::new(
            "UNSUPPORTED_CHAR_OR_VARCHAR_AS_STRING",
            "0A000",
            "The char/varchar type can't be used in the table schema. If you want Spark treat them as string type as same as \
             Spark 3.0 and earlier, please set \"spark.sql.legacy.charVarcharAsString\" to \"true\".",
        ));
    }
    for (at, parameter) in sql.parameters.iter().enumerate() {
        let Some(default) = &parameter.default else { continue };
        if let Some(next) = sql.parameters.get(at + 1).filter(|next| next.default.is_none()) {
            return Err(wrong(
                "NOT_A_VALID_DEFAULT_PARAMETER_POSITION",
                format!(
                    "In routine {name} parameter {} with DEFAULT must not be followed by parameter {} without DEFAULT.",
                    parameter.name, next.name
                ),
            )
            .param("functionName", name)
            .param("parameterName", &parameter.name)
            .param("nextParameterName", &next.name));
        }
        if has_subquery(default) || has_aggregate(default) || has_window(default) || is_generator(default) {
            return Err(wrong(
                "NOT_A_VALID_DEFAULT_EXPRESSION",
                format!(
                    "The DEFAULT expression of parameter {} of {name} is not supported because it contains a subquery.",
                    parameter.name
                ),
            )
            .param("functionName", name)
            .param("parameterName", &parameter.name));
        }
    }
    match (&sql.returns, &sql.result) {
        (FunctionReturns::Table(_), FunctionResult::Expr(_)) => {
            Err(wrong("SQL_TABLE_UDF_BODY_MUST_BE_A_QUERY", format!("SQL table function {name} body must be a query."))
                .param("name", name))
        }
        (_, FunctionResult::Expr(e)) if has_aggregate(e) || has_window(e) || is_generator(e) => Err(wrong(
            "CANNOT_CONTAIN_COMPLEX_FUNCTIONS",
            "SQL scalar function cannot contain aggregate/window/generate functions.".to_owned(),
        )
        .param("queryText", &sql.text)),
        _ => Ok(()),
    }
}

/// Functions that a function's text calls, by name.
fn calls(function: &UserFunction) -> Vec<Vec<String>> {
    let names = RefCell::new(Vec::new());
    let mut on_relation = |r: &Relation| {
        if let RelationKind::TableFunction { name, .. } = &r.kind {
            names.borrow_mut().push(name.clone());
        }
    };
    let mut on_expr = |e: &Expr| {
        if let firesteel_plan::ExprKind::Function(call) = &e.kind {
            names.borrow_mut().push(call.name.clone());
        }
    };
    match &function.result {
        FunctionResult::Expr(e) => visit::each_in_expr(e, &mut on_relation, &mut on_expr),
        FunctionResult::Query(query) => visit::each_in_relation(query, &mut on_relation, &mut on_expr),
    }
    names.into_inner()
}

/// A function that would call itself, at once or through others, is refused.
fn check_cycle(session: &Session, new: &UserFunction) -> SparkResult<()> {
    let mut queue: Vec<(UserFunction, Vec<String>)> = vec![(new.clone(), vec![errors::ids(&new.name)])];
    let mut steps = 0;
    while let Some((function, path)) = queue.pop() {
        steps += 1;
        if steps > 1000 {
            return Ok(());
        }
        for name in calls(&function) {
            if name.len() == 1 && registry::lookup(&name[0].to_lowercase()).is_some() {
                continue;
            }
            let is_new = match function::place(&name) {
                Place::Anywhere(f) => new.short_name().eq_ignore_ascii_case(&f),
                Place::Session(f) => new.temporary && new.short_name().eq_ignore_ascii_case(&f),
                Place::Database(database, f) => {
                    !new.temporary && new.name.get(1) == Some(&database) && new.short_name().eq_ignore_ascii_case(&f)
                }
                Place::Nowhere => false,
            };
            if is_new && function::find(session, &new.name, &new.database).is_some() {
                let path = path.iter().cloned().chain([errors::ids(&new.name)]).collect::<Vec<_>>().join(" -> ");
                return Err(SparkError::new(
                    "CYCLIC_FUNCTION_REFERENCE",
                    "42887",
                    format!("Cyclic function reference detected: {path}."),
                )
                .param("path", path));
            }
            if let Some(called) = function::find(session, &name, &function.database) {
                let path = path.iter().cloned().chain([errors::ids(&called.name)]).collect();
                queue.push(((*called).clone(), path));
            }
        }
    }
    Ok(())
}

/// Checks the text with parameters that have no value, and tells what it returns.
async fn resolve(session: &Session, new: &UserFunction, text: &str) -> SparkResult<Returns> {
    let relation = body_relation(new);
    let defaults = Relation::bare(RelationKind::Project {
        input: Box::new(Relation::bare(RelationKind::OneRow)),
        exprs: new.parameters.iter().filter_map(|p| p.default.clone()).collect(),
    });
    let tables = tables::load(session, &[&relation, &defaults], &new.database).await;
    let warnings = RefCell::new(Vec::new());
    let analyzer = session.analyzer(&tables, &warnings);
    let rel = RelEnv::new(text, &new.database);
    let nowhere = Env::new(&rel, &[], Clause::Other);
    let mode = analyzer.functions.mode();
    let mut values = Vec::with_capacity(new.parameters.len());
    for parameter in &new.parameters {
        if let Some(default) = &parameter.default {
            let value = analyzer.expr(default, &nowhere)?;
            cast::cast(&analyzer.functions, value, &parameter.data_type, mode)?;
        }
        let null = literal::literal(&analyzer.functions, &Literal::Null)?;
        values.push((parameter.name.clone(), cast::cast(&analyzer.functions, null, &parameter.data_type, mode)?));
    }
    let caller = nowhere;
    let args = FunctionArgs { function: new.short_name(), values, caller: &caller };
    let returns = match &new.returns {
        Returns::Scalar(wanted) => {
            let value = analyzer.function_body(new, &args, 0)?;
            if *wanted != DataType::Null {
                cast::cast(&analyzer.functions, value.clone(), wanted, mode)?;
            }
            Returns::Scalar(value.data_type)
        }
        Returns::Table(_) => {
            let planned = analyzer.function_rows(new, &args, 0)?;
            let columns = planned.scope.attributes.iter();
            Returns::Table(columns.map(|a| StructField::new(&a.name, a.data_type.clone(), true)).collect())
        }
    };
    if !new.temporary
        && let Some((kind, name)) = tables.temporaries().first()
    {
        return Err(super::temporary_reference("FUNCTION", &new.name, kind, name));
    }
    Ok(returns)
}

/// The function's text as a query, for what looks at queries.
fn body_relation(function: &UserFunction) -> Relation {
    match &function.result {
        FunctionResult::Query(query) => query.clone(),
        FunctionResult::Expr(e) => Relation::bare(RelationKind::Project {
            input: Box::new(Relation::bare(RelationKind::OneRow)),
            exprs: vec![e.clone()],
        }),
    }
}

/// CONTAINS SQL promises that no table is read.
fn check_access(session: &Session, new: &mut UserFunction, sql: &SqlFunction) -> SparkResult<()> {
    let mut reads = false;
    visit::each_relation(&body_relation(new), &mut |r| {
        reads |= matches!(r.kind, RelationKind::Table { .. } | RelationKind::DataSource { .. });
    });
    reads |= calls(new)
        .iter()
        .any(|name| function::find(session, name, &new.database).is_some_and(|called| called.reads_data));
    if reads && sql.reads_data == Some(false) {
        return Err(SparkError::new(
            "INVALID_SQL_FUNCTION_DATA_ACCESS",
            "42K0E",
            "Cannot create a SQL function with CONTAINS SQL that accesses a table/view or a SQL function that reads SQL data. Please \
             use READS SQL DATA instead.",
        ));
    }
    new.reads_data = reads || new.reads_data;
    Ok(())
}

pub(super) fn drop(session: &Session, name: &MultipartName, temporary: bool, if_exists: bool) -> SparkResult<Analyzed> {
    let full = full_name(session, name, temporary)?;
    if let [only] = name.as_slice()
        && registry::lookup(&only.to_lowercase()).is_some()
        && function::find(session, &full, &session.current_database()).is_none()
    {
        let shown = errors::ids(name);
        return Err(SparkError::new(
            "FORBIDDEN_OPERATION",
            "42809",
            format!("The operation DROP is not allowed on the FUNCTION: {shown}."),
        )
        .param("statement", "DROP")
        .param("objectType", if temporary { "TEMPORARY FUNCTION" } else { "FUNCTION" })
        .param("objectName", shown));
    }
    if session.drop_function(&full, temporary) || if_exists {
        return Ok(Analyzed::Done);
    }
    Err(not_found(&full))
}

fn not_found(name: &[String]) -> SparkError {
    let shown = errors::ids(name);
    SparkError::new(
        "ROUTINE_NOT_FOUND",
        "42883",
        format!(
            "The routine {shown} cannot be found. Verify the spelling and correctness of the schema and catalog.\nIf you did \
             not qualify the name with a schema and catalog, verify the current_schema() output, or qualify the name with the \
             correct schema and catalog.\nTo tolerate the error on drop use DROP ... IF EXISTS."
        ),
    )
    .param("routineName", shown)
}

/// DESCRIBE FUNCTION of a user's function; the texts of built-in ones are not here.
pub(super) fn describe(session: &Session, name: &MultipartName, extended: bool) -> SparkResult<Analyzed> {
    let Some(function) = function::find(session, name, &session.current_database()) else {
        if let [only] = name.as_slice()
            && registry::lookup(&only.to_lowercase()).is_some()
        {
            return Err(errors::unsupported_statement("DESCRIBE FUNCTION of a built-in function"));
        }
        let path = format!(
            "[`system`.`builtin`, `system`.`session`, `spark_catalog`.{}]",
            errors::id(&session.current_database())
        );
        let shown = errors::ids(name);
        return Err(SparkError::new(
            "UNRESOLVED_ROUTINE",
            "42883",
            format!("Cannot resolve routine {shown} on search path {path}."),
        )
        .param("routineName", shown)
        .param("searchPath", path));
    };
    let mut lines: Vec<(&str, Vec<String>)> = vec![
        ("Function:", vec![function.name.join(".")]),
        ("Type:", vec![if function.is_table() { "TABLE" } else { "SCALAR" }.to_owned()]),
    ];
    let width = function.parameters.iter().map(|p| p.name.len()).max().unwrap_or(0);
    let inputs: Vec<String> = function
        .parameters
        .iter()
        .map(|p| {
            let mut line = format!("{:<width$} {}", p.name, firesteel_plan::naming::type_sql(&p.data_type));
            if let (true, Some(default)) = (extended, &p.default_text) {
                line.push_str(&format!(" DEFAULT {default}"));
            }
            if let (true, Some(comment)) = (extended, &p.comment) {
                line.push_str(&format!(" '{comment}'"));
            }
            line
        })
        .collect();
    lines.push(("Input:", if inputs.is_empty() { vec!["()".to_owned()] } else { inputs }));
    lines.push((
        "Returns:",
        match &function.returns {
            Returns::Scalar(data_type) => vec![firesteel_plan::naming::type_sql(data_type)],
            Returns::Table(columns) => {
                let width = columns.iter().map(|c| c.name.len()).max().unwrap_or(0);
                columns
                    .iter()
                    .map(|c| format!("{:<width$} {}", c.name, firesteel_plan::naming::type_sql(&c.data_type)))
                    .collect()
            }
        },
    ));
    if extended {
        if let Some(comment) = &function.comment {
            lines.push(("Comment:", vec![comment.clone()]));
        }
        lines.push(("Deterministic:", vec![function.deterministic.to_string()]));
        let access = if function.reads_data { "READS SQL DATA" } else { "CONTAINS SQL" };
        lines.push(("Data Access:", vec![access.to_owned()]));
        lines.push(("Body:", vec![function.body.clone()]));
    }
    let width = lines.iter().map(|(label, _)| label.len()).max().unwrap_or(0) + 1;
    let mut rows = Vec::new();
    for (label, values) in lines {
        for (at, value) in values.into_iter().enumerate() {
            let label = if at == 0 { label } else { "" };
            rows.push(vec![format!("{label:<width$}{value}").into()]);
        }
    }
    text_rows(&["function_desc"], rows)
}
