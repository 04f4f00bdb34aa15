use std::path::PathBuf;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Float32Type, Float64Type},
};
use datafusion::physical_plan::collect;
use firesteel_analyzer::{Analyzed, Session};
use firesteel_engine::{EngineOptions, EngineSession, ExecutionMode};
use firesteel_plan::{SparkConf, SparkError, SparkResult};
use firesteel_sql::{ParseOptions, parse_statement};

/// The folder of the repository.
pub fn repository() -> PathBuf {
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../..").canonicalize().unwrap()
}

pub fn session(warehouse: &std::path::Path) -> Session {
    let mut conf = SparkConf::new();
    conf.set("spark.sql.session.timeZone", "UTC").unwrap();
    conf.set("spark.sql.warehouse.dir", warehouse.to_str().unwrap()).unwrap();
    let options = EngineOptions {
        conf: conf.clone(),
        mode: ExecutionMode::InProcess,
        slots: 2,
        memory_bytes: Some(4 << 30),
        local_dirs: Vec::new(),
    };
    Session::new(EngineSession::new(options).unwrap(), conf)
}

pub async fn analyze(session: &Session, text: &str) -> SparkResult<Analyzed> {
    let statement = parse_statement(text, &ParseOptions::from_conf(&session.conf()))?;
    session.analyze(&statement, text).await
}

/// Names and types of what a statement answers.
pub async fn columns(session: &Session, text: &str) -> Result<Vec<(String, String, bool)>, SparkError> {
    let columns = match analyze(session, text).await? {
        Analyzed::Query(query) => query.columns,
        Analyzed::Rows { columns, .. } => columns,
        _ => Vec::new(),
    };
    Ok(columns.into_iter().map(|c| (c.name, c.data_type.to_string(), c.nullable)).collect())
}

/// Schema and rows of a query, as the recorded files spell them.
pub async fn rows(session: &Session, sql: &str) -> Result<(serde_json::Value, Vec<String>), String> {
    let Analyzed::Query(query) = analyze(session, sql).await.map_err(|e| e.to_string())? else {
        return Err("no query".to_owned());
    };
    let schema = query.columns.iter().map(|c| serde_json::json!([c.name, c.data_type.to_string()])).collect();
    let shown = query.plan.display_indent().to_string();
    let fail = |e: datafusion::error::DataFusionError| format!("{e}\n{shown}");
    let plan = session.engine().state().create_physical_plan(&query.plan).await.map_err(fail)?;
    let context = session.engine().task_context().map_err(|e| e.to_string())?;
    let batches = collect(plan, context).await.map_err(fail)?;
    let mut rows = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = batch.columns().iter().map(|c| cell(c, row)).collect();
            rows.push(format!("[{}]", cells.join(",")));
        }
    }
    Ok((schema, rows))
}

fn cell(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return "null".to_owned();
    }
    let text = || arrow::util::display::array_value_to_string(array, row).unwrap();
    match array.data_type() {
        t if t.is_integer() => text(),
        DataType::Boolean => text(),
        DataType::Float64 => serde_json::to_string(&array.as_primitive::<Float64Type>().value(row)).unwrap(),
        DataType::Float32 => serde_json::to_string(&array.as_primitive::<Float32Type>().value(row)).unwrap(),
        _ => serde_json::to_string(&text()).unwrap(),
    }
}
