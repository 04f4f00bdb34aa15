//! The operator's program: `run` reconciles SparkJobs, `crds` prints the CustomResourceDefinitions.

use clap::Parser;
use firesteel_operator::config::{Cli, Command};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(settings) => firesteel_operator::run(*settings).await,
        Command::Crds(args) => firesteel_operator::crds(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "ending");
            eprintln!("firesteel-operator: {error}");
            ExitCode::FAILURE
        }
    }
}
