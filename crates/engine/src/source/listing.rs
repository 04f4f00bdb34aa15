//! Which files a source reads.

use arrow::datatypes::Schema;
use datafusion::{datasource::object_store::ObjectStoreUrl, physical_plan::metrics::Count};
use firesteel_plan::{SparkError, SparkResult};
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};
use regex::Regex;
use std::{sync::Arc, time::Duration};

use super::{
    SourceOptions, SourceSpec,
    format::{Reading, file_url},
    read::FileRead,
};
use crate::{
    EngineSession,
    cache::SourceIdentity,
    error::from_datafusion,
    storage::{
        Location,
        error::{from_object_store, path_not_found},
        glob,
    },
    write::visible,
};

/// A listing that a commit changed is made again, at most so often.
const LISTINGS: usize = 200;
const BETWEEN_LISTINGS: Duration = Duration::from_millis(10);

/// The files of a source, all in one store, in the order of their paths.
#[derive(Debug, Clone)]
pub struct Listing {
    pub store_url: ObjectStoreUrl,
    pub store: Arc<dyn ObjectStore>,
    pub files: Vec<ListedFile>,
    /// The first path as written, for messages.
    pub written: String,
    /// What is read, whatever files are there.
    pub identity: SourceIdentity,
    /// Whether the table tells of its rows' files.
    pub metadata: bool,
}

#[derive(Debug, Clone)]
pub struct ListedFile {
    pub meta: ObjectMeta,
    /// How many leading segments of the path belong to the folder that was asked for: partitions come after.
    pub base_depth: usize,
}

impl ListedFile {
    fn is_in_partition(&self) -> bool {
        let folders = self.meta.location.parts().count().saturating_sub(1);
        self.meta.location.parts().take(folders).skip(self.base_depth).any(|part| part.as_ref().contains('='))
    }
}

pub async fn list(session: &EngineSession, spec: &SourceSpec, options: &SourceOptions) -> SparkResult<Listing> {
    let mut paths = spec.paths.clone();
    paths.extend(options.text("path").filter(|_| spec.paths.is_empty()).map(str::to_owned));
    let Some(first) = paths.first() else {
        return Err(SparkError::new(
            "DATA_SOURCE_NOT_EXIST",
            "42K02",
            "No path is given. Add OPTIONS (path '…').".to_owned(),
        ));
    };
    let recursive = options.bool("recursivefilelookup", false)?;
    let name_filter = options.text("pathglobfilter").map(|g| glob_of_names(g, options)).transpose()?;
    let modified = Modified::new(session, options)?;
    let base = options.text("basepath").map(Location::parse).transpose()?;

    let first = Location::parse(first)?;
    let store = session.runtime().object_store(&first.store).map_err(|e| from_datafusion(&e))?;
    let mut files = Vec::new();
    for path in &paths {
        let (location, pattern) = match glob::split(path) {
            Some(_) => glob_location(path)?,
            None => (Location::parse(path)?, None),
        };
        if location.store != first.store {
            return Err(SparkError::unsupported(format!("reading {} and {path} as one source", first.written)));
        }
        let found = list_path(&store, &location, pattern.as_ref()).await?;
        if found.is_empty() && !spec.may_be_empty && !exists(&store, &location).await {
            return Err(path_not_found(path));
        }
        let own_depth = location.path.parts().count();
        let depth = base.as_ref().map_or(own_depth, |b| b.path.parts().count());
        let depth = if recursive { usize::MAX } else { depth };
        for meta in found {
            if !modified.contains(meta.last_modified.timestamp_micros()) {
                continue;
            }
            let keep = name_filter.as_ref().is_none_or(|f| f.is_match(meta.location.filename().unwrap_or_default()));
            let nested = !recursive && plain_subfolder(&meta.location, own_depth);
            if keep && !nested {
                files.push(ListedFile { meta, base_depth: depth });
            }
        }
    }
    // Beside folders of partitions, files are none of the table's.
    if files.iter().any(ListedFile::is_in_partition) {
        files.retain(ListedFile::is_in_partition);
    }
    files.sort_by(|a, b| a.meta.location.cmp(&b.meta.location));
    files.dedup_by(|a, b| a.meta.location == b.meta.location);
    let identity = identity(spec, &paths)?;
    Ok(Listing {
        store_url: first.store.clone(),
        store,
        files,
        written: first.written,
        identity,
        metadata: spec.metadata,
    })
}

impl Listing {
    /// The files as they are read outside of a query: for their schema.
    pub fn reads<'a>(&'a self, reading: &Reading, places: Vec<usize>) -> impl Iterator<Item = FileRead> + 'a {
        let reading = Arc::new(reading.clone());
        self.files.iter().map(move |file| FileRead {
            store: self.store.clone(),
            url: file_url(&self.store_url, &file.meta.location),
            meta: file.meta.clone(),
            range: 0..file.meta.size,
            reading: reading.clone(),
            fields: Arc::default(),
            places: places.clone(),
            schema: Arc::new(Schema::empty()),
            batch_size: 8192,
            bytes: Count::new(),
        })
    }
}

/// The times of change that are asked for, in microseconds.
struct Modified {
    before: Option<i64>,
    after: Option<i64>,
}

