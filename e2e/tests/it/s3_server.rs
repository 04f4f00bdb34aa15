//! The S3 server that other tests rely on, spoken to by the client the engine uses.

use std::sync::Arc;

use firesteel_e2e::s3::{S3Server, Settings};
use futures::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig,
};

const ACCESS_KEY: &str = "tester";
const SECRET_KEY: &str = "a-secret-of-tests";

struct Fixture {
    server: S3Server,
    _root: tempfile::TempDir,
}

async fn fixture() -> Fixture {
    let root = tempfile::tempdir().unwrap();
    let server = S3Server::start(Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        root: root.path().join("data"),
        access_key: ACCESS_KEY.into(),
        secret_key: SECRET_KEY.into(),
    })
    .await
    .unwrap();
    server.create_bucket("logs").unwrap();
    Fixture { server, _root: root }
}

impl Fixture {
    fn client(&self, bucket: &str, secret: &str) -> AmazonS3 {
        AmazonS3Builder::new()
            .with_endpoint(self.server.endpoint())
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name(bucket)
            .with_access_key_id(ACCESS_KEY)
            .with_secret_access_key(secret)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .build()
            .unwrap()
    }

    fn logs(&self) -> AmazonS3 {
        self.client("logs", SECRET_KEY)
    }
}

/// Bytes in which every position can be told from its neighbours.
fn sample(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[tokio::test]
async fn reads_back_whole_objects_and_ranges() {
    let fixture = fixture().await;
    let store = fixture.logs();
    let path = Path::from("day=2026-11-22/access.log");
    let data = sample(1_000_003);
    store.put(&path, data.clone().into()).await.unwrap();

    assert_eq!(store.head(&path).await.unwrap().size, data.len() as u64);
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), data);
    for range in [0..1, 0..1_000_003, 262_143..262_146, 999_999..1_000_003] {
        let read = store.get_range(&path, range.start as u64..range.end as u64).await.unwrap();
        assert_eq!(read, data[range]);
    }
    let options = GetOptions { range: Some(GetRange::Suffix(17)), ..GetOptions::default() };
    let tail = store.get_opts(&path, options).await.unwrap().bytes().await.unwrap();
    assert_eq!(tail, data[data.len() - 17..]);
    let many = store.get_ranges(&path, &[5..9, 500_000..500_100, 0..3]).await.unwrap();
    assert_eq!(many, [&data[5..9], &data[500_000..500_100], &data[0..3]]);

    store.put(&Path::from("empty"), Vec::new().into()).await.unwrap();
    assert_eq!(store.get(&Path::from("empty")).await.unwrap().bytes().await.unwrap().len(), 0);
}

#[tokio::test]
async fn lists_pages_and_folders() {
    let fixture = fixture().await;
    let store = fixture.logs();
    let expected: Vec<String> = (0..1100).map(|i| format!("many/part-{i:05}")).collect();
    futures::stream::iter(&expected)
        .map(|name| {
            let store = &store;
            async move { store.put(&Path::from(name.as_str()), "x".into()).await }
        })
        .buffer_unordered(16)
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
    store.put(&Path::from("table/day=1/a.parquet"), "a".into()).await.unwrap();
    store.put(&Path::from("table/day=2/b.parquet"), "b".into()).await.unwrap();
    store.put(&Path::from("table/_SUCCESS"), "".into()).await.unwrap();

    // 1,100 names are two pages of the protocol.
    let listed: Vec<String> =
        store.list(Some(&Path::from("many"))).map_ok(|object| object.location.to_string()).try_collect().await.unwrap();
    assert_eq!(listed, expected);

    let table = store.list_with_delimiter(Some(&Path::from("table"))).await.unwrap();
    assert_eq!(table.common_prefixes, [Path::from("table/day=1"), Path::from("table/day=2")]);
    // A prefix is no object.
    for prefix in ["table", "table/day=1"] {
        let (head, get) = (store.head(&Path::from(prefix)).await, store.get(&Path::from(prefix)).await);
        assert!(matches!(head, Err(Error::NotFound { .. })), "{prefix}: {head:?}");
        assert!(matches!(get, Err(Error::NotFound { .. })), "{prefix}: {get:?}");
    }
    let objects: Vec<_> = table.objects.into_iter().map(|object| object.location).collect();
    assert_eq!(objects, [Path::from("table/_SUCCESS")]);
}

