//! The driver in a pod: one attempt of one SparkJob on a cluster.
//!
//! It reads the job that the operator mounted, asks Kubernetes for executors, runs the program on them and tells how it
//! went: progress in the job's status while it runs, the termination message at its end, results in its log.

mod allocation;
#[cfg(test)]
mod allocation_test;
pub(crate) mod demand;
#[cfg(test)]
mod elastic_test;
mod fleet;
mod http;
mod journal;
mod nodes;
mod observe;
mod outcome;
mod output;
mod recall;
mod settings;
mod status;

use std::{io, net::IpAddr, path::Path, process::ExitCode, sync::Arc, time::Duration};

use firesteel_analyzer::Session;
use firesteel_api::{
    Reason,
    pods::{DRIVER_HTTP_PORT, DRIVER_RPC_PORT},
    scaling::Scaling,
    termination,
};
use firesteel_engine::{EngineOptions, EngineSession, ExecutionMode};
use firesteel_plan::{SparkError, SparkResult};
use firesteel_protocol::ExecutorId;
use kube::Client;
use opentelemetry::KeyValue;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use self::{
    allocation::Allocation,
    http::Metrics,
    journal::StatusJournal,
    observe::Trouble,
    outcome::{Failure, last_word, write_last_word},
    settings::Settings,
    status::StatusWriter,
};
use crate::{
    Application, Outcome, ProgressSender,
    cluster::{Cluster, ClusterOptions, Core},
    sql::SqlText,
    traces::Traces,
};

/// How long a program that is told to stop may take to undo what it has half written. Less than a pod's grace.
const STOP_WITHIN: Duration = Duration::from_secs(15);
/// How long the end may take once the program has ended: pods deleted, the last status written.
const END_WITHIN: Duration = Duration::from_secs(8);
/// How long the note may take that the program has ended.
const NOTED_WITHIN: Duration = Duration::from_secs(5);
/// How long the executors of the driver before this one may take to come and tell what they hold.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(30);

/// Runs the job of the mounted file.
pub async fn run(job: &Path) -> ExitCode {
    let settings = match Settings::read(job) {
        Ok(settings) => settings,
        Err(failure) => return conclude(Err(failure), None),
    };
    let stop = CancellationToken::new();
    if let Err(error) = stop_on_signal(stop.clone()) {
        let failure = Failure::new(Reason::InternalError, format!("cannot watch for signals: {error}"));
        return conclude(Err(failure), Some(&settings));
    }
    let traces = traces_of(&settings);
    let progress = ProgressSender::default();
    let metrics = Metrics::new(progress.clone());
    if let Err(error) = serve_http(settings.listen, metrics.clone(), stop.clone()).await {
        let failure = Failure::new(Reason::InternalError, format!("cannot listen on port {DRIVER_HTTP_PORT}: {error}"));
        return conclude(Err(failure), Some(&settings));
    }
    let started = Parts::start(&settings, progress, &metrics).await;
    let parts = match started {
        Ok(parts) => parts,
        Err(failure) => return conclude(Err(failure), Some(&settings)),
    };
    let code = parts.run(&settings, &stop).await;
    if let Some(traces) = traces {
        traces.finish().await;
    }
    code
}

/// Where the job's environment asks for them. That they cannot be sent is no reason not to run.
fn traces_of(settings: &Settings) -> Option<Traces> {
    let context = &settings.context;
    let attributes = vec![
        KeyValue::new("k8s.namespace.name", context.namespace.clone()),
        KeyValue::new("k8s.pod.name", settings.pod_name.clone()),
        KeyValue::new("firesteel.sparkjob", context.job.clone()),
        KeyValue::new("firesteel.attempt", i64::from(context.attempt)),
    ];
    Traces::from_env(attributes)?.inspect_err(|message| tracing::warn!("{message}")).ok()
}

/// Everything that runs beside the program.
struct Parts {
    client: Client,
    cluster: Cluster,
    engine: EngineSession,
    progress: ProgressSender,
    /// Where what is done is noted for a driver that may follow this one.
    journal: Option<Arc<StatusJournal>>,
    /// The executors of the driver before this one, once they are known.
    inherited: watch::Receiver<Option<Vec<ExecutorId>>>,
    allocation: JoinHandle<Option<Trouble>>,
    executors: watch::Receiver<firesteel_api::ExecutorStatus>,
    status: JoinHandle<()>,
    /// Ends the allocation.
    enough: CancellationToken,
    /// Ends allocation and status.
    end: CancellationToken,
}

