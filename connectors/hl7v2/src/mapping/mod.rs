//! From one message to its outcome: events, dropped by a named rule, an exception, or a dead letter.
//!
//! `ADT^A03 … PV1-19 V1, PV1-45 202609141600-0500`  ->  `Encounter {kind: DISCHARGED, encounterRef: enc_…, dischargedAt: 21:00Z}`
//! `FT1-6 CD, FT1-10 -1, ZSC-2 71-100234`           ->  `SupplyUsage {quantity: -1, itemRef: 71-100234, usage: RETURNED}`
//! `FT1-6 CD, FT1-10 -1, ZSC-7 SN1`                 ->  `SupplyUsage {action: RETRACT, revision: 1, quantity: -1, serial: SN1}`
//!
//! Pure: the same bytes, configuration and time give the same outcome. Rules that drop a message are the constants of
//! [`rules`]; everything that needs a person is a [`Refusal`] with its code and place.

mod amount;
mod charge;
mod context;
mod device;
mod encounter;
mod refusal;
mod usage;
mod values;

use jiff::tz::TimeZone;
use schemas::identity::Pseudonymizer;
use schemas::{Encounter, SupplyUsage, Timestamp};
use sha2::{Digest, Sha256};

use crate::config::MappingConfig;
use crate::mllp::{AckError, Decision, ErrorPlace};
use crate::parser::{Charset, Message, ParseOptions};
use context::Context;

pub use refusal::Refusal;

/// The rules by which a message ends without an event although nothing is wrong with it.
pub mod rules {
    /// The message type is not one that Wardline makes events of.
    pub const NOT_CONSUMED: &str = "message-type.not-consumed";
    /// An acknowledgement; it is never answered.
    pub const ACKNOWLEDGEMENT: &str = "message-type.acknowledgement";
    /// MSH-11 says training or debugging.
    pub const NOT_PRODUCTION: &str = "processing-id.not-production";
    /// No charge of the message moves stock: payments, adjustments, services, quantity 0.
    pub const NO_STOCK_MOVEMENT: &str = "charge.no-stock-movement";
    /// No observation of the message is about a device that was used.
    pub const NO_DEVICE: &str = "observation.no-device";
    /// A frame, batch or file without a message.
    pub const NOTHING_IN_IT: &str = "input.empty";
}

/// An event, ready to be published.
#[derive(Debug, Clone, PartialEq)]
pub enum MappedEvent {
    /// For `clinical.encounter.v1`.
    Encounter(Box<Encounter>),
    /// For `clinical.supply-usage.v1`.
    SupplyUsage(Box<SupplyUsage>),
}

impl MappedEvent {
    /// The event id.
    pub fn id(&self) -> &str {
        match self {
            Self::Encounter(event) => &event.meta.event_id,
            Self::SupplyUsage(event) => &event.meta.event_id,
        }
    }

    /// The topic it belongs to.
    pub fn topic(&self) -> &'static str {
        match self {
            Self::Encounter(_) => schemas::topics::CLINICAL_ENCOUNTER_V1.name(),
            Self::SupplyUsage(_) => schemas::topics::CLINICAL_SUPPLY_USAGE_V1.name(),
        }
    }
}

/// What a message became.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// One or more events.
    Events(Vec<MappedEvent>),
    /// No event, by a rule of [`rules`].
    Dropped {
        /// The rule.
        rule: &'static str,
        /// Set if the sender is told so (AR), otherwise it gets AA.
        error: Option<Box<AckError>>,
    },
    /// A message that a person has to look at.
    Exception(Box<Refusal>),
    /// Bytes that are no message at all.
    DeadLetter(Box<Refusal>),
}

/// A message, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Who and what: the identity of the message.
    pub identity: Identity,
    /// What it became.
    pub outcome: Outcome,
    /// What was accepted although it is outside the standard.
    pub tolerances: Vec<&'static str>,
    /// The patients among whose messages it has its place: one, none, or those that a merge joins.
    pub patient_keys: Vec<String>,
}

/// What tells one message from another: (MSH-3, MSH-4, MSH-10, hash of the bytes).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// MSH-3.1.
    pub system: String,
    /// MSH-4.1, or the configured facility.
    pub facility: String,
    /// MSH-10.
    pub control_id: String,
    /// MSH-9 as `ADT^A03`.
    pub message_type: String,
    /// SHA-256 of the bytes without line ends at the end, lower-case hex.
    pub hash: String,
}

