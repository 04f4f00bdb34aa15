//! Fourth stage: carry out the actions. Each may be repeated without harm.

use super::{
    build::{Action, Decision},
    dereference::{Observed, Refusal},
    validate::Prepared,
};
use crate::error::Error;
use firesteel_api::{Reason, SparkJob, names, pods, status::bounded};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, PostParams, Preconditions},
};
use rand::{Rng, distr::Alphanumeric};

/// Characters of the token between driver and executors; about 190 bits.
const TOKEN_LENGTH: usize = 32;

/// Carries out. What the API server says against a driver pod comes back as a [`Refusal`], for the next round to report.
///
/// # Errors
/// Anything else that fails; the caller looks again later.
pub async fn apply(client: &Client, observed: &Observed, decision: &Decision) -> Result<Option<Refusal>, Error> {
    let job = &observed.job;
    let namespace = job.namespace().ok_or(Error::Incomplete("namespace"))?;
    for action in &decision.actions {
        match action {
            Action::CreateDriver => {
                let Some(prepared) = &decision.create else { continue };
                if let Some(refusal) = create_driver(client, &namespace, prepared).await? {
                    return Ok(Some(refusal));
                }
            }
            Action::DeleteDriver { name, uid } => delete_driver(client, &namespace, job, name, uid.as_deref()).await?,
            Action::Sweep { attempt } => sweep(client, &namespace, job, *attempt).await?,
            Action::DeleteJob => delete_job(client, &namespace, job).await?,
        }
    }
    Ok(None)
}

async fn create_driver(client: &Client, namespace: &str, prepared: &Prepared) -> Result<Option<Refusal>, Error> {
    let context = &prepared.context;
    let pod = match pods::driver_pod(context) {
        Ok(pod) => pod,
        Err(problem) => {
            return Ok(Some(Refusal { reason: Reason::InvalidSpec, message: problem.to_string(), permanent: true }));
        }
    };
    // The Secret's name holds the job's UID: one that exists is this attempt's.
    let secret = pods::attempt_secret(context, &prepared.job_file, &token());
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    match secrets.create(&PostParams::default(), &secret).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(kube::Error::Api(status)) if is_refusal(status.code) => {
            return Ok(Some(refusal("Secret", status.code, &status.message)));
        }
        Err(error) => return Err(Error::api("create the attempt's Secret")(error)),
    }
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    match api.create(&PostParams::default(), &pod).await {
        Ok(_) => Ok(None),
        // An earlier round, or the operator before this one, created it: the next round adopts it.
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
        Err(kube::Error::Api(status)) if is_refusal(status.code) => {
            Ok(Some(refusal("driver pod", status.code, &status.message)))
        }
        Err(error) => Err(Error::api("create the driver pod")(error)),
    }
}

fn is_refusal(code: u16) -> bool {
    matches!(code, 400 | 403 | 404 | 413 | 422)
}

fn refusal(what: &str, code: u16, said: &str) -> Refusal {
    let quota = code == 403 && said.contains("exceeded quota");
    Refusal {
        reason: if quota { Reason::QuotaExceeded } else { Reason::PodRefused },
        message: bounded(&format!("the API server does not take the {what}: {said}"), 2048),
        permanent: matches!(code, 400 | 413 | 422),
    }
}

async fn delete_driver(
    client: &Client,
    namespace: &str,
    job: &SparkJob,
    name: &str,
    uid: Option<&str>,
) -> Result<(), Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let what = "delete the driver pod";
    // Without a recorded UID the pod is deleted only if its labels say that it is this job's.
    let uid = match uid {
        Some(uid) => Some(uid.to_owned()),
        None => match api.get_opt(name).await.map_err(Error::api(what))? {
            Some(pod) if pod.labels().get(names::LABEL_JOB_UID) == job.metadata.uid.as_ref() => pod.metadata.uid,
            _ => return Ok(()),
        },
    };
    let params =
        DeleteParams { preconditions: Some(Preconditions { uid, resource_version: None }), ..DeleteParams::default() };
    match api.delete(name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(error) => Err(Error::api(what)(error)),
    }
}

async fn sweep(client: &Client, namespace: &str, job: &SparkJob, attempt: i32) -> Result<(), Error> {
    let uid = job.metadata.uid.as_deref().ok_or(Error::Incomplete("uid"))?;
    let selector = format!("{},{}={attempt}", names::job_selector(uid), names::LABEL_ATTEMPT);
    let executors = ListParams::default().labels(&format!("{selector},{}=executor", names::LABEL_ROLE));
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    api.delete_collection(&DeleteParams::default(), &executors).await.map_err(Error::api("delete executor pods"))?;
    let name = names::attempt_secret(&job.name_any(), uid, u32::try_from(attempt).unwrap_or(1));
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    match api.delete(&name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(Error::api("delete the attempt's Secret")(error)),
    }
}

async fn delete_job(client: &Client, namespace: &str, job: &SparkJob) -> Result<(), Error> {
    let api: Api<SparkJob> = Api::namespaced(client.clone(), namespace);
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: job.metadata.uid.clone(), resource_version: None }),
        ..DeleteParams::background()
    };
    match api.delete(&job.name_any(), &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(error) => Err(Error::api("delete the job after its time to live")(error)),
    }
}

/// A token from the operating system's random numbers.
fn token() -> String {
    rand::rng().sample_iter(&Alphanumeric).take(TOKEN_LENGTH).map(char::from).collect()
}
