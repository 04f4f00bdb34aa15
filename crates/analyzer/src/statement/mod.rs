//! Statements: queries are planned, DDL is done, what only shows something is answered.

mod alter;
mod cache;
mod create;
mod default;
mod describe;
mod function;
pub(crate) mod immediate;
mod insert;
mod partition;
mod set;
mod show;
mod show_create;
mod unsupported;
pub(crate) mod variable;
mod view;

use std::{cell::RefCell, sync::Arc};

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, StringArray},
    datatypes::{DataType as ArrowType, Field, Schema},
};
use firesteel_plan::{
    DataType, Relation, Span, SparkError, SparkResult, Statement, expr::MultipartName, statement::StatementKind,
};

use crate::{
    Analyzed, AnalyzedQuery, OutputColumn,
    catalog::{SESSION_CATALOG, Table, TableKind},
    errors,
    query::RelEnv,
    session::Session,
    tables::{self, Tables},
    visit,
};

pub(crate) async fn run(session: &Session, statement: &Statement, text: &str) -> SparkResult<Analyzed> {
    let result = Box::pin(run_inner(session, statement, text)).await;
    result.map_err(|error| error.at(text, statement.span))
}

async fn run_inner(session: &Session, statement: &Statement, text: &str) -> SparkResult<Analyzed> {
    unsupported::check(&statement.kind)?;
    match &statement.kind {
        StatementKind::Query(query) => Ok(Analyzed::Query(plan_query(session, query, text).await?)),
        StatementKind::CreateView(create) => view::create(session, create, text).await,
        StatementKind::CreateViewUsing { name, columns, format, options, replace, global, if_not_exists } => {
            view::create_using(session, name, columns, format, options, *replace, *global, *if_not_exists).await
        }
        StatementKind::CreateTable(create) => create::table(session, create, text).await,
        StatementKind::Insert(insert) => insert::table(session, insert, statement.span, text).await,
        StatementKind::InsertDirectory(insert) => insert::directory(session, insert, text).await,
        StatementKind::DropTable { name, if_exists, .. } => {
            dropped(session, name, *if_exists, false).await.map_err(|e| at_name(e, text, statement.span, name))
        }
        StatementKind::DropView { name, if_exists } => {
            dropped(session, name, *if_exists, true).await.map_err(|e| at_name(e, text, statement.span, name))
        }
        StatementKind::CreateDatabase { name, if_not_exists, location, comment, properties, .. } => {
            create::database(session, name, *if_not_exists, location.as_deref(), comment.as_deref(), properties).await
        }
        StatementKind::DropDatabase { name, if_exists, cascade } => {
            create::drop_database(session, name, *if_exists, *cascade).await
        }
        StatementKind::Use { name } => {
            let database = match name.as_slice() {
                [catalog] if catalog.eq_ignore_ascii_case(SESSION_CATALOG) => return Ok(Analyzed::Done),
                name => database_name(name)?,
            };
            if session.catalog().database(&database).await?.is_none() {
                return Err(errors::schema_not_found(&[SESSION_CATALOG.to_owned(), database]));
            }
            session.set_database(&database);
            Ok(Analyzed::Done)
        }
        StatementKind::Set { key, value } => set::set(session, key.as_deref(), value.as_deref()),
        StatementKind::SetTimeZone { value } => set::time_zone(session, value, text),
        StatementKind::Reset { key } => set::reset(session, key.as_deref()),
        StatementKind::Explain { statement, .. }
            if matches!(
                statement.kind,
                StatementKind::CacheTable(_)
                    | StatementKind::UncacheTable { .. }
                    | StatementKind::ClearCache
                    | StatementKind::RefreshTable { .. }
                    | StatementKind::RefreshPath { .. }
            ) =>
        {
            Err(SparkError::unsupported("EXPLAIN of a statement about cached tables"))
        }
        StatementKind::Explain { mode, statement } => {
            let of = match Box::pin(run_inner(session, statement, text)).await? {
                of @ (Analyzed::Query(_) | Analyzed::Write(_)) => of,
                _ => return Err(SparkError::unsupported("EXPLAIN of a statement that is no query and no write")),
            };
            Ok(Analyzed::Explain { mode: *mode, of: Box::new(of) })
        }
        StatementKind::ShowTables { database, pattern } => {
            show::tables(session, database.as_deref(), pattern.as_deref()).await
        }
        StatementKind::ShowDatabases { pattern, .. } => show::databases(session, pattern.as_deref()).await,
        StatementKind::ShowColumns { table } => show::columns(session, table).await,
        StatementKind::ShowFunctions { user, system, database, pattern } => {
            show::functions(session, *user, *system, database.as_deref(), pattern.as_deref()).await
        }
        StatementKind::ShowViews { database, pattern } => {
            show::views(session, database.as_deref(), pattern.as_deref()).await
        }
        StatementKind::ShowCatalogs { pattern } => show::catalogs(pattern.as_deref()),
        StatementKind::ShowCurrentDatabase => {
            text_rows(&["catalog", "namespace"], vec![vec![SESSION_CATALOG.into(), session.current_database().into()]])
        }
        StatementKind::ShowTableProperties { table, key } => show::properties(session, table, key.as_deref()).await,
        StatementKind::DescribeDatabase { name, extended } => describe::database(session, name, *extended).await,
        StatementKind::DescribeTable { name, extended, partition, .. } => {
            describe::table(session, name, *extended, partition)
                .await
                .map_err(|e| at_name(e, text, statement.span, name))
        }
        StatementKind::DescribeQuery { query } => {
            let query = plan_query(session, query, text).await?;
            describe::rows(
                query
                    .columns
                    .into_iter()
                    .map(|c| [c.name, c.data_type.to_string(), c.comment.unwrap_or_default()])
                    .collect(),
            )
        }
        StatementKind::RefreshTable { name } => {
            cache::refresh(session, name).await.map_err(|e| at_name(e, text, statement.span, name))
        }
        StatementKind::RefreshPath { path } => {
            session.engine().cache().recache_path(path);
            Ok(Analyzed::Done)
        }
        StatementKind::CacheTable(cache) => cache::cache(session, cache, statement.span, text).await,
        StatementKind::UncacheTable { name, if_exists } => {
            cache::uncache(session, name, *if_exists).await.map_err(|e| at_name(e, text, statement.span, name))
        }
        StatementKind::ClearCache => {
            session.engine().cache().clear();
            Ok(Analyzed::Done)
        }
        StatementKind::TruncateTable { name, .. } => {
            create::truncate(session, name).await.map_err(|e| at_name(e, text, statement.span, name))
        }
        StatementKind::SetCatalog { name } => set::catalog(session, name),
        StatementKind::DescribeColumn { table, column, extended } => {
            describe::one_column(session, table, column, *extended)
                .await
                .map_err(|e| at_name(e, text, statement.span, table))
        }
        StatementKind::CreateTableLike(like) => create::table_like(session, like).await,
        StatementKind::AlterTable { name, change } => {
            alter::table(session, name, change).await.map_err(|e| at_name(e, text, statement.span, name))
        }
        StatementKind::AlterView { name, change } => {
            alter::view(session, name, change, text).await.map_err(|e| at_name(e, text, statement.span, name))
        }
        StatementKind::AlterDatabase { name, change } => alter::database(session, name, change).await,
        StatementKind::CommentOnDatabase { name, comment } => {
            alter::comment_on_database(session, name, comment.as_deref()).await
        }
        StatementKind::CommentOnTable { name, comment } => alter::comment_on_table(session, name, comment.as_deref())
            .await
            .map_err(|e| at_name(e, text, statement.span, name)),
        StatementKind::ShowCreateTable { table, .. } => {
            show_create::show(session, table).await.map_err(|e| at_name(e, text, statement.span, table))
        }
        StatementKind::ShowPartitions { table, partition } => {
            partition::show(session, table, partition).await.map_err(|e| at_name(e, text, statement.span, table))
        }
        StatementKind::RepairTable { name, .. } => {
            partition::repair(session, name).await.map_err(|e| at_name(e, text, statement.span, name))
        }
        // Statistics are read from the files by every query: there is nothing to keep.
        StatementKind::AnalyzeTable { name, .. } => {
            found(session, name).await.map_err(|e| at_name(e, text, statement.span, name))?;
            Ok(Analyzed::Done)
        }
        StatementKind::Update(update) => Err(no_row_changes(session, &update.table, "UPDATE TABLE").await),
        StatementKind::Delete(delete) => Err(no_row_changes(session, &delete.table, "DELETE").await),
        StatementKind::Merge(merge) => Err(no_row_changes(session, &merge.target, "MERGE INTO TABLE").await),
        StatementKind::WithCtes { statement: inner, .. } => Err(match &**inner {
            StatementKind::Update(update) => no_row_changes(session, &update.table, "UPDATE TABLE").await,
            StatementKind::Delete(delete) => no_row_changes(session, &delete.table, "DELETE").await,
            StatementKind::Merge(merge) => no_row_changes(session, &merge.target, "MERGE INTO TABLE").await,
            _ => SparkError::unsupported("WITH before a statement that is no query"),
        }),
        StatementKind::DeclareVariable { names, replace, data_type, default, default_text } => {
            let declared = variable::Declaration {
                names,
                replace: *replace,
                data_type: data_type.as_ref(),
                default: default.as_ref(),
                default_text: default_text.as_deref(),
            };
            variable::declare(session, &declared, text).await
        }
        StatementKind::DropVariable { name, if_exists } => variable::drop(session, name, *if_exists),
        StatementKind::SetVariable { assignments } => variable::set(session, assignments, text).await,
        StatementKind::SetVariableByQuery { names, query } => variable::set_by_query(session, names, query, text).await,
        StatementKind::ExecuteImmediate { statement, into, using } => {
            immediate::execute(session, statement, into, using, text).await
        }
        StatementKind::Script(block) => Ok(Analyzed::Script { block: block.clone(), clauses: Vec::new() }),
        // Names in a script may depend on its variables: they are looked at when their statement's turn comes.
        StatementKind::Deferred { clauses, statement } if matches!(**statement, StatementKind::Script(_)) => {
            unsupported::check(statement)?;
            let StatementKind::Script(block) = &**statement else { return Ok(Analyzed::Done) };
            Ok(Analyzed::Script { block: block.clone(), clauses: clauses.clone() })
        }
        StatementKind::Deferred { clauses, .. } => immediate::deferred(session, clauses, statement, text).await,
        StatementKind::CreateFunction(create) => function::create(session, create, text).await,
        StatementKind::DropFunction { name, temporary, if_exists } => {
            function::drop(session, name, *temporary, *if_exists)
        }
        StatementKind::DescribeFunction { name, extended } => function::describe(session, name, *extended),
        // What is left was refused above.
        _ => Err(SparkError::internal("a statement that is neither run nor refused")),
    }
}

