//! CREATE and DROP of tables and databases.

use std::collections::BTreeMap;

use firesteel_engine::{
    source::{self, SourceSpec},
    storage::Location,
    write::{WriteMode, WriteSpec},
};
use firesteel_plan::{
    DataType, SparkError, SparkResult,
    conf::keys,
    expr::MultipartName,
    relation::ColumnDefinition,
    statement::{CreateTable, CreateTableLike, PartitionColumn},
    types::StructField,
};
use firesteel_sql::{ParseOptions, parse_expression};
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt};

use super::{catalog_table, database_name, default, is_view, plan_query, table_name};
use crate::{
    Analyzed, AnalyzedQuery, AnalyzedWrite, CatalogChange,
    catalog::{DEFAULT_DATABASE, Database, SESSION_CATALOG, Table, TableKind},
    errors,
    scope::{project, same_name},
    session::Session,
    tables::Found,
};

pub(super) async fn table(session: &Session, create: &CreateTable, text: &str) -> SparkResult<Analyzed> {
    let (database_name, name) = table_name(session, &create.name)?;
    let Some(database) = session.catalog().database(&database_name).await? else {
        return Err(errors::schema_not_found(&[SESSION_CATALOG.to_owned(), database_name]));
    };
    if let Some(existing) = session.catalog().table(&database_name, &name).await? {
        if create.if_not_exists {
            return Ok(Analyzed::Done);
        }
        if !create.replace {
            return Err(errors::table_exists(&existing.full_name()));
        }
    }
    let conf = session.conf();
    let case_sensitive = conf.bool(&keys::CASE_SENSITIVE);
    let format = create.format.clone().unwrap_or_else(|| conf.text(&keys::DEFAULT_SOURCE).to_owned()).to_lowercase();
    let mut options: BTreeMap<String, String> =
        create.options.iter().map(|(k, v)| (k.to_lowercase(), v.clone())).collect();
    let given = create.location.clone().or_else(|| options.remove("path"));
    if create.external && given.is_none() {
        return Err(SparkError::new(
            "INVALID_STATEMENT_OR_CLAUSE",
            "42601",
            "The statement or clause: CREATE EXTERNAL TABLE must be accompanied by LOCATION is not valid.",
        ));
    }
    let managed = given.is_none();
    let location =
        given.unwrap_or_else(|| format!("{}/{}", database.location.trim_end_matches('/'), name.to_lowercase()));

    let mut columns: Vec<StructField> = create.columns.iter().map(struct_field).collect();
    let mut partition_columns = Vec::with_capacity(create.partitioned_by.len());
    for partition in &create.partitioned_by {
        match partition {
            PartitionColumn::Name(name) => partition_columns.push(name.clone()),
            PartitionColumn::Typed(column) => {
                partition_columns.push(column.name.clone());
                columns.push(struct_field(column));
            }
            PartitionColumn::Transform(_) => return Err(SparkError::unsupported("partition transforms")),
        }
    }
    let query = match &create.query {
        Some(query) => Some(plan_query(session, query, text).await?),
        None => None,
    };
    if let Some(query) = &query {
        if !columns.is_empty() {
            return Err(SparkError::unsupported("column types in CREATE TABLE AS SELECT"));
        }
        columns = query.columns.iter().map(|c| StructField::new(&c.name, c.stored_type(), true)).collect();
        if let Some(void) = columns.iter().find(|c| c.data_type == DataType::Null) {
            return Err(unsupported_type(&format, void));
        }
    } else if columns.is_empty() {
        // The files know.
        let spec = SourceSpec {
            format: format.clone(),
            options: options.clone(),
            paths: vec![location.clone()],
            ..SourceSpec::default()
        };
        let open = source::open(session.engine(), spec).await?;
        columns = open.schema;
        partition_columns = open.partition_columns;
    }
    check_duplicates(columns.iter().map(|c| &c.name), case_sensitive)?;
    let columns_order = partitions_last(&columns, &mut partition_columns, case_sensitive)?;
    let schema: Vec<StructField> = columns_order.iter().map(|i| columns[*i].clone()).collect();

    let table = Table {
        database: database_name.to_lowercase(),
        name: name.to_lowercase(),
        kind: TableKind::Files {
            format: format.clone(),
            location: location.clone(),
            managed,
            options: options.clone(),
        },
        schema: schema.clone(),
        partition_columns: partition_columns.clone(),
        comment: create.comment.clone(),
        properties: create.properties.iter().cloned().collect(),
        collation: create.collation.as_ref().map(|c| c.to_uppercase()),
        defaults: default::of_columns(session, "CREATE TABLE", create.columns.iter()).await?,
        partitions: Vec::new(),
    };
    let Some(query) = query else {
        if managed && session.catalog().table(&database_name, &name).await?.is_none() {
            check_empty(session, &location, &table).await?;
        }
        let known = if create.replace { super::cache::Known::of(session, &create.name).await } else { None };
        session.catalog().create_table(table, create.replace).await?;
        if let Some(known) = known {
            known.forget(session);
        }
        return Ok(Analyzed::Done);
    };
    let query = reordered(query, &columns_order)?;
    let spec = WriteSpec {
        path: location,
        format,
        mode: if create.replace { WriteMode::Overwrite } else { WriteMode::ErrorIfExists },
        columns: schema,
        partition_by: partition_columns,
        static_partition: Vec::new(),
        options,
    };
    let then = CatalogChange::CreateTable { table: Box::new(table), replace: create.replace };
    Ok(Analyzed::Write(AnalyzedWrite { query, spec, then }))
}

