//! Listing and counting.

use alloc::vec::Vec;

use crate::{
    jute::{WireStr, record},
    stat::Stat,
};

record! {
    /// `getEphemerals`.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct PrefixRequest<'a> {
        /// What the paths start with; null, blank and `/` mean all.
        pub prefix: WireStr<'a>,
    }
}

record! {
    /// Answer to `getChildren`.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct ChildrenResponse<'a> {
        /// The children's names, in no order.
        pub children: Vec<WireStr<'a>>,
    }
}

record! {
    /// Answer to `getChildren2`.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct ChildrenStatResponse<'a> {
        /// The children's names, in no order.
        pub children: Vec<WireStr<'a>>,
        /// The parent's stat.
        pub stat: Stat,
    }
}

record! {
    /// Answer to `getEphemerals`.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct EphemeralsResponse<'a> {
        /// The session's ephemeral nodes, in no order.
        pub paths: Vec<WireStr<'a>>,
    }
}

record! {
    /// Answer to `getAllChildrenNumber`.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct ChildCountResponse {
        /// Number of all descendants.
        pub count: i32,
    }
}
