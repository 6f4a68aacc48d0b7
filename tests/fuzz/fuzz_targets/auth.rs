//! Fuzzes identities and access control lists.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_fuzz::script::Script;
use zk_proto::{Perms, acl::WireAcl, jute::decode};
use zk_server_core::{
    auth::{Identities, allowed, authenticate, digest, fix_acl, ip, redact, user_of},
    config::{PeerConfig, Secret},
};

fuzz_target!(|data: &[u8]| {
    let mut script = Script(data);
    let choices = script.byte();
    let config = PeerConfig {
        digest_auth: choices & 1 == 0,
        super_digest: (choices & 2 == 0).then(|| Secret::new(digest::identity(b"super:secret"))),
        required_auth: vec!["digest".into()],
        ..PeerConfig::default()
    };
    let octets = [(); 16].map(|()| script.byte());
    let remote = if choices & 4 == 0 {
        octets.into()
    } else {
        [octets[0], octets[1], octets[2], octets[3]].into()
    };
    let mut caller = Identities::new(remote);
    assert!(!ip::text_of(remote).contains("::"));
    for _ in 0..script.below(8) {
        let scheme = [&b"digest"[..], b"ip", b"world", b"auth", b"super", script.short()];
        let scheme = scheme[usize::from(script.byte()) % scheme.len()];
        let is_refused =
            authenticate(&config, Some(scheme).into(), Some(script.short()), &mut caller).is_err();
        assert!(!is_refused || !caller.satisfies(&config) || caller.has_scheme("digest"));
    }
    for id in caller.iter() {
        assert!(id.id.starts_with(user_of(&config, &id.scheme, &id.id)));
    }
    let Ok(sent) = decode::<Option<Vec<WireAcl<'_>>>>(script.rest()) else { return };
    let Ok(stored) = fix_acl(&config, sent.as_deref(), &caller) else { return };
    assert!(!stored.is_empty());
    let _ = allowed(&config, &stored, Perms::ALL, &caller);
    assert_eq!(redact(&stored).len(), stored.len());
    let again: Vec<WireAcl<'_>> = stored.iter().map(WireAcl::from).collect();
    let again = fix_acl(&config, Some(&again), &caller).expect("what is stored may be stored");
    assert!(again.iter().all(|entry| stored.contains(entry)));
});
