//! Nodes that stay, and groups made of them.

mod group;
mod keeper;
mod persistent;
mod ttl;

pub use self::{
    group::{GroupError, GroupMember},
    keeper::{NodeError, Presence},
    persistent::{PersistentNode, PersistentNodeBuilder, Presences},
    ttl::PersistentTtlNode,
};
