//! Record batches as bytes, without their schema.
//!
//! A block is a sequence of frames, each `length: u32, checksum: u32, payload` (little endian), the checksum being the payload's
//! CRC32C. The payload is one record batch: where all columns are flat in the format of [`super::frame`], otherwise (lists, structs,
//! maps, dictionaries) as Arrow IPC messages. The schema is the reader's, so both sides know which.

use std::{collections::VecDeque, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions},
    buffer::Buffer,
    datatypes::{DataType, SchemaRef},
    error::ArrowError,
    ipc::{
        CompressionType, MetadataVersion,
        reader::StreamDecoder,
        writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message},
    },
};
use bytes::{Buf, Bytes, BytesMut};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err};
use firesteel_plan::{SparkError, SparkResult};

use super::frame::{self, FrameEncoder, is_flat};

/// Bytes before a frame's payload.
pub const FRAME_HEADER: usize = 8;
/// What every message of Arrow's begins with.
const MESSAGE_START: [u8; 4] = [0xff; 4];
/// Larger frames are taken for damage. Writers stay far below.
const MAX_FRAME: usize = 1 << 30;

/// `spark.io.compression.codec`, for blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BlockCompression {
    None,
    #[default]
    Lz4,
    Zstd,
}

impl std::str::FromStr for BlockCompression {
    type Err = SparkError;

    fn from_str(name: &str) -> SparkResult<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "lz4" => Ok(Self::Lz4),
            "zstd" => Ok(Self::Zstd),
            "none" | "uncompressed" => Ok(Self::None),
            other => Err(SparkError::new(
                "CODEC_NOT_AVAILABLE.WITH_CONF_SUGGESTION",
                "56038",
                format!(
                    "The codec {other} is not available. Consider to set the config \"spark.io.compression.codec\" to \"lz4\", \"zstd\" or \"none\"."
                ),
            )
            .param("codecName", other)
            .param("configKey", "\"spark.io.compression.codec\"")),
        }
    }
}

/// Makes frames of batches of one schema.
pub struct BlockEncoder {
    format: EncodedAs,
}

enum EncodedAs {
    Flat(FrameEncoder),
    Arrow(Box<ArrowEncoder>),
}

struct ArrowEncoder {
    options: IpcWriteOptions,
    generator: IpcDataGenerator,
    context: IpcWriteContext,
    schema: SchemaRef,
    has_dictionaries: bool,
}

impl BlockEncoder {
    pub fn new(schema: SchemaRef, compression: BlockCompression) -> Result<Self> {
        let format = if is_flat(&schema) {
            EncodedAs::Flat(FrameEncoder::new(&schema, compression))
        } else {
            EncodedAs::Arrow(Box::new(ArrowEncoder::new(schema, compression)?))
        };
        Ok(Self { format })
    }

    /// Appends one frame to `out`.
    pub fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.extend_from_slice(&[0; FRAME_HEADER]);
        match &mut self.format {
            EncodedAs::Flat(encoder) => encoder.encode(batch, out)?,
            EncodedAs::Arrow(encoder) => encoder.encode(batch, out)?,
        }
        let payload = out.len() - start - FRAME_HEADER;
        let length = u32::try_from(payload)
            .ok()
            .filter(|_| payload <= MAX_FRAME)
            .ok_or_else(|| exec_datafusion_err!("a batch of {} rows makes {payload} bytes", batch.num_rows()))?;
        let checksum = crc32c::crc32c(&out[start + FRAME_HEADER..]);
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
        out[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
        Ok(())
    }
}

