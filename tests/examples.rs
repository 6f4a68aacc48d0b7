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
    assert!(said.contains("multi   operation 1 of the transaction"), "{said}");
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

#[test]
fn no_example_is_longer_than_a_person_reads() {
    for name in ["quickstart", "lock", "leader"] {
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
