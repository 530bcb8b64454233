//! Acts through the API of a console: who somebody is, what they may do and who the second person is, the console knows.

use crate::Failure;
use crate::args::Through;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::Value;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// Longest wait for an answer. A console answers within half of it, or says that something goes on.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Most bytes of an answer.
const ANSWER_MAX: usize = 4 * 1024 * 1024;
/// What to do about an answer that does not say whether something was done.
const MAY_BE_DONE: &str =
    "it may have been done: look before you repeat it; then check that --console names the console itself";
/// Most bytes of a token.
const TOKEN_MAX: u64 = 4_096;

/// A console, and who asks it.
pub struct Console {
    client: Client,
    base: Url,
    token: HeaderValue,
}

impl Console {
    /// The console that is named; none when none is.
    pub fn of(options: &Through) -> Result<Option<Self>, Failure> {
        let Some(address) = &options.console else { return Ok(None) };
        let base = base(address)?;
        let Some(file) = &options.token_file else {
            return Err(Failure::usage(
                "WL-1481: a console is named, and no token for it",
                "name the file that holds the token with --token-file or WARDLINE_CONSOLE_TOKEN_FILE",
            ));
        };
        let token = token(file)?;
        let made = Client::builder().timeout(TIMEOUT).redirect(Policy::none()).build();
        let client = made.map_err(|error| {
            Failure::new(
                format!("WL-1481: no connection can be made: {error}"),
                "look at the certificates of this system",
            )
        })?;
        Ok(Some(Self { client, base, token }))
    }

    /// Has the console do something; gives what it says of the result.
    pub async fn act(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        self.answer(self.client.post(self.url(path)).json(body), true).await
    }

    /// Asks the console for what its page of this path shows.
    pub async fn ask(&self, path: &[&str]) -> Result<Value, Failure> {
        self.ask_for(path, &[]).await
    }

    /// The same, narrowed by what stands behind `?`.
    pub async fn ask_for(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Failure> {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.answer(self.client.get(url), false).await
    }

    /// That the console has answered with something that is not known here.
    pub fn not_understood(&self, error: &serde_json::Error) -> Failure {
        Failure::new(
            format!("WL-1481: the answer of {} is not understood: {error}", self.base),
            "check that the console is of the version of this program, which `wardline --version` tells",
        )
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        url
    }

    /// `acts` says whether the console was asked to do something: then that may be done whatever the answer looks like.
    async fn answer(&self, request: RequestBuilder, acts: bool) -> Result<Value, Failure> {
        let request = request.header(AUTHORIZATION, self.token.clone());
        let answer = request.send().await.map_err(|error| self.silent(&error))?;
        let status = answer.status();
        let bytes = self.whole(answer, acts).await?;
        let said: Option<Value> = serde_json::from_slice(&bytes).ok();
        match said {
            Some(said) if status.is_success() => Ok(said),
            Some(problem) if problem["code"].is_string() => Err(refusal(&problem, status.is_client_error())),
            _ => Err(Failure::new(
                format!("WL-1481: {} answers {status}, and not as a console does", self.base),
                match acts && (status.is_success() || status.is_server_error()) {
                    true => MAY_BE_DONE,
                    false => "check that --console names the console itself and not a sign-in in front of it",
                },
            )),
        }
    }

    async fn whole(&self, mut answer: Response, acts: bool) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|error| self.silent(&error))? {
            bytes.extend_from_slice(&part);
            if bytes.len() > ANSWER_MAX {
                let what = format!("WL-1481: {} answers with more than {ANSWER_MAX} bytes", self.base);
                let next = if acts { MAY_BE_DONE } else { "check that --console names the console itself" };
                return Err(Failure::new(what, next));
            }
        }
        Ok(bytes)
    }

    fn silent(&self, error: &reqwest::Error) -> Failure {
        // The address stands in the message already, and nobody needs the path twice.
        let why = if error.is_timeout() { "no answer in time" } else { "no connection, or one that broke off" };
        let next = match error.is_connect() {
            true => "check --console and that the console runs; nothing was done",
            false => "look whether it was done before you repeat it: the console may have taken it",
        };
        Failure::new(format!("WL-1481: the console at {} does not answer: {why}", self.base), next)
    }
}

