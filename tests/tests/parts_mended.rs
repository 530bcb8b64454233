//! What reconciliation proposes is what mends it: the command of a work item, typed as it stands there, plans the replay; when it is
//! applied, the next comparison closes the item, and nothing is posted twice (LOSS-1, RPL-1, FX-1).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use connector::erp::{
    Allocation, Booked, BookedPage, BookedQuery, ChangePage, Cursor, Erp, ErpFuture, Lookup, Movement, MovementQuery,
    Posted, Posting, Stream, net,
};
use erp_post::ErpPostConfig;
use operations::reconcile::{self, Difference, Kind, Options, Part, Raised, Report, Room, Unwatched, Window};
use operations::replay::reset::{ResetOutcome, ResetRequest, Target};
use operations::replay::{ReplayRoom, Replays, Words};
use runtime::{RoomInfo, clock};
use schemas::{
    Decimal, ErpPosting, Exception, ExceptionState, MasterItem, MasterLocation, MasterSupplier, Pack, SupplyUsage,
    topics,
};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::process::Command;
use std::sync::Arc;
use testkit::parts::Erp as ErpPart;
use testkit::stack::Stack;
use wardline_tests::events::{documented, enriched};

/// An article of the ERP without lots, and a place that has it.
const ITEM: &str = "71-400101";
const PLACE: &str = "OR1";
/// Usages that are posted before anything goes wrong.
const USAGES: usize = 6;

/// A hospital with an ERP, and somebody who compares and types commands.
struct Desk {
    stack: Stack,
    _server: ErpPart,
    erp: Arc<dyn Erp>,
    rooms: Vec<RoomInfo>,
}

impl Desk {
    async fn start(rooms: &[runtime::Room]) -> Self {
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
        let rooms = rooms.iter().map(|room| room.info().clone()).collect();
        Self { stack, _server: server, erp, rooms }
    }

    async fn posted(&self, count: usize) -> Vec<ErpPosting> {
        self.stack.until("the postings", |postings: &[ErpPosting]| postings.len() >= count).await
    }

    /// Compares with this ERP, when nothing flows any more, and makes work items.
    async fn reconcile(&self, erp: &Arc<dyn Erp>) -> (Report, Raised) {
        let until_ms = clock::now_micros() / 1_000 + 1;
        let options = Options {
            window: Window { from_ms: until_ms - 3_600_000, until_ms },
            rooms: self.rooms.clone(),
            erp: Some(Arc::clone(erp)),
            actor: "controller".to_owned(),
            room: Room::default(),
            settled: true,
        };
        let (config, codec) = (&self.stack.config, &self.stack.codec);
        let report = reconcile::reconcile(config, Arc::clone(codec), &options, Arc::new(Unwatched)).await.unwrap();
        let raised = reconcile::raise(config, Arc::clone(codec), &report).await.unwrap();
        (report, raised)
    }

    /// The newest word on the work item of a difference.
    async fn item(&self, difference: &Difference) -> Exception {
        let said = self.stack.events::<Exception>().await;
        said.into_iter().rfind(|item| item.exception_id == difference.id).expect("a work item")
    }

