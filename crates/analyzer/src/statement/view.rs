//! CREATE VIEW.

use std::{collections::BTreeMap, sync::Arc};

use firesteel_plan::{
    SparkError, SparkResult,
    conf::keys,
    expr::MultipartName,
    relation::ColumnDefinition,
    statement::{CreateView, SchemaBinding},
    types::StructField,
};

use super::{cache, catalog_table, is_view, table_name};
use crate::{
    Analyzed,
    catalog::{Table, TableKind, View},
    errors,
    session::{Session, TempView, time_zone},
    tables,
};

pub(super) async fn create(session: &Session, create: &CreateView, text: &str) -> SparkResult<Analyzed> {
    // The query must be right now; what it reads may change until the view is used.
    let database = session.current_database();
    let tables = tables::load(session, &[&create.query], &database).await;
    let query = super::plan_with(session, &tables, &create.query, text, &database)?;
    if !create.temporary
        && !create.global
        && let Some((kind, temporary)) = tables.temporaries().first()
    {
        let (database, name) = table_name(session, &create.name)?;
        let name = [crate::catalog::SESSION_CATALOG.to_owned(), database, name];
        return Err(super::temporary_reference("VIEW", &name, kind, temporary));
    }
    let names: Vec<String> = if create.columns.is_empty() {
        query.columns.iter().map(|c| c.name.clone()).collect()
    } else {
        create.columns.iter().map(|(name, _)| name.clone()).collect()
    };
    if names.len() != query.columns.len() {
        let too_many = names.len() < query.columns.len();
        return Err(view_arity(
            &create.name,
            too_many,
            &names,
            &query.columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>(),
        ));
    }
    super::create::check_duplicates(names.iter(), session.conf().bool(&keys::CASE_SENSITIVE))?;
    let conf = session.conf();
    let mut captured: Vec<(String, String)> = [&keys::ANSI_ENABLED, &keys::CASE_SENSITIVE]
        .iter()
        .map(|key| (key.name.to_owned(), conf.text(key).to_owned()))
        .collect();
    captured.push((keys::SESSION_TIME_ZONE.name.to_owned(), time_zone(&conf)));
    let view = Arc::new(View {
        query: create.query.clone(),
        text: text.to_owned(),
        query_text: create.query_text.clone(),
        columns: create.columns.clone(),
        database: session.current_database(),
        conf: captured,
        binding: match create.schema_binding {
            Some(binding) => {
                check_binding_enabled(session)?;
                Some(binding)
            }
            None => default_binding(session),
        },
        query_columns: query.columns.iter().map(|c| c.name.clone()).collect(),
    });
    if create.temporary || create.global {
        let Some(name) = create.name.last() else { return Err(SparkError::internal("a view without a name")) };
        if create.if_not_exists && exists(session, name, create.global) {
            return Ok(Analyzed::Done);
        }
        let known = if create.replace { cache::Known::of(session, &create.name).await } else { None };
        if !create.replace || !exists(session, name, create.global) {
            session.add_temp_view(name, TempView::Query(view), create.global, create.replace)?;
        } else {
            check_not_recursive(session, &create.name, create, text).await?;
            session.add_temp_view(name, TempView::Query(view), create.global, true)?;
            // Also when it means the same as before: Spark does not look.
            if let Some(known) = known {
                known.forget(session);
            }
        }
        return Ok(Analyzed::Done);
    }
    let (database, name) = table_name(session, &create.name)?;
    if let Some(existing) = catalog_table(session, &create.name).await? {
        if create.if_not_exists {
            return Ok(Analyzed::Done);
        }
        if !create.replace {
            return Err(errors::table_exists(&existing.full_name()));
        }
        if !is_view(&existing) {
            return Err(SparkError::new(
                "EXPECT_VIEW_NOT_TABLE.NO_ALTERNATIVE",
                "42809",
                format!(
                    "'{}' expects a view but {} is a table.",
                    "CREATE OR REPLACE VIEW",
                    errors::ids(&existing.full_name())
                ),
            )
            .param("tableName", errors::ids(&existing.full_name())));
        }
    }
    let schema = names
        .into_iter()
        .zip(&query.columns)
        .zip(create.columns.iter().map(|(_, comment)| comment.clone()).chain(std::iter::repeat(None)))
        .map(|((name, column), comment)| StructField {
            name,
            data_type: column.stored_type(),
            nullable: column.nullable,
            comment: comment.or_else(|| column.comment.clone()),
        })
        .collect();
    let table = Table {
        database: database.to_lowercase(),
        name: name.to_lowercase(),
        kind: TableKind::View(view),
        schema,
        partition_columns: Vec::new(),
        defaults: BTreeMap::new(),
        comment: create.comment.clone(),
        properties: create.properties.iter().cloned().collect(),
        collation: create.collation.as_ref().map(|c| c.to_uppercase()),
        partitions: Vec::new(),
    };
    let known = if create.replace { cache::Known::of(session, &create.name).await } else { None };
    session.catalog().create_table(table, create.replace).await?;
    if let Some(known) = known {
        known.forget(session);
    }
    Ok(Analyzed::Done)
}

