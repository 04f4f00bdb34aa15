//! Plans run by executors: cut into stages, scheduled as task attempts, their results fetched.
//!
//! [`Core`] holds the scheduler and everybody it talks to. Events come from the executors' streams ([`service`]), from the
//! watch of their pods, from result fetches and from a clock; each is handled at once, under one lock, and the actions
//! that follow are messages to executors or tasks of their own. Nothing waits while the lock is held.

mod control;
mod core;
mod failure;
mod job;
mod limits;
mod pools;
mod service;

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use firesteel_engine::EngineSession;
use firesteel_plan::{SparkConf, SparkError, SparkResult};
use firesteel_protocol::{auth::CheckToken, proto::driver_server::DriverServer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

use self::control::Control;
pub use self::{
    core::{AttemptCounts, Core, ExecutorView, JobView, Recalled, StageView},
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
    /// Whether their number follows the work.
    pub dynamic_allocation: bool,
    /// Which life of the application's driver this is, from 1, when another may follow it: executors keep what is finished
    /// for that one. `None`: this is the only one.
    pub life: Option<u64>,
}

/// A driver's service and clock. Ends when dropped: executors are told to shut down.
pub struct Cluster {
    core: Arc<Core>,
    address: SocketAddr,
    stop: CancellationToken,
    _control: Control,
}

/// How often silence and deadlines are looked at.
const CLOCK: Duration = Duration::from_millis(200);

impl Cluster {
    /// Listens and serves, on threads of its own. Call within a runtime: results are fetched there.
    pub async fn start(engine: EngineSession, progress: ProgressSender, options: ClusterOptions) -> SparkResult<Self> {
        let conf = engine.conf();
        let config = limits::scheduler_config(&conf, options.executors, options.dynamic_allocation)?;
        let core = Core::new(engine, progress, config, &options.token, options.life)?;
        let endpoint = Arc::downgrade(&core);
        core.engine().cache().master().set_endpoint(endpoint);
        let control = Control::start()?;
        let listener = control
            .run(TcpListener::bind(options.listen))
            .await?
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
        control.spawn(async move {
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
        control.spawn(async move {
            let mut ticks = tokio::time::interval(CLOCK);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                tokio::select! {
                    _ = ticks.tick() => clock.tick(),
                    () = ended.cancelled() => break,
                }
            }
        });
        Ok(Self { core, address, stop, _control: control })
    }

    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For the application's own session.
    pub fn runner(&self) -> ClusterRunner {
        self.runner_of(self.core.engine().clone())
    }

    /// For another session, which shares the executors.
    pub fn runner_of(&self, engine: EngineSession) -> ClusterRunner {
        ClusterRunner::new(self.core.clone(), engine)
    }

    /// Ends as a crash would: nobody is told.
    pub fn abandon(&self) {
        self.core.abandon();
        self.stop.cancel();
    }

    /// Tells executors to end and gives the message time to go out.
    pub async fn shutdown(&self, reason: &str) {
        self.core.shutdown_executors(reason);
        tokio::join!(tokio::time::sleep(Duration::from_millis(300)), self.core.clear_store());
        self.stop.cancel();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.core.shutdown_executors("the driver ends");
        self.stop.cancel();
    }
}

/// Configuration that executors need: everything but what only the driver may know.
fn conf_for_executors(conf: &SparkConf) -> HashMap<String, String> {
    conf.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}
