//! Every metric of Wardline: defined once, with unit and sentence, labels bounded.
//!
//! A loop takes its [`RoomMetrics`] at start; from then on it only increments atomics. Label values are names of rooms,
//! topics, verdicts, codes of acknowledgements and configured targets: a closed or configured set, never anything of a
//! message (PHI-1, BND-1).

pub use crate::level_metrics::{ServiceLevelCause, ServiceLevelNumbers};

use crate::level_metrics::Levels;
use prometheus_client::encoding::{EncodeLabelSet, text};
pub use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

/// Content type of [`encode`]: OpenMetrics 1.0 text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A gauge of seconds.
pub type SecondsGauge = Gauge<f64, AtomicU64>;

/// Most values of a label that comes from configuration (targets, sources); further ones count as `other`.
const LABEL_VALUES_MAX: usize = 200;

/// Counters of one room, resolved, so that the hot path only increments.
#[derive(Clone, Debug)]
pub struct RoomMetrics {
    room: &'static str,
    /// Records that became at least one output event or effect.
    pub emitted: Counter,
    /// Records left out by a named rule.
    pub dropped: Counter,
    /// Verdicts to wait.
    pub waited: Counter,
    /// Records refused with an exception.
    pub rejected: Counter,
    /// Records handled before.
    pub duplicate: Counter,
    /// Undecodable records.
    pub dead_letter: Counter,
    /// From the record being fetched to its outcome being decided, seconds.
    pub latency_seconds: Histogram,
    /// Transactions committed.
    pub transactions_committed: Counter,
    /// Transactions aborted.
    pub transactions_aborted: Counter,
    /// Duration of a commit, seconds.
    pub commit_seconds: Histogram,
    /// Keys that are parked now.
    pub parked_lanes: Gauge,
    /// Events that are parked now.
    pub parked_events: Gauge,
    /// 1 while no record is taken in because as many keys are parked as may be.
    pub parked_full: Gauge,
    /// Applied effects that are remembered no more, because there are more than may be.
    pub effects_forgotten: Gauge,
    /// Since when the oldest parked key waits, seconds; 0 when none does.
    pub parked_oldest_seconds: SecondsGauge,
}

/// Metrics of one target of a room.
#[derive(Clone, Debug)]
pub struct TargetMetrics {
    /// By outcome.
    effects: [Counter; EffectOutcome::ALL.len()],
    /// 1 while calls are held back because it keeps failing.
    pub breaker: Gauge,
}

impl TargetMetrics {
    /// Effects that ended so.
    pub fn effects(&self, outcome: EffectOutcome) -> &Counter {
        // They stand in the order of the outcomes.
        &self.effects[outcome as usize]
    }
}

/// What a call to the outside ended with, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EffectOutcome {
    /// Done now.
    Applied,
    /// Was done before; not repeated (FX-1, RPL-1).
    Suppressed,
    /// The other side refused it for good.
    Refused,
    /// Failed in a way that trying again can help.
    Transient,
    /// Nobody knows yet; resolved by looking the idempotency key up.
    InDoubt,
}

impl RoomMetrics {
    /// The metrics of a room.
    pub fn new(room: &'static str) -> Self {
        let all = &*METRICS;
        let records = |verdict: &'static str| all.records.get_or_create_owned(&Verdict { room, verdict });
        let by_room = Room { room };
        let transactions = |result: &'static str| all.transactions.get_or_create_owned(&Transaction { room, result });
        Self {
            room,
            emitted: records("emit"),
            dropped: records("drop"),
            waited: records("wait"),
            rejected: records("reject"),
            duplicate: records("duplicate"),
            dead_letter: records("dead-letter"),
            latency_seconds: all.latency.get_or_create_owned(&by_room),
            transactions_committed: transactions("committed"),
            transactions_aborted: transactions("aborted"),
            commit_seconds: all.commit.get_or_create_owned(&by_room),
            parked_lanes: all.parked_lanes.get_or_create_owned(&by_room),
            parked_events: all.parked_events.get_or_create_owned(&by_room),
            effects_forgotten: all.effects_forgotten.get_or_create_owned(&by_room),
            parked_full: all.parked_full.get_or_create_owned(&by_room),
            parked_oldest_seconds: all.parked_oldest.get_or_create_owned(&by_room),
        }
    }

