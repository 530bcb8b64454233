//! Kafka.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use components::{KafkaOptions, Part};
use embedded::broker::server::{Broker, BrokerOptions};

/// A broker.
pub struct Kafka(System);

enum System {
    Embedded(Embedded),
    Real(Box<components::Kafka>),
}

/// The embedded broker, in this process or in one of its own.
struct Embedded {
    address: SocketAddr,
    data: PathBuf,
    /// The program to run it with as a process of its own.
    program: Option<PathBuf>,
    running: Option<Running>,
}

enum Running {
    Here(Broker),
    Process(Child),
}

impl Kafka {
    /// Starts a broker that keeps its data in `dir`, and waits until it serves. An embedded one runs in this process: when it
    /// is killed its clients are cut off and nobody is told, but its memory is not lost with it as that of a process is.
    #[must_use]
    pub fn start(dir: &Path) -> Self {
        Self::start_with(dir, None)
    }

    /// The same, with the embedded one as a process, so that a kill is a kill. `program` takes address and folder, prints
    /// where it listens, and ends with its standard input.
    #[must_use]
    pub fn start_process(dir: &Path, program: &Path) -> Self {
        Self::start_with(dir, Some(program.to_owned()))
    }

    fn start_with(dir: &Path, program: Option<PathBuf>) -> Self {
        if super::real() {
            let server = components::Kafka::start(&super::installed(Part::Kafka), KafkaOptions::in_dir(dir)).unwrap();
            return Self(System::Real(Box::new(server)));
        }
        let mut embedded = Embedded { address: super::LOOPBACK, data: dir.to_owned(), program, running: None };
        embedded.start();
        Self(System::Embedded(embedded))
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
            System::Embedded(broker) => broker.kill(),
            System::Real(server) => server.kill().unwrap(),
        }
    }

    /// Starts it again on the same data and address.
    pub fn restart(&mut self) {
        match &mut self.0 {
            System::Embedded(broker) => {
                broker.kill();
                broker.start();
            }
            System::Real(server) => server.restart().unwrap(),
        }
    }
}

impl Embedded {
    /// Starts it at its address; the first time that is a free port, which it keeps.
    fn start(&mut self) {
        let Some(program) = &self.program else {
            let options =
                BrokerOptions { listen: self.address, data: Some(self.data.clone()), ..BrokerOptions::default() };
            let broker = Broker::start(options).unwrap();
            self.address = broker.address();
            self.running = Some(Running::Here(broker));
            return;
        };
        let mut command = Command::new(program);
        command.arg(self.address.to_string()).arg(&self.data).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.running = Some(Running::Process(child));
        self.address = line.trim().parse().unwrap_or_else(|_| panic!("the broker did not start: {line}"));
    }

    fn kill(&mut self) {
        match self.running.take() {
            Some(Running::Process(mut child)) => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            Some(Running::Here(broker)) => drop(broker),
            None => {}
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Some(Running::Process(child)) = &mut self.running {
            // Already dead is fine.
            drop(child.kill());
            drop(child.wait());
        }
    }
}
