//! Tells suppliers about the use of their stock, about orders and about receipts, by signed webhooks.
//!
//! ```text
//! enriched usage {consigned, supplierId: V-300, lot: L1, baseQuantity: 1, occurredAt: 09:48:30}  +  profile V-300 {url, secret}
//!     -> POST url {type: consignment-usage, item, lot: L1, quantity: 1, usedAt: 09:00}  -> supplier notice {DELIVERED}
//! ```
//! A notice holds nothing about a patient: no reference, no place of care, the time cut to the hour (PHI-1).
//!
//! Kafka cannot make a call outside exactly once. The effect record, the idempotency key in every request and the look-up
//! before any retry of an unknown outcome make it once here (FX-1), for suppliers that honour the key.

mod client;
mod config;
mod input;
mod notice;
mod reasons;
mod signature;

pub use client::{Answer, WebhookClient};
pub use config::{FanoutConfig, Profile, Wanted};
pub use input::FanoutInput;
pub use notice::Notice;
pub use signature::Signer;

use config::Profiles;
use connector::effect::{Action, Effect, Foreseen, Plan};
use processor::{Binder, Reason, Subject, Table, Tables, Verdict, derived, is_newer};
use reasons::{NO_NOTICE, SUPPLIER_CHANGED, SUPPLIER_UNKNOWN};
use runtime::{ConfigError, Room, RoomInfo};
use schemas::{EventMeta, MasterSupplier, NoticeState, Precision, SupplierNotice, Timestamp, topics};
use std::sync::Arc;

/// Name of the room.
pub const NAME: &str = "supplier-fanout";

/// How the names of targets begin; that of the profile follows.
const TARGET: &str = "supplier/";

/// What a plan of this room is.
type NoticePlan = Plan<Notice, SupplierNotice>;

/// The two pure functions of the room.
pub struct SupplierFanout {
    profiles: Profiles,
}

/// The master data of the room.
pub struct FanoutTables {
    /// Suppliers, by supplier id.
    pub suppliers: Table<MasterSupplier>,
}

impl Tables for FanoutTables {
    fn bind(binder: &mut Binder) -> Self {
        Self { suppliers: binder.table(topics::MASTER_SUPPLIER_V1, &[]) }
    }
}

impl SupplierFanout {
    /// The room's functions for these suppliers.
    #[must_use]
    pub fn new(config: &FanoutConfig) -> Self {
        Self { profiles: Profiles::new(config) }
    }

    /// The name of the profile of a supplier, or what is to be done without one.
    fn profile(&self, supplier_id: &str, tables: &FanoutTables) -> Result<String, Box<NoticePlan>> {
        if self.profiles.get(supplier_id).is_some() {
            return Ok(supplier_id.to_owned());
        }
        let Some(supplier) = tables.suppliers.get(supplier_id) else {
            let message = format!("supplier {supplier_id} is not in the supplier master");
            let reason = Reason::new(SUPPLIER_UNKNOWN, "supplier.unknown", message)
                .at("supplierId")
                .until(Subject::new(topics::MASTER_SUPPLIER_V1.name(), supplier_id))
                .fix("restore the supplier in the ERP, or correct the record that names it");
            return Err(Box::new(Plan::Decided(Verdict::Wait(reason))));
        };
        let by_gln = supplier.gln.as_deref().filter(|gln| self.profiles.get(gln).is_some());
        by_gln.map(str::to_owned).ok_or_else(|| {
            let message = format!("supplier {supplier_id} has no profile in rooms.supplier-fanout.profiles");
            none_due("supplier.no-profile", message)
        })
    }
}

impl Effect for SupplierFanout {
    type Input = FanoutInput;
    type Output = SupplierNotice;
    type Tables = FanoutTables;
    type Request = Notice;
    type Response = Answer;

    /// What a supplier knows is never replaced by something older, whatever comes late.
    fn prior_key(&self, input: &FanoutInput) -> Option<String> {
        Some(notice_key(input))
    }

    fn needs_prior(&self, input: &FanoutInput) -> bool {
        input.corrects()
    }

    fn plan(&self, input: &FanoutInput, prior: Option<&SupplierNotice>, tables: &FanoutTables) -> NoticePlan {
        let planned = self.planned(input, prior, tables);
        planned.unwrap_or_else(|decided| *decided)
    }

