//! The instances of a service, followed, and one of them chosen.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    ops::Deref,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock, atomic::Ordering},
    task::{Context, Poll},
};

use futures::{FutureExt as _, Stream};
use tokio_util::sync::{CancellationToken, DropGuard};
use zk_client::{Client, Instant, SessionEnd, StateCell, ZnodePath};

use super::{
    DiscoveryError, ServiceInstance, read,
    strategy::{Choice, DownPolicy, List, Load, Picker, Strategy, View},
};
use crate::cache::{Cache, CacheError, CacheEvent, CacheEvents, CachedNode};

/// Says yes or no to an instance.
type Predicate = Arc<dyn Fn(&ServiceInstance) -> bool + Send + Sync>;

/// Collects what is needed to choose among the instances of a service; see
/// [`crate::discovery::ServiceDiscovery::provider`].
#[must_use = "nothing happens before build"]
pub struct ServiceProviderBuilder {
    client: Client,
    base: ZnodePath,
    name: String,
    strategy: Strategy,
    policy: DownPolicy,
    seed: Option<u64>,
    filter: Option<Predicate>,
    near: Option<Predicate>,
}

/// Follows the instances of a service and chooses among them: Curator's `ServiceProvider`.
///
/// [`ServiceProvider::pick`] asks nobody and waits for nobody. It takes the instances as this
/// client knows them, which may be behind the ensemble: an instance that has just gone may be
/// taken. Report what does not answer ([`Picked::report_error`]).
///
/// # Dropping
/// Stops to follow. What was picked stays valid.
#[derive(Debug)]
pub struct ServiceProvider {
    shared: Arc<Shared>,
    cache: Cache,
    /// How often the view has shown everything there is.
    synced: StateCell<u64>,
    _following: DropGuard,
}

#[derive(Debug)]
struct Shared {
    view: RwLock<View>,
    picker: Arc<Picker>,
}

/// An instance that was picked. By [`Strategy::LeastBusy`] it counts as busy with this process
/// until it is dropped. It keeps what was known of all instances of its service at that moment.
#[must_use = "the instance counts as busy only while this lives"]
pub struct Picked {
    list: Arc<List>,
    /// Invariant: an instance of the list.
    at: usize,
}

impl ServiceProviderBuilder {
    pub(super) fn new(client: &Client, base: &ZnodePath, name: &str) -> Self {
        Self {
            client: client.clone(),
            base: base.clone(),
            name: name.into(),
            strategy: Strategy::default(),
            policy: DownPolicy::default(),
            seed: None,
            filter: None,
            near: None,
        }
    }

    /// Which instance is taken; [`Strategy::RoundRobin`] unless set.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// When an instance that was reported is passed over for a while; two errors within 30 s unless
    /// set.
    pub const fn down(mut self, policy: DownPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Where chance starts; the client's runtime says unless set. With the same seed the same
    /// instances are drawn.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Takes only instances that this says yes to. It is asked once for each change.
    pub fn filter(
        mut self,
        filter: impl Fn(&ServiceInstance) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.filter = Some(Arc::new(filter));
        self
    }

    /// Prefers instances that this says yes to, as those of one's own zone: others are taken only
    /// while there is none of these, or all of these are down. It is asked once for each change.
    pub fn prefer(
        mut self,
        near: impl Fn(&ServiceInstance) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.near = Some(Arc::new(near));
        self
    }

    /// The provider; it starts to follow.
    ///
    /// # Errors
    /// [`DiscoveryError::Path`] when the service's name is not a legal one.
    pub fn build(self) -> Result<ServiceProvider, DiscoveryError> {
        let Self { client, base, name, strategy, policy, seed, filter, near } = self;
        let cache = Cache::children(&client, &base.child(&name)?)?;
        let runtime = Arc::clone(client.runtime());
        let seed = seed.unwrap_or_else(|| runtime.random());
        let clock = Arc::clone(&runtime);
        let picker = Arc::new(Picker::new(strategy, policy, seed, move || {
            clock.now().since(Instant::ORIGIN).as_nanos().try_into().unwrap_or(u64::MAX)
        }));
        let nobody = || Choice::new(List::nobody(&picker), None);
        let view = View { number: 0, near: nobody(), all: nobody() };
        let shared = Arc::new(Shared { view: RwLock::new(view), picker });
        let synced = StateCell::new(0);
        let follower = Follower {
            events: cache.events(),
            shared: Arc::clone(&shared),
            endpoints: BTreeMap::new(),
            loads: None,
            filter,
            near,
            synced: synced.clone(),
        };
        let over = CancellationToken::new();
        let until = over.clone();
        runtime.spawn(Box::pin(async move {
            until.run_until_cancelled(follower.run()).await;
        }));
        Ok(ServiceProvider { shared, cache, synced, _following: over.drop_guard() })
    }
}

impl ServiceProvider {
    /// Waits until all instances are known.
    ///
    /// # Errors
    /// [`DiscoveryError::Cache`] when they cannot be followed.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn ready(&self) -> Result<(), DiscoveryError> {
        let mut synced = self.synced.changes();
        while let Some(count) = synced.next().await {
            if count > 0 {
                return Ok(());
            }
        }
        let end = self.cache.end();
        Err(end.unwrap_or(CacheError::SessionOver(SessionEnd::Closed)).into())
    }

