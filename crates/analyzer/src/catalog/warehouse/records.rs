//! Versioned records in an object store.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use firesteel_engine::{
    EngineSession,
    error::from_datafusion,
    storage::{self, Location},
};
use firesteel_plan::{SparkError, SparkResult};
use futures::TryStreamExt;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};
use serde_json::Value;

/// How often a change looks again after others were quicker.
const ATTEMPTS: usize = 20;
/// Digits of a version: names sort as versions do.
const DIGITS: usize = 20;

pub(super) struct Records {
    engine: EngineSession,
    warehouse: String,
    /// Changes are those that the records have already.
    keep: AtomicBool,
}

/// The newest version of a record.
pub(super) struct Record {
    /// 0 where there was never one.
    version: u64,
    /// Nothing where it was dropped, or never there.
    pub value: Option<Value>,
    /// For messages.
    pub place: String,
}

impl Records {
    pub fn new(engine: EngineSession, warehouse: &str) -> Self {
        Self { engine, warehouse: warehouse.to_owned(), keep: AtomicBool::new(false) }
    }

    fn root(&self) -> SparkResult<Location> {
        Location::parse(&self.warehouse)?.child("_firesteel/catalog")
    }

    pub fn keep(&self, on: bool) {
        self.keep.store(on, Ordering::Relaxed);
    }

    fn store(&self, root: &Location) -> SparkResult<Arc<dyn ObjectStore>> {
        self.engine.runtime().object_store(&root.store).map_err(|e| from_datafusion(&e))
    }

    /// The records of all folders or of one whose names are `wanted`, by folder and name.
    pub async fn below(
        &self,
        folder: Option<&str>,
        wanted: impl Fn(&str) -> bool,
    ) -> SparkResult<BTreeMap<(String, String), Record>> {
        let root = self.root()?;
        let store = self.store(&root)?;
        let prefix = match folder {
            Some(folder) => root.path.clone().join(escaped(folder)),
            None => root.path.clone(),
        };
        let mut newest: BTreeMap<(String, String), (Path, u64)> = BTreeMap::new();
        for (path, version) in versions(store.as_ref(), &prefix, &root).await? {
            let Some(name) = name_of(&path, &root).filter(|(_, name)| wanted(name)) else { continue };
            if newest.get(&name).is_none_or(|(_, known)| *known < version) {
                newest.insert(name, (path, version));
            }
        }
        let mut records = BTreeMap::new();
        for ((folder, name), (path, version)) in newest {
            let record = match read(store.as_ref(), &path, version, &root).await? {
                Some(record) => record,
                None => self.latest(&folder, &name).await?,
            };
            records.insert((folder, name), record);
        }
        Ok(records)
    }

    pub async fn latest(&self, folder: &str, name: &str) -> SparkResult<Record> {
        let root = self.root()?;
        let store = self.store(&root)?;
        let prefix = root.path.clone().join(escaped(folder)).join(escaped(name));
        for _ in 0..ATTEMPTS {
            let newest =
                versions(store.as_ref(), &prefix, &root).await?.into_iter().max_by_key(|(_, version)| *version);
            let Some((path, version)) = newest else {
                return Ok(Record { version: 0, value: None, place: root.display(&prefix) });
            };
            if let Some(record) = read(store.as_ref(), &path, version, &root).await? {
                return Ok(record);
            }
        }
        Err(busy(&root.display(&prefix)))
    }

