//! DataFusion's side of the formats that are read here: one source for all, which knows how its files are read.

use std::{collections::BTreeMap, fmt, sync::Arc};

use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::{
    common::{Result, tree_node::TreeNodeRecursion},
    datasource::{
        listing::PartitionedFile,
        object_store::ObjectStoreUrl,
        physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource},
        table_schema::TableSchema,
    },
    physical_expr::{PhysicalExpr, projection::ProjectionExprs},
    physical_plan::{
        DisplayFormatType,
        metrics::{ExecutionPlanMetricsSet, MetricBuilder},
    },
};
use firesteel_functions::{json::Options, types};
use firesteel_plan::{SparkResult, conf::keys, types::StructField};
use object_store::{ObjectStore, path::Path};
use serde::{Deserialize, Serialize};

use super::{
    SourceOptions, avro, binary_file, csv, json, orc,
    read::{Batches, FileRead},
    text, xml,
};
use crate::{EngineSession, error::to_datafusion};

/// How the files of a scan are read. Travels with the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    pub format: Format,
    /// Keys in lower case.
    pub options: BTreeMap<String, String>,
    /// The session's time zone.
    pub zone: String,
    /// Whether records are read no further than is wanted of them.
    pub prunes: bool,
    pub case_sensitive: bool,
    pub ignore_corrupt: bool,
    pub ignore_missing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    Text,
    Csv,
    Json,
    Xml,
    Avro,
    Orc,
    BinaryFile,
}

impl Reading {
    pub fn new(session: &EngineSession, format: Format, options: &SourceOptions) -> SparkResult<Self> {
        let conf = session.conf();
        let mut values = options.values().clone();
        if matches!(format, Format::Csv | Format::Json | Format::Xml)
            && !values.contains_key("columnnameofcorruptrecord")
        {
            values.insert("columnnameofcorruptrecord".to_owned(), conf.text(&keys::CORRUPT_RECORD_COLUMN).to_owned());
        }
        Ok(Self {
            format,
            options: values,
            zone: firesteel_plan::conf::time_zone(&conf),
            prunes: conf.bool(&keys::CSV_COLUMN_PRUNING),
            case_sensitive: conf.bool(&keys::CASE_SENSITIVE),
            ignore_corrupt: options.bool("ignorecorruptfiles", conf.bool(&keys::IGNORE_CORRUPT_FILES))?,
            ignore_missing: options.bool("ignoremissingfiles", conf.bool(&keys::IGNORE_MISSING_FILES))?,
        })
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }

    pub fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(|v| v.trim().eq_ignore_ascii_case("true"))
    }

    /// As the functions that read texts know them.
    pub fn text_options(&self) -> Options {
        Options::from(self.options.clone())
    }

    /// The column that takes the text of records that cannot be read.
    pub fn corrupt_column(&self) -> &str {
        self.get("columnnameofcorruptrecord").unwrap_or("_corrupt_record")
    }
}

/// A source of files of any of the formats.
#[derive(Debug, Clone)]
pub struct FormatSource {
    reading: Arc<Reading>,
    table_schema: TableSchema,
    projection: SplitProjection,
    batch_size: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl FormatSource {
    pub fn new(table_schema: TableSchema, reading: Arc<Reading>) -> Self {
        Self {
            reading,
            projection: SplitProjection::unprojected(&table_schema),
            table_schema,
            batch_size: 8192,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    pub fn reading(&self) -> &Reading {
        &self.reading
    }
}

impl FileSource for FormatSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let file_schema = self.table_schema.file_schema();
        let opener = Arc::new(FormatOpener {
            store,
            store_url: config.object_store_url.clone(),
            reading: self.reading.clone(),
            fields: Arc::new(types::schema_from_arrow(file_schema).map_err(to_datafusion)?),
            places: self.projection.file_indices.clone(),
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

    /// The files were divided among tasks by what can be divided.
    fn supports_repartitioning(&self) -> bool {
        false
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
        match self.reading.format {
            Format::Text => "text",
            Format::Csv => "csv",
            Format::Json => "json",
            Format::Xml => "xml",
            Format::Avro => "avro",
            Format::Orc => "orc",
            Format::BinaryFile => "binaryFile",
        }
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

struct FormatOpener {
    store: Arc<dyn ObjectStore>,
    store_url: ObjectStoreUrl,
    reading: Arc<Reading>,
    fields: Arc<Vec<StructField>>,
    places: Vec<usize>,
    schema: arrow::datatypes::SchemaRef,
    batch_size: usize,
    bytes: datafusion::physical_plan::metrics::Count,
}

impl FileOpener for FormatOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let size = file.object_meta.size;
        let range = match &file.range {
            Some(r) => u64::try_from(r.start).unwrap_or(0)..u64::try_from(r.end).unwrap_or(size),
            None => 0..size,
        };
        let read = FileRead {
            store: self.store.clone(),
            url: file_url(&self.store_url, &file.object_meta.location),
            meta: file.object_meta,
            range,
            reading: self.reading.clone(),
            fields: self.fields.clone(),
            places: self.places.clone(),
            schema: self.schema.clone(),
            batch_size: self.batch_size,
            bytes: self.bytes.clone(),
        };
        Ok(Box::pin(async move { Ok(batches(read)) }))
    }
}

/// The rows of a file.
pub fn batches(read: FileRead) -> Batches {
    let own = read.clone();
    match read.reading.format {
        Format::Text => own.guarded(text::read(read)),
        Format::Csv => own.guarded(csv::read(read)),
        Format::Json => own.guarded(json::read(read)),
        Format::Xml => own.guarded(xml::read(read)),
        Format::Avro => own.guarded(avro::read(read)),
        Format::Orc => own.guarded(orc::read(read)),
        Format::BinaryFile => own.guarded(binary_file::read(read)),
    }
}

/// A file's URL as Spark writes it.
pub fn file_url(store: &ObjectStoreUrl, path: &Path) -> String {
    let store = store.as_str();
    if store.starts_with("file:") {
        format!("file:///{path}")
    } else {
        format!("{}/{path}", store.trim_end_matches('/'))
    }
}
