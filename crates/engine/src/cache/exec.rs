//! The scan of a cached relation.

use std::{fmt, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{Result, Statistics, internal_err, stats::Precision, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
        displayable,
        execution_plan::{Boundedness, EmissionType, SchedulingType},
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
    },
};

use parking_lot::Mutex;

use super::{BlockId, CacheSettings, CachedRelation, StorageLevel, read};
use crate::stage::{each_node, each_read};

/// What a scan needs to know of its relation, on the driver as on executors.
#[derive(Debug, Clone)]
pub struct Scanned {
    pub relation: u64,
    pub name: String,
    /// `NONE` when the relation is cached no more: it is computed and not kept.
    pub level: StorageLevel,
    pub settings: CacheSettings,
    /// Of all columns.
    pub schema: SchemaRef,
    pub partitions: usize,
    pub projection: Option<Vec<usize>>,
    /// Over all columns. Batches in which it can be true for no row are left out.
    pub predicate: Option<Arc<dyn PhysicalExpr>>,
}

/// Where missing blocks come from.
#[derive(Debug, Clone)]
pub enum Lineage {
    /// In the driver's plans: out of the optimizer's sight, since what a relation consists of is fixed.
    Hidden(Arc<CachedRelation>),
    /// In the plan of a stage: its child.
    Child(Arc<dyn ExecutionPlan>),
    /// Nowhere any more.
    Cut,
}

/// Reads each partition where it is kept, else computes and keeps it.
#[derive(Debug, Clone)]
pub struct InMemoryTableScanExec {
    pub(super) scanned: Arc<Scanned>,
    pub(super) lineage: Lineage,
    /// Every block was somewhere when the stage was cut: what the lineage reads need not be there.
    complete: bool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// In one process: the lineage as it ran for this scan.
    pub(super) ran: Arc<Mutex<Vec<Arc<dyn ExecutionPlan>>>>,
}

impl InMemoryTableScanExec {
    pub fn new(
        relation: Arc<CachedRelation>,
        projection: Option<Vec<usize>>,
        predicate: Option<Arc<dyn PhysicalExpr>>,
    ) -> Result<Self> {
        let scanned = Scanned {
            relation: relation.id,
            name: relation.name.clone(),
            level: relation.level,
            settings: relation.settings,
            schema: relation.schema.clone(),
            partitions: relation.partitions,
            projection,
            predicate,
        };
        Self::with_lineage(Arc::new(scanned), Lineage::Hidden(relation), false)
    }

    pub(super) fn with_lineage(scanned: Arc<Scanned>, lineage: Lineage, complete: bool) -> Result<Self> {
        let schema = match &scanned.projection {
            Some(columns) => Arc::new(scanned.schema.project(columns)?),
            None => scanned.schema.clone(),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(scanned.partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        let metrics = ExecutionPlanMetricsSet::new();
        let (properties, ran) = (Arc::new(properties), Arc::default());
        Ok(Self { scanned, lineage, complete, properties, metrics, ran })
    }

    /// The relation, in a driver's plan.
    pub fn relation(&self) -> Option<&Arc<CachedRelation>> {
        match &self.lineage {
            Lineage::Hidden(relation) => Some(relation),
            Lineage::Child(_) | Lineage::Cut => None,
        }
    }

    /// What was run in this process to compute missing blocks for this scan: plans with metrics.
    pub fn ran(&self) -> Vec<Arc<dyn ExecutionPlan>> {
        self.ran.lock().clone()
    }

    pub fn scanned(&self) -> &Scanned {
        &self.scanned
    }

    /// Whether every block was somewhere when the stage was cut.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The scan as part of a stage, over its lineage as the stage runs it (`None` when there is none).
    pub fn revealed(&self, child: Option<Arc<dyn ExecutionPlan>>) -> Result<Self> {
        let Lineage::Hidden(relation) = &self.lineage else { return Ok(self.clone()) };
        if let Some(child) = &child
            && child.output_partitioning().partition_count() != self.scanned.partitions
        {
            return internal_err!(
                "cached relation {} has {} partitions, its lineage {}",
                relation.name,
                self.scanned.partitions,
                child.output_partitioning().partition_count()
            );
        }
        let mut scanned = self.scanned.as_ref().clone();
        if relation.is_released() {
            scanned.level = StorageLevel::NONE;
        }
        let complete = scanned.level.keeps() && relation.is_complete();
        let lineage = child.map_or(Lineage::Cut, Lineage::Child);
        Self::with_lineage(Arc::new(scanned), lineage, complete)
    }
}

impl DisplayAs for InMemoryTableScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scanned = &self.scanned;
        let columns: Vec<&str> = self.schema_columns();
        write!(f, "InMemoryTableScanExec: {} [{}]", scanned.name, columns.join(", "))?;
        if let Some(predicate) = &scanned.predicate {
            write!(f, ", predicate={predicate}")?;
        }
        write!(f, ", InMemoryRelation {}, {}", scanned.relation, scanned.level)
    }
}

