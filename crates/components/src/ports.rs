//! Free TCP ports of the loopback interface, also when many tests ask at once.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

// Below the range from which the kernel takes the local port of outgoing connections, so that nothing slips in between
// the choice of a port and the start of the server.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port of 127.0.0.1 that nothing listens on and that this process has not been given before.
///
/// # Errors
/// `None` when all are taken.
pub fn free_port() -> Option<u16> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    // Processes begin at different places, so that two of them do not race for the same port.
    let start = std::process::id().wrapping_mul(127) % u32::from(COUNT);
    (0..u32::from(COUNT))
        .filter_map(|step| u16::try_from((start + step) % u32::from(COUNT)).ok())
        .map(|offset| FIRST + offset)
        .find(|port| !given.contains(port) && is_free(*port))
        .inspect(|port| {
            given.insert(*port);
        })
}

/// Whether nothing listens on a port of 127.0.0.1.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::free_port;

    #[test]
    fn never_gives_a_port_twice() {
        let ports: Vec<_> = (0..20).filter_map(|_| free_port()).collect();
        let distinct: std::collections::HashSet<_> = ports.iter().collect();
        assert_eq!((ports.len(), distinct.len()), (20, 20));
    }
}
