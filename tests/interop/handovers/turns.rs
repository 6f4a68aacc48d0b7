//! Locks, leases and leadership: who has a turn, and beside whom.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use futures::future::join_all;
use zk_client::Client;
use zk_tests::foreign::Server;

use crate::{Row, peer::Peer};

/// Looks at the server during a turn: long enough for somebody else to come in who should not.
const LOOKS: usize = 3;

/// One layout and those who contend by it.
pub(crate) struct Turns {
    peers: Vec<Peer>,
    path: &'static str,
    kinds: Vec<(Peer, &'static [&'static str])>,
    most: usize,
    resource: Mutex<Resource>,
}

/// What the turns are for.
struct Resource {
    row: Row,
    /// Who has a turn, and whether it is one that bears no other.
    inside: BTreeMap<usize, bool>,
    last: Option<usize>,
    newest: i64,
}

impl Turns {
    pub(crate) fn new(name: &'static str, peers: &[Peer], path: &'static str) -> Self {
        let row = Row::new(name);
        let resource = Resource { row, inside: BTreeMap::new(), last: None, newest: 0 };
        let (peers, kinds) = (peers.to_vec(), Vec::new());
        Self { peers, path, kinds, most: 1, resource: Mutex::new(resource) }
    }

    /// What a kind of peers asks for, one after the other.
    pub(crate) fn kinds(mut self, peer: Peer, kinds: &'static [&'static str]) -> Self {
        self.kinds.push((peer, kinds));
        self
    }

    /// How many may have a turn at once.
    pub(crate) const fn at_most(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    pub(crate) async fn run(self, server: &Server) -> Row {
        let zk = server.client().await;
        join_all((0..self.peers.len()).map(|me| self.contend(server, &zk, me))).await;
        let resource = self.resource.into_inner().unwrap_or_else(PoisonError::into_inner);
        assert!(resource.inside.is_empty(), "everybody has left");
        resource.row
    }

    async fn contend(&self, server: &Server, zk: &Client, me: usize) {
        let peer = self.peers[me];
        let kinds = self.kinds.iter().find(|(one, _)| *one == peer).expect("what it asks for").1;
        let mut process = peer.start(server);
        for kind in kinds.iter().cycle() {
            if self.with(|resource| resource.row.is_done()) {
                break;
            }
            let says = process.ask(&format!("enter {kind} {} {}", self.path, self.most)).await;
            let token = says.strip_prefix("in ").and_then(|token| token.parse().ok());
            let token = token.unwrap_or_else(|| panic!("{peer:?} says: {says}"));
            let is_shared = self.most > 1 || kind.ends_with("read");
            self.with(|resource| resource.enter(me, is_shared, self.most, token));
            for _ in 0..LOOKS {
                zk.sync("/").await.expect("synced");
            }
            if self.with(|resource| resource.is_victim(&self.peers, me)) {
                process.kill().await;
                self.with(|resource| resource.leave(me));
                process = peer.start(server);
                continue;
            }
            self.with(|resource| resource.leave(me));
            assert_eq!(process.ask("leave").await, "out");
        }
    }

    fn with<T>(&self, deed: impl FnOnce(&mut Resource) -> T) -> T {
        deed(&mut self.resource.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Resource {
    fn enter(&mut self, me: usize, is_shared: bool, most: usize, token: i64) {
        let is_alone = self.inside.is_empty();
        let fits = if is_shared {
            // Readers bear any number of others, leases so many.
            let most = if most > 1 { most } else { usize::MAX };
            self.inside.values().all(|&is_shared| is_shared) && self.inside.len() < most
        } else {
            // Whoever comes with a smaller token than somebody before has come too late.
            is_alone && token > self.newest
        };
        self.row.overlaps += usize::from(!fits);
        self.newest = self.newest.max(token);
        self.inside.insert(me, is_shared);
        self.row.hand_overs += usize::from(self.last != Some(me));
        self.last = Some(me);
    }

    fn leave(&mut self, me: usize) {
        self.inside.remove(&me).expect("it was inside");
    }

    fn is_victim(&mut self, peers: &[Peer], me: usize) -> bool {
        let is_victim = self.row.victim(&Peer::kinds(peers)) == Some(peers[me]);
        self.row.crashes += usize::from(is_victim);
        is_victim
    }
}
