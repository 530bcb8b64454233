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
/// of Kubernetes. Bad values must be refused and good ones taken, among them those of its README. The tools are built on first use, which takes minutes.
#[derive(clap::Args)]
pub struct Arguments {}

/// The chart, from the top of the repository.
const CHART: &str = "helm/wardline";

/// Values that the chart must refuse, each with what its refusal names.
const REFUSED: [(&str, &str); 35] = [
    ("workloads.hl7v2.replica=3", "replica"),
    ("workloads.hl7v2.strategy=Sometimes", "strategy"),
    ("httpPort=80", "httpPort"),
    // Secrets in clear would lie in a ConfigMap.
    ("config.kafka.password=clear", "password"),
    (r"config.kafka.properties.ssl\.key\.password=clear", "ssl.key.password"),
    (r"config.kafka.properties.sasl\.oauthbearer\.client\.secret=clear", "client.secret"),
    ("erp.tryton.key=clear", "/erp/tryton/key"),
    ("workloads.erp.config.rooms.erp.tryton.key=clear", "rooms/erp/tryton/key"),
    ("workloads.fhir.config.rooms.fhir.bearer_token=clear", "bearer_token"),
    ("workloads.analytics.config.rooms.analytics.token_key=clear", "token_key"),
    ("workloads.supplier-fanout.config.rooms.supplier-fanout.profiles.V-300.secret=clear", "profiles/V-300/secret"),
    ("workloads.supplier-fanout.config.rooms.supplier-fanout.proxy=http://me:clear@proxy:3128", "proxy"),
    ("workloads.console.config.console.session_key=clear", "session_key"),
    ("workloads.console.config.console.oidc.client_secret=clear", "client_secret"),
    // So would the password in an address.
    ("config.registry.url=https://me:clear@host", "/config/registry/url"),
    ("config.telemetry.otlp_endpoint=http://me:clear@host:4318/v1/traces", "otlp_endpoint"),
    (r"config.kafka.properties.sasl\.oauthbearer\.token\.endpoint\.url=https://me:clear@host", "token.endpoint.url"),
    ("erp.tryton.url=https://me:clear@host", "/erp/tryton/url"),
    ("erp.sandbox.url=https://me:clear@host", "/erp/sandbox/url"),
    ("workloads.erp.config.rooms.erp.tryton.url=https://me:clear@host", "rooms/erp/tryton/url"),
    ("workloads.fhir.config.rooms.fhir.base_url=https://me:clear@host/r4", "base_url"),
    // Who reads an address passes over a slash too many: it begins no path.
    ("workloads.fhir.config.rooms.fhir.base_url=https:///me:clear@host/r4", "base_url"),
    ("workloads.supplier-fanout.config.rooms.supplier-fanout.profiles.V-300.url=https://me:clear@host", "V-300/url"),
    (
        "workloads.supplier-fanout.config.rooms.supplier-fanout.profiles.V-300.look_up_url=https://me:clear@host",
        "V-300/look_up_url",
    ),
    ("workloads.console.config.console.oidc.issuer=https://me:clear@host", "/console/oidc/issuer"),
    ("workloads.console.config.console.origin=https://me:clear@host", "/console/origin"),
    // Variables and arguments stand in the Deployment.
    ("env[0].name=KAFKA_PASSWORD,env[0].value=clear", "/env/0/value"),
    ("workloads.fhir.env[0].name=FHIR_TOKEN,workloads.fhir.env[0].value=clear", "/workloads/fhir/env/0/value"),
    ("env[0].name=TLS_KEY_FILE,env[0].value=clear", "/env/0/value"),
    ("env[0].name=WARDLINE_REGISTRY,env[0].value=https://me:clear@host", "/env/0/value"),
    ("workloads.sla.command={sla,--registry,https://me:clear@host}", "/workloads/sla/command/2"),
    ("workloads.reconcile.command={reconcile,--erp-key,clear}", "/workloads/reconcile/command/1"),
    // The second pod would wait for the volume for ever; so would the new pod of a rolling update.
    ("workloads.analytics.replicas=2", "only one node at a time mounts this volume"),
    ("workloads.analytics.strategy=RollingUpdate", "only one node at a time mounts this volume"),
    (
        "workloads.analytics.replicas=2,workloads.analytics.storage.accessModes={ReadWriteMany},config.tables.snapshot_dir=/x",
        "tables.snapshot_dir is a folder of one pod",
    ),
];

