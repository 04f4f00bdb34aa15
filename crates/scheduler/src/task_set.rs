//! The tasks of one stage: which are pending, running or done, and which one goes next.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::Arc,
};

use firesteel_protocol::ExecutorId;

use crate::{executors::Executors, job::Preference, locality::Locality};

/// No executor is avoided.
const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TaskState {
    Pending,
    /// In one attempt, or in two of which the first to end counts.
    Running {
        attempt: u64,
        copy: Option<u64>,
    },
    Done,
}

#[derive(Debug, Clone)]
struct Task {
    state: TaskState,
    /// Attempts that failed and count (`spark.task.maxFailures`).
    failures: u32,
    /// Attempts that ended without a result and without the task's fault.
    blameless: u32,
    launches: u32,
    /// The executor on which it failed last.
    avoid: u32,
    /// It failed before: when pending, it waits in `retries`.
    is_retry: bool,
}

/// A queue entry may be out of date: what counts is the task's state when it is taken. Every change of state costs O(1).
#[derive(Debug)]
pub(crate) struct TaskSet {
    tasks: Vec<Task>,
    /// Pending tasks that never failed and prefer no place, the next one last.
    fresh: Vec<u32>,
    /// Pending tasks that failed before, oldest first.
    retries: VecDeque<u32>,
    pending: u32,
    running: u32,
    done: u32,
    places: Option<Box<Places>>,
    /// Running tasks that shall have a copy, in the order in which they were found slow.
    copies_wanted: Vec<u32>,
}

/// Pending tasks by the places that they prefer.
#[derive(Debug, Default)]
struct Places {
    of_task: Vec<Vec<Place>>,
    by_executor: HashMap<ExecutorId, Vec<u32>>,
    by_node: HashMap<Arc<str>, Vec<u32>>,
    /// All of them.
    anywhere: Vec<u32>,
}

#[derive(Debug, Clone)]
enum Place {
    Executor(ExecutorId),
    Node(Arc<str>),
}

impl Places {
    /// Who prefers an executor prefers its node next.
    fn new(preferences: &[Vec<Preference>], executors: &Executors) -> Self {
        let of_task = preferences.iter().map(|wishes| {
            let mut places: Vec<Place> = Vec::with_capacity(wishes.len());
            for wish in wishes {
                match wish {
                    Preference::Node(node) => places.push(Place::Node(node.clone())),
                    Preference::Executor(name) => {
                        places.push(Place::Executor(name.clone()));
                        let node = executors.index(name).map(|index| executors.node(index).clone());
                        places.extend(node.map(Place::Node));
                    }
                }
            }
            places
        });
        Self { of_task: of_task.collect(), ..Self::default() }
    }

    /// False when the task prefers no place.
    fn push(&mut self, task: u32) -> bool {
        let Some(places) = self.of_task.get(task as usize).filter(|places| !places.is_empty()) else { return false };
        for place in places {
            match place {
                Place::Executor(name) => self.by_executor.entry(name.clone()).or_default().push(task),
                Place::Node(name) => self.by_node.entry(name.clone()).or_default().push(task),
            }
        }
        self.anywhere.push(task);
        true
    }

    fn clear(&mut self) {
        self.by_executor.clear();
        self.by_node.clear();
        self.anywhere.clear();
    }
}

/// Takes the last entry that is not out of date.
fn take_last(list: &mut Vec<u32>, tasks: &[Task]) -> Option<u32> {
    while let Some(number) = list.pop() {
        let task = &tasks[number as usize];
        if task.state == TaskState::Pending && !task.is_retry {
            return Some(number);
        }
    }
    None
}

/// Whether any entry is not out of date.
fn has_any(list: &mut Vec<u32>, tasks: &[Task]) -> bool {
    let last = take_last(list, tasks);
    list.extend(last);
    last.is_some()
}

/// Whether any list of a place that is there has an entry that is not out of date. Empty lists on the way go.
fn any_waits<K: Clone + Eq + Hash>(
    lists: &mut HashMap<K, Vec<u32>>,
    tasks: &[Task],
    is_there: impl Fn(&K) -> bool,
) -> bool {
    let mut empty = Vec::new();
    let mut found = false;
    for (place, list) in lists.iter_mut() {
        if !has_any(list, tasks) {
            empty.push(place.clone());
        } else if is_there(place) {
            found = true;
            break;
        }
    }
    for place in empty {
        lists.remove(&place);
    }
    found
}

