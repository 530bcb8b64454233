//! Toy rooms whose behaviour the item code scripts, and an outside world that is a file.

use crate::events::item_code;
use connector::effect::{Action, BoxFuture, CallError, Effect, EffectClient, Plan};
use connector::pacing::Pacing;
use processor::{Binder, Code, Processor, Reason, Subject, Table, Tables, Verdict, Wiring, derived};
use runtime::{Room, RoomInfo};
use schemas::{Decimal, Document, ErpPosting, MasterItem, SupplyUsage, ValidatedUsage, topics};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Name of the toy processor.
pub const VALIDATE: &str = "toy-validate";
/// Name of the toy effect room.
pub const POST: &str = "toy-post";
/// Code of every toy reason.
pub const CODE: Code = Code::new("WL-4001");

/// `DROP` is dropped, `REJECT` rejected, `ITEM-x` waits for the master record, the rest is emitted; of `UNFIT` two events, the second of
/// which does not fit its contract, and of `LARGE` one that is larger than a topic takes.
pub struct ToyValidate;

pub struct ToyTables {
    items: Table<MasterItem>,
}

impl Tables for ToyTables {
    fn bind(binder: &mut Binder) -> Self {
        Self { items: binder.table(topics::MASTER_ITEM_V1, &[]) }
    }
}

impl Processor for ToyValidate {
    type Input = SupplyUsage;
    type Output = ValidatedUsage;
    type Tables = ToyTables;

    fn process(&self, usage: SupplyUsage, tables: &ToyTables) -> Verdict<ValidatedUsage> {
        let code = item_code(&usage).to_owned();
        match code.as_str() {
            "DROP" => return Verdict::Drop(Reason::new(CODE, "toy.dropped", "scripted")),
            "REJECT" => return Verdict::Reject(Reason::new(CODE, "toy.rejected", "scripted").fix("none")),
            _ => {}
        }
        if code.starts_with("ITEM") && tables.items.get(&code).is_none() {
            let subject = Subject::new(topics::MASTER_ITEM_V1.name(), &code);
            return Verdict::Wait(Reason::new(CODE, "toy.item-unknown", "scripted").until(subject));
        }
        let is_unfit = code == "UNFIT";
        let code = if code == "LARGE" { "x".repeat(1_100_000) } else { code };
        let validated = ValidatedUsage {
            meta: derived::<ValidatedUsage>(&usage, VALIDATE),
            encounter_ref: usage.encounter_ref,
            quantity: usage.quantity,
            item_id: Some(code),
            ..ValidatedUsage::default()
        };
        let unfit = is_unfit.then(|| ValidatedUsage { quantity: Decimal::MAX, ..validated.clone() });
        Verdict::Emit([validated].into_iter().chain(unfit).collect())
    }
}

/// The toy processor as a room.
pub fn validate() -> Room {
    let wiring = || Wiring::new(VALIDATE, "toy", ToyValidate, topics::SUPPLY_USAGE_VALIDATED_V1);
    Room::processor(RoomInfo::of_processor(&wiring()), move |_| Ok(wiring()))
}

/// Posts each usage into a file. `DROP` is dropped, `SLOW` takes 50 ms, `HANG` never ends, `TIMEOUT` does it and does not say so, `PANIC`
/// does it and panics,
/// `AWAY` fails before it is [`FileWorld::back`], `LOST` fails before it [`FileWorld::hang`]s, and is done then without an answer,
/// `MUTE` the same, and nothing is told about it either,
/// `HALF` does not do it, and a look-up does once it is certain,
/// `REFUSE` is refused, `BUSY` goes to a target of its own that first asks for silence, `PACED` to one that asks for nothing. What comes of `UNFIT` does not fit its contract, and
/// `UNFIT-DECIDED` has nothing done for it besides.
pub struct ToyPost;

impl Effect for ToyPost {
    type Input = SupplyUsage;
    type Output = ErpPosting;
    type Tables = ();
    type Request = String;
    type Response = String;

    fn prior_key(&self, usage: &SupplyUsage) -> Option<String> {
        Some(usage.meta.business_key.clone())
    }

    fn needs_prior(&self, usage: &SupplyUsage) -> bool {
        usage.meta.revision > 0
    }

