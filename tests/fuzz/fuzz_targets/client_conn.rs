//! Fuzzes the bytes of one connection, cut as the input says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_fuzz::script::Script;
use zk_server_core::front::{ClientConn, Decoded};

fuzz_target!(|data: &[u8]| {
    let mut script = Script(data);
    let mut conn = ClientConn::new(4_096, script.byte() % 2 == 0);
    let mut whole = conn;
    let (mut received, mut said) = (Vec::new(), Vec::new());
    let mut all = Vec::new();
    'pieces: while !script.is_over() {
        let piece = script.short();
        received.extend_from_slice(piece);
        all.extend_from_slice(piece);
        loop {
            match conn.decode(&received) {
                Ok(Some((decoded, length))) => {
                    assert!(length <= received.len() && length > 0);
                    let is_question = matches!(decoded, Decoded::FourLetter(_));
                    said.push(format!("{decoded:?}"));
                    received.drain(..length);
                    if is_question {
                        break 'pieces;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    said.push(error.to_string());
                    assert_eq!(conn.decode(&received), Ok(None), "it is over");
                    break 'pieces;
                }
            }
        }
    }
    // In one piece it says the same.
    let mut rest = &all[..];
    for expected in said {
        match whole.decode(rest) {
            Ok(Some((decoded, length))) => {
                assert_eq!(format!("{decoded:?}"), expected);
                rest = &rest[length..];
            }
            Ok(None) => panic!("{expected} is missing"),
            Err(error) => assert_eq!(error.to_string(), expected),
        }
    }
});
