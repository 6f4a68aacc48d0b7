//! Curator 5.9's mutex and leader latch, and kazoo's lock, against ours, on the same paths.
//!
//! Against Apache 3.9.5 and against our own server: mutual exclusion over many hand-overs, tokens
//! that rise across all, nodes that look alike, and holders that crash on either side. Overlaps are
//! found by a witness outside of `ZooKeeper`: a file that each holder creates and removes.

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use tokio::sync::oneshot;
use zk_client::Client;
use zk_recipes::{LeaderLatch, LockLayout, Mutex};
use zk_tests::{
    foreign::{Foreign, SESSION, Server},
    patience::at_most,
    scratch::Scratch,
};

const LOCK: &str = "/interop/lock";
const ELECTION: &str = "/interop/election";

/// How often each of two processes of either kind has a turn.
const ROUNDS: usize = 250;

/// A Java process with Curator in it, which takes commands.
fn curator(server: &Server) -> Foreign {
    Foreign::java(server, "CuratorLock")
}

/// A Python process that takes its turns on the lock and ends.
fn kazoo(server: &Server, layout: &str, witness: &Path) -> Foreign {
    let (rounds, witness) = (ROUNDS.to_string(), witness.display().to_string());
    Foreign::python(server, "curator_kazoo.py", &[layout, LOCK, &rounds, &witness])
}

/// What a Curator holder says of its node.
struct Held {
    czxid: i64,
    node: String,
    data: String,
}

impl Held {
    fn parse(answer: &str) -> Self {
        let mut words = answer.strip_prefix("held ").expect("a holder").splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        Self { czxid: word().parse().expect("a number"), node: word(), data: word() }
    }
}

/// One turn of ours, seen by the witness.
fn witness(path: &Path) {
    match File::create_new(path) {
        Ok(_) => fs::remove_file(path).expect("our own file"),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => panic!("two holders at once"),
        Err(error) => panic!("no witness: {error}"),
    }
}

async fn our_mutex_turns(zk: Client, layout: LockLayout, path: PathBuf) -> Vec<i64> {
    let mutex = Mutex::builder(&zk, LOCK).layout(layout).build().expect("a path");
    let mut tokens = Vec::new();
    for _ in 0..ROUNDS {
        let guard = at_most("the lock", mutex.lock()).await.expect("the lock");
        witness(&path);
        tokens.push(guard.token().get());
        guard.release().await.expect("released");
    }
    tokens
}

async fn our_latch_turns(zk: Client, path: PathBuf) -> Vec<i64> {
    let latch = LeaderLatch::builder(&zk, ELECTION).id("ours").build().expect("a path");
    let mut tokens = Vec::new();
    for _ in 0..ROUNDS {
        let leadership = at_most("leadership", latch.lead()).await.expect("leadership");
        witness(&path);
        tokens.push(leadership.token().get());
        leadership.release().await.expect("resigned");
    }
    tokens
}

/// Each holder's tokens rise, and no two holders share one.
fn assert_tokens(all: &[Vec<i64>]) {
    for tokens in all {
        assert_eq!(tokens.len(), ROUNDS);
        assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
    }
    let mut all = all.concat();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "every hand-over has a token of its own");
}

async fn mutexes_take_turns(server: Server) {
    let scratch = Scratch::new("curator-mutex");
    let path = scratch.path().join("witness");
    let command = format!("mutex {LOCK} {ROUNDS} {}", path.display());
    let (java, java_too) = (curator(&server), curator(&server));
    let layout = LockLayout::Curator;
    let all = tokio::join!(
        java.take(command.clone()),
        java_too.take(command),
        kazoo(&server, "curator", &path).turns(),
        our_mutex_turns(server.client().await, layout, path.clone()),
        our_mutex_turns(server.client().await, layout, path.clone()),
    );
    assert_tokens(&[all.0, all.1, all.2, all.3, all.4]);
    let left = server.client().await.children(LOCK).await;
    assert!(left.map_or(true, |children| children.names.is_empty()));
}

async fn kazoo_locks_take_turns(server: Server) {
    let scratch = Scratch::new("kazoo-mutex");
    let path = scratch.path().join("witness");
    let layout = LockLayout::Kazoo;
    let all = tokio::join!(
        kazoo(&server, "kazoo", &path).turns(),
        our_mutex_turns(server.client().await, layout, path.clone()),
        our_mutex_turns(server.client().await, layout, path.clone()),
    );
    assert_tokens(&[all.0, all.1, all.2]);
}

async fn latches_take_turns(server: Server) {
    let scratch = Scratch::new("curator-latch");
    let path = scratch.path().join("witness");
    let command = format!("latch {ELECTION} java {ROUNDS} {}", path.display());
    let java = curator(&server);
    let all = tokio::join!(
        java.take(command),
        our_latch_turns(server.client().await, path.clone()),
        our_latch_turns(server.client().await, path.clone()),
    );
    assert_tokens(&[all.0, all.1, all.2]);
}