impl InMemoryTableScanExec {
    fn schema_columns(&self) -> Vec<&str> {
        let fields = self.scanned.schema.fields();
        match &self.scanned.projection {
            Some(columns) => columns.iter().filter_map(|c| fields.get(*c)).map(|f| f.name().as_str()).collect(),
            None => fields.iter().map(|f| f.name().as_str()).collect(),
        }
    }
}

impl ExecutionPlan for InMemoryTableScanExec {
    fn name(&self) -> &'static str {
        "InMemoryTableScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        match &self.lineage {
            Lineage::Child(child) => vec![child],
            Lineage::Hidden(_) | Lineage::Cut => vec![],
        }
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        match &self.scanned.predicate {
            Some(predicate) => f(predicate),
            None => Ok(TreeNodeRecursion::Continue),
        }
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.children().len()]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (&self.lineage, children.as_slice()) {
            (Lineage::Child(_), [child]) => {
                let lineage = Lineage::Child(child.clone());
                Ok(Arc::new(Self::with_lineage(self.scanned.clone(), lineage, self.complete)?))
            }
            (Lineage::Hidden(_) | Lineage::Cut, []) => Ok(self),
            _ => internal_err!("a cached relation with {} children", children.len()),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        read::execute(self, partition, context, &self.metrics)
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let whole = match &self.lineage {
            Lineage::Hidden(relation) => {
                relation.estimated().unwrap_or_else(|| Statistics::new_unknown(&self.scanned.schema))
            }
            Lineage::Child(_) | Lineage::Cut => Statistics::new_unknown(&self.scanned.schema),
        };
        let mut statistics = match &self.scanned.projection {
            Some(columns) => {
                let all = self.scanned.schema.fields().len().max(1);
                let share = |bytes: &usize| bytes / all * columns.len().max(1);
                let bytes = match &whole.total_byte_size {
                    Precision::Exact(bytes) | Precision::Inexact(bytes) => Precision::Inexact(share(bytes)),
                    Precision::Absent => Precision::Absent,
                };
                Statistics { total_byte_size: bytes, ..whole.project(Some(columns)) }
            }
            None => whole,
        };
        if partition.is_some() {
            statistics = Statistics::new_unknown(&self.schema());
        }
        Ok(Arc::new(statistics))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The blocks of cached relations that `task` of a stage's plan reads.
pub fn cached_reads(plan: &Arc<dyn ExecutionPlan>, task: usize) -> Result<Vec<BlockId>> {
    let mut reads = Vec::new();
    each_read(plan, task, &mut |node, partitions| {
        if let Some(scan) = node.downcast_ref::<InMemoryTableScanExec>()
            && scan.scanned.level.keeps()
        {
            let id = |partition| BlockId { relation: scan.scanned.relation, partition };
            reads.extend(partitions.filter_map(|p| u32::try_from(p).ok()).map(id));
        }
    })?;
    reads.sort_unstable();
    reads.dedup();
    Ok(reads)
}

/// The plan as text, with what cached relations are computed from.
pub fn explain(plan: &Arc<dyn ExecutionPlan>) -> String {
    let mut text = String::new();
    write_plan(plan, 0, &mut text);
    text
}

fn write_plan(plan: &Arc<dyn ExecutionPlan>, depth: usize, text: &mut String) {
    let line = displayable(plan.as_ref()).one_line().to_string();
    text.push_str(&format!("{}{}\n", "  ".repeat(depth), line.trim_end()));
    if let Some(scan) = plan.downcast_ref::<InMemoryTableScanExec>()
        && let Some(lineage) = scan.relation().and_then(|relation| relation.lineage())
    {
        crate::stage::grow_stack(|| write_plan(&lineage, depth + 1, text));
    }
    for child in plan.children() {
        crate::stage::grow_stack(|| write_plan(child, depth + 1, text));
    }
}

/// Whether a plan reads cached relations.
pub fn reads_cache(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut found = false;
    each_node(plan, &mut |node| {
        found |= node.is::<InMemoryTableScanExec>();
        Ok(())
    })?;
    Ok(found)
}
