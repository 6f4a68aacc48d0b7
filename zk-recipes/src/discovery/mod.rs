//! Service discovery: who offers what, and where. Shares its nodes with Curator's x-discovery, and
//! so with Spring Cloud and Dubbo.
//!
//! ```no_run
//! # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use zk_recipes::discovery::{ServiceDiscovery, ServiceInstance, Strategy};
//!
//! let discovery = ServiceDiscovery::new(&zk, "/services")?;
//! let here = ServiceInstance::new("billing").address("10.0.0.1").port(8080);
//! let registration = discovery.register(here).await?;
//!
//! let provider = discovery.provider("billing").strategy(Strategy::LeastBusy).build()?;
//! provider.ready().await?;
//! if let Some(instance) = provider.pick() {
//!     println!("call {:?}", instance.uri());
//! }
//! registration.deregister().await?;
//! # Ok(()) }
//! ```
//!
//! # Layout
//! `<base>/<service>/<id>` holds one instance as JSON ([`ServiceInstance::to_json`]); see there for
//! what is tolerated. Dynamic instances are ephemeral nodes. Parents are containers.

pub mod dubbo;
mod instance;
mod json;
mod provider;
mod registration;
pub mod spring;
mod strategy;
#[cfg(feature = "tower")]
mod tower;
mod uri;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use zk_client::{ChildrenError, Client, GetError, PathError, ZnodePath};

#[cfg(feature = "tower")]
pub use self::tower::Discovered;
pub use self::{
    instance::{InstanceError, ServiceInstance, ServiceType},
    provider::{InstanceChange, InstanceChanges, Picked, ServiceProvider, ServiceProviderBuilder},
    registration::Registration,
    strategy::{DownPolicy, Strategy, Weight},
    uri::UriSpec,
};
use crate::{cache::CacheError, node::NodeError};

/// Instances that one query reads at once.
const READS_MAX: usize = 64;

/// The services below one path: Curator's `ServiceDiscovery`.
#[derive(Clone, Debug)]
pub struct ServiceDiscovery {
    client: Client,
    base: ZnodePath,
}

/// Why discovery failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// A path, or the name of a service or an instance, is not a legal one.
    #[error("illegal name: {0}")]
    Path(#[from] PathError),
    /// Instances with a number behind their name cannot be registered; see
    /// [`ServiceType::DynamicSequential`].
    #[error("instances with a number behind their name cannot be registered")]
    Sequential,
    /// An update would change the name, the id or the kind of an instance: deregister it, and
    /// register another.
    #[error("an update cannot change the name, the id or the type of an instance")]
    Identity,
    /// The instance's node is not as it should be.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The services or instances cannot be listed.
    #[error("cannot list: {0}")]
    List(#[from] ChildrenError),
    /// An instance cannot be read.
    #[error("cannot read: {0}")]
    Read(#[from] GetError),
    /// A node holds no instance.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// The instances cannot be followed.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl ServiceDiscovery {
    /// The services below a path. Nothing is asked or created.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn new(client: &Client, base: &str) -> Result<Self, PathError> {
        Ok(Self { client: client.clone(), base: ZnodePath::new(base)? })
    }

    /// Registers an instance, and waits until it is seen registered. From then on it stays so; see
    /// [`Registration`].
    ///
    /// An instance that is registered already under the same id is taken over without a moment in
    /// which nobody is.
    ///
    /// # Errors
    /// [`DiscoveryError`]; nothing stays registered.
    ///
    /// # Cancel safety
    /// Dropping the future is as dropping the registration.
    pub async fn register(
        &self,
        instance: ServiceInstance,
    ) -> Result<Registration, DiscoveryError> {
        let registration = Registration::new(&self.client, &self.base, instance)?;
        registration.ready().await?;
        Ok(registration)
    }

    /// The names of the services, in no order. Services that nobody offers any more may be among
    /// them for a while.
    ///
    /// # Errors
    /// [`DiscoveryError::List`]. A base that does not exist holds no services.
    pub async fn names(&self) -> Result<Vec<String>, DiscoveryError> {
        list(&self.client, &self.base).await
    }

    /// All instances of a service, in the order of their nodes, those that are not enabled too.
    /// Asks the server; [`ServiceDiscovery::provider`] answers from memory. Nodes that hold no
    /// instance are left out with a warning (`tracing`).
    ///
    /// # Errors
    /// [`DiscoveryError`] when the server refuses. A service without a node has no instances.
    pub async fn instances(&self, name: &str) -> Result<Vec<ServiceInstance>, DiscoveryError> {
        let service = self.base.child(name)?;
        let mut nodes = list(&self.client, &service).await?;
        nodes.sort_unstable();
        let reads = nodes.into_iter().map(|node| {
            let service = &service;
            async move {
                let path = service.child(&node)?;
                match self.client.get(&path).await {
                    Ok(node) => Ok(read(&path, &node.data)),
                    Err(GetError::NoNode { .. }) => Ok(None),
                    Err(error) => Err(DiscoveryError::Read(error)),
                }
            }
        });
        let found = stream::iter(reads).buffered(READS_MAX);
        found.try_filter_map(async |instance| Ok(instance)).try_collect().await
    }

    /// One instance; `None` when there is none.
    ///
    /// # Errors
    /// [`DiscoveryError`] when the server refuses, or when what is there is no instance.
    pub async fn instance(
        &self,
        name: &str,
        id: &str,
    ) -> Result<Option<ServiceInstance>, DiscoveryError> {
        match self.client.get(&self.base.child(name)?.child(id)?).await {
            Ok(node) => Ok(Some(ServiceInstance::from_json(&node.data)?)),
            Err(GetError::NoNode { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Collects what is needed to follow the instances of a service and to choose among them.
    pub fn provider(&self, name: &str) -> ServiceProviderBuilder {
        ServiceProviderBuilder::new(&self.client, &self.base, name)
    }

    /// The path that the services lie below.
    pub const fn base(&self) -> &ZnodePath {
        &self.base
    }
}

/// The children of a node; none of one that is not there.
async fn list(client: &Client, path: &ZnodePath) -> Result<Vec<String>, DiscoveryError> {
    match client.children(path).await {
        Ok(children) => Ok(children.names),
        Err(ChildrenError::NoNode { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The instance in a node, if there is one.
fn read(path: &str, data: &[u8]) -> Option<ServiceInstance> {
    match ServiceInstance::from_json(data) {
        Ok(instance) => Some(instance),
        Err(error) => {
            tracing::warn!(path, %error, "a node without a readable instance is passed over");
            None
        }
    }
}