/// Tables of files have no rows that change one by one, in Spark neither.
async fn no_row_changes(session: &Session, name: &MultipartName, operation: &str) -> SparkError {
    match found(session, name).await {
        Ok(_) => alter::unsupported_operation(operation, &qualified(session, name)),
        Err(error) => error,
    }
}

/// DROP TABLE or VIEW.
async fn dropped(session: &Session, name: &MultipartName, if_exists: bool, view: bool) -> SparkResult<Analyzed> {
    let known = cache::Known::of(session, name).await;
    let done = create::drop_table(session, name, if_exists, view).await?;
    if let Some(known) = known {
        known.forget(session);
    }
    Ok(done)
}

/// Something that lasts cannot be made of something that ends with the session.
pub(crate) fn temporary_reference(what: &str, name: &[String], kind: &str, temporary: &[String]) -> SparkError {
    let (name, shown) = (errors::ids(name), errors::ids(temporary));
    SparkError::new(
        "INVALID_TEMP_OBJ_REFERENCE",
        "42K0F",
        format!(
            "Cannot create the persistent object {name} of the type {what} because it references to the temporary object \
             {shown} of the type {kind}. Please make the temporary object {shown} persistent, or make the persistent object \
             {name} temporary."
        ),
    )
    .param("obj", what)
    .param("objName", name)
    .param("tempObj", kind)
    .param("tempObjName", shown)
}

