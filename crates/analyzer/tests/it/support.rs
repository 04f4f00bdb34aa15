use std::path::PathBuf;

use firesteel_analyzer::{Analyzed, Session};
use firesteel_engine::{EngineOptions, EngineSession, ExecutionMode};
use firesteel_plan::{SparkConf, SparkError, SparkResult};
use firesteel_sql::{ParseOptions, parse_statement};

/// The folder of the repository.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
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
