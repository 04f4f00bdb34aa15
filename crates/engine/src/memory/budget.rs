//! The arithmetic of one executor's budget.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};

use super::{
    storage::{EvictStorage, StorageGrant},
    task::TaskMemory,
};

/// What a reservation gets although its consumer's share is used up, as long as the part of the budget kept back for it
/// lasts: enough to spill what it was given last, or to read back what was spilled.
pub const FIRST_GRANT: usize = 4 << 20;
/// One part in so many of the budget is kept back, for first grants and for those who ask again.
const KEPT_BACK: usize = 12;

/// One executor's memory, shared by its tasks. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct ExecutorMemory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    total: usize,
    /// Storage that execution does not evict.
    protected: usize,
    kept_back: usize,
    slots: usize,
    next_task: AtomicU64,
    state: Mutex<State>,
    evictor: RwLock<Option<Weak<dyn EvictStorage>>>,
}

#[derive(Debug, Default)]
struct State {
    execution: usize,
    storage: usize,
    peak_execution: usize,
    tasks: HashMap<u64, Task>,
}

#[derive(Debug, Default)]
struct Task {
    used: usize,
    peak: usize,
    consumers: HashMap<usize, Consumer>,
}

#[derive(Debug)]
struct Consumer {
    name: String,
    can_spill: bool,
    used: usize,
    /// What was refused last: size of the reservation, and bytes more.
    refused: Option<(usize, usize)>,
}

impl Consumer {
    /// Whether it does with a share: by spilling, or as a sort's merge of its runs, which takes fewer at a time.
    fn shares(&self) -> bool {
        self.can_spill || self.name.starts_with("ExternalSorterMerge")
    }
}

/// Bytes of the budget in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryUse {
    pub total: usize,
    pub execution: usize,
    pub storage: usize,
    /// The most that execution ever had.
    pub peak_execution: usize,
}

/// Why a task was refused memory.
pub(super) enum Refusal {
    /// It may have no more.
    Share(String),
    /// It might, if storage gave so many bytes back.
    Evict(usize),
}

impl ExecutorMemory {
    /// A budget of `total` bytes for as many tasks at a time as there are `slots`. `storage_fraction` of it is storage's
    /// for good (`spark.memory.storageFraction`).
    pub fn new(total: usize, slots: usize, storage_fraction: f64) -> Self {
        Self(Arc::new(Inner {
            total,
            protected: (total as f64 * storage_fraction.clamp(0.0, 1.0)) as usize,
            kept_back: total / KEPT_BACK,
            slots: slots.max(1),
            next_task: AtomicU64::new(0),
            state: Mutex::default(),
            evictor: RwLock::new(None),
        }))
    }

    /// The memory of a task that begins. Its share is free again when this and all that was reserved from it are dropped.
    pub fn task(&self, name: impl Into<String>) -> Arc<TaskMemory> {
        let id = self.0.next_task.fetch_add(1, Ordering::Relaxed);
        self.0.state.lock().tasks.insert(id, Task::default());
        Arc::new(TaskMemory::new(self.clone(), id, name.into()))
    }

    pub fn usage(&self) -> MemoryUse {
        let state = self.0.state.lock();
        MemoryUse {
            total: self.0.total,
            execution: state.execution,
            storage: state.storage,
            peak_execution: state.peak_execution,
        }
    }

    /// Bytes of the budget.
    pub fn total(&self) -> usize {
        self.0.total
    }

    /// What each task is sure of at least, while storage keeps to its protected share.
    pub fn sure_share(&self) -> usize {
        self.0.total.saturating_sub(self.0.kept_back) / (2 * self.0.slots)
    }

    /// Who frees storage when execution needs it. Held weakly: without it storage stays as it is.
    pub fn set_evictor(&self, evictor: Weak<dyn EvictStorage>) {
        *self.0.evictor.write() = Some(evictor);
    }

    /// Memory for a block. `Err`: so many bytes are missing; dropping other grants and asking again may help, unless
    /// `bytes` is more than storage can ever have.
    pub fn acquire_storage(&self, bytes: usize) -> Result<StorageGrant, usize> {
        let mut state = self.0.state.lock();
        let free = self.0.total.saturating_sub(self.0.kept_back + state.execution + state.storage);
        if bytes > free {
            return Err(bytes - free);
        }
        state.storage += bytes;
        Ok(StorageGrant::new(self.clone(), bytes))
    }

