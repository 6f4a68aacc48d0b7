//! A learner against a leader that says what it is told to, packet by packet.
//!
//! Every test reads as a transcript: what is said to the learner, and what it does about it.
//! quorum-protocol.md sections 4 to 6, 10, 11, annex B; reliability.md rules 4, 5, 8 to 10, 15

mod captured;
mod flow;
mod hostile;
mod rig;
mod state;
mod sync;

use rig::{Rig, at, config, epoch, proposal, start};
use zk_proto::{
    AuthId, SessionId, Version, WallMillis, Xid, Zxid,
    jute::encode,
    quorum::{FromLeader, Revalidated, SessionTouch},
    txn::{DataTxn, Txn, TxnHeader, TxnRecord},
};
use zk_server_core::zab::{
    Forwarded,
    learner::{Input, LearnerConfig},
};

#[test]
fn a_new_member_follows_a_new_leader() {
    // Annex B.1
    let mut rig = Rig::new(start(0, 0, at(0, 0)));
    assert_eq!(rig.take(), ["dial 3"]);
    assert_eq!(rig.dialled(), ["FOLLOWERINFO 0"]);
    assert_eq!(rig.leader_info(1), ["save accepted 1"]);
    assert_eq!(rig.accepted(), ["ACKEPOCH 0 follows 0"]);
    assert_eq!(rig.hears(&FromLeader::Diff(at(0, 0))), [""; 0]);
    assert_eq!(rig.new_leader(1), ["save current 1"]);
    assert_eq!(rig.adopted(), ["ACK 100000000"]);
    assert_eq!(
        rig.hears(&FromLeader::UpToDate),
        ["ACK 100000000", "config servers", "established 1"]
    );
    assert!(rig.learner.is_established());
}

#[test]
fn a_member_that_missed_a_few_gets_only_these() {
    // Annex B.2: the same epoch again is answered with -1 and promised no second time.
    let mut rig = Rig::new(start(1, 1, at(1, 0x12)));
    assert_eq!(rig.dialled(), ["dial 3", "FOLLOWERINFO 100000000"]);
    assert_eq!(rig.leader_info(1), ["ACKEPOCH 100000012 -1"]);
    assert_eq!(rig.hears(&FromLeader::Diff(at(1, 0x14))), [""; 0]);
    assert_eq!(rig.proposes(at(1, 0x13)), [""; 0]);
    assert_eq!(
        rig.hears(&FromLeader::Commit(at(1, 0x13))),
        ["append 100000013", "apply 100000013"]
    );
    assert_eq!(rig.proposes(at(1, 0x14)), [""; 0]);
    rig.hears(&FromLeader::Commit(at(1, 0x14)));
    // reliability.md rule 5; ZOOKEEPER-3911, 3023, 4646, 4685, 4785
    assert_eq!(rig.new_leader(1), [""; 0], "the history is not durable yet");
    assert_eq!(rig.synced(at(1, 0x13)), [""; 0], "nor the whole of it");
    assert_eq!(rig.synced(at(1, 0x14)), ["save current 1"], "and no word of the transactions");
    assert_eq!(rig.adopted(), ["ACK 100000000"]);
}

#[test]
fn a_configuration_that_may_come_into_force_is_announced() {
    let reconfig = |zxid: Zxid, text: &str| {
        let txn = Txn::Reconfig(DataTxn {
            path: "/zookeeper/config".into(),
            data: Some(text.as_bytes().into()),
            version: Version::ANY,
        });
        let (session, xid, time) = (SessionId::new(1), Xid::new(1), WallMillis::new(1));
        let header = TxnHeader { session, xid, zxid, time, kind: txn.kind() };
        encode(&TxnRecord { header, txn, digest: None })
    };
    let mut rig = Rig::new(start(1, 1, at(1, 1)));
    rig.dialled();
    rig.leader_info(1);
    rig.hears(&FromLeader::Diff(at(1, 2)));
    // Of the history only the end counts.
    rig.hears(&FromLeader::Proposal(at(1, 2), &reconfig(at(1, 2), "past")));
    rig.hears(&FromLeader::Commit(at(1, 2)));
    rig.synced(at(1, 2));
    rig.hears(&FromLeader::Proposal(at(1, 3), &reconfig(at(1, 3), "next")));
    assert_eq!(rig.announced, [""; 0]);
    assert_eq!(rig.new_leader(1), ["save current 1"]);
    assert_eq!(rig.announced, ["servers", "next"]);
    rig.hears(&FromLeader::Proposal(at(1, 4), &reconfig(at(1, 4), "later")));
    assert_eq!(rig.announced, ["servers", "next", "later"]);
}

