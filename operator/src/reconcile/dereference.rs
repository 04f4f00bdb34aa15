//! First stage: fetch what the job refers to. Reads go to the API server itself, never to a cache, so that a driver is
//! never called lost because a watch was late.

use super::driver_state::DriverState;
use crate::error::Error;
use firesteel_api::{Phase, Reason, SparkJob, names, pods::warnings, status::Attempt};
use k8s_openapi::{
    api::core::v1::{ConfigMap, Event, Pod},
    jiff::Timestamp,
};
use kube::{Api, Client, ResourceExt, api::ListParams};

/// Everything a decision is made from.
#[derive(Debug, Clone)]
pub struct Observed {
    pub job: SparkJob,
    pub sql: SqlText,
    pub driver: DriverPod,
    /// What Events say of a driver pod that has a node and does not start.
    pub pod_warning: Option<(Reason, String)>,
    /// What the API server said when the driver was created in the round before, if it refused.
    pub refusal: Option<Refusal>,
    pub now: Timestamp,
}

/// The SQL text of a referenced ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlText {
    /// The job refers to none, or it is not needed now.
    NotNeeded,
    Found(String),
    MapMissing {
        name: String,
    },
    KeyMissing {
        name: String,
        key: String,
        has: Vec<String>,
    },
}

/// The pod of the current attempt's name.
#[derive(Debug, Clone)]
pub enum DriverPod {
    /// No attempt is under way.
    NotNeeded,
    Absent,
    Ours(Box<Pod>),
    /// Belongs to something else: an earlier job of the same name that is still going, or a stranger.
    Foreign {
        leaving: bool,
    },
}

/// Why the API server did not create a driver pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    pub message: String,
    /// It would refuse the same pod again.
    pub permanent: bool,
}

impl Observed {
    /// The attempt that is under way.
    pub fn current_attempt(&self) -> Option<&Attempt> {
        current_attempt(&self.job)
    }
}

fn current_attempt(job: &SparkJob) -> Option<&Attempt> {
    job.status.as_ref()?.attempts.last().filter(|attempt| attempt.outcome.is_none())
}

/// Fetches.
///
/// # Errors
/// The API server cannot be reached or does not let the operator read.
pub async fn dereference(
    client: &Client,
    job: SparkJob,
    refusal: Option<Refusal>,
    now: Timestamp,
) -> Result<Observed, Error> {
    let namespace = job.namespace().ok_or(Error::Incomplete("namespace"))?;
    let finished = job.status.as_ref().and_then(|s| s.phase).is_some_and(Phase::is_terminal);

    let driver = match current_attempt(&job) {
        Some(attempt) if !finished => driver_pod(client, &namespace, &job, attempt).await?,
        _ => DriverPod::NotNeeded,
    };
    let pod_warning = match &driver {
        DriverPod::Ours(pod) if DriverState::of(pod, now).starts_silently(pod, now) => {
            pod_warning(client, &namespace, pod).await?
        }
        _ => None,
    };
    let needs_text = !finished && matches!(driver, DriverPod::NotNeeded | DriverPod::Absent);
    let reference = job.spec.sql.as_ref().and_then(|sql| sql.config_map.as_ref());
    let sql = match reference {
        Some(reference) if needs_text => {
            let api: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
            match api.get_opt(&reference.name).await.map_err(Error::api("read the job's ConfigMap"))? {
                None => SqlText::MapMissing { name: reference.name.clone() },
                Some(map) => match map.data.as_ref().and_then(|data| data.get(&reference.key)) {
                    Some(text) => SqlText::Found(text.clone()),
                    None => SqlText::KeyMissing {
                        name: reference.name.clone(),
                        key: reference.key.clone(),
                        has: map.data.unwrap_or_default().into_keys().take(16).collect(),
                    },
                },
            }
        }
        _ => SqlText::NotNeeded,
    };
    Ok(Observed { job, sql, driver, pod_warning, refusal, now })
}

async fn driver_pod(client: &Client, namespace: &str, job: &SparkJob, attempt: &Attempt) -> Result<DriverPod, Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let Some(pod) = api.get_opt(&attempt.driver_pod).await.map_err(Error::api("read the driver pod"))? else {
        return Ok(DriverPod::Absent);
    };
    let ours = job.metadata.uid.is_some()
        && pod.labels().get(names::LABEL_JOB_UID) == job.metadata.uid.as_ref()
        && pod.labels().get(names::LABEL_ATTEMPT) == Some(&attempt.number.to_string())
        && attempt.driver_uid.as_ref().is_none_or(|uid| pod.metadata.uid.as_ref() == Some(uid));
    Ok(if ours {
        DriverPod::Ours(Box::new(pod))
    } else {
        DriverPod::Foreign { leaving: pod.metadata.deletion_timestamp.is_some() }
    })
}

async fn pod_warning(client: &Client, namespace: &str, pod: &Pod) -> Result<Option<(Reason, String)>, Error> {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let about = ListParams::default().fields(&warnings::selector(pod.metadata.uid.as_deref().unwrap_or_default()));
    let events = api.list(&about).await.map_err(Error::api("read the driver pod's Events"))?;
    Ok(warnings::why_not_started(&events.items))
}
