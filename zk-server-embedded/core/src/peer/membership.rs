//! One member among others: which term of office it is in, and how terms begin and end.
//!
//! ```text
//!              Decided: us                    quorum has our history
//!  Looking ──────────────────► Leading ───────────────────────────────► serving
//!     ▲    Decided: another    Learning  ──────── UPTODATE ───────────► serving
//!     │                            │ resigned, lost
//!     └──────── Settling ◄─────────┘
//!               log on disk, tree == log
//! ```
//! Whatever a term leaves behind is settled before the next search: everything handed to storage is
//! durable and applied, nothing else is in memory. So what a member claims in an election is what
//! its disk holds.
// reliability.md rules 5, 10, 16; quorum-protocol.md 4.7
//
// Invariant: a leader or a learner is never told of a completion that another term asked for.
// Invariant: clients are served only between `established` and `end_term`.

mod ballots;
mod divergence;
mod handed_on;
mod leading;
mod learning;
mod log_reads;
mod settling;
mod unsynced;

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
};

use zk_proto::{
    ConnId, Epoch, Instant, Now, ServerId, SessionId, Zxid, ballot::MemberState, jute::Writer,
};

use self::{
    ballots::{hello, others},
    divergence::Divergence,
    handed_on::HandedOn,
    log_reads::LogReads,
    unsynced::Unsynced,
};
use super::Peer;
use crate::{
    config::PeerConfig,
    election::{self, Decision, Election, ElectionConfig, Links, LinksConfig, Standing},
    member::{MemberConfig, MemberInput, MemberOutput, MemberStart},
    output::Output,
    prep::Pending,
    quorum::Electorate,
    storage::{
        SnapshotEncoder,
        epoch_file::{EpochFile, Epochs},
    },
    zab::{
        CommitLog, History, Proposal,
        leader::{self, Leader, LeaderConfig},
        learner::{self, Learner, LearnerConfig},
    },
};

/// What a member knows beyond what a server on its own does.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Membership {
    config: MemberConfig,
    me: ServerId,
    electorate: Electorate,
    election: Election,
    links: Links,
    /// What the epoch files say.
    epochs: Epochs,
    /// Whether nothing of our history counts until a leader has given us his.
    is_doubtful: bool,
    divergence: Divergence,
    term: Term,
    /// Whether the epoch of this term has begun.
    is_established: bool,
    /// Links of the quorum port that are not closed yet.
    open_links: BTreeSet<ConnId>,
    /// Those that the driver was told to end.
    ended_links: BTreeSet<ConnId>,
    /// Snapshots on their way to learners.
    streams: BTreeMap<ConnId, SnapshotEncoder>,
    log: CommitLog,
    log_reads: LogReads,
    /// The last transaction in the log; what is under way to it included.
    logged: Zxid,
    /// The last one that is on stable storage.
    synced: Zxid,
    /// What we proposed and is not.
    unsynced: Unsynced,
    /// In the log, or on its way there, and not applied. A leader keeps these in `in_flight`.
    tail: VecDeque<Proposal>,
    /// Epoch files being written, oldest first, and whether this term asked for it.
    saves: VecDeque<(EpochFile, Epoch, bool)>,
    /// Whether storage shortens the history at the moment, and for this term or not.
    truncating: Option<bool>,
    /// Whether a leader's tree is in memory and not on disk.
    pub(super) is_replaced: bool,
    /// Whether that tree is being written.
    is_installing: bool,
    /// Writes of our clients that went to the leader, oldest first.
    pub(super) forwarded: VecDeque<learning::Sent>,
    /// Their bytes.
    forwarded_bytes: usize,
    /// Writes that learners handed on and for which there is no room yet.
    handed_on: HandedOn,
    /// Syncs that went to the leader, oldest first.
    pub(super) syncs: VecDeque<(ConnId, u64)>,
    /// Clients whose session is being looked up by the leader.
    checks: BTreeMap<SessionId, VecDeque<ConnId>>,
    /// Our own clients' syncs.
    tickets: u64,
    /// Who asked for which, on a leader.
    asked_syncs: BTreeMap<u64, ConnId>,
    /// When the leader was last told which clients were heard from.
    told_of_clients: Instant,
    /// Sessions whose clients were heard from since then and have left, and their timeouts.
    left: BTreeMap<SessionId, i32>,
}