#[test]
fn the_epoch_follows_the_history() {
    // ZOOKEEPER-4643
    let mut rig = Rig::new(start(1, 1, at(1, 2)));
    rig.dialled();
    assert_eq!(rig.leader_info(2), ["save accepted 2"]);
    assert_eq!(rig.accepted(), ["ACKEPOCH 100000002 follows 1"]);
    rig.hears(&FromLeader::Diff(at(1, 3)));
    rig.proposes(at(1, 3));
    rig.hears(&FromLeader::Commit(at(1, 3)));
    assert_eq!(rig.new_leader(2), [""; 0]);
    assert_eq!(rig.synced(at(1, 3)), ["save current 2"]);
    assert_eq!(rig.adopted(), ["ACK 200000000"]);
}

#[test]
fn i2_a_leader_of_an_older_epoch_is_left() {
    let mut rig = Rig::new(start(5, 4, at(4, 2)));
    assert_eq!(rig.dialled(), ["dial 3", "FOLLOWERINFO 500000000"]);
    assert_eq!(rig.leader_info(4), ["close", "lost OldEpoch"]);
    assert_eq!(rig.leader_info(6), [""; 0], "the term is over");
}

#[test]
fn i13_each_transaction_is_acknowledged_once_and_when_it_is_durable() {
    // ZOOKEEPER-2845, 4712: nothing speaks for what the log may still lose.
    let mut rig = Rig::established(1, at(0, 0));
    assert_eq!(rig.proposes(at(1, 1)), ["append 100000001"]);
    assert_eq!(rig.proposes(at(1, 2)), ["append 100000002"]);
    assert_eq!(rig.proposes(at(1, 3)), ["append 100000003"]);
    assert_eq!(rig.synced(at(1, 2)), ["ACK 100000001", "ACK 100000002"]);
    assert_eq!(rig.synced(at(1, 2)), [""; 0]);
    assert_eq!(rig.hears(&FromLeader::Commit(at(1, 1))), ["apply 100000001"]);
    assert_eq!(rig.synced(at(1, 3)), ["ACK 100000003"]);
    assert_eq!(rig.hears(&FromLeader::Commit(at(1, 2))), ["apply 100000002"]);
}

#[test]
fn the_acknowledgements_of_a_batch_leave_in_one_write() {
    let mut rig = Rig::established(1, at(0, 0));
    for counter in 1..=5 {
        rig.proposes(at(1, counter));
    }
    let before = rig.sends;
    assert_eq!(rig.synced(at(1, 5)).len(), 5);
    assert_eq!(rig.sends, before + 1);
}

#[test]
fn i10_a_gap_ends_the_term() {
    for wrong in [at(1, 3), at(1, 1), at(2, 1), at(0, 2)] {
        let mut rig = Rig::established(1, at(0, 0));
        rig.proposes(at(1, 1));
        assert_eq!(rig.proposes(wrong), ["close", "lost Gap"], "{wrong:?}");
    }
    // And while the history comes in, in the middle of an epoch and at the beginning of the next.
    for wrong in [at(1, 4), at(2, 2)] {
        let mut rig = Rig::new(start(1, 1, at(1, 2)));
        rig.dialled();
        rig.leader_info(2);
        rig.accepted();
        rig.hears(&FromLeader::Diff(at(2, 5)));
        assert_eq!(rig.proposes(wrong), ["close", "lost Gap"], "{wrong:?}");
    }
}

