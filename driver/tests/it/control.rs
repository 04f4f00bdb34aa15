//! Executors are listened to, whatever the driver computes.

use std::time::{Duration, Instant};

use crate::application::OnExecutors;

/// The runtime of this test has one thread.
#[tokio::test]
async fn a_driver_that_computes_for_long_loses_no_executor() {
    let conf = [("spark.network.timeout", "1s"), ("spark.executor.heartbeatInterval", "100ms")];
    let app = OnExecutors::start(2, &conf).await;
    while app.cluster.core().registered_ids().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Longer than an executor may be silent.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2500) {
        std::hint::spin_loop();
    }
    assert_eq!(app.cluster.core().registered_ids().len(), 2);
    assert_eq!(
        app.value("SELECT sum(n) FROM (SELECT id % 5 k, count(*) n FROM range(0, 100, 1, 4) GROUP BY 1)").await,
        "100"
    );
    assert_eq!((app.cluster.core().registered_ids().len(), app.progress.get().tasks_failed), (2, 0));
}