/// Indices of the columns, those of partitions last; their names become the columns' own.
fn partitions_last(
    columns: &[StructField],
    partition_columns: &mut [String],
    case_sensitive: bool,
) -> SparkResult<Vec<usize>> {
    let mut last = Vec::with_capacity(partition_columns.len());
    for partition in partition_columns.iter_mut() {
        let Some(at) = columns.iter().position(|c| same_name(&c.name, partition, case_sensitive)) else {
            let names: Vec<_> = columns.iter().map(|c| errors::id(&c.name)).collect();
            return Err(SparkError::new(
                "COLUMN_NOT_DEFINED_IN_TABLE",
                "42703",
                format!(
                    "PARTITIONED BY column {} is not defined in the table, defined table columns are: {}.",
                    errors::id(partition),
                    names.join(", ")
                ),
            )
            .param("colName", errors::id(partition)));
        };
        partition.clone_from(&columns[at].name);
        last.push(at);
    }
    if !last.is_empty() && last.len() == columns.len() {
        return Err(SparkError::new(
            "ALL_PARTITION_COLUMNS_NOT_ALLOWED",
            "KD005",
            "Cannot use all columns for partition columns.",
        ));
    }
    Ok((0..columns.len()).filter(|i| !last.contains(i)).chain(last.iter().copied()).collect())
}

fn reordered(query: AnalyzedQuery, order: &[usize]) -> SparkResult<AnalyzedQuery> {
    if order.iter().enumerate().all(|(i, at)| i == *at) {
        return Ok(query);
    }
    let names = query.plan.schema().columns();
    let exprs = order.iter().map(|i| datafusion::logical_expr::Expr::Column(names[*i].clone())).collect();
    let columns = order.iter().map(|i| query.columns[*i].clone()).collect();
    Ok(AnalyzedQuery { plan: project(query.plan, exprs)?, columns })
}

pub(super) fn struct_field(column: &ColumnDefinition) -> StructField {
    StructField {
        name: column.name.clone(),
        data_type: column.data_type.clone(),
        nullable: column.nullable,
        comment: column.comment.clone(),
    }
}

pub(super) fn check_duplicates<'n>(names: impl Iterator<Item = &'n String>, case_sensitive: bool) -> SparkResult<()> {
    let mut seen: Vec<&String> = Vec::new();
    for name in names {
        if seen.iter().any(|s| same_name(s, name, case_sensitive)) {
            let shown = errors::id(&name.to_lowercase());
            return Err(SparkError::new(
                "COLUMN_ALREADY_EXISTS",
                "42711",
                format!("The column {shown} already exists. Choose another name or rename the existing column."),
            )
            .param("columnName", shown));
        }
        seen.push(name);
    }
    Ok(())
}

fn unsupported_type(format: &str, column: &StructField) -> SparkError {
    SparkError::new(
        "UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE",
        "0A000",
        format!(
            "The {format} datasource doesn't support the column {} of the type {}.",
            errors::id(&column.name),
            errors::sql_type(&column.data_type)
        ),
    )
    .param("format", format)
    .param("columnName", errors::id(&column.name))
    .param("columnType", errors::sql_type(&column.data_type))
}

/// A managed table does not take over files that are there already.
async fn check_empty(session: &Session, location: &str, table: &Table) -> SparkResult<()> {
    if session.is_told_again() {
        return Ok(());
    }
    let (store, parsed) = open_store(session, location)?;
    let mut files = store.list(Some(&parsed.path));
    match files.next().await {
        Some(Ok(_)) => Err(SparkError::new(
            "LOCATION_ALREADY_EXISTS",
            "42710",
            format!(
                "Cannot name the managed table as {}, as its associated location '{location}' already exists. Please \
                 pick a different table name, or remove the existing location first.",
                errors::ids(&table.full_name())
            ),
        )
        .param("location", format!("'{location}'"))
        .param("identifier", errors::ids(&table.full_name()))),
        _ => Ok(()),
    }
}

