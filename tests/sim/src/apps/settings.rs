//! A configuration that everybody publishes, puts in force again and follows.

use std::collections::BTreeMap;

use zk_client::Client;
use zk_recipes::config::{Config, ConfigError, Version};

use super::{Family, Site, ensure, site::Joined};
use crate::swarm::{MILLI, SECOND};

/// Where it is.
const PATH: &str = "/r/config";
/// Versions that are kept besides the one in force.
const KEPT: usize = 2;
/// Keys of a version. All of them say the same, so that a torn version shows.
const KEYS: usize = 5;
/// How long everybody has to follow, at the end.
const SETTLES: u64 = 8 * SECOND;

type Values = BTreeMap<String, u64>;

/// A client's workers: one that changes, one that follows.
pub(super) fn begin(site: &Site, client: &Client) -> Vec<Joined> {
    let (here, with) = (site.clone(), client.clone());
    vec![site.spawn(async move {
        if !ensure(&here, &with, "/r").await {
            return;
        }
        let config = loop {
            let opened = Config::<Values>::builder(&with, PATH).keep(KEPT).open();
            match here.until_over(Box::pin(opened)).await {
                Some(Ok(config)) => break config,
                Some(Err(_)) if !here.is_done(&with) => here.step().await,
                Some(Err(_)) | None => return,
            }
        };
        let follows = follow(&here, &config);
        let changes = change(&here, &with, &config);
        futures::future::join(Box::pin(follows), Box::pin(changes)).await;
    })]
}

async fn change(site: &Site, client: &Client, config: &Config<Values>) {
    while !site.is_done(client) {
        let span = if site.draw(5) == 0 { 50 * MILLI } else { 20 * SECOND };
        let at = (site.now() + site.runtime.below(span)).min(site.ends_at);
        if let Some(Ok(())) = site.until(at, Box::pin(one_change(site, config))).await {
            site.ledger().did(Family::Config);
        }
        site.step().await;
    }
}

async fn one_change(site: &Site, config: &Config<Values>) -> Result<(), ConfigError> {
    let said = site.ledger().count();
    let values = (0..KEYS).map(|key| (format!("k/{key}"), said)).collect();
    let current = config.current();
    let number = match site.draw(6) {
        0 => {
            let number = current.map_or(1, |version| version.number.saturating_sub(1));
            config.rollback(number).await?;
            site.say(|| format!("puts version {number} in force again"));
            return Ok(());
        }
        1 => config.publish_if(&values, current.map(|version| version.number)).await?,
        _ => config.publish(&values).await?,
    };
    site.say(|| format!("has published {said} as version {number}"));
    let mut ledger = site.ledger();
    let says = ledger.settings.says(number, said);
    ledger.expect(says);
    Ok(())
}

/// Whatever is told is whole, and in the end it is what is in force.
async fn follow(site: &Site, config: &Config<Values>) {
    let mut versions = config.changes();
    let mut newest = None;
    let until = site.ends_at + SETTLES;
    while let Some(Some(version)) = site.until(until, versions.next()).await {
        let seen = judge(site, &version);
        site.ledger().expect(seen);
        if newest.is_some_and(|newest| version.zxid < newest) {
            let text = format!("config: {version:?} is told behind {newest:?}");
            site.ledger().broken(text);
        }
        newest = Some(version.zxid);
    }
    if site.now() >= until {
        let told = config.current().map(|version| version.zxid);
        site.ledger().settings.ends(told);
    }
}

fn judge(site: &Site, version: &Version<Values>) -> Result<(), String> {
    let mut said = version.value.values();
    let Some(&first) = said.next() else { return Err(format!("config: {version:?} is empty")) };
    if version.value.len() != KEYS || said.any(|&other| other != first) {
        return Err(format!("config: {version:?} is torn"));
    }
    site.say(|| format!("is told {first} as version {}", version.number));
    site.ledger().settings.says(version.number, first)
}
