//! The first message each way: opens a session, or takes one up again.

use alloc::{boxed::Box, vec::Vec};
use core::time::Duration;

use zk_proto::{
    ErrorCode, SessionId, Zxid,
    client::{ConnectRequest, ConnectResponse, ReplyHeader},
    jute::{Encode, Writer, decode},
    limits::PASSWORD_BYTES,
};

use crate::violation::Violation;

/// What identifies a session to a server.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) session: SessionId,
    /// Not a secret worth guarding: every server derives it from the session's number.
    pub(crate) password: Box<[u8]>,
}

impl Ticket {
    /// Asks for a new session.
    pub(crate) fn none() -> Self {
        Self { session: SessionId::NONE, password: Box::new([0; PASSWORD_BYTES]) }
    }
}

/// What a server made of the request.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// A session lives: the one asked for, or another because the server has forgotten that one.
    Opened { ticket: Ticket, timeout: Duration, is_read_only: bool },
    /// The session asked for is over.
    Over,
    /// The server serves reads only, and gives no new session.
    NotNow,
}

/// Bytes of an answer to a request, which a server gives that serves reads only and keeps no
/// sessions of its own.
const REPLY_BYTES: usize = ReplyHeader::WIRE_BYTES;

/// The request's frame.
pub(crate) fn request(
    ticket: &Ticket,
    timeout: Duration,
    seen: Zxid,
    may_be_read_only: bool,
) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.frame(|body| {
        ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: seen,
            timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
            session: ticket.session,
            password: Some(&ticket.password),
            read_only: Some(may_be_read_only),
        }
        .encode(body);
    });
    writer.into_vec()
}

/// Reads the answer to a request made with `ticket`.
pub(crate) fn judge(ticket: &Ticket, answer: &[u8]) -> Result<Verdict, Violation> {
    if answer.len() == REPLY_BYTES {
        let header: ReplyHeader = decode(answer)?;
        if ErrorCode::new(header.error) == ErrorCode::NotReadOnly {
            return Ok(Verdict::NotNow);
        }
    }
    let response: ConnectResponse<'_> = decode(answer)?;
    let was_open = ticket.session != SessionId::NONE;
    let timeout = match u64::try_from(response.timeout_ms) {
        Ok(timeout_ms) if timeout_ms > 0 => Duration::from_millis(timeout_ms),
        Ok(_) | Err(_) if was_open => return Ok(Verdict::Over),
        Ok(_) | Err(_) => return Err(Violation::NoSession),
    };
    if response.session == SessionId::NONE {
        return Err(Violation::NoSession);
    }
    let password = response.password.unwrap_or_default().into();
    Ok(Verdict::Opened {
        ticket: Ticket { session: response.session, password },
        timeout,
        is_read_only: response.read_only.unwrap_or(false),
    })
}