#[test]
fn i10_only_the_oldest_pending_transaction_is_applied() {
    for wrong in [at(1, 2), at(1, 3), at(0, 9)] {
        let mut rig = Rig::established(1, at(0, 0));
        rig.proposes(at(1, 1));
        rig.proposes(at(1, 2));
        assert_eq!(rig.hears(&FromLeader::Commit(wrong)), ["close", "lost Gap"], "{wrong:?}");
    }
    let mut rig = Rig::established(1, at(0, 0));
    assert_eq!(rig.hears(&FromLeader::Commit(at(1, 1))), ["close", "lost Gap"], "never proposed");
}

#[test]
fn an_observer_logs_what_it_is_informed_of_and_says_nothing() {
    let mut rig = Rig::established_observer(1);
    let (zxid, payload) = (at(1, 1), proposal(at(1, 1)));
    assert_eq!(
        rig.hears(&FromLeader::Inform(zxid, &payload)),
        ["append 100000001", "apply 100000001"]
    );
    assert_eq!(rig.synced(zxid), [""; 0]);
    assert_eq!(rig.proposes(at(1, 2)), [""; 0], "a proposal is none of its business");
}

#[test]
fn a_ping_is_answered_with_its_zxid_and_who_was_heard_of() {
    let mut rig = Rig::established(1, at(0, 0));
    assert_eq!(rig.hears(&FromLeader::Ping(at(1, 7))), ["ping?"]);
    let touches = vec![SessionTouch { session: SessionId::new(5), timeout_ms: 8_000 }];
    assert_eq!(rig.told(Input::Pong(touches)), ["PING 100000007 1"]);
    assert_eq!(rig.told(Input::Pong(vec![])), [""; 0], "nobody asked");
}

#[test]
fn clients_requests_go_to_the_leader_with_who_they_are() {
    let mut rig = Rig::established(1, at(0, 0));
    let request = |identities| Forwarded {
        session: SessionId::new(5),
        xid: Xid::new(1),
        op: 9,
        body: vec![1, 2, 3],
        identities,
    };
    assert_eq!(rig.told(Input::Forward(request(None))), ["REQUEST 5 1 9 3 none"]);
    let identities = Some(vec![AuthId::new("ip", "::1")]);
    assert_eq!(rig.told(Input::Forward(request(identities))), ["REQUEST 5 1 9 3 ip:::1"]);
    assert_eq!(rig.hears(&FromLeader::Sync(at(0, 0))), ["sync ready"]);
    let session = SessionId::new(5);
    let asked = Input::Revalidate { session, timeout_ms: 8_000 };
    assert_eq!(rig.told(asked), ["REVALIDATE 5 8000"]);
    let answer = Revalidated { session, is_valid: true };
    assert_eq!(rig.hears(&FromLeader::Revalidate(answer)), ["session 5 true"]);
}

#[test]
fn a_leader_that_falls_silent_is_left() {
    let mut rig = Rig::established(1, at(0, 0));
    rig.wait(4_999);
    assert_eq!(rig.told(Input::Timeout), [""; 0]);
    rig.hears(&FromLeader::Ping(at(1, 0)));
    rig.wait(4_999);
    assert_eq!(rig.told(Input::Timeout), [""; 0], "it gave a sign of life");
    rig.wait(1);
    assert_eq!(rig.told(Input::Timeout), ["close", "lost Silent"]);
    assert_eq!(rig.learner.next_timeout(), None);
}

#[test]
fn a_slow_disk_of_ours_is_not_the_silence_of_the_leader() {
    let mut rig = Rig::new(start(1, 1, at(1, 2)));
    rig.dialled();
    rig.leader_info(2);
    rig.wait(60_000);
    assert_eq!(rig.told(Input::Timeout), [""; 0]);
    assert_eq!(rig.accepted(), ["ACKEPOCH 100000002 follows 1"]);
    rig.wait(10_000);
    assert_eq!(rig.told(Input::Timeout), ["close", "lost Silent"]);
}

