//! Pages are kept up to date, are worked by keys alone, and can be used in the light, in the dark and on a telephone.

use super::acts::kept;
use super::{dead_letter, exception, plan, sign_in};
use console::people::Right;
use console::routes::{Method, ROUTES};
use serde_json::json;
use testkit::until;
use wardline_tests::browser::{Browser, Look, Tab};
use wardline_tests::desk::{Desk, PASSWORD};
use wardline_tests::events::usage;
use wardline_tests::toys;

#[tokio::test(flavor = "multi_thread")]
async fn pages_update_by_themselves_and_are_worked_by_keys_alone() {
    let desk = Desk::start(|_| ()).await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    // From the first key on: the name has the focus already.
    tab.open(&format!("{}/exceptions", desk.url)).await;
    tab.until("document.activeElement.id === 'user'").await;
    tab.type_text("olga").await;
    tab.key("Tab").await;
    tab.type_text(PASSWORD).await;
    tab.key_to_page("Enter").await;
    tab.reads("No exception fits.").await;
    tab.key("Tab").await;
    tab.until("document.activeElement.classList.contains('skip')").await;
    tab.key("Enter").await;
    tab.until("document.activeElement.id === 'main'").await;

    tab.eval("window.stays = true").await;
    desk.raise(&[exception(1, "first"), exception(2, "second")]).await;
    tab.reads("2 exceptions fit").await;
    assert_eq!(tab.eval("window.stays").await, json!(true), "nothing was loaded anew");
    tab.key("j").await;
    tab.until("document.activeElement.matches('[data-row]')").await;
    let first = tab.eval("document.activeElement.dataset.row").await;
    tab.key("j").await;
    assert_ne!(tab.eval("document.activeElement.dataset.row").await, first);
    tab.key("k").await;
    assert_eq!(tab.eval("document.activeElement.dataset.row").await, first);
    let ring = tab.eval("getComputedStyle(document.activeElement).outlineStyle").await;
    assert_ne!(ring, json!("none"), "one sees where one is");
    tab.key_to_page("Enter").await;
    assert_eq!(tab.path().await, format!("/exceptions/{}", first.as_str().unwrap()));
    tab.key("?").await;
    tab.until("document.querySelector('dialog').open").await;
    tab.key("Escape").await;
    tab.until("!document.querySelector('dialog').open").await;
    tab.key("g").await;
    tab.key_to_page("t").await;
    assert_eq!(tab.path().await, "/topics");
    tab.close().await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn enter_opens_what_a_row_is_about_and_shows_more_where_it_leads_nowhere() {
    let desk = Desk::start(|config| config.service_levels = true).await;
    let room = desk.stack.run(vec![toys::validate()]).await;
    desk.stack.publish(&[usage("enc-1", 1, "plain")]).await;
    let id = exception(1, "").exception_id;
    let about = schemas::Audit {
        room: "console".to_owned(),
        kind: schemas::AuditKind::Action,
        code: "WL-4001".to_owned(),
        exception_id: Some(id.clone()),
        actor: Some("somebody".to_owned()),
        at: schemas::Timestamp(runtime::clock::now_micros()),
        ..schemas::Audit::default()
    };
    desk.stack
        .publish(&[about.clone(), schemas::Audit { exception_id: None, code: "WL-4002".to_owned(), ..about }])
        .await;
    desk.raise(&[exception(1, "first")]).await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    sign_in(&desk, &tab, "olga").await;

    tab.open(&format!("{}/audit?code=WL-4001", desk.url)).await;
    tab.key("j").await;
    tab.key_to_page("Enter").await;
    assert_eq!(tab.path().await, format!("/exceptions/{id}"), "not the page of the code");
    tab.open(&format!("{}/audit?code=WL-4002", desk.url)).await;
    tab.key("j").await;
    tab.key("Enter").await;
    tab.until("document.querySelector('main [data-row] details').open").await;
    assert_eq!(tab.path().await, "/audit?code=WL-4002");

    tab.open(&format!("{}/trace?id=enc-1-1", desk.url)).await;
    tab.until("document.querySelector('main [data-row]')").await;
    tab.key("j").await;
    tab.key("Enter").await;
    tab.until("document.querySelector('main [data-row] details').open").await;
    tab.key("Enter").await;
    tab.until("!document.querySelector('main [data-row] details').open").await;

    tab.open(&format!("{}/service-levels", desk.url)).await;
    tab.until("document.querySelector('main [data-row]')").await;
    tab.key("j").await;
    tab.key_to_page("Enter").await;
    assert_eq!(tab.path().await, "/activity");
    tab.close().await;
    browser.end().await;
    room.stop().await;
}

/// All pages that somebody who has signed in may open. A new page with a named part in its path wants a line here.
fn pages(ids: &[(&str, &str)]) -> Vec<String> {
    let looks = ROUTES.iter().filter(|route| route.method == Method::Get && route.right != Right::Open);
    let fill = |path: &str| match ids.iter().find(|(page, _)| *page == path) {
        Some((_, filled)) => (*filled).to_owned(),
        None if path.contains('{') => panic!("say which {path} to open"),
        None => path.to_owned(),
    };
    looks.filter_map(|route| route.page).map(fill).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_used_in_the_light_in_the_dark_and_on_a_telephone() {
    let desk = Desk::start(|config| config.service_levels = true).await;
    let room = desk.stack.run(vec![toys::validate()]).await;
    desk.stack.publish(&[usage("enc-1", 1, "plain"), usage("enc-2", 1, "REJECT")]).await;
    until("one key waits", || desk.console.exceptions.causes().len() == 1).await;
    desk.raise(&[exception(1, "an_item_with_a_name_that_has_no_place_to_break_at_and_is_longer_than_any_telephone")])
        .await;
    dead_letter(&desk, "no header").await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    tab.open(&format!("{}/sign-in", desk.url)).await;
    let mut bad = seen(&tab, "/sign-in").await;
    // Who has the longest role: the header has room for it.
    sign_in(&desk, &tab, "adele").await;
    let replay = plan(&desk, &tab, "the rule was wrong").await;
    let one = format!("/exceptions/{}", exception(1, "").exception_id);
    let message = format!("/messages/{}", kept(&desk).await);
    let ids = [
        ("/exceptions/{id}", one.as_str()),
        ("/messages/{id}", &message),
        ("/dead-letters/{id}", "/dead-letters/0@0"),
        ("/replay/{id}", &replay),
        // None is made here: one that is made is looked at where it is made.
        ("/replay/shadow/{id}", "/replay/shadow/none"),
        ("/groups/{room}", "/groups/toy-validate"),
        ("/topics/{name}", "/topics/clinical.supply-usage.v1"),
        ("/errors/{code}", "/errors/WL-4001"),
    ];
    let others = [
        "/trace?id=enc-1-1".to_owned(),
        "/nowhere".to_owned(),
        // None of this name is kept.
        format!("/messages/{}@0", "0".repeat(64)),
    ];
    for path in pages(&ids).into_iter().chain(others) {
        tab.open(&format!("{}{path}", desk.url)).await;
        tab.until("document.body.dataset.live !== '400'").await;
        bad.extend(seen(&tab, &path).await);
    }
    assert_eq!(bad, Vec::<String>::new());
    tab.open(&format!("{}{one}", desk.url)).await;
    tab.until("document.querySelector('#masters + .scroll td')").await;
    let hidden = "(() => { const box = document.querySelector('#masters + .scroll'); return box.scrollWidth - box.clientWidth; })()";
    assert_eq!(tab.eval(hidden).await, json!(0), "a long key hides no column");
    // What is grey on white, and wider than any telephone, is found.
    tab.open("data:text/html,<p style='color:%23ccc;width:2000px'>grey").await;
    let found = seen(&tab, "a bad page").await.join("\n");
    assert!(found.contains("color-contrast") && found.contains("px too wide"), "{found}");
    tab.close().await;
    browser.end().await;
    room.stop().await;
}

/// In how many lines the header stands.
const LINES: &str = "(() => { const box = (one) => one.getBoundingClientRect(); \
    const parts = Array.from(document.querySelectorAll('header.top > *')).map(box); \
    const links = new Set(Array.from(document.querySelectorAll('header nav a')).map((one) => box(one).top)); \
    const apart = Math.max(...parts.map((one) => one.top)) >= Math.min(...parts.map((one) => one.bottom)); \
    return Math.max(links.size, apart ? 2 : 1); })()";

/// What is wrong with a page, however it is looked at.
pub(super) async fn seen(tab: &Tab, path: &str) -> Vec<String> {
    let mut bad = Vec::new();
    for look in [Look::DESK, Look::NIGHT, Look::PHONE] {
        tab.look(look).await;
        tab.keep_picture(&format!("{path} {} {}", look.width, if look.dark { "dark" } else { "light" })).await;
        let found = tab.violations().await;
        bad.extend(found.into_iter().map(|violation| format!("{path} {look:?}: {violation}")));
        let lines = tab.eval(LINES).await.as_u64().unwrap_or_default();
        if look.width >= Look::DESK.width && lines > 1 {
            bad.push(format!("{path} {look:?}: the header has {lines} lines"));
        }
        let overflow = tab.overflow().await;
        if overflow > 0 {
            bad.push(format!("{path} {look:?}: {overflow} px too wide"));
        }
    }
    tab.look(Look::DESK).await;
    bad
}
