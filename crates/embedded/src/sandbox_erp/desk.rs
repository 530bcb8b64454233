//! The ledger without a socket.

use serde::Serialize;
use serde_json::Value;

use super::clock::Now;
use super::posting;
use super::problem::Problem;
use super::records::Stream;
use super::seed::Seed;
use super::stock::{self, MoveQuery};
use super::store::{self, Store};
use super::{SandboxErpError, books, open};

/// A ledger in memory that is asked in process: the rules and the JSON of the sandbox ERP without HTTP around them, for tests
/// and for the fuzzer.
pub struct Desk {
    store: Store,
}

impl Desk {
    /// An empty ledger.
    ///
    /// # Errors
    /// WL-7094 when SQLite gives no ledger.
    pub fn open() -> Result<Self, SandboxErpError> {
        open(None).map(|store| Self { store })
    }

    /// HTTP status and body of the answer. `path` is what follows `/api/v1/`, decoded and without parameters.
    pub fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        match self.answer(method, path, body) {
            Ok((status, answer)) => (status, answer),
            Err(problem) => {
                let status = problem.status.as_u16();
                (status, serde_json::to_value(problem).unwrap_or_default())
            }
        }
    }

    fn answer(&mut self, method: &str, path: &str, body: &[u8]) -> Result<(u16, Value), Problem> {
        match (method, path) {
            ("POST", "postings") => {
                let wanted = serde_json::from_slice(body)?;
                let posted = self.store.write(|ledger| posting::post(ledger, &wanted, Now::read()))?;
                json(if posted.is_replayed() { 200 } else { 201 }, &posted)
            }
            ("POST", "counts") => {
                let count = serde_json::from_slice(body)?;
                self.store.write(|ledger| stock::count(ledger, &count, Now::read()))?;
                Ok(NOTHING_TO_SAY)
            }
            ("POST", "seed") => {
                let seed: Seed = serde_json::from_slice(body)?;
                self.store.write(|ledger| seed.write(ledger, Now::read()))?;
                Ok(NOTHING_TO_SAY)
            }
            ("GET", "stock") => json(200, &self.store.read(|ledger| stock::levels(ledger, None, None, None, None))?),
            ("GET", "stock/short") => json(200, &self.store.read(stock::short)?),
            ("GET", "moves") => {
                let all = MoveQuery { prefix: None, documents: None, after: 0, limit: None };
                json(200, &self.store.read(|ledger| stock::moves(ledger, &all))?)
            }
            ("GET", "changes") => json(200, &self.store.read(|ledger| store::changes(ledger, None, 0, None))?),
            (_, path) => self.record(method, path, body),
        }
    }

    fn record(&mut self, method: &str, path: &str, body: &[u8]) -> Result<(u16, Value), Problem> {
        let absent = || Problem::absent("there is no such address");
        let (stream, key) = path.split_once('/').ok_or_else(absent)?;
        let stream: Stream = stream.parse().map_err(Problem::absent)?;
        match method {
            "PUT" => self.store.write(|ledger| books::put(ledger, stream, key, body, Now::read()))?,
            "DELETE" => self.store.write(|ledger| books::delete(ledger, stream, key, Now::read()))?,
            _ => return Err(absent()),
        }
        Ok(NOTHING_TO_SAY)
    }
}

const NOTHING_TO_SAY: (u16, Value) = (204, Value::Null);

fn json(status: u16, answer: &impl Serialize) -> Result<(u16, Value), Problem> {
    Ok((status, serde_json::to_value(answer)?))
}
