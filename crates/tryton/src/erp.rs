//! The contract, put together from the parts.

use connector::erp::{
    Allocation, BookedPage, BookedQuery, ChangePage, Cursor, Erp, ErpError, ErpFuture, Lookup, Movement, MovementQuery,
    Posted, Posting, Refusal, RefusalCode, Rounding, Stream,
};
use serde_json::{Value, json};

use crate::TrytonConfig;
use crate::allocation::{self, Target};
use crate::booked;
use crate::feed;
use crate::locks::KeyLocks;
use crate::names::Names;
use crate::rest::{Rest, Search, refused};
use crate::shipment::{self, Driven, Shipment};

/// A Tryton database behind the ERP contract.
pub struct Tryton {
    config: TrytonConfig,
    rest: Rest,
    names: Names,
    locks: KeyLocks,
}

impl Tryton {
    /// A client of the configured database; connects on first use.
    ///
    /// # Errors
    /// [`ErpError::Refused`] when the HTTP client cannot be made from the configuration.
    pub fn new(config: TrytonConfig) -> Result<Self, ErpError> {
        let rest = Rest::new(&config)?;
        Ok(Self { names: Names::new(&config), locks: KeyLocks::default(), rest, config })
    }

    async fn do_post(&self, posting: &Posting) -> Result<Posted, ErpError> {
        posting.check(self.config.lines_max)?;
        let _alone = self.locks.lock(&posting.document_key).await;
        let target = self.target(posting.cost_centre.as_deref()).await?;
        let resolved = self.names.resolve(&self.rest, &self.config, posting).await?;
        let found = shipment::find(&self.rest, &posting.document_key).await?;
        if found.as_ref().is_some_and(|found| !found.is_of(posting, &resolved)) {
            let reason = format!("the key {} names a document with other lines", posting.document_key);
            return Err(Refusal::new(RefusalCode::KeyReused, reason, None).into());
        }
        let is_new = found.is_none();
        let was_done = found.as_ref().is_some_and(Shipment::is_done);
        let shipment = match found {
            Some(found) => found,
            None => shipment::create(&self.rest, posting, &resolved).await?,
        };
        match shipment::drive(&self.rest, shipment).await.map_err(begun)? {
            Driven::Short(shipment) => Err(shipment.shortage(posting).into()),
            Driven::Done(shipment) => self.allocate(target, shipment, is_new, was_done).await,
        }
    }

    async fn do_resume(
        &self,
        document_key: &str,
        cost_centre: Option<&str>,
        certain: bool,
    ) -> Result<Lookup, ErpError> {
        let _alone = self.locks.lock(document_key).await;
        let Some(found) = shipment::find(&self.rest, document_key).await? else { return Ok(Lookup::Absent) };
        let target = self.target(cost_centre).await.map_err(moved)?;
        let was_done = found.is_done();
        match shipment::drive(&self.rest, found).await.map_err(begun) {
            Ok(Driven::Done(shipment)) => {
                if !certain && self.is_unallocated(target.as_ref(), &shipment).await? {
                    return Ok(Lookup::HalfDone);
                }
                Ok(Lookup::Done(self.allocate(target, shipment, false, was_done).await?))
            }
            // Both have removed the shipment; posting it again tells the reason to somebody who has the posting.
            Ok(Driven::Short(_)) => Ok(Lookup::Absent),
            Err(ErpError::Refused(refusal)) => {
                tracing::info!(document_key, reason = refusal.reason, "a half-done document was taken back");
                self.after_refusal(document_key, ErpError::Refused(refusal)).await
            }
            Err(error) => Err(error),
        }
    }

    /// A refusal while resuming is settled only when the shipment is really gone.
    async fn after_refusal(&self, document_key: &str, error: ErpError) -> Result<Lookup, ErpError> {
        match shipment::find(&self.rest, document_key).await? {
            None => Ok(Lookup::Absent),
            Some(_) => Err(moved(error)),
        }
    }

    async fn do_find(&self, document_key: &str) -> Result<Lookup, ErpError> {
        let Some(shipment) = shipment::find(&self.rest, document_key).await? else {
            return Ok(Lookup::Absent);
        };
        let allocation = if self.config.allocate { allocation::find(&self.rest, document_key).await? } else { None };
        Ok(shipment.lookup(allocation, self.config.allocate))
    }

    /// `None` when nothing is to be allocated.
    async fn target(&self, cost_centre: Option<&str>) -> Result<Option<Target>, ErpError> {
        let Some(code) = cost_centre.filter(|_| self.config.allocate) else {
            return Ok(None);
        };
        Ok(Some(Target {
            journal: self.names.journal(&self.rest, &self.config.journal).await?,
            cost_centre: self.names.cost_centre(&self.rest, code).await?,
            currency_digits: self.config.currency_digits,
        }))
    }

