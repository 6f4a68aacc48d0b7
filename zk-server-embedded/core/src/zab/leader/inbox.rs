//! Bytes of learners: packets, who may send which when, and what they lead to.

use alloc::vec::Vec;

use zk_proto::{
    AuthId, ConnId, Zxid,
    client::OpCode,
    quorum::{
        EpochAnswer, ForwardedRequest, FromLearner, LearnerInfo, PROTOCOL_VERSION, PacketKind,
        QuorumPacket, SessionTouches, WireId, split_packet,
    },
};

use super::{Leader, LinkClose, Output, Phase, Step, learner::Stage, outbox::Packet};
use crate::{
    limits::{LEARNER_HELLO_BYTES_MAX, LEARNER_STRANGERS_MAX},
    zab::Forwarded,
};

impl Leader {
    /// Bytes came in.
    pub(super) fn bytes(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        let mut kept = core::mem::take(&mut link.inbox);
        let joined = if kept.is_empty() {
            bytes
        } else {
            kept.extend_from_slice(bytes);
            &kept
        };
        let used = self.packets(conn, joined);
        let rest = joined.get(used..).unwrap_or_default();
        let Some(link) = self.links.get_mut(&conn) else { return };
        if link.stage != Stage::Ended {
            link.inbox = if used == 0 && !kept.is_empty() { kept } else { rest.to_vec() };
        }
    }

    /// Takes whole packets off the front; says how many bytes they were.
    fn packets(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        let mut used = 0;
        loop {
            let Some(limit) = self.data_bytes_max(conn) else { return used };
            let rest = bytes.get(used..).unwrap_or_default();
            match split_packet(rest, limit) {
                Ok(Some(split)) => {
                    used += split.length;
                    if let Err(reason) = self.packet(conn, &split.packet) {
                        self.close(conn, reason);
                    }
                }
                Ok(None) => return used,
                Err(_) => {
                    self.close(conn, LinkClose::Violation);
                    return used;
                }
            }
        }
    }

    /// How long a packet may be; `None` once nothing is read any more.
    fn data_bytes_max(&self, conn: ConnId) -> Option<usize> {
        let most = self.config.packet_bytes_max;
        match self.links.get(&conn)?.stage {
            Stage::Ended => None,
            Stage::New | Stage::Introduced | Stage::Informed => {
                Some(LEARNER_HELLO_BYTES_MAX.min(most))
            }
            Stage::Answered { .. }
            | Stage::Reading { .. }
            | Stage::Streaming { .. }
            | Stage::Catching
            | Stage::Synced
            | Stage::Following => Some(most),
        }
    }

    fn packet(&mut self, conn: ConnId, packet: &QuorumPacket<'_>) -> Result<(), LinkClose> {
        let Some(link) = self.links.get_mut(&conn) else { return Ok(()) };
        let stage = link.stage;
        if PacketKind::new(packet.kind).is_none() && stage == Stage::Following {
            tracing::debug!(kind = packet.kind, "an unknown packet of a learner is ignored");
            return Ok(());
        }
        let packet = FromLearner::read(packet).map_err(|_| LinkClose::Violation)?;
        if stage != Stage::New {
            // What it said to others, a new link of theirs may have said again.
            self.left.remove(&link.server);
        }
        match (stage, packet) {
            (Stage::New, FromLearner::FollowerInfo(zxid, info)) => {
                self.introduced(conn, false, zxid, info)
            }
            (Stage::New, FromLearner::ObserverInfo(zxid, info)) => {
                self.introduced(conn, true, zxid, info)
            }
            (Stage::Informed, FromLearner::AckEpoch(last, answer)) => {
                self.answered(conn, last, answer)
            }
            (Stage::Catching | Stage::Synced, FromLearner::Ack(zxid)) => {
                link.heard = self.now;
                self.acknowledged(conn, zxid);
                Ok(())
            }
            (Stage::Following, packet) => {
                link.heard = self.now;
                self.served(conn, packet)
            }
            _ => Err(LinkClose::Violation),
        }
    }

    /// A packet of a learner that serves.
    fn served(&mut self, conn: ConnId, packet: FromLearner<'_>) -> Result<(), LinkClose> {
        match packet {
            FromLearner::Ack(zxid) => self.acknowledged(conn, zxid),
            FromLearner::Ping(_, SessionTouches(touches)) => {
                for touch in touches {
                    let (session, timeout_ms) = (touch.session, touch.timeout_ms);
                    self.outputs.push_back(Step::Do(Output::Touched { session, timeout_ms }));
                }
                self.ponged(conn);
            }
            FromLearner::Revalidate(asked) => {
                let (session, timeout_ms) = (asked.session, asked.timeout_ms);
                let asked = Output::Revalidate { link: conn, session, timeout_ms };
                self.outputs.push_back(Step::Do(asked));
            }
            FromLearner::Request(request, identities) => {
                self.requested(conn, &request, identities)?;
            }
            FromLearner::FollowerInfo(..)
            | FromLearner::ObserverInfo(..)
            | FromLearner::AckEpoch(..) => return Err(LinkClose::Violation),
        }
        Ok(())
    }