#[test]
fn a_leader_that_is_not_ready_is_dialled_again_soon() {
    let mut rig = Rig::new(start(1, 1, at(1, 2)));
    assert_eq!(rig.take(), ["dial 3"]);
    let mut pauses = Vec::new();
    loop {
        let said = rig.told(Input::DialFailed);
        if said == ["lost Unreachable"] {
            break;
        }
        assert_eq!(said, [""; 0]);
        let until = rig.learner.next_timeout().expect("it is dialled again");
        pauses.push(until.since(rig.now).as_millis());
        rig.now = until;
        assert_eq!(rig.told(Input::Timeout), ["dial 3"]);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 100, 100, 100]);
}

#[test]
fn a_link_that_breaks_ends_the_term() {
    let mut rig = Rig::established(1, at(0, 0));
    let link = rig.link;
    assert_eq!(rig.told(Input::Closed { link }), ["lost LinkClosed"]);
    assert!(rig.learner.outgoing(link).is_none());
}

#[test]
fn f23_what_comes_out_of_turn_ends_the_term() {
    let early = [
        FromLeader::UpToDate,
        FromLeader::NewLeader(epoch(1), "x".into()),
        FromLeader::Diff(at(0, 0)),
        FromLeader::Ping(at(0, 0)),
        FromLeader::Commit(at(0, 1)),
    ];
    for packet in early {
        let mut rig = Rig::new(start(0, 0, at(0, 0)));
        rig.dialled();
        assert_eq!(rig.hears(&packet), ["close", "lost Violation"], "{packet:?}");
    }
    let mut rig = Rig::established(1, at(0, 0));
    assert_eq!(rig.hears(&FromLeader::UpToDate), ["close", "lost Violation"]);
    let mut rig = Rig::new(start(0, 0, at(0, 0)));
    rig.dialled();
    rig.leader_info(1);
    rig.accepted();
    rig.hears(&FromLeader::Diff(at(0, 0)));
    assert_eq!(rig.new_leader(2), ["close", "lost Violation"], "the epoch of another leader");
}

#[test]
fn what_an_earlier_term_asked_for_is_none_of_this_ones() {
    // reliability.md rule 16
    let mut rig = Rig::new(start(1, 1, at(1, 2)));
    rig.dialled();
    assert_eq!(rig.told(Input::Installed), [""; 0]);
    assert_eq!(rig.told(Input::Truncated { last: at(1, 1) }), [""; 0]);
    assert_eq!(rig.told(Input::CannotTruncate), [""; 0]);
    assert_eq!(rig.accepted(), [""; 0]);
    assert_eq!(rig.adopted(), [""; 0]);
    assert_eq!(rig.leader_info(2), ["save accepted 2"]);
    assert_eq!(rig.adopted(), [""; 0]);
    assert_eq!(rig.accepted(), ["ACKEPOCH 100000002 follows 1"]);
}

#[test]
fn f17_i40_a_follower_that_cannot_keep_up_gives_up_before_it_holds_too_much() {
    let one = proposal(at(1, 1)).len();
    let config = LearnerConfig { pending_bytes_max: 6 * one, ..config(false) };
    let established = || {
        let mut rig = Rig::with(config, start(0, 0, at(0, 0)));
        rig.dialled();
        rig.leader_info(1);
        rig.accepted();
        rig.hears(&FromLeader::Diff(at(0, 0)));
        rig.new_leader(1);
        rig.adopted();
        rig.hears(&FromLeader::UpToDate);
        rig
    };
    // Each is undecided, and not on the disk.
    let mut rig = established();
    for counter in 1..=4 {
        assert_eq!(rig.proposes(at(1, counter)), [format!("append {:x}", at(1, counter))]);
    }
    assert_eq!(rig.proposes(at(1, 5)), ["close", "lost Behind"]);
    assert_eq!(rig.learner.held_bytes(), 0);
    // Who keeps up takes any number.
    let mut rig = established();
    for counter in 1..=100 {
        rig.proposes(at(1, counter));
        rig.synced(at(1, counter));
        rig.hears(&FromLeader::Commit(at(1, counter)));
    }
    assert_eq!(rig.learner.held_bytes(), 0);
    assert!(rig.learner.is_established());
}
