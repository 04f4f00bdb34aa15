//! Plans run by executors: cut into stages, scheduled as task attempts, their results fetched.
//!
//! [`Core`] holds the scheduler and everybody it talks to. Events come from the executors' streams ([`service`]), from the
//! watch of their pods, from result fetches and from a clock; each is handled at once, under one lock, and the actions
//! that follow are messages to executors or tasks of their own. Nothing waits while the lock is held.

mod core;
mod failure;
mod job;
mod service;

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use firesteel_engine::EngineSession;
use firesteel_plan::{SparkConf, SparkError, SparkResult, conf::keys};
use firesteel_protocol::{auth::CheckToken, proto::driver_server::DriverServer};
use firesteel_scheduler::{SchedulerConfig, Speculation};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

pub use self::{
    core::{Core, ExecutorView},
    job::ClusterRunner,
};
use crate::progress::ProgressSender;

pub struct ClusterOptions {
    /// Where executors reach the driver; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The shared secret of the application attempt.
    pub token: String,
    /// Executors that the application asks for.
    pub executors: u32,
}

/// A driver's service and clock. Ends when dropped: executors are told to shut down.
pub struct Cluster {
    core: Arc<Core>,
    address: SocketAddr,
    stop: CancellationToken,
}

/// How often silence and deadlines are looked at.
const CLOCK: Duration = Duration::from_millis(200);

impl Cluster {
    /// Listens and serves. Call within a runtime.
    pub async fn start(engine: EngineSession, progress: ProgressSender, options: ClusterOptions) -> SparkResult<Self> {
        let conf = engine.conf();
        let core = Core::new(engine, progress, scheduler_config(&conf, options.executors), &options.token)?;
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(|e| SparkError::internal(format!("cannot listen on {}: {e}", options.listen)))?;
        let address = listener.local_addr().map_err(SparkError::internal)?;
        let stop = CancellationToken::new();
        let server = DriverServer::new(service::Service::new(core.clone()))
            .max_decoding_message_size(service::MAX_MESSAGE_BYTES);
        let server = tonic::service::interceptor::InterceptedService::new(server, CheckToken::new(&options.token));
        // Small messages wait for nothing: with Nagle's algorithm each answer may wait 40 ms for an acknowledgement. The
        // server's own setting does not reach a listener that it is given.
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let ended = stop.clone();
        tokio::spawn(async move {
            let served = tonic::transport::Server::builder()
                .http2_keepalive_interval(Some(Duration::from_secs(10)))
                .http2_keepalive_timeout(Some(Duration::from_secs(20)))
                .add_service(server)
                .serve_with_incoming_shutdown(incoming, ended.cancelled_owned())
                .await;
            if let Err(error) = served {
                tracing::error!(%error, "the driver's service ended");
            }
        });
        let (clock, ended) = (core.clone(), stop.clone());
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(CLOCK);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                tokio::select! {
                    _ = ticks.tick() => clock.tick(),
                    () = ended.cancelled() => break,
                }
            }
        });
        Ok(Self { core, address, stop })
    }

    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn runner(&self) -> ClusterRunner {
        ClusterRunner::new(self.core.clone())
    }

    /// Tells executors to end and gives the message time to go out.
    pub async fn shutdown(&self, reason: &str) {
        self.core.shutdown_executors(reason);
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.stop.cancel();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.core.shutdown_executors("the driver ends");
        self.stop.cancel();
    }
}

fn scheduler_config(conf: &SparkConf, executors: u32) -> SchedulerConfig {
    let number = |key| u32::try_from(conf.int(key)).unwrap_or(u32::MAX).max(1);
    let defaults = SchedulerConfig::default();
    let failures = conf.get_raw("spark.executor.maxNumFailures").and_then(|v| v.trim().parse().ok());
    SchedulerConfig {
        max_task_failures: number(&keys::TASK_MAX_FAILURES),
        max_consecutive_stage_attempts: number(&keys::STAGE_MAX_CONSECUTIVE_ATTEMPTS),
        max_executor_failures: failures.unwrap_or_else(|| SchedulerConfig::default_max_executor_failures(executors)),
        executor_failures_validity_ms: conf
            .get_raw("spark.executor.failuresValidityInterval")
            .and_then(firesteel_plan::conf::parse_millis),
        no_executors_timeout_ms: conf
            .get_raw("firesteel.scheduler.noExecutorsTimeout")
            .and_then(firesteel_plan::conf::parse_millis)
            .unwrap_or(defaults.no_executors_timeout_ms),
        speculation: conf.bool(&keys::SPECULATION).then(|| speculation(conf)),
    }
}

fn speculation(conf: &SparkConf) -> Speculation {
    let permille = |key| (conf.double(key).max(0.0) * 1000.0).round() as u64;
    Speculation {
        interval_ms: conf.millis(&keys::SPECULATION_INTERVAL),
        multiplier_permille: permille(&keys::SPECULATION_MULTIPLIER),
        quantile_permille: permille(&keys::SPECULATION_QUANTILE),
        min_task_runtime_ms: conf.millis(&keys::SPECULATION_MIN_RUNTIME),
        // Without a default: it is off.
        duration_threshold_ms: conf
            .get_raw("spark.speculation.task.duration.threshold")
            .and_then(firesteel_plan::conf::parse_millis),
    }
}

/// Configuration that executors need: everything but what only the driver may know.
fn conf_for_executors(conf: &SparkConf) -> HashMap<String, String> {
    conf.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}
