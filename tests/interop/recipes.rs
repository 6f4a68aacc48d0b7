//! Curator 5.9's and kazoo's other recipes against ours, on the same paths: read-write locks,
//! semaphores, counters, barriers, queues, requests to release.
//!
//! Whoever is inside leaves a file in a directory outside of `ZooKeeper` and looks at the others'.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use zk_client::Client;
use zk_recipes::{
    Barrier, BarrierLayout, Counter, CounterLayout, DoubleBarrier, LeaderSelector, LockLayout,
    Mutex, Party, PartyLayout, Permits, Queue, QueueKind, ReadWriteLayout, ReadWriteLock,
    Semaphore, SemaphoreLayout, TimedLease,
};
use zk_tests::{
    foreign::{Foreign, Server},
    patience::{ANSWER_SECS_MAX, at_most, until},
    scratch::Scratch,
};

const PATH: &str = "/interop/one";

/// How often each process is inside.
const ROUNDS: usize = 90;

/// More than one at once, fewer than there are processes.
const LEASES_MAX: u32 = 2;

/// Connected, so that it contends from its first command on.
async fn curator(server: &Server) -> Foreign {
    let mut java = Foreign::java(server, "CuratorRecipes");
    assert_eq!(java.ask("ready").await, "ready");
    java
}

/// Connected; it starts with the next line it is told.
async fn kazoo(server: &Server, arguments: &[&str]) -> Foreign {
    let mut python = Foreign::python(server, "kazoo_recipes.py", arguments);
    assert_eq!(python.answer().await, "ready");
    python
}

/// Being inside for a moment.
fn inside(directory: &Path, name: &str, is_fine: impl Fn(&[String]) -> bool) {
    let own = directory.join(name);
    File::create_new(&own).unwrap_or_else(|error| panic!("two at once: {error}"));
    let names = fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"));
    let names: Vec<_> = names.collect();
    assert!(is_fine(&names), "{name} beside {names:?}");
    fs::remove_file(own).expect("our own file");
}

async fn our_reads_and_writes(
    zk: Client,
    layout: ReadWriteLayout,
    directory: PathBuf,
    own: &'static str,
) -> String {
    let lock = ReadWriteLock::builder(&zk, PATH).layout(layout).build().expect("a path");
    for round in 0..ROUNDS {
        if round % 3 == 0 {
            let guard = at_most("the lock", lock.write()).await.expect("the lock");
            inside(&directory, "writer", |names| names.len() == 1);
            guard.release().await.expect("released");
        } else {
            let guard = at_most("the lock", lock.read()).await.expect("the lock");
            inside(&directory, own, |names| names.iter().all(|name| name != "writer"));
            guard.release().await.expect("released");
        }
    }
    "done".to_owned()
}

async fn our_leases(
    zk: Client,
    layout: SemaphoreLayout,
    directory: PathBuf,
    own: &'static str,
) -> String {
    let builder = Semaphore::builder(&zk, PATH, Permits::Fixed(LEASES_MAX));
    let semaphore = builder.layout(layout).build().expect("a path");
    for _ in 0..ROUNDS {
        let lease = at_most("a lease", semaphore.acquire()).await.expect("a lease");
        let most = usize::try_from(LEASES_MAX).expect("few");
        inside(&directory, own, |names| names.len() <= most);
        lease.release().await.expect("released");
    }
    "done".to_owned()
}

async fn our_additions(zk: Client, layout: CounterLayout, path: &'static str) -> String {
    let counter = Counter::builder(&zk, path).layout(layout).build().expect("a path");
    for _ in 0..ROUNDS {
        at_most("a sum", counter.add(1)).await.expect("added");
    }
    "done".to_owned()
}

async fn asked(mut foreign: Foreign, command: String) -> String {
    foreign.ask(&command).await
}

async fn answered(mut foreign: Foreign) -> String {
    foreign.ask("go").await
}

async fn read_write_locks_share_and_exclude(server: Server) {
    let scratch = Scratch::new("curator-rw");
    let directory = scratch.path().to_owned();
    let command = format!("rw {PATH} {ROUNDS} {}", directory.display());
    let layout = ReadWriteLayout::Curator;
    let (one, two) = (curator(&server).await, curator(&server).await);
    let all = tokio::join!(
        asked(one, command.clone()),
        asked(two, command),
        our_reads_and_writes(server.client().await, layout, directory.clone(), "one"),
        our_reads_and_writes(server.client().await, layout, directory.clone(), "two"),
    );
    assert_eq!([all.0, all.1, all.2, all.3], ["done"; 4]);
}

