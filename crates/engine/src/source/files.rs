//! The table over a listing of files.

use std::sync::{Arc, OnceLock};

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{ColumnStatistics, Result, Statistics, stats::Precision, tree_node::TreeNode},
    datasource::{
        TableType,
        file_format::FileFormat,
        listing::PartitionedFile,
        physical_plan::{FileScanConfigBuilder, FileSource},
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    logical_expr::{Expr, TableProviderFilterPushDown, utils::conjunction},
    physical_plan::{ExecutionPlan, empty::EmptyExec},
};
use firesteel_functions::types;
use firesteel_plan::{SparkError, SparkResult, conf::keys, types::StructField};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectMeta;
use tokio::sync::OnceCell;

use super::{
    Source, SparkColumns,
    format::{Format, FormatSource, Reading},
    listing::Listing,
    metadata,
    partitions::Partitions,
    splits,
};
use crate::{EngineSession, cache::SourceIdentity, error::to_datafusion};

/// Files above this number are not opened for statistics before the query runs.
const MAX_FILES_FOR_STATISTICS: usize = 512;
const STATISTICS_CONCURRENCY: usize = 16;

pub struct FilesTable {
    session: EngineSession,
    listing: Listing,
    partitions: Partitions,
    /// Of the table, with what tells of files.
    schema: SchemaRef,
    /// Without it.
    data_schema: SchemaRef,
    table_schema: TableSchema,
    source: Arc<dyn FileSource>,
    /// Reads the column that tells of files as well, for queries that want it.
    metadata_source: Option<Arc<dyn FileSource>>,
    /// Plans the scan and reads statistics, for formats that have more to set up than their source.
    format: Option<Arc<dyn FileFormat>>,
    /// The column for the text of records that cannot be read.
    corrupt: Option<usize>,
    splittable: bool,
    statistics: OnceCell<Vec<Option<Arc<Statistics>>>>,
    /// Those of all files together, once they are read.
    whole: OnceLock<Option<Statistics>>,
}

pub struct FilesTableParts {
    pub listing: Listing,
    pub partitions: Partitions,
    /// Spark's schema of the columns in the files.
    pub fields: Vec<StructField>,
    pub splittable: bool,
    pub format: Option<Arc<dyn FileFormat>>,
}

impl FilesTableParts {
    /// The source of files that are read by [`FormatSource`].
    pub fn into_source(mut self, session: &EngineSession, reading: Reading) -> SparkResult<Source> {
        self.fields.iter_mut().for_each(|f| f.nullable = true);
        let file_schema = Arc::new(types::schema_to_arrow(&self.fields)?);
        let corrupt = self.fields.iter().position(|f| f.name == reading.corrupt_column());
        let corrupt = corrupt.filter(|_| matches!(reading.format, Format::Csv | Format::Json | Format::Xml));
        let reading = Arc::new(reading);
        self.with_file_schema(session, file_schema, corrupt, |s| Arc::new(FormatSource::new(s, reading.clone())))
    }

    /// The source of these files. `source` makes the format's source for the table's schema; `corrupt` is the column that
    /// is no use alone.
    pub fn with_file_schema(
        self,
        session: &EngineSession,
        file_schema: SchemaRef,
        corrupt: Option<usize>,
        source: impl Fn(TableSchema) -> Arc<dyn FileSource>,
    ) -> SparkResult<Source> {
        let mut schema = self.fields.clone();
        schema.extend(self.partitions.columns.iter().cloned());
        check_duplicates(&schema, session.conf().bool(&keys::CASE_SENSITIVE))?;
        let partition_columns = self.partitions.names();
        let table = FilesTable::new(session, self, file_schema, corrupt, source)?;
        Ok(Source { provider: Arc::new(table), schema, partition_columns })
    }
}

fn check_duplicates(schema: &[StructField], case_sensitive: bool) -> SparkResult<()> {
    let mut seen = std::collections::HashSet::new();
    for field in schema {
        let name = if case_sensitive { field.name.clone() } else { field.name.to_lowercase() };
        if !seen.insert(name.clone()) {
            return Err(SparkError::new(
                "COLUMN_ALREADY_EXISTS",
                "42711",
                format!("The column `{name}` already exists. Choose another name or rename the existing column."),
            )
            .param("columnName", format!("`{name}`")));
        }
    }
    Ok(())
}

impl std::fmt::Debug for FilesTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilesTable")
            .field("path", &self.listing.written)
            .field("files", &self.listing.files.len())
            .finish()
    }
}

