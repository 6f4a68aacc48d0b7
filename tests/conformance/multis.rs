//! Several operations in one request.

use std::time::Duration;

use zk_client::{
    Acl, AuthId, CreateMode, ErrorCode, MultiError, MultiReadResult, MultiResult, OperationError,
    Perms, SessionId, Version,
};
use zk_proto::{
    client::{
        CheckRequest, CreateRequest, DeleteRequest, MultiHeader, MultiOp, MultiRequest,
        MultiResponse, OpCode, ReadRequest, SetAclRequest, SetDataRequest,
    },
    jute::encode,
};
use zk_tests::raw::{create_request, open_acl};

use crate::world::{Need, World, cases};

cases! {
    everything_happens_at_one_zxid [Multi Check];
    each_operation_sees_those_before_it [Multi Check];
    nothing_happens_when_one_fails [Multi Check];
    every_operation_has_a_result_when_one_fails [Multi];
    every_kind_of_node_can_be_made_in_a_multi [Multi];
    the_old_create_answers_a_path_in_a_multi [Multi];
    a_multi_of_nothing_succeeds [Multi];
    each_operation_is_allowed_or_not_by_itself [Multi Check];
    m12_m15_check_by_itself_is_no_operation [Check] StrictMultis;
    bad_flags_refuse_a_multi_whole [Multi] StrictMultis;
    m16_m17_a_multi_of_the_wrong_kind_is_refused_whole [Multi MultiRead];
    m16_m17_a_multi_without_an_end_does_nothing [Multi];
    reads_are_answered_one_by_one [MultiRead];
    reads_in_a_multi_leave_no_watch [MultiRead];
}

async fn everything_happens_at_one_zxid(world: World) {
    let zk = world.client().await;
    let (a, b) = (world.path("a"), world.path("b"));
    zk.create(&b, b"").await.expect("a free name");
    let results = zk
        .multi()
        .create(&a, b"1", CreateMode::Persistent)
        .set(&b, b"22", Version::new(0))
        .check(&b, Version::new(1))
        .check(&a, Version::ANY)
        .delete(&b, Version::new(1))
        .commit()
        .await
        .expect("all of it is right");
    let [MultiResult::Created { path, stat }, MultiResult::Set(set), rest @ ..] = &results[..]
    else {
        panic!("{results:?}");
    };
    assert_eq!(rest, [MultiResult::Checked, MultiResult::Checked, MultiResult::Deleted]);
    assert_eq!((path, set.version), (&a, Version::new(1)));
    let seen = zk.exists(&a).await.expect("allowed").expect("there");
    assert_eq!(seen.czxid, set.mzxid);
    // Servers before 3.9 do not tell the stat.
    let is_told = world.server.host.meets(Need::StatsInMultis);
    assert_eq!(*stat, is_told.then_some(seen));
    assert_eq!(zk.exists(&b).await, Ok(None));
    let parent = zk.exists(&world.root).await.expect("allowed").expect("there");
    assert_eq!(parent.pzxid, set.mzxid);
    assert_eq!(zk.last_zxid(), set.mzxid.max(zk.last_zxid()));
}

async fn each_operation_sees_those_before_it(world: World) {
    let zk = world.client().await;
    let (parent, child) = (world.path("p"), world.path("p/s-"));
    let results = zk
        .multi()
        .create(&parent, b"", CreateMode::Persistent)
        .create(&child, b"", CreateMode::PersistentSequential)
        .create(&child, b"", CreateMode::PersistentSequential)
        .set(&parent, b"x", Version::new(0))
        .check(&parent, Version::new(1))
        .delete(&format!("{child}0000000000"), Version::new(0))
        .delete(&format!("{child}0000000001"), Version::new(0))
        .delete(&parent, Version::new(1))
        .create(&parent, b"again", CreateMode::Persistent)
        .commit()
        .await
        .expect("all of it is right");
    assert_eq!(results.len(), 9);
    let node = zk.get(&parent).await.expect("there");
    assert_eq!((&node.data[..], node.stat.version), (&b"again"[..], Version::new(0)));
    assert_eq!(node.stat.cversion, Version::new(0));
}

