//! The job's side of writing: what is there before, making the parts visible, removing what they replace.

use std::collections::BTreeSet;

use arrow::array::{AsArray, RecordBatch};
use bytes::Bytes;
use firesteel_plan::{SparkError, SparkResult};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStoreExt, PutPayload, path::Path};

use super::{
    WriteMode, WriteSpec,
    staged::{PendingFile, local_path},
};
use crate::{
    EngineSession,
    error::from_datafusion,
    source::{NULL_PARTITION, escape},
    storage::{Location, error::from_object_store},
};

/// Renames or completions under way at once.
const COMMIT_CONCURRENCY: usize = 16;

/// A write that has begun. Ends with [`commit`](Self::commit) or [`abort`](Self::abort).
pub struct WriteJob {
    id: String,
    session: EngineSession,
    base: Location,
    mode: WriteMode,
    prefix: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteSummary {
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
}

/// `k=v/` folders of the static partition.
pub fn static_prefix(spec: &WriteSpec) -> String {
    spec.static_partition
        .iter()
        .map(|(name, value)| match value {
            Some(value) => format!("{}={}/", escape(name), escape(value)),
            None => format!("{}={NULL_PARTITION}/", escape(name)),
        })
        .collect()
}

impl WriteJob {
    /// `None` where the mode is Ignore and something is there.
    pub async fn start(session: &EngineSession, spec: &WriteSpec) -> SparkResult<Option<Self>> {
        let job = Self {
            id: uuid::Uuid::new_v4().simple().to_string(),
            session: session.clone(),
            base: Location::parse(&spec.path)?,
            mode: spec.mode,
            prefix: static_prefix(spec),
        };
        let present = match spec.mode {
            // Also finds, before any work is done, a bucket that is missing or closed.
            WriteMode::ErrorIfExists | WriteMode::Ignore => !job.existing("").await?.is_empty(),
            _ => {
                job.probe().await?;
                false
            }
        };
        match (spec.mode, present) {
            (WriteMode::ErrorIfExists, true) => Err(SparkError::new(
                "PATH_ALREADY_EXISTS",
                "42K04",
                format!("Path {} already exists. Set mode as \"overwrite\" to overwrite the existing path.", spec.path),
            )
            .param("outputPath", spec.path.as_str())),
            (WriteMode::Ignore, true) => Ok(None),
            _ => Ok(Some(job)),
        }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the tasks wrote, from the rows that the writing operator yields. Only rows of attempts that count belong here.
    pub fn files(batches: &[RecordBatch]) -> SparkResult<Vec<PendingFile>> {
        let mut files = Vec::new();
        for batch in batches {
            for text in batch.column(0).as_string::<i32>().iter().flatten() {
                let list: Vec<PendingFile> = serde_json::from_str(text).map_err(SparkError::internal)?;
                files.extend(list);
            }
        }
        Ok(files)
    }

    /// Makes the files visible, then removes those that they replace, then writes `_SUCCESS`.
    pub async fn commit(self, files: Vec<PendingFile>) -> SparkResult<WriteSummary> {
        let replaced = match self.mode {
            WriteMode::Overwrite => self.existing(&self.prefix).await?,
            WriteMode::OverwriteDynamic => {
                let folders: BTreeSet<String> = files.iter().map(|f| folder_of(&f.key)).collect();
                let mut found = Vec::new();
                for folder in folders {
                    found.extend(self.list(Some(Path::parse(folder).map_err(SparkError::internal)?)).await?);
                }
                found
            }
            _ => Vec::new(),
        };
        let committing: Vec<_> = files.iter().map(|f| f.commit(&self.session, &self.base)).collect();
        stream::iter(committing)
            .buffer_unordered(COMMIT_CONCURRENCY)
            .try_collect::<Vec<()>>()
            .await
            .map_err(|e| from_datafusion(&e))?;
        let (store, written) = (self.store()?, self.base.written.as_str());
        stream::iter(replaced.into_iter().map(Ok))
            .map(|path: SparkResult<Path>| {
                let store = store.clone();
                async move {
                    match store.delete(&path?).await {
                        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                        Err(e) => Err(from_object_store(&e, written)),
                    }
                }
            })
            .buffer_unordered(COMMIT_CONCURRENCY)
            .try_collect::<Vec<()>>()
            .await?;
        self.clean().await;
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

    /// Takes back what attempts wrote, as far as it is known.
    pub async fn abort(self, files: &[PendingFile]) {
        for file in files {
            if let Err(error) = file.abort(&self.session, &self.base).await {
                tracing::warn!(key = %file.key, %error, "an output file of a failed job could not be removed");
            }
        }
        self.clean().await;
    }

    async fn clean(&self) {
        if !self.base.is_local() {
            return;
        }
        let Ok(temporary) = self.base.child("_temporary") else { return };
        let folder = local_path(&temporary.path);
        let _ = tokio::fs::remove_dir_all(format!("{folder}/{}", self.id)).await;
        // Another job may be writing to the same folder: goes only when empty.
        let _ = tokio::fs::remove_dir(folder).await;
    }

    /// Data files below `prefix`, other programs' bookkeeping left out.
    async fn existing(&self, prefix: &str) -> SparkResult<Vec<Path>> {
        let at = if prefix.is_empty() { self.base.clone() } else { self.base.child(prefix)? };
        self.list(Some(at.path)).await
    }

    async fn list(&self, at: Option<Path>) -> SparkResult<Vec<Path>> {
        let store = self.store()?;
        let base = self.base.path.parts().count();
        let at = at.filter(|p| !p.as_ref().is_empty());
        let found: Result<Vec<Path>, _> = store.list(at.as_ref()).map_ok(|m| m.location).try_collect().await;
        let found = match found {
            Err(object_store::Error::NotFound { .. }) if self.base.is_local() => Vec::new(),
            other => other.map_err(|e| from_object_store(&e, &self.base.written))?,
        };
        let hidden = |p: &Path| {
            p.parts()
                .skip(base)
                .any(|s| (s.as_ref().starts_with('_') && !s.as_ref().contains('=')) || s.as_ref().starts_with('.'))
        };
        Ok(found.into_iter().filter(|p| !hidden(p)).collect())
    }

    async fn probe(&self) -> SparkResult<()> {
        if self.base.is_local() {
            return Ok(());
        }
        let store = self.store()?;
        match store.list(Some(&self.base.path)).next().await {
            Some(Err(e)) => Err(from_object_store(&e, &self.base.written)),
            _ => Ok(()),
        }
    }

    fn store(&self) -> SparkResult<std::sync::Arc<dyn object_store::ObjectStore>> {
        self.session.runtime().object_store(&self.base.store).map_err(|e| from_datafusion(&e))
    }
}

fn folder_of(key: &str) -> String {
    key.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned())
}
