//! OpenTelemetry traces of an application: a span for each statement, job, stage attempt and task attempt.
//!
//! Sent by OTLP over gRPC where the standard variables ask for it (`OTEL_EXPORTER_OTLP_ENDPOINT` or
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`). Without them nothing is recorded.

use std::{env, time::Duration};

use opentelemetry::{
    Context, KeyValue,
    global::{self, BoxedTracer},
    trace::{Status, TraceContextExt, Tracer},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};

/// The collector may be slow; the end of an application waits no longer for it.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);

const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Sends the spans of this process, until it is told to finish.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// As the environment asks. `None`: it does not ask. The attributes name the application in every span.
    pub fn from_env(attributes: Vec<KeyValue>) -> Option<Result<Self, String>> {
        let endpoint = ENDPOINTS.iter().find_map(|name| env::var(name).ok()).filter(|v| !v.trim().is_empty())?;
        Some(Self::to(endpoint.trim(), attributes))
    }

    /// To a collector at `http://host:port`. Call within a runtime.
    pub fn to(endpoint: &str, attributes: Vec<KeyValue>) -> Result<Self, String> {
        if !endpoint.starts_with("http://") {
            return Err(format!(
                "traces go to an OTLP collector at http://host:4317, without TLS, not to '{endpoint}'"
            ));
        }
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .map_err(|e| format!("cannot send traces to '{endpoint}': {e}"))?;
        let mut resource = Resource::builder().with_attributes(attributes);
        if env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name("firesteel");
        }
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
        global::set_tracer_provider(provider.clone());
        Ok(Self(provider))
    }

    /// Sends what is left.
    pub async fn finish(self) {
        // It blocks while the exporter, on this runtime, does its work.
        let flushed = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(FLUSH_WITHIN)).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

pub fn tracer() -> BoxedTracer {
    global::tracer("firesteel")
}

/// A span that began now, within `parent`.
pub fn span(name: String, attributes: Vec<KeyValue>, parent: &Context) -> Context {
    let tracer = tracer();
    let span = tracer.span_builder(name).with_attributes(attributes).start_with_context(&tracer, parent);
    parent.with_span(span)
}

/// Ends a span, with what went wrong in it.
pub fn end(span: &Context, error: Option<String>) {
    if let Some(error) = error {
        span.span().set_status(Status::error(error));
    }
    span.span().end();
}
