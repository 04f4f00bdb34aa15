//! Options of sources and sinks, by name without case; one that nobody reads is an error, not a surprise.

use std::collections::BTreeMap;

use firesteel_plan::{SparkError, SparkResult};

#[derive(Debug)]
pub struct SourceOptions {
    format: String,
    values: BTreeMap<String, String>,
}

/// The formats that are read and written.
pub const FORMATS: &[&str] = &["parquet", "csv", "json", "text", "orc", "avro", "xml", "binaryFile"];

pub fn is_format(name: &str) -> bool {
    FORMATS.iter().any(|f| f.eq_ignore_ascii_case(name))
}

/// Options of all formats, readers' and writers': tables keep both.
const OF_FILES: &[&str] = &[
    "path",
    "paths",
    "basepath",
    "recursivefilelookup",
    "pathglobfilter",
    "modifiedbefore",
    "modifiedafter",
    "ignorecorruptfiles",
    "ignoremissingfiles",
    "timezone",
    "compression",
    "maxrecordsperfile",
    "serialization.format",
];

/// Options of texts and their records.
const OF_RECORDS: &[&str] = &[
    "mode",
    "columnnameofcorruptrecord",
    "dateformat",
    "timestampformat",
    "timestampntzformat",
    "timeformat",
    "encoding",
    "charset",
    "samplingratio",
    "multiline",
    "linesep",
];

const OF_CSV: &[&str] = &[
    "header",
    "inferschema",
    "enforceschema",
    "sep",
    "delimiter",
    "quote",
    "escape",
    "chartoescapequoteescaping",
    "comment",
    "preferdate",
    "ignoreleadingwhitespace",
    "ignoretrailingwhitespace",
    "nullvalue",
    "nanvalue",
    "positiveinf",
    "negativeinf",
    "emptyvalue",
    "maxcolumns",
    "maxcharspercolumn",
    "unescapedquotehandling",
    "quoteall",
    "escapequotes",
    // A size of buffers: it changes no answer.
    "inputbuffersize",
];

/// JSON's options that are true or false.
pub const FLAGS_OF_JSON: &[&str] = &[
    "primitivesasstring",
    "prefersdecimal",
    "allowcomments",
    "allowunquotedfieldnames",
    "allowsinglequotes",
    "allownumericleadingzeros",
    "allownonnumericnumbers",
    "allowbackslashescapinganycharacter",
    "allowunquotedcontrolchars",
    "dropfieldifallnull",
    "infertimestamp",
    "ignorenullfields",
];

const OF_XML: &[&str] = &[
    "rowtag",
    "roottag",
    "declaration",
    "arrayelementname",
    "attributeprefix",
    "valuetag",
    "excludeattribute",
    "nullvalue",
    "inferschema",
    "ignoresurroundingspaces",
    "ignorenamespace",
    "preferdate",
];

/// What a format's reader or writer knows.
fn known(format: &str) -> Vec<&'static [&'static str]> {
    match format {
        "csv" => vec![OF_FILES, OF_RECORDS, OF_CSV],
        "json" => vec![OF_FILES, OF_RECORDS, FLAGS_OF_JSON],
        "xml" => vec![OF_FILES, OF_RECORDS, OF_XML],
        "text" => vec![OF_FILES, &["wholetext", "linesep", "encoding"]],
        "parquet" | "orc" => vec![OF_FILES, &["mergeschema"]],
        "avro" => vec![OF_FILES, &["ignoreextension", "recordname"]],
        _ => vec![OF_FILES],
    }
}

impl SourceOptions {
    pub fn new(format: &str, values: BTreeMap<String, String>) -> Self {
        let values = values.into_iter().map(|(k, v)| (k.to_ascii_lowercase(), v)).collect();
        Self { format: format.to_ascii_lowercase(), values }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// All of them, by name in lower case.
    pub fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    pub fn bool(&self, name: &str, default: bool) -> SparkResult<bool> {
        match self.text(name).map(|v| v.trim().to_ascii_lowercase()) {
            None => Ok(default),
            Some(v) if v == "true" => Ok(true),
            Some(v) if v == "false" => Ok(false),
            Some(v) => Err(self.invalid(name, &v, "true or false")),
        }
    }

    /// A number that is not negative.
    pub fn count(&self, name: &str) -> SparkResult<Option<u64>> {
        match self.text(name) {
            None => Ok(None),
            Some(v) => v.trim().parse().map(Some).map_err(|_| self.invalid(name, v, "a number that is not negative")),
        }
    }

    /// Refuses any value but `only`, which is what is done here.
    pub fn only(&self, name: &str, only: &str) -> SparkResult<()> {
        match self.text(name) {
            Some(v) if !v.eq_ignore_ascii_case(only) => Err(self.unsupported(name)),
            _ => Ok(()),
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

    /// Refuses options that the format does not have here: none is read and dropped.
    pub fn check(&self) -> SparkResult<()> {
        let known = known(&self.format);
        match self.values.keys().find(|k| !known.iter().any(|some| some.contains(&k.as_str()))) {
            None => Ok(()),
            Some(name) => Err(self.unsupported(name)),
        }
    }
}