/// Opens the tables of a query and plans it.
pub(crate) async fn plan_query(session: &Session, query: &Relation, text: &str) -> SparkResult<AnalyzedQuery> {
    let database = session.current_database();
    let tables = tables::load(session, &[query], &database).await;
    plan_with(session, &tables, query, text, &database)
}

/// Plans a query whose tables are open. Nothing here waits.
pub(crate) fn plan_with(
    session: &Session,
    tables: &Tables,
    query: &Relation,
    text: &str,
    database: &str,
) -> SparkResult<AnalyzedQuery> {
    let warnings = RefCell::new(Vec::new());
    let analyzer = session.analyzer(tables, &warnings);
    let env = RelEnv::new(text, database);
    analyzer.query(query, &env)
}

/// The table or view of this name, or TABLE_OR_VIEW_NOT_FOUND.
pub(crate) async fn found(session: &Session, name: &[String]) -> SparkResult<tables::Found> {
    tables::find_table(session, name, &[], &session.current_database())
        .await?
        .ok_or_else(|| errors::table_not_found(&qualified(session, name)))
}

/// Points an error at the name of the table that a statement is about.
pub(crate) fn at_name(error: SparkError, text: &str, statement: Span, name: &[String]) -> SparkError {
    let (start, end) = (statement.start as usize, (statement.end as usize).min(text.len()));
    let written = name.join(".");
    let found = text.get(start..end).and_then(|t| {
        t.match_indices(&written).map(|(at, _)| at).find(|at| {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            !t[..*at].ends_with(word) && !t[at + written.len()..].starts_with(word)
        })
    });
    match found {
        Some(at) if !statement.is_none() => error.at(text, Span::new(start + at, start + at + written.len())),
        _ => error,
    }
}

/// The span without the spaces at its end.
pub(crate) fn trimmed(text: &str, span: Span) -> Span {
    match text.get(span.start as usize..span.end as usize) {
        Some(t) => Span { end: span.start + u32::try_from(t.trim_end().len()).unwrap_or(0), ..span },
        None => span,
    }
}

