//! Conversations of the client port captured from Apache 3.9.5.

use std::{collections::BTreeMap, fs, path::Path};

/// Who said a line of a conversation, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    /// `connect_request`, `request`, `connect_response`, `reply` or `notification`.
    pub kind: String,
    /// The frame without its length.
    pub frame: Vec<u8>,
}

/// All captured conversations by name.
///
/// # Panics
/// When they are not where they belong.
pub fn conversations() -> BTreeMap<String, Vec<Line>> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../zk-client/proto/tests/golden/client");
    let files: BTreeMap<_, _> = fs::read_dir(&folder)
        .expect("the captures are part of the repository")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "hex"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("readable");
            (path.file_stem().expect("named").to_string_lossy().into_owned(), parse(&text))
        })
        .collect();
    assert!(!files.is_empty(), "no captures in {}", folder.display());
    files
}

fn parse(text: &str) -> Vec<Line> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            let (kind, hex) = line.split_once(' ').unwrap_or((line, ""));
            Line { kind: kind.to_owned(), frame: unhex(hex.trim()) }
        })
        .collect()
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair| {
        let pair = std::str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(pair, 16).expect("hexadecimal")
    };
    pairs.map(byte).collect()
}
