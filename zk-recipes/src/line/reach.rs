//! A way to the client, held tight by those who wait and loosely by those who clean up.

use std::sync::Arc;

use zk_client::{Client, Runtime, SessionId, WeakClient};

/// A way to the client.
#[derive(Clone, Debug)]
pub(crate) enum Reach {
    /// Keeps the session open.
    Held(Client),
    /// Does not. For what nobody waits for: the session's end does the same work.
    Loose(WeakClient),
}

impl Reach {
    pub(crate) fn new(client: &Client) -> Self {
        Self::Held(client.clone())
    }

    /// Lets the session end without us.
    pub(crate) fn loosen(&mut self) {
        if let Self::Held(client) = self {
            *self = Self::Loose(client.downgrade());
        }
    }

    /// The client, for a request and not for longer; `None` once the session is being closed.
    pub(crate) fn client(&self) -> Option<Client> {
        match self {
            Self::Held(client) => Some(client.clone()),
            Self::Loose(client) => client.upgrade(),
        }
    }

    /// Whoever owns an ephemeral node made now.
    pub(crate) fn session(&self) -> Option<SessionId> {
        Some(self.client()?.epoch()?.session)
    }

    pub(crate) fn runtime(&self) -> &Arc<dyn Runtime> {
        match self {
            Self::Held(client) => client.runtime(),
            Self::Loose(client) => client.runtime(),
        }
    }
}
