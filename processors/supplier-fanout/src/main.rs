//! One workload: the `supplier-fanout` room.

fn main() -> std::process::ExitCode {
    runtime::run_one(wardline_supplier_fanout::room)
}
