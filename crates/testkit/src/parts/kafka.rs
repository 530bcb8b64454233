//! Kafka.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use components::{KafkaOptions, Part};
use embedded::broker::server::{Broker, BrokerOptions};

/// After how long members of a group are missed in tests, milliseconds. Shorter than a broker lets them ask for on its own,
/// because a test that kills a member waits that long for the next one to take over.
pub const SESSION_TIMEOUT_MS: u16 = 3_000;

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

/// How long a silent member is waited for, of both protocols that members share by.
fn group_timeouts() -> impl Iterator<Item = (String, String)> {
    let silence = SESSION_TIMEOUT_MS.to_string();
    let beat = (SESSION_TIMEOUT_MS / 6).to_string();
    [
        ("group.min.session.timeout.ms", silence.clone()),
        // Of KIP-848 the broker says them to its members.
        ("group.consumer.min.session.timeout.ms", silence.clone()),
        ("group.consumer.session.timeout.ms", silence),
        ("group.consumer.min.heartbeat.interval.ms", beat.clone()),
        ("group.consumer.heartbeat.interval.ms", beat),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
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
            let mut options = KafkaOptions::in_dir(dir);
            options.properties.extend(group_timeouts());
            options.short_lived = true;
            let server = components::Kafka::start(&super::installed(Part::Kafka), options).unwrap();
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

/// How an embedded broker is started for tests, in this process or in one of its own.
#[must_use]
pub fn options(listen: SocketAddr, data: &Path) -> BrokerOptions {
    let mut options = BrokerOptions { listen, data: Some(data.to_owned()), ..BrokerOptions::default() };
    options.core.groups.session_timeout_min_ms = SESSION_TIMEOUT_MS.into();
    options
}

impl Embedded {
    /// Starts it at its address; the first time that is a free port, which it keeps.
    fn start(&mut self) {
        let Some(program) = &self.program else {
            let broker = Broker::start(options(self.address, &self.data)).unwrap();
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
