//! All rooms, in the order in which an event meets them.

use crate::Failure;
use operations::People;
use operations::replay::ReplayConfig;
use runtime::{Config, Room, near};
use serde_json::Value;
use std::collections::BTreeMap;

/// Every room of this version.
pub fn all() -> Vec<Room> {
    vec![
        hl7v2::room(),
        fhir::room(),
        erp::room(),
        validate::room(),
        enrich::room(),
        erp_post::room(),
        supplier_fanout::room(),
        analytics::room(),
    ]
}

/// Names of all rooms.
pub fn names() -> Vec<&'static str> {
    all().iter().map(|room| room.info().name).collect()
}

/// Acts of operators that have a block of the configuration.
const ACTS: [&str; 5] = ["exceptions", "people", "reconcile", "replay", "sight"];

/// Checks the names of the blocks of operators, and the block of replays.
fn operations(config: &Config) -> Result<(), Failure> {
    if let Some(unknown) = config.operations.keys().find(|act| !ACTS.contains(&act.as_str())) {
        let meant = near(unknown, ACTS).map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        return Err(Failure::usage(
            format!("WL-7001: operations.{unknown}: there is no such block{meant}"),
            format!("correct the name in the configuration file; the blocks are {}", ACTS.join(", ")),
        ));
    }
    People::of(config).map_err(|error| Failure::usage(error, "operations.people says `anyone` or `console`"))?;
    let replay = ReplayConfig::of(config);
    replay
        .map(drop)
        .map_err(|error| Failure::usage(error, "correct operations.replay; docs/operate/replay.md has its keys"))
}

