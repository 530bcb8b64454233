//! What every adapter must do, tested against the real ERP behind it.
//!
//! Each check is a plain function that returns a [`Failure`] and can run alone; [`all`] runs them in order. Keys are made
//! from [`Fixture::key_prefix`], so a fresh prefix allows another run on the same database. [`faults`] needs a proxy
//! between adapter and ERP.

pub mod booked;
pub mod faults;
pub mod feed;

use jiff::civil::Date;
use rust_decimal::Decimal;
use thiserror::Error;

use super::{Direction, Erp, ErpError, Line, Lookup, MovementQuery, Posted, Posting, RefusalCode, net};

/// What the checks may rely on in the ERP's database.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// Starts every document key of this run; not used before.
    pub key_prefix: String,
    /// A stock location with at least 60 of `plain_item` and 2 of `lot_item` in `lot`.
    pub stock_location: String,
    /// Its place of use.
    pub use_location: String,
    /// An item without lots, with a cost above zero.
    pub plain_item: String,
    /// An item that must not move without a lot, with a cost above zero.
    pub lot_item: String,
    /// A lot of it.
    pub lot: String,
    /// Base unit of both items.
    pub uom: String,
    /// A cost centre that is not where the ERP would put the cost by itself.
    pub cost_centre: String,
    /// The day of the postings; `None` for the ERP's today.
    pub effective_date: Option<Date>,
}

/// A check that did not hold.
#[derive(Debug, Error)]
#[error("{check}: {detail}")]
pub struct Failure {
    /// Name of the check.
    pub check: &'static str,
    /// What was expected and what happened.
    pub detail: String,
}

/// Runs all checks that need nothing but the ERP and the fixture.
///
/// # Errors
/// The first [`Failure`].
pub async fn all(erp: &dyn Erp, fixture: &Fixture) -> Result<(), Failure> {
    finds_what_it_posted(erp, fixture).await?;
    posting_twice_is_one_document(erp, fixture).await?;
    a_key_cannot_mean_two_things(erp, fixture).await?;
    a_batch_moves_every_line(erp, fixture).await?;
    insufficient_stock_moves_nothing(erp, fixture).await?;
    a_missing_lot_names_its_line(erp, fixture).await?;
    unknown_names_are_refused(erp, fixture).await?;
    a_return_undoes_a_consumption(erp, fixture).await?;
    the_cost_lands_on_the_cost_centre(erp, fixture).await?;
    booked::lists_what_it_posted(erp, fixture).await?;
    booked::a_window_leaves_out_what_was_made_at_other_times(erp, fixture).await
}

/// Before a posting the key is unknown, after it both the answer and the look-up tell of one finished document.
///
/// # Errors
/// A [`Failure`] when they do not.
pub async fn finds_what_it_posted(erp: &dyn Erp, fixture: &Fixture) -> Result<(), Failure> {
    let check = Check("finds-what-it-posted");
    let posting = fixture.posting("find", Direction::Consume, vec![fixture.plain(2)]);
    let before = check.ok(erp.find(&posting.document_key).await)?;
    check.holds(before == Lookup::Absent, || format!("before posting: {before:?}"))?;
    let posted = check.ok(erp.post(&posting).await)?;
    check.holds(!posted.already_there, || "a new posting says that it was there already".to_owned())?;
    let cost = posted.unit_cost(&fixture.plain_item, None);
    check.holds(cost.is_some_and(|cost| cost > Decimal::ZERO), || format!("unit cost {cost:?}"))?;
    let is_code = |text: &String| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    check.holds(posted.currency.as_ref().is_none_or(is_code), || {
        format!("currency of the cost {:?}", posted.currency)
    })?;
    let after = check.ok(erp.find(&posting.document_key).await)?;
    let Lookup::Done(found) = after else {
        return check.fails(format!("after posting: {after:?}"));
    };
    check.holds(found.documents == posted.documents, || {
        format!("{:?} is not {:?}", found.documents, posted.documents)
    })?;
    check.holds(found.currency == posted.currency, || format!("found with currency {:?}", found.currency))?;
    check.moved(erp, &posting, fixture, 2).await
}

/// Law FX-1: a key takes effect once.
///
/// # Errors
/// A [`Failure`] when it does not.
pub async fn posting_twice_is_one_document(erp: &dyn Erp, fixture: &Fixture) -> Result<(), Failure> {
    let check = Check("posting-twice-is-one-document");
    let posting = fixture.posting("twice", Direction::Consume, vec![fixture.plain(1)]);
    let first = check.ok(erp.post(&posting).await)?;
    let second = check.ok(erp.post(&posting).await)?;
    check.holds(second.already_there, || "the second posting does not say that it was there already".to_owned())?;
    check.holds(first.documents == second.documents, || {
        format!("{:?} is not {:?}", second.documents, first.documents)
    })?;
    check.moved(erp, &posting, fixture, 1).await
}

