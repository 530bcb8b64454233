//! From a usage and what is posted already to what is to be posted now.
//!
//! The event says what should be held in the ERP; the prior output says what is. The difference is posted: nothing, one
//! movement, or two when the article or the place has changed.

use crate::request::{Held, Move, Request, Response};
use crate::{ErpPostConfig, NAME};
use connector::effect::{Action as Act, Foreseen, Plan};
use connector::erp::Direction;
use processor::{Code, Reason, Verdict, day_of, derived, is_newer, statement};
use rust_decimal::Decimal;
use schemas::{Action, Date, EnrichedUsage, ErpPosting, Event, EventMeta, PostingKind, UsageKind, identity};

/// Decimal places of an amount in the contract.
const AMOUNT_PLACES: u32 = 4;

/// The usage lacks what the ERP must know.
pub(crate) const INCOMPLETE: Code = Code::new("WL-5011");
/// A later revision is posted already.
pub(crate) const OVERTAKEN: Code = Code::new("WL-5012");

/// A use was taken back and is stated again.
pub(crate) const SAID_AGAIN: Code = Code::new("WL-5013");

/// Decides what to do about a usage.
pub(crate) fn plan(
    config: &ErpPostConfig,
    usage: &EnrichedUsage,
    prior: Option<&ErpPosting>,
) -> Plan<Request, ErpPosting> {
    if let Some(prior) = prior.filter(|prior| !is_newer(&usage.meta, &stated(prior))) {
        return late(usage, prior);
    }
    let posted = prior.map_or(Decimal::ZERO, |prior| prior.total_quantity);
    let wanted = match wanted(usage) {
        Ok(wanted) => wanted,
        Err(reason) => return Plan::Decided(Verdict::Reject(*reason)),
    };
    let before = prior.map(Held::of_posting).unwrap_or_default();
    let (held, total) = wanted.unwrap_or((before.clone(), Decimal::ZERO));
    let day = day_of(&usage.meta);
    let moves = moves(config, (&before, posted), (&held, total), day);
    let kind = match (is_taken_back(usage), prior) {
        _ if moves.is_empty() => PostingKind::NoneNeeded,
        (true, _) => PostingKind::Retracted,
        (false, Some(_)) => PostingKind::Corrected,
        (false, None) => PostingKind::Posted,
    };
    let request = Request { kind, moves, held, total };
    if request.moves.is_empty() {
        return Plan::Decided(Verdict::emit(output(config, usage, &request)));
    }
    let alone = request.moves.len() > 1 || !config.batch;
    Plan::Act(Act {
        effect_key: effect_key(usage),
        target: config.instance().to_owned(),
        batch_key: request.moves.first().filter(|_| !alone).map(Move::batch_key),
        request,
    })
}

/// What becomes of a statement that is not newer than what is posted. A use that is stated again after it was taken back is
/// neither a repetition nor late, and HL7 v2 has no number that would tell it from either: a person has to look.
fn late(usage: &EnrichedUsage, prior: &ErpPosting) -> Plan<Request, ErpPosting> {
    // One message may take back and state again, so both may have one time.
    let is_said_again = matches!(prior.meta.action, Action::Cancel | Action::Retract)
        && !is_taken_back(usage)
        && usage.meta.recorded_at >= prior.meta.recorded_at;
    if is_said_again {
        return Plan::Decided(Verdict::Reject(said_again(prior)));
    }
    Plan::Late { effect_key: effect_key(usage), verdict: Verdict::Drop(overtaken(prior)) }
}

/// The event about a posting, without documents and cost, as if there had been no movement.
pub(crate) fn output(config: &ErpPostConfig, usage: &EnrichedUsage, request: &Request) -> ErpPosting {
    let mut meta = derived::<ErpPosting>(usage, NAME);
    meta.business_key = format!("posting/{}", usage.meta.business_key);
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let held = &request.held;
    ErpPosting {
        meta,
        effect_key: effect_key(usage),
        encounter_ref: usage.encounter_ref.clone(),
        business_key: usage.meta.business_key.clone(),
        revision: usage.meta.revision,
        kind: request.kind,
        item_id: text(&held.item).or_else(|| usage.item_id.clone()),
        lot: held.lot.clone(),
        serial: held.serial.clone(),
        from_location: text(&held.stock_location),
        total_quantity: request.total,
        uom: text(&held.uom),
        cost_centre_id: held.cost_centre.clone(),
        erp: config.instance().to_owned(),
        ..ErpPosting::default()
    }
}

/// One event for each movement. That about what is held now comes last, so that it is the one that a later correction
/// builds on; that about what was brought back has an id of its own.
pub(crate) fn outputs(
    config: &ErpPostConfig,
    usage: &EnrichedUsage,
    request: &Request,
    response: &Response,
) -> Vec<ErpPosting> {
    let mut outputs = Vec::new();
    for (index, part) in request.moves.iter().enumerate().rev() {
        let answer = response.parts.get(index).cloned().unwrap_or_default();
        let mut posting = output(config, usage, request);
        if index > 0 {
            let brought_back = Request { held: part.held.clone(), total: Decimal::ZERO, ..request.clone() };
            posting = output(config, usage, &brought_back);
            let event_type = schemas::event_type(ErpPosting::topic().name, None);
            posting.meta.event_id = identity::event_id(NAME, &usage.meta.event_id, &index.to_string(), &event_type);
            posting.meta.source.position = i32::try_from(index).unwrap_or(i32::MAX);
        }
        posting.quantity = part.signed();
        // The cost is the ERP's, so its currency is too, whatever the price of the usage is in. Without one there is no money.
        let money = answer.unit_cost.zip(answer.currency.or_else(|| config.currency.clone()));
        let (cost, currency) = money.unzip();
        posting.amount = cost.map(|cost| (cost * part.signed()).round_dp(AMOUNT_PLACES));
        posting.currency = currency;
        posting.documents = answer.documents;
        posting.attempts = 1;
        outputs.push(posting);
    }
    outputs
}

