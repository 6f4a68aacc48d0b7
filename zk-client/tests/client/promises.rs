//! What the client promises about order, loss, time and sessions, against a scripted server.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use zk_client::{
    Acl, ConnectError, CreateError, CreateMode, ErrorCode, GetError, MultiError, MultiResult,
    OperationError, Outcome, RequestError, Retry, SessionEnd, SessionState, Stat, Version,
};
use zk_proto::{
    client::{CreateStatResponse, MultiResponse, MultiResult as WireResult},
    jute::Reader,
};

use crate::fake::{connected, world, world_at};

fn request_error(error: &impl OperationError) -> RequestError {
    error.request_error().cloned().expect("nothing of the operation's own")
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
}

// ---- order -------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn requests_are_sent_in_the_order_of_the_calls_whatever_is_polled() {
    let (_server, mut peer, zk) = connected().await;
    let first = zk.get("/a");
    let second = zk.get("/b");
    let mut third = zk.get("/c");
    assert!(poll_once(&mut third).await.is_pending());
    for path in ["/a", "/b", "/c"] {
        let xid = peer.expect(&format!("getData {path}")).await;
        peer.reply_data(xid, path.as_bytes()).await;
    }
    assert_eq!(&third.await.unwrap().data[..], b"/c");
    assert_eq!(&second.await.unwrap().data[..], b"/b");
    assert_eq!(&first.await.unwrap().data[..], b"/a");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_the_line_waits_and_keeps_its_order() {
    let (mut server, builder) = world();
    let zk = builder.in_flight_max(4).start().unwrap();
    let mut peer = server.accept().await;
    let mut ops: Vec<_> = (0..100).map(|at| Some(zk.get(&format!("/{at}")))).collect();
    for dropped in ops.iter_mut().skip(10).step_by(2) {
        *dropped = None;
    }
    let kept: Vec<_> = ops.into_iter().flatten().collect();
    let expected = (0..10).chain((10..100).filter(|at| at % 2 == 1));
    for at in expected {
        let xid = peer.expect(&format!("getData /{at}")).await;
        peer.reply_data(xid, &[u8::try_from(at).unwrap()]).await;
    }
    assert_eq!(kept.len(), 55);
    for op in kept {
        op.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_dropped_before_sending_is_never_sent() {
    let (mut server, builder) = world();
    let zk = builder.start().unwrap();
    drop(zk.create("/dropped", b"").send());
    let kept = zk.get("/kept");
    let mut peer = server.accept().await;
    let xid = peer.expect("getData /kept").await;
    peer.reply_data(xid, b"").await;
    kept.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_future_dropped_after_sending_drops_only_the_answer() {
    let (_server, mut peer, zk) = connected().await;
    let dropped = zk.get("/dropped");
    let xid = peer.expect("getData /dropped").await;
    drop(dropped);
    let kept = zk.get("/kept");
    let kept_xid = peer.expect("getData /kept").await;
    peer.reply_data(xid, b"nobody").await;
    peer.reply_data(kept_xid, b"somebody").await;
    assert_eq!(&kept.await.unwrap().data[..], b"somebody");
}

// ---- errors ------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn errors_name_the_path_as_the_caller_did() {
    let (mut server, builder) = world_at("zk1/app");
    let zk = builder.start().unwrap();
    let mut peer = server.accept().await;
    let get = zk.get("/a");
    let xid = peer.expect("getData /app/a").await;
    peer.reply(xid, -101, &[]).await;
    let error = get.await.unwrap_err();
    assert!(matches!(&error, GetError::NoNode { path } if &**path == "/a"));
    assert_eq!((error.path(), error.code()), ("/a", Some(ErrorCode::NoNode)));
    assert_eq!(error.to_string(), "/a: node does not exist");

    let set = zk.set("/b", b"").send();
    let xid = peer.expect("setData /app/b").await;
    peer.reply(xid, -127, &[]).await;
    let error = set.await.unwrap_err();
    assert_eq!((error.path(), error.code()), ("/b", Some(ErrorCode::ThrottledOp)));
    assert_eq!(error.to_string(), format!("/b: refused by the server: {}", ErrorCode::ThrottledOp));

    let refused = zk.create("c", b"").await.unwrap_err();
    assert_eq!((refused.path(), refused.outcome()), ("c", Outcome::NotSent));

    let get = zk.get("/d");
    let xid = peer.expect("getData /app/d").await;
    peer.reply(xid, 0, b"?").await;
    let error = get.await.unwrap_err();
    assert_eq!((error.path(), error.outcome()), ("/d", Outcome::Unknown));
}

// ---- loss --------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn answers_that_came_before_the_break_are_not_lost_to_a_write_under_way() {
    let (_server, mut peer, zk) = connected().await;
    let answered = zk.get("/a");
    let xid = peer.expect("getData /a").await;
    let data = vec![0; 900_000];
    let unanswered: Vec<_> = (0..3).map(|_| zk.set("/b", &data).send()).collect();
    tokio::task::yield_now().await;
    peer.reply_data(xid, b"answer").await;
    drop(peer);
    assert_eq!(&answered.await.unwrap().data[..], b"answer");
    drop(unanswered);
}

#[tokio::test(start_paused = true)]
async fn what_no_message_can_hold_is_refused_and_harms_nobody() {
    let (_server, mut peer, zk) = connected().await;
    // Never touched, so it takes no memory.
    let huge = vec![0; 1 << 31];
    let is_too_large = |error: &dyn OperationError| {
        assert_eq!(error.outcome(), Outcome::NotSent);
        let error = error.request_error();
        matches!(error, Some(RequestError::TooLarge { bytes, .. }) if *bytes >= 1 << 31)
    };
    assert!(is_too_large(&zk.set("/a", &huge).await.unwrap_err()));
    assert!(is_too_large(&zk.create("/a", &huge).await.unwrap_err()));
    assert!(is_too_large(&zk.multi().set("/a", &huge, Version::ANY).commit().await.unwrap_err()));
    let create = zk.multi().create("/a", &huge, CreateMode::Persistent);
    assert!(is_too_large(&create.commit().await.unwrap_err()));
    let next = zk.get("/a");
    let xid = peer.expect("getData /a").await;
    peer.reply_data(xid, b"").await;
    next.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sent_request_whose_connection_breaks_has_an_unknown_outcome() {
    let (mut server, mut peer, zk) = connected().await;
    let op = zk.create("/a", b"").send();
    peer.expect("create2 /a").await;
    drop(peer);
    let error = op.await.unwrap_err();
    assert_eq!(request_error(&error), RequestError::ConnectionLost);
    assert_eq!(error.outcome(), Outcome::Unknown);

    let next = zk.get("/b");
    let mut peer = server.accept().await;
    let xid = peer.expect("getData /b").await;
    peer.reply_data(xid, b"").await;
    next.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn unknown_outcomes_are_tried_again_only_when_told_so() {
    let (mut server, mut peer, zk) = connected().await;
    let retry = Retry::default();
    let mut calls = 0;
    let run = retry.run(&zk, || {
        calls += 1;
        zk.get("/a")
    });
    let break_it = async {
        peer.expect("getData /a").await;
        drop(peer);
    };
    let (result, ()) = tokio::join!(run, break_it);
    assert_eq!(request_error(&result.unwrap_err()), RequestError::ConnectionLost);
    assert_eq!(calls, 1);

    let mut peer = server.accept().await;
    let run = retry.run_idempotent(&zk, || zk.get("/a"));
    let serve = async {
        peer.expect("getData /a").await;
        drop(peer);
        let mut peer = server.accept().await;
        let xid = peer.expect("getData /a").await;
        peer.reply_data(xid, b"again").await;
        peer
    };
    let (result, _peer) = tokio::join!(run, serve);
    assert_eq!(&result.unwrap().data[..], b"again");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_breaks_the_protocol_costs_the_connection_and_no_more() {
    let (mut server, mut peer, zk) = connected().await;
    let op = zk.get("/a");
    let xid = peer.expect("getData /a").await;
    peer.reply_data(xid + 1, b"").await;
    assert!(peer.is_left().await);
    assert_eq!(request_error(&op.await.unwrap_err()), RequestError::ConnectionLost);
    server.accept().await;
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_answer_is_an_error_of_that_request_alone() {
    let (_server, mut peer, zk) = connected().await;
    let op = zk.get("/a");
    let xid = peer.expect("getData /a").await;
    peer.reply(xid, 0, &[1, 2, 3]).await;
    let error = op.await.unwrap_err();
    assert!(matches!(request_error(&error), RequestError::Undecodable(_)), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(zk.state().is_connected());
}

// ---- time --------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_call_without_a_server_ends_at_its_deadline_and_did_not_happen() {
    let (_server, builder) = world();
    let zk = builder.operation_timeout(Duration::from_secs(3)).start().unwrap();
    let started = tokio::time::Instant::now();
    let error = zk.create("/a", b"").await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert_eq!(started.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_can_have_a_shorter_deadline_than_its_client() {
    let (_server, mut peer, zk) = connected().await;
    let op = zk.get("/a").timeout(Duration::from_millis(50));
    peer.expect("getData /a").await;
    let started = tokio::time::Instant::now();
    let error = op.await.unwrap_err();
    let outcome = Outcome::Unknown;
    assert_eq!(request_error(&error), RequestError::DeadlinePassed { outcome });
    assert!(started.elapsed() <= Duration::from_millis(52));
}

#[tokio::test(start_paused = true)]
async fn connecting_ends_at_its_deadline() {
    let (server, builder) = world();
    let timeout = Duration::from_secs(5);
    let error = builder.connect_timeout(timeout).connect().await.unwrap_err();
    let last = "zk1:2181: no answer".to_owned();
    assert_eq!(error, ConnectError::DeadlinePassed { timeout, last });
    assert_eq!(error.to_string(), "no session within 5s (zk1:2181: no answer)");
    drop(server);
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_is_kept_alive() {
    let (_server, mut peer, zk) = connected().await;
    let serve = async { peer.next().await };
    assert!(tokio::time::timeout(Duration::from_secs(60), serve).await.is_err());
    assert!(zk.state().is_connected());
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_left_and_the_session_is_suspended_first() {
    let (mut server, peer, zk) = connected().await;
    let mut states = zk.states();
    states.next().await;
    let state = states.next().await.unwrap();
    assert!(matches!(state, SessionState::Suspended { .. }), "{state:?}");
    let _silent = peer;
    let _answering = server.accept().await;
    let state = states.next().await.unwrap();
    assert!(state.is_connected(), "{state:?}");
}

// ---- the end of sessions -----------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn an_expired_session_ends_everything() {
    let (mut server, peer, zk) = connected().await;
    let epoch = zk.epoch().unwrap();
    drop(peer);
    let mut states = zk.states();
    while zk.state().is_connected() {
        states.next().await;
    }
    let op = zk.get("/a");
    let mut peer = server.answer_the_door().await;
    peer.frame().await;
    peer.greet(0, 0).await;
    let error = op.await.unwrap_err();
    assert_eq!(error.session_end(), Some(SessionEnd::Expired));
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert_eq!(zk.state(), SessionState::Expired(epoch));
    assert!(peer.is_left().await);
    let mut last = None;
    while let Some(state) = states.next().await {
        last = Some(state);
    }
    assert_eq!(last, Some(SessionState::Expired(epoch)));
    assert_eq!(zk.get("/b").await.unwrap_err().session_end(), Some(SessionEnd::Expired));
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_the_server_and_may_be_repeated() {
    let (_server, mut peer, zk) = connected().await;
    let op = zk.get("/a");
    let close = zk.close();
    let xid = peer.expect("getData /a").await;
    let close_xid = peer.expect("closeSession").await;
    peer.reply_data(xid, b"").await;
    peer.reply(close_xid, 0, &[]).await;
    op.await.unwrap();
    close.await.unwrap();
    assert_eq!(zk.state(), SessionState::Closed);
    zk.close().await.unwrap();
    assert!(peer.is_left().await);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_client_closes_the_session() {
    let (_server, mut peer, zk) = connected().await;
    let other = zk.clone();
    drop(zk);
    let op = other.get("/a");
    drop(other);
    let xid = peer.expect("getData /a").await;
    peer.expect("closeSession").await;
    peer.reply_data(xid, b"still").await;
    assert_eq!(&op.await.unwrap().data[..], b"still");
}

#[tokio::test(start_paused = true)]
async fn pitfall_51_a_runtime_that_stops_leaves_nobody_waiting() {
    let (server, mut peer, zk) = connected().await;
    let op = zk.get("/a");
    let (_, mut watcher) = {
        let watch = zk.add_watch("/w", zk_client::AddWatchMode::Persistent);
        let _ = peer.expect("getData /a").await;
        let _ = peer.expect("addWatch /w").await;
        (op, watch)
    };
    assert!(poll_once(&mut watcher).await.is_pending());
    server.stop_the_runtime();
    let error = watcher.await.unwrap_err();
    assert_eq!(error.session_end(), Some(SessionEnd::Closed));
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(zk.state(), SessionState::Closed);
    assert_eq!(zk.get("/b").await.unwrap_err().outcome(), Outcome::NotSent);
}

// ---- operations --------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_chroot_is_put_in_front_and_taken_away() {
    let (mut server, builder) = world_at("zk1/app");
    let zk = builder.start().unwrap();
    let mut peer = server.accept().await;
    let serve = async {
        let xid = peer.expect("getData /app").await;
        peer.reply_data(xid, b"").await;
        let xid = peer.expect("create2 /app/").await;
        let path = "/app/0000000001".into();
        peer.reply_with(xid, &CreateStatResponse { path, stat: Stat::default() }).await;
        let xid = peer.expect("getData /zookeeper/config").await;
        peer.reply_data(xid, b"").await;
    };
    let ask = async {
        zk.get("/").await.unwrap();
        let created = zk.create("/", b"").sequential().await.unwrap();
        assert_eq!(created.path, "/0000000001");
        zk.config().await.unwrap();
        assert!(matches!(zk.delete("/").await, Err(zk_client::DeleteError::BadArguments { .. })));
    };
    tokio::join!(serve, ask);
}

#[tokio::test(start_paused = true)]
async fn what_is_illegal_is_refused_here() {
    let (_server, _peer, zk) = connected().await;
    let path = zk.get("no-slash").await.unwrap_err();
    assert_eq!(path.outcome(), Outcome::NotSent);
    let acl = zk.create("/a", b"").acl(&[]).await.unwrap_err();
    assert!(matches!(acl, CreateError::InvalidAcl { .. }));
    for ttl in [Duration::ZERO, Duration::from_secs(u64::MAX)] {
        assert!(matches!(
            zk.create("/a", b"").ttl(ttl).await,
            Err(CreateError::BadArguments { .. })
        ));
    }
    let no_ttl = zk.create("/a", b"").mode(CreateMode::PersistentTtl).await;
    assert!(matches!(no_ttl, Err(CreateError::BadArguments { .. })));
    let large = zk.set("/a", &vec![0; 1 << 20]).await.unwrap_err();
    assert!(matches!(request_error(&large), RequestError::TooLarge { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_transaction_tells_which_operation_failed() {
    let (_server, mut peer, zk) = connected().await;
    let multi = || {
        zk.multi()
            .create("/a", b"1", CreateMode::Persistent)
            .set("/a", b"2", Version::new(0))
            .check("/a", Version::ANY)
            .delete("/b", Version::ANY)
    };
    let op = multi().commit();
    let xid = peer.next().await.xid;
    let results = vec![
        WireResult::Create2("/a".into(), Stat::default()),
        WireResult::SetData(Stat::default()),
        WireResult::Check,
        WireResult::Delete,
    ];
    peer.reply_with(xid, &MultiResponse { results }).await;
    let results = op.await.unwrap();
    assert!(matches!(
        &results[..],
        [
            MultiResult::Created { stat: Some(_), .. },
            MultiResult::Set(_),
            MultiResult::Checked,
            MultiResult::Deleted,
        ]
    ));

    // ZooKeeper 3.8 answers a plain create in a transaction without the stat.
    let op = zk.multi().create("/a", b"1", CreateMode::Persistent).commit();
    let xid = peer.next().await.xid;
    let results = vec![WireResult::Create("/a".into())];
    peer.reply_with(xid, &MultiResponse { results }).await;
    let created = MultiResult::Created { path: "/a".into(), stat: None };
    assert_eq!(op.await, Ok(vec![created]));

    let op = multi().commit();
    let xid = peer.next().await.xid;
    let results = [0, 0, 0, -101].map(WireResult::Error).to_vec();
    peer.reply_with(xid, &MultiResponse { results }).await;
    let error = op.await.unwrap_err();
    assert!(matches!(error, MultiError::Failed { index: 3, code: ErrorCode::NoNode, .. }));
    assert_eq!(error.path(), Some("/b"));
    assert_eq!(error.outcome(), Outcome::Rejected);
}

#[tokio::test(start_paused = true)]
async fn an_illegal_operation_keeps_its_transaction_here() {
    let (_server, _peer, zk) = connected().await;
    let multi = zk.multi().delete("/a", Version::ANY).delete("b", Version::ANY);
    assert_eq!(multi.commit().await.unwrap_err().outcome(), Outcome::NotSent);
    let acl: &[Acl] = &[];
    let multi = zk.multi().create_with_acl("/a", b"", CreateMode::Ephemeral, acl);
    let error = multi.commit().await.unwrap_err();
    assert!(matches!(error, MultiError::Failed { index: 0, .. }));
    assert_eq!((error.path(), error.code()), (Some("/a"), Some(ErrorCode::InvalidAcl)));
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_node_goes_by_its_own_operation() {
    let (_server, mut peer, zk) = connected().await;
    let ttl = Duration::from_millis(77);
    let ops = [
        zk.create("/a", b"").ephemeral().sequential().send(),
        zk.create("/a", b"").container().send(),
        zk.create("/a", b"").sequential().ttl(ttl).send(),
    ];
    let mut seen = Vec::new();
    for _ in &ops {
        let asked = peer.next().await;
        let mut reader = Reader::new(&asked.body);
        reader.text().unwrap();
        reader.buffer().unwrap();
        reader.vector::<Acl>().unwrap();
        let flags = reader.i32().unwrap();
        seen.push((asked.op.name(), flags, reader.i64().ok()));
    }
    assert_eq!(
        seen,
        [("create2", 3, None), ("createContainer", 4, None), ("createTTL", 6, Some(77))]
    );
    let _ = pin!(ops);
}
