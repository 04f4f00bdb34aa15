//! WITH RECURSIVE: rows that are made from those made before.
//!
//! The driver runs the recursion, one step at a time, as it would run a query: wherever its tasks run. What a step made is
//! kept in memory for the next one; when a step makes nothing more, the rows of all steps take the place of the node in
//! the plan. So neither the optimizer nor the cutting into stages ever sees a loop.

use std::{collections::HashMap, fmt, sync::Arc};

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::{Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    common::{
        Column, DFSchemaRef,
        tree_node::{Transformed, TreeNodeRecursion},
    },
    datasource::{MemTable, provider_as_source},
    error::DataFusionError,
    logical_expr::{
        Expr, Extension, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
    },
    scalar::ScalarValue,
};
use firesteel_plan::{SparkError, SparkResult};

use crate::error::from_datafusion;

/// A recursion in a plan: a leaf, for what it is made of runs on its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Recursion {
    /// The scans of the rows before are named after it.
    pub id: u64,
    pub anchor: LogicalPlan,
    pub step: LogicalPlan,
    pub schema: DFSchemaRef,
    /// Most steps.
    pub levels: Option<u64>,
    /// Most rows, where no LIMIT stands above.
    pub rows: Option<u64>,
    /// More rows than these are not looked at.
    pub limit: Option<usize>,
}

impl PartialOrd for Recursion {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.id.partial_cmp(&other.id)
    }
}

impl UserDefinedLogicalNodeCore for Recursion {
    fn name(&self) -> &str {
        "Recursion"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recursion: {}", self.id)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, _: Vec<LogicalPlan>) -> Result<Self, DataFusionError> {
        Ok(self.clone())
    }
}

/// The name of the scans that read what the step before has made.
pub fn table_name(id: u64) -> String {
    format!("recursion_{id}")
}

/// Runs a plan to its end.
#[async_trait]
pub trait RunRows: Send + Sync {
    async fn rows(&self, plan: LogicalPlan) -> SparkResult<Vec<RecordBatch>>;
}

fn recursion(plan: &LogicalPlan) -> Option<&Recursion> {
    match plan {
        LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref::<Recursion>(),
        _ => None,
    }
}

/// The plan of a recursion.
pub fn plan(node: Recursion) -> LogicalPlan {
    LogicalPlan::Extension(Extension { node: Arc::new(node) as Arc<dyn UserDefinedLogicalNode> })
}

