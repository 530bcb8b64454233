//! One workload: the `hl7v2` room.

fn main() -> std::process::ExitCode {
    runtime::run_one(hl7v2::room)
}
