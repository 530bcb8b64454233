//! What the records of the two topics say, as far as the index holds it. Payloads are passed over.

use super::told::{Told, ToldCorrection, ToldOrigin};
use super::waiting::Origin;
use runtime::codec::{Codec, WireError};
use runtime::parking_store::REPLAY_CODE;
use runtime::record::Record;
use schemas::approval::discard_mark;
use schemas::{
    Correction, Criticality, Decimal, DiscardRequest, Exception, ExceptionKind, ExceptionState, Subject, Timestamp,
    topics,
};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Reads records; asks the registry for schemas it has not seen.
pub struct Feed {
    codec: Arc<Codec>,
    handle: Handle,
}

/// An event that is parked.
#[derive(Debug)]
pub struct ParkedEvent {
    /// Its key as text.
    pub key: String,
    /// What it is worth and the currency, when it says it; nothing when a replay handed it over again.
    pub money: Option<(Decimal, String)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExceptionPart<'a> {
    exception_id: &'a str,
    kind: ExceptionKind,
    state: ExceptionState,
    room: &'a str,
    code: &'a str,
    message: &'a str,
    #[serde(default)]
    subject: Option<Subject>,
    #[serde(default)]
    origin_topic: Option<&'a str>,
    #[serde(default)]
    origin_partition: Option<i32>,
    #[serde(default)]
    origin_offset: Option<i64>,
    #[serde(default)]
    origin_key: Option<schemas::Bytes>,
    #[serde(default)]
    suggested_fix: Option<&'a str>,
    raised_at: Timestamp,
    at: Timestamp,
    #[serde(default)]
    assignee: Option<&'a str>,
    #[serde(default)]
    discard_request: Option<DiscardRequest>,
    #[serde(default)]
    correction: Option<Correction>,
    #[serde(default)]
    parked_key: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ParkedPart<'a> {
    key: &'a str,
    topic: &'a str,
    #[serde(default)]
    reason_code: &'a str,
    #[serde(default, borrow)]
    value: Option<&'a [u8]>,
}

/// What a usage says of money: by the price of its item, which is known when it is enriched, or by what its sender charges.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PricePart<'a> {
    #[serde(default)]
    currency: Option<&'a str>,
    #[serde(default)]
    amount: Option<Amount>,
    #[serde(default, borrow)]
    stated_amount: Option<StatedPart<'a>>,
}

#[derive(Deserialize)]
struct StatedPart<'a> {
    amount: Amount,
    currency: &'a str,
}

impl Feed {
    /// A feed; must be made where an async runtime is.
    pub fn new(codec: Arc<Codec>) -> Self {
        Self { codec, handle: Handle::current() }
    }

    /// What a record of the exception topic says; none when its exception is gone.
    ///
    /// # Errors
    /// When it cannot be read, or the registry does not answer.
    pub fn exception(&self, record: &Record) -> Result<Option<Told>, WireError> {
        let Some(value) = record.value.as_deref() else { return Ok(None) };
        let (writer, body) = self.opened(value)?;
        let part: ExceptionPart<'_> = schemas::codec::decode_part(&writer, body)?;
        let origin = match (part.origin_topic, part.origin_partition, part.origin_offset) {
            (Some(topic), Some(partition), Some(offset)) => {
                let key =
                    part.origin_key.as_ref().map_or(Cow::Borrowed(""), |key| String::from_utf8_lossy(key.as_ref()));
                Some(ToldOrigin { topic: topic.to_owned(), partition, offset, key: key.into_owned() })
            }
            _ => None,
        };
        Ok(Some(Told {
            id: part.exception_id.to_owned(),
            partition: record.place.partition,
            offset: record.place.offset,
            kind: part.kind,
            state: part.state,
            room: part.room.to_owned(),
            code: part.code.to_owned(),
            subject: part.subject.as_ref().map(subject_text),
            message: part.message.to_owned(),
            suggested_fix: part.suggested_fix.map(str::to_owned),
            class: class_of(part.room, part.origin_topic),
            origin,
            raised_at: part.raised_at.0,
            at: part.at.0,
            assignee: part.assignee.map(str::to_owned),
            discard_mark: part.discard_request.as_ref().map(discard_mark),
            discard_requested_by: part.discard_request.map(|request| request.actor),
            correction: part.correction.map(|correction| told_correction(part.exception_id, correction)),
            parked_key: part.parked_key,
        }))
    }

