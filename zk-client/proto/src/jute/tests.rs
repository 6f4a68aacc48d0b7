use super::*;

#[test]
fn null_and_empty_are_different() {
    assert_eq!(decode::<Option<&[u8]>>(&[0xff; 4]), Ok(None));
    assert_eq!(decode::<Option<&[u8]>>(&[0; 4]), Ok(Some(&[][..])));
    assert_eq!(encode(&WireStr::NULL), [0xff; 4]);
    assert_eq!(encode(&WireStr::from("")), [0; 4]);
}

#[test]
fn a_lying_count_costs_no_memory() {
    let lying = [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1];
    let error = decode::<Vec<i64>>(&lying).expect_err("there are no elements");
    assert_eq!(error, DecodeError { offset: 4, expected: Expected::Bytes(8), got: 4 });
}

#[test]
fn a_count_below_minus_one_reads_as_empty() {
    assert_eq!(decode::<Option<Vec<i32>>>(&[0xff, 0xff, 0xff, 0xfe]), Ok(Some(Vec::new())));
}

#[test]
fn a_length_below_minus_one_is_refused() {
    let error = decode::<WireStr<'_>>(&[0xff, 0xff, 0xff, 0xfe]).expect_err("-2");
    assert_eq!(error.expected, Expected::Length);
    assert_eq!(error.got, -2);
}

#[test]
fn a_length_above_the_limit_is_refused_even_if_the_bytes_are_there() {
    let bytes = [0, 0, 0, 3, b'a', b'b', b'c'];
    assert!(Reader::with_length_max(&bytes, 2).buffer().is_err());
    assert!(Reader::with_length_max(&bytes, 3).buffer().is_ok());
}

#[test]
fn any_byte_but_zero_is_true() {
    assert_eq!(decode::<bool>(&[2]), Ok(true));
    assert_eq!(decode::<bool>(&[0]), Ok(false));
}

#[test]
fn java_text_with_split_surrogates_is_read() {
    // U+1F600 as two three-byte halves.
    let cesu = [b'a', 0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80, b'z'];
    let string = WireStr::from(Some(&cesu[..]));
    assert_eq!(string.text(), None);
    assert_eq!(string.text_of_java().as_deref(), Some("a\u{1f600}z"));
    assert_eq!(WireStr::from(Some(&[0xff][..])).text_of_java(), None);
}

#[test]
fn a_frame_carries_the_length_of_its_body() {
    let mut writer = Writer::new();
    writer.raw(&[9]);
    writer.frame(|body| body.string("ab"));
    assert_eq!(writer.as_slice(), [9, 0, 0, 0, 6, 0, 0, 0, 2, b'a', b'b']);
}
