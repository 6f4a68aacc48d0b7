//! User and password, of which only a hash is kept.

use alloc::{
    borrow::Cow,
    format,
    string::{String, ToString as _},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};
use zeroize::Zeroize as _;
use zk_proto::AuthId;

use super::{AuthRefused, AuthScheme, Identities};

/// The scheme `digest`: an identity is `user:` and the base64 SHA-1 of `user:password`.
#[derive(Clone, Copy)]
pub(super) struct Digest<'a> {
    /// The identity that is let past every ACL, if there is one.
    pub(super) super_digest: Option<&'a str>,
}

impl AuthScheme for Digest<'_> {
    fn authenticate(
        &self,
        credentials: Option<&[u8]>,
        identities: &mut Identities,
    ) -> Result<(), AuthRefused> {
        let id = identity(credentials.ok_or(AuthRefused)?);
        if self.super_digest.is_some_and(|expected| is_equal(expected, &id)) {
            identities.add(AuthId::new("super", ""))?;
        }
        identities.add(AuthId::new("digest", id))
    }

    fn matches(&self, caller: &str, entry: &str) -> bool {
        is_equal(caller, entry)
    }

    /// Two parts with a colon between them; colons at the very end do not count.
    // ZooKeeper: DigestAuthenticationProvider.isValid (String.split drops trailing empty parts)
    fn is_valid(&self, id: &str) -> bool {
        let id = id.trim_end_matches(':');
        id.split(':').count() == 2
    }

    fn is_authenticated(&self) -> bool {
        true
    }

    // ZooKeeper: DigestAuthenticationProvider.getUserName
    fn user_of<'b>(&self, id: &'b str) -> &'b str {
        id.split(':').next().unwrap_or(id)
    }
}

/// The identity that `user:password` proves: `user:` and the base64 SHA-1 of the whole.
///
/// Without a colon the whole is the user. Bytes that are no text are first made text the way Java
/// does it, so that a node protected through an Apache server opens here as well.
///
/// ```
/// use zk_server_core::auth::digest;
///
/// assert_eq!(digest::identity(b"super:secret"), "super:lK75jTNcA+U9vtVEw5vB51mj/w4=");
/// ```
// ZooKeeper: DigestAuthenticationProvider.generateDigest
pub fn identity(credentials: &[u8]) -> String {
    let text = String::from_utf8_lossy(credentials);
    let user = text.split(':').next().unwrap_or_default().to_string();
    let hash = STANDARD.encode(Sha1::digest(text.as_bytes()));
    if let Cow::Owned(mut copy) = text {
        copy.zeroize();
    }
    format!("{user}:{hash}")
}

/// Compares without telling by the time it takes where the first difference is.
fn is_equal(one: &str, other: &str) -> bool {
    let difference = one.bytes().zip(other.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && core::hint::black_box(difference) == 0
}
