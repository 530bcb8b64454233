//! What was published before the room started, read back from its own topics.
//!
//! An order that goes from confirmed to done has a new stamp, and so a new revision, and says nothing new. A room that did not
//! know what it had said would publish it again, and the supplier would be told twice (FX-1).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use connector::erp::Stream;
use runtime::codec::Codec;
use runtime::reader::Range;
use runtime::readers::Readers;
use runtime::record::Record;
use runtime::{RoomContext, RoomError};
use schemas::codec::{CodecError, WriterSchema, decode};
use schemas::{TopicInfo, topics};
use tokio::runtime::Handle;

use crate::ErpConfig;
use crate::mapping::Mapped;
use crate::seen::{Content, Seen, identify};

/// Records after which a long topic says how far it is.
const PROGRESS: u64 = 100_000;

/// Remembers the newest event of each business key of this ERP, of the streams that are followed. A topic that cannot be read
/// is an error: going on without would repeat what was told.
pub(crate) async fn recall(context: &RoomContext, config: &ErpConfig, readers: &Readers) -> Result<Seen, RoomError> {
    let mut seen = Seen::new(config.remembered_max);
    for stream in &config.streams {
        let mut told = Told {
            stream: *stream,
            instance: config.instance().to_owned(),
            codec: Arc::clone(&context.codec),
            handle: Handle::current(),
            most: config.remembered_max.max(1),
            newest: HashMap::new(),
            read: 0,
            left_out: 0,
        };
        let (readers, stop) = (readers.clone(), context.shutdown.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut failed = None;
            let range = Range::all(topic(told.stream).name);
            let read = readers.read_range(&range, |record| {
                failed = told.take(&record).err();
                if failed.is_some() || stop.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            read.map_err(|error| RoomError::Room(error.to_string()))?;
            failed.map_or(Ok(told), Err)
        });
        let told = read.await.map_err(|error| RoomError::Worker(error.to_string()))??;
        let (read, left_out, remembered) = (told.read, told.left_out, told.newest.len());
        tracing::info!(%stream, read, left_out, remembered, "read back what was published");
        told.remember(&mut seen);
    }
    Ok(seen)
}

/// What a topic tells, record by record. Only contents are held, no events.
struct Told {
    stream: Stream,
    instance: String,
    codec: Arc<Codec>,
    handle: Handle,
    most: usize,
    newest: HashMap<String, Last>,
    read: u64,
    /// Records of other ERPs, and such as are no event of this topic.
    left_out: u64,
}

/// The newest event of a business key.
struct Last {
    content: Content,
    partition: i32,
    /// When it was published, microseconds since 1970.
    published_at: i64,
}

impl Told {
    fn take(&mut self, record: &Record) -> Result<(), RoomError> {
        self.read += 1;
        if self.read.is_multiple_of(PROGRESS) {
            tracing::info!(stream = %self.stream, read = self.read, "reading back what was published");
        }
        let Some(value) = &record.value else {
            // Deleted by its key, which on compacted topics is the name behind the topic.
            self.newest.remove(&format!("{}/{}", topic(self.stream).name, record.key_text()));
            return Ok(());
        };
        let opened = match self.codec.open_on(&self.handle, value) {
            Err(error) if error.blames_record() => None,
            opened => Some(opened?),
        };
        let event = opened.and_then(|(writer, body)| read_event(self.stream, &writer, body).ok());
        let Some(event) = event.filter(|event| event.meta().source.system == self.instance) else {
            self.left_out += 1;
            return Ok(());
        };
        let ((_, key), content) = identify(self.stream, &event);
        let published_at = event.meta().published_at.micros();
        let last = Last { content, partition: record.place.partition, published_at };
        let newer = |known: &Last| known.partition == last.partition || known.published_at <= last.published_at;
        if self.newest.get(&key).is_none_or(newer) {
            self.newest.insert(key, last);
        }
        if self.newest.len() >= self.most.saturating_mul(2) {
            self.forget();
        }
        Ok(())
    }

    /// Keeps the newest of what is too much. Partitions are not read in the order of time, so this cannot be done one by one.
    fn forget(&mut self) {
        let mut all: Vec<(String, Last)> = self.newest.drain().collect();
        if self.most < all.len() {
            all.select_nth_unstable_by_key(self.most, |(_, last)| Reverse(last.published_at));
            all.truncate(self.most);
        }
        self.newest.extend(all);
    }

    fn remember(self, seen: &mut Seen) {
        let mut all: Vec<(String, Last)> = self.newest.into_iter().collect();
        all.sort_unstable_by_key(|(_, last)| last.published_at);
        for (key, last) in all {
            seen.remember((self.stream, key), last.content);
        }
    }
}

/// The topic of a stream.
fn topic(stream: Stream) -> &'static TopicInfo {
    match stream {
        Stream::Items => topics::MASTER_ITEM_V1.info(),
        Stream::Suppliers => topics::MASTER_SUPPLIER_V1.info(),
        Stream::Locations => topics::MASTER_LOCATION_V1.info(),
        Stream::CostCentres => topics::MASTER_COST_CENTER_V1.info(),
        Stream::Employees => topics::MASTER_EMPLOYEE_V1.info(),
        Stream::PurchaseOrders => topics::SUPPLY_PURCHASE_ORDER_V1.info(),
        Stream::Receipts => topics::SUPPLY_GOODS_RECEIPT_V1.info(),
    }
}

