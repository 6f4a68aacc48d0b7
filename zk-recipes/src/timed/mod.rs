//! Leases that end at a time of day.
//!
//! ```text
//!   <path>/lease_holder          who has it, and until when: outlives sessions
//!   <path>/<hex>__lock__<number>  kazoo's mutex, held only while the record is read and written
//! ```

mod lease;
mod record;
mod term;

pub use self::{
    lease::{TimedLease, TimedLeaseBuilder, TimedLeaseError},
    term::TimedHold,
};
