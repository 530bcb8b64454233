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
}

/// Says at once which of the addresses are taken, so that nothing is started in vain.
pub fn all_free(wanted: &[Wanted]) -> Result<(), Failure> {
    // What cannot be bound for another reason says so itself when it starts.
    let taken = |wanted: &&Wanted| {
        TcpListener::bind(&wanted.address).is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
    };
    let taken: Vec<&Wanted> = wanted.iter().filter(taken).collect();
    if taken.is_empty() {
        return Ok(());
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
        let wanted = Wanted { address: address.clone(), what: "MLLP listener", flag: "--mllp" };
        let said = all_free(std::slice::from_ref(&wanted)).unwrap_err().to_string();
        assert!(said.contains(&format!("{address} (MLLP listener)")) && said.contains("--mllp"), "{said}");
        drop(holder);
        assert_eq!(all_free(&[wanted]), Ok(()));
    }
}
