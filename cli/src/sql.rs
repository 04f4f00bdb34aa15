//! `firesteel sql`.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};
use firesteel_driver::{Application, Master, Outcome, StatementResult};
use firesteel_plan::SparkResult;

use crate::{
    engine::{self, Running},
    fail, json_session, output,
    progress_bar::Bar,
    shell,
};

#[derive(Args)]
pub struct SqlArgs {
    /// SQL text; several statements are separated by semicolons.
    #[arg(conflicts_with = "file")]
    text: Option<String>,
    /// A file of SQL text; `-` is standard input.
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// A configuration key of Spark's, such as spark.sql.session.timeZone=UTC. May be given often.
    #[arg(short, long = "conf", value_name = "KEY=VALUE")]
    conf: Vec<String>,
    /// Where plans run: local[N] is N threads of this process, local[*] one a core, local-cluster[executors,cores,MiB]
    /// executors that are processes of their own.
    #[arg(short, long)]
    master: Option<Master>,
    /// How rows are written to standard output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: output::Format,
    /// Tell the time of each statement on standard error; as JSON lines with `json`, which also tell how long it took until the plan
    /// was there, and the columns of the result.
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "text")]
    timing: Option<Timing>,
    /// Show on standard error how the plan of each query changed while it ran: the final plan and the initial one. On executors
    /// only (--master local-cluster[…]); in one process plans stay as EXPLAIN shows them.
    #[arg(long)]
    show_plan: bool,
    /// For programs: each line of standard input is a statement, {"sql": "…"}, and each is answered by one line, also when it fails.
    /// Rows are texts as Spark's SQL shell prints them: {"schema": "struct<a:int>", "rows": ["1"], "seconds": 0.01}, or
    /// {"error": {"errorClass", "sqlState", "messageParameters", "queryContext", "message"}, "seconds": 0.01}.
    #[arg(long, conflicts_with_all = ["text", "file", "output", "timing", "show_plan"])]
    json_session: bool,
    /// No progress bar.
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Timing {
    Text,
    Json,
}

pub fn run(args: SqlArgs, log: &str) -> ExitCode {
    if args.json_session {
        return match json_session(args, log) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(error),
        };
    }
    let text = match (&args.text, &args.file) {
        (Some(text), _) => Some(text.clone()),
        (None, Some(path)) if path.as_os_str() == "-" => match std::io::read_to_string(std::io::stdin()) {
            Ok(text) => Some(text),
            Err(error) => return fail(format!("cannot read standard input: {error}")),
        },
        (None, Some(path)) => match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) => return fail(format!("cannot read {}: {error}", path.display())),
        },
        (None, None) => None,
    };
    let result = engine::conf(&args.conf).and_then(|conf| {
        let runtime = engine::runtime()?;
        let running = runtime.block_on(Running::start(conf, args.master, log))?;
        let ran = match text {
            Some(text) => runtime.block_on(script(&running.application, &text, &args)),
            None => shell::run(&runtime, &running.application, args.output),
        };
        runtime.block_on(running.end());
        ran
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error),
    }
}

fn json_session(args: SqlArgs, log: &str) -> SparkResult<()> {
    let runtime = engine::runtime()?;
    let running = runtime.block_on(Running::start(engine::conf(&args.conf)?, args.master, log))?;
    let (application, executors) = running.split();
    let ran = json_session::run(&runtime, application);
    runtime.block_on(engine::end(executors));
    ran
}

async fn script(application: &Application, text: &str, args: &SqlArgs) -> SparkResult<()> {
    let bar = Bar::start(application.progress(), !args.quiet);
    let mut shown = Ok(());
    let mut number = 0;
    let mut last_plan = None;
    let ran = application
        .run_script(text, |result| {
            number += 1;
            shown = bar.suspend(|| {
                let shown = show(application, &result, args.output);
                report(args.timing, application, number, &result);
                if args.show_plan {
                    show_plan(application, number, &mut last_plan);
                }
                shown
            });
            shown.is_ok()
        })
        .await;
    drop(bar);
    if let (Err(error), Some(Timing::Json)) = (&ran, args.timing) {
        eprintln!("{}", serde_json::json!({ "statement": number + 1, "error": error.to_string() }));
    }
    ran.and(shown)
}

pub fn show(application: &Application, result: &StatementResult, format: output::Format) -> SparkResult<()> {
    match &result.outcome {
        Outcome::Rows(rows) => output::write(rows, format, &application.session().conf()),
        Outcome::Written(_) | Outcome::Done => Ok(()),
    }
}

/// Unless it is that of an earlier statement.
fn show_plan(application: &Application, number: usize, last: &mut Option<String>) {
    let plan = application.executed_plan();
    if plan != *last {
        if let Some(plan) = &plan {
            eprintln!("statement {number}\n{plan}\n");
        }
        *last = plan;
    }
}

fn report(timing: Option<Timing>, application: &Application, number: usize, result: &StatementResult) {
    let (rows, columns) = match &result.outcome {
        Outcome::Rows(rows) => (rows.num_rows() as u64, rows.columns.as_slice()),
        Outcome::Written(_) | Outcome::Done => (0, [].as_slice()),
    };
    match timing {
        None => {}
        Some(Timing::Text) => eprintln!("statement {number}: {:.3} s, {rows} rows", result.seconds),
        Some(Timing::Json) => {
            let columns: Vec<_> = columns.iter().map(|c| [c.name.clone(), c.data_type.to_string()]).collect();
            let mut told = serde_json::json!({ "statement": number, "seconds": result.seconds, "rows": rows });
            let planning = application.planning();
            if let Some(whole) = planning.whole() {
                told["planning"] = whole.as_secs_f64().into();
                told["phases"] = serde_json::json!({
                    "parse": planning.parse.as_secs_f64(),
                    "analysis": planning.analysis.as_secs_f64(),
                    "optimizer": planning.optimizer.as_secs_f64(),
                    "physical": planning.physical.as_secs_f64(),
                });
            }
            if !columns.is_empty() {
                told["columns"] = serde_json::json!(columns);
            }
            eprintln!("{told}");
        }
    }
}
