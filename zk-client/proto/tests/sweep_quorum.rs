//! The messages between members, against every truncation and every lie about a length in them.

mod sweeping;

use sweeping::{Subject, subject};
use zk_proto::{
    Epoch, ServerId, SessionId, Xid, Zxid,
    ballot::{
        Hello, HelloForm, MemberState, Notification, NotificationForm, PeerEpoch, Round,
        split_hello,
    },
    ensemble::{EnsembleConfig, HostPort},
    jute::encode,
    quorum::{
        Activation, EpochAnswer, ForwardedRequest, FromLeader, FromLearner, InformActivation,
        LeaderInfo, LearnerInfo, PROTOCOL_VERSION, PacketKind, Revalidate, Revalidated,
        SessionTouch, SessionTouches, WireId, split_packet,
    },
};

/// Data beyond this many bytes are refused in these tests.
const DATA_BYTES_MAX: usize = 4096;

#[test]
fn no_truncation_is_taken_for_the_whole() {
    sweeping::truncations(&subjects());
}

#[test]
fn no_lie_about_a_length_panics_or_takes_memory() {
    sweeping::lies(&subjects());
}

#[test]
fn no_flipped_bit_panics() {
    sweeping::flips(&subjects());
}

#[test]
fn encode_is_the_inverse_of_decode_for_every_subject() {
    sweeping::inverses(&subjects());
}

