//! Apache Kafka: one node, or three that fail over.

use crate::error::{Error, Result, tail};
use crate::install::{Installation, Part};
use crate::ports::free_port;
use crate::probe::Ready;
use crate::server::{Server, Spec, run_until};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const CLUSTER_ID: &str = "V2FyZGxpbmVDb21wb25lbg";

/// What a controller says when it has given a broker up, which it does after `broker.session.timeout.ms`.
const GIVEN_UP: &str = "Fencing broker";

/// How a node is started.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// Where data and log go; kept from one start to the next.
    pub dir: PathBuf,
    /// The port clients connect to; a free one when absent.
    pub port: Option<u16>,
    /// The heap in MiB.
    pub heap_mb: u32,
    /// Broker settings beside, or in place of, those chosen here.
    pub properties: Vec<(String, String)>,
    /// It lives for seconds: what it would gain by compiling thoroughly does not come back. A test, not a measurement.
    pub short_lived: bool,
}

impl KafkaOptions {
    /// A small node that keeps its data in `dir`, on a free port.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), port: None, heap_mb: 512, properties: Vec::new(), short_lived: false }
    }
}

/// A node, broker and controller in one. What it can do as a process is in [`Server`].
pub struct Kafka {
    server: Server,
    installed: PathBuf,
    tool: ToolCommand,
    /// Starts the controller without the broker, where there is no other node.
    controller: Option<Command>,
    killed: bool,
}

impl Kafka {
    /// Starts a node and waits until it serves.
    ///
    /// # Errors
    /// WL-7052 to WL-7055, WL-7058.
    pub fn start(installation: &Installation, options: KafkaOptions) -> Result<Self> {
        let port = chosen("kafka", options.port)?;
        let controller = chosen("kafka", None)?;
        let node = Node { id: 1, port, controller, voters: format!("1@127.0.0.1:{controller}"), replicas: 1 };
        let mut kafka = Self::launch(installation, &options, &node)?;
        kafka.server.wait_ready()?;
        Ok(kafka)
    }

    /// `host:port` for clients.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// Ends it as a crash would, with SIGKILL.
    ///
    /// # Errors
    /// WL-7056 when it does not end.
    pub fn kill(&mut self) -> Result<()> {
        self.killed = true;
        self.server.kill()
    }

    /// Starts it again with the same port and data, and waits until it serves. A running one is stopped first.
    ///
    /// A node that is alone and was killed has its controller started first, until that has given the broker up. Else the
    /// broker finds itself the leader of everything, is given up a moment later, and ends the transactions that it was
    /// committing without a marker: "partitions are likely deleted already and hence can be skipped". What they wrote stays
    /// undecided for ever (WL-6018). Where other nodes have given it up meanwhile that cannot happen.
    ///
    /// # Errors
    /// As [`Server::restart`].
    pub fn restart(&mut self) -> Result<()> {
        if std::mem::take(&mut self.killed)
            && let Some(command) = &mut self.controller
        {
            run_until(command, &self.server.dir().join("controller.log"), GIVEN_UP)?;
        }
        self.server.restart()
    }

    /// Leaves it running when this process ends.
    pub fn detach(self) {
        self.server.detach();
    }

