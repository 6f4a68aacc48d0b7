//! What four-letter words answer, beside Apache: the same lines, whatever the numbers in them.

use zk_proto::client::{CreateRequest, OpCode};
use zk_tests::{
    raw::{Raw, create_request},
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

/// What is left of the bytes per namespace that Apache counts and this server does not.
const NOT_COUNTED: [&str; 2] = ["_read_per_namespace", "_write_per_namespace"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn mntr_counts_the_same_after_the_same_requests() {
    let settings = Settings::default().key("enforceQuota", "true");
    let (ours, theirs) = tokio::join!(
        Subject::start(Kind::Ours, &settings),
        Subject::start(Kind::Apache39, &settings)
    );
    let mut answers = Vec::new();
    for server in [&ours, &theirs] {
        let mut raw = Raw::open(server.address).await;
        for path in ["/a", "/b", "/zookeeper/quota/a", "/zookeeper/quota/b"] {
            raw.create(path, 0).await;
        }
        for (path, text) in [
            (
                "/zookeeper/quota/a/zookeeper_limits",
                "count=7,bytes=9=;byteHardLimit=2;countHardLimit=-1",
            ),
            ("/zookeeper/quota/a/zookeeper_stats", ""),
            ("/zookeeper/quota/b/zookeeper_limits", "count=5,bytes=-1"),
        ] {
            let body = CreateRequest { data: Some(text.as_bytes()), ..create_request(path, 0) };
            raw.ask(OpCode::Create, &body).await;
        }
        raw.see(OpCode::GetData, "/a", true).await;
        raw.create("/a/one", 0).await;
        raw.create("/a/two", 0).await;
        raw.set("/a", b"y").await;
        answers.push(server.word("mntr").await);
    }
    let figures = |text: &str| {
        let same = |line: &&str| {
            let name = line.split('\t').next().unwrap_or_default();
            let is_counted = !NOT_COUNTED.iter().any(|left_out| name.ends_with(left_out));
            let is_exact =
                ["cnt_updatelatency", "cnt_propagation_latency", "node_changed_watch_count"];
            is_counted
                && (name.contains("_per_namespace")
                    || is_exact.iter().any(|exact| name.ends_with(exact)))
        };
        let mut lines: Vec<_> = text.lines().filter(same).map(ToOwned::to_owned).collect();
        lines.sort();
        lines
    };
    let (left, right) = (figures(&answers[0]), figures(&answers[1]));
    assert!(left.len() > 9, "{left:?}");
    assert_eq!(left, right);
}

/// A text with every number, name of a directory, date and version replaced. Connections come in
/// no order, and a server may name a time of expiry that nothing is left to expire at.
fn shape(text: &str) -> Vec<String> {
    let lines = text.split('\n').filter(|line| !line.starts_with("0 expire at "));
    let mut lines: Vec<_> = lines.map(line_shape).collect();
    for connections in lines.chunk_by_mut(|one, next| is_connection(one) && is_connection(next)) {
        connections.sort();
    }
    lines
}

#[test]
fn m44_m45_an_empty_time_of_expiry_is_no_difference() {
    let ours =
        "Session Sets (1)/(1):\n1 expire at Sat Nov 21 20:19:10 UTC 2026:\n\t0x1a1ffc2c74d0000";
    let theirs = "Session Sets (2)/(1):\n0 expire at Sat Nov 21 20:19:08 UTC 2026:\n\
                  1 expire at Sat Nov 21 20:19:10 UTC 2026:\n\t0x10000b8a88f0000";
    assert_eq!(shape(ours), shape(theirs));
    let two = theirs.replace("0 expire", "2 expire");
    assert_ne!(shape(ours), shape(&two));
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
