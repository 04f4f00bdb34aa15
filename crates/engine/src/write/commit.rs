//! The job's side of writing: what is there before, making the parts visible, removing what they replace.

use std::collections::BTreeSet;

use arrow::array::{AsArray, RecordBatch};
use firesteel_plan::{SparkError, SparkResult};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;

use super::{
    WriteMode, WriteSpec,
    lock::CommitLock,
    manifest::{Commit, Manifest},
    staged::{PendingFile, local_path},
    visible,
};
use crate::{
    EngineSession,
    error::from_datafusion,
    source::{NULL_PARTITION, escape},
    storage::{Location, error::from_object_store},
};

/// A listing is made again when it changes meanwhile, at most so often.
const LISTINGS: usize = 100;

/// A write that has begun. Ends with [`begin_commit`](Self::begin_commit) or [`abort`](Self::abort).
pub struct WriteJob {
    id: String,
    session: EngineSession,
    base: Location,
    mode: WriteMode,
    prefix: String,
    /// Names the write in all lives of its driver, where there may be several.
    name: Option<String>,
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
    pub async fn start(session: &EngineSession, spec: &WriteSpec, name: Option<&str>) -> SparkResult<Option<Self>> {
        let job = Self {
            id: uuid::Uuid::new_v4().simple().to_string(),
            session: session.clone(),
            base: Location::parse(&spec.path)?,
            mode: spec.mode,
            prefix: static_prefix(spec),
            name: name.map(str::to_owned),
        };
        let present = match spec.mode {
            // Also finds, before any work is done, a bucket that is missing or closed.
            WriteMode::ErrorIfExists | WriteMode::Ignore => job.is_taken().await?,
            _ => {
                job.probe().await?;
                false
            }
        };
        match (spec.mode, present) {
            (WriteMode::ErrorIfExists, true) => Err(already_exists(&spec.path)),
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

    /// Decides what the write consists of. Nothing of it is visible before [`Commit::finish`]. Of a write that has a name,
    /// an earlier decision counts: this driver's files are taken back then.
    pub async fn begin_commit(self, mut files: Vec<PendingFile>) -> SparkResult<Commit> {
        let lock = CommitLock::take(&self.base).await?;
        Commit::sweep(&self.session, &self.base).await?;
        // Another may have been quicker.
        if matches!(self.mode, WriteMode::ErrorIfExists | WriteMode::Ignore)
            && self.name.is_none()
            && self.is_taken().await?
        {
            let path = self.base.written.clone();
            let taken_back = std::mem::take(&mut files);
            if self.mode == WriteMode::ErrorIfExists {
                self.abort(&taken_back).await;
                return Err(already_exists(&path));
            }
            for file in &taken_back {
                if let Err(error) = file.abort(&self.session, &self.base).await {
                    tracing::warn!(key = %file.key, %error, "a file of no use could not be removed");
                }
            }
        }
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
        let replaced = replaced.into_iter().map(String::from).collect();
        let manifest = Manifest { job: self.id.clone(), files, replaced };
        Commit::begin(&self.session, self.base, self.name, manifest, lock).await
    }

    /// Takes back what attempts wrote, as far as it is known.
    pub async fn abort(self, files: &[PendingFile]) {
        for file in files {
            if let Err(error) = file.abort(&self.session, &self.base).await {
                tracing::warn!(key = %file.key, %error, "an output file of a failed job could not be removed");
            }
        }
        clean(&self.base, &self.id).await;
    }

    /// Whether readers see a file.
    async fn is_taken(&self) -> SparkResult<bool> {
        let store = self.store()?;
        let at = Some(&self.base.path).filter(|p| !p.as_ref().is_empty());
        for _ in 0..LISTINGS {
            let found: Result<Vec<_>, _> = store.list(at).try_collect().await;
            let found = match found {
                Err(object_store::Error::NotFound { .. }) if self.base.is_local() => return Ok(false),
                other => other.map_err(|e| from_object_store(&e, &self.base.written))?,
            };
            if let Some(seen) = visible::visible(store.as_ref(), &self.base, found).await? {
                return Ok(seen.iter().any(|meta| !self.is_hidden(&meta.location)));
            }
        }
        Ok(true)
    }

    /// Data files below `prefix`, other programs' bookkeeping left out.
    async fn existing(&self, prefix: &str) -> SparkResult<Vec<Path>> {
        let at = if prefix.is_empty() { self.base.clone() } else { self.base.child(prefix)? };
        self.list(Some(at.path)).await
    }

    async fn list(&self, at: Option<Path>) -> SparkResult<Vec<Path>> {
        let store = self.store()?;
        let at = at.filter(|p| !p.as_ref().is_empty());
        let found: Result<Vec<Path>, _> = store.list(at.as_ref()).map_ok(|m| m.location).try_collect().await;
        let found = match found {
            Err(object_store::Error::NotFound { .. }) if self.base.is_local() => Vec::new(),
            other => other.map_err(|e| from_object_store(&e, &self.base.written))?,
        };
        Ok(found.into_iter().filter(|p| !self.is_hidden(p)).collect())
    }

    fn is_hidden(&self, path: &Path) -> bool {
        let below = path.parts().skip(self.base.path.parts().count());
        below
            .map(|part| part.as_ref().to_owned())
            .any(|name| (name.starts_with('_') && !name.contains('=')) || name.starts_with('.'))
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

fn already_exists(path: &str) -> SparkError {
    SparkError::new(
        "PATH_ALREADY_EXISTS",
        "42K04",
        format!("Path {path} already exists. Set mode as \"overwrite\" to overwrite the existing path."),
    )
    .param("outputPath", path)
}

/// Removes the folder of files not yet committed of a write to local disk.
pub(super) async fn clean(base: &Location, job: &str) {
    if !base.is_local() {
        return;
    }
    let Ok(temporary) = base.child("_temporary") else { return };
    let folder = local_path(&temporary.path);
    let _ = tokio::fs::remove_dir_all(format!("{folder}/{job}")).await;
    // Another job may be writing to the same folder: goes only when empty.
    let _ = tokio::fs::remove_dir(folder).await;
}

fn folder_of(key: &str) -> String {
    key.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned())
}
