//! Reports that outlive the process that made them: one file each in a folder of the installation, the oldest leave.
//!
//! A report holds pseudonyms and money and nothing that identifies a patient directly. Whoever runs a comparison, `wardline
//! reconcile`, one that goes on for ever or a console, keeps it in the same folder, and every console with that folder shows it.

use super::run::Report;
use runtime::Config;
use runtime::config::ConfigError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// How the name of a report's file begins and ends.
const BEGIN: &str = "reconcile-";
const END: &str = ".json";
/// Most bytes of a report that is read: 10,000 differences with their evidence are less.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The block `operations.reconcile` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReconcileConfig {
    /// Folder in which reports are kept; none are kept when it is left out.
    pub reports_dir: Option<PathBuf>,
    /// Most reports that are kept there; the oldest leave.
    pub reports_max: usize,
}

/// The folder of reports.
#[derive(Clone, Debug)]
pub struct Kept {
    folder: PathBuf,
    most: usize,
}

/// Reports could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The block of the configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The folder or a file in it.
    #[error("WL-7280: the reports in {folder} cannot be used: {reason}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// There is no such report.
    #[error("WL-7281: there is no report {0}; the oldest ones leave")]
    Unknown(String),
    /// A file is no report of this version.
    #[error("WL-7282: {id} is no report that this version can read: {reason}")]
    Form {
        /// The report.
        id: String,
        /// Why.
        reason: String,
    },
}

impl Default for ReconcileConfig {
    fn default() -> Self {
        Self { reports_dir: None, reports_max: 400 }
    }
}

impl ReconcileConfig {
    /// Reads the block and checks its bounds.
    ///
    /// # Errors
    /// When it has an unknown key, or a value outside its range.
    pub fn of(config: &Config) -> Result<Self, ConfigError> {
        let own: Self = config.operation("reconcile")?;
        if own.reports_max == 0 {
            let (key, value) = ("operations.reconcile.reports_max", own.reports_max.to_string());
            return Err(ConfigError::Range { key, value, rule: "must be at least 1" });
        }
        Ok(own)
    }
}

impl Kept {
    /// The folder that the configuration names; none when it names none.
    ///
    /// # Errors
    /// When the block of the configuration is not understood.
    pub fn of(config: &Config) -> Result<Option<Self>, KeptError> {
        let own = ReconcileConfig::of(config)?;
        Ok(own.reports_dir.map(|folder| Self { folder, most: own.reports_max }))
    }

