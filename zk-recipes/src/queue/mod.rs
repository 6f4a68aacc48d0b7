//! Queues.

mod delivery;
mod envelope;
mod items;
mod names;

pub use self::{
    delivery::Delivery,
    items::{Queue, QueueBuilder, QueueError},
    names::QueueKind,
};
