//! The command people type.

fn main() -> std::process::ExitCode {
    cli::main()
}
