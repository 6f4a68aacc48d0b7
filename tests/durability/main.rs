//! What was acknowledged is there, whatever happens to the server.

mod real_disk;

use std::collections::BTreeSet;

use tokio::sync::mpsc;
use zk_proto::{ErrorCode, client::OpCode, jute::encode};
use zk_tests::{
    dump,
    raw::{Raw, create_request},
    subject::{Kind, Settings, Subject},
};

/// Clients that write at the same time.
const WRITERS: usize = 4;

/// Requests each has under way.
const DEPTH: usize = 16;

/// Times the server is killed.
const CYCLES: usize = 4;

/// Acknowledgements after which it is, in each cycle.
const ACKNOWLEDGED_MIN: usize = 400;

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_write_survives_kill_9() {
    killed_and_checked().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn every_acknowledged_write_is_there_when_apache_opens_the_directory() {
    let (mut server, acknowledged) = killed_and_checked().await;
    server.process.kill();
    let apache = Subject::start_on_copy(Kind::Apache39, &settings(), server.data_dir()).await;
    assert_all_there(&apache, &acknowledged).await;
    assert_eq!(apache.monitored("zk_digest_mismatches_count").await, "0");
}

fn settings() -> Settings {
    // Few transactions between two snapshots, so that kills meet snapshots being written too.
    Settings::default()
        .key("snapCount", "300")
        .key("DigestAuthenticationProvider.superDigest", dump::SUPER_DIGEST)
}

/// Lets writers write while the server is killed again and again; what was acknowledged.
async fn killed_and_checked() -> (Subject, BTreeSet<String>) {
    let mut server = Subject::start(Kind::Ours, &settings()).await;
    let mut acknowledged = BTreeSet::new();
    for cycle in 0..CYCLES {
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let raw = Raw::open(server.address).await;
            let parent = format!("/cycle-{cycle}-writer-{writer}");
            writers.push(tokio::spawn(write(raw, parent, tell.clone())));
        }
        drop(tell);
        let mut count = 0;
        while let Some(path) = told.recv().await {
            acknowledged.insert(path);
            count += 1;
            if count == ACKNOWLEDGED_MIN {
                server.process.kill();
            }
        }
        assert!(count >= ACKNOWLEDGED_MIN, "the writers gave up after {count}");
        for writer in writers {
            writer.await.expect("a writer ends with its connection");
        }
        server = server.restart().await;
        assert_all_there(&server, &acknowledged).await;
    }
    (server, acknowledged)
}

/// Creates nodes until the connection ends, and tells which were acknowledged.
async fn write(mut raw: Raw, parent: String, tell: mpsc::UnboundedSender<String>) {
    let paths =
        std::iter::once(parent.clone()).chain((0..).map(|number| format!("{parent}/{number}")));
    let mut under_way = std::collections::VecDeque::new();
    for path in paths {
        raw.send(OpCode::Create.get(), &encode(&create_request(&path, 0))).await;
        under_way.push_back(path);
        if under_way.len() == DEPTH {
            let Some(reply) = raw.next_reply().await else { return };
            assert_eq!(reply.code(), ErrorCode::Ok);
            let path = under_way.pop_front().expect("as many as the depth");
            tell.send(path).expect("the test listens to the end");
        }
    }
}

async fn assert_all_there(server: &Subject, acknowledged: &BTreeSet<String>) {
    let tree = dump::tree(server.address).await;
    let lost: Vec<_> = acknowledged.iter().filter(|path| !tree.contains_key(*path)).collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), acknowledged.len());
    let torn = acknowledged.iter().filter(|path| tree[*path].data.as_deref() != Some(b"x"));
    assert_eq!(torn.count(), 0, "written with other data");
}
