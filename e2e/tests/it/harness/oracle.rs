//! Real Spark's answers, as the scripts in oracle/ compare them.

use std::path::Path;

use tokio::process::Command;

use super::{root, succeed};

/// Compares the Parquet folders below `actual` with rows recorded from real Spark, as oracle/expected holds them.
pub async fn compare_with_recorded(expected: &Path, actual: &Path) {
    let mut compare = Command::new(root().join("oracle/compare-output"));
    println!("{}", succeed(compare.arg(expected).arg(actual)).await);
}

/// Compares the Parquet folders below `actual` with those that real Spark wrote.
pub async fn compare_with_tables(expected: &Path, actual: &Path) {
    let mut compare = Command::new(root().join("oracle/compare-tables"));
    println!("{}", succeed(compare.arg(expected).arg(actual)).await);
}
