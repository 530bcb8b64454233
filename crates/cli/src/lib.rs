//! `wardline`: run the rooms, look at what flows through them, and act on what went wrong.
//!
//! Data goes to stdout and everything else to stderr. An exit code other than 0 comes with one sentence of what to do
//! next.

mod args;
mod bench;
mod context;
mod dead_letters;
mod decode;
mod demo;
mod exceptions;
mod failure;
mod output;
mod parse;
mod parts;
mod replay;
mod rooms;
mod run;
mod send;
mod status;
mod system;
mod topics;
mod trace;

pub use args::{Arguments, Command};
pub use failure::Failure;

use clap::Parser as _;
use std::process::ExitCode;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match execute(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Executes one command.
///
/// # Errors
/// With what to do next.
pub fn execute(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { globals, command } = arguments;
    match command {
        Command::Parse(parse) => parse::execute(&globals, &parse),
        Command::Topics(topics) => topics::execute(&globals, &topics),
        Command::Up(up) => run::up(&globals, &up),
        Command::Run(one) => run::one(&globals, &one),
        Command::Send(send) => send::execute(&globals, &send),
        Command::Status(status) => status::execute(&globals, &status),
        Command::Trace(trace) => trace::execute(&globals, &trace),
        Command::Exceptions(exceptions) => exceptions::execute(&globals, &exceptions),
        Command::DeadLetters(letters) => dead_letters::execute(&globals, &letters),
        Command::Demo(demo) => demo::execute(&globals, &demo),
        Command::Broker(part) => parts::broker(&part),
        Command::Registry(registry) => parts::registry(&globals, &registry),
        Command::SandboxErp(erp) => parts::sandbox_erp(&globals, &erp),
        Command::FhirStore(part) => parts::fhir_store(&part),
        Command::Bench(bench) => bench::execute(&globals, &bench),
        Command::Replay(replay) => replay::execute(&globals, &replay),
    }
}
