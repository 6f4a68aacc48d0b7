//! Who may do what.

use zk_client::{
    Acl, AclError, AuthError, AuthId, ChildrenError, Client, CreateError, Credentials, DeleteError,
    ErrorCode, ExistsError, GetError, OperationError, Perms, SessionEnd, SetAclError, SetError,
    Version,
};
use zk_proto::client::{AuthPacket, OpCode, SaslToken};
use zk_tests::{dump::SUPER, patience::at_most};

use crate::world::{Need, World, cases};

cases! {
    a_list_is_written_and_read_back [SetAcl GetAcl];
    set_acl_wants_the_right_version_and_a_legal_list [SetAcl];
    auth_means_whoever_is_authenticated [Auth Create2 GetAcl];
    nobody_else_gets_at_a_private_node [GetData GetChildren2 GetAcl SetAcl SetData];
    exists_asks_for_the_right_to_read [Exists] GuardedExists;
    a_parent_decides_on_creations_and_deletions [Create2 Delete];
    m33_hashes_are_shown_to_administrators_only [GetAcl];
    an_administrator_may_read_the_list_alone [GetAcl SetAcl];
    addresses_match_by_prefix [Create2 GetData] OwnAddresses;
    addresses_of_two_families_never_match [Create2 GetData] Ipv6Acls;
    the_super_user_passes_every_list [Auth GetData];
    identities_add_up [Auth WhoAmI];
    m38_a_foreign_scheme_ends_the_session [Auth];
    m38_credentials_refused_end_the_connection [Auth];
    credentials_are_presented_again_after_a_break [Auth WhoAmI];
    a_server_without_sasl_says_so [Sasl];
}

/// What `digest` makes of the credentials `u:p`.
const U: &str = "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=";

fn anyone(perms: Perms) -> Acl {
    Acl::new(perms, AuthId::anyone())
}

async fn somebody(world: &World, user: &str) -> Client {
    let zk = world.client().await;
    zk.add_auth(Credentials::digest(user, "p")).await.expect("accepted");
    zk
}

async fn a_list_is_written_and_read_back(world: World) {
    let zk = world.client().await;
    let path = world.path("a");
    let created = zk.create(&path, b"").await.expect("a free name").stat;
    assert_eq!(zk.acl(&path).await, Ok((Acl::open(), created)));
    let list = [
        anyone(Perms::READ),
        Acl::new(Perms::ALL, AuthId::new("digest", U)),
        Acl::new(Perms::ADMIN, AuthId::new("ip", "0.0.0.0/0")),
    ];
    let stat = zk.set_acl(&path, &list).if_version(Version::new(0)).await.expect("open");
    assert_eq!(stat.aversion, Version::new(1));
    assert_eq!(
        (stat.mzxid, stat.version, stat.pzxid),
        (created.mzxid, created.version, created.pzxid)
    );
    assert_eq!(zk.acl(&path).await, Ok((list.to_vec(), stat)));
    assert!(matches!(zk.acl(&world.path("no")).await, Err(AclError::NoNode { .. })));
}

async fn set_acl_wants_the_right_version_and_a_legal_list(world: World) {
    let zk = world.client().await;
    let path = world.path("a");
    zk.create(&path, b"").await.expect("a free name");
    let open = Acl::open();
    let wrong = zk.set_acl(&path, &open).if_version(Version::new(3)).await;
    assert!(matches!(wrong, Err(SetAclError::BadVersion { .. })));
    assert!(matches!(zk.set_acl(&path, &[]).await, Err(SetAclError::InvalidAcl { .. })));
    for (scheme, id) in
        [("nobody", "x"), ("digest", "u"), ("ip", "127.0.0.1/33"), ("super", ""), ("world", "x")]
    {
        let list = [Acl::new(Perms::ALL, AuthId::new(scheme, id))];
        let refused = zk.set_acl(&path, &list).await;
        assert!(matches!(refused, Err(SetAclError::InvalidAcl { .. })), "{scheme}:{id}");
    }
    assert!(matches!(
        zk.set_acl(&path, &Acl::creator_all()).await,
        Err(SetAclError::InvalidAcl { .. })
    ));
    let missing = world.path("no");
    assert!(matches!(zk.set_acl(&missing, &open).await, Err(SetAclError::NoNode { .. })));
    assert!(matches!(
        zk.set_acl(&missing, &Acl::creator_all()).await,
        Err(SetAclError::InvalidAcl { .. })
    ));
}

async fn auth_means_whoever_is_authenticated(world: World) {
    let zk = world.client().await;
    let path = world.path("mine");
    let refused = zk.create(&path, b"").acl(&Acl::creator_all()).await;
    assert!(matches!(refused, Err(CreateError::InvalidAcl { .. })));
    zk.add_auth(Credentials::digest("u", "p")).await.expect("accepted");
    zk.create(&path, b"").acl(&Acl::creator_all()).await.expect("somebody by now");
    let (list, _) = zk.acl(&path).await.expect("mine");
    assert_eq!(list, [Acl::new(Perms::ALL, AuthId::new("digest", U))]);
}

