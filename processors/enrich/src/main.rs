//! One workload: the `enrich` room.

fn main() -> std::process::ExitCode {
    runtime::run_one(wardline_enrich::room)
}
