//! The configuration of a command, and the async runtime for those that need one.

use crate::args::Globals;
use crate::{Failure, output, sight};
use erp_systems::System;
use operations::Zone;
use runtime::Config;
use serde_json::{Map, Value};
use std::future::Future;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Longest wait for a connection to Kafka before a command that needs a running one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for blocking work that nobody waits for any more.
const LEFT_BEHIND: Duration = Duration::from_secs(1);

/// Reads the configuration file and lays the flags over it.
pub fn config(globals: &Globals) -> Result<Config, Failure> {
    let mut config = match &globals.config {
        Some(path) => Config::load(path).map_err(|error| {
            Failure::usage(error, "correct the file named with --config; docs/errors explains the code")
        })?,
        None => Config::default(),
    };
    if let Some(bootstrap) = &globals.kafka {
        config.kafka.bootstrap.clone_from(bootstrap);
    }
    if let Some(url) = &globals.registry {
        config.registry.url = url.trim_end_matches('/').to_owned();
    }
    for room in ["erp", "erp-post"] {
        set_erp(&mut config, room, globals);
    }
    set(&mut config, "fhir", &["base_url"], globals.fhir.clone().map(Value::String));
    Ok(config)
}

/// Lays what is said of the ERP over a room's block: the address and the key belong to the system that is chosen.
fn set_erp(config: &mut Config, room: &str, globals: &Globals) {
    let system = globals.erp_system.map(|system| System::from(system).as_str());
    set(config, room, &["system"], system.map(Value::from));
    let chosen = config.rooms.get(room).and_then(|block| block.get("system")).and_then(Value::as_str);
    let chosen = chosen.unwrap_or(System::default().as_str()).to_owned();
    set(config, room, &[&chosen, "url"], globals.erp.clone().map(Value::String));
    set(config, room, &[&chosen, "key"], globals.erp_key.clone().map(Value::String));
}

/// The configuration, once it is sure that its Kafka is there: a command that looks at a running system should say at once
/// that there is none.
pub fn running(globals: &Globals) -> Result<Config, Failure> {
    let config = config(globals)?;
    let bootstrap = &config.kafka.bootstrap;
    let mut last = "no address".to_owned();
    for address in bootstrap.split(',').map(str::trim) {
        match connect(address) {
            Ok(()) => {
                output::tell_times_in(Zone::of(&config).map_err(sight::failure)?);
                return Ok(config);
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(Failure::new(
        format!("WL-7067: no Kafka answers at {bootstrap}: {last}"),
        "start `wardline up` or `wardline demo` in another terminal, or name a running cluster with --kafka",
    ))
}

fn connect(address: &str) -> std::io::Result<()> {
    let mut last = std::io::Error::other("the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What the configuration file itself says, without defaults; null when there is none.
pub fn file(globals: &Globals) -> Result<Value, Failure> {
    match &globals.config {
        None => Ok(Value::Null),
        Some(path) => Config::said(path).map_err(|error| {
            Failure::usage(error, "correct the file named with --config; docs/errors explains the code")
        }),
    }
}

/// The block of a room.
pub fn room<C: Default + serde::de::DeserializeOwned>(config: &Config, room: &str) -> Result<C, Failure> {
    config.room(room).map_err(|error| Failure::usage(error, format!("correct rooms.{room} of the configuration")))
}

/// Runs a future to its end on a runtime of its own.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        Failure::new(format!("cannot start threads: {error}"), "raise the limit of threads of this user")
    })?;
    let output = runtime.block_on(future);
    // What still reads from a broker that is gone is not worth waiting for.
    runtime.shutdown_timeout(LEFT_BEHIND);
    Ok(output)
}

/// Sets one key of a room's block, whatever else the block holds.
pub fn set(config: &mut Config, room: &str, path: &[&str], value: Option<Value>) {
    let Some(value) = value else { return };
    let mut place = config.rooms.entry(room.to_owned()).or_insert_with(|| Value::Object(Map::new()));
    for key in path {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(block) = place else { return };
        place = block.entry((*key).to_owned()).or_insert(Value::Null);
    }
    *place = value;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::ErpSystem;
    use serde_json::json;

    #[test]
    fn the_address_of_the_erp_goes_to_the_system_that_is_chosen() {
        let said = |file: Value, erp_system| {
            let mut config = Config::default();
            config.rooms.insert("erp".to_owned(), file);
            let globals = Globals { erp: Some("http://erp".to_owned()), erp_system, ..Globals::default() };
            set_erp(&mut config, "erp", &globals);
            config.rooms.remove("erp")
        };
        let address = json!({"url": "http://erp"});
        assert_eq!(said(json!({}), None), Some(json!({"tryton": address})));
        assert_eq!(said(json!({"system": "sandbox"}), None), Some(json!({"system": "sandbox", "sandbox": address})));
        let chosen = said(json!({"system": "tryton"}), Some(ErpSystem::Sandbox));
        assert_eq!(chosen, Some(json!({"system": "sandbox", "sandbox": address})));
    }

    #[test]
    fn a_flag_changes_its_key_and_leaves_the_others() {
        let mut config = Config::default();
        config.rooms.insert("erp".to_owned(), serde_json::json!({"tryton": {"database": "x"}, "poll_ms": 5}));
        set(&mut config, "erp", &["tryton", "url"], Some(Value::String("http://erp".to_owned())));
        assert_eq!(
            config.rooms.get("erp"),
            Some(&serde_json::json!({"tryton": {"database": "x", "url": "http://erp"}, "poll_ms": 5}))
        );
    }
}
