//! What must hold when the line to the ERP breaks at any point.

use super::feed::Work;
use super::{Check, Failure, Fixture};
use crate::erp::{Direction, Erp, ErpError, Lookup, Posting};

/// More calls than any adapter makes for one posting.
const CALLS_MAX: usize = 32;

/// A hand on the line between adapter and ERP. Only calls with an effect count (not reads), from the arming on, from 0.
pub trait Faults: Send + Sync {
    /// The ERP does the call of this number, but its answer is lost.
    fn lose_answer(&self, call: usize);
    /// The call of this number never reaches the ERP.
    fn lose_request(&self, call: usize);
    /// The caller of the call of this number hears nothing; the ERP gets it on [`Faults::release`].
    fn hold_request(&self, call: usize);
    /// The ERP does what was held, and nobody waits for its answer.
    fn release(&self) -> Work<'_>;
    /// Lets everything through again; whether the armed fault had struck.
    fn heal(&self) -> bool;
}

/// How one of the two faults is armed.
type Arm = fn(&dyn Faults, usize);

/// Law FX-1 under faults: whichever call of a posting is cut, before or after its effect, resuming and posting again under
/// the same key ends with one document, the stock moved once and the cost allocated once.
///
/// # Errors
/// A [`Failure`] that names the call.
pub async fn one_document_whatever_is_cut(
    erp: &dyn Erp,
    faults: &dyn Faults,
    fixture: &Fixture,
) -> Result<(), Failure> {
    let check = Check("one-document-whatever-is-cut");
    let arms: [(&str, Arm); 2] =
        [("answer", |faults, call| faults.lose_answer(call)), ("request", |faults, call| faults.lose_request(call))];
    for (what, arm) in arms {
        let mut struck = true;
        for call in 0..CALLS_MAX {
            let posting = fixture.posting(&format!("cut-{what}-{call}"), Direction::Consume, vec![fixture.plain(1)]);
            arm(faults, call);
            let broken = erp.post(&posting).await;
            struck = faults.heal();
            if !struck {
                check.holds(call > 0, || "the fault never struck".to_owned())?;
                check.ok(broken)?;
                break;
            }
            posts_once_after(&check, erp, fixture, &posting, broken.map(drop)).await?;
        }
        check.holds(!struck, || format!("more than {CALLS_MAX} calls for one posting"))?;
    }
    Ok(())
}

/// Law FX-1 when the ERP is slow: whichever call of a posting it carries out only when somebody has looked the posting up
/// already, there is one document in the end, the stock moved once and the cost allocated once.
///
/// # Errors
/// A [`Failure`] that names the call.
pub async fn one_document_whatever_comes_late(
    erp: &dyn Erp,
    faults: &dyn Faults,
    fixture: &Fixture,
) -> Result<(), Failure> {
    let check = Check("one-document-whatever-comes-late");
    for call in 0..CALLS_MAX {
        let posting = fixture.posting(&format!("late-{call}"), Direction::Consume, vec![fixture.plain(1)]);
        let (key, cost_centre) = (&posting.document_key, posting.cost_centre.as_deref());
        faults.hold_request(call);
        let broken = erp.post(&posting).await;
        if !faults.heal() {
            check.holds(call > 0, || "the fault never struck".to_owned())?;
            return check.ok(broken).map(drop);
        }
        check.holds(matches!(broken, Err(ErpError::InDoubt { .. })), || format!("{key}: no answer gave {broken:?}"))?;
        check.ok(erp.resume(key, cost_centre, false).await)?;
        faults.release().await.or_else(|error| check.fails(error))?;
        let settled = check.ok(erp.resume(key, cost_centre, true).await)?;
        is_there_once(&check, erp, fixture, &posting, settled).await?;
    }
    check.fails(format!("more than {CALLS_MAX} calls for one posting"))
}

async fn posts_once_after(
    check: &Check,
    erp: &dyn Erp,
    fixture: &Fixture,
    posting: &Posting,
    broken: Result<(), ErpError>,
) -> Result<(), Failure> {
    let key = &posting.document_key;
    match broken {
        Err(ErpError::InDoubt { .. } | ErpError::Transient { .. }) => {}
        other => return check.fails(format!("{key}: a cut line gave {other:?}")),
    }
    let found = check.ok(erp.find(key).await)?;
    let between = check.ok(erp.resume(key, posting.cost_centre.as_deref(), true).await)?;
    let settled = match &between {
        Lookup::Absent => !matches!(found, Lookup::Done(_)),
        Lookup::HalfDone => false,
        Lookup::Done(_) => found != Lookup::Absent,
    };
    check.holds(settled, || format!("{key}: found {found:?}, resumed to {between:?}"))?;
    is_there_once(check, erp, fixture, posting, between).await
}

/// Posted again after all that, it is there once. `between` is what it was resumed to.
async fn is_there_once(
    check: &Check,
    erp: &dyn Erp,
    fixture: &Fixture,
    posting: &Posting,
    between: Lookup,
) -> Result<(), Failure> {
    let key = &posting.document_key;
    let posted = check.ok(erp.post(posting).await)?;
    if let Lookup::Done(found) = between {
        check.holds(posted.already_there && found.documents == posted.documents, || {
            format!("{key}: found {found:?}, posted {posted:?}")
        })?;
    }
    check.moved(erp, posting, fixture, 1).await?;
    let borne = check.borne(erp, posting, fixture).await?;
    let expected = super::cost(&posted);
    check.holds(borne == expected, || format!("{key}: the cost centre bears {borne} instead of {expected}"))?;
    let after = check.ok(erp.find(key).await)?;
    check.holds(matches!(after, Lookup::Done(_)), || format!("{key}: in the end {after:?}"))
}
