//! `firesteel run`: a SparkJob on this machine.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use firesteel_api::{jobfile::JobFile, validate};
use firesteel_driver::{Master, Outcome};
use firesteel_plan::{SparkError, SparkResult};

use crate::{
    engine::{self, Running},
    fail, output,
    progress_bar::Bar,
    sql,
};

#[derive(Args)]
pub struct RunArgs {
    /// A YAML file with one SparkJob; ConfigMaps in it are found by `sql.configMap`.
    job: PathBuf,
    /// Takes the place of a key of the job's sparkConf. May be given often.
    #[arg(short, long = "conf", value_name = "KEY=VALUE")]
    conf: Vec<String>,
    /// Where plans run: local[N] is N threads of this process, local[*] one a core, local-cluster[executors,cores,MiB]
    /// executors that are processes of their own.
    #[arg(short, long)]
    master: Option<Master>,
    /// How rows are written to standard output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: output::Format,
    /// No progress bar.
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Args)]
pub struct DriverArgs {
    /// The job file that the operator mounted.
    #[arg(long)]
    job: PathBuf,
}

pub fn driver(args: DriverArgs) -> ExitCode {
    let runtime = match engine::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(error),
    };
    runtime.block_on(firesteel_driver::pod::run(&args.job))
}

pub fn run(args: RunArgs, log: &str) -> ExitCode {
    let (text, conf) = match load(&args) {
        Ok(loaded) => loaded,
        Err(error) => return fail(error),
    };
    let result = engine::conf(&conf).and_then(|conf| {
        let runtime = engine::runtime()?;
        runtime.block_on(async {
            let running = Running::start(conf, args.master, log).await?;
            let application = &running.application;
            let text = text.read(application.session().engine()).await?;
            let bar = Bar::start(application.progress(), !args.quiet);
            let mut shown = Ok(());
            let ran = application
                .run_script(&text, |result| {
                    shown = bar.suspend(|| {
                        if let Outcome::Written(summary) = &result.outcome {
                            eprintln!(
                                "wrote {} rows in {} files ({:.1} s)",
                                summary.rows, summary.files, result.seconds
                            );
                        }
                        sql::show(application, &result, args.output)
                    });
                    shown.is_ok()
                })
                .await;
            drop(bar);
            running.end().await;
            ran.and(shown)
        })
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error),
    }
}

/// The job's SQL and its configuration as `key=value` pairs, the command line's last.
fn load(args: &RunArgs) -> SparkResult<(firesteel_driver::sql::SqlText, Vec<String>)> {
    let place = args.job.display();
    let wrong = |why: String| SparkError::new("INVALID_JOB_FILE", "22023", format!("{place}: {why}"));
    let text = std::fs::read_to_string(&args.job).map_err(|e| wrong(e.to_string()))?;
    let mut file = JobFile::parse(&text).map_err(|e| wrong(e.to_string()))?;
    file.inline_config_map().map_err(|e| wrong(e.to_string()))?;
    file.apply_local_conf().map_err(|e| wrong(e.to_string()))?;
    let plan = validate::validate(&file.job, validate::Target::Local).map_err(|e| wrong(e.to_string()))?;
    let mut conf: Vec<String> = file.job.spec.spark_conf.iter().map(|(k, v)| format!("{k}={v}")).collect();
    conf.extend(args.conf.iter().cloned());
    let folder = args.job.parent().unwrap_or(Path::new("."));
    Ok((firesteel_driver::sql::SqlText::of(&plan.sql, Some(folder)), conf))
}
