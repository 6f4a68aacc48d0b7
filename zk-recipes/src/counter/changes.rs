//! What a value is, and what it becomes.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use zk_client::{GetError, OneshotWatcher, OperationError as _, Zxid};

use super::{
    cell::Cell,
    number::{CounterError, CounterLayout},
    value::{Value, ValueError},
};
use crate::{line::Pace, persist::passes};

/// The data of a [`crate::SharedValue`], now and each time they have changed; see
/// [`crate::SharedValue::changes`]. `None` while there is no node. It ends with the client, and
/// after an error.
#[must_use = "a stream tells nothing unless it is read"]
pub struct Values {
    stream: BoxStream<'static, Result<Option<Value>, ValueError>>,
}

/// The number of a [`crate::Counter`], now and each time it has changed; see
/// [`crate::Counter::changes`]. It ends with the client.
#[must_use = "a stream tells nothing unless it is read"]
pub struct Numbers {
    values: Values,
    layout: CounterLayout,
}

/// What has been told, and what tells that it changed.
struct Observer {
    cell: Cell,
    told: Told,
    change: Option<OneshotWatcher>,
    pauses: Pace,
    is_over: bool,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Told {
    /// Nothing yet.
    Nothing,
    /// That there is no node.
    Absent,
    /// The data that this transaction set.
    Data(Zxid),
}

impl Values {
    pub(super) fn new(cell: &Cell) -> Self {
        let observer = Observer {
            cell: cell.clone(),
            told: Told::Nothing,
            change: None,
            pauses: Pace::new(),
            is_over: false,
        };
        let stream = stream::unfold(observer, |mut observer| async move {
            let value = observer.next().await?;
            Some((value, observer))
        });
        Self { stream: stream.boxed() }
    }

    /// What it is next, or `None` when the client is at its end.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Option<Value>, ValueError>> {
        self.stream.next().await
    }
}

impl Stream for Values {
    type Item = Result<Option<Value>, ValueError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.as_mut().poll_next(context)
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").finish_non_exhaustive()
    }
}

impl Numbers {
    pub(super) const fn new(values: Values, layout: CounterLayout) -> Self {
        Self { values, layout }
    }

    fn number(&self, value: Option<&Value>) -> Result<i64, CounterError> {
        self.layout.decode(value.map(|value| &value.data[..]))
    }

    /// What it is next, or `None` when the client is at its end.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<i64, CounterError>> {
        let value = self.values.next().await?;
        Some(value.map_err(CounterError::from).and_then(|value| self.number(value.as_ref())))
    }
}

impl Stream for Numbers {
    type Item = Result<i64, CounterError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let value = Pin::new(&mut self.values).poll_next(context);
        value.map(|value| value.map(|value| self.number(value?.as_ref())))
    }
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Numbers").field("layout", &self.layout).finish_non_exhaustive()
    }
}

impl Observer {
    async fn next(&mut self) -> Option<Result<Option<Value>, ValueError>> {
        loop {
            if self.is_over {
                return None;
            }
            if let Some(change) = self.change.take() {
                // Whatever happened, looking again tells what it means.
                let _ = change.await;
            }
            match self.look().await {
                Ok(Some((value, change))) => {
                    self.pauses = Pace::new();
                    self.change = Some(change);
                    if self.is_news(value.as_ref()) {
                        return Some(Ok(value));
                    }
                }
                // It changed between two looks.
                Ok(None) => {}
                Err(error) if passes(&self.cell.client, &error) => {
                    self.pauses.pause(self.cell.client.runtime()).await;
                }
                Err(error) => {
                    self.is_over = true;
                    return error.session_end().is_none().then_some(Err(error.into()));
                }
            }
        }
    }

    /// The present value and what tells that it is another.
    async fn look(&self) -> Result<Option<(Option<Value>, OneshotWatcher)>, GetError> {
        let Cell { client, path, .. } = &self.cell;
        match client.get_and_watch(path).await {
            Ok((node, change)) => Ok(Some((Some(node.into()), change))),
            Err(GetError::NoNode { .. }) => match client.exists_and_watch(path).await {
                Ok((None, change)) => Ok(Some((None, change))),
                Ok((Some(_), _)) => Ok(None),
                Err(error) => match error.request_error() {
                    Some(error) => Err(error.clone().into()),
                    None => Err(GetError::NoAuth { path: path.as_str().into() }),
                },
            },
            Err(error) => Err(error),
        }
    }

    /// Whether a value is another than the one told last. A server that lags behind, met after a
    /// break of the connection, tells nothing new.
    fn is_news(&mut self, value: Option<&Value>) -> bool {
        let seen = value.map_or(Told::Absent, |value| Told::Data(value.zxid()));
        let is_news = match (self.told, seen) {
            (Told::Data(told), Told::Data(seen)) => seen > told,
            (told, seen) => told != seen,
        };
        if is_news {
            self.told = seen;
        }
        is_news
    }
}
