//! Text: one row a line, one column `value`.

use std::{fmt, ops::Range, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, StringBuilder},
    datatypes::{DataType as ArrowType, Field, Schema, SchemaRef},
};
use bytes::Bytes;
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::{
    common::{Result, tree_node::TreeNodeRecursion},
    datasource::{
        file_format::file_compression_type::FileCompressionType,
        listing::PartitionedFile,
        physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource},
        table_schema::TableSchema,
    },
    physical_expr::{PhysicalExpr, projection::ProjectionExprs},
    physical_plan::{
        DisplayFormatType,
        metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder},
    },
};
use firesteel_plan::{DataType, SparkError, SparkResult, types::StructField};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt};

use super::{
    Source, SourceOptions, SourceSpec, data_fields,
    files::{FilesTableParts, compression_of},
    listing::Listing,
    partitions,
};
use crate::{EngineSession, error::to_datafusion};

/// Bytes of one read; the next one is under way while a chunk is worked on.
const CHUNK: u64 = 4 << 20;
const READ_AHEAD: usize = 2;
/// A batch is full when its lines have so many bytes, however few they are.
const BATCH_BYTES: usize = 4 << 20;
/// A longer line is taken for a file that is no text: one line must fit in the memory of a task, several times over.
const LONGEST_LINE: usize = 64 << 20;

pub fn open(
    session: &EngineSession,
    spec: &SourceSpec,
    options: SourceOptions,
    listing: Listing,
) -> SparkResult<Source> {
    if options.bool("wholetext", false)? {
        return Err(options.unsupported("wholetext"));
    }
    if options.text("linesep").is_some_and(|s| s != "\n") {
        return Err(options.unsupported("linesep"));
    }
    let _ = options.text("compression");
    let compression = compression_of(&listing)?;
    options.finish()?;
    let partitions = partitions::discover(&listing, spec.schema.as_deref(), spec.partition_columns.as_deref())?;
    let name = match spec.schema.as_deref().map(|fields| data_fields(fields, &partitions.names())) {
        None => "value".to_owned(),
        Some(fields) => match fields.as_slice() {
            [one] if one.data_type == DataType::String => one.name.clone(),
            _ => {
                return Err(SparkError::new(
                    "UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE",
                    "0A000",
                    "The text source has one column of type string.".to_owned(),
                ));
            }
        },
    };
    let schema = vec![StructField::new(&name, DataType::String, true)];
    let parts = FilesTableParts {
        listing,
        partitions,
        file_schema: Arc::new(Schema::new(vec![Field::new(name, ArrowType::Utf8, true)])),
        compression,
        splittable: !compression.is_compressed(),
        format: None,
    };
    parts.into_source(session, schema, |s| Arc::new(TextSource::new(s)))
}

