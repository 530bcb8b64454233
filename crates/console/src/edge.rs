//! The router made from the table of routes, and what is the same for every answer.

use crate::ask::{Answer, Ask, Dated, Elsewhere};
use crate::cached;
use crate::fields::Fields;
use crate::guard::{self, Caller};
use crate::html::{Frame, Page, zone};
use crate::looking::Stand;
use crate::people::{By, Person, Right};
use crate::problem::Problem;
use crate::routes::{API, Answering, Method, NAVIGATION, ROUTES, Route, offered_on};
use crate::state::Console;
use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts as _, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, on};
use runtime::clock;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

/// The address of the connection that a request came through.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Most bytes of a body that is too large that are read and thrown away.
const DISCARDED_MAX: usize = 1_048_576;
/// Cookie with what was just done, for the next page.
const SAID: &str = "wardline-said";

/// So long a page may take to read before it says so and fills itself.
const AT_ONCE: Duration = Duration::from_millis(75);
/// Header of the script of a page that fills itself: it waits until all is read.
const WAITS: HeaderName = HeaderName::from_static("wardline-waits");

/// What a page may load and do: its own files and forms, and nothing that stands in the page itself.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The router of a console.
pub fn router(console: &Arc<Console>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let filter = match route.method {
            Method::Get => MethodFilter::GET,
            Method::Post => MethodFilter::POST,
        };
        let paths = [(route.page.map(str::to_owned), false), (route.api.map(|path| format!("{API}{path}")), true)];
        for (path, is_api) in paths {
            let Some(path) = path else { continue };
            let console = Arc::clone(console);
            let answering = move |request: Request| {
                let console = Arc::clone(&console);
                async move { Box::pin(answer(console, route, is_api, request)).await }
            };
            router = router.route(&path, on(filter, answering));
        }
    }
    let is_secure = console.config.is_secure();
    let tenant = console.site.config.identity.tenant.clone();
    router
        .fallback(|request: Request| async move { Problem::no_page(request.uri().path()) })
        .method_not_allowed_fallback(|request: Request| async move { Problem::method(request.uri().path()) })
        .layer(from_fn(move |request: Request, next: Next| {
            let tenant = tenant.clone();
            async move { dressed(request, next, is_secure, &tenant).await }
        }))
}

/// Puts on every answer the headers that it must have, and shows problems that no route has shown.
async fn dressed(request: Request, next: Next, is_secure: bool, tenant: &str) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let now = clock::now_micros();
        let frame =
            Frame { person: None, form_token: "", path: &path, said: None, now, as_of: now, tenant, navigation: &[] };
        response = show_problem(&problem, path.starts_with("/api/"), &frame);
    }
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if is_secure {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Answers one request of a route.
async fn answer(console: Arc<Console>, route: &'static Route, is_api: bool, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
    let address = guard::address(console.config.proxies, peer, &parts.headers);
    let caller = guard::caller(&console, &parts.headers);
    let person = match &caller {
        Caller::Known(person) => Some(person.clone()),
        Caller::Nobody | Caller::Over | Caller::Forged => None,
    };
    let said = guard::cookie(&parts.headers, SAID).and_then(said_text).filter(|_| !is_api);
    let form_token = form_token(&console, person.as_ref());
    let path = parts.uri.path().to_owned();
    let now = clock::now_micros();
    let frame = Frame {
        person: person.as_ref(),
        form_token: &form_token,
        path: &path,
        said: said.as_deref(),
        now,
        as_of: now,
        tenant: &console.site.config.identity.tenant,
        navigation: NAVIGATION,
    };
    let asked = Asked { console: &console, route, is_api, address };
    let answered = Box::pin(asked.ask(caller, &mut parts, body)).await;
    let is_later = answered.as_ref().is_ok_and(|dated| matches!(dated.answer, Answer::Later));
    let mut response = zone::within(&console.zone, || match answered {
        Ok(dated) => show(&dated.answer, is_api, &Frame { as_of: dated.as_of, ..frame }, &console),
        Err(problem) => {
            let looks = route.method == Method::Get && route.right != Right::Open && !is_api;
            match looks && problem.status == StatusCode::UNAUTHORIZED {
                true => to_sign_in(&console, &parts),
                false => show_problem(&problem, is_api, &frame),
            }
        }
    });
    // What was done is told by the page that shows it.
    if said.is_some() && route.right != Right::Open && !is_later {
        set_cookie(&mut response, &format!("{SAID}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"));
    }
    // A page that looks again by itself is not somebody who does something.
    if !parts.headers.contains_key(WAITS) {
        renew(&console, person.as_ref(), &mut response);
    }
    response
}

struct Asked<'a> {
    console: &'a Arc<Console>,
    route: &'static Route,
    is_api: bool,
    address: IpAddr,
}