impl Parts {
    async fn start(settings: &Settings, progress: ProgressSender, metrics: &Metrics) -> Result<Self, Failure> {
        let plan = &settings.context.plan;
        let client = Client::try_default()
            .await
            .map_err(|e| Failure::new(Reason::InternalError, format!("no way to the API server: {e}")))?;
        let scaling = &plan.scaling;
        let engine = EngineSession::new(EngineOptions {
            conf: settings.conf.clone(),
            mode: ExecutionMode::Cluster,
            slots: slots(scaling, plan.executor.resources.cores),
            memory_bytes: settings.memory_bytes,
            local_dirs: settings.local_dirs.clone(),
        })?;
        let cluster = Cluster::start(
            engine.clone(),
            progress.clone(),
            ClusterOptions {
                listen: (settings.listen, DRIVER_RPC_PORT).into(),
                token: settings.token.clone(),
                executors: scaling.most(),
                dynamic_allocation: scaling.dynamic.is_some(),
                life: settings.context.recovers.then_some(settings.context.attempt.into()),
            },
        )
        .await?;
        let end = CancellationToken::new();
        let journal = match settings.context.recovers {
            true => Some(Arc::new(StatusJournal::open(&client, &settings.context).await?)),
            false => None,
        };
        let (allocation, executors) = Allocation::new(&client, cluster.core().clone(), settings);
        let inherited = allocation.inherited();
        metrics.count_executors(executors.clone());
        metrics.look_into(cluster.core().clone());
        let enough = end.child_token();
        let allocation = tokio::spawn(allocation.run(enough.clone()));
        let writer = StatusWriter::new(&client, settings.context.clone(), progress.clone(), executors.clone());
        let status = tokio::spawn(writer.run(end.clone()));
        Ok(Self { client, cluster, engine, progress, journal, inherited, allocation, executors, status, enough, end })
    }

    async fn run(mut self, settings: &Settings, stop: &CancellationToken) -> ExitCode {
        let mut application = Application::new(
            Session::new(self.engine.clone(), settings.conf.clone()),
            Arc::new(self.cluster.runner()),
            self.progress.clone(),
        );
        if let Some(journal) = &self.journal {
            application = application.with_journal(journal.clone());
        }
        let (text, core, inherited) =
            (SqlText::of(&settings.context.plan.sql, None), self.cluster.core().clone(), self.inherited.clone());
        let mut program = tokio::spawn(async move {
            take_over(&core, inherited).await;
            program(application, text).await
        });
        let mut stopped: Option<Failure> = None;
        let ended = tokio::select! {
            ended = &mut program => Some(ended),
            () = stop.cancelled() => {
                stopped = Some(Failure::new(Reason::Stopped, "the driver was told to stop before the program ended"));
                None
            }
            trouble = &mut self.allocation => {
                stopped = Some(no_executors(trouble.ok().flatten()));
                None
            }
        };
        let ended = match ended {
            Some(ended) => Some(ended),
            None => {
                self.enough.cancel();
                let why = stopped.as_ref().map_or("stopped", |f| f.message.as_str());
                tracing::warn!(why, "stopping the program");
                if self.leaves_work(stopped.as_ref()) {
                    self.cluster.core().abandon();
                }
                self.cluster.core().stop(why);
                let ended = tokio::time::timeout(STOP_WITHIN, &mut program).await.ok();
                program.abort();
                ended
            }
        };
        let result = match (stopped, ended) {
            // It may have ended by itself at that very moment.
            (_, Some(Ok(Ok(message)))) => Ok(message),
            (Some(failure), _) => Err(failure),
            (None, Some(Ok(Err(error)))) => Err(self.explained(error)),
            (None, Some(Err(error))) => {
                Err(Failure::new(Reason::InternalError, format!("the driver has a defect: {error}")))
            }
            (None, None) => Err(Failure::new(Reason::InternalError, "the program was lost")),
        };
        let leaves_work = self.leaves_work(result.as_ref().err());
        if let Some(journal) = self.journal.as_ref().filter(|_| !leaves_work) {
            let word = last_word(&result, Some(settings));
            match tokio::time::timeout(NOTED_WITHIN, journal.ended(&word)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the end of the program is told by this pod alone"),
                Err(_) => tracing::warn!("the end of the program is told by this pod alone: no answer in time"),
            }
        }
        let code = conclude(result, Some(settings));
        // The last status does not tell of a stage that runs.
        self.progress.update(|p| p.activity.clear());
        let p = self.progress.get();
        tracing::info!(
            stages = p.stages_done,
            tasks = p.tasks_done,
            launched = p.attempts,
            failed = p.tasks_failed,
            rerun = p.tasks_rerun,
            speculative = p.speculative,
            speculative_won = p.speculative_won,
            "task attempts of the application"
        );
        let closing = async {
            self.end.cancel();
            let deleted = async {
                // Its last pods are made by now, or given up.
                if !self.allocation.is_finished() {
                    let _ = (&mut self.allocation).await;
                }
                if leaves_work {
                    return;
                }
                self.cluster.shutdown("the application has ended").await;
                allocation::delete_all(&self.client, &settings.context).await;
            };
            let written = async {
                let _ = (&mut self.status).await;
            };
            tokio::join!(deleted, written);
        };
        if tokio::time::timeout(END_WITHIN, closing).await.is_err() {
            tracing::warn!("executors are left to their owner's end: the API server does not answer in time");
        }
        code
    }

