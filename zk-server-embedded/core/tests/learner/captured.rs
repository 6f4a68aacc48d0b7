//! What Apache leaders said to Apache learners, told again to ours: it must say what they said,
//! byte for byte.

use std::{collections::BTreeMap, fs, path::Path};

use zk_proto::{
    AuthId, ServerId, Zxid,
    quorum::{EpochAnswer, FromLearner, LearnerInfo, WireId, split_packet},
};
use zk_server_core::{
    storage::epoch_file::EpochFile,
    zab::{
        Forwarded, History,
        learner::{Input, LearnerConfig},
    },
};

use crate::rig::{PACKET_BYTES_MAX, Rig, config, packets};

struct Line {
    side: String,
    pair: (i64, i64),
    bytes: Vec<u8>,
}

fn captures() -> BTreeMap<String, Vec<Line>> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../zk-client/proto/tests/golden/quorum");
    let files = fs::read_dir(folder).expect("the captures are part of the repository");
    files
        .map(|entry| {
            let path = entry.expect("readable").path();
            let text = fs::read_to_string(&path).expect("readable");
            let lines = text.lines().filter(|line| !line.starts_with('#')).map(parse).collect();
            (path.file_stem().expect("named").to_string_lossy().into_owned(), lines)
        })
        .collect()
}

fn parse(line: &str) -> Line {
    let (head, hex) = line.split_once(' ').expect("bytes");
    let parts: Vec<_> = head.split(':').collect();
    let id = |text: &str| text.parse().expect("an id");
    let bytes = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hexadecimal"))
        .collect();
    Line { side: parts[0].into(), pair: (id(parts[1]), id(parts[2])), bytes }
}

fn message(bytes: &[u8]) -> FromLearner<'_> {
    let split = split_packet(bytes, PACKET_BYTES_MAX).expect("legal").expect("whole");
    FromLearner::read(&split.packet).expect("a learner's")
}

/// Every conversation from its introduction on: who learns, from whom, and what was said.
fn conversations(lines: &[Line]) -> Vec<(i64, i64, Vec<&Line>)> {
    let mut found: Vec<(i64, i64, Vec<&Line>)> = Vec::new();
    for line in lines {
        let (learner, leader) = match line.side.as_str() {
            "learner" => line.pair,
            _ => (line.pair.1, line.pair.0),
        };
        let is_first = line.side == "learner"
            && matches!(
                message(&line.bytes),
                FromLearner::FollowerInfo(..) | FromLearner::ObserverInfo(..)
            );
        let open = found.iter_mut().rev().find(|it| it.0 == learner && it.1 == leader);
        match open {
            _ if is_first => found.push((learner, leader, vec![line])),
            Some(conversation) => conversation.2.push(line),
            None => {}
        }
    }
    found
}

