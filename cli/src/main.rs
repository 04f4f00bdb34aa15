//! `firesteel`: Spark work on Kubernetes and on one machine, without a JVM.

mod allocator;
mod engine;
mod json_session;
mod loggen;
mod loggen_command;
mod output;
mod progress_bar;
mod run;
mod shell;
mod sql;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Spark work on Kubernetes and on one machine, without a JVM.
#[derive(Parser)]
#[command(
    name = "firesteel",
    version,
    after_help = "\
EXAMPLES
  firesteel run examples/server-health/job.yaml        a SparkJob on this machine, as a cluster would run it
  firesteel sql \"SELECT count(*) FROM csv.`/data/*.csv`\"  one query
  firesteel sql                                        a shell: end statements with ; and leave with Ctrl-D
  kubectl apply -f examples/server-health/job.yaml     the same SparkJob on a cluster with the operator"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log, as `info` or `firesteel_driver=debug`; `warn` when not given, in pods `info`. Logs go to standard error.
    #[arg(long, global = true, env = "FIRESTEEL_LOG", hide_env_values = true)]
    log: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Run a SparkJob on this machine, without Kubernetes.
    Run(run::RunArgs),
    /// Run SQL: a statement, a file, or a shell when neither is given.
    Sql(sql::SqlArgs),
    /// Write web-server access logs for examples and tests: the same for the same seed, of any size.
    Loggen(loggen_command::LoggenArgs),
    /// The driver of one application; started by the operator in a pod.
    #[command(hide = true)]
    Driver(run::DriverArgs),
    /// An executor; started by a driver in a pod, configured by its environment.
    #[command(hide = true)]
    Executor,
}

fn main() -> ExitCode {
    allocator::configure();
    let cli = Cli::parse();
    let in_pod = matches!(cli.command, Command::Driver(_) | Command::Executor);
    let level = cli.log.as_deref().unwrap_or(if in_pod { "info" } else { "warn" });
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("warn"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if in_pod {
        logs.json().flatten_event(true).init();
    } else {
        logs.with_target(false).init();
    }
    match cli.command {
        Command::Run(args) => run::run(args, level),
        Command::Sql(args) => sql::run(args, level),
        Command::Loggen(args) => loggen_command::run(&args),
        Command::Driver(args) => run::driver(args),
        Command::Executor => executor(),
    }
}

fn executor() -> ExitCode {
    let options = firesteel_executor::ExecutorOptions::from_env();
    match options.and_then(firesteel_executor::run_executor) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the executor ends");
            ExitCode::FAILURE
        }
    }
}

/// Says what went wrong, for people.
fn fail(message: impl std::fmt::Display) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::FAILURE
}
