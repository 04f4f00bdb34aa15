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

/// What a consumer gets although its share is used up, as long as the part of the budget kept back for it lasts: enough
/// to spill what it was given last.
pub const FIRST_GRANT: usize = 1 << 20;
/// One part in so many of the budget is kept back for first grants.
const KEPT_BACK: usize = 16;

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
            task.consumers.insert(consumer, Consumer { name: name.to_owned(), can_spill, used: 0 });
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

    /// Grows what the consumer has, if the rules let it.
    pub(super) fn try_grow(&self, task: u64, consumer: usize, bytes: usize) -> Result<(), String> {
        match self.grow_or_refuse(task, consumer, bytes, true) {
            Ok(()) => Ok(()),
            Err(Refusal::Share(why)) => Err(why),
            Err(Refusal::Evict(missing)) => {
                // The evictor drops grants, which takes the lock.
                if let Some(evictor) = self.0.evictor.read().as_ref().and_then(Weak::upgrade) {
                    evictor.evict(missing);
                }
                match self.grow_or_refuse(task, consumer, bytes, false) {
                    Ok(()) => Ok(()),
                    Err(Refusal::Share(why)) => Err(why),
                    Err(Refusal::Evict(_)) => Err("cached blocks could not be evicted".to_owned()),
                }
            }
        }
    }

    fn grow_or_refuse(&self, task_id: u64, id: usize, bytes: usize, may_evict: bool) -> Result<(), Refusal> {
        let budget = &*self.0;
        let mut state = budget.state.lock();
        let Some(task) = state.tasks.get(&task_id) else {
            return Err(Refusal::Share("the task has ended".to_owned()));
        };
        let own = task.consumers.get(&id).map_or(0, |c| c.used);
        // What execution may have once storage is evicted as far as it may be.
        let most = budget.total.saturating_sub(budget.kept_back + state.storage.min(budget.protected));
        let active = state.tasks.iter().filter(|(other, t)| **other == task_id || t.used > 0).count();
        let task_cap = share(most, active, budget.slots);
        let left = task_cap.saturating_sub(task.used).min(most.saturating_sub(state.execution));
        let mut wanted = left;
        if task.consumers.get(&id).is_some_and(|c| c.can_spill) {
            let spillers = task.consumers.values().filter(|c| c.can_spill).count();
            let active =
                task.consumers.iter().filter(|(other, c)| c.can_spill && (**other == id || c.used > 0)).count();
            // Shares are of what those that cannot spill leave.
            let fixed: usize = task.consumers.values().filter(|c| !c.can_spill).map(|c| c.used).sum();
            let cap = share(task_cap.saturating_sub(fixed), active, spillers);
            wanted = wanted.min(cap.saturating_sub(own));
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
        let first = own + bytes <= FIRST_GRANT.min(budget.kept_back);
        if first && state.execution + state.storage + bytes <= budget.total {
            state.add(task_id, id, bytes);
            return Ok(());
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

/// The most that one of `active` may have of `total`, so that each of `all` is sure of half an equal part.
fn share(total: usize, active: usize, all: usize) -> usize {
    let (active, all) = (active.max(1), all.max(active).max(1));
    let others = total / (2 * all) * (all - active);
    (total / active).min(total - others)
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
    use super::share;

    #[test]
    fn a_share_is_between_half_and_a_whole_part() {
        assert_eq!(share(100, 1, 1), 100);
        assert_eq!(share(100, 1, 2), 75);
        assert_eq!(share(100, 2, 2), 50);
        assert_eq!(share(800, 1, 4), 500);
        assert_eq!(share(800, 4, 4), 200);
        // More than there are slots: equal parts.
        assert_eq!(share(800, 8, 4), 100);
    }
}
