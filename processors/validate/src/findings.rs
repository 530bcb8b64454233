//! What the checks found, and how a finding refuses a usage.

use crate::Policy;
use processor::{Code, Reason, Subject, Verdict};
use schemas::{Check, CheckResult};

/// No movement.
pub(crate) const QUANTITY_ZERO: Code = Code::new("WL-4001");
/// The article is not in the item master.
pub(crate) const ITEM_UNKNOWN: Code = Code::new("WL-4002");
/// Several items answer to what was sent.
pub(crate) const ITEM_AMBIGUOUS: Code = Code::new("WL-4003");
/// The usage names no article at all.
pub(crate) const ITEM_UNNAMED: Code = Code::new("WL-4004");
/// The item may not be used.
pub(crate) const ITEM_INACTIVE: Code = Code::new("WL-4005");
/// The place is not in the location master.
pub(crate) const LOCATION_UNKNOWN: Code = Code::new("WL-4006");
/// The usage names no place at all.
pub(crate) const LOCATION_UNNAMED: Code = Code::new("WL-4007");
/// The place is inactive or not valid on the day of use.
pub(crate) const LOCATION_INACTIVE: Code = Code::new("WL-4008");
/// Several places answer to what was sent.
pub(crate) const LOCATION_AMBIGUOUS: Code = Code::new("WL-4009");
/// The item requires a lot.
pub(crate) const LOT_MISSING: Code = Code::new("WL-4010");
/// The item requires a serial number.
pub(crate) const SERIAL_MISSING: Code = Code::new("WL-4011");
/// Used after its expiry date.
pub(crate) const EXPIRED: Code = Code::new("WL-4012");
/// More than anybody uses at once.
pub(crate) const QUANTITY_OVER: Code = Code::new("WL-4013");
/// The label's device identifier is none of the item's.
pub(crate) const UDI_NOT_OF_ITEM: Code = Code::new("WL-4014");
/// The label's device identifier is another item's.
pub(crate) const UDI_OF_OTHER: Code = Code::new("WL-4015");
/// No pack record for the unit.
pub(crate) const UNIT_UNKNOWN: Code = Code::new("WL-4016");
/// The converted quantity does not fit.
pub(crate) const QUANTITY_UNFIT: Code = Code::new("WL-4017");
/// A serial number stands for one piece.
pub(crate) const SERIAL_QUANTITY: Code = Code::new("WL-4018");
/// The label is that of a pack, the quantity was taken in base units.
pub(crate) const LABEL_OF_PACK: Code = Code::new("WL-4019");

/// People have mapped a code to something that is not in the master.
pub(crate) const MAPPED_TO_NOTHING: Code = Code::new("WL-7232");

/// Why a usage does not go on.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Left out by a named rule.
    Drop(Reason),
    /// A master record is missing that may still come.
    Wait(Reason),
    /// A person must look.
    Reject(Reason),
}

impl Refusal {
    /// It also ends with a change of this, where it is one that ends.
    pub(crate) fn until(self, subject: Subject) -> Self {
        match self {
            Self::Drop(reason) => Self::Drop(reason),
            Self::Wait(reason) => Self::Wait(reason.until(subject)),
            Self::Reject(reason) => Self::Reject(reason.until(subject)),
        }
    }

    /// As the verdict that the runtime acts on.
    pub(crate) fn into_verdict<O>(self) -> Verdict<O> {
        match self {
            Self::Drop(reason) => Verdict::Drop(reason),
            Self::Wait(reason) => Verdict::Wait(reason),
            Self::Reject(reason) => Verdict::Reject(reason),
        }
    }
}

/// Collects the checks that did not stop the usage.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    checks: Vec<Check>,
}

impl Findings {
    /// The check `name` found nothing.
    pub(crate) fn passed(&mut self, name: &str) {
        self.checks.push(Check { rule: name.to_owned(), result: CheckResult::Passed, ..Check::default() });
    }

    /// The check `name` found something that is worth knowing.
    pub(crate) fn warned(&mut self, name: &str, code: Code, detail: &str) {
        self.checks.push(Check {
            rule: name.to_owned(),
            result: CheckResult::Warned,
            code: Some(code.as_str().to_owned()),
            detail: detail.to_owned(),
        });
    }

    /// The check `name` found `reason`; the policy says what that means.
    pub(crate) fn judge(&mut self, name: &str, policy: Policy, reason: Reason) -> Result<(), Box<Refusal>> {
        match policy {
            Policy::Stop => Err(Box::new(Refusal::Reject(reason))),
            Policy::Warn => {
                self.warned(name, reason.code, &reason.message);
                Ok(())
            }
        }
    }

    /// The checks in the order in which they were made.
    pub(crate) fn into_checks(self) -> Vec<Check> {
        self.checks
    }
}