/// Where the member stands.
#[derive(Debug)]
enum Term {
    /// Nobody leads, as far as we know.
    Looking,
    /// We do, or are about to.
    Leading(Box<Leader>),
    /// Somebody else does.
    Learning(Box<Learner>),
    /// A term is over and storage has not caught up.
    Settling,
}

/// What some machine of the membership wants done.
enum Wish {
    Leader(leader::Output),
    Learner(learner::Output),
    Election(election::Output),
    Links(election::LinkOutput),
}

/// How the role is called in answers to operators.
// ZooKeeper: QuorumStats.Provider
const LOOKING: &str = "leaderelection";

impl Membership {
    fn new(config: &PeerConfig, member: MemberConfig, start: &MemberStart, now: Now) -> Self {
        let me = config.id;
        let electorate = Electorate::new(member.ensemble.clone(), None);
        let election_config =
            ElectionConfig { adopts_configs: config.reconfig_enabled, ..ElectionConfig::new(me) };
        let election = Election::new(election_config, electorate.clone());
        let mut links = Links::new(LinksConfig::new(hello(me, &member)));
        links.handle(now.mono, election::LinkInput::Members(others(me, &member.ensemble)));
        let last = start.recovered.last_zxid.max(Zxid::ZERO);
        let is_doubtful = start.is_doubtful;
        #[cfg(planted_bugs)]
        let is_doubtful =
            is_doubtful && !crate::planted::is(crate::planted::Bug::DoubtfulMemberVotes);
        Self {
            me,
            electorate,
            election,
            links,
            epochs: start.epochs,
            is_doubtful,
            divergence: Divergence::default(),
            term: Term::Looking,
            is_established: false,
            open_links: BTreeSet::new(),
            ended_links: BTreeSet::new(),
            streams: BTreeMap::new(),
            log: CommitLog::new(last),
            log_reads: LogReads::default(),
            logged: last,
            synced: last,
            unsynced: Unsynced::default(),
            tail: VecDeque::new(),
            saves: VecDeque::new(),
            truncating: None,
            is_replaced: false,
            is_installing: false,
            forwarded: VecDeque::new(),
            forwarded_bytes: 0,
            handed_on: HandedOn::default(),
            syncs: VecDeque::new(),
            checks: BTreeMap::new(),
            tickets: 0,
            asked_syncs: BTreeMap::new(),
            told_of_clients: now.mono,
            left: BTreeMap::new(),
            config: member,
        }
    }

    /// The next thing some machine wants. Terms come first: votes can wait.
    fn next_wish(&mut self) -> Option<Wish> {
        let of_term = match &mut self.term {
            Term::Leading(leader) => leader.poll_output().map(Wish::Leader),
            Term::Learning(learner) => learner.poll_output().map(Wish::Learner),
            Term::Looking | Term::Settling => None,
        };
        of_term
            .or_else(|| self.election.poll_output().map(Wish::Election))
            .or_else(|| self.links.poll_output().map(Wish::Links))
    }

    fn next_timeout(&self) -> Option<Instant> {
        let of_term = match &self.term {
            Term::Leading(leader) => leader.next_timeout(),
            Term::Learning(learner) => learner.next_timeout(),
            Term::Looking | Term::Settling => None,
        };
        let of_election = self.election.next_timeout().min_some(self.links.next_timeout());
        of_term.min_some(of_election).min_some(self.divergence_deadline())
    }

    /// What we bring into a term. The tree and the log are the same then.
    const fn history(&self) -> History {
        History {
            accepted: self.epochs.accepted,
            current: self.epochs.current,
            last: self.logged,
            is_doubtful: self.is_doubtful,
        }
    }

    const fn leads(&self) -> bool {
        self.is_established && matches!(self.term, Term::Leading(_))
    }

    const fn serves_clients(&self) -> bool {
        self.is_established && (self.config.leader_serves || !matches!(self.term, Term::Leading(_)))
    }

    /// The role in one word.
    fn mode(&self) -> &'static str {
        match &self.term {
            _ if !self.is_established => LOOKING,
            Term::Leading(_) => "leader",
            Term::Learning(_) if self.electorate.is_observer(self.me) => "observer",
            Term::Learning(_) => "follower",
            Term::Looking | Term::Settling => LOOKING,
        }
    }

    fn standing(&self) -> Standing {
        if self.is_doubtful {
            Standing::Doubtful
        } else {
            Standing::Whole { epoch: self.epochs.current, zxid: self.logged }
        }
    }
}