async fn kazoos_read_write_locks_share_and_exclude(server: Server) {
    let scratch = Scratch::new("kazoo-rw");
    let directory = scratch.path().to_owned();
    let text = directory.display().to_string();
    let arguments = ["rw", PATH, &ROUNDS.to_string(), &text];
    let layout = ReadWriteLayout::Kazoo;
    let python = kazoo(&server, &arguments).await;
    let all = tokio::join!(
        answered(python),
        our_reads_and_writes(server.client().await, layout, directory.clone(), "one"),
        our_reads_and_writes(server.client().await, layout, directory.clone(), "two"),
    );
    assert_eq!([all.0, all.1, all.2], ["done"; 3]);
}

async fn semaphores_share_their_permits(server: Server) {
    let scratch = Scratch::new("curator-sem");
    let directory = scratch.path().to_owned();
    let command = format!("sem {PATH} {LEASES_MAX} {ROUNDS} {}", directory.display());
    let layout = SemaphoreLayout::Curator;
    let (one, two) = (curator(&server).await, curator(&server).await);
    let all = tokio::join!(
        asked(one, command.clone()),
        asked(two, command),
        our_leases(server.client().await, layout, directory.clone(), "one"),
        our_leases(server.client().await, layout, directory.clone(), "two"),
    );
    assert_eq!([all.0, all.1, all.2, all.3], ["done"; 4]);
}

async fn kazoos_semaphores_share_their_permits(server: Server) {
    let scratch = Scratch::new("kazoo-sem");
    let directory = scratch.path().to_owned();
    let text = directory.display().to_string();
    let arguments = ["sem", PATH, &LEASES_MAX.to_string(), &ROUNDS.to_string(), &text];
    let layout = SemaphoreLayout::Kazoo;
    let (one, two) = (kazoo(&server, &arguments).await, kazoo(&server, &arguments).await);
    let all = tokio::join!(
        answered(one),
        answered(two),
        our_leases(server.client().await, layout, directory.clone(), "one"),
        our_leases(server.client().await, layout, directory.clone(), "two"),
    );
    assert_eq!([all.0, all.1, all.2, all.3], ["done"; 4]);
}

async fn counters_count_everybody_once(server: Server) {
    let rounds = ROUNDS.to_string();
    let zk = server.client().await;
    let (long, int) = (curator(&server).await, curator(&server).await);
    let integer = kazoo(&server, &["integer", "/int", &rounds]).await;
    let text = kazoo(&server, &["text", "/text", &rounds]).await;
    let all = tokio::join!(
        asked(long, format!("long /long {ROUNDS}")),
        our_additions(zk.clone(), CounterLayout::Long, "/long"),
        asked(int, format!("int /int {ROUNDS}")),
        answered(integer),
        our_additions(zk.clone(), CounterLayout::Integer, "/int"),
        answered(text),
        our_additions(zk.clone(), CounterLayout::Text, "/text"),
    );
    assert_eq!([all.0, all.1, all.2, all.3, all.4, all.5, all.6], ["done"; 7]);
    let rounds = i64::try_from(ROUNDS).expect("few");
    for (path, layout, expected) in [
        ("/long", CounterLayout::Long, 2 * rounds),
        ("/int", CounterLayout::Integer, 3 * rounds),
        ("/text", CounterLayout::Text, 2 * rounds),
    ] {
        let counter = Counter::builder(&zk, path).layout(layout).build().expect("a path");
        assert_eq!(counter.get().await, Ok(expected), "{path}");
    }
    let count = curator(&server).await.ask("count /int").await;
    assert_eq!(count, format!("count {}", 3 * rounds), "as a shared count");
}

async fn barriers_hold_everybody(server: Server) {
    let zk = server.client().await;
    let barrier = Barrier::new(&zk, PATH).expect("a path");
    let mut java = curator(&server).await;
    assert_eq!(java.ask(&format!("set {PATH}")).await, "done");
    assert!(barrier.is_set().await.expect("an answer"));
    let ours = barrier.clone();
    let waiting = tokio::spawn(async move { ours.wait().await });
    let mut python = kazoo(&server, &["wait", PATH]).await;
    python.tell("go").await;
    assert_eq!(java.ask(&format!("lift {PATH}")).await, "done");
    at_most("passage", waiting).await.expect("no panic").expect("passed");
    assert_eq!(python.answer().await, "done");

    barrier.set().await.expect("set");
    java.tell(&format!("wait {PATH}")).await;
    let mut python = kazoo(&server, &["wait", PATH]).await;
    python.tell("go").await;
    barrier.lift().await.expect("lifted");
    assert_eq!(java.answer().await, "passed");
    assert_eq!(python.answer().await, "done");
}

