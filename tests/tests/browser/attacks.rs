//! Nothing that senders or people write runs in a browser, and nothing leaves it.

use super::{dead_letter, exception, sign_in};
use serde_json::json;
use wardline_tests::browser::{Browser, Tab};
use wardline_tests::desk::Desk;

/// What a browser would run, in a field of a message or in the words of a colleague.
const SCRIPTS: [&str; 3] = [
    "<script>window.stolen=1;alert(1)</script>",
    "\"><img src=x onerror=\"window.stolen=2;alert(2)\">",
    "</title><svg onload=\"window.stolen=3;alert(3)\">",
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_senders_or_people_write_runs_and_nothing_leaves() {
    let desk = Desk::start(|_| ()).await;
    for (number, script) in SCRIPTS.into_iter().enumerate() {
        desk.raise(&[exception(number + 1, script)]).await;
        dead_letter(&desk, script).await;
    }
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    sign_in(&desk, &tab, "anna").await;
    for (number, script) in SCRIPTS.into_iter().enumerate() {
        let path = format!("{}/exceptions/{}", desk.url, exception(number + 1, "").exception_id);
        tab.open(&path).await;
        tab.fill("form[action$='/comment'] [name=comment]", script).await;
        tab.click("form[action$='/comment'] button").await;
        tab.reads(script).await;
        tab.fill("form[action$='/original'] [name=reason]", script).await;
        tab.click("form[action$='/original'] button").await;
        tab.reads(script).await;
        harmless(&tab, &path).await;
        let path = format!("{}/dead-letters/0@{number}", desk.url);
        tab.open(&path).await;
        tab.reads(script).await;
        harmless(&tab, &path).await;
    }
    let query = "%3Cscript%3Ewindow.stolen%3D1%3Balert(1)%3C%2Fscript%3E";
    for path in
        ["/", "/exceptions?state=all", "/dead-letters", "/audit", "/replay", "/replay/shadow", "/groups", "/topics"]
    {
        tab.open(&format!("{}{path}", desk.url)).await;
        harmless(&tab, path).await;
    }
    for path in
        ["/exceptions?code=", "/dead-letters?room=", "/trace?id=", "/errors/", "/topics/", "/groups/", "/audit?actor="]
    {
        tab.open(&format!("{}{path}{query}", desk.url)).await;
        harmless(&tab, path).await;
    }
    let elsewhere: Vec<_> = tab.requests().into_iter().filter(|url| !url.starts_with(&desk.url)).collect();
    assert_eq!(elsewhere, Vec::<String>::new());
    policy_holds(&tab, &desk).await;
    // The same words in a page without a policy do run: this test would see it.
    let page = format!("data:text/html,<p>{}", SCRIPTS[0]);
    tab.open_with_dialog(&page).await;
    assert_eq!(tab.events("Page.javascriptDialogOpening").len(), 1);
    tab.close().await;
    browser.end().await;
}

async fn harmless(tab: &Tab, what: &str) {
    assert_eq!(tab.eval("window.stolen === undefined").await, json!(true), "{what}");
    assert!(tab.events("Page.javascriptDialogOpening").is_empty(), "{what}");
    let scripts = tab.eval("Array.from(document.scripts).filter(one => !one.src || one.textContent).length").await;
    assert_eq!(scripts, json!(0), "{what}");
}

/// Even if a script came into a page, it would neither run nor tell anybody.
async fn policy_holds(tab: &Tab, desk: &Desk) {
    tab.open(&format!("{}/topics", desk.url)).await;
    tab.eval("document.body.insertAdjacentHTML('beforeend', '<img src=\"data:,\" onerror=\"window.stolen=4\">')").await;
    tab.eval(
        "(() => { const one = document.createElement('script'); one.textContent = 'window.stolen=5'; \
         document.body.append(one); })()",
    )
    .await;
    let told = tab.eval("fetch('http://127.0.0.1:9/stolen').then(() => 'told', () => 'kept')").await;
    assert_eq!(told, json!("kept"));
    let framed = format!(
        "new Promise(done => {{ const one = document.createElement('iframe'); one.src = '{}'; one.onload = () => done(true); \
         document.body.append(one); setTimeout(() => done(true), 1000); }})",
        desk.url
    );
    tab.eval(&framed).await;
    assert_eq!(tab.eval("window.stolen === undefined").await, json!(true));
    tab.until_event("Log.entryAdded", |params| {
        params["entry"]["text"].as_str().is_some_and(|text| text.contains("script-src"))
    })
    .await;
    let asked = tab.requests();
    assert!(!asked.iter().any(|url| url.contains("/stolen")), "{asked:?}");
}
