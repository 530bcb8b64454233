//! A real browser that people could sit at: it opens pages, types, clicks and looks, and tells what a page tried.

mod pipe;

pub use pipe::Event;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use components::Progress;
use pipe::Pipe;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// How long a page may take to become what a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The variable with the folder for pictures.
const PICTURES: &str = "WARDLINE_PICTURES";
/// Between two looks.
const LOOK: Duration = Duration::from_millis(25);
/// Rules of WCAG 2.2 at the levels A and AA, and what their makers call good practice.
const AXE_RUN: &str = "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'], \
                       resultTypes: ['violations']})\
                       .then(found => found.violations.map(one => one.id + ': ' + one.help + ' at ' + \
                       one.nodes.map(node => node.target.join(' ')).join(', ')))";

/// A running browser.
pub struct Browser {
    pipe: Arc<Pipe>,
    axe: String,
    _profile: TempDir,
}

/// One tab, with cookies of its own.
pub struct Tab {
    pipe: Arc<Pipe>,
    session: String,
    context: String,
    axe: String,
}

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Width, CSS pixels.
    pub width: u32,
    /// Height, CSS pixels.
    pub height: u32,
    /// Whether the person wants dark pages.
    pub dark: bool,
}

impl Look {
    /// On a desk, in the light.
    pub const DESK: Self = Self { width: 1_280, height: 900, dark: false };
    /// On a desk, at night.
    pub const NIGHT: Self = Self { dark: true, ..Self::DESK };
    /// On a telephone.
    pub const PHONE: Self = Self { width: 360, height: 740, dark: false };
}

impl Browser {
    /// Starts it; what is missing is fetched.
    ///
    /// # Panics
    /// When there is no Chromium and none can be installed: a test that needs it fails.
    pub async fn start() -> Self {
        let parts = tokio::task::spawn_blocking(|| components::Browser::ensure(&Progress::stderr())).await.unwrap();
        let parts = parts.unwrap_or_else(|error| panic!("{error}"));
        let profile = TempDir::new().unwrap();
        let pipe = Arc::new(Pipe::start(&parts.chromium, profile.path()));
        pipe.call(None, "Browser.getVersion", json!({})).await;
        let axe = std::fs::read_to_string(&parts.axe).unwrap();
        Self { pipe, axe, _profile: profile }
    }

    /// A new tab, as if of another person.
    pub async fn tab(&self) -> Tab {
        let text = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
        let context = text(&self.pipe.call(None, "Target.createBrowserContext", json!({})).await, "browserContextId");
        let wanted = json!({"url": "about:blank", "browserContextId": context});
        let target = text(&self.pipe.call(None, "Target.createTarget", wanted).await, "targetId");
        let attach = json!({"targetId": target, "flatten": true});
        let session = text(&self.pipe.call(None, "Target.attachToTarget", attach).await, "sessionId");
        let tab = Tab { pipe: Arc::clone(&self.pipe), session, context, axe: self.axe.clone() };
        for domain in ["Page.enable", "Runtime.enable", "Network.enable", "Log.enable"] {
            tab.call(domain, json!({})).await;
        }
        tab.look(Look::DESK).await;
        tab
    }

    /// Ends it. All tabs must be closed.
    pub async fn end(self) {
        Arc::into_inner(self.pipe).expect("a tab is open").end().await;
    }
}

impl Tab {
    /// Opens an address and waits until the page is there.
    pub async fn open(&self, url: &str) {
        self.mark().await;
        let opened = self.call("Page.navigate", json!({"url": url})).await;
        assert!(opened.get("errorText").is_none(), "{url}: {opened}");
        self.until_loaded().await;
    }

    /// What an expression gives. The policy of a page does not bind it, because it is not the page that asks.
    pub async fn eval(&self, expression: &str) -> Value {
        let wanted = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", wanted).await;
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"].get("value").cloned().unwrap_or_default()
    }

