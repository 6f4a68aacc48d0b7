//! What only a member of an ensemble meets: other members, their links, epochs, lost histories.

use alloc::{boxed::Box, vec::Vec};

use zk_proto::{
    ConnId, Epoch, ServerId, Zxid,
    ensemble::{EnsembleConfig, HostPort},
};

use crate::{
    election,
    limits::LEARNER_SYNC_BYTES_MAX,
    storage::{
        Recovered,
        epoch_file::{EpochFile, Epochs},
    },
    zab::{Proposal, leader::LinkClose},
};

/// The settings that only a member of an ensemble has.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberConfig {
    /// The members, ourselves among them or not (`server.N`, `group.N`, `weight.N`).
    pub ensemble: EnsembleConfig,
    /// Ticks that registration and synchronisation may take (`initLimit`).
    pub init_ticks: u64,
    /// Ticks that a leader or a learner may be silent (`syncLimit`).
    pub sync_ticks: u64,
    /// Whether the leader serves clients (`leaderServes`).
    pub leader_serves: bool,
    /// Whether all addresses of a member are told to others (`multiAddress.enabled`).
    pub has_address_lists: bool,
    /// Whether new sessions are everybody's or this member's own.
    pub local_sessions: LocalSessions,
    /// Bytes that wait for our disk above which nothing more is read from a leader that gives us
    /// its history; [`LEARNER_SYNC_BYTES_MAX`] unless a test wants to get there.
    pub sync_bytes_max: usize,
}

/// What a new session is on a member of an ensemble. It must be the same on all members.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LocalSessions {
    /// Every member knows it from its beginning, by a transaction.
    #[default]
    Off,
    /// Only the member knows it that its client came to: it costs no transaction and cannot move.
    /// It cannot own nodes (`localSessionsEnabled`).
    Confined,
    /// The same, until it creates its first ephemeral node: then it becomes known to every member
    /// under the same number (`localSessionsUpgradingEnabled` as well).
    Upgraded,
}

impl LocalSessions {
    /// By the two switches of the configuration file.
    pub const fn new(is_enabled: bool, is_upgrading: bool) -> Self {
        match (is_enabled, is_upgrading) {
            (false, _) => Self::Off,
            (true, false) => Self::Confined,
            (true, true) => Self::Upgraded,
        }
    }

    /// Whether new sessions are local.
    pub const fn is_on(self) -> bool {
        matches!(self, Self::Confined | Self::Upgraded)
    }
}

impl MemberConfig {
    /// The usual settings for these members.
    pub const fn new(ensemble: EnsembleConfig) -> Self {
        Self {
            ensemble,
            init_ticks: 10,
            sync_ticks: 5,
            leader_serves: true,
            has_address_lists: false,
            local_sessions: LocalSessions::Off,
            sync_bytes_max: LEARNER_SYNC_BYTES_MAX,
        }
    }
}

/// What a member of an ensemble starts from.
#[derive(Debug)]
pub struct MemberStart {
    /// The tree; empty when the history is doubtful.
    pub recovered: Recovered,
    /// What it has promised; both zero for a new member.
    pub epochs: Epochs,
    /// Whether what is on disk is damaged or incomplete: the member votes for nobody and takes
    /// everything from a leader. Files are left as they are until then.
    // reliability.md rule 8
    pub is_doubtful: bool,
}

/// One thing that happened to a member.
#[derive(Debug)]
pub enum MemberInput<'a> {
    /// Something happened on the election port.
    Ballots(election::LinkInput<'a>),
    /// Somebody connected to the quorum port.
    LinkAccepted {
        /// The connection's number, never used before, neither for a client nor for a member.
        link: ConnId,
    },
    /// The connection asked for with [`MemberOutput::Dial`] is made.
    LinkDialled {
        /// Its number, never used before.
        link: ConnId,
    },
    /// The connection asked for with [`MemberOutput::Dial`] cannot be made.
    LinkDialFailed,
    /// Bytes came in from another member's quorum port.
    LinkBytes {
        /// On which link.
        link: ConnId,
        /// What came: whole packets or parts of them.
        bytes: &'a [u8],
    },
    /// Everything that waited for a link was sent.
    LinkDrained {
        /// Which one.
        link: ConnId,
    },
    /// A link is gone. Comes exactly once for each, also after
    /// [`MemberOutput::LinkClose`].
    LinkClosed {
        /// Which one.
        link: ConnId,
    },
    /// The oldest [`MemberOutput::SaveEpoch`] is on stable storage.
    EpochSaved(EpochFile),
    /// [`MemberOutput::Truncate`] is done; this is what is left.
    Truncated(Box<Recovered>),
    /// [`MemberOutput::Truncate`] cannot be done with the snapshots that are there.
    /// Nothing was changed.
    CannotTruncate,
    /// The answer to [`MemberOutput::ReadLog`].
    LogRead {
        /// For whom it was asked.
        link: ConnId,
        /// All that was asked for, without a gap; `None` when the log does not hold it, or it is
        /// too much.
        proposals: Option<Vec<Proposal>>,
    },
    /// The operator or a test wants another leader.
    StepDown,
}

/// One thing a member asks of its driver.
#[derive(Debug, Eq, PartialEq)]
pub enum MemberOutput {
    /// Something is to be done on the election port.
    Ballots(election::LinkOutput),
    /// Connect to the quorum port of the leader; answered by
    /// [`MemberInput::LinkDialled`] or [`MemberInput::LinkDialFailed`]. Takes the
    /// place of an earlier one that is not answered yet.
    Dial {
        /// Who leads.
        leader: ServerId,
        /// Where; the first that answers.
        addresses: Vec<HostPort>,
    },
    /// Open the quorum port for learners, or close it.
    Listen {
        /// Whether it is to be open.
        is_open: bool,
    },
    /// Bytes wait for another member: take them with [`crate::peer::Peer::link_outgoing`] and send
    /// them.
    LinkSend {
        /// On which link.
        link: ConnId,
    },
    /// Stop reading from a link. What was read already may still be handed over.
    LinkPause {
        /// Which one.
        link: ConnId,
    },
    /// Read from a link again.
    LinkResume {
        /// Which one.
        link: ConnId,
    },
    /// End a link after sending what waits for it.
    LinkClose {
        /// Which one.
        link: ConnId,
        /// Why; for the log and the counters.
        reason: LinkClose,
    },
    /// Make an epoch file say this; answered by [`MemberInput::EpochSaved`]. Takes its turn
    /// behind everything appended before.
    SaveEpoch {
        /// Which file.
        file: EpochFile,
        /// What it is to say.
        epoch: Epoch,
    },
    /// Remove everything after `last` from logs and snapshots and recover what is left; answered by
    /// [`MemberInput::Truncated`].
    Truncate {
        /// The last transaction that stays.
        last: Zxid,
    },
    /// Read the transactions after `after` up to and including `upto` from the log files; answered
    /// by [`MemberInput::LogRead`].
    ReadLog {
        /// For whom.
        link: ConnId,
        /// The last one that is not wanted.
        after: Zxid,
        /// The last one that is.
        upto: Zxid,
    },
}
