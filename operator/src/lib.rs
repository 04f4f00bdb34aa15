//! The operator: makes of each SparkJob a driver pod, follows it to its end and says so in the job's status.

pub mod config;
pub mod controller;
pub mod error;
pub mod lease;
pub mod metrics;
pub mod orphans;
pub mod reconcile;
pub mod reference;
pub mod server;
pub mod telemetry;

use config::{CrdsArgs, Settings};
use firesteel_api::crd;
use kube::{
    Client,
    runtime::events::{Recorder, Reporter},
};
use lease::{Elector, Timing};
use metrics::Metrics;
use rand::{Rng, distr::Alphanumeric};
use reconcile::Context;
use server::Health;
use std::{sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Longest time given to work in hand after SIGTERM.
const DRAIN: Duration = Duration::from_secs(20);

/// Runs the operator until SIGTERM or SIGINT, or until it stops being the leader.
///
/// # Errors
/// No cluster configuration, a port that is taken, or leadership lost: the process should end and be started again.
pub async fn run(settings: Settings) -> Result<(), BoxError> {
    telemetry::init(&settings);
    let client = Client::try_default().await?;
    let identity = settings.identity.clone().unwrap_or_else(random_identity);
    let metrics = Arc::new(Metrics::default());
    let health = Health::default();
    let listener = TcpListener::bind(settings.listen).await?;
    let (stop_sender, stop) = watch::channel(false);
    let http =
        tokio::spawn(server::serve(listener, metrics.clone(), health.clone(), controller::stopped(stop.clone())));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), identity, namespaces = ?settings.namespaces(), "operator starts");

    tokio::spawn(async move {
        let signal = termination().await;
        tracing::info!(signal, "operator stops");
        let _ = stop_sender.send(true);
    });
    let result = work(&settings, client, &identity, metrics, health, stop).await;
    // The probes are answered to the end; the process ends with this function whether or not a connection lingers.
    let _ = tokio::time::timeout(Duration::from_secs(1), http).await;
    result
}

/// Everything between start and stop. Returns without error when told to stop.
async fn work(
    settings: &Settings,
    client: Client,
    identity: &str,
    metrics: Arc<Metrics>,
    health: Health,
    stop: watch::Receiver<bool>,
) -> Result<(), BoxError> {
    let namespaces = settings.namespaces();
    let first = namespaces.first().map(String::as_str);
    tokio::select! {
        () = controller::wait_for_definition(&client, first, |missing| metrics.set_crd_missing(missing)) => {}
        () = controller::stopped(stop.clone()) => return Ok(()),
    }
    // A standby is ready too: it could take over.
    health.set_ready(true);

    let mut elector = None;
    if settings.leader_election {
        let namespace = settings.lease_namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let mut candidate = Elector::new(client.clone(), &namespace, &settings.lease_name, identity, Timing::default());
        tracing::info!(lease = settings.lease_name, namespace, "waiting to become the leader");
        tokio::select! {
            () = candidate.acquire() => {}
            () = controller::stopped(stop.clone()) => return Ok(()),
        }
        tracing::info!("this process is the leader");
        elector = Some(candidate);
    }
    metrics.set_leader(true);

    let mut controllers = JoinSet::new();
    let scopes = if namespaces.is_empty() { vec![None] } else { namespaces.into_iter().map(Some).collect() };
    for scope in scopes {
        let reporter = Reporter { controller: "firesteel-operator".into(), instance: Some(identity.to_owned()) };
        let context = Context {
            client: client.clone(),
            recorder: Recorder::new(client.clone(), reporter),
            defaults: settings.defaults(),
            metrics: metrics.clone(),
        };
        controllers.spawn(controller::run(context, scope, settings.concurrency, stop.clone()));
    }
    let lost = async {
        match &mut elector {
            Some(elector) => elector.hold().await,
            None => std::future::pending().await,
        }
    };
    let result: Result<(), BoxError> = tokio::select! {
        () = lost => Err("leadership lost".into()),
        // They end by themselves only when told to stop, with their work in hand finished.
        ended = finish(&mut controllers, stop) => ended,
    };
    metrics.set_leader(false);
    controllers.shutdown().await;
    if let (Some(elector), Ok(())) = (&mut elector, &result) {
        elector.release().await;
    }
    result
}

/// Waits for the controllers to end after the order to stop, at most [`DRAIN`].
async fn finish(controllers: &mut JoinSet<()>, stop: watch::Receiver<bool>) -> Result<(), BoxError> {
    tokio::select! {
        _ = controllers.join_next(), if !controllers.is_empty() => {
            if !*stop.borrow() {
                return Err("a controller ended by itself".into());
            }
        }
        () = controller::stopped(stop.clone()) => {}
    }
    let _ = tokio::time::timeout(DRAIN, async { while controllers.join_next().await.is_some() {} }).await;
    Ok(())
}

/// Done with the first SIGTERM or SIGINT; the signal's name.
async fn termination() -> &'static str {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    }
}

fn random_identity() -> String {
    let suffix: String = rand::rng().sample_iter(&Alphanumeric).take(8).map(char::from).collect();
    format!("{}-{suffix}", std::env::var("HOSTNAME").unwrap_or_else(|_| "operator".into()))
}

/// Prints the definitions, or writes them into a folder; and their reference page when asked.
///
/// # Errors
/// A file cannot be written.
pub fn crds(args: &CrdsArgs) -> Result<(), BoxError> {
    let yaml = crd::sparkjob_yaml()?;
    if args.dir.is_empty() {
        print!("{yaml}");
    }
    for dir in &args.dir {
        std::fs::create_dir_all(dir)?;
        std::fs::write(dir.join(crd::SPARKJOB_FILE), &yaml)?;
    }
    if let Some(path) = &args.reference {
        std::fs::write(path, reference::sparkjob_markdown(&crd::sparkjob_json()?))?;
    }
    Ok(())
}
