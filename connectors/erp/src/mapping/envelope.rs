//! What all events of the ERP have in common: identity, revision, time, origin.

use connector::erp::{Change, Stream};
use erp_systems::System;
use jiff::civil::Date as CivilDate;
use schemas::{Action, Date, Decimal, Event, EventMeta, Precision, Source, SourceFormat, Timestamp, identity};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tryton::{date, decimal, newest, text};

use super::MapError;
use crate::ErpConfig;

/// 2020-01-01T00:00:00Z, from which revisions count, in seconds since 1970.
const REVISION_EPOCH: i64 = 1_577_836_800;
/// Decimal places of money and of quantities in the contracts.
const MONEY_PLACES: u32 = 4;
const QUANTITY_PLACES: u32 = 6;
/// Digits of both.
const CONTRACT_DIGITS: u32 = 18;

/// A record on its way to an event.
pub(super) struct Envelope<'a> {
    config: &'a ErpConfig,
    stream: Stream,
    change: &'a Change,
    now: Timestamp,
    changed_at: Option<jiff::Timestamp>,
    content_hash: String,
}

impl<'a> Envelope<'a> {
    pub(super) fn new(config: &'a ErpConfig, stream: Stream, change: &'a Change, now: Timestamp) -> Self {
        let mut canonical = String::new();
        write_sorted(&change.body, &mut canonical);
        let digest = Sha256::digest(canonical.as_bytes());
        let content_hash = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        // A supplier shows once for each of its items; only its own changes count, so that all show the same.
        let changed_at = match (config.system, stream) {
            (System::Tryton, Stream::Suppliers) => newest(&change.body["party"]),
            (System::Tryton, _) => newest(&change.body).max(change.changed_at),
            (System::Sandbox, _) => change.changed_at,
        };
        Self { config, stream, change, now, changed_at, content_hash }
    }

