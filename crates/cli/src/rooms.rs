//! All rooms, in the order in which an event meets them.

use runtime::Room;

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

#[cfg(test)]
mod tests {
    //! What the rooms declare and what `topics.yaml` says about them is the same, in both directions.

    use runtime::RoomInfo;
    use schemas::topics;

    /// Topics by which outcomes are visible: the runtime writes and reads them for every room, so no wiring names them.
    const OPERATIONS: &str = "ops.";

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
            for name in &info.writes {
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
        for topic in topics::ALL.iter().filter(|topic| !topic.name.starts_with(OPERATIONS)) {
            for producer in topic.producers {
                let declares = infos.iter().any(|info| info.name == *producer && info.writes.contains(&topic.name));
                if !declares {
                    wrong.push(format!("{producer} is a producer of {} and does not write it", topic.name));
                }
            }
            for (consumer, _) in topic.consumers {
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
}
