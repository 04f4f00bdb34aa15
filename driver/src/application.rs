//! Statements in order, each analyzed, planned, run and, where it writes, committed.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Instant,
};

use arrow::{
    array::{RecordBatch, RecordBatchOptions, StringArray},
    datatypes::{DataType as ArrowType, Field, Schema},
};
use async_trait::async_trait;
use datafusion::{logical_expr::LogicalPlan, physical_plan::ExecutionPlan};
use firesteel_analyzer::{
    Analyzed, AnalyzedAssign, AnalyzedCache, AnalyzedQuery, AnalyzedWrite, CatalogChange, OutputColumn, Session,
};
use firesteel_engine::{
    ExecutionMode,
    error::from_datafusion,
    fit_batches, optimize, program, recursion,
    write::{self, Commit, WriteJob, WriteSummary},
};
use firesteel_plan::{
    DataType, Span, SparkError, SparkResult, Statement,
    statement::{ExplainMode, StatementKind},
};
use firesteel_sql::{ParseOptions, parse_statement_at, split_statements, substitute_variables};
use futures::{StreamExt, stream::BoxStream};
use opentelemetry::{Context, trace::FutureExt};
use parking_lot::Mutex;

use crate::{
    journal::{self, Done, Journal},
    planning::PlanningTimes,
    progress::ProgressSender,
    traces,
};

/// Runs one physical plan to its end.
#[async_trait]
pub trait PlanRunner: Send + Sync {
    /// The result's batches in order. Nothing is yielded of an attempt that could still be repeated.
    async fn run(&self, plan: Arc<dyn ExecutionPlan>) -> SparkResult<BoxStream<'static, SparkResult<RecordBatch>>>;

    /// What is done once to a plan that will be run many times: a cached relation's.
    async fn prepare(&self, plan: Arc<dyn ExecutionPlan>) -> SparkResult<Arc<dyn ExecutionPlan>> {
        Ok(plan)
    }

    /// The plan as this runner would run it, for EXPLAIN.
    fn describe(&self, plan: &Arc<dyn ExecutionPlan>) -> SparkResult<String>;

    /// The plan of the last query as it ran, beside what it was at first, where it may have changed on the way.
    fn executed_plan(&self) -> Option<String> {
        None
    }

    /// A statement that may have run plans has ended, and with it what was kept to go on with it.
    fn statement_ended(&self) {}
}

pub struct Application {
    session: Session,
    runner: Arc<dyn PlanRunner>,
    progress: ProgressSender,
    journal: Option<Arc<dyn Journal>>,
    /// What the journal holds.
    done: Mutex<Done>,
    /// Of the statement that has just ended: finished, and not noted yet. A script may have several.
    commits: Mutex<Vec<Commit>>,
    /// Writes that the present statement has begun.
    writes: AtomicU32,
    in_script: AtomicBool,
    /// Of the present statement.
    planning: Mutex<PlanningTimes>,
}

#[derive(Debug)]
pub struct StatementResult {
    pub outcome: Outcome,
    pub seconds: f64,
}

#[derive(Debug)]
pub enum Outcome {
    Rows(QueryResult),
    Written(WriteSummary),
    Done,
}

#[derive(Debug)]
pub struct QueryResult {
    /// Named for people: names may repeat.
    pub columns: Vec<OutputColumn>,
    pub batches: Vec<RecordBatch>,
}

impl QueryResult {
    pub fn num_rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// What it kept in this process goes with it. Executors drop theirs when they end.
impl Drop for Application {
    fn drop(&mut self) {
        let engine = self.session.engine();
        if engine.mode() == ExecutionMode::InProcess {
            engine.cache().clear();
            engine.cache_store().clear();
        }
    }
}

impl Application {
    pub fn new(session: Session, runner: Arc<dyn PlanRunner>, progress: ProgressSender) -> Self {
        for key in session.conf().unread() {
            tracing::warn!(key, "this key of Spark's has no effect in Firesteel (docs/configuration.md)");
        }
        Self {
            session,
            runner,
            progress,
            journal: None,
            done: Mutex::default(),
            commits: Mutex::default(),
            writes: AtomicU32::new(0),
            in_script: AtomicBool::new(false),
            planning: Mutex::new(PlanningTimes::begin()),
        }
    }

