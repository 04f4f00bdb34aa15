//! How a driver tells the operator how it ended: one JSON object in its container's termination log, which the kubelet
//! copies into the pod's status. It works when the API server is down and outlives the process.

use crate::{reason::Reason, status::Outcome, status::bounded};
use serde::{Deserialize, Serialize};

/// The file the kubelet reads.
pub const PATH: &str = "/dev/termination-log";
/// What the kubelet keeps of it, in bytes.
pub const MAX_BYTES: usize = 4096;

/// The driver's last word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TerminationMessage {
    pub outcome: Outcome,
    pub reason: Reason,
    /// Spark's error class, for instance `TABLE_OR_VIEW_NOT_FOUND`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_class: Option<String>,
    #[serde(default)]
    pub message: String,
}

impl TerminationMessage {
    pub fn succeeded(message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Succeeded, reason: Reason::Succeeded, error_class: None, message: message.into() }
    }

    pub fn failed(reason: Reason, error_class: Option<String>, message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed, reason, error_class, message: message.into() }
    }

    /// JSON of at most [`MAX_BYTES`] bytes; the message is cut as far as that needs.
    pub fn to_json(&self) -> String {
        let mut message = self.clone();
        message.error_class = message.error_class.map(|class| bounded(&class, 256));
        let mut limit = MAX_BYTES;
        // Escaping can double or sextuple the text, so the cut is found by trying; twelve halvings leave nothing.
        for _ in 0..12 {
            message.message = bounded(&self.message, limit);
            match serde_json::to_string(&message) {
                Ok(json) if json.len() <= MAX_BYTES => return json,
                _ => limit = if limit > 256 { limit - limit / 4 } else { limit / 2 },
            }
        }
        message.message = String::new();
        serde_json::to_string(&message).unwrap_or_default()
    }

    /// Reads what [`Self::to_json`] wrote. None when it is not such an object, for instance a panic's last lines.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text.trim()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_kubelets_limit() {
        for filler in ["x", "\"", "\u{1}", "ä", "\n"] {
            let sent =
                TerminationMessage::failed(Reason::SyntaxError, Some("PARSE_SYNTAX_ERROR".into()), filler.repeat(9000));
            let json = sent.to_json();
            assert!(json.len() <= MAX_BYTES, "{}", json.len());
            let read = TerminationMessage::parse(&json).unwrap();
            assert_eq!(read.reason, Reason::SyntaxError);
            assert!(read.message.len() > 400, "{} bytes of {filler:?} left", read.message.len());
        }
    }

    #[test]
    fn short_messages_are_whole() {
        let sent = TerminationMessage::succeeded("4 statements");
        assert_eq!(TerminationMessage::parse(&sent.to_json()), Some(sent));
        assert_eq!(TerminationMessage::parse("thread main panicked"), None);
    }
}
