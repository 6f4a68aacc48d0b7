//! `sync`: what it waits for, and that it is answered in order.

use super::*;

fn asks_sync(rig: &mut Rig, link: u64) {
    let request = ForwardedRequest {
        session: SessionId::new(7),
        xid: Xid::new(1),
        op: OpCode::Sync.get(),
        body: b"\0\0\0\x01/",
    };
    rig.say(link, &FromLearner::Request(request, None));
}

#[test]
fn g5_a_sync_waits_for_a_quorum_asked_after_it() {
    let mut rig = Rig::leading();
    rig.pass(TICK_MS / 2);
    assert_eq!(rig.lines(1), ["PING 1:00000000"]);
    rig.handle(Input::SyncAsked { ticket: 1 });
    rig.saw(&[]);
    // The answer to a ping that left before says nothing.
    rig.say(1, &FromLearner::Ping(zxid(1, 0), SessionTouches::default()));
    rig.saw(&[]);
    assert_eq!(rig.lines(1), ["PING 1:00000000"], "asked for at once");
    rig.say(1, &FromLearner::Ping(zxid(1, 0), SessionTouches::default()));
    rig.saw(&[Output::SyncReady { ticket: 1 }]);
}

#[test]
fn g5_many_syncs_share_a_round() {
    let mut rig = Rig::leading();
    rig.takes_at_once = false;
    for ticket in 1..=5 {
        rig.handle(Input::SyncAsked { ticket });
    }
    rig.take();
    for ticket in 6..=9 {
        rig.handle(Input::SyncAsked { ticket });
    }
    rig.take();
    let ready = |tickets: core::ops::RangeInclusive<u64>| {
        tickets.map(|ticket| Output::SyncReady { ticket }).collect::<Vec<_>>()
    };
    rig.pong(1);
    rig.saw(&ready(1..=5));
    rig.take();
    assert_eq!(rig.wires[&ConnId::new(1)].len(), 20, "one ping for all the others");
    rig.pong(1);
    rig.saw(&ready(6..=9));
}

#[test]
fn g5_a_sync_waits_for_what_was_proposed_before_it() {
    let mut rig = Rig::leading();
    rig.propose(1);
    rig.handle(Input::SyncAsked { ticket: 1 });
    rig.propose(1);
    rig.pong(1);
    rig.saw(&[]);
    rig.ack(1, zxid(1, 1));
    rig.synced(zxid(1, 1));
    rig.saw(&[Output::Commit { zxid: zxid(1, 1) }, Output::SyncReady { ticket: 1 }]);
}

#[test]
fn g5_f26_a_deposed_leader_answers_no_sync() {
    let mut rig = Rig::new(electorate(5, ""), NEW, &[]);
    for id in [1, 2] {
        rig.introduce(id, 0);
    }
    for id in [1, 2] {
        rig.ack_epoch(id, Some(0), Zxid::ZERO);
    }
    for id in [1, 2] {
        rig.catches_up(id);
    }
    rig.follows(8);
    rig.seen.clear();
    rig.lines(2);
    rig.handle(Input::SyncAsked { ticket: 1 });
    // One of four others, and one who does not vote.
    rig.pong(1);
    rig.pass(TICK_MS / 2);
    rig.pong(8);
    rig.saw(&[]);
    rig.handle(Input::Closed { link: ConnId::new(2) });
    rig.pong(1);
    rig.saw(&[]);
    rig.pass(TICK_MS);
    let over = |link| Output::Close { link: ConnId::new(link), reason: LinkClose::TermOver };
    rig.saw(&[over(1), over(8), Output::Resign(Resignation::QuorumLost)]);
}

#[test]
fn g2_learners_are_answered_behind_their_own_writes() {
    let mut rig = Rig::leading();
    rig.follows(2);
    rig.proposes_forwarded = true;
    rig.lines(1);
    let create = ForwardedRequest {
        session: SessionId::new(7),
        xid: Xid::new(1),
        op: OpCode::Create.get(),
        body: b"body",
    };
    let sync = ForwardedRequest { op: OpCode::Sync.get(), ..create };
    // A write and a sync behind it in one piece.
    let both = [
        encode(&FromLearner::Request(create, Some(vec![]))),
        encode(&FromLearner::Request(sync, Some(vec![]))),
    ]
    .concat();
    rig.raw(2, &both);
    assert_eq!(rig.lines(1), ["PROPOSAL 1:00000001", "PING 1:00000001"]);
    rig.say(1, &FromLearner::Ping(zxid(1, 1), SessionTouches::default()));
    assert_eq!(rig.lines(2), ["PROPOSAL 1:00000001", "PING 1:00000001"]);
    rig.synced(zxid(1, 1));
    rig.ack(1, zxid(1, 1));
    assert_eq!(rig.lines(2), ["COMMIT 1:00000001", "SYNC"]);
    assert_eq!(rig.lines(1), ["COMMIT 1:00000001"]);
}

#[test]
fn whoever_has_gone_is_not_answered() {
    let mut rig = Rig::leading();
    rig.follows(2);
    asks_sync(&mut rig, 2);
    rig.handle(Input::SyncAsked { ticket: 1 });
    rig.handle(Input::Closed { link: ConnId::new(2) });
    rig.pong(1);
    rig.pong(1);
    rig.saw(&[Output::SyncReady { ticket: 1 }]);
}

#[test]
fn m35_open_syncs_of_one_learner_are_bounded() {
    let mut rig = Rig::leading();
    rig.follows(8);
    rig.propose(1);
    for _ in 0..crate::limits::LEARNER_SYNCS_MAX {
        asks_sync(&mut rig, 8);
    }
    rig.saw(&[]);
    asks_sync(&mut rig, 8);
    rig.saw(&[Output::Close { link: ConnId::new(8), reason: LinkClose::Behind }]);
}
