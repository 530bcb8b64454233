//! One workload: the `erp` room.

fn main() -> std::process::ExitCode {
    runtime::run_one(wardline_erp::room)
}
