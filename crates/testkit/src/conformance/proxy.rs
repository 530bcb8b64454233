//! A proxy before a broker that cuts connections at a chosen moment. It knows frames, so that it can lose just the answer
//! to a request that the broker has carried out.

use super::Target;
use super::clients::lock;
use anyhow::{Context, Result};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Clients that begin here stay here: the broker's own address is replaced in what it says of itself.
pub(super) struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    /// The broker's address and ours, as the protocol writes them.
    theirs: Vec<u8>,
    ours: Vec<u8>,
    /// Which answers are lost, by API key, and how many still.
    losing: Mutex<Option<(i16, usize)>>,
    lost: AtomicUsize,
    dark: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub(super) fn start(target: &dyn Target) -> Result<Self> {
        let bootstrap = target.bootstrap();
        let (host, port) = bootstrap.rsplit_once(':').context("no port in the address")?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            theirs: written(host, port.parse()?)?,
            ours: written(host, address.port())?,
            losing: Mutex::new(None),
            lost: AtomicUsize::new(0),
            dark: AtomicBool::new(false),
            open: Mutex::new(Vec::new()),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if shared.dark.load(Ordering::SeqCst) {
                    continue;
                }
                // A connection that cannot be passed on is closed; that is what clients expect of a broker that is gone.
                let _closed = pass(client, &bootstrap, &shared);
            }
        });
        Ok(Self { address, state })
    }

    /// Where it listens.
    pub(super) fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    /// The next answers to requests with this API key never arrive: the connection is closed instead.
    pub(super) fn lose_answers(&self, api_key: i16, count: usize) {
        *lock(&self.state.losing) = Some((api_key, count));
    }

    /// How many answers were lost.
    pub(super) fn lost(&self) -> usize {
        self.state.lost.load(Ordering::SeqCst)
    }

    /// Closes every connection; new ones are passed on.
    pub(super) fn cut(&self) {
        for stream in lock(&self.state.open).drain(..) {
            // It may be closed already.
            let _closed = stream.shutdown(Shutdown::Both);
        }
    }

    /// Closes every connection and passes nothing on any more, as if the client's machine were gone.
    pub(super) fn go_dark(&self) {
        self.state.dark.store(true, Ordering::SeqCst);
        self.cut();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.go_dark();
    }
}

/// A host and a port as Metadata and FindCoordinator write them: both with two and with one byte of length in front end so.
fn written(host: &str, port: u16) -> Result<Vec<u8>> {
    let mut bytes = host.as_bytes().to_vec();
    bytes.extend_from_slice(&i32::from(port).to_be_bytes());
    Ok(bytes)
}

fn pass(client: TcpStream, broker: &str, state: &Arc<State>) -> Result<()> {
    let server = TcpStream::connect(broker)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        lock(&state.open).push(stream.try_clone()?);
    }
    let asked = Arc::new(Mutex::new(HashMap::new()));
    let (from, mut to, known) = (client.try_clone()?, server.try_clone()?, Arc::clone(&asked));
    std::thread::spawn(move || {
        // Either side may leave at any time.
        let _left = requests(from, &mut to, &known);
        let _closed = to.shutdown(Shutdown::Both);
    });
    let state = Arc::clone(state);
    std::thread::spawn(move || {
        let _left = answers(&server, &client, &asked, &state);
        let _closed = client.shutdown(Shutdown::Both);
        let _closed = server.shutdown(Shutdown::Both);
    });
    Ok(())
}

/// Passes requests on and remembers what was asked.
fn requests(mut from: TcpStream, to: &mut TcpStream, asked: &Mutex<HashMap<[u8; 4], i16>>) -> std::io::Result<()> {
    loop {
        let frame = read_frame(&mut from)?;
        if let (Some(key), Some(id)) =
            (frame.first_chunk::<2>(), frame.get(4..).and_then(|rest| rest.first_chunk::<4>()))
        {
            lock(asked).insert(*id, i16::from_be_bytes(*key));
        }
        write_frame(to, &frame)?;
    }
}

/// Passes answers on with the address replaced, until one is lost.
fn answers(
    mut from: &TcpStream,
    mut to: &TcpStream,
    asked: &Mutex<HashMap<[u8; 4], i16>>,
    state: &State,
) -> std::io::Result<()> {
    loop {
        let mut frame = read_frame(&mut from)?;
        let key = frame.first_chunk::<4>().and_then(|id| lock(asked).remove(id));
        if state.loses(key) {
            return Ok(());
        }
        // Only what says where brokers are: an address in a record stays.
        if matches!(key, Some(3 | 10)) {
            replace(&mut frame, &state.theirs, &state.ours);
        }
        write_frame(&mut to, &frame)?;
    }
}

impl State {
    fn loses(&self, key: Option<i16>) -> bool {
        let mut losing = lock(&self.losing);
        match losing.as_mut() {
            Some((wanted, count)) if key == Some(*wanted) && *count > 0 => {
                *count -= 1;
                self.lost.fetch_add(1, Ordering::SeqCst);
                true
            }
            _ => false,
        }
    }
}

fn read_frame(from: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).map_err(std::io::Error::other)?;
    let mut frame = vec![0; length];
    from.read_exact(&mut frame)?;
    Ok(frame)
}

fn write_frame(to: &mut impl Write, frame: &[u8]) -> std::io::Result<()> {
    let length = i32::try_from(frame.len()).map_err(std::io::Error::other)?;
    to.write_all(&length.to_be_bytes())?;
    to.write_all(frame)
}

/// Replaces every `from` by a `to` of the same length.
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|window| window == from) {
        bytes[at + found..at + found + to.len()].copy_from_slice(to);
        at += found + to.len();
    }
}
