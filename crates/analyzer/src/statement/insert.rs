//! INSERT: the query's columns are matched with the table's and cast by the rules of store assignment.

use std::cell::RefCell;

use datafusion::{logical_expr::Expr as DfExpr, scalar::ScalarValue};
use firesteel_engine::write::{WriteMode, WriteSpec};
use firesteel_functions::{EvalMode, Typed, cast, char_types};
use firesteel_plan::{
    DataType, Expr, Ident, Span, SparkError, SparkResult,
    conf::keys,
    statement::{Insert, InsertDirectory},
    types::StructField,
};

use super::{at_name, default, default::put_defaults, found, plan_query, plan_with, qualified, reads, trimmed};
use crate::{
    Analyzed, AnalyzedQuery, AnalyzedWrite, CatalogChange, OutputColumn,
    catalog::{Table, TableKind},
    errors,
    expression::{Clause, Env},
    query::{Analyzer, RelEnv},
    relation::constant,
    scope::{project, same_name},
    session::Session,
    tables::{self, Found},
};

pub(super) async fn table(session: &Session, insert: &Insert, span: Span, text: &str) -> SparkResult<Analyzed> {
    let target = match found(session, &insert.table).await.map_err(|e| at_name(e, text, span, &insert.table))? {
        Found::Files(open) => open.table.clone(),
        Found::View { .. } => {
            return Err(SparkError::new(
                "EXPECT_TABLE_NOT_VIEW.NO_ALTERNATIVE",
                "42809",
                format!("'INSERT' expects a table but {} is a view.", errors::ids(&qualified(session, &insert.table))),
            )
            .param("viewName", errors::ids(&qualified(session, &insert.table)))
            .param("operation", "INSERT"))
            .map_err(|e| at_name(e, text, span, &insert.table));
        }
    };
    let Some(table) = target else {
        return Err(errors::unsupported_insert(&insert.table, "only tables of the catalog can be written."));
    };
    let TableKind::Files { format, location, options, .. } = &table.kind else {
        return Err(SparkError::internal("a table without files"));
    };
    let database = session.current_database();
    let tables = tables::load(session, &[&insert.query], &database).await;
    let query = match plan_with(session, &tables, &insert.query, text, &database) {
        // DEFAULT is a column where there is one of the name.
        Err(error) if error.class().starts_with("UNRESOLVED_COLUMN") => {
            let mut changed = insert.query.clone();
            if !put_defaults(&mut changed, &defaults(session, insert, &table)?)? {
                return Err(error);
            }
            plan_with(session, &tables, &changed, text, &database)?
        }
        planned => planned?,
    };

    let conf = session.conf();
    let dynamic = conf.text(&keys::PARTITION_OVERWRITE_MODE).eq_ignore_ascii_case("dynamic");
    let mode = match (insert.overwrite, dynamic && !table.partition_columns.is_empty()) {
        (false, _) => WriteMode::Append,
        (true, false) => WriteMode::Overwrite,
        (true, true) => WriteMode::OverwriteDynamic,
    };
    if mode == WriteMode::Overwrite && reads(&insert.query, &tables, &database, &table) {
        let name = errors::ids(&table.full_name());
        return Err(SparkError::new(
            "UNSUPPORTED_OVERWRITE.TABLE",
            "42902",
            format!("Can't overwrite the target that is also being read from. The target table {name}."),
        )
        .param("table", name));
    }
    let (query, static_partition) = {
        let warnings = RefCell::new(Vec::new());
        let analyzer = session.analyzer(&tables, &warnings);
        let writer = Writer { session, analyzer: &analyzer, table: &table, text, database: &database };
        let static_partition = writer.static_partition(&insert.partition)?;
        let head = firesteel_plan::Span { start: span.start, end: insert.query.span.start };
        let assigned = writer.assign(query, insert, &static_partition).map_err(|e| match e.class() {
            // Columns are listed before the query.
            class if class.starts_with("UNRESOLVED_COLUMN") => e.at(text, trimmed(text, head)),
            _ => e,
        })?;
        (assigned, static_partition)
    };
    let dynamic_partitions = table.partition_columns[static_partition.len()..].to_vec();
    let columns = table
        .schema
        .iter()
        .filter(|f| !table.partition_columns[..static_partition.len()].contains(&f.name))
        .cloned()
        .collect();
    let spec = WriteSpec {
        path: location.clone(),
        format: format.clone(),
        mode,
        columns,
        partition_by: dynamic_partitions,
        static_partition,
        options: options.clone(),
    };
    Ok(Analyzed::Write(AnalyzedWrite { query, spec, then: CatalogChange::None }))
}