    /// A learner says who it is.
    // ZooKeeper: LearnerHandler.run
    fn introduced(
        &mut self,
        conn: ConnId,
        is_observer: bool,
        zxid: Zxid,
        info: LearnerInfo,
    ) -> Result<(), LinkClose> {
        let server = info.server;
        let is_old = info.protocol_version.is_none_or(|version| version < PROTOCOL_VERSION);
        if is_old || server.get() < 0 || server == self.config.me {
            return Err(LinkClose::Foreign);
        }
        if info.config_version.is_some_and(|it| it > self.electorate.committed().version()) {
            return Err(LinkClose::ConfigAhead);
        }
        let is_stranger = |id| !self.electorate.is_member(id);
        let strangers = self.members.keys().filter(|&&id| is_stranger(id)).count();
        if is_stranger(server) && strangers >= LEARNER_STRANGERS_MAX {
            return Err(LinkClose::TooMany);
        }
        let (is_ours, accepted) = (!is_stranger(server), zxid.epoch());
        self.discovery.hear(server, is_observer, accepted).inspect_err(|reason| {
            if *reason == LinkClose::Ahead && is_ours {
                self.outgrown(accepted);
            }
        })?;
        if let Some(&old) = self.members.get(&server) {
            self.close(old, LinkClose::Replaced);
        }
        if let Some(link) = self.links.get_mut(&conn) {
            link.stage = Stage::Introduced;
            (link.server, link.is_observer) = (server, is_observer);
            self.members.insert(server, conn);
            self.left.remove(&server);
        }
        match self.phase {
            Phase::Gathering { .. } => self.weigh(),
            Phase::Promising { .. } | Phase::Synchronising { .. } | Phase::Leading => {
                self.inform(conn);
            }
            Phase::Claiming { .. } | Phase::Over => {}
        }
        Ok(())
    }

    /// Tells a learner the epoch. It is saved.
    pub(super) fn inform(&mut self, conn: ConnId) {
        let Some(epoch) = self.discovery.chosen() else { return };
        if let Some(link) = self.links.get_mut(&conn) {
            link.stage = Stage::Informed;
            link.heard = self.now;
        }
        self.send(conn, Packet::LeaderInfo(epoch));
    }

    /// A learner says what it has.
    fn answered(&mut self, conn: ConnId, last: Zxid, answer: EpochAnswer) -> Result<(), LinkClose> {
        let Some(link) = self.links.get_mut(&conn) else { return Ok(()) };
        if last.get() < 0 {
            return Err(LinkClose::Violation);
        }
        // Whatever it has beyond ours it must give up, but nobody has led after us.
        if last.epoch() > self.tally.proposed().epoch() {
            return Err(LinkClose::Ahead);
        }
        self.discovery.promise(link.server, link.is_observer, answer, last)?;
        link.stage = Stage::Answered { last };
        self.waiting.push(conn);
        self.weigh();
        Ok(())
    }

    /// A learner hands on a request.
    fn requested(
        &mut self,
        conn: ConnId,
        request: &ForwardedRequest<'_>,
        identities: Option<Vec<WireId<'_>>>,
    ) -> Result<(), LinkClose> {
        let op = OpCode::new(request.op).ok_or(LinkClose::Violation)?;
        if op == OpCode::Sync {
            self.outputs.push_back(Step::Sync(conn));
            return Ok(());
        }
        // What a learner answers by itself it does not hand on.
        // reliability.md M49; ZooKeeper: FollowerRequestProcessor
        if !op.is_write() && op != OpCode::Check {
            return Err(LinkClose::Violation);
        }
        let identities = identities
            .map(|ids| ids.iter().map(identity).collect::<Option<_>>().ok_or(LinkClose::Violation))
            .transpose()?;
        let request = Forwarded {
            session: request.session,
            xid: request.xid,
            op: request.op,
            body: request.body.to_vec(),
            identities,
        };
        self.outputs.push_back(Step::Do(Output::Forwarded { link: conn, request }));
        Ok(())
    }
}

fn identity(id: &WireId<'_>) -> Option<AuthId> {
    Some(AuthId { scheme: id.scheme.text_of_java()?, id: id.id.text_of_java()? })
}
