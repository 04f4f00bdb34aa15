//! Partitions of tables: those that were added, and those that files are in.

use std::collections::BTreeSet;

use firesteel_engine::storage::Location;
use firesteel_plan::{
    Expr, ExprKind, SparkError, SparkResult,
    expr::{Literal, MultipartName, UnaryOp},
    statement::PartitionSpec,
};
use futures::TryStreamExt;
use object_store::ObjectStore;

use super::{alter::table_to_change, text_rows};
use crate::{
    Analyzed,
    catalog::{Table, TableKind},
    errors,
    session::Session,
};

/// Most partitions that are listed.
const MAX_PARTITIONS: usize = 1_000_000;

pub(super) fn check_partitioned(table: &Table, operation: &str) -> SparkResult<()> {
    if !table.partition_columns.is_empty() {
        return Ok(());
    }
    let name = errors::ids(&table.full_name());
    Err(SparkError::new(
        "NOT_A_PARTITIONED_TABLE",
        "42809",
        format!("Operation {operation} is not allowed for {name} because it is not a partitioned table."),
    )
    .param("operation", operation)
    .param("tableIdentWithDB", name))
}

fn text_of(e: &Expr) -> Option<String> {
    Some(match &e.kind {
        ExprKind::Literal(Literal::String(text)) => text.clone(),
        ExprKind::Literal(Literal::Null) => "__HIVE_DEFAULT_PARTITION__".to_owned(),
        ExprKind::Literal(Literal::Boolean(v)) => v.to_string(),
        ExprKind::Literal(Literal::Byte(v)) => v.to_string(),
        ExprKind::Literal(Literal::Short(v)) => v.to_string(),
        ExprKind::Literal(Literal::Integer(v)) => v.to_string(),
        ExprKind::Literal(Literal::Long(v)) => v.to_string(),
        ExprKind::Unary { op: UnaryOp::Minus, operand } => format!("-{}", text_of(operand)?),
        _ => return None,
    })
}

/// The values of some partition columns, by their place among them.
fn given(table: &Table, spec: &PartitionSpec) -> SparkResult<Vec<Option<String>>> {
    let mut values = vec![None; table.partition_columns.len()];
    for (name, value) in spec {
        let Some(at) = table.partition_columns.iter().position(|c| c.eq_ignore_ascii_case(name)) else {
            let shown = errors::ids(&table.full_name());
            return Err(SparkError::new(
                "PARTITIONS_NOT_FOUND",
                "428FT",
                format!("The partition(s) {} cannot be found in table {shown}.", errors::id(name)),
            )
            .param("partitionList", errors::id(name))
            .param("tableName", shown));
        };
        let Some(value) = value else {
            return Err(SparkError::new(
                "INVALID_SQL_SYNTAX.EMPTY_PARTITION_VALUE",
                "42000",
                format!("Invalid SQL syntax: Partition key {} must set value.", errors::id(name)),
            )
            .param("partKey", errors::id(name)));
        };
        values[at] =
            Some(text_of(value).ok_or_else(|| SparkError::unsupported("an expression in a partition's name"))?);
    }
    Ok(values)
}

/// The values of all partition columns.
pub(super) fn whole(table: &Table, spec: &PartitionSpec) -> SparkResult<Vec<String>> {
    let values = given(table, spec)?;
    let all: Option<Vec<String>> = values.into_iter().collect();
    all.ok_or_else(|| {
        let keys: Vec<_> = spec.iter().map(|(name, _)| name.as_str()).collect();
        let (keys, columns) = (keys.join(", "), table.partition_columns.join(", "));
        let name = errors::ids(&table.full_name());
        SparkError::new(
            "_LEGACY_ERROR_TEMP_1232",
            "",
            format!("Partition spec is invalid. The spec ({keys}) must match the partition spec ({columns}) defined in table '{name}'."),
        )
        .param("specKeys", keys)
        .param("partitionColumnNames", columns)
        .param("tableName", name)
    })
}

/// `c=Us/d=1`
fn folder(table: &Table, values: &[String]) -> String {
    let parts: Vec<String> = table.partition_columns.iter().zip(values).map(|(c, v)| format!("{c}={v}")).collect();
    parts.join("/")
}

/// The partitions of a table in the order of their values.
pub(super) async fn all(session: &Session, table: &Table) -> SparkResult<BTreeSet<Vec<String>>> {
    let mut found: BTreeSet<Vec<String>> = table.partitions.iter().cloned().collect();
    let TableKind::Files { location, .. } = &table.kind else { return Ok(found) };
    let (store, parsed) = super::create::open_store(session, location)?;
    let prefix = parsed.path.as_ref().trim_end_matches('/').to_owned();
    let mut files = store.list(Some(&parsed.path));
    let failed = |e: object_store::Error| firesteel_engine::storage::error::from_object_store(&e, location);
    while let Some(file) = files.try_next().await.map_err(failed)? {
        let key = file.location.as_ref();
        let Some(rest) = key.strip_prefix(&prefix) else { continue };
        let parts: Vec<&str> = rest.trim_start_matches('/').split('/').collect();
        let values: Option<Vec<String>> = table
            .partition_columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let (name, value) = parts.get(at)?.split_once('=')?;
                name.eq_ignore_ascii_case(column).then(|| value.to_owned())
            })
            .collect();
        if let Some(values) = values {
            found.insert(values);
        }
        if found.len() > MAX_PARTITIONS {
            return Err(SparkError::unsupported("listing more than a million partitions"));
        }
    }
    Ok(found)
}

