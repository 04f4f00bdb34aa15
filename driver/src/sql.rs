//! SQL text of jobs: inline, from a file or an object store.

use std::path::Path;

use firesteel_api::job::SqlSource;
use firesteel_engine::{
    EngineSession,
    error::from_datafusion,
    storage::{Location, error::from_object_store},
};
use firesteel_plan::{SparkError, SparkResult};
use object_store::ObjectStoreExt;

/// Text of a script larger than this is refused: it is data, not a program.
const MAX_BYTES: u64 = 16 << 20;

#[derive(Debug, Clone)]
pub enum SqlText {
    Inline(String),
    /// A file or a URL.
    Path(String),
}

impl SqlText {
    /// A relative path counts from `folder`, where there is one.
    pub fn of(source: &SqlSource, folder: Option<&Path>) -> Self {
        match (&source.inline, &source.path) {
            (Some(text), _) => Self::Inline(text.clone()),
            (None, Some(path)) => match folder {
                Some(folder) if !path.contains("://") => Self::Path(folder.join(path).to_string_lossy().into_owned()),
                _ => Self::Path(path.clone()),
            },
            (None, None) => Self::Inline(String::new()),
        }
    }

    pub async fn read(&self, engine: &EngineSession) -> SparkResult<String> {
        let path = match self {
            Self::Inline(text) => return Ok(text.clone()),
            Self::Path(path) => path,
        };
        let location = Location::parse(path)?;
        let store = engine.runtime().object_store(&location.store).map_err(|e| from_datafusion(&e))?;
        let found = store.get(&location.path).await.map_err(|e| from_object_store(&e, path))?;
        if found.meta.size > MAX_BYTES {
            return Err(SparkError::new(
                "INVALID_JOB_FILE",
                "22023",
                format!("{path} has {} bytes; SQL text has at most {MAX_BYTES}.", found.meta.size),
            ));
        }
        let bytes = found.bytes().await.map_err(|e| from_object_store(&e, path))?;
        String::from_utf8(bytes.to_vec())
            .map_err(|_| SparkError::new("INVALID_JOB_FILE", "22023", format!("{path} is no UTF-8 text.")))
    }
}
