//! What executors hold of an earlier driver's work, and which of this driver's shuffles it stands for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use firesteel_protocol::{ExecutorId, Fingerprint, ShuffleId, proto};
use firesteel_scheduler::RestoredOutput;

#[derive(Default)]
pub struct Restored {
    found: HashMap<Fingerprint, BTreeMap<ShuffleId, Outputs>>,
    /// Of the shuffles that took over outputs: their names with executors.
    names: HashMap<ShuffleId, ShuffleId>,
    /// Of the shuffles that this driver knows; whether what there was for them has been taken over.
    known: HashMap<ShuffleId, (Fingerprint, bool)>,
}

/// By map: who holds it, of which attempt, how large its blocks are, and its rows.
type Outputs = BTreeMap<u32, Vec<(RestoredOutput, u64)>>;

impl Restored {
    pub fn add(&mut self, executor: &ExecutorId, inventory: proto::Inventory) {
        for shuffle in inventory.shuffles {
            let Some(fingerprint) = Fingerprint::from_bytes(&shuffle.fingerprint) else { continue };
            let outputs = self.found.entry(fingerprint).or_default().entry(ShuffleId(shuffle.shuffle_id)).or_default();
            for output in shuffle.outputs {
                let restored = RestoredOutput {
                    map_index: output.map_index,
                    attempt: output.attempt,
                    executor: executor.clone(),
                    sizes: output.sizes,
                };
                outputs.entry(output.map_index).or_default().push((restored, output.rows));
            }
        }
    }

    pub fn executor_lost(&mut self, executor: &ExecutorId) {
        for outputs in self.found.values_mut().flat_map(BTreeMap::values_mut).flat_map(BTreeMap::values_mut) {
            outputs.retain(|(output, _)| output.executor != *executor);
        }
    }

    /// A stage of this driver's computes `fingerprint` into `shuffle`.
    pub fn know(&mut self, shuffle: ShuffleId, fingerprint: Fingerprint) {
        self.known.entry(shuffle).or_insert((fingerprint, false));
    }

    /// The outputs of a known shuffle that are there already, one a map, with their rows; once.
    pub fn adopt(&mut self, shuffle: ShuffleId, num_maps: u32, num_reducers: u32) -> Vec<(RestoredOutput, u64)> {
        let Some((fingerprint, adopted @ false)) = self.known.get_mut(&shuffle) else { return Vec::new() };
        *adopted = true;
        let fits = |(output, _): &(RestoredOutput, u64)| {
            output.map_index < num_maps && output.sizes.len() == num_reducers as usize
        };
        let whole = |outputs: &Outputs| outputs.values().filter(|of_map| of_map.iter().any(fits)).count();
        let Some(shuffles) = self.found.get_mut(fingerprint) else { return Vec::new() };
        let Some(best) = shuffles.iter().max_by_key(|(_, outputs)| whole(outputs)).map(|(name, _)| *name) else {
            return Vec::new();
        };
        let outputs = shuffles.remove(&best).unwrap_or_default();
        if shuffles.is_empty() {
            self.found.remove(fingerprint);
        }
        self.names.insert(shuffle, best);
        outputs.into_values().filter_map(|of_map| of_map.into_iter().find(fits)).collect()
    }

    /// The shuffle's name with executors.
    pub fn name(&self, shuffle: ShuffleId) -> ShuffleId {
        self.names.get(&shuffle).copied().unwrap_or(shuffle)
    }

    /// The shuffle that executors know under this name.
    pub fn owner(&self, name: ShuffleId) -> ShuffleId {
        self.names.iter().find(|(_, stored)| **stored == name).map_or(name, |(shuffle, _)| *shuffle)
    }

    pub fn fingerprint(&self, shuffle: ShuffleId) -> Option<Fingerprint> {
        self.known.get(&shuffle).map(|(fingerprint, _)| *fingerprint)
    }