async fn nodes_look_alike(server: Server) {
    let zk = server.client().await;
    let mut java = curator(&server);
    let theirs = Held::parse(&java.ask(&format!("hold {LOCK}")).await);
    assert_eq!(java.ask("release").await, "released");
    let guard = Mutex::new(&zk, LOCK).expect("a path").lock().await.expect("the lock");
    assert_eq!(form(guard.path()), form(&theirs.node));
    let ours = zk.get(guard.path()).await.expect("our node");
    let data = String::from_utf8(ours.data.to_vec()).expect("text");
    for data in [&data, &theirs.data] {
        data.parse::<std::net::IpAddr>().unwrap_or_else(|_| panic!("no address: {data}"));
    }

    for id in ["node-7", ""] {
        let theirs = Held::parse(&java.ask(&format!("lead {ELECTION} {id}")).await);
        let participants = java.ask(&format!("participants {ELECTION}")).await;
        assert_eq!(participants, format!("participants {id}*"));
        assert_eq!(java.ask("release").await, "released");
        let latch = LeaderLatch::builder(&zk, ELECTION).id(id).build().expect("a path");
        let leadership = latch.lead().await.expect("leadership");
        assert_eq!(form(leadership.path()), form(&theirs.node));
        let ours = zk.get(leadership.path()).await.expect("our node");
        assert_eq!((&ours.data[..], id), (theirs.data.as_bytes(), id));
        let participants = java.ask(&format!("participants {ELECTION}")).await;
        assert_eq!(participants, format!("participants {id}*"), "Curator reads ours");
        leadership.release().await.expect("resigned");
    }
}

/// A path with every hexadecimal and decimal digit masked.
fn form(path: &str) -> String {
    let (parent, name) = path.rsplit_once('/').expect("a path");
    let (id, rest) = name.split_at(40.min(name.len()));
    let mask = |text: &str, is_masked: fn(&char) -> bool| -> String {
        text.chars().map(|c| if is_masked(&c) { '#' } else { c }).collect()
    };
    let id = mask(id.trim_start_matches("_c_"), char::is_ascii_hexdigit);
    format!("{parent}/{id} {}", mask(rest, char::is_ascii_digit))
}

async fn a_curator_holder_that_crashes_lets_ours_in(server: Server) {
    let zk = server.client().await;
    let mut java = curator(&server);
    let held = Held::parse(&java.ask(&format!("hold {LOCK}")).await);
    let mutex = Mutex::new(&zk, LOCK).expect("a path");
    assert!(mutex.try_lock().await.expect("an answer").is_none(), "Curator holds it");
    let lock = mutex.lock();
    let mut position = lock.position();
    let waiting = tokio::spawn(lock);
    while at_most("a position", position.next()).await != Some(Some(1)) {}
    drop(java);
    let guard = at_most("the lock", waiting).await.expect("no panic").expect("the lock");
    assert!(guard.token().get() > held.czxid);
}

/// Our process ends, as far as anybody can see: its runtime and with it every socket is gone, and
/// nobody has said goodbye.
async fn one_of_ours_that_crashes_lets_curator_in(server: Server) {
    let connect = server.connect_string();
    let (holds, held) = oneshot::channel();
    let (crashes, crash) = oneshot::channel::<()>();
    let process = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let guard = runtime.block_on(async {
            let builder = Client::builder(connect).session_timeout(SESSION);
            let zk = builder.connect().await.expect("a session");
            let mutex = Mutex::new(&zk, LOCK).expect("a path");
            let guard = mutex.lock().await.expect("the lock");
            holds.send(guard.token().get()).expect("a listener");
            // The sender goes when the holder is to crash.
            let _ = crash.await;
            guard
        });
        std::mem::forget(guard);
        runtime.shutdown_background();
    });
    let token = at_most("a holder", held).await.expect("a holder");
    let mut java = curator(&server);
    java.tell(&format!("hold {LOCK}")).await;
    let zk = server.client().await;
    let mutex = Mutex::new(&zk, LOCK).expect("a path");
    let both = async {
        while mutex.contenders().await.expect("a look").len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    at_most("Curator in line", both).await;
    drop(crashes);
    let theirs = Held::parse(&java.answer().await);
    assert!(theirs.czxid > token);
    process.join().expect("no panic");
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
    mutexes_take_turns
    kazoo_locks_take_turns
    latches_take_turns
    nodes_look_alike
    a_curator_holder_that_crashes_lets_ours_in
    one_of_ours_that_crashes_lets_curator_in
}
