//! The engine with a rule that no recipe here has: it counts, as a semaphore does.

use zk_client::{Client, StateCell, ZnodePath};
use zk_server_embedded::testing::TestServer;

use super::{Line, Naming, Patience, Place, Queue, Rule, Turn};

/// At most so many at once.
#[derive(Debug)]
struct AtMost(usize);

impl Rule for AtMost {
    fn turn(&self, queue: &Queue, _: usize) -> Turn {
        if queue.line.len() <= self.0 { Turn::Mine } else { Turn::Crowded }
    }
}

#[tokio::test]
async fn a_rule_that_counts_lets_in_whoever_fits_once_anybody_leaves() {
    let server = TestServer::start().await.expect("a server");
    let zk = Client::connect(server.connect_string()).await.expect("a session");
    let line = line(&zk);
    let first = enter(line.clone()).await;
    let second = enter(line.clone()).await;
    let third = tokio::spawn(enter(line));
    let is_watched = async {
        let look = || async { server.snapshot().await.expect("a running server") };
        while look().await.children("/leases").len() < 3 {}
    };
    is_watched.await;
    assert!(!third.is_finished());
    drop(second);
    let third = third.await.expect("no panic");
    assert!(third.czxid() > first.czxid());
}

fn line(zk: &Client) -> Line {
    let path = ZnodePath::new("/leases").expect("a path");
    let naming = Naming::curator(&["lease-"]);
    Line::new(zk.clone(), path, naming, Box::new(AtMost(2)), Vec::new(), None)
}

async fn enter(line: Line) -> Place {
    let entered = line.enter(0, Patience::Endless, &StateCell::new(None)).await;
    entered.expect("a turn").expect("patience")
}