/// The earlier of two moments, where there are any.
trait MinSome {
    fn min_some(self, other: Self) -> Self;
}

impl MinSome for Option<Instant> {
    fn min_some(self, other: Self) -> Self {
        self.into_iter().chain(other).min()
    }
}

impl Peer {
    /// Starts a member of the ensemble that `config.member` names. It looks for a leader at once.
    ///
    /// # Panics
    /// When `config.member` is not set.
    pub fn open_member(config: PeerConfig, start: MemberStart, seed: u64, now: Now) -> Self {
        let member = config.member.clone().expect("a member has an ensemble");
        let membership = Membership::new(&config, member, &start, now);
        let mut peer = Self::with_state(config, start.recovered, seed, now);
        peer.member = Some(Box::new(membership));
        peer.sessions.start_over(now.mono, false);
        peer.look(now);
        peer.run_member(now);
        peer.check();
        peer
    }

    /// Feeds a member's own kind of input.
    pub(super) fn member_input(&mut self, now: Now, input: MemberInput<'_>) {
        let Some(member) = &mut self.member else { return };
        match input {
            MemberInput::Ballots(input) => member.links.handle(now.mono, input),
            MemberInput::LinkAccepted { link } => {
                member.open_links.insert(link);
                match &mut member.term {
                    Term::Leading(leader) => {
                        leader.handle(now.mono, leader::Input::Accepted { link }, &member.log);
                    }
                    Term::Looking | Term::Learning(_) | Term::Settling => self.hang_up(link),
                }
            }
            MemberInput::LinkDialled { link } => {
                member.open_links.insert(link);
                match &mut member.term {
                    Term::Learning(learner) => {
                        learner.handle(now.mono, learner::Input::Dialled { link });
                    }
                    Term::Looking | Term::Leading(_) | Term::Settling => self.hang_up(link),
                }
            }
            MemberInput::LinkDialFailed => {
                if let Term::Learning(learner) = &mut member.term {
                    learner.handle(now.mono, learner::Input::DialFailed);
                }
            }
            MemberInput::LinkBytes { link, bytes } => self.link_bytes(now, link, bytes),
            MemberInput::LinkDrained { link } => {
                if let Term::Leading(leader) = &mut member.term {
                    leader.handle(now.mono, leader::Input::Drained { link }, &member.log);
                }
                self.release_throttled(now);
                self.resume_paused();
            }
            MemberInput::LinkClosed { link } => {
                member.streams.remove(&link);
                member.handed_on.forget(link);
                member.log_reads.forget(link);
                member.ended_links.remove(&link);
                if member.open_links.remove(&link) {
                    match &mut member.term {
                        Term::Leading(leader) => {
                            leader.handle(now.mono, leader::Input::Closed { link }, &member.log);
                        }
                        Term::Learning(learner) => {
                            learner.handle(now.mono, learner::Input::Closed { link });
                        }
                        Term::Looking | Term::Settling => {}
                    }
                }
            }
            MemberInput::EpochSaved(file) => self.epoch_saved(now, file),
            MemberInput::Truncated(recovered) => self.truncated(now, *recovered),
            MemberInput::CannotTruncate => self.cannot_truncate(now),
            MemberInput::LogRead { link, proposals } => self.log_read(now, link, proposals),
            MemberInput::StepDown => {
                if let Term::Leading(leader) = &mut member.term {
                    leader.handle(now.mono, leader::Input::StepDown, &member.log);
                }
            }
        }
    }

    fn link_bytes(&mut self, now: Now, link: ConnId, bytes: &[u8]) {
        let Some(member) = &mut self.member else { return };
        // What comes on a link of an earlier term is of no interest.
        if !member.open_links.contains(&link) {
            return;
        }
        match &mut member.term {
            Term::Leading(leader) => {
                leader.handle(now.mono, leader::Input::Bytes { link, bytes }, &member.log);
            }
            Term::Learning(learner) => {
                learner.handle(now.mono, learner::Input::Bytes { link, bytes });
            }
            Term::Looking | Term::Settling => {}
        }
    }

