//! What somebody tries who should not: each attempt is refused or harmless, over the wire, and on record where it counts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::{Answer, Browser, PASSWORD, Place, answer, encoded, exception};
use console::people::{Right, sha256_hex};
use console::routes::{API, Method as Way, ROUTES, Route};
use console::{Role, TokenConfig};
use reqwest::Method;
use runtime::outgoing::Outgoing;
use schemas::{Exception, Subject, topics};
use serde_json::json;
use std::borrow::Cow;
use testkit::until_found;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ROLES: [Role; 4] = [Role::Viewer, Role::Operator, Role::Approver, Role::Administrator];
/// What a browser would run or load, in the places where senders and people write.
const SCRIPTS: [&str; 5] = [
    "<script>steal(1)</script>",
    "\"><img src=x onerror=steal(2)>",
    "'-steal(3)-'",
    "</title><svg onload=steal(4)>",
    "javascript:steal(5)",
];

/// A console with a token per role, and every denied attempt on record.
async fn start() -> Place {
    Place::with(|config| {
        config.service_levels = false;
        config.bounds.denied_per_minute = 100_000;
        for role in ROLES {
            let sha256 = sha256_hex(token(role).as_bytes()).into();
            config.tokens.insert(role.name().to_owned(), TokenConfig { role, sha256 });
        }
    })
    .await
}

fn token(role: Role) -> String {
    format!("the token of one {}", role.name())
}

/// What stands in the place of the named parts of a path.
fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "0-4711" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

fn method(route: &Route) -> Method {
    match route.method {
        Way::Get => Method::GET,
        Way::Post => Method::POST,
    }
}

