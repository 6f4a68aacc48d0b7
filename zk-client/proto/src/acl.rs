//! Who may do what to a node.

use alloc::{string::String, sync::Arc, vec, vec::Vec};
use core::{fmt, ops::BitOr};

use crate::jute::{Decode, DecodeError, Encode, Expected, Reader, WireStr, Writer, record};

/// A set of permissions.
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct Perms(i32);

impl Perms {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Read data and list children, and receive events about them.
    pub const READ: Self = Self(1);
    /// Set data.
    pub const WRITE: Self = Self(2);
    /// Create children.
    pub const CREATE: Self = Self(4);
    /// Delete children.
    pub const DELETE: Self = Self(8);
    /// Set the ACL.
    pub const ADMIN: Self = Self(16);
    /// Everything.
    pub const ALL: Self = Self(31);

    /// Takes the bits as they stand on the wire; unknown bits are kept.
    pub const fn new(bits: i32) -> Self {
        Self(bits)
    }

    /// The wire form.
    pub const fn get(self) -> i32 {
        self.0
    }

    /// Whether any of `wanted` is granted.
    // ZooKeeper: ZooKeeperServer.checkACL (overlap is enough)
    pub const fn overlaps(self, wanted: Self) -> bool {
        self.0 & wanted.0 != 0
    }
}

impl BitOr for Perms {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// `cdrwa`, as `ZooKeeper`'s tools write it.
impl fmt::Debug for Perms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [(4, 'c'), (8, 'd'), (1, 'r'), (2, 'w'), (16, 'a')];
        for (bit, letter) in letters {
            if self.0 & bit != 0 {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

/// Who somebody is, in the words of one authentication scheme.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AuthId {
    /// The scheme: `world`, `auth`, `digest`, `ip`, `x509`, `sasl`, `super`.
    pub scheme: String,
    /// The identity as that scheme writes it.
    pub id: String,
}

impl AuthId {
    /// An identity.
    pub fn new(scheme: impl Into<String>, id: impl Into<String>) -> Self {
        Self { scheme: scheme.into(), id: id.into() }
    }

    /// Everybody.
    pub fn anyone() -> Self {
        Self::new("world", "anyone")
    }

    /// Whoever creates the node; the server puts the creator's identities in its place.
    pub fn creator() -> Self {
        Self::new("auth", "")
    }
}

/// One entry of a node's access control list.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Acl {
    /// What is granted.
    pub perms: Perms,
    /// To whom.
    pub id: AuthId,
}

impl Acl {
    /// An entry.
    pub const fn new(perms: Perms, id: AuthId) -> Self {
        Self { perms, id }
    }

    /// Everything to everybody (`OPEN_ACL_UNSAFE`).
    pub fn open() -> Vec<Self> {
        vec![Self::new(Perms::ALL, AuthId::anyone())]
    }

    /// Reading to everybody (`READ_ACL_UNSAFE`).
    pub fn read_only() -> Vec<Self> {
        vec![Self::new(Perms::READ, AuthId::anyone())]
    }

    /// Everything to the creator (`CREATOR_ALL_ACL`); needs an authenticated client.
    pub fn creator_all() -> Vec<Self> {
        vec![Self::new(Perms::ALL, AuthId::creator())]
    }
}

impl Encode for Acl {
    fn encode(&self, writer: &mut Writer) {
        writer.i32(self.perms.get());
        writer.string(&self.id.scheme);
        writer.string(&self.id.id);
    }
}

/// Refuses null and non-text; a list that must survive those is read as [`WireAcl`]s.
impl<'a> Decode<'a> for Acl {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let perms = Perms::new(reader.i32()?);
        let mut text = || {
            let offset = reader.offset();
            let string = reader.string()?;
            string.text_of_java().ok_or_else(|| DecodeError {
                offset,
                expected: if string.is_null() { Expected::NonNull } else { Expected::Utf8 },
                got: -1,
            })
        };
        Ok(Self { perms, id: AuthId { scheme: text()?, id: text()? } })
    }
}

impl Encode for Arc<[Acl]> {
    fn encode(&self, writer: &mut Writer) {
        writer.vector(Some(self));
    }
}

record! {
    /// One entry as a client sent it: any part may be null or no text.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct WireAcl<'a> {
        /// What is granted, bit for bit.
        pub perms: i32,
        /// The scheme.
        pub scheme: WireStr<'a>,
        /// The identity.
        pub id: WireStr<'a>,
    }
}

impl<'a> From<&'a Acl> for WireAcl<'a> {
    fn from(acl: &'a Acl) -> Self {
        Self {
            perms: acl.perms.get(),
            scheme: acl.id.scheme.as_str().into(),
            id: acl.id.id.as_str().into(),
        }
    }
}

record! {
    /// Who the server takes the caller for, one scheme of it (`whoAmI`).
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct ClientInfo<'a> {
        /// The scheme.
        pub scheme: WireStr<'a>,
        /// The user, without any secret part.
        pub user: WireStr<'a>,
    }
}
