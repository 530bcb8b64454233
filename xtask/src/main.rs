//! `cargo xtask`: developer tasks. Each command is one module of `commands`.

mod commands;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer tasks of Wardline.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    // What each one is for stands at its arguments, so that the list and its own help say the same.
    Demo(commands::demo::Arguments),
    Test(commands::test::Arguments),
    Simulate(commands::simulate::Arguments),
    Chaos(commands::chaos::Arguments),
    Fuzz(commands::fuzz::Arguments),
    Tidy(commands::tidy::Arguments),
    Chart(commands::chart::Arguments),
    NewRoom(commands::new_room::Arguments),
    Codegen(commands::codegen::Arguments),
    Bench(commands::bench::Arguments),
    Components(commands::components::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Demo(arguments) => commands::demo::run(&arguments),
        Command::Test(arguments) => commands::test::run(&arguments),
        Command::Simulate(arguments) => commands::simulate::run(&arguments),
        Command::Chaos(arguments) => commands::chaos::run(&arguments),
        Command::Fuzz(arguments) => commands::fuzz::run(&arguments),
        Command::Tidy(arguments) => commands::tidy::run(&arguments),
        Command::Chart(arguments) => commands::chart::run(&arguments),
        Command::NewRoom(arguments) => commands::new_room::run(&arguments),
        Command::Codegen(arguments) => commands::codegen::run(&arguments),
        Command::Bench(arguments) => commands::bench::run(&arguments),
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
