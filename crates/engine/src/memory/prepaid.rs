//! Memory that was reserved before an operator asks for it.

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
};

use datafusion::{
    common::Result,
    execution::memory_pool::{MemoryLimit, MemoryPool, MemoryReservation},
};

/// Bytes more than an estimate that are not worth failing for.
const SLACK: usize = 64 << 10;

/// The pool of an operator whose memory another one reserved for it. What it asks for beyond that comes out of the same
/// reservation, so that nothing is counted twice.
#[derive(Debug)]
pub(crate) struct PrepaidPool {
    paid: MemoryReservation,
    used: AtomicUsize,
}

impl PrepaidPool {
    pub fn new(paid: MemoryReservation) -> Self {
        Self { paid, used: AtomicUsize::new(0) }
    }

    /// Gives back what is not in use.
    pub fn release_rest(&self) {
        let rest = self.paid.size().saturating_sub(self.used.load(Ordering::Relaxed));
        // It may be in use by now: then less is given back than could be, at the next call.
        let _ = self.paid.try_shrink(rest);
    }
}

impl fmt::Display for PrepaidPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes reserved", self.reserved(), self.paid.size())
    }
}

impl MemoryPool for PrepaidPool {
    fn name(&self) -> &str {
        "prepaid"
    }

    fn grow(&self, _: &MemoryReservation, additional: usize) {
        let used = self.used.fetch_add(additional, Ordering::Relaxed) + additional;
        let paid = self.paid.size();
        if used > paid {
            self.paid.grow(used - paid);
        }
    }

    fn shrink(&self, _: &MemoryReservation, shrink: usize) {
        self.used.fetch_sub(shrink, Ordering::Relaxed);
    }

    fn try_grow(&self, _: &MemoryReservation, additional: usize) -> Result<()> {
        let used = self.used.fetch_add(additional, Ordering::Relaxed) + additional;
        let paid = self.paid.size();
        if used > paid
            && let Err(refused) = self.paid.try_grow(used - paid)
        {
            // What was paid for was an estimate.
            if used - paid > paid / 8 + SLACK {
                self.used.fetch_sub(additional, Ordering::Relaxed);
                return Err(refused);
            }
            self.paid.grow(used - paid);
        }
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Unknown
    }
}
