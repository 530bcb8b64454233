//! Breaks whole things: processes, the broker, the ERP.

use super::erp::{Erp, Trouble};
use super::instance::Control;
use super::world::{Actor, Turn, World, world};
use std::rc::Rc;
use std::time::Duration;

/// Breaks things from outside.
pub(crate) struct Chaos {
    pub instances: Vec<Rc<Control>>,
    pub erp: Erp,
    /// Virtual time at which it stops.
    pub until: Duration,
}

impl Actor for Chaos {
    fn turn(&mut self) -> Turn {
        let world = world();
        if world.now() >= self.until {
            return Turn::Done;
        }
        self.strike(&world);
        Turn::After(world.random(|prng| prng.between(Duration::from_millis(400), Duration::from_secs(6))))
    }
}

impl Chaos {
    fn strike(&self, world: &World) {
        let (what, victim, longest) = world.random(|prng| {
            let victim = self.instances.get(prng.index(self.instances.len())).cloned();
            (prng.below(10), victim, prng.between(Duration::from_millis(50), Duration::from_secs(9)))
        });
        let pid = victim.as_ref().and_then(|victim| victim.pid.get());
        match (what, victim, pid) {
            (0 | 1, Some(_), Some(pid)) => world.kill(pid),
            (2..=4, Some(victim), _) => victim.stop.set(Some(longest / 2)),
            (5, _, Some(pid)) => world.freeze(pid, longest),
            (6 | 7, _, _) => {
                world.note("broker-crash", String::new);
                let back = world.now() + longest / 3;
                world.broker.borrow_mut().crash(back);
            }
            (8, _, _) => {
                let before = self.erp.trouble();
                world.note("erp-down", String::new);
                self.erp.set_trouble(Trouble { down: true, ..before });
                world.spawn(None, "erp-up", longest, Box::new(ErpUp(self.erp.clone())));
            }
            _ => {}
        }
    }
}

/// The ERP answers again.
pub(crate) struct ErpUp(pub Erp);

impl Actor for ErpUp {
    fn turn(&mut self) -> Turn {
        world().note("erp-up", String::new);
        let trouble = self.0.trouble();
        self.0.set_trouble(Trouble { down: false, ..trouble });
        Turn::Done
    }
}