impl Asked<'_> {
    async fn ask(&self, caller: Caller, parts: &mut Parts, body: Body) -> Result<Arc<Dated>, Problem> {
        let Self { console, route, is_api, address } = *self;
        let what = format!("{} {}", parts.method, parts.uri.path().chars().take(100).collect::<String>());
        let person = guard::admit(console, caller, route.right, &what, address)?;
        let fields = match route.method {
            Method::Get => Fields::default(),
            Method::Post => {
                let bounds = &console.config.bounds;
                let reading = read(body, &parts.headers, bounds.body_bytes_max, is_api);
                // A body that never comes would hold the connection for ever.
                let read = tokio::time::timeout(Duration::from_millis(bounds.head_timeout_ms), reading).await;
                let mut fields = read.unwrap_or_else(|_| Err(Problem::body_too_slow()))?;
                if let Err(problem) = guard::check_origin(console, person.as_ref(), &parts.headers, &mut fields) {
                    guard::deny(console, &problem, person.as_ref(), &what, address);
                    return Err(problem);
                }
                fields.check(route.body)?;
                fields
            }
        };
        let mut query = Fields::of_form(parts.uri.query().unwrap_or_default().as_bytes())?;
        if route.is_lenient {
            query.keep(route.query);
        }
        query.check(route.query)?;
        let path = RawPathParams::from_request_parts(parts, &()).await;
        let path = path.map_err(|_| Problem::no_page(parts.uri.path()))?;
        let path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let ticket = guard::cookie(&parts.headers, guard::ticket_name(&console.config)).map(str::to_owned);
        let name = self.may_come_later().then(|| page_name(person.as_ref(), parts));
        let ask = Ask { console: Arc::clone(console), person, path, query, body: fields, address, is_api, ticket };
        let answering = in_time((route.handler)(ask), console.config.answer_timeout());
        let Some(name) = name else {
            let answered = answering.await.map(Arc::new);
            if route.method == Method::Post {
                // A page that was read before is not shown behind what was done.
                console.firsts.forget();
            }
            return answered;
        };
        let patience = if parts.headers.contains_key(WAITS) { console.config.answer_timeout() } else { AT_ONCE };
        match console.firsts.of(&name, patience, |_| answering).await? {
            Stand::Found(dated) => Ok(dated),
            Stand::Looks { .. } => Ok(Arc::new(Dated { answer: Answer::Later, as_of: clock::now_micros() })),
        }
    }

    /// Whether it is a page that shows what is read, and no file.
    fn may_come_later(&self) -> bool {
        let route = self.route;
        route.method == Method::Get && route.right != Right::Open && route.also.is_empty() && !self.is_api
    }
}

/// What stands for a page as one person sees it.
fn page_name(person: Option<&Person>, parts: &Parts) -> String {
    let who = person.map(|person| (&person.name, person.role.name()));
    format!("{who:?} {}", parts.uri)
}

