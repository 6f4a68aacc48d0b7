//! Runs every example as a person would: each must end by itself, successfully, and say something.

use std::{env, path::PathBuf, time::Duration};

use tokio::process::Command;

/// How long an example may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn quickstart_shows_what_a_client_does() {
    let said = run("quickstart").await;
    assert!(said.contains("read    \"hello\", version 0"), "{said}");
    assert!(said.contains("watched DataChanged of /quickstart"), "{said}");
    assert!(said.contains("operation 1 of the transaction"), "{said}");
    assert!(said.contains("exists  false"), "{said}");
}

#[tokio::test]
async fn lock_shows_two_contenders_taking_turns_with_rising_tokens() {
    let said = run("lock").await;
    for name in ["alice", "bob"] {
        for page in 1..=3 {
            assert!(said.contains(&format!("printer: {name}, page {page}")), "{said}");
        }
    }
    let tokens: Vec<i64> = said.lines().filter_map(token).collect();
    assert_eq!(tokens.len(), 6, "{said}");
    assert!(tokens.is_sorted_by(|one, next| one < next), "{said}");
    assert!(said.contains("refused: somebody else has the lock by now"), "{said}");
}

#[tokio::test]
async fn leader_shows_three_terms() {
    let said = run("leader").await;
    for name in ["node-1", "node-2", "node-3"] {
        assert!(said.contains(&format!("{name}: I lead")), "{said}");
    }
    assert!(said.contains("node-1: my leadership is lost"), "{said}");
}

#[tokio::test]
async fn read_write_lock_shows_whole_catalogues_only() {
    let said = run("read_write_lock").await;
    assert!(said.contains("written: edition 3"), "{said}");
    assert_eq!(said.matches("whole: true").count(), 6, "{said}");
    assert!(!said.contains("whole: false"), "{said}");
}

#[tokio::test]
async fn semaphore_shows_no_more_busy_printers_than_there_are() {
    let said = run("semaphore").await;
    assert_eq!(said.matches("prints page").count(), 15, "{said}");
    let most = said.lines().find_map(|line| line.strip_prefix("at most "));
    let most: u32 = most.and_then(|line| line.split(' ').next()?.parse().ok()).expect("a number");
    assert!((1..=3).contains(&most), "{said}");
}

#[tokio::test]
async fn barrier_shows_that_all_wait_for_all() {
    let said = run("barrier").await;
    assert!(said.starts_with("prepared\n"), "{said}");
    assert_eq!(said.matches("evaluates 3 files").count(), 3, "{said}");
    assert!(said.ends_with("0 files left\n"), "{said}");
}

#[tokio::test]
async fn session_shows_what_ends_with_a_session_and_what_goes_on() {
    let said = run("session").await;
    for line in [
        "session 1 is open",
        "session 2 is open",
        "/here is there: false",
        "/kept is there: true",
        "bound to session 1: /kept: session over: session expired (not sent) (NotSent)",
        "set in session 2",
        "DataChanged of /kept, told in session 2",
    ] {
        assert!(said.lines().any(|said| said == line), "no {line}: {said}");
    }
}

#[tokio::test]
async fn watch_shows_a_cache_that_survives_its_session() {
    let said = run("watch").await;
    for line in ["Init", "/shop = b\"open\"", "InitDone", "in stock: 3 pears", "Resync"] {
        assert!(said.lines().any(|said| said == line), "no {line}: {said}");
    }
    assert!(said.contains("-- apples are gone"), "{said}");
}

#[tokio::test]
async fn multi_shows_transfers_that_happen_whole_or_not_at_all() {
    let said = run("multi").await;
    for line in [
        "moved 30: /bank/ledger/entry-0000000000, versions 1 and 1",
        "one transaction: true",
        "moved nothing: operation 0 on /bank/alice: BadVersion (-103)",
        "alice has 70, bob has 30, entries in the ledger: 1",
    ] {
        assert!(said.lines().any(|said| said == line), "no {line}: {said}");
    }
}

#[tokio::test]
async fn tls_shows_a_certificate_that_is_renewed_and_a_stranger_who_has_none() {
    let said = run("tls").await;
    for line in ["read over TLS: only for us", "certificate renewed: true"] {
        assert!(said.lines().any(|said| said == line), "no {line}: {said}");
    }
    assert!(said.contains("without a certificate: no session within 2s"), "{said}");
}

#[tokio::test]
async fn discovery_shows_instances_that_come_and_go() {
    let said = run("discovery").await;
    for line in ["+ one at", "+ two at", "+ three at", "- two", "ring: alice is served by"] {
        assert!(said.contains(line), "no {line}: {said}");
    }
    let balanced = r#"balanced: {"http://127.0.0.1:8001": 15, "http://127.0.0.1:8002": 15}"#;
    assert!(said.contains(balanced), "{said}");
}

#[tokio::test]
async fn config_shows_versions_that_are_checked_published_and_put_back() {
    let said = run("config").await;
    for line in ["refused: not valid: no workers", "would change workers", "version 2 in force"] {
        assert!(said.contains(line), "no {line}: {said}");
    }
    assert!(said.ends_with("version 1 in force: 4 workers for db1\n"), "{said}");
}

#[tokio::test]
async fn queue_shows_that_no_job_is_lost() {
    let said = run("queue").await;
    assert!(said.starts_with("eve: job 1 ... crash"), "{said}");
    assert!(said.contains(": job 1\n"), "{said}");
    assert!(said.ends_with("10 jobs done, 0 left\n"), "{said}");
}

#[tokio::test]
async fn three_node_survives_the_death_of_its_leader() {
    let said = run("three_node").await;
    assert!(said.contains("led and was killed"), "{said}");
    assert!(said.contains("the client's longest pause: "), "{said}");
    let line = said.lines().find(|line| line.contains("writes acknowledged, ")).expect("a count");
    let numbers: Vec<usize> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    // What nobody acknowledged may be there as well.
    assert!(numbers[0] >= 400 && numbers[1] >= numbers[0], "{said}");
}

#[test]
fn no_example_is_longer_than_a_person_reads() {
    let names =
        ["quickstart", "lock", "leader", "read_write_lock", "semaphore", "barrier", "queue"];
    for name in
        names.into_iter().chain(["watch", "multi", "tls", "discovery", "config", "three_node"])
    {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("{name}.rs"));
        let lines = std::fs::read_to_string(path).expect("the example").lines().count();
        assert!(lines <= 80, "{name} has {lines} lines");
    }
}

/// What an example prints. Its server is its own, whatever the environment says.
async fn run(name: &str) -> String {
    // Cargo puts examples beside the directory of the tests.
    let test = env::current_exe().expect("this test");
    let directory = test.parent().and_then(|deps| deps.parent()).expect("a build directory");
    let program = directory.join("examples").join(name).with_extension(env::consts::EXE_EXTENSION);
    let mut command = Command::new(program);
    command.env_remove("ZK_CONNECT").kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("an end").expect("an example that was built");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}\n{complained}", output.status);
    said
}

/// The token in a line that the printer prints.
fn token(line: &str) -> Option<i64> {
    let (_, rest) = line.strip_prefix("  printer: ")?.split_once("(token ")?;
    rest.strip_suffix(')')?.parse().ok()
}
