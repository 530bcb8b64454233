//! What a hospital may decide about enriching.

use serde::{Deserialize, Serialize};

/// The block `rooms.enrich`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnrichConfig {
    /// A usage whose item has no price waits until it has one. Default `false`: it goes on without an amount.
    pub price_required: bool,
}
