//! Where the outputs of map tasks are and how large they are: one registry for the shuffles and results of all jobs.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use firesteel_protocol::{ExecutorId, ShuffleId, StageId, TaskAttemptId, TaskId};

use crate::{block_sizes::BlockSizes, executors::Executors};

/// Where one output is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputLocation {
    Executor(ExecutorId),
    /// The store behind the executors.
    Store,
    /// The driver itself.
    Driver,
}

/// As [`OutputLocation`], four bytes wide: an index into the executors, or one of the constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Home(u32);

impl Home {
    pub const NOWHERE: Self = Self(u32::MAX);
    pub const STORE: Self = Self(u32::MAX - 1);
    pub const DRIVER: Self = Self(u32::MAX - 2);

    pub fn executor(index: u32) -> Self {
        debug_assert!(index < Self::DRIVER.0);
        Self(index)
    }

    pub fn as_executor(self) -> Option<u32> {
        (self.0 < Self::DRIVER.0).then_some(self.0)
    }

    pub fn location(self, executors: &Executors) -> Option<OutputLocation> {
        match self {
            Self::NOWHERE => None,
            Self::STORE => Some(OutputLocation::Store),
            Self::DRIVER => Some(OutputLocation::Driver),
            Self(index) => Some(OutputLocation::Executor(executors.name(index).clone())),
        }
    }
}

/// The outputs of one shuffle.
#[derive(Debug)]
pub(crate) struct ShuffleOutputs {
    epoch: u64,
    num_reducers: u32,
    available: u32,
    /// Kept after its jobs have ended, until released.
    pub retained: bool,
    /// A result: read by the driver alone.
    pub is_result: bool,
    /// The shuffles of indeterminate stages that these were made from, directly or not.
    pub unrepeatable: BTreeSet<ShuffleId>,
    maps: Vec<MapEntry>,
    sizes: Vec<BlockSizes>,
}

/// The output of one map task: who wrote it and where it is.
#[derive(Debug, Clone, Copy)]
struct MapEntry {
    attempt: u64,
    stage_attempt: u32,
    home: Home,
}

impl ShuffleOutputs {
    pub fn new(num_maps: u32, num_reducers: u32) -> Self {
        let maps = num_maps as usize;
        Self {
            epoch: 0,
            num_reducers,
            available: 0,
            retained: false,
            is_result: false,
            unrepeatable: BTreeSet::new(),
            maps: vec![MapEntry { attempt: 0, stage_attempt: 0, home: Home::NOWHERE }; maps],
            sizes: vec![BlockSizes::default(); maps],
        }
    }

    pub fn num_maps(&self) -> u32 {
        self.maps.len() as u32
    }

    pub fn num_reducers(&self) -> u32 {
        self.num_reducers
    }

    pub fn is_complete(&self) -> bool {
        self.available == self.num_maps()
    }

    pub fn is_empty(&self) -> bool {
        self.available == 0
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    fn entry(&self, map: u32) -> Option<&MapEntry> {
        self.maps.get(map as usize).filter(|entry| entry.home != Home::NOWHERE)
    }

    /// The number of the attempt whose output counts for this map, if there is one.
    pub fn attempt(&self, map: u32) -> Option<u64> {
        Some(self.entry(map)?.attempt)
    }

    /// As [`ShuffleOutputs::attempt`], in full.
    pub fn attempt_id(&self, stage: StageId, map: u32) -> Option<TaskAttemptId> {
        let MapEntry { attempt, stage_attempt, .. } = *self.entry(map)?;
        Some(TaskAttemptId { task: TaskId { stage, partition: map }, stage_attempt, attempt })
    }

    pub fn home(&self, map: u32) -> Option<Home> {
        Some(self.entry(map)?.home)
    }

    /// The output of this attempt counts from now on.
    pub fn register(&mut self, attempt: TaskAttemptId, home: Home, sizes: &[u64]) {
        self.restore(attempt.task.partition, attempt.attempt, home, sizes);
        self.maps[attempt.task.partition as usize].stage_attempt = attempt.stage_attempt;
    }

    /// As [`ShuffleOutputs::register`], of an attempt whose stage is over.
    pub fn restore(&mut self, map: u32, attempt: u64, home: Home, sizes: &[u64]) {
        let map = map as usize;
        if self.maps[map].home == Home::NOWHERE {
            self.available += 1;
        }
        self.maps[map] = MapEntry { attempt, stage_attempt: 0, home };
        self.sizes[map] = BlockSizes::new(sizes);
        self.epoch += 1;
    }

    /// Forgets one output. True if there was one.
    pub fn lose(&mut self, map: u32) -> bool {
        if self.entry(map).is_none() {
            return false;
        }
        self.maps[map as usize].home = Home::NOWHERE;
        self.sizes[map as usize] = BlockSizes::default();
        self.available -= 1;
        self.epoch += 1;
        true
    }

    /// Forgets every output. True if there was one.
    pub fn lose_all(&mut self) -> bool {
        (0..self.num_maps()).filter(|map| self.lose(*map)).count() > 0
    }

    /// Forgets the outputs at `home` but those that are to be spared, by map and attempt, and says which.
    pub fn lose_at(&mut self, home: Home, spare: impl Fn(u32, u64) -> bool) -> Vec<u32> {
        if home == Home::NOWHERE {
            return Vec::new();
        }
        let there = (0..).zip(&self.maps).filter(|(map, entry)| entry.home == home && !spare(*map, entry.attempt));
        let lost: Vec<u32> = there.map(|(map, _)| map).collect();
        for map in &lost {
            self.lose(*map);
        }
        lost
    }

    /// Map index and attempt of the outputs at `home`.
    pub fn at(&self, home: Home) -> impl Iterator<Item = (u32, u64)> {
        (0..).zip(&self.maps).filter(move |(_, entry)| entry.home == home).map(|(map, entry)| (map, entry.attempt))
    }

    /// The executors that hold outputs.
    pub fn homes(&self) -> HashSet<u32> {
        self.maps.iter().filter_map(|entry| entry.home.as_executor()).collect()
    }

    /// Moves one output.
    pub fn set_home(&mut self, map: u32, home: Home) {
        if self.entry(map).is_some() {
            self.maps[map as usize].home = home;
            self.epoch += 1;
        }
    }
}

/// The outputs of all shuffles that somebody may still read.
#[derive(Debug, Default)]
pub(crate) struct MapOutputTracker {
    shuffles: BTreeMap<ShuffleId, ShuffleOutputs>,
}

impl MapOutputTracker {
    pub fn get(&self, shuffle: ShuffleId) -> Option<&ShuffleOutputs> {
        self.shuffles.get(&shuffle)
    }

