//! `wardline broker`, `registry`, `sandbox-erp` and `fhir-store`: one embedded part, for any client.

use super::ports::{self, loopback};
use super::{Choice, KafkaLog, Part, start};
use crate::args::{self, Globals, RegistryAlone, SandboxErpAlone};
use crate::output::{self, Output};
use crate::{Failure, context, system};
use embedded::registry::SchemaLog;
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// Executes `wardline broker`.
pub fn broker(options: &args::Part) -> Result<(), Failure> {
    let listen = address(options, ports::BROKER)?;
    alone(async {
        let signal = system::signal();
        let broker = start::broker(listen, options.data.as_deref()).await?;
        say("broker", broker.address(), &broker.address().to_string(), options)?;
        signal.wait().await;
        drop(broker);
        Ok(())
    })
}

/// Executes `wardline registry`.
pub fn registry(globals: &Globals, options: &RegistryAlone) -> Result<(), Failure> {
    let listen = address(&options.part, ports::REGISTRY)?;
    let config = context::config(globals)?;
    let over_kafka = !Choice::of(globals, &context::file(globals)?).embeds(Part::Kafka);
    alone(async {
        let signal = system::signal();
        // Without a Kafka of somebody else the schemas are kept as one keeps them: in a small broker of its own.
        let own = match over_kafka {
            true => None,
            false => Some(start::broker(ports::listen(0, 0), options.part.data.as_deref()).await?),
        };
        let log: Arc<dyn SchemaLog> = match &own {
            Some(broker) => start::schema_log(broker)?,
            None => Arc::new(KafkaLog::open(&config.kafka).await.map_err(Failure::kafka)?),
        };
        let registry = start::registry(listen, log).await?;
        say("registry", registry.address(), &format!("http://{}", registry.address()), &options.part)?;
        signal.wait().await;
        drop(registry);
        drop(own);
        Ok(())
    })
}

/// Executes `wardline sandbox-erp`.
pub fn sandbox_erp(globals: &Globals, options: &SandboxErpAlone) -> Result<(), Failure> {
    let listen = address(&options.part, ports::ERP)?;
    alone(async {
        let signal = system::signal();
        let key = globals.erp_key.as_deref().unwrap_or(start::ERP_KEY);
        let erp = start::erp(listen, options.part.data.as_deref(), key, !options.empty).await?;
        say("sandbox-erp", erp.address(), &format!("http://{}", erp.address()), &options.part)?;
        output::note(&shown_by_callers(globals));
        signal.wait().await;
        drop(erp);
        Ok(())
    })
}

/// Executes `wardline fhir-store`.
pub fn fhir_store(options: &args::Part) -> Result<(), Failure> {
    let listen = address(options, ports::FHIR)?;
    alone(async {
        let signal = system::signal();
        let store = start::fhir(listen, options.data.as_deref()).await?;
        say("fhir-store", store.address(), &super::fhir_url(store.address()), options)?;
        signal.wait().await;
        drop(store);
        Ok(())
    })
}

/// What callers of the sandbox ERP show. A key of somebody's own is not repeated.
fn shown_by_callers(globals: &Globals) -> String {
    match globals.erp_key {
        None => format!("callers show `Authorization: Bearer {}`", start::ERP_KEY),
        Some(_) => "callers show `Authorization: Bearer KEY` with the key of --erp-key".to_owned(),
    }
}

fn address(options: &args::Part, port: u16) -> Result<SocketAddr, Failure> {
    options.listen.as_deref().map_or_else(|| Ok(ports::listen(ports::FIRST, port)), loopback)
}

fn alone(part: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    context::block_on(async {
        let telemetry = runtime::config::TelemetryConfig::default();
        let _telemetry = runtime::telemetry::init(&telemetry, "wardline")
            .map_err(|error| Failure::usage(error, "correct the telemetry block of the configuration"))?;
        part.await
    })?
}

/// The address on stdout, for scripts; where the data is on stderr, for people.
fn say(part: &str, address: SocketAddr, url: &str, options: &args::Part) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if options.json {
        output.json(&json!({"part": part, "address": address.to_string(), "url": url, "data": options.data}))?;
    } else {
        output.line(url)?;
    }
    output.finish()?;
    let place = |data: &Path| format!("its data is in {}", data.display());
    let place = options.data.as_deref().map_or_else(|| "its data is in memory".to_owned(), place);
    output::note(&format!(
        "{part} listens on {address}; {place}; for development and tests, never for production; Ctrl-C stops"
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_sandbox_is_told_unless_it_is_somebodys_own() {
        assert!(shown_by_callers(&Globals::default()).contains("Bearer sandbox"));
        let own = Globals { erp_key: Some("my-own".to_owned()), ..Globals::default() };
        assert!(!shown_by_callers(&own).contains("my-own"));
    }
}
