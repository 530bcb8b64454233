//! A whole hospital: Kafka, registry, ERP, FHIR server, and `wardline` processes over them.

use crate::processes::RoomProcess;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::parts::{Erp, Fhir, Kafka, Registry, SESSION_TIMEOUT_MS, free_port};

/// How long a hospital day may take.
const DAY: Duration = Duration::from_secs(600);
/// How long the day itself waits until all is processed: then its report says what is left.
const PROCESSED_S: &str = "400";

/// The parts, started for one test.
pub struct HospitalStack {
    pub dir: TempDir,
    pub kafka: Kafka,
    pub registry: Registry,
    pub erp: Erp,
    pub fhir: Fhir,
    wardline: String,
}

/// A hospital day under way.
pub struct DayUnderWay {
    child: Child,
    report: PathBuf,
    log: PathBuf,
}

impl HospitalStack {
    /// Starts everything; `wardline` is the binary under test, `broker` what an embedded broker is run with.
    pub fn start(wardline: &str, broker: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        let (kafka, registry, erp, fhir) = std::thread::scope(|scope| {
            let kafka = scope.spawn(|| Kafka::start_process(&at("kafka"), Path::new(broker)));
            let registry = scope.spawn(|| Registry::start(&at("registry")));
            let erp = scope.spawn(|| Erp::start(&at("erp")));
            let fhir = scope.spawn(|| Fhir::start(&at("fhir")));
            (kafka.join().unwrap(), registry.join().unwrap(), erp.join().unwrap(), fhir.join().unwrap())
        });
        Self { dir, kafka, registry, erp, fhir, wardline: wardline.to_owned() }
    }

    /// Starts one room as a process of its own.
    pub fn room(&self, name: &str) -> RoomProcess {
        let config = self.config(name);
        let log = self.dir.path().join(format!("{name}.log"));
        let addresses = self.addresses();
        let environment: Vec<(&str, &str)> = addresses.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let arguments = ["run", name, "--config", config.to_str().unwrap()];
        RoomProcess::start_with(&self.wardline, &arguments, &environment, &log)
    }

    /// Starts a hospital day; rooms in `without` run elsewhere.
    pub fn day(&self, report: &str, without: &str, more: &[&str]) -> DayUnderWay {
        let report = self.dir.path().join(report);
        let log = self.dir.path().join("day.log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let config = self.config("day");
        let mut command = Command::new(&self.wardline);
        command.args(["demo", "--config", config.to_str().unwrap(), "--day", "2026-03-02", "--report"]).arg(&report);
        command.arg("--mllp").arg(format!("127.0.0.1:{}", free_port()));
        command.arg("--data").arg(self.dir.path().join("lake")).args(["--wait-s", PROCESSED_S]);
        if !without.is_empty() {
            command.args(["--without", without]);
        }
        command.args(more).envs(self.addresses());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        DayUnderWay { child, report, log }
    }

    /// Bounds that suit a test: members are missed quickly, dead transactions end quickly.
    fn config(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(format!("{name}.yaml"));
        let text = format!(
            "kafka: {{session_timeout_ms: {SESSION_TIMEOUT_MS}, transaction_timeout_ms: 10000}}\n\
             http: {{listen: \"127.0.0.1:0\"}}\n\
             rooms: {{erp-post: {{certain_after_ms: 5000}}}}\n"
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Where everything is, as variables of `wardline`.
    pub fn addresses(&self) -> Vec<(&'static str, String)> {
        vec![
            ("WARDLINE_KAFKA", self.kafka.bootstrap()),
            ("WARDLINE_REGISTRY", self.registry.url()),
            ("WARDLINE_ERP", self.erp.url()),
            ("WARDLINE_ERP_SYSTEM", self.erp.system().to_owned()),
            ("WARDLINE_ERP_KEY", self.erp.key().to_owned()),
            ("WARDLINE_FHIR", self.fhir.url()),
        ]
    }
}

impl DayUnderWay {
    /// Whether it has not ended yet.
    pub fn goes_on(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its report.
    pub fn report(mut self) -> Value {
        let deadline = Instant::now() + DAY;
        while self.goes_on() {
            assert!(Instant::now() < deadline, "the day did not end; its log:\n{}", self.tail());
            std::thread::park_timeout(Duration::from_millis(100));
        }
        let text = std::fs::read_to_string(&self.report);
        let text = text.unwrap_or_else(|error| panic!("no report ({error}); the log:\n{}", self.tail()));
        serde_json::from_str(&text).unwrap()
    }

    fn tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        // What a broker that is away makes every client say drowns the rest.
        let lines: Vec<&str> = log.lines().filter(|line| !line.contains("AllBrokersDown")).collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Drop for DayUnderWay {
    fn drop(&mut self) {
        // Already ended is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
