//! One node whose data many change, each on the ground of what it has seen.

use zk_client::{
    Acl, Client, CreateError, GetError, Node, OperationError, Outcome, RequestError, Resolver,
    SetError, Stat, Version, ZnodePath,
};

use super::value::ValueError;
use crate::{
    line::{Pace, is_passing, make_containers},
    persist::{behind, persist},
};

/// A node whose data many change.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) client: Client,
    pub(super) path: ZnodePath,
    /// Where to leave the proofs that a change happened; none without.
    pub(super) markers: Option<ZnodePath>,
    pub(super) acl: Vec<Acl>,
}

/// What a change is made on the ground of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ground<'a> {
    /// There is no node.
    Nothing,
    /// The node is still this one, unchanged.
    Seen(&'a Stat),
    /// The node is there.
    Any,
}

impl Cell {
    /// What the ensemble has at this moment; `None` without a node.
    pub(super) async fn read(&self) -> Result<Option<Node>, GetError> {
        let read = || behind(self.client.sync(&self.path), self.client.get(&self.path));
        match persist(&self.client, read).await {
            Ok(node) => Ok(Some(node)),
            Err(GetError::NoNode { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts data into the node. `false` when the ground was another by then; nothing happened.
    ///
    /// What is proven not to have happened is tried again, what cannot be proven is an error.
    pub(super) async fn put(&self, ground: Ground<'_>, data: &[u8]) -> Result<bool, ValueError> {
        let mut pauses = Pace::new();
        loop {
            let result = match ground {
                Ground::Nothing => self.create(data).await,
                Ground::Any => self.set(data, Version::ANY).await,
                // An expected version of -1 would be none at all.
                Ground::Seen(stat) if stat.version == Version::ANY => {
                    return Err(ValueError::VersionWrapped);
                }
                Ground::Seen(stat) => self.set(data, stat.version).await,
            };
            match result {
                Err(error) if is_mendable(&error) => pauses.pause(self.client.runtime()).await,
                result => return result,
            }
        }
    }

    async fn create(&self, data: &[u8]) -> Result<bool, ValueError> {
        let create = self.client.create(&self.path, data).acl(&self.acl);
        match self.resolver().create(create).await {
            Ok(_) => Ok(true),
            Err(CreateError::NodeExists { .. }) => Ok(false),
            Err(CreateError::NoNode { .. }) => {
                self.make_parents().await.map_err(ValueError::Create)?;
                Ok(false)
            }
            Err(error) => Err(ValueError::Create(error)),
        }
    }

    async fn set(&self, data: &[u8], version: Version) -> Result<bool, ValueError> {
        let set = self.client.set(&self.path, data).if_version(version);
        match self.resolver().set(set).await {
            Ok(_) => Ok(true),
            Err(SetError::BadVersion { .. }) => Ok(false),
            // The node, or what is above the markers.
            Err(SetError::NoNode { .. }) => {
                self.make_parents().await.map_err(ValueError::Create)?;
                Ok(false)
            }
            Err(error) => Err(ValueError::Write(error)),
        }
    }

    fn resolver(&self) -> Resolver {
        let resolver = Resolver::new(&self.client);
        match &self.markers {
            Some(path) => resolver.markers(path.as_str()),
            None => resolver,
        }
    }

    async fn make_parents(&self) -> Result<(), CreateError> {
        for parent in [self.path.parent(), self.markers.clone()].into_iter().flatten() {
            persist(&self.client, || make_containers(&self.client, &parent, &self.acl)).await?;
        }
        Ok(())
    }
}

/// Whether a write certainly did not happen, for a reason that passes.
fn is_mendable(error: &ValueError) -> bool {
    match error {
        ValueError::Create(error) => is_mendable_request(error),
        ValueError::Write(error) => is_mendable_request(error),
        ValueError::Read(_) | ValueError::VersionWrapped => false,
    }
}

fn is_mendable_request(error: &impl OperationError) -> bool {
    let is_refused = error.outcome() != Outcome::Unknown;
    let is_not_applied = matches!(error.request_error(), Some(RequestError::NotApplied));
    let is_unsent = matches!(error.request_error(), Some(RequestError::DeadlinePassed { .. }));
    is_refused
        && error.session_end().is_none()
        && (is_not_applied || is_unsent || is_passing(error))
}
