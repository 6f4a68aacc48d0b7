//! Fuzzes a member that leads: what its learners send, and what its storage answers and when.
//!
//! Whatever comes, it decides in order and only what it proposed and a quorum may hold, sends
//! nothing over a link that it ended, and says no word after its term.
#![no_main]

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use libfuzzer_sys::fuzz_target;
use zk_fuzz::script::Script;
use zk_proto::{
    ConnId, Epoch, Instant, ServerId, Zxid,
    ensemble::EnsembleConfig,
    jute::encode,
    quorum::{EpochAnswer, FromLearner, LearnerInfo, SessionTouches},
};
use zk_server_core::{
    quorum::Electorate,
    storage::epoch_file::EpochFile,
    zab::{
        CommitLog, History, Proposal,
        leader::{Input, Leader, LeaderConfig, Output},
    },
};

const MEMBERS: &str =
    "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2:observer\nversion=100000000";
const WAITING_BYTES_MAX: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let mut script = Script(data);
    let flags = script.byte();
    let mut world = World::new(flags & 1 != 0, u32::from(script.byte()));
    while !script.is_over() && !world.is_over {
        let link = ConnId::new(script.byte().into());
        match script.below(16) {
            0 => world.accept(link),
            1..=2 => world.tell(Input::Bytes { link, bytes: script.chunk() }),
            3..=6 => {
                let bytes = said(&mut script, world.last);
                world.tell(Input::Bytes { link, bytes: &bytes });
            }
            7..=8 => world.propose(script.byte()),
            9 => world.tell(Input::Synced { zxid: world.last }),
            10 => {
                world.now = world.now + Duration::from_millis(script.word().into());
                world.tell(Input::Timeout);
            }
            11 => world.read_log(link, script.byte()),
            12 => {
                let is_last = script.byte() & 1 == 0;
                world.tell(Input::SnapshotPart { link, bytes: script.short().to_vec(), is_last });
            }
            13 => world.take(link),
            14 => world.tell(Input::SyncAsked { ticket: script.byte().into() }),
            _ => world.close(link),
        }
        if flags & 2 != 0 {
            world.save();
            for link in world.open.clone() {
                world.take(link);
            }
        } else if flags & 4 != 0 {
            world.save();
        }
    }
});

/// What an honest learner might say, or nearly.
fn said(script: &mut Script<'_>, last: Zxid) -> Vec<u8> {
    let near = |script: &mut Script<'_>| Zxid::new(last.get() - i64::from(script.byte() % 8));
    let packet = match script.below(6) {
        0 => {
            let server = ServerId::new(i64::from(script.byte() % 6));
            let accepted = Zxid::from_parts(Epoch::new(u32::from(script.byte() % 8)), 0);
            FromLearner::FollowerInfo(accepted, LearnerInfo::new(server, Zxid::ZERO))
        }
        1 => {
            let info = LearnerInfo::new(ServerId::new(4), Zxid::ZERO);
            FromLearner::ObserverInfo(Zxid::ZERO, info)
        }
        2 => {
            let current = Epoch::new(u32::from(script.byte() % 4));
            FromLearner::AckEpoch(near(script), EpochAnswer::Accepted { current })
        }
        3 => FromLearner::Ack(Zxid::from_parts(last.epoch(), 0)),
        4 => FromLearner::Ack(near(script)),
        _ => FromLearner::Ping(last, SessionTouches::default()),
    };
    encode(&packet)
}

struct World {
    leader: Leader,
    log: CommitLog,
    now: Instant,
    in_flight: VecDeque<Proposal>,
    saves: VecDeque<EpochFile>,
    /// Read by learners: after and up to where.
    reads: BTreeMap<ConnId, (Zxid, Zxid)>,
    used: BTreeSet<ConnId>,
    open: BTreeSet<ConnId>,
    last: Zxid,
    is_over: bool,
}

