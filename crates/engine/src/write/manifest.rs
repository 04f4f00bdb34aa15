//! The commit of a write, which another driver can finish.
//!
//! What a commit will do is decided once and put down beside the data before anything is visible: `_temporary/<name>.commit`.
//! Readers go by it (see [`visible`](super::visible)). Where the write has a name in all lives of its driver, it is put only if
//! there is none: whoever carries it out, and how often, the result is the same: files are completed once, and what they replace
//! was listed before.

use bytes::Bytes;
use firesteel_plan::{SparkError, SparkResult};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{
    WriteSpec, WriteSummary,
    commit::clean,
    lock::CommitLock,
    staged::{PendingFile, local_path},
    visible::{self, DONE, RECORD},
};
use crate::{
    EngineSession,
    error::from_datafusion,
    storage::{Location, error::from_object_store},
};

/// Renames or completions under way at once.
const COMMIT_CONCURRENCY: usize = 16;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The id of the write whose files these are.
    pub job: String,
    pub files: Vec<PendingFile>,
    /// Keys of the files that go when these have come.
    pub replaced: Vec<String>,
}

/// A commit that is decided.
pub struct Commit {
    session: EngineSession,
    base: Location,
    name: Option<String>,
    manifest: Manifest,
    /// Held until the commit is finished.
    lock: Mutex<Option<CommitLock>>,
}

