//! Who dials whom on the election port, and which of two connections lives.
//!
//! Between two members there is one connection, dialled by the one with the larger id. The smaller
//! one dials too, but only to make itself known: it says hello and hangs up, and the larger one
//! dials back. So whoever starts last, both meet.
//!
//! For each peer one message at most waits to be sent, and a newer one takes its place. The last
//! one sent is sent again on every new connection: nobody can tell whether it arrived on the old
//! one.
//!
//! The shell opens and closes sockets and moves bytes; hellos, lengths and messages are read here.

mod doors;

pub use doors::{LinkClose, LinkInput, LinkOutput, LinksConfig};

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use core::time::Duration;

use zk_proto::{
    ConnId, Instant, ServerId,
    ballot::{Hello, HelloForm, Notification, split_hello},
    ensemble::HostPort,
    frame::split_frame,
    jute::{Writer, decode, encode},
    limits::NOTIFICATION_BYTES_MAX,
};

use super::Reach;
use crate::limits::{ELECTION_HELLOS_PENDING_MAX, ELECTION_STRANGERS_MAX};

/// The machine.
#[derive(Debug)]
pub struct Links {
    config: LinksConfig,
    peers: BTreeMap<ServerId, Peer>,
    conns: BTreeMap<ConnId, Conn>,
    outputs: VecDeque<LinkOutput>,
}

#[derive(Debug, Default)]
struct Peer {
    is_member: bool,
    addresses: Vec<HostPort>,
    /// The one connection that counts.
    conn: Option<ConnId>,
    is_dialling: bool,
    /// The newest message not yet handed over.
    queued: Option<Vec<u8>>,
    /// The last one handed over.
    last: Option<Vec<u8>>,
    /// When to dial again.
    retry_at: Option<Instant>,
    pause_ms: u64,
}

#[derive(Debug)]
struct Conn {
    stage: Stage,
    /// What came and is not a whole hello or message yet.
    received: Vec<u8>,
    is_writing: bool,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Somebody connected and has not said who it is.
    Greeting { deadline: Instant },
    /// The connection with this peer.
    Linked(ServerId),
}

impl Links {
    /// Links of a member that knows nobody yet.
    pub const fn new(config: LinksConfig) -> Self {
        Self { config, peers: BTreeMap::new(), conns: BTreeMap::new(), outputs: VecDeque::new() }
    }

    /// Feeds one thing that happened. Call [`Self::poll_output`] until it is empty.
    pub fn handle(&mut self, now: Instant, input: LinkInput<'_>) {
        match input {
            LinkInput::Members(members) => self.set_members(now, members),
            LinkInput::Send { to, bytes } => self.send(now, to, bytes),
            LinkInput::Dialled { peer, conn } => self.dialled(now, peer, conn),
            LinkInput::DialFailed { peer } => self.dial_failed(now, peer),
            LinkInput::Accepted { conn } => self.accepted(now, conn),
            LinkInput::Bytes { conn, bytes } => self.bytes(now, conn, bytes),
            LinkInput::Written { conn } => self.written(now, conn),
            LinkInput::Closed { conn } => self.closed(now, conn),
            LinkInput::Timeout => self.timeout(now),
        }
        self.check();
    }

    /// What to do about it, oldest first.
    pub fn poll_output(&mut self) -> Option<LinkOutput> {
        self.outputs.pop_front()
    }

    /// When to come back with [`LinkInput::Timeout`].
    pub fn next_timeout(&self) -> Option<Instant> {
        let retries = self.peers.values().filter_map(|peer| peer.retry_at);
        retries.chain(self.conns.values().filter_map(Conn::deadline)).min()
    }

    const fn me(&self) -> ServerId {
        self.config.hello.server
    }

    fn set_members(&mut self, now: Instant, members: BTreeMap<ServerId, Vec<HostPort>>) {
        let me = self.me();
        self.peers.retain(|id, peer| {
            peer.is_member = false;
            members.contains_key(id) || peer.conn.is_some()
        });
        for (id, addresses) in members.into_iter().filter(|(id, _)| *id != me) {
            let peer = self.peers.entry(id).or_default();
            peer.is_member = true;
            peer.addresses = addresses;
            self.pump(now, id);
        }
    }

    fn send(&mut self, now: Instant, to: ServerId, bytes: Vec<u8>) {
        let Some(peer) = self.peers.get_mut(&to) else {
            return; // Neither a member nor connected: there is no way to it.
        };
        peer.queued = Some(bytes);
        self.pump(now, to);
    }