impl ArrowEncoder {
    fn new(schema: SchemaRef, compression: BlockCompression) -> Result<Self> {
        let codec = match compression {
            BlockCompression::None => None,
            BlockCompression::Lz4 => Some(CompressionType::LZ4_FRAME),
            BlockCompression::Zstd => Some(CompressionType::ZSTD),
        };
        let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?.try_with_compression(codec)?;
        let has_dictionaries = schema.fields().iter().any(|field| holds_dictionary(field.data_type()));
        Ok(Self {
            options,
            generator: IpcDataGenerator::default(),
            context: IpcWriteContext::default(),
            schema,
            has_dictionaries,
        })
    }

    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        // Arrow writes the buffers of views whole, whatever the rows use of them.
        let batch = &compact(batch.clone());
        // Each frame stands alone: it brings all of its dictionaries.
        let mut tracker = DictionaryTracker::new(false);
        if self.has_dictionaries {
            self.generator.schema_to_bytes_with_dictionary_tracker(&self.schema, &mut tracker, &self.options);
        }
        let (dictionaries, message) = self.generator.encode(batch, &mut tracker, &self.options, &mut self.context)?;
        for dictionary in dictionaries {
            write_message(&mut *out, dictionary, &self.options)?;
        }
        write_message(&mut *out, message, &self.options)?;
        Ok(())
    }
}

fn holds_dictionary(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(..) => true,
        DataType::List(f)
        | DataType::LargeList(f)
        | DataType::FixedSizeList(f, _)
        | DataType::ListView(f)
        | DataType::LargeListView(f)
        | DataType::Map(f, _) => holds_dictionary(f.data_type()),
        DataType::Struct(fields) => fields.iter().any(|f| holds_dictionary(f.data_type())),
        DataType::RunEndEncoded(_, f) => holds_dictionary(f.data_type()),
        DataType::Union(fields, _) => fields.iter().any(|(_, f)| holds_dictionary(f.data_type())),
        _ => false,
    }
}

/// A block that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    #[error("{0}")]
    Damaged(String),
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

impl From<BlockError> for DataFusionError {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::Damaged(message) => exec_datafusion_err!("damaged block: {message}"),
            BlockError::Arrow(error) => error.into(),
        }
    }
}

/// Turns the bytes of blocks, given in pieces of any size, into batches.
pub struct BlockDecoder {
    schema: SchemaRef,
    /// Of batches that are not flat.
    arrow: Option<StreamDecoder>,
    pending: BytesMut,
    ready: VecDeque<RecordBatch>,
}

impl BlockDecoder {
    pub fn new(schema: SchemaRef) -> Result<Self> {
        let arrow = if is_flat(&schema) { None } else { Some(arrow_decoder(&schema)?) };
        Ok(Self { schema, arrow, pending: BytesMut::new(), ready: VecDeque::new() })
    }

    /// Takes the next bytes of the block. Batches that they complete are had with [`Self::take`].
    pub fn push(&mut self, bytes: Bytes) -> Result<(), BlockError> {
        if self.pending.is_empty() {
            let rest = self.frames(bytes)?;
            self.pending.extend_from_slice(&rest);
            return Ok(());
        }
        self.pending.extend_from_slice(&bytes);
        if frame_length(&self.pending)?.is_some_and(|length| self.pending.len() >= FRAME_HEADER + length) {
            let all = self.pending.split().freeze();
            let rest = self.frames(all)?;
            self.pending.extend_from_slice(&rest);
        }
        Ok(())
    }

    /// The next complete batch.
    pub fn take(&mut self) -> Option<RecordBatch> {
        self.ready.pop_front()
    }

