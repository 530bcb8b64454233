//! The contract, put together.

use connector::erp::{
    Allocation, BookedPage, BookedQuery, ChangePage, Cursor, Erp, ErpError, ErpFuture, Lookup, Movement, MovementQuery,
    Posted, Posting, Rounding, Stream,
};
use serde_json::json;

use crate::SandboxConfig;
use crate::rest::{Rest, refused, transient};
use crate::wire::{ChangesAnswer, MovesAnswer, PostedAnswer, PostingsAnswer, request};

/// Keys asked for in one call, so that the address stays short.
const KEYS_PER_CALL: usize = 50;
/// Between the ledger's name and the place, in a cursor.
const CURSOR_SEPARATOR: char = ':';

/// A sandbox ERP behind the ERP contract.
pub struct Sandbox {
    config: SandboxConfig,
    rest: Rest,
}

impl Sandbox {
    /// A client of the configured server; connects on first use.
    ///
    /// # Errors
    /// [`ErpError::Refused`] when the HTTP client cannot be made from the configuration.
    pub fn new(config: SandboxConfig) -> Result<Self, ErpError> {
        Ok(Self { rest: Rest::new(&config)?, config })
    }

    async fn do_post(&self, posting: &Posting) -> Result<Posted, ErpError> {
        posting.check(self.config.lines_max)?;
        let body = request(posting, self.config.closed_day);
        let posted: PostedAnswer = self.rest.post(&["postings"], &posting.document_key, &body).await?;
        Ok(posted.into())
    }

    async fn look_up(&self, document_key: &str) -> Result<Option<PostedAnswer>, ErpError> {
        self.rest.get(&["postings", document_key], &[]).await
    }

    async fn do_find(&self, document_key: &str) -> Result<Lookup, ErpError> {
        let found = self.look_up(document_key).await?;
        Ok(found.map_or(Lookup::Absent, |posted| Lookup::Done(posted.into())))
    }

    async fn do_allocations(&self, document_key: &str) -> Result<Vec<Allocation>, ErpError> {
        let allocation = self.look_up(document_key).await?.and_then(|posted| posted.allocation);
        let borne = allocation.filter(|allocation| !allocation.amount.is_zero());
        Ok(borne.map(|borne| Allocation { cost_centre: borne.cost_centre, amount: borne.amount }).into_iter().collect())
    }

    async fn movements(&self, query: &MovementQuery) -> Result<Vec<Movement>, ErpError> {
        let mut movements = Vec::new();
        match query {
            MovementQuery::Prefix(prefix) => self.read_moves(("prefix", prefix), &mut movements).await?,
            MovementQuery::Keys(keys) => {
                for keys in keys.chunks(KEYS_PER_CALL) {
                    self.read_moves(("documents", &json!(keys).to_string()), &mut movements).await?;
                }
            }
        }
        Ok(movements)
    }

    async fn read_moves(&self, wanted: (&str, &str), movements: &mut Vec<Movement>) -> Result<(), ErpError> {
        let mut after = 0;
        loop {
            let query = [
                (wanted.0, wanted.1.to_owned()),
                ("after", after.to_string()),
                ("limit", self.config.page_records.to_string()),
            ];
            let page: Option<MovesAnswer> = self.rest.get(&["moves"], &query).await?;
            let moves = page.ok_or_else(|| transient("the ERP has no list of movements"))?.moves;
            let Some(last) = moves.last() else { return Ok(()) };
            after = last.id;
            movements.extend(moves.into_iter().map(Movement::from));
            if movements.len() > self.config.movements_max {
                return Err(refused(format!("more than {} movements; ask for fewer keys", self.config.movements_max)));
            }
        }
    }

    async fn do_booked(&self, wanted: &BookedQuery, after: Option<&Cursor>) -> Result<BookedPage, ErpError> {
        let wrong = || refused("the place to go on from is not of this adapter".to_owned());
        let after = after.map_or(Ok(0), |cursor| cursor.0.parse::<i64>()).map_err(|_| wrong())?;
        let mut query = vec![("after", after.to_string()), ("limit", self.config.page_records.to_string())];
        match wanted {
            BookedQuery::Made { prefix, from, until } => query.extend([
                ("prefix", prefix.clone()),
                ("from", from.as_microsecond().to_string()),
                ("until", until.as_microsecond().to_string()),
            ]),
            BookedQuery::Keys(keys) if keys.len() > KEYS_PER_CALL => return self.booked_in_parts(keys).await,
            BookedQuery::Keys(keys) => query.push(("keys", json!(keys).to_string())),
        }
        let page: Option<PostingsAnswer> = self.rest.get(&["postings"], &query).await?;
        let page = page.ok_or_else(|| transient("the ERP has no list of postings"))?;
        let next = page.more.then(|| Cursor(page.next.to_string()));
        let documents = page.postings.into_iter().map(TryInto::try_into).collect::<Result<_, _>>();
        Ok(BookedPage { documents: documents.map_err(|()| transient("a posting is not understood"))?, next })
    }

