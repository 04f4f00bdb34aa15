//! The reading side: in executors, and in the driver for results.

use std::{
    collections::HashMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use firesteel_protocol::proto::FetchBlocksRequest;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use parking_lot::Mutex;
use prost::Message;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Handle,
};
use tonic::Status;

use super::{
    BlockChunk, PREAMBLE,
    wire::{self, HEADER_BYTES, Header},
};

/// The blocks of an answer.
pub type BlockStream = BoxStream<'static, Result<BlockChunk, Status>>;

/// Bytes taken from the socket at a time.
const READ_BYTES: usize = 1 << 20;
/// Connections kept open without a request, in all; the servers close them after two minutes.
const MOST_IDLE: usize = 1024;
const IDLE: Duration = Duration::from_secs(60);
/// A peer that does not acknowledge anything is taken for gone after 30 s: the first probe after 10 s, then one every 5 s.
const FIRST_PROBE: Duration = Duration::from_secs(10);
const PROBE_EVERY: Duration = Duration::from_secs(5);
const PROBES: u32 = 4;

/// Connections to executors, each for one stream of blocks at a time, kept for the next one.
pub struct Connections {
    token: String,
    connect_timeout: Duration,
    /// What waits for sockets. `None`: the runtime that first uses them.
    runtime: Option<Handle>,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    by_address: HashMap<String, Vec<(Instant, TcpStream)>>,
    count: usize,
}

impl Connections {
    pub fn new(token: &str, connect_timeout: Duration, runtime: Option<Handle>) -> Self {
        Self { token: token.to_owned(), connect_timeout, runtime, idle: Mutex::default() }
    }

    /// The blocks asked for, in the order asked for. Answers when the first one begins.
    pub async fn fetch(self: Arc<Self>, address: &str, request: &FetchBlocksRequest) -> Result<BlockStream, Status> {
        let socket = self.ask(address, request).await?;
        let (address, socket) = (address.to_owned(), Some(socket));
        let mut reading = Reading { connections: self, address, socket, place: Place::Header };
        // An error instead of blocks is the call's.
        reading.header().await?;
        let chunks = stream::try_unfold(reading, |mut reading| async move {
            Ok(reading.next().await?.map(|chunk| (chunk, reading)))
        });
        Ok(chunks.boxed())
    }

    /// Sends the request, over a connection that is open already if there is one.
    async fn ask(&self, address: &str, request: &FetchBlocksRequest) -> Result<TcpStream, Status> {
        let mut message = Vec::new();
        put(&mut message, &request.encode_to_vec());
        while let Some(mut socket) = self.take(address) {
            if socket.write_all(&message).await.is_ok() {
                return Ok(socket);
            }
        }
        let mut greeting = PREAMBLE.to_vec();
        put(&mut greeting, self.token.as_bytes());
        greeting.extend(message);
        let mut socket = self.dial(address).await.map_err(|e| broken(&e))?;
        socket.write_all(&greeting).await.map_err(|e| broken(&e))?;
        Ok(socket)
    }

    async fn dial(&self, address: &str) -> io::Result<TcpStream> {
        let (at, within) = (address.to_owned(), self.connect_timeout);
        let connecting = async move {
            match tokio::time::timeout(within, TcpStream::connect(&at)).await {
                Ok(Ok(socket)) => Ok(socket),
                Ok(Err(error)) => Err(io::Error::new(error.kind(), format!("cannot connect to {at}: {error}"))),
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("{at} did not accept in {within:?}"))),
            }
        };
        // The socket belongs to the runtime that makes it.
        let socket = match &self.runtime {
            Some(runtime) => runtime.spawn(connecting).await.map_err(io::Error::other)??,
            None => connecting.await?,
        };
        socket.set_nodelay(true)?;
        let options = SockRef::from(&socket);
        let probes = TcpKeepalive::new().with_time(FIRST_PROBE).with_interval(PROBE_EVERY).with_retries(PROBES);
        options.set_tcp_keepalive(&probes)?;
        options.set_tcp_user_timeout(Some(FIRST_PROBE + PROBE_EVERY * PROBES))?;
        Ok(socket)
    }

    /// A connection that is idle and, as far as one can tell, alive.
    fn take(&self, address: &str) -> Option<TcpStream> {
        let mut idle = self.idle.lock();
        let idle = &mut *idle;
        let sockets = idle.by_address.get_mut(address)?;
        let mut alive = None;
        while let Some((since, socket)) = sockets.pop() {
            idle.count -= 1;
            // Nothing may come before it was asked for: not even the end.
            let silent = matches!(socket.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
            if silent && since.elapsed() < IDLE {
                alive = Some(socket);
                break;
            }
        }
        if sockets.is_empty() {
            idle.by_address.remove(address);
        }
        alive
    }

    fn keep(&self, address: &str, socket: TcpStream) {
        let mut idle = self.idle.lock();
        let idle = &mut *idle;
        if idle.count >= MOST_IDLE {
            for sockets in idle.by_address.values_mut() {
                sockets.retain(|(since, _)| since.elapsed() < IDLE);
            }
            idle.by_address.retain(|_, sockets| !sockets.is_empty());
            idle.count = idle.by_address.values().map(Vec::len).sum();
        }
        if idle.count < MOST_IDLE {
            idle.by_address.entry(address.to_owned()).or_default().push((Instant::now(), socket));
            idle.count += 1;
        }
    }

    /// The next fetch of this address dials anew.
    pub fn forget(&self, address: &str) {
        let mut idle = self.idle.lock();
        let gone = idle.by_address.remove(address);
        idle.count -= gone.map_or(0, |sockets| sockets.len());
    }
}