    /// Says that the block is over.
    pub fn end_of_block(&mut self) -> Result<(), BlockError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let left = self.pending.len();
        self.pending.clear();
        Err(BlockError::Damaged(format!("the block ends within a frame, {left} bytes after its start")))
    }

    /// Forgets what came of an unfinished block.
    pub fn reset(&mut self) {
        self.pending.clear();
        self.ready.clear();
    }

    /// Decodes all whole frames of `bytes` and returns what is left.
    fn frames(&mut self, mut bytes: Bytes) -> Result<Bytes, BlockError> {
        while let Some(length) = frame_length(&bytes)? {
            if bytes.len() < FRAME_HEADER + length {
                break;
            }
            let checksum = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            bytes.advance(FRAME_HEADER);
            let payload = bytes.split_to(length);
            if crc32c::crc32c(&payload) != checksum {
                return Err(BlockError::Damaged("the checksum of a frame does not match".to_owned()));
            }
            self.frame(payload)?;
        }
        Ok(bytes)
    }

    fn frame(&mut self, mut payload: Bytes) -> Result<(), BlockError> {
        let Some(decoder) = &mut self.arrow else {
            self.ready.push_back(frame::decode(&self.schema, payload)?);
            return Ok(());
        };
        if !payload.starts_with(&MESSAGE_START) {
            return Err(BlockError::Damaged("a frame that does not begin with a message".to_owned()));
        }
        // The decoder ends a message without a body only when it sees the next one begin. So it was given the start of
        // this one before, and is given that of the next one now.
        payload.advance(MESSAGE_START.len());
        for bytes in [payload, Bytes::from_static(&MESSAGE_START)] {
            let mut buffer = Buffer::from(bytes);
            while !buffer.is_empty() {
                if let Some(batch) = decoder.decode(&mut buffer)? {
                    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                    let columns = batch.columns().to_vec();
                    self.ready.push_back(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?);
                }
            }
        }
        Ok(())
    }
}

/// One that has been told the schema, and the start of the first message.
fn arrow_decoder(schema: &SchemaRef) -> Result<StreamDecoder> {
    let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?;
    let mut tracker = DictionaryTracker::new(false);
    let message = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(schema, &mut tracker, &options);
    let mut bytes = Vec::new();
    write_message(&mut bytes, message, &options)?;
    let mut decoder = StreamDecoder::new();
    bytes.extend_from_slice(&MESSAGE_START);
    decoder.decode(&mut Buffer::from_vec(bytes))?;
    Ok(decoder)
}

fn frame_length(bytes: &[u8]) -> Result<Option<usize>, BlockError> {
    let Some(header) = bytes.first_chunk::<FRAME_HEADER>() else { return Ok(None) };
    let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    if length > MAX_FRAME {
        return Err(BlockError::Damaged(format!("a frame of {length} bytes")));
    }
    Ok(Some(length))
}

/// Copies the strings and binaries that `batch` refers to out of buffers of which it uses less than half. A few rows
/// of a view array may hold on to buffers of millions.
pub fn compact(batch: RecordBatch) -> RecordBatch {
    let sparse = |array: &ArrayRef| -> Option<ArrayRef> {
        match array.data_type() {
            DataType::Utf8View => {
                let views = array.as_string_view();
                let held: usize = views.data_buffers().iter().map(Buffer::len).sum();
                (held > 2 * views.total_buffer_bytes_used()).then(|| Arc::new(views.gc()) as ArrayRef)
            }
            DataType::BinaryView => {
                let views = array.as_binary_view();
                let held: usize = views.data_buffers().iter().map(Buffer::len).sum();
                (held > 2 * views.total_buffer_bytes_used()).then(|| Arc::new(views.gc()) as ArrayRef)
            }
            _ => None,
        }
    };
    let compacted: Vec<Option<ArrayRef>> = batch.columns().iter().map(sparse).collect();
    if compacted.iter().all(Option::is_none) {
        return batch;
    }
    let columns = compacted.into_iter().zip(batch.columns()).map(|(new, old)| new.unwrap_or_else(|| old.clone()));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    match RecordBatch::try_new_with_options(batch.schema(), columns.collect(), &options) {
        Ok(compact) => compact,
        Err(_) => batch,
    }
}

/// Bytes of the rows of `batch`, whatever the buffers behind them hold besides.
pub fn row_bytes(batch: &RecordBatch) -> usize {
    batch
        .columns()
        .iter()
        .map(|array| {
            let views = match array.data_type() {
                DataType::Utf8View => array.as_string_view().total_buffer_bytes_used(),
                DataType::BinaryView => array.as_binary_view().total_buffer_bytes_used(),
                _ => 0,
            };
            array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()) + views
        })
        .sum()
}
