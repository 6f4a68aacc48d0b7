//! From bytes to packets and back.

use zk_proto::{
    Epoch, Instant, Zxid,
    jute::Encode,
    quorum::{
        EpochAnswer, FromLeader, FromLearner, LearnerInfo, PacketKind, QuorumPacket, split_packet,
    },
};

use super::{Learner, Loss, Output, Phase};
use crate::storage::epoch_file::EpochFile;

impl Learner {
    /// Takes what came in, as far as it can be understood and may be.
    pub(super) fn take_bytes(&mut self, now: Instant, bytes: &[u8]) {
        if self.received.is_empty() {
            let used = self.consume(now, bytes);
            let rest = bytes.get(used..).unwrap_or_default();
            self.received.extend_from_slice(rest);
            return;
        }
        let mut all = core::mem::take(&mut self.received);
        all.extend_from_slice(bytes);
        let used = self.consume(now, &all);
        all.drain(..used);
        self.received = all;
    }

    /// What waited until we were done with something of our own.
    pub(super) fn take_waiting(&mut self, now: Instant) {
        self.take_bytes(now, &[]);
    }

    /// Says how many bytes are done with.
    fn consume(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            match &mut self.phase {
                Phase::Over => return bytes.len(),
                // The answer to these decides what comes next.
                Phase::Dialling | Phase::Promising | Phase::Truncating(_) => return used,
                _ if rest.is_empty() => return used,
                Phase::Loading(stream, _) => match stream.feed(rest) {
                    Ok(None) => return bytes.len(),
                    Ok(Some(count)) => {
                        used += count;
                        self.loaded(now);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the leader sent a state that is none");
                        self.lose(Loss::Violation);
                    }
                },
                Phase::Registering
                | Phase::Choosing
                | Phase::Collecting
                | Phase::Keeping
                | Phase::Adopting
                | Phase::Waiting
                | Phase::Established => match split_packet(rest, self.config.packet_bytes_max) {
                    Ok(Some(split)) => {
                        used += split.length;
                        self.packet(now, &split.packet);
                    }
                    Ok(None) => return used,
                    Err(error) => {
                        tracing::warn!(%error, "the leader sent what is no packet");
                        self.lose(Loss::Violation);
                    }
                },
            }
        }
    }

    fn packet(&mut self, now: Instant, packet: &QuorumPacket<'_>) {
        // ZooKeeper: members pass over kinds they do not know, but not where one is waited for.
        let is_awaited = matches!(self.phase, Phase::Registering | Phase::Choosing);
        if PacketKind::new(packet.kind).is_none() && !is_awaited {
            return;
        }
        let message = match FromLeader::read(packet) {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(%error, "the leader sent a packet that no leader sends");
                return self.lose(Loss::Violation);
            }
        };
        let kind = message.kind();
        match (&self.phase, message) {
            (Phase::Registering, FromLeader::LeaderInfo(zxid, _)) => self.proposed_epoch(now, zxid),
            (Phase::Choosing, FromLeader::Diff(zxid)) => self.diff(now, zxid),
            (Phase::Choosing, FromLeader::Trunc(zxid)) => self.trunc(now, zxid),
            (Phase::Choosing, FromLeader::Snap(zxid)) => self.snap(now, zxid),
            (Phase::Collecting, FromLeader::NewLeader(zxid, text)) => {
                self.new_leader(now, zxid, text);
            }
            (Phase::Waiting, FromLeader::UpToDate) => self.up_to_date(now),
            (
                Phase::Collecting
                | Phase::Keeping
                | Phase::Adopting
                | Phase::Waiting
                | Phase::Established,
                message,
            ) => self.traffic(message),
            (
                Phase::Dialling
                | Phase::Registering
                | Phase::Promising
                | Phase::Choosing
                | Phase::Truncating(_)
                | Phase::Loading(..)
                | Phase::Over,
                _,
            ) => self.out_of_turn(kind),
        }
    }

    pub(super) fn out_of_turn(&mut self, kind: PacketKind) {
        tracing::warn!(kind = kind.name(), phase = ?self.phase, "a packet came out of turn");
        self.lose(Loss::Violation);
    }

    /// Who we are and what we have promised.
    pub(super) fn introduce(&mut self) {
        let accepted = Zxid::from_parts(self.history.accepted, 0);
        let info = LearnerInfo::new(self.config.me, self.config.config_version);
        self.send(&if self.config.is_observer {
            FromLearner::ObserverInfo(accepted, info)
        } else {
            FromLearner::FollowerInfo(accepted, info)
        });
    }

    /// LEADERINFO: the epoch is promised on stable storage before it is answered.
    // reliability.md I2; ZooKeeper: Learner.registerWithLeader
    fn proposed_epoch(&mut self, now: Instant, zxid: Zxid) {
        let epoch = zxid.epoch();
        // Epochs are signed numbers on the wire.
        if zxid.get() < 0 || zxid.counter() != 0 || epoch < self.history.accepted {
            let is_old = zxid.get() >= 0 && epoch < self.history.accepted;
            return self.lose(if is_old { Loss::OldEpoch } else { Loss::Violation });
        }
        self.epoch = epoch;
        // In a directory that is in doubt the file may be the very thing that is damaged.
        // reliability.md F11
        if epoch == self.history.accepted && !self.history.is_doubtful {
            return self.answer_epoch(now, EpochAnswer::AlreadyPromised);
        }
        let file = EpochFile::Accepted;
        self.outputs.push_back(Output::SaveEpoch { file, epoch });
        #[cfg(planted_bugs)]
        if crate::planted::is(crate::planted::Bug::PromiseBeforeSaved) {
            let current = self.history.current;
            return self.answer_epoch(now, EpochAnswer::Accepted { current });
        }
        self.enter(now, Phase::Promising);
    }

    pub(super) fn epoch_saved(&mut self, now: Instant, file: EpochFile) {
        match (&self.phase, file) {
            (Phase::Promising, EpochFile::Accepted) => {
                let current = self.history.current;
                // An answer that counts would speak for a history that does not.
                // reliability.md rule 8
                self.answer_epoch(
                    now,
                    if self.history.is_doubtful {
                        EpochAnswer::AlreadyPromised
                    } else {
                        EpochAnswer::Accepted { current }
                    },
                );
                self.take_waiting(now);
            }
            (Phase::Adopting, EpochFile::Current) => self.adopted(now),
            // Asked for by somebody before us.
            _ => {}
        }
    }

    fn answer_epoch(&mut self, now: Instant, answer: EpochAnswer) {
        self.send(&FromLearner::AckEpoch(self.proposed, answer));
        self.enter(now, Phase::Choosing);
    }

    /// Says that the history is the leader's.
    pub(super) fn acknowledge_epoch(&mut self) {
        self.send(&FromLearner::Ack(Zxid::from_parts(self.epoch, 0)));
    }

    pub(super) fn send(&mut self, message: &FromLearner<'_>) {
        message.encode(&mut self.out);
        self.announce();
    }

    pub(super) fn announce(&mut self) {
        if let Some(link) = self.link.filter(|_| !self.is_announced) {
            self.is_announced = true;
            self.outputs.push_back(Output::Send { link });
        }
    }

    /// Whether an epoch is the one this term is about.
    pub(super) fn is_our_epoch(&self, zxid: Zxid) -> bool {
        zxid == Zxid::from_parts(self.epoch, 0) && self.epoch > Epoch::new(0)
    }
}
