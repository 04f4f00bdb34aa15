//! One place of a part in a physical plan.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use datafusion::{
    common::{
        Result, Statistics, internal_err,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        metrics::{ExecutionPlanMetricsSet, MetricsSet, SpillMetrics},
        statistics::StatisticsContext,
    },
};

use super::rows::Rows;
use crate::{ExecutionMode, stage::partitions};

/// A part of a query as it is planned, for all of its places.
#[derive(Debug)]
pub(crate) struct Part {
    /// Of this process.
    id: u64,
    plan: Arc<dyn ExecutionPlan>,
    rows: Rows,
    readers: usize,
    properties: Arc<PlanProperties>,
    statistics: Arc<Statistics>,
    /// Its first place shows it.
    is_shown: AtomicBool,
}

impl Part {
    pub fn new(plan: Arc<dyn ExecutionPlan>, readers: usize, mode: ExecutionMode) -> Result<Arc<Self>> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let properties = match mode {
            ExecutionMode::InProcess => plan.properties().clone(),
            // Its stage may turn out to have other partitions, and readers take them as they come.
            ExecutionMode::Cluster => unordered(&plan),
        };
        let statistics = StatisticsContext::new().compute(plan.as_ref(), &Default::default())?;
        Ok(Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            rows: Rows::new(partitions(&plan), readers),
            plan,
            readers,
            properties,
            statistics,
            is_shown: AtomicBool::new(false),
        }))
    }

    /// One more place.
    pub fn place(self: &Arc<Self>) -> ReusedExec {
        let shows = !self.is_shown.swap(true, Ordering::Relaxed);
        ReusedExec { part: self.clone(), shows, is_revealed: false, metrics: ExecutionPlanMetricsSet::new() }
    }
}

/// Partitions of which nothing is known.
fn unordered(plan: &Arc<dyn ExecutionPlan>) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(plan.schema()),
        Partitioning::UnknownPartitioning(partitions(plan)),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

/// Reads the rows of a part that has several readers.
///
/// While plans are optimized it is a leaf: the part is optimized already, for all readers alike.
#[derive(Debug, Clone)]
pub struct ReusedExec {
    part: Arc<Part>,
    /// Of all places it is the one under which people see the part.
    shows: bool,
    is_revealed: bool,
    metrics: ExecutionPlanMetricsSet,
}

impl ReusedExec {
    /// All places of a part have one.
    pub fn id(&self) -> u64 {
        self.part.id
    }

    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.part.plan
    }

    /// A place that does not show its part: another does.
    pub fn is_hidden(&self) -> bool {
        !self.is_revealed
    }

    /// The same place over the same part, written otherwise: it shows it, for nobody else has it.
    pub fn over(&self, input: Arc<dyn ExecutionPlan>) -> Self {
        if Arc::ptr_eq(self.input(), &input) {
            return self.clone();
        }
        let part = Part {
            id: self.part.id,
            // Nobody else reads what is computed from this input.
            rows: Rows::new(partitions(&input), 1),
            properties: unordered(&input),
            plan: input,
            readers: self.part.readers,
            statistics: self.part.statistics.clone(),
            is_shown: AtomicBool::new(true),
        };
        Self { part: Arc::new(part), is_revealed: true, ..self.clone() }
    }
}

/// A plan that is ready, with each part shown in its first place.
pub(crate) fn reveal(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_down(|node| match node.downcast_ref::<ReusedExec>() {
        Some(place) if place.shows && !place.is_revealed => {
            let revealed = Arc::new(ReusedExec { is_revealed: true, ..place.clone() });
            Ok(Transformed::new(revealed, true, TreeNodeRecursion::Jump))
        }
        _ => Ok(Transformed::no(node)),
    })
    .data()
}

impl DisplayAs for ReusedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReusedExec: part {}", self.id())?;
        if self.is_revealed { write!(f, ", computed once for {} readers", self.part.readers) } else { Ok(()) }
    }
}

impl ExecutionPlan for ReusedExec {
    fn name(&self) -> &'static str {
        "ReusedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.part.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        if self.is_revealed { vec![self.input()] } else { Vec::new() }
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.children().len()]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.as_slice() {
            [] if !self.is_revealed => Ok(self),
            [input] if self.is_revealed => Ok(Arc::new(self.over(input.clone()))),
            _ => internal_err!("a reused part with {} inputs", children.len()),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let metrics = SpillMetrics::new(&self.metrics, partition);
        self.part.rows.read(self.input(), partition, context, metrics)
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        Ok(match partition {
            Some(_) => Arc::new(Statistics::new_unknown(&self.schema())),
            None => self.part.statistics.clone(),
        })
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
