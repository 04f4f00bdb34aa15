//! TRANSFORM: rows that go through a program as lines of text.
//!
//! The driver runs the program, once, with the rows of the input in their order, and what it writes takes the place of the
//! node in the plan before the plan is optimized, as the rows of a recursion do.

use std::{
    fmt,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringBuilder},
    datatypes::{DataType, Field, Schema},
};
use datafusion::{
    common::{
        DFSchemaRef,
        tree_node::{Transformed, TreeNodeRecursion},
    },
    error::DataFusionError,
    logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore},
};
use firesteel_plan::{SparkError, SparkResult};
use parking_lot::Mutex;

use crate::{
    error::from_datafusion,
    recursion::{Recursion, RunRows, scan},
};

/// Most bytes that a program may write: they are in the driver's memory.
const MAX_OUTPUT: u64 = 1 << 30;

/// Most bytes of what a program says of its failure.
const MAX_COMPLAINT: u64 = 4096;

/// How rows are written as lines, and read from them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LineFormat {
    pub fields: String,
    pub null: String,
}

/// A program in a plan: a leaf, for its input runs on its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Program {
    pub id: u64,
    /// Its columns are texts.
    pub input: LogicalPlan,
    pub command: String,
    pub write: LineFormat,
    pub read: LineFormat,
    /// Texts.
    pub schema: DFSchemaRef,
}

impl PartialOrd for Program {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.id.partial_cmp(&other.id)
    }
}

impl UserDefinedLogicalNodeCore for Program {
    fn name(&self) -> &str {
        "Program"
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
        write!(f, "Program: {}", self.command)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, _: Vec<LogicalPlan>) -> Result<Self, DataFusionError> {
        Ok(self.clone())
    }
}

/// Whether something must run before the plan has a physical one.
pub fn runs_first(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let walked = plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::Extension(extension)
            if extension.node.as_any().is::<Program>() || extension.node.as_any().is::<Recursion>());
        Ok(TreeNodeRecursion::Continue)
    });
    found || walked.is_err()
}

fn program(plan: &LogicalPlan) -> Option<&Program> {
    match plan {
        LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref::<Program>(),
        _ => None,
    }
}

pub fn plan(node: Program) -> LogicalPlan {
    LogicalPlan::Extension(Extension { node: Arc::new(node) as Arc<dyn UserDefinedLogicalNode> })
}

/// The plan with what its programs write in their places.
pub async fn expand(plan: LogicalPlan, runner: &dyn RunRows) -> SparkResult<LogicalPlan> {
    let mut nodes: Vec<Program> = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let Some(node) = program(node)
            && !nodes.iter().any(|known| known.id == node.id)
        {
            nodes.push(node.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(|e| from_datafusion(&e))?;
    if nodes.is_empty() {
        return Ok(plan);
    }
    let mut written: Vec<(u64, LogicalPlan)> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let rows = runner.rows(node.input.clone()).await?;
        let id = node.id;
        let child = Arc::new(Mutex::new(None));
        // Whoever does not wait for the rows any more ends the program.
        let _ends = Ends(child.clone());
        let schema = node.schema.clone();
        let made = tokio::task::spawn_blocking(move || run(&node, &rows, &child)).await;
        let batch = made.map_err(SparkError::internal)??;
        let fields: Vec<Field> = schema.fields().iter().map(|f| Field::new(f.name(), DataType::Utf8, true)).collect();
        written.push((id, scan(&format!("program_{id}"), &Arc::new(Schema::new(fields)), vec![batch])?));
    }
    plan.transform_up_with_subqueries(|node| {
        let made = program(&node).and_then(|p| written.iter().find(|(id, _)| *id == p.id));
        Ok(match made {
            Some((_, made)) => Transformed::yes(made.clone()),
            None => Transformed::no(node),
        })
    })
    .map(|t| t.data)
    .map_err(|e| from_datafusion(&e))
}

struct Ends(Arc<Mutex<Option<Child>>>);

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.lock().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Blocks until the program has ended.
fn run(node: &Program, rows: &[RecordBatch], place: &Mutex<Option<Child>>) -> SparkResult<RecordBatch> {
    let failed = |what: &dyn fmt::Display| {
        SparkError::new(
            "SCRIPT_TRANSFORMATION_FAILED",
            "38000",
            format!("The program of TRANSFORM failed: {what} (`{}`).", node.command),
        )
        .param("command", &node.command)
    };
    let mut child = Command::new("/bin/bash")
        .args(["-c", &node.command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| failed(&e))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return Err(SparkError::internal("a program without pipes"));
    };
    *place.lock() = Some(child);
    let (read, complaint) = std::thread::scope(|scope| {
        // A program may end before it has read everything, as `head` does.
        scope.spawn(move || {
            let _ = write_lines(&mut stdin, rows, &node.write);
        });
        let complaint = scope.spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.take(MAX_COMPLAINT).read_to_end(&mut text);
            String::from_utf8_lossy(&text).trim().to_owned()
        });
        let read = read_lines(stdout, node);
        if read.is_err()
            && let Some(child) = place.lock().as_mut()
        {
            let _ = child.kill();
        }
        (read, complaint.join().unwrap_or_default())
    });
    let batch = read.map_err(|e| failed(&e))?;
    let Some(mut child) = place.lock().take() else { return Err(failed(&"it was ended")) };
    let status = child.wait().map_err(|e| failed(&e))?;
    if status.success() { Ok(batch) } else { Err(failed(&format_args!("{status}: {complaint}"))) }
}

fn write_lines(out: &mut impl Write, rows: &[RecordBatch], format: &LineFormat) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(out);
    for batch in rows {
        for row in 0..batch.num_rows() {
            for (at, column) in batch.columns().iter().enumerate() {
                if at > 0 {
                    out.write_all(format.fields.as_bytes())?;
                }
                let text = column.as_string_opt::<i32>().filter(|c| c.is_valid(row)).map(|c| c.value(row));
                out.write_all(text.unwrap_or(&format.null).as_bytes())?;
            }
            out.write_all(b"\n")?;
        }
    }
    out.flush()
}

fn read_lines(out: impl Read, node: &Program) -> Result<RecordBatch, String> {
    let width = node.schema.fields().len();
    let mut columns: Vec<StringBuilder> = (0..width).map(|_| StringBuilder::new()).collect();
    let mut lines = BufReader::new(out.take(MAX_OUTPUT + 1));
    let (mut line, mut bytes) = (Vec::new(), 0_u64);
    loop {
        line.clear();
        let read = lines.read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        if bytes > MAX_OUTPUT {
            return Err(format!("it wrote more than {MAX_OUTPUT} bytes"));
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let mut fields = text.split(node.read.fields.as_str());
        for column in &mut columns {
            column.append_option(fields.next().filter(|f| *f != node.read.null));
        }
    }
    let arrays: Vec<ArrayRef> = columns.iter_mut().map(|c| Arc::new(c.finish()) as ArrayRef).collect();
    let fields: Vec<Field> = node.schema.fields().iter().map(|f| Field::new(f.name(), DataType::Utf8, true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|e| e.to_string())
}
