//! What of a configuration is secret: it is not shown, and a key that everybody knows is refused where it would have to hide somebody.
//!
//! ```text
//! kafka.bootstrap: 127.0.0.1:17092        -> the key of a first run is taken: invented data on this machine
//! kafka.bootstrap: kafka-0:9092           -> WL-7003: whoever has read the source could tell who is behind a pseudonym
//! ```

use crate::config::{Config, ConfigError, KafkaConfig};
use connector::Secret;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Key of a first run, for pseudonyms and tokens of invented patients. It stands in the source, so it hides nobody.
pub const KNOWN: &str = "synthetic-data-only";

/// Parts of the names of librdkafka properties whose values are secrets.
const SECRET_PROPERTIES: [&str; 6] = ["password", "passphrase", "secret", "key.pem", "token", "sasl.jaas"];

/// Properties of librdkafka that name brokers as `kafka.bootstrap` does, and in its place.
const BROKER_LISTS: [&str; 2] = ["bootstrap.servers", "metadata.broker.list"];

impl Config {
    /// The configuration for people, with `rooms` in the place of what the file says of them: a secret in a block is known to
    /// be one only to its room.
    #[must_use]
    pub fn shown(&self, rooms: BTreeMap<String, serde_json::Value>) -> serde_json::Value {
        let mut shown = Self { rooms, ..self.clone() };
        for (name, value) in &mut shown.kafka.properties {
            if SECRET_PROPERTIES.iter().any(|part| name.contains(part)) {
                "***".clone_into(value);
            }
        }
        serde_json::to_value(shown).unwrap_or_default()
    }

    /// The key of the pseudonyms, for a room that makes some.
    ///
    /// # Errors
    /// When it is one that everybody knows, and Kafka is not on this machine alone.
    pub fn pseudonym_key(&self) -> Result<&Secret, ConfigError> {
        let key = &self.identity.pseudonym_key;
        self.hides("identity.pseudonym_key", key).map(|()| key)
    }

    /// Whether a key may hide patients on the Kafka of this configuration.
    ///
    /// # Errors
    /// When it is one that everybody knows, and Kafka is not on this machine alone.
    pub fn hides(&self, name: &'static str, key: &Secret) -> Result<(), ConfigError> {
        let elsewhere = || reached_by_others(&self.kafka).map(str::to_owned);
        match (key.expose() == KNOWN).then(elsewhere).flatten() {
            Some(broker) => Err(ConfigError::KnownKey { name, broker }),
            None => Ok(()),
        }
    }
}

/// The first broker that is not on this machine alone. Names are not looked up: what they mean may change.
fn reached_by_others(kafka: &KafkaConfig) -> Option<&str> {
    let further = BROKER_LISTS.iter().filter_map(|name| kafka.properties.get(*name));
    let lists = std::iter::once(&kafka.bootstrap).chain(further);
    lists.flat_map(|list| list.split(',')).map(str::trim).find(|broker| !broker.is_empty() && !is_loopback(broker))
}

/// Whether `host:port` is reached from this machine alone.
fn is_loopback(broker: &str) -> bool {
    let address = broker.split_once("://").map_or(broker, |(_, address)| address);
    let host = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        // An IPv6 address without brackets has no port that could be told from it.
        None if address.parse::<IpAddr>().is_ok() => address,
        None => address.rsplit_once(':').map_or(address, |(host, _)| host),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_stars_in_a_dump() {
        let dump = serde_json::to_string(&Config::default()).unwrap();
        assert!(!dump.contains("synthetic-data-only"));
    }

    #[test]
    fn secrets_among_the_properties_and_in_blocks_of_rooms_are_not_shown() {
        let mut config = Config::default();
        for (name, value) in
            [("ssl.key.password", "hidden-1"), ("sasl.oauthbearer.client.secret", "hidden-2"), ("linger.ms", "5")]
        {
            config.kafka.properties.insert(name.to_owned(), value.to_owned());
        }
        config.rooms.insert("erp".to_owned(), serde_json::json!({"tryton": {"key": "hidden-3"}}));
        let shown = config.shown(BTreeMap::new()).to_string();
        assert!(!shown.contains("hidden") && shown.contains(r#""linger.ms":"5""#), "{shown}");
    }

    fn on(bootstrap: &str) -> Config {
        let mut config = Config::default();
        bootstrap.clone_into(&mut config.kafka.bootstrap);
        config
    }

    #[test]
    fn phi_1_the_key_that_everybody_knows_makes_pseudonyms_on_this_machine_alone() {
        let here =
            ["127.0.0.1:17092", "localhost:9092, LOCALHOST:9093", "[::1]:9092", "::1", "PLAINTEXT://127.0.0.1:9092"];
        for bootstrap in here {
            assert!(on(bootstrap).pseudonym_key().is_ok(), "{bootstrap}");
        }
        for bootstrap in
            ["kafka:9092", "10.1.2.3:9092", "127.0.0.1:9092,kafka-1:9092", "[fd00::1]:9092", "localhost.example:1"]
        {
            let said = on(bootstrap).pseudonym_key().unwrap_err().to_string();
            assert!(said.starts_with("WL-7003: identity.pseudonym_key ") && !said.contains(KNOWN), "{said}");
            let mut own = on(bootstrap);
            own.identity.pseudonym_key = "of-this-hospital".into();
            assert_eq!(own.pseudonym_key().unwrap().expose(), "of-this-hospital");
        }
    }

    #[test]
    fn brokers_among_the_properties_count_too() {
        let mut config = Config::default();
        config.kafka.properties.insert("metadata.broker.list".to_owned(), "kafka:9092".to_owned());
        let said = config.pseudonym_key().unwrap_err().to_string();
        assert!(said.contains("kafka:9092"), "{said}");
    }
}
