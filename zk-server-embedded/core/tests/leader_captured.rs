//! What Apache learners said to their Apache leader, said again to ours: it must answer with the
//! same bytes.

use std::{fs, path::Path};

use bytes::Bytes;
use zk_proto::{
    ConnId, Epoch, Instant, ServerId, Zxid,
    ensemble::EnsembleConfig,
    quorum::{FromLeader, FromLearner, split_packet},
};
use zk_server_core::{
    quorum::Electorate,
    zab::{
        CommitLog, History, Proposal,
        leader::{Input, Leader, LeaderConfig, Output},
    },
};

/// Kind, from, to, bytes.
type Said = (String, u64, u64, Vec<u8>);

fn capture(name: &str) -> Vec<Said> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../zk-client/proto/tests/golden/quorum");
    let text = fs::read_to_string(folder.join(name).with_extension("hex")).expect("a capture");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (head, hex) = line.split_once(' ').expect("bytes");
            let mut head = head.split(':');
            let mut next = || head.next().expect("kind, from, to");
            let (kind, from, to) = (next().to_owned(), next(), next());
            let bytes = (0..hex.len() / 2)
                .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hexadecimal"))
                .collect();
            (kind, from.parse().expect("an id"), to.parse().expect("an id"), bytes)
        })
        .collect()
}

/// The configuration that NEWLEADER carries.
fn config(said: &[Said]) -> EnsembleConfig {
    let text = said.iter().find_map(|(.., bytes)| {
        let split = split_packet(bytes, 1 << 20).ok()??;
        if let FromLeader::NewLeader(_, text) = FromLeader::read(&split.packet).ok()? {
            Some(text.text()?.to_owned())
        } else {
            None
        }
    });
    EnsembleConfig::parse(&text.expect("NEWLEADER")).expect("a configuration")
}

/// One leader and what it has sent to one learner.
struct Told {
    leader: Leader,
    log: CommitLog,
    now: Instant,
    learner: u64,
    sent: Vec<u8>,
    stream: Vec<u8>,
}

impl Told {
    fn handle(&mut self, input: Input<'_>) {
        self.leader.handle(self.now, input, &self.log);
        while let Some(output) = self.leader.poll_output() {
            match output {
                Output::SaveEpoch { file, .. } => {
                    self.leader.handle(self.now, Input::EpochSaved(file), &self.log);
                }
                Output::Send { link } => {
                    let writer = self.leader.outgoing(link).expect("announced");
                    if link == ConnId::new(self.learner) {
                        self.sent.extend_from_slice(writer.as_slice());
                    }
                    writer.clear();
                    self.leader.handle(self.now, Input::Drained { link }, &self.log);
                }
                Output::Established { epoch } => self.log.begin_epoch(Zxid::from_parts(epoch, 0)),
                Output::NextSnapshotPart { link } => {
                    let bytes = self.stream.clone();
                    let input = Input::SnapshotPart { link, bytes, is_last: true };
                    self.leader.handle(self.now, input, &self.log);
                }
                Output::Close { .. } | Output::Resign(_) => panic!("{output:?}"),
                Output::Commit { .. }
                | Output::Forwarded { .. }
                | Output::Revalidate { .. }
                | Output::Touched { .. }
                | Output::ReadLog { .. }
                | Output::SyncReady { .. } => {}
            }
        }
    }

    fn hear(&mut self, link: u64, bytes: &[u8]) {
        self.handle(Input::Bytes { link: ConnId::new(link), bytes });
    }

    fn accept(&mut self, link: u64) {
        self.handle(Input::Accepted { link: ConnId::new(link) });
    }
}

/// Begins a term of the leader of a capture, on `log`.
fn begin(said: &[Said], me: u64, learner: u64, history: History, log: CommitLog) -> Told {
    let proposed = config(said);
    let committed = proposed.clone().with_version(Zxid::ZERO);
    let electorate = match history.last {
        Zxid::ZERO => Electorate::new(committed, Some(proposed)),
        _ => Electorate::new(proposed, None),
    };
    let settings = LeaderConfig {
        me: ServerId::new(me.cast_signed()),
        tick_ms: 2_000,
        init_ticks: 10,
        sync_ticks: 5,
        packet_bytes_max: 1 << 20,
        learner_bytes_max: 1 << 26,
    };
    let now = Instant::from_millis(1);
    let leader = Leader::new(settings, electorate, history, now);
    let (sent, stream) = (Vec::new(), Vec::new());
    let mut told = Told { leader, log, now, learner, sent, stream };
    told.accept(learner);
    told
}

