//! The list of the documents that were made under our keys, each with what it moved and who bears it.

use connector::erp::{Allocation, Booked, BookedPage, BookedQuery, Cursor, ErpError};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::TrytonConfig;
use crate::allocation;
use crate::json;
use crate::rest::{Rest, Search, refused, transient};
use crate::shipment::{self, Shipment};

/// When a record was made, by the server's clock.
const MADE: &str = "create_date";

/// One page behind `after`, in the order of the internal ids.
pub(crate) async fn page(
    rest: &Rest,
    config: &TrytonConfig,
    query: &BookedQuery,
    after: Option<&Cursor>,
) -> Result<BookedPage, ErpError> {
    let wrong = || refused("the place to go on from is not of this adapter".to_owned());
    let after = after.map_or(Ok(0), |cursor| cursor.0.parse::<i64>()).map_err(|_| wrong())?;
    let fields: Vec<&str> = shipment::FIELDS.into_iter().chain([MADE]).collect();
    let limit = config.page_records;
    let search = Search { model: shipment::MODEL, domain: domain(query, after), fields: &fields, limit };
    let records = rest.search(search).await?.records;
    let last = records.last().and_then(|record| json::id(record, "id"));
    let prefix = match query {
        BookedQuery::Made { prefix, .. } => prefix.as_str(),
        BookedQuery::Keys(_) => "",
    };
    let mut found = Vec::with_capacity(records.len());
    for record in &records {
        let made = json::timestamp(record, MADE);
        let (Some(shipment), Some(made)) = (Shipment::read(record), made) else {
            return Err(transient("a shipment in the list is not understood"));
        };
        // The wildcards of LIKE may be part of a key.
        if shipment.reference.starts_with(prefix) {
            found.push((shipment, made));
        }
    }
    // What is not finished has cost nothing yet.
    let finished: Vec<&Shipment> =
        found.iter().map(|(shipment, _)| shipment).filter(|shipment| shipment.is_done()).collect();
    let mut costs = allocation::borne_by(rest, &finished).await?.into_iter();
    let mut documents = Vec::with_capacity(found.len());
    for (shipment, made_at) in &found {
        let costs = if shipment.is_done() { costs.next().unwrap_or_default() } else { Vec::new() };
        documents.push(booked(shipment, *made_at, costs));
    }
    let next = last.filter(|_| records.len() >= limit).map(|last| Cursor(last.to_string()));
    Ok(BookedPage { documents, next })
}

fn booked(shipment: &Shipment, made_at: Timestamp, costs: Vec<Allocation>) -> Booked {
    Booked {
        document_key: shipment.reference.clone(),
        document: shipment.document(),
        made_at,
        finished: shipment.is_done(),
        lines: shipment.booked_lines().collect(),
        costs,
    }
}

fn domain(query: &BookedQuery, after: i64) -> Value {
    let open = json!(["state", "!=", "cancelled"]);
    let behind = json!(["id", ">", after]);
    match query {
        BookedQuery::Made { prefix, from, until } => json!([
            ["reference", "like", format!("{prefix}%")],
            // Python knows no year below 1, and nothing of ours is older than this.
            [MADE, ">=", json::typed_timestamp((*from).max(Timestamp::UNIX_EPOCH))],
            [MADE, "<", json::typed_timestamp(*until)],
            open,
            behind,
        ]),
        BookedQuery::Keys(keys) => json!([["reference", "in", keys], open, behind]),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::domain;
    use connector::erp::BookedQuery;
    use jiff::Timestamp;

    #[test]
    fn a_window_is_asked_for_by_when_documents_were_made() {
        let until: Timestamp = "2026-02-03T00:00:00Z".parse().unwrap();
        let query = BookedQuery::Made { prefix: "wl-".to_owned(), from: Timestamp::UNIX_EPOCH, until };
        let text = domain(&query, 7).to_string();
        assert!(text.contains(r#"["reference","like","wl-%"]"#), "{text}");
        assert!(text.contains(r#"["create_date","<",{"#) && text.contains(r#""year":2026"#), "{text}");
        assert!(text.contains(r#"["id",">",7]"#) && text.contains("cancelled"), "{text}");
    }
}