#[test]
fn every_kind_of_packet_is_swept() {
    let mut swept: Vec<_> = leaders().iter().map(FromLeader::kind).collect();
    swept.extend(learners().iter().map(FromLearner::kind));
    let missing: Vec<_> = PacketKind::ALL.iter().filter(|kind| !swept.contains(kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn no_side_takes_the_packets_of_its_own() {
    for packet in leaders() {
        let bytes = encode(&packet);
        let split = split_packet(&bytes, DATA_BYTES_MAX).expect("legal").expect("whole");
        let both = [PacketKind::Ping, PacketKind::Revalidate].contains(&packet.kind());
        if !both {
            assert!(FromLearner::read(&split.packet).is_err(), "{packet:?}");
        }
    }
    for packet in learners() {
        let bytes = encode(&packet);
        let split = split_packet(&bytes, DATA_BYTES_MAX).expect("legal").expect("whole");
        let both = [PacketKind::Ping, PacketKind::Revalidate].contains(&packet.kind());
        if !both {
            assert!(FromLeader::read(&split.packet).is_err(), "{packet:?}");
        }
    }
}

#[test]
fn a_packet_that_does_not_end_is_given_up() {
    let mut endless = encode(&FromLearner::Ack(Zxid::ZERO));
    endless.truncate(16);
    endless.extend(i32::MAX.to_be_bytes()); // identities, each of eight bytes
    endless.resize(2 * DATA_BYTES_MAX, 0);
    assert_eq!(split_packet(&endless, DATA_BYTES_MAX), Ok(None));
    endless.push(0);
    assert!(split_packet(&endless, DATA_BYTES_MAX).is_err());
}

#[test]
fn an_announced_length_beyond_the_limit_is_refused_before_it_arrives() {
    let mut head = encode(&FromLeader::Commit(Zxid::ZERO));
    head.truncate(12);
    head.extend(i32::try_from(DATA_BYTES_MAX + 1).expect("small").to_be_bytes());
    assert!(split_packet(&head, DATA_BYTES_MAX).is_err());
}

#[test]
fn packets_are_split_one_by_one() {
    let mut bytes = encode(&FromLeader::Commit(Zxid::new(1)));
    let first = bytes.len();
    bytes.extend(encode(&FromLeader::Commit(Zxid::new(2))));
    let split = split_packet(&bytes, DATA_BYTES_MAX).expect("legal").expect("whole");
    assert_eq!(split.length, first);
    assert_eq!(FromLeader::read(&split.packet), Ok(FromLeader::Commit(Zxid::new(1))));
}

fn leaders() -> Vec<FromLeader<'static>> {
    let zxid = Zxid::new(0x1_0000_0001);
    let leader = ServerId::new(3);
    let revalidated = Revalidated { session: SessionId::new(5), is_valid: true };
    vec![
        FromLeader::LeaderInfo(zxid, LeaderInfo { protocol_version: PROTOCOL_VERSION }),
        FromLeader::Diff(zxid),
        FromLeader::Trunc(zxid),
        FromLeader::Snap(zxid),
        FromLeader::NewLeader(zxid, "version=0".into()),
        FromLeader::UpToDate,
        FromLeader::Proposal(zxid, b"txn"),
        FromLeader::Commit(zxid),
        FromLeader::CommitAndActivate(zxid, Activation { leader }),
        FromLeader::Inform(zxid, b"txn"),
        FromLeader::InformAndActivate(zxid, InformActivation { leader, txn: b"txn" }),
        FromLeader::Ping(zxid),
        FromLeader::Revalidate(revalidated),
        FromLeader::Sync(Zxid::ZERO),
    ]
}

fn learners() -> Vec<FromLearner<'static>> {
    let zxid = Zxid::new(0x1_0000_0001);
    let info = LearnerInfo::new(ServerId::new(2), Zxid::ZERO);
    let touch = SessionTouch { session: SessionId::new(5), timeout_ms: 8000 };
    let request =
        ForwardedRequest { session: SessionId::new(5), xid: Xid::new(1), op: 1, body: b"request" };
    let identities = vec![WireId { scheme: "ip".into(), id: "127.0.0.1".into() }];
    vec![
        FromLearner::FollowerInfo(zxid, info),
        FromLearner::ObserverInfo(zxid, info),
        FromLearner::AckEpoch(zxid, EpochAnswer::Accepted { current: Epoch::new(1) }),
        FromLearner::AckEpoch(zxid, EpochAnswer::AlreadyPromised),
        FromLearner::Ack(zxid),
        FromLearner::Ping(zxid, SessionTouches(vec![touch, touch])),
        FromLearner::Revalidate(Revalidate { session: touch.session, timeout_ms: 8000 }),
        FromLearner::Request(request, Some(identities)),
        FromLearner::Request(request, None),
    ]
}

fn subjects() -> Vec<Subject> {
    let mut subjects: Vec<_> = leaders().iter().map(of_leader).collect();
    subjects.extend(learners().iter().map(of_learner));
    subjects.extend(payloads());
    subjects.extend(ballots());
    subjects
}

fn of_leader(packet: &FromLeader<'_>) -> Subject {
    Subject {
        name: packet.kind().name(),
        bytes: encode(packet),
        decode: |bytes| {
            let split = split_packet(bytes, DATA_BYTES_MAX).ok()??;
            Some(encode(&FromLeader::read(&split.packet).ok()?).len())
        },
        also_complete_at: Vec::new(),
    }
}

fn of_learner(packet: &FromLearner<'_>) -> Subject {
    Subject {
        name: packet.kind().name(),
        bytes: encode(packet),
        decode: |bytes| {
            let split = split_packet(bytes, DATA_BYTES_MAX).ok()??;
            Some(encode(&FromLearner::read(&split.packet).ok()?).len())
        },
        also_complete_at: Vec::new(),
    }
}

fn payloads() -> Vec<Subject> {
    let touch = SessionTouch { session: SessionId::new(5), timeout_ms: 8000 };
    let request =
        ForwardedRequest { session: SessionId::new(5), xid: Xid::new(1), op: 1, body: b"body" };
    let activation = InformActivation { leader: ServerId::new(3), txn: b"txn" };
    vec![
        subject!(LearnerInfo, LearnerInfo::new(ServerId::new(2), Zxid::ZERO), vec![8, 12]),
        subject!(SessionTouches, SessionTouches(vec![touch, touch]), vec![0, 12]),
        subject!(ForwardedRequest<'_>, request, vec![16, 17, 18, 19]),
        subject!(InformActivation<'_>, activation, vec![8, 9, 10]),
    ]
}

fn ballots() -> Vec<Subject> {
    let address = |text| HostPort::parse(text).expect("legal");
    let one = Hello::new(ServerId::new(3), address("127.0.0.1:3888"));
    let list = Hello {
        form: HelloForm::AddressList,
        addresses: vec![address("a:1"), address("[::1]:2")],
        ..one
    };
    let notification = |form| Notification {
        state: MemberState::Looking,
        leader: ServerId::new(3),
        zxid: Zxid::new(1),
        round: Round::new(1),
        epoch: PeerEpoch::new(1),
        form,
    };
    let config = NotificationForm::WithConfig { version: 2, config: CONFIG.as_bytes() };
    vec![
        hello("hello", &one),
        hello("hello with a list", &list),
        subject!(Notification<'_>, notification(config), vec![28, 40]),
        subject!(
            Notification<'_>,
            notification(NotificationForm::WithoutConfig { version: 1 }),
            vec![28]
        ),
    ]
}

fn hello(name: &'static str, hello: &Hello) -> Subject {
    Subject {
        name,
        bytes: encode(hello),
        decode: |bytes| Some(encode(&split_hello(bytes).ok()??.hello).len()),
        also_complete_at: Vec::new(),
    }
}

const CONFIG: &str = "server.1=127.0.0.1:1:2:participant;127.0.0.1:3\nversion=100000000";

#[test]
fn a_configuration_in_a_notification_is_read_as_it_was_written() {
    let config = EnsembleConfig::parse(CONFIG).expect("legal");
    assert_eq!(config.to_string(), CONFIG);
}
