//! Faults of a real file system under a server by itself: it goes with a clear message, and what it
//! acknowledged is there when it comes back.

use std::{collections::BTreeSet, process::ExitStatus, time::Duration};

use tokio::sync::mpsc;
use zk_proto::ErrorCode;
use zk_tests::{
    patience::until,
    raw::Raw,
    subject::{Kind, Subject},
    volume::Volume,
};

use crate::{ACKNOWLEDGED_MIN, WRITERS, assert_all_there, settings, write};

/// How long a server may go on after a fault. Until it needs new space it need not notice.
const END_SECS_MAX: u64 = 120;

/// What `zk-server` exits with when writing to disk failed.
const EXIT_STORAGE: i32 = 10;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and mounts"]
async fn f14_a_full_disk_ends_the_server_and_loses_nothing() {
    let volume = Volume::memory();
    broken_and_checked(&volume, Volume::fill, Volume::make_room, &["No space left on device"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and mounts"]
async fn f14_a_disk_turned_read_only_ends_the_server_and_loses_nothing() {
    let volume = Volume::device();
    // What was under way in its journal fails otherwise than what comes later.
    let said = ["Read-only file system", "Input/output error"];
    broken_and_checked(&volume, Volume::find_an_error, Volume::repair, &said).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and mounts"]
async fn f13_a_failed_sync_ends_the_server_and_loses_nothing() {
    let volume = Volume::device();
    let heal = |volume: &Volume| {
        volume.make_room();
        volume.repair();
    };
    broken_and_checked(&volume, Volume::fill, heal, &["storage failed"]).await;
}

/// Breaks the disk under writers, and looks for all they were promised once it is whole again.
async fn broken_and_checked(
    volume: &Volume,
    break_it: fn(&Volume),
    heal: impl FnOnce(&Volume),
    said: &[&str],
) {
    let mut server = Subject::start_in(Kind::Ours, &settings(), volume.path()).await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let raw = Raw::open(server.address).await;
        writers.push(tokio::spawn(write(raw, format!("/writer-{writer}"), tell.clone())));
    }
    drop(tell);
    let mut acknowledged = BTreeSet::new();
    while acknowledged.len() < ACKNOWLEDGED_MIN {
        acknowledged.insert(told.recv().await.expect("the disk is well"));
    }
    break_it(volume);
    let status = ended(&mut server).await;
    // Connections end with the process: nothing more is acknowledged, and nothing with an error.
    while let Some(path) = told.recv().await {
        acknowledged.insert(path);
    }
    for writer in writers {
        writer.await.expect("a writer ends with its connection");
    }
    let output = server.process.output();
    assert_eq!(status.code(), Some(EXIT_STORAGE), "{output}");
    assert!(said.iter().any(|said| output.contains(said)), "{output}");

    heal(volume);
    let server = server.restart().await;
    assert_all_there(&server, &acknowledged).await;
    let mut raw = Raw::open(server.address).await;
    assert_eq!(raw.create("/after", 0).await.code(), ErrorCode::Ok, "writes go on");
}

async fn ended(server: &mut Subject) -> ExitStatus {
    let limit = Duration::from_secs(END_SECS_MAX);
    until("the server's end", limit, || {
        let ended = server.process.ended();
        async move { ended }
    })
    .await
}
