//! Which ERP a room talks to: the one place that knows all adapters. A room has `system` and a block for each of them, and
//! opens what [`System`] names.
//!
//! ```text
//! rooms.erp:  {system: sandbox, sandbox: {url: ..., key: ...}}  ->  open(...)  ->  Arc<dyn Erp>
//! ```

use std::fmt;
use std::sync::Arc;

use connector::erp::{Erp, ErpError};
use sandbox::Sandbox;
use serde::{Deserialize, Serialize};
use tryton::Tryton;

pub use sandbox::SandboxConfig;
pub use tryton::TrytonConfig;

/// The ERPs that there is an adapter for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// Tryton 8.0.
    #[default]
    Tryton,
    /// The sandbox ERP that comes with Wardline, for development and demos.
    Sandbox,
}

/// An ERP that is ready to be called.
#[derive(Clone)]
pub struct Opened {
    /// The ERP, behind its contract.
    pub erp: Arc<dyn Erp>,
    /// Lines in one document.
    pub lines_max: usize,
    /// Calls under way at the same time.
    pub requests_max: usize,
}

impl System {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Tryton, Self::Sandbox];

    /// Its name in the configuration, which is also the name of its block.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tryton => "tryton",
            Self::Sandbox => "sandbox",
        }
    }

    /// The ERP with its block of the configuration; it connects on first use.
    ///
    /// # Errors
    /// [`ErpError::Refused`] when no client can be made from the configuration.
    pub fn open(self, tryton: &TrytonConfig, sandbox: &SandboxConfig) -> Result<Opened, ErpError> {
        Ok(match self {
            Self::Tryton => Opened {
                erp: Arc::new(Tryton::new(tryton.clone())?),
                lines_max: tryton.lines_max,
                requests_max: tryton.requests_max,
            },
            Self::Sandbox => Opened {
                erp: Arc::new(Sandbox::new(sandbox.clone())?),
                lines_max: sandbox.lines_max,
                requests_max: sandbox.requests_max,
            },
        })
    }
}

impl fmt::Display for System {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::{SandboxConfig, System, TrytonConfig};

    #[test]
    fn the_limits_are_those_of_the_chosen_block() {
        let tryton = TrytonConfig { lines_max: 3, ..TrytonConfig::default() };
        let sandbox = SandboxConfig { lines_max: 5, ..SandboxConfig::default() };
        let lines = System::ALL.map(|system| system.open(&tryton, &sandbox).unwrap().lines_max);
        assert_eq!(lines, [3, 5]);
    }

    #[test]
    fn the_name_is_that_of_the_configuration() {
        for system in System::ALL {
            assert_eq!(serde_json::to_value(system).unwrap(), system.as_str());
        }
    }
}