impl World {
    fn new(has_history: bool, count: u32) -> Self {
        let epoch = Epoch::new(u32::from(has_history));
        let count = if has_history { count } else { 0 };
        let last = if count == 0 { Zxid::ZERO } else { Zxid::from_parts(epoch, count) };
        let mut log = CommitLog::new(last);
        for counter in count.saturating_sub(5).max(1)..=count {
            log.push(proposal(Zxid::from_parts(epoch, counter), 8));
        }
        let config = LeaderConfig {
            me: ServerId::new(3),
            tick_ms: 100,
            init_ticks: 10,
            sync_ticks: 5,
            packet_bytes_max: 1 << 14,
            learner_bytes_max: WAITING_BYTES_MAX,
        };
        let ensemble = EnsembleConfig::parse(MEMBERS).expect("legal");
        let now = Instant::from_millis(1);
        let history = History { accepted: epoch, current: epoch, last, is_doubtful: false };
        let leader = Leader::new(config, Electorate::new(ensemble, None), history, now);
        let mut world = Self {
            leader,
            log,
            now,
            in_flight: VecDeque::new(),
            saves: VecDeque::new(),
            reads: BTreeMap::new(),
            used: BTreeSet::new(),
            open: BTreeSet::new(),
            last,
            is_over: false,
        };
        world.carry_out();
        world
    }

    fn tell(&mut self, input: Input<'_>) {
        self.leader.handle(self.now, input, &self.log);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.leader.poll_output() {
            assert!(!self.is_over, "{output:?} after the end");
            match output {
                Output::SaveEpoch { file, .. } => self.saves.push_back(file),
                Output::Send { link } => {
                    assert!(self.open.contains(&link));
                    assert!(self.leader.outgoing(link).is_some());
                }
                Output::Close { link, .. } => assert!(self.open.remove(&link), "once"),
                Output::Established { epoch } => {
                    let begin = Zxid::from_parts(epoch, 0);
                    assert!(begin > self.last && self.leader.is_established());
                    self.log.begin_epoch(begin);
                    self.last = begin;
                }
                Output::Commit { zxid } => {
                    assert!(zxid > self.log.last() && zxid <= self.last);
                    while self.in_flight.front().is_some_and(|next| next.zxid <= zxid) {
                        self.log.push(self.in_flight.pop_front().expect("it is there"));
                    }
                    assert_eq!(self.log.last(), zxid);
                }
                Output::ReadLog { link, after, upto } => {
                    assert!(after < upto && self.open.contains(&link));
                    self.reads.insert(link, (after, upto));
                }
                Output::Resign(_) => self.is_over = true,
                Output::Forwarded { link, .. } | Output::NextSnapshotPart { link } => {
                    // A packet may be followed by one that ends its link.
                    assert!(self.used.contains(&link));
                }
                Output::Revalidate { .. } | Output::Touched { .. } | Output::SyncReady { .. } => {}
            }
        }
        let most = WAITING_BYTES_MAX + (1 << 17);
        assert!(self.leader.learners().all(|learner| learner.waiting_bytes <= most));
    }

    fn accept(&mut self, link: ConnId) {
        if self.used.insert(link) {
            self.open.insert(link);
            self.tell(Input::Accepted { link });
        }
    }

    fn close(&mut self, link: ConnId) {
        if self.used.contains(&link) {
            self.open.remove(&link);
            self.tell(Input::Closed { link });
        }
    }

    fn save(&mut self) {
        while let Some(file) = self.saves.pop_front() {
            self.tell(Input::EpochSaved(file));
        }
    }

    fn propose(&mut self, size: u8) {
        if self.leader.is_established() {
            let zxid = self.last.next().expect("there is room");
            self.last = zxid;
            let proposal = proposal(zxid, usize::from(size) * 256);
            self.in_flight.push_back(proposal.clone());
            self.tell(Input::Proposed(proposal));
        }
    }

    /// The log holds everything, or less than that.
    fn read_log(&mut self, link: ConnId, how: u8) {
        let Some((after, upto)) = self.reads.remove(&link) else { return };
        let mut proposals = Vec::new();
        let mut at = after;
        while at < upto && proposals.len() < 300 {
            let Some(next) = at.next() else { break };
            proposals.push(proposal(next, 8));
            at = next;
        }
        if how & 1 != 0 {
            proposals.truncate(usize::from(how) / 2);
        }
        let proposals = (how != 2).then_some(proposals);
        self.tell(Input::LogRead { link, proposals });
    }

    fn take(&mut self, link: ConnId) {
        if !self.open.contains(&link) {
            return;
        }
        if let Some(out) = self.leader.outgoing(link)
            && !out.is_empty()
        {
            out.clear();
            self.tell(Input::Drained { link });
        }
    }
}

fn proposal(zxid: Zxid, size: usize) -> Proposal {
    Proposal { zxid, payload: vec![7; size].into() }
}
