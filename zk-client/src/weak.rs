//! A handle for what works in the background.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use crate::{
    client::{Client, Handle},
    op::Scope,
    runtime::Runtime,
};

/// A handle that does not keep the session open; see [`Client::downgrade`].
#[derive(Clone)]
pub struct WeakClient {
    scope: Arc<Scope>,
    handle: Weak<Handle>,
    timeout: Duration,
}

impl Client {
    /// A handle that does not count: the session is closed when the last client is dropped, however
    /// many of these are left. For what works in the background on behalf of clients.
    pub fn downgrade(&self) -> WeakClient {
        WeakClient {
            scope: Arc::clone(&self.scope),
            handle: Arc::downgrade(&self.handle),
            timeout: self.timeout,
        }
    }
}

impl WeakClient {
    /// A client of the same session; `None` once the last one was dropped.
    pub fn upgrade(&self) -> Option<Client> {
        let handle = self.handle.upgrade()?;
        Some(Client { scope: Arc::clone(&self.scope), handle, timeout: self.timeout })
    }

    /// The world the client lives in.
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.scope.shared.runtime
    }
}

impl fmt::Debug for WeakClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.scope.shared.states.get();
        f.debug_struct("WeakClient").field("state", &state).finish_non_exhaustive()
    }
}
