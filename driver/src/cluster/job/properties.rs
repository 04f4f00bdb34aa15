//! What a session's configuration says of its jobs: Spark's local properties.

use firesteel_plan::{SparkConf, conf::keys};
use firesteel_scheduler::JobProperties;

/// As the session stands now: each job takes what is set when it is submitted.
pub fn properties_of(conf: &SparkConf) -> JobProperties {
    let text = |key| Some(conf.text(key).trim()).filter(|text| !text.is_empty());
    let tags = text(&keys::JOB_TAGS).into_iter().flat_map(|tags| tags.split(','));
    JobProperties {
        pool: text(&keys::SCHEDULER_POOL).map(Into::into),
        group: text(&keys::JOB_GROUP).map(str::to_owned),
        tags: tags.map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
        max_result_bytes: u64::try_from(conf.bytes(&keys::MAX_RESULT_SIZE)).ok().filter(|limit| *limit > 0),
    }
}
