//! Two small rooms whose behaviour each event tells: a processor, and an effect room behind it.

use super::erp::{Answer, Line};
use connector::effect::{Action, Effect, Plan};
use processor::{Binder, Code as ReasonCode, Processor, Reason, Subject, Table, Tables, Verdict, derived};
use schemas::{Code, ErpPosting, EventMeta, MasterItem, PostingKind, SupplyUsage, ValidatedUsage, topics};
use schemas::{Decimal, Event as _};

/// Name and group of the processor.
pub(crate) const VALIDATE: &str = "sim-validate";
/// Name and group of the effect room.
pub(crate) const POST: &str = "sim-post";

const TOLD: ReasonCode = ReasonCode::new("WL-4001");

/// What the processor makes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// One output.
    Emit,
    /// Nothing, by a rule.
    Drop,
    /// Waits for the item of the event.
    Wait,
    /// Is wrong until the item of the event is there; a person sees to it.
    Reject,
    /// Cannot be decoded.
    Garbage,
}

/// What the effect room makes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    /// Posts it in a document of its own.
    Post,
    /// Posts it in a document that it may share.
    PostShared,
    /// Posts it; the ERP refuses it until a person has seen to it.
    Refused,
    /// Needs nothing outside.
    Decide,
    /// Leaves it out.
    Drop,
    /// Is wrong for good.
    Reject,
}

impl Says {
    pub const ALL: [Self; 5] = [Self::Emit, Self::Drop, Self::Wait, Self::Reject, Self::Garbage];

    pub fn word(self) -> &'static str {
        match self {
            Self::Emit => "emit",
            Self::Drop => "drop",
            Self::Wait => "wait",
            Self::Reject => "reject",
            Self::Garbage => "garbage",
        }
    }
}

impl Does {
    pub const ALL: [Self; 6] = [Self::Post, Self::PostShared, Self::Refused, Self::Decide, Self::Drop, Self::Reject];

    pub fn word(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::PostShared => "post-shared",
            Self::Refused => "refused",
            Self::Decide => "decide",
            Self::Drop => "drop",
            Self::Reject => "reject",
        }
    }
}

/// One event of the story.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub id: String,
    pub key: String,
    pub business_key: String,
    pub revision: i32,
    pub quantity: i64,
    pub item: String,
    pub says: Says,
    pub does: Does,
}

impl Told {
    /// The event itself.
    pub fn usage(&self) -> SupplyUsage {
        let meta = EventMeta {
            event_id: self.id.clone(),
            business_key: self.business_key.clone(),
            revision: self.revision,
            ..EventMeta::default()
        };
        SupplyUsage {
            meta,
            encounter_ref: self.key.clone(),
            item_ref: Some(Code { code: self.item.clone(), ..Code::default() }),
            quantity: Decimal::from(self.quantity),
            // A direct identifier where only the event may have it.
            department: Some(super::cluster::NAME.to_owned()),
            order_refs: vec![self.says.word().to_owned(), self.does.word().to_owned()],
            ..SupplyUsage::default()
        }
    }
}

/// The table of the processor.
pub(crate) struct Items(Table<MasterItem>);

impl Tables for Items {
    fn bind(binder: &mut Binder) -> Self {
        Self(binder.table(topics::MASTER_ITEM_V1, &[]))
    }
}

/// The processor.
pub(crate) struct Validate;

impl Processor for Validate {
    type Input = SupplyUsage;
    type Output = ValidatedUsage;
    type Tables = Items;

    fn process(&self, usage: SupplyUsage, tables: &Items) -> Verdict<ValidatedUsage> {
        let item = usage.item_ref.as_ref().map(|item| item.code.clone()).unwrap_or_default();
        let is_there = tables.0.get(&item).is_some();
        let reason = |rule| Reason::new(TOLD, rule, "the story says so");
        match usage.order_refs.first().map(String::as_str) {
            Some("drop") => Verdict::Drop(reason("drop")),
            Some("wait") if !is_there => {
                Verdict::Wait(reason("wait").until(Subject::new(MasterItem::topic().name, item)))
            }
            Some("reject") if !is_there => Verdict::Reject(reason("reject")),
            _ => Verdict::emit(ValidatedUsage {
                meta: derived::<ValidatedUsage>(&usage, VALIDATE),
                encounter_ref: usage.encounter_ref,
                item_ref: usage.item_ref,
                quantity: usage.quantity,
                department: usage.department,
                order_refs: usage.order_refs,
                ..ValidatedUsage::default()
            }),
        }
    }
}

/// The effect room.
pub(crate) struct Post;

impl Effect for Post {
    type Input = ValidatedUsage;
    type Output = ErpPosting;
    type Tables = ();
    type Request = Line;
    type Response = Answer;

    fn prior_key(&self, usage: &ValidatedUsage) -> Option<String> {
        Some(usage.meta.business_key.clone())
    }

    fn needs_prior(&self, usage: &ValidatedUsage) -> bool {
        usage.meta.revision > 0
    }

    fn plan(&self, usage: &ValidatedUsage, prior: Option<&ErpPosting>, _tables: &()) -> Plan<Line, ErpPosting> {
        let reason = |rule| Reason::new(TOLD, rule, "the story says so");
        let does = usage.order_refs.get(1).map(String::as_str);
        let posted = prior.map_or(Decimal::ZERO, |posting| posting.total_quantity);
        if prior.is_some_and(|posting| posting.revision >= usage.meta.revision) {
            return Plan::Late { effect_key: effect_key(&usage.meta), verdict: Verdict::Drop(reason("late")) };
        }
        match does {
            Some("drop") => Plan::Decided(Verdict::Drop(reason("drop"))),
            Some("reject") => Plan::Decided(Verdict::Reject(reason("reject"))),
            Some("decide") => Plan::Decided(Verdict::emit(posting(usage, Decimal::ZERO, posted))),
            _ => Plan::Act(Action {
                effect_key: effect_key(&usage.meta),
                target: "erp".to_owned(),
                batch_key: (does == Some("post-shared")).then(|| "shared".to_owned()),
                request: Line {
                    effect_key: effect_key(&usage.meta),
                    key: usage.encounter_ref.clone(),
                    business_key: usage.meta.business_key.clone(),
                    event: usage.meta.source.message_id.clone(),
                    quantity: usage.quantity - posted,
                    refused_until: (does == Some("refused"))
                        .then(|| usage.item_ref.as_ref().map(|item| item.code.clone()).unwrap_or_default()),
                },
            }),
        }
    }

    fn settle(&self, usage: &ValidatedUsage, line: &Line, _answer: &Answer) -> Verdict<ErpPosting> {
        Verdict::emit(posting(usage, line.quantity, usage.quantity))
    }

    fn output_key(&self, posting: &ErpPosting) -> String {
        posting.business_key.clone()
    }
}

/// Identity of the effect of an event.
pub(crate) fn effect_key(meta: &EventMeta) -> String {
    format!("{}|{}", meta.business_key, meta.revision)
}

fn posting(usage: &ValidatedUsage, quantity: Decimal, total: Decimal) -> ErpPosting {
    ErpPosting {
        meta: derived::<ErpPosting>(usage, POST),
        effect_key: effect_key(&usage.meta),
        encounter_ref: usage.encounter_ref.clone(),
        business_key: usage.meta.business_key.clone(),
        revision: usage.meta.revision,
        kind: PostingKind::default(),
        quantity,
        total_quantity: total,
        ..ErpPosting::default()
    }
}