    /// Goes on after what is done according to this journal, and notes there what it does. For one script.
    pub fn with_journal(mut self, journal: Arc<dyn Journal>) -> Self {
        self.done = Mutex::new(journal.before());
        self.journal = Some(journal);
        self
    }

    /// The plan of the last query as it ran, beside what it was at first, where plans may change on the way.
    pub fn executed_plan(&self) -> Option<String> {
        self.runner.executed_plan()
    }

    /// Of the last statement.
    pub fn planning(&self) -> PlanningTimes {
        *self.planning.lock()
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    pub(crate) fn runner(&self) -> &Arc<dyn PlanRunner> {
        &self.runner
    }

    pub fn progress(&self) -> &ProgressSender {
        &self.progress
    }

    /// Runs the statements of `script` one after the other, up to the first error. Each result is handed over as soon as it
    /// is there; `each` can end the run by returning false.
    pub async fn run_script(&self, script: &str, mut each: impl FnMut(StatementResult) -> bool) -> SparkResult<()> {
        let spans = split_statements(script);
        self.progress.update(|p| p.statements = spans.len());
        let before = self.done.lock().clone();
        before.check(script, &spans)?;
        for (index, span) in spans.iter().enumerate() {
            self.progress.update(|p| p.statement = index + 1);
            let started = Instant::now();
            *self.planning.lock() = PlanningTimes::begin();
            let (statement, text) = self.parse(script, *span)?;
            self.planning.lock().parse = started.elapsed();
            if self.journal.is_some() {
                self.session.begin_statement(u32::try_from(index).unwrap_or(u32::MAX));
            }
            if index < before.statements {
                match self.session.tell_again(&statement, &text).await? {
                    // Computed when it is next read.
                    Analyzed::Cache(cache) => self.cache_table(AnalyzedCache { lazy: true, ..cache }).await?,
                    Analyzed::Assign(assign) => {
                        self.check_repeatable(&assign, script, &spans, index + 1..before.statements)?;
                        self.assign(&assign).await?;
                    }
                    _ => {}
                }
                continue;
            }
            let outcome = self.run_statement(&statement, &text).await?;
            let rows = if let Outcome::Written(summary) = &outcome { summary.rows } else { 0 };
            let go_on = each(StatementResult { outcome, seconds: started.elapsed().as_secs_f64() });
            self.statement_ended(script, &spans, index, &statement, rows).await?;
            if !go_on {
                break;
            }
        }
        Ok(())
    }

    /// A variable has the value of a query again only if nothing was written since that the query could read.
    fn check_repeatable(
        &self,
        assign: &AnalyzedAssign,
        script: &str,
        spans: &[Span],
        later: std::ops::Range<usize>,
    ) -> SparkResult<()> {
        if !reads_tables(&assign.query.plan) {
            return Ok(());
        }
        for span in spans.get(later).unwrap_or_default() {
            let (statement, _) = self.parse(script, *span)?;
            if journal::has_effect(&statement) && !matches!(statement.kind, StatementKind::Query(_)) {
                return Err(journal::not_repeatable("the value of a variable that a query gave before tables changed"));
            }
        }
        Ok(())
    }

    /// Runs one statement, which the whole text is: semicolons separate nothing. For a program that asks for one after the
    /// other and goes on after errors; there is no journal of that.
    pub async fn run_one(&self, text: &str) -> SparkResult<(Statement, StatementResult)> {
        self.progress.update(|p| {
            p.statement += 1;
            p.statements = p.statement;
        });
        let started = Instant::now();
        *self.planning.lock() = PlanningTimes::begin();
        let (statement, substituted) = self.parse(text, Span::new(0, text.len()))?;
        self.planning.lock().parse = started.elapsed();
        let outcome = self.run_statement(&statement, &substituted).await;
        self.runner.statement_ended();
        Ok((statement, StatementResult { outcome: outcome?, seconds: started.elapsed().as_secs_f64() }))
    }

    /// The statement at `span` of `script`, and the text that its places are offsets in: the script as it reads after the
    /// substitution of variables, which have the values that the statements before gave them.
    fn parse<'a>(&self, script: &'a str, span: Span) -> SparkResult<(Statement, Cow<'a, str>)> {
        let conf = self.session.conf();
        let options = ParseOptions::from_conf(&conf);
        let own = script.get(span.start as usize..span.end as usize).unwrap_or_default();
        let substituted = substitute_variables(own, &conf)?;
        if substituted == own {
            return Ok((parse_statement_at(script, span, &options)?, Cow::Borrowed(script)));
        }
        let before = script.get(..span.start as usize).unwrap_or_default();
        let shifted = format!("{before}{substituted}");
        let at = Span::new(before.len(), shifted.len());
        Ok((parse_statement_at(&shifted, at, &options)?, Cow::Owned(shifted)))
    }

