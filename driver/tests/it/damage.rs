//! Damaged input in one process.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use crate::application::in_process;

#[tokio::test]
async fn the_one_damaged_file_of_several_is_named() {
    let folder = TempDir::new().unwrap();
    let application = in_process(&folder.path().join("scratch"), &[]);
    let table = folder.path().join("t");
    let rows = "SELECT id, sha2(CAST(id AS STRING), 256) h FROM range(0, 60000, 1, 3)";
    let write = format!("INSERT OVERWRITE DIRECTORY '{}' USING parquet {rows}", table.display());
    application.run_script(&write, |_| true).await.unwrap();

    let all = fs::read_dir(&table).unwrap().map(|f| f.unwrap().path());
    let mut files: Vec<PathBuf> = all.filter(|f| f.extension().is_some_and(|e| e == "parquet")).collect();
    files.sort();
    assert!(files.len() > 1, "{files:?}");
    let damaged = files.last().unwrap();
    let mut bytes = fs::read(damaged).unwrap();
    // Its pages are noise, its footer is whole.
    let (from, to) = (bytes.len() / 4, bytes.len() / 2);
    bytes[from..to].fill(0xA5);
    fs::write(damaged, bytes).unwrap();

    let read = format!("SELECT count(DISTINCT h) FROM parquet.`{}`", table.display());
    let error = application.run_script(&read, |_| true).await.unwrap_err();
    assert_eq!(error.class(), "FAILED_READ_FILE.NO_HINT", "{error}");
    let named = |file: &PathBuf| error.message().contains(file.file_name().unwrap().to_str().unwrap());
    assert_eq!(files.iter().filter(|file| named(file)).collect::<Vec<_>>(), vec![damaged], "{error}");
}
