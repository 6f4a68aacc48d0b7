//! Watches of what others write, and `observe`.

use zk_client::{AddWatchMode, Client, Observed, WatchItem};

use super::{
    Family, Site, ensure,
    site::Joined,
    writes::{NODES, ROOT},
};
use crate::{
    check::observed::Told,
    swarm::{MILLI, SECOND},
};

/// How long observers go on when nobody writes any more.
const LOOKS_ON: u64 = 6 * SECOND;

/// A client's watchers.
pub(super) fn begin(site: &Site, client: &Client) -> Vec<Joined> {
    let (watcher, observer) = ((site.clone(), client.clone()), (site.clone(), client.clone()));
    vec![
        site.spawn(async move { watch(&watcher.0, &watcher.1).await }),
        site.spawn(async move { observe(&observer.0, &observer.1).await }),
    ]
}

/// One persistent watcher after another.
async fn watch(site: &Site, client: &Client) {
    while ensure(site, client, ROOT).await && !site.is_done(client) {
        let mode = AddWatchMode::PersistentRecursive;
        let Ok(mut watcher) = client.add_watch(ROOT, mode).await else {
            site.pause(100 * MILLI, 100 * MILLI).await;
            continue;
        };
        let id = site.ledger().observed.watch(ROOT);
        // Now and then another takes its place.
        let until = site.ends_at.min(site.now() + site.runtime.below(60 * SECOND));
        while let Some(Some(item)) = site.until(until, watcher.next()).await {
            let told = match item {
                WatchItem::Event(event) => event.zxid.map_or(Told::Gap, Told::Change),
                // What it does not know it may have missed.
                WatchItem::Gap { .. } | _ => Told::Gap,
            };
            let mut ledger = site.ledger();
            ledger.did(Family::Watching);
            ledger.observed.told(id, told);
        }
    }
}

/// Observes a node until the end, and some time more.
async fn observe(site: &Site, client: &Client) {
    let path = format!("{ROOT}/n{}", site.draw(NODES));
    let mut states = client.observe(&path);
    let until = site.ends_at + LOOKS_ON;
    while let Some(seen) = site.until(until, states.next()).await {
        let Some(Ok(Observed { node, zxid, .. })) = seen else {
            site.ledger().observed.looks_away(site.number, &path);
            return;
        };
        let state = node.map(|node| node.stat.mzxid);
        site.say(|| format!("observes {path} set by {state:?} at {zxid}"));
        site.ledger().observed.sees(site.number, &path, state);
    }
}
