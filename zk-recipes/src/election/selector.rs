//! Lead as long as some work lasts, and stand for election again.
//!
//! ```text
//!   stand ──► lead ──► work ──► its end ──► resign ──► stand ...
//!                        ▲
//!                        └── told to stop by the hold's cancel token when leadership is lost or
//!                            to be given up; waited for before the node goes
//! ```

use std::pin::pin;

use futures::future::{Either, select};
use tokio_util::sync::CancellationToken;
use zk_client::{Client, PathError, SessionEnd, ZnodePath};

use super::{
    latch::{LeaderLatch, Leadership, Participant},
    leaders::Leaders,
};
use crate::{
    error::{InspectError, LeadError},
    hold::{Hold, Lost},
    line::{Exclusive, Pace},
    lock::{
        LockLayout,
        options::{Options, lock_options},
    },
};

/// An election whose winner leads as long as its work lasts.
///
/// It shares its nodes with Curator's `LeaderSelector`, and by [`LockLayout::Kazoo`] with kazoo's
/// `Election`: those of a [`crate::Mutex`].
///
/// # What it promises
/// What [`LeaderLatch`] promises, and that leadership is given up after the work has ended, not
/// before: whoever is to stop is told, then waited for, and only then the next one may lead. A
/// leadership that was *lost* cannot wait: the session may be over while the work still ends. Act
/// by [`Hold::token`] or [`Hold::txn`] wherever that would hurt.
///
/// # Examples
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_recipes::LeaderSelector;
///
/// let selector = LeaderSelector::builder(&zk, "/lead").id("node-1").build()?;
/// let term = selector
///     .lead(|hold| async move {
///         let stop = hold.cancel_token();
///         while !stop.is_cancelled() { /* lead, with hold.token() */
/// #           break;
///         }
///     })
///     .await?;
/// println!("led until {:?}", term.lost);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct LeaderSelector {
    latch: LeaderLatch,
}

/// Collects what a selector needs to know; see [`LeaderSelector::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before build"]
pub struct LeaderSelectorBuilder {
    options: Options,
    layout: LockLayout,
}

/// A term that is over.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Term<T> {
    /// What the work came to.
    pub output: T,
    /// Why leadership was lost, if it was before the work had ended.
    pub lost: Option<Lost>,
}

/// What is done by whoever leads; see [`LeaderSelector::run`].
///
/// # Examples
/// ```
/// use zk_recipes::{Hold, LeaderListener};
///
/// struct Printing;
///
/// #[async_trait::async_trait]
/// impl LeaderListener for Printing {
///     async fn take_leadership(&self, hold: Hold) {
///         let stop = hold.cancel_token();
///         stop.cancelled().await;
///     }
/// }
/// ```
#[async_trait::async_trait]
pub trait LeaderListener: Send + Sync {
    /// Leads until there is no more to do or [`Hold::cancel_token`] is cancelled: leadership is
    /// lost, or is to be given up. Leadership is kept until this returns, unless it was lost.
    async fn take_leadership(&self, hold: Hold);
}

