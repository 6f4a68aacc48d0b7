//! Locks, elections, barriers, caches and membership on `ZooKeeper`, sharing their nodes with
//! Curator and kazoo.
//!
//! ```no_run
//! use zk_client::Client;
//! use zk_recipes::Mutex;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let zk = Client::connect("zk1:2181,zk2:2181,zk3:2181").await?;
//! let mutex = Mutex::new(&zk, "/locks/printer")?;
//!
//! let guard = mutex.lock().await?;
//! println!("mine, with token {}", guard.token());
//! guard.release().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Only a fencing token protects a resource
//!
//! **A lock without a fencing token is advisory.** No lock service can stop a process that is
//! paused, swapped out or cut off, sleeps through the end of its session, and goes on where it was,
//! while somebody else holds the lock already. [`Hold::lost`] fires as early as this client can
//! know, and that may be too late.
//!
//! What protects is the [`FencingToken`]: it is larger for every next holder. Send it along with
//! every request to what the lock guards, and let that refuse tokens smaller than the largest it
//! has seen. Where the guarded thing lives in `ZooKeeper` itself, [`Hold::txn`] does the same: the
//! ensemble refuses the transaction of who does not hold any more.
//!
//! # What each recipe promises
//!
//! | recipe | promises | shares nodes with |
//! |---|---|---|
//! | [`Mutex`] | one holder at a time, in order | Curator, kazoo, go-zookeeper, `WriteLock` |
//! | [`Mutex::holder`] | the same, and the holder may lock again | the same |
//! | [`MultiLock`] | several mutexes, all or none | the same |
//! | [`ReadWriteLock`] | many readers or one writer, in order | Curator, kazoo |
//! | [`Semaphore`] | at most so many leases, in order | Curator's V2, kazoo |
//! | [`Barrier`] | nobody passes while it is set | Curator, kazoo |
//! | [`DoubleBarrier`] | all enter together, all leave together | Curator, kazoo |
//! | [`SharedValue`] | changes exactly once, on the ground of what was seen | Curator |
//! | [`Counter`] | the same for a number | Curator, kazoo |
//! | [`Queue`] | each item to one taker, at most or at least once | Curator, kazoo |
//! | [`LeaderLatch`] | one leader at a time, in order | Curator's `LeaderLatch` |
//! | [`LeaderSelector`] | the same, and leads as long as work lasts | Curator, kazoo's `Election` |
//! | [`FencedElection`] | the same, and shuts out the one before first | – |
//! | [`Cache`] | a copy that misses nothing and says when it read all again | – |
//! | [`PersistentNode`] | a node that is there as long as the client is | Curator |
//! | [`PersistentTtlNode`] | a node that outlives its session by a time to live | Curator |
//! | [`Party`] | who takes part | kazoo |
//! | [`Partitioner`] | each item of a set to one member at a time | kazoo |
//! | [`GroupMember`] | a member of a group, and who else is there | Curator |
//! | `TimedLease` (feature `lease`) | one holder until a time of day, over sessions | kazoo |
//! | `config` (feature) | typed configuration, published as a whole | Spring Cloud |
//! | `discovery` (feature) | who offers a service and where | Curator, Spring Cloud, Dubbo |
//!
//! And all of them:
//! - **No node is left behind.** Whatever future or guard is dropped, whenever: a task of the
//!   client's runtime deletes its node, again and again until it is proven gone or the session,
//!   which takes it along, is over. That task does not keep the session open: it ends with the last
//!   client. A create whose answer was lost is looked for by its unique
//!   name.
//! - **Nothing is granted on belief.** A turn is ours on a node that this very session owns, while
//!   the session is proven alive.
//! - **One wakes one.** Whoever waits watches the one right before, so that a release wakes nobody
//!   else.
//! - **The holder is told**: [`Hold::lost`], [`Hold::cancel_token`], [`run_while_held`].
//! - Recipe futures are lazy: nothing happens before they are first polled.
//!
//! # Where to read on
//!
//! [`guide::which`]: which recipe do I need? [`guide::fencing`]: what protects a resource, by a
//! worked example. [`guide::sharing`]: the same nodes for Rust, Java and Python.
//! [`guide::errors`]: every error and what to do about it. [`guide::recipes`]: what other clients
//! have and what this crate has. [`pitfalls`]: what goes wrong elsewhere. All claims there name the
//! tests that show them.
//!
//! # Features
//!
//! None is on by default, and each only adds. `config`, `discovery` and `lease`: the recipes above.
//! `tower`: a provider's instances for a balancer. `metrics`: what recipes do, for the `metrics`
//! crate, beside what the client does:
//!
//! | metric | labels | what it says |
//! |---|---|---|
//! | `zk_recipes_waits_total` | `recipe`, `outcome` | `turn`, `not_at_once`, `failed`, `given_up` |
//! | `zk_recipes_wait_seconds` | `recipe` | how long those took that came to their turn |
//! | `zk_recipes_waiting` | `recipe` | how many wait at this moment |
//! | `zk_recipes_held` | `recipe` | how many are held at this moment |
//! | `zk_recipes_held_seconds` | `recipe` | from the turn until it was given up or lost |
//! | `zk_recipes_lost_total` | `recipe`, `reason` | `deleted`, `session_over`, `deadline_passed` |
//!
//! # What none promises
//!
//! That a holder *knows* what it holds; see above. And nothing about children that somebody else
//! puts under a recipe's path: they do not take part, are warned of by a `tracing` event
//! (`ForeignContender`), and are marked in [`Mutex::contenders`].
//!
//! # Sharing locks with other languages
//!
//! Contenders see each other by their nodes' names. [`LockLayout::Curator`] contends with Curator
//! and go-zookeeper as they are; [`LockLayout::Kazoo`] with kazoo as it is. One path must not mix
//! the two layouts: each side would take the lock for free. A kazoo program joins Curator's layout
//! by two lines:
//!
//! ```python
//! class CuratorLock(kazoo.recipe.lock.Lock):
//!     _NODE_NAME, _EXCLUDE_NAMES = "-lock-", ["-lock-"]
//! ```

