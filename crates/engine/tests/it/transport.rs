//! Blocks over real connections: what arrives, what is refused, what a slow reader costs.

use std::{
    fs,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use bytes::BytesMut;
use datafusion::{
    execution::memory_pool::{MemoryPool, UnboundedMemoryPool},
    physical_expr::expressions::col,
    physical_plan::Partitioning,
};
use firesteel_engine::shuffle::{
    BlockClient, BlockServer, BlockStore, BlockStream, MapOutputId, ShuffleWriter, ShuffleWriterOptions,
    is_block_connection,
};
use firesteel_protocol::{ShuffleId, proto::FetchBlocksRequest};
use futures::TryStreamExt;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tonic::Code;

const TOKEN: &str = "a secret of the test";
const SHUFFLE: ShuffleId = ShuffleId(9);
const PARTITIONS: u32 = 3;

/// An executor's port, as far as blocks go.
struct Server {
    address: String,
    store: Arc<OnceLock<Arc<BlockStore>>>,
    accepted: Arc<AtomicUsize>,
    /// Connections that were not for blocks.
    others: Arc<AtomicUsize>,
    dir: TempDir,
}

impl Server {
    async fn start() -> Self {
        let store: Arc<OnceLock<Arc<BlockStore>>> = Arc::default();
        let (accepted, others) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (server, counts) = (BlockServer::new(TOKEN, store.clone()), (accepted.clone(), others.clone()));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counts.0.fetch_add(1, Ordering::SeqCst);
                let (server, others) = (server.clone(), counts.1.clone());
                tokio::spawn(async move {
                    match is_block_connection(&stream).await {
                        Ok(true) => server.serve(stream).await,
                        _ => drop(others.fetch_add(1, Ordering::SeqCst)),
                    }
                });
            }
        });
        Self { address, store, accepted, others, dir: TempDir::new().unwrap() }
    }

    /// Outputs of so many maps of so many rows each.
    fn write(&self, maps: u32, rows: i64, held: usize) -> Arc<BlockStore> {
        let store = Arc::new(BlockStore::open(&[self.dir.path().to_owned()], "me").unwrap().holding(held));
        let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        for map in 0..maps {
            let id = MapOutputId { shuffle: SHUFFLE, map, attempt: 1 };
            // Values that no compression makes small.
            let values = (0..rows).map(|i| (i + i64::from(map) * rows).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64));
            let column: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
            let batch = RecordBatch::try_from_iter([("v", column)]).unwrap();
            let partitioning = Partitioning::Hash(vec![col("v", &batch.schema()).unwrap()], PARTITIONS as usize);
            let options = ShuffleWriterOptions::default();
            let mut writer = ShuffleWriter::new(&store, id, batch.schema(), &partitioning, options, &pool).unwrap();
            writer.write(batch).unwrap();
            writer.finish().unwrap();
        }
        self.store.set(store.clone()).unwrap();
        store
    }

    fn client(&self, token: &str) -> BlockClient {
        BlockClient::new(token, Duration::from_secs(2)).unwrap()
    }
}

fn request(maps: std::ops::Range<u32>) -> FetchBlocksRequest {
    FetchBlocksRequest {
        shuffle_id: SHUFFLE.0,
        attempts: maps.clone().map(|_| 1).collect(),
        map_indexes: maps.collect(),
        first_partition: 0,
        last_partition: PARTITIONS,
    }
}

/// Map, partition, bytes and checksum of each block.
type Blocks = Vec<(u32, u32, Vec<u8>, u32)>;

async fn received(mut stream: BlockStream, pause: Duration) -> Result<Blocks, tonic::Status> {
    let (mut blocks, mut bytes) = (Vec::new(), BytesMut::new());
    while let Some(chunk) = stream.try_next().await? {
        tokio::time::sleep(pause).await;
        bytes.extend_from_slice(&chunk.data);
        if let Some(checksum) = chunk.checksum {
            assert_eq!(crc32c::crc32c(&bytes), checksum);
            blocks.push((chunk.map_index, chunk.partition, bytes.split().to_vec(), checksum));
        }
    }
    assert!(bytes.is_empty(), "a block without an end");
    Ok(blocks)
}

