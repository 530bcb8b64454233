//! The room on a broker, with receivers: one that is gone, one that answers too late, one that works.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use schemas::{
    Action, Audit, Decimal, EnrichedUsage, EventMeta, Exception, ExceptionKind, ExceptionState, MasterSupplier,
    SupplierNotice,
};
use serde_json::json;
use std::time::Duration;
use testkit::stack::{Running, Stack};
use testkit::supplier::{Fault, SECRET, Supplier};

async fn run(stack: &Stack) -> Running {
    stack.run(vec![wardline_supplier_fanout::room()]).await
}

fn usage(visit: &str, number: i64, supplier: &str) -> EnrichedUsage {
    EnrichedUsage {
        meta: EventMeta {
            event_id: format!("{visit}-{number}"),
            business_key: format!("usage/{visit}/{number}"),
            ..EventMeta::default()
        },
        encounter_ref: visit.to_owned(),
        supplier_id: Some(supplier.to_owned()),
        consigned: true,
        base_quantity: Some(Decimal::from(number)),
        ..EnrichedUsage::default()
    }
}

fn quantities(supplier: &Supplier) -> Vec<String> {
    supplier.notices().iter().map(|notice| notice.body["quantity"].as_str().unwrap_or_default().to_owned()).collect()
}

/// FX-1, KEY-1, ORD-1, RAW-1: a supplier that is gone holds only its own visit, a late answer makes one notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_supplier_that_is_gone_holds_nobody_else() {
    let (gone, late, well) =
        (Supplier::start().await.unwrap(), Supplier::start().await.unwrap(), Supplier::start().await.unwrap());
    gone.fail_next(Fault::Status(410));
    late.fail_next(Fault::LateAnswer(Duration::from_secs(4)));
    let profile = |supplier: &Supplier| json!({"url": supplier.url(), "secret": SECRET});
    let profiles = json!({"GONE": profile(&gone), "LATE": profile(&late), "WELL": profile(&well)});
    let mut stack = Stack::start().await;
    stack.configure("supplier-fanout", json!({"profiles": profiles, "timeout_ms": 1_000}));
    stack.publish(&[MasterSupplier { supplier_id: "MUTE".to_owned(), ..MasterSupplier::default() }]).await;
    stack
        .publish(&[
            usage("enc_gone", 1, "GONE"),
            usage("enc_gone", 2, "GONE"),
            usage("enc_late", 3, "LATE"),
            usage("enc_well", 4, "WELL"),
            usage("enc_mute", 5, "MUTE"),
        ])
        .await;
    let running = run(&stack).await;

    let notices = stack.until::<SupplierNotice>("notices of the others", |notices| notices.len() >= 2).await;
    let mut told: Vec<&str> = notices.iter().map(|notice| notice.supplier_id.as_str()).collect();
    told.sort_unstable();
    assert_eq!(told, ["LATE", "WELL"]);
    assert_eq!((quantities(&late), quantities(&well)), (vec!["3".to_owned()], vec!["4".to_owned()]));
    let dropped = stack.until::<Audit>("the rule that drops", |audits| !audits.is_empty()).await;
    assert_eq!(dropped[0].code, "supplier.no-profile");
    let raised = stack.until::<Exception>("the exception", |exceptions| !exceptions.is_empty()).await;
    assert_eq!((raised.len(), raised[0].code.as_str()), (1, "WL-5102"));
    assert_eq!(raised[0].origin_event_id.as_deref(), Some("enc_gone-1"));
    assert!(raised[0].raw_value.as_ref().is_some_and(|raw| raw.as_slice().len() > 5), "RAW-1");
    assert!(gone.notices().is_empty());

    let retry = Exception {
        kind: ExceptionKind::RetryRequested,
        state: ExceptionState::Retrying,
        actor: Some("operator".to_owned()),
        ..raised[0].clone()
    };
    stack.publish(&[retry]).await;
    stack.until::<SupplierNotice>("the parked notices", |notices| notices.len() >= 4).await;
    assert_eq!(quantities(&gone), ["1", "2"], "ORD-1");
    running.stop().await;

    // What was told stays told over a restart.
    let running = run(&stack).await;
    stack.publish(&[usage("enc_well", 6, "WELL")]).await;
    stack.until::<SupplierNotice>("one more notice", |notices| notices.len() >= 5).await;
    running.stop().await;
    for supplier in [&gone, &late, &well] {
        assert!(supplier.notices().iter().all(|notice| notice.times == 1), "FX-1");
        assert_eq!(supplier.forged(), 0);
    }
}

/// FX-1: what takes a use back came first and was dropped. The use that comes behind it is told to nobody, at once or after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn fx_1_a_use_that_comes_behind_its_retraction_is_not_told() {
    let well = Supplier::start().await.unwrap();
    let mut stack = Stack::start().await;
    let profiles = json!({"WELL": {"url": well.url(), "secret": SECRET}});
    stack.configure("supplier-fanout", json!({"profiles": profiles}));
    let back = |charge: &EnrichedUsage| {
        let event_id = format!("{}-back", charge.meta.event_id);
        let meta = EventMeta { event_id, action: Action::Retract, revision: 1, ..charge.meta.clone() };
        EnrichedUsage { meta, ..charge.clone() }
    };
    let (soon, later) = (usage("enc_soon", 1, "WELL"), usage("enc_later", 2, "WELL"));
    stack.publish(&[back(&soon), soon, back(&later)]).await;
    let running = run(&stack).await;
    stack.until::<Audit>("all that is dropped", |audits| audits.len() >= 3).await;
    running.stop().await;

    let running = run(&stack).await;
    stack.publish(&[later, usage("enc_later", 3, "WELL")]).await;
    stack.until::<SupplierNotice>("the other use", |notices| !notices.is_empty()).await;
    running.stop().await;
    let mut codes: Vec<String> = stack.events::<Audit>().await.into_iter().map(|audit| audit.code).collect();
    codes.sort_unstable();
    let (nothing, overtaken) = ("notice.nothing-told", "notice.overtaken");
    assert_eq!(codes, [nothing, nothing, overtaken, overtaken]);
    assert_eq!(quantities(&well), ["3"]);
}