    /// Ends a link that no term knows.
    fn hang_up(&mut self, link: ConnId) {
        if let Some(member) = &mut self.member {
            member.open_links.remove(&link);
        }
        self.end_link(link, leader::LinkClose::TermOver);
    }

    /// Ends a link, unless that was done.
    fn end_link(&mut self, link: ConnId, reason: leader::LinkClose) {
        if let Some(member) = &mut self.member
            && member.ended_links.insert(link)
        {
            self.outputs.push_back(Output::Member(MemberOutput::LinkClose { link, reason }));
        }
    }

    /// The bytes that wait for another member. The driver takes from the front what it has sent;
    /// when everything is gone, it says so with [`MemberInput::LinkDrained`].
    ///
    /// `None` for a link that does not exist.
    pub fn link_outgoing(&mut self, link: ConnId) -> Option<&mut Writer> {
        match &mut self.member.as_mut()?.term {
            Term::Leading(leader) => leader.outgoing(link),
            Term::Learning(learner) => learner.outgoing(link),
            Term::Looking | Term::Settling => None,
        }
    }

    /// Does everything that election, leader or learner want, until they want nothing more.
    pub(super) fn run_member(&mut self, now: Now) {
        loop {
            if self.is_fenced {
                return;
            }
            let Some(wish) = self.member.as_mut().and_then(|member| member.next_wish()) else {
                break;
            };
            match wish {
                Wish::Leader(output) => self.grant_leader(now, output),
                Wish::Learner(output) => self.grant_learner(now, output),
                Wish::Election(output) => self.grant_election(now, output),
                Wish::Links(output) => self.grant_links(now, output),
            }
        }
        self.settle(now);
    }

