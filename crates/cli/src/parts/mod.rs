//! The parts that Wardline stands on: each is a real one that somebody names, or an embedded one in this process.

mod alone;
mod announce;
mod choice;
mod folder;
mod ports;
mod schema_log;
mod start;

pub use alone::{broker, fhir_store, registry, sandbox_erp};
pub use announce::{announce, try_next};
pub use choice::{Choice, Part};

use crate::args::Place;
use crate::{Failure, console, context};
use embedded::broker::server::Broker;
use embedded::fhir_store::FhirStore;
use embedded::registry::Registry;
use embedded::sandbox_erp::SandboxErp;
use folder::Folder;
use ports::Wanted;
use runtime::Config;
use schema_log::KafkaLog;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use testkit::supplier::Supplier;

/// Every supplier of the hospital, as the ERP numbers them.
const SUPPLIERS: [&str; 4] = ["V-300", "V-310", "V-320", "V-330"];

/// What is going to run: which parts, and where.
pub struct Plan<'a> {
    /// Which parts are embedded.
    pub choice: Choice,
    /// Where they listen.
    pub place: &'a Place,
    /// Where they keep their data.
    pub data: &'a Path,
    /// Whether a supplier takes notices here.
    pub supplier: bool,
    /// Rooms that do not run here.
    pub without: &'a [String],
}

/// The embedded parts that run, in the order in which they stop when this is dropped.
pub struct Parts {
    supplier: Option<Supplier>,
    _fhir: Option<FhirStore>,
    _erp: Option<SandboxErp>,
    _registry: Option<Registry>,
    _broker: Option<Broker>,
    // Last, so that the folder is free only when everything in it is closed.
    _folder: Option<Folder>,
}

/// Whether health and metrics can listen where the configuration says.
pub fn can_serve_health(config: &Config) -> Result<(), Failure> {
    ports::all_free(&[ports::health(&config.http.listen)]).map(drop)
}

