//! The serving side, in an executor.

use std::{
    io,
    num::NonZeroUsize,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use firesteel_protocol::{ShuffleId, auth, proto::FetchBlocksRequest};
use prost::Message;
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::TcpStream,
    sync::Semaphore,
    task::spawn_blocking,
    time::timeout,
};
use tonic::{Code, Status};

use super::{
    PREAMBLE,
    wire::{self, Header, MAX_PIECE_BYTES, MAX_REQUEST_BYTES, MAX_TOKEN_BYTES},
};
use crate::shuffle::{
    held::Source,
    store::{BlockStore, MapOutputId, StoreError, StoredBlock},
};

/// A connection must say what it is, and who, within this.
const GREETED_WITHIN: Duration = Duration::from_secs(10);
/// A connection without a request is closed after this.
const IDLE: Duration = Duration::from_secs(120);
/// Bytes that the thread of the sockets may send by itself: no more than is in memory already, mostly.
const LITTLE: u64 = 16 << 10;
/// `MSG_MORE`.
const MORE_FOLLOWS: i32 = 0x8000;
/// Connections served at a time; those beyond are closed at once, and their readers dial again.
const MOST_CONNECTIONS: usize = 8192;

/// Serves the blocks of one executor. Cheap to clone.
#[derive(Clone)]
pub struct BlockServer {
    token: Arc<str>,
    /// Set once the executor has registered.
    store: Arc<OnceLock<Arc<BlockStore>>>,
    connections: Arc<Semaphore>,
}

