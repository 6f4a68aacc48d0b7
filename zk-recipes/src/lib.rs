//! Locks and elections on `ZooKeeper`, sharing their nodes with Curator and kazoo.
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
//! | [`Mutex`] | one holder at a time, in order | Curator's `InterProcessMutex`, kazoo's `Lock` |
//! | [`LeaderLatch`] | one leader at a time, in order | Curator's `LeaderLatch` |
//!
//! And all of them:
//! - **No node is left behind.** Whatever future or guard is dropped, whenever: a task of the
//!   client's runtime deletes its node, again and again until it is proven gone or the session,
//!   which takes it along, is over. A create whose answer was lost is looked for by its unique
//!   name.
//! - **Nothing is granted on belief.** A turn is ours on a node that this very session owns, while
//!   the session is proven alive.
//! - **One wakes one.** Whoever waits watches the one right before, so that a release wakes nobody
//!   else.
//! - **The holder is told**: [`Hold::lost`], [`Hold::cancel_token`], [`run_while_held`].
//! - Recipe futures are lazy: nothing happens before they are first polled.
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
mod contender;
mod election;
mod error;
mod fence;
mod hold;
mod host;
mod line;
mod lock;

pub use crate::{
    acquire::Acquire,
    contender::Contender,
    election::{Leader, LeaderLatch, LeaderLatchBuilder, Leaders, Leadership, Participant},
    error::{InspectError, LeadError, LockError, ReleaseError, VerifyError},
    fence::FencingToken,
    hold::{Hold, Lost, LostSignal, run_while_held},
    lock::{LockLayout, Mutex, MutexBuilder, MutexGuard},
};
