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

    async fn look_up(&self, document_key: &str, requests: &[Request]) -> Result<Option<Vec<Response>>, CallError> {
        let Some(first) = posting(document_key, requests) else { return Ok(Some(Vec::new())) };
        let found = self.erp.resume(document_key, first.cost_centre.as_deref()).await;
        match found.map_err(|error| call_error(error, &first))? {
            Lookup::Absent => Ok(None),
            Lookup::Done(posted) => self.rest(document_key, requests, posted).await.map(Some),
            Lookup::HalfDone => Err(CallError::InDoubt { reason: "the document is half done".to_owned() }),
        }
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
        let posting = of_moves(&format!("{document_key}-{index}"), &[part]);
        self.erp.post(&posting).await.map_err(|error| CallError::InDoubt { reason: error.to_string() })
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
    ) -> BoxFuture<'a, Result<Option<Vec<Response>>, CallError>> {
        Box::pin(Self::look_up(self, document_key, requests))
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
