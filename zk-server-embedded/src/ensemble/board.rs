//! What the members of an ensemble say about themselves, for whoever waits for something.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;
use zk_proto::{ServerId, Zxid};
use zk_server_core::peer::Peer;

use crate::wires::Wires;

/// What a member does at the moment.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Role {
    /// It does not run.
    Down,
    /// It runs and knows no leader whose history it has.
    Looking,
    /// A quorum follows it, and it serves.
    Leader,
    /// It follows, and serves.
    Follower,
    /// It observes, and serves.
    Observer,
}

/// One member as it stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Status {
    pub(crate) role: Role,
    /// The last transaction applied.
    pub(crate) zxid: Zxid,
}

impl Status {
    pub(crate) const DOWN: Self = Self { role: Role::Down, zxid: Zxid::ZERO };

    fn of(peer: &Peer) -> Self {
        let role = match peer.mode() {
            "leader" => Role::Leader,
            "follower" => Role::Follower,
            "observer" => Role::Observer,
            _ => Role::Looking,
        };
        Self { role, zxid: peer.tree().last_zxid() }
    }
}

/// How all members stand.
pub(crate) type Board = watch::Sender<BTreeMap<ServerId, Status>>;

/// What an ensemble in one process shares with each of its members.
#[derive(Clone, Debug)]
pub(crate) struct Harness {
    pub(crate) wires: Arc<Wires>,
    pub(crate) board: Arc<Board>,
    /// What was said last.
    pub(crate) said: Status,
}

impl Harness {
    /// What says that a member does not run any more, when it is dropped.
    pub(crate) fn farewell(&self, me: ServerId) -> Farewell {
        Farewell { board: Arc::clone(&self.board), me }
    }

    /// Says how a member stands, if that is new.
    pub(crate) fn publish(&mut self, me: ServerId, peer: &Peer) {
        let status = Status::of(peer);
        if status != self.said {
            self.said = status;
            self.board.send_modify(|board| {
                board.insert(me, status);
            });
        }
    }
}

/// Says that a member does not run any more, however it ended.
#[derive(Debug)]
pub(crate) struct Farewell {
    board: Arc<Board>,
    me: ServerId,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.board.send_modify(|board| {
            board.insert(self.me, Status::DOWN);
        });
    }
}
