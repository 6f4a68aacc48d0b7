//! What a node keeps besides its data, and how much of it a client gets to see.

use zk_proto::{
    SessionId, Stat, Version, WallMillis, Zxid,
    jute::{Decode, DecodeError, Encode, Reader, Writer},
    limits::TTL_MILLIS_MAX,
};

/// A node's numbers as they are stored: 60 bytes in a snapshot.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct StatPersisted {
    /// The transaction that created the node.
    pub czxid: Zxid,
    /// The transaction that last set its data.
    pub mzxid: Zxid,
    /// When it was created, by the leader's wall clock.
    pub ctime: WallMillis,
    /// When its data was last set, by the leader's wall clock.
    pub mtime: WallMillis,
    /// How often its data was set.
    pub version: Version,
    /// How many children were ever created. Clients see creations and deletions together.
    pub cversion: Version,
    /// How often its ACL was set.
    pub aversion: Version,
    /// What kind of node it is, bit for bit; see [`Owner`].
    pub owner: i64,
    /// The transaction that last created or deleted a child.
    pub pzxid: Zxid,
}

impl StatPersisted {
    /// Bytes in a snapshot.
    pub const WIRE_BYTES: usize = 60;

    /// The numbers of a node that `zxid` creates at `time`.
    pub const fn new(zxid: Zxid, time: WallMillis, owner: i64) -> Self {
        Self {
            czxid: zxid,
            mzxid: zxid,
            ctime: time,
            mtime: time,
            version: Version::new(0),
            cversion: Version::new(0),
            aversion: Version::new(0),
            owner,
            pzxid: zxid,
        }
    }
}

impl<'a> Decode<'a> for StatPersisted {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            czxid: Zxid::decode(reader)?,
            mzxid: Zxid::decode(reader)?,
            ctime: WallMillis::decode(reader)?,
            mtime: WallMillis::decode(reader)?,
            version: Version::decode(reader)?,
            cversion: Version::decode(reader)?,
            aversion: Version::decode(reader)?,
            owner: reader.i64()?,
            pzxid: Zxid::decode(reader)?,
        })
    }
}

impl Encode for StatPersisted {
    fn encode(&self, writer: &mut Writer) {
        self.czxid.encode(writer);
        self.mzxid.encode(writer);
        self.ctime.encode(writer);
        self.mtime.encode(writer);
        self.version.encode(writer);
        self.cversion.encode(writer);
        self.aversion.encode(writer);
        writer.i64(self.owner);
        self.pzxid.encode(writer);
    }
}

/// What ends a node's life besides a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Owner {
    /// Nothing.
    Persistent,
    /// The loss of its last child.
    Container,
    /// This many milliseconds without a child and without its data being set.
    Ttl(i64),
    /// The end of this session.
    Ephemeral(SessionId),
}

const CONTAINER: i64 = i64::MIN;
const TTL: i64 = 0xff << 56;
const TTL_RESERVED: i64 = 0xffff << 40;

impl Owner {
    /// Reads the stored form; `None` for a node with a time to live whose reserved bits are set.
    ///
    /// Without `extended_types` there are no times to live and such a number is a session's.
    // ZooKeeper: EphemeralType.get, EphemeralTypeEmulate353 aside
    pub const fn from_raw(raw: i64, extended_types: bool) -> Option<Self> {
        Some(match raw {
            0 => Self::Persistent,
            CONTAINER => Self::Container,
            _ if extended_types && raw & TTL == TTL => {
                if raw & TTL_RESERVED != 0 {
                    return None;
                }
                Self::Ttl(raw & TTL_MILLIS_MAX)
            }
            session => Self::Ephemeral(SessionId::new(session)),
        })
    }

    /// The stored form. Of a time to live only the 40 bits that it may have are kept.
    pub const fn raw(self) -> i64 {
        match self {
            Self::Persistent => 0,
            Self::Container => CONTAINER,
            Self::Ttl(millis) => TTL | (millis & TTL_MILLIS_MAX),
            Self::Ephemeral(session) => session.get(),
        }
    }

