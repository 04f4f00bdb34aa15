//! ALTER and COMMENT ON: what the catalog keeps of tables, views and databases is changed; files stay as they are.

use std::sync::Arc;

use firesteel_plan::{
    DataType, SparkError, SparkResult,
    conf::keys,
    expr::MultipartName,
    statement::{
        AlterDatabase, AlterTable, AlterView, ColumnChange, ColumnChangeKind, CreateView, NewColumn, PartitionSpec,
        SchemaBinding,
    },
    types::StructField,
};

use super::{cache, catalog_table, database_name, default, is_view, partition, qualified, table_name, view};
use crate::{
    Analyzed,
    catalog::{SESSION_CATALOG, Table, TableKind, View},
    errors,
    scope::{same_name, suggest},
    session::Session,
};

/// Refused by Spark's own catalog too.
pub(super) fn unsupported_operation(operation: &str, name: &[String]) -> SparkError {
    let shown = errors::ids(name);
    SparkError::new(
        "UNSUPPORTED_FEATURE.TABLE_OPERATION",
        "0A000",
        format!(
            "The feature is not supported: Table {shown} does not support {operation}. Please check the current catalog and \
             namespace to make sure the qualified table name is expected, and also check the catalog implementation which is \
             configured by \"spark.sql.catalog\"."
        ),
    )
    .param("operation", operation)
    .param("tableName", shown)
}

/// The catalog's table that a statement changes; a view is refused.
pub(super) async fn table_to_change(
    session: &Session,
    name: &MultipartName,
    operation: &str,
) -> SparkResult<Arc<Table>> {
    let temporary = match name.as_slice() {
        [only] => session.temp_view(only).is_some(),
        [database, only] if database.eq_ignore_ascii_case(crate::catalog::GLOBAL_TEMP_DATABASE) => {
            session.global_temp_view(only).is_some()
        }
        _ => false,
    };
    let no_view = |shown: String| {
        SparkError::new(
            "EXPECT_TABLE_NOT_VIEW.NO_ALTERNATIVE",
            "42809",
            format!("'{operation}' expects a table but {shown} is a view."),
        )
        .param("viewName", shown)
        .param("operation", operation)
    };
    if temporary {
        return Err(no_view(errors::ids(name)));
    }
    match catalog_table(session, name).await? {
        Some(table) if is_view(&table) => Err(no_view(errors::ids(&table.full_name()))),
        Some(table) => Ok(table),
        None => Err(errors::table_not_found(&qualified(session, name))),
    }
}

/// Puts the table in the place of the one that it is a changed copy of.
async fn replace(session: &Session, name: &MultipartName, table: Table) -> SparkResult<Analyzed> {
    let known = cache::Known::of(session, name).await;
    session.catalog().create_table(table, true).await?;
    if let Some(known) = known {
        known.forget(session);
    }
    Ok(Analyzed::Done)
}

pub(super) async fn table(session: &Session, name: &MultipartName, change: &AlterTable) -> SparkResult<Analyzed> {
    let operation = operation(change);
    // The words for tables rename temporary views too.
    if let AlterTable::Rename { to } = change
        && renamed_temporary(session, name, to)?
    {
        return Ok(Analyzed::Done);
    }
    let known = table_to_change(session, name, operation).await?;
    let full = known.full_name();
    let mut table = (*known).clone();
    match change {
        AlterTable::Rename { to } => return rename(session, &known, to).await,
        AlterTable::SetProperties(properties) => set_properties(&mut table, properties),
        AlterTable::UnsetProperties { keys, .. } => unset_properties(&mut table, keys),
        AlterTable::AddColumns(columns) => add_columns(session, &mut table, columns)?,
        AlterTable::ReplaceColumns(_)
        | AlterTable::RenameColumn { .. }
        | AlterTable::DropColumns { .. }
        | AlterTable::AddConstraint(_)
        | AlterTable::DropConstraint { .. } => return Err(unsupported_operation(operation, &full)),
        AlterTable::AlterColumns(changes) => change_columns(session, &mut table, changes).await?,
        AlterTable::ChangeColumn { name: column, column: definition, position } => {
            let mut changes =
                vec![ColumnChange { name: column.clone(), kind: ColumnChangeKind::Type(definition.data_type.clone()) }];
            if let Some(comment) = &definition.comment {
                let kind = ColumnChangeKind::Comment(comment.clone());
                changes.push(ColumnChange { name: column.clone(), kind });
            }
            if let Some(position) = position {
                let kind = ColumnChangeKind::Position(position.clone());
                changes.push(ColumnChange { name: column.clone(), kind });
            }
            if !column.last().is_some_and(|c| c.eq_ignore_ascii_case(&definition.name)) {
                return Err(unsupported_operation("RENAME COLUMN", &full));
            }
            change_columns(session, &mut table, &changes).await?;
        }
        AlterTable::AddPartitions { partitions, if_not_exists } => {
            for (spec, location) in partitions {
                if location.is_some() {
                    return Err(SparkError::unsupported("ADD PARTITION … LOCATION"));
                }
                partition::add(session, &mut table, spec, *if_not_exists).await?;
            }
        }
        AlterTable::DropPartitions { partitions, if_exists, .. } => {
            for spec in partitions {
                partition::drop(session, &mut table, spec, *if_exists).await?;
            }
        }
        AlterTable::RenamePartition { from, to } => partition::rename(session, &mut table, from, to).await?,
        AlterTable::RecoverPartitions => {
            partition::check_partitioned(&table, "ALTER TABLE RECOVER PARTITIONS")?;
            return Ok(Analyzed::Done);
        }
        AlterTable::SetLocation { partition, location } => set_location(&mut table, partition, location)?,
        AlterTable::SetCollation(collation) if collation.eq_ignore_ascii_case("UTF8_BINARY") => {
            table.collation = Some("UTF8_BINARY".to_owned());
        }
        AlterTable::SetSerde { .. } | AlterTable::ClusterBy(_) | AlterTable::SetCollation(_) => {
            return Err(errors::unsupported_statement(super::unsupported::alter_table(change)));
        }
    }
    replace(session, name, table).await
}

