//! The registry over HTTP, with a client that knows nothing of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;

use common::{Answered, ask};
use serde_json::{Value, json};
use wardline_embedded::registry::{BODY_BYTES_MAX, MemoryLog, Registry, RegistryOptions};

fn started(log: &Arc<MemoryLog>) -> Registry {
    Registry::start(RegistryOptions { listen: SocketAddr::from(([127, 0, 0, 1], 0)), log: log.clone() }).unwrap()
}

fn post(registry: &Registry, path: &str, body: &Value) -> Answered {
    ask(registry.address(), "POST", path, &body.to_string())
}

#[test]
fn what_was_registered_is_there_after_a_restart() {
    let log = Arc::new(MemoryLog::default());
    let registry = started(&log);
    assert_eq!(registry.url(), format!("http://{}", registry.address()));
    let answer = post(&registry, "/subjects/a%20b/versions", &json!({"schema": "\"int\""}));
    assert_eq!((answer.status, answer.json()), (200, json!({"id": 1})));
    assert_eq!(answer.header("content-type"), Some("application/vnd.schemaregistry.v1+json"));
    registry.stop();
    let registry = started(&log);
    for base in ["", "/apis/ccompat/v7"] {
        assert_eq!(ask(registry.address(), "GET", &format!("{base}/subjects"), "").json(), json!(["a b"]));
        assert_eq!(
            ask(registry.address(), "GET", &format!("{base}/schemas/ids/1"), "").json(),
            json!({"schema": "\"int\""})
        );
    }
}

#[test]
fn bad_input_is_refused_and_the_next_is_served() {
    let registry = started(&Arc::default());
    let large = json!({"schema": " ".repeat(BODY_BYTES_MAX)});
    let answer = post(&registry, "/subjects/a/versions", &large);
    assert_eq!((answer.status, &answer.json()["error_code"]), (413, &json!(413)));
    let answer = ask(registry.address(), "POST", "/subjects/a/versions", "not JSON");
    assert_eq!((answer.status, &answer.json()["error_code"]), (400, &json!(400)));
    let deep = json!({"schema": "[".repeat(100_000)});
    assert_eq!(post(&registry, "/subjects/a/versions", &deep).json()["error_code"], 42201);
    assert_eq!(ask(registry.address(), "GET", "/subjects/%ff", "").status, 400);
    assert_eq!(ask(registry.address(), "GET", "/subjects", "").json(), json!([]));
}

#[test]
fn many_clients_at_once_get_one_id_for_one_schema() {
    let registry = started(&Arc::default());
    let ids: Vec<Value> = std::thread::scope(|scope| {
        let asking = |number: usize| {
            let registry = &registry;
            move || {
                let path = format!("/subjects/s{number}/versions");
                post(registry, &path, &json!({"schema": "{\"type\":\"array\",\"items\":\"int\"}"})).json()["id"].clone()
            }
        };
        let threads: Vec<_> = (0..16).map(|number| scope.spawn(asking(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == json!(1)), "{ids:?}");
}
