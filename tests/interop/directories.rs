//! A data directory written by one server is opened by another.

use std::path::Path;

use zk_tests::{
    dump::{self, SUPER_DIGEST},
    load,
    subject::{Kind, Settings, Subject},
};

fn settings() -> Settings {
    Settings::default()
        .key("DigestAuthenticationProvider.superDigest", SUPER_DIGEST)
        // Nothing vanishes while two servers are compared.
        .property("znode.container.checkIntervalMs", "3600000")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn ours_opens_what_apache_3_9_5_wrote_and_gives_it_back() {
    there_and_back(Kind::Apache39, Kind::Ours, "").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn ours_opens_snapshots_compressed_with_gz() {
    there_and_back(Kind::Apache39, Kind::Ours, "gz").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn ours_opens_snapshots_compressed_with_snappy() {
    there_and_back(Kind::Apache39, Kind::Ours, "snappy").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.8: eval \"$(.ci/peers)\""]
async fn ours_opens_what_apache_3_8_wrote() {
    there(Kind::Apache38, Kind::Ours, "").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn apache_3_9_5_opens_what_ours_wrote_and_gives_it_back() {
    there_and_back(Kind::Ours, Kind::Apache39, "").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.8: eval \"$(.ci/peers)\""]
async fn apache_3_8_opens_what_ours_wrote_for_it() {
    there(Kind::Ours, Kind::Apache38, "").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn captured_directories_read_alike() {
    let golden =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../zk-server-embedded/core/tests/golden");
    for name in ["plain", "gz", "snappy"] {
        let (source, settings) = (golden.join(name), settings());
        let (ours, theirs) = tokio::join!(
            Subject::start_on_copy(Kind::Ours, &settings, &source),
            Subject::start_on_copy(Kind::Apache39, &settings, &source)
        );
        let (left, right) = tokio::join!(dump::tree(ours.address), dump::tree(theirs.address));
        let differences = dump::differences(&left, &right);
        assert!(differences.is_empty(), "{name}: {}", differences.join("\n"));
        assert!(left.len() > 20, "{name} holds {} nodes", left.len());
        assert_no_mismatch(&ours).await;
        assert_no_mismatch(&theirs).await;
    }
}

/// One server writes, another opens what it left behind, writes on, and the first opens that.
async fn there_and_back(first: Kind, second: Kind, compression: &str) {
    let opened = there(first, second, compression).await;
    let session = load::everything(opened.address, "three").await;
    let opened = opened.restart().await;
    let session_too = load::everything(opened.address, "four").await;
    handed_over(opened, first).await;
    drop((session, session_too));
}

/// One server writes, with a restart for a snapshot in the middle; another opens it.
async fn there(first: Kind, second: Kind, compression: &str) -> Subject {
    let settings = match compression {
        "" => settings(),
        method => settings().property("zookeeper.snapshot.compression.method", method),
    };
    let writer = Subject::start(first, &settings).await;
    let session = load::everything(writer.address, "one").await;
    let writer = writer.restart().await;
    let mut session_too = load::everything(writer.address, "two").await;
    if first != Kind::Apache38 && second != Kind::Apache38 {
        load::newer_multis(&mut session_too, "newer").await;
    }
    let opened = handed_over(writer, second).await;
    drop((session, session_too));
    opened
}

/// Kills a server and lets another open a copy of its directory: everything is the same.
async fn handed_over(mut writer: Subject, reader: Kind) -> Subject {
    assert_no_mismatch(&writer).await;
    let written = dump::tree(writer.address).await;
    writer.process.kill();
    let opened = Subject::start_on_copy(reader, &settings(), writer.data_dir()).await;
    let read = dump::tree(opened.address).await;
    let differences = dump::differences(&written, &read);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    // Each transaction that was replayed carried the digest of the tree it leads to.
    assert_no_mismatch(&opened).await;
    opened
}

async fn assert_no_mismatch(server: &Subject) {
    let count = server.monitored("zk_digest_mismatches_count").await;
    assert_eq!(count, "0", "digests that differ on {}", server.kind.name());
}
