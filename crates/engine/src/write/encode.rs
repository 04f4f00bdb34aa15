//! Rows to the bytes of a file.

use std::{
    io::{self, Write},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StructArray},
    datatypes::{DataType as ArrowType, SchemaRef},
};
use arrow_avro::writer::{AvroWriter, WriterBuilder, format::AvroOcfFormat};
use bytes::Bytes;
use datafusion::{
    common::{DataFusionError, Result},
    parquet::{arrow::ArrowWriter, file::properties::WriterProperties},
};
use firesteel_functions::{
    json::{JsonWriter, csv::CsvWriter},
    types,
    xml::XmlWriter,
};
use firesteel_plan::{DataType, types::StructField};
use parking_lot::Mutex;

use super::{
    FileFormat,
    codecs::{self, Compressor},
    format::{TextKind, Texts},
    orc::OrcWriter,
};
use crate::{error::to_datafusion, source::Charset};

/// Encodes batches; `take` hands over the bytes that are ready.
pub enum Encoder {
    Parquet(Box<ArrowWriter<Vec<u8>>>),
    Orc(OrcWriter, Buffer),
    Avro(Box<AvroWriter<Buffer>>, Buffer),
    Text(Box<TextEncoder>),
}

/// Bytes that a writer has written, for another to take.
#[derive(Debug, Clone, Default)]
pub struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn take(&self) -> Bytes {
        std::mem::take(&mut *self.0.lock()).into()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Encoder {
    pub fn new(format: &FileFormat, schema: &SchemaRef) -> Result<Self> {
        Ok(match format {
            FileFormat::Parquet { codec } => {
                let properties = WriterProperties::builder()
                    .set_compression(codecs::parquet(codec).map_err(to_datafusion)?)
                    .set_created_by(format!("Firesteel {}", env!("CARGO_PKG_VERSION")))
                    .build();
                let options = datafusion::parquet::arrow::arrow_writer::ArrowWriterOptions::new()
                    .with_properties(properties)
                    // Types are Parquet's own: other readers find nothing of Arrow's in the file.
                    .with_skip_arrow_metadata(true);
                Self::Parquet(Box::new(ArrowWriter::try_new_with_options(Vec::new(), schema.clone(), options)?))
            }
            FileFormat::Orc { codec } => {
                let buffer = Buffer::default();
                let codec = codecs::orc(codec).map_err(to_datafusion)?;
                Self::Orc(OrcWriter::new(buffer.clone(), schema.clone(), codec)?, buffer)
            }
            FileFormat::Avro { codec } => {
                let buffer = Buffer::default();
                let writer = WriterBuilder::new(schema.as_ref().clone())
                    .with_compression(codecs::avro(codec).map_err(to_datafusion)?)
                    .build::<_, AvroOcfFormat>(buffer.clone())
                    .map_err(external)?;
                Self::Avro(Box::new(writer), buffer)
            }
            FileFormat::Text(texts) => Self::Text(Box::new(TextEncoder::new(texts, schema)?)),
        })
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Self::Parquet(writer) => writer.write(batch)?,
            Self::Orc(writer, _) => writer.write(batch)?,
            Self::Avro(writer, _) => writer.write(batch).map_err(external)?,
            Self::Text(encoder) => encoder.write(batch)?,
        }
        Ok(())
    }

    /// Bytes that can go out now.
    pub fn take(&mut self) -> Bytes {
        match self {
            Self::Parquet(writer) => std::mem::take(writer.inner_mut()).into(),
            Self::Orc(_, buffer) | Self::Avro(_, buffer) => buffer.take(),
            Self::Text(encoder) => encoder.out.take(),
        }
    }

    pub fn finish(self) -> Result<Bytes> {
        Ok(match self {
            Self::Parquet(writer) => writer.into_inner()?.into(),
            Self::Orc(mut writer, buffer) => {
                writer.finish()?;
                buffer.take()
            }
            Self::Avro(mut writer, buffer) => {
                writer.finish().map_err(external)?;
                buffer.take()
            }
            Self::Text(encoder) => encoder.finish()?,
        })
    }
}

pub(super) fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Records of text, a row each.
pub struct TextEncoder {
    rows: Rows,
    fields: Vec<StructField>,
    line_end: String,
    charset: Charset,
    out: Compressor,
    text: String,
}

enum Rows {
    Text,
    Csv(Box<CsvWriter>),
    Json(Box<JsonWriter>, DataType),
    Xml(Box<XmlWriter>),
}

impl TextEncoder {
    fn new(texts: &Texts, schema: &SchemaRef) -> Result<Self> {
        let options = texts.text_options();
        let fields = types::schema_from_arrow(schema).map_err(to_datafusion)?;
        let mut text = String::new();
        let line_end = texts.get("linesep").unwrap_or("\n").to_owned();
        let rows = match texts.kind {
            TextKind::Text => Rows::Text,
            TextKind::Csv => {
                let writer = CsvWriter::new(&options, &texts.zone).map_err(to_datafusion)?;
                if texts.flag("header", false) {
                    writer.header(&mut text, &fields);
                    text.push_str(&line_end);
                }
                Rows::Csv(Box::new(writer))
            }
            TextKind::Json => {
                Rows::Json(Box::new(JsonWriter::new(&options, &texts.zone)?), DataType::Struct(fields.clone()))
            }
            TextKind::Xml => {
                let writer = XmlWriter::new(&options, &texts.zone)?;
                writer.head(&mut text);
                Rows::Xml(Box::new(writer))
            }
        };
        let charset = texts.charset().map_err(to_datafusion)?;
        let mut encoder = Self { rows, fields, line_end, charset, out: Compressor::new(&texts.codec)?, text };
        encoder.out.write_all(charset.mark())?;
        encoder.flush()?;
        Ok(encoder)
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        const FLUSH: usize = 1 << 20;
        let structs: ArrayRef = Arc::new(StructArray::from(batch.clone()));
        for row in 0..batch.num_rows() {
            match &mut self.rows {
                Rows::Text => {
                    let column = batch.column(0);
                    let column = if *column.data_type() == ArrowType::Utf8 {
                        column
                    } else {
                        &arrow::compute::cast(column, &ArrowType::Utf8)?
                    };
                    if column.is_valid(row) {
                        self.text.push_str(column.as_string::<i32>().value(row));
                    }
                }
                Rows::Csv(writer) => writer.row(&mut self.text, &self.fields, batch.columns(), row)?,
                Rows::Json(writer, data_type) => writer.row(&mut self.text, &structs, row, data_type)?,
                Rows::Xml(writer) => {
                    writer.row(&mut self.text, &self.fields, batch.columns(), row)?;
                }
            }
            if !matches!(self.rows, Rows::Xml(_)) {
                self.text.push_str(&self.line_end);
            }
            if self.text.len() >= FLUSH {
                self.flush()?;
            }
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        if self.charset == Charset::Utf8 {
            self.out.write_all(self.text.as_bytes())?;
        } else {
            let mut bytes = Vec::with_capacity(self.text.len());
            self.charset.encode(&self.text, &mut bytes);
            self.out.write_all(&bytes)?;
        }
        self.text.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Bytes> {
        if let Rows::Xml(writer) = &self.rows {
            writer.tail(&mut self.text);
        }
        self.flush()?;
        Ok(self.out.finish()?)
    }
}
