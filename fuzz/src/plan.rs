//! Analysis and planning: every statement has a plan or an error of a class that tells a person something. Nothing is run, and
//! statements that would change files are left out.

use arrow::array::AsArray;
use firesteel_analyzer::{Analyzed, Session};
use firesteel_engine::{EngineOptions, EngineSession, ExecutionMode, error::from_datafusion, optimize, program};
use firesteel_plan::{SparkConf, SparkError, SparkResult, statement::StatementKind as Kind};
use firesteel_sql::{ParseOptions, parse_statement};

use crate::{Complaint, examined};

/// The tables that statements are about.
pub const TABLES: [&str; 6] = [
    "CREATE TABLE t (a INT, b STRING, c DOUBLE, d DECIMAL(10,2), e DATE, f TIMESTAMP, g BOOLEAN, h BIGINT) USING parquet",
    "CREATE TABLE u (a INT, k STRING, v ARRAY<INT>, m MAP<STRING, INT>, s STRUCT<x: INT, y: STRING>, n TIMESTAMP_NTZ, j BINARY, \
     i ARRAY<STRUCT<x: INT, y: DATE>>) USING parquet",
    "CREATE TABLE w (a BIGINT, c FLOAT, b STRING, p STRING) USING parquet PARTITIONED BY (p)",
    "CREATE TABLE z (a TINYINT, b SMALLINT, o INTERVAL DAY TO SECOND, q INTERVAL YEAR TO MONTH) USING parquet",
    "CREATE VIEW v AS SELECT a, b, c AS x, count(*) OVER (PARTITION BY b) AS n FROM t",
    "CREATE TEMPORARY VIEW l AS SELECT * FROM VALUES (1, 'x', 1.5, array(1)), (2, NULL, 2.5, NULL) AS l(a, b, d, v)",
];
pub const TABLE_NAMES: [&str; 6] = ["t", "u", "w", "z", "v", "l"];
pub const COLUMN_NAMES: [&str; 18] =
    ["a", "a", "b", "b", "c", "d", "e", "f", "g", "h", "k", "v", "m", "s", "n", "j", "i", "x"];

/// Statements after which a session is made anew: what they leave behind must not add up.
const LIFE: usize = 500;

pub struct Planner {
    runtime: tokio::runtime::Runtime,
    warehouse: tempfile::TempDir,
    session: Session,
    planned: usize,
    /// How often an answer was a plan, by the way.
    pub plans: usize,
}

impl Planner {
    pub fn new() -> SparkResult<Self> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(SparkError::internal)?;
        let warehouse = tempfile::tempdir().map_err(SparkError::internal)?;
        let session = session(&runtime, warehouse.path())?;
        Ok(Self { runtime, warehouse, session, planned: 0, plans: 0 })
    }

    /// Spark's functions by their names.
    pub fn functions(&self) -> SparkResult<Vec<String>> {
        let sql = "SHOW SYSTEM FUNCTIONS";
        let statement = parse_statement(sql, &ParseOptions::default())?;
        let Analyzed::Rows { batches, .. } = self.runtime.block_on(self.session.analyze(&statement, sql))? else {
            return Ok(Vec::new());
        };
        let names = batches
            .iter()
            .flat_map(|b| b.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>());
        Ok(names.filter(|n| n.chars().all(|c| c.is_alphanumeric() || c == '_')).collect())
    }

    /// What is wrong with how `text` is analyzed and planned.
    pub fn check(&mut self, text: &str) -> Option<Complaint> {
        self.planned += 1;
        if self.planned.is_multiple_of(LIFE) {
            match session(&self.runtime, self.warehouse.path()) {
                Ok(session) => self.session = session,
                Err(error) => {
                    let what = format!("no new session: {error}");
                    return Some(Complaint { text: String::new(), what, slow: false });
                }
            }
        }
        let (runtime, session, plans) = (&self.runtime, &self.session, &mut self.plans);
        let complaint = examined(text, || match runtime.block_on(plan(session, text)) {
            Err(error) if error.class() == "INTERNAL_ERROR" => Err(error.to_string()),
            Err(_) => Ok(()),
            Ok(planned) => {
                *plans += usize::from(planned);
                Ok(())
            }
        });
        if complaint.as_ref().is_some_and(|c| c.what.starts_with("panic")) {
            self.planned = LIFE - 1;
        }
        complaint
    }
}

fn session(runtime: &tokio::runtime::Runtime, warehouse: &std::path::Path) -> SparkResult<Session> {
    let mut conf = SparkConf::new();
    conf.set("spark.sql.session.timeZone", "America/Los_Angeles")?;
    conf.set("spark.sql.warehouse.dir", warehouse.to_string_lossy())?;
    let options = EngineOptions {
        conf: conf.clone(),
        mode: ExecutionMode::InProcess,
        slots: 2,
        memory_bytes: Some(1 << 30),
        local_dirs: Vec::new(),
    };
    let session = Session::new(EngineSession::new(options)?, conf);
    for sql in TABLES {
        let statement = parse_statement(sql, &ParseOptions::default())?;
        runtime.block_on(session.analyze(&statement, sql))?;
    }
    Ok(session)
}

/// Whether it has a plan.
async fn plan(session: &Session, text: &str) -> SparkResult<bool> {
    let statement = parse_statement(text, &ParseOptions::from_conf(&session.conf()))?;
    if !is_harmless(&statement.kind) {
        return Ok(false);
    }
    let mut analyzed = session.analyze(&statement, text).await?;
    if let Analyzed::Explain { of, .. } = analyzed {
        analyzed = *of;
    }
    let query = match &analyzed {
        Analyzed::Query(query) => query,
        Analyzed::Write(write) => &write.query,
        Analyzed::Assign(assign) => &assign.query,
        _ => return Ok(false),
    };
    if program::runs_first(&query.plan) {
        return Ok(true);
    }
    let state = session.engine().state();
    optimize::load_statistics(&query.plan, &state).await.map_err(|e| from_datafusion(&e))?;
    state.create_physical_plan(&query.plan).await.map_err(|e| from_datafusion(&e))?;
    Ok(true)
}

/// Whether analysis neither writes nor removes files, nor sets keys for all statements after it.
fn is_harmless(kind: &Kind) -> bool {
    match kind {
        Kind::Explain { statement, .. } => is_harmless(&statement.kind),
        Kind::WithCtes { statement, .. } => is_harmless(statement),
        Kind::MultiInsert(statements) => statements.iter().all(is_harmless),
        Kind::Query(_)
        | Kind::Insert(_)
        | Kind::InsertDirectory(_)
        | Kind::Update(_)
        | Kind::Delete(_)
        | Kind::Merge(_)
        | Kind::ShowTables { .. }
        | Kind::ShowDatabases { .. }
        | Kind::ShowColumns { .. }
        | Kind::ShowFunctions { .. }
        | Kind::ShowViews { .. }
        | Kind::ShowPartitions { .. }
        | Kind::ShowCreateTable { .. }
        | Kind::ShowTableProperties { .. }
        | Kind::DescribeTable { .. }
        | Kind::DescribeColumn { .. }
        | Kind::DescribeDatabase { .. }
        | Kind::DescribeFunction { .. }
        | Kind::DescribeQuery { .. }
        | Kind::DeclareVariable { .. }
        | Kind::DropVariable { .. }
        | Kind::SetVariable { .. }
        | Kind::SetVariableByQuery { .. }
        | Kind::CreateFunction(_)
        | Kind::DropFunction { .. }
        | Kind::AlterView { .. }
        | Kind::CreateView(_) => true,
        _ => false,
    }
}
