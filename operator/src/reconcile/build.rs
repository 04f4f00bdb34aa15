//! Third stage: what should be. Pure: everything observed and the time in, actions and the new status out.

use super::{
    Next,
    dereference::{DriverPod, Observed},
    driver_state::DriverState,
    status::Draft,
    validate::{Obstacle, Prepared},
};
use firesteel_api::{
    FailureClass, Outcome, Phase, Reason, SparkJobStatus, names, secrets,
    status::{Attempt, MAX_ATTEMPTS_KEPT, MAX_MESSAGE, bounded, instant},
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use std::time::Duration;

/// Missing ConfigMaps and refused pods are tried again this often.
const RETRY_MISSING: Duration = Duration::from_secs(5);
/// How soon to look again at a driver pod that is starting.
const LOOK_AT_START: Duration = Duration::from_secs(5);
const DEFAULT_START_TIMEOUT: i64 = 900;
const DEFAULT_BACKOFF: i64 = 10;
const MAX_BACKOFF: i64 = 600;
/// Before a driver goes on with the work of another: less than executors wait.
const MAX_RECOVERY_BACKOFF: i64 = 30;

/// One thing to do to the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Create the attempt's Secret and driver pod unless they exist.
    CreateDriver,
    /// Delete this very driver pod.
    DeleteDriver { name: String, uid: Option<String> },
    /// Delete what an attempt, or a chain of attempts that began with it, leaves: executor pods and its Secret.
    Sweep { attempt: i32 },
    /// Delete the job itself: its time to live is over.
    DeleteJob,
}

/// What a look at a job leads to. Actions are carried out before the status is written.
#[derive(Debug, Clone)]
pub struct Decision {
    pub actions: Vec<Action>,
    pub status: SparkJobStatus,
    /// Another look follows at once.
    pub again: bool,
    pub next: Next,
    /// The pod and Secret of [`Action::CreateDriver`] are rendered from this.
    pub create: Option<Prepared>,
}

impl Decision {
    pub fn deletes_job(&self) -> bool {
        self.actions.contains(&Action::DeleteJob)
    }
}

/// Decides.
pub fn build(observed: &Observed, prepared: &Result<Prepared, Obstacle>) -> Decision {
    let old = observed.job.status.clone().unwrap_or_default();
    if old.phase.is_some_and(Phase::is_terminal) {
        return finished(observed, old);
    }
    let mut builder =
        Builder { observed, draft: Draft::new(&observed.job, observed.now), actions: Vec::new(), create: None };
    let (again, next) = match observed.current_attempt().cloned() {
        None => builder.between_attempts(prepared),
        Some(attempt) => builder.during_attempt(attempt, prepared),
    };
    let next = match builder.time_to_deadline() {
        Some(left) if !builder.draft.is_terminal() => sooner(next, left),
        _ => next,
    };
    Decision { actions: builder.actions, status: builder.draft.finish(), again, next, create: builder.create }
}

/// A job that has ended stays as it is until its time to live is over.
fn finished(observed: &Observed, status: SparkJobStatus) -> Decision {
    let due = match (observed.job.spec.time_to_live_seconds_after_finished, &status.completion_time) {
        (Some(seconds), Some(ended)) => Some(until(instant(ended), seconds, observed.now)),
        _ => None,
    };
    let (actions, next) = match due {
        Some(Duration::ZERO) => (vec![Action::DeleteJob], Next::OnChange),
        Some(left) => (Vec::new(), Next::After(left)),
        None => (Vec::new(), Next::OnChange),
    };
    Decision { actions, status, again: false, next, create: None }
}

/// How an attempt ended.
struct End {
    outcome: Outcome,
    reason: Reason,
    message: String,
    /// Its driver ended before its program.
    died: bool,
}

impl End {
    fn failed(reason: Reason, message: String) -> Self {
        Self { outcome: Outcome::Failed, reason, message, died: false }
    }
}

struct Builder<'a> {
    observed: &'a Observed,
    draft: Draft,
    actions: Vec<Action>,
    create: Option<Prepared>,
}

