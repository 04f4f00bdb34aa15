//! Last stage: the status. [`Draft`] words it (pure); [`write`] applies the operator's part of it, fenced by the resource
//! version the decision was made from, and tells people by an Event when the reason has changed.

use super::{Context, build::Decision, dereference::Observed};
use crate::error::Error;
use firesteel_api::{
    GROUP, OPERATOR_FIELD_MANAGER, Phase, Reason, SparkJob, SparkJobStatus, VERSION,
    status::{bounded, condition},
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType},
};
use serde_json::{Value, json};

/// A status being written: the old one, changed by what was seen.
pub struct Draft {
    pub status: SparkJobStatus,
    generation: Option<i64>,
    now: Timestamp,
}

impl Draft {
    pub fn new(job: &SparkJob, now: Timestamp) -> Self {
        let mut status = job.status.clone().unwrap_or_default();
        status.observed_generation = job.metadata.generation;
        Self { status, generation: job.metadata.generation, now }
    }

    pub fn finish(self) -> SparkJobStatus {
        self.status
    }

    pub fn is_terminal(&self) -> bool {
        self.status.phase.is_some_and(Phase::is_terminal)
    }

    pub fn accepted(&mut self, yes: bool, reason: Reason, message: &str) {
        self.condition(condition::ACCEPTED, yes, reason, message);
    }

    /// Waiting for something before an attempt can be made.
    pub fn pending(&mut self, reason: Reason, message: &str) {
        self.phase(Phase::Pending, reason, message);
        self.condition(condition::DRIVER_READY, false, reason, "there is no driver");
        self.condition(condition::EXECUTORS_READY, false, reason, "there is no driver");
        self.under_way(reason, message);
    }

    /// An attempt is made and its driver does not run yet.
    pub fn starting(&mut self, reason: Reason, message: &str) {
        self.phase(Phase::Starting, reason, message);
        self.condition(condition::DRIVER_READY, false, reason, message);
        self.condition(condition::EXECUTORS_READY, false, reason, "the driver does not run yet");
        self.under_way(reason, message);
    }

    /// The driver runs; what it says of its executors becomes a condition, and the job's reason when they are in trouble.
    pub fn running(&mut self, ready: bool, node: &str) {
        let executors = self.status.executors.clone().filter(|e| Some(e.attempt) == self.status.attempt);
        let complete = executors.as_ref().is_some_and(|e| e.running >= e.desired);
        let trouble = executors.as_ref().filter(|e| !complete && e.pending + e.failed > 0).and_then(|e| {
            let reason = e.last_failure_reason?;
            Some((reason, e.last_failure_message.clone().unwrap_or_else(|| reason.to_string())))
        });
        let counts = match &executors {
            Some(e) => format!("{} of {} executors run", e.running, e.desired),
            None => "the driver has not asked for executors yet".to_owned(),
        };
        let (reason, detail) = match (&trouble, complete) {
            (_, true) => (Reason::ExecutorsReady, counts.clone()),
            (Some((reason, message)), _) => (*reason, format!("{counts}: {message}")),
            (None, false) => (Reason::ExecutorsPending, counts.clone()),
        };
        let detail = bounded(&detail, firesteel_api::status::MAX_MESSAGE);
        self.condition(condition::EXECUTORS_READY, complete, reason, &detail);

        let place = if node.is_empty() { String::new() } else { format!(" on {node}") };
        let driver = format!("the driver runs{place}");
        self.condition(
            condition::DRIVER_READY,
            ready,
            if ready { Reason::DriverRunning } else { Reason::DriverStarting },
            &driver,
        );
        match trouble {
            Some((reason, _)) => {
                self.phase(Phase::Running, reason, &detail);
                self.under_way(reason, &detail);
            }
            None => {
                self.phase(Phase::Running, Reason::DriverRunning, &driver);
                self.under_way(Reason::DriverRunning, &driver);
            }
        }
    }

    pub fn succeeded(&mut self, message: &str) {
        let message = if message.is_empty() { "the program ended well" } else { message };
        self.phase(Phase::Succeeded, Reason::Succeeded, message);
        self.ended(Reason::Succeeded, message);
    }

    pub fn failed(&mut self, reason: Reason, message: &str) {
        self.phase(Phase::Failed, reason, message);
        self.ended(reason, message);
    }

