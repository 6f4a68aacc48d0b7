//! Barriers: one application sets and lifts, the others wait; two enter and leave together.

use std::time::Duration;

use zk_client::Client;
use zk_recipes::{Barrier, DoubleBarrier};

use super::{Family, Site, ensure, site::Joined};
use crate::{
    check::barriers::MEMBERS,
    swarm::{MILLI, SECOND},
};

/// How long one double barrier is used before the next.
const ROUND: u64 = 20 * SECOND;

/// A client's workers.
pub(super) fn begin(site: &Site, client: &Client, family: Family) -> Vec<Joined> {
    let (here, with) = (site.clone(), client.clone());
    vec![site.spawn(async move {
        if !ensure(&here, &with, "/r").await {
            return;
        }
        if family == Family::DoubleBarrier {
            together(&here, &with).await;
        } else if here.number == 0 {
            set_and_lift(&here, &with).await;
        } else {
            wait(&here, &with).await;
        }
    })]
}

/// Neither is ever given up in the middle: nobody could say then what is still under way.
async fn set_and_lift(site: &Site, client: &Client) {
    let Ok(barrier) = Barrier::new(client, "/r/barrier") else { return };
    while !site.is_done(client) {
        if barrier.set().await.is_ok() {
            site.say(|| "has set the barrier".to_owned());
            let now = site.now();
            site.ledger().barriers.is_set(now);
        }
        site.pause(SECOND, 3 * SECOND).await;
        site.ledger().barriers.lifts();
        let lifted = barrier.lift().await.is_ok();
        site.say(|| format!("has lifted the barrier: {lifted}"));
        site.ledger().barriers.lifted(lifted);
        site.pause(100 * MILLI, SECOND).await;
    }
}

async fn wait(site: &Site, client: &Client) {
    let Ok(barrier) = Barrier::new(client, "/r/barrier") else { return };
    while !site.is_done(client) {
        let asked = site.now();
        if let Some(Ok(())) = site.until_over(barrier.wait()).await {
            let mut ledger = site.ledger();
            ledger.say(|| format!("passes the barrier, asked at {asked}"));
            ledger.did(Family::Barrier);
            let passes = ledger.barriers.passes(asked);
            ledger.expect(passes);
        }
        site.pause(50 * MILLI, 500 * MILLI).await;
    }
}

async fn together(site: &Site, client: &Client) {
    if site.number >= MEMBERS {
        return;
    }
    while !site.is_done(client) {
        let round = site.now() / ROUND;
        let path = format!("/r/double/{round}");
        let Ok(barrier) = DoubleBarrier::new(client, &path, MEMBERS) else { return };
        site.ledger().barriers.arrives(round);
        if let Some(Ok(inside)) =
            site.until_over(barrier.enter_within(Duration::from_secs(8))).await
        {
            site.say(|| format!("has entered {path}"));
            let proven = client.proven_until().filter(|_| inside.is_held());
            {
                let mut ledger = site.ledger();
                ledger.did(Family::DoubleBarrier);
                let until =
                    proven.map_or(0, |proven| (proven - client.session_timeout() / 3).as_nanos());
                let enters = ledger.barriers.enters(round, site.number, until);
                ledger.expect(enters);
            }
            site.pause(50 * MILLI, SECOND).await;
            site.ledger().barriers.leaves(round, site.number);
            if inside.leave_within(Duration::from_secs(8)).await.is_ok() {
                let now = site.now();
                let mut ledger = site.ledger();
                ledger.say(|| format!("has left {path}"));
                let left = ledger.barriers.left(round, now);
                ledger.expect(left);
            }
        }
        let next = (round + 1) * ROUND;
        site.sleep_until(next.min(site.ends_at)).await;
    }
}
