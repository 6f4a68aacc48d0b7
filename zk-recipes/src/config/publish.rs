//! Making versions and putting them in force.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use zk_client::{
    Acl, Children, ChildrenError, Client, CreateMode, ErrorCode, GetError, Multi, MultiError, Node,
    OperationError, Outcome, SyncError, Version, ZnodePath,
};

use super::{
    CURRENT, ConfigError, is_over,
    tree::{self, Keys},
};
use crate::{
    cache::{Cache, CachedNode},
    line::{Pace, is_passing, make_containers},
    persist::persist,
};

/// Publishes below a path.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    client: Client,
    pub(super) path: Arc<ZnodePath>,
    kept: usize,
    /// What we have published and is still kept, by its number: our own versions need not be read
    /// again, node by node, to follow them or to remove them.
    published: Arc<Mutex<BTreeMap<u64, Published>>>,
}

/// A version of ours.
#[derive(Clone, Debug)]
struct Published {
    id: Arc<str>,
    keys: Arc<Keys>,
}

/// The version in force, and the version of the pointer's node.
type Pointer = (u64, Version);

impl Publisher {
    pub(super) fn new(client: Client, path: ZnodePath, kept: usize) -> Self {
        Self { client, path: Arc::new(path), kept, published: Arc::default() }
    }

    /// Which version is in force, as the ensemble knows.
    pub(super) async fn in_force(&self) -> Result<Option<Pointer>, ConfigError> {
        Ok(self.look().await?.0)
    }

    /// Which version is in force, as the ensemble knows, and which were kept then or later, in
    /// order.
    async fn look(&self) -> Result<(Option<Pointer>, Vec<u64>), ConfigError> {
        let path = self.path.child(CURRENT)?;
        let mut pauses = Pace::new();
        loop {
            // Each takes its place right behind the other: one round trip for all.
            let (synced, read) = (self.client.sync(&path), self.client.get(&path));
            let listing = self.client.children(&self.path);
            match Self::looked(synced.await, read.await, listing.await) {
                Err(error) if self.passes(&error) => pauses.pause(self.client.runtime()).await,
                result => return result,
            }
        }
    }

