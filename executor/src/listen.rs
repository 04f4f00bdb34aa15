//! The one port of an executor: calls, and connections for the blocks of shuffles.

use std::{io, time::Duration};

use firesteel_engine::shuffle::{BlockServer, is_block_connection};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;

/// Connections that wait to be served. More wait in the kernel.
const WAITING: usize = 64;
/// After a failure to accept, such as for want of file descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// The connections for gRPC. Those for blocks go to `blocks`, each on a task of its own.
pub fn calls(listener: TcpListener, blocks: BlockServer) -> ReceiverStream<io::Result<TcpStream>> {
    let (calls, incoming) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            };
            if calls.is_closed() {
                return;
            }
            let (calls, blocks) = (calls.clone(), blocks.clone());
            tokio::spawn(async move {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection ended at once");
                    return;
                }
                match is_block_connection(&stream).await {
                    Ok(true) => blocks.serve(stream).await,
                    Ok(false) => drop(calls.send(Ok(stream)).await),
                    Err(error) => tracing::debug!(%error, "a connection that said nothing"),
                }
            });
        }
    });
    ReceiverStream::new(incoming)
}
