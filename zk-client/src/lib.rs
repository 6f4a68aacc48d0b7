//! An async client for `ZooKeeper`: sessions, reconnection, watches, every operation of 3.9.
//!
//! ```no_run
//! use zk_client::Client;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let zk = Client::connect("zk1:2181,zk2:2181,[::1]:2181/app").await?;
//!
//! zk.create("/greeting", b"hello").await?;
//! let (node, changed) = zk.get_and_watch("/greeting").await?;
//! assert_eq!(&node.data[..], b"hello");
//!
//! zk.set("/greeting", b"good evening").if_version(node.stat.version).await?;
//! println!("{:?}", changed.await?);
//!
//! zk.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! **Order.** Requests of one session take their place when the method is *called*; they are sent,
//! executed and answered in that order, however their futures are polled. A watcher is told of a
//! change before any answer shows its effect.
//!
//! **Loss.** A request is sent at most once. When its connection breaks before the answer, it fails
//! with [`Outcome::Unknown`]: it may or may not have happened, and is never sent again for you. A
//! request that was not sent yet waits for the next connection. Every error answers
//! [`OperationError::outcome`].
//!
//! **Time.** Every operation has a deadline ([`ClientBuilder::operation_timeout`],
//! [`Op::timeout`]). A request whose deadline passes before it is sent is never sent.
//!
//! **Watches.** Watches survive reconnects. One-shot watchers are told afterwards of what happened
//! meanwhile; persistent watchers get a [`WatchItem::Gap`] wherever events may be missing. Dropping
//! the last watcher removes the watch from the server.
//!
//! **Sessions.** A client has one session. When the server has expired it, everything fails with
//! [`SessionEnd::Expired`] and the client is at its end; its ephemeral nodes are gone. The client
//! knows before the server does when that may be so: [`SessionState::Suspended`] carries the
//! deadline, counted from the moment the last answered request was sent.
//!
//! # What is not promised
//!
//! Reads may be stale: they show what the connected server knows, see [`Client::sync`]. And no
//! client can stop a paused process from believing that it still owns what its session held.

#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

mod answer;
mod builder;
mod change;
mod client;
mod create;
mod driver;
mod error;
mod multi;
mod op;
mod resolve;
mod retry;
mod runtime;
mod shared;
mod state;
mod watcher;

pub use zk_client_core::{
    Credentials, EventKind, Outcome, SessionEnd, SessionEpoch, SessionState, WatchEnd,
};
pub use zk_proto::{
    Acl, AuthId, ErrorCode, Instant, PathError, Perms, SessionId, Stat, Version, ZnodePath, Zxid,
    client::{AddWatchMode, CreateMode, WatcherType},
};

pub use crate::{
    builder::ClientBuilder,
    change::{Delete, Reconfig, Set, SetAcl},
    client::{Children, Client, Node},
    create::{Create, Created},
    error::{
        AclError, AddWatchError, AuthError, ChildrenError, ConnectError, CreateError, DeleteError,
        ExistsError, GetError, MultiError, OperationError, ReconfigError, RemoveWatchesError,
        RequestError, SetAclError, SetError, SyncError,
    },
    multi::{Multi, MultiRead, MultiReadResult, MultiResult},
    op::Op,
    resolve::ConnectStringError,
    retry::{Pauses, Retry, is_mendable},
    runtime::{Connection, Runtime, TokioRuntime},
    state::{Changes, StateCell},
    watcher::{OneshotWatcher, PersistentWatcher, WatchItem, WatchedEvent},
};