impl Plan<'_> {
    /// Lays over the configuration what the flags say about listeners and folders, and checks that every address can be
    /// listened on. Where the port is 0, the configuration knows the real one afterwards, so that it can be told.
    pub fn prepare(&self, config: &mut Config, file: &Value) -> Result<(), Failure> {
        if let Some(health) = &self.place.health {
            config.http.listen.clone_from(health);
        }
        context::set(config, "hl7v2", &["listen"], self.place.mllp.clone().map(Value::String));
        // The names of the files are places on the broker: those of another broker must not lie beside them.
        let analytics = if self.choice.embeds(Part::Kafka) { "analytics" } else { "analytics-real" };
        if file.pointer("/rooms/analytics/directory").is_none() {
            context::set(config, "analytics", &["directory"], Some(json!(self.data.join(analytics))));
        }
        self.place_console(config, self.console(file));
        if console::listen(config).is_some() {
            console::settings(config)?;
        }
        let mut settled = ports::all_free(&self.wanted(config)?)?.into_iter();
        if let Some(health) = settled.next() {
            config.http.listen = health;
        }
        if self.listens_for_mllp(config)? {
            context::set(config, hl7v2::NAME, &["listen"], settled.next().map(Value::String));
        }
        if console::listen(config).is_some() {
            self.place_console(config, settled.next());
        }
        Ok(())
    }

    /// Starts the embedded parts in the order in which they need each other, and tells the configuration where they are.
    pub async fn start(&self, config: &mut Config) -> Result<Parts, Failure> {
        let folder = if self.choice.embeds_any() { Some(Folder::take(self.data)?) } else { None };
        let mut parts =
            Parts { supplier: None, _fhir: None, _erp: None, _registry: None, _broker: None, _folder: folder };
        for part in self.choice.embedded() {
            match part {
                Part::Kafka => {
                    let broker = start::broker(self.listen(ports::BROKER), Some(&self.data.join("kafka"))).await?;
                    config.kafka.bootstrap = broker.address().to_string();
                    parts._broker = Some(broker);
                }
                Part::Registry => {
                    let log = match &parts._broker {
                        Some(broker) => start::schema_log(broker)?,
                        None => Arc::new(KafkaLog::open(&config.kafka).await.map_err(Failure::kafka)?),
                    };
                    let registry = start::registry(self.listen(ports::REGISTRY), log).await?;
                    config.registry.url = format!("http://{}", registry.address());
                    parts._registry = Some(registry);
                }
                Part::Erp => {
                    let erp =
                        start::erp(self.listen(ports::ERP), Some(&self.data.join("erp")), start::ERP_KEY, true).await?;
                    use_sandbox(config, &erp.url());
                    parts._erp = Some(erp);
                }
                Part::Fhir => {
                    let fhir = start::fhir(self.listen(ports::FHIR), Some(&self.data.join("fhir"))).await?;
                    context::set(config, "fhir", &["base_url"], Some(json!(fhir_url(fhir.address()))));
                    parts._fhir = Some(fhir);
                }
            }
        }
        if self.supplier {
            // Beside real parts alone, where several runs may be at work, nothing has a fixed port.
            let listen = if self.choice.embeds_any() { self.listen(ports::SUPPLIER) } else { ports::listen(0, 0) };
            let supplier = start::supplier(listen).await?;
            context::set(config, "supplier-fanout", &["profiles"], Some(profiles(&supplier.url())));
            parts.supplier = Some(supplier);
        }
        Ok(parts)
    }

    fn listen(&self, part: u16) -> SocketAddr {
        ports::listen(self.place.ports, part)
    }

    /// Where the web console is to listen; none when it is left out.
    fn console(&self, file: &Value) -> Option<String> {
        let said = self.place.console.as_deref().or_else(|| file.pointer("/console/listen").and_then(Value::as_str));
        match said {
            Some("") => None,
            Some(listen) => Some(listen.to_owned()),
            // Beside real parts alone, where several runs may be at work, nothing has a fixed port.
            None if self.choice.embeds_any() => Some(self.listen(ports::CONSOLE).to_string()),
            None => Some(ports::listen(0, 0).to_string()),
        }
    }

    /// Tells the configuration where the console listens; an empty address leaves it out.
    fn place_console(&self, config: &mut Config, listen: Option<String>) {
        if !config.console.is_object() {
            config.console = json!({});
        }
        config.console["listen"] = json!(listen.unwrap_or_default());
    }

    /// Left out here, the room may well listen there in another process; without an address it listens nowhere.
    fn listens_for_mllp(&self, config: &Config) -> Result<bool, Failure> {
        let hl7v2: hl7v2::config::Hl7v2Config = context::room(config, hl7v2::NAME)?;
        Ok(!hl7v2.listen.is_empty() && !self.without.iter().any(|room| room == hl7v2::NAME))
    }

    /// Health first, then the MLLP listener and the console if there are any, then the embedded parts.
    fn wanted(&self, config: &Config) -> Result<Vec<Wanted>, Failure> {
        let mut wanted = vec![ports::health(&config.http.listen)];
        if self.listens_for_mllp(config)? {
            let hl7v2: hl7v2::config::Hl7v2Config = context::room(config, hl7v2::NAME)?;
            let key = Some("rooms.hl7v2.listen");
            wanted.push(Wanted { address: hl7v2.listen, what: "MLLP listener", flag: "--mllp", key });
        }
        if let Some(listen) = console::listen(config) {
            let key = Some("console.listen");
            wanted.push(Wanted { address: listen, what: "web console", flag: "--console", key });
        }
        let mut part = |port, what| {
            wanted.push(Wanted { address: self.listen(port).to_string(), what, flag: "--ports", key: None });
        };
        for embedded in self.choice.embedded() {
            match embedded {
                Part::Kafka => part(ports::BROKER, "embedded Kafka broker"),
                Part::Registry => part(ports::REGISTRY, "embedded schema registry"),
                Part::Erp => part(ports::ERP, "sandbox ERP"),
                Part::Fhir => part(ports::FHIR, "embedded FHIR store"),
            }
        }
        if self.supplier && self.choice.embeds_any() {
            part(ports::SUPPLIER, "supplier");
        }
        Ok(wanted)
    }
}

