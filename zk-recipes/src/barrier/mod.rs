//! Barriers: waiting until somebody opens, or until everybody is there.

mod double;
mod single;

pub use self::{
    double::{BarrierLayout, DoubleBarrier, DoubleBarrierBuilder, DoubleBarrierError, Inside},
    single::{Barrier, BarrierError},
};
