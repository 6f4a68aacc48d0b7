//! A leader among learners that speak real packets. Sessions, disks and clients are played here.

mod bad_input;
mod broadcast;
mod discovery;
mod fresh_reads;
mod random;
mod synchronisation;

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    format,
    string::String,
    vec,
    vec::Vec,
};
use core::{fmt::Write as _, time::Duration};

use zk_proto::{
    AuthId, SessionId, Xid,
    client::OpCode,
    ensemble::EnsembleConfig,
    jute::encode,
    quorum::{
        EpochAnswer, ForwardedRequest, FromLeader, FromLearner, LearnerInfo, Revalidate,
        SNAPSHOT_SIGNATURE, SessionTouch, SessionTouches, WireId, split_packet,
    },
};

use super::*;
use crate::zab::{Forwarded, Proposal};

const TICK_MS: u64 = 100;
const CONFIG: LeaderConfig = LeaderConfig {
    me: ServerId::new(3),
    tick_ms: TICK_MS,
    init_ticks: 10,
    sync_ticks: 5,
    packet_bytes_max: 64 * 1024,
    learner_bytes_max: 4 * 1024 * 1024,
};
const NEW: History = History {
    accepted: Epoch::new(0),
    current: Epoch::new(0),
    last: Zxid::ZERO,
    is_doubtful: false,
};

fn zxid(epoch: u32, counter: u32) -> Zxid {
    Zxid::from_parts(Epoch::new(epoch), counter)
}

fn history(epoch: u32, last: Zxid) -> History {
    let epoch = Epoch::new(epoch);
    History { accepted: epoch, current: epoch, last, is_doubtful: false }
}

fn proposal(zxid: Zxid) -> Proposal {
    Proposal { zxid, payload: format!("{zxid:?}").into_bytes().into() }
}

/// The transactions `from` to `to` of an epoch.
fn run(epoch: u32, from: u32, to: u32) -> Vec<Proposal> {
    (from..=to).map(|counter| proposal(zxid(epoch, counter))).collect()
}

fn electorate(voters: i64, rest: &str) -> Electorate {
    let mut text = String::from(rest);
    for id in 1..=voters {
        write!(text, "\nserver.{id}=h{id}:1:2").expect("text grows as needed");
    }
    Electorate::new(EnsembleConfig::parse(&text).expect("legal"), None)
}

/// The member around the leader.
struct Rig {
    leader: Leader,
    log: CommitLog,
    now: Instant,
    /// Proposed and not applied.
    in_flight: VecDeque<Proposal>,
    /// Epoch files being written.
    saves: VecDeque<EpochFile>,
    /// Whether they are written at once.
    saves_at_once: bool,
    /// Whether learners take everything at once.
    takes_at_once: bool,
    /// Whether a request of a learner becomes a transaction.
    proposes_forwarded: bool,
    /// What was sent over each link and not looked at.
    wires: BTreeMap<ConnId, Vec<u8>>,
    /// Links with bytes that nobody has taken.
    sends: BTreeSet<ConnId>,
    /// Everything else that came out.
    seen: Vec<Output>,
}

impl Rig {
    fn new(electorate: Electorate, history: History, log: &[Proposal]) -> Self {
        Self::with(CONFIG, electorate, history, log)
    }

    fn with(
        config: LeaderConfig,
        electorate: Electorate,
        history: History,
        applied: &[Proposal],
    ) -> Self {
        let now = Instant::from_millis(1_000);
        let first = applied.first().map_or(history.last, |proposal| proposal.zxid);
        let mut log = CommitLog::new(first);
        for proposal in applied {
            log.push(proposal.clone());
        }
        let mut rig = Self {
            leader: Leader::new(config, electorate, history, now),
            log,
            now,
            in_flight: VecDeque::new(),
            saves: VecDeque::new(),
            saves_at_once: true,
            takes_at_once: true,
            proposes_forwarded: false,
            wires: BTreeMap::new(),
            sends: BTreeSet::new(),
            seen: Vec::new(),
        };
        rig.carry_out();
        rig
    }

    /// Three voters; we are 3, and 1 follows.
    fn leading() -> Self {
        let mut rig = Self::new(electorate(3, ""), NEW, &[]);
        rig.follows(1);
        rig.saw(&[Output::Established { epoch: Epoch::new(1) }]);
        rig
    }

