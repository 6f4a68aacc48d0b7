//! The Java client on our server.

use std::process::Command;

use zk_tests::{
    peers,
    subject::{Kind, Settings, Subject},
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn the_java_client_sees_no_difference_to_apache_3_9_5() {
    let settings = Settings::default();
    let (ours, theirs) = tokio::join!(
        Subject::start(Kind::Ours, &settings),
        Subject::start(Kind::Apache39, &settings)
    );
    let (on_ours, on_theirs) = tokio::join!(drive(&ours), drive(&theirs));
    let pairs = on_ours.lines().zip(on_theirs.lines());
    let differing: Vec<_> = pairs.filter(|(left, right)| left != right).take(20).collect();
    assert!(differing.is_empty(), "ours, theirs: {differing:#?}");
    assert_eq!(on_ours.lines().count(), on_theirs.lines().count());
    assert!(on_ours.lines().count() > 100, "the driver said little:\n{on_ours}");
}

/// Everything the driver prints about a server.
async fn drive(server: &Subject) -> String {
    let jars = peers::apache_39().join("*");
    let classes = format!("{}:{}", peers::java_driver().display(), jars.display());
    let mut command = Command::new(peers::java());
    command.args(["-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-Xmx256m", "-cp"]);
    command.arg(classes).arg("Driver").arg(server.connect_string());
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("not cancelled").expect("java starts");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    out.into_owned()
}
