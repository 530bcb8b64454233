//! The incident drill: a wrong mapping has posted the usages of two hours to another place. It is found, stopped and corrected,
//! and a correcting replay brings the ERP right to the unit and the cent, beside live traffic (RPL-1, FX-1, ORD-1).
//!
//! `WARDLINE_INCIDENT_USAGES` says how many usages went wrong, 10,000 by default and 50 on a real ERP, and
//! `WARDLINE_INCIDENT_RATE` how many a second are handed over to be corrected.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "test")]

use connector::erp::{Erp, MovementQuery, net};
use erp_post::ErpPostConfig;
use operations::crosswalk::{Crosswalk, CrosswalkError, MappedCode, MappingKind, MappingProposal};
use operations::exceptions::By;
use operations::reconcile::{self, Options, Room as Scratch, Unwatched, Window};
use operations::replay::{
    Apply, Outcome, Plan, ReplayError, ReplayRoom, ReplaySelection, Replays, Request, Runner, Words,
};
use operations::sight::trace::{IdKind, Question, trace};
use runtime::outgoing::{self, Lineage};
use runtime::publisher::Publisher;
use runtime::readers::Readers;
use runtime::{Shutdown, clock, shutdown};
use schemas::approval::agreed;
use schemas::{
    Audit, Decimal, ErpPosting, Exception, MasterItem, MasterLocation, PostingKind, Receipt, ReceiptOutcome,
    SupplyUsage, ValidatedUsage, headers, topics,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use testkit::parts::Erp as ErpPart;
use testkit::stack::Stack;
use wardline_tests::events::{SOURCE, documented};

/// What the source calls the theatre, where it was mapped to, and where it is.
const CODE: &str = "THEATRE-7";
const WRONG: (&str, &str) = ("ICU", "CC-ICU");
const RIGHT: (&str, &str) = ("OR1", "CC-OR");
/// The article and its price.
const ITEM: &str = "71-400101";
const PRICE: Decimal = Decimal::from_parts(235, 0, 0, false, 2);
/// Usages of one visit.
const OF_VISIT: usize = 4;
/// Usages of these two hours that name their place rightly: every tenth.
const UNTOUCHED: usize = 10;
/// Records of the replay in a second.
fn rate() -> u32 {
    said("WARDLINE_INCIDENT_RATE").unwrap_or(if testkit::parts::real() { 1 } else { 1_000 })
}

fn said<T: std::str::FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok().map(|text| text.parse().ok().expect("a number"))
}

/// Live usages while the replay runs come so often.
fn live_every() -> Duration {
    // Tryton makes about two documents a second here, and a correction is two of them: the replay alone is all that it can do. What
    // live usages wait is the backlog of the replay, which grows with its length and with what is live beside it.
    Duration::from_millis(if testkit::parts::real() { 3_000 } else { 40 })
}

/// Longest wait for a step of the drill.
const PATIENCE: Duration = Duration::from_secs(600);

fn size() -> usize {
    said("WARDLINE_INCIDENT_USAGES").unwrap_or(if testkit::parts::real() { 50 } else { 10_000 })
}

/// A hospital with all rooms that a usage passes, and an ERP.
struct Drill {
    stack: Stack,
    _server: ErpPart,
    erp: Arc<dyn Erp>,
    crosswalk: Crosswalk,
    replays: Arc<Replays>,
}

fn rooms() -> Vec<runtime::Room> {
    vec![validate::room(), enrich::room(), erp_post::room()]
}

impl Drill {
    async fn start() -> Self {
        let mut stack = Stack::start().await;
        let dir = stack.dir.path().join("erp");
        let server = tokio::task::spawn_blocking(move || ErpPart::start(&dir)).await.unwrap();
        let block = server.block(server.address());
        let mut followed = block.clone();
        followed["poll_ms"] = json!(200);
        stack.configure(erp::NAME, followed);
        stack.configure(erp_post::NAME, block);
        let config: ErpPostConfig = stack.config.room(erp_post::NAME).unwrap();
        let erp = config.system.open(&config.tryton, &config.sandbox).unwrap().erp;
        let crosswalk = Crosswalk::new(Arc::clone(&stack.config), Arc::clone(&stack.codec)).unwrap();
        let known = rooms().iter().map(ReplayRoom::from).collect();
        let replays = Replays::new(Arc::clone(&stack.config), Arc::clone(&stack.codec), known).unwrap();
        let following = stack.run(vec![erp::room()]).await;
        stack.until::<MasterItem>("the items", |items| items.iter().any(|item| item.item_id == ITEM)).await;
        stack.until::<MasterLocation>("the places", |places| places.len() >= 6).await;
        stack.until::<schemas::MasterCostCenter>("the cost centres", |centres| centres.len() >= 5).await;
        stack.until::<schemas::MasterSupplier>("the suppliers", |suppliers| suppliers.len() >= 4).await;
        following.stop().await;
        Self { stack, _server: server, erp, crosswalk, replays }
    }