#[tokio::test]
async fn multipart_uploads_appear_whole_or_not_at_all() {
    let fixture = fixture().await;
    let store = fixture.logs();
    let path = Path::from("big.parquet");
    let data = sample(11 * 1024 * 1024);

    let mut upload = store.put_multipart(&path).await.unwrap();
    for part in data.chunks(5 * 1024 * 1024) {
        upload.put_part(part.to_vec().into()).await.unwrap();
    }
    assert!(matches!(store.head(&path).await, Err(Error::NotFound { .. })), "visible before it is complete");
    upload.complete().await.unwrap();
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), data);

    let mut given_up = store.put_multipart(&Path::from("given-up")).await.unwrap();
    given_up.put_part(sample(1000).into()).await.unwrap();
    given_up.abort().await.unwrap();
    assert!(matches!(store.head(&Path::from("given-up")).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn copies_and_deletes() {
    let fixture = fixture().await;
    let store = fixture.logs();
    let (from, to) = (Path::from("a/from"), Path::from("b/to"));
    store.put(&from, "content".into()).await.unwrap();
    store.copy(&from, &to).await.unwrap();
    store.delete(&from).await.unwrap();
    assert!(matches!(store.head(&from).await, Err(Error::NotFound { .. })));
    assert_eq!(store.get(&to).await.unwrap().bytes().await.unwrap(), "content");

    let locations: Vec<_> = (0..3).map(|i| Path::from(format!("bulk/{i}"))).collect();
    for location in &locations {
        store.put(location, "x".into()).await.unwrap();
    }
    let deleted: Vec<Path> = store
        .delete_stream(futures::stream::iter(locations.clone().into_iter().map(Ok)).boxed())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(deleted, locations);
    assert_eq!(store.list(Some(&Path::from("bulk"))).count().await, 0);
}

#[tokio::test]
async fn put_if_absent_has_one_winner() {
    let fixture = fixture().await;
    let store = Arc::new(fixture.logs());
    for round in 0..20 {
        let path = Path::from(format!("commits/{round:05}"));
        let writers = (0..8).map(|writer| {
            let (store, path) = (Arc::clone(&store), path.clone());
            async move {
                let options = PutOptions::from(PutMode::Create);
                store.put_opts(&path, format!("writer {writer}").into(), options).await.map(|_| writer)
            }
        });
        let outcomes = futures::future::join_all(writers).await;
        let winners: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
        assert_eq!(winners.len(), 1, "round {round}: {outcomes:?}");
        for outcome in &outcomes {
            if let Err(error) = outcome {
                assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
            }
        }
        let content = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(content, format!("writer {}", winners[0]));
    }
}

#[tokio::test]
async fn wrong_credentials_and_missing_buckets_say_so() {
    let fixture = fixture().await;
    fixture.logs().put(&Path::from("there"), "x".into()).await.unwrap();

    let stranger = fixture.client("logs", "not-the-secret");
    let refused = stranger.get(&Path::from("there")).await.unwrap_err();
    assert!(matches!(refused, Error::PermissionDenied { .. }), "{refused:?}");
    assert!(format!("{refused:?}").contains("403"), "{refused:?}");
    assert!(format!("{refused:?}").contains("SignatureDoesNotMatch"), "{refused:?}");
    let refused = stranger.put(&Path::from("mine"), "x".into()).await.unwrap_err();
    assert!(matches!(refused, Error::PermissionDenied { .. }), "{refused:?}");
    let refused = stranger.list(None).try_collect::<Vec<_>>().await.unwrap_err();
    assert!(format!("{refused:?}").contains("403"), "{refused:?}");

    let nowhere = fixture.client("no-such-bucket", SECRET_KEY);
    for message in [
        format!("{:?}", nowhere.get(&Path::from("there")).await.unwrap_err()),
        format!("{:?}", nowhere.put(&Path::from("there"), "x".into()).await.unwrap_err()),
        format!("{:?}", nowhere.list(None).try_collect::<Vec<_>>().await.unwrap_err()),
        format!("{:?}", nowhere.put_multipart(&Path::from("there")).await.unwrap_err()),
    ] {
        assert!(message.contains("NoSuchBucket"), "{message}");
    }
    for name in ["b", "Upper", "with space", "../up"] {
        assert!(fixture.server.create_bucket(name).is_err(), "{name}");
    }
    let missing = fixture.logs().get(&Path::from("not-there")).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing:?}");
    assert!(format!("{missing:?}").contains("NoSuchKey"), "{missing:?}");
}

#[tokio::test]
async fn held_requests_go_on_when_they_are_let_go() {
    let fixture = fixture().await;
    let store = Arc::new(fixture.logs());
    store.put(&Path::from("a/1"), "one".into()).await.unwrap();
    store.put(&Path::from("b/1"), "other".into()).await.unwrap();
    let hold = fixture.server.hold("logs", 1, |operation, key| operation == "GetObject" && key.starts_with("a/"));
    let read = |key: &'static str| {
        let store = store.clone();
        async move { store.get(&Path::from(key)).await.unwrap().bytes().await.unwrap() }
    };
    assert_eq!(read("a/1").await, "one", "the first is free");
    let (held, given_up) = (tokio::spawn(read("a/1")), tokio::spawn(read("a/1")));
    while hold.waiting() < 2 {
        tokio::task::yield_now().await;
    }
    given_up.abort();
    while hold.waiting() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(read("b/1").await, "other", "others are not held");
    assert!(!held.is_finished());
    drop(hold);
    assert_eq!(held.await.unwrap(), "one");
    assert_eq!(read("a/1").await, "one");
}
