//! The web console on the command line: its hashes and tokens, and the one beside the rooms.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{Place, text};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

#[test]
fn hashes_and_tokens_are_made_for_the_configuration() {
    let place = Place::new();
    let hash = |password: &str| {
        let mut command = place.wardline(&["console", "hash-password"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    assert!(text(&hash("correct horse battery\n")).starts_with("$argon2id$v=19$"));
    let short = hash("short\n");
    assert_eq!(short.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&short.stderr).contains("WL-7136"));
    let token = text(&place.run(&["console", "new-token"]));
    assert!(token.starts_with("token ") && token.contains("\nsha256 "), "{token}");
}

#[test]
fn up_has_a_console_with_a_user_whose_password_only_the_owner_reads() {
    let place = Place::new();
    let (mut up, variables) = place.up("up");
    let line = up.line_with("web console");
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
    let file = place.path(line.split("password in ").nth(1).unwrap().trim());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let password = std::fs::read_to_string(&file).unwrap();

    let client =
        reqwest::blocking::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let sign_in = |password: &str| {
        let form = format!("user=admin&password={password}");
        let request = client.post(format!("{url}/sign-in")).header("origin", &url).body(form);
        request.header("content-type", "application/x-www-form-urlencoded").send().unwrap()
    };
    assert_eq!(sign_in("a-wrong-password").status(), 401);
    let signed_in = sign_in(password.trim());
    assert_eq!(signed_in.status(), 303);
    let cookie = signed_in.headers().get("set-cookie").unwrap().to_str().unwrap().split(';').next().unwrap().to_owned();
    let overview =
        client.get(&url).header("cookie", cookie).header("wardline-waits", "1").send().unwrap().text().unwrap();
    assert!(overview.contains("validate") && overview.contains("ready"), "{overview}");
    let shown = text(&place.wardline(&["config", "show"]).envs(variables).output().unwrap());
    assert!(shown.contains("\"session_idle_s\""), "the block of the console is shown");
    assert!(up.stop("TERM").success());
}

#[test]
fn a_console_that_nobody_may_use_or_that_others_could_read_along_does_not_start() {
    let place = Place::new();
    std::fs::write(place.path("open.yaml"), "console: {listen: \"0.0.0.0:1\"}\n").unwrap();
    let refused =
        place.run(&["up", "--ports", "0", "--mllp", "127.0.0.1:0", "--health", "127.0.0.1:0", "--config", "open.yaml"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("WL-7120: console.listen"), "{refused:?}");
    assert!(!place.path("wardline-data").exists(), "nothing was started");
}
