//! The operator that writes a partition's rows and yields one row a task: what it wrote, for the job's commit.

use std::{fmt, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    compute::{cast, partition},
    datatypes::{DataType as ArrowType, Field, Schema, SchemaRef},
    util::display::{ArrayFormatter, FormatOptions},
};
use datafusion::{
    common::{Result, internal_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::StreamExt;

use super::{
    WriteTask,
    encode::Encoder,
    staged::{PendingFile, StagedFile},
};
use crate::{
    EngineSession,
    error::to_datafusion,
    source::{NULL_PARTITION, escape},
    storage::Location,
};

/// Bytes encoded before they go to the file's store.
const FLUSH: usize = 4 << 20;

#[derive(Debug)]
pub struct FileWriteExec {
    input: Arc<dyn ExecutionPlan>,
    task: WriteTask,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl FileWriteExec {
    pub fn new(input: Arc<dyn ExecutionPlan>, task: WriteTask) -> Self {
        let schema = Arc::new(Schema::new(vec![Field::new("files", ArrowType::Utf8, false)]));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            datafusion::physical_plan::Partitioning::UnknownPartitioning(
                input.properties().output_partitioning().partition_count(),
            ),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { input, task, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }

    pub fn task(&self) -> &WriteTask {
        &self.task
    }

    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }
}

impl DisplayAs for FileWriteExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileWriteExec: path={}, format={:?}", self.task.path, self.task.format)
    }
}

impl ExecutionPlan for FileWriteExec {
    fn name(&self) -> &str {
        "FileWriteExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) if children.is_empty() => Ok(Arc::new(Self::new(input, self.task.clone()))),
            _ => internal_err!("FileWriteExec has one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(session) = context.session_config().get_extension::<EngineSession>() else {
            return internal_err!("FileWriteExec runs only in a session of the engine");
        };
        let input = self.input.execute(partition, context)?;
        let writer = PartitionWriter {
            session: (*session).clone(),
            base: Location::parse(&self.task.path).map_err(to_datafusion)?,
            task: self.task.clone(),
            partition,
            attempt: uuid::Uuid::new_v4().simple().to_string(),
            open: None,
            done: Vec::new(),
            numbered: (String::new(), 0),
        };
        let rows = MetricBuilder::new(&self.metrics).output_rows(partition);
        let bytes = MetricBuilder::new(&self.metrics).counter("bytes_written", partition);
        let schema = self.schema();
        let result_schema = schema.clone();
        let stream = futures::stream::once(async move {
            let files = writer.run(input).await?;
            rows.add(files.iter().map(|f| usize::try_from(f.rows).unwrap_or(0)).sum());
            bytes.add(files.iter().map(|f| usize::try_from(f.bytes).unwrap_or(0)).sum());
            let text =
                serde_json::to_string(&files).map_err(|e| datafusion::common::DataFusionError::External(e.into()))?;
            Ok(RecordBatch::try_new(result_schema, vec![Arc::new(StringArray::from(vec![text]))])?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

struct PartitionWriter {
    session: EngineSession,
    base: Location,
    task: WriteTask,
    partition: usize,
    attempt: String,
    open: Option<OpenFile>,
    done: Vec<PendingFile>,
    /// The folder written to last, and how many files of it are done.
    numbered: (String, usize),
}

struct OpenFile {
    folder: String,
    encoder: Encoder,
    file: StagedFile,
    rows: u64,
    pending: usize,
}

impl PartitionWriter {
    async fn run(mut self, mut input: SendableRecordBatchStream) -> Result<Vec<PendingFile>> {
        let schema = self.file_schema(&input.schema());
        let written = self.write_all(&mut input, &schema).await;
        match written {
            Ok(()) => Ok(self.done),
            Err(error) => {
                if let Some(open) = self.open.take() {
                    open.file.abort().await;
                }
                for file in &self.done {
                    if let Err(e) = file.abort(&self.session, &self.base).await {
                        tracing::warn!(key = %file.key, error = %e, "an output file of a failed attempt could not be removed");
                    }
                }
                Err(error)
            }
        }
    }

    async fn write_all(&mut self, input: &mut SendableRecordBatchStream, schema: &SchemaRef) -> Result<()> {
        while let Some(batch) = input.next().await {
            let batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            for (folder, rows) in self.divide(&batch)? {
                self.write_rows(folder, self.file_columns(&rows, schema)?, schema).await?;
            }
        }
        // A table of no rows still tells its schema.
        if self.partition == 0 && self.done.is_empty() && self.open.is_none() && self.task.partition_columns.is_empty()
        {
            self.start(String::new(), schema).await?;
        }
        self.close().await
    }

    /// The rows of each partition folder, in order.
    fn divide(&self, batch: &RecordBatch) -> Result<Vec<(String, RecordBatch)>> {
        if self.task.partition_columns.is_empty() {
            return Ok(vec![(String::new(), batch.clone())]);
        }
        let keys: Vec<ArrayRef> = self.task.partition_columns.iter().map(|&i| batch.column(i).clone()).collect();
        let formatters = keys
            .iter()
            .map(|k| ArrayFormatter::try_new(k.as_ref(), &FormatOptions::default().with_null(NULL_PARTITION)))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let groups = partition(&keys)?;
        let mut out = Vec::new();
        for range in groups.ranges() {
            let folder = self
                .task
                .partition_columns
                .iter()
                .zip(&formatters)
                .map(|(&i, f)| {
                    let value = f.value(range.start).to_string();
                    let value = if value.is_empty() { NULL_PARTITION.to_owned() } else { escape(&value) };
                    format!("{}={value}/", escape(&self.task.names[i]))
                })
                .collect();
            out.push((folder, batch.slice(range.start, range.len())));
        }
        Ok(out)
    }

    async fn write_rows(&mut self, folder: String, rows: RecordBatch, schema: &SchemaRef) -> Result<()> {
        let most = usize::try_from(self.task.most_rows).unwrap_or(usize::MAX);
        if most == 0 {
            return self.write_part(folder, rows, schema).await;
        }
        let mut at = 0;
        while at < rows.num_rows() {
            let full = self
                .open
                .as_ref()
                .filter(|o| o.folder == folder)
                .map_or(0, |o| usize::try_from(o.rows).unwrap_or(most));
            if full >= most {
                self.close().await?;
                continue;
            }
            let part = (most - full).min(rows.num_rows() - at);
            self.write_part(folder.clone(), rows.slice(at, part), schema).await?;
            at += part;
        }
        Ok(())
    }

    async fn write_part(&mut self, folder: String, rows: RecordBatch, schema: &SchemaRef) -> Result<()> {
        if self.open.as_ref().is_none_or(|o| o.folder != folder) {
            self.close().await?;
            self.start(folder, schema).await?;
        }
        let Some(open) = &mut self.open else { return internal_err!("no file is open") };
        open.rows += rows.num_rows() as u64;
        open.pending += rows.get_array_memory_size();
        open.encoder.write(&rows)?;
        if open.pending >= FLUSH {
            open.pending = 0;
            let ready = open.encoder.take();
            if !ready.is_empty() {
                open.file.write(ready).await?;
            }
        }
        Ok(())
    }

    async fn start(&mut self, folder: String, schema: &SchemaRef) -> Result<()> {
        if self.numbered.0 != folder {
            self.numbered = (folder.clone(), 0);
        }
        let name = format!(
            "{}{folder}part-{:05}-{}-c{:03}.{}",
            self.task.prefix,
            self.partition,
            self.attempt,
            self.numbered.1,
            self.task.format.extension()
        );
        let temporary = format!("_temporary/{}/{}", self.task.job, self.attempt);
        let file = StagedFile::create(&self.session, &self.base, &name, &temporary).await?;
        self.open =
            Some(OpenFile { folder, encoder: Encoder::new(&self.task.format, schema)?, file, rows: 0, pending: 0 });
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        let Some(OpenFile { encoder, mut file, rows, .. }) = self.open.take() else { return Ok(()) };
        let rest = encoder.finish()?;
        if !rest.is_empty() {
            file.write(rest).await?;
        }
        self.done.push(file.finish(rows).await?);
        self.numbered.1 += 1;
        Ok(())
    }

    /// The schema of the files: the input's without partition columns, under the names users gave, strings plain.
    fn file_schema(&self, input: &SchemaRef) -> SchemaRef {
        let fields = self.data_columns(input.fields().len()).map(|i| {
            let field = input.field(i);
            Field::new(&self.task.names[i], self.task.format.stored(field.data_type()), true)
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn file_columns(&self, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
        let columns = self
            .data_columns(batch.num_columns())
            .zip(schema.fields())
            .map(|(i, field)| Ok(cast(batch.column(i), field.data_type())?))
            .collect::<Result<Vec<_>>>()?;
        let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
    }

    fn data_columns(&self, count: usize) -> impl Iterator<Item = usize> + '_ {
        (0..count).filter(|i| !self.task.partition_columns.contains(i))
    }
}
