//! A session: configuration, current database, temporary views, and the catalog it shares with others.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use firesteel_engine::{EngineSession, source::SourceSpec};
use firesteel_functions::{FunctionContext, Legacy};
use firesteel_plan::{SparkConf, SparkResult, Statement, conf::keys, statement::StatementKind};
use parking_lot::RwLock;

use crate::{
    Analyzed, AnalyzedCache, CatalogChange,
    catalog::{Catalog, DEFAULT_DATABASE, MemoryCatalog, SESSION_CATALOG, View},
    errors,
    query::Analyzer,
    tables::Tables,
};

/// Where statements are analyzed. Statements of one session may run at the same time; each sees the configuration and
/// the views as they were when its analysis began.
pub struct Session {
    engine: EngineSession,
    catalog: Arc<dyn Catalog>,
    global_views: Views,
    state: RwLock<State>,
    ids: AtomicU64,
    /// A statement is told again that was run already: files stay as they are.
    again: AtomicBool,
}

type Views = Arc<RwLock<BTreeMap<String, Arc<TempView>>>>;

struct State {
    database: String,
    temp_views: BTreeMap<String, Arc<TempView>>,
}

pub(crate) enum TempView {
    Query(Arc<View>),
    /// `CREATE TEMPORARY VIEW … USING`
    Files(SourceSpec),
}

impl Session {
    /// A session with a catalog in memory. Keys of `conf` are set over those of `engine`.
    pub fn new(engine: EngineSession, conf: SparkConf) -> Self {
        for (key, value) in conf.iter() {
            // The form was checked when `conf` was made.
            if let Err(error) = engine.set_conf(key, value) {
                tracing::warn!(key, %error, "a configuration key was not set");
            }
        }
        let warehouse = engine.conf().text(&keys::WAREHOUSE_DIR).to_owned();
        Self::with_catalog(engine, Arc::new(MemoryCatalog::new(&warehouse)))
    }

    pub fn with_catalog(engine: EngineSession, catalog: Arc<dyn Catalog>) -> Self {
        let state = State { database: DEFAULT_DATABASE.to_owned(), temp_views: BTreeMap::new() };
        Self {
            engine,
            catalog,
            global_views: Views::default(),
            state: RwLock::new(state),
            ids: AtomicU64::new(1),
            again: AtomicBool::new(false),
        }
    }

    /// Another session of the same application: the same catalog and global views, nothing else in common.
    pub fn sibling(&self, engine: EngineSession) -> Self {
        let mut sibling = Self::with_catalog(engine, self.catalog.clone());
        sibling.global_views = self.global_views.clone();
        sibling
    }

    pub fn engine(&self) -> &EngineSession {
        &self.engine
    }

    pub fn catalog(&self) -> &Arc<dyn Catalog> {
        &self.catalog
    }

    pub fn conf(&self) -> SparkConf {
        self.engine.conf()
    }

    pub fn current_database(&self) -> String {
        self.state.read().database.clone()
    }

    /// Analyzes one statement; `text` is what its spans point into. DDL is done when this returns; of the rest only the
    /// catalog was touched.
    pub async fn analyze(&self, statement: &Statement, text: &str) -> SparkResult<Analyzed> {
        crate::statement::run(self, statement, text).await
    }

    /// Tells the session again of a statement that was run already, by an earlier driver: catalog, views and settings
    /// are then as they were after it. No files are written or removed, nothing is run.
    pub async fn tell_again(&self, statement: &Statement, text: &str) -> SparkResult<Option<AnalyzedCache>> {
        use StatementKind as Kind;
        match &statement.kind {
            Kind::Query(_)
            | Kind::Insert(_)
            | Kind::InsertDirectory(_)
            | Kind::Explain { .. }
            | Kind::TruncateTable { .. }
            | Kind::RefreshTable { .. } => return Ok(None),
            _ => {}
        }
        self.again.store(true, Ordering::Relaxed);
        let analyzed = self.analyze(statement, text).await;
        self.again.store(false, Ordering::Relaxed);
        match analyzed? {
            Analyzed::Write(write) => self.apply(write.then).await.map(|()| None),
            Analyzed::Cache(cache) => Ok(Some(cache)),
            _ => Ok(None),
        }
    }

    /// Whether files are to stay as they are.
    pub(crate) fn is_told_again(&self) -> bool {
        self.again.load(Ordering::Relaxed)
    }

    /// Names made from now on are those of this statement, whatever was or was not run before it: the same statement has
    /// the same plan in every life of a driver.
    pub fn begin_statement(&self, number: u32) {
        self.ids.store((u64::from(number) << 32) + 1, Ordering::Relaxed);
    }

    /// Does what a write left for when it is complete.
    pub async fn apply(&self, change: CatalogChange) -> SparkResult<()> {
        match change {
            CatalogChange::None => Ok(()),
            CatalogChange::CreateTable { table, replace } => self.catalog.create_table(*table, replace).await,
        }
    }

    pub(crate) fn set_database(&self, name: &str) {
        self.state.write().database = name.to_lowercase();
    }

