//! The `wardline` command, built for the tests of this crate so that they can start and kill it.

fn main() -> std::process::ExitCode {
    cli::main()
}