    fn plan(&self, usage: &SupplyUsage, prior: Option<&ErpPosting>, _tables: &()) -> Plan<String, ErpPosting> {
        if item_code(usage) == "DROP" {
            return Plan::Decided(Verdict::Drop(Reason::new(CODE, "toy.dropped", "scripted")));
        }
        if item_code(usage) == "UNFIT-DECIDED" {
            return Plan::Decided(Self::posted(usage, ""));
        }
        let effect_key = format!("{}/{}", usage.meta.business_key, usage.meta.revision);
        if prior.is_some_and(|prior| prior.meta.revision >= usage.meta.revision) {
            let verdict = Verdict::Drop(Reason::new(CODE, "toy.late", "a later one was there before"));
            return Plan::Late { effect_key, verdict };
        }
        let before = prior.map(|posting| posting.quantity).unwrap_or_default();
        let request = format!("{effect_key} {} {}", item_code(usage), usage.quantity - before);
        let batch_key = (item_code(usage) == "BATCH").then(|| "batch".to_owned());
        let target = match item_code(usage) {
            "BUSY" => "busy",
            "PACED" => "paced",
            _ => "file",
        };
        Plan::Act(Action { effect_key, target: target.to_owned(), batch_key, request })
    }

    fn settle(&self, usage: &SupplyUsage, _request: &String, response: &String) -> Verdict<ErpPosting> {
        Self::posted(usage, response)
    }

    fn output_key(&self, output: &ErpPosting) -> String {
        output.meta.business_key.clone()
    }
}

impl ToyPost {
    fn posted(usage: &SupplyUsage, response: &str) -> Verdict<ErpPosting> {
        let is_unfit = item_code(usage).starts_with("UNFIT");
        Verdict::emit(ErpPosting {
            meta: derived::<ErpPosting>(usage, POST),
            effect_key: format!("{}/{}", usage.meta.business_key, usage.meta.revision),
            encounter_ref: usage.encounter_ref.clone(),
            quantity: if is_unfit { Decimal::MAX } else { usage.quantity },
            erp: response.to_owned(),
            ..ErpPosting::default()
        })
    }
}

/// The outside world: a file with one line per effect, `document key, effect key, item, quantity`.
pub struct FileWorld {
    path: PathBuf,
    calls: Mutex<HashMap<String, u32>>,
    batch_max: usize,
    config: PostConfig,
}

/// The block `rooms.toy-post`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostConfig {
    /// How fast and when the file is written to.
    pub pacing: Pacing,
    /// The one target that is paced; all when none is named.
    pub paced: Option<String>,
    /// Most calls at once.
    pub calls_max: usize,
}

impl Default for PostConfig {
    fn default() -> Self {
        Self { pacing: Pacing::default(), paced: None, calls_max: 1_000 }
    }
}

/// For so long `BUSY` asks for silence.
pub const SILENCE: Duration = Duration::from_secs(2);

impl FileWorld {
    pub fn new(path: &Path, batch_max: usize, config: PostConfig) -> Self {
        Self { path: path.to_owned(), calls: Mutex::default(), batch_max, config }
    }

    /// Calls that were answered with the wish for silence.
    pub fn turned_away(path: &Path) -> usize {
        std::fs::read_to_string(path.with_extension("busy")).unwrap_or_default().lines().count()
    }

    /// From now on a call of `AWAY` does not fail at once, but when it is [`FileWorld::back`].
    pub fn hang(path: &Path) {
        Self::write(&path.with_extension("hang"), "hang\n");
    }

    /// Calls of `AWAY` that have not failed at once.
    pub fn hanging(path: &Path) -> usize {
        std::fs::read_to_string(path.with_extension("away")).unwrap_or_default().lines().count()
    }

    /// What hangs of `AWAY` fails now, and what is called later is done.
    pub fn back(path: &Path) {
        Self::write(&path.with_extension("back"), "back\n");
    }

