//! What waits for one learner: packets in order, encoded only shortly before they leave.
//!
//! ```text
//!  backlog ─┐   what it lacks; not counted, it was promised to be bounded
//!  live   ──┴─► writer ─► driver
//!               ▲ a snapshot's pieces, while the two above are held back
//! ```

use alloc::collections::VecDeque;

use bytes::Bytes;
use zk_proto::{
    Epoch, SessionId, Zxid,
    jute::{Encode, Writer},
    quorum::{FromLeader, LeaderInfo, PROTOCOL_VERSION, Revalidated, SNAPSHOT_SIGNATURE},
};

use crate::zab::Proposal;

/// Bytes that are encoded ahead of what a learner takes.
const WRITER_BYTES: usize = 1024 * 1024;
/// Bytes a waiting packet takes beside its payload.
const PACKET_BYTES: usize = 64;
/// Bytes of memory an idle learner keeps.
const IDLE_BYTES: usize = 16 * 1024;

/// One packet that waits.
#[derive(Clone, Debug)]
pub(super) enum Packet {
    LeaderInfo(Epoch),
    Diff(Zxid),
    Trunc(Zxid),
    Snap(Zxid),
    NewLeader(Epoch, Bytes),
    UpToDate,
    Proposal(Proposal),
    Commit(Zxid),
    Inform(Proposal),
    Ping(Zxid),
    Revalidated { session: SessionId, is_valid: bool },
    Sync,
}

impl Packet {
    fn bytes(&self) -> usize {
        let payload = match self {
            Self::Proposal(proposal) | Self::Inform(proposal) => proposal.payload.len(),
            Self::NewLeader(_, config) => config.len(),
            Self::LeaderInfo(_)
            | Self::Diff(_)
            | Self::Trunc(_)
            | Self::Snap(_)
            | Self::UpToDate
            | Self::Commit(_)
            | Self::Ping(_)
            | Self::Revalidated { .. }
            | Self::Sync => 0,
        };
        PACKET_BYTES + payload
    }

    fn encode(&self, writer: &mut Writer) {
        let packet = match self {
            Self::LeaderInfo(epoch) => FromLeader::LeaderInfo(
                Zxid::from_parts(*epoch, 0),
                LeaderInfo { protocol_version: PROTOCOL_VERSION },
            ),
            Self::Diff(zxid) => FromLeader::Diff(*zxid),
            Self::Trunc(zxid) => FromLeader::Trunc(*zxid),
            Self::Snap(zxid) => FromLeader::Snap(*zxid),
            Self::NewLeader(epoch, config) => {
                FromLeader::NewLeader(Zxid::from_parts(*epoch, 0), Some(&config[..]).into())
            }
            Self::UpToDate => FromLeader::UpToDate,
            Self::Proposal(proposal) => FromLeader::Proposal(proposal.zxid, &proposal.payload),
            Self::Commit(zxid) => FromLeader::Commit(*zxid),
            Self::Inform(proposal) => FromLeader::Inform(proposal.zxid, &proposal.payload),
            Self::Ping(zxid) => FromLeader::Ping(*zxid),
            Self::Revalidated { session, is_valid } => {
                FromLeader::Revalidate(Revalidated { session: *session, is_valid: *is_valid })
            }
            Self::Sync => FromLeader::Sync(Zxid::ZERO),
        };
        packet.encode(writer);
    }
}

/// Everything that waits for one learner.
#[derive(Debug)]
pub(super) struct Outbox {
    /// What the driver takes.
    pub(super) writer: Writer,
    /// Whether the driver was told since it last looked.
    pub(super) is_announced: bool,
    backlog: VecDeque<Packet>,
    live: VecDeque<Packet>,
    live_bytes: usize,
    /// Whether a log is being read or a snapshot sent, behind which everything waits.
    is_held: bool,
}

impl Outbox {
    pub(super) const fn new() -> Self {
        Self {
            writer: Writer::new(),
            is_announced: false,
            backlog: VecDeque::new(),
            live: VecDeque::new(),
            live_bytes: 0,
            is_held: false,
        }
    }

    /// One more packet, behind all others.
    pub(super) fn push(&mut self, packet: Packet) {
        let may_pass = !self.is_held && self.backlog.is_empty() && self.live.is_empty();
        if may_pass && self.writer.len() < WRITER_BYTES {
            packet.encode(&mut self.writer);
        } else {
            self.live_bytes += packet.bytes();
            self.live.push_back(packet);
        }
    }

    /// One more decided transaction that the learner lacks, before everything live.
    pub(super) fn push_decided(&mut self, proposal: &Proposal) {
        self.backlog.push_back(Packet::Proposal(proposal.clone()));
        self.backlog.push_back(Packet::Commit(proposal.zxid));
    }

    /// A packet that goes before everything that is held back.
    pub(super) fn push_first(&mut self, packet: &Packet) {
        packet.encode(&mut self.writer);
    }

    /// Nothing leaves from here on but what is written to the writer.
    pub(super) const fn hold(&mut self) {
        self.is_held = true;
    }

    /// Everything may leave; `proposals` go before the backlog.
    pub(super) fn release(&mut self, proposals: &[Proposal]) {
        self.is_held = false;
        let backlog = core::mem::take(&mut self.backlog);
        for proposal in proposals {
            self.push_decided(proposal);
        }
        self.backlog.extend(backlog);
        self.refill();
    }

    /// A piece of the snapshot; the last one brings the signature along.
    pub(super) fn stream(&mut self, bytes: &[u8], is_last: bool) {
        assert!(self.is_held, "nothing comes between a snapshot's pieces");
        self.writer.raw(bytes);
        if is_last {
            self.writer.string(SNAPSHOT_SIGNATURE);
        }
    }

    /// The driver has taken everything.
    pub(super) fn refill(&mut self) {
        if self.writer.is_empty() {
            self.writer.shrink_to(IDLE_BYTES);
        }
        while !self.is_held && self.writer.len() < WRITER_BYTES {
            let next = match self.backlog.pop_front() {
                Some(packet) => Some(packet),
                None => self.live.pop_front().inspect(|packet| self.live_bytes -= packet.bytes()),
            };
            let Some(packet) = next else { break };
            packet.encode(&mut self.writer);
        }
    }

    /// Drops what has not been encoded.
    pub(super) fn forget_queued(&mut self) {
        self.is_held = false;
        self.backlog = VecDeque::new();
        self.live = VecDeque::new();
        self.live_bytes = 0;
    }

    /// Bytes that wait beyond what the learner was promised when it came.
    pub(super) fn bytes(&self) -> usize {
        self.live_bytes + if self.is_held { 0 } else { self.writer.len() }
    }
}
