//! The tools that check the Helm chart: Helm, kubeconform, and strict schemas of Kubernetes, all in pinned versions.

use crate::cache::{Build, Cache, Wanted};
use crate::error::{Error, Result};
use crate::kubernetes_schemas;
use crate::progress::Progress;
use crate::tools::{Python, search_path};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Kubernetes whose schemas the chart is checked against.
pub const KUBERNETES_VERSION: &str = "1.37.2";
const HELM: &str = "helm.sh/helm/v3/cmd/helm@v3.22.0";
const KUBECONFORM: &str = "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0";

/// The oldest Go that builds both tools.
const GO_MIN: (u32, u32) = (1, 26);
const GO_VERSION: &str = "go1.26.8";
const GO_FETCH: &str = include_str!("../assets/go/fetch.py");
const GO_AMD64: (&str, &str) = ("linux-amd64", "30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7");
const GO_ARM64: (&str, &str) = ("linux-arm64", "02b36b6787b3ac767668f630e2998df45a3b1f9ffee08d1bf3ef6487cd658d99");

/// Where the tools are.
#[derive(Clone, Debug)]
pub struct ChartTools {
    /// The `helm` program.
    pub helm: PathBuf,
    /// The `kubeconform` program.
    pub kubeconform: PathBuf,
    /// Schemas of Kubernetes in the form that kubeconform reads, without the properties that it does not know.
    pub schemas: PathBuf,
}

impl ChartTools {
    /// Builds what is missing. With everything there it takes no time and needs no network; else a Go of the machine is
    /// used when it is new enough, and fetched when not. Takes about two minutes.
    ///
    /// # Errors
    /// WL-7050 when Python is missing and Go is needed, WL-7051 when a step fails, WL-7054 when the cache cannot be written.
    pub fn ensure(progress: &Progress) -> Result<Self> {
        Self::in_cache(&Cache::locate()?, progress)
    }

    fn in_cache(cache: &Cache, progress: &Progress) -> Result<Self> {
        let content = [HELM, KUBECONFORM, KUBERNETES_VERSION, kubernetes_schemas::REVISION];
        let wanted =
            Wanted { name: "chart-tools", title: "Helm and kubeconform", version: "3.22.0", content: &content };
        let dir = cache.part(&wanted, progress, |build| {
            let go = match go_of_machine() {
                Some(go) => go,
                None => go_from_proxy(cache, progress)?,
            };
            for tool in [KUBECONFORM, HELM] {
                let mut install = Command::new(&go);
                install.args(["install", "-trimpath", "-ldflags", "-s -w", tool]).env("GOBIN", build.dir);
                build.run(&format!("go install {tool}"), &mut install)?;
            }
            schemas(build, &go)
        })?;
        Ok(Self { helm: dir.join("helm"), kubeconform: dir.join("kubeconform"), schemas: dir.join("schemas") })
    }
}

/// Makes the schemas from the description of its API that Kubernetes publishes with its source.
fn schemas(build: &Build<'_>, go: &Path) -> Result<()> {
    let module = format!("k8s.io/kubernetes@v{KUBERNETES_VERSION}");
    // A module cache of its own: 120 MB for one file are not worth keeping.
    let modules = build.dir.join("modules");
    let mut download = Command::new(go);
    download.args(["mod", "download", "-modcacherw", &module]).env("GOMODCACHE", &modules);
    build.run(&format!("go mod download {module}"), &mut download)?;
    let swagger = modules.join(&module).join("api/openapi-spec/swagger.json");
    let text = std::fs::read(&swagger).map_err(Error::files(&swagger))?;
    let unusable = |reason: String| Error::Answer { name: module.clone(), asked: "its API".to_owned(), answer: reason };
    for (name, schema) in kubernetes_schemas::from_swagger(&text).map_err(unusable)? {
        build.write(&format!("schemas/{name}"), &schema)?;
    }
    std::fs::remove_dir_all(&modules).map_err(Error::files(&modules))
}

/// The Go on the search path, when it is new enough.
fn go_of_machine() -> Option<PathBuf> {
    let go = search_path().into_iter().map(|dir| dir.join("go")).find(|path| path.is_file())?;
    let output = Command::new(&go).args(["env", "GOVERSION"]).stdin(Stdio::null()).output().ok()?;
    (go_version(&String::from_utf8_lossy(&output.stdout))? >= GO_MIN).then_some(go)
}

/// `go1.26.8` is (1, 26).
fn go_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().strip_prefix("go")?.split(['.', 'r', 'b', ' ']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// A Go toolchain from the module proxy, for machines without one or with an old one.
fn go_from_proxy(cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    let python = Python::find()?;
    let (platform, hash) = if cfg!(target_arch = "aarch64") { GO_ARM64 } else { GO_AMD64 };
    let version = format!("v0.0.1-{GO_VERSION}.{platform}");
    let wanted = Wanted { name: "go", title: "Go", version: GO_VERSION, content: &[&version, hash, GO_FETCH] };
    let dir = cache.part(&wanted, progress, |build| {
        let script = build.write("fetch.py", GO_FETCH)?;
        let mut fetch = Command::new(&python.program);
        build.run("fetch", fetch.arg(&script).args([&version, hash, "go"]))
    })?;
    Ok(dir.join("go/bin/go"))
}

#[cfg(test)]
mod tests {
    use super::{GO_MIN, go_version};

    #[test]
    fn versions_of_go_compare_as_numbers() {
        assert!(go_version("go1.26.8\n").is_some_and(|version| version >= GO_MIN));
        assert!(go_version("go1.100rc1").is_some_and(|version| version >= GO_MIN));
        assert!(go_version("go1.19.8").is_some_and(|version| version < GO_MIN));
        assert_eq!(go_version("devel"), None);
    }
}