/// Checks the blocks of all rooms and of operators, before anything starts, and gives them back as they are in force, with their secrets as
/// stars.
pub fn settings(config: &Config) -> Result<BTreeMap<String, Value>, Failure> {
    operations(config)?;
    let rooms = all();
    if let Some(unknown) = config.rooms.keys().find(|name| !rooms.iter().any(|room| room.info().name == *name)) {
        let meant = near(unknown, names()).map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        return Err(Failure::usage(
            format!("WL-7001: rooms.{unknown}: there is no such room{meant}"),
            format!("correct the name in the configuration file; the rooms are {}", names().join(", ")),
        ));
    }
    let block = |room: &Room| {
        let name = room.info().name;
        let settings = room.settings(config).map_err(|error| {
            Failure::usage(
                error,
                format!("correct rooms.{name} of the configuration; the README of the room has its keys"),
            )
        })?;
        Ok((name.to_owned(), settings))
    };
    rooms.iter().map(block).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    //! What the rooms declare and what `topics.yaml` says about them is the same, in both directions.

    use runtime::{Config, RoomInfo, RoomKind};
    use schemas::topics;
    use serde_json::{Value, json};

    /// Topics by which outcomes are visible: the runtime reads them for every room, so no wiring names them.
    const OPERATIONS: &str = "ops.";
    /// Through these people read and write; they are no rooms.
    const DESKS: [&str; 2] = ["cli", "console"];

    /// Topics on which the runtime tells the outcomes of a room, so that no wiring names them. A source names all that it writes.
    fn told(kind: RoomKind) -> &'static [&'static str] {
        match kind {
            RoomKind::Source => &[],
            RoomKind::Processor => &["ops.audit.v1", "ops.dead-letter.v1", "ops.exception.v1", "ops.parked.v1"],
            RoomKind::Effect => {
                &["ops.audit.v1", "ops.dead-letter.v1", "ops.effect.v1", "ops.exception.v1", "ops.parked.v1"]
            }
            RoomKind::Sink => &["ops.audit.v1", "ops.dead-letter.v1"],
        }
    }

    #[test]
    fn every_declared_topic_names_the_room() {
        let mut wrong = Vec::new();
        for room in super::all() {
            let info = room.info();
            for name in info.reads.iter().chain(&info.looks_up) {
                let known = topics::find(name)
                    .is_some_and(|topic| topic.consumers.iter().any(|(reader, _)| *reader == info.name));
                if !known {
                    wrong.push(format!("{} reads {name}: add it to the consumers", info.name));
                }
            }
            for name in info.writes.iter().chain(told(info.kind)) {
                if !topics::find(name).is_some_and(|topic| topic.producers.contains(&info.name)) {
                    wrong.push(format!("{} writes {name}: add it to the producers", info.name));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn every_named_room_declares_the_topic() {
        let all = super::all();
        let infos: Vec<&RoomInfo> = all.iter().map(|room| room.info()).collect();
        let mut wrong = Vec::new();
        for topic in topics::ALL {
            for producer in topic.producers.iter().filter(|producer| !DESKS.contains(producer)) {
                let declares = infos.iter().any(|info| {
                    info.name == *producer
                        && (info.writes.contains(&topic.name) || told(info.kind).contains(&topic.name))
                });
                if !declares {
                    wrong.push(format!("{producer} is a producer of {} and does not write it", topic.name));
                }
            }
        }
        for topic in topics::ALL.iter().filter(|topic| !topic.name.starts_with(OPERATIONS)) {
            for (consumer, _) in topic.consumers.iter().filter(|(consumer, _)| !DESKS.contains(consumer)) {
                let declares = infos.iter().any(|info| {
                    info.name == *consumer && (info.reads.contains(&topic.name) || info.looks_up.contains(&topic.name))
                });
                if !declares {
                    wrong.push(format!("{consumer} is a consumer of {} and does not read it", topic.name));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn refusal(room: &str, block: Value) -> String {
        let mut config = Config::default();
        config.rooms.insert(room.to_owned(), block);
        super::settings(&config).unwrap_err().to_string()
    }

    #[test]
    fn a_misspelt_room_is_refused_with_the_one_that_was_meant() {
        let said = refusal("erp-pst", json!({}));
        assert!(said.contains("WL-7001: rooms.erp-pst") && said.contains("did you mean erp-post?"), "{said}");
        let said = refusal("warehouse", json!({}));
        assert!(!said.contains("did you mean") && said.contains("the rooms are hl7v2, "), "{said}");
    }

    #[test]
    fn every_room_refuses_an_unknown_key_before_anything_starts() {
        for name in super::names() {
            let said = refusal(name, json!({"no_such_key": 1}));
            assert!(said.contains(&format!("WL-7001: rooms.{name}: unknown field `no_such_key`")), "{said}");
        }
        let said = refusal("erp", json!({"pol_ms": 1}));
        assert!(said.contains("did you mean `poll_ms`?"), "{said}");
        let said = refusal("hl7v2", json!({"listen": "nowhere"}));
        assert!(said.contains("WL-7001: rooms.hl7v2: listen is nowhere"), "{said}");
        let said = refusal("hl7v2", json!({"mapping": {"time_zone": "Mars"}}));
        assert!(said.contains("WL-1050"), "{said}");
    }

    #[test]
    fn settings_show_defaults_and_stars_for_secrets() {
        let mut config = Config::default();
        config.rooms.insert("erp".to_owned(), json!({"tryton": {"key": "k3y-of-tryton"}}));
        config.rooms.insert("analytics".to_owned(), json!({"token_key": "a-key-that-is-long-enough"}));
        let profile = json!({"url": "https://supplier.example/notices", "secret": "whsec-long-enough-text"});
        config.rooms.insert("supplier-fanout".to_owned(), json!({"profiles": {"V-300": profile}}));
        let settings = super::settings(&config).unwrap();
        let shown = serde_json::to_string(&settings).unwrap();
        for secret in ["k3y-of-tryton", "a-key-that", "whsec-long"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert_eq!(settings["erp"]["tryton"]["key"], "***");
        assert_eq!(settings["erp"]["poll_ms"], 5_000);
        assert_eq!(settings.len(), super::names().len());
    }
}
