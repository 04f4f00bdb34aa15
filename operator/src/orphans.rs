//! The safety net under owner references: pods whose job is gone (deleted with `--cascade=orphan`, or made in the moment of
//! its deletion) are deleted, with the Secrets of that job; and so are executors whose job has ended, which a driver may have
//! made after the job's executors were deleted.

use crate::{error::Error, metrics::Metrics};
use firesteel_api::{
    Phase, SparkJob,
    names::{self, Role},
};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams},
};
use std::collections::BTreeMap;

/// Pods read per request.
const PAGE: u32 = 500;

/// One sweep of a namespace, or of all. The number of jobs whose leftovers were deleted.
///
/// # Errors
/// The API server cannot be reached or refuses.
pub async fn sweep(client: &Client, namespace: Option<&str>, metrics: &Metrics) -> Result<usize, Error> {
    let pods: Api<Pod> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    // (namespace, job UID) → job name.
    let mut jobs: BTreeMap<(String, String), String> = BTreeMap::new();
    let mut params = ListParams::default().labels(names::LABEL_JOB_UID).limit(PAGE);
    loop {
        let page = pods.list_metadata(&params).await.map_err(Error::api("list pods of jobs"))?;
        for pod in page.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
            let labels = pod.labels();
            if let (Some(namespace), Some(uid), Some(job)) =
                (pod.namespace(), labels.get(names::LABEL_JOB_UID), labels.get(names::LABEL_JOB))
            {
                jobs.insert((namespace, uid.clone()), job.clone());
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    let mut deleted = 0;
    for ((namespace, uid), job) in jobs {
        let api: Api<SparkJob> = Api::namespaced(client.clone(), &namespace);
        let found = api.get_opt(&job).await.map_err(Error::api("read the job of a pod"))?;
        if let Some(found) = found.filter(|found| found.metadata.uid.as_ref() == Some(&uid)) {
            if found.status.and_then(|status| status.phase).is_some_and(Phase::is_terminal) {
                deleted += usize::from(delete_executors(client, &namespace, &uid, metrics).await?);
            }
            continue;
        }
        tracing::info!(namespace, job, uid, "deleting what a deleted job has left");
        let leftovers = ListParams::default().labels(&names::job_selector(&uid));
        let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        api.delete_collection(&DeleteParams::default(), &leftovers)
            .await
            .map_err(Error::api("delete pods of a deleted job"))?;
        let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        api.delete_collection(&DeleteParams::default(), &leftovers)
            .await
            .map_err(Error::api("delete secrets of a deleted job"))?;
        metrics.orphan_deleted();
        deleted += 1;
    }
    Ok(deleted)
}

/// The executors of a job that has ended. Whether there were any.
async fn delete_executors(client: &Client, namespace: &str, uid: &str, metrics: &Metrics) -> Result<bool, Error> {
    let selector = format!("{},{}={}", names::job_selector(uid), names::LABEL_ROLE, Role::Executor.as_str());
    let executors = ListParams::default().labels(&selector);
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let left = api.list_metadata(&executors).await.map_err(Error::api("list executor pods"))?;
    if left.items.iter().all(|pod| pod.metadata.deletion_timestamp.is_some()) {
        return Ok(false);
    }
    tracing::info!(namespace, uid, "deleting the executors of a job that has ended");
    api.delete_collection(&DeleteParams::default(), &executors).await.map_err(Error::api("delete executor pods"))?;
    metrics.orphan_deleted();
    Ok(true)
}
