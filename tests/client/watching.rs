//! What watchers hear from a real server.

use zk_client::{AddWatchMode, Client, CreateMode, EventKind, Version, WatchItem};
use zk_server_embedded::testing::TestServer;
use zk_tests::patience::at_most;

#[tokio::test]
async fn pitfall_33_watchers_hear_of_every_change_of_a_transaction_in_its_order() {
    let server = TestServer::start().await.expect("a server");
    let zk = Client::connect(server.connect_string()).await.expect("a session");
    let other = Client::connect(server.connect_string()).await.expect("a session");
    zk.create("/app", b"").await.expect("a free name");
    let watcher = zk.add_watch("/app", AddWatchMode::PersistentRecursive).await;
    let mut watcher = watcher.expect("a watch");
    for by in [&other, &zk] {
        let multi = by.multi();
        let multi = multi.create("/app/a", b"", CreateMode::Persistent);
        let multi = multi.create("/app/b", b"", CreateMode::Persistent);
        let multi = multi.set("/app/a", b"x", Version::ANY);
        let multi = multi.delete("/app/b", Version::ANY).delete("/app/a", Version::ANY);
        multi.commit().await.expect("committed");
        let mut zxids = Vec::new();
        for (kind, path) in [
            (EventKind::Created, "/app/a"),
            (EventKind::Created, "/app/b"),
            (EventKind::DataChanged, "/app/a"),
            (EventKind::Deleted, "/app/b"),
            (EventKind::Deleted, "/app/a"),
        ] {
            let item = at_most("an event", watcher.next()).await;
            let Some(WatchItem::Event(event)) = item else { panic!("an event, not {item:?}") };
            assert_eq!((event.kind, &*event.path), (kind, path));
            zxids.push(event.zxid.expect("our server tells the transaction"));
        }
        zxids.dedup();
        assert_eq!(zxids.len(), 1, "one transaction");
    }
}
