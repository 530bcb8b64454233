//! What must hold of the change feed.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::{Check, Failure};
use crate::erp::{Change, Cursor, Erp, Stream};

/// More pages than any test database has.
const PAGES_MAX: usize = 1_000;
/// How often a feed is read again for a change it may leave for a later read, because the second of its stamp was not over, and
/// the time between two reads.
const READS_MAX: usize = 50;
const BETWEEN_READS: Duration = Duration::from_millis(200);

/// What a hand in the ERP returns: done, or why not.
pub type Work<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Somebody who works in the ERP beside Wardline.
pub trait BackOffice: Send + Sync {
    /// Creates an item with this code.
    fn create_item<'a>(&'a self, code: &'a str) -> Work<'a>;
    /// Changes something about the item that events carry, for example its description.
    fn change_item<'a>(&'a self, code: &'a str) -> Work<'a>;
}

/// Every stream can be read from the start to its end, and again from the cursor that this gave.
///
/// # Errors
/// A [`Failure`] when one cannot, or has no end.
pub async fn every_stream_can_be_read(erp: &dyn Erp) -> Result<(), Failure> {
    let check = Check("every-stream-can-be-read");
    for stream in Stream::ALL {
        let (changes, cursor) = drain(&check, erp, stream, None).await?;
        check.holds(changes.iter().all(|change| !change.key.is_empty()), || {
            format!("{stream}: a change without a key")
        })?;
        drain(&check, erp, stream, Some(cursor)).await?;
    }
    Ok(())
}

/// An item that is created, and then changed, after the feed was read to its end shows up both times.
///
/// # Errors
/// A [`Failure`] when it does not.
pub async fn sees_a_new_and_a_changed_item(erp: &dyn Erp, office: &dyn BackOffice, code: &str) -> Result<(), Failure> {
    let check = Check("sees-a-new-and-a-changed-item");
    let (_, cursor) = drain(&check, erp, Stream::Items, None).await?;
    office.create_item(code).await.or_else(|error| check.fails(error))?;
    let new = |change: &Change| change.key == code;
    let Some((created, cursor)) = soon(&check, erp, cursor, new).await? else {
        return check.fails("the new item is not in the feed".to_owned());
    };
    office.change_item(code).await.or_else(|error| check.fails(error))?;
    let changed = |change: &Change| change.key == code && change.body != created.body;
    let changed = soon(&check, erp, cursor, changed).await?;
    check.holds(changed.is_some(), || "the change of the item is not in the feed".to_owned())
}

/// The newest item like `wish` in what the feed tells from `cursor` on, and the cursor behind it; none when it does not come.
async fn soon(
    check: &Check,
    erp: &dyn Erp,
    mut cursor: Cursor,
    wish: impl Fn(&Change) -> bool,
) -> Result<Option<(Change, Cursor)>, Failure> {
    let mut again = tokio::time::interval(BETWEEN_READS);
    for _ in 0..READS_MAX {
        again.tick().await;
        let (changes, next) = drain(check, erp, Stream::Items, Some(cursor)).await?;
        if let Some(change) = changes.into_iter().rfind(&wish) {
            return Ok(Some((change, next)));
        }
        cursor = next;
    }
    Ok(None)
}

async fn drain(
    check: &Check,
    erp: &dyn Erp,
    stream: Stream,
    from: Option<Cursor>,
) -> Result<(Vec<Change>, Cursor), Failure> {
    let mut cursor = from;
    let mut changes = Vec::new();
    for _ in 0..PAGES_MAX {
        let page = check.ok(erp.changes(stream, cursor.as_ref()).await)?;
        changes.extend(page.changes);
        if !page.more {
            return Ok((changes, page.next));
        }
        cursor = Some(page.next);
    }
    check.fails(format!("{stream} has no end"))
}
