//! Who decides writes alone: they have taken one transactional id over, which fences whoever had it before, and know after that
//! what the view has not read yet. So nobody writes over a decision that they have not seen, and none is on record without its
//! audit: both are in one transaction.

use super::super::records::RecordsError;
use super::{Chosen, DecideError, Decider};
use runtime::cluster::Cluster as _;
use runtime::librdkafka::Librdkafka;
use runtime::outgoing::{Lineage, Outgoing};
use runtime::publisher::{PublishError, TransactionalPublisher};
use runtime::reader::{From, Range, Until};
use schemas::{Event, topics};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// Transactional id of whoever decides, wherever that runs.
pub(crate) const WRITER: &str = "wardline.exceptions";

/// Longest wait for transactions of rooms that are open: whoever waits for their turn behind this one shall have an answer too.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);

/// The right to write, until somebody else takes it.
pub(super) struct Turn {
    /// Which turn of this process it is.
    number: u64,
    writer: TransactionalPublisher,
    /// Exceptions with a newer record than the view had read when the turn began, and where it lies.
    pub moved: HashMap<String, (i32, i64)>,
}

impl Turn {
    /// Encodes an event.
    pub fn event<T: Event>(&self, event: &T) -> Result<Outgoing, DecideError> {
        Ok(self.writer.event(event, &Lineage::default())?)
    }

    /// Writes decisions with their audit, or none of them. False when somebody else has taken over meanwhile: nothing is written.
    pub async fn commit(&mut self, records: Vec<Outgoing>) -> Result<bool, DecideError> {
        match self.writer.commit(records).await {
            Ok(()) => Ok(true),
            Err(PublishError::Kafka(error)) if error.fenced() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Decider {
    /// Goes on with a turn that nobody in this process has had another one after, or takes over.
    pub(super) async fn turn(&self, turn: Option<Turn>, turns: &mut u64, open: &Chosen) -> Result<Turn, DecideError> {
        if let Some(turn) = turn.filter(|turn| turn.number == *turns) {
            return Ok(turn);
        }
        *turns += 1;
        let written = [topics::OPS_EXCEPTION_V1.info(), topics::OPS_AUDIT_V1.info()];
        let codec = Arc::clone(self.view.codec());
        let writer = TransactionalPublisher::take_over(&self.config, codec, WRITER.to_owned(), &written).await?;
        Ok(Turn { number: *turns, writer, moved: self.moved(open).await? })
    }

    /// Those of which the topic has a newer record than the view has read.
    async fn moved(&self, open: &Chosen) -> Result<HashMap<String, (i32, i64)>, DecideError> {
        let mut unread: BTreeMap<i32, i64> = BTreeMap::new();
        for (partition, offset) in self.view.places(open.keys().map(String::as_str)) {
            let first = self.view.read_to(partition).unwrap_or(offset);
            unread.insert(partition, first);
        }
        let wanted: HashSet<String> = open.keys().cloned().collect();
        let (readers, config) = (self.view.readers().clone(), Arc::clone(&self.config));
        let reading = tokio::task::spawn_blocking(move || -> Result<_, DecideError> {
            // Rooms write exceptions within their transactions. What others have decided behind one that is open cannot be read
            // before it has ended. What is open in other partitions is not waited for.
            let partitions: BTreeSet<i32> = unread.keys().copied().collect();
            let cluster = Librdkafka::new(&config.kafka);
            let settled = cluster.settled(topics::OPS_EXCEPTION_V1.name(), &partitions, SETTLED_WITHIN);
            settled.map_err(PublishError::Kafka)?;
            let mut newer = HashMap::new();
            for (partition, first) in unread {
                let range = Range {
                    topic: topics::OPS_EXCEPTION_V1.name().to_owned(),
                    partitions: vec![partition],
                    from: From::Offset(first),
                    until: Until::EndNow,
                };
                let read = readers.read_range(&range, |record| {
                    let key = record.key_text();
                    if wanted.contains(&*key) {
                        newer.insert(key.into_owned(), (record.place.partition, record.place.offset));
                    }
                    ControlFlow::Continue(())
                });
                read.map_err(RecordsError::Kafka)?;
            }
            Ok(newer)
        });
        reading.await.map_err(RecordsError::Stopped)?
    }
}
