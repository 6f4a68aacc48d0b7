//! Our leader and our learners, bytes to bytes: they agree on one history.

use std::{collections::BTreeMap, time::Duration};

use zk_proto::{ConnId, Epoch, Instant, ServerId, Zxid, ensemble::EnsembleConfig};
use zk_server_core::{
    quorum::Electorate,
    tree::TreeConfig,
    zab::{
        CommitLog, History, Proposal,
        leader::{self, Leader, LeaderConfig},
        learner::{self, Learner, LearnerConfig},
    },
};

const MEMBERS: &str = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2:observer";

fn zxid(epoch: u32, counter: u32) -> Zxid {
    Zxid::from_parts(Epoch::new(epoch), counter)
}

fn history(last: Zxid) -> History {
    let epoch = Epoch::new(1);
    History { accepted: epoch, current: epoch, last, is_doubtful: false }
}

/// A request that failed: header and error code.
fn proposal(zxid: Zxid) -> Proposal {
    let mut payload = vec![0; 12];
    payload.extend(zxid.get().to_be_bytes());
    payload.extend([0; 8]);
    payload.extend((-1_i32).to_be_bytes());
    payload.extend((-101_i32).to_be_bytes());
    Proposal { zxid, payload: payload.into() }
}

/// A learner and its disk.
struct Follower {
    machine: Learner,
    applied: Vec<Zxid>,
    syncs: usize,
    pongs: usize,
    loss: Option<learner::Loss>,
}

struct Ensemble {
    leader: Leader,
    log: CommitLog,
    now: Instant,
    in_flight: Vec<Proposal>,
    followers: BTreeMap<u64, Follower>,
    answered: Vec<u64>,
    closed: Vec<(u64, leader::LinkClose)>,
}

impl Ensemble {
    fn new() -> Self {
        let last = zxid(1, 30);
        let mut log = CommitLog::new(zxid(1, 20));
        (20..=30).for_each(|counter| log.push(proposal(zxid(1, counter))));
        let config = LeaderConfig {
            me: ServerId::new(3),
            tick_ms: 100,
            init_ticks: 10,
            sync_ticks: 5,
            packet_bytes_max: 1 << 20,
            learner_bytes_max: 1 << 26,
        };
        let members = EnsembleConfig::parse(MEMBERS).expect("legal");
        let now = Instant::from_millis(1);
        let leader = Leader::new(config, Electorate::new(members, None), history(last), now);
        Self {
            leader,
            log,
            now,
            in_flight: vec![],
            followers: BTreeMap::new(),
            answered: vec![],
            closed: vec![],
        }
    }

    fn joins(&mut self, id: u64, last: Zxid) {
        let config = LearnerConfig {
            me: ServerId::new(id.cast_signed()),
            is_observer: id == 4,
            tick_ms: 100,
            init_ticks: 10,
            sync_ticks: 5,
            config_version: Zxid::ZERO,
            packet_bytes_max: 1 << 20,
            pending_bytes_max: 1 << 26,
            sync_bytes_max: 1 << 26,
            tree: TreeConfig::default(),
        };
        let machine = Learner::new(config, ServerId::new(3), history(last), self.now);
        let applied = (1..=last.counter()).map(|counter| zxid(1, counter)).collect();
        let follower = Follower { machine, applied, syncs: 0, pongs: 0, loss: None };
        self.followers.insert(id, follower);
        self.lead(leader::Input::Accepted { link: ConnId::new(id) });
        self.learn(id, learner::Input::Dialled { link: ConnId::new(id) });
    }

    fn lead(&mut self, input: leader::Input<'_>) {
        self.leader.handle(self.now, input, &self.log);
        while let Some(output) = self.leader.poll_output() {
            self.carry_out(&output);
        }
    }

