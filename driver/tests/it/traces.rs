//! Spans as a collector gets them.

use std::{collections::BTreeMap, sync::Arc};

use firesteel_driver::traces::{self, Traces};
use opentelemetry::{
    Context,
    trace::{FutureExt, TraceContextExt},
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::Span,
};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use crate::application::OnExecutors;

#[derive(Clone, Default)]
pub struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Serves until the runtime ends; answers its address.
    async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder().add_service(TraceServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        format!("http://{address}")
    }

    fn spans_of(&self, trace: &[u8]) -> Vec<Span> {
        let requests = self.0.lock();
        let of_scopes = requests.iter().flat_map(|r| &r.resource_spans).flat_map(|r| &r.scope_spans);
        of_scopes.flat_map(|s| &s.spans).filter(|s| s.trace_id == trace).cloned().collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_tell_statements_jobs_stages_and_tasks() {
    let collector = Collector::default();
    let sent = Traces::to(&collector.serve().await, Vec::new()).unwrap();
    // One job of stages that are known before.
    let conf = [("spark.sql.shuffle.partitions", "3"), ("spark.sql.adaptive.enabled", "false")];
    let app = OnExecutors::start(2, &conf).await;
    let root = traces::span("test".to_owned(), Vec::new(), &Context::new());
    let sql = "SELECT count(*) FROM (SELECT id % 7 FROM range(0, 1000, 1, 4) GROUP BY 1); SELECT nothing";
    let failed = async {
        let mut seen = 0;
        let failed = app.application.run_script(sql, |_| {
            seen += 1;
            true
        });
        let error = failed.await.unwrap_err();
        assert_eq!(seen, 1);
        error
    };
    let error = failed.with_context(root.clone()).await;
    let trace = root.span().span_context().trace_id().to_bytes();
    traces::end(&root, None);
    sent.finish().await;

    let spans = collector.spans_of(&trace);
    let by_id: BTreeMap<&[u8], &Span> = spans.iter().map(|s| (s.span_id.as_slice(), s)).collect();
    let parent = |span: &Span| by_id.get(span.parent_span_id.as_slice()).map(|s| s.name.clone()).unwrap_or_default();
    let mut tree: BTreeMap<(String, String), usize> = BTreeMap::new();
    for span in &spans {
        let kind = |name: &str| name.split(' ').next().unwrap_or_default().to_owned();
        *tree.entry((kind(&parent(span)), kind(&span.name))).or_default() += 1;
    }
    let expected = [
        (("", "test"), 1),
        (("test", "statement"), 2),
        (("statement", "job"), 1),
        // Four maps, three reducers, and one task that counts.
        (("job", "stage"), 3),
        (("stage", "task"), 4 + 3 + 1),
    ];
    let expected: BTreeMap<_, usize> =
        expected.into_iter().map(|((a, b), n)| ((a.to_owned(), b.to_owned()), n)).collect();
    assert_eq!(tree, expected);
    let unfinished: Vec<&Span> = spans.iter().filter(|s| s.end_time_unix_nano < s.start_time_unix_nano).collect();
    assert!(unfinished.is_empty(), "{unfinished:?}");
    let second = spans.iter().find(|s| s.name == "statement 2").unwrap();
    assert_eq!(second.status.as_ref().unwrap().message, error.class());
}
