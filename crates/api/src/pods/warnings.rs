//! What Events tell of a pod that does not start, where its status says nothing.

use k8s_openapi::{api::core::v1::Event, jiff::Timestamp};

use crate::{
    Reason,
    status::{bounded, instant},
};

const MAX_MESSAGE: usize = 1024;

/// Selects the warnings about one pod.
pub fn selector(pod_uid: &str) -> String {
    format!("type=Warning,involvedObject.uid={pod_uid}")
}

/// The last of a pod's Events that says why it does not start.
pub fn why_not_started(events: &[Event]) -> Option<(Reason, String)> {
    let told = events.iter().filter_map(|event| Some((last_seen(event)?, meaning(event.reason.as_deref()?)?, event)));
    let (_, reason, event) = told.max_by_key(|(at, ..)| *at)?;
    let what = event.reason.as_deref().unwrap_or_default();
    let detail = event.message.as_deref().unwrap_or("no detail is given");
    Some((reason, bounded(&format!("{what}: {detail}"), MAX_MESSAGE)))
}

fn meaning(reason: &str) -> Option<Reason> {
    match reason {
        "FailedMount" | "FailedAttachVolume" | "FailedMapVolume" => Some(Reason::VolumeMountFailed),
        "FailedCreatePodSandBox" | "FailedCreatePodContainer" => Some(Reason::ContainerStartFailed),
        _ => None,
    }
}

fn last_seen(event: &Event) -> Option<Timestamp> {
    let counted = event.last_timestamp.as_ref().map(instant);
    let series = event.series.as_ref().and_then(|s| s.last_observed_time.as_ref()).map(instant);
    let once = event.event_time.as_ref().map(instant);
    counted.into_iter().chain(series).chain(once).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(reason: &str, minute: u32, message: &str) -> Event {
        serde_json::from_value(json!({
            "metadata": {}, "involvedObject": {}, "reason": reason, "message": message,
            "lastTimestamp": format!("2026-03-01T10:{minute:02}:00Z"),
        }))
        .unwrap()
    }

    #[test]
    fn the_last_word_counts() {
        let events = [
            event("FailedMount", 1, "secret \"a\" not found"),
            event("FailedMount", 3, "secret \"b\" not found"),
            event("Unhealthy", 4, "probe failed"),
            event("FailedCreatePodSandBox", 2, "no address"),
        ];
        let (reason, message) = why_not_started(&events).unwrap();
        assert_eq!((reason, message.as_str()), (Reason::VolumeMountFailed, "FailedMount: secret \"b\" not found"));
        assert_eq!(why_not_started(&events[2..3]), None);
    }
}
