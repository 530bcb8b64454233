//! Inputs to start from: the contracts of this repository, and a corpus of messages that is not part of it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use schemas::codec::encode;
use schemas::{Event, examples, for_each_event, topics};
use serde_json::{Value, json};

use super::INPUT_BYTES_MAX;

/// Where the corpus is looked for when `WARDLINE_CORPUS` does not name it: beside the repository.
const BESIDE: &str = "../shared/corpus";

/// Articles of the hospital beside those of its orders.
const ITEMS: usize = 10;

/// Writes the seeds of these targets below `work`; says how many there are and where they come from.
pub(super) fn prepare(root: &Path, work: &Path, targets: &[String]) -> Result<String> {
    let folder = work.join("seeds");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    let mut seeds = Seeds { folder, count: 0 };
    for target in targets {
        seeds.make_folder(target)?;
    }
    of_contracts(root, &mut seeds)?;
    let own = seeds.count;
    let corpus = corpus(root);
    match &corpus {
        Some(corpus) => {
            of_corpus(corpus, &mut seeds)?;
            Ok(format!("{own} of the contracts, {} of the corpus {}", seeds.count - own, corpus.display()))
        }
        None => Ok(format!("{own} of the contracts; set WARDLINE_CORPUS for those of the corpus")),
    }
}

fn corpus(root: &Path) -> Option<PathBuf> {
    let named = std::env::var_os("WARDLINE_CORPUS").filter(|value| !value.is_empty()).map(PathBuf::from);
    named.or_else(|| Some(root.join(BESIDE))).filter(|folder| folder.is_dir())
}

/// Writes files.
struct Seeds {
    folder: PathBuf,
    count: usize,
}

impl Seeds {
    /// A folder that the fuzzer is told of must be there.
    fn make_folder(&self, target: &str) -> Result<()> {
        let folder = self.folder.join(target);
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))
    }

    /// A seed of our own. One that is too large for the fuzzer would never be tried.
    fn add(&mut self, target: &str, input: &[u8]) -> Result<()> {
        if input.len() > INPUT_BYTES_MAX {
            bail!(
                "a seed of {target} has {} bytes, of {INPUT_BYTES_MAX} that an input may have: make it smaller",
                input.len()
            );
        }
        self.write(target, input)
    }

    /// A seed of the corpus, which is left out where it is too large for the fuzzer.
    fn add_foreign(&mut self, target: &str, input: &[u8]) -> Result<()> {
        if input.len() > INPUT_BYTES_MAX { Ok(()) } else { self.write(target, input) }
    }

    fn write(&mut self, target: &str, input: &[u8]) -> Result<()> {
        let file = self.folder.join(target).join(format!("{:05}", self.count));
        fs::write(&file, input).with_context(|| format!("write {}", file.display()))?;
        self.count += 1;
        Ok(())
    }
}

fn of_contracts(root: &Path, seeds: &mut Seeds) -> Result<()> {
    let mut records = Vec::new();
    for_each_event!(encode_examples, &mut 0, &mut records);
    for record in &records {
        seeds.add("avro", record)?;
    }
    for topic in topics::ALL.iter().filter(|topic| !topic.schema.is_empty()) {
        seeds.add("avro_schema", &[topic.schema.as_bytes(), b"\0\x02a"].concat())?;
        let body = json!({"schema": topic.schema});
        let call = format!("POST subjects/{}/versions {body}\nGET schemas/ids/1 \n", topic.subject);
        seeds.add("registry", call.as_bytes())?;
    }
    let hospital = small_hospital()?;
    seeds.add("sandbox_erp", format!("POST seed {hospital}\nGET stock \nGET changes \n").as_bytes())?;
    let catalogue = fs::read_to_string(root.join("topics.yaml")).context("read topics.yaml")?;
    seeds.add("topics", catalogue.as_bytes())?;
    // A block at a time, or most of each run would go into the same text.
    for block in catalogue.split("\n\n").filter(|block| block.starts_with("  - name:")) {
        seeds.add("topics", format!("topics:\n{block}\n").as_bytes())?;
    }
    Ok(())
}

/// The hospital of the sandbox with the articles of its orders and a few more: with all of them it would be too large an input.
fn small_hospital() -> Result<Value> {
    let mut hospital: Value = serde_json::from_str(components::HOSPITAL_JSON).context("read the hospital")?;
    let orders = hospital["purchase_orders"].as_array().into_iter().flatten();
    let lines = orders.flat_map(|order| order["lines"].as_array().into_iter().flatten());
    let ordered: Vec<Value> = lines.map(|line| line["item"].clone()).collect();
    let mut number = 0;
    if let Some(items) = hospital["items"].as_array_mut() {
        items.retain(|item| {
            number += 1;
            number <= ITEMS || ordered.contains(&item["code"])
        });
    }
    Ok(hospital)
}

/// The examples of one type, in the frame whose schema id is its place among the types.
fn encode_examples<T: Event>(place: &mut u32, records: &mut Vec<Vec<u8>>) {
    for event in examples::<T>() {
        let mut record = Vec::new();
        // An example that cannot be written fails a test of the contracts.
        if encode(&event, *place, &mut record).is_ok() {
            records.push(record);
        }
    }
    *place += 1;
}

fn of_corpus(corpus: &Path, seeds: &mut Seeds) -> Result<()> {
    for message in files(&corpus.join("hl7v2"))? {
        seeds.add_foreign("hl7v2", &message)?;
        seeds.add_foreign("mllp", &[b"\x0b", &message[..], b"\x1c\r"].concat())?;
        seeds.add_foreign("charset", &[character_set(&message), b"|", &message].concat())?;
    }
    for stream in files(&corpus.join("mllp"))? {
        seeds.add_foreign("mllp", &stream)?;
        seeds.add_foreign("hl7v2", &stream)?;
    }
    for resource in files(&corpus.join("fhir"))? {
        seeds.add_foreign("fhir", &resource)?;
    }
    for cases in files(&corpus.join("udi"))? {
        for line in cases.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let case: Value = serde_json::from_slice(line).context("read a case of the corpus")?;
            seeds.add_foreign("udi", case["raw"].as_str().unwrap_or_default().as_bytes())?;
        }
    }
    Ok(())
}

/// MSH-18 of a message.
fn character_set(message: &[u8]) -> &[u8] {
    let line = message.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let Some(separator) = line.get(3) else { return b"" };
    line.split(|byte| byte == separator).nth(17).unwrap_or_default()
}

/// The bytes of every file below a folder; none when there is no such folder.
fn files(folder: &Path) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(fs::read(&path).with_context(|| format!("read {}", path.display()))?);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn every_seed_of_the_contracts_is_small_enough_and_the_hospital_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let root = super::super::super::root().unwrap();
        let targets = super::super::targets(&root).unwrap();
        let mut seeds = Seeds { folder: folder.path().to_owned(), count: 0 };
        targets.iter().for_each(|target| seeds.make_folder(target).unwrap());
        of_contracts(&root, &mut seeds).unwrap();
        let of = |target: &str| files(&folder.path().join(target)).unwrap();
        assert_eq!(of("sandbox_erp").len(), 1);
        let hospital = small_hospital().unwrap();
        assert!(hospital["items"].as_array().unwrap().len() > ITEMS, "and what is ordered");
        for target in ["avro", "avro_schema", "registry", "topics"] {
            assert!(!of(target).is_empty(), "{target}");
        }
    }
}