pub(super) fn not_found(table: &Table, values: &[String]) -> SparkError {
    let parts: Vec<String> =
        table.partition_columns.iter().zip(values).map(|(c, v)| format!("{} = {v}", errors::id(c))).collect();
    let list = format!("PARTITION ({})", parts.join(", "));
    let name = errors::ids(&[table.database.clone(), table.name.clone()]);
    SparkError::new(
        "PARTITIONS_NOT_FOUND",
        "428FT",
        format!("The partition(s) {list} cannot be found in table {name}.\nVerify the partition specification and table name."),
    )
    .param("partitionList", list)
    .param("tableName", name)
}

pub(super) async fn add(
    session: &Session,
    table: &mut Table,
    spec: &PartitionSpec,
    if_not_exists: bool,
) -> SparkResult<()> {
    check_partitioned(table, "ALTER TABLE ... ADD PARTITION")?;
    let values = whole(table, spec)?;
    if !all(session, table).await?.contains(&values) {
        table.partitions.push(values);
        return Ok(());
    }
    if if_not_exists {
        return Ok(());
    }
    let parts: Vec<String> =
        table.partition_columns.iter().zip(&values).map(|(c, v)| format!("{} = {v}", errors::id(c))).collect();
    let list = format!("PARTITION ({})", parts.join(", "));
    let name = errors::ids(&[table.database.clone(), table.name.clone()]);
    Err(SparkError::new(
        "PARTITIONS_ALREADY_EXIST",
        "428FT",
        format!("Cannot ADD or RENAME TO partition(s) {list} in table {name} because they already exist."),
    )
    .param("partitionList", list)
    .param("tableName", name))
}

/// The files of a managed table's partition go with it.
pub(super) async fn drop(
    session: &Session,
    table: &mut Table,
    spec: &PartitionSpec,
    if_exists: bool,
) -> SparkResult<()> {
    check_partitioned(table, "ALTER TABLE ... DROP PARTITION")?;
    let wanted = given(table, spec)?;
    let fits = |values: &Vec<String>| wanted.iter().zip(values).all(|(w, v)| w.as_ref().is_none_or(|w| w == v));
    let known: Vec<Vec<String>> = all(session, table).await?.into_iter().filter(|v| fits(v)).collect();
    if known.is_empty() && !if_exists {
        return Err(not_found(table, &wanted.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>()));
    }
    let TableKind::Files { location, managed, .. } = &table.kind else { return Ok(()) };
    if !managed && known.iter().any(|v| !table.partitions.contains(v)) {
        // The files would be found again.
        return Err(errors::unsupported_statement("DROP PARTITION of a table whose files are not the catalog's own"));
    }
    for values in &known {
        if *managed {
            let below = Location::parse(location)?.child(&folder(table, values))?;
            super::create::remove_files(session, &below.written).await?;
        }
    }
    table.partitions.retain(|v| !known.contains(v));
    Ok(())
}

/// Only of a partition without files: those would have to move.
pub(super) async fn rename(
    session: &Session,
    table: &mut Table,
    from: &PartitionSpec,
    to: &PartitionSpec,
) -> SparkResult<()> {
    check_partitioned(table, "ALTER TABLE ... RENAME PARTITION")?;
    let (from, to) = (whole(table, from)?, whole(table, to)?);
    let known = all(session, table).await?;
    if !known.contains(&from) {
        return Err(not_found(table, &from));
    }
    let without_files = Table { partitions: Vec::new(), ..table.clone() };
    if all(session, &without_files).await?.contains(&from) {
        return Err(errors::unsupported_statement("ALTER TABLE … RENAME PARTITION of a partition with files"));
    }
    table.partitions.retain(|v| *v != from);
    if !known.contains(&to) {
        table.partitions.push(to);
    }
    Ok(())
}

pub(super) async fn show(session: &Session, name: &MultipartName, spec: &PartitionSpec) -> SparkResult<Analyzed> {
    let table = table_to_change(session, name, "SHOW PARTITIONS").await?;
    if table.partition_columns.is_empty() {
        let shown = errors::ids(&table.full_name());
        return Err(SparkError::new(
            "INVALID_PARTITION_OPERATION.PARTITION_SCHEMA_IS_EMPTY",
            "42601",
            format!("The partition command is invalid. Table {shown} is not partitioned."),
        )
        .param("name", shown));
    }
    let wanted = given(&table, spec)?;
    let rows = all(session, &table)
        .await?
        .into_iter()
        .filter(|values| wanted.iter().zip(values).all(|(w, v)| w.as_ref().is_none_or(|w| w == v)))
        .map(|values| vec![folder(&table, &values).into()])
        .collect();
    text_rows(&["partition"], rows)
}

/// Files are listed by every query: there is nothing to repair.
pub(super) async fn repair(session: &Session, name: &MultipartName) -> SparkResult<Analyzed> {
    let table = table_to_change(session, name, "MSCK REPAIR TABLE").await?;
    check_partitioned(&table, "MSCK REPAIR TABLE")?;
    Ok(Analyzed::Done)
}
