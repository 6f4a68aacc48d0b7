//! Reading and setting data and ACLs, and the requests that are a path alone.

use alloc::vec::Vec;

use crate::{
    acl::{Acl, WireAcl},
    id::{Version, Zxid},
    jute::{WireStr, record},
    stat::Stat,
};

record! {
    /// `exists`, `getData`, `getChildren`, `getChildren2`.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct ReadRequest<'a> {
        /// Which node.
        pub path: WireStr<'a>,
        /// Whether to leave a one-shot watch.
        pub watch: bool,
    }
}

record! {
    /// `getACL`, `sync`, `getAllChildrenNumber`, `deleteContainer`.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct PathRequest<'a> {
        /// Which node.
        pub path: WireStr<'a>,
    }
}

record! {
    /// `setData`.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct SetDataRequest<'a> {
        /// Which node.
        pub path: WireStr<'a>,
        /// The new data; null and empty differ.
        pub data: Option<&'a [u8]>,
        /// Only if it has this version, or [`Version::ANY`].
        pub version: Version,
    }
}

record! {
    /// `setACL`.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct SetAclRequest<'a> {
        /// Which node.
        pub path: WireStr<'a>,
        /// The new list.
        pub acl: Option<Vec<WireAcl<'a>>>,
        /// Only if the ACL has this version, or [`Version::ANY`].
        pub version: Version,
    }
}

record! {
    /// `check`, inside a multi.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct CheckRequest<'a> {
        /// Which node.
        pub path: WireStr<'a>,
        /// The version it must have, or [`Version::ANY`] for its mere presence.
        pub version: Version,
    }
}

record! {
    /// `reconfig`. Answered with a [`DataResponse`] that holds the new configuration.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct ReconfigRequest<'a> {
        /// Members to add, or null.
        pub joining: WireStr<'a>,
        /// Numbers of members to remove, or null.
        pub leaving: WireStr<'a>,
        /// A whole new membership in place of the two above, or null.
        pub members: WireStr<'a>,
        /// Only if the configuration has this version, or −1.
        pub config_version: Zxid,
    }
}

record! {
    /// Answer to `exists`, `setData`, `setACL`.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct StatResponse {
        /// The node's stat.
        pub stat: Stat,
    }
}

record! {
    /// Answer to `getData` and `reconfig`.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct DataResponse<'a> {
        /// The node's data; null and empty differ.
        pub data: Option<&'a [u8]>,
        /// The node's stat.
        pub stat: Stat,
    }
}

record! {
    /// Answer to `getACL`.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct AclResponse {
        /// The node's list.
        pub acl: Vec<Acl>,
        /// The node's stat.
        pub stat: Stat,
    }
}

record! {
    /// Answer to `sync`.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct PathResponse<'a> {
        /// The path, as it was sent.
        pub path: WireStr<'a>,
    }
}
