//! What cost centres are called, and whom they pay for: a controller knows them by that.

use super::collect::CollectError;
use super::run::Report;
use runtime::codec::{Codec, WireError};
use runtime::reader::Range;
use runtime::readers::Readers;
use schemas::{MasterCostCenter, topics};
use std::collections::HashMap;
use std::ops::ControlFlow;
use tokio::runtime::Handle;

/// Cost centres whose names are held; a hospital has some hundreds (BND-1).
const CENTRES_MAX: usize = 100_000;

/// Name and departments by the id of the cost centre.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_id: HashMap<String, Named>,
}

#[derive(Debug)]
struct Named {
    name: String,
    departments: Vec<String>,
}

impl Names {
    /// Reads the master data of now. Blocks.
    pub fn read(readers: &Readers, codec: &Codec, handle: &Handle) -> Result<Self, CollectError> {
        let (mut names, mut failed) = (Self::default(), None);
        readers.read_range(&Range::all(topics::MASTER_COST_CENTER_V1.name()), |record| {
            let key = record.key_text().into_owned();
            match record.value.as_deref().map(|value| decoded(codec, handle, value)) {
                None => drop(names.by_id.remove(&key)),
                Some(Ok(centre)) => names.take(centre),
                // A record that cannot be read names nobody; its readers say so.
                Some(Err(error)) if error.blames_record() => {}
                Some(Err(error)) => failed = Some(error),
            }
            if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        failed.map_or(Ok(names), |error| Err(error.into()))
    }

    fn take(&mut self, centre: MasterCostCenter) {
        let MasterCostCenter { cost_centre_id, name, departments, .. } = centre;
        if self.by_id.len() < CENTRES_MAX || self.by_id.contains_key(&cost_centre_id) {
            self.by_id.insert(cost_centre_id, Named { name, departments });
        }
    }

    /// Writes them into the rows of a report.
    pub fn into_report(self, report: &mut Report) {
        let of = |id: &str| self.by_id.get(id).map(|named| (named.name.clone(), named.departments.clone()));
        for row in &mut report.postings {
            row.name = of(&row.cost_centre).map(|(name, _)| name).unwrap_or_default();
        }
        for row in &mut report.cost_centres {
            (row.name, row.departments) = of(&row.cost_centre).unwrap_or_default();
        }
    }
}

fn decoded(codec: &Codec, handle: &Handle, value: &[u8]) -> Result<MasterCostCenter, WireError> {
    let (writer, body) = match codec.open_cached(value)? {
        Some(opened) => opened,
        None => handle.block_on(codec.open(value))?,
    };
    Ok(schemas::codec::decode(&writer, body)?)
}
