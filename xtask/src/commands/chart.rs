//! `cargo xtask chart`: the Helm chart against Helm's own rules and the strict schemas of Kubernetes.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use components::{ChartTools, KUBERNETES_VERSION, Progress};

/// Check the Helm chart.
///
/// Lints and renders it with its own values and with each set under `ci/`, and checks every manifest against strict schemas
/// of Kubernetes. The tools are built on first use, which takes minutes.
#[derive(clap::Args)]
pub struct Arguments {}

/// The chart, from the top of the repository.
const CHART: &str = "helm/wardline";

/// Values that the chart must refuse, each with what its refusal names.
const REFUSED: [(&str, &str); 4] = [
    ("config.kafka.password=secret", "password"),
    ("workloads.hl7v2.replica=3", "replica"),
    ("workloads.hl7v2.strategy=Sometimes", "strategy"),
    ("httpPort=80", "httpPort"),
];

/// Checks the chart.
pub fn run(_arguments: &Arguments) -> Result<()> {
    let root = super::root()?;
    let chart = Chart { tools: ChartTools::ensure(&Progress::stderr())?, root: &root };
    let mut values = vec![None];
    values.extend(values_files(&root)?.into_iter().map(Some));
    for file in &values {
        let name = file.as_deref().and_then(Path::file_name).map_or("its own values".into(), OsStr::to_string_lossy);
        let chosen: Vec<&OsStr> = file.iter().flat_map(|file| [OsStr::new("--values"), file.as_os_str()]).collect();
        chart.helm("lint", &[&[OsStr::new("--strict"), OsStr::new("--quiet")], &chosen[..]].concat())?;
        let manifests = chart.helm("template", &chosen)?;
        let objects = chart.conforms(&manifests).with_context(|| format!("the chart with {name}"))?;
        writeln!(std::io::stdout(), "the chart with {name}: {objects}")?;
        ensure!(
            chart.conforms(&manifests.replacen("replicas:", "replica:", 1)).is_err(),
            "a misspelt key passed: the schemas are not strict"
        );
    }
    for (set, named) in REFUSED {
        match chart.helm("template", &[OsStr::new("--set"), OsStr::new(set)]) {
            Ok(_) => bail!("the chart takes `{set}`, which values.schema.json must refuse"),
            Err(error) => {
                ensure!(format!("{error:#}").contains(named), "`{set}` is refused for another reason: {error:#}")
            }
        }
    }
    writeln!(std::io::stdout(), "the chart refuses {} bad values", REFUSED.len())?;
    Ok(())
}

/// Every file of values under the chart's `ci` folder.
fn values_files(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join(CHART).join("ci");
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        files.push(entry?.path());
    }
    files.sort();
    ensure!(!files.is_empty(), "there are no values in {}", folder.display());
    Ok(files)
}

struct Chart<'a> {
    tools: ChartTools,
    root: &'a Path,
}

impl Chart<'_> {
    /// Runs one command of Helm on the chart and gives what it prints.
    fn helm(&self, action: &str, options: &[&OsStr]) -> Result<String> {
        let mut helm = Command::new(&self.tools.helm);
        helm.arg(action);
        if action == "template" {
            helm.arg("wardline");
        }
        helm.arg(CHART).args(["--kube-version", KUBERNETES_VERSION]).args(options).current_dir(self.root);
        output(&mut helm, "").with_context(|| format!("helm {action}"))
    }

    /// Checks manifests against the schemas; says how many there were.
    fn conforms(&self, manifests: &str) -> Result<String> {
        let mut kubeconform = Command::new(&self.tools.kubeconform);
        kubeconform.args(["-strict", "-summary"]);
        for folder in [self.tools.schemas.clone(), self.root.join("helm/schemas")] {
            let location = folder.join("{{ .ResourceKind }}{{ .KindSuffix }}.json");
            kubeconform.arg("-schema-location").arg(location);
        }
        let said = output(&mut kubeconform, manifests).context("kubeconform")?;
        ensure!(!said.contains("Summary: 0 resources"), "there is no manifest");
        Ok(said.trim().trim_start_matches("Summary: ").to_owned())
    }
}

/// Runs a program with a text as its input and gives its output; what it said is the error when it fails.
fn output(command: &mut Command, input: &str) -> Result<String> {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().context("start")?;
    let stdin = child.stdin.take();
    // Written beside the reading of its output: neither side can fill a pipe that nobody empties.
    let output = std::thread::scope(|scope| {
        // A program that refuses early closes its input; its exit code and words say why.
        scope.spawn(|| stdin.map(|mut pipe| pipe.write_all(input.as_bytes())));
        child.wait_with_output().context("wait")
    })?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{}{said}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(said)
}