/// Splits the name of a table into database and table.
pub(crate) fn table_name(session: &Session, name: &MultipartName) -> SparkResult<(String, String)> {
    match name.as_slice() {
        [table] => Ok((session.current_database(), table.clone())),
        [database, table] => Ok((database.clone(), table.clone())),
        [catalog, database, table] if catalog.eq_ignore_ascii_case(SESSION_CATALOG) => {
            Ok((database.clone(), table.clone()))
        }
        [catalog, ..] => Err(catalog_not_found(catalog)),
        [] => Err(SparkError::internal("a table without a name")),
    }
}

pub(crate) fn catalog_not_found(catalog: &str) -> SparkError {
    let name = errors::id(catalog);
    SparkError::new(
        "CATALOG_NOT_FOUND",
        "42P08",
        format!(
            "The catalog {name} not found. Consider to set the SQL config \"spark.sql.catalog.{catalog}\" to a catalog plugin."
        ),
    )
    .param("catalogName", name)
}

pub(crate) fn database_name(name: &[String]) -> SparkResult<String> {
    match name {
        [database] => Ok(database.to_lowercase()),
        [catalog, database] if catalog.eq_ignore_ascii_case(SESSION_CATALOG) => Ok(database.to_lowercase()),
        other => Err(errors::schema_not_found(other)),
    }
}

/// The name with catalog and database, as messages about tables show it.
pub(crate) fn qualified(session: &Session, name: &[String]) -> Vec<String> {
    match name {
        [table] => vec![SESSION_CATALOG.to_owned(), session.current_database(), table.clone()],
        [database, table] => vec![SESSION_CATALOG.to_owned(), database.clone(), table.clone()],
        other => other.to_vec(),
    }
}

/// The catalog's table of this name, or nothing.
pub(crate) async fn catalog_table(session: &Session, name: &MultipartName) -> SparkResult<Option<Arc<Table>>> {
    let (database, table) = table_name(session, name)?;
    session.catalog().table(&database, &table).await
}

pub(crate) fn is_view(table: &Table) -> bool {
    matches!(table.kind, TableKind::View(_))
}

/// An answer of text columns, with a flag column where a cell is `true` or `false` by its type.
pub(crate) fn text_rows(columns: &[&str], rows: Vec<Vec<Cell>>) -> SparkResult<Analyzed> {
    let is_flag = |i: usize| rows.first().is_some_and(|r| matches!(r.get(i), Some(Cell::Flag(_))));
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    let mut outputs = Vec::with_capacity(columns.len());
    for (i, name) in columns.iter().enumerate() {
        let flag = is_flag(i) || *name == "isTemporary";
        if flag {
            let values: BooleanArray = rows.iter().map(|r| Some(matches!(r.get(i), Some(Cell::Flag(true))))).collect();
            arrays.push(Arc::new(values));
        } else {
            let values: StringArray = rows
                .iter()
                .map(|r| match r.get(i) {
                    Some(Cell::Text(text)) => Some(text.as_str()),
                    _ => None,
                })
                .collect();
            arrays.push(Arc::new(values));
        }
        let nullable = rows.iter().any(|r| matches!(r.get(i), Some(Cell::Null)));
        fields.push(Field::new(*name, if flag { ArrowType::Boolean } else { ArrowType::Utf8 }, nullable));
        outputs.push(OutputColumn::new(*name, if flag { DataType::Boolean } else { DataType::String }, nullable));
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(SparkError::internal)?;
    Ok(Analyzed::Rows { columns: outputs, batches: vec![batch] })
}

pub(crate) enum Cell {
    Text(String),
    Flag(bool),
    Null,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// Names that `query` reads, through views too, as far as they are in the catalog.
pub(crate) fn reads(query: &Relation, tables: &Tables, database: &str, target: &Table) -> bool {
    let mut queue = vec![(query.clone(), database.to_owned())];
    let mut steps = 0_usize;
    while let Some((relation, database)) = queue.pop() {
        steps += 1;
        if steps > crate::query::MAX_VIEW_DEPTH * 100 {
            return false;
        }
        let mut hit = false;
        visit::each_relation(&relation, &mut |r| {
            let firesteel_plan::RelationKind::Table { name, options } = &r.kind else { return };
            match tables.get(name, options, &database) {
                Ok(Some(tables::Found::Files(open))) => {
                    hit |= open.table.as_ref().is_some_and(|t| t.name == target.name && t.database == target.database);
                }
                Ok(Some(tables::Found::View { view, .. })) => queue.push((view.query.clone(), view.database.clone())),
                _ => {}
            }
        });
        if hit {
            return true;
        }
    }
    false
}