    pub fn get_mut(&mut self, shuffle: ShuffleId) -> Option<&mut ShuffleOutputs> {
        self.shuffles.get_mut(&shuffle)
    }

    pub fn entry(&mut self, shuffle: ShuffleId, num_maps: u32, num_reducers: u32) -> &mut ShuffleOutputs {
        self.shuffles.entry(shuffle).or_insert_with(|| ShuffleOutputs::new(num_maps, num_reducers))
    }

    pub fn iter(&self) -> impl Iterator<Item = (ShuffleId, &ShuffleOutputs)> {
        self.shuffles.iter().map(|(id, outputs)| (*id, outputs))
    }

    pub fn remove(&mut self, shuffle: ShuffleId) -> bool {
        self.shuffles.remove(&shuffle).is_some()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ShuffleId, &mut ShuffleOutputs)> {
        self.shuffles.iter_mut().map(|(id, outputs)| (*id, outputs))
    }
}

/// What is known of the outputs of one shuffle, for those who hand it to executors.
#[derive(Clone, Copy)]
pub struct MapOutputs<'a> {
    pub(crate) outputs: &'a ShuffleOutputs,
    pub(crate) executors: &'a Executors,
}

/// One output that is there.
#[derive(Debug, Clone)]
pub struct MapOutput<'a> {
    pub map_index: u32,
    /// The number of the attempt that wrote it: [`firesteel_protocol::TaskAttemptId::attempt`].
    pub attempt: u64,
    pub location: OutputLocation,
    sizes: &'a BlockSizes,
}

impl MapOutput<'_> {
    /// Encoded bytes of the block of this reducer: 0 exactly when it is empty, else within 10 % of the truth, or an
    /// average where there are many reducers.
    pub fn size(&self, reducer: u32) -> u64 {
        self.sizes.get(reducer)
    }
}

impl<'a> MapOutputs<'a> {
    /// Grows whenever anything about these outputs changes.
    pub fn epoch(&self) -> u64 {
        self.outputs.epoch()
    }

    pub fn num_maps(&self) -> u32 {
        self.outputs.num_maps()
    }

    pub fn num_reducers(&self) -> u32 {
        self.outputs.num_reducers()
    }

    /// Whether no output is missing.
    pub fn is_complete(&self) -> bool {
        self.outputs.is_complete()
    }

    /// The outputs that are there, by map index.
    pub fn iter(&self) -> impl Iterator<Item = MapOutput<'a>> {
        let Self { outputs, executors } = *self;
        (0..outputs.num_maps()).filter_map(move |map_index| {
            Some(MapOutput {
                map_index,
                attempt: outputs.attempt(map_index)?,
                location: outputs.home(map_index)?.location(executors)?,
                sizes: &outputs.sizes[map_index as usize],
            })
        })
    }

    /// The bytes that each reducer will read, as far as known.
    pub fn reducer_sizes(&self) -> Vec<u64> {
        let mut totals = vec![0; self.num_reducers() as usize];
        for sizes in &self.outputs.sizes {
            sizes.add_to(&mut totals);
        }
        totals
    }
}
