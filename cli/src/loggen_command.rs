//! `firesteel loggen`.

use std::{path::PathBuf, process::ExitCode, time::Instant};

use clap::Args;
use indicatif::HumanBytes;

use crate::{fail, loggen};

#[derive(Args)]
pub struct LoggenArgs {
    #[command(flatten)]
    options: loggen::Options,
    /// Folder to write into; made where it is missing.
    out: PathBuf,
}

pub fn run(args: &LoggenArgs) -> ExitCode {
    let started = Instant::now();
    match loggen::generate(&args.options, &args.out) {
        Ok(summary) => {
            let seconds = started.elapsed().as_secs_f64();
            println!(
                "wrote {} lines ({} of them malformed), {}, in {} files below {} in {seconds:.1} s",
                summary.lines,
                summary.malformed,
                HumanBytes(summary.bytes),
                summary.files,
                args.out.display(),
            );
            ExitCode::SUCCESS
        }
        Err(error) => fail(format!("cannot write logs to {}: {error}", args.out.display())),
    }
}
