//! Which plans are cached, and queries that use them: Spark's CacheManager.

use std::{collections::HashSet, sync::Arc};

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    common::{
        Column, TableReference,
        tree_node::{Transformed, TreeNodeRecursion},
    },
    datasource::provider_as_source,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
    physical_plan::ExecutionPlan,
};
use firesteel_plan::{SparkError, SparkResult, conf::keys};
use futures::{FutureExt, future::BoxFuture};
use parking_lot::RwLock;

use super::{
    BlockMaster, CacheSettings, CachedRelation, CachedTable, StorageLevel,
    canonical::{canonical, contains, paths, shape},
};
use crate::{EngineSession, error::from_datafusion, optimize, storage::Location};

/// Makes a physical plan one that can be run again and again: what a runner does once before it runs one.
#[async_trait]
pub trait PreparePlan: Send + Sync {
    async fn prepare(&self, plan: Arc<dyn ExecutionPlan>) -> SparkResult<Arc<dyn ExecutionPlan>>;
}

#[derive(Default)]
pub struct CacheManager {
    master: Arc<BlockMaster>,
    entries: RwLock<Vec<Arc<Entry>>>,
}

struct Entry {
    name: String,
    level: StorageLevel,
    plan: LogicalPlan,
    text: String,
    /// Made when the plan is first used, from the plan in hand, whose files are listed anew.
    relation: RwLock<Option<Arc<CachedRelation>>>,
    planning: tokio::sync::Mutex<()>,
}

impl Entry {
    fn contains(&self, plan: &LogicalPlan, text: &str) -> bool {
        contains(&self.plan, plan, text)
    }

    /// What is kept goes; it is made again when it is next used.
    fn reset(&self) {
        if let Some(relation) = self.relation.write().take() {
            relation.release();
        }
    }
}

impl CacheManager {
    pub fn master(&self) -> &Arc<BlockMaster> {
        &self.master
    }

    /// Cheap: to be asked before anything is done for cached plans.
    pub fn is_empty(&self) -> bool {
        self.entries.read().is_empty()
    }

    /// Queries that contain `plan` use kept rows from now on. False: it is cached already, and keeps its level.
    pub fn cache(&self, plan: &LogicalPlan, name: &str, level: StorageLevel) -> SparkResult<bool> {
        let Some(text) = canonical(plan) else {
            return Err(SparkError::unsupported("caching a plan of this kind"));
        };
        let mut entries = self.entries.write();
        if entries.iter().any(|entry| entry.text == text) {
            tracing::warn!(name, "Asked to cache already cached data.");
            return Ok(false);
        }
        if !level.keeps() {
            return Ok(true);
        }
        entries.push(Arc::new(Entry {
            name: name.to_owned(),
            level,
            plan: plan.clone(),
            text,
            relation: RwLock::new(None),
            planning: tokio::sync::Mutex::new(()),
        }));
        Ok(true)
    }

    /// The level that exactly this plan is cached with.
    pub fn level(&self, plan: &LogicalPlan) -> Option<StorageLevel> {
        if self.is_empty() {
            return None;
        }
        let text = canonical(plan)?;
        self.entries.read().iter().find(|entry| entry.text == text).map(|entry| entry.level)
    }

    pub fn len(&self) -> usize {
        self.entries.read().len()
    }

    /// Removes the plan, and with `cascade` all that read it. Without, what reads it and is not yet computed is planned
    /// again. False: nothing was cached.
    pub fn uncache(&self, plan: &LogicalPlan, cascade: bool) -> bool {
        if self.is_empty() {
            return false;
        }
        let Some(text) = canonical(plan) else { return false };
        let mut removed = Vec::new();
        {
            let mut entries = self.entries.write();
            entries.retain(|entry| {
                let goes = entry.text == text || (cascade && entry.contains(plan, &text));
                if goes {
                    removed.push(entry.clone());
                }
                !goes
            });
        }
        removed.iter().for_each(|entry| entry.reset());
        if !cascade {
            for entry in self.entries.read().iter() {
                let computed = entry.relation.read().as_ref().is_none_or(|relation| relation.is_complete());
                if !computed && entry.contains(plan, &text) {
                    entry.reset();
                }
            }
        }
        !removed.is_empty()
    }

    pub fn clear(&self) {
        let all = std::mem::take(&mut *self.entries.write());
        all.iter().for_each(|entry| entry.reset());
    }

    /// What reads this plan is made again when it is next used.
    pub fn recache(&self, plan: &LogicalPlan) {
        if self.is_empty() {
            return;
        }
        let Some(text) = canonical(plan) else { return };
        self.entries.read().iter().filter(|entry| entry.contains(plan, &text)).for_each(|entry| entry.reset());
    }

    /// What reads files below `path` is made again when it is next used.
    pub fn recache_path(&self, path: &str) {
        if self.is_empty() {
            return;
        }
        // Spark's `/` matches everything.
        let prefix = if path == "/" { Ok(String::new()) } else { Location::parse(path).map(|l| absolute(&l)) };
        let Ok(prefix) = prefix else { return };
        let reads = |entry: &&Arc<Entry>| paths(&entry.plan).iter().any(|path| path.starts_with(&prefix));
        self.entries.read().iter().filter(reads).for_each(|entry| entry.reset());
    }