    /// Notes what is done, if it lasts, and removes what was kept to do it once.
    async fn statement_ended(
        &self,
        script: &str,
        spans: &[Span],
        index: usize,
        statement: &Statement,
        rows: u64,
    ) -> SparkResult<()> {
        if !journal::has_effect(statement) {
            return Ok(());
        }
        self.runner.statement_ended();
        let Some(journal) = &self.journal else { return Ok(()) };
        let statements = index + 1;
        let done =
            Done { statements, rows: self.done.lock().rows + rows, text: journal::text_of(script, spans, statements) };
        journal.record(done.clone()).await?;
        *self.done.lock() = done;
        let commits = std::mem::take(&mut *self.commits.lock());
        for commit in commits {
            commit.forget().await;
        }
        Ok(())
    }

    /// Rows that the statements so far have written, those of earlier drivers among them.
    pub fn rows_before(&self) -> u64 {
        self.journal.as_ref().map_or(0, |journal| journal.before().rows)
    }

    /// Within a span of its own. The span does not hold the text: it may hold keys.
    pub async fn run_statement(&self, statement: &Statement, text: &str) -> SparkResult<Outcome> {
        let number = self.progress.get().statement;
        let span = traces::span(format!("statement {number}"), Vec::new(), &Context::current());
        let outcome = self.run_in_span(statement, text).with_context(span.clone()).await;
        traces::end(&span, outcome.as_ref().err().map(|e| e.class().to_owned()));
        outcome
    }

    async fn run_in_span(&self, statement: &Statement, text: &str) -> SparkResult<Outcome> {
        // What a script that was cancelled has left.
        self.session.leave_blocks(0);
        self.in_script.store(false, Ordering::Relaxed);
        self.writes.store(0, Ordering::Relaxed);
        self.run_inner(statement, text).await
    }

    /// A statement, or one in a script.
    pub(crate) async fn run_inner(&self, statement: &Statement, text: &str) -> SparkResult<Outcome> {
        self.progress.update(|p| p.activity = "analyzing".to_owned());
        let began = Instant::now();
        let analyzed = self.session.analyze(statement, text).await;
        self.planning.lock().analysis += began.elapsed();
        match analyzed? {
            Analyzed::Query(query) => self.run_query(query).await.map(Outcome::Rows),
            Analyzed::Write(write) => self.run_write(write).await,
            Analyzed::Rows { columns, batches } => Ok(Outcome::Rows(QueryResult { columns, batches })),
            Analyzed::Cache(cache) => self.cache_table(cache).await.map(|()| Outcome::Done),
            Analyzed::Script { block, clauses } => {
                self.in_script.store(true, Ordering::Relaxed);
                let outcome = self.run_block(&block, &clauses, text).await;
                self.in_script.store(false, Ordering::Relaxed);
                outcome
            }
            Analyzed::Assign(assign) => self.assign(&assign).await.map(|()| Outcome::Done),
            Analyzed::Done => Ok(Outcome::Done),
            Analyzed::Explain { mode, of } => self.explain(mode, *of).await.map(Outcome::Rows),
        }
    }

    /// Names the write that begins now, in every life of the driver.
    fn write_name(&self, application: &str) -> String {
        let statement = self.progress.get().statement;
        match self.writes.fetch_add(1, Ordering::Relaxed) {
            0 => format!("{application}-{statement}"),
            earlier => format!("{application}-{statement}-{earlier}"),
        }
    }

    /// Gives the row that a query answers to variables.
    async fn assign(&self, assign: &AnalyzedAssign) -> SparkResult<()> {
        let result = self.run_query(assign.query.clone()).await?;
        self.session.assign(assign, &result.batches)
    }