impl Parts {
    /// Stops in the reverse order of the start.
    pub async fn stop(self) {
        // Parts wait for what is under way when they are dropped.
        if let Err(error) = tokio::task::spawn_blocking(move || drop(self)).await {
            tracing::error!(%error, "an embedded part did not stop as it must");
        }
    }

    /// Where suppliers take notices, when that is here.
    pub fn supplier_url(&self) -> Option<String> {
        self.supplier.as_ref().map(Supplier::url)
    }
}

/// Base URL of the FHIR store.
fn fhir_url(address: SocketAddr) -> String {
    format!("http://{address}/fhir")
}

/// Where the embedded sandbox ERP of `wardline up` listens, when nobody names an ERP.
pub fn find_sandbox(config: &mut Config) {
    use_sandbox(config, &usual_sandbox());
}

/// Its address when nobody moves it.
fn usual_sandbox() -> String {
    format!("http://{}", ports::listen(ports::FIRST, ports::ERP))
}

/// Tells the rooms that the ERP is the sandbox.
fn use_sandbox(config: &mut Config, url: &str) {
    let sandbox = erp_systems::System::Sandbox.as_str();
    for room in ["erp", "erp-post"] {
        context::set(config, room, &["system"], Some(json!(sandbox)));
        context::set(config, room, &[sandbox, "url"], Some(json!(url)));
        context::set(config, room, &[sandbox, "key"], Some(json!(start::ERP_KEY)));
    }
}

/// Every supplier of the hospital takes notices at the same receiver.
fn profiles(url: &str) -> Value {
    let kinds = ["consignment-usage", "vmi-usage", "po-approved", "po-changed", "po-cancelled", "receipt"];
    let profile = json!({"url": url, "secret": testkit::supplier::SECRET, "kinds": kinds});
    SUPPLIERS.iter().map(|supplier| ((*supplier).to_owned(), profile.clone())).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn prepared(place: &Place, file: &Value, config: &mut Config) -> Result<(), Failure> {
        let plan = Plan { choice: Choice::default(), place, data: Path::new("data"), supplier: false, without: &[] };
        plan.prepare(config, file)
    }

    fn place(mllp: &str, health: &str) -> Place {
        let console = Some(String::new());
        Place { ports: 0, mllp: Some(mllp.to_owned()), health: Some(health.to_owned()), console }
    }

    #[test]
    fn ports_that_are_taken_freely_are_known_before_the_start() {
        let mut config = Config::default();
        prepared(&place("127.0.0.1:0", "127.0.0.1:0"), &Value::Null, &mut config).unwrap();
        let mllp = context::room::<hl7v2::config::Hl7v2Config>(&config, hl7v2::NAME).unwrap().listen;
        for address in [&config.http.listen, &mllp] {
            assert_ne!(address.parse::<SocketAddr>().unwrap().port(), 0, "{address}");
        }
        assert_ne!(config.http.listen, mllp);
    }

    #[test]
    fn no_listener_is_looked_for_where_none_is_wanted() {
        let mut config = Config::default();
        prepared(&place("", "127.0.0.1:0"), &Value::Null, &mut config).unwrap();
        assert_eq!(context::room::<hl7v2::config::Hl7v2Config>(&config, hl7v2::NAME).unwrap().listen, "");
    }

    #[test]
    fn an_address_that_is_none_stops_before_anything_starts() {
        for (mllp, health, flag) in [("foo", "127.0.0.1:0", "--mllp"), ("127.0.0.1:0", "bar", "--health")] {
            let said = prepared(&place(mllp, health), &Value::Null, &mut Config::default()).unwrap_err().to_string();
            assert!(said.contains("WL-7073") && said.contains(flag), "{said}");
        }
    }
}
