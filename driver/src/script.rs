//! SQL scripts: the statements of `BEGIN … END` in the order that its control flow gives them. A script ends when its
//! statements do, or when it is cancelled: every step waits for something, so it can always be.

use std::pin::Pin;

use arrow::array::{AsArray, RecordBatch};
use datafusion::scalar::ScalarValue;
use firesteel_analyzer::Evaluated;
use firesteel_plan::{
    DataType, Expr, ExprKind, Ident, SparkError, SparkResult, Statement,
    expr::BinaryOp,
    statement::{
        Block, BlockItem, ConditionValue, DeferredClause, Handler, ScriptStatement, ScriptStatementKind, StatementKind,
    },
};

use crate::{Application, Outcome};

/// Deepest nesting of blocks, loops and branches.
const MAX_DEPTH: usize = 200;

/// Where a script goes on behind a statement.
enum Flow {
    Next,
    Leave(Ident),
    Iterate(Ident),
}

struct Script<'a> {
    application: &'a Application,
    /// What spans point into.
    text: &'a str,
    clauses: &'a [DeferredClause],
    /// The conditions that the blocks around have declared: name and SQLSTATE.
    conditions: Vec<(String, String)>,
    /// What the last query answered: it is what the script answers.
    last: Outcome,
    depth: usize,
}

type Step<'s, T> = Pin<Box<dyn Future<Output = SparkResult<T>> + Send + 's>>;

impl Application {
    /// Runs a script; it answers what its last query does.
    pub(crate) async fn run_block(
        &self,
        block: &Block,
        clauses: &[DeferredClause],
        text: &str,
    ) -> SparkResult<Outcome> {
        let depth = self.session().blocks();
        let mut script =
            Script { application: self, text, clauses, conditions: Vec::new(), last: Outcome::Done, depth: 0 };
        let flow = script.block(block).await;
        self.session().leave_blocks(depth);
        flow.map(|_| script.last)
    }
}

