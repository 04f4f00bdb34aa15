//! Options of functions that read and write texts of a format: a constant map.

use std::{collections::BTreeMap, sync::Arc};

use arrow::array::Array;
use datafusion::scalar::ScalarValue;
use firesteel_plan::{DataType, SparkError, SparkResult};

use crate::{
    Typed,
    datetime::{
        pattern::{Pattern, Purpose},
        zone::Zone,
    },
    errors, literal,
};

/// Keys in small letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options(BTreeMap<String, String>);

/// What becomes of records that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They keep what could be read; their text goes to the column that the options name.
    Permissive,
    DropMalformed,
    FailFast,
}

/// Options that Spark has and that functions do not have here.
const NOT_YET: [&str; 9] = [
    "charset",
    "comment",
    "dropfieldifallnull",
    "enabledatetimeparsingfallback",
    "encoding",
    "linesep",
    "locale",
    "singlevariantcolumn",
    "writenonasciicharacterascodepoint",
];

const PAIR: char = '\u{1}';
const VALUE: char = '\u{2}';

impl From<BTreeMap<String, String>> for Options {
    fn from(all: BTreeMap<String, String>) -> Self {
        Self(all.into_iter().map(|(k, v)| (k.to_ascii_lowercase(), v)).collect())
    }
}

impl Options {
    /// From the map of a call.
    pub(crate) fn of_argument(value: &Typed) -> SparkResult<Self> {
        let DataType::Map { key, value: item, .. } = &value.data_type else {
            return Err(SparkError::new(
                "INVALID_OPTIONS.NON_MAP_FUNCTION",
                "42K06",
                "Invalid options: Must use the `map()` function for options.",
            ));
        };
        if !key.is_string() || !item.is_string() {
            let shown = format!("\"{}\"", errors::sql_type(&value.data_type));
            return Err(SparkError::new(
                "INVALID_OPTIONS.NON_STRING_TYPE",
                "42K06",
                format!("Invalid options: A type of keys and values in `map()` must be string, but got {shown}."),
            )
            .param("mapType", shown));
        }
        let Some(ScalarValue::Map(map)) = literal::fold(value) else {
            return Err(SparkError::new(
                "INVALID_OPTIONS.NON_MAP_FUNCTION",
                "42K06",
                "Invalid options: Must use the `map()` function for options.",
            ));
        };
        let texts = |array: &Arc<dyn Array>| crate::udf::Text::new(array, false).map_err(SparkError::internal);
        let (keys, values) = (texts(map.keys())?, texts(map.values())?);
        let mut all = BTreeMap::new();
        for i in 0..map.keys().len() {
            if let (Some(k), Some(v)) = (keys.get(i), values.get(i)) {
                all.insert(k.to_ascii_lowercase(), v.to_owned());
            }
        }
        Ok(Self(all))
    }

    /// As one text, for the kernel.
    pub(crate) fn encode(&self) -> String {
        self.0.iter().map(|(k, v)| format!("{k}{VALUE}{v}")).collect::<Vec<_>>().join(&PAIR.to_string())
    }

    pub(crate) fn decode(text: &str) -> Self {
        let pair = |p: &str| p.split_once(VALUE).map(|(k, v)| (k.to_owned(), v.to_owned()));
        Self(text.split(PAIR).filter_map(pair).collect())
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(&key.to_ascii_lowercase()).map(String::as_str)
    }

    pub(crate) fn flag(&self, key: &str, default: bool) -> bool {
        self.get(key).map_or(default, |v| v.trim().eq_ignore_ascii_case("true"))
    }

    /// Any other word is PERMISSIVE, as in Spark.
    pub(crate) fn mode(&self) -> Mode {
        match self.get("mode") {
            Some(m) if m.eq_ignore_ascii_case("FAILFAST") => Mode::FailFast,
            Some(m) if m.eq_ignore_ascii_case("DROPMALFORMED") => Mode::DropMalformed,
            _ => Mode::Permissive,
        }
    }

    pub(crate) fn fails_fast(&self) -> bool {
        self.mode() == Mode::FailFast
    }

    /// The column for the text of records that cannot be read.
    pub(crate) fn corrupt_column(&self) -> &str {
        self.get("columnNameOfCorruptRecord").unwrap_or("_corrupt_record")
    }

    /// `mode` may be PERMISSIVE or FAILFAST; names of columns for what cannot be read are not known here.
    pub(crate) fn check(&self, function: &str) -> SparkResult<()> {
        if let Some(mode) = self.get("mode")
            && !["PERMISSIVE", "FAILFAST"].iter().any(|m| m.eq_ignore_ascii_case(mode))
        {
            return Err(SparkError::new(
                "PARSE_MODE_UNSUPPORTED",
                "42601",
                format!("The function `{function}` doesn't support the {mode} mode. Acceptable modes are PERMISSIVE and FAILFAST."),
            )
            .param("funcName", format!("`{function}`"))
            .param("mode", mode));
        }
        for key in ["timestampformat", "timestampntzformat", "dateformat", "timeformat"] {
            if let Some(pattern) = self.get(key) {
                Pattern::cached(pattern, Purpose::Format)?;
            }
        }
        for key in NOT_YET {
            if self.get(key).is_some() {
                return Err(SparkError::unsupported(format_args!("the option {key} of {function}")));
            }
        }
        Ok(())
    }
}

/// How dates and times are written and read.
pub(crate) struct Times {
    pub zone: Zone,
    pub date: Option<Arc<Pattern>>,
    pub timestamp: Option<Arc<Pattern>>,
    pub ntz: Option<Arc<Pattern>>,
    pub time: Option<Arc<Pattern>>,
}

impl Times {
    pub(crate) fn new(options: &Options, session_zone: &str, purpose: Purpose) -> SparkResult<Self> {
        let pattern = |key: &str| options.get(key).map(|p| Pattern::cached(p, purpose)).transpose();
        Ok(Self {
            zone: Zone::parse(options.get("timezone").unwrap_or(session_zone))?,
            date: pattern("dateformat")?,
            timestamp: pattern("timestampformat")?,
            ntz: pattern("timestampntzformat")?,
            time: pattern("timeformat")?,
        })
    }
}
