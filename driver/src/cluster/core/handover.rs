//! Executors that leave: what they hand over, to whom, and what is known when they have.

use std::collections::HashSet;

use firesteel_plan::{SparkConf, conf::keys};
use firesteel_protocol::{
    ExecutorId, ShuffleId,
    proto::{self, Decommission, HandoverPlan, Peer, ShuffleOutputs, Shutdown, driver_message::Message},
};
use firesteel_scheduler::{Event, ExecutorLossReason, OutputHome, OutputRef};
use parking_lot::Mutex;

use super::{Connection, Core, State};
use crate::pod::demand::{Busy, Load};

/// What executors that leave do with what they store.
pub struct Handover {
    /// `spark.decommission.enabled`: they end their tasks first.
    graceful: bool,
    shuffle_blocks: bool,
    cached_blocks: bool,
    /// Of this application, in the store behind the executors. Empty: there is none.
    folder: String,
    clean_up: bool,
    /// Shuffles of which the store may hold outputs.
    stored: Mutex<HashSet<ShuffleId>>,
}

impl Handover {
    pub fn new(conf: &SparkConf) -> Self {
        let graceful = conf.bool(&keys::DECOMMISSION_ENABLED);
        let path = conf.text(&keys::FALLBACK_PATH).trim();
        let application = conf.get_raw("spark.app.id").map(str::trim).filter(|id| !id.is_empty());
        let folder = match (path.trim_end_matches('/'), application) {
            (_, _) if path.is_empty() => String::new(),
            (path, Some(application)) => format!("{path}/{application}"),
            // Applications must not read each other's outputs.
            (path, None) => format!("{path}/{}", uuid::Uuid::new_v4()),
        };
        Self {
            graceful,
            shuffle_blocks: graceful
                && conf.bool(&keys::STORAGE_DECOMMISSION_ENABLED)
                && conf.bool(&keys::DECOMMISSION_SHUFFLE_BLOCKS),
            cached_blocks: graceful
                && conf.bool(&keys::STORAGE_DECOMMISSION_ENABLED)
                && conf.bool(&keys::DECOMMISSION_CACHED_BLOCKS),
            folder,
            clean_up: conf.bool(&keys::FALLBACK_CLEAN_UP),
            stored: Mutex::default(),
        }
    }

    pub fn folder(&self) -> &str {
        &self.folder
    }
}

impl Core {
    /// What this executor, which leaves, is to hand over, and who could take it.
    pub fn handover_plan(&self, id: &ExecutorId) -> HandoverPlan {
        let mut state = self.state.lock();
        let running = state.scheduler.executors().alive().find(|(name, ..)| *name == id).map_or(0, |(.., busy)| busy);
        let held = state.scheduler.held_by(id);
        // Results stay until the driver has fetched them, as it does at once.
        // So do cached blocks until others have fetched them.
        self.replicate(&mut state);
        let copying = self.engine.cache().master().waiting_for_copies(id);
        let waiting = u32::try_from(running + held.results + copying).unwrap_or(u32::MAX);
        let mut plan = HandoverPlan { running_tasks: waiting, ..HandoverPlan::default() };
        if !self.handover.shuffle_blocks {
            return plan;
        }
        for outputs in held.outputs.chunk_by(|a, b| a.shuffle == b.shuffle) {
            let Some(first) = outputs.first() else { continue };
            plan.outputs.push(ShuffleOutputs {
                shuffle_id: state.restored.name(first.shuffle).0,
                map_indexes: outputs.iter().map(|output| output.map_index).collect(),
                attempts: outputs.iter().map(|output| output.attempt).collect(),
            });
        }
        let node = state.executors.get(id).map(|c| c.node.as_str());
        let stay = |(peer, c): &(&ExecutorId, &Connection)| *peer != id && !c.leaving && c.ended.is_none();
        let (near, elsewhere): (Vec<_>, Vec<_>) =
            state.executors.iter().filter(stay).partition(|(_, c)| Some(c.node.as_str()) == node);
        // A node that ends takes all of its executors along.
        let peers = if elsewhere.is_empty() { near } else { elsewhere };
        let peer =
            |(peer, c): (&ExecutorId, &Connection)| Peer { executor_id: peer.to_string(), address: c.address.clone() };
        plan.peers = peers.into_iter().map(peer).collect();
        plan.store = self.handover.folder.clone();
        plan
    }

