//! Joining what came out of the build side: in memory, and bucket by bucket from disk.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use arrow::{
    array::{Array, BooleanArray, RecordBatch},
    compute::{filter_record_batch, is_not_null},
    datatypes::SchemaRef,
};
use datafusion::{
    common::{DataFusionError, Result, internal_err},
    execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext},
    physical_plan::{EmptyRecordBatchStream, metrics::SpillMetrics, stream::RecordBatchStreamAdapter},
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use crate::memory::spill_file::Spilled;

use super::{
    build::{Build, Built, SpilledBucket},
    chunks::join_in_chunks,
    scatter::{BUCKETS, BufferedSpill, Scatter, pick},
    shape::Shape,
};
use crate::memory::{PrepaidPool, context_with_pool};

/// How often buckets are split again before they are joined chunk by chunk.
const MOST_LEVELS: usize = 6;

/// One join of two streams, on some level of splitting.
#[derive(Clone)]
pub(super) struct Joining {
    pub shape: Arc<Shape>,
    pub context: Arc<TaskContext>,
    pub metrics: SpillMetrics,
    pub level: usize,
}

impl Joining {
    pub async fn build(&self, mut left: SendableRecordBatchStream) -> Result<Built> {
        let mut build = Build::new(self.shape.clone(), self.context.clone(), self.metrics.clone(), self.level);
        while let Some(batch) = left.try_next().await? {
            build.push(batch)?;
        }
        drop(left);
        build.finish()
    }

    /// Joins both streams, however large.
    fn run(self, left: SendableRecordBatchStream, right: SendableRecordBatchStream) -> SendableRecordBatchStream {
        let schema = self.shape.schema();
        let joined = stream::once(async move {
            let built = self.build(left).await?;
            self.join(built, right)
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, joined.try_flatten().boxed()))
    }

    /// Joins `right` with a build side that is all there.
    pub fn join(self, built: Built, right: SendableRecordBatchStream) -> Result<SendableRecordBatchStream> {
        let Built { memory, reservation, spilled, write_bytes } = built;
        let schema = self.shape.schema();
        let left = batches(self.shape.left_schema(), memory);
        let context = context_with_pool(&self.context, Arc::new(PrepaidPool::new(reservation)))?;
        if spilled.is_empty() {
            return self.shape.hash_join(left, right, context);
        }
        let router = Router::new(&self, right, spilled.iter().map(Option::is_some), write_bytes)?;
        let router = Arc::new(Mutex::new(router));
        let kept = Box::pin(Kept { schema: self.shape.right_schema(), router: router.clone() });
        let first = if self.shape.join.null_aware {
            // All of the build side is on disk, and what is to come of it depends on the whole other side.
            Box::pin(EmptyRecordBatchStream::new(schema.clone()))
        } else {
            self.shape.hash_join(left, kept, context)?
        };
        let pairs = stream::once(async move {
            let joining = self.clone();
            let pairs = self.pairs(router, spilled).await?;
            Ok::<_, DataFusionError>(stream::iter(pairs).map(move |pair| joining.clone().pair(pair)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, first.chain(pairs.try_flatten().try_flatten()).boxed())))
    }

    /// Both sides of the buckets on disk, once the probe side has been read.
    async fn pairs(self, router: Arc<Mutex<Router>>, spilled: Vec<Option<SpilledBucket>>) -> Result<Vec<Pair>> {
        // The join in memory may have ended before its probe side did.
        let mut remaining = Kept { schema: self.shape.right_schema(), router: router.clone() };
        while remaining.try_next().await?.is_some() {}
        let (probed, seen) = router.lock().finish()?;
        let null_aware = self.shape.join.null_aware;
        if seen.null && null_aware {
            // Nothing is surely not among values of which one is not known.
            return Ok(Vec::new());
        }
        let drop_nulls = null_aware && seen.rows > 0;
        let both = spilled.into_iter().zip(probed);
        Ok(both.filter_map(|(left, right)| Some(Pair { left: left?, right, drop_nulls })).collect())
    }

    /// Joins one bucket's rows of both sides.
    fn pair(mut self, pair: Pair) -> Result<SendableRecordBatchStream> {
        let Pair { left: SpilledBucket { file: left, stuck }, right, drop_nulls } = pair;
        let (left_rows, right_rows) = (left.rows, right.as_ref().map_or(0, |right| right.rows));
        let nothing = (left_rows == 0 && !self.shape.keeps_right()) || (right_rows == 0 && !self.shape.keeps_left());
        if nothing {
            return Ok(Box::pin(EmptyRecordBatchStream::new(self.shape.schema())));
        }
        let mut left = left.read()?;
        if drop_nulls {
            left = without_null_keys(self.shape.clone(), left);
        }
        let Some(right) = right else { return internal_err!("a bucket with one side") };
        self.level += 1;
        if self.shape.join.null_aware {
            // From here on it is a plain anti join.
            let plain = self.shape.join.builder().with_null_aware(false).build()?;
            self.shape = Arc::new(Shape::new(Arc::new(plain)));
        }
        if stuck || self.level >= MOST_LEVELS {
            return Ok(join_in_chunks(self, left, Arc::new(right)));
        }
        Ok(self.run(left, right.read()?))
    }
}

/// One bucket's rows.
struct Pair {
    left: SpilledBucket,
    right: Option<Spilled>,
    /// Left rows without a key come out of no null-aware join whose other side has rows.
    drop_nulls: bool,
}

/// Sends rows of the probe side to disk whose build rows are there, and lets the others through.
struct Router {
    right: SendableRecordBatchStream,
    scatter: Scatter,
    spills: Vec<Option<BufferedSpill>>,
    seen: Seen,
    /// Counts rows and nulls, which only null-aware joins need.
    looks: bool,
    kept: Vec<u32>,
}

/// What was seen of the probe side.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    rows: usize,
    null: bool,
}