async fn nothing_happens_when_one_fails(world: World) {
    let zk = world.client().await;
    let (a, b) = (world.path("a"), world.path("b"));
    let before = zk.create(&b, b"").await.expect("a free name").stat;
    let multi = zk.multi().create(&a, b"", CreateMode::Persistent).set(&b, b"x", Version::ANY);
    let no = world.path("no");
    for (failing, path, code) in [
        (multi.clone().check(&b, Version::new(7)), &b, ErrorCode::BadVersion),
        (multi.clone().check(&b, Version::new(0)), &b, ErrorCode::BadVersion),
        (multi.clone().check(&no, Version::ANY), &no, ErrorCode::NoNode),
        (multi.clone().delete(&world.root, Version::ANY), &world.root, ErrorCode::NotEmpty),
        (multi.clone().create(&a, b"", CreateMode::Ephemeral), &a, ErrorCode::NodeExists),
        (multi.set(&no, b"", Version::ANY), &no, ErrorCode::NoNode),
    ] {
        let error = failing.commit().await.expect_err("one of them fails");
        assert!(matches!(error, MultiError::Failed { index: 2, .. }), "{error:?}");
        assert_eq!((error.path(), error.code()), (Some(&**path), Some(code)));
        assert_eq!(zk.exists(&a).await, Ok(None));
        assert_eq!(zk.exists(&b).await, Ok(Some(before)));
    }
}

