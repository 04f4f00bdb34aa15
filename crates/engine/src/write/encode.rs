//! Rows to the bytes of a file.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    csv::WriterBuilder,
    datatypes::{DataType as ArrowType, SchemaRef},
    json::{LineDelimitedWriter, writer::LineDelimited},
};
use bytes::Bytes;
use datafusion::{
    common::Result,
    parquet::{
        arrow::ArrowWriter,
        basic::{Compression, GzipLevel, ZstdLevel},
        file::properties::WriterProperties,
    },
};
use firesteel_plan::{SparkError, SparkResult};

use super::FileFormat;

/// Encodes batches; `take` hands over the bytes that are ready.
pub enum Encoder {
    Parquet(Box<ArrowWriter<Vec<u8>>>),
    Csv { out: Vec<u8>, header: bool, separator: u8 },
    Json { out: Vec<u8> },
    Text { out: Vec<u8> },
}

impl Encoder {
    pub fn new(format: &FileFormat, schema: &SchemaRef) -> Result<Self> {
        Ok(match format {
            FileFormat::Parquet { codec } => {
                let properties = WriterProperties::builder()
                    .set_compression(parquet_codec(codec).map_err(crate::error::to_datafusion)?)
                    .set_created_by(format!("Firesteel {}", env!("CARGO_PKG_VERSION")))
                    .build();
                let options = datafusion::parquet::arrow::arrow_writer::ArrowWriterOptions::new()
                    .with_properties(properties)
                    // Types are Parquet's own: other readers find nothing of Arrow's in the file.
                    .with_skip_arrow_metadata(true);
                Self::Parquet(Box::new(ArrowWriter::try_new_with_options(Vec::new(), schema.clone(), options)?))
            }
            FileFormat::Csv { header, separator } => {
                Self::Csv { out: Vec::new(), header: *header, separator: *separator }
            }
            FileFormat::Json => Self::Json { out: Vec::new() },
            FileFormat::Text => Self::Text { out: Vec::new() },
        })
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Self::Parquet(writer) => writer.write(batch)?,
            Self::Csv { out, header, separator } => {
                let mut writer = WriterBuilder::new()
                    .with_header(std::mem::take(header))
                    .with_delimiter(*separator)
                    .build(&mut *out);
                writer.write(batch)?;
            }
            Self::Json { out } => {
                let mut writer: LineDelimitedWriter<_> =
                    arrow::json::WriterBuilder::new().with_explicit_nulls(false).build::<_, LineDelimited>(&mut *out);
                writer.write(batch)?;
                writer.finish()?;
            }
            Self::Text { out } => {
                let strings = arrow::compute::cast(batch.column(0), &ArrowType::Utf8)?;
                let strings = strings.as_string::<i32>();
                for row in 0..strings.len() {
                    if strings.is_valid(row) {
                        out.extend_from_slice(strings.value(row).as_bytes());
                    }
                    out.push(b'\n');
                }
            }
        }
        Ok(())
    }

    /// Bytes that can go out now.
    pub fn take(&mut self) -> Bytes {
        match self {
            Self::Parquet(writer) => std::mem::take(writer.inner_mut()).into(),
            Self::Csv { out, .. } | Self::Json { out } | Self::Text { out } => std::mem::take(out).into(),
        }
    }

    pub fn finish(self) -> Result<Bytes> {
        Ok(match self {
            Self::Parquet(writer) => writer.into_inner()?.into(),
            Self::Csv { out, .. } | Self::Json { out } | Self::Text { out } => out.into(),
        })
    }
}

pub fn parquet_codec(name: &str) -> SparkResult<Compression> {
    Ok(match name {
        "none" | "uncompressed" => Compression::UNCOMPRESSED,
        "snappy" => Compression::SNAPPY,
        "gzip" => Compression::GZIP(GzipLevel::default()),
        "zstd" => Compression::ZSTD(ZstdLevel::default()),
        "lz4" | "lz4_raw" | "lz4raw" => Compression::LZ4_RAW,
        other => {
            return Err(SparkError::new(
                "CODEC_NOT_AVAILABLE.WITH_AVAILABLE_CODECS_SUGGESTION",
                "56038",
                format!("The codec {other} is not available. Available codecs are none, snappy, gzip, zstd, lz4_raw."),
            )
            .param("codecName", other));
        }
    })
}
