//! One file of a scan: its bytes, and errors that name it.

use std::{fmt::Display, io, ops::Range, panic::AssertUnwindSafe, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use bytes::Bytes;
use datafusion::{
    common::{DataFusionError, Result},
    datasource::file_format::file_compression_type::FileCompressionType,
    physical_plan::metrics::Count,
};
use firesteel_plan::{SparkError, SparkResult, types::StructField};
use flate2::{Decompress, FlushDecompress, Status};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::{
    Reading, UNREADABLE,
    charset::Charset,
    lines::{Ending, LineBatch, Lines},
};
use crate::error::{find, to_datafusion};

/// Bytes of one read; the next one is under way while a chunk is worked on.
const CHUNK: u64 = 4 << 20;
const READ_AHEAD: usize = 2;
/// A file that is read as one record must fit in the memory of a task, several times over.
pub const LARGEST_RECORD: u64 = 1 << 30;

/// Batches of a file's rows.
pub type Batches = BoxStream<'static, Result<RecordBatch>>;

/// A file, or a part of one, and what is wanted of it.
#[derive(Clone)]
pub struct FileRead {
    pub store: Arc<dyn ObjectStore>,
    pub meta: ObjectMeta,
    /// As users know it.
    pub url: String,
    pub range: Range<u64>,
    pub reading: Arc<Reading>,
    /// All columns of the files.
    pub fields: Arc<Vec<StructField>>,
    /// Which of them are wanted, in order.
    pub places: Vec<usize>,
    /// Their schema.
    pub schema: SchemaRef,
    pub batch_size: usize,
    pub bytes: Count,
}

/// How a file is compressed, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Deflate,
    /// What DataFusion decompresses.
    Other(FileCompressionType),
}

impl Compression {
    pub fn of(file: &ObjectMeta) -> SparkResult<Self> {
        let name = file.location.filename().unwrap_or_default();
        let extension = name.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase());
        Ok(match extension.as_deref() {
            Some("gz") => Self::Other(FileCompressionType::GZIP),
            Some("bz2") => Self::Other(FileCompressionType::BZIP2),
            Some("xz") => Self::Other(FileCompressionType::XZ),
            Some("zst") => Self::Other(FileCompressionType::ZSTD),
            Some("deflate") => Self::Deflate,
            Some(codec @ ("snappy" | "lz4")) => {
                return Err(SparkError::unsupported(format!("the text file {}, compressed as {codec}", file.location)));
            }
            _ => Self::None,
        })
    }
}

impl FileRead {
    /// Whether all of the file is read here.
    pub fn is_whole(&self) -> bool {
        self.range.start == 0 && self.range.end >= self.meta.size
    }

    /// The file's bytes from `first` on, decompressed.
    pub async fn chunks(&self, first: u64) -> Result<BoxStream<'static, Result<Bytes>>> {
        let compression = Compression::of(&self.meta).map_err(to_datafusion)?;
        let (bytes, store, path) = (self.bytes.clone(), self.store.clone(), self.meta.location.clone());
        if compression == Compression::None {
            let reads = chunk_ranges(first, self.meta.size).map(move |range| {
                let (store, path) = (store.clone(), path.clone());
                async move { store.get_range(&path, range).await.map_err(DataFusionError::from) }
            });
            let chunks = stream::iter(reads).buffered(READ_AHEAD);
            return Ok(chunks.inspect_ok(move |chunk: &Bytes| bytes.add(chunk.len())).boxed());
        }
        let raw = store.get(&path).await?.into_stream().map_err(DataFusionError::from);
        let raw = raw.inspect_ok(move |chunk: &Bytes| bytes.add(chunk.len())).boxed();
        match compression {
            Compression::Other(kind) => kind.convert_stream(raw),
            _ => Ok(inflate(raw)),
        }
    }

    /// All of the file, decompressed, as text.
    pub async fn whole_text(&self, charset: Charset) -> Result<String> {
        let bytes = self.whole().await?;
        let mut decoder = charset.decoder();
        let mut text = decoder.decode(&bytes, false);
        text.push_str(&decoder.decode(&[], true));
        Ok(text)
    }

    /// All of the file, decompressed.
    pub async fn whole(&self) -> Result<Vec<u8>> {
        let mut chunks = self.chunks(0).await?;
        let mut all = Vec::new();
        while let Some(chunk) = chunks.try_next().await? {
            if (all.len() + chunk.len()) as u64 > LARGEST_RECORD {
                return Err(to_datafusion(SparkError::new(
                    UNREADABLE,
                    "KD001",
                    format!("The file is read as one value, and it has more than {LARGEST_RECORD} bytes."),
                )));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }

    /// The file's lines. Without `keeps` they are only counted.
    pub async fn lines(
        &self,
        ending: Ending,
        charset: Charset,
        keeps: bool,
    ) -> Result<BoxStream<'static, Result<LineBatch>>> {
        let splits = ending
            .look_back()
            .filter(|_| charset == Charset::Utf8 && Compression::of(&self.meta).ok() == Some(Compression::None));
        let (range, first) = match splits {
            // What is before the split tells whether its first line starts there. Its last line may end beyond it.
            Some(back) => (self.range.clone(), self.range.start.saturating_sub(back)),
            None => (0..u64::MAX, 0),
        };
        let chunks = charset.decode_stream(self.chunks(first).await?);
        Ok(Lines::new(range, first, ending, self.batch_size, keeps).batches(chunks).boxed())
    }

    /// The error of this file.
    pub fn named(&self, error: DataFusionError) -> DataFusionError {
        if find::<object_store::Error>(&error).is_some() {
            return error;
        }
        let (class, state, why) = match find::<SparkError>(&error) {
            Some(known) if known.parameters().contains_key("path") || known.class() == "UNSUPPORTED_FEATURE" => {
                return error;
            }
            Some(known) => (known.class().to_owned(), known.sql_state().to_owned(), known.message().to_owned()),
            None => (UNREADABLE.to_owned(), "KD001".to_owned(), format!("{}.", error.strip_backtrace())),
        };
        let mut named =
            SparkError::new(class, state, format!("Encountered error while reading file {}. {why}", self.url));
        for (name, value) in find::<SparkError>(&error).map(|e| e.parameters().clone()).unwrap_or_default() {
            named = named.param(name, value);
        }
        to_datafusion(named.param("path", self.url.clone()))
    }

    /// The batches, whose errors name the file; a reader's panic is one. A file that is damaged or gone ends where that is
    /// seen, when the options say so.
    pub fn guarded(self, open: impl Future<Output = Result<Batches>> + Send + 'static) -> Batches {
        let start = (Some(Opening::Not(open.boxed())), self);
        stream::unfold(start, |(state, read)| async move {
            let mut opened = match state? {
                Opening::Not(open) => match caught(open).await {
                    Ok(batches) => batches,
                    Err(error) => return read.failed(error).map(|e| (Err(e), (None, read))),
                },
                Opening::Done(batches) => batches,
            };
            match caught(opened.try_next()).await {
                Ok(None) => None,
                Ok(Some(batch)) => Some((Ok(batch), (Some(Opening::Done(opened)), read))),
                Err(error) => read.failed(error).map(|e| (Err(e), (None, read))),
            }
        })
        .boxed()
    }

    /// The error to report, if it is to be.
    fn failed(&self, error: DataFusionError) -> Option<DataFusionError> {
        let missing = matches!(find::<object_store::Error>(&error), Some(object_store::Error::NotFound { .. }));
        let stored = find::<object_store::Error>(&error).is_some();
        // What modes decide about is no damage.
        let damaged = !stored
            && find::<SparkError>(&error)
                .is_none_or(|e| e.class() == UNREADABLE || e.class() == "MALFORMED_CSV_RECORD");
        if (missing && self.reading.ignore_missing) || (damaged && self.reading.ignore_corrupt) {
            tracing::warn!(file = self.url, %error, "a file is passed over from here on");
            return None;
        }
        Some(self.named(error))
    }
}