    /// Maps the code, or withdraws it, by two people.
    async fn map(&self, target: Option<&str>) {
        let proposed = self.crosswalk.set(&code(), target, None, &by("Ada", "the drill")).await.unwrap();
        assert!(proposed.proposal.is_some(), "next to the patient one person does not map alone");
        let seen = MappingProposal::of(&proposed).unwrap().mark;
        let alone = self.crosswalk.approve(&code(), Some(&seen), &by("ada ", "me too")).await;
        assert!(matches!(alone, Err(CrosswalkError::SamePerson { .. })), "{alone:?}");
        let approved = self.crosswalk.approve(&code(), Some(&seen), &by("Bert", "seen")).await.unwrap();
        assert_eq!(
            (approved.target.as_deref(), approved.approved_by.as_deref().map(|who| agreed(who).0)),
            (target, Some("Bert"))
        );
    }

    /// Units that left the two places on balance, by place, and in how many documents.
    async fn moved(&self) -> (BTreeMap<String, Decimal>, usize) {
        let movements = self.erp.stock_movements(&MovementQuery::Prefix("wl-".to_owned())).await.unwrap();
        let documents: HashSet<&str> = movements.iter().map(|movement| movement.document_key.as_str()).collect();
        let of_stock = net(&movements, |place| place == WRONG.0 || place == RIGHT.0);
        (of_stock.into_iter().map(|((_, _, place), quantity)| (place, quantity)).collect(), documents.len())
    }

    /// Cost by cost centre, as the ERP has it.
    async fn cost(&self) -> BTreeMap<String, Decimal> {
        let movements = self.erp.stock_movements(&MovementQuery::Prefix("wl-".to_owned())).await.unwrap();
        let documents: HashSet<String> = movements.into_iter().map(|movement| movement.document_key).collect();
        let mut cost: BTreeMap<String, Decimal> = BTreeMap::new();
        for document in documents {
            for allocation in self.erp.allocations(&document).await.unwrap() {
                *cost.entry(allocation.cost_centre).or_default() += allocation.amount;
            }
        }
        cost.retain(|_, amount| !amount.is_zero());
        cost
    }

    async fn postings(&self, what: &str, wish: impl Fn(&[ErpPosting]) -> bool) -> Vec<ErpPosting> {
        let started = clock::tick();
        let mut look = tokio::time::interval(Duration::from_millis(200));
        loop {
            look.tick().await;
            let postings = self.stack.events::<ErpPosting>().await;
            if wish(&postings) {
                return postings;
            }
            let exceptions = self.stack.events::<Exception>().await;
            let said = exceptions.first().map(|exception| exception.message.clone());
            assert!(clock::tick().since(started) < PATIENCE, "no {what}; {} are there; {said:?}", postings.len());
        }
    }

    /// The two hours and nothing behind them.
    fn request(&self, (from_ms, until_ms): (i64, i64)) -> Request {
        Request {
            room: validate::NAME.to_owned(),
            selection: ReplaySelection {
                from_time_ms: Some(from_ms),
                until_time_ms: Some(until_ms),
                ..ReplaySelection::default()
            },
            correct: true,
            reason: "the mapping of theatre 7 was wrong".to_owned(),
            actor: "Ada".to_owned(),
            ..Request::default()
        }
    }
}

fn code() -> MappedCode {
    MappedCode { kind: MappingKind::Location, source_system: SOURCE.to_owned(), code: CODE.to_owned() }
}

fn by(actor: &str, reason: &str) -> By {
    By { actor: actor.to_owned(), comment: Some(reason.to_owned()), via: "test" }
}

fn words(actor: &str) -> Words {
    Words { actor: actor.to_owned(), comment: None }
}