#![warn(clippy::exhaustive_enums)]

mod acquire;
mod barrier;
mod cache;
#[cfg(feature = "config")]
pub mod config;
mod contender;
mod counter;
#[cfg(feature = "discovery")]
pub mod discovery;
mod election;
mod error;
mod fence;
pub mod guide;
mod hold;
mod host;
mod line;
mod lock;
mod meter;
mod node;
mod partition;
mod party;
mod persist;
#[doc = include_str!("guide/pitfalls.md")]
pub mod pitfalls {}
mod queue;
#[cfg(feature = "lease")]
mod timed;

#[cfg(feature = "lease")]
pub use crate::timed::{TimedHold, TimedLease, TimedLeaseBuilder, TimedLeaseError};
pub use crate::{
    acquire::Acquire,
    barrier::{
        Barrier, BarrierError, BarrierLayout, DoubleBarrier, DoubleBarrierBuilder,
        DoubleBarrierError, Inside,
    },
    cache::{Cache, CacheBuilder, CacheError, CacheEvent, CacheEvents, CachedNode, Snapshot},
    contender::Contender,
    counter::{
        Counter, CounterBuilder, CounterError, CounterLayout, Numbers, SharedValue,
        SharedValueBuilder, Value, ValueError, Values,
    },
    election::{
        Breadcrumb, FencedElection, FencedElectionBuilder, FencedElectionError, FencedLeadership,
        Leader, LeaderLatch, LeaderLatchBuilder, LeaderListener, LeaderSelector,
        LeaderSelectorBuilder, Leaders, Leadership, Participant, Term,
    },
    error::{
        DowngradeError, HolderError, InspectError, InterveneError, JoinError, LeadError, LockError,
        ReleaseError, SemaphoreError, VerifyError,
    },
    fence::FencingToken,
    hold::{Hold, Lost, LostSignal, run_while_held},
    lock::{
        Holder, HolderGuard, Lease, LockLayout, LockNames, MultiGuard, MultiLock, MultiLockBuilder,
        Mutex, MutexBuilder, MutexGuard, Permits, ReadGuard, ReadWriteLayout, ReadWriteLock,
        ReadWriteLockBuilder, Semaphore, SemaphoreBuilder, SemaphoreLayout, WriteGuard,
    },
    node::{
        GroupError, GroupMember, NodeError, PersistentNode, PersistentNodeBuilder,
        PersistentTtlNode, Presence, Presences,
    },
    partition::{Partition, PartitionMember, Partitioner, PartitionerBuilder, Share, ShareEnd},
    party::{Membership, Party, PartyBuilder, PartyLayout},
    queue::{Delivery, Queue, QueueBuilder, QueueError, QueueKind},
};