    /// Hands over what waits for a peer, or sees to it that there is a connection.
    // ZooKeeper: QuorumCnxManager.toSend, connectOne
    fn pump(&mut self, now: Instant, id: ServerId) {
        let me = self.me();
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(conn_id) = peer.conn else {
            let is_wanted = peer.queued.is_some() || (peer.is_member && id < me);
            if is_wanted && !peer.is_dialling && peer.retry_at.is_none_or(|at| at <= now) {
                self.dial(id, &[]);
            }
            return;
        };
        let Some(conn) = self.conns.get_mut(&conn_id).filter(|conn| !conn.is_writing) else {
            return;
        };
        if let Some(bytes) = peer.queued.take() {
            let mut writer = Writer::new();
            writer.frame(|body| body.raw(&bytes));
            peer.last = Some(bytes);
            conn.is_writing = true;
            let bytes = writer.into_vec();
            self.outputs.push_back(LinkOutput::Write { conn: conn_id, bytes });
        }
    }

    /// Dials a peer where the configuration says, and where it says itself.
    fn dial(&mut self, id: ServerId, own_words: &[HostPort]) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.retry_at = None;
        let mut addresses = peer.addresses.clone();
        addresses.extend(own_words.iter().filter(|own| !peer.addresses.contains(own)).cloned());
        if !peer.is_dialling && !addresses.is_empty() {
            peer.is_dialling = true;
            self.outputs.push_back(LinkOutput::Dial { peer: id, addresses });
        }
    }

    // ZooKeeper: QuorumCnxManager.startConnection
    fn dialled(&mut self, now: Instant, id: ServerId, conn: ConnId) {
        let hello = encode(&self.config.hello);
        let me = self.me();
        let Some(peer) = self.peers.get_mut(&id) else {
            return self.close(conn, LinkClose::Replaced); // It was removed meanwhile.
        };
        peer.is_dialling = false;
        self.outputs.push_back(LinkOutput::Write { conn, bytes: hello });
        if id > me {
            // It is there; it may dial back at any moment, or never.
            self.close(conn, LinkClose::LargerDials);
            self.back_off(now, id);
            return self.report(id, Reach::Unknown);
        }
        self.conns.insert(conn, Conn::new(Stage::Linked(id)));
        self.link_up(now, id, conn);
    }

    fn dial_failed(&mut self, now: Instant, id: ServerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.is_dialling = false;
        if !peer.is_member && peer.conn.is_none() {
            self.peers.remove(&id);
            return;
        }
        if peer.conn.is_none() {
            self.back_off(now, id);
            self.report(id, Reach::Down);
        }
    }

    /// Sets the moment to dial again.
    fn back_off(&mut self, now: Instant, id: ServerId) {
        let (pause_ms_min, pause_ms_max) = (self.config.dial_ms_min, self.config.dial_ms_max);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.pause_ms = (peer.pause_ms * 2).clamp(pause_ms_min, pause_ms_max);
        peer.retry_at = Some(now + Duration::from_millis(peer.pause_ms));
    }

    fn accepted(&mut self, now: Instant, conn: ConnId) {
        let is_pending = |(&id, conn): (&ConnId, &Conn)| conn.deadline().map(|at| (at, id));
        let pending = self.conns.iter().filter_map(is_pending);
        let (count, oldest) = pending.fold((0, None), |(count, oldest), one| {
            (count + 1, Some(oldest.map_or(one, |oldest| one.min(oldest))))
        });
        // Who has something to say has said it by now. The newest must not be the one to go, or a
        // few that say nothing would keep everybody out.
        if let (ELECTION_HELLOS_PENDING_MAX.., Some((_, oldest))) = (count, oldest) {
            self.close(oldest, LinkClose::TooMany);
        }
        let deadline = now + Duration::from_millis(self.config.hello_ms_max);
        self.conns.insert(conn, Conn::new(Stage::Greeting { deadline }));
    }

    fn bytes(&mut self, now: Instant, id: ConnId, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return; // Closed by us; what was still under way does not count.
        };
        conn.received.extend_from_slice(bytes);
        if let Stage::Greeting { .. } = conn.stage {
            match split_hello(&conn.received) {
                Ok(None) => return,
                Ok(Some(split)) => {
                    conn.received.drain(..split.length);
                    self.greet(now, id, &split.hello);
                }
                Err(_) => return self.close(id, LinkClose::BadHello),
            }
        }
        self.messages(now, id);
    }

    // ZooKeeper: QuorumCnxManager.handleConnection
    fn greet(&mut self, now: Instant, conn: ConnId, hello: &Hello) {
        let (me, id) = (self.me(), hello.server);
        if id == me {
            return self.close(conn, LinkClose::OurOwnId);
        }
        if id == Hello::ANONYMOUS || id.get() < 0 {
            return self.close(conn, LinkClose::NoId);
        }
        let is_member = self.peers.get(&id).is_some_and(|peer| peer.is_member);
        if hello.form == HelloForm::Bare && !is_member {
            return self.close(conn, LinkClose::NotAMember);
        }
        let strangers = self.peers.values().filter(|peer| !peer.is_member).count();
        if !self.peers.contains_key(&id) && strangers >= ELECTION_STRANGERS_MAX {
            return self.close(conn, LinkClose::TooMany);
        }
        let peer = self.peers.entry(id).or_default();
        if id > me {
            if let Some(conn) = self.conns.get_mut(&conn) {
                conn.stage = Stage::Linked(id);
            }
            return self.link_up(now, id, conn);
        }
        // Whoever makes itself known has no connection with us, whatever we believe.
        let stale = peer.conn.take();
        self.close(conn, LinkClose::WeDial);
        if let Some(stale) = stale {
            self.close(stale, LinkClose::Replaced);
        }
        let own_words: Vec<_> = hello.dialable().cloned().collect();
        self.dial(id, &own_words);
        if self.peers.get(&id).is_some_and(|peer| !peer.is_member && !peer.is_dialling) {
            self.peers.remove(&id); // It does not say where it is.
        }
    }

    fn link_up(&mut self, now: Instant, id: ServerId, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let replaced = peer.conn.replace(conn);
        peer.retry_at = None;
        if peer.queued.is_none() {
            peer.queued = peer.last.take();
        }
        if let Some(replaced) = replaced {
            self.close(replaced, LinkClose::Replaced);
        }
        self.report(id, Reach::Up);
        self.pump(now, id);
    }

    /// Delivers every whole message that came in on a connection.
    fn messages(&mut self, now: Instant, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let Stage::Linked(from) = conn.stage else { return };
        let mut rest = conn.received.as_slice();
        let mut is_good = true;
        while let Ok(Some(split)) = split_frame(rest, NOTIFICATION_BYTES_MAX) {
            rest = split.rest;
            if decode::<Notification<'_>>(split.body).is_err() {
                is_good = false;
                break;
            }
            let bytes = split.body.to_vec();
            self.outputs.push_back(LinkOutput::Deliver { from, bytes });
        }
        is_good = is_good && split_frame(rest, NOTIFICATION_BYTES_MAX).is_ok();
        let taken = conn.received.len() - rest.len();
        conn.received.drain(..taken);
        // Only a link that carried something is worth being made anew at once.
        if let Some(peer) = self.peers.get_mut(&from).filter(|_| taken > 0) {
            peer.pause_ms = 0;
        }
        if conn.received.is_empty() {
            conn.received = Vec::new(); // Idle links own no buffer.
        }
        if !is_good {
            self.close(id, LinkClose::BadMessage);
            self.lost(now, from, id);
        }
    }

    fn written(&mut self, now: Instant, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.is_writing = false;
        if let Stage::Linked(peer) = conn.stage {
            self.pump(now, peer);
        }
    }

    fn closed(&mut self, now: Instant, id: ConnId) {
        match self.conns.remove(&id).map(|conn| conn.stage) {
            Some(Stage::Linked(peer)) => self.lost(now, peer, id),
            Some(Stage::Greeting { .. }) | None => {}
        }
    }

    /// The connection with a peer is gone.
    fn lost(&mut self, now: Instant, id: ServerId, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.conn == Some(conn)) else {
            return;
        };
        peer.conn = None;
        if !peer.is_member {
            self.peers.remove(&id);
            return;
        }
        self.back_off(now, id);
        self.report(id, Reach::Down);
    }

    fn timeout(&mut self, now: Instant) {
        let late: Vec<_> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.deadline().is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            self.close(id, LinkClose::HelloTimeout);
        }
        let due: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.retry_at.is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.retry_at = None;
            }
            self.pump(now, id);
        }
    }

    fn close(&mut self, conn: ConnId, reason: LinkClose) {
        self.conns.remove(&conn);
        self.outputs.push_back(LinkOutput::Close { conn, reason });
    }

    fn report(&mut self, peer: ServerId, reach: Reach) {
        if self.peers.get(&peer).is_some_and(|peer| peer.is_member) {
            self.outputs.push_back(LinkOutput::Reach { peer, reach });
        }
    }

    /// Asserts what always holds.
    fn check(&self) {
        for (id, peer) in &self.peers {
            if let Some(conn) = peer.conn {
                let stage = self.conns.get(&conn).map(|conn| conn.stage);
                debug_assert!(
                    matches!(stage, Some(Stage::Linked(linked)) if linked == *id),
                    "{id:?} is linked by {conn:?}, which is {stage:?}"
                );
            }
            debug_assert_ne!(*id, self.me(), "linked with ourselves");
        }
        let linked = self.conns.values().filter(|conn| conn.deadline().is_none()).count();
        let known = self.peers.values().filter(|peer| peer.conn.is_some()).count();
        debug_assert_eq!(linked, known, "a connection that belongs to nobody");
    }
}

impl Conn {
    const fn new(stage: Stage) -> Self {
        Self { stage, received: Vec::new(), is_writing: false }
    }

    const fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Greeting { deadline } => Some(deadline),
            Stage::Linked(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
