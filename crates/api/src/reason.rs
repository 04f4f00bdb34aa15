//! Why a job is in the state it is in: one closed list, used as condition reason, `status.reason`, Event reason and metric
//! label, so that the four never disagree and a label's cardinality stays bounded.

use serde::{Deserialize, Serialize};

/// Machine-readable reason. The text form is the variant's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    // Before a driver exists.
    /// The spec was read and understood.
    Accepted,
    /// The spec passed the API server but cannot be carried out; the message names the field.
    InvalidSpec,
    /// The spec asks for something this version does not do.
    NotYetSupported,
    /// A referenced ConfigMap does not exist (yet); looked for again until it does.
    ConfigMapNotFound,
    /// A referenced ConfigMap lacks the named key; looked for again until it has it.
    ConfigMapKeyNotFound,
    /// The API server refused the pod for quota; tried again until the start timeout.
    QuotaExceeded,
    /// The API server refused the pod for another cause (admission, missing service account, invalid template).
    PodRefused,
    /// Waiting for the back-off before the next attempt.
    RetryBackoff,

    // A driver pod exists and is not running yet.
    /// The attempt is recorded and its pod requested.
    DriverStarting,
    /// No node fits the driver pod.
    DriverUnschedulable,
    /// The image of the driver pod cannot be pulled.
    ImagePullFailed,
    /// The kubelet cannot configure the container: a missing secret, config map or key.
    ContainerConfigError,
    /// A volume of the pod cannot be mounted: a missing Secret, ConfigMap or claim, a disk that cannot be attached.
    VolumeMountFailed,
    /// The container runtime could not start the container, for instance because the command is missing.
    ContainerStartFailed,

    // The driver runs.
    /// The driver is running and planning or executing.
    DriverRunning,
    /// Executors are requested and not all there.
    ExecutorsPending,
    /// As many executors run as were asked for.
    ExecutorsReady,
    /// No node fits an executor pod.
    ExecutorsUnschedulable,
    /// The image of an executor pod cannot be pulled.
    ExecutorImagePullFailed,
    /// Executors ended unexpectedly; the driver is replacing them.
    ExecutorsFailing,

    // Ends.
    /// The program ended well.
    Succeeded,
    /// The SQL text does not parse. Message: line, column, Spark's error class.
    SyntaxError,
    /// Name resolution or typing failed: unknown table, column, function, type mismatch.
    AnalysisError,
    /// The query failed on its data: overflow, cast, division by zero, `raise_error`.
    ExecutionError,
    /// Reading or writing storage failed: missing bucket, wrong credentials, corrupt file.
    StorageError,
    /// Something the program asked for is not implemented.
    UnsupportedFeature,
    /// A task failed more often than `spark.task.maxFailures`, for a cause that is not the query's own.
    TaskFailed,
    /// The driver gave up after losing executors too often, or all of them for too long.
    ExecutorsLost,
    /// A container was killed because it exceeded its memory limit.
    OutOfMemory,
    /// Local disk ran full.
    DiskFull,
    /// The kubelet evicted the pod.
    Evicted,
    /// A pod of higher priority took the place.
    Preempted,
    /// The node of the pod went away or shut down.
    NodeLost,
    /// The driver pod is gone, confirmed by a direct read, without having told how it ended.
    DriverLost,
    /// The driver process ended with an error and no termination message.
    DriverCrashed,
    /// The driver pod did not run within the start timeout.
    DriverStartTimeout,
    /// `activeDeadlineSeconds` went by.
    DeadlineExceeded,
    /// The driver was asked to stop (SIGTERM) before the program ended.
    Stopped,
    /// A defect of Firesteel itself.
    InternalError,
    /// Written by another version; not known to this one.
    #[serde(other)]
    Unknown,
}

/// Which retry budget a failure is charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// The same input will fail the same way: never retried.
    Permanent,
    /// The program or its environment failed: retried up to `spec.maxAttempts` runs.
    Application,
    /// The cluster took the driver away: retried up to `spec.maxInfrastructureRetries` times.
    Infrastructure,
}

