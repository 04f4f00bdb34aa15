//! What this executor holds, for a driver that has not seen it being made.

use std::sync::Arc;

use firesteel_engine::shuffle::{BlockStore, StoredShuffle};
use firesteel_protocol::proto::{self, executor_message::Message};

use crate::outbox::Reporter;

/// Sizes of blocks in one message: some megabytes at the most.
const SIZES_PER_MESSAGE: usize = 200_000;

/// Tells all outputs whose stage can be known again, and removes the others: no later driver can use them.
pub async fn tell(store: Arc<BlockStore>, reporter: Reporter) {
    let look = tokio::task::spawn_blocking(move || {
        store.remove_unknown();
        store.inventory()
    });
    let shuffles = look.await.unwrap_or_default();
    let outputs: usize = shuffles.iter().map(|shuffle| shuffle.outputs.len()).sum();
    tracing::info!(shuffles = shuffles.len(), outputs, "telling a new driver what is here");
    for part in parts(shuffles) {
        reporter.say(Message::Inventory(part)).await;
    }
}

/// In messages of bounded size; the last one says so.
fn parts(shuffles: Vec<StoredShuffle>) -> Vec<proto::Inventory> {
    let mut parts = Vec::new();
    let mut part = proto::Inventory::default();
    let mut sizes = 0;
    for shuffle in shuffles {
        let head = |outputs| proto::StoredShuffle {
            shuffle_id: shuffle.shuffle.0,
            fingerprint: shuffle.fingerprint.0.to_vec().into(),
            outputs,
        };
        let mut outputs = Vec::new();
        for output in &shuffle.outputs {
            if sizes > 0 && sizes + output.sizes.len() > SIZES_PER_MESSAGE {
                part.shuffles.push(head(std::mem::take(&mut outputs)));
                parts.push(std::mem::take(&mut part));
                sizes = 0;
            }
            sizes += output.sizes.len();
            outputs.push(proto::StoredOutput {
                map_index: output.map,
                attempt: output.attempt,
                sizes: output.sizes.clone(),
                rows: output.rows,
            });
        }
        part.shuffles.push(head(outputs));
    }
    part.complete = true;
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests {
    use firesteel_engine::shuffle::StoredOutput;
    use firesteel_protocol::{Fingerprint, ShuffleId};

    use super::*;

    #[test]
    fn a_large_inventory_comes_in_parts() {
        let output =
            |map| StoredOutput { map, attempt: u64::from(map), sizes: vec![7; SIZES_PER_MESSAGE / 2], rows: 5 };
        let shuffles = vec![
            StoredShuffle {
                shuffle: ShuffleId(1),
                fingerprint: Fingerprint([1; 16]),
                outputs: (0..3).map(output).collect(),
            },
            StoredShuffle {
                shuffle: ShuffleId(2),
                fingerprint: Fingerprint([2; 16]),
                outputs: (0..2).map(output).collect(),
            },
        ];
        let parts = parts(shuffles);
        assert_eq!(parts.iter().map(|part| part.complete).collect::<Vec<_>>(), [false, false, true]);
        let mut seen: Vec<(u32, u32)> = Vec::new();
        for shuffle in parts.iter().flat_map(|part| &part.shuffles) {
            assert_eq!(shuffle.fingerprint[..], [shuffle.shuffle_id as u8; 16]);
            seen.extend(shuffle.outputs.iter().map(|output| (shuffle.shuffle_id, output.map_index)));
        }
        assert_eq!(seen, [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]);
    }
}