impl LeaderSelector {
    /// The election at a path, with all defaults. Parents that are missing are created by the first
    /// who stands, as containers.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn new(client: &Client, path: &str) -> Result<Self, PathError> {
        Self::builder(client, path).build()
    }

    /// Collects what a selector needs to know. Nothing else must be stored under its path.
    pub fn builder(client: &Client, path: &str) -> LeaderSelectorBuilder {
        let options = Options::new(client, path);
        LeaderSelectorBuilder { options, layout: LockLayout::default() }
    }

    /// One term: waits to lead, leads until the work has ended, and waits until the next one can
    /// lead.
    ///
    /// The work is not dropped when leadership is lost; it is told by [`Hold::cancel_token`] and
    /// [`Hold::lost`].
    ///
    /// # Errors
    /// [`LeadError`] when we did not come to lead; the work has not begun then.
    ///
    /// # Cancel safety
    /// May be dropped at any moment. That drops the work, too, and then gives leadership up.
    pub async fn lead<T, F: Future<Output = T>>(
        &self,
        work: impl FnOnce(Hold) -> F,
    ) -> Result<Term<T>, LeadError> {
        let leadership = self.latch.lead().await?;
        Ok(finish(leadership, None, work).await)
    }

    /// Term after term, until `stop` is cancelled: whoever leads then is told to stop and waited
    /// for, resigns, and stands no more. Whoever loses leadership, or its session if the client
    /// goes
    /// on with another, stands again.
    ///
    /// # Errors
    /// [`LeadError`] when we cannot stand for election any more.
    ///
    /// # Cancel safety
    /// May be dropped at any moment. That drops the work, too, and then gives leadership up.
    pub async fn run(
        &self,
        stop: &CancellationToken,
        listener: &dyn LeaderListener,
    ) -> Result<(), LeadError> {
        let client = self.latch.line.client();
        let mut pauses = Pace::new();
        while !stop.is_cancelled() {
            let stopped = pin!(stop.cancelled());
            let led = match select(stopped, self.latch.lead()).await {
                Either::Left(_) => return Ok(()),
                Either::Right((led, _)) => led,
            };
            match led {
                Ok(leadership) => {
                    finish(leadership, Some(stop), |hold| listener.take_leadership(hold)).await;
                    pauses = Pace::new();
                }
                Err(error) if is_worth_another(client, &error) => {
                    let pause = pin!(pauses.pause(client.runtime()));
                    select(pin!(stop.cancelled()), pause).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Who leads, now and then each time that changes, without standing for election. A stream.
    pub fn observe(&self) -> Leaders {
        self.latch.observe()
    }

    /// Who leads at this moment.
    ///
    /// # Errors
    /// [`InspectError`] when the server does not let us look.
    pub async fn leader(&self) -> Result<Option<Participant>, InspectError> {
        self.latch.leader().await
    }

    /// Who takes part, the leader first.
    ///
    /// # Errors
    /// [`InspectError`] when the server does not let us look.
    pub async fn participants(&self) -> Result<Vec<Participant>, InspectError> {
        self.latch.participants().await
    }

    /// The election's path.
    pub fn path(&self) -> &ZnodePath {
        self.latch.path()
    }
}

/// Works, is told to stop and is waited for; then the node goes.
async fn finish<T, F: Future<Output = T>>(
    leadership: Leadership,
    stop: Option<&CancellationToken>,
    work: impl FnOnce(Hold) -> F,
) -> Term<T> {
    // Before the work starts to watch for it.
    let watched = leadership.lost();
    let work = work(leadership.view());
    let output = match stop {
        None => work.await,
        Some(stop) => {
            let stopped = pin!(stop.cancelled());
            match select(pin!(work), stopped).await {
                Either::Left((output, _)) => output,
                Either::Right(((), work)) => {
                    leadership.grip.announce();
                    work.await
                }
            }
        }
    };
    drop(watched);
    let lost = leadership.loss().filter(|lost| *lost != Lost::Released);
    // What the server refuses, a background task goes on asking for.
    let _ = leadership.release().await;
    Term { output, lost }
}

/// Whether standing for election once more can succeed.
fn is_worth_another(client: &Client, error: &LeadError) -> bool {
    match error {
        LeadError::Evicted => true,
        LeadError::SessionOver(SessionEnd::Expired) => client.state().end().is_none(),
        LeadError::SessionOver(_)
        | LeadError::TimedOut
        | LeadError::Create(_)
        | LeadError::List(_)
        | LeadError::Watch(_)
        | LeadError::Settle(_) => false,
    }
}

impl LeaderSelectorBuilder {
    /// What the others know us by; this machine's address as text unless set, as in Curator.
    pub fn id(self, id: impl Into<String>) -> Self {
        self.data(id.into())
    }

    /// How nodes are named; [`LockLayout::Curator`] unless set.
    pub const fn layout(mut self, layout: LockLayout) -> Self {
        self.layout = layout;
        self
    }

    /// The selector.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn build(self) -> Result<LeaderSelector, PathError> {
        let Self { options, layout } = self;
        let line = options.line("selector", "", layout.naming(), Exclusive)?;
        Ok(LeaderSelector { latch: LeaderLatch { line, margin: options.margin } })
    }
}

lock_options!(LeaderSelectorBuilder);
