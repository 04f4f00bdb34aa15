//! What the operator counts. Labels are closed lists: phases, reasons, error kinds.

use firesteel_api::{Outcome, Phase, SparkJob, SparkJobStatus, status::instant};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::Store;
use parking_lot::RwLock;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::time::Duration;

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// All metrics, and the registry they are printed from.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<Labels<1>, Counter>,
    errors: Family<Labels<1>, Counter>,
    duration: Histogram,
    attempts: Family<Labels<2>, Counter>,
    to_running: Histogram,
    jobs: Family<Labels<1>, Gauge>,
    leader: Gauge,
    crd_missing: Gauge,
    orphans: Counter,
    stale: Counter,
    /// The caches that jobs are counted from when somebody asks.
    stores: RwLock<Vec<Store<SparkJob>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new([0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
        let to_running = Histogram::new([0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0]);
        let mut metrics = Self {
            registry: Registry::with_prefix("firesteel_operator"),
            reconciles: Family::default(),
            errors: Family::default(),
            duration: seconds(),
            attempts: Family::default(),
            to_running,
            jobs: Family::default(),
            leader: Gauge::default(),
            crd_missing: Gauge::default(),
            orphans: Counter::default(),
            stale: Counter::default(),
            stores: RwLock::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("reconciles", "Looks at jobs, by result", metrics.reconciles.clone());
        registry.register("reconcile_errors", "Failed looks, by kind of error", metrics.errors.clone());
        registry.register("reconcile_seconds", "Time one look takes", metrics.duration.clone());
        registry.register("attempts", "Ended attempts, by outcome and reason", metrics.attempts.clone());
        registry.register(
            "job_to_running_seconds",
            "From a job's creation until its driver runs",
            metrics.to_running.clone(),
        );
        registry.register("jobs", "Jobs, by phase", metrics.jobs.clone());
        registry.register("leader", "1 when this process is the leader", metrics.leader.clone());
        registry.register(
            "crd_missing",
            "1 while the SparkJob definition is not installed",
            metrics.crd_missing.clone(),
        );
        registry.register(
            "stale_decisions",
            "Decisions from an old copy of a job, refused and made anew",
            metrics.stale.clone(),
        );
        registry.register("orphans_deleted", "Jobs whose leftovers were deleted", metrics.orphans.clone());
        metrics
    }
}

impl Metrics {
    pub fn reconciled(&self, error: Option<&'static str>, took: Duration) {
        self.reconciles.get_or_create(&[("result", if error.is_some() { "error" } else { "ok" })]).inc();
        if let Some(kind) = error {
            self.errors.get_or_create(&[("kind", kind)]).inc();
        }
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts what a status change means.
    pub fn transition(&self, old: &SparkJobStatus, new: &SparkJobStatus, job: &SparkJob, now: Timestamp) {
        let was_open = |number: i32| old.attempts.iter().any(|a| a.number == number && a.outcome.is_none());
        for attempt in new.attempts.iter().filter(|a| was_open(a.number)) {
            if let (Some(outcome), Some(reason)) = (attempt.outcome, attempt.reason) {
                let outcome = if outcome == Outcome::Succeeded { "succeeded" } else { "failed" };
                self.attempts.get_or_create(&[("outcome", outcome), ("reason", reason.as_str())]).inc();
            }
        }
        if new.phase == Some(Phase::Running)
            && old.phase != Some(Phase::Running)
            && new.attempt == Some(1)
            && let Some(created) = &job.metadata.creation_timestamp
        {
            self.to_running.observe(now.duration_since(instant(created)).as_secs_f64().max(0.0));
        }
    }

    pub fn set_leader(&self, leader: bool) {
        self.leader.set(i64::from(leader));
    }

    pub fn set_crd_missing(&self, missing: bool) {
        self.crd_missing.set(i64::from(missing));
    }

    pub fn stale(&self) {
        self.stale.inc();
    }

    pub fn orphan_deleted(&self) {
        self.orphans.inc();
    }

    pub fn count_from(&self, store: Store<SparkJob>) {
        self.stores.write().push(store);
    }

    /// The exposition text.
    pub fn encode(&self) -> String {
        let mut counts = [Phase::Pending, Phase::Starting, Phase::Running, Phase::Succeeded, Phase::Failed]
            .map(|phase| (phase, 0i64));
        for store in self.stores.read().iter() {
            for job in store.state() {
                let phase = job.status.as_ref().and_then(|s| s.phase).unwrap_or_default();
                if let Some((_, count)) = counts.iter_mut().find(|(known, _)| *known == phase) {
                    *count += 1;
                }
            }
        }
        for (phase, count) in counts {
            self.jobs.get_or_create(&[("phase", phase.as_str())]).set(count);
        }
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
