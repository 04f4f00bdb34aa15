//! Finding tables before analysis: analysis itself does not wait for storage, so everything that a statement names is
//! looked up and opened first.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use firesteel_engine::source::{self, METADATA, SourceSpec};
use firesteel_plan::{
    Expr, ExprKind, Relation, RelationKind, SparkError, SparkResult, conf::keys, statement::FunctionResult,
    types::StructField,
};
use parking_lot::Mutex;

use crate::{
    catalog::{GLOBAL_TEMP_DATABASE, SESSION_CATALOG, Table, TableKind, View},
    function::{self, UserFunction},
    query::MAX_VIEW_DEPTH,
    session::{Session, TempView},
    variable::Variables,
    visit,
};

/// What a name stands for.
#[derive(Clone)]
pub(crate) enum Found {
    Files(Arc<OpenTable>),
    View { view: Arc<View>, qualifier: Vec<String>, temporary: bool, table: Option<Arc<Table>> },
}

/// Files that are open for scanning.
pub(crate) struct OpenTable {
    pub provider: Arc<dyn datafusion::catalog::TableProvider>,
    pub schema: Vec<StructField>,
    pub partition_columns: Vec<String>,
    /// Whether the schema was given by a person or a catalog.
    pub qualifier: Vec<String>,
    pub table: Option<Arc<Table>>,
}

/// What the names of a statement stand for, as it was when its analysis began.
#[derive(Default)]
pub(crate) struct Tables {
    found: HashMap<String, SparkResult<Option<Found>>>,
    functions: HashMap<(String, String), Arc<UserFunction>>,
    pub variables: Arc<Variables>,
    /// Whether something asks for what tells of files.
    pub metadata: bool,
    /// Variables, temporary functions and views that were met: their kind and name.
    temporary: Mutex<Vec<(&'static str, Vec<String>)>>,
}

impl Tables {
    /// Where no tables are read.
    pub fn of(session: &Session) -> Self {
        Self { variables: session.variables(), ..Self::default() }
    }

    pub fn function(&self, name: &[String], database: &str) -> Option<Arc<UserFunction>> {
        self.functions.get(&function_key(name, database)).cloned()
    }

    /// Something that ends with the session was met.
    pub fn note_temporary(&self, kind: &'static str, name: &[String]) {
        self.temporary.lock().push((kind, name.to_vec()));
    }

    pub fn temporaries(&self) -> Vec<(&'static str, Vec<String>)> {
        self.temporary.lock().clone()
    }

    pub fn get(&self, name: &[String], options: &[(String, String)], database: &str) -> SparkResult<Option<Found>> {
        match self.found.get(&table_key(name, options, database)) {
            Some(found) => found.clone(),
            None => Ok(None),
        }
    }

