//! The JSON that the embedded schema registry and the sandbox ERP take.
//!
//! The input is a script: a line is a method, a path and a body, with a blank between them.

use std::sync::Arc;

use embedded::registry::{Desk as Registry, MemoryLog, SchemaLog};
use embedded::sandbox_erp::Desk as Ledger;
use serde_json::Value;

/// Calls of one script; more would only cost time.
const CALLS_MAX: usize = 12;

/// A call of a script.
type Call<'a> = (&'a str, &'a str, &'a [u8]);

fn calls(script: &[u8]) -> impl Iterator<Item = Call<'_>> {
    script.split(|byte| *byte == b'\n').take(CALLS_MAX).filter_map(|line| {
        let mut parts = line.splitn(3, |byte| *byte == b' ');
        let method = std::str::from_utf8(parts.next()?).ok()?;
        let path = std::str::from_utf8(parts.next()?).ok()?;
        Some((method, path, parts.next().unwrap_or_default()))
    })
}

/// No call breaks the registry; a schema that it has taken it gives the same id again; and a registry that is started on its
/// log knows what it knew.
pub fn registry(script: &[u8]) {
    let log = Arc::new(MemoryLog::default());
    let Some(desk) = open(&log) else { return };
    for (method, path, body) in calls(script) {
        let (status, answer) = desk.ask(method, path, body);
        let shown = String::from_utf8_lossy(&answer).into_owned();
        assert!((200..500).contains(&status), "{method} {path}: {status} {shown}");
        assert!(serde_json::from_slice::<Value>(&answer).is_ok(), "{method} {path}: {shown}");
        if status == 200 && method == "POST" && path.ends_with("/versions") {
            assert_eq!(desk.ask(method, path, body), (status, answer), "{path}: another answer the second time");
        }
    }
    let Some(again) = open(&log) else { return };
    for path in ["subjects", "schemas/types", "config", "schemas/ids/1", "schemas/ids/2"] {
        assert_eq!(again.ask("GET", path, b""), desk.ask("GET", path, b""), "{path} after a restart");
    }
}

fn open(log: &Arc<MemoryLog>) -> Option<Registry> {
    let log: Arc<dyn SchemaLog> = Arc::<MemoryLog>::clone(log);
    let opened = Registry::open(log);
    assert!(opened.is_ok(), "the log that it wrote cannot be read: {:?}", opened.err());
    opened.ok()
}

/// No call breaks the ledger; a posting that is sent again is found and not done twice (FX-1); no stock of ours lies below zero.
pub fn sandbox_erp(script: &[u8]) {
    let opened = Ledger::open();
    assert!(opened.is_ok(), "{:?}", opened.as_ref().err());
    let Ok(mut ledger) = opened else { return };
    for (method, path, body) in calls(script) {
        let (status, answer) = ledger.ask(method, path, body);
        assert!((200..500).contains(&status), "{method} {path}: {status} {answer}");
        if (method, path, status) == ("POST", "postings", 201) {
            check_replay(&mut ledger, body, answer);
        }
    }
    let (status, short) = ledger.ask("GET", "stock/short", b"");
    assert_eq!((status, short), (200, Value::Array(Vec::new())), "stock of ours below zero");
}

fn check_replay(ledger: &mut Ledger, body: &[u8], mut first: Value) {
    let stock = ledger.ask("GET", "stock", b"");
    let second = ledger.ask("POST", "postings", body);
    if let Some(replayed) = first.get_mut("replayed") {
        *replayed = true.into();
    }
    assert_eq!(second, (200, first), "the second answer to one posting");
    assert_eq!(ledger.ask("GET", "stock", b""), stock, "a posting that was sent again moved stock");
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    /// A seed whose calls are refused shows the fuzzer nothing of what lies behind them.
    #[test]
    fn the_seeds_of_the_ledger_are_taken() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/sandbox_erp");
        for file in std::fs::read_dir(folder).unwrap() {
            let script = std::fs::read(file.unwrap().path()).unwrap();
            let mut ledger = Ledger::open().unwrap();
            for (method, path, body) in calls(&script) {
                let (status, answer) = ledger.ask(method, path, body);
                assert!(status < 300, "{method} {path}: {status} {answer}");
            }
        }
    }
}
