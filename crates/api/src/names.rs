//! Names and labels of everything a job owns. Deterministic: who knows job and attempt knows every name, which is what
//! makes a restarted operator adopt a pod instead of making a second one.

use std::collections::BTreeMap;

/// Longest name and label value Kubernetes allows here.
pub const MAX_NAME: usize = 63;

/// Name of the job. On every object.
pub const LABEL_JOB: &str = "firesteel.dev/job";
/// UID of the job; tells a job from an earlier one of the same name. On every object.
pub const LABEL_JOB_UID: &str = "firesteel.dev/job-uid";
/// Attempt number, from 1. On everything that belongs to one attempt.
pub const LABEL_ATTEMPT: &str = "firesteel.dev/attempt";
/// `driver` or `executor`. On pods.
pub const LABEL_ROLE: &str = "firesteel.dev/role";
/// Executor id within the attempt. On executor pods.
pub const LABEL_EXECUTOR: &str = "firesteel.dev/executor-id";
/// Standard label; always `firesteel`.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub const MANAGED_BY: &str = "firesteel";
/// Prefix that user-given labels and annotations may not use.
pub const RESERVED_PREFIX: &str = "firesteel.dev/";

/// The two kinds of pod of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Driver,
    Executor,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Driver => "driver",
            Role::Executor => "executor",
        }
    }
}

/// `<job>-<attempt>-driver`.
pub fn driver_pod(job: &str, attempt: u32) -> String {
    fitted(job, &format!("-{attempt}-driver"))
}

/// `<job>-<attempt>-exec-<id>`.
pub fn executor_pod(job: &str, attempt: u32, executor: u64) -> String {
    fitted(job, &format!("-{attempt}-exec-{executor}"))
}

/// Secret of one attempt: the job file and the token with which driver and executors know each other. The name holds a
/// hash of the job's UID, so that a Secret of that name belongs to this very job and need not be read to find out.
pub fn attempt_secret(job: &str, uid: &str, attempt: u32) -> String {
    fitted(job, &format!("-{attempt}-{:08x}", fnv1a(uid.as_bytes())))
}

/// Labels of the objects of one attempt.
pub fn attempt_labels(job: &str, uid: &str, attempt: u32) -> BTreeMap<String, String> {
    BTreeMap::from([
        (LABEL_JOB.to_owned(), job.to_owned()),
        (LABEL_JOB_UID.to_owned(), uid.to_owned()),
        (LABEL_ATTEMPT.to_owned(), attempt.to_string()),
        (LABEL_MANAGED_BY.to_owned(), MANAGED_BY.to_owned()),
    ])
}

/// Labels of a pod of one attempt.
pub fn pod_labels(job: &str, uid: &str, attempt: u32, role: Role) -> BTreeMap<String, String> {
    let mut labels = attempt_labels(job, uid, attempt);
    labels.insert(LABEL_ROLE.to_owned(), role.as_str().to_owned());
    labels
}

/// Label selector for all that one job (by UID) owns, whatever the attempt.
pub fn job_selector(uid: &str) -> String {
    format!("{LABEL_JOB_UID}={uid}")
}

/// `base` + `suffix`, at most 63 characters. A long base is cut and keeps eight hash digits of its full text, so that two
/// long names that begin alike stay apart.
fn fitted(base: &str, suffix: &str) -> String {
    if base.len() + suffix.len() <= MAX_NAME {
        return format!("{base}{suffix}");
    }
    let room = MAX_NAME.saturating_sub(suffix.len() + 9);
    let mut end = room.min(base.len());
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let cut = base[..end].trim_end_matches(['-', '.']);
    format!("{cut}-{:08x}{suffix}", fnv1a(base.as_bytes()))
}

/// 32-bit FNV-1a: the same in every process and version, which std's hasher does not promise.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_plain() {
        assert_eq!(driver_pod("server-health", 1), "server-health-1-driver");
        assert_eq!(executor_pod("server-health", 2, 17), "server-health-2-exec-17");
    }

    #[test]
    fn long_names_fit_and_stay_apart() {
        let a = format!("{}a", "x".repeat(62));
        let b = format!("{}b", "x".repeat(62));
        for name in [driver_pod(&a, 3), executor_pod(&a, 20, u64::MAX)] {
            assert!(name.len() <= MAX_NAME, "{name}");
            assert!(name.starts_with('x'));
        }
        assert_ne!(driver_pod(&a, 1), driver_pod(&b, 1));
        assert_ne!(executor_pod(&a, 1, 1), executor_pod(&a, 1, 2));
        assert!(driver_pod(&a, 3).ends_with("-3-driver"));
    }

    #[test]
    fn a_cut_never_leaves_a_double_dash() {
        let job = format!("{}-{}", "a".repeat(46), "b".repeat(16));
        assert!(!driver_pod(&job, 1).contains("--"));
    }

    #[test]
    fn hash_is_the_published_fnv1a() {
        assert_eq!(fnv1a(b""), 0x811c9dc5);
        assert_eq!(fnv1a(b"foobar"), 0xbf9cf968);
    }
}