    /// The room.
    pub fn room(&self) -> &'static str {
        self.room
    }

    /// The metrics of a target, to be resolved once.
    pub fn target(&self, target: &str) -> TargetMetrics {
        let target = METRICS.bounded(target);
        let effects = |outcome: EffectOutcome| {
            let labels = Effect { room: self.room, target: target.clone(), outcome: outcome.label() };
            METRICS.effects.get_or_create_owned(&labels)
        };
        TargetMetrics {
            effects: EffectOutcome::ALL.map(effects),
            breaker: METRICS.breakers.get_or_create_owned(&Target { room: self.room, target: target.clone() }),
        }
    }

    /// Whether this room makes way for another one that calls the same endpoint and is late with what is more urgent.
    pub fn makes_way(&self, other: &str, is_late: bool) {
        let other = METRICS.bounded(other);
        METRICS.makes_way.get_or_create_owned(&Other { room: self.room, other }).set(i64::from(is_late));
    }

    /// Rows of a table of this room.
    pub fn table_rows(&self, topic: &'static str) -> Gauge {
        METRICS.table_rows.get_or_create_owned(&TableLabels { room: self.room, topic })
    }

    /// Open MLLP connections of this room.
    pub fn mllp_connections(&self) -> Gauge {
        METRICS.mllp_connections.get_or_create_owned(&Room { room: self.room })
    }

    /// MLLP messages answered with an acknowledgement code (HL7 table 0008); anything else counts as `other`.
    pub fn mllp_messages(&self, ack_code: &str) -> Counter {
        let known = ["AA", "AE", "AR", "CA", "CE", "CR", "none"];
        let code = known.into_iter().find(|known| *known == ack_code).unwrap_or("other");
        METRICS.mllp_messages.get_or_create_owned(&Ack { room: self.room, code })
    }
}

/// What reconciliation that runs for ever has found.
#[derive(Clone, Debug)]
pub struct ReconcileMetrics {
    kinds: Vec<(&'static str, Gauge)>,
    last: SecondsGauge,
    done: Counter,
    failed: Counter,
}

impl ReconcileMetrics {
    /// With these kinds of differences, none of them found yet.
    pub fn new(kinds: impl IntoIterator<Item = &'static str>) -> Self {
        let all = &*METRICS;
        let gauge = |kind| (kind, all.differences.get_or_create_owned(&Difference { kind }));
        let runs = |result| all.reconciliations.get_or_create_owned(&Run { result });
        Self {
            kinds: kinds.into_iter().map(gauge).collect(),
            last: all.reconciled.clone(),
            done: runs("done"),
            failed: runs("failed"),
        }
    }

