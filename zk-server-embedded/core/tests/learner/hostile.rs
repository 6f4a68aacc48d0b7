//! Bytes in any pieces, and bytes that no leader sends.
//!
//! reliability.md F23, F24, M51, rule 24

use zk_proto::{
    jute::encode,
    quorum::{FromLeader, LeaderInfo},
};
use zk_server_core::{storage::epoch_file::EpochFile, zab::learner::Input};

use crate::{
    rig::{Rig, at, epoch, proposal, start},
    state::{body, stream},
};

/// A whole synchronisation with a state in it, and some traffic: what a leader says in between two
/// answers it waits for.
fn script() -> [Vec<u8>; 3] {
    let proposals: Vec<_> =
        (1..=4).map(|counter| (at(1, counter), proposal(at(1, counter)))).collect();
    let propose = |number: usize| {
        let (zxid, payload) = &proposals[number];
        encode(&FromLeader::Proposal(*zxid, payload))
    };
    let info = LeaderInfo { protocol_version: 0x1_0000 };
    let discovery = encode(&FromLeader::LeaderInfo(epoch(1), info));
    let synchronisation = [
        encode(&FromLeader::Snap(at(1, 0))),
        stream(),
        propose(0),
        encode(&FromLeader::Commit(at(1, 1))),
        propose(1),
        encode(&FromLeader::NewLeader(epoch(1), "servers".into())),
        encode(&FromLeader::Commit(at(1, 2))),
    ];
    let broadcast = [
        encode(&FromLeader::UpToDate),
        encode(&FromLeader::Ping(at(1, 2))),
        propose(2),
        propose(3),
        encode(&FromLeader::Commit(at(1, 3))),
    ];
    [discovery, synchronisation.concat(), broadcast.concat()]
}

/// The pieces of a script, each of the same size.
fn pieces(script: &[Vec<u8>; 3], size: usize) -> impl Iterator<Item = &[u8]> {
    script.iter().flat_map(move |part| part.chunks(size))
}

/// Feeds pieces; storage answers at once.
fn play<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<String>, Rig) {
    let mut rig = Rig::new(start(0, 0, at(0, 0)));
    let mut said = rig.dialled();
    for piece in pieces {
        let lines = rig.bytes(piece);
        let mut waiting: std::collections::VecDeque<String> = lines.into();
        while let Some(line) = waiting.pop_front() {
            let more = if line == "save accepted 1" {
                rig.told(Input::EpochSaved(EpochFile::Accepted))
            } else if line == "save current 1" {
                rig.told(Input::EpochSaved(EpochFile::Current))
            } else if line == "install" {
                rig.told(Input::Installed)
            } else if let Some(zxid) = line.strip_prefix("append ") {
                let raw = i64::from_str_radix(zxid, 16).expect("a zxid");
                rig.synced(zk_proto::Zxid::new(raw))
            } else if line == "ping?" {
                rig.told(Input::Pong(vec![]))
            } else {
                vec![]
            };
            said.push(line);
            waiting.extend(more);
        }
    }
    (said, rig)
}