impl Builder<'_> {
    fn between_attempts(&mut self, prepared: &Result<Prepared, Obstacle>) -> (bool, Next) {
        if self.deadline_is_over() {
            if let Some(first) = self.draft.status.recovering.take() {
                self.actions.push(Action::Sweep { attempt: first });
            }
            self.fail(Reason::DeadlineExceeded, self.deadline_text());
            return (false, Next::OnChange);
        }
        if let Some(due) = self.draft.status.next_attempt_time.as_ref().map(instant)
            && due > self.observed.now
        {
            return (false, Next::After(between(self.observed.now, due)));
        }
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(Obstacle::Spec { reason, message }) => {
                self.draft.accepted(false, *reason, message);
                self.fail(*reason, message.clone());
                return (false, Next::OnChange);
            }
            Err(Obstacle::Missing { reason, message }) => {
                self.draft.accepted(false, *reason, message);
                self.draft.pending(*reason, message);
                return (false, Next::After(RETRY_MISSING));
            }
        };
        self.draft.accepted(true, Reason::Accepted, "the job can be carried out");
        let number = self.draft.status.attempt.unwrap_or(0) + 1;
        let job = &prepared.context.job;
        let now = Time::from(self.observed.now);
        self.draft.status.next_attempt_time = None;
        self.draft.status.start_time.get_or_insert_with(|| now.clone());
        let continues = self.draft.status.recovering.take();
        self.draft.status.attempts.push(Attempt {
            number,
            continues,
            driver_pod: names::driver_pod(job, u32::try_from(number).unwrap_or(1)),
            start_time: Some(now),
            ..Attempt::default()
        });
        let surplus = self.draft.status.attempts.len().saturating_sub(MAX_ATTEMPTS_KEPT);
        self.draft.status.attempts.drain(..surplus);
        self.draft.status.attempt = Some(number);
        self.draft.status.driver_pod = self.draft.status.attempts.last().map(|a| a.driver_pod.clone());
        self.draft.starting(Reason::DriverStarting, &format!("attempt {number}: the driver pod is being created"));
        // The pod is created in the next round, when this is written.
        (true, Next::OnChange)
    }

    fn during_attempt(&mut self, attempt: Attempt, prepared: &Result<Prepared, Obstacle>) -> (bool, Next) {
        if self.deadline_is_over() {
            self.actions
                .push(Action::DeleteDriver { name: attempt.driver_pod.clone(), uid: attempt.driver_uid.clone() });
            self.end_attempt(&attempt, End::failed(Reason::DeadlineExceeded, self.deadline_text()));
            return (true, Next::OnChange);
        }
        match &self.observed.driver {
            DriverPod::Ours(pod) => {
                if attempt.driver_uid.is_none()
                    && let Some(last) = self.draft.status.attempts.last_mut()
                {
                    last.driver_uid = pod.metadata.uid.clone();
                }
                let state = DriverState::of(pod, self.observed.now).explained(self.observed.pod_warning.as_ref());
                self.follow(&attempt, state)
            }
            DriverPod::Absent if attempt.driver_uid.is_none() && !self.driver_has_spoken(&attempt) => {
                self.submit(&attempt, prepared)
            }
            DriverPod::Foreign { leaving } if attempt.driver_uid.is_none() => {
                let message = match leaving {
                    true => format!("waiting for pod '{}' of an earlier job to go", attempt.driver_pod),
                    false => format!(
                        "a pod named '{}' exists and is not this job's: delete it, or this job and create it under another name",
                        attempt.driver_pod
                    ),
                };
                self.wait(&attempt, Reason::PodRefused, message)
            }
            DriverPod::Absent | DriverPod::Foreign { .. } | DriverPod::NotNeeded => {
                let message = format!(
                    "the driver pod '{}' is gone and has not told how it ended; somebody deleted it, or its node is lost",
                    attempt.driver_pod
                );
                let end = End { died: true, ..End::failed(Reason::DriverLost, message) };
                self.end_attempt(&attempt, end);
                (true, Next::OnChange)
            }
        }
    }

    /// The attempt is recorded and has no pod yet.
    fn submit(&mut self, attempt: &Attempt, prepared: &Result<Prepared, Obstacle>) -> (bool, Next) {
        if let Some(refusal) = self.observed.refusal.clone() {
            if refusal.permanent {
                self.end_attempt(attempt, End::failed(refusal.reason, refusal.message));
                return (true, Next::OnChange);
            }
            return self.wait(attempt, refusal.reason, refusal.message);
        }
        match prepared {
            Ok(prepared) => {
                if let Some(over) = self.start_timeout_over(attempt) {
                    return over;
                }
                self.actions.push(Action::CreateDriver);
                self.create = Some(prepared.clone());
                (true, Next::OnChange)
            }
            Err(Obstacle::Missing { reason, message }) => self.wait(attempt, *reason, message.clone()),
            Err(Obstacle::Spec { reason, message }) => {
                self.draft.accepted(false, *reason, message);
                self.end_attempt(attempt, End::failed(*reason, message.clone()));
                (true, Next::OnChange)
            }
        }
    }

    /// The driver pod exists.
    fn follow(&mut self, attempt: &Attempt, state: DriverState) -> (bool, Next) {
        match state {
            DriverState::Waiting { reason, message } => self.wait(attempt, reason, message),
            DriverState::Running { ready, node } => {
                self.draft.running(ready, &node);
                (false, Next::OnChange)
            }
            // The kubelet or the garbage collector reports the end; a node that never does is noticed by the clock.
            DriverState::Leaving => (false, Next::After(Duration::from_secs(30))),
            DriverState::Ended { outcome, reason, message, died, pod_ended } => {
                if !pod_ended {
                    self.actions.push(Action::DeleteDriver {
                        name: attempt.driver_pod.clone(),
                        uid: attempt.driver_uid.clone(),
                    });
                }
                self.end_attempt(attempt, End { outcome, reason, message, died });
                (true, Next::OnChange)
            }
        }
    }

    /// Not running yet: say why, and give up when it takes too long.
    fn wait(&mut self, attempt: &Attempt, reason: Reason, message: String) -> (bool, Next) {
        let left = self.start_time_left(attempt);
        if left.is_zero() {
            let seconds = self.start_timeout();
            let reason = if reason == Reason::DriverStarting { Reason::DriverStartTimeout } else { reason };
            self.actions
                .push(Action::DeleteDriver { name: attempt.driver_pod.clone(), uid: attempt.driver_uid.clone() });
            let message = format!("given up after {seconds} s (spec.startTimeoutSeconds): {message}");
            self.end_attempt(attempt, End::failed(reason, message));
            return (true, Next::OnChange);
        }
        self.draft.starting(reason, &bounded(&message, MAX_MESSAGE));
        let next = match self.observed.driver {
            // What its status does not tell is looked for among Events, which nobody watches.
            DriverPod::Ours(_) if self.observed.pod_warning.is_some() || reason == Reason::DriverStarting => {
                Next::After(left.min(LOOK_AT_START))
            }
            DriverPod::Ours(_) => Next::After(left),
            _ => Next::After(left.min(RETRY_MISSING)),
        };
        (false, next)
    }

    fn start_timeout_over(&mut self, attempt: &Attempt) -> Option<(bool, Next)> {
        self.start_time_left(attempt).is_zero().then(|| {
            self.wait(attempt, Reason::DriverStarting, "the driver pod could not be created in time".to_owned())
        })
    }

    fn start_timeout(&self) -> i64 {
        self.observed.job.spec.start_timeout_seconds.map_or(DEFAULT_START_TIMEOUT, i64::from)
    }

    fn start_time_left(&self, attempt: &Attempt) -> Duration {
        let started = attempt.start_time.as_ref().map_or(self.observed.now, instant);
        until(started, self.start_timeout(), self.observed.now)
    }

    /// A driver that has reported progress of this attempt has run, even if the operator never saw its pod.
    fn driver_has_spoken(&self, attempt: &Attempt) -> bool {
        let status = self.observed.job.status.as_ref();
        let progress = status.and_then(|s| s.progress.as_ref()).map(|p| p.attempt);
        let executors = status.and_then(|s| s.executors.as_ref()).map(|e| e.attempt);
        progress == Some(attempt.number) || executors == Some(attempt.number)
    }

    /// How the driver's own record says that its program ended: it outlives the pod.
    fn last_word(&self, attempt: &Attempt) -> Option<End> {
        let recovery = self.observed.job.status.as_ref()?.recovery.as_ref()?;
        let ended = recovery.ended.as_ref().filter(|_| recovery.attempt == attempt.number)?;
        Some(End { outcome: ended.outcome, reason: ended.reason, message: ended.text(), died: false })
    }

    /// Closes the attempt and decides between the end of the job and a further attempt.
    fn end_attempt(&mut self, attempt: &Attempt, end: End) {
        // A driver that died after its program had ended has nothing left to do.
        let end = if end.died { self.last_word(attempt).unwrap_or(end) } else { end };
        let End { outcome, reason, died, .. } = end;
        let message = bounded(&secrets::scrub(&end.message, &self.observed.job.spec.spark_conf), MAX_MESSAGE);
        if let Some(last) = self.draft.status.attempts.last_mut() {
            last.end_time = Some(Time::from(self.observed.now));
            last.outcome = Some(outcome);
            last.reason = Some(reason);
            last.message = Some(bounded(&message, 512));
        }
        let first = attempt.continues.unwrap_or(attempt.number);
        if died && self.go_on(first, attempt.number, reason, &message) {
            return;
        }
        // Nothing of an attempt outlives it; done before the end is written, so that a restart repeats it.
        self.actions.push(Action::Sweep { attempt: first });
        if outcome == Outcome::Succeeded {
            self.draft.succeeded(&message);
            return;
        }
        let spec = &self.observed.job.spec;
        let status = &mut self.draft.status;
        let failures = status.application_failures.unwrap_or(0) + status.infrastructure_failures.unwrap_or(0);
        let again = match reason.failure_class() {
            FailureClass::Permanent => false,
            FailureClass::Application => {
                let so_far = status.application_failures.unwrap_or(0) + 1;
                status.application_failures = Some(so_far);
                so_far < i32::try_from(spec.attempts_allowed()).unwrap_or(1)
            }
            FailureClass::Infrastructure => {
                let so_far = status.infrastructure_failures.unwrap_or(0) + 1;
                status.infrastructure_failures = Some(so_far);
                so_far <= i32::try_from(spec.infrastructure_retries_allowed()).unwrap_or(0)
            }
        };
        if !again {
            self.draft.failed(reason, &message);
            return;
        }
        let base = spec.retry_backoff_seconds.map_or(DEFAULT_BACKOFF, i64::from);
        let seconds = base.saturating_mul(1 << failures.clamp(0, 10)).min(MAX_BACKOFF);
        self.draft.status.next_attempt_time = Some(Time::from(later(self.observed.now, seconds)));
        self.draft.pending(
            Reason::RetryBackoff,
            &bounded(
                &format!("attempt {} failed ({reason}), the next follows in {seconds} s: {message}", attempt.number),
                MAX_MESSAGE,
            ),
        );
    }

    /// Has another driver go on with what the one that died had finished: executors and Secret stay for it. False when the
    /// job does not want that, or it has happened too often.
    fn go_on(&mut self, first: i32, number: i32, reason: Reason, message: &str) -> bool {
        let spec = &self.observed.job.spec;
        if !spec.recovers() {
            return false;
        }
        let status = &mut self.draft.status;
        let (so_far, allowed) = if reason.failure_class() == FailureClass::Infrastructure {
            (&mut status.infrastructure_failures, spec.infrastructure_retries_allowed())
        } else {
            (&mut status.driver_restarts, spec.driver_restarts_allowed())
        };
        let count = so_far.unwrap_or(0) + 1;
        if count > i32::try_from(allowed).unwrap_or(0) {
            return false;
        }
        *so_far = Some(count);
        // At once the first time: its executors wait.
        let seconds = ((1 << (count - 1).clamp(0, 10)) - 1).min(MAX_RECOVERY_BACKOFF);
        status.recovering = Some(first);
        status.next_attempt_time = Some(Time::from(later(self.observed.now, seconds)));
        let text =
            format!("the driver of attempt {number} died ({reason}), another goes on from what is finished: {message}");
        self.draft.pending(Reason::RetryBackoff, &bounded(&text, MAX_MESSAGE));
        true
    }

    fn fail(&mut self, reason: Reason, message: String) {
        self.draft.failed(reason, &bounded(&secrets::scrub(&message, &self.observed.job.spec.spark_conf), MAX_MESSAGE));
    }

    fn time_to_deadline(&self) -> Option<Duration> {
        let seconds = self.observed.job.spec.active_deadline_seconds?;
        let started = self.draft.status.start_time.as_ref()?;
        Some(until(instant(started), seconds, self.observed.now))
    }

    fn deadline_is_over(&self) -> bool {
        self.time_to_deadline().is_some_and(|left| left.is_zero())
    }

    fn deadline_text(&self) -> String {
        let seconds = self.observed.job.spec.active_deadline_seconds.unwrap_or_default();
        format!("stopped after {seconds} s (spec.activeDeadlineSeconds)")
    }
}

fn later(from: Timestamp, seconds: i64) -> Timestamp {
    from.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// Time left until `seconds` after `from`; zero when over. Rounded up to the second that `Time` keeps.
fn until(from: Timestamp, seconds: i64, now: Timestamp) -> Duration {
    between(now, later(from, seconds))
}

fn between(now: Timestamp, due: Timestamp) -> Duration {
    Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO)
}

fn sooner(next: Next, left: Duration) -> Next {
    match next {
        Next::OnChange => Next::After(left),
        Next::After(other) => Next::After(other.min(left)),
    }
}