    pub(crate) fn temp_view(&self, name: &str) -> Option<Arc<TempView>> {
        self.state.read().temp_views.get(&name.to_lowercase()).cloned()
    }

    pub(crate) fn global_temp_view(&self, name: &str) -> Option<Arc<TempView>> {
        self.global_views.read().get(&name.to_lowercase()).cloned()
    }

    /// Names of the temporary views in order: of the session, or the global ones.
    pub(crate) fn temp_view_names(&self, global: bool) -> Vec<String> {
        if global {
            self.global_views.read().keys().cloned().collect()
        } else {
            self.state.read().temp_views.keys().cloned().collect()
        }
    }

    pub(crate) fn add_temp_view(&self, name: &str, view: TempView, global: bool, replace: bool) -> SparkResult<()> {
        let insert = |views: &mut BTreeMap<String, Arc<TempView>>| {
            if !replace && views.contains_key(&name.to_lowercase()) {
                return Err(errors::temp_view_exists(&[name.to_owned()]));
            }
            views.insert(name.to_lowercase(), Arc::new(view));
            Ok(())
        };
        if global { insert(&mut self.global_views.write()) } else { insert(&mut self.state.write().temp_views) }
    }

    /// Whether there was one.
    pub(crate) fn drop_temp_view(&self, name: &str, global: bool) -> bool {
        let name = name.to_lowercase();
        if global {
            self.global_views.write().remove(&name).is_some()
        } else {
            self.state.write().temp_views.remove(&name).is_some()
        }
    }

    /// What is fixed when a statement's analysis begins.
    pub(crate) fn analyzer<'a>(&'a self, tables: &'a Tables, warnings: &'a RefCell<Vec<String>>) -> Analyzer<'a> {
        let conf = self.conf();
        let flag = |key: &str| conf.get_raw(key).is_none_or(|v| v.trim().eq_ignore_ascii_case("true"));
        Analyzer {
            functions: self.function_context(&conf),
            tables,
            ids: &self.ids,
            shuffle_partitions: self.engine.shuffle_partitions(),
            leaf_partitions: self.engine.leaf_partitions(),
            group_by_ordinal: flag("spark.sql.groupByOrdinal"),
            order_by_ordinal: flag("spark.sql.orderByOrdinal"),
            group_by_aliases: flag("spark.sql.groupByAliases"),
            null_in_empty: conf
                .bool_if_set(&keys::NULL_IN_EMPTY_LIST)
                .unwrap_or_else(|| !conf.bool(&keys::ANSI_ENABLED)),
            warnings,
            outer_columns: RefCell::default(),
        }
    }

    fn function_context(&self, conf: &SparkConf) -> FunctionContext {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let is_set = |key: &str| conf.get_raw(key).is_some_and(|v| v.trim().eq_ignore_ascii_case("true"));
        FunctionContext {
            ansi: conf.bool(&keys::ANSI_ENABLED),
            time_zone: time_zone(conf).into(),
            now_micros: i64::try_from(now.as_micros()).unwrap_or(i64::MAX),
            case_sensitive: conf.bool(&keys::CASE_SENSITIVE),
            precision_loss: conf.bool(&keys::ALLOW_PRECISION_LOSS),
            timestamp_type: match conf.text(&keys::TIMESTAMP_TYPE).trim().eq_ignore_ascii_case("TIMESTAMP_NTZ") {
                true => firesteel_plan::DataType::TimestampNtz,
                false => firesteel_plan::DataType::Timestamp,
            },
            current_user: std::env::var("USER").unwrap_or_else(|_| "spark".to_owned()).into(),
            current_catalog: SESSION_CATALOG.into(),
            current_database: self.current_database().into(),
            legacy: Legacy {
                java_charsets: is_set("spark.sql.legacy.javaCharsets"),
                coding_errors_replaced: is_set("spark.sql.legacy.codingErrorAction"),
                concat_binary_as_string: is_set("spark.sql.function.concatBinaryAsString"),
                elt_binary_as_string: is_set("spark.sql.function.eltOutputAsString"),
                negative_index_before_last: is_set("spark.sql.legacy.negativeIndexInArrayInsert"),
            },
        }
    }
}

/// The session's time zone, or the machine's.
pub fn time_zone(conf: &SparkConf) -> String {
    let set = conf.text(&keys::SESSION_TIME_ZONE).trim();
    if !set.is_empty() {
        return set.to_owned();
    }
    let from_link = || {
        let target = std::fs::read_link("/etc/localtime").ok()?;
        let target = target.to_string_lossy().into_owned();
        target.split_once("zoneinfo/").map(|(_, zone)| zone.to_owned())
    };
    std::env::var("TZ")
        .ok()
        .map(|z| z.trim_start_matches(':').to_owned())
        .filter(|z| !z.is_empty())
        .or_else(|| {
            std::fs::read_to_string("/etc/timezone").ok().map(|z| z.trim().to_owned()).filter(|z| !z.is_empty())
        })
        .or_else(from_link)
        .unwrap_or_else(|| "UTC".to_owned())
}
