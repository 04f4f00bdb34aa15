//! One look at one job, in five stages: **dereference** what it refers to, **validate** it, **build** what should be,
//! **apply** that, write the **status**. The middle three know no client; the whole is idempotent.
//!
//! Exactly-once submission rests on the order of writes:
//! 1. an attempt is written into the status (fenced by the resource version: of two writers one loses);
//! 2. then its pod is created under the attempt's deterministic name (of two creations one finds it there);
//! 3. then the pod's UID is written into the status. From then on the pod is never created again: if a direct read finds
//!    it gone, the attempt is over.

pub mod apply;
pub mod build;
pub mod dereference;
pub mod driver_state;
pub mod status;
pub mod validate;

use crate::{config::Defaults, error::Error, metrics::Metrics};
use firesteel_api::SparkJob;
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client, Resource, ResourceExt, runtime::events::Recorder};
use std::{sync::Arc, time::Duration};

/// Looks per call; a job needs three from submission to created pod (record the attempt, create the pod, note its UID).
const MAX_ROUNDS: usize = 6;

/// What reconciling needs beside the job.
pub struct Context {
    pub client: Client,
    pub recorder: Recorder,
    pub defaults: Defaults,
    pub metrics: Arc<Metrics>,
}

/// When to look again if nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Only when something changes.
    OnChange,
    After(Duration),
}

/// Brings a job one step further, or several when they follow at once.
///
/// # Errors
/// The API server cannot be reached or refuses what only it can refuse; the caller tries again later.
pub async fn reconcile(job: Arc<SparkJob>, context: &Context) -> Result<Next, Error> {
    if job.meta().deletion_timestamp.is_some() {
        // Everything the job owns goes with it, by owner references.
        return Ok(Next::OnChange);
    }
    let mut job = SparkJob::clone(&job);
    let mut refusal = None;
    // Whether `job` comes from the API server rather than from the watch's cache.
    let mut fresh = false;
    for _ in 0..MAX_ROUNDS {
        let observed = dereference::dereference(&context.client, job.clone(), refusal.take(), Timestamp::now()).await?;
        let prepared = validate::prepare(&observed, &context.defaults);
        let decision = build::build(&observed, &prepared);
        if decision.create.is_some() && !fresh {
            // A cached copy may be older than the note that the pod has been seen: a pod that is absent now might have
            // run already. Creation is decided on what the server says.
            match reread(&context.client, &job).await? {
                Some(read) => (job, fresh) = (read, true),
                None => return Ok(Next::OnChange),
            }
            continue;
        }
        refusal = apply::apply(&context.client, &observed, &decision).await?;
        if decision.deletes_job() {
            return Ok(Next::OnChange);
        }
        match status::write(context, &observed, &decision).await {
            Ok(Some(written)) => (job, fresh) = (written, true),
            Ok(None) => {}
            // The copy was old, most often older than this process's own last write: decide anew from the server's.
            Err(Error::Conflict { .. }) => {
                context.metrics.stale();
                match reread(&context.client, &job).await? {
                    Some(read) => (job, fresh) = (read, true),
                    None => return Ok(Next::OnChange),
                }
                continue;
            }
            Err(error) => return Err(error),
        }
        if !decision.again && refusal.is_none() {
            return Ok(decision.next);
        }
    }
    Ok(Next::After(Duration::from_secs(1)))
}

/// The job as the API server has it; None when it is gone, or going, or another of the same name.
async fn reread(client: &Client, job: &SparkJob) -> Result<Option<SparkJob>, Error> {
    let namespace = job.namespace().ok_or(Error::Incomplete("namespace"))?;
    let api: Api<SparkJob> = Api::namespaced(client.clone(), &namespace);
    let fresh = api.get_opt(&job.name_any()).await.map_err(Error::api("read the job"))?;
    Ok(fresh.filter(|fresh| fresh.metadata.uid == job.metadata.uid && fresh.metadata.deletion_timestamp.is_none()))
}
