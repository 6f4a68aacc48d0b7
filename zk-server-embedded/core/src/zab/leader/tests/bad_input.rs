//! What nobody may send to a quorum port.

use super::*;

fn request(op: i32, id: &'static [u8]) -> Vec<u8> {
    let request =
        ForwardedRequest { session: SessionId::new(7), xid: Xid::new(1), op, body: b"body" };
    let id = WireId { scheme: "ip".into(), id: Some(id).into() };
    encode(&FromLearner::Request(request, Some(vec![id])))
}

/// Every kind of packet a learner may send, and one that only a leader does.
fn packets() -> Vec<Vec<u8>> {
    vec![
        encode(&info(2, 0)),
        encode(&FromLearner::ObserverInfo(Zxid::ZERO, learner_info(2))),
        encode(&FromLearner::AckEpoch(
            Zxid::ZERO,
            EpochAnswer::Accepted { current: Epoch::new(0) },
        )),
        encode(&FromLearner::Ack(zxid(1, 0))),
        encode(&FromLearner::Ack(zxid(1, 1))),
        encode(&FromLearner::Ping(zxid(1, 0), SessionTouches::default())),
        encode(&FromLearner::Revalidate(Revalidate { session: SessionId::new(1), timeout_ms: 1 })),
        request(OpCode::Create.get(), b"1.2.3.4"),
        encode(&FromLeader::UpToDate),
        vec![0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255],
    ]
}

#[test]
fn m49_each_stage_has_its_packets() {
    // What is legal before FOLLOWERINFO, before the epoch, ACKEPOCH, NEWLEADER and its ACK, after.
    let legal: [&[usize]; 5] = [&[0, 1], &[], &[2], &[3, 4], &[3, 4, 5, 6, 7, 9]];
    for (stage, legal) in legal.iter().enumerate() {
        for (index, packet) in packets().iter().enumerate() {
            let mut rig = Rig::leading();
            if stage == 1 {
                rig = Rig::new(electorate(5, ""), NEW, &[]);
            }
            rig.accept(2);
            if stage > 0 {
                rig.say(2, &info(2, 0));
            }
            if stage > 2 {
                rig.ack_epoch(2, Some(0), zxid(1, 0));
                rig.propose(1);
            }
            if stage > 3 {
                rig.ack(2, zxid(1, 0));
                rig.pass(TICK_MS / 2);
            }
            rig.seen.clear();
            rig.raw(2, packet);
            let is_closed = rig.is_closed(2, LinkClose::Violation);
            assert_eq!(is_closed, !legal.contains(&index), "packet {index} in stage {stage}");
        }
    }
}

#[test]
fn m49_acknowledgements_of_what_was_never_sent() {
    for odd in [zxid(1, 2), zxid(2, 1), zxid(2, 0), zxid(0, 0), Zxid::NONE, Zxid::new(i64::MIN)] {
        let mut rig = Rig::leading();
        rig.propose(1);
        rig.ack(1, odd);
        assert!(rig.is_closed(1, LinkClose::Violation), "{odd:?}");
        rig.synced(zxid(1, 1));
        assert!(!rig.committed(1, 1));
    }
}

#[test]
fn m49_an_answer_to_no_ping() {
    let mut rig = Rig::leading();
    rig.say(1, &FromLearner::Ping(zxid(1, 0), SessionTouches::default()));
    assert!(rig.is_closed(1, LinkClose::Violation));
}

#[test]
fn m49_an_epoch_out_of_nowhere() {
    for (accepted, is_refused) in
        [(crate::limits::EPOCHS_AHEAD_MAX, false), (1 << 21, true), (u32::MAX, true)]
    {
        let mut rig = Rig::new(electorate(3, ""), NEW, &[]);
        rig.introduce(1, accepted);
        assert_eq!(rig.is_closed(1, LinkClose::Violation), is_refused, "{accepted}");
        assert_eq!(rig.leader.epoch().is_none(), is_refused);
    }
}

#[test]
fn f32_who_may_not_follow_is_told_why() {
    let newer = LearnerInfo::new(ServerId::new(1), Zxid::new(1));
    let old = LearnerInfo { protocol_version: None, config_version: None, ..newer };
    let older = LearnerInfo { protocol_version: Some(0), ..old };
    let me = LearnerInfo { server: CONFIG.me, config_version: None, ..newer };
    let nobody = LearnerInfo { server: ServerId::new(-1), config_version: None, ..newer };
    for (info, reason) in [
        (newer, LinkClose::ConfigAhead),
        (old, LinkClose::Foreign),
        (older, LinkClose::Foreign),
        (me, LinkClose::Foreign),
        (nobody, LinkClose::Foreign),
    ] {
        let mut rig = Rig::new(electorate(3, ""), NEW, &[]);
        rig.accept(1);
        rig.say(1, &FromLearner::FollowerInfo(Zxid::ZERO, info));
        rig.saw(&[Output::Close { link: ConnId::new(1), reason }]);
        assert_eq!(rig.leader.learners().count(), 0);
    }
}

