//! In which order stages get free slots: Spark's FIFO and FAIR pools.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashMap},
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

use firesteel_protocol::{JobId, StageId};

use crate::config::{PoolsConfig, SchedulingMode};

/// The pool of jobs that name none, and of all jobs in FIFO mode.
pub const DEFAULT_POOL: &str = "default";

/// Pools that jobs may bring by naming them. The jobs of further ones share the default pool.
const MAX_POOLS: usize = 1000;

/// How a pool shares with others, and what it holds among itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSchedule {
    /// `schedulingMode`: how the pool's own stages share.
    pub mode: SchedulingMode,
    /// `weight`: its share against that of other pools. At least 1.
    pub weight: u32,
    /// `minShare`: slots that it gets before shares are counted.
    pub min_share: u32,
}

impl Default for PoolSchedule {
    fn default() -> Self {
        Self { mode: SchedulingMode::Fifo, weight: 1, min_share: 0 }
    }
}

/// The place of a stage in the order of its pool: jobs first come, first served; within a job the earlier stage first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    pub pool: u32,
    pub job: JobId,
    pub stage: StageId,
}

#[derive(Debug)]
struct Pool {
    name: Arc<str>,
    schedule: PoolSchedule,
    /// Attempts that hold a slot.
    running: u32,
    /// Stages that have a task to launch.
    stages: BTreeSet<Turn>,
}

/// All pools. The first one is the default.
#[derive(Debug)]
pub(crate) struct Pools {
    mode: SchedulingMode,
    pools: Vec<Pool>,
    by_name: HashMap<Arc<str>, u32>,
}

/// One round of giving out slots: which stages have had their chance.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// In FIFO order the last one says it all.
    last: Option<Turn>,
    served: BTreeSet<Turn>,
}

/// Whom to serve next, and how many slots it may have before it is asked again.
pub(crate) struct Chance {
    pub turn: Turn,
    pub most: u32,
}

impl Pools {
    pub fn new(config: &PoolsConfig) -> Self {
        let mut pools = Self { mode: config.mode, pools: Vec::new(), by_name: HashMap::new() };
        pools.add(DEFAULT_POOL.into(), PoolSchedule::default());
        if config.mode == SchedulingMode::Fair {
            for (name, schedule) in &config.pools {
                match pools.by_name.get(name) {
                    Some(known) => pools.pools[*known as usize].schedule = *schedule,
                    None => _ = pools.add(name.clone(), *schedule),
                }
            }
        }
        pools
    }

    fn add(&mut self, name: Arc<str>, schedule: PoolSchedule) -> u32 {
        let index = self.pools.len() as u32;
        self.by_name.insert(name.clone(), index);
        self.pools.push(Pool { name, schedule, running: 0, stages: BTreeSet::new() });
        index
    }

    /// The pool of this name, as jobs ask for it.
    pub fn of(&mut self, name: Option<&Arc<str>>) -> u32 {
        let Some(name) = name.filter(|_| self.mode == SchedulingMode::Fair) else { return 0 };
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        if self.pools.len() >= MAX_POOLS {
            tracing::warn!(pool = &**name, "there are {MAX_POOLS} pools: the job goes to the default pool");
            return 0;
        }
        self.add(name.clone(), PoolSchedule::default())
    }

    pub fn insert(&mut self, turn: Turn) {
        self.pools[turn.pool as usize].stages.insert(turn);
    }

    pub fn remove(&mut self, turn: Turn) {
        self.pools[turn.pool as usize].stages.remove(&turn);
    }

    pub fn launched(&mut self, pool: u32) {
        self.pools[pool as usize].running += 1;
    }

    pub fn ended(&mut self, pool: u32) {
        self.pools[pool as usize].running -= 1;
    }

    pub fn iter(&self) -> impl Iterator<Item = Turn> {
        self.pools.iter().flat_map(|pool| pool.stages.iter().copied())
    }

    /// Names, running attempts and waiting stages.
    pub fn views(&self) -> impl Iterator<Item = (&str, u32, usize)> {
        self.pools.iter().map(|pool| (&*pool.name, pool.running, pool.stages.len()))
    }

    /// The stage to serve next. `running` tells how many attempts of a stage hold a slot.
    ///
    /// Spark sorts once for a whole offer, so that of many free slots the first in the order gets all. Here each slot goes
    /// to whoever has the smallest share at that moment, which is what the shares are for.
    pub fn next(&self, round: &mut Round, running: impl Fn(StageId) -> u32) -> Option<Chance> {
        let mut active = self.pools.iter().filter(|pool| !pool.stages.is_empty());
        let first = active.next()?;
        if active.next().is_none() && first.schedule.mode == SchedulingMode::Fifo {
            let turn = first.next_fifo(round.last)?;
            round.last = Some(turn);
            return Some(Chance { turn, most: u32::MAX });
        }
        let with_stage = self.pools.iter().filter_map(|pool| Some((pool, pool.next(round, &running)?)));
        let (_, turn) = with_stage.min_by(|(a, _), (b, _)| a.compare(b))?;
        Some(Chance { turn, most: 1 })
    }
}

impl Round {
    /// The stage took nothing: it is not asked again in this round.
    pub fn nothing_for(&mut self, turn: Turn) {
        self.served.insert(turn);
    }
}

impl Pool {
    fn next_fifo(&self, last: Option<Turn>) -> Option<Turn> {
        match last {
            None => self.stages.first().copied(),
            Some(last) => self.stages.range((Excluded(last), Unbounded)).next().copied(),
        }
    }

    fn next(&self, round: &Round, running: impl Fn(StageId) -> u32) -> Option<Turn> {
        let mut open = self.stages.iter().filter(|turn| !round.served.contains(turn));
        let turn = match self.schedule.mode {
            SchedulingMode::Fifo => open.next(),
            // Of equal weight and without a least share; the earlier one among equals.
            SchedulingMode::Fair => open.min_by_key(|turn| running(turn.stage)),
        };
        turn.copied()
    }

    /// Spark's fair order: who has less than its least share comes first, the one with the smaller part of it; then who
    /// has less for its weight; then the name.
    fn compare(&self, other: &Self) -> Ordering {
        let needy = |pool: &Self| pool.running < pool.schedule.min_share;
        // a/b against c/d as a*d against c*b.
        let ratio = |of: fn(&PoolSchedule) -> u32| {
            let (mine, its) = (u64::from(of(&self.schedule).max(1)), u64::from(of(&other.schedule).max(1)));
            (u64::from(self.running) * its).cmp(&(u64::from(other.running) * mine))
        };
        let by_share = match (needy(self), needy(other)) {
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (true, true) => ratio(|schedule| schedule.min_share),
            (false, false) => ratio(|schedule| schedule.weight),
        };
        by_share.then_with(|| self.name.cmp(&other.name))
    }
}