    pub(crate) async fn run_query(&self, query: AnalyzedQuery) -> SparkResult<QueryResult> {
        let plan = self.plan(&query.plan).await?;
        self.planning.lock().is_ready();
        let limit = self.max_result_bytes();
        let mut stream = self.runner.run(plan).await?;
        let schema = Arc::new(result_schema(&query.columns)?);
        let (mut batches, mut bytes) = (Vec::new(), 0u64);
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            bytes += batch.get_array_memory_size() as u64;
            if limit.is_some_and(|limit| bytes > limit) {
                return Err(result_too_large(bytes, limit.unwrap_or_default()));
            }
            batches.push(renamed(batch, &schema)?);
        }
        Ok(QueryResult { columns: query.columns, batches })
    }

    async fn run_write(&self, write: AnalyzedWrite) -> SparkResult<Outcome> {
        let engine = self.session.engine();
        // The same in every life of the driver.
        let name = self.journal.as_ref().map(|journal| self.write_name(journal.application()));
        if let Some(name) = &name
            && let Some(commit) = Commit::decided(engine, &write.spec, name).await?
        {
            tracing::info!(files = commit.files(), "completing a commit that an earlier driver began");
            let finished = self.finish(commit, write.then).await?;
            // Where the script went from here depended on what it read then.
            return if self.in_script.load(Ordering::Relaxed) { Err(interrupted_script()) } else { Ok(finished) };
        }
        let plan = self.plan(&write.query.plan).await?;
        self.planning.lock().is_ready();
        let Some((job, plan)) = write::prepare(engine, plan, &write.spec, name.as_deref()).await? else {
            self.session.apply(write.then).await?;
            return Ok(Outcome::Written(WriteSummary::default()));
        };
        let collected = self.collect(plan).await.and_then(|batches| WriteJob::files(&batches));
        match collected {
            Ok(files) => self.finish(job.begin_commit(files).await?, write.then).await,
            Err(error) => {
                job.abort(&[]).await;
                Err(error)
            }
        }
    }

    async fn finish(&self, commit: Commit, then: CatalogChange) -> SparkResult<Outcome> {
        self.progress.update(|p| p.activity = format!("committing {} files", commit.files()));
        let summary = commit.finish().await?;
        // What was cached of these files is made again when it is next used.
        self.session.engine().cache().recache_path(&commit.base().written);
        self.progress.update(|p| p.rows_written += summary.rows);
        self.commits.lock().push(commit);
        self.session.apply(then).await?;
        Ok(Outcome::Written(summary))
    }

    pub(crate) async fn collect(&self, plan: Arc<dyn ExecutionPlan>) -> SparkResult<Vec<RecordBatch>> {
        let mut stream = self.runner.run(plan).await?;
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await {
            batches.push(batch?);
        }
        Ok(batches)
    }

    /// Puts in what is cached, optimizes and plans, by DataFusion.
    pub(crate) async fn plan(&self, plan: &LogicalPlan) -> SparkResult<Arc<dyn ExecutionPlan>> {
        self.progress.update(|p| p.activity = "planning".to_owned());
        let plan = self.with_cached(plan).await?;
        let plan = program::expand(recursion::expand(plan, self).await?, self).await?;
        let began = Instant::now();
        let mut state = self.session.engine().state();
        optimize::load_statistics(&plan, &state).await.map_err(|e| from_datafusion(&e))?;
        let optimized = state.optimize(&plan).map_err(|e| from_datafusion(&e))?;
        fit_batches(&mut state, widest(&optimized));
        self.planning.lock().optimizer += began.elapsed();
        let began = Instant::now();
        let physical = state.query_planner().create_physical_plan(&optimized, &state).await;
        self.planning.lock().physical += began.elapsed();
        physical.map_err(|e| from_datafusion(&e))
    }

    async fn with_cached(&self, plan: &LogicalPlan) -> SparkResult<LogicalPlan> {
        let engine = self.session.engine();
        engine.cache().use_cached(engine, plan.clone(), self).await
    }

