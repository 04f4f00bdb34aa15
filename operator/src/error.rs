//! What can go wrong in the operator itself. What goes wrong with a job is not an error here: it is a status.

use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else wrote the object in between; the next look settles it.
    #[error("{what}: the object has changed meanwhile")]
    Conflict { what: &'static str },
    /// The API server said no, or could not be reached.
    #[error("{what}: {source}")]
    Api { what: &'static str, source: Box<kube::Error> },
    #[error("the object has no {0}")]
    Incomplete(&'static str),
    #[error("{what}: {source}")]
    Serialize { what: &'static str, source: serde_json::Error },
}

impl Error {
    /// Wraps a client error, telling conflicts apart.
    pub fn api(what: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| match &source {
            kube::Error::Api(status) if status.is_conflict() => Self::Conflict { what },
            _ => Self::Api { what, source: Box::new(source) },
        }
    }

    /// Bounded label for the metric.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "conflict",
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => match status.code {
                    401 | 403 => "forbidden",
                    404 => "not_found",
                    429 => "throttled",
                    400..=499 => "refused",
                    _ => "server",
                },
                _ => "transport",
            },
            Self::Incomplete(_) | Self::Serialize { .. } => "internal",
        }
    }

    /// How long to wait before looking at the job again, after the `failures`th error in a row (from 1).
    pub fn retry_after(&self, failures: u32) -> Duration {
        match self {
            Self::Conflict { .. } => Duration::from_millis(200),
            _ => Duration::from_secs(1 << failures.clamp(1, 6).saturating_sub(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_bounded() {
        let error = Error::Incomplete("name");
        assert_eq!(error.retry_after(1), Duration::from_secs(1));
        assert_eq!(error.retry_after(1000), Duration::from_secs(32));
        assert!(Error::Conflict { what: "x" }.retry_after(9) < Duration::from_secs(1));
    }
}