impl Identity {
    /// Sender and control id without the hash: two messages that share it but not the hash are two messages, of which the
    /// sender should know.
    pub fn name(&self) -> String {
        format!("{}|{}|{}", self.system, self.facility, self.control_id)
    }
}

impl Reading {
    /// What the sender is told.
    pub fn decision(&self) -> Decision {
        match &self.outcome {
            Outcome::Events(_) | Outcome::Dropped { error: None, .. } => Decision::Accept,
            Outcome::Dropped { error: Some(_), .. } => Decision::Reject,
            Outcome::Exception(refusal) | Outcome::DeadLetter(refusal) => refusal.decision,
        }
    }

    /// The ERR segments that go with it.
    pub fn errors(&self) -> Vec<AckError> {
        match &self.outcome {
            Outcome::Events(_) | Outcome::Dropped { error: None, .. } => Vec::new(),
            Outcome::Dropped { error: Some(error), .. } => vec![(**error).clone()],
            Outcome::Exception(refusal) | Outcome::DeadLetter(refusal) => vec![refusal.ack_error()],
        }
    }
}

/// Why a mapping configuration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingConfigError {
    /// The time zone is not known.
    #[error("WL-1050: time_zone {0} is neither a time zone that this system knows nor an offset like -05:00")]
    TimeZone(String),
    /// The fallback character set is not known.
    #[error("WL-1050: fallback_charset {0} is not a character set that is supported")]
    Charset(String),
    /// The currency of amounts that name none is no currency.
    #[error("WL-1050: currency {0} is not the code of a currency (ISO 4217: three letters)")]
    Currency(String),
    /// A Z-segment has no proper name.
    #[error("WL-1050: z_segments: {0} is not the name of a Z-segment (Z and two letters or digits)")]
    ZSegment(String),
    /// The pseudonym key is too short.
    #[error("WL-1050: {0}")]
    Key(#[from] schemas::identity::KeyTooShort),
}

/// Reads messages of one source.
#[derive(Debug, Clone)]
pub struct Mapper {
    config: MappingConfig,
    zone: TimeZone,
    options: ParseOptions,
    pseudonyms: Pseudonymizer,
}

impl Mapper {
    /// Checks the configuration. `pseudonym_key` is the tenant's.
    pub fn new(config: MappingConfig, pseudonym_key: &[u8]) -> Result<Self, MappingConfigError> {
        let zone = values::time_zone(&config.time_zone)
            .ok_or_else(|| MappingConfigError::TimeZone(config.time_zone.clone()))?;
        let fallback_charset = match &config.fallback_charset {
            Some(name) => Some(Charset::named(name).ok_or_else(|| MappingConfigError::Charset(name.clone()))?),
            None => None,
        };
        if let Some(wrong) = config.currency.as_deref().filter(|currency| !amount::is_currency(currency)) {
            return Err(MappingConfigError::Currency(wrong.to_owned()));
        }
        let proper = |name: &str| {
            name.len() == 3 && name.starts_with('Z') && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        if let Some(wrong) = config.z_segments.iter().find(|segment| !proper(&segment.name)) {
            return Err(MappingConfigError::ZSegment(wrong.name.clone()));
        }
        Ok(Self {
            zone,
            options: ParseOptions { fallback_charset },
            pseudonyms: Pseudonymizer::new(pseudonym_key)?,
            config,
        })
    }

    /// Reads one message. `now` is when it was received.
    pub fn read(&self, raw: &[u8], now: Timestamp) -> Reading {
        let hash = content_hash(raw);
        match Message::parse_with(raw, self.options) {
            Ok(message) => self.read_message(&message, hash, now),
            Err(error) => {
                let identity = Identity { hash, ..header_identity(raw, &self.config) };
                let refusal = Box::new(Refusal::unreadable(&error));
                let outcome = if refusal.code == "WL-1001" || refusal.code == "WL-1002" {
                    Outcome::DeadLetter(refusal)
                } else {
                    Outcome::Exception(refusal)
                };
                Reading { identity, outcome, tolerances: Vec::new(), patient_keys: Vec::new() }
            }
        }
    }

    fn read_message(&self, message: &Message<'_>, hash: String, now: Timestamp) -> Reading {
        let header = message.header();
        let text = |number: usize| values::text(header.field(number)).unwrap_or_default();
        let part = |number| values::text(header.field(9).component(number));
        let event = part(2).or_else(|| values::text(message.segment("EVN").field(1))).unwrap_or_default();
        let kind = part(1).unwrap_or_default();
        let facility = values::text(header.field(4)).unwrap_or_else(|| self.config.facility.clone());
        let message_type = if event.is_empty() { kind.clone() } else { format!("{kind}^{event}") };
        let identity = Identity { system: text(3), facility, control_id: text(10), message_type, hash };
        let context = Context::new(self, message, &identity, now);
        let patient_keys = context.patient_keys();
        let outcome = outcome(context, &kind, &event);
        Reading {
            outcome,
            tolerances: message.tolerances().iter().map(|tolerance| tolerance.name()).collect(),
            patient_keys,
            identity,
        }
    }
}

/// What a piece of a file or stream that is no message became.
pub fn read_stray(bytes: &[u8], refusal: Refusal) -> Reading {
    let identity = Identity { hash: content_hash(bytes), ..Identity::default() };
    Reading {
        identity,
        outcome: Outcome::DeadLetter(Box::new(refusal)),
        tolerances: Vec::new(),
        patient_keys: Vec::new(),
    }
}

const HEX: [u8; 16] = *b"0123456789abcdef";

/// SHA-256, lower-case hex, of a message without the line ends and padding behind it.
pub fn content_hash(raw: &[u8]) -> String {
    let end = raw
        .iter()
        .rposition(|byte| !byte.is_ascii_whitespace() && !matches!(byte, 0 | 0x1a | 0x1c))
        .map_or(0, |last| last + 1);
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(&raw[..end]) {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(HEX[usize::from(nibble)]));
        }
    }
    text
}