async fn double_barriers_wait_for_everybody(server: Server) {
    let zk = server.client().await;
    let barrier = DoubleBarrier::new(&zk, "/curator", 3).expect("a path");
    let mut java = curator(&server).await;
    for _ in 0..3 {
        java.tell("double /curator 3").await;
        let both = async { tokio::join!(barrier.enter(), barrier.enter()) };
        let (one, two) = at_most("entrance", both).await;
        assert_eq!(java.answer().await, "entered");
        java.tell("leave").await;
        let both =
            async { tokio::join!(one.expect("inside").leave(), two.expect("inside").leave()) };
        let (one, two) = at_most("departure", both).await;
        one.expect("left");
        two.expect("left");
        assert_eq!(java.answer().await, "left");
    }
    let barrier = DoubleBarrier::builder(&zk, "/kazoo", 2).layout(BarrierLayout::Kazoo);
    let barrier = barrier.build().expect("a path");
    let mut python = kazoo(&server, &["double", "/kazoo", "2"]).await;
    python.tell("go").await;
    let inside = at_most("entrance", barrier.enter()).await.expect("inside");
    assert_eq!(python.answer().await, "entered");
    at_most("departure", inside.leave()).await.expect("left");
    assert_eq!(python.answer().await, "done");
}

async fn holders_are_asked_both_ways(server: Server) {
    let zk = server.client().await;
    let mutex = Mutex::new(&zk, PATH).expect("a path");
    let mut java = curator(&server).await;
    assert_eq!(java.ask(&format!("revocable {PATH}")).await, "held");
    let holder = mutex.contenders().await.expect("a look").swap_remove(0);
    assert!(holder.is_holder && holder.ask_to_release(&zk).await.expect("asked"));
    assert_eq!(java.answer().await, "asked");
    let guard = at_most("the lock", mutex.lock()).await.expect("the lock");
    let mut other = curator(&server).await;
    let command = format!("ask {PATH}");
    let (asked, said) =
        tokio::join!(at_most("news", guard.asked_to_release()), other.ask(&command));
    asked.expect("held");
    assert_eq!(said, "done");
}

async fn downgrades_keep_writers_out_both_ways(server: Server) {
    let zk = server.client().await;
    let lock = ReadWriteLock::new(&zk, PATH).expect("a path");
    let mut java = curator(&server).await;
    assert_eq!(java.ask(&format!("write {PATH}")).await, "held");
    let writing = lock.write();
    let mut position = writing.position();
    let writing = tokio::spawn(writing);
    while at_most("a position", position.next()).await != Some(Some(1)) {}
    assert_eq!(java.ask(&format!("downgrade {PATH}")).await, "read");
    let seen = lock.contenders().await.expect("a look");
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen[0].is_holder && !seen[1].is_holder && !writing.is_finished());
    assert_eq!(java.ask("release").await, "released");
    let writing = at_most("the lock", writing).await.expect("no panic").expect("the lock");

    java.tell(&format!("write {PATH}")).await;
    let both = async {
        while lock.contenders().await.expect("a look").len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    at_most("Curator in line", both).await;
    let reading = writing.downgrade().await.expect("a reader");
    let another = at_most("a look", lock.try_read()).await.expect("an answer");
    assert!(another.is_none(), "Curator's writer came first");
    reading.verify().await.expect("held");
    reading.release().await.expect("released");
    assert_eq!(java.answer().await, "held");
    assert_eq!(java.ask("release").await, "released");
}

fn texts(items: &[Bytes]) -> Vec<String> {
    items.iter().map(|item| String::from_utf8_lossy(item).into_owned()).collect()
}