fn quantity(number: usize) -> i64 {
    i64::try_from(number % 3).unwrap() + 1
}

fn usage(visit: &str, number: usize, place: &str) -> SupplyUsage {
    SupplyUsage { quantity: Decimal::from(quantity(number)), ..documented(visit, number, ITEM, place) }
}

/// The two hours: most name the theatre by its code, some the right place by its own name.
fn two_hours() -> (Vec<SupplyUsage>, usize) {
    let wrong = size();
    let all: Vec<SupplyUsage> = (0..wrong + wrong / UNTOUCHED)
        .map(|number| {
            let place = if number % (UNTOUCHED + 1) == UNTOUCHED { RIGHT.0 } else { CODE };
            usage(&format!("enc-{}", number / OF_VISIT), number, place)
        })
        .collect();
    let touched = all.iter().filter(|usage| named(usage) == CODE).count();
    (all, touched)
}

/// What its connector writes beside the event: reconciliation compares the two.
fn receipt(usage: &SupplyUsage) -> Receipt {
    let id = &usage.meta.event_id;
    Receipt {
        receipt_id: id.clone(),
        source: SOURCE.to_owned(),
        outcome: ReceiptOutcome::Events,
        event_ids: vec![id.clone()],
        ..Receipt::default()
    }
}

fn named(usage: &SupplyUsage) -> &str {
    usage.location.as_ref().and_then(|location| location.code.as_deref()).unwrap_or_default()
}

fn units<'a>(usages: impl IntoIterator<Item = &'a SupplyUsage>) -> Decimal {
    usages.into_iter().map(|usage| usage.quantity).sum()
}

/// Publishes usages of visits that the replay touches and of others until it is asked to stop; says which.
async fn live(drill: &Drill, stop: Shutdown) -> Vec<SupplyUsage> {
    let written = [topics::CLINICAL_SUPPLY_USAGE_V1.info(), topics::OPS_RECEIPT_V1.info()];
    let codec = Arc::clone(&drill.stack.codec);
    let publisher = Publisher::connect(&drill.stack.config, codec, &written).await.unwrap();
    let mut sent = Vec::new();
    let mut every = tokio::time::interval(live_every());
    for number in 0.. {
        tokio::select! {
            _ = every.tick() => {}
            () = stop.wait() => break,
        }
        let visit = if number % 4 == 0 { format!("enc-{}", number % 20) } else { format!("live-{}", number % 50) };
        let one = usage(&visit, 1_000_000 + number, if number % 2 == 0 { CODE } else { RIGHT.0 });
        let record = publisher.event(&one, &Lineage::default()).unwrap();
        let promised = publisher.event(&receipt(&one), &Lineage::default()).unwrap();
        publisher.publish(&[record, promised]).await.unwrap();
        sent.push(one);
    }
    sent
}

/// Hands the records over beside live traffic, and says what came live.
async fn replay(drill: &Drill, plan: &Plan) -> Vec<SupplyUsage> {
    let (id, rate) = (&plan.replay_id, rate());
    let alone =
        Runner::apply(&drill.replays, id, &Apply { words: words("Ada"), rate, ..Apply::default() }, |_| ()).await;
    assert!(matches!(alone, Err(ReplayError::NotApproved { .. })), "a second person has to agree");
    drill.replays.approve(id, &words("Bert")).await.unwrap();
    let apply = Apply { words: words("Ada"), rate, ..Apply::default() };
    another_place_is_refused(drill, id, &apply).await;
    let runner = Runner::apply(&drill.replays, id, &apply, |_| ()).await.unwrap();
    let (_trigger, stop) = shutdown();
    let (enough, ended) = shutdown();
    let handing_over = async {
        let outcome = runner.run(&stop, |_| ()).await.unwrap();
        let wanted = usize::try_from(plan.counts.records).unwrap();
        let corrected = |postings: &[ErpPosting]| {
            postings.iter().filter(|posting| posting.meta.correction > 0 && !posting.total_quantity.is_zero()).count()
        };
        drill.postings("corrections", |postings| corrected(postings) >= wanted).await;
        enough.stop();
        outcome
    };
    let (outcome, sent) = tokio::join!(handing_over, live(drill, ended));
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    sent
}

