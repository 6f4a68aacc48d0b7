//! Counters: every addition counts once, whoever made it; of a killed process nobody can say.

use std::sync::{Mutex, PoisonError};

use futures::future::join_all;
use zk_recipes::{Counter, CounterLayout};
use zk_tests::foreign::Server;

use crate::{Row, peer::Peer};

struct State {
    row: Row,
    last: Option<usize>,
    added: i64,
}

pub(crate) async fn run(
    server: &Server,
    name: &'static str,
    peers: &[Peer],
    layout: &'static str,
) -> Row {
    let path = format!("/counter-{layout}");
    let state = Mutex::new(State { row: Row::new(name), last: None, added: 0 });
    join_all((0..peers.len()).map(|me| add(server, &path, layout, peers, me, &state))).await;
    let State { mut row, added, .. } = state.into_inner().unwrap_or_else(PoisonError::into_inner);

    let layout = match layout {
        "long" => CounterLayout::Long,
        "integer" => CounterLayout::Integer,
        _ => CounterLayout::Text,
    };
    let zk = server.client().await;
    let counter = Counter::builder(&zk, &path).layout(layout).build().expect("a path");
    let value = counter.get().await.expect("a sum");
    // Each killed process may have added one that it was asked for and never told of.
    let crashes = i64::try_from(row.crashes).expect("few");
    let wrong = (added - value).max(value - added - crashes).max(0);
    row.overlaps = usize::try_from(wrong).expect("few");
    row
}

async fn add(
    server: &Server,
    path: &str,
    layout: &str,
    peers: &[Peer],
    me: usize,
    state: &Mutex<State>,
) {
    let with = |deed: &dyn Fn(&mut State) -> bool| {
        deed(&mut state.lock().unwrap_or_else(PoisonError::into_inner))
    };
    let command = format!("add {layout} {path}");
    let mut process = peers[me].start(server);
    while !with(&|state| state.row.is_done()) {
        process.tell(&command).await;
        let is_victim = with(&|state| {
            let is_victim = state.row.victim(&Peer::kinds(peers)) == Some(peers[me]);
            state.row.crashes += usize::from(is_victim);
            is_victim
        });
        if is_victim {
            process.kill().await;
            process = peers[me].start(server);
            continue;
        }
        assert_eq!(process.answer().await, "added");
        with(&|state| {
            state.added += 1;
            state.row.hand_overs += usize::from(state.last != Some(me));
            state.last = Some(me);
            true
        });
    }
}