    /// Waits until an expression is true. A page that is on its way counts as not yet.
    pub async fn until(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        let wanted = json!({"expression": format!("!!({expression})"), "returnByValue": true});
        loop {
            let answer = self.pipe.try_call(Some(&self.session), "Runtime.evaluate", &wanted).await;
            if answer.is_ok_and(|answer| answer["result"]["value"] == json!(true)) {
                return;
            }
            if Instant::now() > deadline {
                panic!("never: {expression}\nat {}\n{}", self.eval("location.href").await, self.text().await);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The text that a person reads.
    pub async fn text(&self) -> String {
        self.eval("document.body ? document.body.innerText : ''").await.as_str().unwrap_or_default().to_owned()
    }

    /// Path and query of the page.
    pub async fn path(&self) -> String {
        self.eval("location.pathname + location.search").await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a person reads this.
    pub async fn reads(&self, text: &str) {
        self.until(&format!("document.body && document.body.innerText.includes({})", json!(text))).await;
    }

    /// Types into a field, in the place of what stands there.
    pub async fn fill(&self, selector: &str, text: &str) {
        let field = json!(selector);
        self.until(&format!("document.querySelector({field})")).await;
        self.eval(&format!(
            "(() => {{ const one = document.querySelector({field}); const box = one.closest('details'); \
                            if (box) box.open = true; one.focus(); if (one.select) one.select(); }})()"
        ))
        .await;
        self.call("Input.insertText", json!({"text": text})).await;
        let typed = self.eval(&format!("document.querySelector({field}).value")).await;
        assert_eq!(typed.as_str(), Some(text), "{selector}");
    }

    /// Types where the focus is.
    pub async fn type_text(&self, text: &str) {
        self.call("Input.insertText", json!({"text": text})).await;
    }

    /// Opens a page that asks something before it is there, and answers.
    pub async fn open_with_dialog(&self, url: &str) {
        let navigate = json!({"url": url});
        let opening = self.pipe.try_call(Some(&self.session), "Page.navigate", &navigate);
        let answering = async {
            self.until_event("Page.javascriptDialogOpening", |_| true).await;
            self.call("Page.handleJavaScriptDialog", json!({"accept": true})).await;
        };
        let (opened, ()) = tokio::join!(opening, answering);
        opened.unwrap();
    }

    /// Waits until the browser tells something of the tab.
    pub async fn until_event(&self, method: &str, wanted: impl Fn(&Value) -> bool) {
        testkit::until(method, || self.events(method).iter().any(|event| wanted(&event.params))).await;
    }

    /// Chooses an entry of a list by its value.
    pub async fn choose(&self, selector: &str, value: &str) {
        let (field, value) = (json!(selector), json!(value));
        self.eval(&format!(
            "(() => {{ const one = document.querySelector({field}); const box = one.closest('details'); \
             if (box) box.open = true; one.value = {value}; \
             one.dispatchEvent(new Event('change', {{bubbles: true}})); }})()"
        ))
        .await;
        assert_eq!(self.eval(&format!("document.querySelector({field}).value")).await, value, "{selector}");
    }

    /// Ticks a box with the mouse.
    pub async fn tick(&self, selector: &str) {
        self.press_at(selector).await;
        let ticked = self.eval(&format!("document.querySelector({}).checked", json!(selector))).await;
        assert_eq!(ticked, json!(true), "{selector}");
    }

    /// Presses the mouse where the element stands, and waits for the page that follows.
    pub async fn click(&self, selector: &str) {
        self.mark().await;
        self.press_at(selector).await;
        self.until_loaded().await;
    }

    /// Presses the mouse where the element stands, on its first line; no new page follows.
    pub async fn press_at(&self, selector: &str) {
        let element = json!(selector);
        self.until(&format!("document.querySelector({element})")).await;
        let place = self
            .eval(&format!(
                "(() => {{ const one = document.querySelector({element}); const box = one.closest('details'); \
                 if (box) box.open = true; one.scrollIntoView({{block: 'center', behavior: 'instant'}}); \
                 const all = one.getClientRects()[0]; return [all.x + all.width / 2, all.y + all.height / 2]; }})()"
            ))
            .await;
        for kind in ["mousePressed", "mouseReleased"] {
            let pressed = json!({"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", pressed).await;
        }
    }

    /// Presses a key: a letter, or `Enter`, `Tab`, `Escape`.
    pub async fn key(&self, key: &str) {
        let (code, number, text) = match key {
            "Enter" => ("Enter".to_owned(), 13, "\r"),
            "Tab" => ("Tab".to_owned(), 9, ""),
            "Escape" => ("Escape".to_owned(), 27, ""),
            letter => (format!("Key{}", letter.to_uppercase()), u32::from(letter.to_uppercase().as_bytes()[0]), letter),
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let pressed =
                json!({"type": kind, "key": key, "code": code, "windowsVirtualKeyCode": number, "text": text});
            self.call("Input.dispatchKeyEvent", pressed).await;
        }
    }

    /// The same, and waits for the page that follows.
    pub async fn key_to_page(&self, key: &str) {
        self.mark().await;
        self.key(key).await;
        self.until_loaded().await;
    }

    /// Looks at pages so from now on.
    pub async fn look(&self, look: Look) {
        let size = json!({"width": look.width, "height": look.height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if look.dark { "dark" } else { "light" };
        // Still pages: what fades in has no contrast meanwhile.
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    /// What keeps people from using the page, by axe-core.
    pub async fn violations(&self) -> Vec<String> {
        self.eval(&self.axe).await;
        let found = self.eval(AXE_RUN).await;
        found.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    }

    /// By how many pixels the page is wider than it is looked at.
    pub async fn overflow(&self) -> i64 {
        self.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth").await.as_i64().unwrap()
    }

    /// What happened in the tab, by name.
    pub fn events(&self, method: &str) -> Vec<Event> {
        self.pipe.events(&self.session).into_iter().filter(|event| event.method == method).collect()
    }

    /// Addresses that pages asked for.
    pub fn requests(&self) -> Vec<String> {
        let all = self.events("Network.requestWillBeSent");
        all.iter().filter_map(|event| event.params["request"]["url"].as_str().map(str::to_owned)).collect()
    }

    /// A cookie as the browser keeps it.
    pub async fn cookie(&self, name: &str) -> Option<Value> {
        let all = self.call("Network.getCookies", json!({})).await;
        all["cookies"].as_array()?.iter().find(|cookie| cookie["name"] == name).cloned()
    }

    /// Keeps a picture of the whole page, as PNG, in the folder that `WARDLINE_PICTURES` names, for people to look at; none
    /// where it names none.
    pub async fn keep_picture(&self, name: &str) {
        let Some(folder) = std::env::var_os(PICTURES) else { return };
        let taken = self.call("Page.captureScreenshot", json!({"captureBeyondViewport": true})).await;
        let picture = BASE64.decode(taken["data"].as_str().unwrap()).unwrap();
        let file: String = name.chars().map(|one| if one.is_alphanumeric() { one } else { '-' }).collect();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(std::path::Path::new(&folder).join(format!("{file}.png")), picture).unwrap();
    }

    /// Closes it, with its cookies.
    pub async fn close(self) {
        self.pipe.call(None, "Target.disposeBrowserContext", json!({"browserContextId": self.context})).await;
    }

    async fn call(&self, method: &str, params: Value) -> Value {
        self.pipe.call(Some(&self.session), method, params).await
    }

    /// The page that is there is known by this, so that the next one is not taken for it.
    async fn mark(&self) {
        self.eval("window.wardlineLeaves = true").await;
    }

    async fn until_loaded(&self) {
        // A page that leads on by itself is on its way too, and so is one that is still being read.
        self.until(
            "!window.wardlineLeaves && document.readyState === 'complete' && \
             !document.querySelector('meta[http-equiv=refresh]') && !document.getElementById('later')",
        )
        .await;
    }
}
