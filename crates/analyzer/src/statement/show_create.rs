//! SHOW CREATE TABLE.

use firesteel_plan::{DataType, SparkResult, expr::MultipartName, naming::type_sql, statement::SchemaBinding};

use super::{catalog_table, qualified, text_rows};
use crate::{
    Analyzed,
    catalog::{SESSION_CATALOG, Table, TableKind, View},
    errors,
    session::Session,
    variable::quoted,
};

pub(super) async fn show(session: &Session, name: &MultipartName) -> SparkResult<Analyzed> {
    if let [only] = name.as_slice()
        && session.temp_view(only).is_some()
    {
        let shown = errors::id(only);
        return Err(firesteel_plan::SparkError::new(
            "UNSUPPORTED_SHOW_CREATE_TABLE.ON_TEMPORARY_VIEW",
            "0A000",
            format!(
                "Unsupported a SHOW CREATE TABLE command. The command is not supported on a temporary view {shown}."
            ),
        )
        .param("tableName", shown));
    }
    let Some(table) = catalog_table(session, name).await? else {
        return Err(errors::table_not_found(&qualified(session, name)));
    };
    let text = match &table.kind {
        TableKind::View(view) => of_view(&table, view),
        TableKind::Files { format, location, managed, options } => {
            let mut text = format!("CREATE TABLE {SESSION_CATALOG}.{}.{} (", table.database, table.name);
            let columns: Vec<String> = table
                .schema
                .iter()
                .map(|field| {
                    let mut line = format!("\n  {} {}", plain(&field.name), column_type(&field.data_type));
                    if !field.nullable {
                        line.push_str(" NOT NULL");
                    }
                    if let Some(default) = table.defaults.get(&field.name) {
                        line.push_str(&format!(" DEFAULT {default}"));
                    }
                    if let Some(comment) = &field.comment {
                        line.push_str(&format!(" COMMENT {}", quoted(comment)));
                    }
                    line
                })
                .collect();
            text.push_str(&columns.join(","));
            text.push_str(&format!(")\nUSING {format}\n"));
            let options: Vec<(String, String)> = options.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            text.push_str(&pairs("OPTIONS", &options));
            if !table.partition_columns.is_empty() {
                let names: Vec<_> = table.partition_columns.iter().map(|c| plain(c)).collect();
                text.push_str(&format!("PARTITIONED BY ({})\n", names.join(", ")));
            }
            if let Some(comment) = &table.comment {
                text.push_str(&format!("COMMENT {}\n", quoted(comment)));
            }
            if let Some(collation) = &table.collation {
                text.push_str(&format!("DEFAULT COLLATION {collation}\n"));
            }
            if !managed {
                text.push_str(&format!("LOCATION {}\n", quoted(&with_scheme(location))));
            }
            let properties: Vec<(String, String)> =
                table.properties.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            text.push_str(&pairs("TBLPROPERTIES", &properties));
            text
        }
    };
    text_rows(&["createtab_stmt"], vec![vec![text.into()]])
}

/// A local path as a URI.
pub(super) fn with_scheme(location: &str) -> String {
    if location.starts_with('/') { format!("file:{location}") } else { location.to_owned() }
}

/// Words that need no quotes stand without.
pub(super) fn plain(name: &str) -> String {
    let word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.is_empty();
    if word && !name.starts_with(|c: char| c.is_ascii_digit()) { name.to_owned() } else { errors::id(name) }
}

fn column_type(data_type: &DataType) -> String {
    match data_type {
        DataType::String => "STRING COLLATE UTF8_BINARY".to_owned(),
        other if other.is_char_or_varchar() => format!("{} COLLATE UTF8_BINARY", type_sql(other)),
        other => type_sql(other),
    }
}

pub(super) fn is_secret(key: &str) -> bool {
    let lower = key.to_lowercase();
    ["secret", "password", "token", "access.key", "credential"].iter().any(|s| lower.contains(s))
}

/// The value of a property, if it may be seen.
pub(super) fn redacted<'v>(key: &str, value: &'v str) -> &'v str {
    if is_secret(key) { "*********(redacted)" } else { value }
}

fn pairs(word: &str, pairs: &[(String, String)]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let lines: Vec<String> =
        pairs.iter().map(|(k, v)| format!("\n  {} = {}", quoted(k), quoted(redacted(k, v)))).collect();
    format!("{word} ({})\n", lines.join(","))
}

/// How a view follows its tables, as it is written.
pub(super) fn binding_text(binding: SchemaBinding) -> &'static str {
    match binding {
        SchemaBinding::Binding => "BINDING",
        SchemaBinding::Compensation => "COMPENSATION",
        SchemaBinding::TypeEvolution => "TYPE EVOLUTION",
        SchemaBinding::Evolution => "EVOLUTION",
    }
}

fn of_view(table: &Table, view: &View) -> String {
    let mut text = format!("CREATE VIEW {}.{} (", table.database, table.name);
    let columns: Vec<String> = table
        .schema
        .iter()
        .map(|field| match &field.comment {
            Some(comment) => format!("\n  {} COMMENT {}", plain(&field.name), quoted(comment)),
            None => format!("\n  {}", plain(&field.name)),
        })
        .collect();
    text.push_str(&columns.join(","));
    text.push_str(")\n");
    if let Some(comment) = &table.comment {
        text.push_str(&format!("COMMENT {}\n", quoted(comment)));
    }
    if let Some(collation) = &table.collation {
        text.push_str(&format!("DEFAULT COLLATION {collation}\n"));
    }
    let properties: Vec<(String, String)> = table.properties.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    text.push_str(&pairs("TBLPROPERTIES", &properties));
    if let Some(binding) = view.binding {
        text.push_str(&format!("WITH SCHEMA {}\n", binding_text(binding)));
    }
    text.push_str(&format!("AS {}\n", view.query_text));
    text
}