    fn handle(&mut self, input: Input<'_>) {
        self.leader.handle(self.now, input, &self.log);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.leader.poll_output() {
            match output {
                Output::SaveEpoch { file, .. } => {
                    self.saves.push_back(file);
                    self.seen.push(output);
                    if self.saves_at_once {
                        self.saved();
                    }
                }
                Output::Send { link } => {
                    self.sends.insert(link);
                }
                Output::Established { epoch } => {
                    self.log.begin_epoch(Zxid::from_parts(epoch, 0));
                    self.seen.push(output);
                }
                Output::Commit { zxid } => {
                    while self.in_flight.front().is_some_and(|next| next.zxid <= zxid) {
                        self.log.push(self.in_flight.pop_front().expect("just looked at"));
                    }
                    assert_eq!(self.log.last(), zxid);
                    self.seen.push(output);
                }
                Output::Close { link, .. } => {
                    self.sends.remove(&link);
                    self.seen.push(output);
                }
                Output::Forwarded { .. } if self.proposes_forwarded => {
                    let proposal = proposal(self.leader.last_proposed().next().expect("room"));
                    self.in_flight.push_back(proposal.clone());
                    self.leader.handle(self.now, Input::Proposed(proposal), &self.log);
                }
                Output::Forwarded { .. }
                | Output::Revalidate { .. }
                | Output::Touched { .. }
                | Output::ReadLog { .. }
                | Output::NextSnapshotPart { .. }
                | Output::SyncReady { .. }
                | Output::Resign(_) => self.seen.push(output),
            }
        }
        if self.takes_at_once {
            self.take();
        }
    }

    /// Every learner takes what waits for it.
    fn take(&mut self) {
        while let Some(link) = self.sends.pop_first() {
            self.take_from(link);
        }
    }

    fn take_from(&mut self, link: ConnId) {
        self.sends.remove(&link);
        let writer = self.leader.outgoing(link).expect("announced");
        let count = writer.len();
        self.wires.entry(link).or_default().extend_from_slice(writer.as_slice());
        writer.consume(count);
        self.handle(Input::Drained { link });
    }

