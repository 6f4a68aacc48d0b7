//! Every operation with every kind of argument, told to both servers.

use zk_proto::{
    Version, Xid, Zxid,
    acl::WireAcl,
    client::{
        AddWatchRequest, AuthPacket, CheckRequest, CreateRequest, CreateTtlRequest, DeleteRequest,
        MultiOp, MultiRequest, OpCode, PathRequest, PrefixRequest, ReadRequest, SetAclRequest,
        SetDataRequest, SetWatchesRequest, WatchRemovalRequest,
    },
    jute::{WireStr, encode},
};
use zk_tests::{
    golden,
    raw::{create_request, open_acl, request},
    subject::Settings,
};

use crate::pair::{Allowed, Pair, Twins};

struct Sweep {
    pair: Pair,
    twins: Twins,
    xid: i32,
    path_is_null: bool,
    path_is_no_text: bool,
}

impl Sweep {
    async fn start() -> Self {
        let pair = Pair::start(&Settings::default()).await;
        let twins = pair.open().await;
        let mut sweep = Self { pair, twins, xid: 0, path_is_null: false, path_is_no_text: false };
        for (path, flags) in [("/a", 0), ("/a/b", 0), ("/e", 1), ("/s", 0), ("/t", 0), ("/z", 0)] {
            sweep.ask(path, OpCode::Create, &encode(&create_request(path, flags))).await;
        }
        sweep
    }

    /// Asks both; takes the session up again where they hung up.
    async fn ask(&mut self, what: &str, op: OpCode, body: &[u8]) {
        self.ask_number(&format!("{} {what}", op.name()), op.get(), body).await;
    }

    async fn ask_number(&mut self, what: &str, op: i32, body: &[u8]) {
        self.xid += 1;
        let frame = request(Xid::new(self.xid), op, body);
        self.send(what, &frame).await;
    }

    async fn send(&mut self, what: &str, frame: &[u8]) {
        let op = frame.get(4..8).map(|op| i32::from_be_bytes(op.try_into().expect("4 bytes")));
        let allowed = op.and_then(OpCode::new).and_then(|op| self.allowed_for(op));
        self.pair.allow(allowed);
        if !self.pair.exchange(what, &mut self.twins, frame).await {
            let fresh = self.pair.open().await;
            let old = std::mem::replace(&mut self.twins, fresh);
            self.pair.close(old).await;
        }
    }

    fn allowed_for(&self, op: OpCode) -> Option<Allowed> {
        let is_watch =
            [OpCode::AddWatch, OpCode::CheckWatches, OpCode::RemoveWatches].contains(&op);
        if [OpCode::Multi, OpCode::MultiRead].contains(&op) {
            Some(Allowed::MultiWithoutZxid)
        } else if op == OpCode::SetWatches {
            Some(Allowed::NothingHalfDone)
        } else if self.path_is_no_text && (is_watch || op == OpCode::Sync) {
            Some(Allowed::NoText)
        } else if self.path_is_null && is_watch {
            Some(Allowed::NullWatch)
        } else {
            None
        }
    }

    async fn finish(self) {
        let Self { pair, twins, .. } = self;
        pair.close(twins).await;
        pair.finish();
    }
}

/// Paths of every kind there is, as bytes.
fn paths() -> Vec<Option<Vec<u8>>> {
    let mut paths: Vec<Option<Vec<u8>>> = vec![None];
    let texts = [
        "",
        "/",
        "a",
        "relative/path",
        "//",
        "/a/",
        "/a//b",
        "/a/./b",
        "/a/../b",
        "/a/.",
        "/a/..",
        "/.",
        "/..",
        "/...",
        "/a/.b",
        "/a/b.",
        "/a/\0",
        "\0",
        "/\u{1}",
        "/a\u{1f}",
        "/a\u{7f}",
        "/a\u{9f}",
        "/a\u{a0}",
        "/\u{d7ff}",
        "/\u{e000}",
        "/\u{f8ff}",
        "/\u{f900}",
        "/\u{ffef}",
        "/\u{fff0}",
        "/\u{ffff}",
        "/\u{10000}",
        "/a b",
        "/zookeeper",
        "/zookeeper/",
        "/zookeeper/config",
        "/zookeeper/quota",
        "/zookeeper/new",
        "/zookeeper/quota/x",
        "/no",
        "/no/child",
        "/a",
        "/a/b",
        "/a/c",
        "/e",
        "/e/child",
        "/no//x",
        "/no/./x",
        "/\u{fffd}",
    ];
    paths.extend(texts.map(|text| Some(text.as_bytes().to_vec())));
    for bytes in [&b"/\xff"[..], b"/\xc0\x80", b"/\xed\xa0\x80", b"/a\xf0\x9f\x98", b"\xff"] {
        paths.push(Some(bytes.to_vec()));
    }
    paths
}

