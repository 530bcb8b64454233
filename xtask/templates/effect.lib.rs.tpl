//! Tells a service outside about every `@reads@` and says in `@writes@` that it did.
//!
//! ```text
//! @Input@ {meta}   ->   POST url, Idempotency-Key   ->   @Output@ {meta}
//! ```
//! Kafka cannot make the call exactly once. The runtime writes an effect record before it, the document key goes along as
//! `Idempotency-Key`, and a call whose outcome is not known is looked up under that key before it is tried again.

mod client;
mod config;

pub use client::{Accepted, Client, Notice};
pub use config::@Type@Config;

use connector::effect::{Action, Effect, EffectClient, Plan};
use processor::{Verdict, derived};
use schemas::{@imports@};
use std::sync::Arc;

/// Name of the room.
pub const NAME: &str = "@room@";

/// The two pure functions around the call.
pub struct @Type@;

impl Effect for @Type@ {
    type Input = @Input@;
    type Output = @Output@;
    type Tables = ();
    type Request = Notice;
    type Response = Accepted;

    fn prior_key(&self, _input: &@Input@) -> Option<String> {
        None
    }

    fn plan(&self, input: &@Input@, _prior: Option<&@Output@>, _tables: &()) -> Plan<Notice, @Output@> {
        let meta = &input.meta;
        Plan::Act(Action {
            effect_key: format!("{NAME}/{}/{}", meta.business_key, meta.revision),
            target: NAME.to_owned(),
            batch_key: None,
            request: Notice { event_id: meta.event_id.clone(), action: meta.action },
        })
    }

    fn settle(&self, input: &@Input@, _request: &Notice, _response: &Accepted) -> Verdict<@Output@> {
        Verdict::emit(@Output@ { meta: derived::<@Output@>(input, NAME), ..@Output@::default() })
    }

    fn output_key(&self, output: &@Output@) -> String {
        output.meta.business_key.clone()
    }
}

/// The room, for a process.
#[must_use]
pub fn room() -> runtime::Room {
    let info = runtime::RoomInfo::of_effect::<@Type@>(NAME, "Tells a service outside about every @reads@.");
    runtime::Room::effect(info, |config| {
        let client = Client::new(&config.room(NAME)?).map_err(|error| runtime::RoomError::Room(error.to_string()))?;
        Ok((@Type@, Arc::new(client) as Arc<dyn EffectClient<Notice, Accepted>>))
    })
    .configured(|_: &@Type@Config, _| Ok(()))
}
