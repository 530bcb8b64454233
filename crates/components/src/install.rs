//! What is installed and how: libraries from Maven Central and PyPI in pinned versions, and the hospital's database.

use crate::cache::{Build, Cache, Wanted};
use crate::error::{Error, Result};
use crate::hospital::HOSPITAL_JSON;
use crate::progress::Progress;
use crate::tools::{Java, Python, maven};
use crate::tryton::{ERP_DATABASE, ERP_KEY, config_text};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

const KAFKA_VERSION: &str = "4.3.1";
const KAFKA_POM: &str = include_str!("../assets/kafka/pom.xml");
const KAFKA_LOGGING: &str = include_str!("../assets/kafka/log4j2.yaml");
// 3.0 is the last line of the registry that runs on Java 17.
pub(crate) const REGISTRY_VERSION: &str = "3.0.9";
const HAPI_VERSION: &str = "8.8.0";
const HAPI_POM: &str = include_str!("../assets/hapi/pom.xml");
const HAPI_MAIN: &str = include_str!("../assets/hapi/Main.java");
const HAPI_LOGGING: &str = include_str!("../assets/hapi/logback.xml");
const TRYTON_VERSION: &str = "8.0";
const TRYTON_REQUIREMENTS: &str = include_str!("../assets/tryton/requirements.txt");
const TRYTON_LOADER: &str = include_str!("../assets/tryton/setup_data.py");
const TRYTON_MODULES: &[&str] = &[
    "ir",
    "res",
    "stock_supply",
    "stock_lot",
    "stock_lot_sled",
    "stock_product_location",
    "account_product",
    "account_invoice",
    "account_invoice_stock",
    "account_stock_continental",
    "purchase",
    "purchase_request",
    "purchase_requisition",
    "purchase_history",
    "analytic_account",
    "analytic_purchase",
    "analytic_invoice",
    "product_cost_history",
];
// Named with its version, because another version of the plugin may lay files out differently.
const MAVEN_DEPENDENCY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1";
// The parent POM of the registry's archive is not on Maven Central; newer versions of the plugin insist on reading it.
const MAVEN_COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy";

/// One of the real systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Apache Kafka.
    Kafka,
    /// Apicurio Registry with its Confluent-compatible API.
    Registry,
    /// Tryton with the hospital's database.
    Erp,
    /// HAPI FHIR.
    Fhir,
}

impl Part {
    /// All of them, in the order in which people think of them.
    pub const ALL: [Self; 4] = [Self::Kafka, Self::Registry, Self::Erp, Self::Fhir];

    /// The name on the command line: `kafka`, `registry`, `erp`, `fhir`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Registry => "registry",
            Self::Erp => "erp",
            Self::Fhir => "fhir",
        }
    }

    /// The port of 127.0.0.1 on which `cargo xtask components up` starts it.
    pub fn port(self) -> u16 {
        match self {
            Self::Kafka => 19_092,
            Self::Registry => 18_081,
            Self::Erp => 18_069,
            Self::Fhir => 18_090,
        }
    }

    /// Its address on [`Part::port`], as a client is told it: `host:port` for Kafka, a base URL for the others.
    pub fn url(self) -> String {
        let address = format!("127.0.0.1:{}", self.port());
        match self {
            Self::Kafka => address,
            Self::Registry => format!("http://{address}/apis/ccompat/v7"),
            Self::Erp => format!("http://{address}"),
            Self::Fhir => format!("http://{address}/fhir"),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|part| part.name() == text);
        known.ok_or_else(|| format!("no component is called {text}; there are kafka, registry, erp and fhir"))
    }
}

/// Parts that are in the cache and ready to start.
#[derive(Clone, Debug, Default)]
pub struct Installation {
    java: Option<Java>,
    dirs: BTreeMap<Part, PathBuf>,
    database: Option<PathBuf>,
}

impl Installation {
    /// Fetches and builds what is missing of the parts. With everything there it takes no time and needs no network.
    ///
    /// # Errors
    /// WL-7050 when a tool is missing, WL-7051 when a step fails, WL-7054 when the cache cannot be written.
    pub fn ensure(parts: &[Part], progress: &Progress) -> Result<Self> {
        let cache = Cache::locate()?;
        let mut installation = Self::default();
        if parts.iter().any(|part| *part != Part::Erp) {
            installation.java = Some(Java::find()?);
        }
        for part in Part::ALL.into_iter().filter(|part| parts.contains(part)) {
            let dir = match part {
                Part::Kafka => kafka(&cache, progress)?,
                Part::Registry => registry(&cache, progress)?,
                Part::Erp => {
                    let python = Python::find()?;
                    let tryton = tryton(&cache, progress, &python)?;
                    installation.database = Some(hospital(&cache, progress, &python, &tryton)?);
                    tryton
                }
                Part::Fhir => hapi(&cache, progress, installation.jdk()?)?,
            };
            installation.dirs.insert(part, dir);
        }
        Ok(installation)
    }

    /// The directory a part was installed to.
    pub(crate) fn dir(&self, part: Part) -> Result<&Path> {
        self.dirs.get(&part).map(PathBuf::as_path).ok_or(Error::NotInstalled { part: part.name() })
    }

    /// The file with the hospital as it was at the beginning.
    pub(crate) fn database(&self) -> Result<&Path> {
        self.database.as_deref().ok_or(Error::NotInstalled { part: Part::Erp.name() })
    }

    /// A command that starts Java in a data directory, which it also names: that makes the process recognisable.
    pub(crate) fn java(&self, dir: &Path, heap_mb: u32) -> Result<Command> {
        let mut command = Command::new(self.jdk()?.java());
        command.arg(format!("-Xmx{heap_mb}m")).arg("-XX:+UseSerialGC");
        command.arg(format!("-Dwardline.directory={}", dir.display()));
        Ok(command)
    }

