//! Writing files: one task attempt writes its part where no reader sees it, and the job's commit makes all parts visible.

use std::collections::BTreeMap;

use firesteel_plan::types::StructField;

/// What to write, where and how.
#[derive(Debug, Clone)]
pub struct WriteSpec {
    /// A folder.
    pub path: String,
    /// `parquet`, `csv`, `json`, `text` in lower case.
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