/// RPL-1: as many records that would go to another place now are not what was agreed to.
async fn another_place_is_refused(drill: &Drill, id: &str, apply: &Apply) {
    drill.map(Some("OR2")).await;
    let refused = Runner::apply(&drill.replays, id, apply, |_| ()).await;
    let Err(ReplayError::Changed { differences, .. }) = refused else { panic!("nobody has agreed to that place") };
    assert!(differences[0].what.ends_with("with other changes"), "{differences:?}");
    drill.map(Some(RIGHT.0)).await;
}

/// How long the live usages took until they were posted, milliseconds, sorted.
async fn latencies(drill: &Drill, sent: &[SupplyUsage]) -> Vec<i64> {
    let mut published: HashMap<String, i64> = HashMap::new();
    for usage in sent {
        published.insert(usage.meta.business_key.clone(), usage.meta.published_at.0 / 1_000);
    }
    let keys: Vec<String> = published.keys().cloned().collect();
    let posted = |postings: &[ErpPosting]| {
        let known: HashSet<&str> = postings.iter().map(|posting| posting.business_key.as_str()).collect();
        keys.iter().all(|key| known.contains(key.as_str()))
    };
    drill.postings("postings of all live usages", posted).await;
    let mut took = Vec::new();
    for record in drill.stack.records(topics::ERP_POSTING_V1.name()).await {
        let (writer, body) = drill.stack.codec.open(record.value.as_deref().unwrap()).await.unwrap();
        let posting: ErpPosting = schemas::codec::decode(&writer, body).unwrap();
        if let Some(at) = published.remove(&posting.business_key) {
            took.push(record.timestamp_ms.unwrap() - at);
        }
    }
    assert!(published.is_empty(), "LOSS-1: {} live usages are not posted", published.len());
    took.sort_unstable();
    took
}

/// RPL-1, FX-1, ORD-1: see above.
#[tokio::test(flavor = "multi_thread")]
async fn fx_1_the_usages_of_a_wrong_mapping_are_corrected_to_the_unit_and_the_cent() {
    let drill = Drill::start().await;
    let from_ms = clock::now_micros() / 1_000 - 1_000;
    drill.map(Some(WRONG.0)).await;
    let (all, touched) = two_hours();
    let running = drill.stack.run(rooms()).await;
    drill.stack.publish(&all).await;
    drill.stack.publish(&all.iter().map(receipt).collect::<Vec<_>>()).await;
    let before = drill.postings("postings of the two hours", |postings| postings.len() >= all.len()).await;
    let hours = (from_ms, clock::now_micros() / 1_000 + 1);
    let (theatre, rest): (Vec<_>, Vec<_>) = all.iter().partition(|usage| named(usage) == CODE);
    let (wrong, right) = (units(theatre), units(rest));
    let (moved, documents) = drill.moved().await;
    assert_eq!(moved, [(WRONG.0.to_owned(), wrong), (RIGHT.0.to_owned(), right)].into());
    assert_eq!(drill.cost().await[WRONG.1], wrong * PRICE, "the mistake is in the books");

    finds(&drill, &before).await;
    // Every event says with which version of which mapping it was made.
    let found = drill.stack.events::<ValidatedUsage>().await.iter().filter(|usage| used_mapping(usage)).count();
    assert_eq!(found, touched);

    // Stopped: without its mapping the code means nothing, and what comes waits instead of going wrong.
    drill.map(None).await;
    stops_and_goes_on_by_itself(&drill).await;
    let wrong_since = drill.stack.events::<ErpPosting>().await.len();
    assert_eq!(wrong_since, before.len() + 1, "what waited was posted once, to the right place");

    let plan = drill.replays.plan(&drill.request(hours), |_| ()).await.unwrap();
    previews(&plan, touched, wrong);
    let sent = replay(&drill, &plan).await;
    let took = latencies(&drill, &sent).await;
    let p99 = took[took.len() * 99 / 100 - usize::from(took.len() % 100 == 0)];
    println!("{touched} corrected beside {} live usages: p50 {} ms, p99 {p99} ms", sent.len(), took[took.len() / 2]);
    let within = topics::SERVICE_LEVELS.iter().find(|level| level.name == "usage-posted").unwrap().within_ms;
    assert!(p99 <= i64::try_from(within).unwrap(), "live traffic keeps its service level: p99 {p99} ms of {within} ms");

    let waited = Decimal::from(quantity(WAITS));
    is_right(&drill, documents, touched, wrong + right + waited + units(&sent)).await;
    let again = drill.replays.plan(&drill.request(hours), |_| ()).await.unwrap();
    assert_eq!((again.counts.records, again.counts.refused, again.correction), (0, 0, 2), "nothing is left to correct");
    assert!(again.replay_id.is_empty() && drill.replays.list().await.unwrap().len() == 1, "and that is no plan");
    is_not_undone(&drill, hours).await;
    proves_it(&drill, from_ms).await;
    running.stop().await;
}

