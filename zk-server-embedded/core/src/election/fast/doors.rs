//! What goes into an election and what comes out.

use alloc::{boxed::Box, vec::Vec};

use zk_proto::{
    Epoch, ServerId, Zxid,
    ballot::{MemberState, Notification, Round},
    ensemble::EnsembleConfig,
};

use crate::{election::ballot::Candidate, quorum::Electorate};

/// The settings of an [`Election`](super::Election).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ElectionConfig {
    /// Who we are.
    pub me: ServerId,
    /// Whether a newer configuration seen in a vote is taken over (`reconfigEnabled`).
    pub adopts_configs: bool,
    /// How long to wait for better votes once a quorum agrees but not everybody in reach, in
    /// milliseconds.
    pub finalize_ms: u64,
    /// The first pause before votes are sent again, in milliseconds
    /// (`fastleader.minNotificationInterval`).
    pub resend_ms_min: u64,
    /// The longest such pause; it doubles each time (`fastleader.maxNotificationInterval`).
    pub resend_ms_max: u64,
}

impl ElectionConfig {
    /// As Java members do, but votes are repeated every two seconds at least: a lost one must not
    /// cost a minute.
    pub const fn new(me: ServerId) -> Self {
        let (finalize_ms, resend_ms_min, resend_ms_max) = (200, 200, 2_000);
        Self { me, adopts_configs: false, finalize_ms, resend_ms_min, resend_ms_max }
    }
}

/// What our own data is worth in an election.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// Whole: both numbers are what stable storage says after the whole log was read.
    Whole {
        /// The epoch followed last.
        epoch: Epoch,
        /// The last transaction in the log.
        zxid: Zxid,
    },
    /// Damaged or gone: we vote for nobody, and nobody's word makes us lead.
    // reliability.md rule 8, I18
    Doubtful,
}

/// Whether a peer could still surprise us with a better vote.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Reach {
    /// Not known yet.
    #[default]
    Unknown,
    /// A link is up.
    Up,
    /// The link broke, or the last attempt to make one failed.
    Down,
}

/// One thing that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// Look for a leader: at the start, and whenever the leader is lost.
    Look {
        /// What our data is worth.
        standing: Standing,
    },
    /// A notification came in.
    Ballot {
        /// Whose link it came on.
        from: ServerId,
        /// What it says.
        notification: Notification<'a>,
    },
    /// A link came up or went down.
    Reach {
        /// To whom.
        peer: ServerId,
        /// How it stands.
        reach: Reach,
    },
    /// The configuration changed by way of the log.
    Reconfigured {
        /// The members from here on.
        electorate: Box<Electorate>,
    },
    /// The leader we settled on, maybe ourselves, has begun this epoch.
    // ZooKeeper: QuorumPeer.updateElectionVote
    Established {
        /// The epoch.
        epoch: Epoch,
    },
    /// A reconfiguration appointed a leader without an election.
    Appointed {
        /// Who leads from here on.
        leader: ServerId,
        /// The reconfiguration's zxid.
        zxid: Zxid,
    },
    /// Asks all other voters whom they follow, while we have a leader: could they do without us?
    Survey,
    /// The moment named by [`Election::next_timeout`](super::Election::next_timeout) has come.
    Timeout,
}

/// One thing to do.
#[derive(Debug, Eq, PartialEq)]
pub enum Output {
    /// Send a notification's bytes, without a length in front.
    Send {
        /// To whom; never ourselves.
        to: ServerId,
        /// The notification.
        bytes: Vec<u8>,
    },
    /// The election is over.
    Decided(Decision),
    /// A newer configuration was learned from a member and is in force here already; it must be
    /// kept on disk, and links follow it.
    Adopted(EnsembleConfig),
    /// A voter looks for a leader while we have one; one who waits for its quorum may give up.
    // ZooKeeper: Leader.reportLookingSid
    PeerLooks {
        /// Who looks.
        peer: ServerId,
        /// Whether it looks in a later round than ours, or for somebody better: what it said to our
        /// leader before is over.
        has_left: bool,
    },
    /// So many voters are for somebody else, in the round in which we settled, that no quorum is
    /// left for the leader we settled on: a term that has not begun will not begin.
    Deserted,
    /// The answer to [`Input::Survey`]: a quorum follows our leader whether we do or not. Does not
    /// come where it is not so.
    Spared,
}

/// How an election ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Decision {
    /// What we are to do: follow, lead or observe.
    pub state: MemberState,
    /// Whom the votes were for.
    pub candidate: Candidate,
    /// The election it was.
    pub round: Round,
}
