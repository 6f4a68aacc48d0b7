//! How leader and learner introduce themselves and agree on an epoch.

use crate::{
    id::{Epoch, ServerId, Zxid},
    jute::{Decode, DecodeError, Encode, Expected, Reader, Writer},
};

/// What both sides call their protocol: ZAB 1.0.
// ZooKeeper: Learner.registerWithLeader
pub const PROTOCOL_VERSION: i32 = 0x1_0000;

/// Data of FOLLOWERINFO and OBSERVERINFO: 8, 12 or 20 bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LearnerInfo {
    /// Who it is.
    pub server: ServerId,
    /// [`PROTOCOL_VERSION`]; `None` where the learner is too old to say.
    pub protocol_version: Option<i32>,
    /// The version of the last configuration it knows to be committed; `None` where it is too old
    /// to say. Never there without the protocol version.
    pub config_version: Option<Zxid>,
}

impl LearnerInfo {
    /// What a member of today says.
    pub const fn new(server: ServerId, config_version: Zxid) -> Self {
        Self {
            server,
            protocol_version: Some(PROTOCOL_VERSION),
            config_version: Some(config_version),
        }
    }
}

impl<'a> Decode<'a> for LearnerInfo {
    // ZooKeeper: LearnerHandler.run
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let server = ServerId::new(reader.i64()?);
        let protocol_version = if reader.rest().is_empty() { None } else { Some(reader.i32()?) };
        let config_version =
            if reader.rest().is_empty() { None } else { Some(Zxid::decode(reader)?) };
        Ok(Self { server, protocol_version, config_version })
    }
}

impl Encode for LearnerInfo {
    fn encode(&self, writer: &mut Writer) {
        writer.i64(self.server.get());
        if let Some(version) = self.protocol_version {
            writer.i32(version);
            if let Some(version) = self.config_version {
                version.encode(writer);
            }
        }
    }
}

/// Data of LEADERINFO.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeaderInfo {
    /// [`PROTOCOL_VERSION`].
    pub protocol_version: i32,
}

impl<'a> Decode<'a> for LeaderInfo {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { protocol_version: reader.i32()? })
    }
}

impl Encode for LeaderInfo {
    fn encode(&self, writer: &mut Writer) {
        writer.i32(self.protocol_version);
    }
}

/// Data of ACKEPOCH.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EpochAnswer {
    /// The epoch is new to the learner, which has promised it on stable storage. It followed this
    /// one last.
    Accepted {
        /// The learner's current epoch.
        current: Epoch,
    },
    /// The learner had promised the epoch before; its answer does not count a second time.
    AlreadyPromised,
}

impl<'a> Decode<'a> for EpochAnswer {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let offset = reader.offset();
        match reader.i32()? {
            -1 => Ok(Self::AlreadyPromised),
            epoch => match u32::try_from(epoch) {
                Ok(epoch) => Ok(Self::Accepted { current: Epoch::new(epoch) }),
                Err(_) => Err(DecodeError {
                    offset,
                    expected: Expected::OneOf("epoch"),
                    got: epoch.into(),
                }),
            },
        }
    }
}

impl Encode for EpochAnswer {
    #[expect(clippy::cast_possible_wrap, reason = "four bytes as they are")]
    fn encode(&self, writer: &mut Writer) {
        match *self {
            Self::Accepted { current } => writer.i32(current.get() as i32),
            Self::AlreadyPromised => writer.i32(-1),
        }
    }
}