    /// Types a command line into a shell, as it stands in a work item or with a few words of one's own; gives what it prints.
    async fn types(&self, line: &str) -> Value {
        let wardline = env!("CARGO_BIN_EXE_wardline-under-test");
        let words = line.strip_prefix("wardline ").expect("a command of wardline");
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("exec '{wardline}' {words} --json"));
        shell.env("WARDLINE_KAFKA", &self.stack.config.kafka.bootstrap);
        shell.env("WARDLINE_REGISTRY", &self.stack.config.registry.url);
        let ended = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (output, log) = (text(&ended.stdout), text(&ended.stderr));
        assert!(ended.status.success(), "{line}: {output}\n{log}");
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{line}: {error}: {output}\n{log}"))
    }

    /// Plans what a work item proposes: the command at the end of what it says to do, with a reason in the place of `TEXT`.
    async fn plan(&self, item: &Exception) -> Value {
        let said = item.suggested_fix.as_deref().unwrap();
        let command = said.find("wardline replay plan").map(|at| &said[at..]).expect("a replay is proposed");
        assert!(command.ends_with("--reason TEXT"), "{said}");
        let reasoned = command.replace("--reason TEXT", "--reason 'the work item proposes it'");
        self.types(&format!("{reasoned} --actor Ada")).await
    }

    /// A second person agrees, and the first one has it handed over.
    async fn apply(&self, plan: &Value) {
        let id = plan["replayId"].as_str().unwrap();
        assert_eq!(plan["needsApproval"], true, "{plan:#}");
        self.types(&format!("wardline replay approve {id} --actor Bert")).await;
        let done = self.types(&format!("wardline replay apply {id} --actor Ada")).await;
        assert_eq!(done["state"], "DONE", "{done:#}");
    }

    /// What has left the place, by the ERP's own movements.
    async fn moved(&self) -> Decimal {
        let movements = self.erp.stock_movements(&MovementQuery::Prefix("wl-".to_owned())).await.unwrap();
        net(&movements, |place| place == PLACE).into_values().sum()
    }
}

/// A record that the room was set over, so that the ERP lacks it.
async fn set_over_the_newest(desk: &Desk) {
    let known = vec![ReplayRoom::from(&erp_post::room())];
    let replays = Replays::new(Arc::clone(&desk.stack.config), Arc::clone(&desk.stack.codec), known).unwrap();
    let request = ResetRequest {
        room: erp_post::NAME.to_owned(),
        topic: None,
        partitions: Vec::new(),
        to: Target::Latest,
        reason: "somebody is in a hurry".to_owned(),
        actor: "Eve".to_owned(),
        force: true,
        previewed: None,
    };
    let asked = match replays.reset(&request, |_| ()).await.unwrap() {
        ResetOutcome::Requested(asked) => asked,
        other => panic!("a second person has to agree: {other:?}"),
    };
    assert_eq!(asked.skipped, 1);
    replays.reset_approve(&asked.id, &Words { actor: "Carl".to_owned(), comment: None }).await.unwrap();
}

fn kinds(report: &Report) -> Vec<(Part, Kind)> {
    report.differences.iter().map(|difference| (difference.part, difference.kind)).collect()
}

