//! DESCRIBE.

use firesteel_plan::{SparkResult, expr::MultipartName};

use super::{Cell, found, text_rows};
use crate::{
    Analyzed,
    catalog::{SESSION_CATALOG, TableKind},
    errors,
    session::Session,
    tables::Found,
};

pub(super) fn rows(rows: Vec<[String; 3]>) -> SparkResult<Analyzed> {
    let rows = rows
        .into_iter()
        .map(|[name, data_type, comment]| {
            vec![name.into(), data_type.into(), if comment.is_empty() { Cell::Null } else { comment.into() }]
        })
        .collect();
    text_rows(&["col_name", "data_type", "comment"], rows)
}

/// Name, type and comment of a view's columns, as they are now.
pub(super) async fn view_columns(session: &Session, found: &Found) -> SparkResult<Vec<[String; 3]>> {
    let Found::View { view, table, .. } = found else { return Ok(Vec::new()) };
    if let Some(table) = table {
        return Ok(table
            .schema
            .iter()
            .map(|f| [f.name.clone(), f.data_type.to_string(), f.comment.clone().unwrap_or_default()])
            .collect());
    }
    let tables = crate::tables::load(session, &[&view.query], &view.database).await;
    let query = super::plan_with(session, &tables, &view.query, &view.text, &view.database)?;
    let given = view.columns.iter().map(Some).chain(std::iter::repeat(None));
    Ok(query
        .columns
        .into_iter()
        .zip(given)
        .map(|(column, given)| {
            let (name, comment) = match given {
                Some((name, comment)) => (name.clone(), comment.clone().unwrap_or_default()),
                None => (column.name, String::new()),
            };
            [name, column.data_type.to_string(), comment]
        })
        .collect())
}

pub(super) async fn database(session: &Session, name: &MultipartName) -> SparkResult<Analyzed> {
    let name = super::database_name(name)?;
    let Some(database) = session.catalog().database(&name).await? else {
        return Err(errors::schema_not_found(&[SESSION_CATALOG.to_owned(), name]));
    };
    let rows = [
        ("Catalog Name", SESSION_CATALOG.to_owned()),
        ("Namespace Name", database.name),
        ("Comment", database.comment.unwrap_or_default()),
        ("Location", database.location),
    ];
    text_rows(
        &["info_name", "info_value"],
        rows.into_iter().map(|(name, value)| vec![name.into(), value.into()]).collect(),
    )
}

pub(super) async fn table(session: &Session, name: &MultipartName, extended: bool) -> SparkResult<Analyzed> {
    let found = found(session, name).await?;
    let text = |a: &str, b: &str| [a.to_owned(), b.to_owned(), String::new()];
    let Found::Files(open) = &found else {
        return rows(view_columns(session, &found).await?);
    };
    let column = |f: &firesteel_plan::types::StructField| {
        [f.name.clone(), f.data_type.to_string(), f.comment.clone().unwrap_or_default()]
    };
    let mut out: Vec<[String; 3]> = open.schema.iter().map(column).collect();
    if !open.partition_columns.is_empty() {
        out.push(text("# Partition Information", ""));
        out.push(text("# col_name", "data_type"));
        out.extend(open.schema.iter().filter(|f| open.partition_columns.contains(&f.name)).map(column));
    }
    if extended && let Some(table) = &open.table {
        out.push(text("", ""));
        out.push(text("# Detailed Table Information", ""));
        out.push(text("Catalog", SESSION_CATALOG));
        out.push(text("Database", &table.database));
        out.push(text("Table", &table.name));
        if let TableKind::Files { format, location, managed, .. } = &table.kind {
            out.push(text("Type", if *managed { "MANAGED" } else { "EXTERNAL" }));
            out.push(text("Provider", format));
            out.push(text("Location", location));
        }
        if let Some(comment) = &table.comment {
            out.push(text("Comment", comment));
        }
    }
    rows(out)
}
