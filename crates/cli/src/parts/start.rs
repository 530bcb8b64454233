//! Starts one embedded part each.

use crate::Failure;
use embedded::broker::server::{Broker, BrokerOptions};
use embedded::fhir_store::{FhirStore, FhirStoreOptions};
use embedded::registry::{Registry, RegistryOptions, SchemaLog};
use embedded::sandbox_erp::{SandboxErp, SandboxErpOptions, Seed};
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use testkit::supplier::Supplier;

/// The key that callers of the sandbox ERP show, if nobody wants another. Only this machine reaches the port.
pub const ERP_KEY: &str = "sandbox";

/// The topic in which Confluent's registry keeps its schemas too.
pub const SCHEMAS: &str = "_schemas";

/// Starts the Kafka broker; without a folder its data is in memory.
pub async fn broker(listen: SocketAddr, data: Option<&Path>) -> Result<Broker, Failure> {
    let options = BrokerOptions { listen, data: data.map(Path::to_owned), ..BrokerOptions::default() };
    blocking(move || Broker::start(options)).await
}

/// The topic of a broker in this process that the registry keeps its schemas in.
pub fn schema_log(broker: &Broker) -> Result<Arc<dyn SchemaLog>, Failure> {
    let log = broker.topic_log(SCHEMAS).map_err(|error| Failure::new(error, "report this as a defect"))?;
    Ok(Arc::new(log))
}

/// Starts the schema registry over a log.
pub async fn registry(listen: SocketAddr, log: Arc<dyn SchemaLog>) -> Result<Registry, Failure> {
    blocking(move || Registry::start(RegistryOptions { listen, log })).await
}

/// Starts the sandbox ERP. A new ledger begins with the hospital of the demo, or empty.
pub async fn erp(listen: SocketAddr, data: Option<&Path>, key: &str, hospital: bool) -> Result<SandboxErp, Failure> {
    let json = if hospital { components::HOSPITAL_JSON } else { "{}" };
    let seed = Seed::from_json(json).map_err(|error| Failure::new(error, "report this as a defect"))?;
    let options = SandboxErpOptions { listen, data: data.map(Path::to_owned), key: key.to_owned(), seed };
    blocking(move || SandboxErp::start(options)).await
}

/// Starts the FHIR store; without a folder its data is in memory.
pub async fn fhir(listen: SocketAddr, data: Option<&Path>) -> Result<FhirStore, Failure> {
    let options = FhirStoreOptions { listen, data: data.map(Path::to_owned), ..FhirStoreOptions::default() };
    blocking(move || FhirStore::start(&options)).await
}

/// Starts the receiver of suppliers' notices.
pub async fn supplier(listen: SocketAddr) -> Result<Supplier, Failure> {
    Supplier::start_on(listen).await.map_err(|error| {
        Failure::new(
            format!("WL-7061: cannot listen on {listen} for notices: {error}"),
            "choose other ports with --ports",
        )
    })
}

/// Reading what a part has kept takes a while: not on a thread that others wait for.
async fn blocking<T, E>(start: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Failure>
where
    T: Send + 'static,
    E: Display + Send + 'static,
{
    let started = tokio::task::spawn_blocking(start).await;
    started.map_err(|error| Failure::new(error, "report this as a defect"))?.map_err(|error| {
        Failure::new(
            error,
            "choose another address or folder, or mend what is said here; docs/errors explains the code",
        )
    })
}
