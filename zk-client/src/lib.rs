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
//! [`OperationError::outcome`]. A [`Resolver`] finds out what became of a write whose answer was
//! lost.
//!
//! **Time.** Every operation has a deadline ([`ClientBuilder::operation_timeout`],
//! [`Op::timeout`]). A request whose deadline passes before it is sent is never sent.
//!
//! **Watches.** Watches survive reconnects. One-shot watchers are told afterwards of what happened
//! meanwhile; persistent watchers get a [`WatchItem::Gap`] wherever events may be missing. Dropping
//! the last watcher removes the watch from the server.
//!
//! **Sessions.** A client has one session at a time. When the server has expired it, its ephemeral
//! nodes are gone, and everything asked in it has failed: what was sent together with its
//! connection; what was not, and never will be, with [`SessionEnd::Expired`]. What comes then is a
//! policy ([`ClientBuilder::on_expiry`]): the client is at its end, or it opens another session,
//! or it waits to be told. Every answer, event and state says which session it comes from:
//! [`SessionEpoch`] counts them, see [`Op::stamped`]. A handle of [`Client::this_session`] never
//! goes on in another one. The client knows before the server does when the session may be over:
//! [`SessionState::Suspended`] carries the deadline, counted from the moment the last answered
//! request was sent.
//!
//! [`Client::observe`] tells what *is* rather than what happened.
//!
//! # Where to read on
//!
//! [`guide::sessions`]: what a session is and what happens when it ends. [`guide::errors`]: every
//! error and what to do about it. [`guide::coming_from`]: from Curator, kazoo or the crate
//! `zookeeper-client`. [`guide::comparison`]: what other clients can do, and what this one can.
//!
//! # Features
//!
//! None is on by default, and each only adds. `tls`: TLS and mTLS to the servers. `metrics`: what
//! the client does, for the `metrics` crate. `blocking`: a client for programs without an async
//! runtime. `serde`: values of your own types in nodes, as JSON. `dns-srv`: servers found by the
//! SRV records of a name, see [`Client::builder`].
//!
//! # Watching the client
//!
//! Each operation is a `tracing` span `zookeeper` of level `DEBUG`, a child of the caller's: with
//! the operation, its path, the server and connection that answered, the session's number, the zxid
//! and the outcome. Sessions and connections are events of level `INFO`. Where nobody listens this
//! costs one comparison per operation.
//!
//! With the feature `metrics`:
//!
//! | metric | labels | what it says |
//! |---|---|---|
//! | `zk_client_requests_total` | `op`, `outcome` | `ok`, `rejected`, `not_sent`, `unknown` |
//! | `zk_client_request_seconds` | `op` | from the call to the answer |
//! | `zk_client_requests_waiting` | | asked and not answered |
//! | `zk_client_watchers` | | those that could still tell something |
//! | `zk_client_connections_total` | | made |
//! | `zk_client_disconnections_total` | `reason` | lost or given up, attempts too |
//! | `zk_client_sessions_total` | | opened |
//! | `zk_client_session_epoch` | | the number of the newest session |
//! | `zk_client_watch_notices_total` | `kind` | events by their kind, gaps, ends; per watcher |
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
mod connect;
mod create;
mod driver;
mod error;
mod follow;
pub mod guide;
mod meter;
mod multi;
mod observe;
mod op;
mod rearmed;
mod resolve;
mod resolver;
mod retry;
mod runtime;
mod servers;
mod shared;
#[cfg(feature = "dns-srv")]
mod srv;
mod state;
#[cfg(feature = "tls")]
mod tls;
mod trace;
mod transaction;
mod trees;
#[cfg(feature = "serde")]
mod value;
mod watcher;
mod weak;

pub use zk_client_core::{
    Credentials, DigestMd5, EventKind, ExpiryPolicy, Outcome, SaslError, SaslExchange,
    SaslMechanism, SaslStep, SessionEnd, SessionEpoch, SessionState, WatchEnd,
};
pub use zk_proto::{
    Acl, AuthId, ErrorCode, Instant, PathError, Perms, SessionId, Stat, Version, ZnodePath, Zxid,
    client::{AddWatchMode, CreateMode, WatcherType},
};

#[cfg(feature = "blocking")]
pub use crate::runtime::{BlockingClient, BlockingError};
#[cfg(feature = "dns-srv")]
pub use crate::runtime::{Dns, SrvAnswer, SrvLookup, SrvRecord};
#[cfg(feature = "tls")]
pub use crate::tls::{Tls, TlsError};
#[cfg(feature = "serde")]
pub use crate::value::{CreateValue, SetValue, Value, ValueError};
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
    observe::{Observe, Observed},
    op::{Op, Stamped, StampedOp},
    resolve::ConnectStringError,
    resolver::{Done, Resolver},
    retry::{Pauses, Retry, is_mendable},
    runtime::{Connection, Runtime, TokioRuntime},
    state::{Changes, StateCell},
    transaction::{Made, Transaction, TransactionResult, TransactionResults, TransactionRoom},
    watcher::{OneshotWatcher, PersistentWatcher, WatchItem, WatchedEvent},
    weak::WeakClient,
};
