//! A console over a broker and a registry of its own, and somebody who looks at it as a browser does.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, of which each test uses some"
)]

use console::people::oidc::OidcConfig;
use console::people::password;
use console::people::session::Session;
use console::people::sha256_hex;
use console::{Console, ConsoleConfig, Listening, Role, Site, TokenConfig, UserConfig};
use operations::replay::ReplayRoom;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use runtime::{ShutdownTrigger, clock};
use schemas::{Audit, Exception, ExceptionKind, ExceptionState, Subject, Timestamp};
use std::sync::{Arc, LazyLock};
use testkit::openapi::{Answered, Promises};
use testkit::parts::free_port;
use testkit::stack::{PATIENCE, Stack};

pub const KEY: &str = "the key of a test, 32 characters";
pub const PASSWORD: &str = "correct horse battery";
pub const TOKEN: &str = "the token of a program";

/// Hashing is dear on purpose: once for all tests of a process.
pub static HASH: LazyLock<String> = LazyLock::new(|| password::hash(PASSWORD).unwrap());

/// What the document of the API promises.
pub static PROMISES: LazyLock<Promises> = LazyLock::new(|| Promises::new(console::openapi::document()));

/// Everything that runs.
pub struct Place {
    pub stack: Stack,
    pub console: Arc<Console>,
    pub url: String,
    pub client: Client,
    _stop: ShutdownTrigger,
}

/// Somebody who has signed in.
pub struct Browser<'a> {
    place: &'a Place,
    pub cookie: String,
    pub token: String,
}

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Place {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(adjust: impl FnOnce(&mut ConsoleConfig)) -> Self {
        Self::over(Stack::start().await, adjust).await
    }

    /// The same with an identity provider, which sends people back to an address that is known before.
    pub async fn with_provider(oidc: OidcConfig, adjust: impl FnOnce(&mut ConsoleConfig)) -> Self {
        Self::with(|config| {
            let address = format!("127.0.0.1:{}", free_port());
            config.origin = Some(format!("http://{address}"));
            config.listen = address;
            config.oidc = Some(oidc);
            adjust(config);
        })
        .await
    }

    /// The same over what is there already.
    pub async fn over(stack: Stack, adjust: impl FnOnce(&mut ConsoleConfig)) -> Self {
        Self::standing(stack, Vec::new(), adjust).await
    }

    /// The same before rooms that run elsewhere.
    pub async fn before(rooms: Vec<ReplayRoom>, adjust: impl FnOnce(&mut ConsoleConfig)) -> Self {
        Self::standing(Stack::start().await, rooms, adjust).await
    }

    async fn standing(stack: Stack, rooms: Vec<ReplayRoom>, adjust: impl FnOnce(&mut ConsoleConfig)) -> Self {
        let user = |role| UserConfig { role, password_hash: HASH.as_str().into() };
        let mut config = ConsoleConfig {
            listen: "127.0.0.1:0".to_owned(),
            session_key: Some(KEY.into()),
            users: [
                ("vic".to_owned(), user(Role::Viewer)),
                ("olga".to_owned(), user(Role::Operator)),
                ("oscar".to_owned(), user(Role::Operator)),
                ("anna".to_owned(), user(Role::Approver)),
                ("adele".to_owned(), user(Role::Administrator)),
            ]
            .into(),
            tokens: [(
                "ci".to_owned(),
                TokenConfig { role: Role::Operator, sha256: sha256_hex(TOKEN.as_bytes()).into() },
            )]
            .into(),
            ..ConsoleConfig::default()
        };
        config.bounds.cached_ms = 50;
        // They follow a dozen topics, so only those have them who look at them.
        config.service_levels = false;
        adjust(&mut config);
        let (console, url, trigger) = served(&stack, rooms, config).await;
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { stack, console, url, client, _stop: trigger }
    }

    /// The URL of another replica of the console, as long as the trigger lives.
    pub async fn replica(&self) -> (String, ShutdownTrigger) {
        let (_, url, trigger) = served(&self.stack, Vec::new(), self.console.config.clone()).await;
        (url, trigger)
    }

    /// Waits until a page is read, as the script of one does that is filling itself.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).header("wardline-waits", "1")
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    /// A form as a browser sends it.
    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        self.request(Method::POST, path)
            .header("origin", &self.url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(encoded(fields))
    }

    pub async fn sign_in(&self, user: &str, password: &str) -> Answer {
        answer(self.form("/sign-in", &[("user", user), ("password", password)])).await
    }

    /// Signs in and finds the token of the forms.
    pub async fn browser(&self, user: &str) -> Browser<'_> {
        let signed_in = self.sign_in(user, PASSWORD).await;
        assert_eq!(signed_in.status, StatusCode::SEE_OTHER, "{}", signed_in.text);
        let cookie = signed_in.cookie("wardline=").unwrap();
        let page = answer(self.request(Method::GET, "/topics").header("cookie", &cookie)).await;
        let token = between(&page.text, "name=\"form_token\" value=\"", "\"");
        Browser { place: self, cookie, token }
    }

    /// The cookie of a session that this test has signed itself.
    pub fn cookie_of(&self, session: &Session) -> String {
        format!("wardline={}", self.console.sessions.cookie(session, &HASH))
    }

    /// A call of a program.
    pub async fn call(&self, method: Method, path: &str, body: Option<serde_json::Value>) -> Answer {
        let request = self.request(method, path).header("authorization", format!("Bearer {TOKEN}"));
        answer(match body {
            None => request,
            Some(body) => request.json(&body),
        })
        .await
    }

    /// Publishes exceptions and waits until the console shows them.
    pub async fn raise(&self, exceptions: &[Exception]) {
        self.stack.publish(exceptions).await;
        let mut changes = self.console.exceptions.changes();
        let shown = |exception: &Exception| self.console.exceptions.row(&exception.exception_id).is_some();
        let all_shown = async {
            while !exceptions.iter().all(shown) {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, all_shown).await.expect("the exceptions are not shown");
    }

    /// Waits until this is on the audit topic.
    pub async fn audited(&self, wanted: impl Fn(&Audit) -> bool) -> Audit {
        let found = self.stack.until::<Audit>("such a record", |all| all.iter().any(&wanted)).await;
        found.into_iter().find(wanted).unwrap()
    }
}

