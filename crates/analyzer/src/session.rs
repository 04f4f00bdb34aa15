//! A session: configuration, current database, temporary views, and the catalog it shares with others.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use datafusion::{arrow::array::RecordBatch, scalar::ScalarValue};
use firesteel_engine::{EngineSession, source::SourceSpec};
use firesteel_functions::{FunctionContext, Legacy};
pub use firesteel_plan::conf::time_zone;
use firesteel_plan::{SparkConf, SparkError, SparkResult, Statement, conf::keys, statement::StatementKind};
use parking_lot::RwLock;

use crate::{
    Analyzed, AnalyzedAssign, CatalogChange, Evaluated, OutputColumn,
    catalog::{Catalog, DEFAULT_DATABASE, MemoryCatalog, SESSION_CATALOG, View, WarehouseCatalog},
    errors,
    function::{Functions, UserFunction},
    query::Analyzer,
    tables::Tables,
    variable::{AssignTarget, Variable, Variables},
};

/// Where statements are analyzed. Statements of one session may run at the same time; each sees the configuration and
/// the views as they were when its analysis began.
pub struct Session {
    engine: EngineSession,
    catalog: Arc<dyn Catalog>,
    global_views: Views,
    /// Functions of the catalog's databases.
    functions: StoredFunctions,
    state: RwLock<State>,
    ids: AtomicU64,
    /// A statement is told again that was run already: files stay as they are.
    again: AtomicBool,
    /// Statements that other statements run, around the present one.
    nested: AtomicUsize,
}

/// A statement runs another while this lives.
pub(crate) struct Nested<'a>(&'a AtomicUsize);

impl Drop for Nested<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

type Views = Arc<RwLock<BTreeMap<String, Arc<TempView>>>>;
type StoredFunctions = Arc<RwLock<Functions>>;

struct State {
    database: String,
    temp_views: BTreeMap<String, Arc<TempView>>,
    temp_functions: BTreeMap<String, Arc<UserFunction>>,
    variables: Arc<Variables>,
}

pub(crate) enum TempView {
    Query(Arc<View>),
    /// `CREATE TEMPORARY VIEW … USING`
    Files(SourceSpec),
}

impl Session {
    /// A session with the catalog that its configuration names. Keys of `conf` are set over those of `engine`.
    pub fn new(engine: EngineSession, conf: SparkConf) -> Self {
        for (key, value) in conf.iter() {
            // The form was checked when `conf` was made.
            if let Err(error) = engine.set_conf(key, value) {
                tracing::warn!(key, %error, "a configuration key was not set");
            }
        }
        let warehouse = engine.conf().text(&keys::WAREHOUSE_DIR).to_owned();
        let kept = engine.conf().text(&keys::CATALOG).trim().eq_ignore_ascii_case("warehouse");
        let catalog: Arc<dyn Catalog> = match kept {
            true => Arc::new(WarehouseCatalog::new(engine.clone(), &warehouse)),
            false => Arc::new(MemoryCatalog::new(&warehouse)),
        };
        Self::with_catalog(engine, catalog)
    }

    pub fn with_catalog(engine: EngineSession, catalog: Arc<dyn Catalog>) -> Self {
        let state = State {
            database: DEFAULT_DATABASE.to_owned(),
            temp_views: BTreeMap::new(),
            temp_functions: BTreeMap::new(),
            variables: Arc::default(),
        };
        Self {
            engine,
            catalog,
            global_views: Views::default(),
            functions: StoredFunctions::default(),
            state: RwLock::new(state),
            ids: AtomicU64::new(1),
            again: AtomicBool::new(false),
            nested: AtomicUsize::new(0),
        }
    }

