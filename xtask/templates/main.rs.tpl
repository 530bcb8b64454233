//! One workload: the `@room@` room.

fn main() -> std::process::ExitCode {
    runtime::run_one(wardline_@snake@::room)
}
