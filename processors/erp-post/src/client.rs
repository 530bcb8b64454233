//! The call between plan and settle: requests become postings of the ERP contract.

use crate::refused;
use crate::request::{Move, Part, Request, Response};
use connector::effect::{BoxFuture, CallError, EffectClient};
use connector::erp::{Erp, ErpError, Line, Lookup, Posted, Posting};
use connector::pacing::Pacing;
use schemas::Document;
use std::sync::Arc;
use std::time::Duration;

/// Any ERP, as the runtime calls it.
pub struct ErpClient {
    erp: Arc<dyn Erp>,
    lines_max: usize,
    calls_max: usize,
    certain_after: Duration,
    pacing: Pacing,
}

impl ErpClient {
    /// Posts to `erp` at most `lines_max` lines in a document and `calls_max` documents at once. What was sent `certain_after`
    /// ago is carried out by now, or never.
    pub fn new(erp: Arc<dyn Erp>, lines_max: usize, calls_max: usize, certain_after: Duration) -> Self {
        let (lines_max, calls_max) = (lines_max.max(1), calls_max.max(1));
        Self { erp, lines_max, calls_max, certain_after, pacing: Pacing::default() }
    }

    /// Posts no faster and no earlier than this says.
    #[must_use]
    pub fn paced(self, pacing: Pacing) -> Self {
        Self { pacing, ..self }
    }

    async fn post(&self, document_key: &str, requests: &[Request]) -> Result<Vec<Response>, CallError> {
        let Some(first) = posting(document_key, requests) else { return Ok(Vec::new()) };
        let posted = self.erp.post(&first).await.map_err(|error| call_error(error, &first))?;
        self.rest(document_key, requests, posted).await
    }

    async fn look_up(
        &self,
        document_key: &str,
        requests: &[Request],
        certain: bool,
    ) -> Result<Option<Vec<Response>>, CallError> {
        let Some(first) = posting(document_key, requests) else { return Ok(Some(Vec::new())) };
        let found = self.erp.resume(document_key, first.cost_centre.as_deref(), certain).await;
        match found.map_err(|error| call_error(error, &first))? {
            Lookup::Absent => Ok(None),
            Lookup::Done(posted) => {
                if !certain && !self.rest_is_there(document_key, requests).await? {
                    return Ok(None);
                }
                self.rest(document_key, requests, posted).await.map(Some)
            }
            Lookup::HalfDone if !certain => Ok(None),
            Lookup::HalfDone => Err(CallError::InDoubt { reason: "the document is half done".to_owned() }),
        }
    }

    /// Whether the second documents are there: an earlier call may be making one right now.
    async fn rest_is_there(&self, document_key: &str, requests: &[Request]) -> Result<bool, CallError> {
        for request in requests {
            for (index, part) in request.moves.iter().enumerate().skip(1) {
                let (key, cost_centre) = (later_key(document_key, index), part.held.cost_centre.as_deref());
                let found = self.erp.resume(&key, cost_centre, false).await.map_err(in_doubt)?;
                if !matches!(found, Lookup::Done(_)) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Answers the requests of a posted document. A correction that moved elsewhere has a second document; whatever goes
    /// wrong with it, the first has happened.
    async fn rest(&self, document_key: &str, requests: &[Request], posted: Posted) -> Result<Vec<Response>, CallError> {
        let mut responses: Vec<Response> = Vec::with_capacity(requests.len());
        for request in requests {
            let mut response = Response::default();
            for (index, part) in request.moves.iter().enumerate() {
                let later = match index {
                    0 => None,
                    _ => Some(self.post_later(document_key, index, part).await?),
                };
                response.parts.push(part_of(part, later.as_ref().unwrap_or(&posted)));
            }
            responses.push(response);
        }
        Ok(responses)
    }

    async fn post_later(&self, document_key: &str, index: usize, part: &Move) -> Result<Posted, CallError> {
        let posting = of_moves(&later_key(document_key, index), &[part]);
        self.erp.post(&posting).await.map_err(in_doubt)
    }
}

impl EffectClient<Request, Response> for ErpClient {
    fn call<'a>(
        &'a self,
        document_key: &'a str,
        requests: &'a [Request],
    ) -> BoxFuture<'a, Result<Vec<Response>, CallError>> {
        Box::pin(self.post(document_key, requests))
    }

    fn look_up<'a>(
        &'a self,
        document_key: &'a str,
        requests: &'a [Request],
        certain: bool,
    ) -> BoxFuture<'a, Result<Option<Vec<Response>>, CallError>> {
        Box::pin(Self::look_up(self, document_key, requests, certain))
    }

    fn certain_after(&self) -> Duration {
        self.certain_after
    }

    fn batch_max(&self) -> usize {
        self.lines_max
    }

    fn calls_max(&self) -> usize {
        self.calls_max
    }

    fn pacing(&self, _target: &str) -> Pacing {
        self.pacing.clone()
    }

    fn shares_budget(&self) -> bool {
        self.pacing.calls_per_minute.is_some()
    }

    fn documents(&self, answer: &Response) -> Vec<Document> {
        answer.parts.iter().flat_map(|part| part.documents.clone()).collect()
    }
}