/// DataFusion's side of the format.
#[derive(Debug, Clone)]
pub struct TextSource {
    table_schema: TableSchema,
    projection: SplitProjection,
    batch_size: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl TextSource {
    pub fn new(table_schema: TableSchema) -> Self {
        Self {
            projection: SplitProjection::unprojected(&table_schema),
            table_schema,
            batch_size: 8192,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl FileSource for TextSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let file_schema = self.table_schema.file_schema();
        let opener = Arc::new(TextOpener {
            store,
            compression: config.file_compression_type,
            schema: Arc::new(file_schema.project(&self.projection.file_indices)?),
            batch_size: self.batch_size,
            // Under the name that Parquet's scans use.
            bytes: MetricBuilder::new(&self.metrics).counter("bytes_scanned", partition),
        });
        ProjectionOpener::try_new(self.projection.clone(), opener, file_schema)
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(Self { batch_size, ..self.clone() })
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.source.try_merge(projection)?;
        let projection = SplitProjection::new(self.table_schema.file_schema(), &merged);
        Ok(Some(Arc::new(Self { projection, ..self.clone() })))
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        "text"
    }

    fn fmt_extra(&self, _: DisplayFormatType, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        datafusion::physical_plan::apply_expression_roots(self.projection.source.iter(), f)
    }
}

struct TextOpener {
    store: Arc<dyn ObjectStore>,
    compression: FileCompressionType,
    /// The one column, or none where only rows are counted.
    schema: SchemaRef,
    batch_size: usize,
    bytes: Count,
}

impl FileOpener for TextOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let size = file.object_meta.size;
        let range = match &file.range {
            Some(r) => u64::try_from(r.start).unwrap_or(0)..u64::try_from(r.end).unwrap_or(size),
            None => 0..size,
        };
        let (store, schema, batch_size) = (self.store.clone(), self.schema.clone(), self.batch_size);
        let path = file.object_meta.location.clone();
        let bytes = self.bytes.clone();
        if self.compression.is_compressed() {
            let compression = self.compression;
            return Ok(Box::pin(async move {
                let raw = store.get(&path).await?.into_stream().map_err(Into::into);
                let raw = raw.inspect_ok(move |chunk: &Bytes| bytes.add(chunk.len()));
                let chunks = compression.convert_stream(raw.boxed())?;
                Ok(Lines::new(0..u64::MAX, 0, schema, batch_size).batches(chunks).boxed())
            }));
        }
        // One byte before the split tells whether its first line starts there. The split's last line may end beyond it.
        let first = range.start.saturating_sub(1);
        let reads = chunk_ranges(first, size).map(move |r| {
            let (store, path) = (store.clone(), path.clone());
            async move { store.get_range(&path, r).await.map_err(Into::into) }
        });
        let chunks = stream::iter(reads).buffered(READ_AHEAD).inspect_ok(move |chunk: &Bytes| bytes.add(chunk.len()));
        let lines = Lines::new(range, first, schema, batch_size);
        Ok(Box::pin(async move { Ok(lines.batches(chunks).boxed()) }))
    }
}

fn chunk_ranges(start: u64, end: u64) -> impl Iterator<Item = Range<u64>> + Send {
    (0..(end.saturating_sub(start)).div_ceil(CHUNK)).map(move |i| {
        let from = start + i * CHUNK;
        from..(from + CHUNK).min(end)
    })
}

/// Cuts chunks of bytes into lines, and lines into batches.
struct Lines {
    /// Offset in the file of the next byte to come.
    position: u64,
    /// Lines that start here or later belong to the next split.
    end: u64,
    /// Bytes are passed over until the first line that starts in this split.
    skipping: bool,
    /// A line's beginning, its end not yet seen.
    carry: Vec<u8>,
    rows: usize,
    values: StringBuilder,
    schema: SchemaRef,
    batch_size: usize,
    done: bool,
}

impl Lines {
    fn new(split: Range<u64>, position: u64, schema: SchemaRef, batch_size: usize) -> Self {
        Self {
            position,
            end: split.end,
            skipping: split.start > 0,
            carry: Vec::new(),
            rows: 0,
            values: StringBuilder::new(),
            schema,
            batch_size,
            done: false,
        }
    }

    fn batches(
        self,
        chunks: impl Stream<Item = Result<Bytes>> + Send + 'static,
    ) -> impl Stream<Item = Result<RecordBatch>> + Send {
        let start = (self, chunks.boxed(), Bytes::new());
        stream::try_unfold(start, |(mut lines, mut chunks, mut chunk)| async move {
            loop {
                if let Some(batch) = lines.take(&mut chunk)? {
                    return Ok(Some((batch, (lines, chunks, chunk))));
                }
                if lines.done {
                    return Ok(lines.rest()?.map(|batch| (batch, (lines, chunks, chunk))));
                }
                match chunks.try_next().await? {
                    Some(next) => chunk = next,
                    None => lines.finish(),
                }
            }
        })
    }