async fn every_operation_has_a_result_when_one_fails(world: World) {
    let mut raw = world.raw().await;
    let (ok, root) = (world.path("ok"), world.root.clone());
    let check = |version| {
        MultiOp::Check(CheckRequest { path: root.as_str().into(), version: Version::new(version) })
    };
    let create = MultiOp::Create(create_request(&ok, 0));
    let reply = raw.multi(vec![check(0), create, check(9), check(0), check(9)]).await;
    // The request as a whole succeeded: what failed stands inside.
    assert_eq!(reply.code(), ErrorCode::Ok);
    let expected = [0, 0, -103, -2, -2].map(zk_proto::client::MultiResult::Error);
    assert_eq!(reply.read::<MultiResponse<'_>>().results, expected);
    let headers = [0, 0, -103, -2, -2].map(|error| {
        let header = encode(&MultiHeader { kind: -1, done: false, error });
        [header, error.to_be_bytes().to_vec()].concat()
    });
    assert_eq!(reply.body, [headers.concat(), encode(&MultiHeader::END)].concat());
}

async fn every_kind_of_node_can_be_made_in_a_multi(world: World) {
    let zk = world.client().await;
    let session = zk.epoch().expect("a session").session;
    let mut multi = zk.multi();
    for flags in 0..7 {
        let mode = CreateMode::new(flags).expect("one of seven");
        let path = world.path(&format!("m{flags}-"));
        multi = if mode.has_ttl() {
            multi.create_with_ttl(&path, b"x", mode, Duration::from_secs(3_600))
        } else {
            multi.create(&path, b"x", mode)
        };
    }
    let results = multi.commit().await.expect("all of it is right");
    for (number, result) in results.into_iter().enumerate() {
        let MultiResult::Created { path, stat } = result else { panic!("{result:?}") };
        let is_sequential = [2, 3, 6].contains(&number);
        let suffix = if is_sequential { format!("{number:010}") } else { String::new() };
        assert_eq!(path, world.path(&format!("m{number}-{suffix}")));
        let seen = zk.exists(&path).await.expect("allowed").expect("there");
        let owner = if [1, 3].contains(&number) { session } else { SessionId::NONE };
        assert_eq!(seen.ephemeral_owner, owner, "{number}");
        assert!(stat.is_none_or(|stat| stat == seen), "{number}");
    }
}

async fn the_old_create_answers_a_path_in_a_multi(world: World) {
    let mut raw = world.raw().await;
    let path = world.path("a");
    let reply = raw.multi(vec![MultiOp::Create(create_request(&path, 0))]).await;
    let expected = [zk_proto::client::MultiResult::Create(path.as_str().into())];
    assert_eq!(reply.read::<MultiResponse<'_>>().results, expected);
}

async fn a_multi_of_nothing_succeeds(world: World) {
    let zk = world.client().await;
    assert_eq!(zk.multi().commit().await, Ok(vec![]));
    let mut raw = world.raw().await;
    let reply = raw.multi(vec![]).await;
    assert_eq!((reply.code(), &reply.body), (ErrorCode::Ok, &encode(&MultiHeader::END)));
    let reply = raw.ask(OpCode::MultiRead, &MultiRequest { ops: vec![] }).await;
    assert_eq!((reply.code(), reply.body), (ErrorCode::Ok, encode(&MultiHeader::END)));
}

async fn each_operation_is_allowed_or_not_by_itself(world: World) {
    let zk = world.client().await;
    let path = world.path("a");
    let no_read = [Acl::new(Perms::WRITE, AuthId::anyone())];
    zk.create(&path, b"").acl(&no_read).await.expect("a free name");
    let check = zk.multi().check(&path, Version::ANY).commit().await;
    assert_eq!(code(&check), Some(ErrorCode::NoAuth), "a check is a read");
    let set = zk.multi().set(&path, b"x", Version::ANY).commit().await;
    assert!(set.is_ok(), "{set:?}");
    let below = world.path("a/b");
    let create = zk.multi().create(&below, b"", CreateMode::Persistent).commit().await;
    assert_eq!(code(&create), Some(ErrorCode::NoAuth));
    let none = [Acl::new(Perms::ALL, AuthId::new("nobody", "x"))];
    let free = world.path("free");
    let multi = zk.multi().create_with_acl(&free, b"", CreateMode::Persistent, &none);
    assert_eq!(code(&multi.commit().await), Some(ErrorCode::InvalidAcl));
}

/// What the first operation was refused for.
fn code(result: &Result<Vec<MultiResult>, MultiError>) -> Option<ErrorCode> {
    match result {
        Err(MultiError::Failed { index: 0, code, .. }) => Some(*code),
        Err(_) | Ok(_) => None,
    }
}

async fn m12_m15_check_by_itself_is_no_operation(world: World) {
    let mut raw = world.raw().await;
    let check = CheckRequest { path: world.root.as_str().into(), version: Version::ANY };
    let reply = raw.ask(OpCode::Check, &check).await;
    assert_eq!((reply.code(), reply.header.zxid.get()), (ErrorCode::Unimplemented, -1));
    raw.expect_hangup().await;
}

async fn bad_flags_refuse_a_multi_whole(world: World) {
    let mut raw = world.raw().await;
    let path = world.path("a");
    let good = MultiOp::Create(create_request(&path, 0));
    for flags in [-1, 5, 6, 7, 9] {
        let bad = MultiOp::Create2(create_request(&path, flags));
        let reply = raw.multi(vec![good.clone(), bad]).await;
        assert_eq!(reply.code(), ErrorCode::MarshallingError, "{flags}");
    }
    assert_eq!(raw.see(OpCode::Exists, &path, false).await.code(), ErrorCode::NoNode);
}

async fn m16_m17_a_multi_of_the_wrong_kind_is_refused_whole(world: World) {
    let mut raw = world.raw().await;
    let path = world.path("a");
    let create = || MultiOp::Create(create_request(&path, 0));
    let read = || MultiOp::GetData(ReadRequest { path: "/".into(), watch: false });
    for (op, ops) in [
        (OpCode::Multi, vec![read()]),
        (OpCode::Multi, vec![create(), read()]),
        (OpCode::MultiRead, vec![create()]),
        (OpCode::MultiRead, vec![read(), create()]),
    ] {
        let code = raw.code(op, &MultiRequest { ops: ops.clone() }).await;
        assert_eq!(code, ErrorCode::MarshallingError, "{} of {ops:?}", op.name());
    }
    let acl = SetAclRequest { path: "/".into(), acl: Some(open_acl()), version: Version::ANY };
    for kind in [OpCode::SetAcl.get(), OpCode::Multi.get(), OpCode::Exists.get(), 99] {
        let header = encode(&MultiHeader { kind, done: false, error: -1 });
        let body = [encode(&create_only(&path)), header, encode(&acl)].concat();
        let body = [body, encode(&MultiHeader::END)].concat();
        let reply = raw.exchange(OpCode::Multi.get(), &body).await.expect("a reply");
        assert_eq!(reply.code(), ErrorCode::MarshallingError, "{kind} in a multi");
        assert!(reply.body.is_empty());
    }
    assert_eq!(raw.see(OpCode::Exists, &path, false).await.code(), ErrorCode::NoNode);
}

fn create_only(path: &str) -> MultiOp<'_> {
    MultiOp::Create2(CreateRequest {
        path: path.into(),
        data: None,
        acl: Some(open_acl()),
        flags: 0,
    })
}

async fn m16_m17_a_multi_without_an_end_does_nothing(world: World) {
    let mut raw = world.raw().await;
    let path = world.path("a");
    let root = world.root.as_str().into();
    let set = MultiOp::SetData(SetDataRequest { path: root, data: None, version: Version::ANY });
    let body = [encode(&create_only(&path)), encode(&set)].concat();
    let reply = raw.exchange(OpCode::Multi.get(), &body).await.expect("a reply");
    assert_eq!(reply.code(), ErrorCode::MarshallingError);
    assert_eq!(raw.see(OpCode::Exists, &path, false).await.code(), ErrorCode::NoNode);
    let delete = DeleteRequest { path: path.as_str().into(), version: Version::ANY };
    assert_eq!(raw.code(OpCode::Delete, &delete).await, ErrorCode::NoNode);
}

async fn reads_are_answered_one_by_one(world: World) {
    let zk = world.client().await;
    let (path, hidden) = (world.path("a"), world.path("hidden"));
    zk.create(&path, b"x").await.expect("a free name");
    zk.create(&format!("{path}/child"), b"").await.expect("a free name");
    let nothing = [Acl::new(Perms::NONE, AuthId::anyone())];
    zk.create(&hidden, b"").acl(&nothing).await.expect("a free name");
    let read = zk.multi_read().get(&path).get(&world.path("no")).children(&path);
    let results = read.get(&hidden).children(&hidden).send().await.expect("answered");
    let stat = zk.exists(&path).await.expect("allowed").expect("there");
    let data = b"x".to_vec().into();
    let expected = [
        MultiReadResult::Node { data, stat },
        MultiReadResult::Refused(ErrorCode::NoNode),
        MultiReadResult::Children(vec!["child".to_owned()]),
        MultiReadResult::Refused(ErrorCode::NoAuth),
        MultiReadResult::Refused(ErrorCode::NoAuth),
    ];
    assert_eq!(results, expected);
}

async fn reads_in_a_multi_leave_no_watch(world: World) {
    let mut raw = world.raw().await;
    let path = world.root.as_str().into();
    let ops = vec![
        MultiOp::GetData(ReadRequest { path, watch: true }),
        MultiOp::GetChildren(ReadRequest { path, watch: true }),
    ];
    assert_eq!(raw.code(OpCode::MultiRead, &MultiRequest { ops }).await, ErrorCode::Ok);
    raw.set(&world.root, b"x").await;
    raw.create(&world.path("a"), 0).await;
    assert_eq!(raw.fence().await, []);
}
