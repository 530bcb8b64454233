//! Which parts are real and which are embedded: whatever nobody names is embedded.

use crate::args::Globals;
use serde_json::Value;
use std::collections::BTreeSet;

/// Something that Wardline stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The broker.
    Kafka,
    /// The schema registry.
    Registry,
    /// The ERP.
    Erp,
    /// The FHIR server.
    Fhir,
}

/// The parts that are embedded; the others are named by somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    embedded: BTreeSet<Part>,
}

impl Part {
    /// In the order in which they start: the registry keeps its schemas in the broker.
    pub const ALL: [Self; 4] = [Self::Kafka, Self::Registry, Self::Erp, Self::Fhir];

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kafka => "Kafka",
            Self::Registry => "schema registry",
            Self::Erp => "ERP",
            Self::Fhir => "FHIR server",
        }
    }

    fn is_named(self, globals: &Globals, file: &Value) -> bool {
        let (flag, keys) = match self {
            Self::Kafka => (&globals.kafka, &["/kafka/bootstrap"][..]),
            Self::Registry => (&globals.registry, &["/registry/url"][..]),
            Self::Erp => (&globals.erp, &ERP_KEYS[..]),
            Self::Fhir => (&globals.fhir, &["/rooms/fhir/base_url"][..]),
        };
        flag.is_some() || keys.iter().any(|key| file.pointer(key).is_some())
    }
}

/// Keys of a configuration file that say which ERP is meant.
const ERP_KEYS: [&str; 6] = [
    "/rooms/erp/system",
    "/rooms/erp/tryton",
    "/rooms/erp/sandbox",
    "/rooms/erp-post/system",
    "/rooms/erp-post/tryton",
    "/rooms/erp-post/sandbox",
];

impl Choice {
    /// What is named by a flag, a variable or the configuration file is used; the rest is embedded.
    pub fn of(globals: &Globals, file: &Value) -> Self {
        Self { embedded: Part::ALL.into_iter().filter(|part| !part.is_named(globals, file)).collect() }
    }

    /// Whether this part is embedded.
    pub fn embeds(&self, part: Part) -> bool {
        self.embedded.contains(&part)
    }

    /// Whether any part is embedded.
    pub fn embeds_any(&self) -> bool {
        !self.embedded.is_empty()
    }

    /// The embedded parts, in the order in which they start.
    pub fn embedded(&self) -> impl Iterator<Item = Part> {
        self.embedded.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn embedded(globals: &Globals, file: &Value) -> Vec<Part> {
        Choice::of(globals, file).embedded().collect()
    }

    #[test]
    fn without_a_word_everything_is_embedded() {
        assert_eq!(embedded(&Globals::default(), &Value::Null), Part::ALL);
        assert_eq!(embedded(&Globals::default(), &json!({"limits": {"workers": 2}, "rooms": {"erp": {}}})), Part::ALL);
    }

    #[test]
    fn each_flag_swaps_its_part_alone() {
        let named = || Some("somewhere".to_owned());
        for (part, globals) in [
            (Part::Kafka, Globals { kafka: named(), ..Globals::default() }),
            (Part::Registry, Globals { registry: named(), ..Globals::default() }),
            (Part::Erp, Globals { erp: named(), ..Globals::default() }),
            (Part::Fhir, Globals { fhir: named(), ..Globals::default() }),
        ] {
            let others: Vec<Part> = Part::ALL.into_iter().filter(|other| *other != part).collect();
            assert_eq!(embedded(&globals, &Value::Null), others, "{part:?}");
        }
    }

    #[test]
    fn a_file_names_parts_as_well() {
        let file = json!({
            "kafka": {"bootstrap": "kafka:9092"},
            "registry": {"url": "https://registry"},
            "rooms": {"erp": {"tryton": {"url": "https://erp"}}, "fhir": {"base_url": "https://fhir"}},
        });
        assert!(!Choice::of(&Globals::default(), &file).embeds_any());
        // The file names the same address as an embedded part would have: it is named all the same.
        let file = json!({"kafka": {"bootstrap": "127.0.0.1:17092"}});
        assert!(!Choice::of(&Globals::default(), &file).embeds(Part::Kafka));
    }
}