    fn looked(
        synced: Result<(), SyncError>,
        read: Result<Node, GetError>,
        listing: Result<Children, ChildrenError>,
    ) -> Result<(Option<Pointer>, Vec<u64>), ConfigError> {
        synced?;
        let pointer = match read {
            Ok(node) => Some((tree::number_of(&node.data)?, node.stat.version)),
            Err(GetError::NoNode { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        Ok((pointer, listed(listing)?))
    }

    /// The versions that are kept, in order.
    pub(super) async fn versions(&self) -> Result<Vec<u64>, ConfigError> {
        let mut pauses = Pace::new();
        loop {
            match listed(self.client.children(&self.path).await) {
                Err(error) if self.passes(&error) => pauses.pause(self.client.runtime()).await,
                result => return result,
            }
        }
    }

    /// What a version says.
    pub(super) async fn keys(&self, number: u64) -> Result<Keys, ConfigError> {
        let root = self.path.child(&tree::name_of(number))?;
        // A version does not change; a cache reads it with all patience and few reads at once.
        let cache = Cache::tree(&self.client, &root)?;
        cache.synced().await?;
        let snapshot = cache.snapshot();
        if snapshot.get(&root).is_none() {
            return Err(ConfigError::NoVersion(number));
        }
        // Somebody may have hidden a part of it; a part is no version.
        let is_whole = |node: &CachedNode| {
            usize::try_from(node.stat.num_children) == Ok(snapshot.children(&node.path).count())
        };
        if let Some(node) = snapshot.iter().find(|node| !is_whole(node)) {
            let key = node.path.get(root.len() + 1..).unwrap_or_default().to_owned();
            let reason = String::from("not all below it can be read");
            return Err(ConfigError::Json { key, reason });
        }
        let below = snapshot.below(&root).filter(|node| !node.data.is_empty());
        let keys = below.filter_map(|node| {
            let key = node.path.get(root.len() + 1..)?.to_owned();
            Some((key, String::from_utf8_lossy(&node.data).into_owned()))
        });
        Ok(keys.collect())
    }

    /// What a version says that has come into force. Our own are read from memory, as long as their
    /// nodes are the ones that we have made.
    pub(super) async fn keys_in_force(&self, number: u64) -> Result<Arc<Keys>, ConfigError> {
        if let Some(ours) = self.published(number) {
            let root = self.client.get(&self.path.child(&tree::name_of(number))?).await;
            // Nothing was added or taken away since the transaction that made it.
            let is_ours =
                |node: &Node| node.data == ours.id.as_bytes() && node.stat.pzxid == node.stat.czxid;
            if root.is_ok_and(|node| is_ours(&node)) {
                return Ok(ours.keys);
            }
        }
        self.keys(number).await.map(Arc::new)
    }

    /// Publishes a version and puts it in force, if the one in force is as expected.
    #[expect(clippy::option_option, reason = "whether anything is expected, and what")]
    pub(super) async fn publish(
        &self,
        keys: Keys,
        expected: Option<Option<u64>>,
    ) -> Result<u64, ConfigError> {
        let runtime = self.client.runtime();
        let mut id = String::new();
        let _ = write!(id, "{:016x}{:016x}", runtime.random(), runtime.random());
        let ours = Published { id: id.as_str().into(), keys: Arc::new(keys) };
        let mut pauses = Pace::new();
        loop {
            let (pointer, versions) = self.look().await?;
            let in_force = pointer.map(|(number, _)| number);
            if expected.is_some_and(|expected| expected != in_force) {
                return Err(ConfigError::Conflict { in_force });
            }
            let newest = versions.last().copied();
            let number = newest.max(in_force).map_or(1, |newest| newest + 1);
            // Whoever follows may hear of it before we do.
            self.remember(number, Some(ours.clone()));
            let publication = self.transaction(&ours.keys, &id, number, pointer)?.commit();
            let is_pruned = self.prune_behind(number, pointer, &versions)?;
            let error = match publication.await {
                Ok(_) => None,
                Err(error) if error.outcome() == Outcome::Unknown && self.may_pass(&error) => {
                    match self.is_ours(number, &id, pointer).await {
                        Ok(Some(true)) => None,
                        Ok(Some(false)) => Some(error),
                        // Once more might undo what others have published since.
                        Ok(None) | Err(_) => return Err(error.into()),
                    }
                }
                Err(error) => Some(error),
            };
            let Some(error) = error else {
                if !is_pruned {
                    self.prune(number).await;
                }
                return Ok(number);
            };
            self.remember(number, None);
            let code = match &error {
                MultiError::Failed { code, .. } => Some(*code),
                MultiError::Request(_) | _ => None,
            };
            match code {
                Some(ErrorCode::NoNode) if pointer.is_none() => {
                    let acl = Acl::open();
                    let make = || make_containers(&self.client, &self.path, &acl);
                    persist(&self.client, make).await?;
                }
                // Somebody else was quicker; what that means is seen next.
                Some(ErrorCode::NodeExists | ErrorCode::BadVersion | ErrorCode::NoNode) => {}
                Some(_) | None if self.may_pass(&error) => pauses.pause(runtime).await,
                Some(_) | None => return Err(error.into()),
            }
        }
    }

    /// Puts a version in force that is there.
    pub(super) async fn put_in_force(&self, number: u64) -> Result<(), ConfigError> {
        let name = tree::name_of(number);
        let (version, current) = (self.path.child(&name)?, self.path.child(CURRENT)?);
        let mut pauses = Pace::new();
        loop {
            let Some((_, expected)) = self.in_force().await? else {
                return Err(ConfigError::NoVersion(number));
            };
            let multi = self.client.multi().check(&version, Version::ANY);
            match multi.set(&current, name.as_bytes(), expected).commit().await {
                Ok(_) => return Ok(()),
                Err(MultiError::Failed { index: 0, code: ErrorCode::NoNode, .. }) => {
                    return Err(ConfigError::NoVersion(number));
                }
                Err(MultiError::Failed {
                    code: ErrorCode::BadVersion | ErrorCode::NoNode, ..
                }) => {}
                Err(error) if error.outcome() == Outcome::Unknown && self.may_pass(&error) => {
                    match self.was_put(number, expected).await {
                        Some(true) => return Ok(()),
                        Some(false) => pauses.pause(self.client.runtime()).await,
                        // Once more might undo what others have published since.
                        None => return Err(error.into()),
                    }
                }
                Err(error) if self.may_pass(&error) => {
                    pauses.pause(self.client.runtime()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether a version was put in force where the pointer's node was expected to have a version;
    /// `None` when nobody knows any more.
    async fn was_put(&self, number: u64, expected: Version) -> Option<bool> {
        // Behind the sync a request of ours whose answer was lost has happened, or never will.
        let (in_force, version) = self.in_force().await.ok()??;
        if version == expected {
            return Some(false);
        }
        // Whoever set it first took the version that ours would have.
        (version == expected.following()).then_some(in_force == number)
    }

    fn transaction(
        &self,
        keys: &Keys,
        id: &str,
        number: u64,
        pointer: Option<Pointer>,
    ) -> Result<Multi, ConfigError> {
        let name = tree::name_of(number);
        let (root, current) = (self.path.child(&name)?, self.path.child(CURRENT)?);
        let mode = CreateMode::Persistent;
        let mut multi = self.client.multi().create(&root, id.as_bytes(), mode);
        for (key, json) in tree::nodes(keys) {
            multi = multi.create(&format!("{root}/{key}"), json.as_bytes(), mode);
        }
        Ok(match pointer {
            Some((_, version)) => multi.set(&current, name.as_bytes(), version),
            None => multi.create(&current, name.as_bytes(), mode),
        })
    }

    /// Whether a version is the one that we have tried to publish after the pointer was seen like
    /// that; `None` when nobody knows any more.
    async fn is_ours(
        &self,
        number: u64,
        id: &str,
        pointer: Option<Pointer>,
    ) -> Result<Option<bool>, ConfigError> {
        let (path, current) = (self.path.child(&tree::name_of(number))?, self.path.child(CURRENT)?);
        let mut pauses = Pace::new();
        loop {
            // Behind the sync a request of ours whose answer was lost has happened, or never will.
            let (synced, read) = (self.client.sync(&path), self.client.get(&path));
            let looked = self.client.get(&current);
            match Self::judged(synced.await, read.await, looked.await, id, pointer) {
                Err(error) if self.passes(&error) => pauses.pause(self.client.runtime()).await,
                result => return result,
            }
        }
    }

    fn judged(
        synced: Result<(), SyncError>,
        read: Result<Node, GetError>,
        looked: Result<Node, GetError>,
        id: &str,
        pointer: Option<Pointer>,
    ) -> Result<Option<bool>, ConfigError> {
        synced?;
        match read {
            Ok(node) => return Ok(Some(node.data == id.as_bytes())),
            Err(GetError::NoNode { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        // It may have been there and removed, as versions are once others are in force: that is,
        // once the pointer was set more often than by us.
        let by_us = pointer.map_or(Version::new(0), |(_, version)| version.following());
        match looked {
            Ok(node) => {
                let version = node.stat.version;
                let is_untouched = pointer.is_some_and(|(_, before)| before == version);
                Ok((is_untouched || version == by_us).then_some(false))
            }
            Err(GetError::NoNode { .. }) => Ok(pointer.is_none().then_some(false)),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks for the removal of old versions of ours right behind the publication of another. Tells
    /// whether nothing else has to go. A request that nobody waits for is withdrawn where it is not
    /// under way yet; what is not removed like that is removed by a publication later.
    fn prune_behind(
        &self,
        number: u64,
        pointer: Option<Pointer>,
        versions: &[u64],
    ) -> Result<bool, ConfigError> {
        let count = versions.len().saturating_sub(self.kept);
        // The version that the pointer's node has if this publication is the next to set it.
        let next = pointer.map(|(_, version)| version.following());
        let Some(next) = next.filter(|next| *next != Version::ANY) else { return Ok(count == 0) };
        let (root, current) = (self.path.child(&tree::name_of(number))?, self.path.child(CURRENT)?);
        let mut is_all = true;
        for &old in &versions[..count] {
            let Some(ours) = self.published(old) else {
                is_all = false;
                continue;
            };
            self.remember(old, None);
            // Both together hold only while this publication is in force, so that no version goes
            // that somebody has put in force again.
            let multi = self.client.multi().check(&current, next).check(&root, Version::ANY);
            drop(delete_all(multi, &self.nodes(old, &ours.keys)?).commit());
        }
        Ok(is_all)
    }

    /// Removes versions that are not to be kept. What cannot be removed now is removed next time.
    async fn prune(&self, published: u64) {
        if let Err(error) = self.try_prune(published).await {
            tracing::warn!(path = %self.path, %error, "an old version is not removed");
        }
    }

    async fn try_prune(&self, published: u64) -> Result<(), ConfigError> {
        let mut versions = self.versions().await?;
        versions.retain(|&number| number != published);
        let count = versions.len().saturating_sub(self.kept);
        for number in versions.into_iter().take(count) {
            let Some((in_force, pointer)) = self.in_force().await? else { return Ok(()) };
            if number == in_force {
                continue;
            }
            let root = self.path.child(&tree::name_of(number))?;
            if let Some(ours) = self.published(number) {
                self.remember(number, None);
                if self.remove(&self.nodes(number, &ours.keys)?, pointer).await.is_ok() {
                    continue;
                }
                // Somebody has changed it: a look tells what there is.
            }
            let cache = Cache::tree(&self.client, &root)?;
            cache.synced().await?;
            let nodes: Vec<_> = cache.snapshot().iter().map(|node| node.path.to_string()).collect();
            self.remove(&nodes, pointer).await?;
        }
        Ok(())
    }

    /// Removes nodes, each of which comes before those below it, unless another version than this
    /// has come into force.
    async fn remove(&self, nodes: &[String], pointer: Version) -> Result<(), ConfigError> {
        let multi = self.client.multi().check(&self.path.child(CURRENT)?, pointer);
        delete_all(multi, nodes).commit().await?;
        Ok(())
    }

    /// The nodes of a version, each before those below it.
    fn nodes(&self, number: u64, keys: &Keys) -> Result<Vec<String>, ConfigError> {
        let root = self.path.child(&tree::name_of(number))?;
        let names = tree::nodes(keys);
        let below = names.keys().map(|name| format!("{root}/{name}"));
        Ok(std::iter::once(root.to_string()).chain(below).collect())
    }

    fn published(&self, number: u64) -> Option<Published> {
        let published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.get(&number).cloned()
    }

    fn remember(&self, number: u64, ours: Option<Published>) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        match ours {
            Some(ours) => drop(published.insert(number, ours)),
            None => drop(published.remove(&number)),
        }
        // Those that others have removed are not kept either.
        while published.len() > self.kept.saturating_add(1) {
            published.pop_first();
        }
    }

    fn passes(&self, error: &ConfigError) -> bool {
        if let ConfigError::Sync(error) = error {
            return matches!(error, SyncError::NotReadOnly { .. }) || self.may_pass(error);
        }
        if let ConfigError::List(error) = error {
            return self.may_pass(error);
        }
        if let ConfigError::Read(error) = error { self.may_pass(error) } else { false }
    }

    /// Whether trying again can help. A session that is over may be followed by another.
    fn may_pass(&self, error: &impl OperationError) -> bool {
        is_passing(error) || (is_over(error) && self.client.end().is_none())
    }
}

/// Deletes nodes, each of which comes before those below it.
fn delete_all(multi: Multi, nodes: &[String]) -> Multi {
    nodes.iter().rev().fold(multi, |multi, node| multi.delete(node, Version::ANY))
}

/// The versions among children, in order.
fn listed(listing: Result<Children, ChildrenError>) -> Result<Vec<u64>, ConfigError> {
    let names = match listing {
        Ok(children) => children.names,
        Err(ChildrenError::NoNode { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let mut numbers: Vec<_> =
        names.iter().filter_map(|name| tree::number_of(name.as_bytes()).ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}
