//! Keeping rows: CACHE TABLE, and what DataFrames have (`persist`, `checkpoint`, `localCheckpoint`): a logical plan in, and
//! where the rows change hands, a logical plan out.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{
    common::{Column, TableReference},
    datasource::provider_as_source,
    functions_aggregate::expr_fn::count,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit},
    physical_plan::ExecutionPlan,
};
use firesteel_analyzer::AnalyzedCache;
use firesteel_engine::{
    cache::{PreparePlan, RelationSummary, StorageLevel, scan_as},
    error::from_datafusion,
    source::{self, SourceSpec},
    write::{self, WriteJob, WriteMode, WriteSpec},
};
use firesteel_functions::types;
use firesteel_plan::{SparkError, SparkResult, conf::keys, types::StructField};

use crate::Application;

#[async_trait]
impl PreparePlan for Application {
    async fn prepare(&self, plan: Arc<dyn ExecutionPlan>) -> SparkResult<Arc<dyn ExecutionPlan>> {
        self.runner().prepare(plan).await
    }
}

impl Application {
    /// CACHE TABLE.
    pub(crate) async fn cache_table(&self, cache: AnalyzedCache) -> SparkResult<()> {
        let engine = self.session().engine();
        let new = engine.cache().cache(&cache.query.plan, &cache.name, cache.level)?;
        if cache.lazy {
            return Ok(());
        }
        let computed = self.compute(&cache.query.plan).await;
        if new && computed.is_err() {
            engine.cache().uncache(&cache.query.plan, false);
        }
        computed
    }

    /// `DataFrame.persist`: queries that contain `plan` use its kept rows from now on. They are kept when first read.
    pub fn persist(&self, plan: &LogicalPlan, level: StorageLevel) -> SparkResult<()> {
        self.session().engine().cache().cache(plan, "data", level).map(|_| ())
    }

    /// `DataFrame.unpersist`: frees the rows. What was made from them and is kept stays.
    pub fn unpersist(&self, plan: &LogicalPlan) {
        self.session().engine().cache().uncache(plan, false);
    }

    /// `DataFrame.storageLevel`
    pub fn storage_level(&self, plan: &LogicalPlan) -> StorageLevel {
        self.session().engine().cache().level(plan).unwrap_or(StorageLevel::NONE)
    }

    /// The cached relations of the application, with what of them is where.
    pub fn cached_relations(&self) -> Vec<RelationSummary> {
        self.session().engine().cache().master().summaries()
    }

    /// `DataFrame.localCheckpoint`: keeps the rows on the executors, and answers a plan that reads them and knows nothing of
    /// what they were made from. They go when nobody holds that plan any more. Not `eager`: they are computed at first use.
    pub async fn local_checkpoint(
        &self,
        plan: &LogicalPlan,
        eager: bool,
        level: StorageLevel,
    ) -> SparkResult<LogicalPlan> {
        let engine = self.session().engine();
        // As in Spark: what does not fit into memory must not be lost.
        let level = StorageLevel { disk: true, ..level };
        let used = engine.cache().use_cached(engine, plan.clone(), self).await?;
        let relation = engine.cache().relation(engine, &used, "local checkpoint", level, self).await?;
        relation.cut_when_computed();
        let pruning = engine.conf().bool(&keys::CACHE_PARTITION_PRUNING);
        let scan = scan_as(relation.clone(), plan, pruning).map_err(|e| from_datafusion(&e))?;
        if eager {
            self.compute(&scan).await?;
            // What it was made from goes now.
            drop(relation.lineage());
        }
        Ok(scan)
    }

    /// `SparkContext.setCheckpointDir`: checkpoints go into a new folder below `dir`.
    pub fn set_checkpoint_dir(&self, dir: &str) -> SparkResult<()> {
        let folder = format!("{}/{}", dir.trim_end_matches('/'), uuid::Uuid::new_v4());
        self.session().engine().set_conf(keys::CHECKPOINT_DIR.name, &folder)
    }