/// Whether a new connection is one for blocks: waits for its first bytes, and leaves them where they are. An error: it said
/// nothing in time, or is gone.
pub async fn is_block_connection(stream: &TcpStream) -> io::Result<bool> {
    let look = async {
        let mut first = [0; PREAMBLE.len()];
        loop {
            let seen = stream.peek(&mut first).await?;
            if seen == 0 || first[..seen] != PREAMBLE[..seen] {
                return Ok(false);
            }
            if seen == PREAMBLE.len() {
                return Ok(true);
            }
            // The rest is on its way: what has come wakes nobody again.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(GREETED_WITHIN, look).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

impl BlockServer {
    /// `token` is the shared secret of the application attempt.
    pub fn new(token: &str, store: Arc<OnceLock<Arc<BlockStore>>>) -> Self {
        Self { token: token.into(), store, connections: Arc::new(Semaphore::new(MOST_CONNECTIONS)) }
    }

    /// Serves one connection until its other end closes it.
    pub async fn serve(self, mut stream: TcpStream) {
        let Ok(_place) = self.connections.clone().try_acquire_owned() else { return };
        if let Err(error) = self.converse(&mut stream).await {
            tracing::debug!(%error, "a connection for blocks ended");
        }
    }

    async fn converse(&self, stream: &mut TcpStream) -> io::Result<()> {
        let silent = || io::Error::from(io::ErrorKind::TimedOut);
        let token = timeout(GREETED_WITHIN, async {
            let mut preamble = [0; PREAMBLE.len()];
            stream.read_exact(&mut preamble).await?;
            message(stream, MAX_TOKEN_BYTES).await
        });
        let token = token.await.map_err(|_| silent())??;
        let socket = Arc::new(stream.as_fd().try_clone_to_owned()?);
        let known = auth::same(&token.unwrap_or_default(), self.token.as_bytes());
        loop {
            let request = timeout(IDLE, message(stream, MAX_REQUEST_BYTES)).await.map_err(|_| silent())??;
            let Some(request) = request else { return Ok(()) };
            let served = if known { self.answer(stream, &socket, &request).await? } else { Err(unknown()) };
            if let Err(status) = served {
                stream.write_all(&wire::encode_error(&status)).await?;
                if !known {
                    return Ok(());
                }
            }
        }
    }

    /// Sends what was asked for. The inner error is for the reader, the outer one is the connection's.
    async fn answer(
        &self,
        stream: &TcpStream,
        socket: &Arc<OwnedFd>,
        request: &[u8],
    ) -> io::Result<Result<(), Status>> {
        let Ok(request) = FetchBlocksRequest::decode(request) else {
            return Ok(Err(Status::invalid_argument("bytes that are no request")));
        };
        let Some(store) = self.store.get().cloned() else {
            return Ok(Err(Status::unavailable("the executor has not registered yet")));
        };
        if request.map_indexes.len() != request.attempts.len() || request.first_partition > request.last_partition {
            return Ok(Err(Status::invalid_argument(
                "lists of different lengths, or a range that ends before it starts",
            )));
        }
        let mut answer = Answer {
            store,
            request,
            next: 0,
            blocks: Vec::new().into_iter(),
            block: None,
            header: Bytes::new(),
            data: None,
            ended: false,
        };
        // Files are read by threads for that, as much at a time as the socket takes; a slow reader holds no thread.
        loop {
            let socket = socket.clone();
            let (back, sent) = spawn_blocking(move || {
                let sent = answer.send(&SockRef::from(&*socket), u64::MAX);
                (answer, sent)
            })
            .await
            .map_err(io::Error::other)?;
            answer = back;
            let sent = match sent {
                // The runtime learns that the socket is full from an attempt of its own, which sends a little when it is not.
                Err(Stop::Full) => {
                    let attempt = || match answer.send(&SockRef::from(stream), LITTLE) {
                        Err(Stop::Full) => Err(io::ErrorKind::WouldBlock.into()),
                        other => Ok(other),
                    };
                    stream.async_io(Interest::WRITABLE, attempt).await?
                }
                sent => sent,
            };
            match sent {
                Ok(true) => return Ok(Ok(())),
                Ok(false) | Err(Stop::Full) => {}
                Err(Stop::Refused(status)) => return Ok(Err(status)),
                Err(Stop::Connection(error)) => return Err(error),
            }
        }
    }
}

/// A length and so many bytes; `None` at the end of the connection.
async fn message(stream: &mut TcpStream, most: usize) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u32_le().await {
        Ok(length) => length as usize,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes")));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(Some(bytes))
}

fn unknown() -> Status {
    Status::unauthenticated("wrong or missing token")
}

/// Why sending stopped.
enum Stop {
    /// The socket takes no more for now.
    Full,
    Refused(Status),
    Connection(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::WouldBlock { Self::Full } else { Self::Connection(error) }
    }
}

/// An answer, as far as it has been sent.
struct Answer {
    store: Arc<BlockStore>,
    request: FetchBlocksRequest,
    next: usize,
    blocks: std::vec::IntoIter<StoredBlock>,
    block: Option<StoredBlock>,
    /// What is left of the header of the piece below.
    header: Bytes,
    data: Option<Piece>,
    ended: bool,
}

/// What is left of a piece. Its file was long enough when its header was made: should it end early nevertheless, or not be
/// read, the connection ends, which is all that the reader understands within a piece.
struct Piece {
    source: Source,
    offset: u64,
    left: u64,
}

impl Answer {
    /// Sends until the socket is full, or about `most` bytes. True when all is sent.
    fn send(&mut self, socket: &SockRef<'_>, most: u64) -> Result<bool, Stop> {
        let mut sent = 0;
        while sent < most {
            if !self.header.is_empty() {
                // With its piece in one packet.
                let flags = if self.data.is_some() { MORE_FOLLOWS } else { 0 };
                let taken = socket.send_with_flags(&self.header, flags)?;
                let _ = self.header.split_to(taken);
            } else if let Some(piece) = &mut self.data {
                sent += piece.send(socket, most - sent)?;
                if piece.left == 0 {
                    self.data = None;
                }
            } else if self.ended {
                return Ok(true);
            } else {
                let header = self.next_piece().map_err(Stop::Refused)?;
                self.header = Bytes::copy_from_slice(&header.encode());
            }
        }
        Ok(false)
    }

    /// The header of what is sent next; its bytes are [`Self::data`].
    fn next_piece(&mut self) -> Result<Header, Status> {
        loop {
            if let Some(block) = &mut self.block {
                let (id, partition, checksum) = (block.id(), block.partition(), block.checksum());
                let Some((source, offset, length)) = block.next_range(MAX_PIECE_BYTES) else {
                    self.block = None;
                    continue;
                };
                let last = block.is_done();
                self.data = Some(Piece { source, offset, left: length });
                let length = length as u32;
                return Ok(if last {
                    Header::LastPiece { map: id.map, partition, length, checksum }
                } else {
                    Header::Piece { map: id.map, partition, length }
                });
            }
            if let Some(block) = self.blocks.next() {
                block.check().map_err(status)?;
                self.block = Some(block);
                continue;
            }
            let maps = self.request.map_indexes.get(self.next).zip(self.request.attempts.get(self.next));
            let Some((map, attempt)) = maps else {
                self.ended = true;
                return Ok(Header::End);
            };
            self.next += 1;
            let id = MapOutputId { shuffle: ShuffleId(self.request.shuffle_id), map: *map, attempt: *attempt };
            let partitions = self.request.first_partition..self.request.last_partition;
            self.blocks = self.store.blocks(id, partitions).map_err(status)?.into_iter();
        }
    }
}

impl Piece {
    /// Some of what is left, at most so many bytes. Answers how many.
    fn send(&mut self, socket: &SockRef<'_>, most: u64) -> Result<u64, Stop> {
        let Some(wanted) = usize::try_from(self.left.min(most)).ok().and_then(NonZeroUsize::new) else { return Ok(0) };
        let offset = usize::try_from(self.offset).map_err(io::Error::other)?;
        let sent = match &self.source {
            Source::File(file) => socket.sendfile(file.as_ref(), offset, Some(wanted))?,
            Source::Memory(bytes) => {
                let rest = bytes.get(offset..).and_then(|rest| rest.get(..wanted.get())).unwrap_or_default();
                if rest.is_empty() { 0 } else { socket.send(rest)? }
            }
        };
        if sent == 0 {
            return Err(Stop::Connection(io::ErrorKind::UnexpectedEof.into()));
        }
        self.offset += sent as u64;
        self.left -= sent as u64;
        Ok(sent as u64)
    }
}

fn status(error: StoreError) -> Status {
    match &error {
        StoreError::Missing(_) => Status::not_found(error.to_string()),
        // The reader must know which block it is: empty ones before it were not sent.
        StoreError::Damaged { id, .. } => {
            Status::with_details(Code::DataLoss, error.to_string(), id.map.to_le_bytes().to_vec().into())
        }
        _ => Status::unavailable(error.to_string()),
    }
}
