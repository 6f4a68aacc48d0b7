//! How a history becomes the leader's.

use zk_proto::quorum::FromLeader;
use zk_server_core::zab::{History, learner::Input};

use crate::rig::{Rig, at, epoch, proposal, start};
use crate::state::stream;

#[test]
fn what_no_leader_knows_is_cut_off() {
    // Annex B.3
    let mut rig = Rig::new(start(1, 1, at(1, 0x19)));
    rig.dialled();
    assert_eq!(rig.leader_info(1), ["ACKEPOCH 100000019 -1"]);
    assert_eq!(rig.hears(&FromLeader::Trunc(at(1, 0x17))), ["truncate 100000017"]);
    // What follows waits until it is done.
    assert_eq!(rig.proposes(at(1, 0x18)), [""; 0]);
    assert_eq!(rig.new_leader(1), [""; 0]);
    assert_eq!(rig.told(Input::Truncated { last: at(1, 0x17) }), ["save current 1"]);
    assert_eq!(rig.adopted(), ["ACK 100000000"]);
    assert_eq!(
        rig.hears(&FromLeader::UpToDate),
        ["ACK 100000000", "config servers", "established 1", "append 100000018"]
    );
    assert_eq!(rig.synced(at(1, 0x18)), ["ACK 100000018"]);
}

#[test]
fn a_cut_that_misses_its_place_ends_the_term() {
    // quorum-protocol.md section 11: TRUNC to a zxid that is not there
    let cut = |wanted, left| {
        let mut rig = Rig::new(start(2, 2, at(2, 9)));
        rig.dialled();
        rig.leader_info(2);
        rig.hears(&FromLeader::Trunc(wanted));
        rig.told(Input::Truncated { last: left })
    };
    assert_eq!(cut(at(2, 7), at(2, 7)), [""; 0]);
    assert_eq!(cut(at(2, 7), at(2, 6)), ["close", "lost CannotTruncate"]);
    // The beginning of an epoch is no transaction.
    assert_eq!(cut(at(2, 0), at(1, 6)), [""; 0]);

    let mut rig = Rig::new(start(2, 2, at(2, 9)));
    rig.dialled();
    rig.leader_info(2);
    rig.hears(&FromLeader::Trunc(at(1, 7)));
    assert_eq!(rig.told(Input::CannotTruncate), ["close", "lost CannotTruncate"]);
}

#[test]
fn a_leader_that_ends_before_us_must_cut_us() {
    let mut rig = Rig::new(start(1, 1, at(1, 9)));
    rig.dialled();
    rig.leader_info(1);
    assert_eq!(rig.hears(&FromLeader::Diff(at(1, 8))), ["close", "lost Violation"]);
    for wrong in [at(1, 9), at(1, 10)] {
        let mut rig = Rig::new(start(1, 1, at(1, 9)));
        rig.dialled();
        rig.leader_info(1);
        assert_eq!(rig.hears(&FromLeader::Trunc(wrong)), ["close", "lost Violation"]);
    }
}

#[test]
fn a_history_that_is_not_all_there_is_not_acknowledged() {
    let mut rig = Rig::new(start(1, 1, at(1, 2)));
    rig.dialled();
    rig.leader_info(2);
    rig.accepted();
    rig.hears(&FromLeader::Diff(at(1, 4)));
    rig.proposes(at(1, 3));
    rig.hears(&FromLeader::Commit(at(1, 3)));
    rig.proposes(at(1, 4));
    assert_eq!(rig.new_leader(2), ["close", "lost Gap"], "1:4 was not decided");
}

#[test]
fn a_whole_state_is_installed_before_it_is_acknowledged() {
    // Annex B.4; reliability.md rule 10; ZOOKEEPER-3642
    let mut rig = Rig::new(start(0, 0, at(0, 0)));
    rig.dialled();
    rig.leader_info(1);
    assert_eq!(rig.accepted(), ["ACKEPOCH 0 follows 0"]);
    assert_eq!(rig.hears(&FromLeader::Snap(at(1, 0x17))), [""; 0]);
    assert_eq!(rig.bytes(&stream()), ["replace 100000017"]);
    assert!(rig.learner.has_tree_in_memory_only());
    let replaced = rig.replaced.as_ref().expect("it came");
    assert!(replaced.tree.node("/a").is_some());
    assert_eq!(replaced.tree.last_zxid(), at(1, 0x17));
    assert_eq!(replaced.sessions.len(), 2);
    // What the state may hold already follows all the same, and goes to no log.
    rig.proposes(at(1, 0x18));
    assert_eq!(rig.hears(&FromLeader::Commit(at(1, 0x18))), ["apply 100000018"]);
    rig.proposes(at(1, 0x19));
    assert_eq!(rig.new_leader(1), ["install"]);
    // The tree stands still while it is written.
    assert_eq!(rig.hears(&FromLeader::Commit(at(1, 0x19))), [""; 0]);
    assert_eq!(rig.told(Input::Installed), ["save current 1"]);
    assert!(!rig.learner.has_tree_in_memory_only());
    assert_eq!(rig.adopted(), ["ACK 100000000"]);
    assert_eq!(
        rig.hears(&FromLeader::UpToDate),
        ["ACK 100000000", "config servers", "established 1", "append 100000019", "apply 100000019"]
    );
    assert_eq!(rig.synced(at(1, 0x19)), ["ACK 100000019"]);
}

