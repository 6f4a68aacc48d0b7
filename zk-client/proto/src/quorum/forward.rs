//! What a learner hands to its leader for its clients, and what comes back.

use alloc::vec::Vec;

use crate::{
    id::{SessionId, Xid},
    jute::{Decode, DecodeError, Encode, Reader, Writer, record},
};

/// Data of REQUEST: a client's request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ForwardedRequest<'a> {
    /// The session that asks.
    pub session: SessionId,
    /// The client's number of the request.
    pub xid: Xid,
    /// A [`crate::client::OpCode`].
    pub op: i32,
    /// The request's record; whatever follows the three numbers.
    pub body: &'a [u8],
}

impl<'de: 'a, 'a> Decode<'de> for ForwardedRequest<'a> {
    fn decode(reader: &mut Reader<'de>) -> Result<Self, DecodeError> {
        Ok(Self {
            session: SessionId::decode(reader)?,
            xid: Xid::decode(reader)?,
            op: reader.i32()?,
            body: reader.take(reader.rest().len())?,
        })
    }
}

impl Encode for ForwardedRequest<'_> {
    fn encode(&self, writer: &mut Writer) {
        self.session.encode(writer);
        self.xid.encode(writer);
        writer.i32(self.op);
        writer.raw(self.body);
    }
}

record! {
    /// A session that gave a sign of life.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct SessionTouch {
        /// Which one.
        pub session: SessionId,
        /// Its timeout in milliseconds.
        pub timeout_ms: i32,
    }
}

/// Data of a learner's PING: the sessions heard of since the last one, to the end of the data.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SessionTouches(pub Vec<SessionTouch>);

impl<'a> Decode<'a> for SessionTouches {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut touches = Vec::new();
        while !reader.rest().is_empty() {
            touches.push(SessionTouch::decode(reader)?);
        }
        Ok(Self(touches))
    }
}

impl Encode for SessionTouches {
    fn encode(&self, writer: &mut Writer) {
        self.0.iter().for_each(|touch| touch.encode(writer));
    }
}

record! {
    /// Data of a learner's REVALIDATE: a client wants to take this session up again.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct Revalidate {
        /// Which one.
        pub session: SessionId,
        /// Its timeout in milliseconds.
        pub timeout_ms: i32,
    }
}

record! {
    /// Data of the leader's answer to a [`Revalidate`].
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct Revalidated {
        /// Which session.
        pub session: SessionId,
        /// Whether it is alive, and belongs to the learner that asked from here on.
        pub is_valid: bool,
    }
}
