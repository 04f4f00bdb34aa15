//! What a store holds, for a driver that was not there when it was written.

use firesteel_protocol::{Fingerprint, ShuffleId};

use super::{BlockStore, index, store::MapOutputId};

/// The outputs of one stage that are here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredShuffle {
    pub shuffle: ShuffleId,
    pub fingerprint: Fingerprint,
    /// By map index and attempt.
    pub outputs: Vec<StoredOutput>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOutput {
    pub map: u32,
    pub attempt: u64,
    /// Encoded bytes of each reduce partition's block.
    pub sizes: Vec<u64>,
    pub rows: u64,
}

impl BlockStore {
    /// What the stage that writes this shuffle computes.
    pub fn identify(&self, shuffle: ShuffleId, fingerprint: Fingerprint) {
        self.state.lock().fingerprints.insert(shuffle, fingerprint);
    }

    /// All outputs of shuffles that are identified. Reads their index files; what cannot be read is left out.
    pub fn inventory(&self) -> Vec<StoredShuffle> {
        let mut shuffles = self.identified();
        for (shuffle, ids) in &mut shuffles {
            for id in ids.drain(..) {
                let index = self.source(id, "index").map_err(|e| e.to_string());
                match index.and_then(|index| index::read_all(&index).map_err(|e| e.to_string())) {
                    Ok(entries) => shuffle.outputs.push(StoredOutput {
                        map: id.map,
                        attempt: id.attempt,
                        sizes: entries.iter().map(index::BlockEntry::length).collect(),
                        rows: entries.iter().map(|entry| entry.rows).sum(),
                    }),
                    Err(error) => tracing::warn!(output = ?id, error, "an index cannot be read"),
                }
            }
        }
        shuffles.into_iter().map(|(shuffle, _)| shuffle).collect()
    }

    /// The shuffles that are identified, and their outputs.
    fn identified(&self) -> Vec<(StoredShuffle, Vec<MapOutputId>)> {
        let state = self.state.lock();
        let mut shuffles: Vec<_> = state
            .fingerprints
            .iter()
            .map(|(shuffle, fingerprint)| {
                let outputs = state.outputs.get(shuffle).into_iter().flat_map(std::collections::HashMap::keys);
                let mut ids: Vec<_> = outputs
                    .map(|(map, attempt)| MapOutputId { shuffle: *shuffle, map: *map, attempt: *attempt })
                    .collect();
                ids.sort_unstable();
                (StoredShuffle { shuffle: *shuffle, fingerprint: *fingerprint, outputs: Vec::new() }, ids)
            })
            .collect();
        shuffles.sort_unstable_by_key(|(shuffle, _)| shuffle.shuffle);
        shuffles
    }

    /// Removes the outputs of shuffles that are not identified.
    pub fn remove_unknown(&self) {
        let unknown: Vec<ShuffleId> = {
            let state = self.state.lock();
            state.outputs.keys().filter(|shuffle| !state.fingerprints.contains_key(shuffle)).copied().collect()
        };
        unknown.into_iter().for_each(|shuffle| self.remove_shuffle(shuffle));
    }
}