#[test]
fn a_state_of_a_later_epoch_than_the_leaders_is_none() {
    let begin = || {
        let mut rig = Rig::new(start(0, 0, at(0, 0)));
        rig.dialled();
        rig.leader_info(2);
        rig.accepted();
        rig
    };
    for wrong in [at(3, 0), at(3, 1)] {
        assert_eq!(begin().hears(&FromLeader::Snap(wrong)), ["close", "lost Violation"]);
    }
    for good in [at(1, 7), at(2, 0), at(2, 1)] {
        assert_eq!(begin().hears(&FromLeader::Snap(good)), [""; 0]);
    }
}

#[test]
fn what_is_decided_behind_newleader_is_applied_after_uptodate() {
    // ZOOKEEPER-4394, 3104
    let mut rig = Rig::new(start(1, 1, at(1, 2)));
    rig.dialled();
    rig.leader_info(2);
    rig.accepted();
    rig.hears(&FromLeader::Diff(at(1, 3)));
    rig.proposes(at(1, 3));
    rig.hears(&FromLeader::Commit(at(1, 3)));
    rig.proposes(at(2, 1));
    rig.proposes(at(2, 2));
    assert_eq!(rig.new_leader(2), [""; 0]);
    assert_eq!(rig.hears(&FromLeader::Commit(at(2, 1))), [""; 0]);
    assert_eq!(rig.proposes(at(2, 3)), [""; 0]);
    assert_eq!(rig.synced(at(1, 3)), ["save current 2"]);
    assert_eq!(rig.hears(&FromLeader::Ping(at(2, 3))), [""; 0], "not before it knows us");
    assert_eq!(rig.adopted(), ["ACK 200000000"]);
    assert_eq!(
        rig.hears(&FromLeader::UpToDate),
        [
            "ACK 200000000",
            "config servers",
            "established 2",
            "append 200000001",
            "append 200000002",
            "append 200000003",
            "apply 200000001",
        ]
    );
    assert_eq!(rig.synced(at(2, 1)), ["ACK 200000001"]);
    assert_eq!(rig.hears(&FromLeader::Commit(at(2, 2))), ["apply 200000002"]);
    assert_eq!(rig.synced(at(2, 3)), ["ACK 200000002", "ACK 200000003"]);
}

#[test]
fn nothing_is_acknowledged_before_the_epoch_is() {
    // ZOOKEEPER-4685: the first thing a leader hears is that it has us.
    let mut rig = Rig::new(start(1, 1, at(1, 2)));
    rig.dialled();
    rig.leader_info(2);
    rig.accepted();
    rig.hears(&FromLeader::Diff(at(2, 2)));
    for counter in 1..=2 {
        rig.proposes(at(2, counter));
        rig.hears(&FromLeader::Commit(at(2, counter)));
        assert_eq!(rig.synced(at(2, counter)), [""; 0]);
    }
    assert_eq!(rig.new_leader(2), ["save current 2"]);
    assert_eq!(rig.adopted(), ["ACK 200000000"]);
    let up = rig.hears(&FromLeader::UpToDate);
    assert_eq!(up, ["ACK 200000000", "config servers", "established 2"]);
    assert_eq!(rig.synced(at(2, 2)), [""; 0], "these were part of the history");
}

