//! A decision becomes a transaction: it gets its place in the order and goes to the log.

use zk_proto::{
    ConnId, ErrorCode, Instant, Now, SessionId, Xid, Zxid,
    client::OpCode,
    jute::Encode,
    limits::EXTRA_BYTES_MIN,
    txn::{Txn, TxnDigest, TxnHeader},
};

use bytes::Bytes;

use super::{Peer, connection::Stage, request::Asked};
use crate::{limits::TXN_BYTES_MAX, order::Waiting, prep, zab};

/// A transaction on its way to stable storage.
#[derive(Debug)]
pub(super) struct Proposal {
    pub(super) header: TxnHeader,
    pub(super) txn: Txn,
    /// What the tree must add up to afterwards.
    pub(super) digest: Option<u64>,
    /// Its log entry, where other members want it.
    pub(super) payload: Option<Bytes>,
    /// Bytes of its log entry.
    pub(super) bytes: usize,
    /// Bytes of the request it came from; 0 where there was none.
    pub(super) request_bytes: usize,
    /// When it was proposed.
    pub(super) since: Instant,
    /// Who waits for the answer.
    pub(super) origin: Option<ConnId>,
}

impl Proposal {
    /// What the log holds of it, on a member.
    pub(super) fn into_logged(self) -> Option<zab::Proposal> {
        Some(zab::Proposal { zxid: self.header.zxid, payload: self.payload? })
    }
}

