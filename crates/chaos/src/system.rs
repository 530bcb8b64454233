//! The installation under test: brokers, registry, ERP, suppliers, proxies, and two processes of every room.

use crate::clock;
use crate::disk::Disk;
use crate::load::REFUSED_ITEM;
use crate::plan::{INSTANCES, ROOMS};
use crate::process::{Memory, Process, Spec};
use crate::proxy::Proxy;
use crate::supplier::{self, Supplier};
use crate::wall::Walls;
use anyhow::{Context, Result, bail};
use components::{Installation, KafkaCluster, KafkaOptions, Part, Progress, Registry, RegistryOptions, free_port};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Key of the ERP.
pub const ERP_KEY: &str = "sandbox";
/// Heap of a broker, MB.
const BROKER_HEAP_MB: u32 = 384;
/// The brokers say when a record came. Whoever wrote it would say so by a clock that the storm makes jump.
const APPEND_TIME: (&str, &str) = ("log.message.timestamp.type", "LogAppendTime");
/// Longest wait until something serves, on a machine that is busy.
const START: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(250);
/// Items in the hospital's master data, at least.
const ITEMS_MIN: i64 = 40;

/// What is told to the installation.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program `wardline`.
    pub wardline: PathBuf,
    /// Folder for data, configurations and logs.
    pub dir: PathBuf,
    /// The lake gets a disk that can be filled.
    pub disk: bool,
    /// The rooms get clocks that can jump.
    pub clocks: bool,
}

/// One process of a room.
pub struct Room {
    /// The process.
    pub process: Process,
    /// Its health endpoint.
    pub health: SocketAddr,
}

/// Everything that runs.
pub struct System {
    /// The rooms.
    pub rooms: Vec<Room>,
    /// The ERP.
    pub erp: Process,
    /// Its own address, past the proxy.
    pub erp_url: String,
    /// Before the ERP.
    pub erp_proxy: Proxy,
    /// Before the suppliers.
    pub supplier_proxy: Proxy,
    /// The suppliers.
    pub supplier: Supplier,
    /// Where HL7 v2 is taken.
    pub listeners: Vec<SocketAddr>,
    /// The registry.
    pub registry: Registry,
    /// The brokers.
    pub cluster: KafkaCluster,
    /// Memory of the processes of Wardline.
    pub memory: Memory,
    /// The disk of the lake, when it can be filled.
    pub disk: Option<Disk>,
    /// The clocks of the rooms, when they can jump.
    pub walls: Option<Walls>,
    /// Processes that did not end when they were told to.
    pub overstayed: Vec<String>,
    /// Processes that had ended when nobody had told them to.
    pub ended: Vec<String>,
    options: Options,
    http: reqwest::blocking::Client,
    // Last: the proxies and the suppliers live on it.
    _runtime: tokio::runtime::Runtime,
}

impl System {
    /// Starts everything and waits until every room is ready and knows the master data.
    ///
    /// # Errors
    /// When something does not come up.
    pub fn start(options: Options, say: &dyn Fn(&str)) -> Result<Self> {
        let installation = Installation::ensure(&[Part::Kafka, Part::Registry], &Progress::stderr())?;
        for folder in ["logs", "config", "parquet"] {
            std::fs::create_dir_all(options.dir.join(folder))?;
        }
        let disk = if options.disk { Some(Disk::mount(&options.dir.join("parquet"))?) } else { None };
        let walls =
            if options.clocks { Some(Walls::new(options.dir.join("clocks"), &options.wardline)?) } else { None };
        say("starting three brokers");
        let kafka = KafkaOptions {
            heap_mb: BROKER_HEAP_MB,
            properties: vec![(APPEND_TIME.0.to_owned(), APPEND_TIME.1.to_owned())],
            ..KafkaOptions::in_dir(options.dir.join("kafka"))
        };
        let cluster = KafkaCluster::start(&installation, &kafka)?;
        say("starting the registry");
        let registry = Registry::start(&installation, RegistryOptions::in_dir(options.dir.join("registry")))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let memory = Memory::default();
        let erp_address = loopback()?;
        let erp = erp(&options, &memory, erp_address)?;
        let (erp_proxy, supplier, supplier_proxy) = runtime.block_on(async {
            let supplier = Supplier::start().await?;
            let supplier_proxy = Proxy::start(supplier.address).await?;
            anyhow::Ok((Proxy::start(erp_address).await?, supplier, supplier_proxy))
        })?;
        let http = reqwest::blocking::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
        let mut system = Self {
            rooms: Vec::new(),
            erp,
            erp_url: format!("http://{erp_address}"),
            erp_proxy,
            supplier_proxy,
            supplier,
            listeners: vec![loopback()?, loopback()?],
            registry,
            cluster,
            memory,
            disk,
            walls,
            overstayed: Vec::new(),
            ended: Vec::new(),
            options,
            http,
            _runtime: runtime,
        };
        system.wait_erp()?;
        system.refuse_item()?;
        say("creating topics with three copies each");
        system.apply_topics()?;
        say("starting the rooms");
        system.start_rooms()?;
        system.wait_ready(START)?;
        say("waiting for the master data");
        system.wait_masters()?;
        Ok(system)
    }

