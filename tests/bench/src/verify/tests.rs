use super::*;

const XID: i32 = 4;

#[test]
fn the_reply_to_the_oldest_request_passes() {
    let (layout, mut seen) = fixture();

    assert_eq!(check(&get_reply(&layout, 1, 5), &layout, &mut seen), Ok(()));
}

#[test]
fn another_xid_is_a_violation() {
    let (layout, mut seen) = fixture();
    let mut frame = get_reply(&layout, 1, 5);
    frame[3] = 9;

    assert!(is_violation(&check(&frame, &layout, &mut seen)));
}

#[test]
fn an_error_code_is_an_error() {
    let (layout, mut seen) = fixture();
    let mut frame = get_reply(&layout, 1, 5);
    frame[12..16].copy_from_slice(&wire::code::NO_NODE.to_be_bytes());

    assert_eq!(check(&frame, &layout, &mut seen), Err(Fault::Error(wire::code::NO_NODE)));
}

#[test]
fn a_value_of_another_node_is_a_violation() {
    let (layout, mut seen) = fixture();

    assert!(is_violation(&check(&get_reply(&layout, 2, 5), &layout, &mut seen)));
}

#[test]
fn every_truncation_of_a_reply_is_a_violation() {
    let (layout, mut seen) = fixture();
    let frame = get_reply(&layout, 1, 5);

    for end in 0..frame.len() {
        assert!(is_violation(&check(&frame[..end], &layout, &mut seen)), "cut at {end}");
    }
}

#[test]
fn a_version_older_than_one_seen_is_a_violation() {
    let (layout, mut seen) = fixture();

    assert_eq!(check(&get_reply(&layout, 1, 5), &layout, &mut seen), Ok(()));
    assert_eq!(check(&get_reply(&layout, 1, 5), &layout, &mut seen), Ok(()));
    assert!(is_violation(&check(&get_reply(&layout, 1, 4), &layout, &mut seen)));
}

#[test]
fn a_write_that_makes_no_new_version_is_a_violation() {
    let (layout, mut seen) = fixture();
    let asked = Asked { xid: XID, operation: Operation::Set { node: 1 }, writer: 0 };
    let mut frame = header();
    put_stat(&mut frame, 7);

    assert_eq!(reply(asked, &frame, &layout, &mut seen), Ok(()));
    assert!(is_violation(&reply(asked, &frame, &layout, &mut seen)));
}

#[test]
fn a_zxid_that_falls_is_a_violation() {
    let (layout, mut seen) = fixture();
    seen.zxid = 101;

    assert!(is_violation(&check(&get_reply(&layout, 1, 5), &layout, &mut seen)));
}

#[test]
fn a_multi_needs_all_its_results() {
    let (layout, mut seen) = fixture();
    let asked = Asked { xid: XID, operation: Operation::Multi { first: 8 }, writer: 0 };
    let mut frame = header();
    for _ in 0..MULTI_SETS {
        crate::layout::put_multi_header(&mut frame, op::SET_DATA, false);
        put_stat(&mut frame, 3);
    }
    crate::layout::put_multi_header(&mut frame, -1, true);

    assert_eq!(reply(asked, &frame, &layout, &mut seen), Ok(()));
    assert_eq!((seen.versions[8], seen.versions[1], seen.versions[7]), (3, 3, 3));
    let cut = &frame[..frame.len() - 9];
    assert!(is_violation(&reply(asked, cut, &layout, &mut Seen::new(10))));
}

#[test]
fn only_a_change_of_the_watched_node_is_a_notification() {
    let mut frame = vec![0; REPLY_HEADER_BYTES];
    wire::put_i32(&mut frame, EVENT_DATA_CHANGED);
    wire::put_i32(&mut frame, 3);
    wire::put_buffer(&mut frame, b"/bench/n0000000");

    assert_eq!(notification(&frame, "/bench/n0000000"), Ok(()));
    assert!(notification(&frame, "/bench/n0000001").is_err());
    assert!(notification(&frame[..20], "/bench/n0000000").is_err());
}

fn fixture() -> (Layout, Seen) {
    (Layout::new("/bench", 10, 64), Seen::new(10))
}

fn check(frame: &[u8], layout: &Layout, seen: &mut Seen) -> Result<(), Fault> {
    let asked = Asked { xid: XID, operation: Operation::Get { node: 1 }, writer: 0 };
    reply(asked, frame, layout, seen)
}

fn is_violation(result: &Result<(), Fault>) -> bool {
    matches!(result, Err(Fault::Violation(_)))
}

fn header() -> Vec<u8> {
    let mut frame = Vec::new();
    wire::put_i32(&mut frame, XID);
    wire::put_i64(&mut frame, 100);
    wire::put_i32(&mut frame, wire::code::OK);
    frame
}

fn get_reply(layout: &Layout, node: u32, version: i32) -> Vec<u8> {
    let mut value = Vec::new();
    layout.put_value(&mut value, node, 0, 0);
    let mut frame = header();
    wire::put_buffer(&mut frame, &value);
    put_stat(&mut frame, version);
    frame
}

fn put_stat(frame: &mut Vec<u8>, version: i32) {
    let begin = frame.len();
    frame.resize(begin + STAT_BYTES, 0);
    frame[begin + STAT_VERSION_AT..][..4].copy_from_slice(&version.to_be_bytes());
    frame[begin + STAT_DATA_LENGTH_AT..][..4].copy_from_slice(&64_i32.to_be_bytes());
}