impl TaskSet {
    /// Tasks for which `is_done` are done from the start.
    pub fn new(
        len: u32,
        is_done: impl Fn(u32) -> bool,
        preferences: &[Vec<Preference>],
        executors: &Executors,
    ) -> Self {
        let task = |state| Task { state, failures: 0, blameless: 0, launches: 0, avoid: NONE, is_retry: false };
        let tasks: Vec<Task> =
            (0..len).map(|index| task(if is_done(index) { TaskState::Done } else { TaskState::Pending })).collect();
        let done = tasks.iter().filter(|task| task.state == TaskState::Done).count() as u32;
        let mut set = Self {
            tasks,
            fresh: Vec::new(),
            retries: VecDeque::new(),
            pending: len - done,
            running: 0,
            done,
            places: None,
            copies_wanted: Vec::new(),
        };
        if preferences.iter().any(|places| !places.is_empty()) {
            set.places = Some(Box::new(Places::new(preferences, executors)));
        }
        set.queue_all_pending();
        set
    }

    fn queue_all_pending(&mut self) {
        self.fresh.clear();
        self.retries.clear();
        if let Some(places) = &mut self.places {
            places.clear();
        }
        for task in (0..self.len()).rev() {
            if self.tasks[task as usize].state == TaskState::Pending {
                self.enqueue(task, None);
            }
        }
    }

    /// With `avoid`, or a failure that counts, it goes to the tasks that failed before.
    fn enqueue(&mut self, task: u32, avoid: Option<u32>) {
        let entry = &mut self.tasks[task as usize];
        entry.avoid = avoid.unwrap_or(NONE);
        entry.is_retry = avoid.is_some() || entry.failures > 0;
        if entry.is_retry {
            self.retries.push_back(task);
            return;
        }
        let placed = self.places.as_mut().is_some_and(|places| places.push(task));
        if !placed {
            self.fresh.push(task);
        }
    }

    pub fn len(&self) -> u32 {
        self.tasks.len() as u32
    }

    pub fn pending(&self) -> u32 {
        self.pending
    }

    pub fn running(&self) -> u32 {
        self.running
    }

    pub fn done(&self) -> u32 {
        self.done
    }

    pub fn is_complete(&self) -> bool {
        self.done == self.len()
    }

    pub fn has_preferences(&self) -> bool {
        self.places.is_some()
    }

    /// Whether a task that prefers a place waits for an executor that is there, at this level.
    pub fn has_at(&mut self, level: Locality, executors: &Executors) -> bool {
        let Self { tasks, places, .. } = self;
        let Some(places) = places.as_mut() else { return false };
        match level {
            Locality::ProcessLocal => any_waits(&mut places.by_executor, tasks, |name| executors.index(name).is_some()),
            Locality::NodeLocal => any_waits(&mut places.by_node, tasks, |node| executors.has_node(node)),
            Locality::NoPref => false,
            Locality::Any => has_any(&mut places.anywhere, tasks),
        }
    }

    /// Whether a task waits for this executor, at this level.
    pub fn waits_for(&mut self, level: Locality, name: &ExecutorId, node: &str) -> bool {
        let Self { tasks, places, .. } = self;
        let Some(places) = places.as_mut() else { return false };
        let list = match level {
            Locality::ProcessLocal => places.by_executor.get_mut(name),
            Locality::NodeLocal => places.by_node.get_mut(node),
            Locality::NoPref | Locality::Any => None,
        };
        list.is_some_and(|list| has_any(list, tasks))
    }

    /// Some pending task, if there is one. Costs O(tasks): for failures only.
    pub fn any_pending(&self) -> Option<u32> {
        (0..self.len()).find(|task| self.is_pending(*task))
    }

    pub fn is_running(&self, task: u32, attempt: u64) -> bool {
        self.tasks.get(task as usize).is_some_and(|task| match task.state {
            TaskState::Running { attempt: one, copy } => one == attempt || copy == Some(attempt),
            TaskState::Pending | TaskState::Done => false,
        })
    }

    /// The attempt that runs alone, if the task runs and in one attempt only.
    fn alone(&self, task: u32) -> Option<u64> {
        match self.tasks.get(task as usize)?.state {
            TaskState::Running { attempt, copy: None } => Some(attempt),
            _ => None,
        }
    }

    /// A running task shall have a copy. Asked for once; forgotten when the task ends.
    pub fn want_copy(&mut self, task: u32) {
        if self.alone(task).is_some() && !self.copies_wanted.contains(&task) {
            self.copies_wanted.push(task);
        }
    }

    pub fn copies_wanted(&self) -> u32 {
        self.copies_wanted.len() as u32
    }

    /// The tasks that shall have a copy, each with the attempt that runs. Those that no longer need one are forgotten.
    pub fn wanted_copies(&mut self) -> Vec<(u32, u64)> {
        let wanted = std::mem::take(&mut self.copies_wanted);
        let found: Vec<(u32, u64)> = wanted.into_iter().filter_map(|task| Some((task, self.alone(task)?))).collect();
        self.copies_wanted = found.iter().map(|(task, _)| *task).collect();
        found
    }

