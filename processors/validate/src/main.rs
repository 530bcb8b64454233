//! One workload: the `validate` room.

fn main() -> std::process::ExitCode {
    runtime::run_one(wardline_validate::room)
}