    /// What happened outside, in order: document key and request.
    pub fn ledger(path: &Path) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(document, request)| (document.to_owned(), request.to_owned()))
            .collect()
    }

    /// What was asked about `HALF`, in order: `call`, a look-up that was `early`, one that has `made` it.
    pub fn half(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path.with_extension("half")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn append(&self, document_key: &str, requests: &[String]) {
        let lines: String = requests.iter().map(|request| format!("{document_key}\t{request}\n")).collect();
        Self::write(&self.path, &lines);
    }

    fn write(path: &Path, lines: &str) {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(lines.as_bytes()).unwrap();
        file.sync_all().unwrap();
    }

    async fn away(&self) {
        if self.path.with_extension("hang").exists() {
            Self::write(&self.path.with_extension("away"), "away\n");
            while !self.path.with_extension("back").exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    fn calls_before(&self, document_key: &str) -> u32 {
        let mut calls = self.calls.lock().unwrap();
        let count = calls.entry(document_key.to_owned()).or_default();
        *count += 1;
        *count - 1
    }
}

impl EffectClient<String, String> for FileWorld {
    fn call<'a>(
        &'a self,
        document_key: &'a str,
        requests: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<String>, CallError>> {
        Box::pin(async move {
            let before = self.calls_before(document_key);
            let code = |request: &String| request.split(' ').nth(1).unwrap_or_default().to_owned();
            if let Some(position) = requests.iter().position(|request| code(request) == "REFUSE") {
                let reason = Box::new(Reason::new(CODE, "toy.refused", "scripted"));
                return Err(CallError::Refused { reason, request: Some(position) });
            }
            if requests.iter().any(|request| code(request) == "FLAKY") && before < 2 {
                return Err(CallError::Transient { retry_after: None, reason: "scripted 500".to_owned() });
            }
            if requests.iter().any(|request| code(request) == "BUSY") && before == 0 {
                Self::write(&self.path.with_extension("busy"), &format!("{document_key}\n"));
                return Err(CallError::Transient { retry_after: Some(SILENCE), reason: "scripted 429".to_owned() });
            }
            if requests.iter().any(|request| code(request) == "AWAY") && !self.path.with_extension("back").exists() {
                self.away().await;
                return Err(CallError::Transient { retry_after: None, reason: "scripted absence".to_owned() });
            }
            if requests.iter().any(|request| matches!(&*code(request), "LOST" | "MUTE")) {
                if !self.path.with_extension("hang").exists() {
                    return Err(CallError::Transient { retry_after: None, reason: "scripted absence".to_owned() });
                }
                self.append(document_key, requests);
                self.away().await;
                return Err(CallError::InDoubt { reason: "scripted loss of an answer".to_owned() });
            }
            if requests.iter().any(|request| code(request) == "HALF") {
                Self::write(&self.path.with_extension("half"), "call\n");
                return Err(CallError::InDoubt { reason: "scripted half".to_owned() });
            }
            if requests.iter().any(|request| code(request) == "HANG") {
                std::future::pending::<()>().await;
            }
            if requests.iter().any(|request| code(request) == "SLOW") {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            self.append(document_key, requests);
            if requests.iter().any(|request| code(request) == "TIMEOUT") && before == 0 {
                return Err(CallError::InDoubt { reason: "scripted time-out".to_owned() });
            }
            assert!(before > 0 || requests.iter().all(|request| code(request) != "PANIC"), "a scripted panic");
            Ok(requests.iter().map(|_| document_key.to_owned()).collect())
        })
    }

    fn look_up<'a>(
        &'a self,
        document_key: &'a str,
        requests: &'a [String],
        certain: bool,
    ) -> BoxFuture<'a, Result<Option<Vec<String>>, CallError>> {
        Box::pin(async move {
            if requests.iter().any(|request| request.split(' ').nth(1) == Some("MUTE")) {
                return Err(CallError::InDoubt { reason: "scripted silence".to_owned() });
            }
            let ledger = Self::ledger(&self.path);
            let found = requests
                .iter()
                .all(|request| ledger.iter().any(|(document, line)| document == document_key && line == request));
            let is_half = !found && requests.iter().any(|request| request.split(' ').nth(1) == Some("HALF"));
            if is_half {
                Self::write(&self.path.with_extension("half"), if certain { "made\n" } else { "early\n" });
            }
            if is_half && certain {
                self.append(document_key, requests);
                return Ok(Some(requests.iter().map(|_| document_key.to_owned()).collect()));
            }
            Ok(found.then(|| requests.iter().map(|_| document_key.to_owned()).collect()))
        })
    }

    /// Longer than a scripted call takes.
    fn certain_after(&self) -> Duration {
        Duration::from_millis(200)
    }

    fn batch_max(&self) -> usize {
        self.batch_max
    }

    fn calls_max(&self) -> usize {
        self.config.calls_max
    }

    fn pacing(&self, target: &str) -> Pacing {
        let is_paced = self.config.paced.as_ref().is_none_or(|paced| paced == target);
        if is_paced { self.config.pacing.clone() } else { Pacing::default() }
    }

    fn shares_budget(&self) -> bool {
        self.config.pacing.calls_per_minute.is_some()
    }

    fn documents(&self, answer: &String) -> Vec<Document> {
        vec![Document { kind: "line".to_owned(), id: answer.clone(), ..Document::default() }]
    }
}

/// The toy effect room over a file.
pub fn post(ledger: &Path) -> Room {
    let ledger = ledger.to_owned();
    Room::effect(RoomInfo::of_effect::<ToyPost>(POST, "toy"), move |config| {
        let own: PostConfig = config.room(POST)?;
        Ok((ToyPost, Arc::new(FileWorld::new(&ledger, 10, own)) as Arc<dyn EffectClient<String, String>>))
    })
}