    pub fn data_source(&self, kind: &RelationKind) -> SparkResult<Option<Found>> {
        match self.found.get(&format!("{kind:?}")) {
            Some(found) => found.clone(),
            None => Ok(None),
        }
    }
}

fn table_key(name: &[String], options: &[(String, String)], database: &str) -> String {
    let options = if options.is_empty() { String::new() } else { format!("{options:?}") };
    format!("{}\u{1}{}\u{1}{options}", database.to_lowercase(), name.join("\u{1}").to_lowercase())
}

/// Looks up everything that `relations` name.
pub(crate) async fn load(session: &Session, relations: &[&Relation], database: &str) -> Tables {
    let mut tables = Tables::of(session);
    let mut queue: Vec<(RelationKind, String, usize)> = Vec::new();
    for relation in relations {
        enqueue(session, relation, database, 0, &mut tables, &mut queue);
    }
    while let Some((kind, database, depth)) = queue.pop() {
        let key = match &kind {
            RelationKind::Table { name, options } => table_key(name, options, &database),
            other => format!("{other:?}"),
        };
        if tables.found.contains_key(&key) {
            continue;
        }
        let found = match &kind {
            RelationKind::Table { name, options } => find_table(session, name, options, &database).await,
            RelationKind::DataSource { format, schema, options, paths } => {
                open_data_source(session, format.as_deref(), schema.clone(), options, paths).await.map(Some)
            }
            _ => continue,
        };
        if let Ok(Some(Found::View { view, .. })) = &found
            && depth < MAX_VIEW_DEPTH
        {
            enqueue(session, &view.query, &view.database, depth + 1, &mut tables, &mut queue);
        }
        tables.found.insert(key, found);
    }
    tables
}

fn function_key(name: &[String], database: &str) -> (String, String) {
    (database.to_lowercase(), name.join("\u{1}").to_lowercase())
}

/// The tables that a relation names, and those that the functions it calls name.
fn enqueue(
    session: &Session,
    relation: &Relation,
    database: &str,
    depth: usize,
    tables: &mut Tables,
    queue: &mut Vec<(RelationKind, String, usize)>,
) {
    let mut texts: Vec<(Relation, String)> = vec![(relation.clone(), database.to_owned())];
    while let Some((relation, database)) = texts.pop() {
        let names: RefCell<Vec<Vec<String>>> = RefCell::default();
        let metadata = Cell::new(tables.metadata);
        visit::each_in_relation(
            &relation,
            &mut |r| match &r.kind {
                RelationKind::Table { .. } | RelationKind::DataSource { .. } => {
                    queue.push((r.kind.clone(), database.clone(), depth));
                }
                RelationKind::TableFunction { name, .. } => names.borrow_mut().push(name.clone()),
                _ => {}
            },
            &mut |e| match &e.kind {
                ExprKind::Function(call) => names.borrow_mut().push(call.name.clone()),
                ExprKind::Attribute { name, .. } if name.iter().any(|n| n.eq_ignore_ascii_case(METADATA)) => {
                    metadata.set(true);
                }
                _ => {}
            },
        );
        tables.metadata = metadata.get();
        for name in names.into_inner() {
            let key = function_key(&name, &database);
            if tables.functions.contains_key(&key) {
                continue;
            }
            let Some(function) = function::find(session, &name, &database) else { continue };
            let one_row = || Box::new(Relation::bare(RelationKind::OneRow));
            let mut exprs: Vec<Expr> = function.parameters.iter().filter_map(|p| p.default.clone()).collect();
            match &function.result {
                FunctionResult::Query(query) => texts.push((query.clone(), function.database.clone())),
                FunctionResult::Expr(e) => exprs.push(e.clone()),
            }
            if !exprs.is_empty() {
                let list = RelationKind::Project { input: one_row(), exprs };
                texts.push((Relation::bare(list), function.database.clone()));
            }
            tables.functions.insert(key, function);
        }
    }
}

/// Temporary views come before tables; `format.`path`` comes last.
pub(crate) async fn find_table(
    session: &Session,
    name: &[String],
    options: &[(String, String)],
    database: &str,
) -> SparkResult<Option<Found>> {
    let temporary = match name {
        [view] => session.temp_view(view).map(|v| (v, vec![view.clone()])),
        [db, view] if db.eq_ignore_ascii_case(GLOBAL_TEMP_DATABASE) => {
            session.global_temp_view(view).map(|v| (v, vec![GLOBAL_TEMP_DATABASE.to_owned(), view.clone()]))
        }
        _ => None,
    };
    if let Some((view, qualifier)) = temporary {
        return match &*view {
            TempView::Query(view) => {
                Ok(Some(Found::View { view: view.clone(), qualifier, temporary: true, table: None }))
            }
            TempView::Files(spec) => open(session, spec.clone(), qualifier, None).await.map(Some),
        };
    }
    let (database, table) = match name {
        [table] => (database, table),
        [database, table] => (database.as_str(), table),
        [catalog, database, table] if catalog.eq_ignore_ascii_case(SESSION_CATALOG) => (database.as_str(), table),
        _ => return Ok(None),
    };
    if let Some(table) = session.catalog().table(database, table).await? {
        let qualifier = table.full_name();
        return match &table.kind {
            TableKind::View(view) => {
                Ok(Some(Found::View { view: view.clone(), qualifier, temporary: false, table: Some(table.clone()) }))
            }
            TableKind::Files { format, location, options: own, .. } => {
                let mut all: BTreeMap<String, String> = own.clone();
                all.extend(options.iter().map(|(k, v)| (k.to_lowercase(), v.clone())));
                let spec = SourceSpec {
                    format: format.clone(),
                    schema: Some(table.schema.clone()),
                    options: all,
                    paths: vec![location.clone()],
                    partition_columns: Some(table.partition_columns.clone()),
                    may_be_empty: true,
                    metadata: true,
                };
                open(session, spec, qualifier, Some(table.clone())).await.map(Some)
            }
        };
    }
    match name {
        [format, path] if is_format(format) && path.is_empty() => Err(SparkError::new(
            "INVALID_EMPTY_LOCATION",
            "42K05",
            format!("The location name cannot be empty string, but `{path}` was given."),
        )
        .param("location", path.as_str())),
        [format, path] if is_format(format) => {
            let spec = SourceSpec {
                format: format.to_lowercase(),
                options: options.iter().map(|(k, v)| (k.to_lowercase(), v.clone())).collect(),
                paths: vec![path.clone()],
                metadata: true,
                ..SourceSpec::default()
            };
            open(session, spec, name.to_vec(), None).await.map(Some)
        }
        _ => Ok(None),
    }
}

/// Formats that `format.`path`` reads.
fn is_format(name: &str) -> bool {
    source::is_format(name) || name.eq_ignore_ascii_case("delta")
}

async fn open_data_source(
    session: &Session,
    format: Option<&str>,
    schema: Option<Vec<StructField>>,
    options: &[(String, String)],
    paths: &[String],
) -> SparkResult<Found> {
    let spec = source_spec(session, format, schema, options, paths)?;
    open(session, spec, Vec::new(), None).await
}

/// The option `path` of a source is one more path.
pub(crate) fn source_spec(
    session: &Session,
    format: Option<&str>,
    schema: Option<Vec<StructField>>,
    options: &[(String, String)],
    paths: &[String],
) -> SparkResult<SourceSpec> {
    let mut options: BTreeMap<String, String> = options.iter().map(|(k, v)| (k.to_lowercase(), v.clone())).collect();
    let mut paths = paths.to_vec();
    if let Some(path) = options.remove("path") {
        paths.push(path);
    }
    if paths.is_empty() {
        return Err(SparkError::new(
            "UNABLE_TO_INFER_SCHEMA",
            "42KD9",
            "The data source needs a path: give it in OPTIONS (path '…').",
        ));
    }
    let format = match format {
        Some(format) => format.to_owned(),
        None => session.conf().text(&keys::DEFAULT_SOURCE).to_owned(),
    };
    Ok(SourceSpec { format, schema, options, paths, partition_columns: None, may_be_empty: false, metadata: false })
}

async fn open(
    session: &Session,
    spec: SourceSpec,
    qualifier: Vec<String>,
    table: Option<Arc<Table>>,
) -> SparkResult<Found> {
    let source = source::open(session.engine(), spec).await?;
    Ok(Found::Files(Arc::new(OpenTable {
        provider: source.provider,
        schema: source.schema,
        partition_columns: source.partition_columns,
        qualifier,
        table,
    })))
}
