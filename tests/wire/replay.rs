//! Every captured conversation, told to both servers again.

use zk_proto::client::OpCode;
use zk_tests::{golden, raw::create_request, subject::Settings};

use crate::pair::{Allowed, Pair, Twins};
use zk_proto::{Xid, jute::encode};
use zk_tests::raw::request;

/// Conversations in which we differ on purpose. What we do instead is tested by name elsewhere.
const ON_PURPOSE: &[(&str, &str)] =
    &[("delete_container", "an operation of the server's own; a client that sends it is refused")];

/// Nodes that conversations look for.
const NODES: &[(&str, i32)] = &[
    ("/a", 0),
    ("/b", 0),
    ("/w", 0),
    ("/m", 0),
    ("/e", 1),
    ("/q", 0),
    ("/null", 0),
    ("/empty", 0),
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn every_captured_conversation_goes_as_with_apache() {
    let conversations = golden::conversations();
    let mut pair = Pair::start(&Settings::default()).await;
    // The first round meets a tree that is empty at first, the second what the first left behind.
    for round in 1..=2 {
        for (name, lines) in &conversations {
            if ON_PURPOSE.iter().any(|(differing, _)| differing == name) {
                continue;
            }
            replay(&mut pair, &format!("{name}, round {round}"), lines).await;
        }
    }
    pair.finish();
}

async fn replay(pair: &mut Pair, name: &str, lines: &[golden::Line]) {
    let connects = lines.iter().any(|line| line.kind == "connect_request");
    let mut twins = if connects { pair.dial().await } else { pair.open().await };
    if !connects {
        prepare(pair, name, &mut twins).await;
    }
    for (number, line) in lines.iter().enumerate() {
        let what = format!("{name}, line {}", number + 1);
        let is_multi = matches!(line.frame.get(4..8), Some([0, 0, 0, 14 | 22]));
        pair.allow(is_multi.then_some(Allowed::MultiWithoutZxid));
        let is_good = match line.kind.as_str() {
            "connect_request" => {
                pair.connect(&what, &mut twins, &line.frame).await;
                true
            }
            "request" => pair.exchange(&what, &mut twins, &line.frame).await,
            _ => true,
        };
        if !is_good {
            break;
        }
    }
    pair.close(twins).await;
}

async fn prepare(pair: &mut Pair, name: &str, twins: &mut Twins) {
    for (path, flags) in NODES {
        let body = encode(&create_request(path, *flags));
        let frame = request(Xid::new(9_999), OpCode::Create.get(), &body);
        pair.exchange(&format!("{name}, {path} before it"), twins, &frame).await;
    }
}