#[test]
fn m49_requests_that_no_learner_hands_on() {
    for op in [OpCode::GetData.get(), OpCode::Ping.get(), OpCode::Auth.get(), 999, -1] {
        let mut rig = Rig::leading();
        rig.raw(1, &request(op, b"1.2.3.4"));
        assert!(rig.is_closed(1, LinkClose::Violation), "{op}");
    }
    let mut rig = Rig::leading();
    rig.raw(1, &request(OpCode::Create.get(), b"\xff\xfe"));
    assert!(rig.is_closed(1, LinkClose::Violation));
}

#[test]
fn requests_touches_and_questions_about_sessions_are_handed_on() {
    let mut rig = Rig::leading();
    let link = ConnId::new(1);
    rig.raw(1, &request(OpCode::Create.get(), b"1.2.3.4"));
    let asked = Revalidate { session: SessionId::new(5), timeout_ms: 4_000 };
    rig.say(1, &FromLearner::Revalidate(asked));
    rig.pass(TICK_MS / 2);
    let touch = SessionTouch { session: SessionId::new(6), timeout_ms: 3_000 };
    rig.say(1, &FromLearner::Ping(zxid(1, 0), SessionTouches(vec![touch])));
    let identity = AuthId { scheme: "ip".into(), id: "1.2.3.4".into() };
    rig.saw(&[
        Output::Forwarded {
            link,
            request: Forwarded {
                session: SessionId::new(7),
                xid: Xid::new(1),
                op: OpCode::Create.get(),
                body: b"body".to_vec(),
                identities: Some(vec![identity]),
            },
        },
        Output::Revalidate { link, session: SessionId::new(5), timeout_ms: 4_000 },
        Output::Touched { session: SessionId::new(6), timeout_ms: 3_000 },
    ]);
    rig.lines(1);
    rig.handle(Input::Revalidated { link, session: SessionId::new(5), is_valid: true });
    assert_eq!(rig.lines(1), ["REVALIDATE"]);
}

#[test]
fn m3_packets_may_come_byte_by_byte() {
    let mut whole = Rig::leading();
    whole.raw(1, &request(OpCode::Create.get(), b"1.2.3.4"));
    let mut rig = Rig::leading();
    for byte in request(OpCode::Create.get(), b"1.2.3.4") {
        rig.raw(1, &[byte]);
    }
    assert_eq!(rig.seen, whole.seen);

    let mut rig = Rig::new(electorate(3, ""), NEW, &[]);
    rig.accept(1);
    for byte in encode(&info(1, 0)) {
        rig.raw(1, &[byte]);
    }
    assert_eq!(rig.lines(1), ["LEADERINFO 1:00000000"]);
}

#[test]
fn m2_lengths_are_checked_before_anything_is_kept() {
    for length in [i32::MIN, -2, 1_025, i32::MAX] {
        let mut rig = Rig::new(electorate(3, ""), NEW, &[]);
        rig.accept(1);
        let mut bytes = vec![0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend(length.to_be_bytes());
        rig.raw(1, &bytes);
        assert!(rig.is_closed(1, LinkClose::Violation), "{length}");
        // Whatever else comes is not even kept.
        rig.raw(1, &[0; 1000]);
        assert!(rig.leader.links[&ConnId::new(1)].inbox.is_empty());
    }
}

#[test]
fn m4_who_says_nothing_is_sent_away() {
    let mut rig = Rig::leading();
    rig.accept(9);
    rig.raw(9, &[0, 0, 0]);
    for _ in 0..11 {
        rig.pass(TICK_MS);
        rig.pong(1);
    }
    rig.saw(&[Output::Close { link: ConnId::new(9), reason: LinkClose::Silent }]);
}

#[test]
fn m4_those_who_have_not_said_who_they_are_are_bounded() {
    let mut rig = Rig::leading();
    for link in 100..164 {
        rig.accept(link);
    }
    rig.saw(&[]);
    rig.accept(164);
    rig.saw(&[Output::Close { link: ConnId::new(100), reason: LinkClose::TooMany }]);
    rig.handle(Input::Closed { link: ConnId::new(100) });
    rig.accept(165);
    rig.saw(&[Output::Close { link: ConnId::new(101), reason: LinkClose::TooMany }]);
    rig.handle(Input::Closed { link: ConnId::new(101) });
    rig.handle(Input::Closed { link: ConnId::new(102) });
    rig.accept(166);
    rig.saw(&[]);
}

#[test]
fn m49_strangers_are_bounded() {
    let mut rig = Rig::leading();
    for id in 100..132 {
        rig.introduce(id, 0);
    }
    rig.saw(&[]);
    rig.introduce(132, 0);
    rig.saw(&[Output::Close { link: ConnId::new(132), reason: LinkClose::TooMany }]);
    rig.introduce(2, 0);
    rig.saw(&[]);
}
