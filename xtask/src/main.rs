//! `cargo xtask`: developer tasks. Each command is one module of `commands`.

mod commands;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer tasks of Wardline.
#[derive(Parser)]
#[command(name = "cargo xtask", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Stream a hospital day through Wardline on real parts and show that nothing was lost.
    Demo(commands::demo::Arguments),
    /// Run everything that must hold.
    Test(commands::test::Arguments),
    /// Check the rules of the repository that no compiler checks.
    Tidy(commands::tidy::Arguments),
    /// Check the Helm chart.
    Chart(commands::chart::Arguments),
    /// Start a connector or a processor that compiles.
    NewRoom(commands::new_room::Arguments),
    /// Make the generated Rust code from the contracts and topics.yaml.
    Codegen(commands::codegen::Arguments),
    /// Start and stop the real Kafka, schema registry, ERP and FHIR server.
    Components(commands::components::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Demo(arguments) => commands::demo::run(&arguments),
        Command::Test(arguments) => commands::test::run(&arguments),
        Command::Tidy(arguments) => commands::tidy::run(&arguments),
        Command::Chart(arguments) => commands::chart::run(&arguments),
        Command::NewRoom(arguments) => commands::new_room::run(&arguments),
        Command::Codegen(arguments) => commands::codegen::run(&arguments),
        Command::Components(arguments) => commands::components::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when stderr is closed.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