    /// What was said last is known also when nobody is told, with what was told before: else what it corrects would be told for good
    /// when it comes late. What nothing came before costs nothing.
    fn stated(&self, input: &FanoutInput, prior: Option<&SupplierNotice>) -> Option<SupplierNotice> {
        input.follows().then(|| {
            let known = prior.cloned().unwrap_or_default();
            SupplierNotice { meta: envelope(input, &known), state: NoticeState::Unknown, ..known }
        })
    }

    fn settle(&self, input: &FanoutInput, request: &Notice, response: &Answer) -> Verdict<SupplierNotice> {
        Verdict::emit(SupplierNotice {
            meta: envelope(input, &request.told),
            notice_id: response.key.clone(),
            state: NoticeState::Delivered,
            response_status: Some(i32::from(response.status)),
            ..request.told.clone()
        })
    }

    fn rehearse(&self, input: &FanoutInput, request: &Notice) -> Vec<SupplierNotice> {
        vec![SupplierNotice {
            meta: envelope(input, &request.told),
            state: NoticeState::Delivered,
            ..request.told.clone()
        }]
    }

    fn answered() -> &'static [&'static str] {
        &["noticeId", "responseStatus", "attempts"]
    }

    fn output_key(&self, output: &SupplierNotice) -> String {
        output.meta.business_key.clone()
    }

    /// Whether its supplier wants a notice stands in the profiles, so this says at most too much.
    fn foresee(input: &FanoutInput) -> Option<Foreseen> {
        let acts = input.corrects() || input.supplier_id().is_some();
        Some(Foreseen { identity: identity(input), acts })
    }
}

impl SupplierFanout {
    fn planned(
        &self,
        input: &FanoutInput,
        prior: Option<&SupplierNotice>,
        tables: &FanoutTables,
    ) -> Result<NoticePlan, Box<NoticePlan>> {
        let is_late = |prior: &&SupplierNotice| !is_newer(input.meta(), &prior.meta) && !is_said_again(input, prior);
        if let Some(prior) = prior.filter(is_late) {
            return Err(Box::new(late(input, prior)));
        }
        let prior = prior.filter(|before| builds_on(input, before));
        if let Some(reason) = prior.and_then(|before| taken_back_elsewhere(input, before)) {
            return Err(Box::new(Plan::Decided(Verdict::Reject(reason))));
        }
        let supplier_id = match (input.supplier_id(), prior) {
            (Some(now), Some(before)) if before.supplier_id != now => {
                return Err(Box::new(Plan::Decided(Verdict::Reject(changed(&before.supplier_id, now)))));
            }
            (Some(now), _) => now,
            // What is taken back, or names nothing any more: whoever was told is told again.
            (None, Some(before)) => before.supplier_id.as_str(),
            (None, None) if input.takes_back() => {
                return Err(none_due("notice.nothing-told", "the supplier was never told of it".to_owned()));
            }
            (None, None) => return Err(none_due("supplier.none", "no supplier is named".to_owned())),
        };
        let name = self.profile(supplier_id, tables)?;
        let Some(profile) = self.profiles.get(&name) else {
            return Err(none_due("supplier.no-profile", format!("supplier {supplier_id} has no profile")));
        };
        let told = notice::told(input, prior, supplier_id, profile).map_err(|(rule, why)| none_due(rule, why))?;
        if input.meta().correction > 0 && prior.is_some_and(|prior| notice::says_the_same(prior, &told)) {
            return Err(none_due("notice.unchanged", "the supplier was told the same".to_owned()));
        }
        if prior.is_none() && !profile.wants(told.kind) {
            let message = format!("supplier {supplier_id} does not want notices of this kind");
            return Err(none_due("notice.not-wanted", message));
        }
        Ok(Plan::Act(Action {
            effect_key: effect_key(input, supplier_id),
            target: format!("{TARGET}{name}"),
            batch_key: None,
            request: Notice { body: notice::body(input, &told, &reference(input)), profile: name, told },
        }))
    }
}

/// The room, for a process.
#[must_use]
pub fn room() -> Room {
    let purpose = "Tells suppliers about the use of their stock, orders and receipts, by signed webhooks.";
    Room::effect(RoomInfo::of_effect::<SupplierFanout>(NAME, purpose), |config| {
        let own: FanoutConfig = config.room(NAME)?;
        let refused = |reason: String| ConfigError::Room { room: NAME.to_owned(), reason };
        own.validate().map_err(refused)?;
        let client = WebhookClient::new(&own, runtime::clock::now_micros).map_err(refused)?;
        Ok((SupplierFanout::new(&own), Arc::new(client) as Arc<_>))
    })
    .configured(|own: &FanoutConfig, _| own.validate())
}