async fn in_time(answering: Answering, within: Duration) -> Result<Dated, Problem> {
    let answered = tokio::time::timeout(within, cached::dated(answering)).await;
    let (answer, as_of) = answered.map_err(|_| {
        let mut late = Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "WL-7129",
            "Too slow",
            "the answer took too long and was given up; what was asked for may still have been done",
        )
        .next("look whether it was done before you ask again");
        late.retry_after_s = Some(10);
        late
    })?;
    Ok(Dated { answer: answer?, as_of })
}

/// Reads the body of a request as fields.
async fn read(body: Body, headers: &HeaderMap, bound: usize, is_api: bool) -> Result<Fields, Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "WL-7128",
            "Too large",
            format!("the body has more than {bound} bytes"),
        )
        .next("send less")
    };
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > bound) {
        if length.is_some_and(|length| length <= DISCARDED_MAX) {
            // Read to its end, because a sender whose connection is cut does not see the answer.
            drop(axum::body::to_bytes(body, DISCARDED_MAX).await);
        }
        return Err(too_large());
    }
    let bytes = axum::body::to_bytes(body, bound).await.map_err(|_| too_large())?;
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match content_type.split(';').next().map(str::trim).unwrap_or_default() {
        "application/json" if is_api => Fields::of_json(&bytes),
        "application/x-www-form-urlencoded" if !is_api => Fields::of_form(&bytes),
        "" if bytes.is_empty() => Ok(Fields::default()),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "WL-7131",
            "Not understood",
            match is_api {
                true => "the body must be application/json",
                false => "the body must be a form",
            },
        )),
    }
}

fn form_token(console: &Console, person: Option<&Person>) -> String {
    match person.map(|person| &person.by) {
        Some(By::Session(session)) => console.sessions.form_token(session),
        Some(By::Token) | None => String::new(),
    }
}

fn show(answer: &Answer, is_api: bool, frame: &Frame<'_>, console: &Console) -> Response {
    match answer {
        Answer::Shown(shown) if is_api => match shown.to_json() {
            Ok(value) => json(StatusCode::OK, "application/json", &value),
            Err(problem) => show_problem(&problem, true, frame),
        },
        Answer::Shown(shown) => html(StatusCode::OK, &shown.to_page(frame), frame),
        Answer::Done(done) if is_api => json(StatusCode::OK, "application/json", &done.result),
        Answer::Done(done) => {
            let mut response = redirect(&done.then);
            let text: String = form_urlencoded::byte_serialize(done.said.as_bytes()).collect();
            set_cookie(&mut response, &format!("{SAID}={text}; Path=/; Max-Age=60; HttpOnly; SameSite=Strict"));
            response
        }
        Answer::File { content_type, bytes, is_immutable } => {
            let mut response = Response::new(Body::from(bytes.to_vec()));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            if *is_immutable {
                let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
                response.headers_mut().insert(header::CACHE_CONTROL, forever);
            }
            response
        }
        Answer::Download { content_type, name, bytes } => {
            let mut response = Response::new(Body::from(bytes.clone()));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            if let Ok(named) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
                response.headers_mut().insert(header::CONTENT_DISPOSITION, named);
            }
            response
        }
        Answer::Session { opened, then } => {
            let mut response = redirect(then);
            let value = opened.as_ref().map(|(session, hash)| console.sessions.cookie(session, hash));
            set_session(console, &mut response, value.as_deref());
            response
        }
        Answer::Elsewhere(step) => elsewhere(console, step),
        Answer::Later => html(StatusCode::OK, &Page::later(), &Frame { said: None, ..*frame }),
    }
}

fn show_problem(problem: &Problem, is_api: bool, frame: &Frame<'_>) -> Response {
    let mut response = match is_api {
        true => json(problem.status, "application/problem+json", &problem.to_json()),
        false => html(problem.status, &Page::problem(problem, offered_on(frame.path)), frame),
    };
    if let Some(seconds) = problem.retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"wardline\""));
    }
    response
}

fn html(status: StatusCode, page: &Page, frame: &Frame<'_>) -> Response {
    let body = frame.render(page).into_string();
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], body).into_response()
}