    /// The oldest epoch file is written.
    fn saved(&mut self) {
        let file = self.saves.pop_front().expect("asked for");
        self.leader.handle(self.now, Input::EpochSaved(file), &self.log);
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(at) = self.leader.next_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.handle(Input::Timeout);
        }
        self.now = end;
    }

    fn accept(&mut self, link: u64) {
        self.handle(Input::Accepted { link: ConnId::new(link) });
    }

    fn say(&mut self, link: u64, packet: &FromLearner<'_>) {
        self.raw(link, &encode(packet));
    }

    fn raw(&mut self, link: u64, bytes: &[u8]) {
        self.handle(Input::Bytes { link: ConnId::new(link), bytes });
    }

    /// A member introduces itself over a link of the same number.
    fn introduce(&mut self, id: u64, accepted: u32) {
        self.accept(id);
        self.say(id, &info(id, accepted));
    }

    fn ack_epoch(&mut self, link: u64, current: Option<u32>, last: Zxid) {
        let answer = match current {
            Some(epoch) => EpochAnswer::Accepted { current: Epoch::new(epoch) },
            None => EpochAnswer::AlreadyPromised,
        };
        self.say(link, &FromLearner::AckEpoch(last, answer));
    }

    fn ack(&mut self, link: u64, zxid: Zxid) {
        self.say(link, &FromLearner::Ack(zxid));
    }

    /// A new member goes all the way.
    fn follows(&mut self, id: u64) {
        self.introduce(id, 0);
        self.ack_epoch(id, Some(0), Zxid::ZERO);
        self.catches_up(id);
    }

    /// A learner that has answered to the epoch goes the rest of the way.
    fn catches_up(&mut self, id: u64) {
        let link = ConnId::new(id);
        if self.take_seen(&Output::NextSnapshotPart { link }) {
            self.handle(Input::SnapshotPart { link, bytes: b"tree".to_vec(), is_last: true });
        }
        let epoch = self.leader.epoch().expect("chosen");
        self.ack(id, Zxid::from_parts(epoch, 0));
        if self.leader.is_established() {
            self.ack(id, Zxid::from_parts(epoch, 0));
            self.lines(id);
        }
    }

    /// We propose `count` more.
    fn propose(&mut self, count: u32) {
        for _ in 0..count {
            let proposal = proposal(self.leader.last_proposed().next().expect("room"));
            self.in_flight.push_back(proposal.clone());
            self.handle(Input::Proposed(proposal));
        }
    }

    fn synced(&mut self, zxid: Zxid) {
        self.handle(Input::Synced { zxid });
    }

    /// Every ping that was sent over a link is answered.
    fn pong(&mut self, link: u64) {
        for line in self.lines(link) {
            if let Some(text) = line.strip_prefix("PING ") {
                let (epoch, counter) = text.split_once(':').expect("a zxid");
                let zxid = zxid(epoch.parse().unwrap(), u32::from_str_radix(counter, 16).unwrap());
                self.say(link, &FromLearner::Ping(zxid, SessionTouches::default()));
            }
        }
    }

    /// What was sent over a link since the last time, a line for each packet.
    fn lines(&mut self, link: u64) -> Vec<String> {
        transcript(&core::mem::take(self.wires.entry(ConnId::new(link)).or_default()))
    }

    /// Checks what came out beside bytes since the last time.
    fn saw(&mut self, expected: &[Output]) {
        let seen = core::mem::take(&mut self.seen);
        let seen: Vec<_> =
            seen.into_iter().filter(|it| !matches!(it, Output::SaveEpoch { .. })).collect();
        assert_eq!(seen, expected);
    }

    fn take_seen(&mut self, output: &Output) -> bool {
        let place = self.seen.iter().position(|seen| seen == output);
        place.map(|place| self.seen.remove(place)).is_some()
    }

    /// The link was ended for this reason, and nothing else.
    fn is_closed(&mut self, link: u64, reason: LinkClose) -> bool {
        self.take_seen(&Output::Close { link: ConnId::new(link), reason })
    }

    fn committed(&mut self, epoch: u32, counter: u32) -> bool {
        self.take_seen(&Output::Commit { zxid: zxid(epoch, counter) })
    }
}

fn info(id: u64, accepted: u32) -> FromLearner<'static> {
    FromLearner::FollowerInfo(zxid(accepted, 0), learner_info(id))
}

fn learner_info(id: u64) -> LearnerInfo {
    LearnerInfo::new(ServerId::new(id.try_into().unwrap()), Zxid::ZERO)
}

fn transcript(mut bytes: &[u8]) -> Vec<String> {
    let mut lines = vec![];
    while !bytes.is_empty() {
        let split = split_packet(bytes, 1 << 24).expect("legal").expect("whole");
        bytes = &bytes[split.length..];
        let packet = FromLeader::read(&split.packet).expect("a leader's");
        let name = packet.kind().name();
        let zxid = split.packet.zxid;
        match packet {
            FromLeader::UpToDate | FromLeader::Revalidate(_) | FromLeader::Sync(_) => {
                lines.push(name.into());
            }
            FromLeader::Snap(_) => {
                let end = bytes.windows(SNAPSHOT_SIGNATURE.len());
                let end = end.into_iter().position(|it| it == SNAPSHOT_SIGNATURE.as_bytes());
                let stream = match end {
                    Some(end) => {
                        let stream = &bytes[..end - 4];
                        bytes = &bytes[end + SNAPSHOT_SIGNATURE.len()..];
                        stream
                    }
                    None => core::mem::take(&mut bytes),
                };
                lines.push(format!("{name} {zxid:?} {}", String::from_utf8_lossy(stream)));
            }
            FromLeader::LeaderInfo(..)
            | FromLeader::Diff(_)
            | FromLeader::Trunc(_)
            | FromLeader::NewLeader(..)
            | FromLeader::Proposal(..)
            | FromLeader::Commit(_)
            | FromLeader::CommitAndActivate(..)
            | FromLeader::Inform(..)
            | FromLeader::InformAndActivate(..)
            | FromLeader::Ping(_) => lines.push(format!("{name} {zxid:?}")),
        }
    }
    lines
}
