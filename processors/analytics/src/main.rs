//! One workload: the `analytics` room.

fn main() -> std::process::ExitCode {
    runtime::run_one(wardline_analytics::room)
}
