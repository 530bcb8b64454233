//! Why a usage is not enriched, with its codes.

use processor::{Code, Reason, Subject, Verdict};
use schemas::Topic;
use std::collections::BTreeSet;

/// The item is not in the item master.
pub(crate) const ITEM_GONE: Code = Code::new("WL-4051");
/// The location is not in the location master.
pub(crate) const LOCATION_GONE: Code = Code::new("WL-4052");
/// Nothing says from which stock the place draws.
pub(crate) const NO_STOCK_LOCATION: Code = Code::new("WL-4053");
/// Nothing says who pays.
pub(crate) const NO_COST_CENTRE: Code = Code::new("WL-4054");
/// Who would pay was not valid on the day of use.
pub(crate) const COST_CENTRE_NOT_VALID: Code = Code::new("WL-4055");
/// Several would pay.
pub(crate) const COST_CENTRE_AMBIGUOUS: Code = Code::new("WL-4056");
/// The supplier of the item is not in the supplier master.
pub(crate) const SUPPLIER_UNKNOWN: Code = Code::new("WL-4057");
/// Price times quantity has too many digits.
pub(crate) const AMOUNT_UNFIT: Code = Code::new("WL-4058");
/// The item has no price.
pub(crate) const PRICE_MISSING: Code = Code::new("WL-4059");
/// The performer is not in the employee master, or was not employed.
pub(crate) const PERFORMER_UNKNOWN: Code = Code::new("WL-4060");

/// Why a usage does not go on.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A master record is missing that may still come.
    Wait(Reason),
    /// A person must look.
    Reject(Reason),
}

impl Refusal {
    /// As the verdict that the runtime acts on.
    pub(crate) fn into_verdict<O>(self) -> Verdict<O> {
        match self {
            Self::Wait(reason) => Verdict::Wait(reason),
            Self::Reject(reason) => Verdict::Reject(reason),
        }
    }
}

/// Something is not there yet. Without a subject nothing can end the waiting, so a person must look.
pub(crate) fn missing(
    code: Code,
    rule: &'static str,
    message: &str,
    path: &str,
    subjects: Vec<Subject>,
) -> Box<Refusal> {
    let hopeless = subjects.is_empty();
    let reason = explain(code, rule, message, path, subjects);
    Box::new(if hopeless { Refusal::Reject(reason) } else { Refusal::Wait(reason) })
}

/// Something is wrong that a person must mend.
pub(crate) fn wrong(code: Code, rule: &'static str, message: &str, path: &str, subjects: Vec<Subject>) -> Box<Refusal> {
    Box::new(Refusal::Reject(explain(code, rule, message, path, subjects)))
}

/// A record of a master topic.
pub(crate) fn subject<T>(topic: Topic<T>, key: &str) -> Subject {
    Subject::new(topic.name(), key)
}

fn explain(code: Code, rule: &'static str, message: &str, path: &str, subjects: Vec<Subject>) -> Reason {
    let fix = match code {
        ITEM_GONE | LOCATION_GONE | SUPPLIER_UNKNOWN => "restore the record in the ERP, or correct what names it",
        NO_STOCK_LOCATION => "give the location, or the one above it, its stock location in the ERP",
        NO_COST_CENTRE => "give the department or the location its cost centre in the ERP",
        COST_CENTRE_NOT_VALID => "correct the validity of the cost centre, or assign the department to its successor",
        COST_CENTRE_AMBIGUOUS => "leave the department with one cost centre for each day",
        PRICE_MISSING => "give the item a price in the ERP",
        // What its source sends again waits behind it, and a retry would be refused again.
        _ => {
            "correct the price in the ERP; if the quantity is wrong, correct baseQuantity with `wardline exceptions correct`, or send it \
             again at the source and discard this one"
        }
    };
    let reason = Reason::new(code, rule, message).at(path).fix(fix);
    let subjects: BTreeSet<Subject> = subjects.into_iter().collect();
    subjects.into_iter().fold(reason, Reason::until)
}