    /// More keys than one address can hold.
    async fn booked_in_parts(&self, keys: &[String]) -> Result<BookedPage, ErpError> {
        let mut documents = Vec::with_capacity(keys.len());
        for part in keys.chunks(KEYS_PER_CALL) {
            let query = BookedQuery::Keys(part.to_vec());
            let mut after = None;
            loop {
                let page = Box::pin(self.do_booked(&query, after.as_ref())).await?;
                documents.extend(page.documents);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(BookedPage { documents, next: None })
    }

    async fn page(&self, stream: Stream, cursor: Option<&Cursor>) -> Result<ChangePage, ErpError> {
        let known = cursor.and_then(|cursor| read_cursor(stream, cursor));
        let after = known.as_ref().map_or(0, |(_, after)| *after);
        let mut answer = self.changes_after(stream, after).await?;
        if known.is_some_and(|(ledger, _)| ledger != answer.ledger) {
            tracing::warn!(%stream, "the ERP is another one than before; reading the stream from its start");
            answer = self.changes_after(stream, 0).await?;
        }
        let next = Cursor(format!("{}{CURSOR_SEPARATOR}{}", answer.ledger, answer.next));
        Ok(ChangePage { changes: answer.changes.into_iter().map(Into::into).collect(), next, more: answer.more })
    }

    async fn changes_after(&self, stream: Stream, after: i64) -> Result<ChangesAnswer, ErpError> {
        let query = [
            ("stream", stream.as_str().to_owned()),
            ("after", after.to_string()),
            ("limit", self.config.page_records.to_string()),
        ];
        let page = self.rest.get(&["changes"], &query).await?;
        page.ok_or_else(|| transient("the ERP has no feed of changes"))
    }
}

/// The ledger's name and the place in its sequence.
fn read_cursor(stream: Stream, cursor: &Cursor) -> Option<(String, i64)> {
    let parts = cursor.0.rsplit_once(CURSOR_SEPARATOR);
    let known = parts.and_then(|(ledger, place)| Some((ledger.to_owned(), place.parse().ok()?)));
    if known.is_none() {
        // Reading everything again is always right, only slower.
        tracing::warn!(%stream, "the stored cursor is not of this adapter; reading the stream from its start");
    }
    known
}

impl Erp for Sandbox {
    fn post<'a>(&'a self, posting: &'a Posting) -> ErpFuture<'a, Posted> {
        Box::pin(self.do_post(posting))
    }

    fn find<'a>(&'a self, document_key: &'a str) -> ErpFuture<'a, Lookup> {
        Box::pin(self.do_find(document_key))
    }

    /// A posting is all there or not at all: nothing is ever missing.
    fn resume<'a>(
        &'a self,
        document_key: &'a str,
        _cost_centre: Option<&'a str>,
        _certain: bool,
    ) -> ErpFuture<'a, Lookup> {
        Box::pin(self.do_find(document_key))
    }

    fn stock_movements<'a>(&'a self, query: &'a MovementQuery) -> ErpFuture<'a, Vec<Movement>> {
        Box::pin(self.movements(query))
    }

    fn allocations<'a>(&'a self, document_key: &'a str) -> ErpFuture<'a, Vec<Allocation>> {
        Box::pin(self.do_allocations(document_key))
    }

    fn booked<'a>(&'a self, query: &'a BookedQuery, after: Option<&'a Cursor>) -> ErpFuture<'a, BookedPage> {
        Box::pin(self.do_booked(query, after))
    }

    /// It adds the lines of a document up and rounds the sum to hundredths.
    fn rounding(&self) -> Rounding {
        Rounding::Document { digits: 2 }
    }

    fn changes<'a>(&'a self, stream: Stream, cursor: Option<&'a Cursor>) -> ErpFuture<'a, ChangePage> {
        Box::pin(self.page(stream, cursor))
    }
}
