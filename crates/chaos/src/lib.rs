//! Chaos on a whole installation: three real brokers, a registry, an ERP and suppliers behind proxies that break calls, and
//! two processes of every room. A seed decides the load and what is broken when. Afterwards everything heals, and a checker
//! that shares no code with the runtime decides every law from what lies on the topics, in the ERP's books and at the
//! suppliers. See `docs/chaos.md`.
//!
//! ```text
//! plan      seed -> what is broken when                    load      seed -> what is sent
//! system    the processes                                  sender    a source system that repeats what nobody confirmed
//! storm     does what the plan says                        check     decides the laws from outside
//! proxy     breaks calls                                   report    says it to people and machines
//! disk      a disk to be filled                            wall      clocks that jump
//! ```

mod check;
pub mod clock;
mod disk;
mod load;
mod plan;
mod process;
mod proxy;
mod random;
mod report;
mod run;
mod sender;
mod storm;
mod supplier;
mod system;
mod wall;

pub use plan::Plan;
pub use run::{Outcome, Wanted, run};
