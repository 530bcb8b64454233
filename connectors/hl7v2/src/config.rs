//! What a site configures. Every default is right for a first run.

use serde::{Deserialize, Serialize};

use std::path::PathBuf;

/// The block `rooms.hl7v2`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hl7v2Config {
    /// Address of the MLLP listener; empty for none, port 0 for a free one. Default `127.0.0.1:2575`.
    pub listen: String,
    /// TLS of the listener; plain TCP without it.
    pub tls: Option<TlsConfig>,
    /// A directory whose files are read and published.
    pub directory: Option<DirectoryConfig>,
    /// How messages become events.
    pub mapping: MappingConfig,
    /// Bounds of the listener.
    pub limits: LimitsConfig,
    /// How resends are recognised.
    pub receipts: ReceiptsConfig,
    /// Keeps messages as they came on `ops.source.v1`, for people who look into what was made of them. Default true.
    pub keep_sources: bool,
}

/// Files of the TLS listener, PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificate of the listener with its chain.
    pub certificate_file: PathBuf,
    /// Private key of the certificate.
    pub key_file: PathBuf,
    /// Authorities that sign senders. With it a sender must show a certificate (mutual TLS).
    #[serde(default)]
    pub client_ca_file: Option<PathBuf>,
}

/// A directory as a source. Files end in `done/` below it, or in `failed/` if something in them needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryConfig {
    /// The directory. Names that begin with a dot or end in `.tmp` or `.part` are left alone.
    pub path: PathBuf,
    /// How often to look, milliseconds. A file is read when it has not changed between two looks.
    #[serde(default = "poll_ms")]
    pub poll_ms: u64,
    /// Larger files are moved to `failed/` unread, bytes.
    #[serde(default = "max_file_bytes")]
    pub max_file_bytes: u64,
}

/// Bounds of the listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Most connections at a time; more wait.
    pub connections_max: usize,
    /// Most messages of one connection that are not answered yet; the connection is not read beyond it.
    pub in_flight_max: usize,
    /// Most bytes of messages that are not answered yet, all connections together.
    pub in_flight_bytes_max: usize,
    /// Largest frame, bytes.
    pub frame_bytes_max: usize,
    /// Longest silence inside a frame, milliseconds. Then the frame counts as cut and the connection is closed.
    pub frame_idle_ms: u64,
    /// Longest silence between frames, milliseconds. Then the connection is closed.
    pub connection_idle_ms: u64,
    /// How long to wait for the CR behind FS before a frame counts as complete without it, milliseconds.
    pub final_cr_ms: u64,
    /// How long a sender may leave its answers untaken, milliseconds. Then the connection is closed; what it sends again is
    /// answered from the receipts. Default 60000.
    pub answer_idle_ms: u64,
    /// Longest time for a TLS handshake, milliseconds.
    pub handshake_ms: u64,
    /// How long to wait for the confirmation of Kafka before the sender is told to repeat, milliseconds. Should be shorter
    /// than the sender's own patience.
    pub confirm_ms: u64,
    /// While records are on their way to Kafka, those of further messages gather until the former are confirmed, but no longer than
    /// this, milliseconds; then they leave together, with those of senders that were just answered when they come within as long again.
    /// A message that comes alone leaves at once. 0 gathers nothing.
    pub gather_ms: u64,
}

/// How resends are recognised. A resend of the same bytes under the same control id gets the earlier answer and no event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReceiptsConfig {
    /// How far back receipts are read at start, hours.
    pub window_hours: u64,
    /// Most messages remembered; the oldest are forgotten first.
    pub messages_max: usize,
    /// Whether the receipts of other instances are followed; a single instance knows its own. Default false.
    pub shared: bool,
    /// With `shared`, how long the first message of a connection waits until the receipts of other instances are read up to
    /// their end, milliseconds. Then the sender is told to repeat it (WL-2028). Default 5000.
    pub catch_up_ms: u64,
}

impl Default for Hl7v2Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:2575".to_owned(),
            tls: None,
            directory: None,
            mapping: MappingConfig::default(),
            limits: LimitsConfig::default(),
            receipts: ReceiptsConfig::default(),
            keep_sources: true,
        }
    }
}

