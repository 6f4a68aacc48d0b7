//! The Python client on our server.

use std::{path::Path, process::Command};

use zk_tests::{
    peers,
    subject::{Kind, Settings, Subject},
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kazoo: eval \"$(.ci/peers)\""]
async fn kazoo_works_on_our_server() {
    let server = Subject::start(Kind::Ours, &Settings::default()).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/kazoo_smoke.py");
    let mut command = Command::new(peers::kazoo_python());
    command.arg(script).arg(server.connect_string());
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("not cancelled").expect("python starts");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{err}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "good");
}
