//! Where the groups of all rooms stand, read at the same time.

use crate::problem::Problem;
use crate::state::Site;
use operations::groups::{self, GroupStanding};
use runtime::{Config, RoomInfo, RoomKind, clock};
use serde::Serialize;
use std::sync::Arc;

/// The groups of the rooms that read.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Groups {
    /// When it was read, microseconds since 1970.
    pub at: i64,
    /// In the order in which an event meets the rooms.
    pub groups: Vec<RoomGroup>,
}

/// The group of a room.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomGroup {
    /// The room.
    pub room: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Where its group stands.
    pub standing: Option<GroupStanding>,
    /// Why that is not known.
    pub unknown: Option<String>,
}

impl RoomGroup {
    /// Where the room itself stands, when it runs in this process.
    pub fn state_here(&self, site: &Site) -> Option<&'static str> {
        site.health.as_ref()?.states().get(self.room).map(runtime::health::RoomState::name)
    }
}

/// Reads all of them. One that cannot be read says why and hides no other.
///
/// # Errors
/// When a reading panics.
pub async fn read(config: Arc<Config>, rooms: Vec<RoomInfo>) -> Result<Groups, Problem> {
    let ask = |room: RoomInfo| {
        let config = Arc::clone(&config);
        tokio::task::spawn_blocking(move || {
            let standing = groups::standing(&config, &room);
            (room, standing)
        })
    };
    let readers = rooms.into_iter().filter(|room| room.kind != RoomKind::Source);
    let asked: Vec<_> = readers.map(ask).collect();
    let mut groups = Vec::with_capacity(asked.len());
    for asked in asked {
        let (room, standing) = asked.await.map_err(|error| Problem::defect(&error.to_string()))?;
        let (standing, unknown) = match standing {
            Ok(standing) => (Some(standing), None),
            Err(error) => (None, Some(error.to_string())),
        };
        groups.push(RoomGroup { room: room.name, purpose: room.purpose, standing, unknown });
    }
    Ok(Groups { at: clock::now_micros(), groups })
}