    /// The copy of a running task runs now. Returns how often the task was launched before.
    pub fn copied(&mut self, task: u32, number: u64) -> u32 {
        self.copies_wanted.retain(|wanted| *wanted != task);
        let entry = &mut self.tasks[task as usize];
        if let TaskState::Running { copy, .. } = &mut entry.state {
            debug_assert_eq!(*copy, None);
            *copy = Some(number);
        }
        entry.launches += 1;
        entry.launches - 1
    }

    fn is_pending(&self, task: u32) -> bool {
        self.tasks[task as usize].state == TaskState::Pending
    }

    /// How many pending tasks failed before, entries out of date included.
    pub fn retries(&self) -> usize {
        self.retries.len()
    }

    /// The retry at this place of the queue and the executor that it had better avoid; `None`, and the entry gone, when it
    /// is out of date.
    pub fn retry(&mut self, at: usize) -> Option<(u32, u32)> {
        let task = *self.retries.get(at)?;
        let entry = &self.tasks[task as usize];
        if self.is_pending(task) && entry.is_retry {
            return Some((task, entry.avoid));
        }
        self.retries.remove(at);
        None
    }

    /// Takes the next task that has no preference. The caller launches it.
    pub fn take_fresh(&mut self) -> Option<u32> {
        take_last(&mut self.fresh, &self.tasks)
    }

    /// Takes a task that prefers this executor, or its node, or, at [`Locality::Any`], another place. The caller launches it.
    pub fn take_at(&mut self, level: Locality, executor: &ExecutorId, node: &str) -> Option<u32> {
        let Self { tasks, places, .. } = self;
        let places = places.as_mut()?;
        let list = match level {
            Locality::ProcessLocal => places.by_executor.get_mut(executor)?,
            Locality::NodeLocal => places.by_node.get_mut(node)?,
            Locality::NoPref => return None,
            Locality::Any => &mut places.anywhere,
        };
        take_last(list, tasks)
    }

    /// A pending task runs now. Returns how often it was launched before.
    pub fn launched(&mut self, task: u32, attempt: u64) -> u32 {
        let entry = &mut self.tasks[task as usize];
        debug_assert_eq!(entry.state, TaskState::Pending);
        entry.state = TaskState::Running { attempt, copy: None };
        entry.avoid = NONE;
        entry.is_retry = false;
        entry.launches += 1;
        self.pending -= 1;
        self.running += 1;
        entry.launches - 1
    }

    /// A running task is done, by this attempt. Returns the other one, if two ran.
    pub fn succeeded(&mut self, task: u32, attempt: u64) -> Option<u64> {
        let entry = &mut self.tasks[task as usize];
        debug_assert!(matches!(entry.state, TaskState::Running { .. }));
        let other = match entry.state {
            TaskState::Running { attempt: one, copy: Some(copy) } => Some(if one == attempt { copy } else { one }),
            _ => None,
        };
        entry.state = TaskState::Done;
        self.running -= 1;
        self.done += 1;
        self.copies_wanted.retain(|wanted| *wanted != task);
        other
    }

    /// An attempt of a running task ended without a result. If it was the only one, the task must run again: as one that
    /// failed, with `avoid`, on another executor than that if there is one.
    pub fn attempt_ended(&mut self, task: u32, attempt: u64, avoid: Option<u32>) {
        let entry = &mut self.tasks[task as usize];
        debug_assert!(matches!(entry.state, TaskState::Running { .. }));
        if let TaskState::Running { attempt: one, copy: Some(copy) } = entry.state {
            entry.state = TaskState::Running { attempt: if one == attempt { copy } else { one }, copy: None };
            return;
        }
        entry.state = TaskState::Pending;
        self.copies_wanted.retain(|wanted| *wanted != task);
        self.running -= 1;
        self.pending += 1;
        self.enqueue(task, avoid);
    }

    /// The output of a done task is gone: it must run again.
    pub fn output_lost(&mut self, task: u32) {
        let entry = &mut self.tasks[task as usize];
        debug_assert_eq!(entry.state, TaskState::Done);
        entry.state = TaskState::Pending;
        self.done -= 1;
        self.pending += 1;
        self.enqueue(task, None);
    }

    /// Counts a failure of the task's own and returns how many there are.
    pub fn count_failure(&mut self, task: u32) -> u32 {
        let entry = &mut self.tasks[task as usize];
        entry.failures += 1;
        entry.failures
    }

