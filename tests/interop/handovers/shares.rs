//! A set divided among members that come, leave and are killed.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zk_tests::{
    foreign::{Foreign, Server},
    patience::at_most,
};

use crate::{CRASHES, Row, peer::Peer};

const PATH: &str = "/turns/set";
const ITEMS: usize = 60;
const MEMBERS: [Peer; 4] = [Peer::Python, Peer::Ours, Peer::Python, Peer::Ours];

/// What a member says, and what becomes of it.
enum News {
    Says(String),
    Killed,
}

/// What a member is told.
enum Order {
    Leave,
    Quit,
    Kill,
}

struct Set {
    row: Row,
    holders: BTreeMap<String, usize>,
    last: BTreeMap<String, usize>,
}

pub(crate) async fn run(server: &Server, name: &'static str) -> Row {
    let items: Vec<_> = (0..ITEMS).map(|item| format!("item-{item:02}")).collect();
    let command = format!("share {PATH} {}", items.join(","));
    let mut set = Set { row: Row::new(name), holders: BTreeMap::new(), last: BTreeMap::new() };
    let (tell, mut news) = mpsc::unbounded_channel();
    let over = CancellationToken::new();
    let _over = over.clone().drop_guard();
    let start = |me: usize| {
        let (orders, told) = mpsc::unbounded_channel();
        let (process, command) = (MEMBERS[me].start(server), command.clone());
        tokio::spawn(speak(process, command, me, told, tell.clone(), over.clone()));
        orders
    };
    let mut orders: Vec<_> = (0..MEMBERS.len()).map(start).collect();
    let mut is_in = [false; MEMBERS.len()];
    let mut disturbed = 0;
    while !set.row.is_done() {
        let (me, says) = at_most("news", news.recv()).await.expect("members");
        match says {
            News::Says(says) => {
                let (what, names) = says.split_once(' ').unwrap_or((&says, ""));
                match what {
                    "in" => {
                        set.take(names, me);
                        is_in[me] = true;
                    }
                    "changed" => {
                        set.give_up(me);
                        is_in[me] = false;
                        let _ = orders[me].send(Order::Leave);
                    }
                    "out" => {}
                    _ => panic!("{:?} says: {says}", MEMBERS[me]),
                }
            }
            News::Killed => {
                set.give_up(me);
                is_in[me] = false;
                orders[me] = start(me);
            }
        }
        // Once all is divided, somebody goes and another comes.
        if set.holders.len() == ITEMS && is_in.iter().all(|&is_in| is_in) {
            let victim = disturbed % MEMBERS.len();
            let is_crash = set.row.crashes < CRASHES;
            set.row.crashes += usize::from(is_crash);
            disturbed += 1;
            if !is_crash {
                // It gives up what it has when it is told, not when it says so.
                set.give_up(victim);
            }
            is_in[victim] = false;
            let order = if is_crash { Order::Kill } else { Order::Quit };
            let _ = orders[victim].send(order);
        }
    }
    set.row
}

/// One member's voice, until it is gone.
async fn speak(
    mut process: Foreign,
    command: String,
    me: usize,
    mut orders: mpsc::UnboundedReceiver<Order>,
    tell: mpsc::UnboundedSender<(usize, News)>,
    over: CancellationToken,
) {
    process.tell(&command).await;
    loop {
        tokio::select! {
            biased;
            () = over.cancelled() => return,
            order = orders.recv() => match order {
                Some(Order::Leave) => process.tell("leave").await,
                Some(Order::Quit) => {
                    process.tell("quit").await;
                    // Whatever it says about shares does not count any more.
                    while process.answer().await != "out" {}
                    process.kill().await;
                    let _ = tell.send((me, News::Killed));
                    return;
                }
                Some(Order::Kill) => {
                    process.kill().await;
                    let _ = tell.send((me, News::Killed));
                    return;
                }
                None => return,
            },
            says = process.line() => {
                let _ = tell.send((me, News::Says(says)));
            }
        }
    }
}

impl Set {
    fn take(&mut self, names: &str, me: usize) {
        for name in names.split(',').filter(|name| !name.is_empty()) {
            let before = self.holders.insert(name.to_owned(), me);
            self.row.overlaps += usize::from(before.is_some());
            let last = self.last.insert(name.to_owned(), me);
            self.row.hand_overs += usize::from(last.is_some_and(|last| last != me));
        }
    }

    fn give_up(&mut self, me: usize) {
        self.holders.retain(|_, holder| *holder != me);
    }
}
