//! A Bundle of which some entries cannot be read: those are cut out, so that each is refused by itself, with its bytes
//! (RAW-1), and all others are read.
//!
//! Brackets and quotes alone say where an entry ends, so a name that stands twice, too deep nesting or bytes that are not
//! UTF-8 do not hide what follows. Where they do not add up, the answer was cut off, and nothing of it is read.

use crate::mapping::Identity;
use crate::outcome::Refusal;
use crate::parse::unreadable;
use fhir_gate::json::{Json, JsonError};
use std::ops::Range;

/// How deep the entries of a Bundle stand in it, and how deep their resources.
const ENTRY_DEPTH: usize = 2;
const RESOURCE_DEPTH: usize = 3;

/// An entry that cannot be read.
#[derive(Debug)]
pub(super) struct Flaw {
    /// Position in the Bundle.
    pub(super) index: usize,
    /// Which resource, as far as that can be read.
    pub(super) identity: Result<Identity, Refusal>,
    /// Its bytes: those of the resource, or of the whole entry where the fault is outside of the resource.
    pub(super) bytes: Range<usize>,
    /// What is wrong with them.
    pub(super) refusal: Refusal,
    /// Nothing of the entry can be read, so it does not say either whether it states a deletion.
    pub(super) is_whole: bool,
}

/// Reads a Bundle; in place of what cannot be read stands a number.
///
/// # Errors
/// When something else than single entries is wrong.
pub(super) fn read(bytes: &[u8]) -> Result<(Json, Vec<Flaw>), JsonError> {
    let error = match Json::read(bytes) {
        Ok(bundle) => return Ok((bundle, Vec::new())),
        Err(error) => error,
    };
    let Some(entries) = entries(bytes) else { return Err(error) };
    let mut readable = bytes.to_vec();
    let cut = |(index, entry)| cut(bytes, &mut readable, index, entry);
    let flaws = entries.into_iter().enumerate().filter_map(cut).collect();
    Ok((Json::read(&readable)?, flaws))
}

/// Cuts out of `readable` what cannot be read of an entry.
fn cut(bytes: &[u8], readable: &mut [u8], index: usize, entry: Range<usize>) -> Option<Flaw> {
    let resource = member(bytes, &entry, "resource");
    let identity = |refusal: &Refusal| identity(bytes, resource.as_ref()).ok_or_else(|| refusal.clone());
    let mut flaw = None;
    if let Some(resource) = &resource
        && let Some(error) = error_at(bytes.get(resource.clone())?, RESOURCE_DEPTH)
    {
        let refusal = unreadable(&error);
        blank(readable.get_mut(resource.clone())?);
        flaw = Some(Flaw { index, identity: identity(&refusal), bytes: resource.clone(), refusal, is_whole: false });
    }
    if let Some(error) = error_at(readable.get(entry.clone())?, ENTRY_DEPTH) {
        let refusal = unreadable(&error);
        blank(readable.get_mut(entry.clone())?);
        flaw = Some(Flaw { index, identity: identity(&refusal), bytes: entry, refusal, is_whole: true });
    }
    flaw
}

/// Why bytes cannot be read at a depth, with the place in these bytes.
fn error_at(bytes: &[u8], depth: usize) -> Option<JsonError> {
    let nested = [&b"[".repeat(depth), bytes, &b"]".repeat(depth)].concat();
    Json::read(bytes).and_then(|_| Json::read(&nested)).err()
}

fn blank(bytes: &mut [u8]) {
    bytes.fill(b' ');
    if let Some(first) = bytes.first_mut() {
        *first = b'0';
    }
}

