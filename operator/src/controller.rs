//! Watches jobs and their driver pods and has them reconciled.

use crate::{
    error::Error,
    orphans,
    reconcile::{Context, Next, reconcile},
};
use firesteel_api::{SparkJob, names};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    runtime::{
        controller::{Action, Config, Controller},
        watcher,
    },
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// A look at every job at least this often, whatever the watches say.
const RESYNC: Duration = Duration::from_secs(300);
/// Pause between two sweeps for leftovers.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// What a controller's callbacks share.
struct Shared {
    context: Context,
    /// Errors in a row, by job UID. Entries go with the first success.
    failures: Mutex<HashMap<String, u32>>,
}

/// Waits until the SparkJob definition is there and readable, telling `missing` how it stands.
pub async fn wait_for_definition(client: &Client, namespace: Option<&str>, mut missing: impl FnMut(bool)) {
    let api = jobs(client, namespace);
    loop {
        match api.list(&ListParams::default().limit(1)).await {
            Ok(_) => return missing(false),
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                missing(true);
                tracing::warn!(
                    "the SparkJob definition is not installed: apply crds/ or set crds.install in the chart; looking again in 5 s"
                );
            }
            Err(error) => tracing::warn!(%error, "cannot list SparkJobs; trying again in 5 s"),
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

/// Reconciles the jobs of one namespace, or of all, until `stop` turns true. Work in hand is finished.
pub async fn run(context: Context, namespace: Option<String>, concurrency: u16, stop: watch::Receiver<bool>) {
    let client = context.client.clone();
    let metrics = context.metrics.clone();
    let shared = Arc::new(Shared { context, failures: Mutex::default() });
    let drivers = watcher::Config::default().labels(&format!("{}=driver", names::LABEL_ROLE));
    let pods: Api<Pod> = match &namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let controller = Controller::new(jobs(&client, namespace.as_deref()), watcher::Config::default())
        .owns(pods, drivers)
        .with_config(Config::default().concurrency(concurrency))
        .graceful_shutdown_on(stopped(stop.clone()));
    metrics.count_from(controller.store());

    let sweeps = tokio::spawn(sweep_regularly(client, namespace, metrics, stop));
    controller
        .run(|job, shared| async move { look(job, shared).await }, on_error, shared)
        .for_each(|result| async move {
            if let Err(error) = result {
                tracing::debug!(%error, "controller");
            }
        })
        .await;
    sweeps.abort();
}

async fn look(job: Arc<SparkJob>, shared: Arc<Shared>) -> Result<Action, Error> {
    let began = Instant::now();
    let uid = job.uid().unwrap_or_default();
    let result = reconcile(job, &shared.context).await;
    shared.context.metrics.reconciled(result.as_ref().err().map(Error::label), began.elapsed());
    let next = result?;
    shared.failures.lock().remove(&uid);
    Ok(match next {
        Next::OnChange => Action::requeue(RESYNC),
        // Times in a status are whole seconds: a look a little late finds them passed.
        Next::After(wait) => Action::requeue((wait + Duration::from_millis(50)).min(RESYNC)),
    })
}

fn on_error(job: Arc<SparkJob>, error: &Error, shared: Arc<Shared>) -> Action {
    let mut failures = shared.failures.lock();
    let count = failures.entry(job.uid().unwrap_or_default()).or_insert(0);
    *count = count.saturating_add(1);
    let wait = error.retry_after(*count);
    match error {
        Error::Conflict { .. } => tracing::debug!(job = job.name_any(), %error, "looking again"),
        _ => tracing::warn!(
            namespace = job.namespace().unwrap_or_default(),
            job = job.name_any(),
            %error,
            again_in = ?wait,
            "cannot reconcile"
        ),
    }
    Action::requeue(wait)
}

async fn sweep_regularly(
    client: Client,
    namespace: Option<String>,
    metrics: Arc<crate::metrics::Metrics>,
    stop: watch::Receiver<bool>,
) {
    let work = async {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            if let Err(error) = orphans::sweep(&client, namespace.as_deref(), &metrics).await {
                tracing::warn!(%error, "sweep for leftovers");
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stopped(stop) => {}
    }
}

/// Done when the flag turns true or its owner is gone.
pub async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn jobs(client: &Client, namespace: Option<&str>) -> Api<SparkJob> {
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}
