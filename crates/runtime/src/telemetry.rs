//! Logs to stderr, traces over OTLP/HTTP when an endpoint is configured, and the W3C trace context that links a message
//! at the bedside to the call in the ERP.
//!
//! Attributes of a span are a closed set of places and codes, so patient data cannot get into a trace (PHI-1).

use crate::config::TelemetryConfig;
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator, SdkTracer, SdkTracerProvider, Span};
use std::io::IsTerminal as _;
use std::sync::OnceLock;
use std::time::Duration;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

/// Longest wait for spans to leave at the end of the process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Drops what rdkafka says as an error of each reader that has closed before it is dropped, as ours do.
const CLOSED_ALREADY: &str = "rdkafka::consumer::base_consumer=off";

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter cannot be read.
    #[error("WL-7010: telemetry.log_filter: {0}")]
    Filter(String),
    /// The OTLP exporter refuses its settings.
    #[error("WL-7010: telemetry.otlp_endpoint: {0}")]
    Exporter(String),
    /// Telemetry was set up before in this process.
    #[error("WL-7010: telemetry is set up already: {0}")]
    Twice(String),
}

/// Sends what is left when dropped: keep it until the end of the process.
#[derive(Debug, Default)]
pub struct TelemetryGuard {
    provider: Option<SdkTracerProvider>,
}

/// An attribute of a span: places, names and codes only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute<'a> {
    /// Room that works.
    Room(&'a str),
    /// Kafka topic.
    Topic(&'a str),
    /// Kafka partition.
    Partition(i32),
    /// Kafka offset.
    Offset(i64),
    /// Verdict or outcome.
    Outcome(&'a str),
    /// Stable code of a refusal.
    Code(&'a str),
    /// Instance acted on, for example the name of an ERP.
    Target(&'a str),
    /// Number of the attempt, from 1.
    Attempt(u32),
    /// Type of a source message, for example `ADT^A03`.
    MessageType(&'a str),
    /// Deterministic event id.
    EventId(&'a str),
}

/// The span of one record or call. Ends when dropped.
#[derive(Debug)]
pub struct RecordSpan {
    traceparent: String,
    span: Option<Span>,
}

/// Sets up logs, and traces when an endpoint is configured. Call once, at the start of the process.
///
/// # Errors
/// When the filter or the endpoint cannot be used, or it was called before.
pub fn init(config: &TelemetryConfig, service_name: &'static str) -> Result<TelemetryGuard, TelemetryError> {
    let closed = CLOSED_ALREADY.parse().map_err(|error: ParseError| TelemetryError::Filter(error.to_string()))?;
    let filter = EnvFilter::try_new(&config.log_filter).map_err(|error| TelemetryError::Filter(error.to_string()))?;
    let filter = filter.add_directive(closed);
    let logs = tracing_subscriber::fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    let logs = if config.log_format == "json" {
        logs.json().flatten_event(true).boxed()
    } else {
        logs.with_target(false).boxed()
    };
    let provider = config.otlp_endpoint.as_deref().map(|endpoint| provider(endpoint, service_name)).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        let tracer = provider.tracer("wardline");
        let _ = TRACER.set(tracer.clone());
        tracing_opentelemetry::layer().with_tracer(tracer)
    });
    tracing_subscriber::registry()
        .with(traces)
        .with(filter)
        .with(logs)
        .try_init()
        .map_err(|error| TelemetryError::Twice(error.to_string()))?;
    Ok(TelemetryGuard { provider })
}

/// Whether spans leave this process; without, a hot path need not start any.
pub fn is_exporting() -> bool {
    TRACER.get().is_some()
}

/// Starts the span of a record or call below `parent` (W3C `traceparent`).
///
/// Without export it costs next to nothing: the parent is passed on unchanged, and where there is none a fresh root that
/// is marked as not sampled.
pub fn start_span(name: &'static str, parent: Option<&str>, attributes: &[Attribute<'_>]) -> RecordSpan {
    start_with(TRACER.get(), name, parent, attributes)
}

impl RecordSpan {
    /// What the next hop gets as `traceparent` header.
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// Adds an attribute.
    pub fn set(&mut self, attribute: Attribute<'_>) {
        if let Some(span) = &mut self.span {
            span.set_attribute(attribute.to_key_value());
        }
    }

    /// Marks the span as failed with a stable code.
    pub fn fail(&mut self, code: &str) {
        if let Some(span) = &mut self.span {
            span.set_attribute(Attribute::Code(code).to_key_value());
            span.set_status(Status::error(code.to_owned()));
        }
    }
}

impl Attribute<'_> {
    /// The names follow the OpenTelemetry semantic conventions for messaging where there is one.
    fn to_key_value(self) -> KeyValue {
        match self {
            Self::Room(name) => KeyValue::new("wardline.room", name.to_owned()),
            Self::Topic(name) => KeyValue::new("messaging.destination.name", name.to_owned()),
            Self::Partition(number) => KeyValue::new("messaging.destination.partition.id", i64::from(number)),
            Self::Offset(number) => KeyValue::new("messaging.kafka.offset", number),
            Self::Outcome(name) => KeyValue::new("wardline.outcome", name.to_owned()),
            Self::Code(code) => KeyValue::new("wardline.code", code.to_owned()),
            Self::Target(name) => KeyValue::new("wardline.target", name.to_owned()),
            Self::Attempt(number) => KeyValue::new("wardline.attempt", i64::from(number)),
            Self::MessageType(name) => KeyValue::new("wardline.message_type", name.to_owned()),
            Self::EventId(id) => KeyValue::new("cloudevents.event_id", id.to_owned()),
        }
    }
}

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Some(provider) = &self.provider
            && let Err(error) = provider.shutdown_with_timeout(FLUSH_TIMEOUT)
        {
            tracing::warn!(%error, "not all spans were sent");
        }
    }
}

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