    /// The shuffle is over. Answers its name with executors.
    pub fn forget(&mut self, shuffle: ShuffleId) -> ShuffleId {
        self.known.remove(&shuffle);
        self.names.remove(&shuffle).unwrap_or(shuffle)
    }

    /// Nobody asks any more for what has not been taken over. Answers its names with executors.
    pub fn give_up(&mut self) -> BTreeSet<ShuffleId> {
        std::mem::take(&mut self.found).into_values().flat_map(BTreeMap::into_keys).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Fingerprint = Fingerprint([7; 16]);

    fn inventory(shuffle: u32, fingerprint: Fingerprint, maps: &[u32]) -> proto::Inventory {
        let output = |map: &u32| proto::StoredOutput {
            map_index: *map,
            attempt: 100 + u64::from(*map),
            sizes: vec![1, 2],
            rows: 3,
        };
        let outputs = maps.iter().map(output).collect();
        let fingerprint = fingerprint.0.to_vec().into();
        let shuffle = proto::StoredShuffle { shuffle_id: shuffle, fingerprint, outputs };
        proto::Inventory { shuffles: vec![shuffle], complete: true }
    }

    fn adopt(restored: &mut Restored, shuffle: u32, num_maps: u32, num_reducers: u32) -> Vec<RestoredOutput> {
        restored.know(ShuffleId(shuffle), WANTED);
        let outputs = restored.adopt(ShuffleId(shuffle), num_maps, num_reducers);
        assert!(restored.adopt(ShuffleId(shuffle), num_maps, num_reducers).is_empty(), "once");
        assert!(outputs.iter().all(|(_, rows)| *rows == 3));
        outputs.into_iter().map(|(output, _)| output).collect()
    }

    fn maps(outputs: &[RestoredOutput]) -> Vec<(u32, &str)> {
        outputs.iter().map(|output| (output.map_index, output.executor.as_str())).collect()
    }

    #[test]
    fn a_stage_takes_over_what_executors_hold_once() {
        let (a, b) = (ExecutorId::new("a"), ExecutorId::new("b"));
        let mut restored = Restored::default();
        restored.add(&a, inventory(3, WANTED, &[0, 1]));
        restored.add(&b, inventory(3, WANTED, &[1, 2]));
        restored.add(&b, inventory(4, WANTED, &[0]));
        let outputs = adopt(&mut restored, 50, 3, 2);
        assert_eq!(maps(&outputs), [(0, "a"), (1, "a"), (2, "b")]);
        assert_eq!((restored.name(ShuffleId(50)), restored.name(ShuffleId(51))), (ShuffleId(3), ShuffleId(51)));
        // A second one that computes the same has the rest.
        assert_eq!(maps(&adopt(&mut restored, 51, 3, 2)), [(0, "b")]);
        assert_eq!(maps(&adopt(&mut restored, 52, 3, 2)), []);
        assert_eq!((restored.forget(ShuffleId(50)), restored.forget(ShuffleId(52))), (ShuffleId(3), ShuffleId(52)));
    }

    #[test]
    fn what_does_not_fit_or_is_lost_is_not_taken() {
        let (a, b) = (ExecutorId::new("a"), ExecutorId::new("b"));
        let mut restored = Restored::default();
        restored.add(&a, inventory(3, WANTED, &[0, 1, 9]));
        restored.add(&b, inventory(3, WANTED, &[1]));
        restored.add(&b, inventory(8, Fingerprint([8; 16]), &[0]));
        restored.executor_lost(&a);
        assert_eq!(maps(&adopt(&mut restored, 50, 2, 2)), [(1, "b")]);
        restored.add(&a, inventory(5, WANTED, &[0, 1]));
        assert_eq!(maps(&adopt(&mut restored, 51, 2, 3)), [], "other numbers of reducers");
        assert_eq!(restored.give_up(), BTreeSet::from([ShuffleId(8)]));
        assert_eq!(restored.give_up(), BTreeSet::new());
    }
}
