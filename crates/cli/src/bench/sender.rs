//! Many MLLP connections that send one charge after the other, each waiting for its acknowledgement, as fast as that goes or at
//! a steady rate.

use super::usage::{percentile, rate, rounded, usage_of};
use crate::Failure;
use hl7v2::mllp::{AckCode, ClientOptions, MllpClient};
use runtime::clock::{Tick, now_micros, tick};
use serde::Serialize;
use std::fmt::Write as _;
use std::time::Duration;

/// What to send where.
pub struct Options {
    /// MLLP listener.
    pub address: String,
    /// Connections at the same time.
    pub connections: usize,
    /// Size of a message, bytes.
    pub bytes: usize,
    /// Seconds before measuring.
    pub warmup_s: u64,
    /// Seconds measured.
    pub measured_s: u64,
    /// Messages per second of all connections together; 0: as fast as they are acknowledged.
    pub rate: u32,
    /// Process whose CPU time and memory are told.
    pub server: u32,
}

/// What was measured in the window. Times are milliseconds; at a rate from the time at which a message was due, so that what holds
/// one up counts for all behind it.
#[derive(Debug, Serialize)]
pub struct Report {
    job: String,
    events: u64,
    seconds: u64,
    events_per_s: f64,
    cpu_seconds: f64,
    peak_rss_mb: f64,
    ack_p50_ms: f64,
    ack_p99_ms: f64,
    ack_max_ms: f64,
    refused: u64,
    broken: u64,
    rate: u32,
    client_cpu_seconds: f64,
}

#[derive(Default)]
struct Tally {
    milliseconds: Vec<f64>,
    refused: u64,
    broken: u64,
}

/// Sends until the time is up.
pub async fn run(options: Options) -> Result<Report, Failure> {
    let from = tick().after(Duration::from_secs(options.warmup_s));
    let end = from.after(Duration::from_secs(options.measured_s));
    let run = now_micros();
    let mut senders = tokio::task::JoinSet::new();
    for connection in 0..options.connections {
        let address = options.address.clone();
        let charge = Charge::new(run, connection, options.bytes);
        let pace = Pace::of(&options, connection);
        senders.spawn(drive(address, charge, pace, from, end));
    }
    until(from).await;
    let (server, own) = (usage_of(options.server), usage_of(std::process::id()));
    until(end).await;
    let (server_after, own_after) = (usage_of(options.server), usage_of(std::process::id()));
    let mut all = Tally::default();
    while let Some(ended) = senders.join_next().await {
        let tally = ended.map_err(|error| Failure::new(error, "report this as a defect"))?;
        all.milliseconds.extend(tally.milliseconds);
        all.refused += tally.refused;
        all.broken += tally.broken;
    }
    all.milliseconds.sort_by(f64::total_cmp);
    let at = |share| rounded(percentile(&all.milliseconds, share), 2);
    let events = all.milliseconds.len() as u64;
    Ok(Report {
        job: format!("mllp conns={} inflight=1 bytes={}", options.connections, options.bytes),
        events,
        seconds: options.measured_s,
        events_per_s: rate(events, Duration::from_secs(options.measured_s).as_secs_f64()),
        cpu_seconds: rounded(server_after.cpu_seconds - server.cpu_seconds, 2),
        peak_rss_mb: rounded(server_after.peak_rss_mb, 1),
        ack_p50_ms: at(0.5),
        ack_p99_ms: at(0.99),
        ack_max_ms: at(1.0),
        refused: all.refused,
        broken: all.broken,
        rate: options.rate,
        client_cpu_seconds: rounded(own_after.cpu_seconds - own.cpu_seconds, 2),
    })
}

