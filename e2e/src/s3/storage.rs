//! `s3s-fs` with the differences that [`super`] names; every other operation is its own.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;

use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::Mutex;
use tokio_util::io::ReaderStream;

/// Of one read from disk. `s3s-fs` reads 4 KiB at a time, a thread switch each.
const READ_BYTES: usize = 256 * 1024;
/// Concurrent conditional writers of different keys rarely share a lock.
const LOCKS: usize = 64;

pub(super) struct Storage {
    files: FileSystem,
    root: PathBuf,
    conditional_writes: [Mutex<()>; LOCKS],
}

impl Storage {
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        let files = FileSystem::new(&root).map_err(|error| io::Error::other(format!("{error:?}")))?;
        Ok(Self { files, root, conditional_writes: std::array::from_fn(|_| Mutex::new(())) })
    }

    fn lock_of(&self, bucket: &str, key: &str) -> &Mutex<()> {
        let mut hasher = DefaultHasher::new();
        (bucket, key).hash(&mut hasher);
        &self.conditional_writes[(hasher.finish() % LOCKS as u64) as usize]
    }

    /// Keys are no folders in S3: `a` does not exist because `a/b` does.
    fn no_folder(&self, bucket: &str, key: &str) -> S3Result<()> {
        let folder = self.root.join(bucket).join(key).is_dir();
        if folder { Err(s3_error!(NoSuchKey, "The specified key does not exist.")) } else { Ok(()) }
    }

    /// The file's bytes from `start`, `length` of them, in large pieces.
    async fn body(&self, bucket: &str, key: &str, start: u64, length: u64) -> S3Result<StreamingBlob> {
        let path = self.root.join(bucket).join(key);
        let mut file = tokio::fs::File::open(path).await.map_err(|error| s3_error!(error, NoSuchKey))?;
        file.set_max_buf_size(READ_BYTES);
        file.seek(SeekFrom::Start(start)).await.map_err(|error| s3_error!(error, InternalError))?;
        let capacity = usize::try_from(length).unwrap_or(READ_BYTES).clamp(1, READ_BYTES);
        Ok(StreamingBlob::wrap(ReaderStream::with_capacity(file.take(length), capacity)))
    }
}

/// First byte and length of `bytes FIRST-LAST/SIZE`.
fn parse_content_range(value: &str) -> Option<(u64, u64)> {
    let (range, _) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
    Some((first, last.checked_sub(first)?.checked_add(1)?))
}

macro_rules! as_the_file_system_does {
    ($($method:ident($input:ident) -> $output:ident;)*) => {
        // `async_trait` does not see methods that a macro makes: their signature is written as it would write it.
        $(fn $method<'s, 'f>(
            &'s self,
            request: S3Request<$input>,
        ) -> Pin<Box<dyn Future<Output = S3Result<S3Response<$output>>> + Send + 'f>>
        where
            's: 'f,
            Self: 'f,
        {
            self.files.$method(request)
        })*
    };
}

#[async_trait::async_trait]
impl S3 for Storage {
    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        self.no_folder(&bucket, &key)?;
        let mut response = self.files.get_object(request).await?;
        let whole = u64::try_from(response.output.content_length.unwrap_or_default()).unwrap_or_default();
        let (start, length) = match &response.output.content_range {
            None => (0, whole),
            Some(range) => parse_content_range(range).ok_or_else(|| s3_error!(InternalError, "range {range}"))?,
        };
        response.output.body = Some(self.body(&bucket, &key, start, length).await?);
        Ok(response)
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        self.no_folder(&request.input.bucket, &request.input.key)?;
        self.files.head_object(request).await
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        if request.input.if_none_match.is_none() && request.input.if_match.is_none() {
            return self.files.put_object(request).await;
        }
        let _alone = self.lock_of(&request.input.bucket, &request.input.key).lock().await;
        self.files.put_object(request).await
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let _alone = self.lock_of(&request.input.bucket, &request.input.key).lock().await;
        self.files.complete_multipart_upload(request).await
    }

    as_the_file_system_does! {
        abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput;
        copy_object(CopyObjectInput) -> CopyObjectOutput;
        create_bucket(CreateBucketInput) -> CreateBucketOutput;
        create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput;
        delete_bucket(DeleteBucketInput) -> DeleteBucketOutput;
        delete_object(DeleteObjectInput) -> DeleteObjectOutput;
        delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput;
        get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput;
        head_bucket(HeadBucketInput) -> HeadBucketOutput;
        list_buckets(ListBucketsInput) -> ListBucketsOutput;
        list_objects(ListObjectsInput) -> ListObjectsOutput;
        list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output;
        list_parts(ListPartsInput) -> ListPartsOutput;
        upload_part(UploadPartInput) -> UploadPartOutput;
        upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput;
    }
}