impl Hl7v2Config {
    /// Checks what the types cannot: an address that can never be listened on must not be tried for ever.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn validate(&self) -> Result<(), String> {
        let port =
            self.listen.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
        match port {
            Some(Ok(_)) => Ok(()),
            None if self.listen.is_empty() => Ok(()),
            _ => Err(format!(
                "listen is {}: must be HOST:PORT, for example 127.0.0.1:2575, or empty for no listener",
                self.listen
            )),
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections_max: 512,
            in_flight_max: 64,
            in_flight_bytes_max: 256 * 1024 * 1024,
            frame_bytes_max: crate::mllp::MAX_FRAME_BYTES,
            frame_idle_ms: 30_000,
            connection_idle_ms: 24 * 3_600_000,
            final_cr_ms: 200,
            answer_idle_ms: 60_000,
            handshake_ms: 10_000,
            confirm_ms: 20_000,
            gather_ms: 1,
        }
    }
}

impl Default for ReceiptsConfig {
    fn default() -> Self {
        Self { window_hours: 24, messages_max: 500_000, shared: false, catch_up_ms: 5_000 }
    }
}

fn poll_ms() -> u64 {
    1_000
}

fn max_file_bytes() -> u64 {
    256 * 1024 * 1024
}

/// How messages become events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MappingConfig {
    /// What a time without an offset means when MSH-7 has none either: an IANA name (`America/New_York`), or a fixed offset
    /// (`-05:00`).
    pub time_zone: String,
    /// The facility of messages whose MSH-4 is empty.
    pub facility: String,
    /// The character set of bytes that are neither ASCII nor UTF-8 when MSH-18 declares none, by its name in table 0211.
    /// Without it such a message is an exception (WL-1006).
    pub fallback_charset: Option<String>,
    /// The values of MSH-11 that may reach the topics; others are rejected with AR and table 0357 code 202.
    pub processing_ids: Vec<String>,
    /// The currency (ISO 4217) of the amounts in FT1-11 and FT1-12 that name none. Without it such an amount is left out of the
    /// event, with a warning (WL-1441).
    pub currency: Option<String>,
    /// Whether FT1-10 empty means one. Otherwise it is an exception (WL-1013).
    pub empty_quantity_is_one: bool,
    /// Coding systems of FT1-7 that name services and diagnoses. A charge with such a code and nothing that names an article
    /// is no supply use.
    pub service_code_systems: Vec<String>,
    /// Whether a device with a serial number counts as one fact per visit, whatever messages tell of it (DFT and ORU). A credit
    /// of it then takes that fact back.
    pub one_use_per_serial: bool,
    /// Z-segments that name the article of the FT1 before them.
    pub z_segments: Vec<ZSegment>,
    /// Whether events carry the clear identifiers (name, record number, visit number) in their `phi` record.
    pub direct_identifiers: bool,
}

/// Which field of a Z-segment holds what; 0 for what it does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ZSegment {
    /// Segment name.
    pub name: String,
    /// Item number.
    pub item: usize,
    /// Coding system of the item number, as it is to appear in events.
    pub item_system: String,
    /// Unit of measure.
    pub uom: usize,
    /// Quantity, used when FT1-10 is empty.
    pub quantity: usize,
    /// UDI device identifier (GTIN).
    pub device_identifier: usize,
    /// Lot.
    pub lot: usize,
    /// Serial number.
    pub serial: usize,
    /// Expiry, YYYYMMDD.
    pub expiry: usize,
    /// `Y` if the article was wasted.
    pub wasted: usize,
    /// Complete UDI.
    pub udi: usize,
    /// `Y` if the article belongs to the supplier, `N` if not.
    pub consignment: usize,
}

impl Default for MappingConfig {
    fn default() -> Self {
        let systems = [
            "C4", "C5", "CPT", "CPT4", "CPTM", "HCPT", "I9", "I9C", "I9CDX", "I9CP", "I10", "I10C", "I10P", "ICD10",
            "LN", "SCT", "SNM", "DRG",
        ];
        Self {
            time_zone: "UTC".to_owned(),
            facility: String::new(),
            fallback_charset: Some("8859/1".to_owned()),
            processing_ids: vec!["P".to_owned(), String::new()],
            currency: None,
            empty_quantity_is_one: false,
            service_code_systems: systems.map(str::to_owned).to_vec(),
            one_use_per_serial: true,
            z_segments: vec![ZSegment::default()],
            direct_identifiers: false,
        }
    }
}

impl Default for ZSegment {
    fn default() -> Self {
        Self {
            name: "ZSC".to_owned(),
            item: 2,
            item_system: "ITEM".to_owned(),
            uom: 3,
            quantity: 4,
            device_identifier: 5,
            lot: 6,
            serial: 7,
            expiry: 8,
            wasted: 9,
            udi: 10,
            consignment: 0,
        }
    }
}