    /// Takes lines off `chunk` until a batch is full (returned) or the chunk is used up.
    fn take(&mut self, chunk: &mut Bytes) -> Result<Option<RecordBatch>> {
        while !self.done && !chunk.is_empty() {
            if self.carry.is_empty() && !self.skipping && self.position >= self.end {
                self.done = true;
                break;
            }
            let newline = chunk.iter().position(|b| *b == b'\n');
            let length = newline.map_or(chunk.len(), |i| i + 1);
            let piece = chunk.split_to(length);
            self.position += length as u64;
            if self.skipping {
                self.skipping = newline.is_none();
                continue;
            }
            match newline {
                None => self.carry(&piece)?,
                Some(_) if self.carry.is_empty() => self.push(&piece[..length - 1]),
                Some(_) => {
                    let mut line = std::mem::take(&mut self.carry);
                    line.extend_from_slice(&piece[..length - 1]);
                    self.push(&line);
                }
            }
            if self.rows >= self.batch_size || self.values.values_slice().len() >= BATCH_BYTES {
                return self.rest();
            }
        }
        Ok(None)
    }

    /// Keeps a piece of a line that has no end yet.
    fn carry(&mut self, piece: &[u8]) -> Result<()> {
        if self.carry.len() + piece.len() > LONGEST_LINE {
            return Err(to_datafusion(SparkError::new(
                "FAILED_READ_FILE.NO_HINT",
                "KD001",
                format!(
                    "The line that ends after byte {} of the file is longer than {LONGEST_LINE} bytes, which is the longest that \
                     the text source reads. If the file is no text, read it as what it is.",
                    self.position
                ),
            )));
        }
        self.carry.extend_from_slice(piece);
        Ok(())
    }

    /// The file's end: its last line may have no newline.
    fn finish(&mut self) {
        let line = std::mem::take(&mut self.carry);
        if !line.is_empty() {
            self.push(&line);
        }
        self.done = true;
    }

    fn push(&mut self, line: &[u8]) {
        self.rows += 1;
        if !self.schema.fields().is_empty() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            // Bytes that are no UTF-8 become U+FFFD, as when Spark shows them.
            self.values.append_value(String::from_utf8_lossy(line));
        }
    }

    fn rest(&mut self) -> Result<Option<RecordBatch>> {
        if self.rows == 0 {
            return Ok(None);
        }
        let rows = std::mem::take(&mut self.rows);
        let columns: Vec<ArrayRef> = match self.schema.fields().len() {
            0 => Vec::new(),
            _ => vec![Arc::new(self.values.finish())],
        };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(Some(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &'static str, range: Range<u64>, chunk: usize) -> Vec<String> {
        let first = range.start.saturating_sub(1);
        let bytes = Bytes::from_static(text.as_bytes()).slice(usize::try_from(first).unwrap()..);
        let pieces: Vec<Result<Bytes>> = bytes.chunks(chunk).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
        let schema = Arc::new(Schema::new(vec![Field::new("value", ArrowType::Utf8, true)]));
        let lines = Lines::new(range, first, schema, 3).batches(stream::iter(pieces));
        let batches: Vec<RecordBatch> = futures::executor::block_on(lines.try_collect()).unwrap();
        batches
            .iter()
            .flat_map(|b| {
                arrow::array::AsArray::as_string::<i32>(b.column(0))
                    .iter()
                    .map(|v| v.unwrap().to_owned())
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn a_line_without_end_is_an_error() {
        let schema = Arc::new(Schema::new(vec![Field::new("value", ArrowType::Utf8, true)]));
        let piece = Bytes::from(vec![b'x'; 1 << 20]);
        let pieces = stream::iter((0..1 << 20).map(move |_| Ok(piece.clone())));
        let lines = Lines::new(0..u64::MAX, 0, schema, 3).batches(pieces);
        let ended: Result<Vec<RecordBatch>> = futures::executor::block_on(lines.try_collect());
        assert!(ended.unwrap_err().to_string().contains("longer than"));
    }

    #[test]
    fn every_line_belongs_to_exactly_one_split() {
        let text = "a\nbb\r\n\nüü\nccc\nlast without newline";
        let whole = ["a", "bb", "", "üü", "ccc", "last without newline"];
        let size = text.len() as u64;
        for chunk in 1..=text.len() {
            assert_eq!(split(text, 0..size, chunk), whole);
            for cut in 1..size {
                let mut parts = split(text, 0..cut, chunk);
                parts.extend(split(text, cut..size, chunk));
                assert_eq!(parts, whole, "cut at {cut}, chunks of {chunk}");
            }
        }
    }
}
