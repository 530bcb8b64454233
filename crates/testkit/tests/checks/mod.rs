//! Runs the list of checks against a broker, each as a test of its name.

use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use std::sync::{Arc, PoisonError, RwLock};
use wardline_testkit::conformance::{CHECKS, Target};

/// Most checks wait for the broker most of the time: more of them at once than there are cores.
const AT_ONCE: usize = 8;

/// Runs every check that the arguments ask for. Those that kill the broker wait until they are alone.
pub fn run(arguments: Arguments, target: impl Target + Send + 'static) -> Conclusion {
    let mut arguments = arguments;
    arguments.test_threads.get_or_insert(AT_ONCE);
    let (target, alone) = (Arc::new(target), Arc::new(RwLock::new(())));
    let trials = CHECKS.iter().map(|check| {
        let (target, alone) = (Arc::clone(&target), Arc::clone(&alone));
        Trial::test(check.name, move || {
            let (_shared, _alone);
            if check.alone {
                _alone = alone.write().unwrap_or_else(PoisonError::into_inner);
            } else {
                _shared = alone.read().unwrap_or_else(PoisonError::into_inner);
            }
            (check.run)(&*target).map_err(|error| Failed::from(format!("{error:#}")))
        })
    });
    libtest_mimic::run(&arguments, trials.collect())
}