    /// `DataFrame.checkpoint(eager = true)`: writes the rows to `spark.checkpoint.dir`, and answers a plan that reads the files.
    pub async fn checkpoint(&self, plan: &LogicalPlan) -> SparkResult<LogicalPlan> {
        let engine = self.session().engine();
        let conf = engine.conf();
        let dir = conf.text(&keys::CHECKPOINT_DIR).trim_end_matches('/');
        if dir.is_empty() {
            let message = "Checkpoint directory has not been set in the SparkContext. Set spark.checkpoint.dir to a folder \
                           that the driver and all executors can reach.";
            return Err(SparkError::new("CHECKPOINT_DIRECTORY_NOT_SET", "55000", message));
        }
        let path = format!("{dir}/checkpoint-{}", uuid::Uuid::new_v4());
        let failed = |e| from_datafusion(&e);
        let fields = plan.schema().fields();
        let stored: Vec<StructField> = fields
            .iter()
            .enumerate()
            .map(|(i, f)| Ok(StructField::new(format!("c{i}"), types::from_arrow(f.data_type())?, true)))
            .collect::<SparkResult<_>>()?;
        let columns = plan.schema().columns().into_iter().zip(&stored);
        let renamed: Vec<Expr> = columns.map(|(column, field)| Expr::Column(column).alias(&field.name)).collect();
        let rows = LogicalPlanBuilder::from(plan.clone()).project(renamed).and_then(LogicalPlanBuilder::build);
        let physical = self.plan(&rows.map_err(failed)?).await?;
        let spec = WriteSpec {
            path: path.clone(),
            format: "parquet".to_owned(),
            mode: WriteMode::ErrorIfExists,
            columns: stored.clone(),
            partition_by: Vec::new(),
            static_partition: Vec::new(),
            options: Default::default(),
        };
        if let Some((job, physical)) = write::prepare(engine, physical, &spec, None).await? {
            let files = self.collect(physical).await.and_then(|batches| WriteJob::files(&batches));
            match files {
                Ok(files) => job.begin_commit(files).await?.finish().await.map(|_| ())?,
                Err(error) => {
                    job.abort(&[]).await;
                    return Err(error);
                }
            }
        }
        let source = SourceSpec {
            format: "parquet".to_owned(),
            schema: Some(stored.clone()),
            paths: vec![path],
            may_be_empty: true,
            ..SourceSpec::default()
        };
        let table = TableReference::bare("checkpoint");
        let provider = source::open(engine, source).await?.provider;
        let columns: Vec<Expr> = plan
            .schema()
            .iter()
            .zip(&stored)
            .map(|((qualifier, field), stored)| {
                let column = Expr::Column(Column::new(Some(table.clone()), &stored.name));
                let typed = datafusion::logical_expr::cast(column, field.data_type().clone());
                typed.alias_qualified(qualifier.cloned(), field.name())
            })
            .collect();
        let scan = LogicalPlanBuilder::scan(table.clone(), provider_as_source(provider), None).map_err(failed)?;
        scan.project(columns).and_then(LogicalPlanBuilder::build).map_err(failed)
    }

    /// The rows of a plan that an analysis, or one of the above, answered.
    pub async fn rows_of(&self, plan: &LogicalPlan) -> SparkResult<Vec<RecordBatch>> {
        let physical = self.plan(plan).await?;
        self.collect(physical).await
    }

    /// Reads all rows of `plan`, so that what is to be kept of it is.
    pub async fn compute(&self, plan: &LogicalPlan) -> SparkResult<()> {
        let counted = LogicalPlanBuilder::from(plan.clone())
            .aggregate(Vec::<Expr>::new(), vec![count(lit(1i64))])
            .and_then(LogicalPlanBuilder::build)
            .map_err(|e| from_datafusion(&e))?;
        let physical = self.plan(&counted).await?;
        self.collect(physical).await.map(|_| ())
    }
}