fn replay(said: &[Said], told: &mut Told, me: u64) {
    let learner = told.learner;
    let mut expected = Vec::new();
    for (kind, from, to, bytes) in said {
        match (kind.as_str(), *from, *to) {
            ("stream", from, to) if (from, to) == (me, learner) => {
                // The signature is the leader's own.
                told.stream = bytes[..bytes.len() - 14].to_vec();
                expected.extend_from_slice(bytes);
            }
            ("leader", from, to) if (from, to) == (me, learner) => {
                expected.extend_from_slice(bytes);
            }
            _ => {}
        }
    }
    for (kind, from, _, bytes) in said {
        let ping = [0, 0, 0, 5];
        if kind == "learner" && *from == learner {
            if bytes.starts_with(&ping) {
                told.now = told.leader.next_timeout().expect("pings");
                told.handle(Input::Timeout);
            }
            told.hear(learner, bytes);
        }
    }
    assert_eq!(told.sent, expected);
}

const EMPTY: History = History {
    accepted: Epoch::new(0),
    current: Epoch::new(0),
    last: Zxid::ZERO,
    is_doubtful: false,
};

#[test]
fn b1_a_fresh_ensemble() {
    let said = capture("fresh");
    let mut told = begin(&said, 2, 1, EMPTY, CommitLog::new(Zxid::ZERO));
    replay(&said, &mut told, 2);
    assert!(told.leader.is_established());
}

/// Lets member `other` of the fresh ensemble follow, then `count` transactions be decided.
fn established(said: &[Said], learner: u64, other: u64, proposals: &[(Zxid, Vec<u8>)]) -> Told {
    let mut log = CommitLog::new(Zxid::ZERO);
    let mut told = begin(said, 2, learner, EMPTY, log.clone());
    told.accept(other);
    for (kind, from, _, bytes) in capture("fresh") {
        if kind == "learner" && from == 1 && !bytes.starts_with(&[0, 0, 0, 5]) {
            let mut bytes = bytes;
            if bytes.starts_with(&[0, 0, 0, 11]) {
                bytes[23] = u8::try_from(other).expect("small");
            }
            told.hear(other, &bytes);
        }
    }
    assert!(told.leader.is_established());
    // In the captures the configuration of the first epoch is committed by then.
    told.leader.set_electorate(Electorate::new(config(said), None));
    log.begin_epoch(Zxid::from_parts(Epoch::new(1), 0));
    for (zxid, payload) in proposals {
        let proposal = Proposal { zxid: *zxid, payload: Bytes::copy_from_slice(payload) };
        log.push(proposal.clone());
        told.leader.handle(told.now, Input::Proposed(proposal), &told.log);
    }
    if let Some((last, _)) = proposals.last() {
        // All of it is decided and applied before the learner comes.
        told.log = log;
        for (zxid, _) in proposals {
            let ack = zk_proto::jute::encode(&FromLearner::Ack(*zxid));
            told.hear(other, &ack);
        }
        told.handle(Input::Synced { zxid: *last });
    }
    told.sent.clear();
    told
}

/// The transactions a capture shows the leader to have, the first ones made up.
fn history(said: &[Said], last: u32) -> Vec<(Zxid, Vec<u8>)> {
    let epoch = Epoch::new(1);
    let mut all: Vec<_> =
        (1..=last).map(|at| (Zxid::from_parts(epoch, at), b"unseen".to_vec())).collect();
    for (kind, _, _, bytes) in said {
        if kind != "leader" {
            continue;
        }
        let split = split_packet(bytes, 1 << 20).expect("legal").expect("whole");
        if let Ok(FromLeader::Proposal(zxid, payload)) = FromLeader::read(&split.packet)
            && let Some(entry) = all.iter_mut().find(|(at, _)| *at == zxid)
        {
            entry.1 = payload.to_vec();
        }
    }
    all
}

#[test]
fn a_late_member_of_an_ensemble_without_transactions() {
    let said = capture("late");
    let mut told = established(&said, 3, 1, &[]);
    replay(&said, &mut told, 2);
}

#[test]
fn b2_a_few_transactions_missed() {
    let said = capture("diff");
    let mut told = established(&said, 1, 3, &history(&said, 0x15));
    replay(&said, &mut told, 2);
}

#[test]
fn b3_two_transactions_ahead() {
    let said = capture("trunc");
    let mut told = established(&said, 1, 3, &history(&said, 0x15));
    replay(&said, &mut told, 2);
}

#[test]
fn b4_an_empty_directory() {
    let said = capture("snap");
    let mut told = established(&said, 1, 3, &history(&said, 0x15));
    replay(&said, &mut told, 2);
}
