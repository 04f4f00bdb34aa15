//! One file being written where no reader sees it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use datafusion::common::{DataFusionError, Result};
use object_store::{
    ObjectStoreExt, PutPayload,
    multipart::{MultipartStore, PartId},
    path::Path,
};
use serde::{Deserialize, Serialize};
use tokio::{fs, io::AsyncWriteExt};

use crate::{EngineSession, error::to_datafusion, storage::Location};

/// Bytes of one uploaded part (S3 takes no smaller ones but the last; 10,000 parts are the most).
const PART: usize = 16 << 20;

/// A file whose bytes are all written, waiting for the job's commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingFile {
    /// The key it will have in its store.
    pub key: String,
    pub bytes: u64,
    pub rows: u64,
    pub how: Pending,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pending {
    /// Written to this path, to be renamed.
    Rename { temporary: String },
    /// Uploaded; the upload is not completed.
    Upload { id: String, parts: Vec<String> },
}

pub struct StagedFile {
    key: Path,
    bytes: u64,
    sink: Sink,
}

enum Sink {
    Local { file: fs::File, temporary: String },
    Upload { store: Arc<dyn MultipartStore>, id: String, parts: Vec<String>, buffer: BytesMut },
}

impl StagedFile {
    /// `name` is the file's path below the job's folder; `temporary` the folder below it for files not yet committed.
    pub async fn create(session: &EngineSession, base: &Location, name: &str, temporary: &str) -> Result<Self> {
        let target = base.child(name).map_err(to_datafusion)?;
        let url: &url::Url = target.store.as_ref();
        let sink = match session.stores().multipart(url).map_err(to_datafusion)? {
            None => {
                let temporary = base.child(&format!("{temporary}/{name}")).map_err(to_datafusion)?;
                let path = local_path(&temporary.path);
                if let Some(folder) = std::path::Path::new(&path).parent() {
                    fs::create_dir_all(folder).await?;
                }
                Sink::Local { file: fs::File::create(&path).await?, temporary: path }
            }
            Some(store) => {
                let id = store.create_multipart(&target.path).await?;
                Sink::Upload { store, id, parts: Vec::new(), buffer: BytesMut::new() }
            }
        };
        Ok(Self { key: target.path, bytes: 0, sink })
    }

    pub async fn write(&mut self, data: Bytes) -> Result<()> {
        self.bytes += data.len() as u64;
        match &mut self.sink {
            Sink::Local { file, .. } => file.write_all(&data).await?,
            Sink::Upload { buffer, .. } => {
                buffer.extend_from_slice(&data);
                while let Sink::Upload { store, id, parts, buffer } = &mut self.sink
                    && buffer.len() >= PART
                {
                    let part = buffer.split_to(PART).freeze();
                    parts.push(
                        store.put_part(&self.key, id, parts.len(), PutPayload::from_bytes(part)).await?.content_id,
                    );
                }
            }
        }
        Ok(())
    }

    pub async fn finish(mut self, rows: u64) -> Result<PendingFile> {
        let how = match &mut self.sink {
            Sink::Local { file, temporary } => {
                file.flush().await?;
                file.sync_data().await?;
                Pending::Rename { temporary: temporary.clone() }
            }
            Sink::Upload { store, id, parts, buffer } => {
                if !buffer.is_empty() || parts.is_empty() {
                    let last = PutPayload::from_bytes(buffer.split().freeze());
                    parts.push(store.put_part(&self.key, id, parts.len(), last).await?.content_id);
                }
                Pending::Upload { id: id.clone(), parts: parts.clone() }
            }
        };
        Ok(PendingFile { key: self.key.to_string(), bytes: self.bytes, rows, how })
    }

    /// Takes back what was written. What cannot be removed is left to the job's cleaning.
    pub async fn abort(self) {
        let removed = match self.sink {
            Sink::Local { temporary, .. } => fs::remove_file(&temporary).await.map_err(DataFusionError::from),
            Sink::Upload { store, id, .. } => {
                store.abort_multipart(&self.key, &id).await.map_err(DataFusionError::from)
            }
        };
        if let Err(error) = removed {
            tracing::warn!(key = %self.key, %error, "an unfinished output file could not be removed");
        }
    }
}

impl PendingFile {
    pub async fn commit(&self, session: &EngineSession, base: &Location) -> Result<()> {
        match &self.how {
            Pending::Rename { temporary } => {
                let target = local_path(&Path::parse(&self.key)?);
                if let Some(folder) = std::path::Path::new(&target).parent() {
                    fs::create_dir_all(folder).await?;
                }
                match fs::rename(temporary, &target).await {
                    // Done already, by a commit that was cut short.
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound && fs::try_exists(&target).await? => Ok(()),
                    other => Ok(other?),
                }
            }
            Pending::Upload { id, parts } => {
                let Some(store) = self.store(session, base)? else { return Ok(()) };
                let (key, parts) =
                    (Path::parse(&self.key)?, parts.iter().map(|p| PartId { content_id: p.clone() }).collect());
                match store.complete_multipart(&key, id, parts).await {
                    Ok(_) => Ok(()),
                    // Done already, by a commit that was cut short: the key is this attempt's own.
                    Err(error) => match self.is_there(session, base, &key).await {
                        true => Ok(()),
                        false => Err(error.into()),
                    },
                }
            }
        }
    }

    async fn is_there(&self, session: &EngineSession, base: &Location, key: &Path) -> bool {
        let Ok(store) = session.runtime().object_store(&base.store) else { return false };
        store.head(key).await.is_ok_and(|found| found.size == self.bytes)
    }

    pub async fn abort(&self, session: &EngineSession, base: &Location) -> Result<()> {
        match &self.how {
            Pending::Rename { temporary } => Ok(fs::remove_file(temporary).await?),
            Pending::Upload { id, .. } => match self.store(session, base)? {
                None => Ok(()),
                Some(store) => Ok(store.abort_multipart(&Path::parse(&self.key)?, id).await?),
            },
        }
    }

    fn store(&self, session: &EngineSession, base: &Location) -> Result<Option<Arc<dyn MultipartStore>>> {
        let url: &url::Url = base.store.as_ref();
        session.stores().multipart(url).map_err(to_datafusion)
    }
}

/// The file system's path of a key of the local store, whose keys are absolute paths with `%` escaped.
pub fn local_path(key: &Path) -> String {
    let mut path = String::from("/");
    path.push_str(&crate::source::unescape_key(key.as_ref()));
    path
}