    /// Another session of the same application: the same catalog and global views, nothing else in common.
    pub fn sibling(&self, engine: EngineSession) -> Self {
        let mut sibling = Self::with_catalog(engine, self.catalog.clone());
        sibling.global_views = self.global_views.clone();
        sibling.functions = self.functions.clone();
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
    /// are then as they were after it. No files are written or removed, nothing is run: what is left to do is answered.
    pub async fn tell_again(&self, statement: &Statement, text: &str) -> SparkResult<Analyzed> {
        use StatementKind as Kind;
        match &statement.kind {
            Kind::Query(_)
            | Kind::Insert(_)
            | Kind::InsertDirectory(_)
            | Kind::Explain { .. }
            | Kind::TruncateTable { .. }
            | Kind::RefreshTable { .. } => return Ok(Analyzed::Done),
            _ => {}
        }
        self.again.store(true, Ordering::Relaxed);
        let is_kept = self.catalog.tell_again(true);
        let analyzed = self.analyze(statement, text).await;
        self.catalog.tell_again(false);
        self.again.store(false, Ordering::Relaxed);
        match analyzed {
            // What it made is there, or what it dropped is not.
            Err(error) if is_kept && error.class().ends_with("_ALREADY_EXISTS") => return Ok(Analyzed::Done),
            Err(error) if is_kept && error.class().ends_with("_NOT_FOUND") => return Ok(Analyzed::Done),
            Ok(Analyzed::Write(_)) if is_kept => return Ok(Analyzed::Done),
            _ => {}
        }
        match analyzed? {
            Analyzed::Write(write) => self.apply(write.then).await.map(|()| Analyzed::Done),
            // The values of variables are computed again.
            left @ (Analyzed::Cache(_) | Analyzed::Assign(_)) => Ok(left),
            Analyzed::Script { .. } => Err(SparkError::new(
                "RECOVERY_FAILED.NOT_REPEATABLE",
                "58000",
                "An earlier driver has run a script (BEGIN … END), and what it did to the session cannot be told again. Delete \
                 the SparkJob and create it again.",
            )),
            _ => Ok(Analyzed::Done),
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

    /// A temporary view under another name.
    pub(crate) fn put_temp_view(&self, name: &str, view: Arc<TempView>) {
        self.state.write().temp_views.insert(name.to_lowercase(), view);
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

    /// The variables as they are now.
    pub(crate) fn variables(&self) -> Arc<Variables> {
        self.state.read().variables.clone()
    }

    pub(crate) fn change_variables<T>(&self, change: impl FnOnce(&mut Variables) -> T) -> T {
        change(Arc::make_mut(&mut self.state.write().variables))
    }

    /// Assigns what the query of an assignment answered: one row, or none for nulls.
    pub fn assign(&self, assign: &AnalyzedAssign, batches: &[RecordBatch]) -> SparkResult<()> {
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if rows > 1 {
            return Err(SparkError::new(
                "ROW_SUBQUERY_TOO_MANY_ROWS",
                "21000",
                "More than one row returned by a subquery used as a row.",
            ));
        }
        let row = batches.iter().find(|b| b.num_rows() > 0);
        let mut values = Vec::with_capacity(assign.query.columns.len());
        for (at, column) in assign.query.columns.iter().enumerate() {
            let value = match row.and_then(|batch| batch.columns().get(at)) {
                Some(array) => ScalarValue::try_from_array(array, 0).map_err(SparkError::internal)?,
                None => ScalarValue::try_from(&firesteel_functions::types::to_arrow(&column.data_type)?)
                    .map_err(SparkError::internal)?,
            };
            values.push(value);
        }
        self.assign_values(assign, values)
    }

    pub(crate) fn assign_values(&self, assign: &AnalyzedAssign, values: Vec<ScalarValue>) -> SparkResult<()> {
        self.change_variables(|variables| {
            for (at, target) in &assign.targets {
                let Some(value) = values.get(*at) else { return Err(SparkError::internal("a value is missing")) };
                variables.assign(target, value.clone());
            }
            Ok(())
        })
    }

    /// Notes that a statement runs another, unless so many do already.
    pub(crate) fn nest(&self, most: usize) -> Option<Nested<'_>> {
        let nested = Nested(&self.nested);
        let around = self.nested.fetch_add(1, Ordering::Relaxed);
        (around < most).then_some(nested)
    }

    /// How many blocks of a script are around.
    pub fn blocks(&self) -> usize {
        self.state.read().variables.depth()
    }

    /// A block of a script begins: variables that are declared from now on are its own.
    pub fn enter_block(&self, label: Option<String>) {
        self.change_variables(|v| v.enter(label));
    }

    /// Blocks end, until so many are around.
    pub fn leave_blocks(&self, depth: usize) {
        self.change_variables(|v| v.leave_to(depth));
    }

    /// Declares the columns of a row in the innermost block.
    pub fn declare_row(&self, columns: &[OutputColumn], batch: &RecordBatch, row: usize) -> SparkResult<()> {
        for (column, values) in columns.iter().zip(batch.columns()) {
            let value = ScalarValue::try_from_array(values, row).map_err(SparkError::internal)?;
            let variable = Variable {
                name: column.name.clone(),
                data_type: column.data_type.clone(),
                value: ScalarValue::Null,
                default: firesteel_plan::Expr::literal(firesteel_plan::expr::Literal::Null),
                text: String::new(),
            };
            self.change_variables(|v| v.assign(&AssignTarget::Declare(Box::new(variable)), value));
        }
        Ok(())
    }

    /// The value of an expression that sees variables and no columns, or the query that answers it.
    pub async fn evaluate(&self, e: &firesteel_plan::Expr, text: &str) -> SparkResult<Evaluated> {
        let query = crate::statement::variable::evaluated(self, &[(e, None)], text).await?;
        let data_type = query.columns.first().map_or(firesteel_plan::DataType::Null, |c| c.data_type.clone());
        Ok(match crate::statement::variable::literals(&query).and_then(|v| v.into_iter().next()) {
            Some(value) => Evaluated::Value(value, data_type),
            None => Evaluated::Query(query),
        })
    }

    /// The statement at `span` with the words that expressions give it now.
    pub async fn complete(
        &self,
        clauses: &[firesteel_plan::statement::DeferredClause],
        span: firesteel_plan::Span,
        text: &str,
    ) -> SparkResult<Statement> {
        crate::statement::immediate::complete(self, clauses, span, text).await
    }

    pub(crate) fn temp_function(&self, name: &str) -> Option<Arc<UserFunction>> {
        self.state.read().temp_functions.get(name).cloned()
    }

    pub(crate) fn stored_function(&self, database: &str, name: &str) -> Option<Arc<UserFunction>> {
        self.functions.read().get(&(database.to_owned(), name.to_owned())).cloned()
    }

    /// The functions of the session, then those of a database.
    pub(crate) fn user_functions(&self, database: &str) -> Vec<Arc<UserFunction>> {
        let mut all: Vec<_> = self.state.read().temp_functions.values().cloned().collect();
        let stored = self.functions.read();
        all.extend(stored.iter().filter(|((d, _), _)| d == database).map(|(_, f)| f.clone()));
        all
    }

    pub(crate) fn add_function(&self, function: UserFunction) {
        let function = Arc::new(function);
        let name = function.short_name().to_lowercase();
        match function.name.get(1) {
            Some(database) if !function.temporary => {
                self.functions.write().insert((database.clone(), name), function.clone());
            }
            _ => {
                self.state.write().temp_functions.insert(name, function);
            }
        }
    }

    /// Whether there was one.
    pub(crate) fn drop_function(&self, name: &[String], temporary: bool) -> bool {
        let last = name.last().map(|n| n.to_lowercase()).unwrap_or_default();
        match name.get(1) {
            Some(database) if !temporary => self.functions.write().remove(&(database.clone(), last)).is_some(),
            _ => self.state.write().temp_functions.remove(&last).is_some(),
        }
    }

    /// The database's functions go with it.
    pub(crate) fn drop_functions_of(&self, database: &str) {
        self.functions.write().retain(|(d, _), _| d != database);
    }

    /// What is fixed when a statement's analysis begins.
    pub(crate) fn analyzer<'a>(&'a self, tables: &'a Tables, warnings: &'a RefCell<Vec<String>>) -> Analyzer<'a> {
        let conf = self.conf();
        // -1 is no limit.
        let number = |key: &str, default: i64| {
            let set = conf.get_raw(key).and_then(|v| v.trim().parse::<i64>().ok());
            u64::try_from(set.unwrap_or(default)).ok()
        };
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
            recursion_levels: number("spark.sql.cteRecursionLevelLimit", 100),
            recursion_rows: number("spark.sql.cteRecursionRowLimit", 1_000_000),
            warnings,
            outer_columns: RefCell::default(),
            subqueries: Cell::default(),
        }
    }

    pub(crate) fn function_context(&self, conf: &SparkConf) -> FunctionContext {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let is_set = |key: &str| conf.get_raw(key).is_some_and(|v| v.trim().eq_ignore_ascii_case("true"));
        FunctionContext {
            ansi: conf.bool(&keys::ANSI_ENABLED),
            time_zone: time_zone(conf).into(),
            now_micros: i64::try_from(now.as_micros()).unwrap_or(i64::MAX),
            case_sensitive: conf.bool(&keys::CASE_SENSITIVE),
            precision_loss: conf.bool(&keys::ALLOW_PRECISION_LOSS),
            reserved_keywords: conf.bool(&keys::ANSI_ENABLED) && is_set("spark.sql.ansi.enforceReservedKeywords"),
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
