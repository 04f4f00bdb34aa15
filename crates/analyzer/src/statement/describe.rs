//! DESCRIBE.

use std::collections::BTreeMap;

use firesteel_plan::{SparkError, SparkResult, expr::MultipartName, statement::PartitionSpec, types::StructField};

use super::{Cell, found, partition, show_create, text_rows};
use crate::{
    Analyzed,
    catalog::{SESSION_CATALOG, Table, TableKind, View},
    errors,
    scope::{same_name, suggest},
    session::Session,
    tables::Found,
};

type Row = [String; 3];

pub(super) fn rows(rows: Vec<Row>) -> SparkResult<Analyzed> {
    let rows = rows
        .into_iter()
        .map(|[name, data_type, comment]| {
            vec![name.into(), data_type.into(), if comment.is_empty() { Cell::Null } else { comment.into() }]
        })
        .collect();
    text_rows(&["col_name", "data_type", "comment"], rows)
}

fn text(name: &str, value: &str) -> Row {
    [name.to_owned(), value.to_owned(), String::new()]
}

fn column(f: &StructField) -> Row {
    [f.name.clone(), f.data_type.to_string(), f.comment.clone().unwrap_or_default()]
}

/// Name, type and comment of a view's columns, as they are now.
pub(super) async fn view_columns(session: &Session, found: &Found) -> SparkResult<Vec<Row>> {
    let Found::View { view, table, .. } = found else { return Ok(Vec::new()) };
    if let Some(table) = table {
        return Ok(super::view::current_schema(session, table, view).await.iter().map(column).collect());
    }
    let tables = crate::tables::load(session, &[&view.query], &view.database).await;
    let query = super::plan_with(session, &tables, &view.query, &view.text, &view.database)?;
    let given = view.columns.iter().map(Some).chain(std::iter::repeat(None));
    Ok(query
        .columns
        .into_iter()
        .zip(given)
        .map(|(column, given)| {
            let stored = column.stored_type();
            let (name, comment) = match given {
                Some((name, comment)) => {
                    (name.clone(), comment.clone().or_else(|| column.comment.clone()).unwrap_or_default())
                }
                None => (column.name, column.comment.clone().unwrap_or_default()),
            };
            [name, stored.to_string(), comment]
        })
        .collect())
}

pub(super) async fn database(session: &Session, name: &MultipartName, extended: bool) -> SparkResult<Analyzed> {
    let name = super::database_name(name)?;
    let Some(database) = session.catalog().database(&name).await? else {
        return Err(errors::schema_not_found(&[SESSION_CATALOG.to_owned(), name]));
    };
    let mut rows = vec![
        ("Catalog Name", SESSION_CATALOG.to_owned()),
        ("Namespace Name", database.name),
        ("Comment", database.comment.unwrap_or_default()),
        ("Location", show_create::with_scheme(&database.location)),
        ("Owner", owner()),
    ];
    if extended {
        let properties: Vec<String> =
            database.properties.iter().map(|(k, v)| format!("({k},{})", show_create::redacted(k, v))).collect();
        let shown = if properties.is_empty() { String::new() } else { format!("({})", properties.join(", ")) };
        rows.push(("Properties", shown));
    }
    infos(rows)
}

fn infos(rows: Vec<(&'static str, String)>) -> SparkResult<Analyzed> {
    let rows = rows.into_iter().map(|(name, value)| vec![name.into(), value.into()]).collect();
    text_rows(&["info_name", "info_value"], rows)
}

fn owner() -> String {
    std::env::var("USER").unwrap_or_else(|_| "spark".to_owned())
}

pub(super) async fn table(
    session: &Session,
    name: &MultipartName,
    extended: bool,
    spec: &PartitionSpec,
) -> SparkResult<Analyzed> {
    let found = found(session, name).await?;
    let (open, mut out) = match &found {
        Found::Files(open) => (open, open.schema.iter().map(column).collect::<Vec<_>>()),
        Found::View { view, table, .. } => {
            if !spec.is_empty() {
                return Err(no_partitions(name, table.is_none()));
            }
            let mut out = view_columns(session, &found).await?;
            if extended && let Some(table) = table {
                view_details(table, view, &mut out);
            }
            return rows(out);
        }
    };
    if !open.partition_columns.is_empty() {
        out.push(text("# Partition Information", ""));
        out.push(["# col_name".to_owned(), "data_type".to_owned(), "comment".to_owned()]);
        out.extend(open.schema.iter().filter(|f| open.partition_columns.contains(&f.name)).map(column));
    }
    let Some(table) = &open.table else { return rows(out) };
    if !spec.is_empty() {
        partition::check_partitioned(table, "DESC PARTITION")?;
        let values = partition::whole(table, spec)?;
        if !partition::all(session, table).await?.contains(&values) {
            return Err(partition::not_found(table, &values));
        }
        if extended {
            partition_details(table, &values, &mut out);
        }
    } else if extended {
        table_details(table, &mut out);
    }
    if spec.is_empty() && !table.defaults.is_empty() {
        out.push(text("", ""));
        out.push(text("# Column Default Values", ""));
        let with_default = open.schema.iter().filter_map(|f| Some((f, table.defaults.get(&f.name)?)));
        out.extend(with_default.map(|(f, value)| [f.name.clone(), f.data_type.to_string(), value.clone()]));
    }
    rows(out)
}

fn no_partitions(name: &[String], temporary: bool) -> SparkError {
    let shown = errors::ids(name);
    let kind = if temporary { "TEMPORARY VIEW" } else { "VIEW" };
    SparkError::new(
        "FORBIDDEN_OPERATION",
        "42809",
        format!("The operation DESC PARTITION is not allowed on the {kind}: {shown}."),
    )
    .param("statement", "DESC PARTITION")
    .param("objectType", kind)
    .param("objectName", shown)
}

fn head(table: &Table, out: &mut Vec<Row>) {
    out.push(text("", ""));
    out.push(text("# Detailed Table Information", ""));
    out.push(text("Catalog", SESSION_CATALOG));
    out.push(text("Database", &table.database));
    out.push(text("Table", &table.name));
    // The catalog notes no times.
    out.push(text("Created Time", "UNKNOWN"));
    out.push(text("Last Access", "UNKNOWN"));
    out.push(text("Created By", "Firesteel"));
}

/// What a table and a view are said to be alike.
fn notes(table: &Table, out: &mut Vec<Row>) {
    if let Some(comment) = &table.comment {
        out.push(text("Comment", comment));
    }
    if let Some(collation) = &table.collation {
        out.push(text("Collation", collation));
    }
    push_pairs("Table Properties", &table.properties, out);
}

fn push_pairs(name: &str, pairs: &BTreeMap<String, String>, out: &mut Vec<Row>) {
    if pairs.is_empty() {
        return;
    }
    let shown: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}={}", show_create::redacted(k, v))).collect();
    out.push(text(name, &format!("[{}]", shown.join(", "))));
}