/// The same key with other lines is refused and changes nothing.
///
/// # Errors
/// A [`Failure`] when it is accepted or moves stock.
pub async fn a_key_cannot_mean_two_things(erp: &dyn Erp, fixture: &Fixture) -> Result<(), Failure> {
    let check = Check("a-key-cannot-mean-two-things");
    let posting = fixture.posting("reuse", Direction::Consume, vec![fixture.plain(1)]);
    check.ok(erp.post(&posting).await)?;
    let other = Posting { lines: vec![fixture.plain(2)], ..posting.clone() };
    check.refused(erp.post(&other).await, RefusalCode::KeyReused, &[])?;
    check.moved(erp, &posting, fixture, 1).await
}

/// A posting may have many lines, also several of one item, and each moves.
///
/// # Errors
/// A [`Failure`] when the sum is wrong.
pub async fn a_batch_moves_every_line(erp: &dyn Erp, fixture: &Fixture) -> Result<(), Failure> {
    let check = Check("a-batch-moves-every-line");
    let line = |index: i64| Line { line_key: format!("b{index}"), ..fixture.plain(index) };
    let posting = fixture.posting("batch", Direction::Consume, vec![line(1), line(2), line(3), fixture.lotted(1)]);
    let posted = check.ok(erp.post(&posting).await)?;
    let lot_cost = posted.unit_cost(&fixture.lot_item, Some(&fixture.lot));
    check.holds(lot_cost.is_some(), || format!("no cost for the lot in {:?}", posted.lines))?;
    check.moved(erp, &posting, fixture, 6).await?;
    let back = fixture.posting("batch-back", Direction::Return, vec![fixture.lotted(1)]);
    check.ok(erp.post(&back).await).map(drop)
}

/// Too little stock of one line: the whole posting is refused, the line is named, nothing moves and the key stays free.
///
/// # Errors
/// A [`Failure`] when anything moved or the refusal is another.
pub async fn insufficient_stock_moves_nothing(erp: &dyn Erp, fixture: &Fixture) -> Result<(), Failure> {
    let check = Check("insufficient-stock-moves-nothing");
    let short = Line { line_key: "short".to_owned(), quantity: Decimal::from(1_000_000), ..fixture.lotted(1) };
    let posting = fixture.posting("short", Direction::Consume, vec![fixture.plain(1), short]);
    check.refused(erp.post(&posting).await, RefusalCode::InsufficientStock, &["short"])?;
    check.moved(erp, &posting, fixture, 0).await?;
    let left = check.ok(erp.find(&posting.document_key).await)?;
    check.holds(left == Lookup::Absent, || format!("something is left behind: {left:?}"))?;
    let fitting = Posting { lines: vec![fixture.plain(1)], ..posting };
    check.ok(erp.post(&fitting).await)?;
    check.moved(erp, &fitting, fixture, 1).await
}

/// An item that is tracked by lot does not move without one, and the refusal names the line.
///
/// # Errors
/// A [`Failure`] when it moved or the refusal is another.
pub async fn a_missing_lot_names_its_line(erp: &dyn Erp, fixture: &Fixture) -> Result<(), Failure> {
    let check = Check("a-missing-lot-names-its-line");
    let nameless = Line { line_key: "nameless".to_owned(), lot: None, ..fixture.lotted(1) };
    let posting = fixture.posting("nameless", Direction::Consume, vec![fixture.plain(1), nameless]);
    check.refused(erp.post(&posting).await, RefusalCode::MissingLot, &["nameless"])?;
    check.moved(erp, &posting, fixture, 0).await
}

/// Names that the ERP does not know are refused, each with its own code.
///
/// # Errors
/// A [`Failure`] when one is accepted or has another code.
pub async fn unknown_names_are_refused(erp: &dyn Erp, fixture: &Fixture) -> Result<(), Failure> {
    let check = Check("unknown-names-are-refused");
    let nowhere = || "NO-SUCH-NAME".to_owned();
    let line = || Line { line_key: "unknown".to_owned(), ..fixture.lotted(1) };
    let with = |name: &str, line: Line| fixture.posting(name, Direction::Consume, vec![line]);
    let department = Posting { cost_centre: Some(nowhere()), ..with("unknown-cc", line()) };
    let place = Posting { stock_location: nowhere(), ..with("unknown-place", line()) };
    let cases = [
        (with("unknown-item", Line { item: nowhere(), ..line() }), RefusalCode::UnknownItem, true),
        (with("unknown-lot", Line { lot: Some(nowhere()), ..line() }), RefusalCode::UnknownLot, true),
        (with("unknown-uom", Line { uom: nowhere(), ..line() }), RefusalCode::InvalidPosting, true),
        (department, RefusalCode::UnknownCostCentre, false),
        (place, RefusalCode::UnknownLocation, false),
    ];
    for (posting, code, names_line) in cases {
        check.refused(erp.post(&posting).await, code, if names_line { &["unknown"] } else { &[] })?;
        check.moved(erp, &posting, fixture, 0).await?;
    }
    Ok(())
}