    /// Makes the version after the newest of what `next` answers for that one (nothing: dropped), and answers what was
    /// there before.
    pub async fn change(
        &self,
        folder: &str,
        name: &str,
        next: impl Fn(&Record) -> SparkResult<Option<Value>>,
    ) -> SparkResult<Record> {
        let root = self.root()?;
        let store = self.store(&root)?;
        let prefix = root.path.clone().join(escaped(folder)).join(escaped(name));
        for _ in 0..ATTEMPTS {
            let before = self.latest(folder, name).await?;
            let value = next(&before)?.unwrap_or(Value::Null);
            if self.keep.load(Ordering::Relaxed) {
                return Ok(before);
            }
            let version = before.version + 1;
            let path = prefix.clone().join(format!("{version:0DIGITS$}.json"));
            let payload = PutPayload::from(value.to_string().into_bytes());
            match store.put_opts(&path, payload, PutOptions::from(PutMode::Create)).await {
                Ok(_) => {}
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => continue,
                Err(error) => return Err(storage::error::from_object_store(&error, &root.display(&path))),
            }
            let versions = versions(store.as_ref(), &prefix, &root).await?;
            // One who looked long ago may make a version that others made, passed and cleared away since.
            if versions.iter().any(|(_, other)| *other > version) {
                let _ = store.delete(&path).await;
                continue;
            }
            for (old, _) in versions.into_iter().filter(|(_, other)| *other < version) {
                // Left for the next change when it fails: the newest counts.
                let _ = store.delete(&old).await;
            }
            return Ok(before);
        }
        Err(busy(&root.display(&prefix)))
    }
}

async fn versions(store: &dyn ObjectStore, prefix: &Path, root: &Location) -> SparkResult<Vec<(Path, u64)>> {
    let found: Vec<_> = store
        .list(Some(prefix))
        .try_collect()
        .await
        .map_err(|e| storage::error::from_object_store(&e, &root.written))?;
    Ok(found
        .into_iter()
        .filter_map(|meta| {
            let version = meta.location.filename()?.strip_suffix(".json")?.parse().ok()?;
            Some((meta.location, version))
        })
        .collect())
}

/// Nothing where a newer version has come, and this one was cleared away.
async fn read(store: &dyn ObjectStore, path: &Path, version: u64, root: &Location) -> SparkResult<Option<Record>> {
    let place = root.display(path);
    let bytes = match store.get(path).await {
        Ok(found) => found.bytes().await.map_err(|e| storage::error::from_object_store(&e, &place))?,
        Err(Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(storage::error::from_object_store(&error, &place)),
    };
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| damaged(&place, &e.to_string()))?;
    Ok(Some(Record { version, value: (!value.is_null()).then_some(value), place }))
}

fn name_of(path: &Path, root: &Location) -> Option<(String, String)> {
    let parts: Vec<_> = path.prefix_match(&root.path)?.collect();
    let [folder, name, _] = parts.as_slice() else { return None };
    Some((unescaped(folder.as_ref())?, unescaped(name.as_ref())?))
}

/// A name as stores of every kind take it: other bytes than letters, digits, `_` and `-` in hexadecimal behind `=`. The
/// slash, which no name has, is `==`.
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'/' => text.push_str("=="),
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => text.push(char::from(byte)),
            other => text.push_str(&format!("={other:02x}")),
        }
    }
    text
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        match (first, after) {
            (b'=', [b'=', after @ ..]) => {
                bytes.push(b'/');
                rest = after;
            }
            (b'=', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                rest = after;
            }
            (b'=', _) => return None,
            (plain, after) => {
                bytes.push(*plain);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

pub(super) fn damaged(place: &str, why: &str) -> SparkError {
    SparkError::new(
        "FAILED_READ_FILE.NO_HINT",
        "KD001",
        format!("The catalog's record {place} is damaged: {why}. Remove it to forget what it describes; data stay where they are."),
    )
    .param("path", place)
}

fn busy(place: &str) -> SparkError {
    SparkError::new(
        "CONCURRENT_CATALOG_CHANGES",
        "40001",
        format!("Others change {place} all the time: {ATTEMPTS} attempts were not quick enough. Try again."),
    )
    .param("path", place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_they_were() {
        for name in ["t", "a b", "ünï", "=", "==", "x=y", "a.b", "-_9", "/database"] {
            assert_eq!(unescaped(&escaped(name)).as_deref(), Some(name));
        }
        assert_eq!(unescaped("=g0"), None);
        assert_eq!(unescaped("=3"), None);
    }
}
