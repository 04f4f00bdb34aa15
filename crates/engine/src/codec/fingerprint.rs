//! What a stage computes, in a few bytes: so that a driver knows the outputs of an earlier one again.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use datafusion::{
    common::{Result, internal_err},
    physical_plan::ExecutionPlan,
};
use firesteel_protocol::{Fingerprint, PROTOCOL_VERSION, ShuffleId};
use prost::Message;
use sha2::{Digest, Sha256};

use super::{DecodeContext, EncodeContext, EncodedStage, NodeCodec, PlanCodec};
use crate::{
    shuffle::{ShuffleReaderCodec, ShuffleReaderExec},
    stage::Stage,
};

impl PlanCodec {
    /// A hash of all that decides what the tasks of `stage` write: its plan, the files that each task reads, with their
    /// sizes and times, the configuration, and the fingerprints of its `inputs` in the place of their names. `None` where
    /// running a task again may give other rows, and where that holds for an input.
    pub fn fingerprint(
        &self,
        stage: &Stage,
        encoded: &EncodedStage,
        conf: &HashMap<String, String>,
        inputs: &HashMap<ShuffleId, Fingerprint>,
    ) -> Result<Option<Fingerprint>> {
        if stage.indeterminate || stage.inputs.iter().any(|input| !inputs.contains_key(&input.shuffle)) {
            return Ok(None);
        }
        let mut stable = self.clone();
        // The first that knows a node encodes it.
        stable.nodes.insert(0, Arc::new(StableReader { inputs: inputs.clone() }));
        let plan = stable.stage_message(stage, &HashMap::new())?;
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        add(PROTOCOL_VERSION.as_bytes());
        add(&plan.plan);
        add(&plan.output_partitioning);
        add(&(plan.scans.len() as u64).to_le_bytes());
        plan.scans.iter().for_each(|scan| add(scan));
        let conf: BTreeMap<_, _> = conf.iter().collect();
        add(&(conf.len() as u64).to_le_bytes());
        for (key, value) in conf {
            add(key.as_bytes());
            add(value.as_bytes());
        }
        add(&(stage.num_tasks as u64).to_le_bytes());
        for splits in &encoded.splits {
            add(&(splits.len() as u64).to_le_bytes());
            splits.iter().for_each(|split| add(&split.encode_to_vec()));
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        Ok(Some(Fingerprint(bytes)))
    }
}

/// A fingerprint of some bytes.
pub fn digest(bytes: &[u8]) -> Fingerprint {
    let mut digest = [0; 16];
    digest.copy_from_slice(&Sha256::digest(bytes)[..16]);
    Fingerprint(digest)
}

/// Readers of shuffles, named by what they read.
#[derive(Debug)]
struct StableReader {
    inputs: HashMap<ShuffleId, Fingerprint>,
}

impl NodeCodec for StableReader {
    fn name(&self) -> &'static str {
        "StableShuffleReader"
    }

    fn encode(&self, node: &Arc<dyn ExecutionPlan>, cx: &EncodeContext<'_>) -> Result<Option<Vec<u8>>> {
        let Some(reader) = node.downcast_ref::<ShuffleReaderExec>() else { return Ok(None) };
        let Some(input) = self.inputs.get(&reader.shuffle()) else {
            return internal_err!("shuffle {} is read and is no input of its stage", reader.shuffle());
        };
        let nameless: Arc<dyn ExecutionPlan> = Arc::new(reader.clone().with_shuffle(ShuffleId(0)));
        let bytes = ShuffleReaderCodec.encode(&nameless, cx)?;
        Ok(bytes.map(|bytes| [&bytes[..], &input.0].concat()))
    }

    fn decode(&self, _: &[u8], _: &[Arc<dyn ExecutionPlan>], _: &DecodeContext<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        internal_err!("a fingerprint is not decoded")
    }
}