/// The plan with the rows of its recursions in their places.
pub async fn expand(plan: LogicalPlan, runner: &dyn RunRows) -> SparkResult<LogicalPlan> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= recursion(node).is_some();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .map_err(|e| from_datafusion(&e))?;
    if !found {
        return Ok(plan);
    }
    let plan = plan
        .transform_down_with_subqueries(|node| match limit_of(&node) {
            Some(limit) => limited(node, limit).map(Transformed::yes),
            None => Ok(Transformed::no(node)),
        })
        .map_err(|e| from_datafusion(&e))?
        .data;
    let mut nodes: Vec<Recursion> = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let Some(node) = recursion(node)
            && !nodes.iter().any(|known| known.id == node.id && known.limit == node.limit)
        {
            nodes.push(node.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(|e| from_datafusion(&e))?;
    let mut rows: HashMap<(u64, Option<usize>), LogicalPlan> = HashMap::new();
    for node in nodes {
        let made = run(&node, runner).await?;
        rows.insert((node.id, node.limit), made);
    }
    plan.transform_up_with_subqueries(|node| {
        let made = recursion(&node).and_then(|r| rows.get(&(r.id, r.limit)).cloned());
        Ok(match made {
            Some(made) => Transformed::yes(made),
            None => Transformed::no(node),
        })
    })
    .map(|t| t.data)
    .map_err(|e| from_datafusion(&e))
}

/// The rows that LIMIT asks for; all where it says ALL.
fn limit_of(plan: &LogicalPlan) -> Option<usize> {
    let LogicalPlan::Limit(limit) = plan else { return None };
    let number = |e: &Expr| match e {
        Expr::Literal(ScalarValue::Int64(Some(n)), _) => usize::try_from(*n).ok(),
        _ => None,
    };
    match (&limit.skip, &limit.fetch) {
        (None, None) => Some(usize::MAX),
        (skip, Some(fetch)) => {
            let skip = skip.as_deref().map_or(Some(0), number)?;
            number(fetch)?.checked_add(skip)
        }
        (Some(_), None) => None,
    }
}

/// Tells the recursions whose rows go through LIMIT one by one how many it takes.
fn limited(plan: LogicalPlan, limit: usize) -> Result<LogicalPlan, DataFusionError> {
    if let Some(node) = recursion(&plan) {
        let limit = node.limit.map_or(limit, |known| known.min(limit));
        return Ok(self::plan(Recursion { limit: Some(limit), ..node.clone() }));
    }
    let passes = matches!(
        plan,
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Union(_) | LogicalPlan::Limit(_)
    );
    if !passes {
        return Ok(plan);
    }
    let inputs = plan.inputs().into_iter().map(|i| limited(i.clone(), limit)).collect::<Result<Vec<_>, _>>()?;
    plan.with_new_exprs(plan.expressions(), inputs)
}

async fn run(node: &Recursion, runner: &dyn RunRows) -> SparkResult<LogicalPlan> {
    let schema = Arc::new(nullable(node.schema.as_arrow()));
    let mut all: Vec<RecordBatch> = Vec::new();
    let mut total: u64 = 0;
    let mut last = shaped(runner.rows(node.anchor.clone()).await?, &schema)?;
    let mut level: u64 = 0;
    loop {
        let count: usize = last.iter().map(RecordBatch::num_rows).sum();
        total += count as u64;
        all.extend(last.iter().cloned());
        if let (None, Some(most)) = (node.limit, node.rows)
            && total > most
        {
            return Err(too_many_rows(most));
        }
        let enough = node.limit.is_some_and(|limit| total >= limit as u64);
        if count == 0 || enough {
            break;
        }
        level += 1;
        if let Some(most) = node.levels
            && level > most
        {
            return Err(too_many_levels(most));
        }
        let step = fed(&node.step, node.id, &last, &schema)?;
        last = shaped(runner.rows(step).await?, &schema)?;
    }
    scan(&format!("{}_rows", table_name(node.id)), &schema, all)
}

fn nullable(schema: &Schema) -> Schema {
    Schema::new(schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>())
}

/// The batches with the recursion's own columns.
fn shaped(batches: Vec<RecordBatch>, schema: &SchemaRef) -> SparkResult<Vec<RecordBatch>> {
    let mut out = Vec::with_capacity(batches.len());
    for batch in batches.into_iter().filter(|b| b.num_rows() > 0) {
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (column, field) in batch.columns().iter().zip(schema.fields()) {
            columns.push(arrow::compute::cast(column, field.data_type()).map_err(SparkError::internal)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let shaped = RecordBatch::try_new_with_options(schema.clone(), columns, &options);
        out.push(shaped.map_err(SparkError::internal)?);
    }
    Ok(out)
}

/// A scan of rows in memory, whose columns have no qualifier.
pub(crate) fn scan(name: &str, schema: &SchemaRef, batches: Vec<RecordBatch>) -> SparkResult<LogicalPlan> {
    let table = MemTable::try_new(schema.clone(), vec![batches]).map_err(|e| from_datafusion(&e))?;
    let reference = datafusion::common::TableReference::bare(name.to_owned());
    let columns = schema
        .fields()
        .iter()
        .map(|f| Expr::Column(Column::new(Some(reference.clone()), f.name())).alias(f.name().as_str()));
    LogicalPlanBuilder::scan(reference.clone(), provider_as_source(Arc::new(table)), None)
        .and_then(|b| b.project(columns.collect::<Vec<_>>()))
        .and_then(LogicalPlanBuilder::build)
        .map_err(|e| from_datafusion(&e))
}

/// The step with the rows of the one before.
fn fed(step: &LogicalPlan, id: u64, last: &[RecordBatch], schema: &SchemaRef) -> SparkResult<LogicalPlan> {
    let name = table_name(id);
    // Where they are read the columns are named by their places.
    let fields = schema.fields().iter().enumerate().map(|(at, f)| f.as_ref().clone().with_name(format!("c{at}")));
    let placed = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let rows = last
        .iter()
        .map(|batch| {
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            RecordBatch::try_new_with_options(placed.clone(), batch.columns().to_vec(), &options)
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(SparkError::internal)?;
    let table = MemTable::try_new(placed, vec![rows]).map_err(|e| from_datafusion(&e))?;
    let source = provider_as_source(Arc::new(table));
    step.clone()
        .transform_up_with_subqueries(|node| match node {
            LogicalPlan::TableScan(mut scan) if scan.table_name.table() == name => {
                scan.source = source.clone();
                Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
            }
            other => match recursion(&other) {
                Some(inner) => {
                    let feed = |plan: &LogicalPlan| {
                        fed(plan, id, last, schema).map_err(|e| DataFusionError::External(Box::new(e)))
                    };
                    let inner = Recursion { anchor: feed(&inner.anchor)?, step: feed(&inner.step)?, ..inner.clone() };
                    Ok(Transformed::yes(self::plan(inner)))
                }
                None => Ok(Transformed::no(other)),
            },
        })
        .map(|t| t.data)
        .map_err(|e| from_datafusion(&e))
}

fn too_many_levels(most: u64) -> SparkError {
    SparkError::new(
        "RECURSION_LEVEL_LIMIT_EXCEEDED",
        "42836",
        format!(
            "Recursion level limit {most} reached but query has not exhausted, try increasing it like 'WITH RECURSIVE t(col) MAX \
             RECURSION LEVEL 200'."
        ),
    )
    .param("levelLimit", most.to_string())
}

fn too_many_rows(most: u64) -> SparkError {
    SparkError::new(
        "RECURSION_ROW_LIMIT_EXCEEDED",
        "42836",
        format!(
            "Recursion row limit {most} reached but query has not exhausted, try setting a larger LIMIT value when querying the CTE \
             relation."
        ),
    )
    .param("rowLimit", most.to_string())
}
