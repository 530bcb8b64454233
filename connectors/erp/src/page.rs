//! What a page of changes becomes: records for Kafka, exceptions, and what to remember once they are there.

use std::collections::HashMap;

use connector::erp::{Change, Stream};
use runtime::outgoing::Outgoing;
use runtime::publisher::PublishError;
use schemas::{Bytes, Exception, ExceptionKind, ExceptionState, Severity, Subject, Timestamp, identity};

use crate::mapping::{self, MapError, Mapped};
use crate::seen::{Content, Name, Seen, identify};
use crate::{ErpConfig, NAME};

/// What stands for the content of an exception: it is named after the record, so the same one says the same.
const RAISED: Content = [0; 32];

/// How a page is read.
pub(crate) struct Page<'a> {
    pub(crate) config: &'a ErpConfig,
    pub(crate) stream: Stream,
    pub(crate) now: Timestamp,
}

/// A page on its way to Kafka.
#[derive(Default)]
pub(crate) struct Staged {
    pub(crate) records: Vec<Outgoing>,
    pub(crate) exceptions: Vec<Exception>,
    /// Events that say what was published before.
    pub(crate) duplicates: u64,
    /// The last content of each name.
    pub(crate) remembered: HashMap<Name, Content>,
}

impl Page<'_> {
    /// Maps a page; what has not changed in content is left out. A record that cannot be an event becomes an exception and
    /// holds no other back; an error is of Kafka or the registry.
    pub(crate) fn stage(
        &self,
        changes: &[Change],
        seen: &Seen,
        encode: impl Fn(&Mapped) -> Result<Outgoing, PublishError>,
    ) -> Result<Staged, PublishError> {
        let mut staged = Staged::default();
        for change in changes {
            if let Err(error) = self.publish(change, &mut staged, seen, &encode)? {
                self.refuse(change, &error, &mut staged, seen);
            }
        }
        Ok(staged)
    }

    /// Stages the events of one record, all or none; the inner error is the record's own.
    fn publish(
        &self,
        change: &Change,
        staged: &mut Staged,
        seen: &Seen,
        encode: impl Fn(&Mapped) -> Result<Outgoing, PublishError>,
    ) -> Result<Result<(), MapError>, PublishError> {
        let events = match mapping::events(self.config, self.stream, change, self.now) {
            Ok(events) => events,
            Err(error) => return Ok(Err(error)),
        };
        let named = events.iter().map(|event| (identify(self.stream, event), event));
        let (known, news): (Vec<_>, Vec<_>) = named.partition(|((name, content), _)| staged.knows(seen, name, content));
        let records = match news.iter().map(|(_, event)| encode(event)).collect::<Result<Vec<_>, _>>() {
            Err(PublishError::Wire(error)) if error.unfit().is_some() => {
                return Ok(Err(MapError::Unfit { stream: self.stream, key: change.key.clone() }));
            }
            records => records?,
        };
        staged.records.extend(records);
        staged.remembered.extend(news.into_iter().map(|(identity, _)| identity));
        staged.duplicates += known.len() as u64;
        Ok(Ok(()))
    }

    fn refuse(&self, change: &Change, error: &MapError, staged: &mut Staged, seen: &Seen) {
        let exception = self.exception(change, error);
        let name = (self.stream, exception.exception_id.clone());
        if !staged.knows(seen, &name, &RAISED) {
            staged.exceptions.push(exception);
            staged.remembered.insert(name, RAISED);
        }
    }

    /// The exception about a record that cannot be an event, with the record as the ERP gave it (RAW-1).
    fn exception(&self, change: &Change, error: &MapError) -> Exception {
        let Self { config, stream, now } = *self;
        let body = change.body.to_string();
        let identity = format!("{stream}/{}", change.key);
        let mend = if let MapError::Missing { .. } = error { "complete" } else { "correct" };
        Exception {
            exception_id: identity::event_id(config.instance(), &identity, &body, "exception"),
            kind: ExceptionKind::Raised,
            state: ExceptionState::Open,
            room: NAME.to_owned(),
            stage: "map".to_owned(),
            code: error.code().to_owned(),
            severity: Severity::Error,
            retryable: false,
            message: error.to_string(),
            subject: Some(Subject { kind: stream.as_str().to_owned(), key: change.key.clone() }),
            field_paths: vec![error.field().to_owned()],
            suggested_fix: Some(format!(
                "{mend} {} of {} in the ERP; the change brings it here",
                error.field(),
                change.key
            )),
            raw_value: Some(Bytes::from(body.into_bytes())),
            content_type: Some("application/json".to_owned()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            raised_at: now,
            at: now,
            ..Exception::default()
        }
    }
}