fn operation(change: &AlterTable) -> &'static str {
    match change {
        AlterTable::AddColumns(_) => "ALTER TABLE ... ADD COLUMNS",
        AlterTable::ReplaceColumns(_) => "REPLACE COLUMNS",
        AlterTable::RenameColumn { .. } => "RENAME COLUMN",
        AlterTable::DropColumns { .. } => "DROP COLUMN",
        AlterTable::AlterColumns(_) | AlterTable::ChangeColumn { .. } => "ALTER TABLE ... CHANGE COLUMN",
        AlterTable::Rename { .. } => "ALTER TABLE ... RENAME TO",
        AlterTable::SetProperties(_) => "ALTER TABLE ... SET TBLPROPERTIES",
        AlterTable::UnsetProperties { .. } => "ALTER TABLE ... UNSET TBLPROPERTIES",
        AlterTable::SetSerde { .. } => "ALTER TABLE ... SET [SERDE|SERDEPROPERTIES]",
        AlterTable::AddPartitions { .. } => "ALTER TABLE ... ADD PARTITION ...",
        AlterTable::RenamePartition { .. } => "ALTER TABLE ... RENAME TO PARTITION",
        AlterTable::DropPartitions { .. } => "ALTER TABLE ... DROP PARTITION ...",
        AlterTable::SetLocation { .. } => "ALTER TABLE ... SET LOCATION ...",
        AlterTable::RecoverPartitions => "ALTER TABLE ... RECOVER PARTITIONS",
        AlterTable::ClusterBy(_) => "ALTER TABLE ... CLUSTER BY",
        AlterTable::SetCollation(_) => "ALTER TABLE ... DEFAULT COLLATION",
        AlterTable::AddConstraint(_) => "ADD CONSTRAINT",
        AlterTable::DropConstraint { .. } => "DROP CONSTRAINT",
    }
}

fn set_properties(table: &mut Table, properties: &[(String, String)]) {
    for (key, value) in properties {
        if key == "comment" {
            table.comment = Some(value.clone());
        } else {
            table.properties.insert(key.clone(), value.clone());
        }
    }
}

fn unset_properties(table: &mut Table, keys: &[String]) {
    for key in keys {
        if key == "comment" {
            table.comment = None;
        }
        table.properties.remove(key);
    }
}

/// A temporary view under another name.
fn renamed_temporary(session: &Session, name: &MultipartName, to: &MultipartName) -> SparkResult<bool> {
    let ([from], Some(to)) = (name.as_slice(), to.last()) else { return Ok(false) };
    let Some(view) = session.temp_view(from) else { return Ok(false) };
    if session.temp_view(to).is_some() {
        return Err(errors::temp_view_exists(std::slice::from_ref(to)));
    }
    session.drop_temp_view(from, false);
    session.put_temp_view(to, view);
    Ok(true)
}

async fn rename(session: &Session, known: &Table, to: &MultipartName) -> SparkResult<Analyzed> {
    let (database, name) = table_name(session, to)?;
    let (database, name) =
        (if to.len() == 1 { known.database.clone() } else { database.to_lowercase() }, name.to_lowercase());
    if database != known.database {
        let (source, target) = (errors::id(&known.database), errors::id(&database));
        return Err(SparkError::new(
            "_LEGACY_ERROR_TEMP_1073",
            "",
            format!("RENAME TABLE source and destination databases do not match: '{source}' != '{target}'."),
        ));
    }
    let mut table = Table { name: name.clone(), ..known.clone() };
    if session.catalog().table(&database, &name).await?.is_some() {
        return Err(errors::table_exists(&table.full_name()));
    }
    if let TableKind::Files { location, managed: true, .. } = &mut table.kind {
        *location = super::create::move_folder(session, location, &name)?;
    }
    let known_plan = cache::Known::of(session, &known.full_name()).await;
    session.catalog().drop_table(&known.database, &known.name).await?;
    session.catalog().create_table(table, false).await?;
    if let Some(plan) = known_plan {
        plan.forget(session);
    }
    Ok(Analyzed::Done)
}

