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
    /// Of the executors that are there, how many each node has.
    nodes: HashMap<Arc<str>, u32>,
}

#[derive(Debug)]
struct Executor {
    name: ExecutorId,
    node: Arc<str>,
    slots: u32,
    /// The attempts that hold its slots.
    attempts: Vec<u64>,
    /// Since when it is about to leave.
    draining: Option<u64>,
    /// By `spark.excludeOnFailure.application`.
    excluded: bool,
    /// Its connection is broken.
    unreachable: bool,
}

impl Executor {
    fn takes_tasks(&self) -> bool {
        self.draining.is_none() && !self.excluded && !self.unreachable
    }

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
        *self.nodes.entry(node.clone()).or_default() += 1;
        self.all.push(Executor {
            name,
            node,
            slots,
            attempts: Vec::new(),
            draining: None,
            excluded: false,
            unreachable: false,
        });
        self.offer(index);
        true
    }

    /// Stops giving it tasks.
    pub(crate) fn drain(&mut self, now: u64, name: &ExecutorId) {
        let Some(index) = self.index(name) else { return };
        self.withdraw(index);
        self.all[index as usize].draining.get_or_insert(now);
    }

    /// Gives it no tasks for a while, or does again.
    pub(crate) fn set_excluded(&mut self, index: u32, excluded: bool) {
        self.withdraw(index);
        self.all[index as usize].excluded = excluded;
        self.offer(index);
    }

    /// Gives it tasks only while it can be reached.
    pub(crate) fn set_reachable(&mut self, name: &ExecutorId, reachable: bool) {
        let Some(index) = self.index(name) else { return };
        self.withdraw(index);
        self.all[index as usize].unreachable = !reachable;
        self.offer(index);
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
        if let Some(count) = self.nodes.get_mut(&executor.node) {
            *count -= 1;
            if *count == 0 {
                self.nodes.remove(&executor.node);
            }
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
        if free > 0 && executor.takes_tasks() && self.alive.contains(&index) {
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

    /// Since when it is about to leave, if it is.
    pub(crate) fn draining_since(&self, index: u32) -> Option<u64> {
        self.all[index as usize].draining
    }

    pub(crate) fn is_alive(&self, index: u32) -> bool {
        self.alive.contains(&index)
    }

    pub(crate) fn has_node(&self, node: &str) -> bool {
        self.nodes.contains_key(node)
    }

    /// Of the executors that are there.
    pub(crate) fn on_node<'a>(&'a self, node: &'a str) -> impl Iterator<Item = u32> {
        self.alive.iter().copied().filter(move |index| *self.all[*index as usize].node == *node)
    }

    /// Free slots of one that takes tasks.
    pub(crate) fn free_slots(&self, index: u32) -> u32 {
        let executor = &self.all[index as usize];
        if executor.takes_tasks() && self.is_alive(index) { executor.free_slots() } else { 0 }
    }

    /// How many more attempts bring one that takes tasks to so many beyond its slots.
    pub(crate) fn room(&self, index: u32, beyond: u32) -> u32 {
        let executor = &self.all[index as usize];
        let most = executor.slots.saturating_add(beyond);
        let takes = executor.takes_tasks() && self.is_alive(index);
        if takes { most.saturating_sub(executor.attempts.len() as u32) } else { 0 }
    }

    /// Attempts that each of its slots has by now.
    pub(crate) fn tasks_a_slot(&self, index: u32) -> u32 {
        let executor = &self.all[index as usize];
        executor.attempts.len() as u32 / executor.slots.max(1)
    }

    /// Of those that are there.
    pub(crate) fn count(&self) -> u32 {
        self.alive.len() as u32
    }

    /// Executors with free slots, the freest first.
    pub(crate) fn free(&self) -> impl Iterator<Item = u32> {
        self.free.iter().map(|(_, index)| *index)
    }

    pub(crate) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    pub(crate) fn is_excluded(&self, index: u32) -> bool {
        self.all[index as usize].excluded
    }

    /// Of the executors that are there, in the order of their coming.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = u32> {
        self.alive.iter().copied()
    }

    /// Executors that take tasks, busy or not, in the order of their coming.
    pub(crate) fn takers(&self) -> impl Iterator<Item = u32> {
        self.alive.iter().copied().filter(|index| self.all[*index as usize].takes_tasks())
    }

    /// One that runs nothing and is not leaving.
    pub(crate) fn idle(&self) -> Option<u32> {
        let idle = |executor: &Executor| executor.attempts.is_empty() && executor.draining.is_none();
        self.alive.iter().copied().find(|index| idle(&self.all[*index as usize]))
    }

    /// Slots of the executors that take tasks, busy or not.
    pub(crate) fn slots(&self) -> u64 {
        self.takers().map(|index| u64::from(self.all[index as usize].slots)).sum()
    }

    /// Slots of the largest executor.
    pub(crate) fn most_slots(&self) -> u32 {
        self.alive.iter().map(|index| self.all[*index as usize].slots).max().unwrap_or(0)
    }

    /// Whether one executor alone takes tasks.
    pub(crate) fn only_one(&self) -> bool {
        self.takers().take(2).count() == 1
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
