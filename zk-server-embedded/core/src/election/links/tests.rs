use alloc::vec;

use zk_proto::{
    Zxid,
    ballot::{MemberState, NotificationForm, PeerEpoch, Round},
};

use super::*;

const T0: Instant = Instant::from_millis(1_000);

fn id(number: i64) -> ServerId {
    ServerId::new(number)
}

fn conn(number: u64) -> ConnId {
    ConnId::new(number)
}

fn address(number: i64) -> HostPort {
    HostPort::parse(&alloc::format!("h{number}:3888")).expect("legal")
}

fn hello(number: i64) -> Hello {
    Hello::new(id(number), address(number))
}

fn message(leader: i64) -> Vec<u8> {
    encode(&Notification {
        state: MemberState::Looking,
        leader: id(leader),
        zxid: Zxid::ZERO,
        round: Round::new(1),
        epoch: PeerEpoch::new(0),
        form: NotificationForm::WithConfig { version: 2, config: b"" },
    })
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.frame(|body| body.raw(bytes));
    writer.into_vec()
}

/// Member 2 of three.
struct Two(Links);

impl Two {
    fn new() -> Self {
        let mut two = Self(Links::new(LinksConfig::new(hello(2))));
        let members = [1, 2, 3].map(|number| (id(number), vec![address(number)]));
        let outputs = two.tell(LinkInput::Members(members.into()));
        assert_eq!(outputs, [dial(1)], "only those with a smaller id are dialled unasked");
        two
    }

    /// With both links up: 1 by our dial as connection 1, 3 by theirs as connection 3.
    fn linked() -> Self {
        let mut two = Self::new();
        two.tell(LinkInput::Dialled { peer: id(1), conn: conn(1) });
        two.greeted(3, 3);
        two
    }

    fn tell(&mut self, input: LinkInput<'_>) -> Vec<LinkOutput> {
        self.tell_at(T0, input)
    }

    fn tell_at(&mut self, now: Instant, input: LinkInput<'_>) -> Vec<LinkOutput> {
        self.0.handle(now, input);
        core::iter::from_fn(|| self.0.poll_output()).collect()
    }

    fn send(&mut self, to: i64, bytes: &[u8]) -> Vec<LinkOutput> {
        self.tell(LinkInput::Send { to: id(to), bytes: bytes.to_vec() })
    }

    fn bytes(&mut self, number: u64, bytes: &[u8]) -> Vec<LinkOutput> {
        self.tell(LinkInput::Bytes { conn: conn(number), bytes })
    }

    /// Somebody connects and says who it is.
    fn greeted(&mut self, number: u64, who: i64) -> Vec<LinkOutput> {
        self.tell(LinkInput::Accepted { conn: conn(number) });
        self.bytes(number, &encode(&hello(who)))
    }
}

fn dial(peer: i64) -> LinkOutput {
    LinkOutput::Dial { peer: id(peer), addresses: vec![address(peer)] }
}

fn write(number: u64, bytes: Vec<u8>) -> LinkOutput {
    LinkOutput::Write { conn: conn(number), bytes }
}

fn close(number: u64, reason: LinkClose) -> LinkOutput {
    LinkOutput::Close { conn: conn(number), reason }
}

fn reach(peer: i64, reach: Reach) -> LinkOutput {
    LinkOutput::Reach { peer: id(peer), reach }
}

#[test]
fn the_larger_id_keeps_the_connection_it_dialled() {
    let mut two = Two::new();
    let outputs = two.tell(LinkInput::Dialled { peer: id(1), conn: conn(1) });
    assert_eq!(outputs, [write(1, encode(&hello(2))), reach(1, Reach::Up)]);
    assert_eq!(two.send(1, &message(2)), [write(1, framed(&message(2)))]);
}

#[test]
fn the_smaller_id_makes_itself_known_and_hangs_up() {
    let mut two = Two::new();
    assert_eq!(two.send(3, &message(2)), [dial(3)]);
    let outputs = two.tell(LinkInput::Dialled { peer: id(3), conn: conn(9) });
    let expected =
        [write(9, encode(&hello(2))), close(9, LinkClose::LargerDials), reach(3, Reach::Unknown)];
    assert_eq!(outputs, expected);
    // The larger one dials back, and hears what waits for it.
    let outputs = two.greeted(3, 3);
    assert_eq!(outputs, [reach(3, Reach::Up), write(3, framed(&message(2)))]);
}

#[test]
fn a_smaller_id_that_makes_itself_known_is_dialled_back() {
    let mut two = Two::linked();
    let outputs = two.greeted(7, 1);
    let expected = [close(7, LinkClose::WeDial), close(1, LinkClose::Replaced), dial(1)];
    assert_eq!(outputs, expected, "whatever we believed to have is gone");
}

