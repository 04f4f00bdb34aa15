//! Which files readers see while a write of several files is committed, and after its writer died in the middle.
//!
//! The record of a commit (`_temporary/<name>.commit`) is there before its first file has its name, and lists all of them, and those
//! that they replace. Until there is also `_temporary/<name>.done`, its files are not seen; from then on those that they replace are
//! not. So all files of a write come at once, whatever happens to its writer.

use std::collections::HashSet;

use firesteel_plan::SparkResult;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};
use serde::Deserialize;

use crate::storage::{Location, error::from_object_store};

pub(super) const RECORD: &str = ".commit";
pub(super) const DONE: &str = ".done";

/// The part of a record that readers need.
#[derive(Deserialize)]
struct Record {
    files: Vec<File>,
    replaced: Vec<String>,
}

#[derive(Deserialize)]
struct File {
    key: String,
}

/// Takes what is not to be seen out of everything that is listed below `base`. Nothing where a record went meanwhile: what was listed
/// is no longer so.
pub async fn visible(
    store: &dyn ObjectStore,
    base: &Location,
    listed: Vec<ObjectMeta>,
) -> SparkResult<Option<Vec<ObjectMeta>>> {
    let records: Vec<Path> =
        listed.iter().map(|m| &m.location).filter(|p| is_record(base, p, RECORD)).cloned().collect();
    if records.is_empty() {
        return Ok(Some(listed));
    }
    let done: HashSet<String> = listed
        .iter()
        .map(|meta| &meta.location)
        .filter(|path| is_record(base, path, DONE))
        .map(|path| path.as_ref().trim_end_matches(DONE).to_owned())
        .collect();
    let mut hidden: HashSet<String> = HashSet::new();
    for path in records {
        let found = match store.get(&path).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        let bytes = match found {
            Ok(bytes) => bytes,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(from_object_store(&error, &base.written)),
        };
        // Another program's file of such a name says nothing.
        let Ok(record) = serde_json::from_slice::<Record>(&bytes) else { continue };
        if done.contains(path.as_ref().trim_end_matches(RECORD)) {
            hidden.extend(record.replaced);
        } else {
            hidden.extend(record.files.into_iter().map(|file| file.key));
        }
    }
    Ok(Some(listed.into_iter().filter(|meta| !hidden.contains(meta.location.as_ref())).collect()))
}

fn is_record(base: &Location, path: &Path, ending: &str) -> bool {
    let Some(mut below) = path.prefix_match(&base.path) else { return false };
    below.next().is_some_and(|folder| folder.as_ref() == "_temporary")
        && below.next().is_some_and(|name| name.as_ref().ends_with(ending))
        && below.next().is_none()
}

/// What is different before and after a commit, of a folder on local disk: its records, and when the last one ended.
pub fn state(base: &Location) -> Vec<(String, Option<std::time::SystemTime>)> {
    let folder = super::staged::local_path(&base.path);
    let mut found: Vec<_> = std::fs::read_dir(format!("{folder}/_temporary"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), None))
        .filter(|(name, _)| name.ends_with(RECORD) || name.ends_with(DONE))
        .collect();
    found.sort();
    let success = std::fs::metadata(format!("{folder}/_SUCCESS")).and_then(|m| m.modified()).ok();
    found.push((String::new(), success));
    found
}