fn json(status: StatusCode, content_type: &'static str, value: &serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, content_type)], value.to_string()).into_response()
}

/// Where somebody who has not signed in does so. A link of another site brings no cookie with it, because it is strict: the
/// page is then asked for once more, from here, before anybody is sent to sign in.
fn to_sign_in(console: &Console, parts: &Parts) -> Response {
    let here = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let from_elsewhere = parts.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    if from_elsewhere && parts.headers.get(header::COOKIE).is_none() {
        return onward(here);
    }
    let then: String = form_urlencoded::byte_serialize(here.as_bytes()).collect();
    let mut response = redirect(&format!("/sign-in?then={then}"));
    if guard::cookie(&parts.headers, guard::cookie_name(&console.config)).is_some() {
        set_session(console, &mut response, None);
    }
    response
}

/// A page that leads on by itself. What it leads to is asked for from here, so a strict cookie goes with it; and a form whose
/// answer it is has ended here, as the policy demands.
fn onward(to: &str) -> Response {
    let page = maud::html! {
        (maud::DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="refresh" content={ "0;url=" (to) };
                title { "Wardline" }
            }
            body { main { a href=(to) { "Go on" } } }
        }
    };
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page.into_string()).into_response()
}

fn elsewhere(console: &Console, step: &Elsewhere) -> Response {
    match step {
        Elsewhere::SignIn { to, cookie } => {
            let mut response = redirect(to);
            set_ticket(console, &mut response, Some(cookie));
            response
        }
        Elsewhere::Back { opened: (session, proof), then } => {
            let mut response = onward(then);
            set_session(console, &mut response, Some(&console.sessions.cookie(session, proof)));
            set_ticket(console, &mut response, None);
            response
        }
        Elsewhere::SignOut { to } => {
            let mut response = onward(to);
            set_session(console, &mut response, None);
            response
        }
    }
}

/// Writes the cookie of a sign-in at the provider. It comes back by a link of another site, so it is not strict.
fn set_ticket(console: &Console, response: &mut Response, value: Option<&str>) {
    let secure = if console.config.is_secure() { "; Secure" } else { "" };
    let age = match (value, &console.config.oidc) {
        (Some(_), Some(oidc)) => oidc.patience_s,
        _ => 0,
    };
    let (name, value) = (guard::ticket_name(&console.config), value.unwrap_or_default());
    set_cookie(response, &format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}"));
}

fn redirect(to: &str) -> Response {
    let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

/// Writes the cookie of a session that is used anew, unless the answer has written one.
fn renew(console: &Console, person: Option<&Person>, response: &mut Response) {
    let Some(Person { by: By::Session(session), .. }) = person else { return };
    let name = format!("{}=", guard::cookie_name(&console.config));
    let mut is_set = response.headers().get_all(header::SET_COOKIE).iter();
    if is_set.any(|value| value.to_str().is_ok_and(|value| value.starts_with(&name))) {
        return;
    }
    let now_s = console.now_s();
    if let (Some(renewed), Some(proof)) = (console.sessions.renewed(session, now_s), console.proof_of(session)) {
        let value = console.sessions.cookie(&renewed, &proof);
        set_session(console, response, Some(&value));
    }
}

fn set_session(console: &Console, response: &mut Response, value: Option<&str>) {
    let secure = if console.config.is_secure() { "; Secure" } else { "" };
    let name = guard::cookie_name(&console.config);
    let age = match value {
        Some(_) => console.config.session_max_s,
        None => 0,
    };
    let value = value.unwrap_or_default();
    set_cookie(response, &format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"));
}

fn set_cookie(response: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// The sentence of a cookie; it is shown as text.
fn said_text(value: &str) -> Option<String> {
    let pair = format!("said={value}");
    let (_, text) = form_urlencoded::parse(pair.as_bytes()).next()?;
    Some(text.chars().take(300).collect()).filter(|text: &String| !text.is_empty())
}
