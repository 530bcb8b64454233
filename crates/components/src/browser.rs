//! What pages are tested with: Chromium, and axe-core, which finds what keeps people from using them.

use crate::cache::{Cache, Wanted};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::tools::{Java, maven, search_path};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;

/// The library of axe-core's makers for tests in Java carries axe-core itself, and Maven is needed here anyway.
const AXE_VERSION: &str = "4.11.1";
const AXE_ARTIFACT: &str = "com.deque.html.axe-core:selenium";
const AXE_FILE: &str = "axe.min.js";
const MAVEN_COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy";

/// Names under which systems install Chromium, or a browser that is driven in the same way.
const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A browser without a window, and what is run in its pages.
#[derive(Clone, Debug)]
pub struct Browser {
    /// The program.
    pub chromium: PathBuf,
    /// The script of axe-core (MPL-2.0; only run, never shipped).
    pub axe: PathBuf,
}

impl Browser {
    /// Finds Chromium, in `WARDLINE_CHROMIUM` or on the search path, and installs the one of Debian where there is none and who
    /// runs this may; fetches axe-core once.
    ///
    /// # Errors
    /// WL-7050 when there is no Chromium and it cannot be installed here, or Java or Maven is missing; WL-7051 when a step
    /// fails; WL-7054 when the cache cannot be written.
    pub fn ensure(progress: &Progress) -> Result<Self> {
        let cache = Cache::locate()?;
        let axe = axe(&cache, progress)?;
        Ok(Self { chromium: chromium(&cache, progress)?, axe })
    }
}

fn chromium(cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    if let Some(found) = find() {
        return Ok(found);
    }
    let missing = |detail: &str| Error::ToolMissing { tool: "Chromium", detail: detail.to_owned() };
    let apt = search_path().into_iter().map(|dir| dir.join("apt-get")).find(|path| path.is_file());
    let apt = apt.ok_or_else(|| missing("none on the search path, and no apt-get to install it"))?;
    if !std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        return Err(missing("none on the search path, and only root may install it"));
    }
    cache.step("chromium", "Chromium of Debian", progress, |build| {
        // Another process may have installed it while this one waited.
        if find().is_some() {
            return Ok(());
        }
        let run = |what: &str, arguments: &[&str]| {
            build.run(what, Command::new(&apt).args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
        };
        run("apt-get update", &["update", "-qq"])?;
        run("apt-get install chromium", &["install", "-y", "-qq", "--no-install-recommends", "chromium"])
    })?;
    find().ok_or_else(|| missing("apt-get installed it, but it is not on the search path"))
}

fn find() -> Option<PathBuf> {
    let chosen = std::env::var_os("WARDLINE_CHROMIUM").filter(|path| !path.is_empty()).map(PathBuf::from);
    let dirs = search_path();
    let usual = PROGRAMS.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(name)));
    chosen.into_iter().chain(usual).find(|path| path.is_file())
}

fn axe(cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    let wanted =
        Wanted { name: "axe", title: "axe-core", version: AXE_VERSION, content: &[AXE_ARTIFACT, MAVEN_COPY, AXE_FILE] };
    let dir = cache.part(&wanted, progress, |build| {
        let java = Java::find()?;
        let mut fetch = Command::new(maven()?);
        fetch.args(["-B", "-q", MAVEN_COPY, "-DoutputDirectory=."]);
        fetch.arg(format!("-Dartifact={AXE_ARTIFACT}:{AXE_VERSION}:jar"));
        build.run("fetch from Maven Central", &mut fetch)?;
        let archive = format!("selenium-{AXE_VERSION}.jar");
        build.run("unpack", Command::new(java.archiver()).args(["xf", &archive, AXE_FILE]))?;
        // The tool is content when there is no such file in the archive.
        let file = build.dir.join(AXE_FILE);
        std::fs::metadata(&file).map(drop).map_err(Error::files(&file))
    })?;
    Ok(dir.join(AXE_FILE))
}
