//! `wardline`: run the rooms, look at what flows through them, and act on what went wrong.
//!
//! Data goes to stdout and everything else to stderr. An exit code other than 0 comes with one sentence of what to do
//! next.

mod actor;
mod agree;
mod args;
mod audit;
mod bench;
mod console;
mod context;
mod crosswalk;
mod dead_letters;
mod decode;
mod demo;
mod exceptions;
mod explain;
mod failure;
mod groups;
mod message;
mod output;
mod parse;
mod parts;
mod people;
mod reconcile;
mod replay;
pub mod rooms;
mod run;
mod send;
mod settings;
mod sight;
mod status;
mod system;
mod through;
mod topics;
mod trace;
mod unmask;

pub use args::{Arguments, Command};
pub use failure::Failure;

use clap::Parser as _;
use clap::error::ErrorKind;
use std::process::ExitCode;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(said) => return not_understood(&said),
    };
    match execute(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Prints what clap says: help, the version, or what is wrong with the arguments, and then the code of that.
fn not_understood(said: &clap::Error) -> ExitCode {
    // When nobody reads it there is nobody left to tell.
    let _ = said.print();
    if let Some(code) = code_of(said) {
        output::note(&format!("\n{code}"));
    }
    ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(2))
}

/// Help and the version are no mistakes.
fn code_of(said: &clap::Error) -> Option<&'static str> {
    let shows_help = said.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    (said.use_stderr() && !shows_help).then_some("WL-7075: the arguments are not understood; nothing was done")
}

/// Executes one command.
///
/// # Errors
/// With what to do next.
pub fn execute(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { globals, command } = arguments;
    match command {
        Command::Parse(parse) => parse::execute(&globals, &parse),
        Command::Config(options) => settings::execute(&globals, &options),
        Command::Console(options) => console::execute(&globals, &options),
        Command::Audit(options) => audit::execute(&globals, &options),
        Command::Explain(options) => explain::execute(&options),
        Command::Topics(topics) => topics::execute(&globals, &topics),
        Command::Up(up) => run::up(&globals, &up),
        Command::Run(one) => run::one(&globals, &one),
        Command::Send(send) => send::execute(&globals, &send),
        Command::Status(status) => status::execute(&globals, &status),
        Command::Trace(trace) => trace::execute(&globals, &trace),
        Command::Message(options) => message::execute(&globals, &options),
        Command::Sla(options) => sight::sla(&globals, &options),
        Command::Activity(options) => sight::activity(&globals, &options),
        Command::Exceptions(exceptions) => exceptions::execute(&globals, &exceptions),
        Command::Crosswalk(options) => crosswalk::execute(&globals, &options),
        Command::DeadLetters(letters) => dead_letters::execute(&globals, &letters),
        Command::Demo(demo) => demo::execute(&globals, &demo),
        Command::Broker(part) => parts::broker(&part),
        Command::Registry(registry) => parts::registry(&globals, &registry),
        Command::SandboxErp(erp) => parts::sandbox_erp(&globals, &erp),
        Command::FhirStore(part) => parts::fhir_store(&part),
        Command::Reconcile(options) => reconcile::execute(&globals, &options),
        Command::Bench(bench) => bench::execute(&globals, &bench),
        Command::Replay(replay) => replay::execute(&globals, &replay),
        Command::Groups(options) => groups::execute(&globals, &options),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn wrong_arguments_have_a_code_and_keep_their_exit_code() {
        let said =
            |arguments: &[&str]| Arguments::try_parse_from([&["wardline"], arguments].concat()).map(drop).unwrap_err();
        for wrong in [&["up", "--no-such-flag"][..], &["uup"], &["parse", "hl7v2"], &["up", "--ports", "x"]] {
            let said = said(wrong);
            assert!(code_of(&said).is_some_and(|code| code.starts_with("WL-7075: ")), "{wrong:?}: {said}");
            assert_eq!(said.exit_code(), 2);
        }
        for asked in [&["--help"][..], &["--version"], &["up", "--help"], &[]] {
            assert_eq!(code_of(&said(asked)), None, "{asked:?}");
        }
    }
}
