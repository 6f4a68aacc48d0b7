//! Everything that can happen to a session.

use alloc::{boxed::Box, vec::Vec};

use bytes::BytesMut;
use zk_proto::{Instant, client::OpCode, client::WatcherType, jute::Encode};

use crate::{auth::Credentials, endpoints::Candidate};

/// One thing that happened.
pub enum Input<'a> {
    /// Somebody asks the server something. Takes its place in the order at once.
    Request(Request<'a>),
    /// Nobody waits for the answer any more. A request not yet sent leaves the line.
    Withdraw(Token),
    /// The request gets another deadline.
    Deadline {
        /// Which request.
        token: Token,
        /// When its caller stops waiting.
        at: Instant,
    },
    /// Credentials to present on this and every later connection.
    Authenticate {
        /// What to present.
        credentials: Credentials,
        /// Comes back with the server's verdict.
        token: Token,
        /// When the caller stops waiting.
        deadline: Instant,
    },
    /// The watcher is gone; the last one of its kind on a path removes the watch from the server.
    Unwatch(WatchId),
    /// There is another list of servers; an empty one is ignored. Moves to another server only as
    /// far as it takes to spread all clients over the new list, evenly or by weight.
    Servers(Vec<Candidate>),
    /// Whether the server of [`crate::Output::Probe`] serves writes; it may have said nothing.
    Probed(bool),
    /// Opens the next session after one that was over, under [`crate::ExpiryPolicy::Handoff`].
    /// Nothing happens at any other time.
    Renew,
    /// Ends the session behind everything asked so far.
    Close(Token),
    /// [`crate::Output::Connect`] succeeded.
    Connected,
    /// [`crate::Output::Connect`] failed.
    ConnectFailed,
    /// Bytes arrived. Whole messages are taken off the front, the rest stays.
    Received(&'a mut BytesMut),
    /// [`crate::Output::Send`] is through; the buffer comes back for reuse.
    Written(Vec<u8>),
    /// The connection broke or the server closed it.
    Disconnected,
    /// [`crate::Session::next_timeout`] is due. Harmless when nothing is.
    Timeout,
}

/// One request.
pub struct Request<'a> {
    /// Comes back with the answer.
    pub token: Token,
    /// The operation.
    pub op: OpCode,
    /// The operation's record, with the server's paths.
    pub body: &'a dyn Encode,
    /// The watch that the request sets, if it sets one.
    pub watch: Option<Watch>,
    /// For `removeWatches`: what it removes, so that local watchers end with it.
    pub removes: Option<(Box<str>, WatcherType)>,
    /// When the caller stops waiting.
    pub deadline: Instant,
}

/// The caller's name for a request.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Token {
    /// Rises with every request of a session.
    pub seq: u64,
    /// Whatever the caller wants back.
    pub slot: u32,
}

/// A watch that comes into being with the answer to its request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Watch {
    /// The watcher.
    pub id: WatchId,
    /// What it watches for.
    pub kind: WatchKind,
    /// The server's path.
    pub path: Box<str>,
    /// Whether it ends with the session it was set in, even if the client goes on with another.
    pub ends_with_session: bool,
}

/// The caller's name for a watcher; never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct WatchId(pub u64);

/// What a watcher watches for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum WatchKind {
    /// The next change of data, or deletion. One event.
    Data,
    /// As [`Self::Data`], or the creation of a node that is not there. One event.
    Exists,
    /// The next change of the children list, or deletion. One event.
    Children,
    /// Every change of the node and its children list.
    Persistent,
    /// Every change of the node and everything below it.
    Recursive,
}
