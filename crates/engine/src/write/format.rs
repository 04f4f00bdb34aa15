//! The format of files that are written, from a statement's options.

use std::collections::BTreeMap;

use arrow::datatypes::DataType as ArrowType;
use firesteel_functions::{
    json::{Options, csv::CsvWriter},
    xml::XmlWriter,
};
use firesteel_plan::{
    DataType, SparkConf, SparkError, SparkResult,
    conf::{ConfKey, keys},
    types::StructField,
};
use serde::{Deserialize, Serialize};

use super::{WriteSpec, codecs};
use crate::{
    EngineSession,
    error::from_datafusion,
    source::{Charset, SourceOptions, is_format, unsupported_type},
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileFormat {
    Parquet { codec: String },
    Orc { codec: String },
    Avro { codec: String },
    Text(Texts),
}

/// Records of text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Texts {
    pub kind: TextKind,
    pub codec: String,
    /// The session's time zone.
    pub zone: String,
    /// Keys in lower case.
    pub options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextKind {
    Csv,
    Json,
    Text,
    Xml,
}

impl Texts {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }

    pub fn flag(&self, key: &str, default: bool) -> bool {
        self.get(key).map_or(default, |v| v.trim().eq_ignore_ascii_case("true"))
    }

    pub fn text_options(&self) -> Options {
        Options::from(self.options.clone())
    }

    pub fn charset(&self) -> SparkResult<Charset> {
        self.get("encoding").or_else(|| self.get("charset")).map_or(Ok(Charset::Utf8), Charset::parse)
    }
}

impl FileFormat {
    /// What names of files end with.
    pub fn extension(&self) -> String {
        let with = |codec: &str, format: &str| match codec {
            "uncompressed" | "none" => format.to_owned(),
            codec => format!("{codec}.{format}"),
        };
        match self {
            Self::Parquet { codec } => with(codec, "parquet"),
            Self::Orc { codec } => with(codec, "orc"),
            Self::Avro { codec } => with(codec, "avro"),
            Self::Text(texts) => {
                let name = match texts.kind {
                    TextKind::Csv => "csv",
                    TextKind::Json => "json",
                    TextKind::Text => "txt",
                    TextKind::Xml => "xml",
                };
                // The codec was checked when the format was made.
                format!("{name}{}", codecs::text_extension(&texts.codec).unwrap_or_default())
            }
        }
    }

    pub(super) fn parse(session: &EngineSession, spec: &WriteSpec) -> SparkResult<Self> {
        if !is_format(&spec.format) || spec.format.eq_ignore_ascii_case("binaryfile") {
            return Err(SparkError::unsupported(format!("writing the format '{}'", spec.format)));
        }
        let options = SourceOptions::new(&spec.format, spec.options.clone());
        options.check()?;
        let conf = session.conf();
        let codec = |conf: &SparkConf, key: &ConfKey| {
            options.text("compression").unwrap_or_else(|| conf.text(key)).to_ascii_lowercase()
        };
        let format = match spec.format.as_str() {
            "parquet" => {
                let codec = codec(&conf, &keys::PARQUET_COMPRESSION);
                codecs::parquet(&codec)?;
                Self::Parquet { codec }
            }
            "orc" => {
                let codec = codec(&conf, &keys::ORC_COMPRESSION);
                codecs::orc(&codec)?;
                Self::Orc { codec }
            }
            "avro" => {
                options.only("recordname", "topLevelRecord")?;
                let codec = codec(&conf, &keys::AVRO_COMPRESSION);
                codecs::avro(&codec)?;
                Self::Avro { codec }
            }
            other => Self::Text(texts(&conf, other, &options)?),
        };
        for column in spec.columns.iter().filter(|c| !spec.partition_by.iter().any(|p| p.eq_ignore_ascii_case(&c.name)))
        {
            format.check(column)?;
        }
        Ok(format)
    }

