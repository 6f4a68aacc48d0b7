//! The first frame each way: opens a session or takes one up again.

use crate::{
    id::{SessionId, Zxid},
    jute::{Decode, DecodeError, Encode, Reader, Writer},
};

/// The first frame of a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConnectRequest<'a> {
    /// Always 0; no server looks at it.
    pub protocol_version: i32,
    /// The highest zxid the client has seen; a server that lags behind it turns the client away.
    pub last_zxid_seen: Zxid,
    /// The session timeout asked for, in milliseconds.
    pub timeout_ms: i32,
    /// The session to take up again, or [`SessionId::NONE`] for a new one.
    pub session: SessionId,
    /// The session's password; sixteen zero bytes for a new one.
    pub password: Option<&'a [u8]>,
    /// Whether a read-only server is welcome; `None` where the client is too old to say.
    pub read_only: Option<bool>,
}

impl<'de: 'a, 'a> Decode<'de> for ConnectRequest<'a> {
    fn decode(reader: &mut Reader<'de>) -> Result<Self, DecodeError> {
        Ok(Self {
            protocol_version: reader.i32()?,
            last_zxid_seen: Zxid::decode(reader)?,
            timeout_ms: reader.i32()?,
            session: SessionId::decode(reader)?,
            password: reader.buffer()?,
            read_only: trailing_bool(reader)?,
        })
    }
}

impl Encode for ConnectRequest<'_> {
    fn encode(&self, writer: &mut Writer) {
        writer.i32(self.protocol_version);
        self.last_zxid_seen.encode(writer);
        writer.i32(self.timeout_ms);
        self.session.encode(writer);
        writer.buffer(self.password);
        if let Some(read_only) = self.read_only {
            writer.bool(read_only);
        }
    }
}

/// The server's answer to a [`ConnectRequest`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConnectResponse<'a> {
    /// Always 0.
    pub protocol_version: i32,
    /// The negotiated session timeout in milliseconds; zero or less: the session is over.
    pub timeout_ms: i32,
    /// The session, or [`SessionId::NONE`] when refused.
    pub session: SessionId,
    /// What the client must show to take the session up again.
    pub password: Option<&'a [u8]>,
    /// Whether this server is read-only; sent only to a client that said whether it minds.
    pub read_only: Option<bool>,
}

impl<'de: 'a, 'a> Decode<'de> for ConnectResponse<'a> {
    fn decode(reader: &mut Reader<'de>) -> Result<Self, DecodeError> {
        Ok(Self {
            protocol_version: reader.i32()?,
            timeout_ms: reader.i32()?,
            session: SessionId::decode(reader)?,
            password: reader.buffer()?,
            read_only: trailing_bool(reader)?,
        })
    }
}

impl Encode for ConnectResponse<'_> {
    fn encode(&self, writer: &mut Writer) {
        writer.i32(self.protocol_version);
        writer.i32(self.timeout_ms);
        self.session.encode(writer);
        writer.buffer(self.password);
        if let Some(read_only) = self.read_only {
            writer.bool(read_only);
        }
    }
}

/// The byte that peers before 3.4 leave out.
fn trailing_bool(reader: &mut Reader<'_>) -> Result<Option<bool>, DecodeError> {
    if reader.rest().is_empty() { Ok(None) } else { reader.bool().map(Some) }
}