    /// An instance, by the strategy. `None` when there is none that is enabled and not down.
    pub fn pick(&self) -> Option<Picked> {
        self.take(None)
    }

    /// An instance for a key; see [`Strategy::HashRing`]. Other strategies take no notice of it.
    pub fn pick_for(&self, key: &[u8]) -> Option<Picked> {
        self.take(Some(key))
    }

    /// All instances that are enabled and pass the filter, in the order of their nodes.
    pub fn instances(&self) -> Vec<Arc<ServiceInstance>> {
        let view = self.shared.view.read().unwrap_or_else(PoisonError::into_inner);
        view.all.list.instances.clone()
    }

    /// Who comes, changes and goes, beginning with who is there: what a balancer of one's own
    /// wants. Instances that are not enabled count as gone. The provider's filter does not apply.
    pub fn changes(&self) -> InstanceChanges {
        InstanceChanges {
            events: self.cache.events(),
            known: BTreeMap::new(),
            waiting: VecDeque::new(),
        }
    }

    /// The copy of the service that is read.
    pub const fn cache(&self) -> &Cache {
        &self.cache
    }

    fn take(&self, key: Option<&[u8]>) -> Option<Picked> {
        let picker = &*self.shared.picker;
        let view = self.shared.view.read().unwrap_or_else(PoisonError::into_inner);
        let (list, at) = picker.pick(&view, key, || picker.now())?;
        let one = Picked { list: Arc::clone(list), at };
        drop(view);
        if picker.counts_busy() {
            one.load().busy.fetch_add(1, Ordering::Relaxed);
        }
        Some(one)
    }
}

impl fmt::Debug for ServiceProviderBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceProviderBuilder")
            .field("name", &self.name)
            .field("strategy", &self.strategy)
            .finish_non_exhaustive()
    }
}

impl Picked {
    /// The instance.
    pub fn instance(&self) -> &Arc<ServiceInstance> {
        &self.list.instances[self.at]
    }

    /// Says that the instance does not do what it should; see
    /// [`ServiceProviderBuilder::down`].
    pub fn report_error(&self) {
        let picker = &self.list.picker;
        picker.report(self.load(), picker.now());
    }

    fn load(&self) -> &Load {
        &self.list.loads[self.at]
    }
}

impl Deref for Picked {
    type Target = ServiceInstance;

    fn deref(&self) -> &ServiceInstance {
        self.instance()
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        if self.list.picker.counts_busy() {
            self.load().busy.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Picked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Picked").field(self.instance()).finish()
    }
}

/// An instance and what this process knows of it.
struct Endpoint {
    instance: Arc<ServiceInstance>,
    load: Arc<Load>,
}

/// Makes views of what the cache tells.
struct Follower {
    events: CacheEvents,
    shared: Arc<Shared>,
    /// By the names of their nodes.
    endpoints: BTreeMap<Box<str>, Endpoint>,
    /// Those of all endpoints, until one comes or goes.
    loads: Option<Arc<[Arc<Load>]>>,
    filter: Option<Predicate>,
    near: Option<Predicate>,
    synced: StateCell<u64>,
}

impl Follower {
    async fn run(mut self) {
        let mut count = 0;
        while let Some(event) = self.events.next().await {
            let mut is_synced = self.take_in(event);
            // What comes together makes one view.
            while let Some(Some(event)) = self.events.next().now_or_never() {
                is_synced |= self.take_in(event);
            }
            self.show();
            if is_synced {
                count += 1;
                self.synced.set(count);
            }
        }
    }

    /// Whether everything was told that there is.
    fn take_in(&mut self, event: CacheEvent) -> bool {
        match event {
            CacheEvent::Apply(node) => self.put(&node),
            CacheEvent::Delete(node) => self.remove(node.name()),
            CacheEvent::InitDone => return true,
            CacheEvent::Init | CacheEvent::Resync => {}
        }
        false
    }