#[test]
fn an_observer_takes_what_it_is_informed_of_while_it_is_synchronised() {
    // Annex B.5: INFORM comes before its acknowledgement.
    let mut rig = Rig::with(crate::rig::config(true), start(0, 0, at(0, 0)));
    assert_eq!(rig.dialled(), ["dial 3", "OBSERVERINFO 0"]);
    rig.leader_info(1);
    rig.accepted();
    rig.hears(&FromLeader::Snap(at(1, 1)));
    rig.bytes(&stream());
    let inform = |rig: &mut Rig, zxid| rig.hears(&FromLeader::Inform(zxid, &proposal(zxid)));
    assert_eq!(inform(&mut rig, at(1, 2)), ["apply 100000002"]);
    assert_eq!(rig.new_leader(1), ["install"]);
    assert_eq!(inform(&mut rig, at(1, 3)), [""; 0]);
    rig.told(Input::Installed);
    rig.adopted();
    assert_eq!(
        rig.hears(&FromLeader::UpToDate),
        ["ACK 100000000", "config servers", "established 1", "append 100000003", "apply 100000003"]
    );
    assert_eq!(rig.synced(at(1, 3)), [""; 0]);
}

#[test]
fn f31_a_doubtful_history_counts_for_nothing() {
    // reliability.md rule 8
    let doubtful = || History { is_doubtful: true, ..start(3, 2, at(2, 9)) };
    let begin = || {
        let mut rig = Rig::new(doubtful());
        assert_eq!(rig.dialled(), ["dial 3", "FOLLOWERINFO 300000000"]);
        assert_eq!(rig.leader_info(4), ["save accepted 4"]);
        assert_eq!(rig.accepted(), ["ACKEPOCH 0 -1"]);
        rig
    };
    let mut rig = begin();
    assert_eq!(rig.hears(&FromLeader::Trunc(at(0, 0))), ["close", "lost Violation"]);

    let mut rig = begin();
    rig.hears(&FromLeader::Snap(at(3, 1)));
    assert_eq!(rig.bytes(&stream()), ["replace 300000001"]);
    assert_eq!(rig.new_leader(4), ["install"]);
    assert_eq!(rig.told(Input::Installed), ["save current 4"]);
    assert_eq!(rig.adopted(), ["ACK 400000000"]);

    // A history from its beginning is put in the place of what is there, not behind it.
    let mut rig = begin();
    assert_eq!(rig.hears(&FromLeader::Diff(at(1, 1))), ["replace 0"]);
    rig.proposes(at(1, 1));
    assert_eq!(rig.hears(&FromLeader::Commit(at(1, 1))), ["apply 100000001"]);
    assert_eq!(rig.new_leader(4), ["install"]);
    assert_eq!(rig.told(Input::Installed), ["save current 4"]);

    // The same epoch again is saved all the same, in both files: one of them may be what is damaged
    // (F11), and only with the second does the history count.
    let mut rig = Rig::new(History { is_doubtful: true, ..start(4, 4, at(2, 9)) });
    rig.dialled();
    assert_eq!(rig.leader_info(4), ["save accepted 4"]);
    assert_eq!(rig.accepted(), ["ACKEPOCH 0 -1"]);
    rig.hears(&FromLeader::Diff(at(0, 0)));
    assert_eq!(rig.new_leader(4), ["install"]);
    assert_eq!(rig.told(Input::Installed), ["save current 4"]);
}

#[test]
fn f36_a_leader_that_dies_at_any_step_leaves_nothing_to_be_acknowledged() {
    // Each step of annex B.4 with one more packet behind it.
    let zxid = at(1, 0x18);
    let payload = proposal(zxid);
    let steps: Vec<Vec<u8>> = vec![
        zk_proto::jute::encode(&FromLeader::LeaderInfo(
            epoch(1),
            zk_proto::quorum::LeaderInfo { protocol_version: 0x1_0000 },
        )),
        zk_proto::jute::encode(&FromLeader::Snap(at(1, 0x17))),
        stream(),
        zk_proto::jute::encode(&FromLeader::Proposal(zxid, &payload)),
        zk_proto::jute::encode(&FromLeader::Commit(zxid)),
        zk_proto::jute::encode(&FromLeader::NewLeader(epoch(1), "servers".into())),
    ];
    for last in 0..=steps.len() {
        let mut rig = Rig::new(start(0, 0, at(0, 0)));
        rig.dialled();
        for (number, step) in steps.iter().take(last).enumerate() {
            let said = rig.bytes(step);
            assert!(!said.iter().any(|line| line.starts_with("ACK 1")), "{said:?}");
            if number == 0 {
                rig.accepted();
            }
        }
        let link = rig.link;
        assert_eq!(rig.told(Input::Closed { link }), ["lost LinkClosed"]);
        // What was under way comes to its end afterwards.
        assert_eq!(rig.told(Input::Installed), [""; 0]);
        assert_eq!(rig.adopted(), [""; 0]);
        assert_eq!(rig.learner.has_tree_in_memory_only(), last > 2);
    }
}