fn is_bmp(character: char) -> bool {
    u32::from(character) < 0x1_0000
}

fn shown(path: Option<&[u8]>) -> String {
    path.map_or_else(|| "null".to_owned(), |bytes| format!("\"{}\"", bytes.escape_ascii()))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn m22_m23_every_operation_takes_every_path_as_apache_does() {
    let mut sweep = Sweep::start().await;
    for path in paths() {
        let path = path.as_deref();
        let what = shown(path);
        sweep.path_is_null = path.is_none();
        // Beyond the first plane Java writes two surrogates.
        let is_text =
            |bytes: &[u8]| str::from_utf8(bytes).is_ok_and(|text| text.chars().all(is_bmp));
        sweep.path_is_no_text = path.is_some_and(|bytes| !is_text(bytes));
        let wire = WireStr::from(path);
        for op in [OpCode::Exists, OpCode::GetData, OpCode::GetChildren, OpCode::GetChildren2] {
            sweep.ask(&what, op, &encode(&ReadRequest { path: wire, watch: false })).await;
        }
        for op in [OpCode::GetAcl, OpCode::Sync, OpCode::GetAllChildrenNumber] {
            sweep.ask(&what, op, &encode(&PathRequest { path: wire })).await;
        }
        sweep.ask(&what, OpCode::GetEphemerals, &encode(&PrefixRequest { prefix: wire })).await;
        let watch = AddWatchRequest { path: wire, mode: 1 };
        sweep.ask(&what, OpCode::AddWatch, &encode(&watch)).await;
        for op in [OpCode::CheckWatches, OpCode::RemoveWatches] {
            sweep.ask(&what, op, &encode(&WatchRemovalRequest { path: wire, kind: 5 })).await;
        }
        for (op, flags) in [(1, 0), (15, 1), (1, 2), (15, 3), (19, 4)] {
            let create = CreateRequest { path: wire, data: None, acl: Some(open_acl()), flags };
            let what = format!("create by {op} with flags {flags}, {what}");
            sweep.ask_number(&what, op, &encode(&create)).await;
        }
        let acl = Some(open_acl());
        let ttl = CreateTtlRequest { path: wire, data: None, acl, flags: 6, ttl_ms: 3_600_000 };
        sweep.ask(&what, OpCode::CreateTtl, &encode(&ttl)).await;
        for version in [9, -1] {
            let version = Version::new(version);
            let set = SetDataRequest { path: wire, data: Some(b"y"), version };
            sweep.ask(&what, OpCode::SetData, &encode(&set)).await;
            let set = SetAclRequest { path: wire, acl: Some(open_acl()), version };
            sweep.ask(&what, OpCode::SetAcl, &encode(&set)).await;
            let ops = vec![
                MultiOp::Check(CheckRequest { path: wire, version }),
                MultiOp::GetData(ReadRequest { path: wire, watch: false }),
            ];
            for op in ops {
                let is_read = op.is_read();
                let multi = encode(&MultiRequest { ops: vec![op] });
                let number = if is_read { OpCode::MultiRead } else { OpCode::Multi };
                sweep.ask(&what, number, &multi).await;
            }
            let delete = DeleteRequest { path: wire, version };
            sweep.ask(&what, OpCode::Delete, &encode(&delete)).await;
        }
    }
    sweep.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn m27_m28_every_mode_is_taken_as_apache_takes_it() {
    let mut sweep = Sweep::start().await;
    let flags = [-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, i32::MAX, i32::MIN];
    for (number, flags) in flags.into_iter().enumerate() {
        // The right record for each mode; a record for another makes an Apache server
        // contradict its own digest.
        for op in [OpCode::Create, OpCode::Create2] {
            if flags == 4 {
                continue;
            }
            let path = format!("/a/m{number}-{}", op.get());
            let create = encode(&create_request(&path, flags));
            sweep.ask(&format!("flags {flags}"), op, &create).await;
            let ops = vec![MultiOp::Create2(create_request(&path, flags))];
            let multi = encode(&MultiRequest { ops });
            sweep.ask(&format!("of a create with flags {flags}"), OpCode::Multi, &multi).await;
        }
        for ttl_ms in [0, 1, 1 << 39, (1 << 40) - 1, 1 << 40, i64::MAX] {
            let path = format!("/a/t{number}-{ttl_ms}");
            let create = CreateTtlRequest {
                path: path.as_str().into(),
                data: Some(b""),
                acl: Some(open_acl()),
                flags,
                ttl_ms,
            };
            let what = format!("flags {flags}, ttl {ttl_ms}");
            sweep.ask(&what, OpCode::CreateTtl, &encode(&create)).await;
        }
    }
    let container = encode(&create_request("/a/container", 4));
    sweep.ask("flags 4", OpCode::CreateContainer, &container).await;
    for ttl_ms in [-1, -2, i64::MIN] {
        for flags in [5, 6] {
            let (path, acl) = ("/a/negative".into(), Some(open_acl()));
            let create = CreateTtlRequest { path, data: None, acl, flags, ttl_ms };
            let what = format!("flags {flags}, ttl {ttl_ms}");
            sweep.ask(&what, OpCode::CreateTtl, &encode(&create)).await;
        }
    }
    sweep.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn every_acl_is_judged_as_by_apache() {
    let ids: &[(Option<&str>, Option<&str>)] = &[
        (Some("world"), Some("anyone")),
        (Some("world"), Some("someone")),
        (Some("world"), None),
        (None, Some("anyone")),
        (Some(""), Some("")),
        (Some("auth"), Some("")),
        (Some("auth"), Some("ignored")),
        (Some("auth"), None),
        (Some("digest"), Some("u:hash")),
        (Some("digest"), Some("u")),
        (Some("digest"), Some("u:")),
        (Some("digest"), Some(":h")),
        (Some("digest"), Some(":")),
        (Some("digest"), Some("a:b:c")),
        (Some("digest"), Some("")),
        (Some("digest"), None),
        (Some("ip"), Some("127.0.0.1")),
        (Some("ip"), Some("127.0.0.1/8")),
        (Some("ip"), Some("127.0.0.1/0")),
        (Some("ip"), Some("127.0.0.1/32")),
        (Some("ip"), Some("127.0.0.1/33")),
        (Some("ip"), Some("127.0.0.1/-1")),
        (Some("ip"), Some("127.0.0.1/")),
        (Some("ip"), Some("127.0.0.1/x")),
        (Some("ip"), Some("127.0.0")),
        (Some("ip"), Some("256.0.0.1")),
        (Some("ip"), Some("::1")),
        (Some("ip"), Some("::1/128")),
        (Some("ip"), Some("::1/129")),
        (Some("ip"), Some("fe80::")),
        (Some("ip"), Some("1::2::3")),
        (Some("ip"), Some("")),
        (Some("ip"), None),
        (Some("super"), Some("")),
        (Some("x509"), Some("CN=a")),
        (Some("sasl"), Some("bob")),
        (Some("nobody"), Some("x")),
    ];
    let mut sweep = Sweep::start().await;
    for is_authenticated in [false, true] {
        if is_authenticated {
            let packet = AuthPacket { kind: 0, scheme: "digest".into(), auth: Some(b"u:p") };
            sweep.ask("digest u:p", OpCode::Auth, &encode(&packet)).await;
        }
        for (scheme, id) in ids {
            let wire = |text: Option<&'static str>| text.map_or(WireStr::NULL, WireStr::from);
            let entry = WireAcl { perms: 31, scheme: wire(*scheme), id: wire(*id) };
            let what = format!("{scheme:?}:{id:?}, authenticated {is_authenticated}");
            lists(&mut sweep, &what, &[entry]).await;
        }
        let anyone = WireAcl { perms: 1, scheme: "world".into(), id: "anyone".into() };
        let auth = WireAcl { perms: 31, scheme: "auth".into(), id: "".into() };
        for perms in [0, 1, 31, 32, -1, i32::MIN] {
            lists(&mut sweep, &format!("perms {perms}"), &[WireAcl { perms, ..anyone }]).await;
        }
        lists(&mut sweep, "nobody", &[]).await;
        lists(&mut sweep, "twice the same", &[anyone, anyone]).await;
        lists(&mut sweep, "anyone and auth", &[anyone, auth]).await;
        lists(&mut sweep, "auth, anyone, auth", &[auth, anyone, auth]).await;
    }
    sweep.finish().await;
}

/// A node with the list, the same list on another node, and what is read back.
async fn lists(sweep: &mut Sweep, what: &str, acl: &[WireAcl<'_>]) {
    let path = format!("/a/acl{}", sweep.xid);
    let wire = WireStr::from(path.as_str());
    let create = CreateRequest { path: wire, data: None, acl: Some(acl.to_vec()), flags: 0 };
    sweep.ask(what, OpCode::Create, &encode(&create)).await;
    sweep.ask(what, OpCode::GetAcl, &encode(&PathRequest { path: wire })).await;
    let read = ReadRequest { path: wire, watch: false };
    sweep.ask(what, OpCode::GetData, &encode(&read)).await;
    let version = Version::ANY;
    let set = SetAclRequest { path: "/no".into(), acl: Some(acl.to_vec()), version };
    sweep.ask(what, OpCode::SetAcl, &encode(&set)).await;
    let set = SetAclRequest { path: wire, acl: Some(acl.to_vec()), version };
    sweep.ask(what, OpCode::SetAcl, &encode(&set)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn m19_m21_every_request_cut_short_is_refused_as_by_apache() {
    let mut sweep = Sweep::start().await;
    for (name, lines) in golden::conversations() {
        for line in lines.iter().filter(|line| line.kind == "request") {
            let op = line.frame.get(4..8).map(|op| i32::from_be_bytes(op.try_into().expect("4")));
            // Cutting these does not make them shorter lists of the same, but other requests.
            let Some(op) = op.and_then(OpCode::new).filter(|op| !op.is_internal()) else {
                continue;
            };
            let has_body = !matches!(
                op,
                OpCode::Ping | OpCode::WhoAmI | OpCode::CloseSession | OpCode::Auth | OpCode::Sasl
            );
            if !has_body {
                continue;
            }
            let cuts = (8..line.frame.len()).step_by(1 + line.frame.len() / 60);
            for cut in cuts {
                let what = format!("{name} cut to {cut} of {} bytes", line.frame.len());
                sweep.send(&what, &line.frame[..cut]).await;
            }
        }
    }
    sweep.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn m19_m21_every_wrong_length_is_refused_as_by_apache() {
    const LENGTHS: [i32; 8] = [-2, -1, 0, 1, 3, 0x20_0000, i32::MAX, i32::MIN];
    let mut sweep = Sweep::start().await;
    let (path, watch) = (WireStr::from("/a"), true);
    let create = encode(&create_request("/a/x", 0));
    let set = encode(&SetDataRequest { path, data: Some(b"abc"), version: Version::ANY });
    let acl = encode(&SetAclRequest { path, acl: Some(open_acl()), version: Version::ANY });
    let list = Some(vec![path]);
    let watches = encode(&SetWatchesRequest {
        relative_zxid: Zxid::new(i64::MAX),
        data: list.clone(),
        exist: list.clone(),
        child: list,
    });
    let read = encode(&ReadRequest { path, watch });
    // Where a length or count stands in each.
    let places: &[(OpCode, &[u8], &[usize])] = &[
        (OpCode::GetData, &read, &[0]),
        (OpCode::Create, &create, &[0, 8, 13, 21, 30]),
        (OpCode::SetData, &set, &[0, 6]),
        (OpCode::SetAcl, &acl, &[0, 6, 14, 23]),
        (OpCode::SetWatches, &watches, &[8, 12, 18, 22, 28, 32]),
    ];
    for (op, body, offsets) in places {
        for offset in *offsets {
            for length in LENGTHS {
                let mut bytes = body.to_vec();
                bytes[*offset..offset + 4].copy_from_slice(&length.to_be_bytes());
                sweep.ask(&format!("with {length} at {offset}"), *op, &bytes).await;
            }
        }
    }
    sweep.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn every_kind_of_watch_is_kept_as_by_apache() {
    let mut sweep = Sweep::start().await;
    let path = WireStr::from("/s");
    for kind in [-1, 0, 1, 2, 3, 4, 5, 6, i32::MAX] {
        for mode in [-1, 0, 1, 2, i32::MIN] {
            let add = AddWatchRequest { path, mode };
            sweep.ask(&format!("mode {mode}"), OpCode::AddWatch, &encode(&add)).await;
            let removal = encode(&WatchRemovalRequest { path, kind });
            let what = format!("type {kind} after mode {mode}");
            for op in [
                OpCode::CheckWatches,
                OpCode::RemoveWatches,
                OpCode::CheckWatches,
                OpCode::RemoveWatches,
            ] {
                sweep.ask(&what, op, &removal).await;
            }
        }
        for op in [OpCode::GetData, OpCode::GetChildren, OpCode::Exists] {
            sweep.ask("with a watch", op, &encode(&ReadRequest { path, watch: true })).await;
            let removal = encode(&WatchRemovalRequest { path, kind });
            sweep.ask(&format!("type {kind}"), OpCode::RemoveWatches, &removal).await;
            let set = SetDataRequest { path, data: None, version: Version::ANY };
            sweep.ask("that may fire", OpCode::SetData, &encode(&set)).await;
        }
    }
    sweep.finish().await;
}