/// The number under which a supplier knows a fact, the same for all its revisions. The business key holds the pseudonym of
/// a visit and stays inside; this is a one-way name of it.
fn reference(input: &FanoutInput) -> String {
    schemas::identity::event_id(NAME, &input.meta().business_key, "0", "reference")
}

/// Business key and revision of a fact, with the number of the correction if it was made anew.
fn identity(input: &FanoutInput) -> String {
    let meta = input.meta();
    format!("{}@{}", meta.business_key, processor::statement(meta))
}

fn effect_key(input: &FanoutInput, supplier_id: &str) -> String {
    format!("{}>{supplier_id}", identity(input))
}

fn notice_key(input: &FanoutInput) -> String {
    format!("notice/{}", reference(input))
}

/// The envelope of a notice: nothing of a patient is in its key or its times. Its action is what the supplier was told: a use
/// that is corrected to no use of the supplier's stock is void there.
fn envelope(input: &FanoutInput, told: &SupplierNotice) -> EventMeta {
    let derived = match input {
        FanoutInput::Usage(usage) => derived::<SupplierNotice>(usage.as_ref(), NAME),
        FanoutInput::Order(order) => derived::<SupplierNotice>(order.as_ref(), NAME),
        FanoutInput::Receipt(receipt) => derived::<SupplierNotice>(receipt.as_ref(), NAME),
    };
    EventMeta {
        business_key: notice_key(input),
        action: told.meta.action,
        occurred_at: derived.occurred_at.map(Timestamp::hour),
        recorded_at: derived.recorded_at.hour(),
        published_at: derived.published_at.hour(),
        occurred_precision: Precision::Hour,
        nulled_fields: Vec::new(),
        warnings: Vec::new(),
        ..derived
    }
}

/// Whether the same event was dropped before. It is planned again: profiles may have changed.
fn is_said_again(input: &FanoutInput, before: &SupplierNotice) -> bool {
    before.state == NoticeState::Unknown && before.meta.event_id == envelope(input, before).event_id
}

/// Whether what is told depends on what was told before. Orders and receipts say everything anew; and whoever was told that a use
/// is void need not hear of it again when it turns out to concern another supplier. Of what was only stated nobody was told.
fn builds_on(input: &FanoutInput, before: &SupplierNotice) -> bool {
    let is_other = input.supplier_id().is_some_and(|now| now != before.supplier_id);
    let was_told = !before.supplier_id.is_empty();
    was_told && matches!(input, FanoutInput::Usage(_)) && !(is_other && notice::is_void(before))
}

/// What becomes of a statement that is not newer than what was told.
fn late(input: &FanoutInput, prior: &SupplierNotice) -> NoticePlan {
    let message = "this statement or a newer one was there before".to_owned();
    Plan::Late {
        effect_key: effect_key(input, input.supplier_id().unwrap_or(&prior.supplier_id)),
        verdict: Verdict::Drop(Reason::new(NO_NOTICE, "notice.overtaken", message)),
    }
}

/// No notice is due, by a named rule.
fn none_due(rule: &'static str, message: String) -> Box<NoticePlan> {
    Box::new(Plan::Decided(Verdict::Drop(Reason::new(NO_NOTICE, rule, message))))
}

/// Why a person has to see to what is taken back: between it and what was told a statement is missing that may have named the other
/// supplier, and a person may have told both of that one.
fn taken_back_elsewhere(input: &FanoutInput, before: &SupplierNotice) -> Option<Reason> {
    let other = input.names().filter(|now| input.takes_back() && *now != before.supplier_id)?;
    let told = &before.supplier_id;
    let follows = before.meta.revision.saturating_add(1) >= input.meta().revision;
    (!follows).then(|| {
        let message = format!(
            "supplier {told} was told of a use that is taken back, and meanwhile it may have concerned {other}"
        );
        Reason::new(SUPPLIER_CHANGED, "supplier.changed", message).at("supplierId").fix(format!(
            "tell {told} and {other}, each if it still counts on the use, that it is void; then discard this exception"
        ))
    })
}

fn changed(before: &str, now: &str) -> Reason {
    let message = format!("supplier {before} was told of a use that, as corrected, concerns supplier {now}");
    Reason::new(SUPPLIER_CHANGED, "supplier.changed", message).at("supplierId").fix(format!(
        "tell supplier {before} that its notice is void and {now} about the use; then discard this exception"
    ))
}