    /// What a record of the parking topic says; none when its event has left.
    ///
    /// # Errors
    /// As [`Feed::exception`].
    pub fn parked(&self, record: &Record) -> Result<Option<ParkedEvent>, WireError> {
        let Some(value) = record.value.as_deref() else { return Ok(None) };
        let (writer, body) = self.opened(value)?;
        let part: ParkedPart<'_> = schemas::codec::decode_part(&writer, body)?;
        let money = match part.value {
            Some(event) if is_usage(part.topic) => self.money(event)?,
            _ => None,
        };
        // What a replay hands over again was counted where it waited first, or is posted already: it waits for nobody's money.
        let is_again = part.reason_code == REPLAY_CODE;
        let money = money.map(|(amount, currency)| (if is_again { Decimal::ZERO } else { amount }, currency));
        Ok(Some(ParkedEvent { key: part.key.to_owned(), money }))
    }

    /// What an event says it is worth. An event that cannot be read says nothing: its room will say why. A registry that does
    /// not answer is another matter: the event is worth something all the same, and is asked for again.
    fn money(&self, event: &[u8]) -> Result<Option<(Decimal, String)>, WireError> {
        let (writer, body) = match self.opened(event) {
            Ok(opened) => opened,
            Err(error) if error.blames_record() => return Ok(None),
            Err(error) => return Err(error),
        };
        let Ok(part) = schemas::codec::decode_part::<PricePart<'_>>(&writer, body) else { return Ok(None) };
        let priced = part.amount.zip(part.currency);
        let stated = part.stated_amount.map(|stated| (stated.amount, stated.currency));
        Ok(priced.or(stated).map(|(amount, currency)| (amount.0, currency.to_owned())))
    }

    fn opened<'a>(&self, value: &'a [u8]) -> Result<runtime::codec::Opened<'a>, WireError> {
        match self.codec.open_cached(value)? {
            Some(opened) => Ok(opened),
            None => self.handle.block_on(self.codec.open(value)),
        }
    }
}

/// Whether the events of a topic say what they are worth.
fn is_usage(topic: &str) -> bool {
    [
        topics::CLINICAL_SUPPLY_USAGE_V1.name(),
        topics::SUPPLY_USAGE_VALIDATED_V1.name(),
        topics::SUPPLY_USAGE_ENRICHED_V1.name(),
    ]
    .contains(&topic)
}

/// What an exception whose record lies at a place tells.
pub fn told(exception: &Exception, (partition, offset): (i32, i64)) -> Told {
    let origin = match (&exception.origin_topic, exception.origin_partition, exception.origin_offset) {
        (Some(topic), Some(partition), Some(offset)) => {
            let key = exception.origin_key.as_ref().map(|key| String::from_utf8_lossy(key.as_ref()).into_owned());
            Some(ToldOrigin { topic: topic.clone(), partition, offset, key: key.unwrap_or_default() })
        }
        _ => None,
    };
    Told {
        id: exception.exception_id.clone(),
        partition,
        offset,
        kind: exception.kind,
        state: exception.state,
        room: exception.room.clone(),
        code: exception.code.clone(),
        subject: exception.subject.as_ref().map(subject_text),
        message: exception.message.clone(),
        suggested_fix: exception.suggested_fix.clone(),
        class: class_of(&exception.room, exception.origin_topic.as_deref()),
        origin,
        raised_at: exception.raised_at.0,
        at: exception.at.0,
        assignee: exception.assignee.clone(),
        discard_requested_by: exception.discard_request.as_ref().map(|request| request.actor.clone()),
        discard_mark: exception.discard_request.as_ref().map(discard_mark),
        correction: exception.correction.clone().map(|correction| told_correction(&exception.exception_id, correction)),
        parked_key: exception.parked_key,
    }
}

fn told_correction(exception_id: &str, correction: Correction) -> ToldCorrection {
    ToldCorrection { stands: schemas::approval::stands(exception_id, &correction), by: correction.actor }
}

/// The place in the key of a parked record: room, topic, partition and offset of its origin.
pub fn origin_of(key: &str) -> Option<Origin<'_>> {
    let mut parts = key.split('|');
    let (room, topic) = (parts.next()?, parts.next()?);
    Some(Origin { room, topic, partition: parts.next()?.parse().ok()?, offset: parts.next()?.parse().ok()? })
}

/// A subject as one word.
pub fn subject_text(subject: &Subject) -> String {
    format!("{}/{}", subject.kind, subject.key)
}