#[test]
fn only_one_dial_to_a_peer_is_under_way() {
    let mut two = Two::new();
    assert_eq!(two.send(1, &message(2)), []);
    assert_eq!(two.greeted(7, 1), [close(7, LinkClose::WeDial)]);
}

#[test]
fn a_newer_connection_takes_the_place_of_the_older() {
    let mut two = Two::linked();
    let outputs = two.greeted(8, 3);
    assert_eq!(outputs, [close(3, LinkClose::Replaced), reach(3, Reach::Up)]);
    assert_eq!(two.send(3, &message(2)), [write(8, framed(&message(2)))]);
    assert_eq!(two.tell(LinkInput::Closed { conn: conn(3) }), [], "the old one matters no more");
}

#[test]
fn a_newer_message_takes_the_place_of_one_that_waits() {
    let mut two = Two::linked();
    assert_eq!(two.send(1, &message(1)).len(), 1);
    assert_eq!(two.send(1, &message(2)), []);
    assert_eq!(two.send(1, &message(3)), []);
    let outputs = two.tell(LinkInput::Written { conn: conn(1) });
    assert_eq!(outputs, [write(1, framed(&message(3)))]);
    assert_eq!(two.tell(LinkInput::Written { conn: conn(1) }), []);
}

#[test]
fn the_last_message_is_sent_again_on_a_new_connection() {
    let mut two = Two::linked();
    two.send(3, &message(2));
    two.tell(LinkInput::Written { conn: conn(3) });
    assert_eq!(two.tell(LinkInput::Closed { conn: conn(3) }), [reach(3, Reach::Down)]);
    assert_eq!(two.greeted(8, 3), [reach(3, Reach::Up), write(8, framed(&message(2)))]);
}

#[test]
fn a_lost_link_is_made_anew_by_the_larger_id() {
    let mut two = Two::linked();
    assert_eq!(two.tell(LinkInput::Closed { conn: conn(1) }), [reach(1, Reach::Down)]);
    let at = two.0.next_timeout().expect("to dial again");
    assert_eq!(at, T0 + Duration::from_millis(5));
    assert_eq!(two.tell_at(at, LinkInput::Timeout), [dial(1)]);
}

#[test]
fn a_peer_that_does_not_answer_is_dialled_at_growing_distances() {
    let mut two = Two::new();
    let mut now = T0;
    for pause in [5, 10, 20, 40, 80, 160, 320, 640, 1_000, 1_000] {
        let outputs = two.tell_at(now, LinkInput::DialFailed { peer: id(1) });
        assert_eq!(outputs, [reach(1, Reach::Down)]);
        let at = two.0.next_timeout().expect("to dial again");
        assert_eq!(at.since(now), Duration::from_millis(pause));
        now = at;
        assert_eq!(two.tell_at(now, LinkInput::Timeout), [dial(1)]);
    }
}

#[test]
fn a_peer_with_a_larger_id_is_dialled_again_only_while_something_waits_for_it() {
    let mut two = Two::linked();
    two.tell(LinkInput::Closed { conn: conn(3) });
    let at = two.0.next_timeout().expect("to look after it");
    assert_eq!(two.tell_at(at, LinkInput::Timeout), []);
    assert_eq!(two.tell_at(at, LinkInput::Send { to: id(3), bytes: message(2) }), [dial(3)]);
}

#[test]
fn messages_are_delivered_whole_however_they_arrive() {
    let mut two = Two::linked();
    let mut stream = framed(&message(1));
    stream.extend(framed(&message(3)));
    let mut delivered = Vec::new();
    for byte in stream {
        delivered.extend(two.bytes(3, &[byte]));
    }
    let expected = [message(1), message(3)].map(|bytes| LinkOutput::Deliver { from: id(3), bytes });
    assert_eq!(delivered, expected);
}

#[test]
fn a_message_right_behind_the_hello_is_delivered() {
    let mut two = Two::new();
    two.tell(LinkInput::Accepted { conn: conn(3) });
    let mut bytes = encode(&hello(3));
    bytes.extend(framed(&message(3)));
    let outputs = two.bytes(3, &bytes);
    assert_eq!(outputs[1], LinkOutput::Deliver { from: id(3), bytes: message(3) });
}

#[test]
fn what_is_no_message_closes_that_connection_alone() {
    let mut bad_state = message(1);
    bad_state[3] = 9;
    let too_long = u32::try_from(NOTIFICATION_BYTES_MAX + 1).expect("small").to_be_bytes();
    let cases: [&[u8]; 5] =
        [&framed(b""), &framed(b"short"), &framed(&bad_state), &[0xff; 4], &too_long];
    for bytes in cases {
        let mut two = Two::linked();
        let outputs = two.bytes(3, bytes);
        assert_eq!(outputs, [close(3, LinkClose::BadMessage), reach(3, Reach::Down)], "{bytes:?}");
        assert_eq!(two.send(1, &message(2)).len(), 1);
    }
}

