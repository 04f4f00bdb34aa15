//! Command line and environment of the operator. Every setting has both forms; the chart uses the environment.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf};

#[derive(Debug, Parser)]
#[command(name = "firesteel-operator", version, about = "Runs SparkJobs on Kubernetes")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Reconcile SparkJobs until told to stop.
    Run(Box<Settings>),
    /// Print the CustomResourceDefinitions, or write them into a folder.
    Crds(CrdsArgs),
}

#[derive(Debug, Args)]
pub struct CrdsArgs {
    /// Write one file per definition into this folder instead of printing; may be given several times.
    #[arg(long)]
    pub dir: Vec<PathBuf>,
    /// Also write the reference page of the SparkJob to this file.
    #[arg(long)]
    pub reference: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Json,
    Text,
}

#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Namespaces to watch, separated by commas. Empty: all of them.
    #[arg(long, env = "FIRESTEEL_WATCH_NAMESPACES", default_value = "", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,

    /// Image of drivers and executors, for jobs that name none.
    #[arg(long, env = "FIRESTEEL_RUNTIME_IMAGE")]
    pub runtime_image: String,

    /// Pull policy of that image, for jobs that name none.
    #[arg(long, env = "FIRESTEEL_IMAGE_PULL_POLICY")]
    pub image_pull_policy: Option<String>,

    /// Pull secrets, separated by commas, for jobs that name none.
    #[arg(long, env = "FIRESTEEL_IMAGE_PULL_SECRETS", default_value = "", value_delimiter = ',')]
    pub image_pull_secrets: Vec<String>,

    /// Service account of drivers, for jobs that name none.
    #[arg(long, env = "FIRESTEEL_DRIVER_SERVICE_ACCOUNT", default_value = "firesteel-driver")]
    pub driver_service_account: String,

    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "FIRESTEEL_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Jobs reconciled at the same time.
    #[arg(long, env = "FIRESTEEL_CONCURRENCY", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,

    /// Elect a leader by a Lease; needed with more than one replica.
    #[arg(long, env = "FIRESTEEL_LEADER_ELECTION", default_value_t = false, action = clap::ArgAction::Set)]
    pub leader_election: bool,

    /// Namespace of the Lease. Default: the operator's own.
    #[arg(long, env = "FIRESTEEL_LEASE_NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// Name of the Lease.
    #[arg(long, env = "FIRESTEEL_LEASE_NAME", default_value = "firesteel-operator")]
    pub lease_name: String,

    /// Who this process is, in the Lease and in Events. Default: host name and a random suffix.
    #[arg(long, env = "FIRESTEEL_POD_NAME")]
    pub identity: Option<String>,

    /// What is logged, as `info` or `firesteel_operator=debug,kube=warn`.
    #[arg(long, env = "FIRESTEEL_LOG", default_value = "info")]
    pub log: String,

    /// How it is logged.
    #[arg(long, env = "FIRESTEEL_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
}

impl Settings {
    /// The namespaces without empty entries; none means all.
    pub fn namespaces(&self) -> Vec<String> {
        non_empty(&self.watch_namespaces)
    }

    /// What a job gets where it says nothing.
    pub fn defaults(&self) -> Defaults {
        Defaults {
            image: self.runtime_image.clone(),
            image_pull_policy: self.image_pull_policy.clone().filter(|policy| !policy.is_empty()),
            image_pull_secrets: non_empty(&self.image_pull_secrets),
            driver_service_account: self.driver_service_account.clone(),
        }
    }
}

fn non_empty(list: &[String]) -> Vec<String> {
    list.iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

/// What a job gets where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    pub image: String,
    pub image_pull_policy: Option<String>,
    pub image_pull_secrets: Vec<String>,
    pub driver_service_account: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn empty_lists_are_empty() {
        let cli = Cli::parse_from([
            "x",
            "run",
            "--runtime-image",
            "i",
            "--watch-namespaces",
            "a, b,",
            "--image-pull-policy",
            "",
        ]);
        let Command::Run(settings) = cli.command else { panic!("not run") };
        assert_eq!(settings.namespaces(), ["a", "b"]);
        assert_eq!(settings.defaults().image_pull_policy, None);
        assert!(settings.defaults().image_pull_secrets.is_empty());
    }
}
