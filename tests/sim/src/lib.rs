//! Whole ensembles in one thread, on virtual time, under one seed.
//!
//! ```text
//!   world      the heap of what is to happen, and who is told of it
//!   host       one member: the production peer, its store and its disk
//!   net        connections that keep their order, stall when cut, and break
//!   client     the production session of a client, and what it asks
//!   runtime    one process's clock, timers, tasks and sockets, for `zk-client` as it is
//!   apps       processes that use `zk-client` and the recipes, and what they do with them
//!   swarm      which faults a seed brings, and how hard
//!   faults     each fault and its end
//!   check      what must hold after every event, and what must hold of the whole history
//!   trace      what happened, a line each
//! ```
//! Members, stores, election, broadcast and client sessions are the code that runs in production,
//! unmodified. Only sockets, disks, clocks and chance are made here, and all of it from the seed:
//! the same seed gives the same run, event by event.
//!
//! Applications are processes of their own, with `zk-client` and `zk-recipes` as they are: their
//! runtime is made here, and their tasks are polled one at a time in an order drawn from the seed.
//! A run has them with `--recipes` ([`Plan::recipes`]). Told again with every event a line:
//!
//! ```text
//!   cargo sim --seed 68 --seconds 60 --recipes --trace
//! ```

pub mod apps;
pub mod check;
pub mod client;
pub mod faults;
pub mod host;
pub mod net;
#[cfg(planted_bugs)]
pub mod planted;
pub mod runtime;
pub mod swarm;
pub mod trace;
pub mod world;

#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

pub use swarm::Plan;
pub use world::{Outcome, World};

use crate::trace::Trace;

thread_local! {
    /// Where this thread panicked last, and why.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs a plan to its end. A panic, of a member or a client, is a violation as any other; a trace
/// that was kept is lost with it.
pub fn run(plan: Plan, trace: Trace) -> (Outcome, Trace) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        panic::set_hook(Box::new(|info| PANIC.set(info.to_string().replace('\n', " "))));
    });
    panic::catch_unwind(AssertUnwindSafe(|| World::new(plan, trace).run())).unwrap_or_else(|_| {
        let violations = vec![format!("I41: {}", PANIC.take())];
        (Outcome { violations, ..Outcome::default() }, Trace::new(false, false))
    })
}