async fn queues_pass_items_both_ways(server: Server) {
    let zk = server.client().await;
    let queue = |kind, path| Queue::builder(&zk, path).kind(kind).locks("/locks").build();
    let mut java = curator(&server).await;

    let simple = queue(QueueKind::Simple, "/simple").expect("a path");
    assert_eq!(java.ask("offer /simple theirs").await, "done");
    let taken = at_most("an item", simple.take()).await.expect("an item");
    assert_eq!(texts(&taken), ["theirs"]);
    simple.put(b"ours").await.expect("put");
    assert_eq!(java.ask("take /simple").await, "item ours");

    let packed = queue(QueueKind::Curator, "/packed").expect("a path");
    assert_eq!(java.ask("put /packed theirs").await, "done");
    let delivery = at_most("an item", packed.receive()).await.expect("an item");
    assert_eq!(texts(delivery.items()), ["theirs"]);
    // It is locked: Curator waits for another item.
    java.tell("consume /packed /locks").await;
    packed.put(b"ours").await.expect("put");
    assert_eq!(java.answer().await, "item ours");
    delivery.ack().await.expect("acknowledged");
    let empty = async {
        while packed.count().await.expect("a look") > 0 {
            tokio::task::yield_now().await;
        }
    };
    at_most("the end of the items", empty).await;

    let kazoos = queue(QueueKind::Kazoo, "/kazoo").expect("a path");
    kazoos.put_with_priority(7, b"ours").await.expect("put");
    let python = kazoo(&server, &["put", "/kazoo", "3", "theirs"]).await;
    assert_eq!(answered(python).await, "done");
    let taken = at_most("an item", kazoos.take()).await.expect("an item");
    assert_eq!(texts(&taken), ["theirs"], "the smaller priority");
    let python = kazoo(&server, &["get", "/kazoo"]).await;
    assert_eq!(answered(python).await, "item ours");
}

async fn locking_queues_lock_for_each_other(server: Server) {
    let zk = server.client().await;
    let builder = Queue::builder(&zk, "/jobs/entries").kind(QueueKind::Kazoo);
    let queue = builder.locks("/jobs/taken").markers("/markers").build().expect("a path");
    queue.put_with_priority(1, b"first").await.expect("put");
    queue.put_with_priority(2, b"second").await.expect("put");
    let ours = at_most("an item", queue.receive()).await.expect("an item");
    assert_eq!(texts(ours.items()), ["first"]);
    let mut python = kazoo(&server, &["lock", "/jobs"]).await;
    assert_eq!(python.ask("go").await, "item second");
    ours.ack().await.expect("acknowledged");
    assert_eq!(queue.count().await, Ok(1), "theirs");
    assert_eq!(python.ask("go").await, "consumed");
    assert_eq!(queue.count().await, Ok(0));
}