    /// The launcher of Java.
    pub(crate) fn java_program(&self) -> Result<PathBuf> {
        self.jdk().map(Java::java)
    }

    fn jdk(&self) -> Result<&Java> {
        self.java.as_ref().ok_or(Error::NotInstalled { part: Part::Kafka.name() })
    }
}

fn kafka(cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    let content = [KAFKA_POM, KAFKA_LOGGING, MAVEN_DEPENDENCY];
    let wanted = Wanted { name: "kafka", title: "Apache Kafka", version: KAFKA_VERSION, content: &content };
    cache.part(&wanted, progress, |build| {
        build.write("log4j2.yaml", KAFKA_LOGGING)?;
        build.write("pom.xml", KAFKA_POM)?;
        libraries(build)
    })
}

fn registry(cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    let wanted =
        Wanted { name: "registry", title: "Apicurio Registry", version: REGISTRY_VERSION, content: &[MAVEN_COPY] };
    cache.part(&wanted, progress, |build| {
        let mut fetch = Command::new(maven()?);
        fetch.args(["-B", "-q", MAVEN_COPY, "-DoutputDirectory=."]);
        fetch.arg(format!("-Dartifact=io.apicurio:apicurio-registry-app:{REGISTRY_VERSION}:tar.gz:all"));
        build.run("fetch from Maven Central", &mut fetch)?;
        let archive = format!("apicurio-registry-app-{REGISTRY_VERSION}-all.tar.gz");
        build.run("unpack", Command::new("tar").args(["xzf", &archive]))?;
        std::fs::remove_file(build.dir.join(&archive)).map_err(Error::files(build.dir))
    })
}

fn hapi(cache: &Cache, progress: &Progress, jdk: &Java) -> Result<PathBuf> {
    let content = [HAPI_POM, HAPI_MAIN, HAPI_LOGGING, MAVEN_DEPENDENCY];
    let wanted = Wanted { name: "hapi", title: "HAPI FHIR", version: HAPI_VERSION, content: &content };
    cache.part(&wanted, progress, |build| {
        build.write("pom.xml", HAPI_POM)?;
        build.write("Main.java", HAPI_MAIN)?;
        build.write("classes/logback.xml", HAPI_LOGGING)?;
        libraries(build)?;
        let mut compile = Command::new(jdk.javac());
        compile.args(["-nowarn", "--release", "17", "-cp", "lib/*", "-d", "classes", "Main.java"]);
        build.run("compile", &mut compile)
    })
}

/// The run-time libraries of the `pom.xml`, copied to `lib`.
fn libraries(build: &Build<'_>) -> Result<()> {
    let mut fetch = Command::new(maven()?);
    fetch.args(["-B", "-q", &format!("{MAVEN_DEPENDENCY}:copy-dependencies")]);
    fetch.args(["-DoutputDirectory=lib", "-DincludeScope=runtime"]);
    build.run("fetch from Maven Central", &mut fetch)
}

fn tryton(cache: &Cache, progress: &Progress, python: &Python) -> Result<PathBuf> {
    let program = python.program.to_string_lossy();
    let content = [TRYTON_REQUIREMENTS, &program, &python.version];
    let wanted = Wanted { name: "tryton", title: "Tryton", version: TRYTON_VERSION, content: &content };
    cache.part(&wanted, progress, |build| {
        let requirements = build.write("requirements.txt", TRYTON_REQUIREMENTS)?;
        build.run("make a Python environment", Command::new(&python.program).args(["-m", "venv", "venv"]))?;
        let mut fetch = Command::new(build.dir.join("venv/bin/python"));
        fetch.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(requirements);
        build.run("fetch from PyPI", &mut fetch)
    })
}

/// The database, with the fiscal years around the current one, so it is built anew once a year.
fn hospital(cache: &Cache, progress: &Progress, python: &Python, tryton: &Path) -> Result<PathBuf> {
    let modules = TRYTON_MODULES.join(" ");
    let content = [TRYTON_REQUIREMENTS, TRYTON_LOADER, HOSPITAL_JSON, ERP_KEY, &modules, &python.year];
    let wanted = Wanted { name: "hospital", title: "hospital database", version: &python.year, content: &content };
    let file = format!("{ERP_DATABASE}.sqlite");
    let dir = cache.part(&wanted, progress, |build| {
        let config = build.write("trytond.conf", &config_text(build.dir, 0))?;
        let loader = build.write("setup_data.py", TRYTON_LOADER)?;
        let hospital = build.write("hospital.json", HOSPITAL_JSON)?;
        let password = build.write("admin.pass", "not-used-and-loopback-only\n")?;
        // Tryton opens an existing file and refuses to make one.
        build.write(&file, "")?;
        let python = tryton.join("venv/bin/python");
        let mut modules = Command::new(&python);
        modules.arg(tryton.join("venv/bin/trytond-admin")).arg("-c").arg(&config);
        modules.args(["-d", ERP_DATABASE, "--activate-dependencies", "--email", "erp@hospital.example", "-u"]);
        modules.args(TRYTON_MODULES).env("TRYTONPASSFILE", password);
        build.run("create the tables (1 of 2)", &mut modules)?;
        let mut load = Command::new(&python);
        load.arg(loader).arg(&config).arg(ERP_DATABASE).arg(hospital).arg(ERP_KEY);
        build.run("load the hospital (2 of 2)", &mut load)?;
        let mut settle = Command::new(&python);
        settle.args([
            "-c",
            "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA wal_checkpoint(TRUNCATE)')",
        ]);
        build.run("close the file", settle.arg(&file))
    })?;
    Ok(dir.join(file))
}