/// LOSS-1, RPL-1, FX-1: a usage that never came to the ERP.
#[tokio::test(flavor = "multi_thread")]
async fn fx_1_what_the_erp_lacks_is_posted_once_by_the_replay_of_its_work_item() {
    let desk = Desk::start(&[erp_post::room()]).await;
    desk.stack.publish(&(0..USAGES).map(|number| enriched(number % 3, number)).collect::<Vec<_>>()).await;
    let running = desk.stack.run(vec![erp_post::room()]).await;
    desk.posted(USAGES).await;
    running.stop().await;
    let lost = enriched(7, 100);
    desk.stack.publish(std::slice::from_ref(&lost)).await;
    set_over_the_newest(&desk).await;
    let running = desk.stack.run(vec![erp_post::room()]).await;
    desk.stack.publish(&[enriched(8, 101)]).await;
    desk.posted(USAGES + 1).await;
    let two = Decimal::TWO;
    assert_eq!(desk.moved().await, two * Decimal::from(USAGES + 1), "the ERP lacks one");

    let (report, raised) = desk.reconcile(&desk.erp).await;
    assert_eq!(
        (kinds(&report), raised.raised),
        (vec![(Part::Outcomes, Kind::Missing)], 1),
        "{:#?}",
        report.differences
    );
    let difference = &report.differences[0];
    let item = desk.item(difference).await;
    assert_eq!((item.state, item.code.as_str()), (ExceptionState::Open, "WL-7170"));
    assert_eq!(item.origin_event_id.as_deref(), Some(lost.meta.event_id.as_str()));
    let plan = desk.plan(&item).await;
    let counts = &plan["counts"];
    assert_eq!((&counts["records"], &counts["effects"], &counts["suppressed"]), (&json!(1), &json!(1), &json!(0)));
    desk.apply(&plan).await;
    let postings = desk.posted(USAGES + 2).await;

    let (report, raised) = desk.reconcile(&desk.erp).await;
    assert_eq!((kinds(&report), raised.resolved), (Vec::new(), 1), "{:#?}", report.differences);
    let item = desk.item(difference).await;
    assert_eq!((item.state, item.actor.as_deref()), (ExceptionState::Resolved, Some("controller")));
    let effects: HashSet<&str> = postings.iter().map(|posting| posting.effect_key.as_str()).collect();
    assert_eq!((postings.len(), effects.len()), (USAGES + 2, USAGES + 2), "FX-1");
    assert_eq!(desk.moved().await, two * Decimal::from(USAGES + 2), "once in the ERP");

    // Who plans it once more by mistake posts nothing.
    let again = desk.plan(&Exception { suggested_fix: Some(difference.next.clone()), ..item }).await;
    let counts = &again["counts"];
    assert_eq!((&counts["records"], &counts["effects"], &counts["suppressed"]), (&json!(1), &json!(0), &json!(1)));
    desk.apply(&again).await;
    desk.stack.publish(&[enriched(7, 102)]).await;
    desk.posted(USAGES + 3).await;
    running.stop().await;
    assert_eq!(desk.moved().await, two * Decimal::from(USAGES + 3), "FX-1: the second time is suppressed");
}

/// The ERP, with the quantity of one document as somebody has set it by hand.
struct Changed {
    erp: Arc<dyn Erp>,
    from: Decimal,
    to: Decimal,
}

impl Erp for Changed {
    fn booked<'a>(&'a self, query: &'a BookedQuery, after: Option<&'a Cursor>) -> ErpFuture<'a, BookedPage> {
        Box::pin(async move {
            let mut page = self.erp.booked(query, after).await?;
            let lines = page.documents.iter_mut().flat_map(|document: &mut Booked| &mut document.lines);
            lines.filter(|line| line.quantity == self.from).for_each(|line| line.quantity = self.to);
            Ok(page)
        })
    }

    fn post<'a>(&'a self, _: &'a Posting) -> ErpFuture<'a, Posted> {
        panic!("a comparison posts nothing")
    }

    fn find<'a>(&'a self, _: &'a str) -> ErpFuture<'a, Lookup> {
        panic!("a comparison looks nothing up")
    }

    fn resume<'a>(&'a self, _: &'a str, _: Option<&'a str>, _: bool) -> ErpFuture<'a, Lookup> {
        panic!("a comparison resumes nothing")
    }

    fn stock_movements<'a>(&'a self, _: &'a MovementQuery) -> ErpFuture<'a, Vec<Movement>> {
        panic!("a comparison asks for documents")
    }

    fn allocations<'a>(&'a self, _: &'a str) -> ErpFuture<'a, Vec<Allocation>> {
        panic!("a comparison asks for documents")
    }

    fn changes<'a>(&'a self, _: Stream, _: Option<&'a Cursor>) -> ErpFuture<'a, ChangePage> {
        panic!("a comparison reads no master data")
    }
}

/// The article, with so many pieces in a box, behind what was said of it before.
async fn boxed(desk: &Desk, pieces: i64) {
    let items = desk.stack.until::<MasterItem>("the items", |items| items.iter().any(|one| one.item_id == ITEM)).await;
    let mut item = items.into_iter().rfind(|one| one.item_id == ITEM).unwrap();
    item.meta.revision += 1;
    item.packs = vec![Pack { uom: "BX".to_owned(), quantity: Decimal::from(pieces), ..Pack::default() }];
    desk.stack.publish(&[item]).await;
}

