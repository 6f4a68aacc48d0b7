//! Who leads, seen from outside.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use zk_client::{ChildrenError, GetError, OneshotWatcher, OperationError, SessionId};

use crate::{
    fence::FencingToken,
    line::{Line, Pace, Queue},
};

/// The leader of an election, as an observer sees it: the first in line.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Leader {
    /// What it calls itself; empty when it does not.
    pub id: String,
    /// The path of its node.
    pub path: String,
    /// Its fencing token.
    pub token: FencingToken,
    /// Its session.
    pub session: SessionId,
}

/// Who leads, and who then; see [`crate::LeaderLatch::observe`]. A stream of leaders, and `None`
/// while there is none. It skips those who led too shortly to be seen, and ends with the session.
///
/// While nobody can be asked it says nothing: the last leader may not be one any more.
#[must_use = "a stream tells nothing unless it is read"]
pub struct Leaders {
    stream: BoxStream<'static, Option<Leader>>,
}

/// What has been seen, and what tells that it changed.
struct Observer {
    line: Line,
    #[expect(clippy::option_option, reason = "nothing told yet, or told that nobody leads")]
    told: Option<Option<Leader>>,
    change: Option<OneshotWatcher>,
    pauses: Pace,
}

impl Leaders {
    pub(crate) fn new(line: &Line) -> Self {
        let observer =
            Observer { line: line.clone(), told: None, change: None, pauses: Pace::new() };
        let stream = stream::unfold(observer, |mut observer| async move {
            let leader = observer.next().await?;
            Some((leader, observer))
        });
        Self { stream: stream.boxed() }
    }

    /// Who leads next, or `None` when the session is over and no other follows.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Option<Leader>> {
        self.stream.next().await
    }
}

impl Stream for Leaders {
    type Item = Option<Leader>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.as_mut().poll_next(context)
    }
}

impl fmt::Debug for Leaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaders").finish_non_exhaustive()
    }
}

impl Observer {
    /// Looks until there is something new to tell; `None` when the session is over.
    async fn next(&mut self) -> Option<Option<Leader>> {
        loop {
            if let Some(change) = self.change.take() {
                // Whatever happened, looking again tells what it means.
                let _ = change.await;
            }
            match self.look().await {
                Ok(None) => {}
                Ok(Some((leader, change))) => {
                    self.pauses = Pace::new();
                    self.change = Some(change);
                    if self.told.as_ref() != Some(&leader) {
                        self.told = Some(leader.clone());
                        return Some(leader);
                    }
                }
                Err(is_over) if is_over => return None,
                Err(_) => self.pauses.pause(self.line.client().runtime()).await,
            }
        }
    }

    /// Reads who leads, and watches for the end of that. `None` when it changed meanwhile. Fails
    /// with whether the session is over.
    async fn look(&self) -> Result<Option<(Option<Leader>, OneshotWatcher)>, bool> {
        let queue = match self.line.queue().await {
            Ok(queue) => queue,
            Err(error) => return Err(self.is_over(&error)),
        };
        match queue.line.first() {
            Some(first) => self.look_at(&self.line.child_path(&first.name)).await,
            None => self.look_for_any(&queue).await,
        }
    }

    async fn look_at(&self, path: &str) -> Result<Option<(Option<Leader>, OneshotWatcher)>, bool> {
        match self.line.client().get_and_watch(path).await {
            Ok((node, change)) => {
                let leader = Leader {
                    id: String::from_utf8_lossy(&node.data).into_owned(),
                    path: path.to_owned(),
                    token: FencingToken::new(node.stat.czxid),
                    session: node.stat.ephemeral_owner,
                };
                Ok(Some((Some(leader), change)))
            }
            Err(GetError::NoNode { .. }) => Ok(None),
            Err(error) => Err(self.is_over(&error)),
        }
    }

    async fn look_for_any(
        &self,
        seen: &Queue,
    ) -> Result<Option<(Option<Leader>, OneshotWatcher)>, bool> {
        let (client, path) = (self.line.client(), self.line.path());
        match client.children_and_watch(path).await {
            Ok((children, change)) => {
                let is_same = self.line.order(children.names) == *seen;
                Ok(is_same.then_some((None, change)))
            }
            Err(ChildrenError::NoNode { .. }) => match client.exists_and_watch(path).await {
                Ok((None, change)) => Ok(Some((None, change))),
                Ok((Some(_), _)) => Ok(None),
                Err(error) => Err(self.is_over(&error)),
            },
            Err(error) => Err(self.is_over(&error)),
        }
    }

    /// Whether the session is over and no other follows.
    fn is_over(&self, error: &impl OperationError) -> bool {
        error.session_end().is_some() && self.line.client().state().end().is_some()
    }
}
