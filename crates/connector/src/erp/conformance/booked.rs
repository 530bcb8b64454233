//! The list of documents says the same as the answers to the postings did.

use jiff::{Span, Timestamp};
use rust_decimal::Decimal;

use super::{Check, Failure, Fixture, cost};
use crate::erp::{Booked, BookedQuery, Direction, Erp, Line, Posted, Posting};

/// Pages read before a list is called endless.
const PAGES_MAX: usize = 10_000;

/// Every document of the run is in the list once, with its number, what it moved and who bears it.
///
/// # Errors
/// A [`Failure`] when the list and the answers differ.
pub async fn lists_what_it_posted(erp: &dyn Erp, fixture: &Fixture) -> Result<(), Failure> {
    let check = Check("lists-what-it-posted");
    let second = Line { line_key: "second".to_owned(), ..fixture.plain(2) };
    let lines = vec![fixture.plain(1), second, fixture.lotted(1)];
    let out = fixture.posting("listed", Direction::Consume, lines);
    let back = fixture.posting("listed-back", Direction::Return, vec![fixture.lotted(1)]);
    let posted = [check.ok(erp.post(&out).await)?, check.ok(erp.post(&back).await)?];
    let keys = vec![out.document_key.clone(), back.document_key.clone()];
    let by_key = all(&check, erp, &BookedQuery::Keys(keys)).await?;
    let in_window = all(&check, erp, &made(fixture, Timestamp::MIN, Timestamp::MAX)).await?;
    for (posting, posted) in [&out, &back].into_iter().zip(&posted) {
        for list in [&by_key, &in_window] {
            let found: Vec<&Booked> = list.iter().filter(|one| one.document_key == posting.document_key).collect();
            let [one] = found.as_slice() else {
                return check.fails(format!("{} entries for {}", found.len(), posting.document_key));
            };
            same(&check, one, posting, posted)?;
        }
    }
    check.holds(by_key.len() == 2, || format!("{} documents for two keys", by_key.len()))
}

/// What was made before or after the window is not in the list, and neither is what has another prefix.
///
/// # Errors
/// A [`Failure`] when it is.
pub async fn a_window_leaves_out_what_was_made_at_other_times(erp: &dyn Erp, fixture: &Fixture) -> Result<(), Failure> {
    let check = Check("a-window-leaves-out-what-was-made-at-other-times");
    let posting = fixture.posting("timed", Direction::Consume, vec![fixture.plain(1)]);
    check.ok(erp.post(&posting).await)?;
    let listed = all(&check, erp, &BookedQuery::Keys(vec![posting.document_key.clone()])).await?;
    let Some(made_at) = listed.first().map(|one| one.made_at) else {
        return check.fails("the document is not in the list".to_owned());
    };
    let (from, after) = (made_at, made_at + Span::new().microseconds(1));
    for (from, until, wanted) in [(from, after, true), (Timestamp::MIN, made_at, false), (after, Timestamp::MAX, false)]
    {
        let list = all(&check, erp, &made(fixture, from, until)).await?;
        let is_there = list.iter().any(|one| one.document_key == posting.document_key);
        check.holds(is_there == wanted, || format!("from {from} until {until}: listed is {is_there}"))?;
    }
    let other = BookedQuery::Made { prefix: "no-such-prefix".to_owned(), from: Timestamp::MIN, until: Timestamp::MAX };
    let other = all(&check, erp, &other).await?;
    check.holds(other.is_empty(), || format!("{} documents of another prefix", other.len()))
}

fn made(fixture: &Fixture, from: Timestamp, until: Timestamp) -> BookedQuery {
    BookedQuery::Made { prefix: fixture.key_prefix.clone(), from, until }
}

async fn all(check: &Check, erp: &dyn Erp, query: &BookedQuery) -> Result<Vec<Booked>, Failure> {
    let (mut documents, mut after) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let page = check.ok(erp.booked(query, after.as_ref()).await)?;
        documents.extend(page.documents);
        after = page.next;
        if after.is_none() {
            return Ok(documents);
        }
    }
    check.fails(format!("the list has no end after {PAGES_MAX} pages"))
}

fn same(check: &Check, one: &Booked, posting: &Posting, posted: &Posted) -> Result<(), Failure> {
    let sign = if posting.direction == Direction::Return { -Decimal::ONE } else { Decimal::ONE };
    check.holds(one.finished && Some(&one.document) == posted.documents.first(), || format!("{one:?}"))?;
    check.holds(one.lines.iter().all(|line| line.stock_location == posting.stock_location), || format!("{one:?}"))?;
    for line in &posting.lines {
        let moved = |item: &str, lot: Option<&str>| -> Decimal {
            let same = one.lines.iter().filter(|line| line.item == item && line.lot.as_deref() == lot);
            same.map(|line| line.quantity).sum()
        };
        let asked = posting.lines.iter().filter(|other| other.item == line.item && other.lot == line.lot);
        let asked: Decimal = asked.map(|line| line.quantity).sum();
        let moved = moved(&line.item, line.tracking());
        check.holds(moved == sign * asked, || format!("{moved} of {} instead of {}", line.item, sign * asked))?;
    }
    let expected = sign * cost(posted);
    let borne = one.costs.iter().filter(|cost| Some(&cost.cost_centre) == posting.cost_centre.as_ref());
    let borne: Decimal = borne.map(|cost| cost.amount).sum();
    check.holds(borne == expected, || format!("the cost centre bears {borne} instead of {expected}"))
}
