//! Sessions belong to the ensemble: they move between members of different makes, and what they
//! own goes everywhere when they are closed.

use zk_proto::{ErrorCode, client::OpCode};
use zk_tests::raw::Raw;

use crate::{
    cluster::{
        Cluster,
        Make::{self, Apache, Ours},
    },
    verdict::check,
    writers::Writers,
};

/// Acknowledged writes between two events.
const WRITES: usize = 100;

/// Times a session moves.
const MOVES: usize = 6;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn sessions_move_between_makes_while_apache_leads() {
    moves("a session moves between makes, Apache leads", &[Ours, Apache, Apache]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn sessions_move_between_makes_while_ours_leads() {
    moves("a session moves between makes, ours leads", &[Apache, Ours, Ours]).await;
}

async fn moves(name: &str, makes: &[Make]) {
    let mut cluster = Cluster::new("sessions", makes, &[]);
    cluster.start_all().await;
    let writers = Writers::start(&cluster.connect_string(), "load").await;
    let mut raw = Raw::open(cluster.address(1)).await;
    let session = raw.session.clone();
    assert_eq!(raw.create("/moving", 0).await.code(), ErrorCode::Ok);
    for step in 1..=MOVES {
        let member = 1 + step % cluster.members().count();
        assert_eq!(raw.create(&format!("/moving/{step}"), 1).await.code(), ErrorCode::Ok);
        let (next, granted) = Raw::resume(cluster.address(member), &session).await;
        let granted = granted.expect("an answer");
        assert_eq!((granted.id, granted.timeout_ms), (session.id, session.timeout_ms));
        // The member that lost the session may notice at its next message.
        raw = next;
        assert_eq!(raw.at(OpCode::Sync, "/").await.code(), ErrorCode::Ok);
        for earlier in 1..=step {
            let path = format!("/moving/{earlier}");
            assert_eq!(raw.see(OpCode::Exists, &path, false).await.code(), ErrorCode::Ok, "{path}");
        }
    }
    // Elsewhere, since a server ends its connection of a session before it looks at the password.
    let mut stranger = session.clone();
    stranger.password[0] ^= 1;
    let (_, refused) = Raw::resume(cluster.address(2), &stranger).await;
    assert_eq!(refused.map_or(0, |refused| refused.timeout_ms), 0, "a wrong password");
    writers.more(WRITES).await;
    raw.close().await;
    for member in cluster.members() {
        let (_, refused) = Raw::resume(cluster.address(member), &session).await;
        let timeout_ms = refused.map_or(0, |refused| refused.timeout_ms);
        assert_eq!(timeout_ms, 0, "closed, and member {member} knows");
        let mut raw = Raw::open(cluster.address(member)).await;
        assert_eq!(raw.at(OpCode::Sync, "/").await.code(), ErrorCode::Ok);
        for step in 1..=MOVES {
            let path = format!("/moving/{step}");
            let code = raw.see(OpCode::Exists, &path, false).await.code();
            assert_eq!(code, ErrorCode::NoNode, "{path} on {member}");
        }
        raw.close().await;
    }
    check(name, &mut cluster, writers.end().await).await;
}