    pub fn outputs_moved(&self, from: &ExecutorId, message: proto::OutputsMoved) {
        let mut outputs = Vec::new();
        for shuffle in message.outputs {
            let name = ShuffleId(shuffle.shuffle_id);
            if message.to_executor.is_empty() {
                self.handover.stored.lock().insert(name);
            }
            let id = self.state.lock().restored.owner(name);
            let maps = shuffle.map_indexes.into_iter().zip(shuffle.attempts);
            outputs.extend(maps.map(|(map_index, attempt)| OutputRef { shuffle: id, map_index, attempt }));
        }
        let to = if message.to_executor.is_empty() {
            OutputHome::Store
        } else {
            OutputHome::Executor(ExecutorId::from(message.to_executor))
        };
        tracing::info!(executor = %from, outputs = outputs.len(), ?to, "map outputs moved");
        self.event(Event::OutputsMoved { outputs, to });
    }

    pub fn leaving(&self, id: &ExecutorId, reason: &str) {
        tracing::info!(executor = %id, reason, "executor is leaving");
        self.drain(&mut self.state.lock(), id);
    }

    fn drain(&self, state: &mut State, id: &ExecutorId) {
        let Some(connection) = state.executors.get_mut(id) else { return };
        if !std::mem::replace(&mut connection.leaving, true) {
            self.event_in(state, Event::ExecutorDraining { executor: id.clone() });
            if self.handover.cached_blocks {
                self.engine.cache().master().leaving(id);
                self.replicate(state);
            }
        }
    }

    /// What there is to do, and which executors do it. Looks at every output there is.
    pub fn load(&self) -> Load {
        let state = self.state.lock();
        let demand = state.scheduler.demand();
        let holders = state.scheduler.holders();
        let busy = |(name, _, tasks): (&ExecutorId, u32, usize)| {
            let connection = state.executors.get(name).filter(|c| !c.leaving && c.ended.is_none());
            connection.and_then(|_| {
                Some(Busy {
                    id: name.as_str().parse().ok()?,
                    tasks,
                    holds_outputs: holders.contains(name),
                    holds_cached_blocks: self.engine.cache().master().holds_blocks(name),
                })
            })
        };
        let executors = state.scheduler.executors().alive().filter_map(busy).collect();
        let unschedulable = demand.unschedulable_stages;
        Load { pending: demand.pending_tasks, running: demand.running_attempts, unschedulable, executors }
    }

    /// Lets an executor go that is not needed any more, or whose node is about to end (`taken`, with what is known of it).
    /// It gets no further tasks, hands over what it has, then ends; without `spark.decommission.enabled` it ends at once.
    pub fn decommission(&self, id: &ExecutorId, taken: Option<&str>) {
        let mut state = self.state.lock();
        let Some(connection) = state.executors.get_mut(id).filter(|c| !c.leaving) else { return };
        connection.released = taken.is_none();
        let reason = taken.unwrap_or("it is not needed any more").to_owned();
        tracing::info!(executor = %id, reason, "executor is told to leave");
        if self.handover.graceful {
            self.drain(&mut state, id);
            self.send(&mut state, id, Message::Decommission(Decommission { reason }));
            return;
        }
        self.send(&mut state, id, Message::Shutdown(Shutdown { reason }));
        let reason = match taken {
            Some(message) => ExecutorLossReason::TakenByCluster { message: message.to_owned() },
            None => ExecutorLossReason::Released,
        };
        self.lose(&mut state, id, reason);
    }

    /// Nobody reads this shuffle any more: what of it was moved to the store goes, in its own time.
    pub(super) fn remove_stored(&self, shuffle: ShuffleId) {
        if !self.handover.stored.lock().remove(&shuffle) || !self.handover.clean_up {
            return;
        }
        let (tier, folder) = (self.blocks.tier.clone(), self.handover.folder.clone());
        self.work.spawn(async move {
            if let Err(error) = tier.remove_shuffle(&folder, shuffle).await {
                tracing::warn!(%shuffle, %error, "map outputs in the store cannot be removed");
            }
        });
    }

    /// Removes what of this application is left in the store.
    pub async fn clear_store(&self) {
        let left = std::mem::take(&mut *self.handover.stored.lock());
        if left.is_empty() || !self.handover.clean_up {
            return;
        }
        if let Err(error) = self.blocks.tier.remove(&self.handover.folder).await {
            tracing::warn!(folder = self.handover.folder, %error, "map outputs in the store cannot be removed");
        }
    }
}
