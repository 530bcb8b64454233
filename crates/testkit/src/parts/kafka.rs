//! Kafka.

use std::path::Path;

use components::{KafkaOptions, Part};

/// A broker.
pub struct Kafka {
    server: components::Kafka,
}

impl Kafka {
    /// Starts a broker that keeps its data in `dir`, and waits until it serves.
    #[must_use]
    pub fn start(dir: &Path) -> Self {
        let server = components::Kafka::start(&super::installed(Part::Kafka), KafkaOptions::in_dir(dir)).unwrap();
        Self { server }
    }

    /// `host:port` for clients; the same after a restart.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.server.bootstrap()
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.server.kill().unwrap();
    }

    /// Starts it again on the same data and address.
    pub fn restart(&mut self) {
        self.server.restart().unwrap();
    }
}