impl Router {
    fn new(
        joining: &Joining,
        right: SendableRecordBatchStream,
        spilled: impl Iterator<Item = bool>,
        write_bytes: usize,
    ) -> Result<Self> {
        let schema = joining.shape.right_schema();
        let create = || BufferedSpill::create(&joining.context, schema.clone(), joining.metrics.clone(), write_bytes);
        Ok(Self {
            right,
            scatter: Scatter::new(&joining.shape.right_keys, joining.level),
            spills: spilled.map(|spilled| spilled.then(create).transpose()).collect::<Result<_>>()?,
            seen: Seen::default(),
            looks: joining.shape.join.null_aware,
            kept: Vec::new(),
        })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        loop {
            let batch = match std::task::ready!(self.right.poll_next_unpin(cx)) {
                Some(Ok(batch)) => batch,
                other => return Poll::Ready(other),
            };
            match self.route(&batch) {
                Ok(kept) if kept.num_rows() == 0 => {}
                kept => return Poll::Ready(Some(kept)),
            }
        }
    }

    fn route(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        if self.looks {
            self.seen.rows += batch.num_rows();
            self.seen.null |= self.scatter.has_null(batch)?;
        }
        let routed = self.scatter.route(batch)?;
        self.kept.clear();
        for (spill, rows) in self.spills.iter_mut().zip(routed) {
            match spill {
                Some(spill) if !rows.is_empty() => spill.push(pick(batch, rows)?)?,
                Some(_) => {}
                None => self.kept.extend_from_slice(rows),
            }
        }
        // In the order in which they came.
        self.kept.sort_unstable();
        pick(batch, &self.kept)
    }

    fn finish(&mut self) -> Result<(Vec<Option<Spilled>>, Seen)> {
        self.right = Box::pin(EmptyRecordBatchStream::new(self.right.schema()));
        let spills = std::mem::take(&mut self.spills).into_iter();
        let files = spills.map(|spill| spill.map(BufferedSpill::finish).transpose()).collect::<Result<Vec<_>>>()?;
        debug_assert_eq!(files.len(), BUCKETS);
        Ok((files, self.seen))
    }
}

/// The rows that a router lets through.
struct Kept {
    schema: SchemaRef,
    router: Arc<Mutex<Router>>,
}

impl Stream for Kept {
    type Item = Result<RecordBatch>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.router.lock().poll(cx)
    }
}

impl RecordBatchStream for Kept {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// `batches` as a stream, which lets go of each that it has put out.
pub(super) fn batches(schema: SchemaRef, batches: Vec<RecordBatch>) -> SendableRecordBatchStream {
    Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches.into_iter().map(Ok))))
}

fn without_null_keys(shape: Arc<Shape>, left: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let schema = left.schema();
    let kept = left.and_then(move |batch| {
        let shape = shape.clone();
        async move {
            let mut keep = BooleanArray::from(vec![true; batch.num_rows()]);
            for key in &shape.left_keys {
                let key = key.evaluate(&batch)?.into_array(batch.num_rows())?;
                if key.is_nullable() {
                    keep = arrow::compute::and(&keep, &is_not_null(&key)?)?;
                }
            }
            Ok(filter_record_batch(&batch, &keep)?)
        }
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, kept.boxed()))
}
