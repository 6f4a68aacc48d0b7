//! Writers that remember what was acknowledged.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{sync::watch, task::JoinSet};
use zk_server_embedded::{ensemble::Ensemble, testing::Snapshot};
use zk_tests::patience::at_most;

use crate::client_of;

/// A load that runs until it is stopped.
pub(crate) struct Load {
    is_over: Arc<AtomicBool>,
    acknowledged: Arc<watch::Sender<u64>>,
    writers: JoinSet<Outcome>,
}

/// What writers saw.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Paths whose creation was acknowledged.
    pub(crate) acknowledged: BTreeSet<String>,
    /// Sessions that ended.
    pub(crate) sessions_lost: usize,
}

const WRITERS: usize = 4;

impl Load {
    /// Starts writers, spread over all members.
    pub(crate) async fn start(ensemble: &Ensemble) -> Self {
        Self::start_at(&ensemble.connect_string()).await
    }

    /// Starts writers on the servers of a connect string.
    pub(crate) async fn start_at(connect_string: &str) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(watch::Sender::new(0));
        let mut writers = JoinSet::new();
        for number in 0..WRITERS {
            let connect_string = connect_string.to_owned();
            let (is_over, acknowledged) = (Arc::clone(&is_over), Arc::clone(&acknowledged));
            writers.spawn(write(number, connect_string, is_over, acknowledged));
        }
        let load = Self { is_over, acknowledged, writers };
        load.until_more(1).await;
        load
    }

    /// Waits until so many more writes are acknowledged.
    pub(crate) async fn until_more(&self, count: u64) {
        let mut acknowledged = self.acknowledged.subscribe();
        let goal = *acknowledged.borrow() + count;
        let reached = acknowledged.wait_for(|count| *count >= goal);
        at_most("acknowledged writes", reached).await.expect("the load has the sender");
    }

    /// Stops the writers and says what they saw.
    pub(crate) async fn stop(mut self) -> Outcome {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Outcome::default();
        while let Some(outcome) = at_most("the last writes", self.writers.join_next()).await {
            let outcome = outcome.expect("a writer that did not fail");
            all.acknowledged.extend(outcome.acknowledged);
            all.sessions_lost += outcome.sessions_lost;
        }
        all
    }

    /// Stops the writers, waits until every member serves, and checks that all agree and that
    /// nothing acknowledged is lost. What they agree on.
    pub(crate) async fn end_well(self, ensemble: &Ensemble) -> Snapshot {
        let outcome = self.stop().await;
        at_most("everybody serves", ensemble.ready()).await;
        let agreed = at_most("agreement", ensemble.agreement()).await.expect("they run");
        outcome.check(&agreed);
        agreed
    }
}

impl Outcome {
    /// Everything that was acknowledged is there.
    pub(crate) fn check(&self, agreed: &Snapshot) {
        self.check_paths(&agreed.nodes.iter().map(|node| node.path.clone()).collect());
    }

    /// Everything that was acknowledged is among these.
    pub(crate) fn check_paths(&self, nodes: &BTreeSet<String>) {
        let lost: Vec<&String> = self.acknowledged.difference(nodes).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        assert!(!self.acknowledged.is_empty(), "nothing was acknowledged");
        assert_eq!(self.sessions_lost, 0, "sessions outlive every change of leader");
    }
}

async fn write(
    number: usize,
    connect_string: String,
    is_over: Arc<AtomicBool>,
    acknowledged: Arc<watch::Sender<u64>>,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut zk = client_of(connect_string.clone()).await;
    let mut next = 0_u64;
    while !is_over.load(Ordering::Relaxed) {
        let path = format!("/w{number}-{next:06}");
        next += 1;
        // Where the outcome is unknown, either is fine.
        if zk.create(&path, b"load").await.is_ok() {
            outcome.acknowledged.insert(path);
            acknowledged.send_modify(|count| *count += 1);
        } else if zk.end().is_some() {
            outcome.sessions_lost += 1;
            zk = client_of(connect_string.clone()).await;
        }
    }
    outcome
}