/// RPL-1, FX-1: a box was said to hold ten, and holds five. Whoever has seen the shelf has corrected the document by hand.
#[tokio::test(flavor = "multi_thread")]
async fn rpl_1_a_wrong_unit_is_said_anew_by_the_replay_of_its_work_item() {
    let rooms = || vec![validate::room(), enrich::room(), erp_post::room()];
    let desk = Desk::start(&rooms()).await;
    let following = desk.stack.run(vec![erp::room()]).await;
    desk.stack.until::<MasterLocation>("the places", |places| places.len() >= 6).await;
    desk.stack.until::<schemas::MasterCostCenter>("the cost centres", |centres| centres.len() >= 5).await;
    desk.stack.until::<MasterSupplier>("the suppliers", |suppliers| suppliers.len() >= 4).await;
    desk.stack.until::<MasterItem>("the items", |items| items.iter().any(|one| one.item_id == ITEM)).await;
    following.stop().await;
    boxed(&desk, 10).await;
    let running = desk.stack.run(rooms()).await;
    let in_boxes = SupplyUsage { uom: Some("BX".to_owned()), ..documented("enc-1", 1, ITEM, PLACE) };
    desk.stack.publish(std::slice::from_ref(&in_boxes)).await;
    desk.posted(1).await;
    // The same visit, and the same article: right as it is.
    desk.stack.publish(&[documented("enc-1", 2, ITEM, PLACE), documented("enc-2", 3, ITEM, PLACE)]).await;
    desk.posted(3).await;
    assert_eq!(desk.moved().await, Decimal::from(12));

    let by_hand: Arc<dyn Erp> =
        Arc::new(Changed { erp: Arc::clone(&desk.erp), from: Decimal::TEN, to: Decimal::from(5) });
    let (report, _) = desk.reconcile(&by_hand).await;
    let quantity = |difference: &&Difference| difference.kind == Kind::Quantity;
    let found: Vec<&Difference> = report.differences.iter().filter(quantity).collect();
    let [difference] = found.as_slice() else { panic!("{:#?}", report.differences) };
    let item = desk.item(difference).await;
    assert_eq!((item.state, item.code.as_str()), (ExceptionState::Open, "WL-7172"));
    let proposed = difference.replay.as_ref().unwrap();
    assert_eq!(
        (proposed.room.as_str(), proposed.topic.as_str()),
        ("validate", topics::CLINICAL_SUPPLY_USAGE_V1.name())
    );
    assert_eq!(proposed.business_key.as_ref(), Some(&in_boxes.meta.business_key), "of the one that differs");

    boxed(&desk, 5).await;
    let plan = desk.plan(&item).await;
    let counts = &plan["counts"];
    assert_eq!((&counts["records"], &counts["posted"], &counts["unchanged"]), (&json!(1), &json!(1), &json!(0)));
    let change = &counts["changes"][0];
    let told = ["path", "before", "after"].map(|name| change[name].as_str().unwrap_or_default());
    let [before, after] = [told[1], told[2]].map(|text| text.parse::<Decimal>().unwrap());
    assert_eq!((told[0], before, after), ("baseQuantity", Decimal::TEN, Decimal::from(5)));
    desk.apply(&plan).await;
    let corrected = |postings: &[ErpPosting]| postings.iter().any(|posting| posting.meta.correction > 0);
    desk.stack.until("the correction", corrected).await;
    running.stop().await;
    assert_eq!(desk.moved().await, Decimal::from(7), "five less, and nothing twice");

    // In the ERP it is set back, as the item says: what was posted is as it was posted, and the correction is beside it.
    let (report, raised) = desk.reconcile(&desk.erp).await;
    assert!(!report.differences.iter().any(|one| one.kind == Kind::Quantity), "{:#?}", report.differences);
    assert!(raised.resolved >= 1);
    assert_eq!(desk.item(difference).await.state, ExceptionState::Resolved);
}
