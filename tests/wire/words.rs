//! What four-letter words answer, beside Apache: the same lines, whatever the numbers in them.

use zk_proto::client::OpCode;
use zk_tests::{
    raw::Raw,
    subject::{Kind, Settings, Subject},
};

const WORDS: [&str; 14] = [
    "conf", "cons", "crst", "dirs", "dump", "gtmk", "isro", "ruok", "srst", "srvr", "stat", "wchc",
    "wchp", "wchs",
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn m44_m45_four_letter_words_answer_in_the_same_shape() {
    let settings = Settings::default();
    let (ours, theirs) = tokio::join!(
        Subject::start(Kind::Ours, &settings),
        Subject::start(Kind::Apache39, &settings)
    );
    let mut sessions = Vec::new();
    for server in [&ours, &theirs] {
        let mut raw = Raw::open(server.address).await;
        raw.create("/e", 1).await;
        raw.see(OpCode::GetData, "/e", true).await;
        sessions.push(raw);
    }
    let mut differing = Vec::new();
    for word in WORDS {
        let (left, right) = tokio::join!(ours.word(word), theirs.word(word));
        if shape(&left) != shape(&right) {
            differing.push(format!("{word}\nours:\n{left}\ntheirs:\n{right}"));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn m44_m45_mntr_answers_the_same_keys() {
    let settings = Settings::default();
    let (ours, theirs) = tokio::join!(
        Subject::start(Kind::Ours, &settings),
        Subject::start(Kind::Apache39, &settings)
    );
    let (left, right) = tokio::join!(ours.word("mntr"), theirs.word("mntr"));
    let keys = |text: &str| {
        let keys = text.lines().filter_map(|line| Some(line.split_once('\t')?.0.to_owned()));
        keys.collect::<std::collections::BTreeSet<_>>()
    };
    let (left, right) = (keys(&left), keys(&right));
    let missing: Vec<_> = right.difference(&left).collect();
    let foreign: Vec<_> = left.difference(&right).collect();
    assert!(missing.is_empty() && foreign.is_empty(), "missing {missing:?}, foreign {foreign:?}");
}

/// A text with every number, name of a directory, date and version replaced. Connections come in
/// no order.
fn shape(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text.split('\n').map(line_shape).collect();
    for connections in lines.chunk_by_mut(|one, next| is_connection(one) && is_connection(next)) {
        connections.sort();
    }
    lines
}

fn is_connection(line: &str) -> bool {
    line.starts_with(" /")
}

fn line_shape(line: &str) -> String {
    for constant in ["dataDir=", "dataLogDir=", "Zookeeper version: "] {
        if line.starts_with(constant) {
            return constant.to_owned();
        }
    }
    // "1 expire at Fri Nov 20 20:39:39 UTC 2026:"
    let line = line.split_once(" expire at ").map_or(line, |(count, _)| count);
    let mut shape = String::new();
    for word in line.split_inclusive(|character: char| !character.is_ascii_alphanumeric()) {
        let (body, end) = match word.char_indices().next_back() {
            Some((at, last)) if !last.is_ascii_alphanumeric() => word.split_at(at),
            Some(_) | None => (word, ""),
        };
        let is_number = body.starts_with(|character: char| character.is_ascii_digit());
        shape.push_str(if is_number { "#" } else { body });
        shape.push_str(end);
    }
    // A figure may have decimals or not, and a sign.
    shape.replace("#.#", "#").replace("-#", "#")
}