/// The least role that may do it, by what it is and not by what the table of routes says.
fn least(route: &Route) -> Option<Role> {
    let path = route.page.or(route.api).unwrap();
    let last = path.rsplit('/').next().unwrap();
    match (route.method, last) {
        _ if path.starts_with("/sign-") || path.starts_with("/assets/") || path == "/openapi.json" => None,
        _ if path.starts_with("/people") => Some(Role::Administrator),
        (Way::Get, _) => Some(Role::Viewer),
        (Way::Post, "approve" | "approve-discard") => Some(Role::Approver),
        (Way::Post, _) => Some(Role::Operator),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_what_it_may_and_nothing_else() {
    let place = start().await;
    let mut denied = 0;
    for route in ROUTES {
        let Some(least) = least(route) else {
            assert_eq!(route.right, Right::Open, "{}", route.what);
            continue;
        };
        let Some(path) = route.api else { continue };
        let path = format!("{API}{}", filled(path));
        answer(place.request(method(route), &path)).await.refused(401, "WL-7122");
        for role in ROLES {
            let request =
                place.request(method(route), &path).header("authorization", format!("Bearer {}", token(role)));
            let said = answer(request).await;
            let what = format!("{} as {}: {} {}", route.what, role.name(), said.status, said.text);
            if role < least {
                assert!(said.status == 403 && said.text.contains("WL-7125"), "{what}");
                denied += 1;
            } else {
                assert!(said.status != 401 && said.status != 403 && said.status != 500, "{what}");
            }
        }
    }
    assert!(denied >= 10, "{denied}");
    let wanted = |audit: &schemas::Audit| audit.code == "WL-7125" && audit.actor.as_deref() == Some("token:operator");
    place.audited(wanted).await;
    let all = until_found("each denied attempt is on record", async || {
        let all = place.stack.events::<schemas::Audit>().await;
        let found = all.iter().filter(|audit| audit.code == "WL-7125").count();
        (found >= denied).then_some(found)
    })
    .await;
    assert_eq!(all, denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_form_of_another_site_does_anything() {
    let place = start().await;
    place.raise(&[exception(1, "supply.purchase-order.v1")]).await;
    let browser = place.browser("adele").await;
    let fields = [("comment", "c"), ("reason", "curiosity"), ("form_token", browser.token.as_str())];
    let sent = |path: &str, headers: &[(&str, &str)]| {
        let mut request = place.request(Method::POST, path).header("cookie", &browser.cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.header("content-type", "application/x-www-form-urlencoded").body(encoded(&fields))
    };
    let mut tried = 0;
    for route in ROUTES.iter().filter(|route| route.method == Way::Post && route.right != Right::Open) {
        let path = filled(route.page.unwrap());
        for headers in [
            &[("origin", "https://evil.example")][..],
            &[("origin", "null")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("origin", &place.url)],
            &[("referer", &place.url)],
        ] {
            answer(sent(&path, headers)).await.refused(403, "WL-7126");
            tried += 1;
        }
        let without = place.form(&path, &[("comment", "c")]).header("cookie", &browser.cookie);
        answer(without).await.refused(403, "WL-7127");
        let plain = place.request(Method::POST, &path).header("cookie", &browser.cookie).header("origin", &place.url);
        answer(plain.header("content-type", "text/plain").body("comment=c")).await.refused(415, "WL-7131");
        // A call with a cookie needs what a form needs.
        let api = format!("{API}{}", filled(route.api.unwrap()));
        let call = place.request(Method::POST, &api).header("cookie", &browser.cookie).json(&json!({"comment": "c"}));
        answer(call).await.refused(403, "WL-7126");
    }
    assert!(tried >= 50, "{tried}");
    let id = exception(1, "").exception_id;
    let row = place.console.exceptions.row(&id).unwrap();
    assert_eq!((row.state, row.assignee), (schemas::ExceptionState::Open, None));
    place.audited(|audit| audit.code == "WL-7126" && audit.actor.as_deref() == Some("adele")).await;
    place.audited(|audit| audit.code == "WL-7127").await;
    // Signing in is no right, but it is no business of another site either.
    let form = place.request(Method::POST, "/sign-in").header("origin", "https://evil.example");
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    answer(form.body(encoded(&[("user", "vic"), ("password", PASSWORD)]))).await.refused(403, "WL-7126");
}

/// An exception in which every text is an attack.
fn poisoned(number: usize, script: &str) -> Exception {
    let message = format!(
        "MSH|^~\\&|{script}|F|WL|H|20260302||ADT^A01|1|P|2.5.1\rPID|1||{script}^^^H^MR||{script}^Ada\r\
         ORC|RE|{script}|F||CM\rOBX|1|ST|{script}^x||{script}||||||F\r"
    );
    let text = script.to_owned();
    Exception {
        message: text.clone(),
        stage: text.clone(),
        room: text.clone(),
        version: text.clone(),
        suggested_fix: Some(text.clone()),
        comment: Some(text.clone()),
        actor: Some(text.clone()),
        assignee: Some(text.clone()),
        origin_event_id: Some(text.clone()),
        field_paths: vec![text.clone()],
        subject: Some(Subject { kind: text.clone(), key: text }),
        raw_value: Some(message.into_bytes().into()),
        ..exception(number, "supply.purchase-order.v1")
    }
}

fn is_harmless(answer: &Answer, what: &str) {
    // A filter may be refused because nothing is called so.
    assert!(answer.status.is_success() || answer.status == 422, "{what}: {}", answer.text);
    let policy = answer.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{what}: {policy}");
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{what}: {policy}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
    if answer.header("content-type") == "application/json" {
        return;
    }
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{what}");
    let text = answer.text.to_lowercase();
    for live in ["<script>", "<img", "<svg onload", "href=\"javascript", "src=\"javascript", "\"><img", " onerror=\""] {
        assert!(!text.contains(live), "{what}: {live} in {text}");
    }
    assert_eq!(text.matches("<script").count(), 1, "{what}: one script, of a file, in {text}");
    for script in SCRIPTS.iter().filter(|script| script.contains('<')) {
        assert!(!answer.text.contains(script), "{what}: {script} in {}", answer.text);
    }
}

/// Dead letters that say all of it about themselves.
async fn poisoned_letters(place: &Place) {
    for script in SCRIPTS {
        let facts = [
            "wl_room",
            "wl_stage",
            "wl_code",
            "wl_reason",
            "wl_origin",
            "wl_version",
            "wl_topic",
            "wl_partition",
            "wl_offset",
            "ce_id",
            "ce_source",
        ];
        let headers = facts.map(|name| (Cow::Borrowed(name), Some(script.as_bytes().to_vec().into())));
        let topic = Cow::Borrowed(topics::OPS_DEAD_LETTER_V1.name());
        let value = Some(script.as_bytes().to_vec().into());
        let letter = Outgoing {
            topic,
            partition: Some(0),
            key: None,
            value,
            headers: headers.into_iter().collect(),
            ticket: None,
        };
        place.stack.publish_raw(&[letter]).await;
    }
}

/// What a sender calls its room, topic and place leads nowhere, and what people say of a dead letter is text.
async fn letters_are_harmless(place: &Place, browser: &Browser<'_>) {
    for (letter, script) in SCRIPTS.iter().enumerate() {
        let path = format!("/dead-letters/0@{letter}");
        is_harmless(&browser.get(&path).await, &path);
        is_harmless(&browser.post(&format!("{path}/original"), &[("reason", "to look at it")]).await, &path);
        let call = place.call(Method::GET, &format!("{API}{path}"), None).await;
        assert!(call.json()["again"].is_null(), "{}", call.text);
        let why = format!("{script} steal");
        assert_eq!(browser.post(&format!("{path}/settle"), &[("reason", &why)]).await.status, 303);
        is_harmless(&browser.get(&path).await, &path);
    }
    is_harmless(&browser.get("/dead-letters?state=all").await, "settled ones");
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_of_senders_and_people_are_text_on_every_page_and_in_every_call() {
    let place = start().await;
    let all: Vec<_> = SCRIPTS.iter().enumerate().map(|(number, script)| poisoned(number + 1, script)).collect();
    place.raise(&all).await;
    poisoned_letters(&place).await;
    let browser = place.browser("anna").await;
    for exception in &all {
        let path = format!("/exceptions/{}", exception.exception_id);
        for script in SCRIPTS {
            assert_eq!(browser.post(&format!("{path}/comment"), &[("comment", script)]).await.status, 303);
        }
        browser.post(&format!("{path}/assign"), &[("to", "oscar")]).await;
        is_harmless(&browser.get(&path).await, &path);
        let shown = browser.post(&format!("{path}/original"), &[("reason", "<script>steal(6)</script> why")]).await;
        is_harmless(&shown, "the original");
        assert!(
            shown.text.contains("&lt;script&gt;steal(1)") || !exception.message.starts_with("<script>"),
            "{}",
            shown.text
        );
        let call = place.call(Method::GET, &format!("{API}{path}"), None).await;
        is_harmless(&call, "the call");
        assert_eq!(call.json()["message"], exception.message, "text stays as it is");
    }
    let query = |script: &str| encoded(&[("code", script), ("room", script)]);
    for path in ["/", "/exceptions?state=all", "/dead-letters", "/audit", "/replay", "/topics", "/trace"] {
        is_harmless(&browser.get(path).await, path);
        let call = if path == "/" { "/overview" } else { path };
        if path != "/trace" {
            is_harmless(&place.call(Method::GET, &format!("{API}{call}"), None).await, call);
        }
    }
    for script in SCRIPTS {
        is_harmless(&browser.get(&format!("/exceptions?{}", query(script))).await, "a filter");
        is_harmless(&browser.get(&format!("/dead-letters?{}", query(script))).await, "a filter");
        for path in ["/errors/", "/topics/", "/exceptions/", "/replay/", "/dead-letters/"] {
            let escaped = encoded(&[("", script)]);
            let page = browser.get(&format!("{path}{}", escaped.trim_start_matches('='))).await;
            assert!(page.status.is_client_error(), "{path}{script}: {}", page.status);
            assert!(!page.text.contains(script) || script.starts_with(['j', '\'']), "{path}{script}: {}", page.text);
        }
    }
    letters_are_harmless(&place, &browser).await;
    for script in SCRIPTS {
        let filled = encoded(&["room", "topic", "reason"].map(|name| (name, script)));
        is_harmless(&browser.get(&format!("/replay?{filled}")).await, "a form that is filled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_led_to_another_site_and_no_header_is_slipped_in() {
    let place = start().await;
    for then in [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        " //evil.example",
        "javascript:alert(1)",
        "/sign-out",
        "data:text/html,x",
    ] {
        let signed_in =
            answer(place.form("/sign-in", &[("user", "vic"), ("password", PASSWORD), ("then", then)])).await;
        assert_eq!((signed_in.status.as_u16(), signed_in.header("location")), (303, "/"), "{then}");
    }
    for then in ["/\tevil.example", "/x\r\nset-cookie: a=b", "/\u{0}"] {
        let form = place.form("/sign-in", &[("user", "vic"), ("password", PASSWORD), ("then", then)]);
        answer(form).await.refused(422, "WL-7131");
    }
    place.raise(&[exception(1, "supply.purchase-order.v1")]).await;
    let browser = place.browser("olga").await;
    let path = format!("/exceptions/{}/comment", exception(1, "").exception_id);
    let sent = browser.post(&path, &[("comment", "a\r\nset-cookie: wardline=evil\r\n\r\n<script>")]).await;
    assert_eq!(sent.status, 303, "{}", sent.text);
    assert!(sent.cookie("wardline=evil").is_none() && sent.headers.get_all("set-cookie").iter().count() <= 2);
    let page = browser.get("/exceptions?state=all%0d%0ax-evil:1").await;
    assert!(page.status == 422 && page.header("x-evil").is_empty(), "{}", page.text);
    // The sentence of the last act is a cookie: whoever writes it themselves reads it as text.
    let said = place
        .request(Method::GET, "/topics")
        .header("cookie", format!("{}; wardline-said=%3Cscript%3Esteal%281%29%3C%2Fscript%3E", browser.cookie));
    is_harmless(&answer(said).await, "a sentence of the visitor");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out_and_no_method_is_guessed() {
    let place = start().await;
    let browser = place.browser("anna").await;
    let address = place.url.trim_start_matches("http://").to_owned();
    for path in [
        "/assets/x/../../../Cargo.toml",
        "/assets/x/..%2f..%2f..%2fCargo.toml",
        "/assets/x/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/assets/../exceptions",
        "/exceptions/../../etc/passwd",
        "/exceptions/%00",
        "/exceptions/%ff%fe",
        "/errors/..%2f..%2fREADME",
        "/errors/../README",
        "/topics/..%2faudit",
        "/dead-letters/-1@0",
        "/dead-letters/99999999999999999999@0",
        "/dead-letters/0@-1",
        "/replay/..%2f..",
        "//evil.example/",
        "/exceptions/",
        "/Exceptions",
        "/api/v1/../../audit",
        "/api/v2/audit",
    ] {
        // As it is, because a client that behaves would tidy it up.
        let text = raw(
            &address,
            &format!(
                "GET {path} HTTP/1.1\r\nhost: {address}\r\ncookie: {}\r\nwardline-waits: 1\r\nconnection: close\r\n\r\n",
                browser.cookie
            ),
        )
        .await;
        let status = text.split(' ').nth(1).unwrap_or_default();
        assert!(["400", "404", "422"].contains(&status), "{path}: {text}");
        assert!(!text.contains("root:") && !text.contains("[package]"), "{path}: {text}");
    }
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "CONNECT", "BREW"] {
        let answered = answer(place.request(method.parse().unwrap(), "/audit").header("cookie", &browser.cookie)).await;
        assert!([404, 405].contains(&answered.status.as_u16()), "{method}: {}", answered.status);
    }
    let disguised = place.request(Method::POST, "/audit").header("x-http-method-override", "GET");
    answer(disguised.header("cookie", &browser.cookie)).await.refused(405, "WL-7130");
}

#[tokio::test(flavor = "multi_thread")]
async fn bnd_1_what_is_too_long_too_deep_or_never_ends_is_cut_off() {
    let place = Place::with(|config| {
        config.service_levels = false;
        config.bounds.head_timeout_ms = 300;
    })
    .await;
    let address = place.url.trim_start_matches("http://").to_owned();
    let head =
        "POST /sign-in HTTP/1.1\r\nhost: h\r\norigin: http://h\r\ncontent-type: application/x-www-form-urlencoded\r\n";
    // A body without a length is counted as it comes.
    let endless =
        format!("{head}transfer-encoding: chunked\r\n\r\n{}", format!("8000\r\n{}\r\n", "x".repeat(32_768)).repeat(4));
    assert!(raw(&address, &endless).await.starts_with("HTTP/1.1 413"));
    // Two lengths, and a length that is none: no second request hides in the first.
    for lengths in ["content-length: 5\r\ncontent-length: 50\r\n", "content-length: -1\r\n", "content-length: 5x\r\n"] {
        let text = raw(&address, &format!("{head}{lengths}\r\nuser=GET /audit HTTP/1.1\r\n\r\n")).await;
        assert!(text.starts_with("HTTP/1.1 400"), "{lengths}: {text}");
        assert_eq!(text.matches("HTTP/1.1").count(), 1, "{text}");
    }
    // Somebody who sends a letter a minute holds no place.
    let text = raw(&address, "GET /sign-in HTTP/1.1\r\nhost: h\r\nx-slow: ").await;
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
    let deep = format!("{{\"comment\": {}", "[".repeat(30_000));
    let call = |body: String| {
        let request =
            place.request(Method::POST, "/api/v1/exceptions/x/comment").header("content-type", "application/json");
        request.header("authorization", format!("Bearer {}", common::TOKEN)).body(body)
    };
    answer(call(deep)).await.refused(422, "WL-7131");
    let many: Vec<String> = (0..5_000).map(|number| format!("\"f{number}\": 1")).collect();
    answer(call(format!("{{{}}}", many.join(",")))).await.refused(422, "WL-7131");
    assert_eq!(place.sign_in("vic", PASSWORD).await.status, 303, "others are served all the while");
}

#[tokio::test(flavor = "multi_thread")]
async fn bnd_1_guessing_passwords_ends_by_address_and_by_name_whatever_is_told_of_addresses() {
    let place = Place::with(|config| {
        config.service_levels = false;
        config.proxies = 1;
        config.attempts.per_name_and_address = 3;
        config.attempts.per_address = 6;
        config.attempts.per_name = 5;
    })
    .await;
    let guess = async |user: &str, told: &str, password: &str| {
        let fields = [("user", user), ("password", password)];
        answer(place.form("/sign-in", &fields).header("x-forwarded-for", told)).await.status.as_u16()
    };
    // Many names from one address, which claims others in front of what the proxy adds.
    let mut from_one = Vec::new();
    for number in 0..8 {
        from_one.push(guess(&format!("name{number}"), &format!("10.9.9.{number}, 192.0.2.1"), "guess").await);
    }
    assert_eq!(from_one, [401, 401, 401, 401, 401, 401, 429, 429]);
    // One name from many addresses: those who know the password wait too, but not for ever, and others do not.
    let mut of_one = Vec::new();
    for number in 0..7 {
        of_one.push(guess("vic", &format!("192.0.2.{}", 10 + number), "guess").await);
    }
    assert_eq!(of_one, [401, 401, 401, 401, 401, 429, 429]);
    assert_eq!(guess("vic", "192.0.2.99", PASSWORD).await, 429);
    assert_eq!(guess("olga", "192.0.2.99", PASSWORD).await, 303);
    place.audited(|audit| audit.code == "WL-7124" && audit.detail.contains("192.0.2.1")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_the_password_the_key_and_the_user() {
    let place = start().await;
    let session = place.console.sessions.open("vic", place.console.now_s());
    let own = place.cookie_of(&session);
    let with =
        async |cookie: String| answer(place.request(Method::GET, "/topics").header("cookie", cookie)).await.status;
    assert_eq!(with(own.clone()).await, 200);
    let foreign = console::people::session::Sessions::new("another key of 32 characters ....", 600, 600).unwrap();
    let hash = place.console.hash_of("vic").unwrap();
    let vouched = Some(console::people::session::Vouched { role: Role::Administrator, until_s: i64::MAX });
    let raised = console::people::session::Session { vouched, ..session.clone() };
    for (what, cookie) in [
        ("of another key", foreign.cookie(&session, hash)),
        ("of a former password", place.console.sessions.cookie(&session, "a former hash")),
        ("of nobody", place.console.sessions.cookie(&place.console.sessions.open("gone", place.console.now_s()), "")),
        ("raised by a provider that is none", place.console.sessions.cookie(&raised, hash)),
        ("a token", token(Role::Administrator)),
    ] {
        assert_eq!(with(format!("wardline={cookie}")).await, 303, "{what}");
    }
    // Two cookies of that name: the first counts, and it is forged.
    assert_eq!(with(format!("wardline=x.y; {own}")).await, 303);
}

/// Sends bytes as they are and reads until the end.
async fn raw(address: &str, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other side may close before it has read all.
    drop(stream.write_all(bytes.as_bytes()).await);
    let mut text = Vec::new();
    let reading = async {
        let mut buffer = [0; 4_096];
        while let Ok(read) = stream.read(&mut buffer).await {
            if read == 0 {
                break;
            }
            text.extend_from_slice(&buffer[..read]);
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), reading).await.expect("the connection stays open");
    String::from_utf8_lossy(&text).into_owned()
}
