//! A decision becomes a transaction: it gets its place in the order and goes to the log.

use zk_proto::{
    ConnId, ErrorCode, Now, SessionId, Xid, Zxid,
    client::OpCode,
    jute::{Encode, Writer},
    limits::EXTRA_BYTES_MIN,
    txn::{Txn, TxnDigest, TxnHeader},
};

use super::Peer;
use crate::{limits::TXN_BYTES_MAX, order::Waiting, output::Output, prep};

/// A transaction on its way to stable storage.
#[derive(Debug)]
pub(super) struct Proposal {
    pub(super) header: TxnHeader,
    pub(super) txn: Txn,
    /// What the tree must add up to afterwards.
    pub(super) digest: Option<u64>,
    /// Bytes of its log entry.
    pub(super) bytes: usize,
    /// Who waits for the answer.
    pub(super) origin: Option<ConnId>,
}

impl Peer {
    /// Proposes what a connection asked for; the answer takes its place in line.
    pub(super) fn propose_for(&mut self, now: Now, conn: ConnId, xid: Xid, op: OpCode, txn: Txn) {
        let Some(connection) = self.connections.get(&conn) else { return };
        match self.propose(now, connection.session, xid, txn, Some(conn)) {
            Ok(zxid) => {
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.line.push(Waiting::Write { zxid, xid, op, since: now.mono });
                    self.outstanding += 1;
                    self.regulate(conn);
                }
            }
            Err(error) => self.refuse(now, conn, xid, error),
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
            self.fence();
            return Err(ErrorCode::SystemError);
        };
        let header = prep::header(session, xid, zxid, now.wall, txn.kind());
        let mut payload = encoded(&header, &txn);
        let mut has_digest = self.config.digest;
        if matches!(txn, Txn::CloseSession(Some(_))) && payload.len() > self.txn_bytes_max() {
            // A session from elsewhere may own more than an entry can list. Without a list every
            // server deletes what it finds; a digest would then be taken for a list.
            // ZooKeeper: SerializeUtils.deserializeTxn, DataTree.killSession
            txn = Txn::CloseSession(None);
            payload = encoded(&header, &txn);
            has_digest = false;
        }
        if payload.len() + TxnDigest::WIRE_BYTES > self.txn_bytes_max() {
            // reliability.md rule 28, M18: what could not be read back is refused before it counts.
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
            TxnDigest { version: TxnDigest::VERSION, tree_digest }.encode(&mut payload);
        }
        let bytes = payload.len();
        self.last_proposed = zxid;
        self.in_flight_bytes += bytes;
        self.in_flight.push_back(Proposal { header, txn, digest, bytes, origin });
        self.outputs.push_back(Output::Append { zxid, payload: payload.into_vec() });
        self.stats.proposals += 1;
        Ok(zxid)
    }

    /// The next place in the order.
    ///
    /// A standalone server has no new epoch to ask for; when the counter is used up the next number
    /// lies in the next epoch. `None` when there is no number left.
    // ZooKeeper: ZooKeeperServer.getNextZxid
    pub(super) fn next_zxid(&self) -> Option<Zxid> {
        let last = self.last_proposed;
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

/// What stands in front of the digest.
fn encoded(header: &TxnHeader, txn: &Txn) -> Writer {
    let mut payload = Writer::with_capacity(room_for(txn));
    header.encode(&mut payload);
    txn.encode(&mut payload);
    payload
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