    pub(super) fn key(&self) -> &'a str {
        &self.change.key
    }

    pub(super) fn body(&self) -> &'a Value {
        &self.change.body
    }

    pub(super) fn text(&self, path: &str) -> Option<String> {
        text(self.body(), path).map(str::to_owned)
    }

    /// The technical id of the record.
    pub(super) fn erp_id(&self) -> Option<String> {
        self.body()["id"].as_i64().map(|id| id.to_string())
    }

    pub(super) fn changed_at(&self) -> Option<Timestamp> {
        self.changed_at.map(|moment| Timestamp::from_micros(moment.as_microsecond()))
    }

    /// The record as the adapter types it.
    pub(super) fn typed<T: DeserializeOwned>(&self) -> Result<T, MapError> {
        let read = serde_json::from_value(self.change.body.clone());
        read.map_err(|error| MapError::Shape {
            stream: self.stream,
            key: self.key().to_owned(),
            reason: error.to_string(),
        })
    }

    pub(super) fn missing(&self, field: &'static str) -> MapError {
        MapError::Missing { stream: self.stream, key: self.key().to_owned(), field }
    }

    fn digits(&self, field: &'static str) -> MapError {
        MapError::Digits { stream: self.stream, key: self.key().to_owned(), field }
    }

    /// A quantity of `record`; above all others a quantity is never rounded.
    pub(super) fn quantity(&self, record: &Value, field: &'static str) -> Result<Decimal, MapError> {
        let quantity = decimal(record, field).ok_or_else(|| self.missing(field))?;
        self.exact_quantity(quantity, field)
    }

    /// A quantity of `record`, counted in `unit`. Only the result has to be exact: a pound is sixteen ounces, and neither is a
    /// round number of kilograms.
    pub(super) fn quotient(&self, record: &Value, field: &'static str, unit: Decimal) -> Result<Decimal, MapError> {
        let quantity = decimal(record, field).ok_or_else(|| self.missing(field))?;
        let quotient = quantity.checked_div(unit).ok_or_else(|| self.digits(field))?;
        self.exact_quantity(quotient, field)
    }

    /// The quantity as the contract has it.
    pub(super) fn exact_quantity(&self, quantity: Decimal, field: &'static str) -> Result<Decimal, MapError> {
        self.exact(quantity, QUANTITY_PLACES, field)
    }

    /// An amount of `record`, if there is one.
    pub(super) fn money(&self, record: &Value, field: &'static str) -> Result<Option<Decimal>, MapError> {
        decimal(record, field).map(|amount| self.exact_money(amount, field)).transpose()
    }

    /// The amount as the contract has it.
    pub(super) fn exact_money(&self, amount: Decimal, field: &'static str) -> Result<Decimal, MapError> {
        self.exact(amount, MONEY_PLACES, field)
    }

    fn exact(&self, value: Decimal, places: u32, field: &'static str) -> Result<Decimal, MapError> {
        let rounded = value.round_dp(places);
        // Averaged costs have as many digits as the division gave; prices are said to four places. Quantities are not
        // rounded, but a float of the ERP may carry the dust of binary arithmetic behind the twelfth digit.
        let close = places == MONEY_PLACES || (value - rounded).abs() <= Decimal::new(1, 12);
        let fits = rounded.abs() < Decimal::from(10_u64.pow(CONTRACT_DIGITS - places));
        if close && fits {
            return Ok(rounded.normalize());
        }
        Err(self.digits(field))
    }

    /// The envelope of an event. `name` is its business key behind the topic, `position` its place in the record.
    pub(super) fn meta<T: Event>(&self, name: &str, position: i32, action: Action, kind: Option<&str>) -> EventMeta {
        let event_type = schemas::event_type(T::topic().name, kind);
        let revision = self.revision();
        let changed_at = self.changed_at().unwrap_or_default().micros();
        let identity = match self.written() {
            Some(written) => format!("{}@{changed_at}.{written}", self.key()),
            None => format!("{}@{changed_at}", self.key()),
        };
        let config = self.config;
        EventMeta {
            event_id: identity::event_id(config.instance(), &identity, &position.to_string(), &event_type),
            business_key: format!("{}/{name}", T::topic().name),
            revision,
            action,
            occurred_at: self.changed_at(),
            recorded_at: self.changed_at().unwrap_or(self.now),
            published_at: self.now,
            occurred_precision: Precision::Micros,
            facility_id: config.facility.clone(),
            source: Source {
                system: config.instance().to_owned(),
                facility: config.facility.clone(),
                format: if self.stream == Stream::Employees { SourceFormat::HrApi } else { SourceFormat::ErpApi },
                message_type: text(self.body(), "__name__").unwrap_or(self.stream.as_str()).to_owned(),
                message_id: format!("{}@{revision}", self.erp_id().unwrap_or_else(|| self.key().to_owned())),
                position,
                content_hash: self.content_hash.clone(),
            },
            ..EventMeta::default()
        }
    }

    /// Rises with every change. The stamps of the sandbox ERP never fall and it counts its changes, so the sum rises;
    /// Tryton's adapter shows a record when the second of its stamp is over, so two changes have two seconds.
    fn revision(&self) -> i32 {
        let seconds = self.changed_at.map_or(0, |moment| moment.as_second() - REVISION_EPOCH);
        i32::try_from(seconds.max(0).saturating_add(self.written().unwrap_or(0))).unwrap_or(i32::MAX)
    }

    /// How often the ERP wrote the record, where it says so.
    fn written(&self) -> Option<i64> {
        match self.config.system {
            System::Tryton => None,
            System::Sandbox => self.body()["revision"].as_i64(),
        }
    }
}

/// A day of a record.
pub(super) fn day(record: &Value, path: &str) -> Option<Date> {
    date(record, path).map(|day: CivilDate| Date::from(day))
}

/// The text of a record with its fields in order: the ERP gives them in a different one each time.
fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            for (name, value) in fields {
                text.push_str(name);
                text.push(':');
                write_sorted(value, text);
                text.push(';');
            }
        }
        Value::Array(values) => {
            for value in values {
                write_sorted(value, text);
                text.push(',');
            }
        }
        plain => text.push_str(&plain.to_string()),
    }
}