    /// Runs one of Kafka's own command line tools, for example `org.apache.kafka.tools.TopicCommand`, with
    /// `--bootstrap-server` in front of the arguments, and gives what it printed.
    ///
    /// # Errors
    /// WL-7057 with the tool's message when it fails.
    pub fn tool(&self, main_class: &str, arguments: &[&str]) -> Result<String> {
        let mut command = self.tool.command(&self.installed);
        command.arg(main_class).args(["--bootstrap-server", &self.bootstrap()]).args(arguments);
        let output = command.stdin(Stdio::null()).output().map_err(Error::files(&self.installed))?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(printed);
        }
        let answer = format!("{printed}{}", String::from_utf8_lossy(&output.stderr));
        Err(Error::Answer { name: "kafka".to_owned(), asked: main_class.to_owned(), answer })
    }

    fn launch(installation: &Installation, options: &KafkaOptions, node: &Node) -> Result<Self> {
        let installed = installation.dir(Part::Kafka)?.to_owned();
        let dir = std::path::absolute(&options.dir).map_err(Error::files(&options.dir))?;
        std::fs::create_dir_all(&dir).map_err(Error::files(&dir))?;
        let config = dir.join("server.properties");
        let text = node.properties(&dir, &options.properties);
        std::fs::write(&config, &text).map_err(Error::files(&config))?;
        let tool = ToolCommand { java: installation.java_program()? };
        if !dir.join("data/meta.properties").is_file() {
            format(&installed, &tool, &dir, &config, node)?;
        }
        let java = |config: &Path| {
            let mut command = installation.java(&dir, options.heap_mb)?;
            if options.short_lived {
                command.arg("-XX:TieredStopAtLevel=1");
            }
            command.arg(format!("-Dlog4j2.configurationFile={}", installed.join("log4j2.yaml").display()));
            command.arg("-cp").arg(installed.join("lib/*")).arg("kafka.Kafka").arg(config);
            Ok(command)
        };
        let command = java(&config)?;
        let controller = if node.replicas == 1 {
            let alone = dir.join("controller.properties");
            std::fs::write(&alone, node.without_broker(&text)).map_err(Error::files(&alone))?;
            Some(java(&alone)?)
        } else {
            None
        };
        let spec = Spec { name: "kafka".to_owned(), dir, port: node.port, command, ready: Ready::Kafka };
        Ok(Self { server: Server::launch(spec)?, installed, tool, controller, killed: false })
    }
}

impl Deref for Kafka {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Kafka {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

/// Three nodes that replicate to each other; one may fail at any time.
pub struct KafkaCluster {
    nodes: Vec<Kafka>,
}

impl KafkaCluster {
    const NODES: u16 = 3;

    /// Starts three nodes in directories below `options.dir` on free ports and waits until each serves.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub fn start(installation: &Installation, options: &KafkaOptions) -> Result<Self> {
        let mut ports = Vec::new();
        for id in 1..=Self::NODES {
            ports.push((id, chosen("kafka", None)?, chosen("kafka", None)?));
        }
        let voters: Vec<String> =
            ports.iter().map(|(id, _, controller)| format!("{id}@127.0.0.1:{controller}")).collect();
        let voters = voters.join(",");
        let mut nodes = Vec::new();
        for (id, port, controller) in ports {
            let node = Node { id, port, controller, voters: voters.clone(), replicas: Self::NODES };
            let options = KafkaOptions { dir: options.dir.join(format!("node{id}")), ..options.clone() };
            nodes.push(Kafka::launch(installation, &options, &node)?);
        }
        for node in &mut nodes {
            node.server.wait_ready()?;
        }
        Ok(Self { nodes })
    }

    /// All three, as clients write them.
    pub fn bootstrap(&self) -> String {
        self.nodes.iter().map(Kafka::bootstrap).collect::<Vec<_>>().join(",")
    }

    /// The nodes, to break and to mend.
    pub fn nodes(&mut self) -> &mut [Kafka] {
        &mut self.nodes
    }
}

struct Node {
    id: u16,
    port: u16,
    controller: u16,
    voters: String,
    replicas: u16,
}

impl Node {
    fn properties(&self, dir: &Path, more: &[(String, String)]) -> String {
        let Self { id, port, controller, voters, replicas } = self;
        let in_sync = replicas.div_ceil(2);
        let mut text = format!(
            "process.roles=broker,controller\nnode.id={id}\ncontroller.quorum.voters={voters}\n\
             controller.listener.names=CONTROLLER\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
             log.dirs={}/data\nauto.create.topics.enable=false\ngroup.initial.rebalance.delay.ms=0\n\
             default.replication.factor={replicas}\nmin.insync.replicas={in_sync}\n\
             offsets.topic.replication.factor={replicas}\noffsets.topic.num.partitions=8\n\
             transaction.state.log.replication.factor={replicas}\ntransaction.state.log.min.isr={in_sync}\n\
             transaction.state.log.num.partitions=8\n\
             share.coordinator.state.topic.replication.factor={replicas}\n\
             share.coordinator.state.topic.min.isr={in_sync}\nshare.coordinator.state.topic.num.partitions=2\n\
             num.network.threads=2\nnum.io.threads=4\nlog.segment.bytes=16777216\n\
             log.cleaner.dedupe.buffer.size=4194304\nbroker.session.timeout.ms=6000\nbroker.heartbeat.interval.ms=1000\n",
            dir.display()
        );
        // The last setting of a name counts.
        text.extend(more.iter().map(|(name, value)| format!("{name}={value}\n")));
        text
    }

