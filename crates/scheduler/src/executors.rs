//! The executors and their task slots.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use firesteel_protocol::ExecutorId;

/// Every executor there has ever been, under an index that is never used again; and which of them have free slots.
#[derive(Debug, Default)]
pub struct Executors {
    all: Vec<Executor>,
    /// There or gone.
    by_name: HashMap<ExecutorId, u32>,
    alive: BTreeSet<u32>,
    /// Free slots and index of the executors that take tasks, the freest first.
    free: BTreeSet<(Reverse<u32>, u32)>,
    /// Executors that take tasks, busy or not.
    schedulable: u32,
}

#[derive(Debug)]
struct Executor {
    name: ExecutorId,
    node: Arc<str>,
    slots: u32,
    /// The attempts that hold its slots.
    attempts: Vec<u64>,
    draining: bool,
}

impl Executor {
    fn free_slots(&self) -> u32 {
        self.slots.saturating_sub(self.attempts.len() as u32)
    }
}

impl Executors {
    /// False, and nothing done, when it is there already, or was.
    pub(crate) fn add(&mut self, name: ExecutorId, node: Arc<str>, slots: u32) -> bool {
        if self.by_name.contains_key(&name) {
            return false;
        }
        let index = self.all.len() as u32;
        self.by_name.insert(name.clone(), index);
        self.alive.insert(index);
        self.all.push(Executor { name, node, slots, attempts: Vec::new(), draining: false });
        self.schedulable += 1;
        self.offer(index);
        true
    }

    /// Stops giving it tasks.
    pub(crate) fn drain(&mut self, name: &ExecutorId) {
        let Some(index) = self.index(name) else { return };
        self.withdraw(index);
        let executor = &mut self.all[index as usize];
        if !executor.draining {
            executor.draining = true;
            self.schedulable -= 1;
        }
    }

    /// Its index and the attempts that it ran; `None` when it was gone already. One that ended before it registered is
    /// remembered, so that its end counts once.
    pub(crate) fn remove(&mut self, name: &ExecutorId) -> Option<(u32, Vec<u64>)> {
        if !self.by_name.contains_key(name) {
            self.add(name.clone(), Arc::from(""), 0);
        }
        let index = self.index(name)?;
        self.withdraw(index);
        self.alive.remove(&index);
        let executor = &mut self.all[index as usize];
        if !executor.draining {
            self.schedulable -= 1;
        }
        Some((index, std::mem::take(&mut executor.attempts)))
    }

    pub(crate) fn occupy(&mut self, index: u32, attempt: u64) {
        self.withdraw(index);
        self.all[index as usize].attempts.push(attempt);
        self.offer(index);
    }

    pub(crate) fn release(&mut self, index: u32, attempt: u64) {
        self.withdraw(index);
        let attempts = &mut self.all[index as usize].attempts;
        if let Some(at) = attempts.iter().position(|running| *running == attempt) {
            attempts.swap_remove(at);
        }
        self.offer(index);
    }

    fn withdraw(&mut self, index: u32) {
        let executor = &self.all[index as usize];
        self.free.remove(&(Reverse(executor.free_slots()), index));
    }

    fn offer(&mut self, index: u32) {
        let executor = &self.all[index as usize];
        let free = executor.free_slots();
        if free > 0 && !executor.draining && self.alive.contains(&index) {
            self.free.insert((Reverse(free), index));
        }
    }

    pub(crate) fn name(&self, index: u32) -> &ExecutorId {
        &self.all[index as usize].name
    }

    pub(crate) fn node(&self, index: u32) -> &Arc<str> {
        &self.all[index as usize].node
    }

    /// Of an executor that is there.
    pub(crate) fn index(&self, name: &ExecutorId) -> Option<u32> {
        self.index_ever(name).filter(|index| self.alive.contains(index))
    }

    /// Of an executor that is or was there.
    pub(crate) fn index_ever(&self, name: &ExecutorId) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn free_slots(&self, index: u32) -> u32 {
        let executor = &self.all[index as usize];
        if executor.draining { 0 } else { executor.free_slots() }
    }

    /// Executors with free slots, the freest first.
    pub(crate) fn free(&self) -> impl Iterator<Item = u32> {
        self.free.iter().map(|(_, index)| *index)
    }

    pub(crate) fn freest(&self) -> Option<u32> {
        self.free.first().map(|(_, index)| *index)
    }

    pub(crate) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Slots of the executors that take tasks, busy or not.
    pub(crate) fn slots(&self) -> u64 {
        self.alive
            .iter()
            .map(|index| &self.all[*index as usize])
            .filter(|executor| !executor.draining)
            .map(|executor| u64::from(executor.slots))
            .sum()
    }

    /// Slots of the largest executor.
    pub(crate) fn most_slots(&self) -> u32 {
        self.alive.iter().map(|index| self.all[*index as usize].slots).max().unwrap_or(0)
    }

    /// Executors that take tasks, busy or not.
    pub(crate) fn schedulable(&self) -> u32 {
        self.schedulable
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.alive.is_empty()
    }

    /// Names, slots and occupied slots of the executors that are there, in the order of their coming.
    pub fn alive(&self) -> impl Iterator<Item = (&ExecutorId, u32, usize)> {
        self.alive.iter().map(|index| {
            let executor = &self.all[*index as usize];
            (&executor.name, executor.slots, executor.attempts.len())
        })
    }
}