fn stored(store: &BlockStore, maps: u32) -> Blocks {
    let of_map = |map| store.blocks(MapOutputId { shuffle: SHUFFLE, map, attempt: 1 }, 0..PARTITIONS).unwrap();
    (0..maps)
        .flat_map(of_map)
        .map(|mut block| {
            let mut bytes = Vec::new();
            while let Some(piece) = block.read(usize::MAX).unwrap() {
                bytes.extend_from_slice(&piece);
            }
            (block.id().map, block.partition(), bytes, block.checksum())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_arrive_as_they_are_stored() {
    // Held in memory; files smaller and larger than what sockets take at a time.
    for (maps, rows, held) in [(4, 20, 4096), (50, 1000, 0), (2, 3_000_000, 0)] {
        let server = Server::start().await;
        let store = server.write(maps, rows, held);
        let client = server.client(TOKEN);
        for _ in 0..3 {
            let stream = client.fetch(&server.address, request(0..maps)).await.unwrap();
            let blocks = received(stream, Duration::ZERO).await.unwrap();
            assert!(blocks == stored(&store, maps), "{maps} maps of {rows} rows");
        }
        assert_eq!(server.accepted.load(Ordering::SeqCst), 1, "one connection served all");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_gets_all_and_holds_nobody_up() {
    let server = Server::start().await;
    let store = server.write(1, 3_000_000, 0);
    let client = server.client(TOKEN);
    let slow = client.fetch(&server.address, request(0..1)).await.unwrap();
    let slow = tokio::spawn(received(slow, Duration::from_millis(20)));
    for _ in 0..3 {
        let quick = client.fetch(&server.address, request(0..1)).await.unwrap();
        assert!(received(quick, Duration::ZERO).await.unwrap() == stored(&store, 1));
    }
    assert!(slow.await.unwrap().unwrap() == stored(&store, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_said() {
    let server = Server::start().await;
    let client = server.client(TOKEN);
    let code = async |request| match client.fetch(&server.address, request).await {
        Ok(stream) => received(stream, Duration::ZERO).await.unwrap_err(),
        Err(status) => status,
    };
    assert_eq!(code(request(0..1)).await.code(), Code::Unavailable, "nothing is there before the registration");
    let store = server.write(2, 10_000, 0);
    for token in ["", "a secret of the tesT", "a secret of the test!"] {
        let refused = server.client(token).fetch(&server.address, request(0..1)).await.err().unwrap();
        assert_eq!(refused.code(), Code::Unauthenticated, "{token:?}");
    }
    assert_eq!(code(request(1..3)).await.code(), Code::NotFound);
    let crooked = FetchBlocksRequest { attempts: Vec::new(), ..request(0..1) };
    assert_eq!(code(crooked).await.code(), Code::InvalidArgument);
    assert_eq!(code(FetchBlocksRequest { first_partition: 9, ..request(0..1) }).await.code(), Code::InvalidArgument);
    // A data file that is too short: the reader is told which map it is, after the blocks before it.
    let folder = server.dir.path().join("firesteel-me").join(format!("shuffle-{SHUFFLE}"));
    let file = fs::OpenOptions::new().write(true).open(folder.join("1-1.data")).unwrap();
    file.set_len(100).unwrap();
    let status = code(request(0..2)).await;
    assert_eq!((status.code(), status.details()), (Code::DataLoss, &1u32.to_le_bytes()[..]), "{status:?}");
    // None of that has hurt the server.
    let stream = client.fetch(&server.address, request(0..1)).await.unwrap();
    assert_eq!(received(stream, Duration::ZERO).await.unwrap().len(), PARTITIONS as usize);
    drop(store);
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_ends_its_connection_and_no_other() {
    let server = Server::start().await;
    server.write(1, 10, 0);
    let mut token = b"FSBLOCK1".to_vec();
    token.extend((TOKEN.len() as u32).to_le_bytes());
    token.extend(TOKEN.as_bytes());
    let noises: [(&[u8], bool); 5] = [
        (b"PRI * HTTP/2.0\r\n\r\n", true),
        (b"FSBLOCK2", true),
        (b"FSBLOCK1\xff\xff\xff\xff", false),
        (&[&token[..], b"\xff\xff\xff\xff"].concat(), false),
        (&[&token[..], b"\x04\0\0\0abcd"].concat(), false),
    ];
    let mut others = 0;
    for (noise, is_other) in noises {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        stream.write_all(noise).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // Closed, perhaps after an error: in no case kept.
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap();
        assert!(read.is_ok() || read.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset));
        others += usize::from(is_other);
    }
    assert_eq!(server.others.load(Ordering::SeqCst), others);
    let stream = server.client(TOKEN).fetch(&server.address, request(0..1)).await.unwrap();
    assert!(!received(stream, Duration::ZERO).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_server_closed_is_not_used_again() {
    let server = Server::start().await;
    server.write(1, 1000, 0);
    // Between client and server, so that the test can cut connections.
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, behind) = (front.local_addr().unwrap().to_string(), server.address.clone());
    tokio::spawn(async move {
        loop {
            let (mut client, _) = front.accept().await.unwrap();
            let mut server = TcpStream::connect(&behind).await.unwrap();
            // Some hundred milliseconds are a connection's life here.
            let copy = tokio::io::copy_bidirectional(&mut client, &mut server);
            let _ = tokio::time::timeout(Duration::from_millis(300), copy).await;
        }
    });
    let client = server.client(TOKEN);
    for _ in 0..3 {
        let stream = client.fetch(&address, request(0..1)).await.unwrap();
        assert_eq!(received(stream, Duration::ZERO).await.unwrap().len(), PARTITIONS as usize);
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    assert_eq!(server.accepted.load(Ordering::SeqCst), 3);
}