    /// The same node without its broker, which it gives up soon: nothing is there that could be missed by mistake.
    fn without_broker(&self, properties: &str) -> String {
        let of_broker = |line: &&str| !line.starts_with("listeners=") && !line.starts_with("advertised.listeners=");
        let kept: Vec<&str> = properties.lines().filter(of_broker).collect();
        let Self { controller, .. } = self;
        format!(
            "{}\nprocess.roles=controller\nlisteners=CONTROLLER://127.0.0.1:{controller}\n\
             broker.session.timeout.ms=1000\nbroker.heartbeat.interval.ms=250\n",
            kept.join("\n")
        )
    }
}

/// How Kafka's own tools are run.
struct ToolCommand {
    java: PathBuf,
}

impl ToolCommand {
    fn command(&self, installed: &Path) -> Command {
        let mut command = Command::new(&self.java);
        command.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=WARN"]);
        command.arg("-cp").arg(installed.join("lib/*"));
        command
    }
}

/// What makes a data directory one that Kafka may start on. Neither names a port.
const FORMATTED: [&str; 2] = ["bootstrap.checkpoint", "meta.properties"];

/// Prepares an empty data directory, which Kafka wants done before the first start. Of a node that is alone they are all alike, so that it
/// is done once for each version of Kafka and copied from then on; one of several has an id in it that the others must not have.
fn format(installed: &Path, tool: &ToolCommand, dir: &Path, config: &Path, node: &Node) -> Result<()> {
    let data = dir.join("data");
    let kept = installed.join("formatted");
    if node.replicas > 1 {
        return format_anew(installed, tool, dir, config);
    }
    if std::fs::create_dir_all(&data).is_ok() && copy_formatted(&kept, &data).is_ok() {
        return Ok(());
    }
    for name in FORMATTED {
        // Most often neither was copied.
        drop(std::fs::remove_file(data.join(name)));
    }
    format_anew(installed, tool, dir, config)?;
    // Where it cannot be kept it is done each time. Somebody else may have been quicker, with the same.
    let mine = installed.join(format!("formatted-{}", std::process::id()));
    let is_ready = std::fs::create_dir(&mine).is_ok() && copy_formatted(&data, &mine).is_ok();
    if !is_ready || std::fs::rename(&mine, &kept).is_err() {
        drop(std::fs::remove_dir_all(&mine));
    }
    Ok(())
}

/// The file that says so last, and at once: without it a directory is formatted again. An empty one says nothing.
fn copy_formatted(from: &Path, to: &Path) -> std::io::Result<()> {
    FORMATTED.iter().try_for_each(|name| {
        let (half, whole) = (to.join(format!("{name}.part")), to.join(name));
        match std::fs::copy(from.join(name), &half)? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => std::fs::rename(half, whole),
        }
    })
}

fn format_anew(installed: &Path, tool: &ToolCommand, dir: &Path, config: &Path) -> Result<()> {
    let log = dir.join("format.log");
    let output = std::fs::File::create(&log).map_err(Error::files(&log))?;
    let errors = output.try_clone().map_err(Error::files(&log))?;
    let mut command = tool.command(installed);
    command.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]).arg(config);
    let status = command.stdin(Stdio::null()).stdout(output).stderr(errors).status().map_err(Error::files(&log))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::NotReady {
        name: "kafka".to_owned(),
        what: "could not format its directory".to_owned(),
        tail: tail(&log),
        log,
    })
}

/// The port asked for, else a free one.
pub(crate) fn chosen(name: &str, port: Option<u16>) -> Result<u16> {
    port.or_else(free_port).ok_or_else(|| Error::PortTaken { name: name.to_owned(), port: 0 })
}
