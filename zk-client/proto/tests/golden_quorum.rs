//! What members of an Apache 3.9.5 ensemble said to each other, decoded and encoded again: nothing
//! may change.
//!
//! `golden/election/*.hex` hold the election port, `golden/quorum/*.hex` the quorum port. Each line
//! is a kind, who said it to whom, and the bytes: `hello:3:1 …`, `notification:3:1 …`,
//! `learner:1:3 …`, `leader:3:1 …`, and `stream:3:1 …` for a snapshot.

mod captured;

use std::collections::BTreeSet;

use captured::{files, same};
use zk_proto::{
    ballot::{Hello, Notification},
    ensemble::EnsembleConfig,
    jute::encode,
    limits::FRAME_BYTES_MAX_DEFAULT,
    quorum::{FromLeader, FromLearner, PacketKind, QuorumPacket, SNAPSHOT_SIGNATURE, split_packet},
    txn::TxnRecord,
};

#[test]
fn every_captured_packet_survives_decoding_and_encoding() {
    let mut failures = Vec::new();
    let mut kinds = BTreeSet::new();
    for (name, lines) in files("quorum") {
        for (number, (kind, bytes)) in lines.iter().enumerate() {
            let outcome = match side(kind) {
                "leader" => leader(bytes).map(|packet| kinds.insert(packet.kind().get())),
                "learner" => learner(bytes).map(|packet| kinds.insert(packet.kind().get())),
                "stream" => stream(bytes),
                other => Err(format!("unknown kind {other}")),
            };
            if let Err(problem) = outcome {
                failures.push(format!("{name}:{number} {kind}: {problem}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let missing: Vec<_> =
        PacketKind::ALL.iter().filter(|kind| !kinds.contains(&kind.get())).collect();
    assert!(missing.is_empty(), "no capture of {missing:?}");
}

#[test]
fn every_captured_ballot_survives_decoding_and_encoding() {
    let mut failures = Vec::new();
    for (name, lines) in files("election") {
        for (number, (kind, bytes)) in lines.iter().enumerate() {
            let outcome = match side(kind) {
                "hello" => same::<Hello>(bytes),
                "notification" => notification(bytes),
                other => Err(format!("unknown kind {other}")),
            };
            if let Err(problem) = outcome {
                failures.push(format!("{name}:{number} {kind}: {problem}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_synchronisation_has_its_fixed_beginning() {
    let cases = [
        ("fresh", "1:2", "FOLLOWERINFO LEADERINFO ACKEPOCH DIFF NEWLEADER ACK UPTODATE ACK"),
        (
            "diff",
            "1:2",
            "FOLLOWERINFO LEADERINFO ACKEPOCH DIFF PROPOSAL COMMIT PROPOSAL COMMIT PROPOSAL COMMIT \
             PROPOSAL COMMIT PROPOSAL COMMIT NEWLEADER ACK UPTODATE ACK",
        ),
        ("trunc", "1:2", "FOLLOWERINFO LEADERINFO ACKEPOCH TRUNC NEWLEADER ACK UPTODATE ACK"),
        ("snap", "1:2", "FOLLOWERINFO LEADERINFO ACKEPOCH SNAP stream NEWLEADER ACK UPTODATE ACK"),
        ("observer", "4:2", "OBSERVERINFO LEADERINFO ACKEPOCH SNAP stream NEWLEADER ACK UPTODATE"),
    ];
    let files = files("quorum");
    for (name, pair, expected) in cases {
        let said = conversation(&files[name], pair);
        assert!(said.starts_with(expected), "{name}: {said}");
    }
}

/// The names of the packets that went between two members, either way.
fn conversation(lines: &[(String, Vec<u8>)], pair: &str) -> String {
    let (learner, leader) = pair.split_once(':').expect("two members");
    let names: Vec<_> = lines
        .iter()
        .filter(|(kind, _)| {
            kind.ends_with(&format!(":{learner}:{leader}"))
                || kind.ends_with(&format!(":{leader}:{learner}"))
        })
        .map(|(kind, bytes)| match side(kind) {
            "stream" => "stream",
            _ => PacketKind::new(packet(bytes).expect("checked above").kind)
                .map_or("?", PacketKind::name),
        })
        .collect();
    names.join(" ")
}

fn side(kind: &str) -> &str {
    kind.split(':').next().unwrap_or(kind)
}

fn packet(bytes: &[u8]) -> Result<QuorumPacket<'_>, String> {
    same::<QuorumPacket<'_>>(bytes)?;
    let split = split_packet(bytes, FRAME_BYTES_MAX_DEFAULT).map_err(|error| error.to_string())?;
    let split = split.ok_or("not whole")?;
    assert_eq!(split.length, bytes.len());
    Ok(split.packet)
}

fn leader(bytes: &[u8]) -> Result<FromLeader<'_>, String> {
    let meaning = FromLeader::read(&packet(bytes)?).map_err(|error| error.to_string())?;
    if encode(&meaning) != bytes {
        return Err(format!("{meaning:?} encodes differently"));
    }
    match meaning {
        FromLeader::Proposal(_, payload) | FromLeader::Inform(_, payload) => txn(payload)?,
        FromLeader::InformAndActivate(_, activation) => txn(activation.txn)?,
        FromLeader::NewLeader(_, text) => config(text.text().ok_or("no text")?)?,
        FromLeader::LeaderInfo(..)
        | FromLeader::Diff(_)
        | FromLeader::Trunc(_)
        | FromLeader::Snap(_)
        | FromLeader::UpToDate
        | FromLeader::Commit(_)
        | FromLeader::CommitAndActivate(..)
        | FromLeader::Ping(_)
        | FromLeader::Revalidate(_)
        | FromLeader::Sync(_) => {}
    }
    Ok(meaning)
}

fn learner(bytes: &[u8]) -> Result<FromLearner<'_>, String> {
    let meaning = FromLearner::read(&packet(bytes)?).map_err(|error| error.to_string())?;
    if encode(&meaning) == bytes { Ok(meaning) } else { Err(format!("{meaning:?} differs")) }
}

fn stream(bytes: &[u8]) -> Result<bool, String> {
    let mut end = b"\0\0\0\x01/".to_vec();
    end.extend(10_u32.to_be_bytes());
    end.extend(SNAPSHOT_SIGNATURE.as_bytes());
    if bytes.ends_with(&end) { Ok(true) } else { Err("does not end with its signature".into()) }
}

fn txn(payload: &[u8]) -> Result<(), String> {
    let record =
        TxnRecord::decode(payload, FRAME_BYTES_MAX_DEFAULT).map_err(|error| error.to_string())?;
    if encode(&record) == payload { Ok(()) } else { Err("transaction encodes differently".into()) }
}

fn notification(bytes: &[u8]) -> Result<(), String> {
    same::<Notification<'_>>(bytes)?;
    let notification = zk_proto::jute::decode::<Notification<'_>>(bytes).expect("checked");
    config(notification.config().ok_or("no configuration")?)
}

fn config(text: &str) -> Result<(), String> {
    let config = EnsembleConfig::parse(text).map_err(|error| error.to_string())?;
    if config.to_string() == text { Ok(()) } else { Err(format!("{config} is not {text}")) }
}