pub(super) async fn directory(session: &Session, insert: &InsertDirectory, text: &str) -> SparkResult<Analyzed> {
    let query = plan_query(session, &insert.query, text).await?;
    let mut options: std::collections::BTreeMap<String, String> =
        insert.options.iter().map(|(k, v)| (k.to_lowercase(), v.clone())).collect();
    let Some(path) = insert.path.clone().or_else(|| options.remove("path")) else {
        return Err(SparkError::new(
            "INVALID_STATEMENT_OR_CLAUSE",
            "42601",
            "INSERT OVERWRITE DIRECTORY needs a path: write it after DIRECTORY or in OPTIONS (path '…').",
        ));
    };
    let Some(format) = insert.format.clone() else {
        return Err(SparkError::unsupported("INSERT OVERWRITE DIRECTORY without USING (Hive's text format)"));
    };
    let columns: Vec<StructField> =
        query.columns.iter().map(|c| StructField::new(&c.name, c.data_type.clone(), c.nullable)).collect();
    super::create::check_duplicates(columns.iter().map(|c| &c.name), session.conf().bool(&keys::CASE_SENSITIVE))?;
    let spec = WriteSpec {
        path,
        format: format.to_lowercase(),
        mode: WriteMode::Overwrite,
        columns,
        partition_by: Vec::new(),
        static_partition: Vec::new(),
        options,
    };
    Ok(Analyzed::Write(AnalyzedWrite { query, spec, then: CatalogChange::None }))
}

/// What DEFAULT stands for in each column of the query.
fn defaults(session: &Session, insert: &Insert, table: &Table) -> SparkResult<Vec<Expr>> {
    let case_sensitive = session.conf().bool(&keys::CASE_SENSITIVE);
    let fixed =
        |name: &str| insert.partition.iter().any(|(p, value)| value.is_some() && same_name(p, name, case_sensitive));
    let known = |name: &String| table.schema.iter().find(|f| same_name(&f.name, name, case_sensitive)).map(|f| &f.name);
    let columns: Vec<&String> = if insert.columns.is_empty() {
        table.schema.iter().map(|f| &f.name).filter(|name| !fixed(name)).collect()
    } else {
        insert.columns.iter().map(|name| known(name).unwrap_or(name)).collect()
    };
    columns.into_iter().map(|name| default::of_column(session, table, name)).collect()
}

struct Writer<'a> {
    session: &'a Session,
    analyzer: &'a Analyzer<'a>,
    table: &'a Table,
    text: &'a str,
    database: &'a str,
}

