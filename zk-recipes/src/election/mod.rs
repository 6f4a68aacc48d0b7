//! Elections.

mod latch;
mod leaders;

pub use self::{
    latch::{LeaderLatch, LeaderLatchBuilder, Leadership, Participant},
    leaders::{Leader, Leaders},
};