impl Peer {
    /// Proposes what a connection asked for; the answer takes its place in line.
    pub(super) fn propose_for(&mut self, now: Now, asked: Asked, op: OpCode, txn: Txn) {
        let Asked { conn, xid, since, .. } = asked;
        let Some(connection) = self.connections.get(&conn) else { return };
        let (session, is_gone) = (connection.session, connection.stage == Stage::Ended);
        match self.propose(now, session, xid, txn, (!is_gone).then_some(conn)) {
            Ok(zxid) if is_gone => self.place_before_successor(session, zxid),
            Ok(zxid) => {
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.line.push(Waiting::Write { zxid, xid, op, since, refusal: None });
                    self.outstanding += 1;
                    self.regulate(conn);
                }
            }
            Err(error) => self.refuse(now, asked, error),
        }
    }

    /// Proposes a transaction and lays it over the tree.
    ///
    /// A multi's parts are recorded already and its journal is open; it is closed here.
    pub(super) fn propose(
        &mut self,
        now: Now,
        session: SessionId,
        xid: Xid,
        mut txn: Txn,
        origin: Option<ConnId>,
    ) -> Result<Zxid, ErrorCode> {
        let is_multi = matches!(txn, Txn::Multi(_));
        let Some(zxid) = self.next_zxid() else {
            if is_multi {
                self.pending.undo();
            }
            self.out_of_zxids(now);
            return Err(ErrorCode::SystemError);
        };
        if zxid.epoch() != self.last_proposed.epoch() {
            self.end_batch();
        }
        let header = prep::header(session, xid, zxid, now.wall, txn.kind());
        self.begin_entry(&header, &txn);
        let mut has_digest = self.config.digest;
        let is_too_long = self.log.begun_bytes() > self.txn_bytes_max();
        if matches!(txn, Txn::CloseSession(Some(_))) && is_too_long {
            // A session from elsewhere may own more than an entry can list. Without a list every
            // server deletes what it finds; a digest would then be taken for a list.
            // ZooKeeper: SerializeUtils.deserializeTxn, DataTree.killSession
            txn = Txn::CloseSession(None);
            self.log.abandon();
            self.begin_entry(&header, &txn);
            has_digest = false;
        }
        if self.log.begun_bytes() + TxnDigest::WIRE_BYTES > self.txn_bytes_max() {
            // reliability.md rule 28, M18: what could not be read back is refused before it counts.
            self.log.abandon();
            self.stats.large_requests_rejected += 1;
            if is_multi {
                self.pending.undo();
            }
            return Err(ErrorCode::MarshallingError);
        }
        if is_multi {
            self.pending.keep();
        } else {
            self.pending.record(&self.tree, &header, &txn);
        }
        // ZooKeeper: an error that prep found carries no digest.
        has_digest &= !matches!(txn, Txn::Error(_));
        let digest = has_digest.then(|| self.pending.digest());
        if let Some(digest) = digest {
            let tree_digest = digest.cast_signed();
            TxnDigest { version: TxnDigest::VERSION, tree_digest }.encode(self.log.writer());
        }
        let entry = self.log.finish(zxid);
        let bytes = entry.len();
        self.last_proposed = zxid;
        self.in_flight_bytes += bytes;
        let shared = self.member.is_some().then(|| Bytes::copy_from_slice(entry));
        let to_all = shared.clone();
        self.in_flight.push_back(Proposal {
            header,
            txn,
            digest,
            payload: shared,
            bytes,
            request_bytes: 0,
            since: now.mono,
            origin,
        });
        self.stats.proposals += 1;
        if let Some(payload) = to_all {
            self.broadcast(now, zxid, payload);
        }
        Ok(zxid)
    }

    /// Writes the log entry up to the digest.
    fn begin_entry(&mut self, header: &TxnHeader, txn: &Txn) {
        let entry = self.log.begin(room_for(txn));
        header.encode(entry);
        txn.encode(entry);
    }

    /// Appends what a leader proposed: the transaction `zxid`, beyond all others.
    pub(super) fn append(&mut self, zxid: Zxid, payload: &[u8]) {
        if zxid.epoch() != self.last_logged().epoch() {
            self.end_batch();
        }
        self.log.push(zxid, payload);
    }

    /// There is no number left to give.
    pub(super) fn out_of_zxids(&mut self, now: Now) {
        if self.member.is_some() { self.step_down(now) } else { self.fence() }
    }

    /// The next place in the order.
    ///
    /// A member that runs out of them asks for a new epoch, and leaves the last one alone. A
    /// standalone server cannot; when the counter is used up the next number lies in the next
    /// epoch.
    /// `None` when there is no number left.
    // ZooKeeper: ZooKeeperServer.getNextZxid
    pub(super) fn next_zxid(&self) -> Option<Zxid> {
        let last = self.last_proposed;
        if self.member.is_some() {
            return last.next().filter(|zxid| zxid.counter() < u32::MAX);
        }
        last.next().or_else(|| Some(Zxid::from_parts(last.epoch().next()?, 0)))
    }

    /// Bytes of the largest log entry: what every reader of the log accepts as one string, so that
    /// no part of it can be too long, and what still fits into one batch of the log.
    // ZooKeeper: BinaryInputArchive.checkLength (maxBuffer plus extraMaxBuffer)
    fn txn_bytes_max(&self) -> usize {
        let frame_bytes_max = self.config.frame_bytes_max;
        frame_bytes_max.saturating_add(frame_bytes_max.max(EXTRA_BYTES_MIN)).min(TXN_BYTES_MAX)
    }
}

/// Bytes enough for the log entry of all but the longest lists, so that it is not moved while it
/// grows.
fn room_for(txn: &Txn) -> usize {
    /// Header, digest, lengths, versions and a short list of rights.
    const ROOM_BYTES: usize = 160;
    let (path, data) = match txn {
        Txn::Create(create) => (&*create.path, create.data.as_deref()),
        Txn::SetData(data) | Txn::Reconfig(data) => (&*data.path, data.data.as_deref()),
        Txn::SetAcl(acl) => (&*acl.path, None),
        Txn::Delete(path) | Txn::DeleteContainer(path) | Txn::Check(path, _) => (&**path, None),
        Txn::CreateSession(_) | Txn::CloseSession(_) | Txn::Multi(_) | Txn::Error(_) => ("", None),
    };
    ROOM_BYTES + path.len() + data.map_or(0, <[u8]>::len)
}