pub(super) fn open_store(
    session: &Session,
    location: &str,
) -> SparkResult<(std::sync::Arc<dyn ObjectStore>, Location)> {
    let parsed = Location::parse(location)?;
    let store = session
        .engine()
        .runtime()
        .object_store(&parsed.store)
        .map_err(|e| firesteel_engine::error::from_datafusion(&e))?;
    Ok((store, parsed))
}

/// Removes all files below a managed table's location.
pub(super) async fn remove_files(session: &Session, location: &str) -> SparkResult<()> {
    if session.is_told_again() {
        return Ok(());
    }
    let (store, parsed) = open_store(session, location)?;
    let files: Vec<_> = store
        .list(Some(&parsed.path))
        .map_ok(|meta| meta.location)
        .try_collect()
        .await
        .map_err(|e| firesteel_engine::storage::error::from_object_store(&e, location))?;
    for file in files {
        match store.delete(&file).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(firesteel_engine::storage::error::from_object_store(&error, location)),
        }
    }
    if parsed.is_local() {
        // Folders that are left empty go too; one that is not stays.
        remove_empty_folders(std::path::Path::new(&format!("/{}", parsed.path)));
    }
    Ok(())
}

/// The folder of a managed table under its new name. Only where folders can be moved at once.
pub(super) fn move_folder(session: &Session, location: &str, name: &str) -> SparkResult<String> {
    let parsed = Location::parse(location)?;
    let (parent, _) = location.trim_end_matches('/').rsplit_once('/').unwrap_or(("", location));
    let to = format!("{parent}/{name}");
    let target = Location::parse(&to)?;
    if !parsed.is_local() {
        return Err(errors::unsupported_statement("ALTER TABLE … RENAME TO of a managed table in an object store"));
    }
    if session.is_told_again() {
        return Ok(to);
    }
    let (from, into) = (format!("/{}", parsed.path), format!("/{}", target.path));
    if !std::path::Path::new(&from).exists() {
        return Ok(to);
    }
    std::fs::rename(&from, &into).map(|()| to).map_err(|error| {
        SparkError::new(
            "LOCATION_ALREADY_EXISTS",
            "42710",
            format!("The files of the table cannot be moved from '{from}' to '{into}': {error}."),
        )
        .param("location", format!("'{into}'"))
        .param("identifier", errors::id(name))
    })
}

/// `CREATE TABLE name LIKE source`: the columns and the format, nothing of the rows.
pub(super) async fn table_like(session: &Session, create: &CreateTableLike) -> SparkResult<Analyzed> {
    let (schema, partition_columns, source) = match super::found(session, &create.source).await? {
        Found::Files(open) => (open.schema.clone(), open.partition_columns.clone(), open.table.clone()),
        found @ Found::View { .. } => {
            let Found::View { view, table, .. } = &found else { return Ok(Analyzed::Done) };
            let schema = match table {
                Some(table) => super::view::current_schema(session, table, view).await,
                None => {
                    let tables = crate::tables::load(session, &[&view.query], &view.database).await;
                    let query = super::plan_with(session, &tables, &view.query, &view.text, &view.database)?;
                    query.columns.iter().map(|c| StructField::new(&c.name, c.stored_type(), true)).collect()
                }
            };
            (schema, Vec::new(), None)
        }
    };
    let (source_format, options) = match source.as_deref().map(|t| &t.kind) {
        Some(TableKind::Files { format, options, .. }) => (Some(format.clone()), options.clone()),
        _ => (None, BTreeMap::new()),
    };
    let options_of_text = ParseOptions::from_conf(&session.conf());
    let mut new = CreateTable::new(create.name.clone());
    new.if_not_exists = create.if_not_exists;
    new.format = create.format.clone().or(source_format);
    new.location.clone_from(&create.location);
    new.properties.clone_from(&create.properties);
    new.options = options.into_iter().collect();
    new.columns = schema
        .into_iter()
        .map(|field| {
            let text = source.as_deref().and_then(|t| t.defaults.get(&field.name)).cloned();
            let mut column = ColumnDefinition::new(field.name, field.data_type);
            column.default = text.as_deref().map(|t| parse_expression(t, &options_of_text)).transpose()?;
            column.default_text = text;
            (column.nullable, column.comment) = (field.nullable, field.comment);
            Ok(column)
        })
        .collect::<SparkResult<_>>()?;
    new.partitioned_by = partition_columns.into_iter().map(PartitionColumn::Name).collect();
    table(session, &new, "").await
}

fn remove_empty_folders(folder: &std::path::Path) {
    if let Ok(entries) = std::fs::read_dir(folder) {
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                remove_empty_folders(&entry.path());
            }
        }
    }
    // Refused by the system where something is in it.
    let _ = std::fs::remove_dir(folder);
}