impl Commit {
    pub(super) async fn begin(
        session: &EngineSession,
        base: Location,
        name: Option<String>,
        manifest: Manifest,
        lock: CommitLock,
    ) -> SparkResult<Self> {
        let lock = Mutex::new(Some(lock));
        let mut commit = Self { session: session.clone(), base, name, manifest, lock };
        let Some(place) = commit.place(RECORD)? else { return Ok(commit) };
        let text = serde_json::to_vec(&commit.manifest).map_err(SparkError::internal)?;
        let store = commit.store()?;
        if commit.name.is_none() {
            let put = store.put(&place.path, PutPayload::from(text)).await;
            return put.map(|_| commit).map_err(|e| from_object_store(&e, &place.written));
        }
        let only_new = PutOptions::from(PutMode::Create);
        match store.put_opts(&place.path, PutPayload::from(text.clone()), only_new).await {
            Ok(_) => Ok(commit),
            // Not every store can tell: there is one driver at a time, but for the moment in which one takes over.
            Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {
                let put = store.put(&place.path, PutPayload::from(text)).await;
                put.map_err(|e| from_object_store(&e, &commit.base.written))?;
                Ok(commit)
            }
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                let earlier = read(store.as_ref(), &place, &commit.base)
                    .await?
                    .ok_or_else(|| SparkError::internal(format!("the commit at {} came and went", place.written)))?;
                let own = std::mem::replace(&mut commit.manifest, earlier);
                for file in own.files.iter().filter(|file| !commit.manifest.files.contains(file)) {
                    if let Err(error) = file.abort(&commit.session, &commit.base).await {
                        tracing::warn!(key = %file.key, %error, "a file of no use could not be removed");
                    }
                }
                clean(&commit.base, &own.job).await;
                Ok(commit)
            }
            Err(error) => Err(from_object_store(&error, &commit.base.written)),
        }
    }

    /// Ends the commits to a local folder whose writers died: who has the lock knows that nobody goes on with them. Those that have
    /// a name wait for the next life of their driver.
    pub(super) async fn sweep(session: &EngineSession, base: &Location) -> SparkResult<()> {
        if !base.is_local() {
            return Ok(());
        }
        let left: Vec<String> = visible::state(base)
            .into_iter()
            .filter_map(|(name, _)| name.strip_suffix(RECORD).map(str::to_owned))
            .collect();
        for name in left {
            let manifest = Manifest { job: name.clone(), files: Vec::new(), replaced: Vec::new() };
            let mut commit = Self {
                session: session.clone(),
                base: base.clone(),
                name: Some(name),
                manifest,
                lock: Mutex::default(),
            };
            let (Some(record), Some(done)) = (commit.place(RECORD)?, commit.place(DONE)?) else { continue };
            let store = commit.store()?;
            let Ok(Some(found)) = read(store.as_ref(), &record, base).await else { continue };
            if found.job != commit.manifest.job {
                continue;
            }
            commit.manifest = found;
            let Manifest { job, files, replaced } = &commit.manifest;
            let useless: Vec<&String> = match store.head(&done.path).await {
                Ok(_) => replaced.iter().collect(),
                Err(_) => files.iter().map(|file| &file.key).collect(),
            };
            for key in useless {
                remove(store.clone(), key.clone(), base.written.clone()).await?;
            }
            commit.remove_record().await?;
            clean(base, job).await;
        }
        Ok(())
    }

    /// The commit of this name that an earlier driver decided and perhaps did not finish.
    pub async fn decided(session: &EngineSession, spec: &WriteSpec, name: &str) -> SparkResult<Option<Self>> {
        let (base, name) = (Location::parse(&spec.path)?, Some(name.to_owned()));
        let manifest = Manifest { job: String::new(), files: Vec::new(), replaced: Vec::new() };
        let mut commit = Self { session: session.clone(), base, name, manifest, lock: Mutex::default() };
        let Some(place) = commit.place(RECORD)? else { return Ok(None) };
        let Some(manifest) = read(commit.store()?.as_ref(), &place, &commit.base).await? else { return Ok(None) };
        commit.manifest = manifest;
        Ok(Some(commit))
    }

    /// How many files become visible.
    pub fn base(&self) -> &Location {
        &self.base
    }

    pub fn files(&self) -> usize {
        self.manifest.files.len()
    }

    /// Makes the files visible, then removes those that they replace, then writes `_SUCCESS`. May be done again.
    pub async fn finish(&self) -> SparkResult<WriteSummary> {
        let held = self.lock.lock().take();
        let _lock = match held {
            Some(lock) => lock,
            None => CommitLock::take(&self.base).await?,
        };
        let Manifest { job, files, replaced } = &self.manifest;
        let committing: Vec<_> = files.iter().map(|f| f.commit(&self.session, &self.base)).collect();
        stream::iter(committing)
            .buffer_unordered(COMMIT_CONCURRENCY)
            .try_collect::<Vec<()>>()
            .await
            .map_err(|e| from_datafusion(&e))?;
        let store = self.store()?;
        if let Some(done) = self.place(DONE)? {
            let put = store.put(&done.path, PutPayload::from_bytes(Bytes::new())).await;
            put.map_err(|e| from_object_store(&e, &done.written))?;
        }
        let removing: Vec<_> =
            replaced.iter().map(|key| remove(store.clone(), key.clone(), self.base.written.clone())).collect();
        stream::iter(removing).buffer_unordered(COMMIT_CONCURRENCY).try_collect::<Vec<()>>().await?;
        if self.name.is_none() {
            self.remove_record().await?;
        }
        clean(&self.base, job).await;
        let success = self.base.child("_SUCCESS")?;
        store
            .put(&success.path, PutPayload::from_bytes(Bytes::new()))
            .await
            .map_err(|e| from_object_store(&e, &self.base.written))?;
        Ok(WriteSummary {
            files: files.len() as u64,
            rows: files.iter().map(|f| f.rows).sum(),
            bytes: files.iter().map(|f| f.bytes).sum(),
        })
    }

    /// It is finished, and known to be: nobody will ask for it again. What cannot be removed does no harm.
    pub async fn forget(self) {
        if self.name.is_none() {
            return;
        }
        if let Err(error) = self.remove_record().await {
            tracing::warn!(base = self.base.written, %error, "the record of a finished commit could not be removed");
        }
        if self.base.is_local()
            && let Ok(temporary) = self.base.child("_temporary")
        {
            // Goes only when empty.
            let _ = tokio::fs::remove_dir(local_path(&temporary.path)).await;
        }
    }

    /// First the record, then what says that it is done: never is it there alone again.
    async fn remove_record(&self) -> SparkResult<()> {
        for ending in [RECORD, DONE] {
            if let Some(place) = self.place(ending)? {
                remove(self.store()?, place.path.to_string(), place.written).await?;
            }
        }
        Ok(())
    }

    /// Nothing where the commit is one step anyway.
    fn place(&self, ending: &str) -> SparkResult<Option<Location>> {
        let Manifest { job, files, replaced } = &self.manifest;
        let name = match &self.name {
            Some(name) => name,
            None if files.len() < 2 && replaced.is_empty() => return Ok(None),
            None => job,
        };
        self.base.child(&format!("_temporary/{name}{ending}")).map(Some)
    }

    fn store(&self) -> SparkResult<std::sync::Arc<dyn ObjectStore>> {
        self.session.runtime().object_store(&self.base.store).map_err(|e| from_datafusion(&e))
    }
}

async fn remove(store: std::sync::Arc<dyn ObjectStore>, key: String, written: String) -> SparkResult<()> {
    match store.delete(&Path::parse(key).map_err(SparkError::internal)?).await {
        Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
        Err(e) => Err(from_object_store(&e, &written)),
    }
}

async fn read(store: &dyn ObjectStore, place: &Location, base: &Location) -> SparkResult<Option<Manifest>> {
    let found = match store.get(&place.path).await {
        Ok(found) => found,
        Err(Error::NotFound { .. }) => return Ok(None),
        Err(e) => return Err(from_object_store(&e, &base.written)),
    };
    let bytes = found.bytes().await.map_err(|e| from_object_store(&e, &base.written))?;
    serde_json::from_slice(&bytes).map(Some).map_err(SparkError::internal)
}
