use datafusion::datasource::object_store::ObjectStoreUrl;
use firesteel_plan::{SparkError, SparkResult};
use object_store::path::Path;
use url::Url;

use super::error::path_not_found;

/// A path as users write it (`/data/x`, `data/x`, `file:///x`, `s3a://bucket/x`), resolved to its store and its key there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub store: ObjectStoreUrl,
    /// The key within the store, percent signs as stored.
    pub path: Path,
    /// The path as written, for messages.
    pub written: String,
}

impl Location {
    pub fn parse(written: &str) -> SparkResult<Self> {
        let (scheme, rest) = match written.split_once("://") {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None => match written.strip_prefix("file:") {
                Some(rest) => ("file".to_owned(), rest),
                None => ("file".to_owned(), written),
            },
        };
        match scheme.as_str() {
            "file" => {
                let absolute = std::path::absolute(if rest.is_empty() { "." } else { rest })
                    .map_err(|_| path_not_found(written))?;
                let path = Path::from_absolute_path(&absolute).map_err(|_| path_not_found(written))?;
                Ok(Self { store: ObjectStoreUrl::local_filesystem(), path, written: written.to_owned() })
            }
            "s3" | "s3a" | "s3n" => {
                let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
                let store = Url::parse(&format!("s3://{bucket}"))
                    .ok()
                    .filter(|_| !bucket.is_empty())
                    .and_then(|u| ObjectStoreUrl::parse(u).ok())
                    .ok_or_else(|| path_not_found(written))?;
                let key = key.trim_matches('/').split('/').filter(|p| !p.is_empty()).collect::<Vec<_>>().join("/");
                let path = Path::parse(&key).map_err(|_| path_not_found(written))?;
                Ok(Self { store, path, written: written.to_owned() })
            }
            other => Err(SparkError::new(
                "UNSUPPORTED_FEATURE",
                "0A000",
                format!("No storage for scheme '{other}' in {written}. Supported: file, s3, s3a."),
            )
            .param("scheme", other)),
        }
    }

    pub fn is_local(&self) -> bool {
        self.store == ObjectStoreUrl::local_filesystem()
    }

    /// The location of `name` below this one. `name` may hold slashes.
    pub fn child(&self, name: &str) -> SparkResult<Self> {
        let base = self.written.trim_end_matches('/');
        Self::parse(&format!("{base}/{name}"))
    }

    /// `path`, found in the same store, as users write it.
    pub fn display(&self, path: &Path) -> String {
        if self.is_local() { format!("file:/{path}") } else { format!("{}{path}", self.store.as_str()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_and_relative_paths() {
        let s3 = Location::parse("s3a://bucket//a/b=1/").unwrap();
        assert_eq!((s3.store.as_str(), s3.path.as_ref()), ("s3://bucket/", "a/b=1"));
        let local = Location::parse("file:///tmp/x y").unwrap();
        assert!(local.is_local());
        assert_eq!(local.path.as_ref(), "tmp/x y");
        assert!(Location::parse("data").unwrap().path.as_ref().ends_with("/data"));
        assert_eq!(Location::parse("hdfs://h/x").unwrap_err().class(), "UNSUPPORTED_FEATURE");
    }
}
