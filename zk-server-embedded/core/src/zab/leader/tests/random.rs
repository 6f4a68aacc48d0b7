//! Honest learners with disks of their own, in any order of events: what is decided is held by a
//! quorum, and everybody's history is a part of ours.

use super::{super::sync_plan::follows, *};
use crate::rng::Rng;

/// What the leader starts with; the log in memory begins later.
const OLD_EPOCH: u32 = 4;
const OLD_LAST: u32 = 23;
const OLD_IN_MEMORY: u32 = 6;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    Away,
    Joining,
    /// Between DIFF, TRUNC or SNAP and NEWLEADER.
    Taking,
    /// Between NEWLEADER and UPTODATE.
    Waiting,
    Serving,
}

#[derive(Debug)]
struct Learner {
    id: u64,
    is_observer: bool,
    link: u64,
    part: Part,
    accepted: u32,
    current: u32,
    /// On stable storage, oldest first.
    log: Vec<Zxid>,
    /// Received, and not on stable storage, oldest first.
    fresh: Vec<Zxid>,
    /// How many of those are decided.
    decided: usize,
    /// The step in which it was last known to be ours.
    ours_at: u64,
}

impl Learner {
    fn last(&self) -> Zxid {
        self.fresh.last().or_else(|| self.log.last()).copied().unwrap_or_default()
    }
}