#[test]
fn messages_before_a_bad_one_count() {
    let mut two = Two::linked();
    let mut bytes = framed(&message(1));
    bytes.extend([0xff; 4]);
    let outputs = two.bytes(3, &bytes);
    assert_eq!(outputs[0], LinkOutput::Deliver { from: id(3), bytes: message(1) });
    assert_eq!(outputs[1], close(3, LinkClose::BadMessage));
}

#[test]
fn what_is_no_hello_closes_the_connection() {
    let mut two = Two::new();
    two.tell(LinkInput::Accepted { conn: conn(5) });
    assert_eq!(two.bytes(5, b"GET / HTTP/1.1"), [close(5, LinkClose::NotAMember)]);
    two.tell(LinkInput::Accepted { conn: conn(6) });
    assert_eq!(two.bytes(6, &[0xff; 8]), [close(6, LinkClose::BadHello)]);
}

#[test]
fn whoever_claims_our_id_or_none_is_refused() {
    let mut two = Two::new();
    assert_eq!(two.greeted(5, 2), [close(5, LinkClose::OurOwnId)]);
    two.tell(LinkInput::Accepted { conn: conn(6) });
    let nobody = Hello { server: Hello::ANONYMOUS, ..hello(1) };
    assert_eq!(two.bytes(6, &encode(&nobody)), [close(6, LinkClose::NoId)]);
    assert_eq!(two.greeted(7, -5), [close(7, LinkClose::NoId)]);
}

#[test]
fn a_bare_number_is_enough_for_a_member() {
    let mut two = Two::new();
    two.tell(LinkInput::Accepted { conn: conn(5) });
    assert_eq!(two.bytes(5, &3_i64.to_be_bytes()), [reach(3, Reach::Up)]);
}

#[test]
fn a_hello_that_does_not_come_is_not_waited_for() {
    let mut two = Two::linked();
    two.tell(LinkInput::Accepted { conn: conn(5) });
    let at = two.0.next_timeout().expect("a deadline");
    assert_eq!(at, T0 + Duration::from_secs(10));
    assert_eq!(two.tell_at(at, LinkInput::Timeout), [close(5, LinkClose::HelloTimeout)]);
}

#[test]
fn a_flood_of_silent_connections_is_bounded() {
    let mut two = Two::new();
    let mut refused = 0;
    for number in 100..300 {
        refused += two.tell(LinkInput::Accepted { conn: conn(number) }).len();
    }
    assert_eq!(refused, 200 - ELECTION_HELLOS_PENDING_MAX);
    let outputs = two.bytes(299, &encode(&hello(3)));
    assert_eq!(outputs, [reach(3, Reach::Up)], "those who come last are served");
}

#[test]
fn strangers_are_linked_within_bounds_and_forgotten_afterwards() {
    let mut two = Two::new();
    for number in 0..40 {
        let outputs = two.greeted(100 + number, 50 + i64::try_from(number).expect("small"));
        let is_refused = usize::try_from(number).expect("small") >= ELECTION_STRANGERS_MAX;
        assert_eq!(outputs.len(), usize::from(is_refused), "{number}");
    }
    assert_eq!(two.send(50, &message(2)), [write(100, framed(&message(2)))]);
    two.tell(LinkInput::Closed { conn: conn(100) });
    assert_eq!(two.send(50, &message(2)), [], "it is gone, and there is no way to it");
}

#[test]
fn a_stranger_with_a_smaller_id_is_dialled_where_it_says() {
    let mut two = Two::new();
    let stranger = Hello { server: id(0), form: HelloForm::Address, addresses: vec![address(0)] };
    two.tell(LinkInput::Accepted { conn: conn(5) });
    let outputs = two.bytes(5, &encode(&stranger));
    assert_eq!(outputs, [close(5, LinkClose::WeDial), dial(0)]);
    assert_eq!(two.tell(LinkInput::DialFailed { peer: id(0) }), []);
    assert_eq!(two.0.next_timeout(), None, "nobody runs after a stranger");

    let everywhere = HostPort::parse("0.0.0.0:3888").expect("legal");
    let stranger = Hello { addresses: vec![everywhere], ..stranger };
    two.tell(LinkInput::Accepted { conn: conn(6) });
    assert_eq!(two.bytes(6, &encode(&stranger)), [close(6, LinkClose::WeDial)]);
}

#[test]
fn a_member_that_left_is_a_stranger_as_long_as_it_is_linked() {
    let mut two = Two::linked();
    let members = [(id(1), vec![address(1)])];
    assert_eq!(two.tell(LinkInput::Members(members.into())), []);
    assert_eq!(two.send(3, &message(2)), [write(3, framed(&message(2)))]);
    assert_eq!(two.tell(LinkInput::Closed { conn: conn(3) }), []);
    assert_eq!(two.send(3, &message(2)), []);
}
