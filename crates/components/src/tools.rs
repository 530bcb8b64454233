//! Finds the tools that the machine must bring: a JDK, Maven and Python. Nothing here is ever downloaded.

use crate::error::{Error, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest Java that Kafka, Apicurio and HAPI all run on.
const JAVA_MIN: u32 = 17;

/// A Java Development Kit.
#[derive(Clone, Debug)]
pub(crate) struct Java {
    bin: PathBuf,
}

impl Java {
    /// `JAVA_HOME` first, then the search path, then where Debian puts JDKs.
    pub(crate) fn find() -> Result<Self> {
        let mut bins: Vec<PathBuf> =
            std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin")).into_iter().collect();
        bins.extend(search_path());
        if let Ok(installed) = std::fs::read_dir("/usr/lib/jvm") {
            bins.extend(installed.flatten().map(|entry| entry.path().join("bin")));
        }
        let mut seen = Vec::new();
        for bin in bins.into_iter().filter(|bin| bin.join("java").is_file()) {
            let version = java_version(&bin.join("java"));
            let compiler = bin.join("javac").is_file();
            if compiler && version.is_some_and(|version| version >= JAVA_MIN) {
                return Ok(Self { bin });
            }
            let version = version.map_or("of unknown version".to_owned(), |version| format!("version {version}"));
            seen.push(format!("{} is {version}{}", bin.display(), if compiler { "" } else { ", without javac" }));
        }
        let detail = if seen.is_empty() { "no java found".to_owned() } else { seen.join("; ") };
        Err(Error::ToolMissing { tool: "a Java development kit, version 17 or newer", detail })
    }

    /// The launcher.
    pub(crate) fn java(&self) -> PathBuf {
        self.bin.join("java")
    }

    /// The tool for archives.
    pub(crate) fn archiver(&self) -> PathBuf {
        self.bin.join("jar")
    }

    /// The compiler.
    pub(crate) fn javac(&self) -> PathBuf {
        self.bin.join("javac")
    }
}

/// Finds Maven on the search path.
pub(crate) fn maven() -> Result<PathBuf> {
    let found = search_path().into_iter().map(|dir| dir.join("mvn")).find(|path| path.is_file());
    found.ok_or_else(|| Error::ToolMissing { tool: "Apache Maven", detail: "no mvn on the search path".to_owned() })
}

/// A Python that Tryton runs on.
#[derive(Clone, Debug)]
pub(crate) struct Python {
    /// The interpreter.
    pub(crate) program: PathBuf,
    /// Major and minor version.
    pub(crate) version: String,
    /// The calendar year now; the ERP's books are opened for it.
    pub(crate) year: String,
}

impl Python {
    /// `WARDLINE_PYTHON` first, then the usual names.
    pub(crate) fn find() -> Result<Self> {
        let chosen = std::env::var_os("WARDLINE_PYTHON");
        let usual = ["python3.11", "python3.12", "python3.13", "python3"].map(OsString::from);
        let mut seen = Vec::new();
        for name in chosen.into_iter().chain(usual) {
            match ask_python(&name) {
                Ok(python) => return Ok(python),
                Err(Some(answer)) => seen.push(format!("{}: {answer}", name.display())),
                Err(None) => {}
            }
        }
        let detail = if seen.is_empty() { "no python3 found".to_owned() } else { seen.join("; ") };
        Err(Error::ToolMissing { tool: "Python 3.11 or newer with venv", detail })
    }
}

/// What `name` says about itself; `Err(None)` when there is no such program.
fn ask_python(name: &OsString) -> Result<Python, Option<String>> {
    const QUESTION: &str = "import sys, time, venv, ensurepip\nassert sys.version_info >= (3, 11), 'is %d.%d' % sys.version_info[:2]\n\
                            print(sys.executable, '%d.%d' % sys.version_info[:2], time.strftime('%Y'), sep='\\n')";
    let output = Command::new(name).args(["-c", QUESTION]).stdin(Stdio::null()).output().map_err(|_| None)?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(Some(text.lines().rev().find(|line| !line.is_empty()).unwrap_or("does not run").to_owned()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines().map(str::to_owned);
    match (lines.next(), lines.next(), lines.next()) {
        (Some(program), Some(version), Some(year)) => Ok(Python { program: program.into(), version, year }),
        _ => Err(Some("gave no version".to_owned())),
    }
}

fn java_version(java: &Path) -> Option<u32> {
    let output = Command::new(java).arg("-version").stdin(Stdio::null()).output().ok()?;
    major(&String::from_utf8_lossy(&output.stderr))
}

/// `openjdk version "17.0.15" 2025-04-15` is 17, `java version "1.8.0_392"` is 8.
fn major(text: &str) -> Option<u32> {
    let version = text.split('"').nth(1)?;
    let mut numbers = version.split(['.', '_', '-', '+']).map(|number| number.parse().ok());
    match numbers.next()?? {
        1 => numbers.next()?,
        major => Some(major),
    }
}

pub(crate) fn search_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn reads_java_versions_of_all_ages() {
        assert_eq!(major("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime Environment"), Some(17));
        assert_eq!(major("java version \"1.8.0_392\""), Some(8));
        assert_eq!(major("openjdk version \"25-ea\" 2025-09-16"), Some(25));
        assert_eq!(major("no java here"), None);
    }
}
