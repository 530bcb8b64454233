//! The change feed by polling: who was written or created since the last sweep, page by page in the order of ids.
//!
//! A sweep asks for everything since the moment at which the last sweep began, by the server's own clock, less an overlap
//! that covers transactions which were not yet committed then. So nothing is missed, and some records come twice.
//! A record that changed in the second in which it was read, or later, is left for the next sweep, which begins before: it
//! may change once more in that second, and readers tell changes apart by their seconds.
//! Tryton keeps no trace of deletions, but hospitals deactivate records, and inactive ones are read.

use connector::erp::{Change, ChangePage, Cursor, ErpError, Stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::TrytonConfig;
use crate::json;
use crate::rest::{Rest, Search};
use crate::sources::{self, source};

/// Where a stream is: the sweep that is under way, and how far it has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    /// Changes after this moment are wanted, in seconds since 1970; all records when `None`.
    since: Option<i64>,
    /// When the sweep under way began, in seconds since 1970; `None` between sweeps.
    began: Option<i64>,
    /// The last id that was read in this sweep.
    after: i64,
}

/// Reads the page behind `cursor`.
pub(crate) async fn page(
    rest: &Rest,
    config: &TrytonConfig,
    stream: Stream,
    cursor: Option<&Cursor>,
) -> Result<ChangePage, ErpError> {
    let source = source(stream);
    let mut position = cursor.map(|cursor| read(stream, cursor)).unwrap_or_default();
    let mut rules = Vec::new();
    if source.joins_rules() {
        rules = sources::rules(rest).await?;
        // A changed rule changes records that do not know of it, and there are few of them: read them all.
        position.since = position.since.filter(|since| rules.iter().all(|rule| !sources::changed_after(rule, *since)));
    }
    let fields: Vec<&str> = source.fields.split_whitespace().collect();
    let search = Search {
        model: source.model,
        domain: source.domain(position.after, position.since),
        fields: &fields,
        limit: config.page_records,
    };
    let page = rest.search(search).await?;
    let more = page.records.len() >= config.page_records;
    let last = page.records.last().and_then(|record| json::id(record, "id"));
    let next = position.next(last.filter(|_| more), page.answered_at, i64::from(config.overlap_s));
    let changes = page.records.into_iter().filter_map(|record| source.change(record, &rules));
    let settled = |change: &Change| is_settled(&change.body, page.read_after, config.overlap_s);
    let changes = changes.filter(settled).collect();
    Ok(ChangePage { changes, next: write(&next), more })
}

impl Position {
    /// The position behind a page: further in the sweep when there is a `last` id, else at the start of the next sweep.
    fn next(&self, last: Option<i64>, answered_at: Option<Timestamp>, overlap_s: i64) -> Self {
        let began = self.began.or(answered_at.map(Timestamp::as_second));
        match last {
            Some(after) => Self { since: self.since, began, after },
            None => {
                let since = began.map(|began| began - overlap_s);
                // A server that does not say when it answered makes every sweep start where the last one did.
                Self { since: since.max(self.since), began: None, after: 0 }
            }
        }
    }
}

/// Whether the second of a record's newest stamp was over when the record was read, which was after `read_after`. Stamps that are
/// further ahead than the overlap come from another clock, and nobody waits for it.
fn is_settled(record: &Value, read_after: Option<Timestamp>, overlap_s: u32) -> bool {
    let Some((stamp, read)) = json::newest(record).zip(read_after) else { return true };
    let ahead = stamp.as_second() - read.as_second();
    ahead < 0 || ahead > i64::from(overlap_s)
}

fn read(stream: Stream, cursor: &Cursor) -> Position {
    serde_json::from_str(&cursor.0).unwrap_or_else(|_| {
        // Reading everything again is always right, only slower.
        tracing::warn!(%stream, "the stored cursor is not of this adapter; reading the stream from its start");
        Position::default()
    })
}

fn write(position: &Position) -> Cursor {
    Cursor(json!(position).to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::{Position, is_settled, read, write};
    use crate::sources::source;
    use connector::erp::{Cursor, Stream};
    use jiff::Timestamp;
    use serde_json::json;

    fn at(second: i64) -> Option<Timestamp> {
        Some(Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn a_sweep_ends_where_it_began_less_the_overlap() {
        let middle = Position::default().next(Some(200), at(1_000), 60);
        assert_eq!(middle, Position { since: None, began: Some(1_000), after: 200 });
        let end = middle.next(None, at(2_000), 60);
        assert_eq!(end, Position { since: Some(940), began: None, after: 0 });
        assert_eq!(end.next(None, at(3_000), 60).since, Some(2_940));
    }

    #[test]
    fn fx_1_a_record_waits_until_the_second_of_its_change_is_over() {
        let stamped = |second: i64| {
            let stamp = crate::json::typed_timestamp(Timestamp::from_second(second).unwrap());
            json!({"id": 7, "write_date": null, "lines": [{"create_date": stamp}]})
        };
        let (sweep, overlap_s) = (Position::default().next(None, at(1_000), 60), 60);
        for (second, settled) in [(999, true), (1_000, false), (1_001, false), (1_060, false), (1_061, true)] {
            assert_eq!(is_settled(&stamped(second), at(1_000), overlap_s), settled, "{second}");
            assert!(settled || sweep.since.unwrap() < second, "the next sweep reads what was left");
        }
        assert!(is_settled(&stamped(1_000), None, overlap_s) && is_settled(&json!({"id": 7}), at(1_000), overlap_s));
    }

    #[test]
    fn time_never_goes_back() {
        let position = Position { since: Some(940), began: None, after: 0 };
        assert_eq!(position.next(None, at(950), 60).since, Some(940));
        assert_eq!(position.next(None, None, 60).since, Some(940));
    }

    #[test]
    fn a_cursor_comes_back_as_it_went_and_a_foreign_one_starts_over() {
        let position = Position { since: Some(940), began: Some(1_000), after: 7 };
        assert_eq!(read(Stream::Items, &write(&position)), position);
        assert_eq!(read(Stream::Items, &Cursor("?".to_owned())), Position::default());
    }

    #[test]
    fn changes_of_what_belongs_to_a_record_count() {
        let domain = source(Stream::Items).domain(0, Some(0)).to_string();
        assert!(domain.contains("identifiers.write_date") && domain.contains("template.create_date"), "{domain}");
        let all = source(Stream::Items).domain(0, None).to_string();
        assert!(!all.contains("write_date"), "{all}");
    }
}