/// The address, when a token may be sent there.
fn base(address: &str) -> Result<Url, Failure> {
    let wrong = |why: &str| {
        Failure::usage(
            format!("WL-1481: --console {address} {why}"),
            "write it like https://wardline.hospital.example, or http://127.0.0.1:17080 on this machine",
        )
    };
    let url = Url::parse(address).map_err(|error| wrong(&format!("is no address: {error}")))?;
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        _ if host.is_empty() || !url.username().is_empty() || url.password().is_some() => {
            Err(wrong("is not the address of a console"))
        }
        "https" => Ok(url),
        "http" if is_here => Ok(url),
        "http" => Err(wrong("would show the token to the network")),
        _ => Err(wrong("is neither http nor https")),
    }
}

fn token(file: &Path) -> Result<HeaderValue, Failure> {
    let wrong = |why: &str| {
        Failure::usage(
            format!("WL-1481: the token in {} cannot be used: {why}", file.display()),
            "put the token that `wardline console new-token` has printed into the file, and nothing else",
        )
    };
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(|error| wrong(&error.to_string()))?;
    opened.take(TOKEN_MAX).read_to_string(&mut text).map_err(|error| wrong(&error.to_string()))?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong("it is not one word"));
    }
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| wrong("it is not one word"))?;
    header.set_sensitive(true);
    Ok(header)
}

/// What the console says against it, with its code.
fn refusal(problem: &Value, is_ours: bool) -> Failure {
    let text = |name: &str| problem[name].as_str().unwrap_or_default();
    let what = format!("{}: {}", text("code"), text("detail"));
    let next = match text("next") {
        "" => "`wardline explain` says more about the code",
        next => next,
    };
    if is_ours { Failure::usage(what, next) } else { Failure::new(what, next) }
}

/// That the API of the console does not take something that was typed.
pub fn not_through(what: &str, next: &str) -> Failure {
    Failure::usage(format!("WL-1482: the API of the console does not take {what}"), next)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[test]
    fn a_token_is_sent_over_tls_or_to_this_machine_alone() {
        for good in
            ["https://wardline.hospital.example", "http://127.0.0.1:17080/", "http://localhost:1", "http://[::1]:1"]
        {
            assert!(base(good).is_ok(), "{good}");
        }
        for wrong in [
            "http://wardline.hospital.example",
            "ftp://127.0.0.1",
            "wardline",
            "https://ada:secret@here",
            "http://127.0.0.1.evil.example",
        ] {
            assert!(base(wrong).is_err_and(|failure| failure.to_string().starts_with("WL-1481: ")), "{wrong}");
        }
    }

    /// Who answers once, with this status and body.
    async fn answering(status: &str, body: Vec<u8>) -> Console {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = base(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4_096];
            let _some = stream.read(&mut request).await.unwrap();
            // Whoever asked may have enough before the end.
            drop(stream.write_all(&[head.into_bytes(), body].concat()).await);
        });
        let client = Client::builder().no_proxy().build().unwrap();
        Console { client, base, token: HeaderValue::from_static("Bearer x") }
    }

    #[tokio::test]
    async fn an_act_whose_answer_is_not_taken_may_have_been_done() {
        let long = || vec![b' '; ANSWER_MAX + 1];
        for (status, body, acts, may_be_done) in [
            ("200 OK", long(), true, true),
            ("200 OK", long(), false, false),
            ("200 OK", b"<html>".to_vec(), true, true),
            ("502 Bad Gateway", b"<html>".to_vec(), true, true),
            ("302 Found", b"".to_vec(), true, false),
        ] {
            let console = answering(status, body).await;
            let said = match acts {
                true => console.act(&["causes", "retry"], &Value::Null).await,
                false => console.ask(&["causes"]).await,
            };
            let said = format!("{:?}", said.unwrap_err());
            assert!(said.contains("WL-1481"), "{said}");
            assert_eq!(said.contains("it may have been done"), may_be_done, "{status} {acts}: {said}");
        }
    }

    #[test]
    fn a_token_is_one_word_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let of = |text: &str| {
            std::fs::write(&file, text).unwrap();
            token(&file)
        };
        assert_eq!(of("abc\n").unwrap(), "Bearer abc");
        assert!(of("abc\n").unwrap().is_sensitive());
        for wrong in ["", "\n", "token   abc", "abc\nsha256 def"] {
            assert!(of(wrong).is_err_and(|failure| failure.to_string().contains("WL-1481")), "{wrong:?}");
        }
        let named = Through { console: Some("http://127.0.0.1:1".to_owned()), token_file: None };
        assert!(Console::of(&named).is_err_and(|failure| failure.to_string().contains("WL-1481")));
        assert!(Console::of(&Through::default()).unwrap().is_none());
    }
}
