//! Leader election by a `coordination.k8s.io` Lease: of several operators one reconciles.
//!
//! As in Kubernetes' own components, another's lease is judged by how long *this* process has seen it unchanged, never by
//! comparing clocks of two machines. Who cannot renew in time stops being the leader before anybody else can become it.

use crate::error::Error;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use std::time::Duration;
use tokio::time::Instant;

/// How patient the candidates are.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// After this long without renewal others may take the lease. Whole seconds.
    pub duration: Duration,
    /// The leader gives up when it could not renew for this long; less than `duration`.
    pub renew_deadline: Duration,
    /// Pause between two tries.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// What is known of the lease: its version, and since when this process has seen that version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    holder: String,
    version: Option<String>,
    since: Instant,
}

/// A candidate for one lease.
pub struct Elector {
    api: Api<Lease>,
    name: String,
    identity: String,
    timing: Timing,
    seen: Option<Seen>,
}

impl Elector {
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, timing: Timing) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            timing,
            seen: None,
        }
    }

    /// One try to take or renew the lease. True: this process is the leader now.
    ///
    /// # Errors
    /// The API server cannot be reached or refuses; a lost race is not an error.
    pub async fn try_once(&mut self) -> Result<bool, Error> {
        let what = "read or write the leader lease";
        let written = match self.api.get_opt(&self.name).await.map_err(Error::api(what))? {
            None => {
                let lease = Lease {
                    metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                    spec: Some(self.claim(None)),
                };
                self.api.create(&PostParams::default(), &lease).await
            }
            Some(mut lease) => {
                if !self.may_take(&lease) {
                    return Ok(false);
                }
                lease.spec = Some(self.claim(lease.spec.as_ref()));
                // Carries the version that was read: of two candidates one is told of a conflict.
                self.api.replace(&self.name, &PostParams::default(), &lease).await
            }
        };
        match written {
            Ok(lease) => {
                self.note(&lease);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
            Err(error) => Err(Error::api(what)(error)),
        }
    }

    /// Tries until this process is the leader.
    pub async fn acquire(&mut self) {
        loop {
            match self.try_once().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "leader election"),
            }
            tokio::time::sleep(self.timing.retry).await;
        }
    }

    /// Renews until that fails for [`Timing::renew_deadline`] or somebody else holds the lease. Returns when leadership is lost.
    pub async fn hold(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(self.timing.retry).await;
            let left = self.timing.renew_deadline.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.try_once()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                // Somebody else wrote the lease. If it is still in this process's name the next try settles it.
                Ok(Ok(false)) if self.seen.as_ref().is_some_and(|seen| seen.holder != self.identity) => return,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "cannot renew the leader lease"),
                Err(_) => tracing::warn!("cannot renew the leader lease: no answer"),
            }
            if renewed.elapsed() >= self.timing.renew_deadline {
                return;
            }
        }
    }

    /// Gives the lease back, so that a successor need not wait. Best effort.
    pub async fn release(&mut self) {
        let Ok(Some(mut lease)) = self.api.get_opt(&self.name).await else { return };
        let held = lease.spec.as_ref().and_then(|s| s.holder_identity.as_deref()) == Some(self.identity.as_str());
        if !held {
            return;
        }
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        if let Err(error) = self.api.replace(&self.name, &PostParams::default(), &lease).await {
            tracing::debug!(%error, "the leader lease was not given back");
        }
    }

    /// Whether the lease is free, this process's, or unchanged for longer than its holder promised.
    fn may_take(&mut self, lease: &Lease) -> bool {
        self.note(lease);
        let Some(seen) = &self.seen else { return true };
        let promised = lease.spec.as_ref().and_then(|s| s.lease_duration_seconds).and_then(|s| u64::try_from(s).ok());
        let promised = promised.map_or(self.timing.duration, Duration::from_secs);
        seen.holder.is_empty() || seen.holder == self.identity || seen.since.elapsed() > promised
    }

    fn note(&mut self, lease: &Lease) {
        let holder = lease.spec.as_ref().and_then(|s| s.holder_identity.clone()).unwrap_or_default();
        let version = lease.metadata.resource_version.clone();
        let unchanged = self.seen.as_ref().is_some_and(|seen| seen.version == version && seen.holder == holder);
        if !unchanged {
            self.seen = Some(Seen { holder, version, since: Instant::now() });
        }
    }

    fn claim(&self, old: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let old_holder = old.and_then(|s| s.holder_identity.clone());
        let continues = old_holder.as_deref() == Some(self.identity.as_str());
        let changes = old.and_then(|s| s.lease_transitions).unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.timing.duration.as_secs()).ok(),
            acquire_time: if continues { old.and_then(|s| s.acquire_time.clone()) } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(if continues || old.is_none() { changes } else { changes.saturating_add(1) }),
            ..LeaseSpec::default()
        }
    }
}