fn provider(endpoint: &str, service_name: &'static str) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .with_timeout(FLUSH_TIMEOUT)
        .build()
        .map_err(|error| TelemetryError::Exporter(error.to_string()))?;
    // The batch exporter has a bounded queue and a thread of its own; a full queue drops spans, never records.
    Ok(SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(service_name).build())
        .with_batch_exporter(exporter)
        .build())
}

fn start_with(
    tracer: Option<&SdkTracer>,
    name: &'static str,
    parent: Option<&str>,
    attributes: &[Attribute<'_>],
) -> RecordSpan {
    let Some(tracer) = tracer else {
        let traceparent = parent.and_then(passed_on).unwrap_or_else(|| format_traceparent(&fresh_root()));
        return RecordSpan { traceparent, span: None };
    };
    let context = parent
        .and_then(parse_traceparent)
        .map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
    let mut span = tracer
        .span_builder(name)
        .with_kind(SpanKind::Consumer)
        .with_attributes(attributes.iter().map(|attribute| attribute.to_key_value()))
        .start_with_context(tracer, &context);
    let traceparent = format_traceparent(span.span_context());
    if !span.is_recording() {
        span.end();
    }
    RecordSpan { traceparent, span: Some(span) }
}

/// A parent as the next hop gets it where no span is started: as it came, in the version that is written here.
fn passed_on(parent: &str) -> Option<String> {
    let context = parse_traceparent(parent)?;
    Some(if parent.starts_with("00-") { parent.to_owned() } else { format_traceparent(&context) })
}

/// Where a trace begins that nobody records.
fn fresh_root() -> SpanContext {
    let ids = RandomIdGenerator::default();
    SpanContext::new(ids.new_trace_id(), ids.new_span_id(), TraceFlags::NOT_SAMPLED, true, TraceState::NONE)
}

/// W3C Trace Context, section 3.2: `version-traceid-parentid-flags`; a version above 00 may carry more fields.
fn parse_traceparent(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lower_hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let well_formed =
        lower_hex(version, 2) && lower_hex(trace, 32) && lower_hex(span, 16) && lower_hex(flags, 2) && version != "ff";
    if !well_formed || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()? & TraceFlags::SAMPLED.to_u8());
    let context =
        SpanContext::new(TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

fn format_traceparent(context: &SpanContext) -> String {
    format!("00-{:032x}-{:016x}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn without_export_the_parent_passes_through() {
        assert_eq!(start_with(None, "x", Some(PARENT), &[]).traceparent(), PARENT);
    }

    #[test]
    fn without_a_usable_parent_a_fresh_root_starts() {
        for parent in [None, Some("nonsense"), Some("00-00000000000000000000000000000000-b7ad6b7169203331-01")] {
            let (one, two) = (start_with(None, "x", parent, &[]), start_with(None, "x", parent, &[]));
            assert!(parse_traceparent(one.traceparent()).is_some());
            assert_ne!(one.traceparent(), two.traceparent());
        }
    }

    #[test]
    fn with_export_the_span_is_a_child_in_the_same_trace() {
        let provider = SdkTracerProvider::builder().build();
        let tracer = provider.tracer("test");
        let span = start_with(Some(&tracer), "x", Some(PARENT), &[Attribute::Offset(7)]);
        let child = parse_traceparent(span.traceparent()).unwrap();
        let parent = parse_traceparent(PARENT).unwrap();
        assert_eq!(child.trace_id(), parent.trace_id());
        assert_ne!(child.span_id(), parent.span_id());
        assert!(child.is_sampled());
    }

    #[test]
    fn a_later_version_may_have_more_fields() {
        assert!(parse_traceparent("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more").is_some());
        assert!(parse_traceparent(&format!("{PARENT}-more")).is_none());
        assert!(parse_traceparent(&PARENT.to_uppercase()).is_none());
    }
}
