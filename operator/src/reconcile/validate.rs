//! Second stage: whether the job can be carried out, and the job as its driver will see it, with the operator's defaults
//! and the referenced SQL text filled in. Pure.

use super::dereference::{Observed, SqlText};
use crate::config::Defaults;
use firesteel_api::{
    Reason, SparkJob, SqlSource, job::LocalObjectRef, jobfile, pods::AttemptContext, validate::Problem,
};

/// Why no attempt can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The job itself is wrong, and what is wrong cannot be changed any more.
    Spec { reason: Reason, message: String },
    /// Something it refers to is not there yet.
    Missing { reason: Reason, message: String },
}

/// A job ready to be submitted.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// With defaults; `attempt` is that of the attempt under way, or the next.
    pub context: AttemptContext,
    /// What the driver reads.
    pub job_file: String,
}

/// Fills in and checks.
///
/// # Errors
/// The obstacle, worded for the status.
pub fn prepare(observed: &Observed, defaults: &Defaults) -> Result<Prepared, Obstacle> {
    let mut job = with_defaults(&observed.job, defaults);
    let attempt = match observed.current_attempt() {
        Some(attempt) => attempt.number,
        None => observed.job.status.as_ref().and_then(|s| s.attempt).unwrap_or(0) + 1,
    };
    let continues = match observed.current_attempt() {
        Some(attempt) => attempt.continues,
        None => observed.job.status.as_ref().and_then(|s| s.recovering),
    };
    let number = |n: i32| u32::try_from(n).unwrap_or(1);
    let context = AttemptContext::new(&job, number(attempt))
        .map_err(|problems| Obstacle::Spec { reason: problems.reason(), message: problems.to_string() })?
        .continuing(continues.map(number));

    match &observed.sql {
        SqlText::NotNeeded => {}
        SqlText::Found(text) if text.trim().is_empty() => {
            return Err(Obstacle::Missing {
                reason: Reason::ConfigMapKeyNotFound,
                message: "spec.sql.configMap: the text under that key is empty; looking again until it is not"
                    .to_owned(),
            });
        }
        SqlText::Found(text) => job.spec.sql = Some(SqlSource { inline: Some(text.clone()), ..SqlSource::default() }),
        SqlText::MapMissing { name } => {
            return Err(Obstacle::Missing {
                reason: Reason::ConfigMapNotFound,
                message: format!(
                    "spec.sql.configMap: there is no ConfigMap '{name}' in namespace '{}'; create it, the job starts then",
                    context.namespace
                ),
            });
        }
        SqlText::KeyMissing { name, key, has } => {
            return Err(Obstacle::Missing {
                reason: Reason::ConfigMapKeyNotFound,
                message: format!(
                    "spec.sql.configMap: ConfigMap '{name}' has no key '{key}'; it has: {}; add it, the job starts then",
                    has.join(", ")
                ),
            });
        }
    }
    let job_file = jobfile::render(&job).map_err(|error| Obstacle::Spec {
        reason: Reason::InvalidSpec,
        message: Problem::invalid("spec.sql", error.to_string()).to_string(),
    })?;
    Ok(Prepared { context, job_file })
}

fn with_defaults(job: &SparkJob, defaults: &Defaults) -> SparkJob {
    let mut job = job.clone();
    let spec = &mut job.spec;
    spec.image.get_or_insert_with(|| defaults.image.clone());
    if spec.image_pull_policy.is_none() {
        spec.image_pull_policy = defaults.image_pull_policy.clone();
    }
    if spec.image_pull_secrets.is_empty() {
        spec.image_pull_secrets =
            defaults.image_pull_secrets.iter().map(|name| LocalObjectRef { name: name.clone() }).collect();
    }
    spec.driver.service_account.get_or_insert_with(|| defaults.driver_service_account.clone());
    job
}
