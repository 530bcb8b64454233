//! Kafka.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use components::{KafkaOptions, Part};
use embedded::broker::server::{Broker, BrokerOptions};

/// A broker.
pub struct Kafka(System);

enum System {
    Embedded(Embedded),
    Real(Box<components::Kafka>),
}

/// The embedded broker in this process. What it has answered is in its files, so one that ends without a good-bye to its
/// clients leaves what a killed process leaves.
struct Embedded {
    address: SocketAddr,
    data: PathBuf,
    running: Option<Broker>,
}

impl Kafka {
    /// Starts a broker that keeps its data in `dir`, and waits until it serves.
    #[must_use]
    pub fn start(dir: &Path) -> Self {
        if super::real() {
            let server = components::Kafka::start(&super::installed(Part::Kafka), KafkaOptions::in_dir(dir)).unwrap();
            return Self(System::Real(Box::new(server)));
        }
        let broker = broker(super::LOOPBACK, dir);
        Self(System::Embedded(Embedded { address: broker.address(), data: dir.to_owned(), running: Some(broker) }))
    }

    /// `host:port` for clients; the same after a restart.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        match &self.0 {
            System::Embedded(broker) => broker.address.to_string(),
            System::Real(server) => server.bootstrap(),
        }
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        match &mut self.0 {
            System::Embedded(broker) => drop(broker.running.take()),
            System::Real(server) => server.kill().unwrap(),
        }
    }

    /// Starts it again on the same data and address.
    pub fn restart(&mut self) {
        match &mut self.0 {
            System::Embedded(embedded) => {
                drop(embedded.running.take());
                embedded.running = Some(broker(embedded.address, &embedded.data));
            }
            System::Real(server) => server.restart().unwrap(),
        }
    }
}

fn broker(listen: SocketAddr, data: &Path) -> Broker {
    Broker::start(BrokerOptions { listen, data: Some(data.to_owned()), ..BrokerOptions::default() }).unwrap()
}
