//! Values checked against Apache `ZooKeeper` 3.9.5.

use alloc::{format, string::String, vec, vec::Vec};
use core::net::{IpAddr, Ipv4Addr};

use zk_proto::{Acl, AuthId, ErrorCode, Perms, acl::WireAcl};

use super::*;

const SUPER: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";

fn config() -> PeerConfig {
    PeerConfig { super_digest: Some(SUPER.into()), ..PeerConfig::default() }
}

fn caller() -> Identities {
    Identities::new(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn known_as(credentials: &[&str]) -> Identities {
    let mut identities = caller();
    for credentials in credentials {
        authenticate(&config(), "digest".into(), Some(credentials.as_bytes()), &mut identities)
            .expect("accepted");
    }
    identities
}

fn ids(identities: &Identities) -> Vec<String> {
    identities.iter().map(|id| format!("{} {}", id.scheme, id.id)).collect()
}

fn wire<'a>(perms: i32, scheme: &'a str, id: &'a str) -> WireAcl<'a> {
    WireAcl { perms, scheme: scheme.into(), id: id.into() }
}

fn acl(perms: Perms, scheme: &str, id: &str) -> Acl {
    Acl::new(perms, AuthId::new(scheme, id))
}

#[test]
fn a_connection_starts_as_its_address() {
    assert_eq!(ids(&caller()), ["ip 127.0.0.1"]);
}

#[test]
fn digest_hashes_user_and_password() {
    assert_eq!(digest::identity(b"super:secret"), SUPER);
    assert!(digest::identity(b"nocolon").starts_with("nocolon:"));
    assert!(digest::identity(b"a:b:c").starts_with("a:"));
}

#[test]
fn the_super_digest_opens_everything() {
    let identities = known_as(&["super:secret"]);
    assert!(identities.is_super());
    assert!(allowed(&config(), &[acl(Perms::NONE, "world", "anyone")], Perms::READ, &identities));
    assert!(!known_as(&["super:wrong"]).is_super());
}

#[test]
fn the_same_credentials_count_once() {
    let identities = known_as(&["a:b", "a:b", "c:d"]);
    assert_eq!(identities.iter().count(), 3);
}

#[test]
fn m38_unknown_schemes_and_missing_credentials_are_refused() {
    for scheme in ["world", "sasl", "auth", "super", "", "x509"] {
        let outcome = authenticate(&config(), scheme.into(), Some(b"a:b"), &mut caller());
        assert_eq!(outcome, Err(AuthRefused), "{scheme}");
    }
    assert_eq!(authenticate(&config(), "digest".into(), None, &mut caller()), Err(AuthRefused));
    let null = WireStr::NULL;
    assert_eq!(authenticate(&config(), null, Some(b"a:b"), &mut caller()), Err(AuthRefused));
}

#[test]
fn m39_identities_of_one_connection_are_bounded() {
    let mut identities = caller();
    let refused = (0..1_000).find(|number| {
        let credentials = format!("user{number}:x");
        authenticate(&config(), "digest".into(), Some(credentials.as_bytes()), &mut identities)
            .is_err()
    });
    assert_eq!(refused, Some(crate::limits::IDENTITIES_PER_CONNECTION_MAX - 1));
}

#[test]
fn switched_off_digest_is_an_unknown_scheme() {
    let config = PeerConfig { digest_auth: false, ..config() };
    let outcome = authenticate(&config, "digest".into(), Some(b"a:b"), &mut caller());
    assert_eq!(outcome, Err(AuthRefused));
    let sent = [wire(31, "digest", "a:b")];
    assert_eq!(fix_acl(&config, Some(&sent), &caller()), Err(ErrorCode::InvalidAcl));
}

#[test]
fn any_overlapping_permission_is_enough() {
    let list = [acl(Perms::READ | Perms::WRITE, "world", "anyone")];
    assert!(allowed(&config(), &list, Perms::READ, &caller()));
    assert!(allowed(&config(), &list, Perms::WRITE | Perms::ADMIN, &caller()));
    assert!(!allowed(&config(), &list, Perms::ADMIN, &caller()));
    assert!(allowed(&config(), &[], Perms::ADMIN, &caller()), "an empty list is open");
}

#[test]
fn digest_entries_let_in_whoever_knows_the_password() {
    let list = [acl(Perms::ALL, "digest", &digest::identity(b"a:b"))];
    assert!(allowed(&config(), &list, Perms::READ, &known_as(&["a:b"])));
    assert!(!allowed(&config(), &list, Perms::READ, &known_as(&["a:c"])));
    assert!(!allowed(&config(), &list, Perms::READ, &caller()));
    let open = PeerConfig { skip_acl: true, ..config() };
    assert!(allowed(&open, &list, Perms::READ, &caller()));
}

#[test]
fn lists_are_fixed_entry_by_entry() {
    let fix = |sent: &[WireAcl<'_>]| fix_acl(&config(), Some(sent), &known_as(&["a:b", "c:d"]));
    let open = wire(31, "world", "anyone");
    assert_eq!(fix(&[open, open]).as_deref(), Ok(&[acl(Perms::ALL, "world", "anyone")][..]));
    let creators = fix(&[wire(5, "auth", "ignored")]).expect("two identities");
    let expected = [
        acl(Perms::new(5), "digest", &digest::identity(b"a:b")),
        acl(Perms::new(5), "digest", &digest::identity(b"c:d")),
    ];
    assert_eq!(creators[..], expected);
    assert_eq!(fix(&[]), Err(ErrorCode::InvalidAcl));
    assert_eq!(fix_acl(&config(), None, &caller()), Err(ErrorCode::InvalidAcl));
}

#[test]
fn entries_that_mean_nobody_are_refused() {
    for (scheme, id) in [
        ("world", "everyone"),
        ("digest", "nocolon"),
        ("digest", "a:"),
        ("digest", "a:b:c"),
        ("ip", "1.2.3.4/33"),
        ("super", "x"),
        ("x509", "CN=a"),
        ("auth", ""),
        ("", ""),
    ] {
        let outcome = fix_acl(&config(), Some(&[wire(31, scheme, id)]), &caller());
        assert_eq!(outcome, Err(ErrorCode::InvalidAcl), "{scheme}:{id}");
    }
    for id in [":b", "a:b:", "a:b"] {
        assert!(fix_acl(&config(), Some(&[wire(31, "digest", id)]), &caller()).is_ok(), "{id}");
    }
}

#[test]
fn null_parts_of_an_entry_are_told_apart() {
    let null = WireStr::NULL;
    let fix =
        |scheme, id| fix_acl(&config(), Some(&[WireAcl { perms: 31, scheme, id }]), &caller());
    assert_eq!(fix("world".into(), null), Err(ErrorCode::MarshallingError));
    assert_eq!(fix(null, "anyone".into()), Err(ErrorCode::InvalidAcl));
    assert_eq!(fix("nosuch".into(), null), Err(ErrorCode::InvalidAcl));
}

#[test]
fn hashes_are_masked_for_readers() {
    let list = vec![acl(Perms::ALL, "digest", "a:hash:more"), acl(Perms::READ, "ip", "::1")];
    let shown = redact(&list);
    assert_eq!(shown, [acl(Perms::ALL, "digest", "a:x"), acl(Perms::READ, "ip", "::1")]);
}

#[test]
fn who_am_i_shows_no_hash() {
    let shown: Vec<_> = known_as(&["super:secret"])
        .iter()
        .map(|id| format!("{}={}", id.scheme, user_of(&config(), &id.scheme, &id.id)))
        .collect();
    assert_eq!(shown, ["ip=127.0.0.1", "super=", "digest=super"]);
}

#[test]
fn demanded_schemes_are_checked() {
    let config = PeerConfig { required_auth: vec!["digest".into(), "sasl".into()], ..config() };
    assert!(!caller().satisfies(&config));
    assert!(known_as(&["a:b"]).satisfies(&config));
}