    pub(super) fn release_storage(&self, bytes: usize) {
        let mut state = self.0.state.lock();
        state.storage = state.storage.saturating_sub(bytes);
    }

    pub(super) fn end_task(&self, id: u64) {
        let mut state = self.0.state.lock();
        if let Some(task) = state.tasks.remove(&id) {
            state.execution = state.execution.saturating_sub(task.used);
        }
    }

    pub(super) fn register(&self, task: u64, consumer: usize, name: &str, can_spill: bool) {
        if let Some(task) = self.0.state.lock().tasks.get_mut(&task) {
            task.consumers.insert(consumer, Consumer { name: name.to_owned(), can_spill, used: 0, refused: None });
        }
    }

    pub(super) fn unregister(&self, task: u64, consumer: usize) {
        if let Some(task) = self.0.state.lock().tasks.get_mut(&task) {
            task.consumers.remove(&consumer);
        }
    }

    pub(super) fn grow(&self, task: u64, consumer: usize, bytes: usize) {
        self.0.state.lock().add(task, consumer, bytes);
    }

    pub(super) fn shrink(&self, task: u64, consumer: usize, bytes: usize) {
        let mut state = self.0.state.lock();
        let Some(task) = state.tasks.get_mut(&task) else { return };
        let bytes = bytes.min(task.used);
        task.used -= bytes;
        if let Some(consumer) = task.consumers.get_mut(&consumer) {
            consumer.used = consumer.used.saturating_sub(bytes);
        }
        state.execution = state.execution.saturating_sub(bytes);
    }

    /// Grows what the consumer has, if the rules let it. Of that, `reserved` bytes are in the reservation that grows.
    pub(super) fn try_grow(&self, task: u64, consumer: usize, reserved: usize, bytes: usize) -> Result<(), String> {
        match self.grow_or_refuse(task, consumer, reserved, bytes, true) {
            Ok(()) => Ok(()),
            Err(Refusal::Share(why)) => Err(why),
            Err(Refusal::Evict(missing)) => {
                // The evictor drops grants, which takes the lock.
                if let Some(evictor) = self.0.evictor.read().as_ref().and_then(Weak::upgrade) {
                    evictor.evict(missing);
                }
                match self.grow_or_refuse(task, consumer, reserved, bytes, false) {
                    Ok(()) => Ok(()),
                    Err(Refusal::Share(why)) => Err(why),
                    Err(Refusal::Evict(_)) => Err("cached blocks could not be evicted".to_owned()),
                }
            }
        }
    }

    fn grow_or_refuse(
        &self,
        task_id: u64,
        id: usize,
        reserved: usize,
        bytes: usize,
        may_evict: bool,
    ) -> Result<(), Refusal> {
        let budget = &*self.0;
        let mut state = budget.state.lock();
        let Some(task) = state.tasks.get(&task_id) else {
            return Err(Refusal::Share("the task has ended".to_owned()));
        };
        // What execution may have once storage is evicted as far as it may be.
        let most = budget.total.saturating_sub(budget.kept_back + state.storage.min(budget.protected));
        let tasks = state.tasks.iter().map(|(other, t)| (*other == task_id, t.used));
        let mut wanted = may_grow(most, budget.slots, tasks);
        let task_cap = task.used + wanted;
        if task.consumers.get(&id).is_some_and(Consumer::shares) {
            // Shares are of what those that cannot do with less leave.
            let fixed: usize = task.consumers.values().filter(|c| !c.shares()).map(|c| c.used).sum();
            let spillers = || task.consumers.iter().filter(|(_, c)| c.shares());
            let used = spillers().map(|(other, c)| (*other == id, c.used));
            wanted = wanted.min(may_grow(task_cap.saturating_sub(fixed), spillers().count(), used));
        }
        if bytes <= wanted {
            let free = budget.total.saturating_sub(budget.kept_back + state.execution + state.storage);
            if bytes > free && may_evict {
                return Err(Refusal::Evict(bytes - free));
            }
            if bytes <= free {
                state.add(task_id, id, bytes);
                return Ok(());
            }
        }
        let in_use = state.execution + state.storage + bytes;
        let first = reserved + bytes <= FIRST_GRANT.min(budget.kept_back);
        // Whoever asks for the very same again has spilled what it can, and holds the memory already: tables keep their
        // room when they are emptied.
        let before = state.tasks.get(&task_id).and_then(|t| t.consumers.get(&id)).map(|c| (c.can_spill, c.refused));
        // A merge takes as many runs at a time as it is given memory for, and needs a little more later.
        let again = before.is_some_and(|(can_spill, refused)| match can_spill {
            true => refused == Some((reserved, bytes)),
            false => refused.is_some() && bytes <= FIRST_GRANT,
        });
        if (first || again) && in_use <= budget.total {
            state.add(task_id, id, bytes);
            return Ok(());
        }
        if let Some(consumer) = state.tasks.get_mut(&task_id).and_then(|t| t.consumers.get_mut(&id)) {
            consumer.refused = Some((reserved, bytes));
        }
        let task = state.tasks.get(&task_id);
        Err(Refusal::Share(refused(task, id, bytes, task_cap, budget.total, state.execution, state.storage)))
    }