impl Modified {
    fn new(session: &EngineSession, options: &SourceOptions) -> SparkResult<Self> {
        let zone =
            options.text("timezone").map_or_else(|| firesteel_plan::conf::time_zone(&session.conf()), str::to_owned);
        let time = |name: &str| {
            let Some(text) = options.text(name) else { return Ok(None) };
            firesteel_functions::instant(text, &zone)?.map(Some).ok_or_else(|| {
                SparkError::new(
                    "_LEGACY_ERROR_TEMP_1294",
                    "XXKCM",
                    format!(
                        "The timestamp provided for the '{name}' option is invalid. The expected format is \
                         'YYYY-MM-DDTHH:mm:ss', but the provided timestamp: {text}."
                    ),
                )
            })
        };
        Ok(Self { before: time("modifiedbefore")?, after: time("modifiedafter")? })
    }

    fn contains(&self, changed: i64) -> bool {
        self.before.is_none_or(|t| changed < t) && self.after.is_none_or(|t| changed > t)
    }
}

fn identity(spec: &SourceSpec, paths: &[String]) -> SparkResult<SourceIdentity> {
    let absolute = |path: &String| {
        let location = Location::parse(path)?;
        Ok(format!("{}{}", location.store.as_str(), location.path))
    };
    let format = spec.format.to_ascii_lowercase();
    let rest = format!("{format} {:?} {:?} {:?}", spec.schema, spec.options, spec.partition_columns);
    Ok(SourceIdentity { paths: paths.iter().map(absolute).collect::<SparkResult<_>>()?, rest })
}

fn glob_location(path: &str) -> SparkResult<(Location, Option<Regex>)> {
    // The scheme and bucket have no globs: match against keys only.
    let (prefix, key) = match path.split_once("://") {
        Some(("file", rest)) => ("file://".to_owned(), rest.to_owned()),
        Some((scheme, rest)) => {
            let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
            (format!("{scheme}://{bucket}/"), key.to_owned())
        }
        None => {
            let absolute =
                std::path::absolute(path.strip_prefix("file:").unwrap_or(path)).map_err(|_| path_not_found(path))?;
            (String::new(), absolute.to_string_lossy().into_owned())
        }
    };
    let Some((base, _)) = glob::split(&key) else { return Ok((Location::parse(path)?, None)) };
    let base = if base.is_empty() && prefix.is_empty() { "/".to_owned() } else { base };
    let mut location = Location::parse(&format!("{prefix}{base}"))?;
    location.written = path.to_owned();
    let pattern = glob::split(key.trim_start_matches('/')).map(|(_, p)| p);
    Ok((location, pattern))
}

fn glob_of_names(glob: &str, options: &SourceOptions) -> SparkResult<Regex> {
    glob::split(glob)
        .map(|(_, pattern)| pattern)
        .or_else(|| Regex::new(&format!("^{}$", regex::escape(glob))).ok())
        .ok_or_else(|| options.invalid("pathglobfilter", glob, "a glob"))
}

async fn list_path(
    store: &Arc<dyn ObjectStore>,
    location: &Location,
    pattern: Option<&Regex>,
) -> SparkResult<Vec<ObjectMeta>> {
    if pattern.is_none()
        && let Ok(meta) = store.head(&location.path).await
        && meta.location == location.path
    {
        return Ok(vec![meta]);
    }
    let base = location.path.parts().count();
    let wanted = |meta: &ObjectMeta| {
        pattern.is_none_or(|p| p.is_match(meta.location.as_ref())) && !is_hidden(&meta.location, base)
    };
    for _ in 0..LISTINGS {
        if let Some(found) = list_once(store, location).await? {
            return Ok(found.into_iter().filter(wanted).collect());
        }
        tokio::time::sleep(BETWEEN_LISTINGS).await;
    }
    Err(SparkError::new(
        "CONCURRENT_WRITE",
        "40000",
        format!("{} is written to so often that it cannot be listed.", location.written),
    ))
}

/// Everything that readers may see of what is there. Nothing where a commit changed it meanwhile.
async fn list_once(store: &Arc<dyn ObjectStore>, location: &Location) -> SparkResult<Option<Vec<ObjectMeta>>> {
    // A local folder is not listed at one moment.
    let before = location.is_local().then(|| visible::state(location));
    let prefix = Some(&location.path).filter(|p| !p.as_ref().is_empty());
    let listed: Vec<ObjectMeta> = match store.list(prefix).try_collect().await {
        Ok(listed) => listed,
        Err(object_store::Error::NotFound { .. }) if location.is_local() => Vec::new(),
        Err(error) => return Err(from_object_store(&error, &location.written)),
    };
    let seen = visible::visible(store.as_ref(), location, listed).await?;
    let steady = before.is_none_or(|before| before == visible::state(location));
    Ok(seen.filter(|_| steady))
}

/// An object store has no empty folders; a local one does.
async fn exists(store: &Arc<dyn ObjectStore>, location: &Location) -> bool {
    if location.is_local() {
        return std::path::Path::new(&format!("/{}", location.path)).exists();
    }
    store.head(&location.path).await.is_ok()
}

/// Names that start with `_` or `.` are other programs' bookkeeping, except partition folders (`_k=v`).
fn is_hidden(path: &Path, base: usize) -> bool {
    path.parts().skip(base).any(|part| {
        let name = part.as_ref();
        (name.starts_with('_') && !name.contains('=')) || name.starts_with('.') || name.ends_with("._COPYING_")
    })
}

/// Below a folder that is not a partition's, files are read only with recursiveFileLookup.
fn plain_subfolder(path: &Path, base: usize) -> bool {
    let parts: Vec<_> = path.parts().skip(base).collect();
    parts.len() > 1 && parts[..parts.len() - 1].iter().any(|p| !p.as_ref().contains('='))
}