    fn carry_out(&mut self, output: &leader::Output) {
        match *output {
            leader::Output::SaveEpoch { file, .. } => self.lead(leader::Input::EpochSaved(file)),
            leader::Output::Send { link } => {
                let writer = self.leader.outgoing(link).expect("announced");
                let bytes = writer.as_slice().to_vec();
                writer.clear();
                self.lead(leader::Input::Drained { link });
                self.learn(link.get(), learner::Input::Bytes { link, bytes: &bytes });
            }
            leader::Output::Established { epoch } => {
                self.log.begin_epoch(Zxid::from_parts(epoch, 0));
            }
            leader::Output::Commit { zxid } => {
                let count = self.in_flight.iter().take_while(|it| it.zxid <= zxid).count();
                self.in_flight.drain(..count).for_each(|proposal| self.log.push(proposal));
            }
            leader::Output::SyncReady { ticket } => self.answered.push(ticket),
            leader::Output::Close { link, reason } => self.closed.push((link.get(), reason)),
            leader::Output::Forwarded { .. }
            | leader::Output::Revalidate { .. }
            | leader::Output::Touched { .. }
            | leader::Output::ReadLog { .. }
            | leader::Output::NextSnapshotPart { .. }
            | leader::Output::Resign(_) => panic!("{output:?}"),
        }
    }

    fn learn(&mut self, id: u64, input: learner::Input<'_>) {
        let now = self.now;
        let Some(follower) = self.followers.get_mut(&id) else { return };
        follower.machine.handle(now, input);
        while let Some(follower) = self.followers.get_mut(&id) {
            let Some(output) = follower.machine.poll_output() else { break };
            let link = ConnId::new(id);
            match output {
                learner::Output::Send { .. } => {
                    let writer = follower.machine.outgoing(link).expect("announced");
                    let bytes = writer.as_slice().to_vec();
                    writer.clear();
                    self.lead(leader::Input::Bytes { link, bytes: &bytes });
                }
                learner::Output::SaveEpoch { file, .. } => {
                    follower.machine.handle(now, learner::Input::EpochSaved(file));
                }
                learner::Output::Append(proposal) => {
                    let zxid = proposal.zxid;
                    follower.machine.handle(now, learner::Input::Synced { zxid });
                }
                learner::Output::Truncate { last } => {
                    follower.applied.retain(|&zxid| zxid <= last);
                    follower.machine.handle(now, learner::Input::Truncated { last });
                }
                learner::Output::Apply(proposal) => follower.applied.push(proposal.zxid),
                learner::Output::SyncReady => follower.syncs += 1,
                learner::Output::Ping => {
                    follower.pongs += 1;
                    follower.machine.handle(now, learner::Input::Pong(vec![]));
                }
                learner::Output::Lost(loss) => follower.loss = Some(loss),
                learner::Output::Dial { .. }
                | learner::Output::Established { .. }
                | learner::Output::NextConfig { .. }
                | learner::Output::Config { .. }
                | learner::Output::Pause { .. }
                | learner::Output::Resume { .. }
                | learner::Output::Close { .. } => {}
                learner::Output::Replace(_)
                | learner::Output::Install
                | learner::Output::SessionChecked { .. } => panic!("not in this story"),
            }
        }
    }

    fn propose(&mut self, counter: u32) {
        let proposal = proposal(zxid(2, counter));
        self.in_flight.push(proposal.clone());
        self.lead(leader::Input::Proposed(proposal));
        self.lead(leader::Input::Synced { zxid: zxid(2, counter) });
    }
}

#[test]
fn members_that_lack_or_have_too_much_end_with_one_history() {
    let mut all = Ensemble::new();
    all.joins(1, zxid(1, 25));
    assert!(all.leader.is_established());
    all.joins(2, zxid(1, 33));
    all.propose(1);
    all.joins(4, zxid(1, 21));
    for counter in 2..=9 {
        all.propose(counter);
    }
    all.lead(leader::Input::SyncAsked { ticket: 5 });
    all.now = all.now + Duration::from_millis(50);
    all.lead(leader::Input::Timeout);
    assert_eq!((all.answered, all.closed), (vec![5], vec![]));
    assert_eq!(all.log.last(), zxid(2, 9));
    let expected: Vec<_> = (1..=30)
        .map(|counter| zxid(1, counter))
        .chain((1..=9).map(|counter| zxid(2, counter)))
        .collect();
    for (id, follower) in &all.followers {
        assert_eq!(follower.loss, None, "{id}");
        assert!(follower.machine.is_established(), "{id}");
        assert_eq!(follower.applied, expected, "{id}");
        assert!(follower.pongs > 0, "{id}");
    }
}