pub(super) async fn drop_table(
    session: &Session,
    name: &MultipartName,
    if_exists: bool,
    view: bool,
) -> SparkResult<Analyzed> {
    let temporary = match name.as_slice() {
        [single] => session.drop_temp_view(single, false),
        [db, single] if db.eq_ignore_ascii_case(crate::catalog::GLOBAL_TEMP_DATABASE) => {
            session.drop_temp_view(single, true)
        }
        _ => false,
    };
    if temporary {
        return Ok(Analyzed::Done);
    }
    let Some(table) = catalog_table(session, name).await? else {
        return if if_exists {
            Ok(Analyzed::Done)
        } else {
            Err(errors::table_not_found(&super::qualified(session, name)))
        };
    };
    if is_view(&table) != view {
        let (class, wanted, is) = if view {
            ("WRONG_COMMAND_FOR_OBJECT_TYPE", "view", "table")
        } else {
            ("WRONG_COMMAND_FOR_OBJECT_TYPE", "table", "view")
        };
        let operation = if view { "DROP VIEW" } else { "DROP TABLE" };
        return Err(SparkError::new(
            class,
            "42809",
            format!(
                "The operation {operation} requires a {wanted}. But {} is a {is}. Use DROP {} instead.",
                errors::ids(&table.full_name()),
                is.to_uppercase()
            ),
        )
        .param("operation", operation)
        .param("objectName", errors::ids(&table.full_name())));
    }
    if let Some(dropped) = session.catalog().drop_table(&table.database, &table.name).await?
        && let TableKind::Files { location, managed: true, .. } = &dropped.kind
    {
        remove_files(session, location).await?;
    }
    Ok(Analyzed::Done)
}

pub(super) async fn truncate(session: &Session, name: &MultipartName) -> SparkResult<Analyzed> {
    let Some(table) = catalog_table(session, name).await? else {
        return Err(errors::table_not_found(&super::qualified(session, name)));
    };
    match &table.kind {
        TableKind::Files { location, managed: true, .. } => {
            remove_files(session, location).await?;
            session.engine().cache().recache_path(location);
            Ok(Analyzed::Done)
        }
        TableKind::Files { .. } => Err(SparkError::new(
            "UNSUPPORTED_FEATURE.TABLE_OPERATION",
            "0A000",
            format!(
                "The feature is not supported: Table {} does not support TRUNCATE TABLE: its files are not the \
                 catalog's own.",
                errors::ids(&table.full_name())
            ),
        )),
        TableKind::View(_) => Err(SparkError::new(
            "EXPECT_TABLE_NOT_VIEW.NO_ALTERNATIVE",
            "42809",
            format!("'TRUNCATE TABLE' expects a table but {} is a view.", errors::ids(&table.full_name())),
        )
        .param("viewName", errors::ids(&table.full_name()))
        .param("operation", "TRUNCATE TABLE")),
    }
}

pub(super) async fn database(
    session: &Session,
    name: &MultipartName,
    if_not_exists: bool,
    location: Option<&str>,
    comment: Option<&str>,
    properties: &[(String, String)],
) -> SparkResult<Analyzed> {
    let name = database_name(name)?;
    if if_not_exists && session.catalog().database(&name).await?.is_some() {
        return Ok(Analyzed::Done);
    }
    let conf = session.conf();
    let warehouse = conf.text(&keys::WAREHOUSE_DIR).trim_end_matches('/');
    let location = location.map_or_else(|| format!("{warehouse}/{name}.db"), str::to_owned);
    let properties = properties.iter().cloned().collect();
    let database = Database { name, location, comment: comment.map(str::to_owned), properties };
    session.catalog().create_database(database).await?;
    Ok(Analyzed::Done)
}

pub(super) async fn drop_database(
    session: &Session,
    name: &MultipartName,
    if_exists: bool,
    cascade: bool,
) -> SparkResult<Analyzed> {
    let name = database_name(name)?;
    let full = [SESSION_CATALOG.to_owned(), name.clone()];
    if name == DEFAULT_DATABASE {
        return Err(SparkError::new(
            "UNSUPPORTED_FEATURE.DROP_DATABASE",
            "0A000",
            format!("The feature is not supported: Drop the default database {}.", errors::ids(&full)),
        )
        .param("database", errors::ids(&full)));
    }
    if session.catalog().database(&name).await?.is_none() {
        return if if_exists { Ok(Analyzed::Done) } else { Err(errors::schema_not_found(&full)) };
    }
    let tables = session.catalog().tables(&name).await?;
    if !cascade && !tables.is_empty() {
        return Err(errors::schema_not_empty(&full));
    }
    for table in tables {
        drop_table(session, &table.full_name(), true, is_view(&table)).await?;
    }
    session.catalog().drop_database(&name).await?;
    session.drop_functions_of(&name);
    if session.current_database() == name {
        session.set_database(DEFAULT_DATABASE);
    }
    Ok(Analyzed::Done)
}
