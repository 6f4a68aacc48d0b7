//! Credentials.

use alloc::vec::Vec;
use core::fmt;

use crate::{
    acl::ClientInfo,
    jute::{WireStr, record},
};

record! {
    /// `auth`. Its answer has no body.
    #[derive(Clone, Copy, Eq, PartialEq)]
    pub struct AuthPacket<'a> {
        /// Always 0.
        pub kind: i32,
        /// The scheme.
        pub scheme: WireStr<'a>,
        /// What the scheme asks for; a secret.
        pub auth: Option<&'a [u8]>,
    }
}

/// Leaves the secret out.
impl fmt::Debug for AuthPacket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthPacket").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

record! {
    /// `sasl`, both ways.
    #[derive(Clone, Copy, Eq, PartialEq)]
    pub struct SaslToken<'a> {
        /// The mechanism's bytes.
        pub token: Option<&'a [u8]>,
    }
}

/// Leaves the token out.
impl fmt::Debug for SaslToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaslToken").field("bytes", &self.token.map(<[u8]>::len)).finish()
    }
}

record! {
    /// Answer to `whoAmI`.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct WhoAmIResponse<'a> {
        /// One entry per identity.
        pub identities: Vec<ClientInfo<'a>>,
    }
}
