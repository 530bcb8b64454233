//! One workload: the `erp-post` room.

fn main() -> std::process::ExitCode {
    runtime::run_one(wardline_erp_post::room)
}