/// A console over a stack, its URL, and what stops it.
async fn served(
    stack: &Stack,
    rooms: Vec<ReplayRoom>,
    config: ConsoleConfig,
) -> (Arc<Console>, String, ShutdownTrigger) {
    let (trigger, stop) = runtime::shutdown();
    let site = Site { config: Arc::clone(&stack.config), rooms, health: None, erp: Err("there is none".to_owned()) };
    let console = Console::start(config, site, &stop).unwrap();
    let listening = Listening::bind(Arc::clone(&console)).await.unwrap();
    let url = format!("http://{}", listening.address());
    tokio::spawn(listening.serve(stop));
    console.exceptions.until_caught_up(PATIENCE).await.unwrap();
    (console, url, trigger)
}

impl Browser<'_> {
    pub async fn get(&self, path: &str) -> Answer {
        answer(self.place.request(Method::GET, path).header("cookie", &self.cookie)).await
    }

    /// What a browser shows first: of a page that takes a while, that it is being read.
    pub async fn first(&self, path: &str) -> Answer {
        let request = self.place.client.get(format!("{}{path}", self.place.url));
        answer(request.header("cookie", &self.cookie)).await
    }

    /// A page with all its parts: it is asked for again while it says that one is still being read.
    pub async fn whole(&self, path: &str) -> Answer {
        let started = clock::tick();
        loop {
            let answer = self.get(path).await;
            if !answer.text.contains("<body data-live=\"400\">") {
                return answer;
            }
            assert!(clock::tick().since(started) < PATIENCE, "{path} is not whole: {}", answer.text);
        }
    }

    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        self.place.form(path, fields).header("cookie", &self.cookie)
    }

    /// Sends a form of a page, with its token.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let fields = [fields, &[("form_token", self.token.as_str())]].concat();
        answer(self.form(path, &fields)).await
    }
}

impl Answer {
    /// The cookie that begins so, as it is sent back.
    pub fn cookie(&self, start: &str) -> Option<String> {
        let all = self.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok());
        let found = all.into_iter().find(|value| value.starts_with(start))?;
        found.split(';').next().map(str::to_owned)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(HeaderValue::to_str).map_or("", |value| value.unwrap_or("?"))
    }

    /// That the document of the API promises it, if it is an answer of the API.
    pub fn is_promised(&self, method: &Method, path: &str) {
        if !path.starts_with("/api/v1/") || method == Method::HEAD {
            return;
        }
        let (status, content_type) = (self.status.as_u16(), self.header("content-type"));
        let answered = Answered { method: method.as_str(), path, status, content_type, body: &self.text };
        let faults = PROMISES.faults(&answered);
        assert!(
            faults.is_empty(),
            "{method} {path} {status} is not as promised:\n{}\n{}",
            faults.join("\n"),
            self.text
        );
    }

    /// That it is a refusal with this status and code.
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert!(self.text.contains(code), "{code}: {}", self.text);
    }
}

/// Sends it. What a call of the API answers is compared with what the document promises.
pub async fn answer(request: RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let response = client.execute(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let answer = Answer { status, headers, text: response.text().await.unwrap() };
    answer.is_promised(&method, &path);
    answer
}

pub fn encoded(fields: &[(&str, &str)]) -> String {
    let escape = |text: &str| {
        text.bytes()
            .map(
                |byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") },
            )
            .collect::<String>()
    };
    fields.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect::<Vec<_>>().join("&")
}

pub fn between(text: &str, before: &str, after: &str) -> String {
    let start = text.find(before).unwrap_or_else(|| panic!("no {before:?} in {text}")) + before.len();
    text[start..].split(after).next().unwrap().to_owned()
}

/// An exception of validate whose event is parked, about an item.
pub fn exception(number: usize, origin_topic: &str) -> Exception {
    Exception {
        exception_id: format!("00000000-0000-5000-8000-{number:012}"),
        kind: ExceptionKind::Raised,
        state: ExceptionState::Open,
        room: "validate".to_owned(),
        stage: "process".to_owned(),
        code: "WL-4001".to_owned(),
        message: "the item is not in the item master".to_owned(),
        suggested_fix: Some("Add the item to the item master.".to_owned()),
        subject: Some(Subject { kind: "master.item.v1".to_owned(), key: "4711".to_owned() }),
        origin_topic: Some(origin_topic.to_owned()),
        origin_partition: Some(0),
        origin_offset: Some(i64::try_from(number).unwrap()),
        raw_value: Some(MESSAGE[..].into()),
        raised_at: Timestamp(runtime::clock::now_micros()),
        at: Timestamp(runtime::clock::now_micros()),
        parked_key: true,
        ..Exception::default()
    }
}

/// A message with a name of a patient, and with what a browser would run.
pub const MESSAGE: &[u8] =
    b"MSH|^~\\&|EPIC|<script>alert(1)</script>|WL|GENERAL|20260302||ADT^A01|1|P|2.5.1\rPID|1||M1^^^GENERAL^MR||Abel^Ada\r";
