//! A set of items, divided among those who take part.
//!
//! ```text
//!   party/  one node per member: kazoo's shallow party
//!   locks/  a mutex per item, kazoo's: whoever holds it has the item
//! ```
//!
//! What always holds: who has an item holds its lock, so that no view of the members that is out of
//! date can give an item to two.

mod member;
mod partitioner;
mod share;
mod split;

pub use self::{
    member::PartitionMember,
    partitioner::{Partitioner, PartitionerBuilder},
    share::{Partition, Share, ShareEnd},
};