/// A file as libraries read it that look into it here and there.
pub struct Bytewise(pub FileRead);

impl Bytewise {
    /// Bytes as they are stored. A damaged file may ask for some beyond its end.
    pub async fn at(&self, range: Range<u64>) -> io::Result<Bytes> {
        let Self(read) = self;
        if range.start > range.end || range.end > read.meta.size {
            let why = format!("bytes {range:?} of a file of {} bytes", read.meta.size);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let bytes = read.store.get_range(&read.meta.location, range).await.map_err(io::Error::other)?;
        read.bytes.add(bytes.len());
        Ok(bytes)
    }
}

/// What [`Bytewise`] could not read: the store's error, or else what is wrong with the file.
pub fn stored_or(error: io::Error, unreadable: impl FnOnce(&dyn Display) -> DataFusionError) -> DataFusionError {
    match error.downcast::<object_store::Error>() {
        Ok(stored) => stored.into(),
        Err(other) => unreadable(&other),
    }
}

enum Opening {
    Not(futures::future::BoxFuture<'static, Result<Batches>>),
    Done(Batches),
}

/// What a future answers; a panic is an error.
pub async fn caught<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => {
            let why = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("of no known kind");
            Err(to_datafusion(SparkError::new(
                UNREADABLE,
                "KD001",
                format!("The file is damaged: its reader failed: {why}."),
            )))
        }
    }
}

fn chunk_ranges(start: u64, end: u64) -> impl Iterator<Item = Range<u64>> + Send {
    (0..(end.saturating_sub(start)).div_ceil(CHUNK)).map(move |i| {
        let from = start + i * CHUNK;
        from..(from + CHUNK).min(end)
    })
}

/// What Hadoop calls deflate: zlib's format.
fn inflate(raw: impl Stream<Item = Result<Bytes>> + Send + 'static) -> BoxStream<'static, Result<Bytes>> {
    const OUT: usize = 1 << 20;
    // What was decompressed last may have filled all the room there was: then there may be more of it.
    let start = (Decompress::new(true), raw.boxed(), Bytes::new(), false, false);
    stream::try_unfold(start, |(mut inflate, mut raw, mut chunk, mut ended, mut full)| async move {
        loop {
            if ended {
                return Ok(None);
            }
            if chunk.is_empty() && !full {
                match raw.try_next().await? {
                    Some(next) => chunk = next,
                    None => {
                        return Err(to_datafusion(SparkError::new(
                            UNREADABLE,
                            "KD001",
                            "The compressed file is cut off.".to_owned(),
                        )));
                    }
                }
            }
            let mut out = Vec::with_capacity(OUT);
            let before = inflate.total_in();
            let status = inflate
                .decompress_vec(&chunk, &mut out, FlushDecompress::None)
                .map_err(|e| DataFusionError::External(Box::new(e)))?;
            let used = usize::try_from(inflate.total_in() - before).unwrap_or(chunk.len());
            chunk = chunk.slice(used..);
            ended = status == Status::StreamEnd;
            full = out.len() == out.capacity();
            if out.is_empty() && used == 0 && !ended && !chunk.is_empty() {
                return Err(to_datafusion(SparkError::new(
                    UNREADABLE,
                    "KD001",
                    "The compressed file is damaged.".to_owned(),
                )));
            }
            if !out.is_empty() {
                return Ok(Some((Bytes::from(out), (inflate, raw, chunk, ended, full))));
            }
        }
    })
    .boxed()
}