/// Plays the learner's part; gives what ours says and what was said.
fn replay(learner: i64, said: &[&Line]) -> (Vec<String>, Vec<String>) {
    let (accepted, is_observer, info) = match message(&said[0].bytes) {
        FromLearner::FollowerInfo(zxid, info) => (zxid.epoch(), false, info),
        FromLearner::ObserverInfo(zxid, info) => (zxid.epoch(), true, info),
        other @ (FromLearner::AckEpoch(..)
        | FromLearner::Ack(_)
        | FromLearner::Ping(..)
        | FromLearner::Revalidate(_)
        | FromLearner::Request(..)) => panic!("{other:?}"),
    };
    let mut answers = said.iter().filter(|line| line.side == "learner");
    let answer = answers.find_map(|line| {
        let FromLearner::AckEpoch(zxid, answer) = message(&line.bytes) else { return None };
        Some(match answer {
            EpochAnswer::Accepted { current } => (zxid, current),
            EpochAnswer::AlreadyPromised => (zxid, accepted),
        })
    });
    let Some((last, current)) = answer else { return (vec![], vec![]) };
    let history = History { accepted, current, last, is_doubtful: false };
    let mut rig = Rig::with(settings(learner, is_observer, info), history);
    rig.take();
    let mut done = rig.dialled();
    let mut expected = Vec::new();
    for line in said {
        if line.side != "learner" {
            let lines = rig.bytes(&line.bytes);
            serve(&mut rig, lines, &mut done);
            continue;
        }
        expected.extend(packets(&line.bytes));
        let lines = match message(&line.bytes) {
            FromLearner::Request(request, identities) => {
                let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
                let id = |id: &WireId<'_>| AuthId::new(text(id.scheme.text()), text(id.id.text()));
                rig.told(Input::Forward(Forwarded {
                    session: request.session,
                    xid: request.xid,
                    op: request.op,
                    body: request.body.to_vec(),
                    identities: identities.map(|ids| ids.iter().map(id).collect()),
                }))
            }
            FromLearner::Revalidate(asked) => {
                let (session, timeout_ms) = (asked.session, asked.timeout_ms);
                rig.told(Input::Revalidate { session, timeout_ms })
            }
            FromLearner::Ping(_, touches) => rig.told(Input::Pong(touches.0)),
            FromLearner::FollowerInfo(..)
            | FromLearner::ObserverInfo(..)
            | FromLearner::AckEpoch(..)
            | FromLearner::Ack(_) => vec![],
        };
        serve(&mut rig, lines, &mut done);
    }
    let spoken =
        done.into_iter().filter(|line| line.chars().next().is_some_and(char::is_uppercase));
    let spoken: Vec<_> = spoken.collect();
    assert_eq!(packets(&rig.sent), spoken);
    let mut bytes: Vec<_> =
        said.iter().filter(|it| it.side == "learner").map(|it| &it.bytes).collect();
    let sent = rig.sent.clone();
    // The same packets in the same bytes, whatever came between them.
    bytes.retain(|bytes| !sent.windows(bytes.len()).any(|window| window == bytes.as_slice()));
    assert!(bytes.is_empty(), "{learner}: other bytes than {bytes:02x?}");
    (spoken, expected)
}

/// Storage does everything at once.
fn serve(rig: &mut Rig, lines: Vec<String>, done: &mut Vec<String>) {
    for line in lines {
        let more = if line.starts_with("save accepted") {
            rig.told(Input::EpochSaved(EpochFile::Accepted))
        } else if line.starts_with("save current") {
            rig.told(Input::EpochSaved(EpochFile::Current))
        } else if line == "install" {
            rig.told(Input::Installed)
        } else if let Some(zxid) = line.strip_prefix("append ") {
            rig.synced(Zxid::new(i64::from_str_radix(zxid, 16).expect("a zxid")))
        } else if let Some(zxid) = line.strip_prefix("truncate ") {
            let last = Zxid::new(i64::from_str_radix(zxid, 16).expect("a zxid"));
            rig.told(Input::Truncated { last })
        } else {
            vec![]
        };
        done.push(line);
        serve(rig, more, done);
    }
}

fn settings(me: i64, is_observer: bool, info: LearnerInfo) -> LearnerConfig {
    let config_version = info.config_version.expect("it is not that old");
    LearnerConfig { me: ServerId::new(me), config_version, ..config(is_observer) }
}

#[test]
fn ours_says_what_apache_learners_said() {
    let mut count = 0;
    let mut kinds = std::collections::BTreeSet::new();
    for (name, lines) in captures() {
        for (learner, _, said) in conversations(&lines) {
            let (mut ours, mut theirs) = replay(learner, &said);
            // Acknowledgements of ours come at once; theirs when their disk was done.
            ours.sort();
            theirs.sort();
            assert_eq!(ours, theirs, "{name}: {learner}");
            count += usize::from(!ours.is_empty());
            kinds.extend(ours.iter().filter_map(|line| line.split(' ').next().map(str::to_owned)));
        }
    }
    assert!(count >= 5, "{count} conversations");
    for kind in ["FOLLOWERINFO", "OBSERVERINFO", "ACKEPOCH", "ACK", "PING", "REQUEST"] {
        assert!(kinds.contains(kind), "{kind}");
    }
}