/// An answer that is being read. When it has been read to its end, its connection is kept for the next one.
struct Reading {
    connections: Arc<Connections>,
    address: String,
    /// Until it is kept.
    socket: Option<TcpStream>,
    place: Place,
}

/// What comes next.
enum Place {
    Header,
    /// The rest of a piece.
    Piece {
        map: u32,
        partition: u32,
        left: usize,
        checksum: Option<u32>,
    },
    End,
}

impl Reading {
    fn socket(&mut self) -> Result<&mut TcpStream, Status> {
        self.socket.as_mut().ok_or_else(|| broken(&io::ErrorKind::NotConnected.into()))
    }

    /// Reads a header. What is wrong with the answer is the error.
    async fn header(&mut self) -> Result<(), Status> {
        let mut bytes = [0; HEADER_BYTES];
        let socket = self.socket()?;
        socket.read_exact(&mut bytes).await.map_err(|e| broken(&e))?;
        self.place = match Header::decode(&bytes)? {
            Header::End => Place::End,
            Header::Piece { map, partition, length } => {
                Place::Piece { map, partition, left: length as usize, checksum: None }
            }
            Header::LastPiece { map, partition, length, checksum } => {
                Place::Piece { map, partition, left: length as usize, checksum: Some(checksum) }
            }
            Header::Error { code, message, details } => {
                let mut bytes = vec![0; message as usize + details as usize];
                socket.read_exact(&mut bytes).await.map_err(|e| broken(&e))?;
                let (message, details) = bytes.split_at(message as usize);
                return Err(wire::decode_error(code, message, details));
            }
        };
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<BlockChunk>, Status> {
        loop {
            let (map_index, partition, left, checksum) = match self.place {
                Place::End => return Ok(None),
                Place::Header => {
                    self.header().await?;
                    continue;
                }
                Place::Piece { map, partition, left, checksum } => (map, partition, left, checksum),
            };
            let wanted = left.min(READ_BYTES);
            let mut data = BytesMut::with_capacity(wanted);
            let mut socket = self.socket()?.take(wanted as u64);
            while data.len() < wanted {
                if socket.read_buf(&mut data).await.map_err(|e| broken(&e))? == 0 {
                    return Err(broken(&io::ErrorKind::UnexpectedEof.into()));
                }
            }
            let left = left - wanted;
            self.place = match left {
                0 => Place::Header,
                left => Place::Piece { map: map_index, partition, left, checksum },
            };
            return Ok(Some(BlockChunk {
                map_index,
                partition,
                data: data.into(),
                checksum: checksum.filter(|_| left == 0),
            }));
        }
    }
}

impl Drop for Reading {
    /// Readers stop when they have all they want, which is mostly before they have seen the end.
    fn drop(&mut self) {
        let Some(socket) = self.socket.take() else { return };
        let mut header = [0; HEADER_BYTES];
        let ended = match self.place {
            Place::End => true,
            Place::Header => {
                matches!(socket.try_read(&mut header), Ok(HEADER_BYTES))
                    && matches!(Header::decode(&header), Ok(Header::End))
            }
            Place::Piece { .. } => false,
        };
        if ended {
            self.connections.keep(&self.address, socket);
        }
    }
}

fn put(message: &mut Vec<u8>, bytes: &[u8]) {
    message.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    message.extend(bytes);
}

fn broken(error: &io::Error) -> Status {
    let message = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the connection was closed".to_owned(),
        _ => error.to_string(),
    };
    Status::unavailable(message)
}
