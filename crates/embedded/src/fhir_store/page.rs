//! Pages of a search and of a history.
//!
//! A page ends with the place of its last entry, and the next page goes on behind that place. What is stored meanwhile
//! neither moves nor hides anything.

use serde::Serialize;
use serde_json::value::RawValue;

use super::outcome::Refusal;
use super::store::{Method, Store, Version};
use super::time::{Range, instant};

/// Entries of a page when nobody says.
const COUNT_DEFAULT: usize = 50;
/// Most entries of a page.
const COUNT_MAX: usize = 1_000;
/// A page that has this many bytes ends.
const PAGE_BYTES: usize = 4 * 1_048_576;
/// Parameters that change the form only, and not here.
const IGNORED: [&str; 3] = ["_format", "_pretty", "_total"];
/// Parameter of a next address: the place of the last entry.
const CURSOR: &str = "_place";

/// A page as it is answered.
#[derive(Serialize)]
pub(super) struct Bundle {
    #[serde(rename = "resourceType")]
    resource_type: &'static str,
    id: String,
    meta: Meta,
    #[serde(rename = "type")]
    kind: &'static str,
    total: usize,
    link: Vec<Link>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entry: Vec<Entry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    last_updated: String,
}

#[derive(Serialize)]
struct Link {
    relation: &'static str,
    url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    full_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    search: Option<Mode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<EntryRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<EntryResponse>,
}

#[derive(Serialize)]
struct Mode {
    mode: &'static str,
}

#[derive(Serialize)]
struct EntryRequest {
    method: &'static str,
    url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryResponse {
    status: &'static str,
    etag: String,
    last_modified: String,
}

/// Where and when a page is made.
pub(super) struct Place<'a> {
    /// Base address of the server.
    pub(super) base: &'a str,
    /// Path below the base.
    pub(super) path: String,
    /// Milliseconds since 1970, not before the newest version.
    pub(super) now_ms: i64,
}

/// What is asked of a search or of a history.
struct Query<'a> {
    parameters: &'a [(String, String)],
    count: usize,
    after: Option<u64>,
}