impl FilesTable {
    fn new(
        session: &EngineSession,
        parts: FilesTableParts,
        file_schema: SchemaRef,
        corrupt: Option<usize>,
        source: impl Fn(TableSchema) -> Arc<dyn FileSource>,
    ) -> SparkResult<Self> {
        let partition_fields = parts.partitions.arrow_fields()?;
        let mut fields = file_schema.fields().iter().chain(&partition_fields).cloned().collect::<Vec<_>>();
        let data_schema = Arc::new(Schema::new(fields.clone()));
        let offered =
            parts.listing.metadata && !fields.iter().any(|f| f.name().eq_ignore_ascii_case(metadata::METADATA));
        let metadata_source = if offered {
            let field = Arc::new(metadata::field()?);
            fields.push(field.clone());
            let partitions = partition_fields.iter().cloned().chain([field]).collect::<Vec<_>>();
            Some(source(TableSchema::builder(file_schema.clone()).with_table_partition_cols(partitions).build()))
        } else {
            None
        };
        let table_schema = TableSchema::builder(file_schema).with_table_partition_cols(partition_fields).build();
        Ok(Self {
            session: session.clone(),
            listing: parts.listing,
            partitions: parts.partitions,
            schema: Arc::new(Schema::new(fields)),
            data_schema,
            source: source(table_schema.clone()),
            metadata_source,
            table_schema,
            format: parts.format,
            corrupt,
            splittable: parts.splittable,
            statistics: OnceCell::new(),
            whole: OnceLock::new(),
        })
    }

    /// What is read, whatever files are there.
    pub fn identity(&self) -> &SourceIdentity {
        &self.listing.identity
    }

    /// Reads the statistics that [`TableProvider::statistics`] then answers.
    pub async fn load_statistics(&self, state: &dyn Session) -> Result<()> {
        self.file_statistics(state).await.map(|_| ())
    }

    /// Statistics of each file, where the format has them and there are not too many files.
    async fn file_statistics(&self, state: &dyn Session) -> Result<&[Option<Arc<Statistics>>]> {
        let statistics = self
            .statistics
            .get_or_try_init(|| async {
                let files = &self.listing.files;
                let Some(format) = self.format.as_ref().filter(|_| files.len() <= MAX_FILES_FOR_STATISTICS) else {
                    return Ok(vec![None; files.len()]);
                };
                let reads: Vec<_> = files.iter().map(|f| self.one_file_statistics(state, format, &f.meta)).collect();
                futures::stream::iter(reads).buffered(STATISTICS_CONCURRENCY).try_collect::<Vec<_>>().await
            })
            .await?;
        Ok(statistics)
    }

    async fn one_file_statistics(
        &self,
        state: &dyn Session,
        format: &Arc<dyn FileFormat>,
        file: &ObjectMeta,
    ) -> Result<Option<Arc<Statistics>>> {
        // Nothing is read of an empty file, whatever it should be.
        if file.size == 0 {
            return Ok(None);
        }
        let schema = self.table_schema.file_schema().clone();
        let found = format.infer_stats(state, &self.listing.store, schema, file).await;
        found.map(|s| Some(Arc::new(s))).map_err(|e| super::parquet::unreadable(&self.listing, file, &e))
    }

    /// Files whose partition values may satisfy `filters`.
    fn prune(
        &self,
        state: &dyn Session,
        filters: &[Expr],
        statistics: &[Option<Arc<Statistics>>],
    ) -> Result<Vec<PartitionedFile>> {
        let fields = self.table_schema.table_partition_cols();
        let names = self.partitions.names();
        let on_partitions: Vec<Expr> = filters.iter().filter(|f| decides_by_partition(f, &names)).cloned().collect();
        let predicate = match conjunction(on_partitions) {
            None => None,
            Some(expr) => {
                let schema = Arc::new(Schema::new(fields.clone()));
                let df_schema = datafusion::common::DFSchema::try_from(schema.clone())?;
                let expr = unqualified(expr)?;
                Some((state.create_physical_expr(expr, &df_schema)?, schema))
            }
        };
        let mut kept = Vec::with_capacity(self.listing.files.len());
        for (i, file) in self.listing.files.iter().enumerate() {
            let values = &self.partitions.values[i];
            if let Some((predicate, schema)) = &predicate {
                let columns = values.iter().map(|v| v.to_array()).collect::<Result<Vec<_>>>()?;
                let batch = arrow::record_batch::RecordBatch::try_new(schema.clone(), columns)?;
                let result = predicate.evaluate(&batch)?.into_array(1)?;
                let keep = arrow::array::as_boolean_array(&result);
                if !(keep.value(0) && arrow::array::Array::is_valid(&keep, 0)) {
                    continue;
                }
            }
            let mut part = PartitionedFile::new_from_meta(file.meta.clone()).with_partition_values(values.clone());
            if let Some(found) = &statistics[i] {
                part = part.with_statistics(found.clone());
            }
            kept.push(part);
        }
        Ok(kept)
    }