async fn drive(address: String, mut charge: Charge, mut pace: Pace, from: Tick, end: Tick) -> Tally {
    let mut tally = Tally::default();
    while tick() < end {
        if let Err(error) = session(&address, &mut charge, &mut pace, from, end, &mut tally).await {
            tracing::error!(%error, "connection lost");
            tally.broken += 1;
            // Neither a listener that is not there yet nor one that is gone is asked without a pause.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    tally
}

async fn session(
    address: &str,
    charge: &mut Charge,
    pace: &mut Pace,
    from: Tick,
    end: Tick,
    tally: &mut Tally,
) -> Result<(), hl7v2::mllp::ClientError> {
    let mut client = MllpClient::connect(address, ClientOptions::default()).await?;
    while tick() < end {
        let sent = pace.next().await;
        let ack = client.send(charge.next()).await?;
        let now = tick();
        match ack.code {
            Some(AckCode::Aa | AckCode::Ca) if sent >= from && now <= end => {
                tally.milliseconds.push(now.since(sent).as_secs_f64() * 1e3);
            }
            Some(AckCode::Aa | AckCode::Ca) => {}
            _ => tally.refused += 1,
        }
    }
    client.close().await
}

/// When a connection sends.
struct Pace {
    due: Tick,
    every: Duration,
}

impl Pace {
    /// The connections take turns, each the same time after the one before it.
    fn of(options: &Options, connection: usize) -> Self {
        let apart = |connections: usize| {
            let seconds = u32::try_from(connections).map_or(0.0, f64::from) / f64::from(options.rate.max(1));
            if options.rate == 0 { Duration::ZERO } else { Duration::from_secs_f64(seconds) }
        };
        Self { due: tick().after(apart(connection)), every: apart(options.connections) }
    }

    /// Waits until the next message is due, and gives when that was; the present when no rate is asked for.
    async fn next(&mut self) -> Tick {
        if self.every.is_zero() {
            return tick();
        }
        let due = self.due;
        self.due = due.after(self.every);
        until(due).await;
        due
    }
}

async fn until(at: Tick) {
    tokio::time::sleep(at.since(tick())).await;
}

/// Charges of one patient: DFT^P03 with one article, filled up with OBX segments.
struct Charge {
    prefix: String,
    number: u64,
    tail: String,
    message: Vec<u8>,
}

impl Charge {
    fn new(run: i64, connection: usize, bytes: usize) -> Self {
        let prefix = format!("W{run}-{connection}-");
        let mut tail = format!(
            "|P|2.5\rEVN|P03|20261123120000\r\
             PID|1||P{connection:06}^^^FAC1^MR||DOE^JANE^Q||19700101|F|||1 MAIN ST^^SPRINGFIELD^IL^62701\r\
             PV1|1|I|OR^12^1^FAC1||||1234^SURGEON^SAM||||||||||||V{connection:06}^^^FAC1^VN\r\
             FT1|1|||20261123120000||CG|ITM-1234^Hip stem, cemented, size 4^L|||2|98.00&EUR|||||||||1234^SURGEON^SAM\r"
        );
        let detail = "(01)00012345678905(17)281231(10)A1 ".repeat(5);
        let mut line = 1;
        while HEAD.len() + prefix.len() + tail.len() + 70 < bytes {
            let room = (bytes - HEAD.len() - prefix.len() - tail.len()).min(160) - 60;
            let text = detail.get(..room).unwrap_or_default();
            // Writing to a String cannot fail.
            let _ = write!(tail, "OBX|{line}|ST|UDI-{line:04}^Device detail^L||{text}||||||F\r");
            line += 1;
        }
        Self { prefix, number: 0, tail, message: Vec::new() }
    }

    fn next(&mut self) -> &[u8] {
        self.number += 1;
        self.message.clear();
        let id = format!("{}{}", self.prefix, self.number);
        for part in [HEAD, &id, &self.tail] {
            self.message.extend_from_slice(part.as_bytes());
        }
        &self.message
    }
}

/// Up to MSH-10.
const HEAD: &str = "MSH|^~\\&|OR|FAC1|BB|HUB|20261123120000||DFT^P03^DFT_P03|";

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn a_charge_has_its_size_and_becomes_an_event() {
        for bytes in [600, 16_000] {
            let message = Charge::new(1_790_000_000_000_000, 3, bytes).next().to_vec();
            assert!(message.len().abs_diff(bytes) < 90, "{} bytes", message.len());
            let mapper =
                hl7v2::mapping::Mapper::new(hl7v2::config::MappingConfig::default(), b"synthetic-data-only").unwrap();
            let parsed = hl7v2::parse_to_json(&message, &mapper, schemas::Timestamp::from_micros(0));
            assert_eq!(parsed[0]["outcome"], "events", "{}", parsed[0]);
        }
    }
}
