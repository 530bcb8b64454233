//! Decides about events as a room of this version would, and does nothing: no producer, no group, no call outside.
//!
//! ```text
//! tables as they are now -> record of the past -> verdict, events, planned effect
//! ```
//! What a room decides is a pure function of event, tables and what was done before, so a new version can be asked about
//! records that the running one has decided, and both can be compared.

use crate::codec::Codec;
use crate::config::{Config, KafkaConfig};
use crate::kafka::ClientError;
use crate::librdkafka::Librdkafka;
use crate::room::RoomError;
use crate::shutdown::shutdown;
use connector::effect::{Effect, Plan};
use processor::{Binder, Input, Processor, Reason, TableFeed, Tables, Verdict, Wiring};
use schemas::codec::{CodecError, FRAME_LENGTH, WriterSchema};
use schemas::{Event, TopicInfo};
use serde_json::Value;
use std::sync::Arc;

/// A body and the schema that it was written with.
pub type Read<'a> = (&'a WriterSchema, &'a [u8]);

/// What a room would do with a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// It would write these events. With an effect it would first act outside; what the other side would answer is not in them.
    Emits {
        /// The events.
        events: Vec<SaidEvent>,
        /// What it would do outside.
        effect: Option<SaidEffect>,
    },
    /// It would leave the record out.
    Drops(Reason),
    /// It would wait.
    Waits(Reason),
    /// It would ask a person.
    Rejects(Reason),
}

/// An event of a room.
#[derive(Clone, Debug, PartialEq)]
pub struct SaidEvent {
    /// Its id; empty for an event without an envelope.
    pub id: String,
    /// Its fields.
    pub body: Value,
}

/// Something that a room would do outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidEffect {
    /// Identity of the effect.
    pub key: String,
    /// Endpoint.
    pub target: String,
}

/// A room that decides and does nothing.
pub trait Shadow: Send + Sync {
    /// The tables that it looks things up in; empty until somebody fills them.
    fn feeds(&self) -> &[Arc<dyn TableFeed>];

    /// What it writes.
    fn writes(&self) -> &'static TopicInfo;

    /// Fields of its events that the other side decides, by their names in the contract.
    fn answered(&self) -> &'static [&'static str];

    /// The business key of what was done before, when the decision about this record needs it.
    ///
    /// # Errors
    /// When the body is none of the events that the room reads.
    fn prior_key(&self, topic: &str, record: Read<'_>) -> Result<Option<String>, CodecError>;

    /// An event that the room has written, and the business key under which it is found as what was done before.
    ///
    /// # Errors
    /// When the body is none of the room's events.
    fn written(&self, event: Read<'_>) -> Result<(SaidEvent, Option<String>), CodecError>;

    /// Decides. `prior` is the event that the room wrote before under the business key.
    ///
    /// # Errors
    /// When a body is none of the events that the room reads or writes.
    fn decide(&self, topic: &str, record: Read<'_>, prior: Option<Read<'_>>) -> Result<Said, CodecError>;

    /// Decides about an event that is given as JSON, with nothing done before.
    ///
    /// # Errors
    /// When it is none of the events that the room reads.
    fn decide_json(&self, topic: &str, event: Value) -> Result<Said, CodecError>;
}

/// Fills the tables of a shadow with what their topics hold now. They do not follow their topics afterwards, so that all
/// records meet the same master data.
///
/// # Errors
/// When Kafka does not answer or a topic is missing.
pub async fn fill(shadow: &dyn Shadow, kafka: &KafkaConfig, codec: &Arc<Codec>) -> Result<(), ClientError> {
    let (trigger, stop) = shutdown();
    let cluster = Librdkafka::new(kafka);
    let readers = crate::tables::start(&cluster, shadow.feeds(), codec, &[], None, &stop).await?;
    trigger.stop();
    readers.ended().await;
    Ok(())
}

/// The shadow of a processor.
pub(crate) fn of_processor<P: Processor>(wiring: Wiring<P>, config: &Config) -> Box<dyn Shadow> {
    let mut binder = Binder::new(config.limits.table_rows_max);
    let tables = P::Tables::bind(&mut binder);
    Box::new(OfProcessor { processor: wiring.into_processor(), tables, feeds: binder.feeds() })
}

/// The shadow of an effect room.
pub(crate) fn of_effect<E: Effect>(effect: E, config: &Config) -> Box<dyn Shadow> {
    let mut binder = Binder::new(config.limits.table_rows_max);
    let tables = E::Tables::bind(&mut binder);
    Box::new(OfEffect { effect, tables, feeds: binder.feeds() })
}

/// Makes the shadow of a room from the configuration.
pub type MakeShadow = Arc<dyn Fn(&Config) -> Result<Box<dyn Shadow>, RoomError> + Send + Sync>;

struct OfProcessor<P: Processor> {
    processor: P,
    tables: P::Tables,
    feeds: Vec<Arc<dyn TableFeed>>,
}

impl<P: Processor> Shadow for OfProcessor<P> {
    fn feeds(&self) -> &[Arc<dyn TableFeed>] {
        &self.feeds
    }

    fn writes(&self) -> &'static TopicInfo {
        P::Output::topic()
    }

    fn answered(&self) -> &'static [&'static str] {
        &[]
    }

    fn prior_key(&self, _topic: &str, _record: Read<'_>) -> Result<Option<String>, CodecError> {
        Ok(None)
    }

    fn written(&self, (writer, body): Read<'_>) -> Result<(SaidEvent, Option<String>), CodecError> {
        Ok((said(&schemas::codec::decode::<P::Output>(writer, body)?)?, None))
    }

    fn decide(&self, topic: &str, (writer, body): Read<'_>, _prior: Option<Read<'_>>) -> Result<Said, CodecError> {
        verdict(self.processor.process(P::Input::decode(topic, writer, body)?, &self.tables))
    }

    fn decide_json(&self, topic: &str, event: Value) -> Result<Said, CodecError> {
        verdict(self.processor.process(P::Input::from_json(topic, event)?, &self.tables))
    }
}