    /// Keeps a report and gives its id. It is there whole or not at all, also after a power cut. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep(&self, report: &Report) -> Result<String, KeptError> {
        let told = |reason| self.told(reason);
        let id = id_of(report);
        std::fs::create_dir_all(&self.folder).map_err(told)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(told)?;
        let text = serde_json::to_vec(report).map_err(|error| told(error.into()))?;
        file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(told)?;
        file.persist(self.path(&id)).map_err(|error| told(error.error))?;
        for old in self.ids()?.iter().rev().skip(self.most) {
            match std::fs::remove_file(self.path(old)) {
                // Another process was faster.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(told(error)),
                _ => {}
            }
        }
        Ok(id)
    }

    /// The newest ids, newest first, at most so many. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn newest(&self, most: usize) -> Result<Vec<String>, KeptError> {
        Ok(self.ids()?.into_iter().rev().take(most).collect())
    }

    /// A report. Blocks.
    ///
    /// # Errors
    /// When there is none of this id, or it cannot be read.
    pub fn read(&self, id: &str) -> Result<Report, KeptError> {
        if !is_id(id) {
            return Err(KeptError::Unknown(id.chars().take(80).collect()));
        }
        let mut text = Vec::new();
        let file = std::fs::File::open(self.path(id)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => KeptError::Unknown(id.to_owned()),
            _ => self.told(error),
        })?;
        file.take(BYTES_MAX).read_to_end(&mut text).map_err(|error| self.told(error))?;
        serde_json::from_slice(&text).map_err(|error| KeptError::Form { id: id.to_owned(), reason: error.to_string() })
    }

    fn ids(&self) -> Result<BTreeSet<String>, KeptError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(error) => return Err(self.told(error)),
        };
        let mut ids = BTreeSet::new();
        for entry in entries {
            let name = entry.map_err(|error| self.told(error))?.file_name();
            let id = name.to_str().and_then(|name| name.strip_prefix(BEGIN)?.strip_suffix(END));
            ids.extend(id.filter(|id| is_id(id)).map(str::to_owned));
        }
        Ok(ids)
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{BEGIN}{id}{END}"))
    }

    fn told(&self, reason: io::Error) -> KeptError {
        KeptError::Folder { folder: self.folder.clone(), reason }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// The id of a report: when it was made, so that ids are in the order of time, and a digest, so that two of one moment are two.
#[must_use]
pub fn id_of(report: &Report) -> String {
    let content = super::fact::text_key(&format!("{} {:?} {:?}", report.actor, report.window, report.positions));
    format!("{:015}-{:08x}", report.at_ms.max(0), content >> 96)
}

/// Digits, a dash, digits of a digest: nothing that leads out of the folder.
fn is_id(text: &str) -> bool {
    let Some((time, content)) = text.split_once('-') else { return false };
    let is_time = time.len() == 15 && time.bytes().all(|byte| byte.is_ascii_digit());
    is_time && content.len() == 8 && content.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::super::difference::{Difference, Kind, Part};
    use super::super::run::tests::report;
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_kept_is_read_again_and_the_oldest_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept { folder: folder.path().join("reports"), most: 2 };
        assert_eq!(kept.newest(10).unwrap(), Vec::<String>::new());
        let difference = Difference::new(Kind::Amount, Part::Erp, "wl-1", 5, "said".to_owned());
        let made = |at_ms| Report { at_ms, ..report(vec![difference.clone()]) };
        let ids = [1_000, 3_000, 2_000].map(|at_ms| kept.keep(&made(at_ms)).unwrap());
        assert_eq!(kept.newest(10).unwrap(), [ids[1].clone(), ids[2].clone()]);
        assert_eq!(kept.newest(1).unwrap(), [ids[1].clone()]);
        assert_eq!(kept.read(&ids[1]).unwrap(), made(3_000));
        assert!(kept.read(&ids[0]).is_err_and(|error| error.to_string().contains("WL-7281")));
        std::fs::write(kept.path(&ids[2]), "{}").unwrap();
        assert!(kept.read(&ids[2]).is_err_and(|error| error.to_string().contains("WL-7282")));
    }

    #[test]
    fn an_id_leads_nowhere_else_and_a_folder_that_is_none_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let kept = Kept { folder: file, most: 2 };
        for id in ["../../etc/passwd", "", "000000000001000-../../..", "1-2"] {
            assert!(matches!(kept.read(id), Err(KeptError::Unknown(_))), "{id}");
        }
        assert!(kept.keep(&report(Vec::new())).is_err_and(|error| error.to_string().contains("WL-7280")));
    }

    #[test]
    fn the_block_is_strict_and_keeps_nothing_by_itself() {
        let said = |block| {
            let mut config = Config::default();
            config.operations.insert("reconcile".to_owned(), block);
            Kept::of(&config).map(|kept| kept.map(|kept| kept.folder)).map_err(|error| error.to_string())
        };
        assert_eq!(said(json!({})), Ok(None));
        assert_eq!(said(json!({"reports_dir": "/r"})), Ok(Some(PathBuf::from("/r"))));
        assert!(said(json!({"reports": "/r"})).unwrap_err().contains("WL-7001"));
        assert!(said(json!({"reports_max": 0})).unwrap_err().contains("operations.reconcile.reports_max"));
    }
}