impl Script<'_> {
    fn block<'s>(&'s mut self, block: &'s Block) -> Step<'s, Flow> {
        Box::pin(async move {
            self.deeper(block)?;
            let session = self.application.session();
            let (depth, conditions) = (session.blocks(), self.conditions.len());
            session.enter_block(block.label.clone());
            let mut flow = self.items(block).await;
            if let Err(error) = &flow
                && let Some(handler) = self.handler_of(block, error)
            {
                session.leave_blocks(depth + 1);
                flow = self.statement(&handler.body).await;
            }
            session.leave_blocks(depth);
            self.conditions.truncate(conditions);
            self.depth -= 1;
            match flow? {
                Flow::Leave(label) if is_label(block.label.as_ref(), &label) => Ok(Flow::Next),
                flow => Ok(flow),
            }
        })
    }

    fn deeper(&mut self, block: &Block) -> SparkResult<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            self.depth -= 1;
            let error = SparkError::unsupported(format_args!("a script of more than {MAX_DEPTH} levels"));
            return Err(error.at(self.text, block.span));
        }
        Ok(())
    }

    async fn items(&mut self, block: &Block) -> SparkResult<Flow> {
        for item in &block.items {
            match item {
                BlockItem::Condition(condition) => {
                    self.conditions.push((condition.name.to_uppercase(), condition.sql_state.clone()));
                }
                BlockItem::Handler(_) => {}
                BlockItem::Statement(statement) => match self.statement(statement).await? {
                    Flow::Next => {}
                    flow => return Ok(flow),
                },
            }
        }
        Ok(Flow::Next)
    }

    /// The handler of a block for an error: the one that names it most exactly.
    fn handler_of<'b>(&self, block: &'b Block, error: &SparkError) -> Option<&'b Handler> {
        let handlers = block.items.iter().filter_map(|item| match item {
            BlockItem::Handler(handler) => Some(&**handler),
            _ => None,
        });
        let mut best: Option<(u8, &Handler)> = None;
        for handler in handlers {
            for condition in &handler.conditions {
                let Some(rank) = self.fits(condition, error) else { continue };
                if best.is_none_or(|(known, _)| rank < known) {
                    best = Some((rank, handler));
                }
            }
        }
        best.map(|(_, handler)| handler)
    }

    /// How exactly a condition names an error, the smaller the more.
    fn fits(&self, condition: &ConditionValue, error: &SparkError) -> Option<u8> {
        // What could not be taken over from an earlier driver is no error of the script.
        if error.class().starts_with("RECOVERY_FAILED") {
            return None;
        }
        let state = error.sql_state();
        let of_class = |class: &str| state.starts_with(class);
        match condition {
            ConditionValue::Name(name) => {
                let name = name.join(".").to_uppercase();
                if let Some((_, declared)) = self.conditions.iter().rev().find(|(known, _)| *known == name) {
                    return (declared == state).then_some(0);
                }
                let class = error.class().to_uppercase();
                let fits = class == name || class.split('.').next() == Some(name.as_str());
                fits.then_some(0)
            }
            ConditionValue::SqlState(wanted) => (wanted == state).then_some(1),
            ConditionValue::SqlException => (!["00", "01", "02"].iter().any(|class| of_class(class))).then_some(2),
            ConditionValue::NotFound => of_class("02").then_some(2),
        }
    }

    fn statements<'s>(&'s mut self, statements: &'s [ScriptStatement]) -> Step<'s, Flow> {
        Box::pin(async move {
            for statement in statements {
                match self.statement(statement).await? {
                    Flow::Next => {}
                    flow => return Ok(flow),
                }
            }
            Ok(Flow::Next)
        })
    }

    fn statement<'s>(&'s mut self, statement: &'s ScriptStatement) -> Step<'s, Flow> {
        Box::pin(async move {
            // A loop of quick statements lets others run too, and notices that it is cancelled.
            tokio::task::yield_now().await;
            match &statement.kind {
                ScriptStatementKind::Sql(sql) => self.sql(sql).await.map(|()| Flow::Next),
                ScriptStatementKind::Block(block) => self.block(block).await,
                ScriptStatementKind::If { branches, otherwise } => {
                    for (condition, body) in branches {
                        if self.holds(condition).await? {
                            return self.statements(body).await;
                        }
                    }
                    self.statements(otherwise.as_deref().unwrap_or_default()).await
                }
                ScriptStatementKind::Case { operand, branches, otherwise } => {
                    for (value, body) in branches {
                        let condition = match operand {
                            Some(operand) => equal(operand, value),
                            None => value.clone(),
                        };
                        if self.holds(&condition).await? {
                            return self.statements(body).await;
                        }
                    }
                    self.statements(otherwise.as_deref().unwrap_or_default()).await
                }
                ScriptStatementKind::While { label, condition, body } => {
                    while self.holds(condition).await? {
                        if let Some(flow) = self.turn(label.as_ref(), body).await? {
                            return Ok(flow);
                        }
                    }
                    Ok(Flow::Next)
                }
                ScriptStatementKind::Repeat { label, body, until } => loop {
                    if let Some(flow) = self.turn(label.as_ref(), body).await? {
                        return Ok(flow);
                    }
                    if self.holds(until).await? {
                        return Ok(Flow::Next);
                    }
                },
                ScriptStatementKind::Loop { label, body } => loop {
                    if let Some(flow) = self.turn(label.as_ref(), body).await? {
                        return Ok(flow);
                    }
                },
                ScriptStatementKind::For { label, variable, query, body } => {
                    let sql = Statement { kind: StatementKind::Query((**query).clone()), span: query.span };
                    let Outcome::Rows(rows) = self.run(&sql).await? else { return Ok(Flow::Next) };
                    for batch in &rows.batches {
                        for row in 0..batch.num_rows() {
                            if let Some(flow) =
                                self.row(label.as_ref(), variable.as_ref(), &rows.columns, batch, row, body).await?
                            {
                                return Ok(flow);
                            }
                        }
                    }
                    Ok(Flow::Next)
                }
                ScriptStatementKind::Leave(label) => Ok(Flow::Leave(label.clone())),
                ScriptStatementKind::Iterate(label) => Ok(Flow::Iterate(label.clone())),
            }
        })
    }

    /// Once through a loop's body: what to do where the loop does not go on.
    async fn turn(&mut self, label: Option<&Ident>, body: &[ScriptStatement]) -> SparkResult<Option<Flow>> {
        Ok(match self.statements(body).await? {
            Flow::Next => None,
            Flow::Leave(name) if is_label(label, &name) => Some(Flow::Next),
            Flow::Iterate(name) if is_label(label, &name) => None,
            flow => Some(flow),
        })
    }

    /// Once through the body of FOR, whose variables are a row's columns.
    async fn row(
        &mut self,
        label: Option<&Ident>,
        variable: Option<&Ident>,
        columns: &[firesteel_analyzer::OutputColumn],
        batch: &RecordBatch,
        row: usize,
        body: &[ScriptStatement],
    ) -> SparkResult<Option<Flow>> {
        let session = self.application.session();
        let depth = session.blocks();
        session.enter_block(variable.cloned());
        let declared = session.declare_row(columns, batch, row);
        let flow = match declared {
            Ok(()) => self.turn(label, body).await,
            Err(error) => Err(error),
        };
        session.leave_blocks(depth);
        flow
    }

    async fn sql(&mut self, statement: &Statement) -> SparkResult<()> {
        let outcome = self.run(statement).await?;
        let is_query = match &statement.kind {
            StatementKind::Query(_) | StatementKind::ExecuteImmediate { .. } => true,
            StatementKind::Deferred { statement, .. } => matches!(**statement, StatementKind::Query(_)),
            _ => false,
        };
        if is_query && matches!(outcome, Outcome::Rows(_)) {
            self.last = outcome;
        }
        Ok(())
    }

    async fn run(&self, statement: &Statement) -> SparkResult<Outcome> {
        let inside: Vec<DeferredClause> = self
            .clauses
            .iter()
            .filter(|c| statement.span.start <= c.span.start && c.span.end <= statement.span.end)
            .cloned()
            .collect();
        if inside.is_empty() {
            return self.application.run_inner(statement, self.text).await;
        }
        if matches!(statement.kind, StatementKind::SetVariable { .. } | StatementKind::SetVariableByQuery { .. }) {
            return Err(
                SparkError::unsupported("IDENTIFIER(expression) in SET of a script").at(self.text, statement.span)
            );
        }
        let complete = self.application.session().complete(&inside, statement.span, self.text).await?;
        self.application.run_inner(&complete, self.text).await
    }

    async fn holds(&self, condition: &Expr) -> SparkResult<bool> {
        if self.clauses.iter().any(|c| condition.span.start <= c.span.start && c.span.end <= condition.span.end) {
            return Err(SparkError::unsupported("IDENTIFIER(expression) in a condition of a script")
                .at(self.text, condition.span));
        }
        let (value, data_type) = match self.application.session().evaluate(condition, self.text).await? {
            Evaluated::Value(value, data_type) => (value, data_type),
            Evaluated::Query(query) => {
                let data_type = query.columns.first().map_or(DataType::Null, |c| c.data_type.clone());
                let rows = self.application.run_query(query).await?;
                let found = rows.batches.iter().find(|b| b.num_rows() > 0).and_then(|b| b.columns().first());
                let value = found.and_then(|c| c.as_boolean_opt()).map(|c| {
                    use arrow::array::Array;
                    (!c.is_null(0)).then(|| c.value(0))
                });
                (ScalarValue::Boolean(value.flatten()), data_type)
            }
        };
        match (data_type, value) {
            (DataType::Boolean, ScalarValue::Boolean(value)) => Ok(value == Some(true)),
            (DataType::Null, _) => Ok(false),
            _ => {
                let (start, end) = (condition.span.start as usize, condition.span.end as usize);
                let shown = self.text.get(start..end).unwrap_or_default().to_uppercase();
                Err(SparkError::new(
                    "INVALID_BOOLEAN_STATEMENT",
                    "22546",
                    format!("Boolean statement is expected in the condition, but {shown} was found."),
                )
                .param("invalidStatement", shown)
                .at(self.text, condition.span))
            }
        }
    }
}

fn is_label(label: Option<&Ident>, name: &str) -> bool {
    label.is_some_and(|l| l.eq_ignore_ascii_case(name))
}

fn equal(left: &Expr, right: &Expr) -> Expr {
    let kind = ExprKind::Binary { op: BinaryOp::Equal, left: Box::new(left.clone()), right: Box::new(right.clone()) };
    Expr::new(kind, right.span)
}
