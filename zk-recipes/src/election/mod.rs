//! Elections.

mod fenced;
mod latch;
mod leaders;
mod selector;

pub use self::{
    fenced::{
        Breadcrumb, FencedElection, FencedElectionBuilder, FencedElectionError, FencedLeadership,
    },
    latch::{LeaderLatch, LeaderLatchBuilder, Leadership, Participant},
    leaders::{Leader, Leaders},
    selector::{LeaderListener, LeaderSelector, LeaderSelectorBuilder, Term},
};
