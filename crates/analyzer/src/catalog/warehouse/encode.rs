//! Databases and tables as JSON.

use std::{collections::BTreeMap, sync::Arc};

use firesteel_plan::{
    DataType, SparkConf, SparkError, SparkResult,
    statement::{SchemaBinding, StatementKind},
    types::StructField,
};
use firesteel_sql::{ParseOptions, parse_data_type, parse_statement};
use serde_json::{Map, Value, json};

use super::records::damaged;
use crate::catalog::{Database, Table, TableKind, View};

pub(super) fn database(database: &Database) -> Value {
    json!({
        "name": database.name,
        "location": database.location,
        "comment": database.comment,
        "properties": database.properties,
    })
}

pub(super) fn database_from(value: &Value, place: &str) -> SparkResult<Database> {
    let read = Reader { value, place };
    Ok(Database {
        name: read.text("name")?,
        location: read.text("location")?,
        comment: read.optional("comment"),
        properties: read.texts("properties"),
    })
}

pub(super) fn table(table: &Table) -> SparkResult<Value> {
    let mut value = json!({
        "database": table.database,
        "name": table.name,
        "schema": table.schema.iter().map(field).collect::<Vec<_>>(),
        "partitionColumns": table.partition_columns,
        "comment": table.comment,
        "properties": table.properties,
        "collation": table.collation,
        "defaults": table.defaults,
        "partitions": table.partitions,
    });
    let kind = match &table.kind {
        TableKind::Files { format, location, managed, options } => {
            json!({ "format": format, "location": location, "managed": managed, "options": options })
        }
        TableKind::View(view) => json!({
            "query": view.query_text,
            "columns": view.columns.iter().map(|(name, comment)| json!([name, comment])).collect::<Vec<_>>(),
            "database": view.database,
            "conf": view.conf,
            "binding": view.binding.map(binding),
            "queryColumns": view.query_columns,
        }),
    };
    let name = if matches!(table.kind, TableKind::View(_)) { "view" } else { "files" };
    if let Value::Object(map) = &mut value {
        map.insert(name.to_owned(), kind);
    }
    Ok(value)
}

pub(super) fn table_from(value: &Value, place: &str) -> SparkResult<Table> {
    let read = Reader { value, place };
    let kind = match (value.get("files"), value.get("view")) {
        (Some(files), _) => {
            let read = Reader { value: files, place };
            TableKind::Files {
                format: read.text("format")?,
                location: read.text("location")?,
                managed: files.get("managed").and_then(Value::as_bool).unwrap_or(false),
                options: read.texts("options"),
            }
        }
        (None, Some(view)) => TableKind::View(Arc::new(view_from(&Reader { value: view, place })?)),
        (None, None) => return Err(damaged(place, "it is neither of files nor a view")),
    };
    let lists = |name: &str| -> Vec<Vec<String>> {
        value.get(name).and_then(|v| serde_json::from_value(v.clone()).ok()).unwrap_or_default()
    };
    Ok(Table {
        database: read.text("database")?,
        name: read.text("name")?,
        kind,
        schema: read.list("schema").iter().map(|f| field_from(f, place)).collect::<SparkResult<_>>()?,
        partition_columns: read.list("partitionColumns").iter().filter_map(as_text).collect(),
        comment: read.optional("comment"),
        properties: read.texts("properties"),
        collation: read.optional("collation"),
        defaults: read.texts("defaults"),
        partitions: lists("partitions"),
    })
}

/// The query is read again from its own text, under the settings that it was made with.
fn view_from(read: &Reader<'_>) -> SparkResult<View> {
    let query_text = read.text("query")?;
    let conf: Vec<(String, String)> =
        read.value.get("conf").and_then(|v| serde_json::from_value(v.clone()).ok()).unwrap_or_default();
    let settings: SparkConf = conf.iter().cloned().collect();
    let statement = parse_statement(&query_text, &ParseOptions::from_conf(&settings))
        .map_err(|e| damaged(read.place, &format!("the view's query is not one: {e}")))?;
    let StatementKind::Query(query) = statement.kind else {
        return Err(damaged(read.place, "the view's text is no query"));
    };
    let columns = read.list("columns").iter().filter_map(|column| {
        let [name, comment] = column.as_array()?.as_slice() else { return None };
        Some((as_text(name)?, as_text(comment)))
    });
    Ok(View {
        query,
        text: query_text.clone(),
        query_text,
        columns: columns.collect(),
        database: read.text("database")?,
        conf,
        binding: read.optional("binding").as_deref().and_then(binding_from),
        query_columns: read.list("queryColumns").iter().filter_map(as_text).collect(),
    })
}