    /// `host:port` of all brokers.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.cluster.bootstrap()
    }

    /// The folder of this run.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.options.dir
    }

    /// A further process of a room.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn further(&self, room: &'static str, name: &str) -> Result<Room> {
        let health = loopback()?;
        let listener = loopback()?;
        self.room(room, name, health, listener)
    }

    /// A process of a room, by name and number.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn instance(&mut self, room: &str, instance: u64) -> Result<&mut Room> {
        let name = format!("{room}-{instance}");
        let found = self.rooms.iter_mut().find(|one| one.process.name() == name);
        found.with_context(|| format!("there is no process {name}"))
    }

    /// Waits until every room is ready; whether they were within the bound.
    ///
    /// # Errors
    /// When one has ended or is not ready in time.
    pub fn wait_ready(&mut self, bound: Duration) -> Result<()> {
        let mut waits_for = String::new();
        let http = self.http.clone();
        let ready = clock::until(bound, LOOK, || {
            let mut not = self.rooms.iter_mut().filter_map(|room| {
                let ready = room.process.is_running() && is_ready(&http, room.health);
                (!ready).then(|| room.process.name().to_owned())
            });
            waits_for = not.next().unwrap_or_default();
            waits_for.is_empty()
        });
        if ready { Ok(()) } else { bail!("{waits_for} is not ready after {} s", bound.as_secs()) }
    }

    /// Looks for rooms' processes that do not run, and keeps their names but for the one that is excused; names them all.
    pub fn look_for_ended(&mut self, excused: Option<&str>) -> Vec<String> {
        let not_running = |room: &mut Room| (!room.process.is_running()).then(|| room.process.name().to_owned());
        let ended: Vec<String> = self.rooms.iter_mut().filter_map(not_running).collect();
        self.ended.extend(ended.iter().filter(|name| excused != Some(name.as_str())).cloned());
        ended
    }

    /// Waits until every replica of every partition is in sync; whether it was within the bound.
    #[must_use]
    pub fn wait_in_sync(&self, bound: Duration) -> bool {
        let Ok(client) = client(&self.bootstrap()) else { return false };
        clock::until(bound, LOOK, || {
            let Ok(metadata) = client.fetch_metadata(None, Duration::from_secs(5)) else { return false };
            let mut partitions = metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions);
            metadata.brokers().len() == 3
                && partitions.all(|one| one.error().is_none() && one.isr().len() == one.replicas().len())
        })
    }

    /// Waits until the ERP answers.
    ///
    /// # Errors
    /// When it does not within the bound.
    pub fn wait_erp(&self) -> Result<()> {
        let url = format!("{}/health", self.erp_url);
        let answers = || self.http.get(&url).send().is_ok_and(|answer| answer.status().is_success());
        if clock::until(START, LOOK, answers) { Ok(()) } else { bail!("the ERP does not answer") }
    }

    /// Tells the ERP to refuse one item; it forgets that when it ends.
    ///
    /// # Errors
    /// When it does not take that.
    pub fn refuse_item(&self) -> Result<()> {
        let body = json!({"reject_items": [REFUSED_ITEM]});
        let request = self.http.put(format!("{}/api/v1/faults", self.erp_url)).bearer_auth(ERP_KEY);
        request.header("content-type", "application/json").body(body.to_string()).send()?.error_for_status()?;
        Ok(())
    }

    /// What a process says of itself on its metrics page.
    #[must_use]
    pub fn metrics(&self, health: SocketAddr) -> Option<String> {
        self.http.get(format!("http://{health}/metrics")).send().ok()?.text().ok()
    }

    fn apply_topics(&self) -> Result<()> {
        let output = Command::new(&self.options.wardline)
            .args(["--kafka", &self.bootstrap(), "--registry", &self.registry.url()])
            .args(["topics", "apply", "--replication", "3"])
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        bail!("topics apply: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn start_rooms(&mut self) -> Result<()> {
        // One source of master data: two would read the same feed.
        let erp = self.further("erp", "erp-1")?;
        self.rooms.push(erp);
        for room in ROOMS {
            for instance in 1..=INSTANCES {
                let listener = usize::try_from(instance - 1).ok().and_then(|at| self.listeners.get(at)).copied();
                let listener = listener.context("a listener for each instance")?;
                let started = self.room(room, &format!("{room}-{instance}"), loopback()?, listener)?;
                self.rooms.push(started);
            }
        }
        Ok(())
    }

    fn room(&self, room: &'static str, name: &str, health: SocketAddr, listener: SocketAddr) -> Result<Room> {
        let config = self.options.dir.join("config").join(format!("{name}.yaml"));
        // JSON is YAML.
        std::fs::write(&config, self.config(name, health, listener).to_string())?;
        let spec = Spec {
            name: name.to_owned(),
            program: self.options.wardline.clone(),
            arguments: vec!["--config".into(), config.display().to_string(), "run".into(), room.into()],
            log: self.options.dir.join("logs").join(format!("{name}.log")),
            environment: self.walls.as_ref().map_or(Ok(Vec::new()), |walls| walls.environment(name))?,
        };
        Ok(Room { process: Process::start(spec, &self.memory)?, health })
    }

    fn config(&self, name: &str, health: SocketAddr, listener: SocketAddr) -> Value {
        let system = json!({"url": self.erp_proxy.url(), "key": ERP_KEY, "request_timeout_ms": 5_000});
        let profile = json!({
            "url": format!("{}/notices", self.supplier_proxy.url()),
            "secret": supplier::SECRET,
            "kinds": ["consignment-usage", "vmi-usage"],
        });
        json!({
            "kafka": {"bootstrap": self.bootstrap(), "instance": name},
            "registry": {"url": self.registry.url()},
            "http": {"listen": health.to_string()},
            "telemetry": {"log_format": "json"},
            "limits": {"retry_delay_max_ms": 5_000},
            "rooms": {
                "hl7v2": {"listen": listener.to_string(), "receipts": {"shared": true}, "limits": {"confirm_ms": 8_000}},
                "erp": {"system": "sandbox", "sandbox": system},
                "erp-post": {"system": "sandbox", "sandbox": system, "certain_after_ms": 15_000},
                "supplier-fanout": {
                    "profiles": {"V-300": profile, "V-320": profile},
                    "timeout_ms": 3_000,
                    "certain_after_ms": 10_000,
                },
                "analytics": {"directory": self.options.dir.join("parquet")},
            },
        })
    }

    fn wait_masters(&self) -> Result<()> {
        let client = client(&self.bootstrap())?;
        let records = || -> Option<i64> {
            let mut sum = 0;
            for partition in 0..i32::from(schemas::topics::MASTER_ITEM_V1.info().partitions) {
                let name = schemas::topics::MASTER_ITEM_V1.name();
                sum += client.fetch_watermarks(name, partition, Duration::from_secs(5)).ok()?.1;
            }
            Some(sum)
        };
        if clock::until(START, LOOK, || records().is_some_and(|count| count >= ITEMS_MIN)) {
            return Ok(());
        }
        bail!("the master data did not come");
    }
}

/// A client that only asks.
///
/// # Errors
/// When it cannot be made.
pub fn client(bootstrap: &str) -> Result<BaseConsumer> {
    Ok(ClientConfig::new().set("bootstrap.servers", bootstrap).set("group.id", "chaos").create()?)
}

fn is_ready(http: &reqwest::blocking::Client, health: SocketAddr) -> bool {
    http.get(format!("http://{health}/ready")).send().is_ok_and(|answer| answer.status().is_success())
}

fn erp(options: &Options, memory: &Memory, address: SocketAddr) -> Result<Process> {
    let data = options.dir.join("erp").display().to_string();
    let spec = Spec {
        name: "sandbox-erp".to_owned(),
        program: options.wardline.clone(),
        arguments: ["sandbox-erp", "--listen", &address.to_string(), "--data", &data].map(str::to_owned).to_vec(),
        log: options.dir.join("logs/sandbox-erp.log"),
        environment: Vec::new(),
    };
    Process::start(spec, memory)
}

fn loopback() -> Result<SocketAddr> {
    let port = free_port().context("no port is free")?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}