    /// Refuses a column that the format cannot hold.
    fn check(&self, column: &StructField) -> SparkResult<()> {
        let fits = match self {
            Self::Parquet { .. } => true,
            Self::Avro { .. } => avro_holds(&column.data_type),
            Self::Orc { .. } => return orc_holds(column),
            Self::Text(texts) => match texts.kind {
                TextKind::Text => column.data_type.is_string(),
                TextKind::Csv => {
                    firesteel_functions::json::csv::supports(&column.data_type) && column.data_type != DataType::Binary
                }
                TextKind::Json | TextKind::Xml => column.data_type != DataType::Variant,
            },
        };
        if fits { Ok(()) } else { Err(unsupported_type(self.name(), column)) }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Parquet { .. } => "Parquet",
            Self::Orc { .. } => "ORC",
            Self::Avro { .. } => "Avro",
            Self::Text(texts) => match texts.kind {
                TextKind::Csv => "CSV",
                TextKind::Json => "JSON",
                TextKind::Text => "Text",
                TextKind::Xml => "XML",
            },
        }
    }

    /// The type in which a column is handed to the encoder.
    pub fn stored(&self, arrow: &ArrowType) -> ArrowType {
        match (self, arrow) {
            (_, ArrowType::Utf8View | ArrowType::LargeUtf8) => ArrowType::Utf8,
            (_, ArrowType::BinaryView | ArrowType::LargeBinary) => ArrowType::Binary,
            // ORC's timestamps are wall clocks: those of UTC.
            (Self::Orc { .. }, ArrowType::Timestamp(unit, Some(_))) => ArrowType::Timestamp(*unit, None),
            // Avro has two kinds of integers.
            (Self::Avro { .. }, ArrowType::Int8 | ArrowType::Int16) => ArrowType::Int32,
            (_, other) => other.clone(),
        }
    }
}

fn avro_holds(data_type: &DataType) -> bool {
    match data_type {
        DataType::Array { element, .. } => avro_holds(element),
        DataType::Map { key, value, .. } => key.is_string() && avro_holds(value),
        DataType::Struct(fields) => fields.iter().all(|f| avro_holds(&f.data_type)),
        DataType::CalendarInterval
        | DataType::YearMonthInterval { .. }
        | DataType::DayTimeInterval { .. }
        | DataType::Variant
        | DataType::Time(_)
        | DataType::Null => false,
        _ => true,
    }
}

/// Spark writes more than what is written here.
fn orc_holds(column: &StructField) -> SparkResult<()> {
    match &column.data_type {
        DataType::Decimal { .. } | DataType::Array { .. } | DataType::Map { .. } | DataType::Struct(_) => {
            Err(SparkError::unsupported(format!(
                "column `{}`: writing the type {} to ORC. Parquet and Avro hold it",
                column.name,
                firesteel_functions::errors::sql_type(&column.data_type)
            )))
        }
        DataType::CalendarInterval
        | DataType::YearMonthInterval { .. }
        | DataType::DayTimeInterval { .. }
        | DataType::Variant
        | DataType::Time(_)
        | DataType::Null => Err(unsupported_type("ORC", column)),
        _ => Ok(()),
    }
}

fn texts(conf: &SparkConf, format: &str, options: &SourceOptions) -> SparkResult<Texts> {
    let kind = match format {
        "csv" => TextKind::Csv,
        "json" => TextKind::Json,
        "xml" => TextKind::Xml,
        _ => TextKind::Text,
    };
    let texts = Texts {
        kind,
        codec: options.text("compression").unwrap_or("none").to_ascii_lowercase(),
        zone: firesteel_plan::conf::time_zone(conf),
        options: options.values().clone(),
    };
    codecs::text_extension(&texts.codec)?;
    texts.charset()?;
    for flag in ["header", "quoteall", "escapequotes", "ignorenullfields"] {
        options.bool(flag, false)?;
    }
    match kind {
        TextKind::Csv => {
            CsvWriter::new(&texts.text_options(), &texts.zone)?;
        }
        TextKind::Xml => {
            XmlWriter::new(&texts.text_options(), &texts.zone).map_err(|e| from_datafusion(&e))?;
            if texts.get("rowtag").is_none_or(str::is_empty) {
                return Err(SparkError::new(
                    "XML_ROW_TAG_MISSING",
                    "42KDF",
                    "`rowTag` option is required for reading/writing files in XML format.".to_owned(),
                )
                .param("rowTag", "`rowTag`"));
            }
        }
        TextKind::Json => {
            firesteel_functions::json::JsonWriter::new(&texts.text_options(), &texts.zone)
                .map_err(|e| from_datafusion(&e))?;
        }
        TextKind::Text => {}
    }
    Ok(texts)
}
