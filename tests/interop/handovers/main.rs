//! A thousand hand-overs for every layout that is shared, among processes in Java (Curator 5.9),
//! Python (kazoo 2.11) and Rust, of which some are killed while they hold what is handed over.
//!
//! Whoever has its turn tells so and keeps it until it is told to go on. The suite is what the
//! turns are for: it knows who has one, and that a killed process has none. It prints a table at
//! the end; in each row the last column must be 0.

mod barrier;
mod counters;
mod jobs;
mod peer;
mod shares;
mod turns;

use std::{fmt::Write as _, io::Write as _};

use futures::{StreamExt as _, future::BoxFuture, stream};
use zk_tests::foreign::Server;

use self::{
    peer::Peer::{Java, Ours, Python},
    turns::Turns,
};

/// How often what is shared must change hands, for each layout.
const HAND_OVERS: usize = 1_000;

/// How many holders are killed meanwhile, for each layout; of each kind of peers some.
const CRASHES: usize = 6;

/// How many layouts are tried beside each other: most of the time goes by waiting for the sessions
/// of those that were killed.
const AT_ONCE_MAX: usize = 4;

/// What came of one layout.
struct Row {
    name: &'static str,
    hand_overs: usize,
    crashes: usize,
    overlaps: usize,
}

impl Row {
    const fn new(name: &'static str) -> Self {
        Self { name, hand_overs: 0, crashes: 0, overlaps: 0 }
    }

    /// Whose turn it is to be killed, once it has its turn: all kinds one after the other, at even
    /// distances.
    fn victim<T: Copy>(&self, kinds: &[T]) -> Option<T> {
        let is_due = self.crashes < CRASHES
            && self.hand_overs > (self.crashes + 1) * HAND_OVERS / (CRASHES + 2);
        is_due.then(|| kinds[self.crashes % kinds.len()])
    }

    const fn is_done(&self) -> bool {
        self.hand_overs >= HAND_OVERS && self.crashes >= CRASHES
    }
}

async fn every_layout(name: &str, server: Server) {
    let curators = [Java, Java, Ours, Ours];
    let kazoos = [Python, Python, Ours, Ours];
    let all: Vec<BoxFuture<'_, Row>> = vec![
        Box::pin(
            Turns::new("mutex, Curator's", &[Java, Python, Ours, Ours], "/turns/curator-mutex")
                .kinds(Java, &["mutex"])
                .kinds(Python, &["curator"])
                .kinds(Ours, &["mutex"])
                .run(&server),
        ),
        Box::pin(
            Turns::new("mutex, kazoo's", &kazoos, "/turns/kazoo-mutex")
                .kinds(Python, &["mutex"])
                .kinds(Ours, &["kazoo-mutex"])
                .run(&server),
        ),
        Box::pin(
            Turns::new("read-write lock, Curator's", &curators, "/turns/curator-rw")
                .kinds(Java, &["write", "read"])
                .kinds(Ours, &["read", "write", "write"])
                .run(&server),
        ),
        Box::pin(
            Turns::new("read-write lock, kazoo's", &kazoos, "/turns/kazoo-rw")
                .kinds(Python, &["write", "read"])
                .kinds(Ours, &["kazoo-read", "kazoo-write", "kazoo-write"])
                .run(&server),
        ),
        Box::pin(
            Turns::new("semaphore, Curator's", &curators, "/turns/curator-semaphore")
                .kinds(Java, &["lease"])
                .kinds(Ours, &["lease"])
                .at_most(2)
                .run(&server),
        ),
        Box::pin(
            Turns::new("semaphore, kazoo's", &kazoos, "/turns/kazoo-semaphore")
                .kinds(Python, &["lease"])
                .kinds(Ours, &["kazoo-lease"])
                .at_most(2)
                .run(&server),
        ),
        Box::pin(
            Turns::new("leader latch, Curator's", &curators, "/turns/latch")
                .kinds(Java, &["latch"])
                .kinds(Ours, &["latch"])
                .run(&server),
        ),
        Box::pin(
            Turns::new("leader selector, Curator's", &curators, "/turns/curator-election")
                .kinds(Java, &["select"])
                .kinds(Ours, &["select"])
                .run(&server),
        ),
        Box::pin(
            Turns::new("election, kazoo's", &kazoos, "/turns/kazoo-election")
                .kinds(Python, &["elect"])
                .kinds(Ours, &["kazoo-select"])
                .run(&server),
        ),
        Box::pin(counters::run(&server, "counter, eight bytes", &[Java, Ours, Ours], "long")),
        Box::pin(counters::run(&server, "counter, text", &[Python, Ours, Ours], "text")),
        Box::pin(counters::run(&server, "counter, four bytes", &[Java, Python, Ours], "integer")),
        Box::pin(jobs::run(&server, "queue with locks, Curator's", &curators, "/jobs/curator")),
        Box::pin(jobs::run(&server, "queue with locks, kazoo's", &kazoos, "/jobs/kazoo")),
        Box::pin(shares::run(&server, "set of items, kazoo's")),
        Box::pin(barrier::run(&server, "double barrier, Curator's")),
    ];
    let rows: Vec<_> = stream::iter(all).buffer_unordered(AT_ONCE_MAX).collect().await;
    let mut table = format!("\n{name:<28} hand-overs  crashes  overlaps\n");
    for Row { name, hand_overs, crashes, overlaps } in &rows {
        let _ = writeln!(table, "{name:<28} {hand_overs:>10} {crashes:>8} {overlaps:>9}");
    }
    // Past what keeps quiet about tests that pass: the table is what people read.
    std::io::stdout().lock().write_all(table.as_bytes()).expect("somewhere to write");
    for row in &rows {
        assert!(row.is_done() && row.overlaps == 0, "{}: {table}", row.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a JVM, Curator and kazoo"]
async fn hand_overs_with_crashes_on_apache() {
    every_layout("on Apache 3.9.5", Server::apache().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a JVM, Curator and kazoo"]
async fn hand_overs_with_crashes_on_ours() {
    every_layout("on zk-server", Server::ours().await).await;
}

/// The net catches what it is for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs kazoo"]
async fn layouts_that_do_not_see_each_other_are_seen_to_overlap() {
    let server = Server::ours().await;
    let turns = Turns::new("two layouts", &[Python, Ours], "/turns/mixed");
    let row = turns.kinds(Python, &["mutex"]).kinds(Ours, &["mutex"]).run(&server).await;
    assert!(row.overlaps > HAND_OVERS / 10, "{} of {}", row.overlaps, row.hand_overs);
}
