//! Where the outputs of map tasks are and how large they are: one registry for the shuffles and results of all jobs.

use std::collections::HashMap;

use firesteel_protocol::{ExecutorId, ShuffleId};

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

    fn location(self, executors: &Executors) -> Option<OutputLocation> {
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
    homes: Vec<Home>,
    attempts: Vec<u64>,
    sizes: Vec<BlockSizes>,
}

impl ShuffleOutputs {
    pub fn new(num_maps: u32, num_reducers: u32) -> Self {
        let maps = num_maps as usize;
        Self {
            epoch: 0,
            num_reducers,
            available: 0,
            retained: false,
            homes: vec![Home::NOWHERE; maps],
            attempts: vec![0; maps],
            sizes: vec![BlockSizes::default(); maps],
        }
    }

    pub fn num_maps(&self) -> u32 {
        self.homes.len() as u32
    }

    pub fn num_reducers(&self) -> u32 {
        self.num_reducers
    }

    pub fn is_complete(&self) -> bool {
        self.available as usize == self.homes.len()
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The attempt whose output counts for this map, if there is one.
    pub fn attempt(&self, map: u32) -> Option<u64> {
        (*self.homes.get(map as usize)? != Home::NOWHERE).then(|| self.attempts[map as usize])
    }

    pub fn home(&self, map: u32) -> Home {
        self.homes.get(map as usize).copied().unwrap_or(Home::NOWHERE)
    }

    pub fn register(&mut self, map: u32, attempt: u64, home: Home, sizes: &[u64]) {
        let index = map as usize;
        if self.homes[index] == Home::NOWHERE {
            self.available += 1;
        }
        self.homes[index] = home;
        self.attempts[index] = attempt;
        self.sizes[index] = BlockSizes::new(sizes);
        self.epoch += 1;
    }

    /// Forgets one output. True if there was one.
    pub fn lose(&mut self, map: u32) -> bool {
        let Some(home) = self.homes.get_mut(map as usize) else { return false };
        if *home == Home::NOWHERE {
            return false;
        }
        *home = Home::NOWHERE;
        self.sizes[map as usize] = BlockSizes::default();
        self.available -= 1;
        self.epoch += 1;
        true
    }

    /// Forgets every output at `home` that `unless` does not spare, and says which.
    pub fn lose_at(&mut self, home: Home, unless: impl Fn(u64) -> bool) -> Vec<u32> {
        let lost: Vec<u32> = (0..self.num_maps())
            .filter(|map| self.homes[*map as usize] == home && !unless(self.attempts[*map as usize]))
            .collect();
        for map in &lost {
            self.lose(*map);
        }
        lost
    }

    /// Moves one output. Its attempt stays.
    pub fn set_home(&mut self, map: u32, home: Home) {
        if let Some(old) = self.homes.get_mut(map as usize)
            && *old != Home::NOWHERE
        {
            *old = home;
            self.epoch += 1;
        }
    }

    /// Moves everything that is at `from`. True if there was something.
    pub fn move_all(&mut self, from: Home, to: Home) -> bool {
        let mut moved = false;
        for home in self.homes.iter_mut().filter(|home| **home == from) {
            *home = to;
            moved = true;
        }
        self.epoch += u64::from(moved);
        moved
    }
}

/// The outputs of all shuffles that somebody may still read.
#[derive(Debug, Default)]
pub(crate) struct MapOutputTracker {
    shuffles: HashMap<ShuffleId, ShuffleOutputs>,
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
                location: outputs.home(map_index).location(executors)?,
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