/// How urgent the flow is that an exception stopped: that of the topic of its event, or of the most urgent topic that its room
/// writes where it is about something that never became an event.
pub fn class_of(room: &str, origin_topic: Option<&str>) -> Criticality {
    if let Some(info) = origin_topic.and_then(topics::find) {
        return info.class;
    }
    let written = topics::ALL.iter().filter(|info| info.producers.contains(&room) && !info.name.starts_with("ops."));
    written.map(|info| info.class).min().unwrap_or(Criticality::Operational)
}

/// An amount of money, read exactly.
#[derive(Debug)]
struct Amount(Decimal);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Amount;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a decimal as text")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Amount, E> {
                Decimal::from_str(text).map(Amount).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use runtime::record::Place;
    use schemas::{EnrichedUsage, Event, Money, Parked, SupplyUsage, ValidatedUsage};

    fn record<T: Event>(codec: &Codec, topic: &str, event: &T) -> Record {
        parked_because(codec, topic, event, "WL-4002")
    }

    fn parked_because<T: Event>(codec: &Codec, topic: &str, event: &T, code: &str) -> Record {
        let value = Some(codec.encode(event).unwrap().into());
        let (key, topic, reason_code) = ("enc-1".to_owned(), topic.to_owned(), code.to_owned());
        let parked = Parked { key, topic, value, reason_code, ..Parked::default() };
        let place = Place { topic: Arc::from("ops.parked.v1"), partition: 0, offset: 1 };
        let value = Some(codec.encode(&parked).unwrap());
        Record { place, timestamp_ms: None, key: None, value, headers: Vec::new() }
    }

    fn eur(cents: i64) -> Money {
        Money { amount: Decimal::new(cents, 2), currency: "EUR".to_owned() }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_parked_event_says_what_it_is_worth_by_its_price_or_as_its_sender_charges_it() {
        let (enriched, sent, validated) = (EnrichedUsage::topic(), SupplyUsage::topic(), ValidatedUsage::topic());
        let known = [(Parked::topic(), 1), (enriched, 2), (sent, 3), (validated, 4)];
        let codec = Arc::new(Codec::fixed(&known).unwrap());
        let feed = Feed::new(Arc::clone(&codec));
        let money = |record: Record| {
            let money = feed.parked(&record).unwrap().unwrap().money;
            money.map(|(amount, currency)| format!("{} {currency}", amount.normalize()))
        };
        let priced = |topic: &str, cents: Option<i64>, stated_amount: Option<Money>| {
            let (amount, currency) = (cents.map(|cents| Decimal::new(cents, 2)), Some("CHF".to_owned()));
            let encounter_ref = "enc-1".to_owned();
            let usage = EnrichedUsage { encounter_ref, amount, currency, stated_amount, ..EnrichedUsage::default() };
            money(record(&codec, topic, &usage))
        };
        assert_eq!(priced(enriched.name, Some(-12_345), None).as_deref(), Some("-123.45 CHF"));
        assert_eq!(priced(enriched.name, Some(-12_345), Some(eur(1))).as_deref(), Some("-123.45 CHF"), "its price");
        assert_eq!(priced(enriched.name, None, Some(eur(4_821_000))).as_deref(), Some("48210 EUR"), "else the charge");
        assert_eq!(priced(enriched.name, None, None), None);
        assert_eq!(priced("another.topic.v1", Some(1), None), None, "only usages are worth something");

        let again = EnrichedUsage {
            encounter_ref: "enc-1".to_owned(),
            amount: Some(Decimal::ONE),
            currency: Some("CHF".to_owned()),
            ..EnrichedUsage::default()
        };
        let again = money(parked_because(&codec, enriched.name, &again, REPLAY_CODE));
        assert_eq!(again.as_deref(), Some("0 CHF"), "it was counted before");

        let stated = |stated_amount: Option<Money>| {
            let usage = SupplyUsage { encounter_ref: "enc-1".to_owned(), stated_amount, ..SupplyUsage::default() };
            let checked = ValidatedUsage::from(usage.clone());
            let worth = money(record(&codec, sent.name, &usage));
            assert_eq!(money(record(&codec, validated.name, &checked)), worth, "what was validated says the same");
            worth
        };
        assert_eq!(stated(Some(eur(-85_000))).as_deref(), Some("-850 EUR"), "a credit");
        assert_eq!(stated(None), None);
    }

    #[test]
    fn the_key_of_a_parked_record_says_where_it_came_from() {
        assert_eq!(origin_of("erp-post|t|3|17").unwrap().offset, 17);
        assert!(origin_of("erp-post|t|3").is_none());
    }
}
