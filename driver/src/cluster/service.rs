//! The driver's gRPC service.

use std::sync::Arc;

use bytes::Bytes;
use firesteel_protocol::{
    ShuffleId,
    proto::{
        Chunk, DriverMessages, ExecutorMessage, ExecutorMessages, HandoverRequest, MapOutputsRequest, StagePlanRequest,
        driver_server, executor_message::Message,
    },
};
use futures::{StreamExt, stream, stream::BoxStream};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::core::{Core, STREAM};

/// A message of an executor: the metrics of a task with very many operators, or sizes for very many reducers.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// Messages that go to an executor in one.
const AT_A_TIME: usize = 64;
const CHUNK_BYTES: usize = 1 << 20;

pub struct Service(Arc<Core>);

impl Service {
    pub fn new(core: Arc<Core>) -> Self {
        Self(core)
    }
}

#[tonic::async_trait]
impl driver_server::Driver for Service {
    type AttachStream = BoxStream<'static, Result<DriverMessages, Status>>;
    type GetStagePlanStream = BoxStream<'static, Result<Chunk, Status>>;
    type GetMapOutputsStream = BoxStream<'static, Result<Chunk, Status>>;
    type GetHandoverPlanStream = BoxStream<'static, Result<Chunk, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<ExecutorMessages>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut messages = request.into_inner();
        let mut rest = messages.message().await?.unwrap_or_default().messages.into_iter();
        let Some(ExecutorMessage { message: Some(Message::Register(register)), .. }) = rest.next() else {
            return Err(Status::invalid_argument("the first message must be Register"));
        };
        let (stream, inbox) = mpsc::channel(STREAM);
        let (id, stream) = self.0.register(&register, stream).map_err(Status::failed_precondition)?;
        let core = self.0.clone();
        tokio::spawn(async move {
            loop {
                let Some(message) = rest.next() else {
                    let Ok(Some(more)) = messages.message().await else { break };
                    rest = more.messages.into_iter();
                    continue;
                };
                match core.heard(&id, stream, &message) {
                    Some(true) => {}
                    Some(false) => continue,
                    None => break,
                }
                match message.message {
                    Some(Message::TaskFinished(finished)) => core.task_finished(&id, finished),
                    Some(Message::TaskFailed(failed)) => core.task_failed(&id, failed),
                    Some(Message::Leaving(leaving)) => core.leaving(&id, &leaving.reason),
                    Some(Message::OutputsMoved(moved)) => core.outputs_moved(&id, moved),
                    Some(Message::CachedBlocks(blocks)) => core.cached_blocks(&id, blocks),
                    Some(Message::Inventory(inventory)) => core.inventory(&id, inventory),
                    Some(Message::Heartbeat(heartbeat)) => core.heartbeat(&heartbeat),
                    Some(Message::Register(_)) | None => {}
                }
            }
            core.stream_ended(&id, stream);
        });
        let batches = ReceiverStream::new(inbox).ready_chunks(AT_A_TIME).map(|messages| {
            let messages = messages.into_iter().collect::<Result<_, _>>()?;
            Ok(DriverMessages { messages })
        });
        Ok(Response::new(batches.boxed()))
    }

    async fn get_stage_plan(
        &self,
        request: Request<StagePlanRequest>,
    ) -> Result<Response<Self::GetStagePlanStream>, Status> {
        let key = request.into_inner().plan_key;
        let plan = self.0.stage_plan(key).ok_or_else(|| Status::not_found(format!("no stage has the plan {key}")))?;
        Ok(Response::new(chunks(plan)))
    }

    async fn get_map_outputs(
        &self,
        request: Request<MapOutputsRequest>,
    ) -> Result<Response<Self::GetMapOutputsStream>, Status> {
        let shuffle = ShuffleId(request.into_inner().shuffle_id);
        let outputs =
            self.0.map_outputs(shuffle).ok_or_else(|| Status::not_found(format!("there is no shuffle {shuffle}")))?;
        Ok(Response::new(chunks(outputs)))
    }

    async fn get_handover_plan(
        &self,
        request: Request<HandoverRequest>,
    ) -> Result<Response<Self::GetHandoverPlanStream>, Status> {
        let plan = self.0.handover_plan(&request.into_inner().executor_id.into());
        Ok(Response::new(chunks(plan.encode_to_vec().into())))
    }
}

fn chunks(mut bytes: Bytes) -> BoxStream<'static, Result<Chunk, Status>> {
    let mut pieces = Vec::with_capacity(bytes.len() / CHUNK_BYTES + 1);
    while !bytes.is_empty() {
        let length = bytes.len().min(CHUNK_BYTES);
        pieces.push(Ok(Chunk { data: bytes.split_to(length) }));
    }
    stream::iter(pieces).boxed()
}