fn binding(of: SchemaBinding) -> &'static str {
    match of {
        SchemaBinding::Binding => "BINDING",
        SchemaBinding::Compensation => "COMPENSATION",
        SchemaBinding::TypeEvolution => "TYPE EVOLUTION",
        SchemaBinding::Evolution => "EVOLUTION",
    }
}

fn binding_from(name: &str) -> Option<SchemaBinding> {
    use SchemaBinding::{Binding, Compensation, Evolution, TypeEvolution};
    [Binding, Compensation, TypeEvolution, Evolution].into_iter().find(|b| binding(*b) == name)
}

fn field(field: &StructField) -> Value {
    json!({
        "name": field.name,
        "type": data_type(&field.data_type),
        "nullable": field.nullable,
        "comment": field.comment,
    })
}

fn field_from(value: &Value, place: &str) -> SparkResult<StructField> {
    let read = Reader { value, place };
    let data_type = value.get("type").ok_or_else(|| damaged(place, "a column has no type"))?;
    Ok(StructField {
        name: read.text("name")?,
        data_type: data_type_from(data_type, place)?,
        nullable: value.get("nullable").and_then(Value::as_bool).unwrap_or(true),
        comment: read.optional("comment"),
    })
}

/// What holds other types is an object, for their names may be anything; the rest is the type's own text.
fn data_type(of: &DataType) -> Value {
    match of {
        DataType::Array { element, contains_null } => json!({ "array": data_type(element), "nulls": contains_null }),
        DataType::Map { key, value, value_contains_null } => {
            json!({ "map": [data_type(key), data_type(value)], "nulls": value_contains_null })
        }
        DataType::Struct(fields) => json!({ "struct": fields.iter().map(field).collect::<Vec<_>>() }),
        other => json!(other.to_string()),
    }
}

fn data_type_from(value: &Value, place: &str) -> SparkResult<DataType> {
    let nulls = value.get("nulls").and_then(Value::as_bool).unwrap_or(true);
    match value {
        Value::String(text) => parse_data_type(text),
        Value::Object(map) => match (map.get("array"), map.get("map").and_then(Value::as_array), map.get("struct")) {
            (Some(element), _, _) => {
                Ok(DataType::Array { element: Box::new(data_type_from(element, place)?), contains_null: nulls })
            }
            (_, Some(entry), _) if entry.len() == 2 => Ok(DataType::Map {
                key: Box::new(data_type_from(&entry[0], place)?),
                value: Box::new(data_type_from(&entry[1], place)?),
                value_contains_null: nulls,
            }),
            (_, _, Some(Value::Array(fields))) => {
                Ok(DataType::Struct(fields.iter().map(|f| field_from(f, place)).collect::<SparkResult<_>>()?))
            }
            _ => Err(damaged(place, "a column's type is none")),
        },
        _ => Err(damaged(place, "a column's type is none")),
    }
}

struct Reader<'a> {
    value: &'a Value,
    place: &'a str,
}

impl Reader<'_> {
    fn text(&self, name: &str) -> Result<String, SparkError> {
        self.optional(name).ok_or_else(|| damaged(self.place, &format!("it has no {name}")))
    }

    fn optional(&self, name: &str) -> Option<String> {
        self.value.get(name).and_then(as_text)
    }

    fn list(&self, name: &str) -> &[Value] {
        self.value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn texts(&self, name: &str) -> BTreeMap<String, String> {
        let map: Option<&Map<String, Value>> = self.value.get(name).and_then(Value::as_object);
        map.into_iter().flatten().filter_map(|(k, v)| Some((k.clone(), as_text(v)?))).collect()
    }
}

fn as_text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