fn read_event(stream: Stream, writer: &WriterSchema, body: &[u8]) -> Result<Mapped, CodecError> {
    Ok(match stream {
        Stream::Items => Mapped::Item(Box::new(decode(writer, body)?)),
        Stream::Suppliers => Mapped::Supplier(decode(writer, body)?),
        Stream::Locations => Mapped::Location(decode(writer, body)?),
        Stream::CostCentres => Mapped::CostCentre(decode(writer, body)?),
        Stream::Employees => Mapped::Employee(decode(writer, body)?),
        Stream::PurchaseOrders => Mapped::PurchaseOrder(decode(writer, body)?),
        Stream::Receipts => Mapped::GoodsReceipt(decode(writer, body)?),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::{Told, topic};
    use crate::ErpConfig;
    use crate::mapping::{Mapped, events};
    use crate::seen::{Seen, identify};
    use connector::erp::{Change, Stream};
    use runtime::codec::Codec;
    use runtime::record::{Place, Record};
    use schemas::{MasterItem, Timestamp};
    use std::collections::HashMap;
    use std::sync::Arc;
    use tokio::runtime::Handle;

    const FIXTURES: [(Stream, &str, &str); 8] = [
        (Stream::Items, "71-100234", include_str!("../tests/fixtures/items-71-100234.json")),
        (Stream::Items, "71-100777", include_str!("../tests/fixtures/items-71-100777.json")),
        (Stream::Suppliers, "V-300", include_str!("../tests/fixtures/suppliers-V-300.json")),
        (Stream::Locations, "OR1", include_str!("../tests/fixtures/locations-OR1.json")),
        (Stream::CostCentres, "CC-OR", include_str!("../tests/fixtures/cost-centres-CC-OR.json")),
        (Stream::Employees, "E001", include_str!("../tests/fixtures/employees-E001.json")),
        (Stream::PurchaseOrders, "3", include_str!("../tests/fixtures/purchase-orders-3.json")),
        (Stream::Receipts, "1", include_str!("../tests/fixtures/receipts-1.json")),
    ];

    fn codec() -> Arc<Codec> {
        let topics: Vec<_> = Stream::ALL.into_iter().map(topic).zip(1..).collect();
        Arc::new(Codec::fixed(&topics).unwrap())
    }

    fn told(stream: Stream, most: usize) -> Told {
        let (codec, handle, instance) = (codec(), Handle::current(), "tryton".to_owned());
        Told { stream, instance, codec, handle, most, newest: HashMap::new(), read: 0, left_out: 0 }
    }

    fn record(partition: i32, value: Option<Vec<u8>>) -> Record {
        let place = Place { topic: "test".into(), partition, offset: 0 };
        let (key, value) = (Some(b"7".to_vec().into()), value.map(Into::into));
        Record { place, timestamp_ms: None, key, value, headers: Vec::new() }
    }

    fn value(event: &Mapped) -> Option<Vec<u8>> {
        let codec = codec();
        let encoded = match event {
            Mapped::Item(event) => codec.encode(event.as_ref()),
            Mapped::Supplier(event) => codec.encode(event),
            Mapped::Location(event) => codec.encode(event),
            Mapped::CostCentre(event) => codec.encode(event),
            Mapped::Employee(event) => codec.encode(event),
            Mapped::PurchaseOrder(event) => codec.encode(event),
            Mapped::GoodsReceipt(event) => codec.encode(event),
        };
        Some(encoded.unwrap().to_vec())
    }

    /// An item whose name is the moment at which it was published.
    fn item(key: &str, system: &str, published_at: i64) -> Mapped {
        let mut event = MasterItem { description: published_at.to_string(), ..MasterItem::default() };
        event.meta.business_key = format!("master.item.v1/{key}");
        event.meta.source.system = system.to_owned();
        event.meta.published_at = Timestamp::from_micros(published_at);
        Mapped::Item(Box::new(event))
    }

    fn recalled(told: Told) -> Seen {
        let mut seen = Seen::new(told.most);
        told.remember(&mut seen);
        seen
    }

    fn knows(seen: &Seen, event: &Mapped) -> bool {
        let (name, content) = identify(Stream::Items, event);
        seen.knows(&name, &content)
    }

    #[tokio::test]
    async fn fx_1_what_was_read_back_is_what_was_published() {
        for (stream, key, body) in FIXTURES {
            let change = Change { key: key.to_owned(), changed_at: None, body: serde_json::from_str(body).unwrap() };
            let published = events(&ErpConfig::default(), stream, &change, Timestamp::from_micros(7)).unwrap();
            let mut told = told(stream, 100);
            for event in &published {
                told.take(&record(0, value(event))).unwrap();
            }
            let seen = recalled(told);
            for event in &published {
                let (name, content) = identify(stream, event);
                assert!(seen.knows(&name, &content), "{stream} {key} would be published again");
            }
        }
    }

    #[tokio::test]
    async fn fx_1_the_newest_event_of_this_erp_counts() {
        let mut told = told(Stream::Items, 100);
        // The clock of the room went back: in a partition the place counts.
        for event in
            [item("7", "tryton", 20), item("7", "tryton", 10), item("7", "another", 30), item("8", "tryton", 5)]
        {
            told.take(&record(0, value(&event))).unwrap();
        }
        // From before the topic had more partitions.
        told.take(&record(1, value(&item("8", "tryton", 4)))).unwrap();
        for value in [&b"no frame"[..], &[0, 0, 0, 0, 5, 1]] {
            told.take(&record(0, Some(value.to_vec()))).unwrap();
        }
        assert_eq!((told.read, told.left_out), (7, 3));
        let seen = recalled(told);
        assert!(knows(&seen, &item("7", "tryton", 10)) && knows(&seen, &item("8", "tryton", 5)));
    }

    #[tokio::test]
    async fn loss_1_what_was_deleted_from_the_topic_is_published_again() {
        let mut told = told(Stream::Items, 100);
        told.take(&record(0, value(&item("7", "tryton", 1)))).unwrap();
        told.take(&record(0, value(&item("8", "tryton", 1)))).unwrap();
        told.take(&record(0, None)).unwrap();
        let seen = recalled(told);
        assert!(!knows(&seen, &item("7", "tryton", 1)) && knows(&seen, &item("8", "tryton", 1)));
    }

    #[tokio::test]
    async fn bnd_1_of_too_many_the_newest_are_remembered() {
        let mut told = told(Stream::Items, 10);
        // One partition after the other, each from old to new.
        for partition in 0..4 {
            for step in 0..100 {
                let at = i64::from(step * 4 + partition);
                told.take(&record(partition, value(&item(&at.to_string(), "tryton", at)))).unwrap();
                assert!(told.newest.len() < 20);
            }
        }
        let seen = recalled(told);
        let known = |at: i64| knows(&seen, &item(&at.to_string(), "tryton", at));
        assert!((395..400).all(known), "the newest five of 400");
        assert!(!(0..390).any(known), "at most ten");
    }
}
