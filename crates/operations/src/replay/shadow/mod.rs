//! What another version of a room would make of records that the running one has decided: nothing is written, nobody is
//! called.
//!
//! ```text
//! range -> what became of each record, from topics ----------\
//!       -> this version decides again, tables as of now -------> compared: verdicts, fields, effects, money
//! ```
//! The version is that of the program that is asked: an operator runs the new image against the cluster of the old one.

mod compare;
mod past;
mod report;

pub use compare::{Became, Compared, FieldChange, compare, masked};
pub use report::{Change, EffectCounts, Example, FieldReport, MoneyReport, ShadowReport};

use super::acts::Replays;
use super::plan::Count;
use super::store::blocking;
use super::{ReplayError, ReplaySelection};
use compare::behind;
use past::{Past, Seen};
use report::Tally;
use runtime::codec::WireError;
use runtime::reader::{self, From, Range, Until};
use runtime::record::Record;
use runtime::shadow::{Read, Said, Shadow};
use schemas::{OnReject, ReplaySpan, headers};
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio::runtime::Handle;

/// The version of this program, as its image is tagged.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is to be looked at.
#[derive(Clone, Debug, Default)]
pub struct ShadowRequest {
    /// The room.
    pub room: String,
    /// Topic, when the room reads several.
    pub topic: Option<String>,
    /// Which records.
    pub selection: ReplaySelection,
    /// The version that is to be asked; whichever this program is when left out.
    pub version: Option<String>,
}

impl ShadowRequest {
    /// Refuses when another version is to be asked than this program is: the version is that of the program (ADR 0021).
    ///
    /// # Errors
    /// When the versions are not the same.
    pub fn is_for_this_version(&self) -> Result<(), ReplayError> {
        match &self.version {
            Some(asked) if asked != VERSION => Err(ReplayError::OtherVersion { asked: asked.clone(), is: VERSION }),
            _ => Ok(()),
        }
    }
}

impl Replays {
    /// Has a room of this version decide records again that the running one has passed, and compares. Writes nothing and calls
    /// nobody. `read` is told how many records were read, now and then.
    ///
    /// # Errors
    /// When another version is to be asked, the selection makes no sense, nothing is found, a bound is met, or Kafka or the registry does not answer.
    pub async fn shadow(
        self: &Arc<Self>,
        request: &ShadowRequest,
        shadow: Box<dyn Shadow>,
        read: impl Fn(u64) + Send + 'static,
    ) -> Result<ShadowReport, ReplayError> {
        request.is_for_this_version()?;
        runtime::shadow::fill(shadow.as_ref(), &self.config.kafka, &self.codec).await?;
        let count = Count::new(self, &request.room, request.topic.as_deref(), &request.selection)?;
        let selection = request.selection.clone();
        let handle = Handle::current();
        blocking(move || {
            let spans = count.spans(&selection)?;
            let rehearsal = Rehearsal { count: &count, shadow: shadow.as_ref(), handle: &handle, told: &read };
            rehearsal.run(&spans)
        })
        .await
    }
}

/// One look at a range.
struct Rehearsal<'a> {
    count: &'a Count,
    shadow: &'a dyn Shadow,
    handle: &'a Handle,
    told: &'a dyn Fn(u64),
}

impl Rehearsal<'_> {
    fn run(&self, spans: &[ReplaySpan]) -> Result<ShadowReport, ReplayError> {
        let most = self.count.replays.own.shadow_max;
        let (mut seen, mut read) = (Seen::default(), 0);
        self.each(spans, &mut read, &mut |record| {
            seen.take(&record, self.prior_key(&record)?);
            if seen.len() > most {
                return Err(ReplayError::TooMuch { what: "records", key: "shadow_max", most });
            }
            Ok(())
        })?;
        let (room, topic) = (self.count.room.info.name, self.count.topic.name);
        if seen.len() == 0 {
            return Err(ReplayError::Nothing { room: room.to_owned(), topic: topic.to_owned() });
        }
        let past = Past::gather(self.count, self.shadow, seen, self.handle)?;
        let mut tally = Tally::new(room, topic, self.shadow.writes());
        let is_ordered = self.count.topic.on_reject == OnReject::Park;
        // Keys of which this version holds an event up: what waits behind that goes on waiting.
        let mut held = HashSet::new();
        self.each(spans, &mut read, &mut |record| {
            let place = (record.place.partition, record.place.offset);
            let became = past.of(place)?;
            let said = self.decide(&record, &past)?;
            let waits_behind = became == Became::Waits && held.contains(&record.key);
            if is_ordered && matches!(said, Ok(Said::Waits(_) | Said::Rejects(_))) {
                held.insert(record.key.clone());
            }
            let compared = match said {
                _ if waits_behind => behind(&became),
                Ok(said) => compare(&became, Some(&said), self.shadow.answered(), &|key| past.is_applied(key)),
                Err(_) => compare(&became, None, self.shadow.answered(), &|_| false),
            };
            tally.take(&record.place.to_string(), record.header(headers::ID).unwrap_or_default(), &compared);
            Ok(())
        })?;
        Ok(ShadowReport { compared_with: past.versions(), ..tally.finish() })
    }

    /// Visits the chosen records of the spans.
    fn each(
        &self,
        spans: &[ReplaySpan],
        read: &mut u64,
        visit: &mut dyn FnMut(Record) -> Result<(), ReplayError>,
    ) -> Result<(), ReplayError> {
        for span in spans {
            let range = Range {
                topic: self.count.topic.name.to_owned(),
                partitions: vec![span.partition],
                from: From::Offset(span.start),
                until: Until::Offset(span.end),
            };
            let mut failed = None;
            reader::read_range(&self.count.replays.config.kafka, &range, |record| {
                *read += 1;
                if read.is_multiple_of(1_000) {
                    (self.told)(*read);
                }
                let done = self.count.takes(&record).and_then(|takes| if takes { visit(record) } else { Ok(()) });
                match done {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }

    fn prior_key(&self, record: &Record) -> Result<Option<String>, ReplayError> {
        let topic = self.count.topic.name;
        let asked = self.opened(record, &|read| self.shadow.prior_key(topic, read))?;
        Ok(asked.unwrap_or_default())
    }

    /// What this version says of a record; the code when it cannot be read.
    fn decide(&self, record: &Record, past: &Past) -> Result<Result<Said, &'static str>, ReplayError> {
        let topic = self.count.topic.name;
        let prior = past.prior((record.place.partition, record.place.offset));
        let prior = prior.map(|value| self.handle.block_on(self.count.replays.codec.open(value))).transpose()?;
        let prior = prior.as_ref().map(|(writer, body)| (writer.as_ref(), *body));
        self.opened(record, &|read| self.shadow.decide(topic, read, prior))
    }

    /// Reads a record; the code when its bytes are at fault.
    fn opened<T>(
        &self,
        record: &Record,
        read: &dyn Fn(Read<'_>) -> Result<T, schemas::codec::CodecError>,
    ) -> Result<Result<T, &'static str>, ReplayError> {
        let value = record.value.as_deref().unwrap_or_default();
        let opened = self.handle.block_on(self.count.replays.codec.open(value));
        let outcome = opened.and_then(|(writer, body)| read((&writer, body)).map_err(WireError::from));
        match outcome {
            Ok(read) => Ok(Ok(read)),
            Err(error) if error.blames_record() => Ok(Err(error.code())),
            Err(error) => Err(error.into()),
        }
    }
}
