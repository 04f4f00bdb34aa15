//! Options of sources and sinks, by name without case; one that nobody reads is an error, not a surprise.

use std::collections::{BTreeMap, BTreeSet};

use firesteel_plan::{SparkError, SparkResult};
use parking_lot::Mutex;

#[derive(Debug)]
pub struct SourceOptions {
    format: String,
    values: BTreeMap<String, String>,
    read: Mutex<BTreeSet<String>>,
}

/// Options that mean nothing to the files themselves.
const ALWAYS_KNOWN: &[&str] = &[
    "path",
    "paths",
    "header",
    "inferschema",
    "basepath",
    "recursivefilelookup",
    "pathglobfilter",
    "serialization.format",
];

impl SourceOptions {
    pub fn new(format: &str, values: BTreeMap<String, String>) -> Self {
        let values = values.into_iter().map(|(k, v)| (k.to_ascii_lowercase(), v)).collect();
        Self { format: format.to_owned(), values, read: Mutex::default() }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.read.lock().insert(name.to_owned());
        self.values.get(name).map(String::as_str)
    }

    pub fn bool(&self, name: &str, default: bool) -> SparkResult<bool> {
        match self.text(name).map(|v| v.trim().to_ascii_lowercase()) {
            None => Ok(default),
            Some(v) if v == "true" => Ok(true),
            Some(v) if v == "false" => Ok(false),
            Some(v) => Err(self.invalid(name, &v, "true or false")),
        }
    }

    /// A one-byte character, such as a separator or a quote.
    pub fn byte(&self, name: &str) -> SparkResult<Option<u8>> {
        match self.text(name) {
            None => Ok(None),
            Some("\\t") => Ok(Some(b'\t')),
            Some("\\0" | "\u{0}") => Ok(Some(0)),
            Some(v) if v.len() == 1 => Ok(v.bytes().next()),
            Some(v) => Err(self.invalid(name, v, "one ASCII character")),
        }
    }

    pub fn invalid(&self, name: &str, value: &str, wanted: &str) -> SparkError {
        SparkError::new(
            "INVALID_OPTION_VALUE",
            "42616",
            format!("The {} option '{name}' cannot be '{value}': it should be {wanted}.", self.format),
        )
        .param("option", name)
        .param("value", value)
    }

    /// An option that exists in Spark and has, with this value, no meaning here yet.
    pub fn unsupported(&self, name: &str) -> SparkError {
        SparkError::unsupported(format!(
            "option {name}={} of {}",
            self.values.get(name).map_or("", String::as_str),
            self.format
        ))
    }

    /// Call when all options that the format knows have been asked for.
    pub fn finish(&self) -> SparkResult<()> {
        let read = self.read.lock();
        match self.values.keys().find(|k| !read.contains(*k) && !ALWAYS_KNOWN.contains(&k.as_str())) {
            None => Ok(()),
            Some(name) => Err(self.unsupported(name)),
        }
    }
}
