//! A double barrier: nobody is inside before all have come, and killed ones do not count.

use futures::future::join_all;
use zk_client::Client;
use zk_tests::{
    foreign::{Foreign, Server},
    patience::at_most,
};

use crate::{Row, peer::Peer};

const PATH: &str = "/turns/barrier";
const PARTIES: [Peer; 3] = [Peer::Java, Peer::Ours, Peer::Ours];

/// Looks at the server before the last one comes.
const LOOKS: usize = 3;

pub(crate) async fn run(server: &Server, name: &'static str) -> Row {
    let zk = server.client().await;
    let mut row = Row::new(name);
    let mut processes: Vec<_> = PARTIES.iter().map(|peer| peer.start(server)).collect();
    let mut last = 0;
    while !row.is_done() {
        last = (last + 1) % PARTIES.len();
        let early = (last + 1) % PARTIES.len();
        let enter = format!("enter barrier {PATH} {}", PARTIES.len());
        processes[early].tell(&enter).await;
        until_waiting(&zk, 1).await;
        if row.victim(&Peer::kinds(&PARTIES)) == Some(PARTIES[early]) {
            processes[early].kill().await;
            row.crashes += 1;
            processes[early] = PARTIES[early].start(server);
            until_waiting(&zk, 0).await;
            processes[early].tell(&enter).await;
            until_waiting(&zk, 1).await;
        }
        let other = PARTIES.len() - early - last;
        processes[other].tell(&enter).await;
        until_waiting(&zk, 2).await;
        for waiting in [early, other] {
            assert_outside(&mut processes[waiting], &zk).await;
        }
        processes[last].tell(&enter).await;
        for process in &mut processes {
            assert_eq!(process.answer().await, "in 0");
        }
        row.hand_overs += PARTIES.len();
        let leaving = processes.iter_mut().map(|process| process.ask("leave"));
        assert!(join_all(leaving).await.iter().all(|says| says == "out"));
        until_waiting(&zk, 0).await;
    }
    row
}

/// Nobody comes in although not all are there.
async fn assert_outside(process: &mut Foreign, zk: &Client) {
    let looks = async {
        for _ in 0..LOOKS {
            zk.sync("/").await.expect("synced");
        }
    };
    tokio::select! {
        biased;
        says = process.line() => panic!("inside before all were there: {says}"),
        () = looks => {}
    }
}

/// Waits until so many have come.
async fn until_waiting(zk: &Client, count: usize) {
    let came = async {
        loop {
            match zk.children_and_watch(PATH).await {
                Ok((children, change)) => {
                    if children.names.iter().filter(|name| *name != "ready").count() == count {
                        return;
                    }
                    let _ = change.await;
                }
                Err(_) if count == 0 => return,
                Err(_) => {
                    let Ok((None, change)) = zk.exists_and_watch(PATH).await else { continue };
                    let _ = change.await;
                }
            }
        }
    };
    at_most("all who are to come", came).await;
}