    /// The session the node lives and dies with; [`SessionId::NONE`] for all other nodes.
    pub const fn session(self) -> SessionId {
        match self {
            Self::Persistent | Self::Container | Self::Ttl(_) => SessionId::NONE,
            Self::Ephemeral(session) => session,
        }
    }
}

/// What a client is told: creations and deletions of children together, and an owner only where it
/// is a session.
// ZooKeeper: DataNode.copyStat
pub fn client_stat(
    stat: &StatPersisted,
    owner: Owner,
    data_length: usize,
    num_children: usize,
) -> Stat {
    let children = i32::try_from(num_children).unwrap_or(i32::MAX);
    Stat {
        czxid: stat.czxid,
        mzxid: stat.mzxid,
        ctime: stat.ctime,
        mtime: stat.mtime,
        version: stat.version,
        cversion: Version::new(stat.cversion.get().wrapping_mul(2).wrapping_sub(children)),
        aversion: stat.aversion,
        ephemeral_owner: owner.session(),
        data_length: i32::try_from(data_length).unwrap_or(i32::MAX),
        num_children: children,
        pzxid: stat.pzxid,
    }
}

#[cfg(test)]
mod tests {
    use zk_proto::jute::{decode, encode};

    use super::*;

    fn stat() -> StatPersisted {
        StatPersisted {
            czxid: Zxid::new(1),
            mzxid: Zxid::new(2),
            ctime: WallMillis::new(3),
            mtime: WallMillis::new(4),
            version: Version::new(5),
            cversion: Version::new(6),
            aversion: Version::new(7),
            owner: 8,
            pzxid: Zxid::new(9),
        }
    }

    #[test]
    fn a_stored_stat_is_sixty_bytes_in_the_order_of_a_snapshot() {
        let bytes = encode(&stat());
        assert_eq!(bytes.len(), StatPersisted::WIRE_BYTES);
        assert_eq!(bytes[40..44], 7_i32.to_be_bytes(), "aversion before owner");
        assert_eq!(bytes[52..], 9_i64.to_be_bytes(), "pzxid last");
        assert_eq!(decode(&bytes), Ok(stat()));
    }

    #[test]
    fn an_owner_says_what_kind_of_node_it_is() {
        let ttl = i64::from_be_bytes([0xff, 0, 0, 0, 0, 4, 0x93, 0xe0]);
        assert_eq!(Owner::from_raw(0, true), Some(Owner::Persistent));
        assert_eq!(Owner::from_raw(i64::MIN, true), Some(Owner::Container));
        assert_eq!(Owner::from_raw(ttl, true), Some(Owner::Ttl(300_000)));
        assert_eq!(Owner::from_raw(ttl, false), Some(Owner::Ephemeral(SessionId::new(ttl))));
        assert_eq!(Owner::from_raw(7, true), Some(Owner::Ephemeral(SessionId::new(7))));
        assert_eq!(Owner::from_raw(ttl | 1 << 40, true), None, "a reserved bit");
        for owner in [Owner::Persistent, Owner::Container, Owner::Ttl(TTL_MILLIS_MAX)] {
            assert_eq!(Owner::from_raw(owner.raw(), true), Some(owner));
        }
    }

    #[test]
    fn clients_see_creations_and_deletions_and_only_sessions_as_owners() {
        let seen = client_stat(&stat(), Owner::Ephemeral(SessionId::new(8)), 3, 4);
        assert_eq!((seen.cversion, seen.ephemeral_owner), (Version::new(8), SessionId::new(8)));
        assert_eq!((seen.data_length, seen.num_children), (3, 4));
        let seen = client_stat(&stat(), Owner::Container, 0, 0);
        assert_eq!(seen.ephemeral_owner, SessionId::NONE);
    }
}