    /// Counts an attempt that ended without a result for no fault of the task, and returns how many there are.
    pub fn count_blameless(&mut self, task: u32) -> u32 {
        let entry = &mut self.tasks[task as usize];
        entry.blameless += 1;
        entry.blameless
    }

    /// Every task is pending again. Returns the attempts that were running.
    pub fn reset(&mut self) -> Vec<u64> {
        let running = self.running_attempts();
        for task in &mut self.tasks {
            task.state = TaskState::Pending;
        }
        (self.pending, self.running, self.done) = (self.len(), 0, 0);
        self.copies_wanted.clear();
        self.queue_all_pending();
        running
    }

    pub fn running_attempts(&self) -> Vec<u64> {
        if self.running == 0 {
            return Vec::new();
        }
        let running = self.tasks.iter().filter_map(|task| match task.state {
            TaskState::Running { attempt, copy } => Some([Some(attempt), copy]),
            TaskState::Pending | TaskState::Done => None,
        });
        running.flatten().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_go_in_order_and_each_once() {
        let mut set = TaskSet::new(3, |task| task == 1, &[], &Executors::default());
        assert_eq!((set.pending(), set.done()), (2, 1));
        assert_eq!(set.take_fresh(), Some(0));
        assert_eq!(set.launched(0, 10), 0);
        assert_eq!(set.take_fresh(), Some(2));
        assert_eq!(set.launched(2, 11), 0);
        assert_eq!(set.take_fresh(), None);
        set.attempt_ended(0, 10, None);
        assert_eq!(set.take_fresh(), Some(0));
        assert_eq!(set.launched(0, 12), 1);
        assert!(set.is_running(0, 12) && !set.is_running(0, 10));
        assert_eq!(set.succeeded(0, 12), None);
        set.succeeded(2, 11);
        assert!(set.is_complete());
    }

    #[test]
    fn preferred_tasks_go_to_their_place_and_not_twice() {
        let here = ExecutorId::new("exec-1");
        let wishes = vec![vec![], vec![Preference::Executor(here.clone())], vec![Preference::Node("node-a".into())]];
        let mut set = TaskSet::new(3, |_| false, &wishes, &Executors::default());
        let there = ExecutorId::new("exec-9");
        assert_eq!(set.take_at(Locality::ProcessLocal, &there, "node-b"), None);
        assert_eq!(set.take_at(Locality::NodeLocal, &there, "node-b"), None);
        assert_eq!(set.take_at(Locality::ProcessLocal, &here, "node-a"), Some(1));
        set.launched(1, 0);
        assert_eq!(set.take_at(Locality::ProcessLocal, &here, "node-a"), None);
        assert_eq!(set.take_at(Locality::NodeLocal, &here, "node-a"), Some(2));
        set.launched(2, 1);
        assert_eq!(set.take_at(Locality::Any, &there, "node-b"), None);
        assert_eq!(set.take_fresh(), Some(0));
        set.launched(0, 2);
        assert_eq!(set.take_fresh(), None);
    }

    #[test]
    fn retries_leave_the_queue_when_out_of_date() {
        let mut set = TaskSet::new(1, |_| false, &[], &Executors::default());
        set.take_fresh();
        set.launched(0, 0);
        set.attempt_ended(0, 0, Some(7));
        assert_eq!(set.take_fresh(), None);
        assert_eq!(set.retry(0), Some((0, 7)));
        set.launched(0, 1);
        assert_eq!((set.retry(0), set.retries()), (None, 0));
        assert_eq!(set.reset(), vec![1]);
        assert_eq!((set.pending(), set.take_fresh()), (1, Some(0)));
    }

    #[test]
    fn of_two_attempts_the_first_to_end_counts() {
        let mut set = TaskSet::new(2, |_| false, &[], &Executors::default());
        for attempt in 0..2 {
            let task = set.take_fresh().unwrap();
            set.launched(task, attempt);
            set.want_copy(task);
            set.want_copy(task);
        }
        assert_eq!(set.wanted_copies(), [(0, 0), (1, 1)]);
        assert_eq!((set.copied(0, 2), set.copied(1, 3), set.copies_wanted()), (1, 1, 0));
        assert_eq!(set.running_attempts(), [0, 2, 1, 3]);
        assert_eq!(set.succeeded(0, 2), Some(0));
        // The first one fails: the copy is the one that is left, and may get a copy in turn.
        set.attempt_ended(1, 1, None);
        assert!((set.pending(), set.is_running(1, 3), set.is_running(1, 1)) == (0, true, false));
        set.want_copy(1);
        assert_eq!(set.wanted_copies(), [(1, 3)]);
        set.attempt_ended(1, 3, None);
        assert_eq!((set.pending(), set.copies_wanted(), set.take_fresh()), (1, 0, Some(1)));
    }
}
