use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;

struct Echo;

impl Service for Echo {
    fn body_bytes_max(&self) -> usize {
        16
    }

    fn answer(&self, request: &Request) -> Answer {
        assert!(request.path.first().is_none_or(|first| first != "panic"), "asked for");
        let text = format!("{} {:?} {:?} {}", request.method, request.path, request.query, request.body.len());
        Answer {
            status: 200,
            content_type: "text/plain",
            headers: vec![("x-seen", request.header("x-asked").unwrap_or("nothing").to_owned())],
            body: text.into_bytes(),
        }
    }

    fn refusal(&self, status: u16, message: &str) -> Answer {
        Answer { status, content_type: "text/plain", headers: Vec::new(), body: message.as_bytes().to_vec() }
    }
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn started() -> Loopback {
    Loopback::start("echo", SocketAddr::from(([127, 0, 0, 1], 0)), Arc::new(Echo)).unwrap()
}

#[test]
fn a_request_arrives_whole_and_the_answer_leaves_whole() {
    let echo = started();
    let request = "POST /a%2Fb/c?x=1&y=%2B HTTP/1.1\r\nhost: h\r\nx-asked: something\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc";
    let answer = ask(echo.address(), request);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("x-seen: something"), "{answer}");
    assert!(answer.ends_with(r#"POST ["a/b", "c"] [("x", "1"), ("y", "+")] 3"#), "{answer}");
}

#[test]
fn what_is_too_large_or_breaks_is_refused_and_the_next_is_served() {
    let echo = started();
    let large = "POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 17\r\n\r\n12345678901234567";
    assert!(ask(echo.address(), large).starts_with("HTTP/1.1 413"));
    assert!(
        ask(echo.address(), "GET /panic HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").starts_with("HTTP/1.1 500")
    );
    assert!(
        ask(echo.address(), "GET /%ff HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").starts_with("HTTP/1.1 400")
    );
    assert!(ask(echo.address(), "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_stop_frees_the_port_even_while_a_client_stays() {
    let mut echo = started();
    let address = echo.address();
    let _idle = TcpStream::connect(address).unwrap();
    echo.stop();
    assert!(TcpListener::bind(address).is_ok());
}

#[test]
fn other_machines_cannot_be_served_and_a_taken_port_says_so() {
    let open = SocketAddr::from(([0, 0, 0, 0], 0));
    assert!(matches!(Loopback::start("echo", open, Arc::new(Echo)), Err(ListenError::NotLoopback(_))));
    let first = started();
    assert!(matches!(Loopback::start("echo", first.address(), Arc::new(Echo)), Err(ListenError::Bind { .. })));
}