fn add_columns(session: &Session, table: &mut Table, columns: &[NewColumn]) -> SparkResult<()> {
    let before = table.schema.len() - table.partition_columns.len();
    for (at, column) in columns.iter().enumerate() {
        let [name] = column.name.as_slice() else {
            return Err(unsupported_operation("ADD COLUMN with qualified column", &table.full_name()));
        };
        if column.default.is_some() {
            return Err(errors::unsupported_statement(format_args!("a default value of column {}", errors::id(name))));
        }
        if !column.nullable || column.position.is_some() {
            let what = if column.nullable {
                "ALTER COLUMN ... FIRST | AFTER"
            } else {
                "ADD COLUMN with v1 tables cannot specify NOT NULL"
            };
            return Err(unsupported_operation(what, &table.full_name()));
        }
        firesteel_functions::types::check_storable(&column.data_type)?;
        let mut field = StructField::new(name, column.data_type.clone(), true);
        field.comment.clone_from(&column.comment);
        table.schema.insert(before + at, field);
    }
    super::create::check_duplicates(table.schema.iter().map(|f| &f.name), session.conf().bool(&keys::CASE_SENSITIVE))
}

async fn change_columns(session: &Session, table: &mut Table, changes: &[ColumnChange]) -> SparkResult<()> {
    let case_sensitive = session.conf().bool(&keys::CASE_SENSITIVE);
    let full = table.full_name();
    for change in changes {
        let [name] = change.name.as_slice() else {
            return Err(unsupported_operation("ALTER COLUMN with qualified column", &full));
        };
        let names: Vec<Vec<String>> = table.schema.iter().map(|f| vec![f.name.clone()]).collect();
        let Some(field) = table.schema.iter_mut().find(|f| same_name(&f.name, name, case_sensitive)) else {
            return Err(errors::unresolved_column(&change.name, &suggest(&change.name, names)));
        };
        match &change.kind {
            ColumnChangeKind::Type(data_type) if *data_type == field.data_type => {}
            ColumnChangeKind::Type(data_type) => return Err(no_type_change(&full, field, data_type)),
            ColumnChangeKind::Comment(comment) => field.comment = Some(comment.clone()),
            ColumnChangeKind::Position(_) => {
                return Err(unsupported_operation("ALTER COLUMN ... FIRST | AFTER", &full));
            }
            ColumnChangeKind::Nullable(_) => {
                return Err(unsupported_operation("ALTER COLUMN ... SET NOT NULL", &full));
            }
            ColumnChangeKind::SetDefault(value, text) => {
                default::check(session, "ALTER TABLE ALTER COLUMN", &field.name, &field.data_type, value, text).await?;
                table.defaults.insert(field.name.clone(), text.clone());
            }
            ColumnChangeKind::DropDefault => {
                table.defaults.remove(&field.name);
            }
        }
    }
    Ok(())
}

fn no_type_change(table: &[String], field: &StructField, to: &DataType) -> SparkError {
    let (table, name) = (errors::ids(table), errors::id(&field.name));
    let (from, to) = (errors::sql_type(&field.data_type), errors::sql_type(to));
    SparkError::new(
        "NOT_SUPPORTED_CHANGE_COLUMN",
        "0A000",
        format!("ALTER TABLE ALTER/CHANGE COLUMN is not supported for changing {table}'s column {name} with type {from} to {name} with type {to}."),
    )
    .param("table", table)
    .param("originName", name.clone())
    .param("originType", from)
    .param("newName", name)
    .param("newType", to)
}

fn set_location(table: &mut Table, partition: &PartitionSpec, to: &str) -> SparkResult<()> {
    if !partition.is_empty() {
        return Err(errors::unsupported_statement("ALTER TABLE … PARTITION … SET LOCATION"));
    }
    if let TableKind::Files { location, managed, .. } = &mut table.kind {
        *location = to.to_owned();
        // What is there from now on belongs to whoever put it there.
        *managed = false;
    }
    Ok(())
}

// ---- views

