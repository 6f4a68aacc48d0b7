//! Watches: setting, asking about, removing, and the event when one fires.

use alloc::vec::Vec;

use crate::{
    id::Zxid,
    jute::{WireStr, record},
};

macro_rules! numbered {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $code:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum $name {
            $($(#[$variant_meta])* $variant = $code,)*
        }

        impl $name {
            /// The value behind a number, if there is one.
            pub const fn new(code: i32) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The wire form.
            pub const fn get(self) -> i32 {
                self as i32
            }
        }
    };
}

numbered! {
    /// What happened to a node, or to the session.
    pub enum EventType {
        /// Nothing happened to a node; the session's state changed (never sent by a server).
        None = -1,
        /// The node was created.
        NodeCreated = 1,
        /// The node was deleted.
        NodeDeleted = 2,
        /// The node's data was set.
        NodeDataChanged = 3,
        /// A child was created or deleted.
        NodeChildrenChanged = 4,
        /// A data watch was removed (never sent by a server).
        DataWatchRemoved = 5,
        /// A child watch was removed (never sent by a server).
        ChildWatchRemoved = 6,
        /// A persistent watch was removed (never sent by a server).
        PersistentWatchRemoved = 7,
    }
}

numbered! {
    /// The session's state an event tells of; servers only send [`KeeperState::SyncConnected`].
    pub enum KeeperState {
        /// Unknown.
        Unknown = -1,
        /// Not connected.
        Disconnected = 0,
        /// Connected (old).
        NoSyncConnected = 1,
        /// Connected.
        SyncConnected = 3,
        /// Credentials were refused.
        AuthFailed = 4,
        /// Connected to a read-only server.
        ConnectedReadOnly = 5,
        /// SASL is through.
        SaslAuthenticated = 6,
        /// Closed by the client.
        Closed = 7,
        /// The session is over.
        Expired = -112,
    }
}

numbered! {
    /// How a watch added by `addWatch` behaves.
    pub enum AddWatchMode {
        /// Stays, and tells of the node and its children list.
        Persistent = 0,
        /// Stays, and tells of the node and everything below it.
        PersistentRecursive = 1,
    }
}

numbered! {
    /// Which watches to ask about or to remove.
    pub enum WatcherType {
        /// One-shot watches on the children list.
        Children = 1,
        /// One-shot watches on data and existence.
        Data = 2,
        /// All watches.
        Any = 3,
        /// Persistent watches.
        Persistent = 4,
        /// Persistent recursive watches.
        PersistentRecursive = 5,
    }
}

record! {
    /// A watch fired. Comes behind a reply header with xid −1.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct WatcherEvent<'a> {
        /// An [`EventType`].
        pub event: i32,
        /// A [`KeeperState`].
        pub state: i32,
        /// The node it happened to.
        pub path: WireStr<'a>,
    }
}

record! {
    /// `setWatches`. Its answer has no body.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct SetWatchesRequest<'a> {
        /// The last transaction the client knows of; what came after it is reported at once.
        pub relative_zxid: Zxid,
        /// Nodes with a data watch.
        pub data: Option<Vec<WireStr<'a>>>,
        /// Absent nodes with a watch for their creation.
        pub exist: Option<Vec<WireStr<'a>>>,
        /// Nodes with a children watch.
        pub child: Option<Vec<WireStr<'a>>>,
    }
}

record! {
    /// `setWatches2`. Its answer has no body.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct SetWatches2Request<'a> {
        /// The last transaction the client knows of; what came after it is reported at once.
        pub relative_zxid: Zxid,
        /// Nodes with a data watch.
        pub data: Option<Vec<WireStr<'a>>>,
        /// Absent nodes with a watch for their creation.
        pub exist: Option<Vec<WireStr<'a>>>,
        /// Nodes with a children watch.
        pub child: Option<Vec<WireStr<'a>>>,
        /// Nodes with a persistent watch.
        pub persistent: Option<Vec<WireStr<'a>>>,
        /// Nodes with a persistent recursive watch.
        pub recursive: Option<Vec<WireStr<'a>>>,
    }
}

record! {
    /// `addWatch`.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct AddWatchRequest<'a> {
        /// Which node; it need not exist.
        pub path: WireStr<'a>,
        /// An [`AddWatchMode`].
        pub mode: i32,
    }
}

record! {
    /// Answer to `addWatch`.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct AddWatchResponse {
        /// Always 0.
        pub error: i32,
    }
}

record! {
    /// `checkWatches` and `removeWatches`. Their answers have no body.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct WatchRemovalRequest<'a> {
        /// Which node.
        pub path: WireStr<'a>,
        /// A [`WatcherType`].
        pub kind: i32,
    }
}
