//! One workload: the `fhir` room.

fn main() -> std::process::ExitCode {
    runtime::run_one(wardline_fhir::room)
}
