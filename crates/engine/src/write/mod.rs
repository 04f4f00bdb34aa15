//! Writing files: one task attempt writes its part where no reader sees it, and the job's commit makes all parts visible.
//!
//! On local disks an attempt writes below `_temporary` and the commit renames. On object stores it uploads the parts of a
//! multipart upload and leaves it uncompleted; the commit completes the uploads of the attempts that count, so nothing is
//! renamed and nothing shows before. All files of a write are seen at once, or none ([`visible`]); on local disks one commit to
//! a folder goes on at a time. An attempt whose result the driver does not take leaves nothing visible behind.

mod codecs;
mod commit;
mod encode;
mod exec;
mod format;
mod lock;
mod manifest;
mod orc;
mod staged;
pub(crate) mod visible;

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{
    arrow::compute::SortOptions,
    physical_expr::{LexOrdering, PhysicalSortExpr, expressions::Column},
    physical_plan::{ExecutionPlan, sorts::sort::SortExec},
};
use firesteel_plan::{DataType, SparkError, SparkResult, conf::keys, types::StructField};
use serde::{Deserialize, Serialize};

pub use self::{
    commit::{WriteJob, WriteSummary},
    exec::FileWriteExec,
    format::FileFormat,
    manifest::Commit,
};
use crate::{EngineSession, source::SourceOptions};

/// What to write, where and how.
#[derive(Debug, Clone)]
pub struct WriteSpec {
    /// A folder.
    pub path: String,
    /// `parquet`, `csv`, `json`, `text`, `orc`, `avro`, `xml` in lower case.
    pub format: String,
    pub mode: WriteMode,
    /// The columns of the query in order, as the files name and type them; partition columns among them.
    pub columns: Vec<StructField>,
    /// Columns whose values become folders, in order.
    pub partition_by: Vec<String>,
    /// Values of leading partition columns that the statement fixes; they are not among `columns`.
    /// `None` is the null partition.
    pub static_partition: Vec<(String, Option<String>)>,
    /// Keys in lower case.
    pub options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    ErrorIfExists,
    Ignore,
    Append,
    /// All files below the path (below the static partition, if there is one) are replaced.
    Overwrite,
    /// Only the partitions that the query has rows for are replaced.
    OverwriteDynamic,
}

/// What a task needs to know to write its part. Travels with the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteTask {
    pub job: String,
    /// The folder, as written in the statement.
    pub path: String,
    pub format: FileFormat,
    /// Names of the input's columns, in order.
    pub names: Vec<String>,
    /// Indexes of the partition columns.
    pub partition_columns: Vec<usize>,
    /// `k=v` folders of the static partition.
    pub prefix: String,
    /// Most rows of a file; 0: any number.
    pub most_rows: u64,
}

/// Prepares a write: checks the spec and what is at its path, and puts the writing operator above `input`, whose columns
/// are those of the spec in order. `None`: the mode says to leave what is there. `name` names the write in all lives of its
/// driver: its commit can be finished by another.
pub async fn prepare(
    session: &EngineSession,
    input: Arc<dyn ExecutionPlan>,
    spec: &WriteSpec,
    name: Option<&str>,
) -> SparkResult<Option<(WriteJob, Arc<dyn ExecutionPlan>)>> {
    let format = FileFormat::parse(session, spec)?;
    if spec.format == "text" {
        let data = spec.columns.iter().filter(|c| !is_partition(spec, c)).count();
        if data != 1 {
            return Err(SparkError::new(
                "_LEGACY_ERROR_TEMP_1290",
                "XXKCM",
                format!("Text data source supports only a single column, and you have {data} columns."),
            ));
        }
    }
    spec.columns.iter().try_for_each(|c| firesteel_functions::types::check_storable(&c.data_type))?;
    let most_rows = SourceOptions::new(&spec.format, spec.options.clone()).count("maxrecordsperfile")?;
    let most_rows = most_rows.unwrap_or(u64::try_from(session.conf().int(&keys::MAX_RECORDS_PER_FILE)).unwrap_or(0));
    let partition_columns = spec
        .partition_by
        .iter()
        .map(|name| {
            let found = spec.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name));
            found.ok_or_else(|| {
                let known = spec.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
                SparkError::new(
                    "COLUMN_NOT_FOUND",
                    "42703",
                    format!("Partition column `{name}` is not among the columns written: {known}."),
                )
            })
        })
        .collect::<SparkResult<Vec<_>>>()?;
    if !partition_columns.is_empty() && partition_columns.len() == spec.columns.len() {
        return Err(SparkError::new(
            "ALL_PARTITION_COLUMNS_NOT_ALLOWED",
            "KD005",
            "Cannot use all columns for partition columns.".to_owned(),
        ));
    }
    for &index in &partition_columns {
        if matches!(spec.columns[index].data_type, DataType::Array { .. } | DataType::Map { .. } | DataType::Struct(_))
        {
            return Err(SparkError::new(
                "INVALID_PARTITION_COLUMN_DATA_TYPE",
                "0A000",
                format!("Cannot use \"{}\" for partition column.", spec.columns[index].data_type),
            ));
        }
    }
    let Some(job) = WriteJob::start(session, spec, name).await? else { return Ok(None) };
    let task = WriteTask {
        job: job.id().to_owned(),
        path: spec.path.clone(),
        format,
        names: spec.columns.iter().map(|c| c.name.clone()).collect(),
        partition_columns: partition_columns.clone(),
        prefix: commit::static_prefix(spec),
        most_rows,
    };
    // One file is open at a time: rows come grouped by partition.
    let schema = input.schema();
    let keys = partition_columns
        .iter()
        .map(|&i| PhysicalSortExpr::new(Arc::new(Column::new(schema.field(i).name(), i)), SortOptions::default()));
    let input = match LexOrdering::new(keys) {
        Some(order) => Arc::new(SortExec::new(order, input).with_preserve_partitioning(true)) as Arc<dyn ExecutionPlan>,
        None => input,
    };
    Ok(Some((job, Arc::new(FileWriteExec::new(input, task)))))
}

fn is_partition(spec: &WriteSpec, column: &StructField) -> bool {
    spec.partition_by.iter().any(|p| p.eq_ignore_ascii_case(&column.name))
}