impl Writer<'_> {
    fn same(&self, a: &str, b: &str) -> bool {
        same_name(a, b, self.analyzer.case_sensitive())
    }

    /// The fixed values of `PARTITION (a = 1, b)` as folder names spell them. They must lead.
    fn static_partition(&self, partition: &[(Ident, Option<Expr>)]) -> SparkResult<Vec<(String, Option<String>)>> {
        for (name, _) in partition {
            if !self.table.partition_columns.iter().any(|p| self.same(p, name)) {
                let table = errors::ids(&self.table.full_name());
                return Err(SparkError::new(
                    "PARTITIONS_NOT_FOUND",
                    "428FT",
                    format!(
                        "The partition(s) {} cannot be found in table {table}.\nVerify the partition specification and \
                         table name.",
                        errors::id(name)
                    ),
                )
                .param("partitionList", errors::id(name))
                .param("tableName", table));
            }
        }
        let mut values = Vec::new();
        let mut open: Option<&String> = None;
        for column in &self.table.partition_columns {
            let given = partition.iter().find(|(name, _)| self.same(name, column));
            match given {
                Some((name, Some(value))) => {
                    if let Some(open) = open {
                        return Err(SparkError::new(
                            "DYNAMIC_PARTITION_BEFORE_STATIC",
                            "42000",
                            format!(
                                "The static partition column {} cannot come behind the dynamic partition column {}.",
                                errors::id(name),
                                errors::id(open)
                            ),
                        ));
                    }
                    values.push((column.clone(), self.folder_value(column, value)?));
                }
                _ => open = Some(column),
            }
        }
        Ok(values)
    }

    fn folder_value(&self, column: &str, value: &Expr) -> SparkResult<Option<String>> {
        let ctx = &self.analyzer.functions;
        let env = RelEnv::new(self.text, self.database);
        let typed = self.analyzer.expr(value, &Env::new(&env, &[], Clause::Other))?;
        let Some(field) = self.table.schema.iter().find(|f| f.name == column) else {
            return Err(SparkError::internal(format!("no partition column {column}")));
        };
        let typed = cast::cast(ctx, typed, &field.data_type, EvalMode::Ansi)?;
        let text = cast::cast(ctx, typed, &DataType::String, EvalMode::Ansi)?;
        match constant(text.expr) {
            Some(ScalarValue::Utf8(value) | ScalarValue::Utf8View(value) | ScalarValue::LargeUtf8(value)) => Ok(value),
            Some(value) if value.is_null() => Ok(None),
            _ => Err(env.locate(
                SparkError::new(
                    "NON_FOLDABLE_ARGUMENT",
                    "42K08",
                    format!("The value of the partition column {} must be a constant.", errors::id(column)),
                ),
                value.span,
            )),
        }
    }

    /// The query with the table's columns: data first, then the partitions that rows choose.
    fn assign(
        &self,
        query: AnalyzedQuery,
        insert: &Insert,
        fixed: &[(String, Option<String>)],
    ) -> SparkResult<AnalyzedQuery> {
        let targets: Vec<&StructField> =
            self.table.schema.iter().filter(|f| !fixed.iter().any(|(name, _)| *name == f.name)).collect();
        let names = query.plan.schema().columns();
        let source = |i: usize| {
            let column = &query.columns[i];
            Typed::new(DfExpr::Column(names[i].clone()), column.data_type.clone(), column.nullable)
        };
        // Which of the query's columns each target takes.
        let chosen: Vec<Option<usize>> = if insert.by_name {
            self.by_name(&query, &targets)?
        } else if insert.columns.is_empty() {
            self.check_count(query.columns.len(), &targets, &query.columns)?;
            (0..targets.len()).map(Some).collect()
        } else {
            self.by_list(&query, &targets, &insert.columns)?
        };
        let mut exprs = Vec::with_capacity(targets.len());
        let mut columns = Vec::with_capacity(targets.len());
        for (target, chosen) in targets.iter().zip(chosen) {
            let value = match chosen {
                Some(i) => source(i),
                None => {
                    let value = default::of_column(self.session, self.table, &target.name)?;
                    let env = RelEnv::new(self.text, self.database);
                    self.analyzer.expr(&value, &Env::new(&env, &[], Clause::Other))?
                }
            };
            let value = self.store(value, target)?;
            let name = format!("{}#{}", target.name, self.analyzer.next_id());
            columns.push(OutputColumn::new(target.name.clone(), target.data_type.clone(), value.nullable));
            exprs.push(value.expr.alias(name));
        }
        Ok(AnalyzedQuery { plan: project(query.plan, exprs)?, columns })
    }

    fn store(&self, value: Typed, target: &StructField) -> SparkResult<Typed> {
        if char_types::inside(&target.data_type) {
            return Err(SparkError::unsupported(format_args!(
                "writing to column {} of type {}",
                errors::id(&target.name),
                target.data_type
            )));
        }
        if value.nullable && !target.nullable && value.is_null_literal() {
            return Err(SparkError::new(
                "NOT_NULL_CONSTRAINT_VIOLATION",
                "42000",
                format!("Assigning a NULL is not allowed here: column {} is NOT NULL.", errors::id(&target.name)),
            ));
        }
        if !cast::can_store(&value.data_type, &target.data_type) {
            return Err(errors::incompatible_data(
                &self.table.full_name(),
                &target.name,
                &value.data_type,
                &target.data_type,
            ));
        }
        let value = cast::cast(&self.analyzer.functions, value, &target.data_type, EvalMode::Ansi)?;
        char_types::to_store(value, &target.data_type)
    }

    fn check_count(&self, count: usize, targets: &[&StructField], data: &[OutputColumn]) -> SparkResult<()> {
        if count == targets.len() {
            return Ok(());
        }
        let columns: Vec<String> = targets.iter().map(|t| t.name.clone()).collect();
        let data: Vec<String> = data.iter().map(|c| c.name.clone()).collect();
        Err(errors::insert_arity(count > targets.len(), &self.table.full_name(), &columns, &data))
    }

    fn by_name(&self, query: &AnalyzedQuery, targets: &[&StructField]) -> SparkResult<Vec<Option<usize>>> {
        if let Some(extra) = query.columns.iter().find(|c| !targets.iter().any(|t| self.same(&t.name, &c.name))) {
            let (table, column) = (errors::ids(&self.table.full_name()), errors::id(&extra.name));
            return Err(SparkError::new(
                "INCOMPATIBLE_DATA_FOR_TABLE.EXTRA_COLUMNS",
                "KD000",
                format!("Cannot write incompatible data for the table {table}: Cannot write extra columns {column}."),
            )
            .param("tableName", table)
            .param("extraColumns", column));
        }
        Ok(targets.iter().map(|t| query.columns.iter().position(|c| self.same(&c.name, &t.name))).collect())
    }

    fn by_list(
        &self,
        query: &AnalyzedQuery,
        targets: &[&StructField],
        list: &[Ident],
    ) -> SparkResult<Vec<Option<usize>>> {
        super::create::check_duplicates(list.iter(), self.analyzer.case_sensitive())?;
        for name in list {
            if !targets.iter().any(|t| self.same(&t.name, name)) {
                let candidates = targets.iter().map(|t| vec![t.name.clone()]).collect();
                let name = [name.clone()];
                return Err(errors::unresolved_column(&name, &crate::scope::suggest(&name, candidates)));
            }
        }
        if list.len() != query.columns.len() {
            let data: Vec<String> = query.columns.iter().map(|c| c.name.clone()).collect();
            return Err(errors::insert_arity(query.columns.len() > list.len(), &self.table.full_name(), list, &data));
        }
        Ok(targets.iter().map(|t| list.iter().position(|n| self.same(n, &t.name))).collect())
    }
}
