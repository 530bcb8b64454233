//! The contract of an ERP: post one consumption, find it again, read stock and master data.
//!
//! ```text
//! post(Posting { document_key, lines, ... })   ->  Posted { documents, lines with cost }
//!                                              or  Transient | InDoubt | Refused(code, reason, lines, suggested fix)
//! find(document_key)                           ->  Absent | HalfDone | Done(Posted)
//! resume(document_key, cost_centre, certain)   ->  Absent | Done(Posted), or HalfDone as long as it is not certain
//! stock_movements(query), booked(query, cursor), changes(stream, cursor)
//! ```
//!
//! Law FX-1 rests on two promises of every adapter, and [`conformance`] tests both against the real thing:
//! posting twice under one key gives one document, and a posting that broke off half way is finished, not repeated, by
//! posting or resuming it.

pub mod answer;
pub mod booked;
pub mod conformance;
pub mod error;
pub mod feed;
pub mod movement;
pub mod posting;
pub mod rounding;

use std::future::Future;
use std::pin::Pin;

pub use booked::{Booked, BookedLine, BookedPage, BookedQuery};
pub use error::{ErpError, Refusal, RefusalCode};
pub use feed::{Change, ChangePage, Cursor, Stream};
pub use movement::{Allocation, Movement, MovementQuery, Net, net};
pub use posting::{Direction, Document, Line, Lookup, Posted, PostedLine, Posting};
pub use rounding::Rounding;

/// What a method of [`Erp`] returns: a boxed future, so that `Arc<dyn Erp>` works.
pub type ErpFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, ErpError>> + Send + 'a>>;

/// An ERP, behind whatever protocol it speaks. All methods are bounded in time and size by the adapter's configuration.
pub trait Erp: Send + Sync {
    /// Moves the stock of every line and allocates its cost, all under [`Posting::document_key`].
    ///
    /// Safe to repeat: it looks the key up first, returns what is already there, and finishes what is half done.
    /// When it is refused or transient, no stock has moved; when only a part was done it is in doubt.
    fn post<'a>(&'a self, posting: &'a Posting) -> ErpFuture<'a, Posted>;

    /// Looks a key up without changing anything. [`Lookup::HalfDone`] means: post it again.
    fn find<'a>(&'a self, document_key: &'a str) -> ErpFuture<'a, Lookup>;

    /// Settles an unknown outcome without the posting at hand: finishes what is half done, or takes it back when it cannot
    /// be finished. `cost_centre` is that of the posting.
    ///
    /// `certain` tells that the earlier posting cannot be carried out any more. Then it never answers [`Lookup::HalfDone`], and
    /// after [`Lookup::Absent`] the posting has not taken effect and will not unless it is posted again. Before, the ERP may
    /// still be making what is not there yet, and it would be there twice (FX-1): documents that are there are finished, none
    /// is made, and [`Lookup::HalfDone`] says that one is missing.
    fn resume<'a>(
        &'a self,
        document_key: &'a str,
        cost_centre: Option<&'a str>,
        certain: bool,
    ) -> ErpFuture<'a, Lookup>;

    /// The stock that documents of Wardline have moved, for reconciliation.
    fn stock_movements<'a>(&'a self, query: &'a MovementQuery) -> ErpFuture<'a, Vec<Movement>>;

    /// What each cost centre bears on balance for one document, for reconciliation; sorted by cost centre, zeros left out.
    fn allocations<'a>(&'a self, document_key: &'a str) -> ErpFuture<'a, Vec<Allocation>>;

    /// One page of the documents that Wardline has made, with what they moved and who bears it, for reconciliation. Changes
    /// nothing. Reading on from [`BookedPage::next`] until there is none gives every document once; two documents under one
    /// key are two entries. What was cancelled is left out.
    fn booked<'a>(&'a self, query: &'a BookedQuery, after: Option<&'a Cursor>) -> ErpFuture<'a, BookedPage>;

    /// How the amounts that cost centres bear come from the costs of the lines, for reconciliation. An adapter that does not
    /// know it for certain says [`Rounding::Unknown`], and then up to half a cent for each line counts as rounding.
    fn rounding(&self) -> Rounding {
        Rounding::Unknown
    }

    /// One page of what changed in `stream` since `cursor`; the start of time when `None`.
    ///
    /// A change is seen at least once; overlaps repeat records, so compare contents. A deletion is seen only
    /// when the ERP keeps a trace of it; the adapter's records say how.
    fn changes<'a>(&'a self, stream: Stream, cursor: Option<&'a Cursor>) -> ErpFuture<'a, ChangePage>;
}