/// The key of a second document.
fn later_key(document_key: &str, index: usize) -> String {
    format!("{document_key}-{index}")
}

/// Whatever went wrong with a second document, the first has happened.
fn in_doubt(error: ErpError) -> CallError {
    CallError::InDoubt { reason: error.to_string() }
}

fn part_of(part: &Move, posted: &Posted) -> Part {
    let lot = part.held.lot.as_deref().or(part.held.serial.as_deref());
    let documents = posted.documents.iter().map(|document| Document {
        kind: document.kind.clone(),
        id: document.id.clone(),
        number: document.number.clone(),
        state: document.state.clone(),
    });
    let unit_cost = posted.unit_cost(&part.held.item, lot);
    Part { documents: documents.collect(), unit_cost, currency: posted.currency.clone() }
}

/// The posting of the first move of each request. They share a batch key, so what the first says holds for all.
fn posting(document_key: &str, requests: &[Request]) -> Option<Posting> {
    let moves: Vec<&Move> = requests.iter().filter_map(|request| request.moves.first()).collect();
    (!moves.is_empty()).then(|| of_moves(document_key, &moves))
}

fn of_moves(document_key: &str, moves: &[&Move]) -> Posting {
    let line = |(index, part): (usize, &&Move)| Line {
        line_key: index.to_string(),
        item: part.held.item.clone(),
        lot: part.held.lot.clone(),
        serial: part.held.serial.clone(),
        quantity: part.quantity,
        uom: part.held.uom.clone(),
    };
    let first = moves[0];
    Posting {
        document_key: document_key.to_owned(),
        direction: first.direction,
        stock_location: first.held.stock_location.clone(),
        use_location: first.use_location.clone(),
        effective_date: first.day.to_civil(),
        cost_centre: first.held.cost_centre.clone(),
        lines: moves.iter().enumerate().map(line).collect(),
    }
}

