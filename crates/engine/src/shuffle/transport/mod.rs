//! How blocks travel: over plain TCP connections, from the files of one executor straight into its socket.
//!
//! gRPC would copy every byte twice on its way out (into a message, into a frame) and once more on its way in. Here the kernel
//! moves a block from the page cache to the socket (`sendfile`), and the reader's one copy is the one out of its socket.
//! Connections come to the same port as the executor's gRPC service; their first bytes tell them apart ([`PREAMBLE`]).
//!
//! Client: [`PREAMBLE`], the token, then requests one after the other. Server: for each, pieces of blocks, and an end or an error.
//! Numbers are little-endian.

mod client;
mod server;
mod wire;

pub use client::BlockStream;
pub(super) use client::Connections;
pub use server::{BlockServer, is_block_connection};

/// A piece of a block, in order.
#[derive(Debug, Clone)]
pub struct BlockChunk {
    pub map_index: u32,
    pub partition: u32,
    pub data: bytes::Bytes,
    /// With the last piece of a block: CRC32C of the whole block.
    pub checksum: Option<u32>,
}

/// What a connection for blocks begins with: nothing that HTTP/2 begins with, and a version.
pub(crate) const PREAMBLE: [u8; 8] = *b"FSBLOCK1";
