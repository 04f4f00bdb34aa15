//! How the application ended, in the operator's terms.

use std::path::Path;

use firesteel_api::{Reason, TerminationMessage, secrets, status::bounded};
use firesteel_plan::SparkError;

use super::settings::Settings;

/// Why the application did not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub reason: Reason,
    pub error_class: Option<String>,
    pub message: String,
}

impl Failure {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, error_class: None, message: message.into() }
    }
}

impl From<SparkError> for Failure {
    fn from(error: SparkError) -> Self {
        Self { reason: reason_of(&error), error_class: Some(error.class().to_owned()), message: error.to_string() }
    }
}

/// The reason that a person, a metric and the retry budget see for an error.
pub fn reason_of(error: &SparkError) -> Reason {
    let condition = error.class().split('.').next().unwrap_or_default();
    match condition {
        "EXECUTORS_NOT_AVAILABLE" | "EXECUTORS_FAILED" => return Reason::ExecutorsLost,
        "JOB_ABORTED" => return Reason::TaskFailed,
        "UNABLE_TO_ACQUIRE_MEMORY" => return Reason::OutOfMemory,
        "DISK_FULL" => return Reason::DiskFull,
        "TASK_WRITE_FAILED" if error.message().contains("disk is full") => return Reason::DiskFull,
        "INVALID_JOB_FILE" => return Reason::InvalidSpec,
        "OPERATION_CANCELED" => return Reason::Stopped,
        _ => {}
    }
    match error.sql_state() {
        "42601" => Reason::SyntaxError,
        // Undefined paths are no fault of the statement.
        "42K03" => Reason::StorageError,
        "53200" => Reason::OutOfMemory,
        "53100" => Reason::DiskFull,
        state if state.starts_with("0A") => Reason::UnsupportedFeature,
        state if state.starts_with("42") || state.starts_with("46") => Reason::AnalysisError,
        state if state.starts_with("KD") || state.starts_with("58") => Reason::StorageError,
        state if state.starts_with("XX") => Reason::InternalError,
        // 21, 22, 23, 54, P0 …: the data did not suit the query.
        _ => Reason::ExecutionError,
    }
}

/// The driver's last word, without secrets.
pub fn last_word(result: &Result<String, Failure>, settings: Option<&Settings>) -> TerminationMessage {
    let clean = |text: &str| match settings {
        Some(settings) => secrets::scrub(text, &settings.secrets),
        None => text.to_owned(),
    };
    match result {
        Ok(message) => TerminationMessage::succeeded(clean(message)),
        Err(failure) => {
            let message = bounded(&clean(&failure.message), firesteel_api::termination::MAX_BYTES);
            TerminationMessage::failed(failure.reason, failure.error_class.clone(), message)
        }
    }
}

/// Where the kubelet reads it. Without it the end of the log has to do.
pub fn write_last_word(message: &TerminationMessage, path: &Path) {
    if let Err(error) = std::fs::write(path, message.to_json()) {
        tracing::warn!(%error, path = %path.display(), "cannot write the termination message");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_follow_class_and_state() {
        let table = [
            ("PARSE_SYNTAX_ERROR", "42601", Reason::SyntaxError),
            ("TABLE_OR_VIEW_NOT_FOUND", "42P01", Reason::AnalysisError),
            ("UNRESOLVED_COLUMN.WITH_SUGGESTION", "42703", Reason::AnalysisError),
            ("DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES", "42K09", Reason::AnalysisError),
            ("PATH_NOT_FOUND", "42K03", Reason::StorageError),
            ("FAILED_READ_FILE.NO_HINT", "KD001", Reason::StorageError),
            ("TASK_WRITE_FAILED", "58030", Reason::StorageError),
            ("DIVIDE_BY_ZERO", "22012", Reason::ExecutionError),
            ("SCALAR_SUBQUERY_TOO_MANY_ROWS", "21000", Reason::ExecutionError),
            ("USER_RAISED_EXCEPTION", "P0001", Reason::ExecutionError),
            ("RESULT_TOO_LARGE", "54000", Reason::ExecutionError),
            ("UNSUPPORTED_FEATURE", "0A000", Reason::UnsupportedFeature),
            ("EXECUTORS_NOT_AVAILABLE", "58000", Reason::ExecutorsLost),
            ("EXECUTORS_FAILED", "58000", Reason::ExecutorsLost),
            ("JOB_ABORTED", "58000", Reason::TaskFailed),
            ("UNABLE_TO_ACQUIRE_MEMORY", "53200", Reason::OutOfMemory),
            ("DISK_FULL", "53100", Reason::DiskFull),
            ("OPERATION_CANCELED", "HY008", Reason::Stopped),
            ("INVALID_JOB_FILE", "22023", Reason::InvalidSpec),
            ("INTERNAL_ERROR", "XX000", Reason::InternalError),
        ];
        for (class, state, expected) in table {
            assert_eq!(reason_of(&SparkError::new(class, state, "m")), expected, "{class} {state}");
        }
        let full = SparkError::new("TASK_WRITE_FAILED", "58030", "The local disk is full: no space left.");
        assert_eq!(reason_of(&full), Reason::DiskFull);
    }

    #[test]
    fn the_last_word_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("termination-log");
        let failure = Failure::from(SparkError::new("DIVIDE_BY_ZERO", "22012", "Division by zero."));
        let word = last_word(&Err(failure), None);
        write_last_word(&word, &path);
        let read = TerminationMessage::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(read.error_class.as_deref(), Some("DIVIDE_BY_ZERO"));
        assert!(read.message.starts_with("[DIVIDE_BY_ZERO] Division by zero."), "{}", read.message);
    }
}