impl Held {
    fn of_posting(posting: &ErpPosting) -> Self {
        Self {
            item: posting.item_id.clone().unwrap_or_default(),
            lot: posting.lot.clone(),
            serial: posting.serial.clone(),
            stock_location: posting.from_location.clone().unwrap_or_default(),
            cost_centre: posting.cost_centre_id.clone(),
            uom: posting.uom.clone().unwrap_or_default(),
        }
    }
}

/// What the usage says of its posting by itself: a first statement that leaves nothing in the ERP is no posting, and what a
/// later one posts depends on what was posted before.
pub(crate) fn foreseen(usage: &EnrichedUsage) -> Foreseen {
    let holds = wanted(usage).is_ok_and(|wanted| wanted.is_some_and(|(_, total)| !total.is_zero()));
    Foreseen { identity: identity_of(usage), acts: holds || !is_first(usage) }
}

fn effect_key(usage: &EnrichedUsage) -> String {
    format!("{}/erp", identity_of(usage))
}

fn identity_of(usage: &EnrichedUsage) -> String {
    format!("{}/{}", usage.meta.business_key, statement(&usage.meta))
}

/// A first statement has nothing posted before it; everything else is about the difference to what is.
pub(crate) fn is_first(usage: &EnrichedUsage) -> bool {
    (usage.meta.revision, usage.meta.correction) == (0, 0) && usage.meta.action == Action::Create
}

/// Which statement of the usage a posting is about. Its envelope says the correction, the field the revision.
fn stated(posting: &ErpPosting) -> EventMeta {
    EventMeta { revision: posting.revision, correction: posting.meta.correction, ..EventMeta::default() }
}

fn is_taken_back(usage: &EnrichedUsage) -> bool {
    matches!(usage.meta.action, Action::Cancel | Action::Retract)
}

/// What should be held in the ERP, and how much; `None` for nothing: what was taken back, what belongs to the supplier (its
/// stock is not ours to move), and what came out of the patient.
fn wanted(usage: &EnrichedUsage) -> Result<Option<(Held, Decimal)>, Box<Reason>> {
    if is_taken_back(usage) || usage.consigned || usage.usage == UsageKind::Explanted {
        return Ok(None);
    }
    let needed = |value: &Option<String>, path: &'static str| value.clone().ok_or_else(|| Box::new(incomplete(path)));
    let held = Held {
        item: needed(&usage.item_id, "itemId")?,
        lot: usage.lot.clone(),
        serial: usage.serial.clone(),
        stock_location: needed(&usage.stock_location_id, "stockLocationId")?,
        cost_centre: usage.cost_centre_id.clone(),
        uom: needed(&usage.base_uom, "baseUom")?,
    };
    let quantity = usage.base_quantity.ok_or_else(|| Box::new(incomplete("baseQuantity")))?;
    Ok(Some((held, quantity)))
}

fn moves(config: &ErpPostConfig, before: (&Held, Decimal), after: (&Held, Decimal), day: Date) -> Vec<Move> {
    let step = |held: &Held, quantity: Decimal| {
        let direction = if quantity > Decimal::ZERO { Direction::Consume } else { Direction::Return };
        let use_location = config.use_location(&held.stock_location);
        Move { held: held.clone(), direction, use_location, day, quantity: quantity.abs().normalize() }
    };
    let ((old, posted), (new, total)) = (before, after);
    let steps =
        if old == new || posted.is_zero() { vec![(new, total - posted)] } else { vec![(new, total), (old, -posted)] };
    let steps = steps.into_iter().filter(|(_, quantity)| !quantity.is_zero());
    steps.map(|(held, quantity)| step(held, quantity)).collect()
}

fn incomplete(path: &'static str) -> Reason {
    Reason::new(INCOMPLETE, "usage.incomplete", format!("the usage has no {path}, so the ERP cannot be told"))
        .at(path)
        .fix("complete the master data that the enrichment needs, then retry")
}

fn said_again(prior: &ErpPosting) -> Reason {
    let retraction = statement(&stated(prior));
    let message = format!("the use is stated again after revision {retraction} took it back");
    Reason::new(SAID_AGAIN, "posting.said-again", message).at("meta.revision").fix(
        "If the item was used after all, book it in the ERP by hand, tell the supplier if it is theirs, and discard this; if this is an \
         old message, discard it.",
    )
}

fn overtaken(prior: &ErpPosting) -> Reason {
    let message = format!("revision {} is posted already", statement(&stated(prior)));
    Reason::new(OVERTAKEN, "posting.overtaken", message).at("meta.revision")
}