    /// Whether the cost of a shipment is still to be allocated, as far as can be seen: an earlier call may be at work on it.
    async fn is_unallocated(&self, target: Option<&Target>, shipment: &Shipment) -> Result<bool, ErpError> {
        let Some(target) = target else { return Ok(false) };
        allocation::is_missing(&self.rest, target, shipment).await.map_err(moved)
    }

    async fn allocate(
        &self,
        target: Option<Target>,
        shipment: Shipment,
        is_new: bool,
        was_done: bool,
    ) -> Result<Posted, ErpError> {
        let (document, was_allocated) = match target {
            Some(target) => allocation::ensure(&self.rest, &target, &shipment, is_new).await.map_err(moved)?,
            None => (None, true),
        };
        Ok(shipment.posted(document, was_done && was_allocated))
    }

    async fn movements(&self, query: &MovementQuery) -> Result<Vec<Movement>, ErpError> {
        let (wanted, prefix) = match query {
            // The wildcards of LIKE may be part of a key; whatever is found too much is left out below.
            MovementQuery::Prefix(prefix) => (json!(["reference", "like", format!("{prefix}%")]), prefix.as_str()),
            MovementQuery::Keys(keys) => (json!(["reference", "in", keys]), ""),
        };
        let mut movements = Vec::new();
        let mut after = 0;
        loop {
            let domain = json!([wanted, ["state", "=", "done"], ["id", ">", after]]);
            let limit = self.config.page_records;
            let search = Search { model: shipment::MODEL, domain, fields: &shipment::FIELDS, limit };
            let records: Vec<Value> = self.rest.search(search).await?.records;
            for shipment in records.iter().filter_map(Shipment::read) {
                after = after.max(shipment.id);
                if shipment.reference.starts_with(prefix) {
                    movements.extend(shipment.movements());
                }
            }
            if movements.len() > self.config.movements_max {
                return Err(refused(format!("more than {} movements; ask for fewer keys", self.config.movements_max)));
            }
            if records.len() < limit {
                return Ok(movements);
            }
        }
    }

    async fn borne(&self, document_key: &str) -> Result<Vec<Allocation>, ErpError> {
        match shipment::find(&self.rest, document_key).await? {
            Some(shipment) => allocation::borne(&self.rest, &shipment).await,
            None => Ok(Vec::new()),
        }
    }
}

/// A transient error when the shipment is there already does not mean that nothing happened.
fn begun(error: ErpError) -> ErpError {
    match error {
        ErpError::Transient { reason, .. } => {
            ErpError::InDoubt { reason: format!("the document is half done: {reason}") }
        }
        other => other,
    }
}

/// The stock has moved and only the allocation is open: whatever the reason, it must be resumed, not posted anew.
fn moved(error: ErpError) -> ErpError {
    match error {
        ErpError::Refused(refusal) => ErpError::InDoubt { reason: format!("the document is half done: {refusal}") },
        other => begun(other),
    }
}

impl Erp for Tryton {
    fn post<'a>(&'a self, posting: &'a Posting) -> ErpFuture<'a, Posted> {
        Box::pin(async move {
            let result = self.do_post(posting).await;
            if matches!(result, Err(ErpError::Refused(_))) {
                // What was remembered of the ERP may be why it refused.
                self.names.forget();
            }
            result
        })
    }

    fn find<'a>(&'a self, document_key: &'a str) -> ErpFuture<'a, Lookup> {
        Box::pin(self.do_find(document_key))
    }

    fn resume<'a>(
        &'a self,
        document_key: &'a str,
        cost_centre: Option<&'a str>,
        certain: bool,
    ) -> ErpFuture<'a, Lookup> {
        Box::pin(self.do_resume(document_key, cost_centre, certain))
    }

    fn stock_movements<'a>(&'a self, query: &'a MovementQuery) -> ErpFuture<'a, Vec<Movement>> {
        Box::pin(self.movements(query))
    }

    fn allocations<'a>(&'a self, document_key: &'a str) -> ErpFuture<'a, Vec<Allocation>> {
        Box::pin(self.borne(document_key))
    }

    fn booked<'a>(&'a self, query: &'a BookedQuery, after: Option<&'a Cursor>) -> ErpFuture<'a, BookedPage> {
        Box::pin(booked::page(&self.rest, &self.config, query, after))
    }

    /// It rounds each stock move, and so does the adapter with what the cost centre bears of it.
    fn rounding(&self) -> Rounding {
        Rounding::Line { digits: self.config.currency_digits }
    }

    fn changes<'a>(&'a self, stream: Stream, cursor: Option<&'a Cursor>) -> ErpFuture<'a, ChangePage> {
        Box::pin(feed::page(&self.rest, &self.config, stream, cursor))
    }
}