fn call_error(error: ErpError, posting: &Posting) -> CallError {
    match error {
        ErpError::Transient { reason, retry_after } => CallError::Transient { retry_after, reason },
        ErpError::InDoubt { reason } => CallError::InDoubt { reason },
        ErpError::Refused(refusal) => {
            let request = refusal.lines.first().and_then(|line| line.parse().ok());
            CallError::Refused { reason: Box::new(refused::reason(*refusal, posting)), request }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "test")]
mod tests {
    use super::*;
    use crate::request::Held;
    use connector::erp::{
        Allocation, BookedPage, BookedQuery, ChangePage, Cursor, Direction, ErpFuture, Movement, MovementQuery, Stream,
    };
    use rust_decimal::Decimal;
    use schemas::{Date, PostingKind};
    use std::sync::{Mutex, PoisonError};

    /// An ERP that makes the documents of one key only when nobody waits for them any more.
    #[derive(Default)]
    struct LateErp {
        late: &'static str,
        state: Mutex<State>,
    }

    #[derive(Default)]
    struct State {
        documents: Vec<String>,
        under_way: Vec<String>,
    }

    impl LateErp {
        fn state(&self) -> std::sync::MutexGuard<'_, State> {
            self.state.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// What was on its way arrives.
        fn land(&self) {
            let mut state = self.state();
            let late = std::mem::take(&mut state.under_way);
            state.documents.extend(late);
        }

        fn find(&self, key: &str) -> Option<Posted> {
            self.state().documents.iter().any(|document| document == key).then(|| Posted {
                documents: Vec::new(),
                lines: Vec::new(),
                currency: None,
                effective_date: None,
                already_there: true,
            })
        }

        fn make(&self, key: &str) -> Result<Posted, ErpError> {
            if let Some(there) = self.find(key) {
                return Ok(there);
            }
            let mut state = self.state();
            if key == self.late && state.under_way.is_empty() {
                state.under_way.push(key.to_owned());
                return Err(ErpError::InDoubt { reason: "no answer in time".to_owned() });
            }
            state.documents.push(key.to_owned());
            drop(state);
            Ok(self.find(key).unwrap())
        }
    }

    impl Erp for LateErp {
        fn post<'a>(&'a self, posting: &'a Posting) -> ErpFuture<'a, Posted> {
            Box::pin(async move { self.make(&posting.document_key) })
        }

        fn find<'a>(&'a self, _: &'a str) -> ErpFuture<'a, Lookup> {
            panic!("the client resumes")
        }

        fn resume<'a>(&'a self, key: &'a str, _: Option<&'a str>, _: bool) -> ErpFuture<'a, Lookup> {
            Box::pin(async move { Ok(self.find(key).map_or(Lookup::Absent, Lookup::Done)) })
        }

        fn stock_movements<'a>(&'a self, _: &'a MovementQuery) -> ErpFuture<'a, Vec<Movement>> {
            panic!("the client compares nothing")
        }

        fn allocations<'a>(&'a self, _: &'a str) -> ErpFuture<'a, Vec<Allocation>> {
            panic!("the client compares nothing")
        }

        fn booked<'a>(&'a self, _: &'a BookedQuery, _: Option<&'a Cursor>) -> ErpFuture<'a, BookedPage> {
            panic!("the client compares nothing")
        }

        fn changes<'a>(&'a self, _: Stream, _: Option<&'a Cursor>) -> ErpFuture<'a, ChangePage> {
            panic!("the client reads no master data")
        }
    }

    fn part(direction: Direction) -> Move {
        let quantity = Decimal::ONE;
        Move { held: Held::default(), direction, use_location: "USE-OR1".to_owned(), day: Date(20_000), quantity }
    }

    fn correction() -> [Request; 1] {
        let moves = vec![part(Direction::Consume), part(Direction::Return)];
        [Request { kind: PostingKind::Posted, moves, held: Held::default(), total: Decimal::ONE }]
    }

    /// FX-1: what a correction gives back must not come back twice, however slow the ERP is.
    #[tokio::test]
    async fn fx_1_a_second_document_that_comes_late_is_made_once() {
        let erp = Arc::new(LateErp { late: "wl-7-1", ..LateErp::default() });
        let client = ErpClient::new(Arc::clone(&erp) as Arc<dyn Erp>, 50, 1, Duration::from_mins(1));
        let requests = correction();
        assert!(matches!(client.call("wl-7", &requests).await, Err(CallError::InDoubt { .. })));
        assert_eq!(client.look_up("wl-7", &requests, false).await.unwrap(), None, "it may still come");
        assert_eq!(erp.state().documents, ["wl-7"]);
        erp.land();
        let early = client.look_up("wl-7", &requests, false).await.unwrap();
        assert_eq!(early.unwrap()[0].parts.len(), 2, "all is there, which needs no certainty");
        assert!(client.look_up("wl-7", &requests, true).await.unwrap().is_some());
        assert_eq!(erp.state().documents, ["wl-7", "wl-7-1"]);
    }

    #[tokio::test]
    async fn fx_1_a_second_document_that_never_came_is_made_once_that_is_certain() {
        let erp = Arc::new(LateErp { late: "wl-8-1", ..LateErp::default() });
        let client = ErpClient::new(Arc::clone(&erp) as Arc<dyn Erp>, 50, 1, Duration::from_mins(1));
        let requests = correction();
        assert!(client.call("wl-8", &requests).await.is_err());
        assert_eq!(client.look_up("wl-8", &requests, false).await.unwrap(), None);
        assert!(client.look_up("wl-8", &requests, true).await.unwrap().is_some());
        assert_eq!(erp.state().documents, ["wl-8", "wl-8-1"]);
    }
}