    /// The plan with kept relations in the place of its parts that are cached.
    pub fn use_cached<'a>(
        &'a self,
        session: &'a EngineSession,
        plan: LogicalPlan,
        prepare: &'a dyn PreparePlan,
    ) -> BoxFuture<'a, SparkResult<LogicalPlan>> {
        self.use_but(session, plan, prepare, None)
    }

    fn use_but<'a>(
        &'a self,
        session: &'a EngineSession,
        plan: LogicalPlan,
        prepare: &'a dyn PreparePlan,
        but: Option<&'a str>,
    ) -> BoxFuture<'a, SparkResult<LogicalPlan>> {
        self.use_rounds(session, plan, prepare, but).boxed()
    }

    async fn use_rounds(
        &self,
        session: &EngineSession,
        plan: LogicalPlan,
        prepare: &dyn PreparePlan,
        but: Option<&str>,
    ) -> SparkResult<LogicalPlan> {
        let rounds = self.entries.read().len();
        // Each round plans one relation more; what is uncached or refreshed meanwhile is not waited for.
        for _ in 0..rounds {
            let mut unplanned = None;
            let new = self.substitute(session, plan.clone(), but, &mut unplanned)?;
            let Some((entry, part)) = unplanned else { return Ok(new) };
            self.plan(session, &entry, part, prepare).await?;
        }
        self.substitute(session, plan, but, &mut None)
    }

    fn substitute(
        &self,
        session: &EngineSession,
        plan: LogicalPlan,
        but: Option<&str>,
        unplanned: &mut Option<(Arc<Entry>, LogicalPlan)>,
    ) -> SparkResult<LogicalPlan> {
        let entries: Vec<Arc<Entry>> = self.entries.read().clone();
        if entries.is_empty() {
            return Ok(plan);
        }
        let pruning = session.conf().bool(&keys::CACHE_PARTITION_PRUNING);
        let shapes: HashSet<_> = entries.iter().map(|entry| shape(&entry.plan)).collect();
        let replaced = plan.transform_down_with_subqueries(|node| {
            if !shapes.contains(&shape(&node)) {
                return Ok(Transformed::no(node));
            }
            let Some(text) = canonical(&node).filter(|text| but != Some(text)) else {
                return Ok(Transformed::no(node));
            };
            let Some(entry) = entries.iter().find(|entry| entry.text == text) else {
                return Ok(Transformed::no(node));
            };
            let relation = entry.relation.read().clone();
            match relation {
                Some(relation) => {
                    let scan = scan_as(relation, &node, pruning)?;
                    Ok(Transformed::new(scan, true, TreeNodeRecursion::Jump))
                }
                None => {
                    unplanned.get_or_insert_with(|| (entry.clone(), node.clone()));
                    Ok(Transformed::new(node, false, TreeNodeRecursion::Jump))
                }
            }
        });
        replaced.map(|t| t.data).map_err(|e| from_datafusion(&e))
    }

    async fn plan(
        &self,
        session: &EngineSession,
        entry: &Arc<Entry>,
        part: LogicalPlan,
        prepare: &dyn PreparePlan,
    ) -> SparkResult<()> {
        let _one_at_a_time = entry.planning.lock().await;
        if entry.relation.read().is_some() {
            return Ok(());
        }
        let inner = self.use_but(session, part, prepare, Some(&entry.text)).await?;
        let relation = self.relation(session, &inner, &entry.name, entry.level, prepare).await?;
        *entry.relation.write() = Some(relation);
        Ok(())
    }

    /// A relation that keeps the rows of `plan`, in which cached parts are replaced already. Nobody finds it by its plan.
    pub async fn relation(
        &self,
        session: &EngineSession,
        plan: &LogicalPlan,
        name: &str,
        level: StorageLevel,
        prepare: &dyn PreparePlan,
    ) -> SparkResult<Arc<CachedRelation>> {
        let state = session.state();
        let failed = |e| from_datafusion(&e);
        optimize::load_statistics(plan, &state).await.map_err(failed)?;
        let physical = state.create_physical_plan(plan).await.map_err(failed)?;
        let physical = prepare.prepare(physical).await?;
        let schema = relation_schema(plan, &physical.schema());
        let settings = CacheSettings::from_conf(&session.conf());
        Ok(Arc::new(CachedRelation::new(&self.master, name.to_owned(), level, settings, schema, physical)))
    }
}

/// A location in the form that all are compared in.
pub fn absolute(location: &Location) -> String {
    format!("{}{}", location.store.as_str(), location.path)
}

/// A scan of the relation with the columns of `plan`, whose rows it keeps.
pub fn scan_as(
    relation: Arc<CachedRelation>,
    plan: &LogicalPlan,
    pruning: bool,
) -> datafusion::common::Result<LogicalPlan> {
    let table = TableReference::bare(relation.name.clone());
    let schema = relation.schema.clone();
    let provider = Arc::new(CachedTable::new(relation, pruning));
    let columns = plan.schema().iter().zip(schema.fields()).map(|((qualifier, field), kept)| {
        let column = Expr::Column(Column::new(Some(table.clone()), kept.name()));
        column.alias_qualified(qualifier.cloned(), field.name())
    });
    let columns: Vec<Expr> = columns.collect();
    let scan = LogicalPlanBuilder::scan(table.clone(), provider_as_source(provider), None)?;
    if columns.is_empty() {
        return scan.build();
    }
    scan.project(columns)?.build()
}

/// Names for people, each once; types and nullability of the rows.
fn relation_schema(plan: &LogicalPlan, physical: &SchemaRef) -> SchemaRef {
    let mut seen = HashSet::new();
    let fields: Vec<Field> = plan
        .schema()
        .fields()
        .iter()
        .zip(physical.fields())
        .enumerate()
        .map(|(index, (logical, physical))| {
            let base = logical.name().rsplit_once('#').map_or(logical.name().as_str(), |(base, _)| base);
            let name = if seen.insert(base.to_owned()) { base.to_owned() } else { format!("{base}#{index}") };
            seen.insert(name.clone());
            let nullable = logical.is_nullable() || physical.is_nullable();
            Field::new(name, physical.data_type().clone(), nullable)
        })
        .collect();
    Arc::new(Schema::new(fields))
}