/// Whether a key that is on unless it is set otherwise is on.
fn is_on(session: &Session, key: &str) -> bool {
    session.conf().get_raw(key).is_none_or(|v| v.trim().eq_ignore_ascii_case("true"))
}

const BINDING_MODE: &str = "spark.sql.legacy.viewSchemaBindingMode";

/// What views do when tables change, unless they say.
fn default_binding(session: &Session) -> Option<SchemaBinding> {
    if !is_on(session, BINDING_MODE) {
        return None;
    }
    let compensates = is_on(session, "spark.sql.legacy.viewSchemaCompensation");
    Some(if compensates { SchemaBinding::Compensation } else { SchemaBinding::Binding })
}

pub(super) fn check_binding_enabled(session: &Session) -> SparkResult<()> {
    if is_on(session, BINDING_MODE) {
        return Ok(());
    }
    Err(SparkError::new(
        "FEATURE_NOT_ENABLED",
        "56038",
        format!(
            "The feature VIEW ... WITH SCHEMA ... is not enabled. Consider setting the config {BINDING_MODE} to true to enable this \
             capability."
        ),
    )
    .param("featureName", "VIEW ... WITH SCHEMA ...")
    .param("configKey", BINDING_MODE)
    .param("configValue", "true"))
}

/// The columns of a catalog's view: those of its tables where it follows them and they can be read.
pub(super) async fn current_schema(session: &Session, table: &Table, view: &View) -> Vec<StructField> {
    if !matches!(view.binding, Some(SchemaBinding::Evolution | SchemaBinding::TypeEvolution)) {
        return table.schema.clone();
    }
    let kind = firesteel_plan::RelationKind::Table { name: table.full_name(), options: Vec::new() };
    match super::plan_query(session, &firesteel_plan::Relation::bare(kind), "").await {
        Ok(query) => query
            .columns
            .into_iter()
            .map(|c| {
                let known = table.schema.iter().find(|f| f.name == c.name);
                let data_type = c.stored_type();
                let comment = c.comment.or_else(|| known.and_then(|f| f.comment.clone()));
                StructField { name: c.name, data_type, nullable: c.nullable, comment }
            })
            .collect(),
        Err(_) => table.schema.clone(),
    }
}

/// A view that would read itself is refused.
async fn check_not_recursive(
    session: &Session,
    name: &MultipartName,
    create: &CreateView,
    _text: &str,
) -> SparkResult<()> {
    let [single] = name.as_slice() else { return Ok(()) };
    let database = session.current_database();
    let mut queue = vec![create.query.clone()];
    let mut seen: Vec<String> = Vec::new();
    while let Some(relation) = queue.pop() {
        let mut names = Vec::new();
        crate::visit::each_relation(&relation, &mut |r| {
            if let firesteel_plan::RelationKind::Table { name, .. } = &r.kind
                && let [view] = name.as_slice()
            {
                names.push(view.to_lowercase());
            }
        });
        for view in names {
            if view == single.to_lowercase() && !shadowed_by_cte(&create.query, &view) {
                let shown = errors::ids(name);
                return Err(SparkError::new(
                    "RECURSIVE_VIEW",
                    "42K0H",
                    format!("Recursive view {shown} detected (cycle: {shown} -> {shown})."),
                )
                .param("viewIdent", shown.clone())
                .param("newPath", format!("{shown} -> {shown}")));
            }
            if seen.contains(&view) {
                continue;
            }
            if let Ok(Some(tables::Found::View { view: found, temporary: true, .. })) =
                tables::find_table(session, std::slice::from_ref(&view), &[], &database).await
            {
                queue.push(found.query.clone());
            }
            seen.push(view);
        }
    }
    Ok(())
}