async fn nobody_else_gets_at_a_private_node(world: World) {
    let (owner, other) = (somebody(&world, "u").await, somebody(&world, "v").await);
    let path = world.path("mine");
    owner.create(&path, b"secret").acl(&Acl::creator_all()).await.expect("a free name");
    assert!(matches!(other.get(&path).await, Err(GetError::NoAuth { .. })));
    assert!(matches!(other.children(&path).await, Err(ChildrenError::NoAuth { .. })));
    assert!(matches!(other.count_descendants(&path).await, Err(ChildrenError::NoAuth { .. })));
    assert!(matches!(other.acl(&path).await, Err(AclError::NoAuth { .. })));
    assert!(matches!(other.set(&path, b"").await, Err(SetError::NoAuth { .. })));
    assert!(matches!(other.set_acl(&path, &Acl::open()).await, Err(SetAclError::NoAuth { .. })));
    assert_eq!(owner.get(&path).await.expect("mine").data, "secret");
}

async fn exists_asks_for_the_right_to_read(world: World) {
    let (owner, other) = (somebody(&world, "u").await, somebody(&world, "v").await);
    let path = world.path("mine");
    owner.create(&path, b"secret").acl(&Acl::creator_all()).await.expect("a free name");
    assert!(matches!(other.exists(&path).await, Err(ExistsError::NoAuth { .. })));
    assert_eq!(other.exists(&world.path("no")).await, Ok(None));
}

async fn a_parent_decides_on_creations_and_deletions(world: World) {
    let zk = world.client().await;
    let (path, child) = (world.path("a"), world.path("a/b"));
    zk.create(&path, b"").await.expect("a free name");
    zk.create(&child, b"").acl(&[anyone(Perms::NONE)]).await.expect("a free name");
    zk.set_acl(&path, &[anyone(Perms::CREATE)]).await.expect("open");
    assert!(matches!(zk.delete(&child).await, Err(DeleteError::NoAuth { .. })));
    assert!(matches!(zk.delete(&world.path("a/no")).await, Err(DeleteError::NoAuth { .. })));
    zk.create(&world.path("a/c"), b"").await.expect("the parent allows it");

    let path = world.path("d");
    zk.create(&path, b"").await.expect("a free name");
    zk.create(&world.path("d/b"), b"").acl(&[anyone(Perms::NONE)]).await.expect("free");
    zk.set_acl(&path, &[anyone(Perms::DELETE)]).await.expect("open");
    assert!(matches!(zk.create(&world.path("d/c"), b"").await, Err(CreateError::NoAuth { .. })));
    zk.delete(&world.path("d/b")).await.expect("the parent allows it");
}

async fn m33_hashes_are_shown_to_administrators_only(world: World) {
    let (owner, other) = (somebody(&world, "u").await, world.client().await);
    let path = world.path("a");
    let list = [anyone(Perms::READ), Acl::new(Perms::ALL, AuthId::new("digest", U))];
    owner.create(&path, b"").acl(&list).await.expect("a free name");
    assert_eq!(owner.acl(&path).await.expect("readable").0, list);
    let masked = [list[0].clone(), Acl::new(Perms::ALL, AuthId::new("digest", "u:x"))];
    assert_eq!(other.acl(&path).await.expect("readable").0, masked);
}

async fn an_administrator_may_read_the_list_alone(world: World) {
    let zk = world.client().await;
    let path = world.path("a");
    zk.create(&path, b"").acl(&[anyone(Perms::ADMIN)]).await.expect("a free name");
    assert!(matches!(zk.get(&path).await, Err(GetError::NoAuth { .. })));
    assert_eq!(zk.acl(&path).await.expect("readable").0, [anyone(Perms::ADMIN)]);
    zk.set_acl(&path, &[anyone(Perms::WRITE)]).await.expect("an administrator");
    assert!(matches!(zk.acl(&path).await, Err(AclError::NoAuth { .. })));
    assert!(matches!(zk.set_acl(&path, &Acl::open()).await, Err(SetAclError::NoAuth { .. })));
    zk.set(&path, b"").await.expect("a writer");
}

async fn addresses_match_by_prefix(world: World) {
    let zk = world.client().await;
    for (number, (address, matches)) in [
        ("127.0.0.1", true),
        ("127.0.0.1/32", true),
        ("127.0.0.0/8", true),
        ("127.255.0.0/8", true),
        ("126.0.0.0/7", true),
        ("0.0.0.0/0", true),
        ("127.0.0.2", false),
        ("128.0.0.0/1", false),
    ]
    .into_iter()
    .enumerate()
    {
        let path = world.path(&format!("ip{number}"));
        let list = [Acl::new(Perms::READ, AuthId::new("ip", address))];
        zk.create(&path, b"").acl(&list).await.expect("legal");
        assert_eq!(zk.get(&path).await.is_ok(), matches, "{address}");
    }
}

