//! Lines about connections.

use core::{
    fmt::{self, Write as _},
    net::SocketAddr,
};

use super::{ConnectionView, SessionPart, View, text::Text};

/// Every connection with all there is to say about it.
pub(super) fn cons(view: &View<'_>, text: &mut Text) -> fmt::Result {
    for connection in &view.connections {
        line(connection, text, true)?;
    }
    writeln!(text)
}

/// One connection, in short or in full.
// ZooKeeper: ServerCnxn.dumpConnectionInfo
pub(super) fn line(connection: &ConnectionView, text: &mut Text, in_full: bool) -> fmt::Result {
    // Java's selection keys: 1 for reading, 4 for writing.
    let interest = u8::from(connection.is_read) + 4 * u8::from(connection.is_writing);
    let ConnectionView { queued, received, sent, .. } = connection;
    write!(text, " {}[{interest:x}]", Remote(connection.remote))?;
    write!(text, "(queued={queued},recved={received},sent={sent}")?;
    if let Some(session) = connection.session.as_ref().filter(|_| in_full) {
        session_part(session, text)?;
    }
    writeln!(text, ")")
}

fn session_part(part: &SessionPart, text: &mut Text) -> fmt::Result {
    write!(text, ",sid={},lop={}", part.session, part.last_operation)?;
    write!(text, ",est={},to={}", part.established.get(), part.timeout_ms)?;
    if part.last_xid.get() >= 0 {
        write!(text, ",lcxid={:#x}", part.last_xid.get())?;
    }
    write!(text, ",lzxid={},lresp={}", part.last_zxid, part.last_response_ms)?;
    let average = part.latency.sum_ms.checked_div(part.latency.count).unwrap_or(0);
    let (min, max) = (part.latency.min_ms, part.latency.max_ms);
    write!(text, ",llat={},minlat={min},avglat={average},maxlat={max}", part.last_latency_ms)
}

/// An address as Java prints one: a slash, no name before it, IPv6 groups in full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remote(pub(super) SocketAddr);

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = crate::auth::ip::text_of(self.0.ip());
        match self.0.ip().to_canonical() {
            core::net::IpAddr::V4(_) => write!(f, "/{address}:{}", self.0.port()),
            core::net::IpAddr::V6(_) => write!(f, "/[{address}]:{}", self.0.port()),
        }
    }
}