    fn table_statistics(&self, files: &[PartitionedFile]) -> Result<Statistics> {
        let bytes: u64 = files.iter().map(|f| f.object_meta.size).sum();
        let merged = self.merged(files.iter().map(|f| f.statistics.as_deref()))?;
        Ok(merged.unwrap_or_else(|| Statistics {
            num_rows: Precision::Absent,
            total_byte_size: Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX)),
            column_statistics: vec![ColumnStatistics::new_unknown(); self.data_schema.fields().len()],
        }))
    }

    /// Statistics of several files as of one; nothing where one of them has none, or there is no file.
    fn merged<'a>(&self, files: impl Iterator<Item = Option<&'a Statistics>>) -> Result<Option<Statistics>> {
        let all: Option<Vec<&Statistics>> = files.collect();
        all.filter(|all| !all.is_empty()).map(|all| Statistics::try_merge_iter(all, &self.data_schema)).transpose()
    }
}

/// With a column of which nothing is known.
fn with_one_more(mut statistics: Statistics) -> Statistics {
    statistics.column_statistics.push(ColumnStatistics::new_unknown());
    statistics
}

/// Whether partition values alone decide a filter, so that files are pruned by it and no row needs it again.
fn decides_by_partition(filter: &Expr, partition_columns: &[String]) -> bool {
    let columns = filter.column_refs();
    let plain = !filter.is_volatile()
        && !filter
            .exists(|e| {
                Ok(matches!(
                    e,
                    Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::OuterReferenceColumn(..)
                ))
            })
            .unwrap_or(true);
    plain && !columns.is_empty() && columns.iter().all(|c| partition_columns.contains(&c.name))
}

fn unqualified(expr: Expr) -> Result<Expr> {
    use datafusion::common::{Column, tree_node::Transformed};
    expr.transform(|e| {
        Ok(match e {
            Expr::Column(column) => Transformed::yes(Expr::Column(Column::new_unqualified(column.name))),
            other => Transformed::no(other),
        })
    })
    .map(|t| t.data)
}

#[async_trait]
impl TableProvider for FilesTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        let files = self.statistics.get()?;
        // The optimizer asks many times.
        let whole = self.whole.get_or_init(|| self.merged(files.iter().map(Option::as_deref)).ok().flatten()).clone();
        whole.map(|s| if self.metadata_source.is_some() { with_one_more(s) } else { s })
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let names = self.partitions.names();
        Ok(filters
            .iter()
            .map(|f| {
                if decides_by_partition(f, &names) {
                    TableProviderFilterPushDown::Exact
                } else {
                    TableProviderFilterPushDown::Inexact
                }
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if let (Some(corrupt), Some([only])) = (self.corrupt, projection.map(Vec::as_slice))
            && *only == corrupt
        {
            return Err(to_datafusion(SparkError::new(
                "UNSUPPORTED_FEATURE.QUERY_ONLY_CORRUPT_RECORD_COLUMN",
                "0A000",
                "The feature is not supported: Queries from raw JSON/CSV/XML files are disallowed when the referenced \
                 columns only include the internal corrupt record column. Cache or save the parsed results first.",
            )));
        }
        let statistics = self.file_statistics(state).await?;
        let files = self.prune(state, filters, statistics)?;
        if files.is_empty() {
            let schema = match projection {
                Some(indices) => Arc::new(self.schema.project(indices)?),
                None => self.schema.clone(),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let mut table_statistics = self.table_statistics(&files)?;
        let mut groups =
            splits::divide(files, self.splittable, self.session.mode(), self.session.slots(), &self.session.conf());
        let place = self.data_schema.fields().len();
        let wanted = projection.is_none_or(|p| p.contains(&place));
        let source = match self.metadata_source.as_ref().filter(|_| wanted) {
            Some(source) => {
                table_statistics = with_one_more(table_statistics);
                groups = metadata::told(groups, &self.listing.store_url)?;
                source
            }
            None => &self.source,
        };
        let config = FileScanConfigBuilder::new(self.listing.store_url.clone(), source.clone())
            .with_file_groups(groups)
            .with_statistics(table_statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_expr_adapter(Some(Arc::new(SparkColumns)))
            .build();
        match &self.format {
            Some(format) => format.create_physical_plan(state, config).await,
            None => Ok(DataSourceExec::from_data_source(config)),
        }
    }
}
