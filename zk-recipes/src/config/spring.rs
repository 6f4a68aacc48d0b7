//! Properties as Spring Cloud `ZooKeeper` reads them: one node for each, its text for data.
//!
//! `<root>/<context>/<key>`, where the root is `/config` unless configured, and the contexts of an
//! application are, the later overriding the earlier: `application`, `application,<profile>` for
//! each profile, `<name>`, `<name>,<profile>` for each profile. Nodes below nodes are keys with
//! dots.
//!
//! A publication is one transaction, but readers, Spring's too, read node by node, and may see one
//! half of it before the other. Where that matters use [`super::Config`].

use std::collections::BTreeMap;

use zk_client::{Acl, Client, CreateMode, ErrorCode, MultiError, ZnodePath};

use super::ConfigError;
use crate::{
    cache::{Cache, Snapshot},
    line::make_containers,
};

/// Where Spring Cloud looks unless configured.
pub const ROOT: &str = "/config";

/// The context that all applications share.
const SHARED: &str = "application";

/// How often a publication is made anew when others publish at the same time.
const ATTEMPTS_MAX: u32 = 16;

/// Properties by their keys.
pub type Properties = BTreeMap<String, String>;

/// The names of an application's contexts, the most general first.
pub fn contexts(application: &str, profiles: &[&str]) -> Vec<String> {
    let mut contexts = Vec::new();
    for name in [SHARED, application] {
        contexts.push(name.to_owned());
        contexts.extend(profiles.iter().map(|profile| format!("{name},{profile}")));
    }
    contexts.dedup();
    contexts
}

/// What holds for an application with these profiles. Contexts that do not exist say nothing.
///
/// # Errors
/// [`ConfigError`].
///
/// # Cancel safety
/// Dropping the future changes nothing.
pub async fn read(
    client: &Client,
    root: &str,
    application: &str,
    profiles: &[&str],
) -> Result<Properties, ConfigError> {
    let root = ZnodePath::new(root)?;
    let mut properties = Properties::new();
    for context in contexts(application, profiles) {
        let path = root.child(&context)?;
        let cache = Cache::tree(client, &path)?;
        cache.synced().await?;
        properties.extend(properties_of(&cache.snapshot(), &path));
    }
    Ok(properties)
}

/// Makes these the properties of one context, in one transaction: what is there besides goes.
/// Answers how many nodes have changed.
///
/// # Errors
/// [`ConfigError`]; nothing has changed then, unless its outcome is unknown. Publishing the same
/// again does no harm.
///
/// # Cancel safety
/// Dropped while it waits, it may or may not be published.
pub async fn publish(
    client: &Client,
    root: &str,
    context: &str,
    properties: &Properties,
) -> Result<usize, ConfigError> {
    let path = ZnodePath::new(root)?.child(context)?;
    for key in properties.keys() {
        path.child(key)?;
        if let Some(at) = key.find('/') {
            return Err(zk_client::PathError::Character(path.len() + 1 + at).into());
        }
    }
    let mut attempts = 0;
    loop {
        attempts += 1;
        let cache = Cache::tree(client, &path)?;
        cache.synced().await?;
        let snapshot = cache.snapshot();
        if snapshot.is_empty() {
            make_containers(client, &path, &Acl::open()).await?;
        }
        let mut multi = client.multi();
        for node in snapshot.below(&path).collect::<Vec<_>>().into_iter().rev() {
            let key = key_of(&path, &node.path);
            match properties.get(&key).filter(|_| is_flat(&path, &node.path)) {
                Some(value) if node.data == value.as_bytes() => {}
                Some(value) => {
                    multi = multi.set(&node.path, value.as_bytes(), node.stat.version);
                }
                None => multi = multi.delete(&node.path, node.stat.version),
            }
        }
        for (key, value) in properties {
            let node = path.child(key)?;
            if snapshot.get(&node).is_none() {
                multi = multi.create(&node, value.as_bytes(), CreateMode::Persistent);
            }
        }
        let count = multi.len();
        if count == 0 {
            return Ok(0);
        }
        match multi.commit().await {
            Ok(_) => return Ok(count),
            // Somebody else was quicker.
            Err(MultiError::Failed {
                code: ErrorCode::BadVersion | ErrorCode::NoNode | ErrorCode::NodeExists,
                ..
            }) if attempts < ATTEMPTS_MAX => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn properties_of(snapshot: &Snapshot, context: &str) -> Properties {
    let nodes = snapshot.below(context).filter(|node| {
        // A node that is only there for those below it.
        !node.data.is_empty() || snapshot.children(&node.path).next().is_none()
    });
    let text = |data: &[u8]| String::from_utf8_lossy(data).into_owned();
    nodes.map(|node| (key_of(context, &node.path), text(&node.data))).collect()
}

/// The key of a node below a context.
fn key_of(context: &str, path: &str) -> String {
    path.get(context.len() + 1..).unwrap_or_default().replace('/', ".")
}

/// Whether a node lies right below its context.
fn is_flat(context: &str, path: &str) -> bool {
    path.get(context.len() + 1..).is_some_and(|key| !key.contains('/'))
}

#[cfg(test)]
mod tests {
    #[test]
    fn later_contexts_are_more_special() {
        let expected = ["application", "application,eu", "shop", "shop,eu"];
        assert_eq!(super::contexts("shop", &["eu"]), expected);
        assert_eq!(super::contexts("application", &[]), ["application"]);
    }
}
