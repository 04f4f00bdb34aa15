//! Requests that wait until a test lets them go on: how a test stops a job at a certain point.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::watch;

/// Holds requests. When it is dropped they go on, and later ones are not held.
pub struct Hold {
    rule: Arc<Rule>,
    open: watch::Sender<bool>,
}

impl Hold {
    /// Requests that wait now.
    pub fn waiting(&self) -> usize {
        self.rule.waiting.load(Ordering::SeqCst)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.open.send_replace(true);
    }
}

type Which = dyn Fn(&str, &str) -> bool + Send + Sync;

struct Rule {
    bucket: String,
    which: Box<Which>,
    waiting: AtomicUsize,
    /// Requests that may still go on.
    free: AtomicUsize,
    open: watch::Receiver<bool>,
}

/// The holds of a server.
#[derive(Clone, Default)]
pub(super) struct Holds(Arc<Mutex<Vec<Arc<Rule>>>>);

impl Holds {
    pub(super) fn add(
        &self,
        bucket: &str,
        free: usize,
        which: impl Fn(&str, &str) -> bool + Send + Sync + 'static,
    ) -> Hold {
        let (open, receiver) = watch::channel(false);
        let rule = Arc::new(Rule {
            bucket: bucket.to_owned(),
            which: Box::new(which),
            waiting: AtomicUsize::new(0),
            free: AtomicUsize::new(free),
            open: receiver,
        });
        let mut rules = self.0.lock();
        rules.retain(|rule| !*rule.open.borrow());
        rules.push(rule.clone());
        Hold { rule, open }
    }

    /// Returns when no rule holds the request any more.
    pub(super) async fn pass(&self, operation: &str, bucket: &str, key: &str) {
        let meant = |rule: &&Arc<Rule>| rule.bucket == bucket && !*rule.open.borrow() && (rule.which)(operation, key);
        let rules: Vec<Arc<Rule>> = self.0.lock().iter().filter(meant).cloned().collect();
        for rule in rules {
            if rule.free.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |free| free.checked_sub(1)).is_ok() {
                continue;
            }
            // A client that gives up takes its request along: the count goes down however the wait ends.
            let _counted = Counted::new(&rule.waiting);
            let mut open = rule.open.clone();
            // An error means that the hold is gone.
            let _ = open.wait_for(|open| *open).await;
        }
    }
}

struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
