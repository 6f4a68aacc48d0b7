//! An instance that stays registered.

use std::sync::{Arc, Mutex, PoisonError};

use futures::{Stream, StreamExt as _};
use tokio_util::sync::{CancellationToken, DropGuard};
use zk_client::{Client, ZnodePath};

use super::{DiscoveryError, ServiceInstance, ServiceType};
use crate::node::{NodeError, PersistentNode, Presence, Presences};

/// An instance that is registered, and stays so through broken connections and sessions; see
/// [`PersistentNode`] for how.
///
/// # It never flickers
/// An update is written into the node that is there. A node that a former session has left, as of a
/// process that was killed and started again, is replaced in one transaction. Only when a session
/// has expired is there a time without a node, because the server has deleted it.
///
/// # Dropping
/// Deregisters the instance in the background, unless it is [`ServiceType::Permanent`].
/// [`Registration::deregister`] waits until the node is proven gone.
#[derive(Debug)]
#[must_use = "dropping it deregisters the instance"]
pub struct Registration {
    shared: Arc<Shared>,
    health: Mutex<Option<DropGuard>>,
}

#[derive(Debug)]
struct Shared {
    node: PersistentNode,
    instance: Mutex<ServiceInstance>,
}

impl Registration {
    pub(super) fn new(
        client: &Client,
        base: &ZnodePath,
        mut instance: ServiceInstance,
    ) -> Result<Self, DiscoveryError> {
        if instance.service_type == ServiceType::DynamicSequential {
            return Err(DiscoveryError::Sequential);
        }
        if instance.id.is_empty() {
            let runtime = client.runtime();
            instance.id = id(u128::from(runtime.random()) << 64 | u128::from(runtime.random()));
        }
        for name in [&instance.name, &instance.id] {
            if let Some(at) = name.find('/') {
                return Err(zk_client::PathError::Character(at).into());
            }
        }
        let path = base.child(&instance.name)?.child(&instance.id)?;
        let node = PersistentNode::builder(client, &path).data(instance.to_json());
        let node = match instance.service_type {
            ServiceType::Dynamic | ServiceType::DynamicSequential => node,
            ServiceType::Static | ServiceType::Permanent => node.persistent(),
        };
        let shared = Shared { node: node.build()?, instance: Mutex::new(instance) };
        Ok(Self { shared: Arc::new(shared), health: Mutex::new(None) })
    }

    /// The instance as it was registered or updated last.
    pub fn instance(&self) -> ServiceInstance {
        self.shared.instance.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what the instance says of itself, and waits until the change is seen in its node.
    /// Its name, its id and its type stay.
    ///
    /// # Errors
    /// [`DiscoveryError::Identity`], and nothing changes; [`DiscoveryError::Node`] when the server
    /// refuses: the change stays wished for.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the change in force.
    pub async fn update(
        &self,
        change: impl FnOnce(&mut ServiceInstance),
    ) -> Result<(), DiscoveryError> {
        let shared = &self.shared;
        let written = {
            let mut instance = shared.instance.lock().unwrap_or_else(PoisonError::into_inner);
            let mut changed = instance.clone();
            change(&mut changed);
            let is_same = (&changed.name, &changed.id, changed.service_type)
                == (&instance.name, &instance.id, instance.service_type);
            if !is_same {
                return Err(DiscoveryError::Identity);
            }
            *instance = changed;
            // Wished for while the instance is held, so that the last change is the last wish.
            shared.node.wish(instance.to_json().into())
        };
        Ok(shared.node.fulfilled(written).await?)
    }

    /// Says whether the instance is to be used, and waits until that is seen in its node.
    ///
    /// # Errors
    /// As [`Registration::update`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the change in force.
    pub async fn set_enabled(&self, is_enabled: bool) -> Result<(), DiscoveryError> {
        self.update(|instance| instance.enabled = is_enabled).await
    }

    /// Enables and disables the instance as its health comes and goes, from the next word on, until
    /// the stream ends or another is followed. Register an instance that is not enabled, and it is
    /// used only once it is healthy.
    pub fn follow_health(&self, health: impl Stream<Item = bool> + Send + 'static) {
        let over = CancellationToken::new();
        let until = over.clone();
        let shared = Arc::downgrade(&self.shared);
        let mut health = Box::pin(health);
        let follow = async move {
            while let Some(is_healthy) = health.next().await {
                let Some(shared) = shared.upgrade() else { return };
                let mut instance = shared.instance.lock().unwrap_or_else(PoisonError::into_inner);
                if instance.enabled != is_healthy {
                    instance.enabled = is_healthy;
                    shared.node.wish(instance.to_json().into());
                }
            }
        };
        let runtime = self.shared.node.client().runtime();
        runtime.spawn(Box::pin(async move {
            until.run_until_cancelled(follow).await;
        }));
        let guard = Some(over.drop_guard());
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = guard;
    }

    /// Where the node stands.
    pub fn presence(&self) -> Presence {
        self.shared.node.presence()
    }

    /// Where the node stands, and then each time that may have changed.
    pub fn presences(&self) -> Presences {
        self.shared.node.presences()
    }

    /// The instance's node.
    pub fn path(&self) -> &ZnodePath {
        self.shared.node.path()
    }

    /// Deregisters the instance, also a permanent one, and waits until its node is proven gone.
    ///
    /// # Errors
    /// [`DiscoveryError::Node`] when the server refuses; the background keeps trying.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: the instance is deregistered all the same.
    pub async fn deregister(self) -> Result<(), DiscoveryError> {
        Ok(self.shared.node.removed().await?)
    }

    pub(super) async fn ready(&self) -> Result<(), NodeError> {
        self.shared.node.ready().await
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // What is wished gone already stays so.
        let Shared { node, instance } = &*self.shared;
        let instance = instance.lock().unwrap_or_else(PoisonError::into_inner);
        if instance.service_type == ServiceType::Permanent {
            node.let_go();
        } else {
            node.give_up();
        }
    }
}

/// A version 4 UUID, as Java writes it.
fn id(random: u128) -> String {
    let version_4 = (random & !(0xf << 76)) | (0x4 << 76);
    let hex = format!("{:032x}", (version_4 & !(0x3 << 62)) | (0x2 << 62));
    let (time, mid, version) = (&hex[..8], &hex[8..12], &hex[12..16]);
    format!("{time}-{mid}-{version}-{}-{}", &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_id_is_a_version_4_uuid() {
        assert_eq!(super::id(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(super::id(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
