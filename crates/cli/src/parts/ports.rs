//! Where embedded parts listen: the loopback interface, on ports that stay the same from run to run.

use crate::Failure;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// First port when nothing else is said. Below the range from which systems take ports for outgoing connections, and beside
/// the ports on which `cargo xtask components up` starts the real parts.
pub const FIRST: u16 = 17_000;
/// The broker, from the first port on.
pub const BROKER: u16 = 92;
/// The schema registry.
pub const REGISTRY: u16 = 81;
/// The web console.
pub const CONSOLE: u16 = 80;
/// The sandbox ERP.
pub const ERP: u16 = 69;
/// The FHIR store.
pub const FHIR: u16 = 90;
/// The supplier.
pub const SUPPLIER: u16 = 70;

/// Address of a part; a first port of 0 gives free ports.
pub const fn listen(first: u16, part: u16) -> SocketAddr {
    let port = if first == 0 { 0 } else { first.saturating_add(part) };
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Reads an address on which an embedded part may listen.
pub fn loopback(text: &str) -> Result<SocketAddr, Failure> {
    let named = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let address: SocketAddr = named.as_deref().unwrap_or(text).parse().map_err(|_| {
        Failure::usage(
            format!("WL-7090: {text} is not an address"),
            "write it like 127.0.0.1:17092, or :0 for a free port",
        )
    })?;
    if !address.ip().is_loopback() {
        return Err(Failure::usage(
            format!("WL-7090: {address} can be reached by other machines, and an embedded part has no access control"),
            "listen on 127.0.0.1, and use real parts for everything that others shall reach",
        ));
    }
    Ok(address)
}

/// An address that is going to be listened on, what for, and the flag that moves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Address as it was given.
    pub address: String,
    /// What will listen.
    pub what: &'static str,
    /// The flag.
    pub flag: &'static str,
    /// The key of the configuration that says the same, where there is one.
    pub key: Option<&'static str>,
}

/// The listener of health and metrics.
pub fn health(listen: &str) -> Wanted {
    let key = Some("http.listen");
    Wanted { address: listen.to_owned(), what: "health and metrics", flag: "--health", key }
}

/// Says at once which of the addresses cannot be listened on, so that nothing is started in vain. Gives each address back with
/// the port that it has: for port 0, one that is free.
pub fn all_free(wanted: &[Wanted]) -> Result<Vec<String>, Failure> {
    let mut taken = Vec::new();
    // Held until all are looked at, so that no free port is given twice.
    let mut held = Vec::with_capacity(wanted.len());
    let mut settled = Vec::with_capacity(wanted.len());
    for one in wanted {
        match TcpListener::bind(&one.address) {
            Ok(listener) => {
                settled.push(with_port(&one.address, &listener));
                held.push(listener);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => taken.push(one),
            Err(error) => return Err(unusable(one, &error)),
        }
    }
    if taken.is_empty() {
        return Ok(settled);
    }
    let list = |text: &dyn Fn(&Wanted) -> String| taken.iter().map(|one| text(one)).collect::<Vec<_>>().join(", ");
    let mut flags: Vec<&str> = taken.iter().map(|one| one.flag).collect();
    flags.dedup();
    Err(Failure::new(
        format!("WL-7061: in use: {}", list(&|one| format!("{} ({})", one.address, one.what))),
        format!(
            "stop the other `wardline up` or `demo`, if it is one, or choose other addresses with {}",
            flags.join(" and ")
        ),
    ))
}

fn unusable(wanted: &Wanted, error: &std::io::Error) -> Failure {
    let key = wanted.key.map(|key| format!(" (or {key} of the configuration)")).unwrap_or_default();
    Failure::usage(
        format!("WL-7073: {} ({}) is no address to listen on: {error}", wanted.address, wanted.what),
        format!("give {}{key} an address of this machine as HOST:PORT, for example 127.0.0.1:2575", wanted.flag),
    )
}

/// The address as it was given, with the port that the listener has.
fn with_port(address: &str, listener: &TcpListener) -> String {
    match (address.rsplit_once(':'), listener.local_addr()) {
        (Some((host, "0")), Ok(bound)) => format!("{host}:{}", bound.port()),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn ports_are_stable_or_free() {
        assert_eq!(listen(FIRST, BROKER).to_string(), "127.0.0.1:17092");
        assert_eq!(listen(0, BROKER).to_string(), "127.0.0.1:0");
    }

    #[test]
    fn only_the_loopback_interface_is_listened_on() {
        assert_eq!(loopback("localhost:0").unwrap().to_string(), "127.0.0.1:0");
        assert!(loopback("[::1]:9092").is_ok());
        for refused in ["0.0.0.0:9092", "192.0.2.1:9092", "[::]:9092", "kafka"] {
            assert!(loopback(refused).unwrap_err().to_string().contains("WL-7090"), "{refused}");
        }
    }

    #[test]
    fn a_taken_port_is_named_with_the_flag_that_moves_it() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap().to_string();
        let wanted = mllp(&address);
        let said = all_free(std::slice::from_ref(&wanted)).unwrap_err().to_string();
        assert!(said.contains(&format!("{address} (MLLP listener)")) && said.contains("--mllp"), "{said}");
        drop(holder);
        assert_eq!(all_free(&[wanted]), Ok(vec![address]));
    }

    #[test]
    fn what_is_no_address_of_this_machine_is_told_with_flag_and_key() {
        for wrong in ["foo", "127.0.0.1", "127.0.0.1:port", ":2575", "192.0.2.1:2575"] {
            let said = all_free(&[mllp(wrong)]).unwrap_err();
            assert_eq!(said.exit_code(), 2);
            let said = said.to_string();
            assert!(said.contains(&format!("WL-7073: {wrong} (MLLP listener)")), "{said}");
            assert!(said.contains("--mllp (or rooms.hl7v2.listen of the configuration)"), "{said}");
        }
    }

    #[test]
    fn port_0_becomes_the_port_that_is_taken() {
        let settled = all_free(&[mllp("127.0.0.1:0"), mllp("localhost:0")]).unwrap();
        let ports: Vec<u16> =
            settled.iter().map(|address| address.rsplit_once(':').unwrap().1.parse().unwrap()).collect();
        assert!(ports.iter().all(|port| *port > 0) && ports.first() != ports.last(), "{settled:?}");
        assert!(settled.last().unwrap().starts_with("localhost:"), "{settled:?}");
    }

    fn mllp(address: &str) -> Wanted {
        let key = Some("rooms.hl7v2.listen");
        Wanted { address: address.to_owned(), what: "MLLP listener", flag: "--mllp", key }
    }
}