    fn ended(&mut self, reason: Reason, message: &str) {
        let well = reason == Reason::Succeeded;
        self.status.completion_time = Some(Time::from(self.now));
        self.status.next_attempt_time = None;
        self.status.recovering = None;
        self.condition(condition::DRIVER_READY, false, reason, "the job has ended");
        self.condition(condition::EXECUTORS_READY, false, reason, "the job has ended");
        self.condition(condition::PROGRESSING, false, reason, "the job has ended");
        self.condition(condition::COMPLETE, well, reason, message);
        self.condition(condition::FAILED, !well, reason, message);
    }

    fn under_way(&mut self, reason: Reason, message: &str) {
        self.condition(condition::PROGRESSING, true, reason, message);
        self.condition(condition::COMPLETE, false, reason, "the job has not ended");
        self.condition(condition::FAILED, false, reason, "the job has not ended");
    }

    fn phase(&mut self, phase: Phase, reason: Reason, message: &str) {
        self.status.phase = Some(phase);
        self.status.reason = Some(reason);
        self.status.message = Some(message.to_owned());
    }

    /// Sets a condition; the transition time moves only when its status does.
    fn condition(&mut self, type_: &str, yes: bool, reason: Reason, message: &str) {
        let status = if yes { "True" } else { "False" };
        let mut new = Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.as_str().to_owned(),
            message: message.to_owned(),
            observed_generation: self.generation,
            last_transition_time: Time::from(self.now),
        };
        match self.status.conditions.iter_mut().find(|c| c.type_ == type_) {
            Some(old) => {
                if old.status == new.status {
                    new.last_transition_time = old.last_transition_time.clone();
                }
                *old = new;
            }
            None => self.status.conditions.push(new),
        }
    }
}

/// The operator's part of a status as it is applied; the driver's part is left to the driver.
fn operators_part(status: &SparkJobStatus) -> Result<Value, Error> {
    let mut status = status.clone();
    status.progress = None;
    status.executors = None;
    status.recovery = None;
    serde_json::to_value(status).map_err(|source| Error::Serialize { what: "status", source })
}

/// Writes the status if it differs, and the Event. The written job, or None when there was nothing to write.
///
/// # Errors
/// [`Error::Conflict`] when somebody wrote the job since it was read: the decision is stale and must be made anew.
pub async fn write(context: &Context, observed: &Observed, decision: &Decision) -> Result<Option<SparkJob>, Error> {
    let job = &observed.job;
    let old = job.status.clone().unwrap_or_default();
    let new = operators_part(&decision.status)?;
    if operators_part(&old)? == new {
        return Ok(None);
    }
    let (namespace, name) = (job.namespace().ok_or(Error::Incomplete("namespace"))?, job.name_any());
    let api: Api<SparkJob> = Api::namespaced(context.client.clone(), &namespace);
    let patch = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "SparkJob",
        "metadata": { "name": name, "uid": job.metadata.uid, "resourceVersion": job.metadata.resource_version },
        "status": new,
    });
    let params = PatchParams::apply(OPERATOR_FIELD_MANAGER).force();
    let written =
        api.patch_status(&name, &params, &Patch::Apply(&patch)).await.map_err(Error::api("write the status"))?;

    if old.reason != decision.status.reason
        || old.attempt != decision.status.attempt
        || old.phase != decision.status.phase
    {
        announce(context, &written, &decision.status).await;
    }
    context.metrics.transition(&old, &decision.status, job, observed.now);
    Ok(Some(written))
}

/// Events are a courtesy: one that cannot be written is logged and forgotten.
async fn announce(context: &Context, job: &SparkJob, status: &SparkJobStatus) {
    let reason = status.reason.unwrap_or(Reason::Unknown);
    let message = status.message.clone().unwrap_or_default();
    tracing::info!(
        namespace = job.namespace().unwrap_or_default(),
        job = job.name_any(),
        attempt = status.attempt.unwrap_or(0),
        phase = status.phase.unwrap_or_default().as_str(),
        reason = reason.as_str(),
        detail = message,
        "job state"
    );
    let event = Event {
        type_: if reason.is_warning() { EventType::Warning } else { EventType::Normal },
        reason: reason.as_str().to_owned(),
        note: Some(bounded(&message, 1024)),
        action: status.phase.unwrap_or_default().as_str().to_owned(),
        secondary: None,
    };
    if let Err(error) = context.recorder.publish(&event, &job.object_ref(&())).await {
        tracing::warn!(%error, job = job.name_any(), "cannot write an Event");
    }
}