impl Staged {
    /// Whether that is what was said last about it, in this page or before.
    fn knows(&self, seen: &Seen, name: &Name, content: &Content) -> bool {
        match self.remembered.get(name) {
            Some(last) => last == content,
            None => seen.knows(name, content),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::{Page, Staged};
    use crate::ErpConfig;
    use crate::mapping::Mapped;
    use crate::seen::Seen;
    use connector::erp::{Change, Stream};
    use runtime::codec::{Codec, WireError};
    use runtime::outgoing::{Lineage, Outgoing};
    use runtime::publisher::PublishError;
    use schemas::codec::CodecError;
    use schemas::{Timestamp, topics};
    use serde_json::{Value, json};

    const GLOVES: &str = include_str!("../tests/fixtures/items-71-100777.json");

    fn item(key: &str, name: &str) -> Change {
        let mut body: Value = serde_json::from_str(GLOVES).unwrap();
        body["template"]["name"] = json!(name);
        Change { key: key.to_owned(), changed_at: None, body }
    }

    /// Stages items of which one is found out by `encode` alone.
    fn stage(changes: &[Change], seen: &Seen, fault: fn() -> WireError) -> Result<Staged, PublishError> {
        let codec = Codec::fixed(&[(topics::MASTER_ITEM_V1.info(), 1)]).unwrap();
        let page = Page { config: &ErpConfig::default(), stream: Stream::Items, now: Timestamp::from_micros(1) };
        page.stage(changes, seen, |event| {
            let Mapped::Item(item) = event else { unreachable!("only items are staged") };
            if item.description == "faulty" {
                return Err(fault().into());
            }
            let value = codec.encode(item.as_ref())?;
            Ok(Outgoing::event(item.as_ref(), value, &Lineage::default(), "test"))
        })
    }

    fn keys(staged: &Staged) -> Vec<&[u8]> {
        staged.records.iter().filter_map(|record| record.key.as_deref()).collect()
    }

    fn unfit() -> WireError {
        WireError::Unfit(CodecError::Encode("too many digits".to_owned()))
    }

    #[test]
    fn key_1_an_event_that_does_not_fit_its_contract_holds_no_other_back() {
        let mut seen = Seen::new(100);
        let changes = [item("A", "one"), item("B", "faulty"), item("C", "three")];
        let staged = stage(&changes, &seen, unfit).unwrap();
        assert_eq!(keys(&staged), [b"A", b"C"]);
        let exception = &staged.exceptions[0];
        assert_eq!((staged.exceptions.len(), exception.code.as_str()), (1, "WL-6008"));
        assert_eq!(exception.message, "WL-6008: items B: the event does not fit the contract of its topic");
        assert_eq!(exception.raw_value, Some(changes[1].body.to_string().into_bytes().into()));
        staged.remembered.into_iter().for_each(|(name, content)| seen.remember(name, content));
        let again = stage(&changes, &seen, unfit).unwrap();
        assert_eq!((again.records.len(), again.exceptions.len(), again.duplicates), (0, 0, 2));
    }

    #[test]
    fn loss_1_a_registry_that_is_away_is_no_fault_of_the_record() {
        let away = || WireError::Registry("away".to_owned());
        assert!(stage(&[item("A", "one"), item("B", "faulty")], &Seen::new(100), away).is_err());
    }

    #[test]
    fn loss_1_a_record_that_comes_back_to_what_it_was_within_a_page_is_told() {
        let changes = [item("A", "one"), item("A", "two"), item("A", "two"), item("A", "one")];
        let staged = stage(&changes, &Seen::new(100), unfit).unwrap();
        assert_eq!((staged.records.len(), staged.duplicates), (3, 1));
    }
}