/// The catalog's view that a statement changes, with its query.
async fn view_to_change(
    session: &Session,
    name: &MultipartName,
    operation: &str,
) -> SparkResult<(Arc<Table>, Arc<View>)> {
    match catalog_table(session, name).await? {
        Some(table) => match &table.kind {
            TableKind::View(view) => Ok((table.clone(), view.clone())),
            TableKind::Files { .. } => {
                let shown = errors::ids(&table.full_name());
                Err(SparkError::new(
                    "EXPECT_VIEW_NOT_TABLE.USE_ALTER_TABLE",
                    "42809",
                    format!("The table {shown} does not support {operation}. Please use ALTER TABLE instead."),
                )
                .param("tableName", shown)
                .param("operation", operation))
            }
        },
        None => Err(errors::table_not_found(&qualified(session, name))),
    }
}

pub(super) async fn view(
    session: &Session,
    name: &MultipartName,
    change: &AlterView,
    text: &str,
) -> SparkResult<Analyzed> {
    let temporary = matches!(name.as_slice(), [only] if session.temp_view(only).is_some());
    match change {
        AlterView::Rename { to } if renamed_temporary(session, name, to)? => Ok(Analyzed::Done),
        AlterView::Rename { to } => {
            let (table, _) = view_to_change(session, name, "ALTER VIEW ... RENAME TO").await?;
            rename(session, &table, to).await
        }
        AlterView::SetQuery(query, query_text) => {
            let create = CreateView::plain(name.clone(), (**query).clone(), query_text.clone());
            let create = CreateView { temporary, replace: true, ..create };
            if temporary {
                return view::create(session, &create, text).await;
            }
            let (table, known) = view_to_change(session, name, "ALTER VIEW ... AS").await?;
            let create = CreateView {
                comment: table.comment.clone(),
                properties: table.properties.clone().into_iter().collect(),
                schema_binding: known.binding,
                ..create
            };
            view::create(session, &create, text).await
        }
        AlterView::SetProperties(properties) => {
            let (table, _) = view_to_change(session, name, "ALTER VIEW ... SET TBLPROPERTIES").await?;
            let mut table = (*table).clone();
            set_properties(&mut table, properties);
            replace(session, name, table).await
        }
        AlterView::UnsetProperties { keys, .. } => {
            let (table, _) = view_to_change(session, name, "ALTER VIEW ... UNSET TBLPROPERTIES").await?;
            let mut table = (*table).clone();
            unset_properties(&mut table, keys);
            replace(session, name, table).await
        }
        AlterView::SetSchemaBinding(binding) => {
            view::check_binding_enabled(session)?;
            let (table, known) = view_to_change(session, name, "ALTER VIEW ... WITH SCHEMA").await?;
            if *binding == SchemaBinding::Evolution && !known.columns.is_empty() {
                return Err(SparkError::unsupported(
                    "ALTER VIEW … WITH SCHEMA EVOLUTION of a view with its own columns",
                ));
            }
            let changed = View { binding: Some(*binding), ..(*known).clone() };
            let table = Table { kind: TableKind::View(Arc::new(changed)), ..(*table).clone() };
            replace(session, name, table).await
        }
    }
}

// ---- databases and comments

pub(super) async fn database(session: &Session, name: &MultipartName, change: &AlterDatabase) -> SparkResult<Analyzed> {
    let name = database_name(name)?;
    let Some(mut database) = session.catalog().database(&name).await? else {
        return Err(errors::schema_not_found(&[SESSION_CATALOG.to_owned(), name]));
    };
    match change {
        AlterDatabase::SetProperties(properties) => database.properties.extend(properties.iter().cloned()),
        AlterDatabase::UnsetProperties(keys) => {
            for key in keys {
                database.properties.remove(key);
            }
        }
        AlterDatabase::SetLocation(location) => database.location.clone_from(location),
        AlterDatabase::SetCollation(collation) if collation.eq_ignore_ascii_case("UTF8_BINARY") => {}
        AlterDatabase::SetCollation(_) => {
            return Err(errors::unsupported_statement("ALTER DATABASE … DEFAULT COLLATION"));
        }
    }
    session.catalog().alter_database(database).await?;
    Ok(Analyzed::Done)
}

pub(super) async fn comment_on_database(
    session: &Session,
    name: &MultipartName,
    comment: Option<&str>,
) -> SparkResult<Analyzed> {
    let name = database_name(name)?;
    let Some(mut database) = session.catalog().database(&name).await? else {
        return Err(errors::schema_not_found(&[SESSION_CATALOG.to_owned(), name]));
    };
    database.comment = comment.map(str::to_owned);
    session.catalog().alter_database(database).await?;
    Ok(Analyzed::Done)
}

pub(super) async fn comment_on_table(
    session: &Session,
    name: &MultipartName,
    comment: Option<&str>,
) -> SparkResult<Analyzed> {
    let table = match catalog_table(session, name).await? {
        Some(table) => table,
        None => table_to_change(session, name, "COMMENT ON TABLE").await?,
    };
    let table = Table { comment: comment.map(str::to_owned), ..(*table).clone() };
    replace(session, name, table).await
}
