//! Where installed parts are kept. A part is built in a directory of its own and moved into place when it is complete, so
//! an interrupted installation leaves nothing half done; a lock lets two processes install at the same time.

use crate::error::{Error, Result, tail};
use crate::progress::{Progress, Step};
use sha2::{Digest, Sha256};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MARKER: &str = ".complete";

/// The cache directory.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    root: PathBuf,
}

/// What is to be in the cache.
pub(crate) struct Wanted<'a> {
    /// A name for files, for example `kafka`.
    pub(crate) name: &'a str,
    /// What people read, for example `Apache Kafka`.
    pub(crate) title: &'a str,
    /// The version of the part.
    pub(crate) version: &'a str,
    /// All that decides what is built; other content is another part.
    pub(crate) content: &'a [&'a str],
}

/// A running installation.
pub(crate) struct Build<'a> {
    /// Where to build.
    pub(crate) dir: &'a Path,
    log: &'a Path,
    step: &'a Step,
}

impl Cache {
    /// `WARDLINE_CACHE`, else below `XDG_CACHE_HOME`, else below the home directory.
    pub(crate) fn locate() -> Result<Self> {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = var("WARDLINE_CACHE")
            .or_else(|| var("XDG_CACHE_HOME").map(|dir| dir.join("wardline/components")))
            .or_else(|| var("HOME").map(|dir| dir.join(".cache/wardline/components")))
            .unwrap_or_else(|| std::env::temp_dir().join("wardline/components"));
        Self::at(&root)
    }

    /// The cache in a directory of choice.
    pub(crate) fn at(root: &Path) -> Result<Self> {
        fs::create_dir_all(root).map_err(Error::files(root))?;
        Ok(Self { root: fs::canonicalize(root).map_err(Error::files(root))? })
    }

    /// The directory of a part, built now unless it is there.
    pub(crate) fn part(
        &self,
        wanted: &Wanted<'_>,
        progress: &Progress,
        build: impl FnOnce(&Build<'_>) -> Result<()>,
    ) -> Result<PathBuf> {
        let hash = hash(wanted);
        let name = wanted.name;
        let target = self.root.join(format!("{name}-{}-{}", wanted.version, hash.get(..12).unwrap_or_default()));
        if is_complete(&target, &hash) {
            return Ok(target);
        }
        let step = progress.step(format!("install {} {}", wanted.title, wanted.version));
        let _lock = self.lock(name, &step)?;
        if is_complete(&target, &hash) {
            step.done("another process installed it");
            return Ok(target);
        }
        self.clear_interrupted(name)?;
        let dir = self.root.join(format!(".building-{name}-{}", std::process::id()));
        let log = self.root.join(format!("{name}-install.log"));
        fs::create_dir(&dir).map_err(Error::files(&dir))?;
        fs::write(&log, "").map_err(Error::files(&log))?;
        build(&Build { dir: &dir, log: &log, step: &step })?;
        let marker = dir.join(MARKER);
        fs::write(&marker, &hash).map_err(Error::files(&marker))?;
        if target.exists() {
            fs::remove_dir_all(&target).map_err(Error::files(&target))?;
        }
        fs::rename(&dir, &target).map_err(Error::files(&target))?;
        step.done("installed");
        Ok(target)
    }

    /// A step that changes the machine and leaves nothing here but its log; one process at a time.
    pub(crate) fn step(
        &self,
        name: &str,
        title: &str,
        progress: &Progress,
        run: impl FnOnce(&Build<'_>) -> Result<()>,
    ) -> Result<()> {
        let step = progress.step(format!("install {title}"));
        let _lock = self.lock(name, &step)?;
        let log = self.root.join(format!("{name}-install.log"));
        fs::write(&log, "").map_err(Error::files(&log))?;
        run(&Build { dir: &self.root, log: &log, step: &step })?;
        step.done("installed");
        Ok(())
    }

    fn lock(&self, name: &str, step: &Step) -> Result<File> {
        let path = self.root.join(format!(".lock-{name}"));
        let file = File::create(&path).map_err(Error::files(&path))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => step.says("waiting for another process that installs it"),
            Err(TryLockError::Error(source)) => return Err(Error::Files { path, source }),
        }
        file.lock().map_err(Error::files(&path))?;
        Ok(file)
    }

    /// Under the lock, a building directory belongs to nobody who is alive.
    fn clear_interrupted(&self, name: &str) -> Result<()> {
        let prefix = format!(".building-{name}-");
        for entry in fs::read_dir(&self.root).map_err(Error::files(&self.root))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                fs::remove_dir_all(entry.path()).map_err(Error::files(&entry.path()))?;
            }
        }
        Ok(())
    }
}

impl Build<'_> {
    /// Writes a file of the part.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::files(parent))?;
        }
        fs::write(&path, text).map_err(Error::files(&path))?;
        Ok(path)
    }

    /// Runs a program in the building directory; its output goes to the log.
    pub(crate) fn run(&self, what: &str, command: &mut Command) -> Result<()> {
        self.step.says(what);
        let log = File::options().append(true).open(self.log).map_err(Error::files(self.log))?;
        let errors = log.try_clone().map_err(Error::files(self.log))?;
        command.current_dir(self.dir).stdin(Stdio::null()).stdout(log).stderr(errors);
        let failed = |tail| Error::InstallFailed { step: what.to_owned(), log: self.log.to_owned(), tail };
        let status = command.status().map_err(|error| failed(format!("  {error}\n")))?;
        if status.success() { Ok(()) } else { Err(failed(tail(self.log))) }
    }
}

fn is_complete(dir: &Path, hash: &str) -> bool {
    fs::read_to_string(dir.join(MARKER)).is_ok_and(|found| found == hash)
}

fn hash(wanted: &Wanted<'_>) -> String {
    let mut hasher = Sha256::new();
    for text in std::iter::once(&wanted.version).chain(wanted.content) {
        // The length keeps neighbouring texts apart.
        hasher.update(text.len().to_be_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test")]
    use super::{Cache, Wanted};
    use crate::Progress;
    use crate::error::Error;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn wanted<'a>(content: &'a [&'a str]) -> Wanted<'a> {
        Wanted { name: "part", title: "Part", version: "1", content }
    }

    #[test]
    fn builds_once_for_all_and_again_for_other_content() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path()).unwrap();
        let builds = AtomicUsize::new(0);
        let part = |content: &str| {
            cache.part(&wanted(&[content]), &Progress::silent(), |build| {
                builds.fetch_add(1, Ordering::SeqCst);
                build.write("a/file", content).map(drop)
            })
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(std::fs::read_to_string(part("x").unwrap().join("a/file")).unwrap(), "x"));
            }
        });
        assert_eq!(builds.load(Ordering::SeqCst), 1);
        assert_ne!(part("y").unwrap(), part("x").unwrap());
        assert_eq!(builds.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn an_interrupted_build_leaves_nothing_and_is_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path()).unwrap();
        let mut fail = std::process::Command::new("sh");
        fail.args(["-c", "echo the cause; exit 3"]);
        let failed = cache.part(&wanted(&["x"]), &Progress::silent(), |build| build.run("compile", &mut fail));
        assert!(matches!(failed, Err(Error::InstallFailed { tail, .. }) if tail.contains("the cause")));
        let built =
            cache.part(&wanted(&["x"]), &Progress::silent(), |build| build.write("file", "good").map(drop)).unwrap();
        assert_eq!(std::fs::read_to_string(built.join("file")).unwrap(), "good");
        let left = std::fs::read_dir(dir.path()).unwrap().flatten();
        assert!(!left.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(".building")));
    }
}