    async fn explain(&self, mode: ExplainMode, of: Analyzed) -> SparkResult<QueryResult> {
        let logical = match &of {
            Analyzed::Query(query) => &query.plan,
            Analyzed::Write(write) => &write.query.plan,
            _ => {
                return text_result("plan", vec!["== Physical Plan ==\nExecuted by the session itself.".to_owned()]);
            }
        };
        if program::runs_first(logical) {
            return Err(SparkError::unsupported("EXPLAIN of a query with a recursive CTE or TRANSFORM"));
        }
        let mut text = String::new();
        if mode == ExplainMode::Extended {
            let state = self.session.engine().state();
            optimize::load_statistics(logical, &state).await.map_err(|e| from_datafusion(&e))?;
            let cached = self.with_cached(logical).await?;
            let optimized = state.optimize(&cached).map_err(|e| from_datafusion(&e))?;
            text.push_str(&format!("== Analyzed Logical Plan ==\n{}\n\n", logical.display_indent()));
            text.push_str(&format!("== Optimized Logical Plan ==\n{}\n\n", optimized.display_indent()));
        }
        if matches!(mode, ExplainMode::Codegen | ExplainMode::Cost) {
            return Err(SparkError::unsupported(format!("EXPLAIN {mode:?}")));
        }
        let plan = self.plan(logical).await?;
        self.planning.lock().is_ready();
        text.push_str(&format!("== Physical Plan ==\n{}", self.runner.describe(&plan)?));
        text_result("plan", vec![text])
    }

    fn max_result_bytes(&self) -> Option<u64> {
        let limit = self.session.conf().bytes(&firesteel_plan::conf::keys::MAX_RESULT_SIZE);
        u64::try_from(limit).ok().filter(|l| *l > 0)
    }
}

/// The most columns that a node of the plan has.
fn widest(plan: &LogicalPlan) -> usize {
    let mut most = 0;
    // The walk looks into subqueries too, and nothing in it fails.
    let _ = plan.apply_with_subqueries(|node| {
        most = most.max(node.schema().fields().len());
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    });
    most
}

/// Whether rows come from anywhere but the query itself.
fn reads_tables(plan: &LogicalPlan) -> bool {
    let mut found = false;
    // The walk looks into subqueries too, and nothing in it fails.
    let walked = plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::TableScan(_));
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    });
    found || walked.is_err()
}

fn interrupted_script() -> SparkError {
    journal::not_repeatable("a script (BEGIN … END) that was interrupted after it had written")
}

/// The steps of recursive queries run as queries do.
#[async_trait]
impl recursion::RunRows for Application {
    async fn rows(&self, plan: LogicalPlan) -> SparkResult<Vec<RecordBatch>> {
        let plan = self.plan(&plan).await?;
        self.collect(plan).await
    }
}

fn result_schema(columns: &[OutputColumn]) -> SparkResult<Schema> {
    let fields = columns
        .iter()
        .map(|c| Ok(Field::new(&c.name, firesteel_functions::types::to_arrow(&c.data_type)?, true)))
        .collect::<SparkResult<Vec<_>>>()?;
    Ok(Schema::new(fields))
}

/// The batch under the names for people, strings plain.
fn renamed(batch: RecordBatch, schema: &Arc<Schema>) -> SparkResult<RecordBatch> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                Ok(column.clone())
            } else {
                arrow::compute::cast(column, field.data_type()).map_err(SparkError::internal)
            }
        })
        .collect::<SparkResult<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(SparkError::internal)
}

fn text_result(name: &str, lines: Vec<String>) -> SparkResult<QueryResult> {
    let schema = Arc::new(Schema::new(vec![Field::new(name, ArrowType::Utf8, false)]));
    let batch = RecordBatch::try_new(schema, vec![Arc::new(StringArray::from(lines))]).map_err(SparkError::internal)?;
    let columns = vec![OutputColumn::new(name, DataType::String, false)];
    Ok(QueryResult { columns, batches: vec![batch] })
}

pub(crate) fn result_too_large(bytes: u64, limit: u64) -> SparkError {
    SparkError::new(
        "RESULT_TOO_LARGE",
        "54000",
        format!(
            "The result has more than {bytes} bytes, and the driver collects at most {limit} (spark.driver.maxResultSize). Write it to files with INSERT OVERWRITE DIRECTORY, add a LIMIT, or raise the key."
        ),
    )
}