/// A return brings the stock back and takes the cost off the cost centre.
///
/// # Errors
/// A [`Failure`] when a difference remains.
pub async fn a_return_undoes_a_consumption(erp: &dyn Erp, fixture: &Fixture) -> Result<(), Failure> {
    let check = Check("a-return-undoes-a-consumption");
    let out = fixture.posting("undone", Direction::Consume, vec![fixture.lotted(1)]);
    let back = fixture.posting("undone-back", Direction::Return, vec![fixture.lotted(1)]);
    check.ok(erp.post(&out).await)?;
    check.ok(erp.post(&back).await)?;
    let keys = vec![out.document_key.clone(), back.document_key.clone()];
    let movements = check.ok(erp.stock_movements(&MovementQuery::Keys(keys)).await)?;
    check.holds(movements.len() == 2, || format!("{} movements", movements.len()))?;
    let left = net(&movements, |location| location == fixture.stock_location);
    check.holds(left.is_empty(), || format!("stock differs by {left:?}"))?;
    let borne = check.borne(erp, &out, fixture).await? + check.borne(erp, &back, fixture).await?;
    check.holds(borne.is_zero(), || format!("the cost centre still bears {borne}"))
}

/// The cost that the ERP gives the movement is what the cost centre bears.
///
/// # Errors
/// A [`Failure`] when it bears another amount.
pub async fn the_cost_lands_on_the_cost_centre(erp: &dyn Erp, fixture: &Fixture) -> Result<(), Failure> {
    let check = Check("the-cost-lands-on-the-cost-centre");
    let posting = fixture.posting("cost", Direction::Consume, vec![fixture.plain(4)]);
    let posted = check.ok(erp.post(&posting).await)?;
    let expected = cost(&posted);
    let borne = check.borne(erp, &posting, fixture).await?;
    check.holds(!expected.is_zero() && borne == expected, || format!("{borne} instead of {expected}"))
}

impl Fixture {
    /// A posting of these lines under the key `prefix + name`.
    #[must_use]
    pub fn posting(&self, name: &str, direction: Direction, lines: Vec<Line>) -> Posting {
        Posting {
            document_key: format!("{}{name}", self.key_prefix),
            direction,
            stock_location: self.stock_location.clone(),
            use_location: self.use_location.clone(),
            effective_date: self.effective_date,
            cost_centre: Some(self.cost_centre.clone()),
            lines,
        }
    }

    /// A line of the item without lots.
    #[must_use]
    pub fn plain(&self, quantity: i64) -> Line {
        Line {
            line_key: "plain".to_owned(),
            item: self.plain_item.clone(),
            lot: None,
            serial: None,
            quantity: Decimal::from(quantity),
            uom: self.uom.clone(),
        }
    }

    /// A line of the item with lots.
    #[must_use]
    pub fn lotted(&self, quantity: i64) -> Line {
        Line {
            line_key: "lotted".to_owned(),
            item: self.lot_item.clone(),
            lot: Some(self.lot.clone()),
            ..self.plain(quantity)
        }
    }
}

/// The name of a check and what all checks have in common.
struct Check(&'static str);

impl Check {
    fn fails<T>(&self, detail: String) -> Result<T, Failure> {
        Err(Failure { check: self.0, detail })
    }

    fn holds(&self, condition: bool, detail: impl FnOnce() -> String) -> Result<(), Failure> {
        if condition { Ok(()) } else { self.fails(detail()) }
    }

    fn ok<T>(&self, result: Result<T, ErpError>) -> Result<T, Failure> {
        result.or_else(|error| self.fails(error.to_string()))
    }

    fn refused(&self, result: Result<Posted, ErpError>, code: RefusalCode, lines: &[&str]) -> Result<(), Failure> {
        match result {
            Err(ErpError::Refused(refusal)) if refusal.code == code && refusal.lines == lines => Ok(()),
            other => self.fails(format!("expected {code} for {lines:?}, got {other:?}")),
        }
    }

    /// The stock of the plain item went down by `expected` under the key of `posting`.
    async fn moved(&self, erp: &dyn Erp, posting: &Posting, fixture: &Fixture, expected: i64) -> Result<(), Failure> {
        let query = MovementQuery::Keys(vec![posting.document_key.clone()]);
        let movements = self.ok(erp.stock_movements(&query).await)?;
        let key = (fixture.plain_item.clone(), None, fixture.stock_location.clone());
        let moved = net(&movements, |location| location == fixture.stock_location).remove(&key).unwrap_or_default();
        self.holds(moved == Decimal::from(expected), || format!("{moved} moved instead of {expected}"))
    }

    /// What the fixture's cost centre bears for `posting`.
    async fn borne(&self, erp: &dyn Erp, posting: &Posting, fixture: &Fixture) -> Result<Decimal, Failure> {
        let allocations = self.ok(erp.allocations(&posting.document_key).await)?;
        Ok(allocations.iter().filter(|line| line.cost_centre == fixture.cost_centre).map(|line| line.amount).sum())
    }
}

fn cost(posted: &Posted) -> Decimal {
    posted.lines.iter().map(|line| line.quantity * line.unit_cost.unwrap_or_default()).sum::<Decimal>().round_dp(2)
}