fn outcome(context: Context<'_>, kind: &str, event: &str) -> Outcome {
    let header = context.message.header();
    if kind == "ACK" {
        return Outcome::Dropped { rule: rules::ACKNOWLEDGEMENT, error: None };
    }
    if context.identity.control_id.is_empty() {
        return Outcome::Exception(Box::new(Refusal::no_control_id()));
    }
    if kind.is_empty() {
        return Outcome::Exception(Box::new(Refusal::no_message_type()));
    }
    let processing = values::text(header.field(11)).unwrap_or_default();
    if !context.mapper.config.processing_ids.contains(&processing) {
        let place = Some(ErrorPlace::new("MSH", 1, 11));
        let message = "this receiver takes production messages alone".to_owned();
        let error = AckError { code: 202, place, diagnostic: "WL-1007", message };
        return Outcome::Dropped { rule: rules::NOT_PRODUCTION, error: Some(Box::new(error)) };
    }
    let mapped = match (kind, event) {
        ("ADT", "A01" | "A02" | "A03" | "A04" | "A08" | "A11" | "A12" | "A13") => encounter::map(context, event),
        ("ADT", "A40") => encounter::map_merge(context),
        ("DFT", "P03" | "P11") => charge::map(context),
        ("ORU", "R01") => device::map(context),
        _ => return Outcome::Dropped { rule: rules::NOT_CONSUMED, error: None },
    };
    match mapped {
        Ok(events) if events.is_empty() => {
            let rule = if kind == "ORU" { rules::NO_DEVICE } else { rules::NO_STOCK_MOVEMENT };
            Outcome::Dropped { rule, error: None }
        }
        Ok(events) => Outcome::Events(events),
        Err(refusal) => Outcome::Exception(refusal),
    }
}

/// The identity of a message that cannot be decoded, as far as its header is ASCII.
fn header_identity(raw: &[u8], config: &MappingConfig) -> Identity {
    let Some(header) = crate::mllp::Header::read(raw) else { return Identity::default() };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let facility = text(header.component(4, 1));
    let event = text(header.component(9, 2));
    let kind = text(header.component(9, 1));
    Identity {
        system: text(header.component(3, 1)),
        facility: if facility.is_empty() { config.facility.clone() } else { facility },
        control_id: text(header.field(10)),
        message_type: if event.is_empty() { kind } else { format!("{kind}^{event}") },
        hash: String::new(),
    }
}
