//! Threads that listen to executors and keep the clock, whatever else the driver computes: planning a large query, or
//! decoding a result, must not make executors look silent.

use std::{thread, time::Duration};

use firesteel_plan::{SparkError, SparkResult};
use tokio::runtime::{Builder, Handle, Runtime};

const THREADS: usize = 2;
/// For messages that are on their way when the driver's service ends.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// A runtime of its own. Ends a moment after it is dropped.
pub struct Control(Option<Runtime>);

impl Control {
    pub fn start() -> SparkResult<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("firesteel-control")
            .enable_all()
            .build()
            .map_err(SparkError::internal)?;
        Ok(Self(Some(runtime)))
    }

    /// Runs it here, to its end.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> SparkResult<T> {
        match self.handle() {
            Some(handle) => handle.spawn(work).await.map_err(SparkError::internal),
            None => Err(SparkError::internal("the driver's service has ended")),
        }
    }

    /// Starts it here.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(handle) = self.handle() {
            handle.spawn(work);
        }
    }

    fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let Some(runtime) = self.0.take() else { return };
        // Not on this thread: it may belong to another runtime, which must not wait.
        let end = move || {
            // A sleep is made within a runtime.
            runtime.block_on(async { tokio::time::sleep(LAST_WORDS).await });
            runtime.shutdown_background();
        };
        if let Err(error) = thread::Builder::new().name("firesteel-end".to_owned()).spawn(end) {
            tracing::warn!(%error, "the driver's last messages may not go out");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_its_way_goes_out_when_it_ends() {
        let control = Control::start().unwrap();
        let (sent, received) = std::sync::mpsc::sync_channel(1);
        control.spawn(async move {
            tokio::time::sleep(LAST_WORDS / 6).await;
            let _ = sent.send("the last word");
        });
        drop(control);
        assert_eq!(received.recv_timeout(Duration::from_secs(10)), Ok("the last word"));
    }
}
