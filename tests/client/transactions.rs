//! Transactions whose results have types of their own.

use zk_client::{
    Acl, Client, CreateMode, Done, ErrorCode, MultiError, Outcome, Resolver, Stat, Version,
};
use zk_proto::client::OpCode;
use zk_server_embedded::testing::{Applied, TestServer};

async fn world() -> (TestServer, Client) {
    let server = TestServer::start().await.expect("a server");
    let zk = Client::connect(server.connect_string()).await.expect("a session");
    (server, zk)
}

#[tokio::test]
async fn each_operation_answers_in_its_own_type() {
    let (_server, zk) = world().await;
    zk.create("/a", b"0").await.expect("a free name");
    zk.create("/gone", b"").await.expect("a free name");
    let transaction = zk
        .transaction()
        .check("/a", Version::new(0))
        .set("/a", b"1", Version::new(0))
        .create("/a/n-", b"", CreateMode::PersistentSequential)
        .create_with_acl("/a/read", b"", CreateMode::Persistent, &Acl::open())
        .delete("/gone", Version::ANY);
    let ((), set, numbered, readable, ()) = transaction.commit().await.expect("committed");
    assert_eq!(zk.exists("/a").await, Ok(Some(Stat { pzxid: set.mzxid, ..stat(&zk, "/a").await })));
    assert_eq!(set.version, Version::new(1));
    assert_eq!(numbered.path, "/a/n-0000000000");
    assert_eq!(readable.stat.expect("a server of 3.9").czxid, set.mzxid);
    assert_eq!(zk.exists("/gone").await, Ok(None));
}

#[tokio::test]
async fn paths_of_a_chroot_are_told_as_they_were_asked() {
    let (_server, zk) = world().await;
    zk.create_path("/app").await.expect("created");
    let app = zk.sub_tree("/app").expect("legal");
    let (made,) = app
        .transaction()
        .create("/n", b"", CreateMode::Persistent)
        .commit()
        .await
        .expect("committed");
    assert_eq!(made.path, "/n");
    assert!(zk.exists("/app/n").await.expect("an answer").is_some());
}

#[tokio::test]
async fn a_refused_operation_is_named_and_nothing_happens() {
    let (_server, zk) = world().await;
    let transaction = zk.transaction().create("/a", b"", CreateMode::Persistent).set(
        "/missing",
        b"",
        Version::ANY,
    );
    let refused = transaction.clone().commit().await.expect_err("there is no such node");
    assert_eq!(refused.outcome(), Outcome::Rejected);
    let MultiError::Failed { index, path, code, .. } = refused else {
        panic!("which one is told, not {refused:?}");
    };
    assert_eq!((index, &*path, code), (1, "/missing", ErrorCode::NoNode));
    assert_eq!(zk.exists("/a").await, Ok(None));
    let illegal = zk.transaction().delete("a", Version::ANY).commit().await.expect_err("no path");
    assert_eq!(illegal.outcome(), Outcome::NotSent);
}

#[tokio::test]
async fn a_transaction_of_nothing_answers_nothing() {
    let (_server, zk) = world().await;
    zk.transaction().commit().await.expect("nothing is easily done");
}

#[tokio::test]
async fn twelve_operations_fit_one_transaction() {
    let (_server, zk) = world().await;
    zk.create("/a", b"").await.expect("a free name");
    let any = Version::ANY;
    let transaction = zk.transaction().check("/a", any).check("/a", any).check("/a", any);
    let transaction = transaction.check("/a", any).check("/a", any).check("/a", any);
    let transaction = transaction.check("/a", any).check("/a", any).check("/a", any);
    let transaction = transaction.check("/a", any).check("/a", any).set("/a", b"12", any);
    let results = transaction.commit().await.expect("committed");
    assert_eq!(results.11.data_length, 2);
}

#[tokio::test]
async fn a_resolver_settles_typed_transactions_too() {
    let (server, zk) = world().await;
    let resolver = Resolver::new(&zk).markers("/markers");
    zk.create("/a", b"0").await.expect("a free name");
    let set = |version| zk.transaction().set("/a", b"1", Version::new(version));
    let done = resolver.commit_typed(set(0)).await.expect("committed");
    let Done { result: Some((stat,)), zxid, .. } = done else {
        panic!("it was answered: {done:?}");
    };
    assert_eq!(Some(stat.mzxid), zxid);
    server.lose_reply(OpCode::Multi, "/a", Applied::Yes).await.expect("a running server");
    let done = resolver.commit_typed(set(1)).await.expect("it happened");
    assert_eq!(done.result, None, "the answer was lost");
    server.lose_reply(OpCode::Multi, "/a", Applied::No).await.expect("a running server");
    let lost = resolver.commit_typed(set(2)).await.expect_err("it did not happen");
    assert_eq!(lost.outcome(), Outcome::Rejected);
}

async fn stat(zk: &Client, path: &str) -> Stat {
    zk.exists(path).await.expect("an answer").expect("there")
}
