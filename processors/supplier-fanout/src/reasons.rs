//! The codes of the room.

use processor::Code;

/// The supplier refuses the notice for good.
pub(crate) const REFUSED: Code = Code::new("WL-5101");
/// The supplier's receiver is gone (410).
pub(crate) const GONE: Code = Code::new("WL-5102");
/// The supplier does not accept our signature or credentials.
pub(crate) const NOT_AUTHORISED: Code = Code::new("WL-5103");
/// A correction concerns another supplier than the one that was told.
pub(crate) const SUPPLIER_CHANGED: Code = Code::new("WL-5104");
/// The supplier is not in the supplier master.
pub(crate) const SUPPLIER_UNKNOWN: Code = Code::new("WL-5105");
/// No notice is due.
pub(crate) const NO_NOTICE: Code = Code::new("WL-5110");