/// Which resource it is, by what can be read of its head and stands there once.
fn identity(bytes: &[u8], resource: Option<&Range<usize>>) -> Option<Identity> {
    let resource = resource?;
    let of_meta = member(bytes, resource, "meta").map(|meta| members(bytes, &meta, &["versionId", "lastUpdated"]));
    let mut head = members(bytes, resource, &["resourceType", "id"]);
    if let Some(meta) = of_meta {
        head.push([b"\"meta\":{", meta.join(&b","[..]).as_slice(), b"}"].concat());
    }
    let head = [b"{", head.join(&b","[..]).as_slice(), b"}"].concat();
    Identity::of(&Json::read(&head).ok()?).ok().filter(|identity| identity.id.is_some())
}

fn members(bytes: &[u8], object: &Range<usize>, names: &[&str]) -> Vec<Vec<u8>> {
    let of_name = |name: &&str| {
        let value = bytes.get(member(bytes, object, name)?)?;
        Some([format!("\"{name}\":").as_bytes(), value].concat())
    };
    names.iter().filter_map(of_name).collect()
}

fn entries(bytes: &[u8]) -> Option<Vec<Range<usize>>> {
    let start = bytes.iter().position(|byte| *byte == b'{')?;
    parts(bytes, &member(bytes, &(start..bytes.len()), "entry")?)
}