fn used_mapping(usage: &ValidatedUsage) -> bool {
    usage.masters.iter().any(|used| used.topic == topics::MASTER_CROSSWALK_V1.name() && used.revision == 1)
}

/// `wardline trace DOCUMENT` of one document on the wrong place leads to the usage and to the mapping it was made with, and
/// `wardline crosswalk ls` says what that mapping means, and by whose word.
async fn finds(drill: &Drill, postings: &[ErpPosting]) {
    let wrong = postings.iter().find(|posting| posting.from_location.as_deref() == Some(WRONG.0)).unwrap();
    let document = wrong.documents.first().unwrap();
    let id = document.number.clone().unwrap_or_else(|| document.id.clone());
    let question = Question { id, kind: Some(IdKind::Document), ..Question::default() };
    let way = trace(&drill.stack.config, &Readers::new(&drill.stack.config.kafka), question, |_| ()).await.unwrap();
    assert_eq!(way.found_as, Some(IdKind::Document));
    let validated = way.steps.iter().filter(|step| step.topic == topics::SUPPLY_USAGE_VALIDATED_V1.name());
    let masters: Vec<&Value> =
        validated.flat_map(|step| step.value["masters"].as_array().into_iter().flatten()).collect();
    let mapping = masters.iter().find(|used| used["topic"] == topics::MASTER_CROSSWALK_V1.name());
    let mapping = mapping.unwrap_or_else(|| panic!("the trace names no mapping: {masters:?}"));
    assert_eq!((&mapping["key"], &mapping["revision"]), (&json!(format!("location/{SOURCE}/{CODE}")), &json!(1)));
    let all = drill.crosswalk.list().await.unwrap();
    let found = all.iter().find(|known| known.code == CODE && known.source_system == SOURCE).unwrap();
    assert_eq!((found.target.as_deref(), found.actor.as_str()), (Some(WRONG.0), "Ada"));
}

/// `wardline reconcile` of the time of the drill: topics, effect records and the ERP say the same, to the cent.
async fn proves_it(drill: &Drill, from_ms: i64) {
    let asked = Options {
        window: Window { from_ms, until_ms: clock::now_micros() / 1_000 + 1 },
        rooms: rooms().iter().map(|room| room.info().clone()).collect(),
        erp: Some(Arc::clone(&drill.erp)),
        actor: "Ada".to_owned(),
        room: Scratch::default(),
        settled: true,
    };
    let codec = Arc::clone(&drill.stack.codec);
    let report = reconcile::reconcile(&drill.stack.config, codec, &asked, Arc::new(Unwatched)).await.unwrap();
    assert_eq!((report.total(), report.late), (0, 0), "{:#?}", report.differences.iter().take(5).collect::<Vec<_>>());
    assert!(report.documents > 0 && !report.cost_centres.is_empty(), "something was compared");
    let posted: Decimal = report.cost_centres.iter().map(|row| row.compared.posted).sum();
    let booked: Decimal = drill.cost().await.values().copied().sum();
    assert_eq!(posted, booked, "what is compared is all that the cost centres bear");
    for row in &report.cost_centres {
        assert!(row.compared.difference().is_zero(), "{row:?}");
    }
}

/// Number of the usage that comes while the code means nothing.
const WAITS: usize = 999_999;

async fn stops_and_goes_on_by_itself(drill: &Drill) {
    let late = usage("enc-late", WAITS, CODE);
    drill.stack.publish(std::slice::from_ref(&late)).await;
    drill.stack.publish(&[receipt(&late)]).await;
    let parked = |parked: &[schemas::Parked]| parked.iter().any(|parked| parked.key == "enc-late");
    drill.stack.until::<schemas::Parked>("the usage to wait", parked).await;
    assert!(!drill.stack.events::<ErpPosting>().await.iter().any(|posting| posting.encounter_ref == "enc-late"));
    drill.map(Some(RIGHT.0)).await;
    let posted = |postings: &[ErpPosting]| postings.iter().any(|posting| posting.encounter_ref == "enc-late");
    let postings = drill.postings("the usage that waited", posted).await;
    let late = postings.iter().find(|posting| posting.encounter_ref == "enc-late").unwrap();
    assert_eq!(late.from_location.as_deref(), Some(RIGHT.0), "the mapping alone woke it");
}

