//! Creating and deleting nodes.

use alloc::vec::Vec;

use crate::{
    acl::WireAcl,
    id::Version,
    jute::{WireStr, record},
    stat::Stat,
};

/// What kind of node to create. On the wire an enumeration, not a set of bits.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum CreateMode {
    /// Stays until somebody deletes it.
    #[default]
    Persistent = 0,
    /// Lives and dies with the session.
    Ephemeral = 1,
    /// Persistent, with a number behind its name.
    PersistentSequential = 2,
    /// Ephemeral, with a number behind its name.
    EphemeralSequential = 3,
    /// Goes when its last child has gone.
    Container = 4,
    /// Goes when it was not set for a time and has no children.
    PersistentTtl = 5,
    /// The same, with a number behind its name.
    PersistentSequentialTtl = 6,
}

impl CreateMode {
    /// The mode behind a number, if there is one.
    pub const fn new(flags: i32) -> Option<Self> {
        Some(match flags {
            0 => Self::Persistent,
            1 => Self::Ephemeral,
            2 => Self::PersistentSequential,
            3 => Self::EphemeralSequential,
            4 => Self::Container,
            5 => Self::PersistentTtl,
            6 => Self::PersistentSequentialTtl,
            _ => return None,
        })
    }

    /// The mode's number.
    pub const fn get(self) -> i32 {
        self as i32
    }

    /// Whether the node dies with the session.
    pub const fn is_ephemeral(self) -> bool {
        matches!(self, Self::Ephemeral | Self::EphemeralSequential)
    }

    /// Whether the server puts a number behind the name.
    pub const fn is_sequential(self) -> bool {
        matches!(
            self,
            Self::PersistentSequential | Self::EphemeralSequential | Self::PersistentSequentialTtl
        )
    }

    /// Whether the node has a time to live.
    pub const fn has_ttl(self) -> bool {
        matches!(self, Self::PersistentTtl | Self::PersistentSequentialTtl)
    }
}

record! {
    /// `create`, `create2`, `createContainer`.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct CreateRequest<'a> {
        /// Where.
        pub path: WireStr<'a>,
        /// With what data; null and empty differ.
        pub data: Option<&'a [u8]>,
        /// For whom.
        pub acl: Option<Vec<WireAcl<'a>>>,
        /// A [`CreateMode`].
        pub flags: i32,
    }
}

record! {
    /// `createTTL`.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct CreateTtlRequest<'a> {
        /// Where.
        pub path: WireStr<'a>,
        /// With what data; null and empty differ.
        pub data: Option<&'a [u8]>,
        /// For whom.
        pub acl: Option<Vec<WireAcl<'a>>>,
        /// One of the two [`CreateMode`]s with a time to live.
        pub flags: i32,
        /// The time to live in milliseconds.
        pub ttl_ms: i64,
    }
}

record! {
    /// Answer to `create`.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct CreateResponse<'a> {
        /// The node's path, with the number if it is sequential.
        pub path: WireStr<'a>,
    }
}

record! {
    /// Answer to `create2`, `createContainer` and `createTTL`.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct CreateStatResponse<'a> {
        /// The node's path, with the number if it is sequential.
        pub path: WireStr<'a>,
        /// The new node's stat.
        pub stat: Stat,
    }
}

record! {
    /// `delete`. Its answer has no body.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct DeleteRequest<'a> {
        /// Which node.
        pub path: WireStr<'a>,
        /// Only if it has this version, or [`Version::ANY`].
        pub version: Version,
    }
}
