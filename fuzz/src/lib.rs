//! Entry points of libFuzzer: each file of `fuzz_targets` names one function of `crates/fuzz-targets`, which says what must hold.

pub use fuzz_targets;
pub use libfuzzer_sys;

/// Makes the program whose target is the function of that name.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        $crate::libfuzzer_sys::fuzz_target!(|input: &[u8]| $crate::fuzz_targets::$name(input));
    };
}
