//! Whole sub-trees.

use zk_client::{AddWatchMode, Client, CreateError, DeleteError, WatchItem};
use zk_server_embedded::testing::TestServer;

async fn world() -> (TestServer, Client) {
    let server = TestServer::start().await.expect("a server");
    let zk = Client::connect(server.connect_string()).await.expect("a session");
    (server, zk)
}

#[tokio::test]
async fn the_way_to_a_node_is_created_as_far_as_it_is_missing() {
    let (_server, zk) = world().await;
    zk.create("/a", b"kept").await.expect("a free name");
    zk.create_path("/a/b/c/d").await.expect("created");
    zk.create_path("/a/b/c/d").await.expect("there");
    zk.create_path("/").await.expect("there");
    assert_eq!(&zk.get("/a").await.expect("there").data[..], b"kept");
    assert!(zk.exists("/a/b/c/d").await.expect("an answer").is_some());
    zk.create("/e", b"").ephemeral().await.expect("a free name");
    let refused = zk.create_path("/e/x/y").await.expect_err("it is ephemeral");
    assert!(matches!(refused, CreateError::NoChildrenForEphemerals { .. }), "{refused}");
    let illegal = zk.create_path("a").await.expect_err("no path");
    assert_eq!(illegal.path(), "a");
}

#[tokio::test]
async fn a_sub_tree_is_deleted_whole_and_nothing_beside_it() {
    let (server, zk) = world().await;
    for path in ["/t/a/b", "/t/c", "/ta", "/u"] {
        zk.create_path(path).await.expect("created");
    }
    let wide: Vec<_> = (0..700).map(|at| zk.create(&format!("/t/c/{at}"), b"").send()).collect();
    for created in wide {
        created.await.expect("created");
    }
    assert_eq!(zk.delete_all("/t").await, Ok(704));
    assert_eq!(zk.delete_all("/t").await, Ok(0), "it is gone");
    let left = server.snapshot().await.expect("runs");
    let left: Vec<_> = left.nodes.iter().map(|node| node.path.as_str()).collect();
    assert!(left.contains(&"/ta") && left.contains(&"/u"), "{left:?}");
    assert!(!left.iter().any(|path| *path == "/t" || path.starts_with("/t/")), "{left:?}");
    assert!(matches!(zk.delete_all("/").await, Err(DeleteError::BadArguments { .. })));
}

#[tokio::test]
async fn a_sub_tree_is_lived_in_as_the_whole_tree() {
    let (_server, zk) = world().await;
    zk.create_path("/app/one").await.expect("created");
    let app = zk.sub_tree("/app").expect("a path");
    let one = app.sub_tree("/one").expect("a path");
    let mut all = app.add_watch("/", AddWatchMode::PersistentRecursive).await.expect("a watch");
    let created = one.create("/x", b"").await.expect("a free name");
    assert_eq!(created.path, "/x");
    assert!(zk.exists("/app/one/x").await.expect("an answer").is_some());
    let Some(WatchItem::Event(event)) = all.next().await else { panic!("an event") };
    assert_eq!(event.path, "/one/x");
    assert_eq!(app.epoch(), zk.epoch(), "the same session");
    let error = one.get("/no").await.expect_err("there is none");
    assert_eq!(error.path(), "/no");
    assert!(zk.sub_tree("app").is_err());
    drop((zk, app));
    one.exists("/x").await.expect("the last handle keeps the session");
}