    pub(super) fn task_used(&self, task: u64) -> usize {
        self.0.state.lock().tasks.get(&task).map_or(0, |t| t.used)
    }

    pub(super) fn task_peak(&self, task: u64) -> usize {
        self.0.state.lock().tasks.get(&task).map_or(0, |t| t.peak)
    }
}

/// By how much one of several may grow, of whom `used` says which is the one and what each has, and whose number may
/// become `all`: to an equal part of `total` among those that have something, and so that each is left half an equal part
/// of all.
fn may_grow(total: usize, all: usize, used: impl Iterator<Item = (bool, usize)> + Clone) -> usize {
    let active = used.clone().filter(|(own, used)| *own || *used > 0).count().max(1);
    let all = all.max(active);
    let sure = total / (2 * all);
    let (mut own, mut others) = (0, (all - active) * sure);
    for (is_own, used) in used {
        if is_own {
            own = used;
        } else if used > 0 {
            others += used.max(sure);
        }
    }
    (total / active).min(total.saturating_sub(others)).saturating_sub(own)
}

impl State {
    fn add(&mut self, task: u64, consumer: usize, bytes: usize) {
        let Some(task) = self.tasks.get_mut(&task) else { return };
        task.used += bytes;
        task.peak = task.peak.max(task.used);
        if let Some(consumer) = task.consumers.get_mut(&consumer) {
            consumer.used += bytes;
        }
        self.execution += bytes;
        self.peak_execution = self.peak_execution.max(self.execution);
    }
}

fn refused(
    task: Option<&Task>,
    consumer: usize,
    bytes: usize,
    cap: usize,
    total: usize,
    execution: usize,
    storage: usize,
) -> String {
    let (mut names, used, name, own) = match task {
        Some(task) => {
            let names: Vec<_> = task.consumers.values().filter(|c| c.used > 0).map(|c| (c.used, &c.name)).collect();
            let own = task.consumers.get(&consumer);
            (names, task.used, own.map_or("", |c| c.name.as_str()), own.map_or(0, |c| c.used))
        }
        None => (Vec::new(), 0, "", 0),
    };
    names.sort_unstable_by(|a, b| b.cmp(a));
    let largest: Vec<String> = names.iter().take(3).map(|(used, name)| format!("{name} {used}")).collect();
    format!(
        "{name} has {own} bytes and asked for {bytes} more; its task has {used} of at most {cap} (most: {}); of the \
         executor's {total} bytes {execution} are in use by tasks and {storage} by cached blocks",
        largest.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::may_grow;

    #[test]
    fn a_share_is_between_half_and_a_whole_part() {
        let table: [(usize, &[usize], usize); 8] = [
            // Alone, of one and of two.
            (1, &[0], 800),
            (2, &[0], 600),
            (2, &[300], 300),
            // The other has less than it is sure of, or more.
            (2, &[0, 100], 400),
            (2, &[0, 600], 200),
            (4, &[0, 500], 100),
            (4, &[0, 500, 100], 100),
            // More than there are slots: equal parts.
            (1, &[0, 1, 1, 1, 1, 1, 1, 1], 100),
        ];
        for (all, used, expected) in table {
            let used = used.iter().enumerate().map(|(i, used)| (i == 0, *used));
            assert_eq!(may_grow(800, all, used.clone()), expected, "{all}: {:?}", used.collect::<Vec<_>>());
        }
    }
}