fn table_details(table: &Table, out: &mut Vec<Row>) {
    head(table, out);
    let TableKind::Files { format, location, managed, options } = &table.kind else { return };
    out.push(text("Type", if *managed { "MANAGED" } else { "EXTERNAL" }));
    out.push(text("Provider", format));
    notes(table, out);
    out.push(text("Location", &show_create::with_scheme(location)));
    push_pairs("Storage Properties", options, out);
    if !table.partition_columns.is_empty() {
        out.push(text("Partition Provider", "Catalog"));
    }
}

fn partition_details(table: &Table, values: &[String], out: &mut Vec<Row>) {
    let TableKind::Files { location, options, .. } = &table.kind else { return };
    let location = show_create::with_scheme(location);
    let pairs: Vec<String> = table.partition_columns.iter().zip(values).map(|(c, v)| format!("{c}={v}")).collect();
    out.push(text("", ""));
    out.push(text("# Detailed Partition Information", ""));
    out.push(text("Database", &table.database));
    out.push(text("Table", &table.name));
    out.push(text("Partition Values", &format!("[{}]", pairs.join(", "))));
    out.push(text("Location", &format!("{location}/{}", pairs.join("/"))));
    push_pairs("Storage Properties", options, out);
    out.push(text("Created Time", "UNKNOWN"));
    out.push(text("Last Access", "UNKNOWN"));
    out.push(text("", ""));
    out.push(text("# Storage Information", ""));
    out.push(text("Location", &location));
    push_pairs("Storage Properties", options, out);
}

fn view_details(table: &Table, view: &View, out: &mut Vec<Row>) {
    head(table, out);
    out.push(text("Type", "VIEW"));
    notes(table, out);
    out.push(text("View Text", &view.query_text));
    out.push(text("View Original Text", &view.query_text));
    if let Some(binding) = view.binding {
        out.push(text("View Schema Mode", show_create::binding_text(binding)));
    }
    out.push(text("View Catalog and Namespace", &format!("{SESSION_CATALOG}.{}", view.database)));
    let names: Vec<String> = view.query_columns.iter().map(|c| errors::id(c)).collect();
    out.push(text("View Query Output Columns", &format!("[{}]", names.join(", "))));
}

/// `DESCRIBE table column`: there are no statistics of columns.
pub(super) async fn one_column(
    session: &Session,
    name: &MultipartName,
    wanted: &MultipartName,
    extended: bool,
) -> SparkResult<Analyzed> {
    let found = found(session, name).await?;
    let columns = match &found {
        Found::Files(open) => open.schema.iter().map(column).collect::<Vec<_>>(),
        Found::View { .. } => view_columns(session, &found).await?,
    };
    let case_sensitive = session.conf().bool(&firesteel_plan::conf::keys::CASE_SENSITIVE);
    let Some((last, prefix)) = wanted.split_last() else { return Err(SparkError::internal("a column without a name")) };
    let known =
        columns.iter().find(|[c, ..]| same_name(c, if prefix.is_empty() { last } else { &wanted[0] }, case_sensitive));
    let Some([column, data_type, comment]) = known else {
        let names = columns.into_iter().map(|[c, ..]| vec![c]).collect();
        return Err(errors::unresolved_column(wanted, &suggest(wanted, names)));
    };
    if !prefix.is_empty() {
        let shown = wanted.join(".");
        return Err(SparkError::new(
            "_LEGACY_ERROR_TEMP_1060",
            "",
            format!("DESC TABLE COLUMN does not support nested column: {shown}."),
        )
        .param("command", "DESC TABLE COLUMN")
        .param("column", shown));
    }
    let null = || "NULL".to_owned();
    let mut lines = vec![
        ("col_name", column.clone()),
        ("data_type", data_type.clone()),
        ("comment", if comment.is_empty() { null() } else { comment.clone() }),
    ];
    if extended {
        let statistics = ["min", "max", "num_nulls", "distinct_count", "avg_col_len", "max_col_len", "histogram"];
        lines.extend(statistics.map(|name| (name, null())));
    }
    infos(lines)
}