/// A room behind the one that was corrected has the wrong events still: it takes none of them for what was written last.
async fn is_not_undone(drill: &Drill, (from_ms, until_ms): (i64, i64)) {
    for until_ms in [until_ms, clock::now_micros() / 1_000 + 1] {
        let request = Request { room: enrich::NAME.to_owned(), ..drill.request((from_ms, until_ms)) };
        let plan = drill.replays.plan(&request, |_| ()).await.unwrap();
        assert_eq!((plan.counts.records, plan.counts.refused), (0, 0), "{:?}", plan.counts);
        assert!(plan.counts.unchanged > 0, "there was something to judge");
    }
}

fn previews(plan: &Plan, touched: usize, wrong: Decimal) {
    let (counts, touched) = (&plan.counts, i64::try_from(touched).unwrap());
    assert_eq!((counts.records, counts.posted, counts.refused), (touched, touched, 0), "{counts:?}");
    assert!(counts.unchanged > 0, "what was right is left out");
    let change = &counts.changes[0];
    let told = (change.path.as_str(), change.before.as_str(), change.after.as_str(), change.records);
    assert_eq!((told, counts.changes.len()), (("locationId", WRONG.0, RIGHT.0, touched), 1));
    let money: Vec<_> = counts.amounts.iter().map(|sum| (sum.amount.normalize(), sum.currency.as_str())).collect();
    assert_eq!(money, [((wrong * PRICE).normalize(), "EUR")], "the money that moves");
    assert!(plan.needs_approval && plan.correction == 1);
}

/// The ERP is right: all units and their cost are where they belong, nothing is left, and nothing was posted twice.
async fn is_right(drill: &Drill, documents: usize, touched: usize, units: Decimal) {
    let (moved, after) = drill.moved().await;
    assert_eq!(moved, [(RIGHT.0.to_owned(), units)].into(), "to the unit");
    assert_eq!(drill.cost().await, [(RIGHT.1.to_owned(), units * PRICE)].into(), "to the cent");
    assert!(after >= documents + 2 * touched, "each correction takes back and posts anew: {documents} -> {after}");
    let postings = drill.stack.events::<ErpPosting>().await;
    let mut ids = HashSet::new();
    assert!(postings.iter().all(|posting| ids.insert(posting.meta.event_id.clone())), "FX-1: no posting is doubled");
    let corrected: Vec<_> = postings.iter().filter(|posting| posting.meta.correction == 1).collect();
    assert_eq!(corrected.len(), 2 * touched, "one to take back, one to post");
    assert!(corrected.iter().all(|posting| posting.kind == PostingKind::Corrected && posting.revision == 0));
    let says_so = |posting: &&ErpPosting| posting.meta.warnings.iter().any(|warning| warning.code == "WL-7231");
    assert!(corrected.iter().all(says_so), "everything behind a correction says that it is one");
    let cost: Decimal = postings.iter().filter_map(|posting| posting.amount).sum();
    assert_eq!(cost, units * PRICE);
    in_order(drill).await;
    let audits = drill.stack.events::<Audit>().await;
    assert!(audits.iter().any(|audit| audit.code == "crosswalk.approved"));
    assert!(!audits.iter().any(|audit| audit.code == "posting.overtaken"));
}

/// ORD-1: of each business key the postings come in the order of their statements.
async fn in_order(drill: &Drill) {
    let mut last: HashMap<String, (i32, i32)> = HashMap::new();
    for record in drill.stack.records(topics::ERP_POSTING_V1.name()).await {
        assert!(outgoing::header_text(&record.headers, headers::ID).is_some());
        let (writer, body) = drill.stack.codec.open(record.value.as_deref().unwrap()).await.unwrap();
        let posting: ErpPosting = schemas::codec::decode(&writer, body).unwrap();
        let statement = (posting.revision, posting.meta.correction);
        let before = last.insert(posting.business_key.clone(), statement);
        assert!(before.is_none_or(|before| before <= statement), "{}: {before:?} {statement:?}", posting.business_key);
    }
}
