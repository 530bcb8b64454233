//! Posts each usage to the ERP: stock moves from the department to the place of use, its cost to the cost centre.
//!
//! ```text
//! usage {item, lot, OR1, 2}                         -> ERP: OR1 -> USE-OR1, 2      posting {POSTED, 2, total 2}
//! usage {revision 1, 3}      prior {total 2}        -> ERP: OR1 -> USE-OR1, 1      posting {CORRECTED, 1, total 3}
//! usage {revision 2, retract} prior {total 3}       -> ERP: USE-OR1 -> OR1, 3      posting {RETRACTED, -3, total 0}
//! usage {consigned}                                 -> nothing                     posting {NONE_NEEDED}
//! ```
//! Kafka cannot make a call outside exactly once. It happens once here (FX-1) because the runtime records the effect before
//! the call, the document key goes to the ERP as the document's reference, and an unknown outcome is looked up there and
//! finished before anything is tried again.

mod client;
mod config;
mod plan;
mod refused;
mod request;

pub use client::ErpClient;
pub use config::ErpPostConfig;
pub use request::{Held, Move, Part, Request, Response};

use connector::effect::{Effect, EffectClient, Foreseen, Plan};
use erp_systems::Opened;
use processor::Verdict;
use runtime::config::ConfigError;
use runtime::{Room, RoomError, RoomInfo};
use schemas::{EnrichedUsage, ErpPosting};
use std::sync::Arc;
use std::time::Duration;

/// Name of the room.
pub const NAME: &str = "erp-post";

/// The two pure functions around the call.
pub struct ErpPost {
    config: ErpPostConfig,
}

impl ErpPost {
    /// With its configuration.
    #[must_use]
    pub fn new(config: ErpPostConfig) -> Self {
        Self { config }
    }
}

impl Effect for ErpPost {
    type Input = EnrichedUsage;
    type Output = ErpPosting;
    type Tables = ();
    type Request = Request;
    type Response = Response;

    /// Everything is about the difference to what is posted, also a first statement that comes late.
    fn prior_key(&self, usage: &EnrichedUsage) -> Option<String> {
        Some(usage.meta.business_key.clone())
    }

    fn needs_prior(&self, usage: &EnrichedUsage) -> bool {
        !plan::is_first(usage)
    }

    fn plan(
        &self,
        usage: &EnrichedUsage,
        prior: Option<&ErpPosting>,
        _tables: &Self::Tables,
    ) -> Plan<Request, ErpPosting> {
        plan::plan(&self.config, usage, prior)
    }

    fn settle(&self, usage: &EnrichedUsage, request: &Request, response: &Response) -> Verdict<ErpPosting> {
        Verdict::Emit(plan::outputs(&self.config, usage, request, response))
    }

    fn rehearse(&self, usage: &EnrichedUsage, request: &Request) -> Vec<ErpPosting> {
        plan::outputs(&self.config, usage, request, &Response::default())
    }

    fn answered() -> &'static [&'static str] {
        &["amount", "currency", "documents", "attempts"]
    }

    fn output_key(&self, output: &ErpPosting) -> String {
        output.business_key.clone()
    }

    fn foresee(usage: &EnrichedUsage) -> Option<Foreseen> {
        Some(plan::foreseen(usage))
    }
}

/// The room, for a process.
#[must_use]
pub fn room() -> Room {
    let info = RoomInfo::of_effect::<ErpPost>(NAME, "Posts each usage to the ERP: stock movement and cost allocation.");
    Room::effect(info, |config| {
        let config: ErpPostConfig = config.room(NAME)?;
        let opened = config.system.open(&config.tryton, &config.sandbox);
        let Opened { erp, lines_max, requests_max } = opened.map_err(|error| RoomError::Room(error.to_string()))?;
        let certain_after = Duration::from_millis(config.certain_after_ms);
        config.validate().map_err(|reason| refused(&reason))?;
        let client = ErpClient::new(erp, lines_max, requests_max, certain_after).paced(config.pacing.clone());
        Ok((ErpPost::new(config), Arc::new(client) as Arc<dyn EffectClient<Request, Response>>))
    })
    .configured(|own: &ErpPostConfig, _| {
        own.validate()?;
        own.system.open(&own.tryton, &own.sandbox).map(drop).map_err(|error| error.to_string())
    })
}

fn refused(reason: &str) -> RoomError {
    RoomError::Config(ConfigError::Room { room: NAME.to_owned(), reason: reason.to_owned() })
}