    /// Wakes whoever wanted to be woken.
    pub(super) fn member_timeout(&mut self, now: Now) {
        let Some(member) = &mut self.member else { return };
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now.mono);
        match &mut member.term {
            Term::Leading(leader) if is_due(leader.next_timeout()) => {
                leader.handle(now.mono, leader::Input::Timeout, &member.log);
            }
            Term::Learning(learner) if is_due(learner.next_timeout()) => {
                learner.handle(now.mono, learner::Input::Timeout);
            }
            Term::Leading(_) | Term::Learning(_) | Term::Looking | Term::Settling => {}
        }
        if is_due(member.election.next_timeout()) {
            member.election.handle(now.mono, election::Input::Timeout);
        }
        if is_due(member.links.next_timeout()) {
            member.links.handle(now.mono, election::LinkInput::Timeout);
        }
        self.look_after_divergence(now);
    }

    pub(super) fn member_deadline(&self) -> Option<Instant> {
        self.member.as_ref()?.next_timeout()
    }

    /// Whether clients are served.
    pub fn is_serving(&self) -> bool {
        !self.is_fenced && self.member.as_ref().is_none_or(|member| member.serves_clients())
    }

    /// Whether what is proposed here is what everybody follows.
    pub fn leads(&self) -> bool {
        !self.is_fenced && self.member.as_ref().is_none_or(|member| member.leads())
    }

    /// The role in one word, as the word `srvr` shows it.
    pub fn mode(&self) -> &'static str {
        self.member.as_ref().map_or("standalone", |member| member.mode())
    }

    /// The leader as it stands, where we lead.
    pub fn leader(&self) -> Option<&Leader> {
        match &self.member.as_ref()?.term {
            Term::Leading(leader) => Some(leader),
            Term::Looking | Term::Learning(_) | Term::Settling => None,
        }
    }

    /// The learner as it stands, where somebody else leads.
    pub fn learner(&self) -> Option<&Learner> {
        match &self.member.as_ref()?.term {
            Term::Learning(learner) => Some(learner),
            Term::Looking | Term::Leading(_) | Term::Settling => None,
        }
    }

    /// What was applied of late.
    pub fn commit_log(&self) -> Option<&CommitLog> {
        Some(&self.member.as_ref()?.log)
    }

    /// What the epoch files say, where there are any.
    pub fn epochs(&self) -> Option<Epochs> {
        Some(self.member.as_ref()?.epochs)
    }

    /// The last transaction in the log, or on its way there.
    pub(super) fn last_logged(&self) -> Zxid {
        self.member.as_ref().map_or(self.last_proposed, |member| member.logged)
    }

    /// Whether our history is damaged and no leader has given us his yet.
    pub fn is_doubtful(&self) -> bool {
        self.member.as_ref().is_some_and(|member| member.is_doubtful)
    }

    /// Whether we vote, with everything an earlier term left settled.
    pub fn is_looking(&self) -> bool {
        self.member.as_ref().is_some_and(|member| matches!(member.term, Term::Looking))
    }

    /// The last transaction that is on our stable storage.
    pub fn synced_up_to(&self) -> Zxid {
        self.member.as_ref().map_or_else(|| self.tree.last_zxid(), |member| member.synced)
    }

    fn look(&mut self, now: Now) {
        let Some(member) = &mut self.member else { return };
        member.term = Term::Looking;
        let standing = member.standing();
        member.election.handle(now.mono, election::Input::Look { standing });
    }

    /// An election is over.
    fn begin_term(&mut self, now: Now, decision: &Decision) {
        let Some(member) = &mut self.member else { return };
        if !matches!(member.term, Term::Looking) {
            return;
        }
        let history = member.history();
        let packet_bytes_max = Self::packet_bytes_max(&self.config);
        let MemberConfig { init_ticks, sync_ticks, .. } = member.config;
        let (me, tick_ms) = (member.me, self.config.tick_ms);
        let leader = decision.candidate.leader;
        tracing::info!(%leader, state = ?decision.state, "a leader is elected");
        match decision.state {
            MemberState::Looking => {}
            MemberState::Leading => {
                let config = LeaderConfig {
                    me,
                    tick_ms,
                    init_ticks,
                    sync_ticks,
                    packet_bytes_max,
                    learner_bytes_max: crate::limits::LEARNER_BYTES_MAX,
                };
                let electorate = member.electorate.clone();
                let leader = Leader::new(config, electorate, history, now.mono);
                member.term = Term::Leading(Box::new(leader));
                let listen = MemberOutput::Listen { is_open: true };
                self.outputs.push_back(Output::Member(listen));
            }
            MemberState::Following | MemberState::Observing => {
                let config = LearnerConfig {
                    me,
                    is_observer: member.electorate.is_observer(me),
                    tick_ms,
                    init_ticks,
                    sync_ticks,
                    config_version: member.electorate.committed().version(),
                    packet_bytes_max,
                    pending_bytes_max: crate::limits::LEARNER_PENDING_BYTES_MAX,
                    sync_bytes_max: member.config.sync_bytes_max,
                    tree: self.tree.config(),
                };
                let learner = Learner::new(config, leader, history, now.mono);
                member.term = Term::Learning(Box::new(learner));
            }
        }
    }

    /// The largest data of one packet: what Apache's members read as one string.
    // quorum-protocol.md section 0
    fn packet_bytes_max(config: &PeerConfig) -> usize {
        let frame = config.frame_bytes_max;
        frame.saturating_add(frame.max(zk_proto::limits::EXTRA_BYTES_MIN))
    }

    /// A quorum has the leader's history, ours included: clients come in.
    fn established(&mut self, now: Now, epoch: Epoch) {
        let Some(member) = &mut self.member else { return };
        tracing::info!(%epoch, "the epoch has begun");
        let zxid = Zxid::from_parts(epoch, 0);
        member.log.begin_epoch(zxid);
        member.election.handle(now.mono, election::Input::Established { epoch });
        member.told_of_clients = now.mono;
        let leads = matches!(member.term, Term::Leading(_));
        member.is_established = true;
        self.tree.begin_epoch(zxid);
        self.tree.show_config(member.electorate.committed());
        self.last_proposed = self.tree.last_zxid();
        self.pending = Pending::new(&self.tree, &self.config);
        self.sessions.start_over(now.mono, leads);
        if leads {
            self.end_orphaned_ephemerals(now);
            self.schedule_container_scan(now.mono);
        }
    }

    /// The links go with everything else.
    pub(super) fn fence_member(&mut self) {
        let Some(member) = &mut self.member else { return };
        member.term = Term::Settling;
        member.is_established = false;
        member.handed_on.clear();
        for link in core::mem::take(&mut member.open_links) {
            self.end_link(link, leader::LinkClose::TermOver);
        }
        self.outputs.push_back(Output::Member(MemberOutput::Listen { is_open: false }));
    }
}