fn shadowed_by_cte(query: &firesteel_plan::Relation, name: &str) -> bool {
    let mut found = false;
    crate::visit::each_relation(query, &mut |r| {
        if let firesteel_plan::RelationKind::With { ctes, .. } = &r.kind {
            found |= ctes.iter().any(|c| c.name.eq_ignore_ascii_case(name));
        }
    });
    found
}

fn exists(session: &Session, name: &str, global: bool) -> bool {
    if global { session.global_temp_view(name).is_some() } else { session.temp_view(name).is_some() }
}

#[expect(clippy::too_many_arguments)]
pub(super) async fn create_using(
    session: &Session,
    name: &MultipartName,
    columns: &[ColumnDefinition],
    format: &str,
    options: &[(String, String)],
    replace: bool,
    global: bool,
    if_not_exists: bool,
) -> SparkResult<Analyzed> {
    let Some(view) = name.last() else { return Err(SparkError::internal("a view without a name")) };
    if if_not_exists && exists(session, view, global) {
        return Ok(Analyzed::Done);
    }
    if !columns.is_empty() && !options.iter().any(|(k, _)| k.eq_ignore_ascii_case("path")) {
        let view = TempView::Query(Arc::new(empty_view(session, columns)));
        session.add_temp_view(name.last().map_or("", String::as_str), view, global, replace)?;
        return Ok(Analyzed::Done);
    }
    let schema = (!columns.is_empty()).then(|| columns.iter().map(super::create::struct_field).collect());
    let mut spec = tables::source_spec(session, Some(format), schema, options, &[])?;
    // Files that are not there, or a schema that cannot be found, are told now; the schema stays as it is now.
    let open = firesteel_engine::source::open(session.engine(), spec.clone()).await?;
    if spec.schema.is_none() {
        spec.schema = Some(open.schema);
        spec.partition_columns = Some(open.partition_columns);
    }
    let known = if replace { cache::Known::of(session, name).await } else { None };
    session.add_temp_view(view, TempView::Files(spec), global, replace)?;
    if let Some(known) = known {
        known.forget(session);
    }
    Ok(Analyzed::Done)
}

/// A view of no files: the columns are there, and no rows.
fn empty_view(session: &Session, columns: &[ColumnDefinition]) -> View {
    use firesteel_plan::{
        Expr, ExprKind, Relation, RelationKind,
        expr::{CastMode, Literal},
    };
    let null = |column: &ColumnDefinition| {
        let kind = ExprKind::Cast {
            operand: Box::new(Expr::literal(Literal::Null)),
            data_type: column.data_type.clone(),
            mode: CastMode::Session,
        };
        Expr::bare(kind).alias(&column.name)
    };
    let list = RelationKind::Project {
        input: Box::new(Relation::bare(RelationKind::OneRow)),
        exprs: columns.iter().map(null).collect(),
    };
    let nothing =
        RelationKind::Limit { input: Box::new(Relation::bare(list)), limit: Expr::literal(Literal::Integer(0)) };
    View {
        query: Relation::bare(nothing),
        text: String::new(),
        query_text: String::new(),
        columns: columns.iter().map(|c| (c.name.clone(), c.comment.clone())).collect(),
        database: session.current_database(),
        conf: Vec::new(),
        binding: None,
        query_columns: columns.iter().map(|c| c.name.clone()).collect(),
    }
}

fn view_arity(name: &[String], too_many: bool, view: &[String], data: &[String]) -> SparkError {
    let list = |names: &[String]| names.iter().map(|n| errors::id(n)).collect::<Vec<_>>().join(", ");
    let (kind, reason) = if too_many {
        ("TOO_MANY_DATA_COLUMNS", "too many data columns")
    } else {
        ("NOT_ENOUGH_DATA_COLUMNS", "not enough data columns")
    };
    SparkError::new(
        format!("CREATE_VIEW_COLUMN_ARITY_MISMATCH.{kind}"),
        "21S01",
        format!(
            "Cannot create view {}, the reason is {reason}:\nView columns: {}.\nData columns: {}.",
            errors::ids(name),
            list(view),
            list(data)
        ),
    )
    .param("viewName", errors::ids(name))
    .param("viewColumns", list(view))
    .param("dataColumns", list(data))
}
