//! Queues whose items are locked: one receiver at a time for each, and for each one that is done
//! with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use futures::future::{join_all, select};
use tokio_util::sync::CancellationToken;
use zk_client::Client;
use zk_recipes::{Queue, QueueKind};
use zk_tests::foreign::Server;

use crate::{CRASHES, HAND_OVERS, Row, peer::Peer};

/// As many as change hands, and some for those that one receiver gets in a row.
const ITEMS: usize = HAND_OVERS * 3 / 2;

/// How many items there are at a time. Curator goes through all that it has seen, whether they are
/// still there or not.
const ITEMS_AT_ONCE: usize = 24;

struct State {
    row: Row,
    /// How many items have been put in.
    put: usize,
    last: Option<usize>,
    held: BTreeMap<String, usize>,
    done: BTreeSet<String>,
}

pub(crate) async fn run(server: &Server, name: &'static str, peers: &[Peer], path: &str) -> Row {
    let zk = server.client().await;
    let queue = queue(&zk, path, peers.contains(&Peer::Python));
    for item in 0..ITEMS_AT_ONCE {
        queue.put(item.to_string().as_bytes()).await.expect("put");
    }
    let (held, done, put) = (BTreeMap::new(), BTreeSet::new(), ITEMS_AT_ONCE);
    let state = Mutex::new(State { row: Row::new(name), put, last: None, held, done });
    let over = CancellationToken::new();
    let receivers = (0..peers.len()).map(|me| {
        let (queue, state, over) = (&queue, &state, &over);
        async move {
            let receive = std::pin::pin!(receive(server, queue, peers, me, state, over));
            // At the end some wait for items that will not come: they are killed.
            select(receive, std::pin::pin!(over.cancelled())).await;
        }
    });
    join_all(receivers).await;
    state.into_inner().unwrap_or_else(PoisonError::into_inner).row
}

fn queue(zk: &Client, path: &str, is_kazoo: bool) -> Queue {
    let queue = if is_kazoo {
        let builder = Queue::builder(zk, &format!("{path}/entries")).kind(QueueKind::Kazoo);
        builder.markers(format!("{path}-markers"))
    } else {
        Queue::builder(zk, path).kind(QueueKind::Curator)
    };
    queue.build().expect("a path")
}

async fn receive(
    server: &Server,
    queue: &Queue,
    peers: &[Peer],
    me: usize,
    state: &Mutex<State>,
    over: &CancellationToken,
) {
    let kind = match peers[me] {
        Peer::Ours if peers.contains(&Peer::Python) => "kazoo-jobs",
        Peer::Java | Peer::Python | Peer::Ours => "jobs",
    };
    // kazoo's and so our receivers are told of what is above the items.
    let path = queue.path().trim_end_matches("/entries");
    let command = format!("enter {kind} {path}");
    let mut process = peers[me].start(server);
    loop {
        let says = process.ask(&command).await;
        let item = says.strip_prefix("in ").expect("an item").to_owned();
        if with(state, |state| state.take(&item, peers, me)) {
            process.kill().await;
            with(state, |state| state.held.remove(&item));
            process = peers[me].start(server);
            continue;
        }
        let (is_last, next) = with(state, |state| (state.give_back(&item), state.next()));
        assert_eq!(process.ask("leave").await, "out");
        if is_last {
            over.cancel();
        }
        if let Some(item) = next {
            queue.put(item.to_string().as_bytes()).await.expect("put");
        }
    }
}

fn with<T>(state: &Mutex<State>, deed: impl FnOnce(&mut State) -> T) -> T {
    deed(&mut state.lock().unwrap_or_else(PoisonError::into_inner))
}

impl State {
    /// Whether the receiver is to be killed.
    fn take(&mut self, item: &str, peers: &[Peer], me: usize) -> bool {
        let is_free = self.held.insert(item.to_owned(), me).is_none();
        self.row.overlaps += usize::from(!is_free || self.done.contains(item));
        self.row.hand_overs += usize::from(self.last != Some(me));
        self.last = Some(me);
        let is_victim = self.row.victim(&Peer::kinds(peers)) == Some(peers[me]);
        self.row.crashes += usize::from(is_victim);
        is_victim
    }

    /// Whether nothing is left to do.
    fn give_back(&mut self, item: &str) -> bool {
        self.held.remove(item);
        self.done.insert(item.to_owned());
        self.done.len() == ITEMS && self.row.crashes == CRASHES
    }

    /// The next item that is to be put in.
    fn next(&mut self) -> Option<usize> {
        let item = self.put;
        self.put += 1;
        (item < ITEMS).then_some(item)
    }
}