/// The value of a member that stands once in an object.
fn member(bytes: &[u8], object: &Range<usize>, name: &str) -> Option<Range<usize>> {
    let name = format!("\"{name}\"");
    let value = |part: Range<usize>| {
        let behind = bytes.get(part.clone())?.strip_prefix(name.as_bytes())?.trim_ascii_start().strip_prefix(b":")?;
        Some(trimmed(bytes, part.end - behind.len()..part.end))
    };
    let mut values = parts(bytes, object)?.into_iter().filter_map(value);
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// The items of an array, or the members of an object.
fn parts(bytes: &[u8], of: &Range<usize>) -> Option<Vec<Range<usize>>> {
    if !matches!(bytes.get(of.start)?, b'{' | b'[') {
        return None;
    }
    let mut parts = Vec::new();
    let mut start = of.start + 1;
    loop {
        let end = end_of_part(bytes, start)?;
        let part = trimmed(bytes, start..end);
        if !part.is_empty() {
            parts.push(part);
        }
        if bytes.get(end) != Some(&b',') {
            return Some(parts);
        }
        start = end + 1;
    }
}

/// The next comma or closing bracket that is not inside of something.
fn end_of_part(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut depth) = (start, 0_usize);
    loop {
        match bytes.get(at)? {
            b'"' => at = end_of_string(bytes, at)?,
            b',' | b'}' | b']' if depth == 0 => return Some(at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
}

/// The closing quote of the string that begins at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn trimmed(bytes: &[u8], part: Range<usize>) -> Range<usize> {
    let text = bytes.get(part.clone()).unwrap_or_default();
    let start = part.start + (text.len() - text.trim_ascii_start().len());
    start..start + text.trim_ascii().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"resourceType":"Device","id":"d1","distinctIdentifier":"a ] } \" , {"}"#;

    fn bundle(entries: &[&str]) -> String {
        format!(
            r#"{{"resourceType":"Bundle","entry":[{}],"link":[{{"relation":"next","url":"x"}}]}}"#,
            entries.join(",\n")
        )
    }

    fn entry(resource: &str) -> String {
        format!(r#"{{"fullUrl":"u","resource": {resource} ,"request":{{"method":"PUT"}}}}"#)
    }

    #[track_caller]
    fn read_text(text: &[u8]) -> (Json, Vec<Flaw>) {
        let (bundle, flaws) = read(text).unwrap();
        let link = bundle.get("link").unwrap().items();
        assert_eq!(link[0].text("url"), Some("x"), "what stands behind the entries is read");
        (bundle, flaws)
    }

    #[test]
    fn raw_1_only_what_cannot_be_read_is_cut_out() {
        let twice = r#"{"resourceType":"Device","id":"d2","meta":{"versionId":"3","lastUpdated":"2026-09-14T10:00:00Z"},"a":1,"a":2}"#;
        let deep = format!(r#"{{"resourceType":"Device","id":"d3","a":{}{}}}"#, "[".repeat(200), "]".repeat(200));
        let text = bundle(&[&entry(GOOD), &entry(twice), &entry(&deep), &entry(GOOD)]);
        let (bundle, flaws) = read_text(text.as_bytes());
        let entries = bundle.get("entry").unwrap().items();
        assert_eq!(entries.len(), 4);
        for index in [0, 3] {
            let Some(Json::Object(resource)) = entries[index].get("resource") else { panic!("no resource") };
            assert_eq!(&text[resource.bytes.clone()], GOOD);
        }
        let found: Vec<_> =
            flaws.iter().map(|flaw| (flaw.index, &text[flaw.bytes.clone()], flaw.refusal.code)).collect();
        assert_eq!(found, [(1, twice, "WL-2002"), (2, &deep, "WL-2001")]);
        let identity = flaws[0].identity.as_ref().unwrap();
        assert_eq!((identity.name().as_str(), identity.version_id.as_deref()), ("Device/d2", Some("3")));
        assert!(identity.last_updated.is_some() && flaws.iter().all(|flaw| !flaw.is_whole));
        assert_eq!(entries[1].get("request").unwrap().text("method"), Some("PUT"));
    }

    #[test]
    fn raw_1_bytes_that_are_not_utf_8_are_cut_out() {
        let mut text =
            bundle(&[&entry(r#"{"resourceType":"Device","id":"d1","name":"@NAME@"}"#), &entry(GOOD)]).into_bytes();
        let at = text.windows(6).position(|window| window == b"@NAME@").unwrap();
        text[at] = 0xff;
        let (_, flaws) = read_text(&text);
        assert_eq!((flaws.len(), flaws[0].index, flaws[0].refusal.code), (1, 0, "WL-2001"));
        assert_eq!(flaws[0].identity.as_ref().unwrap().name(), "Device/d1");
    }

    #[test]
    fn a_resource_that_is_too_deep_only_inside_of_the_bundle_is_cut_out() {
        let edge = format!(r#"{{"resourceType":"Device","a":{}{}}}"#, "[".repeat(99), "]".repeat(99));
        assert!(Json::read(edge.as_bytes()).is_ok());
        let text = bundle(&[&entry(&edge), &entry(GOOD)]);
        let (_, flaws) = read_text(text.as_bytes());
        assert_eq!((flaws.len(), flaws[0].index), (1, 0));
        assert!(flaws[0].identity.is_err(), "it has no id");
    }

    #[test]
    fn a_fault_outside_of_the_resource_is_that_of_the_entry() {
        let outside = format!(r#"{{"fullUrl":"u","fullUrl":"v","resource":{GOOD}}}"#);
        let text = bundle(&[&outside, &entry(GOOD)]);
        let (_, flaws) = read_text(text.as_bytes());
        assert_eq!((flaws.len(), flaws[0].is_whole, &text[flaws[0].bytes.clone()]), (1, true, outside.as_str()));
        assert_eq!(flaws[0].identity.as_ref().unwrap().name(), "Device/d1");
    }

    #[test]
    fn an_id_that_stands_twice_names_nothing() {
        let (_, flaws) = read_text(bundle(&[&entry(r#"{"resourceType":"Device","id":"d1","id":"d2"}"#)]).as_bytes());
        assert_eq!(flaws[0].identity.as_ref().unwrap_err().code, "WL-2002");
    }

    #[test]
    fn what_is_cut_off_or_wrong_outside_of_the_entries_is_not_read() {
        let text = bundle(&[&entry(r#"{"a":1,"a":2}"#)]);
        for end in 0..text.len() {
            assert!(read(&text.as_bytes()[..end]).is_err(), "{end}");
        }
        for wrong in
            ["{\"entry\":[{\"a\":1,\"a\":2}],\"b\":1,\"b\":2}", "{\"entry\":[],\"entry\":[]}", "oops", "", "[1,]"]
        {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
