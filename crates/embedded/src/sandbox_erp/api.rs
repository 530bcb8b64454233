//! The REST interface.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::books;
use super::clock::Now;
use super::faults::{Faults, How, LoseAnswerBy, Strike, Switches};
use super::posting::{self as postings, Posted, Posting, PostingPage, PostingQuery};
use super::problem::Problem;
use super::records::Stream;
use super::seed::Seed;
use super::stock::{self, Count, MoveQuery};
use super::store::{self, Store};
use crate::loopback::Cut;

/// Where postings go.
const POSTINGS: &str = "/api/v1/postings";
/// Bytes of a request's body, at most.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a lost answer is waited for, at most.
const SILENCE: Duration = Duration::from_secs(600);

/// What all calls share.
#[derive(Clone)]
pub(super) struct Shared {
    store: Arc<Mutex<Store>>,
    switches: Arc<Mutex<Switches>>,
    authorization: Arc<str>,
}

type Answer<T> = Result<Json<T>, Problem>;

impl Shared {
    pub(super) fn new(store: Store, key: &str) -> Self {
        Self {
            store: Arc::new(Mutex::new(store)),
            switches: Arc::default(),
            authorization: format!("Bearer {key}").into(),
        }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn switches(&self) -> MutexGuard<'_, Switches> {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All addresses.
pub(super) fn router(shared: Shared) -> Router {
    let ledger = Router::new()
        .route("/api/v1/postings", post(post_posting).get(get_postings))
        .route("/api/v1/postings/{key}", get(get_posting))
        .route("/api/v1/stock", get(get_stock))
        .route("/api/v1/moves", get(get_moves))
        .route("/api/v1/changes", get(get_changes))
        .route("/api/v1/counts", post(post_count))
        .route("/api/v1/periods", get(get_periods).put(put_periods))
        .route("/api/v1/seed", post(post_seed))
        .route("/api/v1/{stream}/{key}", get(get_record).put(put_record).delete(delete_record))
        .layer(middleware::from_fn_with_state(shared.clone(), struck));
    Router::new()
        .route("/api/v1/faults", put(put_faults).get(get_faults))
        .merge(ledger)
        .fallback(async || Problem::absent("there is no such address; see the description of the sandbox ERP"))
        .layer(middleware::from_fn_with_state(shared.clone(), authorized))
        .route("/health", get(async || Json(json!({"status": "ok", "what": "sandbox ERP, not for production"}))))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(shared)
}

async fn authorized(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let key = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if key.is_some_and(|key| key == &*shared.authorization) {
        return next.run(request).await;
    }
    Problem { status: StatusCode::UNAUTHORIZED, ..Problem::refused("key.wrong", "the key is missing or wrong") }
        .into_response()
}

/// Does what the failure switches say.
async fn struck(
    State(shared): State<Shared>,
    ConnectInfo(line): ConnectInfo<Cut>,
    request: Request,
    next: Next,
) -> Response {
    let is_posting = request.method() == Method::POST && request.uri().path() == POSTINGS;
    let Strike { latency, how } = shared.switches().strike(is_posting);
    if !latency.is_zero() {
        // A caller that leaves meanwhile takes its call with it.
        tokio::time::sleep(latency).await;
    }
    match how {
        How::Well => next.run(request).await,
        How::Error => {
            let problem = Problem::refused("fault.error", "the sandbox fails, because it was told to");
            Problem { status: StatusCode::INTERNAL_SERVER_ERROR, ..problem }.into_response()
        }
        How::Throttled { retry_after_s } => {
            let problem = Problem::refused("fault.throttled", "the sandbox is busy, because it was told to");
            let mut response = Problem { status: StatusCode::TOO_MANY_REQUESTS, ..problem }.into_response();
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
            response
        }
        How::Lost(by) => {
            let response = next.run(request).await;
            if by == LoseAnswerBy::Silence {
                tokio::time::sleep(SILENCE).await;
            }
            line.cut();
            response
        }
    }
}

async fn post_posting(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Result<Response, Problem> {
    let posting: Posting = serde_json::from_slice(&body)?;
    let named = headers.get("idempotency-key").map(|value| value.to_str().unwrap_or_default());
    if named.is_some_and(|named| named != posting.key) {
        return Err(Problem::invalid("the header Idempotency-Key and the key of the posting differ"));
    }
    let rejected = shared.switches().show().reject_items.clone();
    let lines = posting.lines.iter().filter(|line| rejected.contains(&line.item));
    let lines: Vec<String> = lines.map(|line| line.line_key.clone()).collect();
    if !lines.is_empty() {
        let problem = Problem::refused("item.rejected", "the sandbox rejects the item, because it was told to");
        return Err(Problem { lines, ..problem });
    }
    let posted = shared.store().write(|ledger| postings::post(ledger, &posting, Now::read()))?;
    let status = if posted.is_replayed() { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(posted)).into_response())
}

async fn get_posting(State(shared): State<Shared>, Path(key): Path<String>) -> Answer<Posted> {
    let found = shared.store().read(|ledger| postings::find(ledger, &key))?;
    // A code of its own: an address that is wrong also answers 404, and must not look like a posting that is not there.
    let unknown = || Problem { code: "posting.unknown", ..Problem::absent(format!("no posting {key}")) };
    found.map(Json).ok_or_else(unknown)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PostingsQuery {
    prefix: Option<String>,
    /// Keys of postings, as a JSON array.
    keys: Option<String>,
    from: Option<i64>,
    until: Option<i64>,
    after: Option<i64>,
    limit: Option<u32>,
}

async fn get_postings(State(shared): State<Shared>, Query(query): Query<PostingsQuery>) -> Answer<PostingPage> {
    let keys = query.keys.as_deref().map(serde_json::from_str).transpose()?;
    let PostingsQuery { prefix, from, until, after, limit, .. } = query;
    let query = PostingQuery { prefix, keys, from, until, after: after.unwrap_or(0), limit };
    shared.store().read(|ledger| postings::list(ledger, &query)).map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StockQuery {
    item: Option<String>,
    location: Option<String>,
    /// `["item","lot","location"]` of the last row of the page before, as JSON.
    after: Option<String>,
    limit: Option<u32>,
}

async fn get_stock(State(shared): State<Shared>, Query(query): Query<StockQuery>) -> Answer<Value> {
    let after: Option<[String; 3]> = query.after.as_deref().map(serde_json::from_str).transpose()?;
    let (item, location) = (query.item.as_deref(), query.location.as_deref());
    let levels = shared.store().read(|ledger| stock::levels(ledger, item, location, after.as_ref(), query.limit))?;
    Ok(Json(json!({ "stock": levels })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MovesQuery {
    prefix: Option<String>,
    /// Keys of documents, as a JSON array.
    documents: Option<String>,
    after: Option<i64>,
    limit: Option<u32>,
}

async fn get_moves(State(shared): State<Shared>, Query(query): Query<MovesQuery>) -> Answer<Value> {
    let documents = query.documents.as_deref().map(serde_json::from_str).transpose()?;
    let query = MoveQuery { prefix: query.prefix, documents, after: query.after.unwrap_or(0), limit: query.limit };
    let moves = shared.store().read(|ledger| stock::moves(ledger, &query))?;
    Ok(Json(json!({ "moves": moves })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangesQuery {
    stream: Option<Stream>,
    after: Option<i64>,
    limit: Option<u32>,
}

async fn get_changes(State(shared): State<Shared>, Query(query): Query<ChangesQuery>) -> Answer<store::Changes> {
    let after = query.after.unwrap_or(0);
    shared.store().read(|ledger| store::changes(ledger, query.stream, after, query.limit)).map(Json)
}

async fn post_count(State(shared): State<Shared>, body: Bytes) -> Result<StatusCode, Problem> {
    let count: Count = serde_json::from_slice(&body)?;
    shared.store().write(|ledger| stock::count(ledger, &count, Now::read()))?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Periods {
    /// All days up to this one are closed; none when there is none.
    closed_through: Option<Date>,
}

async fn get_periods(State(shared): State<Shared>) -> Answer<Periods> {
    let closed_through = shared.store().read(postings::closed_through)?;
    Ok(Json(Periods { closed_through }))
}

async fn put_periods(State(shared): State<Shared>, body: Bytes) -> Result<StatusCode, Problem> {
    let periods: Periods = serde_json::from_slice(&body)?;
    shared.store().write(|ledger| postings::close_through(ledger, periods.closed_through))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn post_seed(State(shared): State<Shared>, body: Bytes) -> Result<StatusCode, Problem> {
    let seed: Seed = serde_json::from_slice(&body)?;
    shared.store().write(|ledger| seed.write(ledger, Now::read()))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn get_record(State(shared): State<Shared>, Path((stream, key)): Path<(String, String)>) -> Answer<Value> {
    let stream: Stream = stream.parse().map_err(Problem::absent)?;
    let found = shared.store().read(|ledger| store::get(ledger, stream, &key))?;
    found.map(Json).ok_or_else(|| Problem::absent(format!("no {stream} {key}")))
}

async fn put_record(
    State(shared): State<Shared>,
    Path((stream, key)): Path<(String, String)>,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let stream: Stream = stream.parse().map_err(Problem::absent)?;
    shared.store().write(|ledger| books::put(ledger, stream, &key, &body, Now::read()))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete_record(
    State(shared): State<Shared>,
    Path((stream, key)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let stream: Stream = stream.parse().map_err(Problem::absent)?;
    shared.store().write(|ledger| books::delete(ledger, stream, &key, Now::read()))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn put_faults(State(shared): State<Shared>, body: Bytes) -> Answer<Faults> {
    let faults: Faults = serde_json::from_slice(&body)?;
    faults.check().map_err(Problem::invalid)?;
    shared.switches().set(faults.clone());
    Ok(Json(faults))
}

async fn get_faults(State(shared): State<Shared>) -> Json<Faults> {
    Json(shared.switches().show().clone())
}
