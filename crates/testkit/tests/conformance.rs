//! The checks of every broker on the embedded one, which runs in a process of its own so that it can be killed.

#![allow(clippy::unwrap_used, reason = "test")]

mod checks;

use libtest_mimic::Arguments;
use std::process::ExitCode;
use wardline_testkit::served::{Served, served_instead};

fn main() -> ExitCode {
    if served_instead().unwrap() {
        return ExitCode::SUCCESS;
    }
    checks::run(Arguments::from_args(), Served::start().unwrap()).exit_code()
}