    fn put(&mut self, node: &CachedNode) {
        let Some(instance) = read(&node.path, &node.data) else {
            return self.remove(node.name());
        };
        let is_wanted = self.filter.as_ref().is_none_or(|filter| filter(&instance));
        if !instance.enabled || !is_wanted {
            return self.remove(node.name());
        }
        let instance = Arc::new(instance);
        if let Some(known) = self.endpoints.get_mut(node.name()) {
            known.instance = instance;
            return;
        }
        let load = Arc::new(Load::new(node.name()));
        self.endpoints.insert(node.name().into(), Endpoint { instance, load });
        self.loads = None;
    }

    fn remove(&mut self, name: &str) {
        if let Some(gone) = self.endpoints.remove(name) {
            self.shared.picker.forget(&gone.load);
            self.loads = None;
        }
    }

    fn show(&mut self) {
        let endpoints = &self.endpoints;
        let loads = self.loads.get_or_insert_with(|| {
            endpoints.values().map(|endpoint| Arc::clone(&endpoint.load)).collect()
        });
        let all = List {
            instances: endpoints.values().map(|one| Arc::clone(&one.instance)).collect(),
            loads: Arc::clone(loads),
            picker: Arc::clone(&self.shared.picker),
        };
        let near = self.near_ones();
        let shown = &self.shared.view;
        let view = {
            // Nobody else writes, so that it is made while others read.
            let before = shown.read().unwrap_or_else(PoisonError::into_inner);
            View {
                number: before.number + 1,
                near: Choice::new(near, Some(&before.near)),
                all: Choice::new(all, Some(&before.all)),
            }
        };
        let mut shown = shown.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *shown, view);
        drop(shown);
        drop(before);
    }

    fn near_ones(&self) -> List {
        let Some(near) = &self.near else { return List::nobody(&self.shared.picker) };
        let near = self.endpoints.values().filter(|endpoint| near(&endpoint.instance));
        let pairs = near.map(|one| (Arc::clone(&one.instance), Arc::clone(&one.load)));
        let (instances, loads): (_, Vec<_>) = pairs.unzip();
        List { instances, loads: loads.into(), picker: Arc::clone(&self.shared.picker) }
    }
}

/// Whoever waits learns that nobody follows any more.
impl Drop for Follower {
    fn drop(&mut self) {
        self.synced.close();
    }
}

/// Who comes, changes and goes; see [`ServiceProvider::changes`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum InstanceChange {
    /// An instance is there, or says something else of itself.
    Put {
        /// The name of its node: what tells instances apart.
        key: String,
        /// The instance.
        instance: Arc<ServiceInstance>,
    },
    /// An instance is gone, or not enabled any more.
    Gone {
        /// The name of its node.
        key: String,
    },
}

/// A stream of [`InstanceChange`]; see [`ServiceProvider::changes`]. It ends when the instances
/// cannot be followed any more. A slow reader skips what was in between.
#[must_use = "a stream tells nothing unless it is read"]
pub struct InstanceChanges {
    events: CacheEvents,
    known: BTreeMap<String, Arc<ServiceInstance>>,
    waiting: VecDeque<InstanceChange>,
}

impl InstanceChanges {
    /// The next, or `None` at the end.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<InstanceChange> {
        futures::StreamExt::next(self).await
    }

    fn take_in(&mut self, event: CacheEvent) {
        let (node, is_there) = match event {
            CacheEvent::Apply(node) => (node, true),
            CacheEvent::Delete(node) => (node, false),
            CacheEvent::Init | CacheEvent::InitDone | CacheEvent::Resync => return,
        };
        let key = node.name().to_owned();
        let instance = if is_there { read(&node.path, &node.data) } else { None };
        match instance.filter(|instance| instance.enabled).map(Arc::new) {
            Some(instance) => {
                let before = self.known.insert(key.clone(), Arc::clone(&instance));
                if before.as_ref() != Some(&instance) {
                    self.waiting.push_back(InstanceChange::Put { key, instance });
                }
            }
            None if self.known.remove(&key).is_some() => {
                self.waiting.push_back(InstanceChange::Gone { key });
            }
            None => {}
        }
    }
}

impl Stream for InstanceChanges {
    type Item = InstanceChange;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(change) = self.waiting.pop_front() {
                return Poll::Ready(Some(change));
            }
            match Pin::new(&mut self.events).poll_next(context) {
                Poll::Ready(Some(event)) => self.take_in(event),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl fmt::Debug for InstanceChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceChanges").field("known", &self.known.len()).finish_non_exhaustive()
    }
}
