//! What a server tells about a node besides its data.

use crate::{
    id::{SessionId, Version, Zxid},
    jute::{Decode, DecodeError, Encode, Reader, Writer, record},
    time::WallMillis,
};

record! {
    /// The eleven numbers that come with every read of a node; 68 bytes on the wire.
    #[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
    pub struct Stat {
        /// The transaction that created the node. Rises strictly over successive nodes of one path.
        pub czxid: Zxid,
        /// The transaction that last set its data.
        pub mzxid: Zxid,
        /// When it was created, by the leader's wall clock.
        pub ctime: WallMillis,
        /// When its data was last set, by the leader's wall clock.
        pub mtime: WallMillis,
        /// How often its data was set.
        pub version: Version,
        /// How often children were created or deleted.
        pub cversion: Version,
        /// How often its ACL was set.
        pub aversion: Version,
        /// The session that an ephemeral node lives and dies with; none for all other nodes.
        pub ephemeral_owner: SessionId,
        /// Bytes of data.
        pub data_length: i32,
        /// Number of direct children.
        pub num_children: i32,
        /// The transaction that last created or deleted a child.
        pub pzxid: Zxid,
    }
}

impl Stat {
    /// Bytes of a stat on the wire.
    pub const WIRE_BYTES: usize = 68;
}

impl<'a> Decode<'a> for WallMillis {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self::new(reader.i64()?))
    }
}

impl Encode for WallMillis {
    fn encode(&self, writer: &mut Writer) {
        writer.i64(self.get());
    }
}