impl Reason {
    /// The name, as written to conditions and Events.
    pub fn as_str(self) -> &'static str {
        use Reason::*;
        match self {
            Accepted => "Accepted",
            InvalidSpec => "InvalidSpec",
            NotYetSupported => "NotYetSupported",
            ConfigMapNotFound => "ConfigMapNotFound",
            ConfigMapKeyNotFound => "ConfigMapKeyNotFound",
            QuotaExceeded => "QuotaExceeded",
            PodRefused => "PodRefused",
            RetryBackoff => "RetryBackoff",
            DriverStarting => "DriverStarting",
            DriverUnschedulable => "DriverUnschedulable",
            ImagePullFailed => "ImagePullFailed",
            ContainerConfigError => "ContainerConfigError",
            VolumeMountFailed => "VolumeMountFailed",
            ContainerStartFailed => "ContainerStartFailed",
            DriverRunning => "DriverRunning",
            ExecutorsPending => "ExecutorsPending",
            ExecutorsReady => "ExecutorsReady",
            ExecutorsUnschedulable => "ExecutorsUnschedulable",
            ExecutorImagePullFailed => "ExecutorImagePullFailed",
            ExecutorsFailing => "ExecutorsFailing",
            Succeeded => "Succeeded",
            SyntaxError => "SyntaxError",
            AnalysisError => "AnalysisError",
            ExecutionError => "ExecutionError",
            StorageError => "StorageError",
            UnsupportedFeature => "UnsupportedFeature",
            TaskFailed => "TaskFailed",
            ExecutorsLost => "ExecutorsLost",
            OutOfMemory => "OutOfMemory",
            DiskFull => "DiskFull",
            Evicted => "Evicted",
            Preempted => "Preempted",
            NodeLost => "NodeLost",
            DriverLost => "DriverLost",
            DriverCrashed => "DriverCrashed",
            DriverStartTimeout => "DriverStartTimeout",
            DeadlineExceeded => "DeadlineExceeded",
            Stopped => "Stopped",
            InternalError => "InternalError",
            Unknown => "Unknown",
        }
    }

    /// What the kubelet's reason for a waiting container means, if it is trouble. For an executor's pod
    /// `ImagePullFailed` is [`Reason::ExecutorImagePullFailed`].
    pub fn of_waiting_container(kubelet: &str) -> Option<Self> {
        Some(match kubelet {
            "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "ImageInspectError"
            | "RegistryUnavailable"
            | "SignatureValidationFailed" => Self::ImagePullFailed,
            "CreateContainerConfigError" => Self::ContainerConfigError,
            "CreateContainerError" | "RunContainerError" | "CrashLoopBackOff" => Self::ContainerStartFailed,
            _ => return None,
        })
    }

    /// The budget a failed attempt with this reason is charged to.
    pub fn failure_class(self) -> FailureClass {
        use Reason::*;
        match self {
            InvalidSpec | NotYetSupported | SyntaxError | AnalysisError | UnsupportedFeature | DeadlineExceeded => {
                FailureClass::Permanent
            }
            Evicted | Preempted | NodeLost | DriverLost | Stopped => FailureClass::Infrastructure,
            _ => FailureClass::Application,
        }
    }

    /// True for states a person should look at: they become Warning Events.
    pub fn is_warning(self) -> bool {
        use Reason::*;
        !matches!(self, Accepted | DriverStarting | DriverRunning | ExecutorsPending | ExecutorsReady | Succeeded)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_the_serialized_form() {
        for reason in
            [Reason::Accepted, Reason::OutOfMemory, Reason::DriverLost, Reason::InternalError, Reason::Unknown]
        {
            assert_eq!(serde_json::to_value(reason).unwrap(), serde_json::json!(reason.as_str()));
            assert_eq!(format!("{reason:?}"), reason.as_str());
        }
    }

    #[test]
    fn a_reason_of_a_later_version_is_read() {
        assert_eq!(serde_json::from_str::<Reason>("\"FromTheFuture\"").unwrap(), Reason::Unknown);
    }
}