    /// A comparison has ended that began at `at_ms`, milliseconds since 1970; kinds that are not named were not found.
    pub fn ran(&self, found: impl IntoIterator<Item = (&'static str, u64)>, at_ms: i64) {
        let found: Vec<(&str, u64)> = found.into_iter().collect();
        for (kind, gauge) in &self.kinds {
            let count = found.iter().find(|(name, _)| name == kind).map_or(0, |(_, count)| *count);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.last.set(Duration::from_millis(u64::try_from(at_ms).unwrap_or_default()).as_secs_f64());
        self.done.inc();
    }

    /// A comparison could not be made: what is known is that of the last one.
    pub fn failed(&self) {
        self.failed.inc();
    }
}

/// Puts a service level on the page. What is not known is `NaN`, what will not come `+Inf`.
pub fn service_level(numbers: &ServiceLevelNumbers) {
    METRICS.levels.set(numbers);
}

/// Puts the causes of the service levels at risk on the page, instead of those of before.
pub fn service_level_causes(causes: &[ServiceLevelCause]) {
    METRICS.levels.set_causes(causes);
}

impl EffectOutcome {
    /// All, in their order.
    const ALL: [Self; 5] = [Self::Applied, Self::Suppressed, Self::Refused, Self::Transient, Self::InDoubt];

    /// Value of the label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Suppressed => "suppressed",
            Self::Refused => "refused",
            Self::Transient => "transient",
            Self::InDoubt => "in-doubt",
        }
    }
}

/// All metrics in the OpenMetrics text format.
pub fn encode() -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = text::encode(&mut page, &METRICS.registry);
    page
}

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::define);

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Room {
    room: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Verdict {
    room: &'static str,
    verdict: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Transaction {
    room: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Effect {
    room: &'static str,
    target: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Target {
    room: &'static str,
    target: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Other {
    room: &'static str,
    other: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TableLabels {
    room: &'static str,
    topic: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ack {
    room: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Difference {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Run {
    result: &'static str,
}

type Histograms = Family<Room, Histogram, fn() -> Histogram>;

struct Metrics {
    registry: Registry,
    targets: Mutex<Vec<String>>,
    records: Family<Verdict, Counter>,
    latency: Histograms,
    transactions: Family<Transaction, Counter>,
    commit: Histograms,
    parked_lanes: Family<Room, Gauge>,
    parked_events: Family<Room, Gauge>,
    parked_full: Family<Room, Gauge>,
    effects_forgotten: Family<Room, Gauge>,
    parked_oldest: Family<Room, SecondsGauge>,
    effects: Family<Effect, Counter>,
    breakers: Family<Target, Gauge>,
    makes_way: Family<Other, Gauge>,
    table_rows: Family<TableLabels, Gauge>,
    mllp_connections: Family<Room, Gauge>,
    mllp_messages: Family<Ack, Counter>,
    differences: Family<Difference, Gauge>,
    reconciliations: Family<Run, Counter>,
    reconciled: SecondsGauge,
    levels: Levels,
}

impl Metrics {
    fn define() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("wardline"),
            targets: Mutex::default(),
            records: Family::default(),
            latency: Family::new_with_constructor(durations),
            transactions: Family::default(),
            commit: Family::new_with_constructor(durations),
            parked_lanes: Family::default(),
            parked_events: Family::default(),
            parked_full: Family::default(),
            effects_forgotten: Family::default(),
            parked_oldest: Family::default(),
            effects: Family::default(),
            breakers: Family::default(),
            makes_way: Family::default(),
            table_rows: Family::default(),
            mllp_connections: Family::default(),
            mllp_messages: Family::default(),
            differences: Family::default(),
            reconciliations: Family::default(),
            reconciled: SecondsGauge::default(),
            levels: Levels::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let Self { registry, levels, .. } = self;
        levels.register(registry);
        registry.register("records", "Records by room and verdict", self.records.clone());
        let help = "From the record being fetched to its outcome being decided";
        registry.register_with_unit("record_latency", help, Unit::Seconds, self.latency.clone());
        registry.register("transactions", "Kafka transactions by room and result", self.transactions.clone());
        registry.register_with_unit("commit", "Duration of a commit", Unit::Seconds, self.commit.clone());
        registry.register("parked_lanes", "Keys that are parked now", self.parked_lanes.clone());
        registry.register("parked_events", "Events that are parked now", self.parked_events.clone());
        let help = "1 while no record is taken in because as many keys are parked as limits.parked_max allows";
        registry.register("parked_full", help, self.parked_full.clone());
        let help = "Applied effects that are remembered no more, because there are more than limits.effects_max allows";
        registry.register("effects_forgotten", help, self.effects_forgotten.clone());
        let help = "Since when the oldest parked key waits";
        registry.register_with_unit("parked_oldest", help, Unit::Seconds, self.parked_oldest.clone());
        registry.register("effects", "Calls to the outside by room, target and outcome", self.effects.clone());
        registry.register(
            "breaker",
            "Circuit breaker: 1 while calls are held back because the target keeps failing",
            self.breakers.clone(),
        );
        let help = "1 while a room makes way for another that is late at the same endpoint";
        registry.register("makes_way", help, self.makes_way.clone());
        registry.register("table_rows", "Rows of a lookup table", self.table_rows.clone());
        registry.register("mllp_connections", "Open MLLP connections", self.mllp_connections.clone());
        let help = "MLLP messages by acknowledgement code; none is a message that asked for no answer";
        registry.register("mllp_messages", help, self.mllp_messages.clone());
        let help = "Differences that the last reconciliation found, by kind";
        registry.register("reconcile_differences", help, self.differences.clone());
        registry.register("reconcile_runs", "Reconciliations by result", self.reconciliations.clone());
        let help = "When the last whole reconciliation began, since 1970";
        registry.register_with_unit("reconcile_last_run", help, Unit::Seconds, self.reconciled.clone());
    }

    /// The value itself, or `other` when too many different ones were seen.
    fn bounded(&self, value: &str) -> String {
        let mut known = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if known.iter().any(|present| present == value) {
            return value.to_owned();
        }
        if known.len() >= LABEL_VALUES_MAX {
            return "other".to_owned();
        }
        known.push(value.to_owned());
        value.to_owned()
    }
}

/// From 0.1 ms to about 100 s, each bucket double the one before.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 21))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_counts_under_its_name() {
        let metrics = RoomMetrics::new("metrics-test");
        metrics.emitted.inc();
        metrics.latency_seconds.observe(0.002);
        metrics.target("hospital").effects(EffectOutcome::Applied).inc_by(2);
        metrics.mllp_messages("AA").inc();
        metrics.mllp_messages("anything a sender makes up").inc();
        let page = encode();
        for line in [
            "wardline_records_total{room=\"metrics-test\",verdict=\"emit\"} 1",
            "wardline_record_latency_seconds_count{room=\"metrics-test\"} 1",
            "wardline_effects_total{room=\"metrics-test\",target=\"hospital\",outcome=\"applied\"} 2",
            "wardline_mllp_messages_total{room=\"metrics-test\",code=\"AA\"} 1",
            "wardline_mllp_messages_total{room=\"metrics-test\",code=\"other\"} 1",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn a_kind_that_is_not_found_any_more_goes_back_to_zero() {
        let metrics = ReconcileMetrics::new(["missing", "doubled"]);
        metrics.ran([("missing", 2)], 1_500);
        metrics.ran([("doubled", 1)], 2_500);
        metrics.failed();
        let page = encode();
        for line in [
            "wardline_reconcile_differences{kind=\"missing\"} 0",
            "wardline_reconcile_differences{kind=\"doubled\"} 1",
            "wardline_reconcile_runs_total{result=\"done\"} 2",
            "wardline_reconcile_runs_total{result=\"failed\"} 1",
            "wardline_reconcile_last_run_seconds 2.5",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn bnd_1_targets_beyond_the_bound_count_as_other() {
        let metrics = Metrics::define();
        let labels: Vec<_> = (0..=LABEL_VALUES_MAX).map(|number| metrics.bounded(&number.to_string())).collect();
        assert_eq!(labels.last().map(String::as_str), Some("other"));
        assert_eq!(metrics.bounded("7"), "7");
    }
}