async fn selectors_take_turns(server: Server) {
    let zk = server.client().await;
    let mut java = curator(&server).await;
    assert_eq!(java.ask("select /curator theirs").await, "leads");
    let selector = LeaderSelector::builder(&zk, "/curator").id("ours").build().expect("a path");
    let leader = selector.leader().await.expect("a look").expect("a leader");
    assert_eq!(leader.id, "theirs");
    let (ours, all) = (selector.clone(), selector);
    let term = tokio::spawn(async move { ours.lead(|hold| async move { hold.token() }).await });
    let both = async {
        while all.participants().await.expect("a look").len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    at_most("ours in line", both).await;
    assert!(!term.is_finished());
    assert_eq!(java.ask("resign").await, "resigned");
    let term = at_most("a term", term).await.expect("no panic").expect("a term");
    assert!(term.output > leader.token);

    let builder = LeaderSelector::builder(&zk, "/kazoo").id("ours").layout(LockLayout::Kazoo);
    let selector = builder.build().expect("a path");
    let mut python = kazoo(&server, &["elect", "/kazoo", "theirs"]).await;
    assert_eq!(python.ask("go").await, "leads");
    let leader = selector.leader().await.expect("a look").expect("a leader");
    assert_eq!(leader.id, "theirs");
    let lead = selector.lead(|hold| async move { hold.token() });
    let (term, said) = tokio::join!(at_most("a term", lead), python.ask("go"));
    assert!(term.expect("a term").output > leader.token);
    assert_eq!(said, "done");
}

async fn a_curator_writer_that_crashes_lets_ours_in(server: Server) {
    let zk = server.client().await;
    let lock = ReadWriteLock::new(&zk, PATH).expect("a path");
    let mut java = curator(&server).await;
    assert_eq!(java.ask(&format!("write {PATH}")).await, "held");
    assert!(lock.try_read().await.expect("an answer").is_none(), "Curator writes");
    let reading = async {
        let guard = lock.read().await.expect("the lock");
        guard.release().await.expect("released");
    };
    let writing = async {
        let guard = lock.write().await.expect("the lock");
        guard.release().await.expect("released");
    };
    drop(java);
    let turns = async { tokio::join!(reading, writing) };
    at_most("both turns", turns).await;
}

/// Times in the names of items are cut to milliseconds.
fn now_in_whole_ms() -> SystemTime {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    UNIX_EPOCH + Duration::from_millis(u64::try_from(now.as_millis()).expect("a date"))
}

async fn delay_queues_wait_for_each_other(server: Server) {
    let zk = server.client().await;
    let queue = Queue::builder(&zk, PATH).kind(QueueKind::CuratorDelay).build().expect("a path");
    let (mut java, start) = (curator(&server).await, now_in_whole_ms());
    let soon = Duration::from_millis(500);
    assert_eq!(java.ask(&format!("delay {PATH} 500 theirs")).await, "done");
    let taken = at_most("an item", queue.take()).await.expect("an item");
    assert_eq!(texts(&taken), ["theirs"]);
    assert!(start.elapsed().expect("a clock that goes on") >= soon);

    let start = now_in_whole_ms();
    java.tell(&format!("due {PATH}")).await;
    queue.put_at(start + soon, b"ours").await.expect("put");
    assert_eq!(java.answer().await, "item ours");
    assert!(start.elapsed().expect("a clock that goes on") >= soon);
}

async fn timed_leases_keep_each_other_out(server: Server) {
    let zk = server.client().await;
    let hour = Duration::from_secs(3_600);
    let lease = |path| TimedLease::builder(&zk, path, hour).holder("ours");
    let python = kazoo(&server, &["timed", "/one", "3600", "theirs"]).await;
    assert_eq!(answered(python).await, "obtained");
    let one = lease("/one").build().expect("a path");
    assert!(at_most("an answer", one.try_acquire()).await.expect("an answer").is_none());

    let two = lease("/two").build().expect("a path");
    let hold = at_most("an answer", two.try_acquire()).await.expect("an answer").expect("ours");
    let python = kazoo(&server, &["timed", "/two", "3600", "theirs"]).await;
    assert_eq!(answered(python).await, "refused");
    hold.release().await.expect("given back");
    let python = kazoo(&server, &["timed", "/two", "1", "theirs"]).await;
    assert_eq!(answered(python).await, "obtained");
    let again = || async { two.try_acquire().await.expect("an answer") };
    let limit = Duration::from_secs(ANSWER_SECS_MAX);
    let _hold = until("the end of theirs", limit, again).await;

    let slots = lease("/slots").slots(2).build().expect("a path");
    let hold = at_most("an answer", slots.try_acquire()).await.expect("an answer").expect("ours");
    for (name, said) in [("theirs", "obtained"), ("third", "refused"), ("theirs", "obtained")] {
        let python = kazoo(&server, &["slots", "/slots", "3600", name, "2"]).await;
        assert_eq!(answered(python).await, said, "{name}");
    }
    hold.verify().await.expect("still ours");
}

async fn parties_see_everybody(server: Server) {
    for (layout, command) in [(PartyLayout::Kazoo, "party"), (PartyLayout::KazooShallow, "shallow")]
    {
        a_party_sees_everybody(&server, layout, command).await;
    }
}

async fn a_party_sees_everybody(server: &Server, layout: PartyLayout, command: &str) {
    let zk = server.client().await;
    let path = format!("/interop/{command}");
    let party = Party::builder(&zk, &path).data("ours").layout(layout).build().expect("a path");
    let membership = party.join().await.expect("a member");
    let mut python = kazoo(server, &[command, &path, "theirs"]).await;
    assert_eq!(python.ask("go").await, "members ours theirs");
    let mut members = party.members().await.expect("a look");
    members.sort();
    assert_eq!(members, ["ours", "theirs"]);
    membership.leave().await.expect("left");
    assert_eq!(party.members().await.expect("a look"), ["theirs"]);
    assert_eq!(python.ask("go").await, "done");
    assert!(party.members().await.expect("a look").is_empty());
}

macro_rules! on_both_servers {
    ($($name:ident)*) => {
        mod on_apache {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs a JVM, Curator and kazoo"]
            async fn $name() {
                super::$name(super::Server::apache().await).await;
            })*
        }

        mod on_ours {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs a JVM, Curator and kazoo"]
            async fn $name() {
                super::$name(super::Server::ours().await).await;
            })*
        }
    };
}

on_both_servers! {
    read_write_locks_share_and_exclude
    kazoos_read_write_locks_share_and_exclude
    semaphores_share_their_permits
    kazoos_semaphores_share_their_permits
    counters_count_everybody_once
    barriers_hold_everybody
    double_barriers_wait_for_everybody
    holders_are_asked_both_ways
    downgrades_keep_writers_out_both_ways
    queues_pass_items_both_ways
    delay_queues_wait_for_each_other
    timed_leases_keep_each_other_out
    locking_queues_lock_for_each_other
    parties_see_everybody
    selectors_take_turns
    a_curator_writer_that_crashes_lets_ours_in
}
