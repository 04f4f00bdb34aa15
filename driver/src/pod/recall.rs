//! The executors of the driver before this one: they run in pods that this one sees, and are told where it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use firesteel_api::pods::EXECUTOR_SHUFFLE_PORT;
use firesteel_protocol::ExecutorId;
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use tokio::{sync::watch, task::JoinSet};

use super::{observe::PodState, settings::Settings};
use crate::cluster::{Core, Recalled};

/// Executors that are sent for at the same time.
const AT_ONCE: usize = 64;

pub struct Recall {
    core: Arc<Core>,
    driver_address: String,
    /// Addresses of the executors that were there before this driver and have not come yet.
    waiting: BTreeMap<u64, String>,
    /// `None` until the pods have been listed: whom this driver inherits.
    inherited: watch::Sender<Option<Vec<ExecutorId>>>,
    sending: JoinSet<()>,
    under_way: BTreeSet<u64>,
    done: (tokio::sync::mpsc::Sender<u64>, tokio::sync::mpsc::Receiver<u64>),
}

impl Recall {
    pub fn new(core: Arc<Core>, settings: &Settings) -> Self {
        let context = &settings.context;
        // The first driver finds nobody.
        let first = context.attempt == context.first_attempt;
        Self {
            core,
            driver_address: settings.driver_address.to_string(),
            waiting: BTreeMap::new(),
            inherited: watch::Sender::new(first.then(Vec::new)),
            sending: JoinSet::new(),
            under_way: BTreeSet::new(),
            done: tokio::sync::mpsc::channel(AT_ONCE),
        }
    }

    pub fn inherited(&self) -> watch::Receiver<Option<Vec<ExecutorId>>> {
        self.inherited.subscribe()
    }

    /// Whether all pods of the driver before are known.
    pub fn is_over_pods(&self) -> bool {
        self.inherited.borrow().is_some()
    }

    /// A pod as it looks now. Only those seen before the list was complete are inherited.
    pub fn seen(&mut self, id: u64, pod: &Pod) {
        if self.is_over_pods() {
            return;
        }
        let ip =
            pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).and_then(|ip| ip.parse::<IpAddr>().ok());
        match (PodState::of(pod, Timestamp::now()), ip) {
            (PodState::Running, Some(ip)) => {
                let address = std::net::SocketAddr::new(ip, EXECUTOR_SHUFFLE_PORT).to_string();
                self.waiting.insert(id, address);
            }
            _ => {
                self.waiting.remove(&id);
            }
        }
    }

    /// All pods have been seen.
    pub fn listed(&mut self) {
        if !self.is_over_pods() {
            let ids: Vec<ExecutorId> = self.waiting.keys().map(|id| ExecutorId::new(id.to_string())).collect();
            tracing::info!(executors = ids.len(), "taking over the executors of the driver before this one");
            self.inherited.send_replace(Some(ids));
            self.send();
        }
    }

    /// Sends for those who have not come.
    pub fn send(&mut self) {
        while let Ok(id) = self.done.1.try_recv() {
            self.under_way.remove(&id);
        }
        while self.sending.try_join_next().is_some() {}
        if self.waiting.is_empty() {
            return;
        }
        for id in self.core.registered_ids() {
            if let Ok(id) = id.as_str().parse() {
                self.waiting.remove(&id);
            }
        }
        let free = AT_ONCE.saturating_sub(self.under_way.len());
        let next: Vec<(u64, String)> = self
            .waiting
            .iter()
            .filter(|(id, _)| !self.under_way.contains(id))
            .take(free)
            .map(|(id, address)| (*id, address.clone()))
            .collect();
        for (id, executor) in next {
            self.under_way.insert(id);
            let (core, driver, done) = (self.core.clone(), self.driver_address.clone(), self.done.0.clone());
            self.sending.spawn(async move {
                match core.recall(&executor, &driver).await {
                    Recalled::Comes => {}
                    Recalled::ObeysAnother => tracing::warn!(executor = id, "the executor obeys a later driver"),
                    Recalled::Silent(message) => tracing::warn!(executor = id, message, "the executor does not answer"),
                }
                let _ = done.send(id).await;
            });
        }
    }
}
