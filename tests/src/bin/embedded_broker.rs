//! The embedded broker as a process, to be killed: `embedded-broker ADDRESS FOLDER`. Says where it listens, and ends with its
//! standard input, which is when whoever started it is gone.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "only serves tests")]

use embedded::broker::server::Broker;
use std::io::Read;
use std::path::Path;
use testkit::parts::broker_options;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, address, folder] = arguments.as_slice() else { panic!("usage: embedded-broker ADDRESS FOLDER") };
    let broker = Broker::start(broker_options(address.parse().unwrap(), Path::new(folder))).unwrap();
    println!("{}", broker.address());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