/// Values that the chart must take, each with what is in the manifests then.
const TAKEN: [(&str, &str); 18] = [
    ("config.tables.snapshot_every_s=600", "snapshot_every_s: 600"),
    ("config.kafka.password=${env:KAFKA_PASSWORD}", "password: ${env:KAFKA_PASSWORD}"),
    (r"config.kafka.properties.ssl\.key\.password=${env:KEY_PASSWORD}", "ssl.key.password: ${env:KEY_PASSWORD}"),
    (r"config.kafka.properties.sasl\.oauthbearer\.token\.endpoint\.url=https://x", "token.endpoint.url: https://x"),
    ("workloads.fhir.config.rooms.fhir.bearer_token=${env:FHIR_TOKEN}", "bearer_token: ${env:FHIR_TOKEN}"),
    ("workloads.supplier-fanout.config.rooms.supplier-fanout.proxy=http://proxy:3128", "proxy: http://proxy:3128"),
    ("config.registry.url=${env:REGISTRY_URL}", "url: ${env:REGISTRY_URL}"),
    ("erp.tryton.url=${file:/etc/wardline-secrets/tryton/url}", "url: ${file:/etc/wardline-secrets/tryton/url}"),
    // Behind the host an @ signs nobody in.
    ("workloads.fhir.config.rooms.fhir.base_url=https://host/@ward/r4", "base_url: https://host/@ward/r4"),
    ("env[0].name=KAFKA_PASSWORD,env[0].valueFrom.secretKeyRef.name=kafka", "- name: KAFKA_PASSWORD"),
    ("env[0].name=TLS_KEY_FILE,env[0].value=/etc/tls/key.pem", "value: /etc/tls/key.pem"),
    // Kubernetes puts another variable there, which comes from a Secret.
    ("env[0].name=REGISTRY_PASSWORD,env[0].value=$(KAFKA_PASSWORD)", "value: $(KAFKA_PASSWORD)"),
    ("env[0].name=WARDLINE_REGISTRY,env[0].value=https://me:$(REGISTRY_PASSWORD)@host", "me:$(REGISTRY_PASSWORD)@host"),
    ("workloads.analytics.replicas=2,workloads.analytics.storage.accessModes={ReadWriteMany}", "- ReadWriteMany"),
    // What allowFrom compares is the address of the sender, unless somebody wants it otherwise.
    ("workloads.hl7v2.serviceType=LoadBalancer", "externalTrafficPolicy: Local"),
    (
        "workloads.hl7v2.serviceType=NodePort,workloads.hl7v2.allowFrom[0].ipBlock.cidr=10.20.0.0/16",
        "externalTrafficPolicy: Local",
    ),
    (
        "workloads.hl7v2.serviceType=NodePort,workloads.hl7v2.externalTrafficPolicy=Local",
        "externalTrafficPolicy: Local",
    ),
    (
        "workloads.hl7v2.serviceType=LoadBalancer,workloads.hl7v2.externalTrafficPolicy=Cluster",
        "externalTrafficPolicy: Cluster",
    ),
];

/// Values that the chart must take, each with what is not in the manifests then, and why.
const LEFT_OUT: [(&str, &str, &str); 2] = [
    (
        "workloads.hl7v2.serviceType=ClusterIP,workloads.hl7v2.allowFrom[0].ipBlock.cidr=10.20.0.0/16",
        "externalTrafficPolicy",
        "Kubernetes refuses it of a ClusterIP",
    ),
    (
        "workloads.hl7v2.serviceType=NodePort",
        "externalTrafficPolicy",
        "a sender at a node without a pod would be cut off where nobody compares addresses",
    ),
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
        chart.helm("lint", &[&[OsStr::new("--strict"), OsStr::new("--quiet")], &chosen[..]].concat(), "")?;
        let manifests = chart.helm("template", &chosen, "")?;
        let objects = chart.conforms(&manifests).with_context(|| format!("the chart with {name}"))?;
        writeln!(std::io::stdout(), "the chart with {name}: {objects}")?;
        ensure!(
            chart.conforms(&manifests.replacen("replicas:", "replica:", 1)).is_err(),
            "a misspelt key passed: the schemas are not strict"
        );
    }
    chart.refuses()?;
    chart.takes()?;
    chart.asks_one_erp()
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
    /// Bad values are refused, for the reason that they are bad for.
    fn refuses(&self) -> Result<()> {
        for (set, named) in REFUSED {
            match self.helm("template", &[OsStr::new("--set"), OsStr::new(set)], "") {
                Ok(_) => bail!("the chart takes `{set}`, which it must refuse"),
                Err(error) => {
                    ensure!(format!("{error:#}").contains(named), "`{set}` is refused for another reason: {error:#}")
                }
            }
        }
        writeln!(std::io::stdout(), "the chart refuses {} bad values", REFUSED.len())?;
        Ok(())
    }

    /// Good values are taken, and do what they say.
    fn takes(&self) -> Result<()> {
        for (set, shown) in TAKEN {
            let manifests = self.helm("template", &[OsStr::new("--set"), OsStr::new(set)], "")?;
            ensure!(manifests.contains(shown), "the manifests with `{set}` have no `{shown}`");
        }
        for (set, absent, reason) in LEFT_OUT {
            let manifests = self.helm("template", &[OsStr::new("--set"), OsStr::new(set)], "")?;
            ensure!(!manifests.contains(absent), "the manifests with `{set}` have `{absent}`: {reason}");
        }
        writeln!(std::io::stdout(), "the chart takes {} good values", TAKEN.len() + LEFT_OUT.len())?;
        Ok(())
    }

    /// With the values of the install in the README, no workload asks the ERP that the chart names by default.
    fn asks_one_erp(&self) -> Result<()> {
        let readme = self.root.join(CHART).join("README.md");
        let text = fs::read_to_string(&readme).with_context(|| format!("read {}", readme.display()))?;
        let values = text.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
        let values = values.context("the README of the chart has no values of an install")?;
        let options = ["--values", "-", "--set", "workloads.console.enabled=true"].map(OsStr::new);
        let manifests = self.helm("template", &options, values)?;
        let asking = manifests.matches("tryton:\n").count();
        ensure!(asking == 4, "{asking} workloads ask an ERP in the place of 4");
        ensure!(!manifests.contains("http://tryton:8000"), "a workload asks an ERP that the README does not name");
        writeln!(std::io::stdout(), "the install of the README asks one ERP, {asking} times")?;
        Ok(())
    }

    /// Runs one command of Helm on the chart with a text as its input, and gives what it prints.
    fn helm(&self, action: &str, options: &[&OsStr], input: &str) -> Result<String> {
        let mut helm = Command::new(&self.tools.helm);
        helm.arg(action);
        if action == "template" {
            helm.arg("wardline");
        }
        helm.arg(CHART).args(["--kube-version", KUBERNETES_VERSION]).args(options).current_dir(self.root);
        output(&mut helm, input).with_context(|| format!("helm {action}"))
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
