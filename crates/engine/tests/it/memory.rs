//! The executor's memory, shared by tasks, consumers and cached blocks.

use std::sync::{Arc, Weak};

use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use firesteel_engine::memory::{EvictStorage, ExecutorMemory, FIRST_GRANT, StorageGrant, TaskMemory};
use parking_lot::Mutex;
use proptest::prelude::*;

const MIB: usize = 1 << 20;

fn consumer(task: &Arc<TaskMemory>, name: &str, can_spill: bool) -> MemoryReservation {
    MemoryConsumer::new(name).with_can_spill(can_spill).register(&task.pool())
}

/// The most that `reservation` can be grown to, in steps.
fn fill(reservation: &MemoryReservation) -> usize {
    while reservation.try_grow(MIB / 4).is_ok() {}
    reservation.size()
}

#[test]
fn a_task_that_comes_late_has_its_half_share() {
    let memory = ExecutorMemory::new(336 * MIB, 4, 0.0);
    let first = memory.task("first");
    let early = consumer(&first, "sort", true);
    // Of the 308 MiB that are not kept back, three others are sure of an eighth each.
    assert_eq!(fill(&early) / MIB, 192);
    let (second, third) = (memory.task("second"), memory.task("third"));
    let (a, b) = (consumer(&second, "sort", true), consumer(&third, "aggregate", true));
    assert!(fill(&a) >= 38 * MIB);
    assert!(fill(&b) >= 38 * MIB);
    // The first has more than its third and gets nothing until it spills.
    early.try_grow(MIB).unwrap_err();
    early.free();
    assert!(fill(&early) <= 104 * MIB);
}

#[test]
fn consumers_of_a_task_leave_each_other_room() {
    let memory = ExecutorMemory::new(168 * MIB, 1, 0.0);
    let task = memory.task("task");
    let [a, b] = ["first sort", "second sort"].map(|name| consumer(&task, name, true));
    // Two spillers: the first leaves a quarter.
    assert_eq!(fill(&a) / MIB, 115);
    assert!(fill(&b) >= 38 * MIB);
    let refused = a.try_grow(MIB).unwrap_err().to_string();
    assert!(refused.contains("first sort has") && refused.contains("second sort"), "{refused}");
    // Whoever cannot spill may have what is left, or the first grant.
    a.free();
    assert!(fill(&consumer(&task, "merge", false)) >= 100 * MIB);
}

#[test]
fn a_first_grant_is_there_when_nothing_else_is() {
    let memory = ExecutorMemory::new(60 * MIB, 1, 0.0);
    let task = memory.task("task");
    let greedy = consumer(&task, "greedy", false);
    fill(&greedy);
    let late = consumer(&task, "late", true);
    late.try_grow(FIRST_GRANT).unwrap();
    late.try_grow(MIB).unwrap_err();
    late.try_grow(1 << 19).unwrap_err();
    assert!(memory.usage().execution <= memory.total());
}

#[test]
fn a_task_that_ends_leaves_nothing() {
    let memory = ExecutorMemory::new(64 * MIB, 2, 0.5);
    let task = memory.task("task");
    let held = consumer(&task, "join", true);
    held.try_grow(8 * MIB).unwrap();
    drop(task);
    assert_eq!(memory.usage().execution, 8 * MIB);
    drop(held);
    assert_eq!(memory.usage().execution, 0);
    assert_eq!(memory.usage().peak_execution, 8 * MIB);
}

#[derive(Debug, Default)]
struct Cache(Mutex<Vec<StorageGrant>>);

impl EvictStorage for Cache {
    fn evict(&self, bytes: usize) {
        let mut freed = 0;
        while freed < bytes
            && let Some(grant) = self.0.lock().pop()
        {
            freed += grant.bytes();
        }
    }
}

#[test]
fn execution_evicts_storage_down_to_its_share() {
    let memory = ExecutorMemory::new(168 * MIB, 1, 0.25);
    let cache = Arc::new(Cache::default());
    let weak: Weak<Cache> = Arc::downgrade(&cache);
    memory.set_evictor(weak);
    while let Ok(grant) = memory.acquire_storage(2 * MIB) {
        cache.0.lock().push(grant);
    }
    assert_eq!(memory.usage().storage, 154 * MIB);
    let task = memory.task("task");
    let sort = consumer(&task, "sort", true);
    let got = fill(&sort);
    assert!((110 * MIB..=116 * MIB).contains(&got), "{got}");
    assert_eq!(memory.usage().storage, 42 * MIB);
    // And storage does not evict execution.
    assert!(memory.acquire_storage(4 * MIB).is_err());
    drop(sort);
    assert!(memory.acquire_storage(4 * MIB).is_ok());
}

proptest! {
    /// Whatever tasks ask for and give back: never more than there is, and nothing is lost.
    #[test]
    fn never_more_than_there_is(
        slots in 1usize..5,
        steps in prop::collection::vec((0usize..6, 0usize..4, prop::bool::ANY, 1usize..(40 * MIB)), 1..200),
    ) {
        let memory = ExecutorMemory::new(100 * MIB, slots, 0.5);
        let tasks: Vec<_> = (0..6).map(|i| memory.task(format!("task {i}"))).collect();
        let reservations: Vec<Vec<_>> = tasks
            .iter()
            .map(|task| (0..4).map(|i| consumer(task, &format!("consumer {i}"), i % 2 == 0)).collect())
            .collect();
        for (task, consumer, grow, bytes) in steps {
            let reservation = &reservations[task][consumer];
            if grow {
                let before = memory.usage().execution;
                match reservation.try_grow(bytes) {
                    Ok(()) => prop_assert_eq!(memory.usage().execution, before + bytes),
                    Err(_) => prop_assert_eq!(memory.usage().execution, before),
                }
            } else {
                reservation.shrink(bytes.min(reservation.size()));
            }
            let held: usize = reservations.iter().flatten().map(MemoryReservation::size).sum();
            prop_assert_eq!(memory.usage().execution, held);
            prop_assert!(held <= memory.total());
        }
        drop(reservations);
        prop_assert_eq!(memory.usage().execution, 0);
    }
}