#[test]
fn the_pieces_in_which_bytes_come_do_not_matter() {
    let script = script();
    // An acknowledgement may come between two packets of one piece or behind both.
    let told_apart = |said: Vec<String>| -> (Vec<_>, Vec<_>) {
        said.into_iter().partition(|line| line.starts_with("ACK "))
    };
    let one_by_one = told_apart(play(pieces(&script, 1)).0);
    assert!(one_by_one.1.contains(&"apply 100000003".to_owned()), "{one_by_one:?}");
    assert_eq!(one_by_one.0.last().map(String::as_str), Some("ACK 100000004"));
    let mut seed = 7_u64;
    for _ in 0..200 {
        let mut pieces = Vec::new();
        for mut rest in script.iter().map(Vec::as_slice) {
            while !rest.is_empty() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let size = usize::try_from(seed >> 33).expect("31 bits") % 300 + 1;
                let (piece, after) = rest.split_at(size.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
        }
        let mut said = told_apart(play(pieces.into_iter()).0);
        let mut expected = one_by_one.clone();
        assert_eq!(said.0, expected.0);
        said.1.sort();
        expected.1.sort();
        assert_eq!(said.1, expected.1);
    }
}

#[test]
fn f37_a_link_that_breaks_inside_any_packet_is_a_broken_link() {
    let script = script();
    let total: usize = script.iter().map(Vec::len).sum();
    for length in 0..total {
        let mut left = length;
        let mut cut = script.clone();
        for part in &mut cut {
            part.truncate(left);
            left -= part.len();
        }
        let (said, mut rig) = play(pieces(&cut, 64));
        let link = rig.link;
        assert_eq!(rig.told(Input::Closed { link }), ["lost LinkClosed"], "{length}: {said:?}");
    }
}

#[test]
fn f24_a_flipped_bit_never_has_an_epoch_acknowledged_out_of_turn() {
    let script = script();
    let mut acknowledged = 0;
    for part in 0..script.len() {
        for place in 0..script[part].len() {
            for bit in [0, 7] {
                let mut script = script.clone();
                script[part][place] ^= 1 << bit;
                let (said, _) = play(pieces(&script, 97));
                if let Some(first) = said.iter().position(|line| line.starts_with("ACK ")) {
                    acknowledged += 1;
                    let before = &said[..first];
                    for needed in ["save accepted", "replace", "install", "save current"] {
                        assert!(before.iter().any(|it| it.starts_with(needed)), "{said:?}");
                    }
                }
            }
        }
    }
    assert!(acknowledged > 100, "{acknowledged}");
}

#[test]
fn m51_a_state_that_is_none_ends_the_term() {
    let begin = || {
        let mut rig = Rig::new(start(0, 0, at(0, 0)));
        rig.dialled();
        rig.leader_info(1);
        rig.accepted();
        rig.hears(&FromLeader::Snap(at(1, 1)));
        rig
    };
    let huge = |count: i32, rest: &[u8]| [&count.to_be_bytes(), rest].concat();
    let hostile: [(&str, Vec<u8>); 7] = [
        ("another signature", [body().as_slice(), b"\0\0\0\x0aBenWasHerf"].concat()),
        ("no signature", [body().as_slice(), b"\0\0\0\x01x"].concat()),
        ("a long signature", [body().as_slice(), &[0x7f, 0xff, 0xff, 0xff]].concat()),
        ("less than no sessions", huge(-1, &[])),
        ("less than no lists", [&0_i32.to_be_bytes()[..], &(-1_i32).to_be_bytes()].concat()),
        ("an endless path", [&[0; 8][..], &[0x7f, 0xff, 0xff, 0xff]].concat()),
        // A node without a parent.
        ("an orphan", [&[0; 8][..], b"\0\0\0\x04/a/b", &[0xff; 4], &[0; 8], &[0; 60]].concat()),
    ];
    for (what, bytes) in hostile {
        for size in [1, 7, 4_096] {
            let mut rig = begin();
            let said: Vec<_> = bytes.chunks(size).flat_map(|piece| rig.bytes(piece)).collect();
            assert_eq!(said, ["close", "lost Violation"], "{what}");
        }
    }
    // What is only claimed takes no memory and no time.
    let mut rig = begin();
    assert_eq!(rig.bytes(&huge(i32::MAX, &[0; 100])), [""; 0]);
}

#[test]
fn m53_a_transaction_that_cannot_be_read_is_not_logged() {
    let good = proposal(at(1, 1));
    let mut other = good.clone();
    other[31] = 99;
    let longer = [good.as_slice(), &[0; 3]].concat();
    for payload in [&good[..20], &[], &other, &longer, &proposal(at(1, 2))] {
        let mut rig = Rig::established(1, at(0, 0));
        let said = rig.hears(&FromLeader::Proposal(at(1, 1), payload));
        assert_eq!(said, ["close", "lost Violation"]);
    }
}

#[test]
fn a_kind_of_packet_we_do_not_know_is_passed_over() {
    let mut unknown = encode(&FromLeader::Ping(at(1, 0)));
    unknown[3] = 99;
    let mut rig = Rig::established(1, at(0, 0));
    assert_eq!(rig.bytes(&unknown), [""; 0]);
    assert_eq!(rig.hears(&FromLeader::Ping(at(1, 0))), ["ping?"]);
    // Where the leader must say how it goes on, nothing else will do.
    let mut rig = Rig::new(start(0, 0, at(0, 0)));
    rig.dialled();
    rig.leader_info(1);
    rig.accepted();
    assert_eq!(rig.bytes(&unknown), ["close", "lost Violation"]);
}

#[test]
fn a_packet_without_an_end_is_refused() {
    let mut rig = Rig::established(1, at(0, 0));
    let mut endless = encode(&FromLeader::Ping(at(1, 0)));
    endless.truncate(12);
    endless.extend_from_slice(&i32::MAX.to_be_bytes());
    assert_eq!(rig.bytes(&endless), ["close", "lost Violation"]);
}
