//! Wall clocks that jump: a small library between a process and its system (`clock.c`), steered by a file for each process. The
//! clock that measures durations stays as it is, as with a real correction of the time.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The library, to be compiled where it is used.
const SOURCE: &str = include_str!("clock.c");

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
    /// When there is no C compiler, or the program does not start behind the library.
    pub fn new(folder: PathBuf, program: &Path) -> Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
        std::fs::write(&source, SOURCE)?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]).arg(&library).arg(&source);
        let built = compiler.output().context("a clock that jumps needs a C compiler named `cc`")?;
        if !built.status.success() {
            bail!("the clock that jumps does not compile: {}", String::from_utf8_lossy(&built.stderr));
        }
        let walls = Self { library: std::path::absolute(library)?, folder: std::path::absolute(folder)? };
        let mut trial = Command::new(program);
        trial.arg("--version").envs(walls.environment("trial")?).stdout(Stdio::null()).stderr(Stdio::null());
        let ended = trial.status()?;
        if !ended.success() {
            bail!("{} does not start with a clock that jumps before it ({ended})", program.display());
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
        let pairs = [("LD_PRELOAD", self.library.display().to_string()), ("WARDLINE_CHAOS_CLOCK", file)];
        Ok(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Puts the clock of a process so many seconds ahead of the right time; it sees that with its next reading.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn jump(&self, process: &str, by_s: i64) -> Result<()> {
        // In place and in one write: the process has this very file before its eyes.
        let file = File::options().create(true).truncate(false).write(true).open(self.file(process))?;
        Ok(file.write_all_at(&by_s.to_ne_bytes(), 0)?)
    }

    fn file(&self, process: &str) -> PathBuf {
        self.folder.join(process)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader, Write as _};

    /// Reads the clock of a shell's `date` in a process that lives on while its clock jumps.
    #[test]
    fn a_clock_jumps_in_a_process_that_runs() {
        let folder = std::env::temp_dir().join(format!("wardline-clock-{}", std::process::id()));
        let walls = Walls::new(folder.clone(), Path::new("/bin/true")).unwrap();
        let mut shell = Command::new("/bin/bash");
        shell.arg("-c").arg("while read -r; do printf '%(%s)T\\n' -1; done").envs(walls.environment("one").unwrap());
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut ask, mut told) = (shell.stdin.take().unwrap(), BufReader::new(shell.stdout.take().unwrap()));
        let mut ahead = || {
            let mut line = String::new();
            ask.write_all(b"\n").unwrap();
            told.read_line(&mut line).unwrap();
            let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
            line.trim().parse::<i64>().unwrap() - i64::try_from(now).unwrap()
        };
        assert!(ahead().abs() <= 5);
        for by_s in [3_600, -90, 0] {
            walls.jump("one", by_s).unwrap();
            assert!((ahead() - by_s).abs() <= 5, "{by_s}");
        }
        drop(ask);
        shell.wait().unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }
}
