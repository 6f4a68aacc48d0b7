//! I20, I22–I26, I28, I29: what members hold is what a replay of everything decided gives.
//!
//! Looked at once, when all is well and nobody asks for anything any more: each member's nodes with
//! their numbers and ACLs, its sessions and their ephemeral nodes, and its watches, beside a tree
//! that has applied the whole log and beside what clients wait for.

use std::collections::{BTreeMap, BTreeSet};

use zk_client_core::SessionState;
use zk_proto::{
    SessionId, Stat, Zxid,
    acl::Acl,
    txn::{Txn, TxnRecord},
};
use zk_server_core::{
    peer::{Peer, Shown},
    tree::{Tree, TreeConfig},
};

use crate::{client::Client, net::Machine, world::World};

/// What the ensemble keeps for itself differs with what a member was told of its configuration.
const OWN_NODES: &str = "/zookeeper";

/// Everything a transaction can change.
#[derive(Debug, Default, PartialEq)]
struct State {
    nodes: BTreeMap<String, Node>,
    ephemerals: BTreeMap<SessionId, BTreeSet<String>>,
}

#[derive(Debug, PartialEq)]
struct Node {
    data: Option<Vec<u8>>,
    stat: Stat,
    acl: Vec<Acl>,
}

impl World {
    /// Compares what members hold with what was decided.
    ///
    /// # Panics
    /// When a tree, or a table of watches, does not agree with itself.
    pub(super) fn states_hold(&mut self) {
        let mut broken = Vec::new();
        for (machine, host) in self.hosts.iter().enumerate() {
            let Some(peer) = host.peer() else { continue };
            peer.tree().check();
            let shown = peer.view();
            let (tree, sessions) = self.replayed(shown.zxid);
            broken.extend(difference(machine, &state_of(peer.tree()), &state_of(&tree)));
            broken.extend(sessions_differ(machine, &shown, &sessions));
            broken.extend(self.watches_differ(machine, peer, &shown));
        }
        self.checks.violations.extend(broken);
    }

    /// The tree and the sessions after everything decided up to `upto`.
    fn replayed(&self, upto: Zxid) -> (Tree, BTreeSet<SessionId>) {
        // No session's number looks like a time to live: what members take for one is one.
        let config = TreeConfig { extended_types: true, ..TreeConfig::default() };
        let mut tree = Tree::new(config);
        let mut sessions = BTreeSet::new();
        for payload in self.checks.log.range(..=upto).map(|(_, payload)| payload) {
            let Ok(TxnRecord { header, txn, .. }) = TxnRecord::decode(payload, payload.len())
            else {
                continue;
            };
            match &txn {
                Txn::CreateSession(_) => drop(sessions.insert(header.session)),
                Txn::CloseSession(_) => drop(sessions.remove(&header.session)),
                Txn::Create(_)
                | Txn::Delete(_)
                | Txn::DeleteContainer(_)
                | Txn::SetData(_)
                | Txn::Reconfig(_)
                | Txn::SetAcl(_)
                | Txn::Check(..)
                | Txn::Multi(_)
                | Txn::Error(_) => {}
            }
            tree.apply(&header, txn);
        }
        (tree, sessions)
    }

    /// Where a client is connected.
    fn server_of(&self, client: &Client) -> Option<Machine> {
        Some(self.net.pipe(client.pipe()?).ends[1])
    }

    /// Whether a member watches for its clients what they wait for.
    // reliability.md I29
    fn watches_differ(&self, machine: Machine, peer: &Peer, shown: &Shown) -> Option<String> {
        let mut watched: BTreeMap<SessionId, BTreeSet<&str>> = BTreeMap::new();
        for watch in &shown.watches {
            for &session in &watch.data {
                watched.entry(session).or_default().insert(&watch.path);
            }
        }
        for client in &self.clients {
            let SessionState::Connected(epoch) = client.state() else { continue };
            let is_here = self.server_of(client) == Some(machine) && client.waits_for_nothing();
            if !is_here || peer.connection_of(epoch.session).is_none() {
                continue;
            }
            let found = watched.remove(&epoch.session).unwrap_or_default();
            let wanted: BTreeSet<&str> = client.watched().collect();
            if found != wanted {
                let (name, number) = (machine + 1, client.number);
                return Some(format!(
                    "I29: client {number} watches {wanted:?}, S{name} {found:?} for it"
                ));
            }
        }
        None
    }
}

fn state_of(tree: &Tree) -> State {
    let mut state = State::default();
    let mut walk = tree.walk();
    while let Some(node) = walk.next(tree) {
        if node.path().starts_with(OWN_NODES) {
            continue;
        }
        let acl = node.acl().iter().cloned().collect();
        let kept = Node { data: node.data().map(<[u8]>::to_vec), stat: node.stat(), acl };
        state.nodes.insert(node.path().to_owned(), kept);
    }
    for session in tree.ephemeral_sessions() {
        let paths = tree.ephemerals(session).map(str::to_owned).collect();
        state.ephemerals.insert(session, paths);
    }
    state
}

fn difference(machine: Machine, found: &State, wanted: &State) -> Option<String> {
    let name = machine + 1;
    let paths: BTreeSet<&String> = found.nodes.keys().chain(wanted.nodes.keys()).collect();
    let differs = |path: &&&String| found.nodes.get(**path) != wanted.nodes.get(**path);
    if let Some(path) = paths.iter().find(differs) {
        let (found, wanted) = (found.nodes.get(*path), wanted.nodes.get(*path));
        return Some(format!("I20: S{name} has {found:?} at {path}, decided was {wanted:?}"));
    }
    let (found, wanted) = (&found.ephemerals, &wanted.ephemerals);
    (found != wanted).then(|| format!("I20: S{name} keeps {found:?}, decided was {wanted:?}"))
}

/// A session that is being opened may be known already; nothing else may differ.
// reliability.md I24
fn sessions_differ(
    machine: Machine,
    shown: &Shown,
    decided: &BTreeSet<SessionId>,
) -> Option<String> {
    let known: BTreeSet<SessionId> = shown.sessions.iter().map(|it| it.session).collect();
    let missing: Vec<_> = decided.difference(&known).collect();
    let name = machine + 1;
    let what = format!("I24: S{name} at {} lacks the sessions {missing:?}", shown.zxid);
    (!missing.is_empty()).then_some(what)
}