impl<'a> Query<'a> {
    fn read(parameters: &'a [(String, String)], known: &[&str]) -> Result<Self, Refusal> {
        for (name, _) in parameters {
            if !known.contains(&name.as_str()) && !IGNORED.contains(&name.as_str()) && name != CURSOR {
                return Err(Refusal::unsupported(format!("the parameter {name} is not served here")));
            }
        }
        let mut query = Self { parameters, count: COUNT_DEFAULT, after: None };
        if let Some(count) = query.one("_count") {
            let count: usize = count.parse().map_err(|_| Refusal::invalid("_count is no number"))?;
            query.count = count.min(COUNT_MAX);
        }
        if let Some(place) = query.one(CURSOR) {
            query.after = Some(place.parse().map_err(|_| Refusal::invalid("the address of the page is damaged"))?);
        }
        match query.one("_summary") {
            None | Some("false") => {}
            Some("count") => query.count = 0,
            Some(_) => return Err(Refusal::unsupported("of _summary only `count` is served here")),
        }
        Ok(query)
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let parameters = self.parameters;
        parameters.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn one(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// Address of this query, or of the page behind a place.
    fn address(&self, place: &Place<'_>, after: Option<u64>) -> String {
        let mut address = format!("{}/{}", place.base, place.path);
        let own = self.parameters.iter().filter(|(name, _)| name != CURSOR);
        let mut pairs: Vec<_> = own.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        pairs.extend(after.map(|after| format!("{CURSOR}={after}")));
        if !pairs.is_empty() {
            address = format!("{address}?{}", pairs.join("&"));
        }
        address
    }
}

/// Living resources of a type.
pub(super) fn search(
    store: &Store,
    kind: &str,
    parameters: &[(String, String)],
    place: &Place<'_>,
) -> Result<Bundle, Refusal> {
    let query = Query::read(parameters, &["_lastUpdated", "_id", "_sort", "_count", "_summary"])?;
    let ranges = query.all("_lastUpdated").map(Range::read).collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<Vec<&str>> = query.all("_id").map(|ids| ids.split(',').collect()).collect();
    let wanted = |version: &Version| {
        ranges.iter().all(|range| range.holds(version.at_ms))
            && ids.iter().all(|ids| ids.contains(&version.id.as_str()))
    };
    let found = store.living(kind).filter(|(_, version)| wanted(version.as_ref()));
    match query.one("_sort") {
        None | Some("_lastUpdated") => {
            let behind = query.after;
            page(&query, place, "searchset", found, |at| behind.is_none_or(|behind| at > behind))
        }
        Some("-_lastUpdated") => {
            let before = query.after;
            page(&query, place, "searchset", found.rev(), |at| before.is_none_or(|before| at < before))
        }
        Some(other) => Err(Refusal::unsupported(format!("_sort={other}: only _lastUpdated is served here"))),
    }
}

/// Versions of a resource, of a type or of all, newest first.
pub(super) fn history(
    store: &Store,
    of: (Option<&str>, Option<&str>),
    parameters: &[(String, String)],
    place: &Place<'_>,
) -> Result<Bundle, Refusal> {
    let query = Query::read(parameters, &["_since", "_count"])?;
    let since = query.one("_since").map(Range::start).transpose()?.unwrap_or(i64::MIN);
    let before = query.after;
    let is_before = move |at| before.is_none_or(|before| at < before);
    match of {
        (Some(kind), Some(id)) => {
            let found = store.versions(kind, id).rev().take_while(|(_, version)| version.at_ms >= since);
            page(&query, place, "history", found, is_before)
        }
        (kind, _) => {
            let newest_first = store.all().rev().take_while(|(_, version)| version.at_ms >= since);
            let found = newest_first.filter(|(_, version)| kind.is_none_or(|kind| kind == version.kind));
            page(&query, place, "history", found, is_before)
        }
    }
}

fn page<'a>(
    query: &Query<'_>,
    place: &Place<'_>,
    kind: &'static str,
    found: impl Iterator<Item = (u64, &'a std::sync::Arc<Version>)>,
    on_page: impl Fn(u64) -> bool,
) -> Result<Bundle, Refusal> {
    let (mut total, mut bytes, mut last, mut more) = (0, 0, None, false);
    let mut entry = Vec::new();
    for (at, version) in found {
        total += 1;
        if !on_page(at) {
            continue;
        }
        if entry.len() < query.count && (entry.is_empty() || bytes + version.text.len() <= PAGE_BYTES) && !more {
            bytes += version.text.len();
            last = Some(at);
            entry.push(entry_of(version, place.base, kind == "history")?);
        } else {
            more = true;
        }
    }
    let mut link = vec![Link { relation: "self", url: query.address(place, query.after) }];
    if let Some(last) = last.filter(|_| more) {
        link.push(Link { relation: "next", url: query.address(place, Some(last)) });
    }
    let meta = Meta { last_updated: instant(place.now_ms) };
    let id = uuid::Uuid::new_v4().to_string();
    Ok(Bundle { resource_type: "Bundle", id, meta, kind, total, link, entry })
}

fn entry_of(version: &Version, base: &str, in_history: bool) -> Result<Entry, Refusal> {
    let resource = if version.is_deletion() {
        None
    } else {
        let raw = RawValue::from_string(version.text.clone());
        Some(raw.map_err(|error| Refusal::new(500, "exception", error.to_string()))?)
    };
    let name = version.name();
    let full_url = format!("{base}/{name}");
    if !in_history {
        let search = Some(Mode { mode: "match" });
        return Ok(Entry { full_url, resource, search, request: None, response: None });
    }
    let status = match (version.method, version.number) {
        (Method::Delete, _) => "204 No Content",
        (_, 1) => "201 Created",
        _ => "200 OK",
    };
    let url = if version.method == Method::Post { version.kind.clone() } else { name };
    let request = Some(EntryRequest { method: version.method.name(), url });
    let etag = format!("W/\"{}\"", version.number);
    let response = Some(EntryResponse { status, etag, last_modified: instant(version.at_ms) });
    Ok(Entry { full_url, resource, search: None, request, response })
}

/// A part of a query with everything but letters, digits and a few signs as `%xx`.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~:,".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
