//! Wall clocks that jump: libfaketime between a process and its system, steered by a file for each process. The clock that
//! measures durations stays as it is, as with a real correction of the time.

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where distributions put it.
const PLACES: [&str; 5] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
];

/// The clocks of all processes of a run.
#[derive(Clone, Debug)]
pub struct Walls {
    library: PathBuf,
    folder: PathBuf,
}

impl Walls {
    /// Clocks steered from a folder, for processes of `program`.
    ///
    /// # Errors
    /// When libfaketime is not installed, or the program does not start with it.
    pub fn new(folder: PathBuf, program: &Path) -> Result<Self> {
        let Some(library) = PLACES.iter().map(Path::new).find(|path| path.exists()) else {
            bail!(
                "a clock that jumps needs libfaketime (Debian, Ubuntu and Fedora: package `libfaketime`): install it, or leave \
                 it out with `--without jump-clock`"
            );
        };
        std::fs::create_dir_all(&folder)?;
        let walls = Self { library: library.to_owned(), folder };
        let mut trial = Command::new(program);
        trial.arg("--version").envs(walls.environment("trial")?).stdout(Stdio::null()).stderr(Stdio::null());
        let ended = trial.status()?;
        if !ended.success() {
            bail!(
                "{} does not start with {} before it ({ended}): its allocator takes the place of the C library's, which that \
                 library does not allow for; leave the clocks out with `--without jump-clock`",
                program.display(),
                walls.library.display()
            );
        }
        Ok(walls)
    }

    /// What a process needs in its environment; its clock is right at first.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn environment(&self, process: &str) -> Result<Vec<(String, String)>> {
        self.jump(process, 0)?;
        let file = self.file(process).display().to_string();
        let pairs = [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", file),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ];
        Ok(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Puts the clock of a process so many seconds ahead of the right time; within a second it sees that.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn jump(&self, process: &str, by_s: i64) -> Result<()> {
        // By a rename: a reader never finds half a number.
        let (file, written) = (self.file(process), self.folder.join(format!("{process}.new")));
        std::fs::write(&written, format!("{by_s:+}\n"))?;
        Ok(std::fs::rename(written, file)?)
    }

    fn file(&self, process: &str) -> PathBuf {
        self.folder.join(process)
    }
}