async fn addresses_of_two_families_never_match(world: World) {
    let zk = world.client().await;
    for (number, address) in ["::1", "::1/128", "::/0", "fe80::/10"].into_iter().enumerate() {
        let path = world.path(&format!("ip{number}"));
        let list = [Acl::new(Perms::READ, AuthId::new("ip", address))];
        zk.create(&path, b"").acl(&list).await.expect("legal");
        assert!(matches!(zk.get(&path).await, Err(GetError::NoAuth { .. })), "{address}");
    }
}

async fn the_super_user_passes_every_list(world: World) {
    let zk = world.client().await;
    let path = world.path("a");
    zk.create(&path, b"x").acl(&[anyone(Perms::NONE)]).await.expect("a free name");
    assert!(matches!(zk.get(&path).await, Err(GetError::NoAuth { .. })));
    zk.add_auth(Credentials::new("digest", SUPER)).await.expect("accepted");
    assert_eq!(zk.get(&path).await.expect("everything is allowed").data, "x");
    zk.set_acl(&path, &Acl::open()).await.expect("everything is allowed");
    zk.set("/zookeeper/config", b"").await.expect("even this");
    let as_it_was = zk.set("/zookeeper/config", b"").await;
    as_it_was.expect("and again");
}

async fn identities_add_up(world: World) {
    let zk = world.client().await;
    let shown = async || {
        let mut shown = zk.whoami().await.expect("answered");
        shown.sort_by(|one, two| (&one.scheme, &one.id).cmp(&(&two.scheme, &two.id)));
        shown.into_iter().map(|one| format!("{}:{}", one.scheme, one.id)).collect::<Vec<_>>()
    };
    let [own] = &shown().await[..] else { panic!("nothing but the address") };
    if world.server.host.meets(Need::OwnAddresses) {
        assert_eq!(own, "ip:127.0.0.1");
    }
    zk.add_auth(Credentials::digest("u", "p")).await.expect("accepted");
    assert_eq!(shown().await, ["digest:u", own]);
    zk.add_auth(Credentials::digest("u", "p")).await.expect("accepted");
    zk.add_auth(Credentials::digest("v", "p")).await.expect("accepted");
    assert_eq!(shown().await, ["digest:u", "digest:v", own]);
    zk.add_auth(Credentials::new("ip", "")).await.expect("accepted");
    assert_eq!(shown().await, ["digest:u", "digest:v", own]);
}

async fn m38_a_foreign_scheme_ends_the_session(world: World) {
    let zk = world.client().await;
    assert_eq!(zk.add_auth(Credentials::new("nobody", "x")).await, Err(AuthError::Refused));
    let refused = zk.exists("/").await.expect_err("the client is at its end");
    assert_eq!(refused.session_end(), Some(SessionEnd::AuthFailed));
}

async fn m38_credentials_refused_end_the_connection(world: World) {
    for (scheme, auth) in
        [("nobody", Some(&b"x"[..])), ("world", Some(&b"anyone"[..])), ("digest", None)]
    {
        let mut raw = world.raw().await;
        let packet = AuthPacket { kind: 0, scheme: scheme.into(), auth };
        let reply = raw.ask(OpCode::Auth, &packet).await;
        assert_eq!(reply.code(), ErrorCode::AuthFailed, "{scheme}");
        assert_eq!(reply.header.zxid.get(), 0);
        raw.expect_hangup().await;
    }
}

async fn credentials_are_presented_again_after_a_break(world: World) {
    let relay = world.relay().await;
    let zk = world.client_at(&relay.address.to_string()).await;
    zk.add_auth(Credentials::digest("u", "p")).await.expect("accepted");
    zk.create(&world.path("mine"), b"x").acl(&Acl::creator_all()).await.expect("free");
    relay.cut();
    let mut states = zk.states();
    let broken = async { while states.next().await.expect("not at its end").is_connected() {} };
    at_most("the break", broken).await;
    relay.mend();
    let node = at_most("a new connection", zk.get(&world.path("mine"))).await;
    assert_eq!(node.expect("the same identity").data, "x");
}

async fn a_server_without_sasl_says_so(world: World) {
    let mut raw = world.raw().await;
    let reply = raw.ask(OpCode::Sasl, &SaslToken { token: Some(b"") }).await;
    assert_eq!(reply.read::<SaslToken<'_>>().token, None);
    assert_eq!(reply.header.zxid.get(), 0);
    assert!(raw.is_alive().await);
}
