//! Connections break, drivers die; executors and what they hold outlive both.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use firesteel_driver::cluster::Recalled;
use firesteel_protocol::ExecutorId;
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::application::{OnExecutors, in_process};

const WAITS: u32 = 20_000;
/// Tasks are counted.
const NOT_COALESCED: (&str, &str) = ("spark.sql.adaptive.coalescePartitions.enabled", "false");

async fn wait_for(what: &str, ready: impl Fn() -> bool) {
    for _ in 0..WAITS {
        if ready() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("waited too long: {what}");
}

/// A way to the driver that can be cut.
struct Wire {
    address: SocketAddr,
    open: Arc<Mutex<Option<JoinSet<()>>>>,
}

impl Wire {
    async fn to(driver: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(Mutex::new(Some(JoinSet::new())));
        let connections = open.clone();
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                if let Some(open) = connections.lock().as_mut() {
                    open.spawn(async move {
                        let mut to = TcpStream::connect(driver).await.unwrap();
                        let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                    });
                }
            }
        });
        Self { address, open }
    }

    fn cut(&self) {
        *self.open.lock() = None;
    }

    fn mend(&self) {
        *self.open.lock() = Some(JoinSet::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_whose_connection_was_cut_go_on_with_their_tasks() {
    let mut app = OnExecutors::driver(2, &[("spark.sql.shuffle.partitions", "400"), NOT_COALESCED], None).await;
    let wire = Wire::to(app.cluster().address()).await;
    for _ in 0..2 {
        app.add_executor_through(wire.address);
    }
    let progress = app.progress.clone();
    let cuts = tokio::spawn(async move {
        for after in [1, 150, 300] {
            wait_for("tasks", || progress.get().tasks_done >= after).await;
            wire.cut();
            tokio::time::sleep(Duration::from_millis(300)).await;
            wire.mend();
        }
        wire
    });
    let sql = "SELECT sum(n) FROM (SELECT id % 5000 k, count(*) n FROM range(0, 100000, 1, 8) GROUP BY 1)";
    assert_eq!(app.value(sql).await, "100000");
    let _wire = cuts.await.unwrap();
    let progress = app.progress.get();
    assert_eq!((progress.rows_read, progress.tasks_failed), (100_000, 0), "nothing ran twice: {progress:?}");
    assert_eq!(app.cluster().core().registered_ids(), [ExecutorId::new("1"), ExecutorId::new("2")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_follows_another_goes_on_from_its_finished_stages() {
    const REDUCERS: u64 = 400;
    const CONF: [(&str, &str); 2] = [("spark.sql.shuffle.partitions", "400"), NOT_COALESCED];
    // Four exchanges: five stages.
    let sql = "SELECT sum(n) FROM (SELECT m, count(*) n FROM (SELECT k % 97 m, max(n) x FROM \
               (SELECT id % 5000 k, count(*) n FROM range(0, 100000, 1, 8) GROUP BY 1) GROUP BY 1, k) GROUP BY 1)";
    let mut first = OnExecutors::driver(2, &CONF, Some(1)).await;
    for _ in 0..2 {
        first.add_executor();
    }
    let progress = first.progress.clone();
    let executors;
    {
        let run = first.value(sql);
        tokio::pin!(run);
        tokio::select! {
            _ = &mut run => panic!("it ended before its driver died"),
            () = wait_for("stage 3", || {
                let now = progress.get();
                now.stages_done >= 2 && now.tasks_done > 8 + REDUCERS
            }) => {}
        }
        // Before anything else of it ends.
        executors = first.cluster().core().executors();
        first.cluster().abandon();
    }
    assert_eq!(executors.len(), 2);

    let second = OnExecutors::driver(2, &CONF, Some(2)).await;
    let core = second.cluster().core();
    for executor in &executors {
        let address = second.cluster().address().to_string();
        assert_eq!(core.recall(&executor.address, &address).await, Recalled::Comes);
    }
    let ids: Vec<ExecutorId> = executors.iter().map(|executor| ExecutorId::new(executor.id.clone())).collect();
    core.inventoried(&ids, Duration::from_secs(20)).await;
    assert_eq!(second.value(sql).await, "5000");
    let progress = second.progress.get();
    assert_eq!(progress.rows_read, 0, "the stage that reads is not run again: {progress:?}");
    assert_eq!(progress.tasks_failed, 0, "{progress:?}");

    // The one before has nothing to say any more.
    for executor in &executors {
        let address = first.cluster().address().to_string();
        assert_eq!(first.cluster().core().recall(&executor.address, &address).await, Recalled::ObeysAnother);
    }
    assert_eq!(second.value("SELECT count(*) FROM range(0, 1000, 1, 4)").await, "1000");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_of_other_files_is_not_taken() {
    const CONF: [(&str, &str); 2] = [("spark.sql.shuffle.partitions", "300"), NOT_COALESCED];
    for changed in [false, true] {
        let folder = tempfile::TempDir::new().unwrap();
        let table = folder.path().join("t");
        let fill = async |rows: u32| {
            let local = in_process(&folder.path().join("scratch"), &[]);
            let rows = format!("SELECT id, CAST(id AS STRING) s FROM range(0, {rows}, 1, 2)");
            let fill = format!("INSERT OVERWRITE DIRECTORY '{}' USING parquet {rows}", table.display());
            local.run_script(&fill, |_| true).await.unwrap();
        };
        fill(1000).await;
        let counted = format!("SELECT count(DISTINCT s, id) FROM parquet.`{}` WHERE id >= 0", table.display());
        let mut first = OnExecutors::driver(2, &CONF, Some(1)).await;
        for _ in 0..2 {
            first.add_executor();
        }
        let progress = first.progress.clone();
        let executors;
        {
            let run = first.value(&counted);
            tokio::pin!(run);
            tokio::select! {
                _ = &mut run => panic!("it ended before its driver died"),
                () = wait_for("stage 2", || progress.get().stages_done >= 1 && progress.get().tasks_done > 10) => {}
            }
            // Before anything else of it ends.
            executors = first.cluster().core().executors();
            first.cluster().abandon();
        }
        if changed {
            fill(2000).await;
        }
        let second = OnExecutors::driver(2, &CONF, Some(2)).await;
        let core = second.cluster().core();
        for executor in &executors {
            core.recall(&executor.address, &second.cluster().address().to_string()).await;
        }
        let ids: Vec<ExecutorId> = executors.iter().map(|executor| ExecutorId::new(executor.id.clone())).collect();
        core.inventoried(&ids, Duration::from_secs(20)).await;
        let (rows, read) = if changed { ("2000", 2000) } else { ("1000", 0) };
        assert_eq!(second.value(&counted).await, rows);
        assert_eq!(second.progress.get().rows_read, read, "changed: {changed}");
    }
}