struct OfEffect<E: Effect> {
    effect: E,
    tables: E::Tables,
    feeds: Vec<Arc<dyn TableFeed>>,
}

impl<E: Effect> Shadow for OfEffect<E> {
    fn feeds(&self) -> &[Arc<dyn TableFeed>] {
        &self.feeds
    }

    fn writes(&self) -> &'static TopicInfo {
        E::Output::topic()
    }

    fn answered(&self) -> &'static [&'static str] {
        E::answered()
    }

    fn prior_key(&self, topic: &str, (writer, body): Read<'_>) -> Result<Option<String>, CodecError> {
        let input = E::Input::decode(topic, writer, body)?;
        // For a first statement the whole past would be read, to find nothing nearly always.
        Ok(self.effect.prior_key(&input).filter(|_| self.effect.needs_prior(&input)))
    }

    fn written(&self, (writer, body): Read<'_>) -> Result<(SaidEvent, Option<String>), CodecError> {
        let output: E::Output = schemas::codec::decode(writer, body)?;
        let key = self.effect.output_key(&output);
        Ok((said(&output)?, Some(key)))
    }

    fn decide(&self, topic: &str, (writer, body): Read<'_>, prior: Option<Read<'_>>) -> Result<Said, CodecError> {
        let input = E::Input::decode(topic, writer, body)?;
        let prior: Option<E::Output> = prior.map(|(writer, body)| schemas::codec::decode(writer, body)).transpose()?;
        self.planned(&input, prior.as_ref())
    }

    fn decide_json(&self, topic: &str, event: Value) -> Result<Said, CodecError> {
        self.planned(&E::Input::from_json(topic, event)?, None)
    }
}

impl<E: Effect> OfEffect<E> {
    fn planned(&self, input: &E::Input, prior: Option<&E::Output>) -> Result<Said, CodecError> {
        match self.effect.plan(input, prior, &self.tables) {
            Plan::Decided(decided) | Plan::Late { verdict: decided, .. } => verdict(decided),
            Plan::Act(action) => {
                let events = self.effect.rehearse(input, &action.request);
                Ok(Said::Emits {
                    events: events.iter().map(as_written).collect::<Result<_, _>>()?,
                    effect: Some(SaidEffect { key: action.effect_key, target: action.target }),
                })
            }
        }
    }
}

fn verdict<T: Event>(verdict: Verdict<T>) -> Result<Said, CodecError> {
    Ok(match verdict {
        Verdict::Emit(events) => {
            Said::Emits { events: events.iter().map(as_written).collect::<Result<_, _>>()?, effect: None }
        }
        Verdict::Drop(reason) => Said::Drops(reason),
        Verdict::Wait(reason) => Said::Waits(reason),
        Verdict::Reject(reason) => Said::Rejects(reason),
    })
}

/// An event as it would be read back: what goes through the contract comes out with the digits that the contract says.
fn as_written<T: Event>(event: &T) -> Result<SaidEvent, CodecError> {
    let mut framed = Vec::new();
    schemas::codec::encode(event, 0, &mut framed)?;
    let body = framed.get(FRAME_LENGTH..).unwrap_or_default();
    said(&schemas::codec::decode::<T>(T::contract()?, body)?)
}

/// An event as it can be compared: what was written and what would be written are read the same way.
fn said<T: Event>(event: &T) -> Result<SaidEvent, CodecError> {
    let body = serde_json::to_value(event).map_err(|error| CodecError::Encode(error.to_string()))?;
    let id = event.meta().map(|meta| meta.event_id.clone()).unwrap_or_default();
    Ok(SaidEvent { id, body })
}
