//! Statements to begin with: those of the repository's tests and benchmarks, and, when they were downloaded, of Spark's own tests
//! and TPC-DS.

use std::path::{Path, PathBuf};

/// A longer one is left out.
const LONGEST: usize = 20_000;

/// Files with one statement a line, `#` before comments.
const LINES: [&str; 3] = [
    "crates/sql/tests/data/statements.txt",
    "crates/sql/tests/data/bad-statements.txt",
    "crates/sql/tests/data/named-expressions.txt",
];
/// Folders with scripts.
const SCRIPTS: [&str; 3] = ["oracle/cases", "bench/tpch/queries", "examples"];

/// In an order that is the same wherever the same files are.
pub fn corpus(with_downloads: bool) -> std::io::Result<Vec<String>> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for file in LINES {
        let text = std::fs::read_to_string(repository.join(file))?;
        found.extend(text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')).map(str::to_owned));
    }
    for folder in SCRIPTS {
        scripts(&repository.join(folder), &mut found)?;
    }
    if let Some(downloaded) = cache().filter(|_| with_downloads).map(|cache| cache.join("fuzz"))
        && downloaded.is_dir()
    {
        scripts(&downloaded, &mut found)?;
    }
    found.retain(|text| text.len() <= LONGEST);
    Ok(found)
}

/// Where downloads are kept.
pub fn cache() -> Option<PathBuf> {
    let set = std::env::var_os("FIRESTEEL_CACHE").map(PathBuf::from);
    set.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/firesteel")))
}

fn scripts(folder: &Path, found: &mut Vec<String>) -> std::io::Result<()> {
    let mut entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            scripts(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "sql") {
            let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
            let spans = firesteel_sql::split_statements(&text);
            found.extend(spans.iter().filter_map(|s| text.get(s.start as usize..s.end as usize)).map(str::to_owned));
        }
    }
    Ok(())
}