struct World {
    rig: Rig,
    rng: Rng,
    step: u64,
    links: u64,
    learners: Vec<Learner>,
    /// Our own history.
    history: Vec<Zxid>,
    synced: Zxid,
    committed: Zxid,
    /// When each `sync` was asked for.
    asked: BTreeMap<u64, u64>,
    decided: usize,
    answered: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let old = history(OLD_EPOCH, zxid(OLD_EPOCH, OLD_LAST));
        let applied = run(OLD_EPOCH, OLD_IN_MEMORY, OLD_LAST);
        let rest = "server.9=h9:1:2:observer";
        let mut rig = Rig::new(electorate(5, rest), old, &applied);
        rig.takes_at_once = false;
        let mut rng = Rng::new(seed);
        let mut learner = |id| {
            let extra = [0, 0, 3, OLD_LAST - 1, OLD_LAST, OLD_LAST, OLD_LAST + 2];
            let count = extra[index(&mut rng, extra.len())];
            Learner {
                id,
                is_observer: id == 9,
                link: 0,
                part: Part::Away,
                accepted: OLD_EPOCH,
                current: OLD_EPOCH,
                log: (1..=count).map(|counter| zxid(OLD_EPOCH, counter)).collect(),
                fresh: vec![],
                decided: 0,
                ours_at: 0,
            }
        };
        Self {
            learners: [1, 2, 4, 5, 8, 9].map(&mut learner).into(),
            rig,
            rng,
            step: 0,
            links: 100,
            history: (1..=OLD_LAST).map(|counter| zxid(OLD_EPOCH, counter)).collect(),
            synced: zxid(OLD_EPOCH, OLD_LAST),
            committed: zxid(OLD_EPOCH, OLD_LAST),
            asked: BTreeMap::new(),
            decided: 0,
            answered: 0,
        }
    }

    fn play(&mut self, steps: u64) {
        for step in 1..=steps {
            self.step = step;
            let who = index(&mut self.rng, self.learners.len());
            match index(&mut self.rng, 32) {
                0..=1 => self.connect(who),
                2..=12 => self.read(who),
                13..=17 => self.take(),
                18..=20 => self.sync_disk(who),
                21..=23 => self.propose(),
                24..=25 => self.sync_own(),
                26 => self.ask(),
                27 => self.rig.pass(10),
                28..=30 => self.answer_storage(),
                _ if index(&mut self.rng, 8) == 0 => self.break_link(who),
                _ => {}
            }
            self.look();
        }
    }

    fn connect(&mut self, who: usize) {
        let learner = &mut self.learners[who];
        if learner.part == Part::Away {
            self.links += 1;
            learner.link = self.links;
            learner.part = Part::Joining;
            let info = LearnerInfo::new(ServerId::new(learner.id.cast_signed()), Zxid::ZERO);
            let accepted = zxid(learner.accepted, 0);
            let packet = if learner.is_observer {
                FromLearner::ObserverInfo(accepted, info)
            } else {
                FromLearner::FollowerInfo(accepted, info)
            };
            let link = learner.link;
            self.rig.accept(link);
            self.rig.say(link, &packet);
        }
    }

    /// The link breaks. The leader hears of it now or later; some of what was written survives.
    fn break_link(&mut self, who: usize) {
        let learner = &mut self.learners[who];
        if learner.part == Part::Serving {
            let kept = index(&mut self.rng, learner.fresh.len() + 1);
            let kept: Vec<_> = learner.fresh.drain(..kept).collect();
            learner.log.extend(kept);
        }
        learner.fresh.clear();
        learner.decided = 0;
        learner.part = Part::Away;
        let link = ConnId::new(learner.link);
        if index(&mut self.rng, 2) == 0 {
            self.rig.sends.remove(&link);
            self.rig.handle(Input::Closed { link });
        }
    }

    fn take(&mut self) {
        if let Some(link) = self.rig.sends.pop_first() {
            self.rig.take_from(link);
        }
    }

    /// A learner reads one packet.
    fn read(&mut self, who: usize) {
        let learner = &mut self.learners[who];
        let Some(wire) = self.rig.wires.get_mut(&ConnId::new(learner.link)) else { return };
        if learner.part == Part::Away {
            return;
        }
        let Some(split) = split_packet(wire, 1 << 20).expect("legal") else { return };
        let mut length = split.length;
        let zxid = split.packet.zxid;
        let packet = FromLeader::read(&split.packet).expect("a leader's");
        let mut answers = vec![];
        match packet {
            FromLeader::LeaderInfo(..) => {
                let epoch = zxid.epoch().get();
                let current = Epoch::new(learner.current);
                let answer = if learner.accepted < epoch {
                    EpochAnswer::Accepted { current }
                } else {
                    EpochAnswer::AlreadyPromised
                };
                learner.accepted = epoch;
                answers.push(FromLearner::AckEpoch(learner.last(), answer));
            }
            FromLeader::Diff(_) => learner.part = Part::Taking,
            FromLeader::Trunc(_) => {
                assert!(learner.log.contains(&zxid), "there is such a place");
                learner.log.retain(|&own| own <= zxid);
                learner.part = Part::Taking;
            }
            FromLeader::Snap(_) => {
                let rest = &wire[length..];
                let signature = SNAPSHOT_SIGNATURE.as_bytes();
                let Some(at) = rest.windows(signature.len()).position(|it| it == signature) else {
                    return;
                };
                length += at + signature.len();
                learner.log = self.history.iter().copied().filter(|&own| own <= zxid).collect();
                learner.part = Part::Taking;
            }
            FromLeader::NewLeader(..) => {
                let decided: Vec<_> = learner.fresh.drain(..learner.decided).collect();
                learner.decided = 0;
                learner.log.extend(decided);
                assert!(self.history.starts_with(&learner.log), "{who}: {:?}", learner.log);
                assert!(learner.log.len() >= OLD_LAST as usize);
                learner.current = zxid.epoch().get();
                learner.part = Part::Waiting;
                answers.push(FromLearner::Ack(zxid));
            }
            FromLeader::UpToDate => {
                learner.part = Part::Serving;
                learner.ours_at = self.step;
                answers.push(FromLearner::Ack(Zxid::from_parts(Epoch::new(learner.current), 0)));
            }
            FromLeader::Proposal(..) => {
                assert!(follows(learner.last(), zxid), "{:?} then {zxid:?}", learner.last());
                learner.fresh.push(zxid);
            }
            FromLeader::Inform(..) => {
                assert!(learner.is_observer && follows(learner.last(), zxid));
                learner.fresh.push(zxid);
                learner.decided += 1;
            }
            FromLeader::Commit(_) => {
                let is_known = learner.log.contains(&zxid) || learner.fresh.contains(&zxid);
                assert!(is_known, "{who}: {zxid:?} was never proposed");
                assert!(zxid <= self.committed, "{zxid:?} is not decided");
                if learner.part == Part::Taking {
                    assert_eq!(learner.fresh[learner.decided], zxid);
                    learner.decided += 1;
                }
            }
            FromLeader::Ping(_) => {
                assert_eq!(learner.part, Part::Serving);
                learner.ours_at = self.step;
                answers.push(FromLearner::Ping(zxid, SessionTouches::default()));
            }
            FromLeader::Revalidate(_)
            | FromLeader::Sync(_)
            | FromLeader::CommitAndActivate(..)
            | FromLeader::InformAndActivate(..) => unreachable!("nobody asked"),
        }
        wire.drain(..length);
        let link = learner.link;
        for answer in answers {
            self.rig.say(link, &answer);
        }
    }

    /// A learner's disk has written some of what waits.
    fn sync_disk(&mut self, who: usize) {
        let learner = &mut self.learners[who];
        if learner.part != Part::Serving {
            return;
        }
        let count = index(&mut self.rng, learner.fresh.len() + 1);
        let written: Vec<_> = learner.fresh.drain(..count).collect();
        learner.log.extend(&written);
        if !learner.is_observer {
            let link = learner.link;
            for zxid in written {
                self.rig.ack(link, zxid);
            }
        }
    }

    fn propose(&mut self) {
        if self.rig.leader.is_established() {
            self.rig.propose(1);
            self.history.push(self.rig.leader.last_proposed());
        }
    }

    fn sync_own(&mut self) {
        let own: Vec<_> = self.history.iter().copied().filter(|&zxid| zxid > self.synced).collect();
        let count = index(&mut self.rng, own.len() + 1);
        if count > 0 {
            self.synced = own[count - 1];
            self.rig.synced(self.synced);
        }
    }

    fn ask(&mut self) {
        if self.rig.leader.is_established() {
            self.asked.insert(self.step, self.step);
            self.rig.handle(Input::SyncAsked { ticket: self.step });
        }
    }

    /// The member reads logs and makes snapshots.
    fn answer_storage(&mut self) {
        let is_asked =
            |it: &Output| matches!(it, Output::ReadLog { .. } | Output::NextSnapshotPart { .. });
        let Some(place) = self.rig.seen.iter().position(is_asked) else { return };
        let output = self.rig.seen.remove(place);
        if let Output::ReadLog { link, after, upto } = output {
            let is_there = self.history.contains(&after) && index(&mut self.rng, 4) > 0;
            let wanted = self.history.iter().filter(|&&zxid| zxid > after && zxid <= upto);
            let proposals = is_there.then(|| wanted.map(|&zxid| proposal(zxid)).collect());
            self.rig.handle(Input::LogRead { link, proposals });
        } else if let Output::NextSnapshotPart { link } = output {
            let is_last = index(&mut self.rng, 3) == 0;
            let bytes = vec![b'.'; 5];
            self.rig.handle(Input::SnapshotPart { link, bytes, is_last });
        }
    }

    /// Checks what came out.
    fn look(&mut self) {
        let seen = core::mem::take(&mut self.rig.seen);
        for output in seen {
            match output {
                Output::Commit { zxid } => self.check_commit(zxid),
                Output::SyncReady { ticket } => {
                    let asked = self.asked.remove(&ticket).expect("asked for once");
                    let is_ours = |learner: &Learner| learner.ours_at >= asked;
                    assert!(self.is_quorum(is_ours), "nobody knows who led when it was asked");
                    self.answered += 1;
                }
                Output::Close { link, reason } => {
                    let is_honest = !matches!(reason, LinkClose::Violation | LinkClose::Foreign);
                    assert!(is_honest, "{reason:?}");
                    let learner = self.learners.iter().position(|it| it.link == link.get());
                    if let Some(who) = learner.filter(|&who| self.learners[who].part != Part::Away)
                    {
                        self.break_link(who);
                    }
                    self.rig.sends.remove(&link);
                    self.rig.handle(Input::Closed { link });
                }
                Output::ReadLog { .. } | Output::NextSnapshotPart { .. } => {
                    self.rig.seen.push(output);
                }
                Output::SaveEpoch { .. } | Output::Established { .. } | Output::Resign(_) => {}
                Output::Send { .. }
                | Output::Forwarded { .. }
                | Output::Revalidate { .. }
                | Output::Touched { .. } => unreachable!("{output:?}"),
            }
        }
    }

    // reliability.md I11
    fn check_commit(&mut self, zxid: Zxid) {
        assert!(zxid > self.committed && self.history.contains(&zxid));
        self.committed = zxid;
        self.decided += 1;
        let synced = self.synced;
        let holds = |learner: &Learner| learner.log.contains(&zxid);
        let count = self.learners.iter().filter(|it| it.id < 6 && holds(it)).count();
        let count = count + usize::from(synced >= zxid);
        assert!(count >= 3, "{zxid:?} is held by {count} of five");
    }

    /// Whether we and those for whom it holds are a quorum.
    fn is_quorum(&self, holds: impl Fn(&Learner) -> bool) -> bool {
        self.learners.iter().filter(|it| it.id < 6 && holds(it)).count() >= 2
    }
}

fn index(rng: &mut Rng, below: usize) -> usize {
    usize::try_from(rng.below(u64::try_from(below).expect("small"))).expect("small")
}

#[test]
fn i3_i10_i11_rule17_whatever_happens_when() {
    let (mut decided, mut answered) = (0, 0);
    for seed in 0..200 {
        let mut world = World::new(seed);
        world.play(1_500);
        decided += world.decided;
        answered += world.answered;
    }
    assert!(decided > 4_000, "{decided} decisions");
    assert!(answered > 1_000, "{answered} answers");
}
