//! A toy room, or `analytics`, as a process, to be killed: `toy-room ROOM CONFIG LEDGER`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "only serves tests")]

use runtime::health::Health;
use runtime::{Config, run_rooms, shutdown};
use std::path::Path;
use std::sync::Arc;
use wardline_tests::toys;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, room, config, ledger] = arguments.as_slice() else { panic!("usage: toy-room ROOM CONFIG LEDGER") };
    let config = Config::load(Path::new(config)).unwrap();
    let _telemetry = runtime::telemetry::init(&config.telemetry, "toy-room").unwrap();
    let room = match room.as_str() {
        toys::VALIDATE => toys::validate(),
        toys::POST => toys::post(Path::new(ledger)),
        // The one room of its kind, as it is.
        analytics::NAME => analytics::room(),
        other => panic!("no toy room {other}"),
    };
    let threads = tokio::runtime::Runtime::new().unwrap();
    threads.block_on(async {
        let (trigger, stop) = shutdown();
        tokio::spawn(trigger.stop_on_signal());
        run_rooms(Arc::new(config), vec![room], &Health::new(), stop).await.unwrap();
    });
}