    /// Whether another driver goes on with the program, on the same executors.
    fn leaves_work(&self, failure: Option<&Failure>) -> bool {
        self.journal.is_some() && failure.is_some_and(|failure| failure.reason == Reason::Stopped)
    }

    /// When executors were missing, the person wants to know why.
    fn explained(&self, error: SparkError) -> Failure {
        let mut failure = Failure::from(error);
        if failure.reason == Reason::ExecutorsLost {
            let executors = self.executors.borrow();
            if let Some(message) = &executors.last_failure_message {
                failure.message = format!("{} Last seen: {message}", failure.message);
            }
        }
        failure
    }
}

/// Task slots that plans are made for: with a number of executors that follows the work, as many as there may be, within
/// what gives exchanges Spark's own 200 partitions.
fn slots(scaling: &Scaling, cores: u32) -> usize {
    const MOST_PLANNED_FOR: usize = 100;
    let all = |executors: u32| executors as usize * cores as usize;
    match &scaling.dynamic {
        None => all(scaling.initial),
        Some(dynamic) => all(dynamic.max).min(MOST_PLANNED_FOR).max(all(scaling.initial)),
    }
}

/// Waits for what the executors of the driver before this one hold, for a while.
async fn take_over(core: &Core, mut inherited: watch::Receiver<Option<Vec<ExecutorId>>>) {
    let known = tokio::time::timeout(TAKEN_OVER_WITHIN, inherited.wait_for(Option::is_some)).await;
    let Ok(Ok(executors)) = known.map(|known| known.map(|ids| ids.clone().unwrap_or_default())) else { return };
    core.inventoried(&executors, TAKEN_OVER_WITHIN).await;
}

/// The statements of the job. The message of success.
async fn program(application: Application, text: SqlText) -> SparkResult<String> {
    let text = text.read(application.session().engine()).await?;
    let (mut rows, mut shown) = (application.rows_before(), Ok(()));
    application
        .run_script(&text, |result| {
            if let Outcome::Written(summary) = &result.outcome {
                rows += summary.rows;
            }
            // A result is shown as the settings before it ask for, the time zone for one.
            shown = output::show(&result, &application.session().conf(), &mut io::stdout().lock());
            shown.is_ok()
        })
        .await?;
    shown?;
    let counted = |n: u64, what: &str| if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") };
    let statements = counted(application.progress().get().statements as u64, "statement");
    Ok(if rows > 0 { format!("{statements}, {} written", counted(rows, "row")) } else { statements })
}

fn no_executors(trouble: Option<Trouble>) -> Failure {
    match trouble {
        Some(trouble) => Failure::new(trouble.reason, trouble.message),
        None => Failure::new(Reason::InternalError, "the allocation of executors ended"),
    }
}

/// Says how it ended, to the kubelet and in the log.
fn conclude(result: Result<String, Failure>, settings: Option<&Settings>) -> ExitCode {
    let word = last_word(&result, settings);
    write_last_word(&word, settings.map_or(Path::new(termination::PATH), |s| &s.termination_path));
    let well = result.is_ok();
    if well {
        tracing::info!(detail = word.message, "the program ended well");
    } else {
        tracing::error!(reason = word.reason.as_str(), "the program failed");
        // For people: with its lines and its caret.
        eprintln!("{}", word.message);
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn stop_on_signal(stop: CancellationToken) -> io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}

async fn serve_http(listen: IpAddr, metrics: Metrics, stop: CancellationToken) -> io::Result<()> {
    let listener = TcpListener::bind((listen, DRIVER_HTTP_PORT)).await?;
    tokio::spawn(async move {
        if let Err(error) = http::serve(listener, metrics, stop.cancelled_owned()).await {
            tracing::error!(%error, "the HTTP server ended");
        }
    });
    Ok(())
}
