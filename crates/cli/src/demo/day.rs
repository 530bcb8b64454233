//! What is sent on the day, made from its date alone.

use super::{fhir, hl7, story};
use crate::Failure;
use crate::args::Demo;
use components::Hospital;
use hl7v2::mapping::content_hash;
use hl7v2::mllp::MAX_FRAME_BYTES;
use hl7v2::parser::{PieceKind, split};
use jiff::civil::Date;
use runtime::clock;
use serde_json::Value;
use std::collections::BTreeSet;

/// Resources that the FHIR connector makes a receipt of.
const FOLLOWED: [&str; 6] = ["Encounter", "Procedure", "Device", "DeviceUseStatement", "SupplyDelivery", "ChargeItem"];

/// What is sent on the day.
pub struct Day {
    /// The day.
    pub date: Date,
    /// HL7 v2 messages, one list per connection.
    pub lists: Vec<Vec<hl7::Message>>,
    /// FHIR resources, in the order in which they are put.
    pub resources: Vec<Value>,
    /// Items of the hospital.
    pub items: usize,
    /// Codes of the locations that have stock.
    pub stock_locations: BTreeSet<String>,
}

impl Day {
    /// The day that the options name: the same day has the same messages.
    pub fn of(options: &Demo) -> Result<Self, Failure> {
        let hospital = Hospital::load().map_err(|error| Failure::new(error, "report this as a defect"))?;
        let date = match &options.day {
            Some(text) => text.parse::<Date>().map_err(|error| {
                Failure::usage(format!("WL-7066: {text} is not a day: {error}"), "write it like 2026-03-01")
            })?,
            // Yesterday: it is over, so no event of it lies in the future.
            None => schemas::Timestamp(clock::now_micros())
                .date()
                .to_civil()
                .unwrap_or_default()
                .yesterday()
                .unwrap_or_default(),
        };
        let mut lists = vec![Vec::new(); options.connections.max(1)];
        for stay in story::stays(&hospital, date, options.stays) {
            let place = stay.number % lists.len();
            if let Some(list) = lists.get_mut(place) {
                list.extend(hl7::messages(&stay, date));
            }
        }
        if let Some(list) = lists.first_mut() {
            list.push(hl7::not_a_message());
        }
        Ok(Self {
            date,
            lists,
            resources: fhir::resources(&hospital, date, options.fhir_stays),
            items: hospital.items.len(),
            stock_locations: hospital.locations.iter().map(|location| location.code.clone()).collect(),
        })
    }

    /// All HL7 v2 messages.
    pub fn messages(&self) -> impl Iterator<Item = &hl7::Message> {
        self.lists.iter().flatten()
    }

    /// The HL7 v2 messages as one file of text; those in other character sets are left out.
    pub fn file(&self) -> Vec<u8> {
        let is_text = |message: &&hl7::Message| std::str::from_utf8(&message.bytes).is_ok();
        let messages = self.messages().filter(|message| !message.control_id.is_empty()).filter(is_text);
        messages.flat_map(|message| [&message.bytes[..], b"\n"].concat()).collect()
    }

    /// Control id of a message that charges something.
    pub fn example(&self) -> Option<&str> {
        let charges = |message: &&hl7::Message| message.bytes.windows(4).any(|window| window == b"|DFT");
        self.messages().find(charges).map(|message| message.control_id.as_str())
    }

    /// What the connector calls the content of each message.
    pub fn hashes(&self) -> BTreeSet<String> {
        self.messages().flat_map(|message| hashes(&message.bytes)).collect()
    }

    /// Names of the resources that the FHIR connector follows.
    pub fn followed(&self) -> BTreeSet<String> {
        let followed = |resource: &&Value| {
            let kind = resource.get("resourceType").and_then(Value::as_str).unwrap_or_default();
            FOLLOWED.contains(&kind)
        };
        self.resources.iter().filter(followed).map(fhir::name).collect()
    }
}

/// What the connector calls the content of a frame: one message, whose line end belongs to the framing of segments.
fn hashes(frame: &[u8]) -> Vec<String> {
    let pieces = split(frame, MAX_FRAME_BYTES);
    pieces.iter().filter(|piece| piece.kind != PieceKind::Empty).map(|piece| content_hash(&piece.bytes)).collect()
}
